//! How much of whose mail the spool holds, whatever it does there: waits, is held, is scheduled, or is with a courier. Counted as
//! the census is (`counts.rs`).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use rusqlite::functions::Context;
use rusqlite::{Connection, OptionalExtension, Result, Statement};

use super::counts::{Change, Counts, Way};
use super::spool::PER_OFFER;
use crate::vault::audit::row::unsigned;
use crate::vault::store::lasting;

/// A message is held as long as its body is there, which every one has that isn't done, but one that is delivered while its sender
/// waits. The body comes behind the recipients, and goes before the message, or with it.
pub(super) const TELLING: &str = "
CREATE TEMP TRIGGER held_goes BEFORE DELETE ON main.spool_body
BEGIN
  SELECT held_goes(principal, bytes, (SELECT coalesce(max(n), 0) FROM spool_rcpt WHERE msg = old.msg)) FROM spool_msg WHERE id = old.msg;
END;
CREATE TEMP TRIGGER held_goes_whole BEFORE DELETE ON main.spool_msg WHEN EXISTS(SELECT 1 FROM spool_body WHERE msg = old.id)
BEGIN
  SELECT held_goes(old.principal, old.bytes, (SELECT coalesce(max(n), 0) FROM spool_rcpt WHERE msg = old.id));
END;
";
/// What is there at the start, by the index of those that aren't done: a look through the bodies would read all of them.
const THERE: &str = "SELECT principal, bytes, (SELECT coalesce(max(n), 0) FROM spool_rcpt AS r WHERE r.msg = id) \
                     FROM spool_msg INDEXED BY sm_held WHERE done_us IS NULL AND (live = 0 OR EXISTS(SELECT 1 FROM spool_body WHERE msg = id))";
/// What is held of one credential, or of all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// By their weight.
    pub messages: u64,
    /// Of the messages as they came.
    pub octets: u64,
}

/// What was taken in since that was asked last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Came {
    pub recipients: u64,
    pub octets: u64,
}

/// A message of somebody.
#[derive(Clone, Debug)]
pub struct Message {
    principal: Arc<str>,
    held: Held,
    came: Came,
}

impl Message {
    /// One that is held, with the number of its last recipient. It weighs as much as there are offers of it.
    pub fn new(principal: &str, octets: u64, last: u64) -> Self {
        let held = Held { messages: 1 + last / u64::from(PER_OFFER), octets };
        Self { principal: principal.into(), held, came: Came { recipients: 1 + last, octets } }
    }

    /// The one that a trigger tells of.
    pub fn read(told: &Context<'_>) -> Result<Self> {
        Ok(Self::new(told.get_raw(0).as_str()?, natural(told.get(1)?), natural(told.get(2)?)))
    }

    /// The same, which came before this was counted.
    pub fn of_before(self) -> Self {
        Self { came: Came::default(), ..self }
    }
}

fn natural(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

#[derive(Debug, Default)]
pub struct Tables {
    all: HashMap<Arc<str>, (Held, Came)>,
    /// Those of whom something came or went since it was asked last.
    fresh: HashSet<Arc<str>>,
}

impl Tables {
    /// Counts all that is there; of it nothing came lately.
    pub fn fill(&mut self, connection: &Connection) -> Result<()> {
        let mut there = connection.prepare(THERE)?;
        let mut rows = there.query([])?;
        while let Some(row) = rows.next()? {
            let message = Message::new(row.get_ref(0)?.as_str()?, unsigned(row, 1)?, unsigned(row, 2)?);
            self.count(&message.of_before(), Way::Comes);
        }
        Ok(())
    }

    pub fn count(&mut self, message: &Message, way: Way) {
        let Message { principal, held: one, came: lately } = message;
        if !self.all.contains_key(principal) {
            self.all.insert(Arc::clone(principal), Default::default());
        }
        if let Some((held, came)) = self.all.get_mut(principal) {
            let sum = |all: &mut u64, more: u64| match way {
                Way::Comes => *all = all.saturating_add(more),
                Way::Goes => *all = all.saturating_sub(more),
            };
            sum(&mut held.messages, one.messages);
            sum(&mut held.octets, one.octets);
            sum(&mut came.recipients, lately.recipients);
            sum(&mut came.octets, lately.octets);
        }
        self.fresh.insert(Arc::clone(principal));
    }
}

pub struct Holdings<'c> {
    counts: Counts,
    oldest: Statement<'c>,
}

impl<'c> Holdings<'c> {
    pub fn prepare(connection: &'c Connection, counts: Counts) -> Result<Self> {
        // By the key of the one and then of the other: no look through either.
        let oldest = "SELECT accepted_us FROM spool_msg WHERE id = (SELECT min(msg) FROM spool_body)";
        Ok(Self { counts, oldest: lasting(connection, oldest)? })
    }

    /// A message came of which nothing is held: it is passed on, and cost the store its rows all the same.
    pub fn passed(&self, principal: &str, came: Came) {
        let message = Message { principal: principal.into(), held: Held::default(), came };
        self.counts.all().count(Change::Held(message.into()), Way::Comes);
    }

