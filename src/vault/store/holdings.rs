//! How much of whose mail the spool holds, whatever it does there: waits, is held, is scheduled, or is with a courier. Counted as
//! the census is (`census.rs`): by triggers, in memory, in the transaction that changes it.

use rusqlite::{Connection, OptionalExtension, Result, Statement, params};

use crate::vault::audit::row::{integer, unsigned};
use crate::vault::store::lasting;

/// A message is held as long as its body is there, which every one has that isn't done, but one that is delivered while its sender
/// waits: what is there at the start is counted by the index of those, since a look through the bodies would read all of them. The
/// body comes behind the recipients, and goes before the message, or with it.
/// It weighs as much as there are offers of it (`spool::PER_OFFER`): 1 for each 100 recipients that were begun. What came is of
/// the time since it was asked for. `fresh`: changed since then.
const COUNTING: &str = "
CREATE TEMP TABLE holding(
  principal TEXT PRIMARY KEY, messages INTEGER NOT NULL, octets INTEGER NOT NULL,
  came_recipients INTEGER NOT NULL, came_octets INTEGER NOT NULL, fresh INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX temp.holding_fresh ON holding(fresh) WHERE fresh = 1;
INSERT INTO holding
  SELECT principal, sum(1 + coalesce((SELECT max(n) FROM spool_rcpt AS r WHERE r.msg = id), 0) / 100), sum(bytes), 0, 0, 1
  FROM spool_msg INDEXED BY sm_held
  WHERE done_us IS NULL AND (live = 0 OR EXISTS(SELECT 1 FROM spool_body WHERE msg = id)) GROUP BY principal;
CREATE TEMP TRIGGER holding_comes AFTER INSERT ON main.spool_body
BEGIN
  INSERT INTO holding SELECT principal, 1 + last / 100, bytes, 1 + last, bytes, 1
    FROM spool_msg CROSS JOIN (SELECT coalesce(max(n), 0) AS last FROM spool_rcpt WHERE msg = new.msg) WHERE id = new.msg
    ON CONFLICT DO UPDATE SET messages = messages + excluded.messages, octets = octets + excluded.octets,
      came_recipients = came_recipients + excluded.came_recipients, came_octets = came_octets + excluded.came_octets, fresh = 1;
END;
CREATE TEMP TRIGGER holding_goes BEFORE DELETE ON main.spool_body
BEGIN
  UPDATE holding SET messages = messages - 1 - coalesce((SELECT max(n) FROM spool_rcpt WHERE msg = old.msg), 0) / 100,
      octets = octets - (SELECT bytes FROM spool_msg WHERE id = old.msg), fresh = 1
    WHERE principal = (SELECT principal FROM spool_msg WHERE id = old.msg);
END;
CREATE TEMP TRIGGER holding_goes_whole BEFORE DELETE ON main.spool_msg
WHEN EXISTS(SELECT 1 FROM spool_body WHERE msg = old.id)
BEGIN
  UPDATE holding SET messages = messages - 1 - coalesce((SELECT max(n) FROM spool_rcpt WHERE msg = old.id), 0) / 100,
      octets = octets - old.bytes, fresh = 1 WHERE principal = old.principal;
END;
";

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

/// Counts once, and has it kept from here on. To be done before any statement is prepared.
pub fn begin(connection: &Connection) -> Result<()> {
    connection.execute_batch(COUNTING)
}

pub struct Holdings<'c> {
    passed: Statement<'c>,
    fresh: Statement<'c>,
    told: [Statement<'c>; 2],
    oldest: Statement<'c>,
}

impl<'c> Holdings<'c> {
    pub fn prepare(connection: &'c Connection) -> Result<Self> {
        Ok(Self {
            passed: lasting(
                connection,
                "INSERT INTO holding VALUES(?1, 0, 0, ?2, ?3, 1) ON CONFLICT DO UPDATE SET fresh = 1, \
                 came_recipients = came_recipients + excluded.came_recipients, came_octets = came_octets + excluded.came_octets",
            )?,
            fresh: lasting(
                connection,
                "SELECT principal, messages, octets, came_recipients, came_octets FROM holding WHERE fresh = 1",
            )?,
            told: [
                lasting(connection, "DELETE FROM holding WHERE fresh = 1 AND messages = 0")?,
                lasting(
                    connection,
                    "UPDATE holding SET fresh = 0, came_recipients = 0, came_octets = 0 WHERE fresh = 1",
                )?,
            ],
            // By the key of the one and then of the other: no look through either.
            oldest: lasting(
                connection,
                "SELECT accepted_us FROM spool_msg WHERE id = (SELECT min(msg) FROM spool_body)",
            )?,
        })
    }

    /// A message came of which nothing is held: it is passed on, and cost the store its rows all the same.
    pub fn passed(&mut self, principal: &str, came: Came) -> Result<()> {
        self.passed.execute(params![principal, integer(came.recipients), integer(came.octets)]).map(drop)
    }

    /// Of whom something came or went since this was asked last, with all that is there now; the first time, of all. To be asked
    /// between transactions: in one, it would be of what may be undone.
    pub fn changed(&mut self) -> Result<Vec<(String, Held, Came)>> {
        let rows = self.fresh.query_map([], |row| {
            let held = Held { messages: unsigned(row, 1)?, octets: unsigned(row, 2)? };
            Ok((row.get(0)?, held, Came { recipients: unsigned(row, 3)?, octets: unsigned(row, 4)? }))
        })?;
        let changed: Vec<_> = rows.collect::<Result<_>>()?;
        if !changed.is_empty() {
            self.told.iter_mut().try_for_each(|statement| statement.execute([]).map(drop))?;
        }
        Ok(changed)
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

    fn changed(holdings: &mut Holdings<'_>) -> BTreeMap<String, (Held, Came)> {
        holdings.changed().unwrap().into_iter().map(|(who, held, came)| (who, (held, came))).collect()
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
        let mut holdings = Holdings::prepare(connection).unwrap();
        assert_eq!((changed(&mut holdings), holdings.oldest()), (of([]), Ok(None)));
        keep(connection, "shop", 100);
        keep(connection, "shop", 20);
        keep(connection, "till", 7);
        let all = of([("shop", held(2, 120), (2, 120)), ("till", held(1, 7), (1, 7))]);
        assert_eq!(changed(&mut holdings), all);
        assert_eq!(changed(&mut holdings), of([]));
        connection.execute_batch("BEGIN; DELETE FROM spool_body; DELETE FROM spool_msg; ROLLBACK;").unwrap();
        assert_eq!(changed(&mut holdings), of([]), "it was undone");
        // The body alone, as when it is done; then what is remembered of it; and one with its body.
        connection.execute("UPDATE spool_msg SET accepted_us = id * 10", []).unwrap();
        assert_eq!(holdings.oldest(), Ok(Some(10)));
        connection.execute("DELETE FROM spool_body WHERE msg = 1", []).unwrap();
        assert_eq!(holdings.oldest(), Ok(Some(20)));
        assert_eq!(changed(&mut holdings), of([("shop", held(1, 20), (0, 0))]));
        connection.execute("DELETE FROM spool_msg WHERE id = 1", []).unwrap();
        assert_eq!(changed(&mut holdings), of([]));
        connection.execute("DELETE FROM spool_msg WHERE id = 3", []).unwrap();
        assert_eq!(changed(&mut holdings), of([("till", held(0, 0), (0, 0))]));
        keep(connection, "till", 5);
        // What is passed on is nothing that is held, and came.
        let came = Came { recipients: 3, octets: 900 };
        holdings.passed("live", came).unwrap();
        holdings.passed("till", came).unwrap();
        holdings.passed("till", came).unwrap();
        let all = [("till", held(1, 5), (7, 1805)), ("live", held(0, 0), (3, 900))];
        assert_eq!(changed(&mut holdings), of(all));
        assert_eq!(changed(&mut holdings), of([]));
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
        let mut holdings = Holdings::prepare(&again.connection).unwrap();
        let all = [("shop", held(1, 20), (0, 0)), ("till", held(1, 5), (0, 0)), ("live", held(1, 13), (0, 0))];
        assert_eq!(changed(&mut holdings), of(all), "after a restart, which knows nothing of lately");
    }
}
