//! Anchors: which heads of the log were kept outside of it, and what was said about each anchor.

use rusqlite::{Connection, OptionalExtension, Result, Row, Statement, params};

use crate::mail::id::MessageId;
use crate::merkle::note::with_line;
use crate::vault::audit::ledger::Note;
use crate::vault::audit::row::{integer, octets, unsigned};
use crate::vault::store::lasting;

/// A head that is kept elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anchored {
    /// The anchor's name in the configuration.
    pub name: String,
    /// The leaves under that head.
    pub size: u64,
    pub time_us: u64,
    /// The cosignature of a witness, or the id of a mail.
    pub proof: Option<String>,
}

/// What was said of an anchor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// It is in the configuration since then.
    pub since_us: u64,
    /// The last event about a success of it.
    pub told_us: u64,
    /// It was said to be overdue.
    pub overdue: bool,
    /// The size of a witness' head that this log does not extend: it is not asked again by itself.
    pub contradicted: Option<u64>,
}

pub struct Anchors<'c> {
    keep: Statement<'c>,
    largest: Statement<'c>,
    last: Statement<'c>,
    unpublished: Statement<'c>,
    published: Statement<'c>,
    trim: Statement<'c>,
    begin: Statement<'c>,
    state: Statement<'c>,
    set: Statement<'c>,
    note: Statement<'c>,
    cosign: [Statement<'c>; 2],
    mail: Statement<'c>,
    mailed: Statement<'c>,
    forget_mail: Statement<'c>,
    under_way: Statement<'c>,
    lost_mail: Statement<'c>,
}

impl<'c> Anchors<'c> {
    pub fn prepare(connection: &'c Connection) -> Result<Self> {
        let sql = |sql: &str| lasting(connection, sql);
        Ok(Self {
            keep: sql("INSERT OR REPLACE INTO audit_anchor(name, size, time_us, proof) VALUES(?, ?, ?, ?)")?,
            largest: sql("SELECT max(size) FROM audit_anchor WHERE proof IS NOT NULL \
                          AND size <= (SELECT max(size) FROM audit_checkpoint)")?,
            last: sql(
                "SELECT name, size, time_us, proof FROM audit_anchor WHERE name = ? ORDER BY time_us DESC LIMIT 1",
            )?,
            unpublished: sql("SELECT name, size, time_us, proof FROM audit_anchor WHERE published = 0 \
                              ORDER BY time_us, name, size LIMIT ?")?,
            published: sql("UPDATE audit_anchor SET published = 1 WHERE name = ? AND size = ? AND time_us = ?")?,
            trim: sql("DELETE FROM audit_anchor WHERE name = ?1 AND published = 1 \
                       AND size < (SELECT max(size) FROM audit_anchor WHERE name = ?1)")?,
            begin: sql("INSERT OR IGNORE INTO audit_anchor_state(name, since_us) VALUES(?, ?)")?,
            state: sql("SELECT since_us, told_us, overdue, contradicted FROM audit_anchor_state WHERE name = ?")?,
            set: sql("UPDATE audit_anchor_state SET told_us = ?, overdue = ?, contradicted = ? WHERE name = ?")?,
            note: sql("SELECT size, time_us, root, note FROM audit_checkpoint ORDER BY size DESC LIMIT 1")?,
            cosign: [
                sql("SELECT note FROM audit_checkpoint WHERE size = ?")?,
                sql("UPDATE audit_checkpoint SET note = ?2 WHERE size = ?1")?,
            ],
            mail: sql("INSERT INTO audit_anchor_mail(msg_id, name, size) VALUES(?, ?, ?)")?,
            mailed: sql("SELECT name, size FROM audit_anchor_mail WHERE msg_id = ?")?,
            forget_mail: sql("DELETE FROM audit_anchor_mail WHERE msg_id = ?")?,
            under_way: sql("SELECT EXISTS(SELECT 1 FROM audit_anchor_mail WHERE name = ?)")?,
            lost_mail: sql(
                "DELETE FROM audit_anchor_mail WHERE msg_id NOT IN (SELECT msg_id FROM spool_msg WHERE done_us IS NULL)",
            )?,
        })
    }