    /// Of whom something came or went since this was asked last, with all that is there now; the first time, of all. To be asked
    /// between transactions: in one, it would be of what may be undone.
    pub fn changed(&self) -> Vec<(String, Held, Came)> {
        let Tables { all, fresh } = &mut self.counts.all().holdings;
        let mut changed = Vec::new();
        for principal in fresh.drain() {
            let Some((held, came)) = all.get_mut(&principal) else { continue };
            changed.push((principal.to_string(), *held, std::mem::take(came)));
            if held.messages == 0 {
                all.remove(&principal);
            }
        }
        changed
    }

    /// When the message came that is held for longest, in unix microseconds.
    pub fn oldest(&mut self) -> Result<Option<u64>> {
        self.oldest.query_row([], |row| unsigned(row, 0)).optional()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::vault::store::open::Database;

    const MESSAGE: &str = "INSERT INTO spool_msg(msg_id, accept_seq, session_id, principal, bytes, sha256, accepted_us, \
                           expires_us) VALUES(randomblob(16), 0, randomblob(16), ?, ?, randomblob(32), 1, 2) RETURNING id";

    fn held(messages: u64, octets: u64) -> Held {
        Held { messages, octets }
    }

    fn changed(holdings: &Holdings<'_>) -> BTreeMap<String, (Held, Came)> {
        holdings.changed().into_iter().map(|(who, held, came)| (who, (held, came))).collect()
    }

    fn of<const N: usize>(all: [(&str, Held, (u64, u64)); N]) -> BTreeMap<String, (Held, Came)> {
        all.map(|(who, held, (recipients, octets))| (who.to_owned(), (held, Came { recipients, octets }))).into()
    }

    fn database(home: &std::path::Path) -> Database {
        std::fs::create_dir_all(home.join("db")).unwrap();
        Database::open(home).unwrap()
    }

    fn keep(connection: &Connection, who: &str, octets: u32) {
        let id: i64 = connection.query_row(MESSAGE, (who, octets), |row| row.get(0)).unwrap();
        connection.execute("INSERT INTO spool_body(msg, content) VALUES(?, x'00')", [id]).unwrap();
    }

    #[test]
    fn rule_q16_what_is_held_is_counted_by_credential_whatever_becomes_of_it() {
        let home = tempfile::tempdir().unwrap();
        let first = database(home.path());
        let connection = &first.connection;
        first.counts.watch_all(connection);
        let mut holdings = Holdings::prepare(connection, first.counts.clone()).unwrap();
        assert_eq!((changed(&holdings), holdings.oldest()), (of([]), Ok(None)));
        keep(connection, "shop", 100);
        keep(connection, "shop", 20);
        keep(connection, "till", 7);
        let all = of([("shop", held(2, 120), (2, 120)), ("till", held(1, 7), (1, 7))]);
        assert_eq!(changed(&holdings), all);
        assert_eq!(changed(&holdings), of([]));
        connection.execute_batch("BEGIN; DELETE FROM spool_body; DELETE FROM spool_msg; ROLLBACK;").unwrap();
        let all = of([("shop", held(2, 120), (0, 0)), ("till", held(1, 7), (0, 0))]);
        assert_eq!(changed(&holdings), all, "it was undone: told again, and as it was");
        // The body alone, as when it is done; then what is remembered of it; and one with its body.
        connection.execute("UPDATE spool_msg SET accepted_us = id * 10", []).unwrap();
        assert_eq!(holdings.oldest(), Ok(Some(10)));
        connection.execute("DELETE FROM spool_body WHERE msg = 1", []).unwrap();
        assert_eq!(holdings.oldest(), Ok(Some(20)));
        assert_eq!(changed(&holdings), of([("shop", held(1, 20), (0, 0))]));
        connection.execute("DELETE FROM spool_msg WHERE id = 1", []).unwrap();
        assert_eq!(changed(&holdings), of([]));
        connection.execute("DELETE FROM spool_msg WHERE id = 3", []).unwrap();
        assert_eq!(changed(&holdings), of([("till", held(0, 0), (0, 0))]));
        keep(connection, "till", 5);
        // What is passed on is nothing that is held, and came.
        let came = Came { recipients: 3, octets: 900 };
        holdings.passed("live", came);
        holdings.passed("till", came);
        holdings.passed("till", came);
        let all = [("till", held(1, 5), (7, 1805)), ("live", held(0, 0), (3, 900))];
        assert_eq!(changed(&holdings), of(all));
        assert_eq!(changed(&holdings), of([]));
        // What is delivered while its sender waits has a body or none.
        for octets in [11, 13] {
            keep(connection, "live", octets);
            connection.execute("UPDATE spool_msg SET live = 1 WHERE bytes = ?", [octets]).unwrap();
        }
        connection
            .execute("DELETE FROM spool_body WHERE msg = (SELECT id FROM spool_msg WHERE bytes = 11)", [])
            .unwrap();
        drop(holdings);
        drop(first);
        let again = database(home.path());
        let holdings = Holdings::prepare(&again.connection, again.counts.clone()).unwrap();
        let all = [("shop", held(1, 20), (0, 0)), ("till", held(1, 5), (0, 0)), ("live", held(1, 13), (0, 0))];
        assert_eq!(changed(&holdings), of(all), "after a restart, which knows nothing of lately");
    }
}