    /// The size of the largest head that is kept on another machine, by a witness or in a mailbox: below it nothing can be
    /// rewritten unseen. A file and syslog have no proof of that, and don't count. None when there is no such head.
    pub fn largest(&mut self) -> Result<Option<u64>> {
        let size = self.largest.query_row([], |row| row.get::<_, Option<i64>>(0))?;
        Ok(size.and_then(|size| u64::try_from(size).ok()))
    }

    /// The last success of an anchor.
    pub fn last(&mut self, name: &str) -> Result<Option<Anchored>> {
        self.last.query_row([name], anchored).optional()
    }

    pub fn keep(&mut self, anchored: &Anchored) -> Result<()> {
        let Anchored { name, size, time_us, proof } = anchored;
        self.keep.execute(params![name, integer(*size), integer(*time_us), proof])?;
        Ok(())
    }

    /// Those that are not in the auditors' files yet.
    pub fn unpublished(&mut self, limit: u32) -> Result<Vec<Anchored>> {
        self.unpublished.query_map([limit], anchored)?.collect()
    }

    /// They are in the auditors' files. The last one of each anchor stays here all the same.
    pub fn published(&mut self, all: &[Anchored]) -> Result<()> {
        for Anchored { name, size, time_us, .. } in all {
            self.published.execute(params![name, integer(*size), integer(*time_us)])?;
            self.trim.execute([name])?;
        }
        Ok(())
    }

    /// What was said of an anchor. One that is new is known from now on.
    pub fn state(&mut self, name: &str, now_us: u64) -> Result<State> {
        self.begin.execute(params![name, integer(now_us)])?;
        self.state.query_row([name], |row| {
            Ok(State {
                since_us: unsigned(row, 0)?,
                told_us: unsigned(row, 1)?,
                overdue: row.get(2)?,
                contradicted: row.get::<_, Option<i64>>(3)?.and_then(|size| u64::try_from(size).ok()),
            })
        })
    }

    pub fn set_state(&mut self, name: &str, state: &State) -> Result<()> {
        let contradicted = state.contradicted.map(integer);
        self.set.execute(params![integer(state.told_us), state.overdue, contradicted, name])?;
        Ok(())
    }

    /// The newest signed head.
    pub fn note(&mut self) -> Result<Option<Note>> {
        let read = |row: &Row<'_>| {
            let root = octets(row, 2)?.unwrap_or_default();
            Ok(Note { size: unsigned(row, 0)?, time_us: unsigned(row, 1)?, root, note: row.get(3)? })
        };
        self.note.query_row([], read).optional()
    }

    /// Puts the line of a cosignature into a note that is still here. The one in the auditors' files gets it with the anchor.
    pub fn cosign(&mut self, size: u64, line: &str) -> Result<()> {
        let [read, write] = &mut self.cosign;
        let note: Option<String> = read.query_row([integer(size)], |row| row.get(0)).optional()?;
        note.map_or(Ok(()), |note| write.execute(params![integer(size), with_line(&note, line)]).map(drop))
    }

    /// A head is on its way by mail.
    pub fn mail(&mut self, message: MessageId, name: &str, size: u64) -> Result<()> {
        self.mail.execute(params![message.uuid().as_bytes(), name, integer(size)])?;
        Ok(())
    }

    /// Whether a mail of this anchor is still in the spool.
    pub fn is_under_way(&mut self, name: &str) -> Result<bool> {
        self.lost_mail.execute([])?;
        self.under_way.query_row([name], |row| row.get(0))
    }

    /// That mail came to its end: what it is a proof of when it was delivered.
    pub fn mail_ended(&mut self, message: MessageId, delivered: bool, now_us: u64) -> Result<()> {
        let id = message.uuid();
        let found = self.mailed.query_row([id.as_bytes()], |row| Ok((row.get(0)?, unsigned(row, 1)?))).optional()?;
        let Some((name, size)) = found else { return Ok(()) };
        self.forget_mail.execute([id.as_bytes()])?;
        match delivered {
            true => self.keep(&Anchored { name, size, time_us: now_us, proof: Some(message.to_string()) }),
            false => Ok(()),
        }
    }
}

fn anchored(row: &Row<'_>) -> Result<Anchored> {
    Ok(Anchored { name: row.get(0)?, size: unsigned(row, 1)?, time_us: unsigned(row, 2)?, proof: row.get(3)? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vault::store::Store;
    use crate::vault::store::open::Database;

    fn row(name: &str, size: u64, proof: Option<&str>) -> Anchored {
        Anchored { name: name.into(), size, time_us: 1000 + size, proof: proof.map(str::to_owned) }
    }

    fn on_a_store(test: impl FnOnce(&mut Store<'_>)) {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join("db")).unwrap();
        let database = Database::open(home.path()).unwrap();
        test(&mut Store::prepare(&database).unwrap());
    }

    #[test]
    fn the_last_success_of_each_anchor_stays_and_the_others_leave_when_they_are_published() {
        on_a_store(|store| {
            assert_eq!(store.anchors.largest().unwrap(), None);
            for anchored in [row("w1", 5, Some("line")), row("w1", 9, None), row("file", 7, None)] {
                store.anchors.keep(&anchored).unwrap();
            }
            let all = store.anchors.unpublished(10).unwrap();
            assert_eq!(all, [row("w1", 5, Some("line")), row("file", 7, None), row("w1", 9, None)]);
            store.anchors.published(&all).unwrap();
            assert_eq!(store.anchors.unpublished(10).unwrap(), []);
            assert_eq!(store.anchors.last("w1").unwrap(), Some(row("w1", 9, None)));
            assert_eq!(store.anchors.last("file").unwrap(), Some(row("file", 7, None)));
            // The same head again is a new success.
            store.anchors.keep(&Anchored { time_us: 5000, ..row("w1", 9, None) }).unwrap();
            assert_eq!(store.anchors.unpublished(10).unwrap().len(), 1);
        });
    }

    fn signed(size: u64) -> Note {
        Note { size, time_us: 1, root: [0; 32], note: format!("log\n{size}\nroot\n\n\u{2014} log AAAAAAAA\n") }
    }

    #[test]
    fn only_a_head_that_was_signed_and_is_on_another_machine_counts() {
        on_a_store(|store| {
            store.anchors.keep(&row("w1", 5, Some("line"))).unwrap();
            assert_eq!(store.anchors.largest().unwrap(), None, "nothing is sealed");
            store.ledger.keep_note(&signed(8)).unwrap();
            for anchored in [row("disk", 8, None), row("w1", 9, Some("line")), row("w2", 1 << 62, Some("line"))] {
                store.anchors.keep(&anchored).unwrap();
            }
            assert_eq!(store.anchors.largest().unwrap(), Some(5));
            store.anchors.keep(&row("auditor", 7, Some("id"))).unwrap();
            assert_eq!(store.anchors.largest().unwrap(), Some(7));
        });
    }

    #[test]
    fn a_witness_that_signs_again_has_one_line() {
        on_a_store(|store| {
            store.ledger.keep_note(&signed(8)).unwrap();
            for line in ["\u{2014} w1 AAAAAQAA", "\u{2014} w2 AAAAAQBB", "\u{2014} w1 AAAAAQCC", "\u{2014} w1 AAAAAQDD"]
            {
                store.anchors.cosign(8, line).unwrap();
                store.anchors.cosign(9, line).unwrap();
            }
            let lines = "\u{2014} w2 AAAAAQBB\n\u{2014} w1 AAAAAQDD\n";
            assert_eq!(store.anchors.note().unwrap().unwrap().note, signed(8).note + lines);
        });
    }

    #[test]
    fn what_was_said_of_an_anchor_is_remembered() {
        on_a_store(|store| {
            let first = store.anchors.state("w1", 7).unwrap();
            assert_eq!(first, State { since_us: 7, ..State::default() });
            let said = State { told_us: 8, overdue: true, contradicted: Some(12), ..first };
            store.anchors.set_state("w1", &said).unwrap();
            assert_eq!(store.anchors.state("w1", 99).unwrap(), said);
        });
    }

    #[test]
    fn a_mail_that_arrived_is_a_success_and_one_that_did_not_is_none() {
        on_a_store(|store| {
            let (arrives, bounces) = (MessageId::now(), MessageId::now());
            store.anchors.mail(arrives, "auditor", 3).unwrap();
            store.anchors.mail(bounces, "auditor", 4).unwrap();
            for (message, delivered) in [(arrives, true), (bounces, false), (arrives, true), (MessageId::now(), true)] {
                store.anchors.mail_ended(message, delivered, 77).unwrap();
            }
            let found = Anchored { time_us: 77, ..row("auditor", 3, Some(&arrives.to_string())) };
            assert_eq!(store.anchors.unpublished(10).unwrap(), [found]);
        });
    }
}
