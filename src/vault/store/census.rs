//! Who has how much in the spool, counted as it changes and by whatever changes it: nobody looks through the spool for that.
//!
//! The counts are in tables of this connection's own, in memory, and are filled once at its start. Triggers keep them, in the
//! transaction that changes what they count, so that one that is undone takes its counts with it.

use rusqlite::{Connection, Result, Statement};

use crate::vault::audit::row::unsigned;

/// A recipient waits when it is in no courier's hands and not held. A message counts once in a lane, however many recipients of
/// it wait there. The blank plus keeps SQLite from looking for a message among all of a lane: its own rows are few. It looks
/// from the end that a lease comes to last, and from the other where some wait already.
const COUNTING: &str = "
CREATE TEMP TABLE census_lane(
  lane TEXT NOT NULL, urgent INTEGER NOT NULL, turn TEXT NOT NULL, messages INTEGER NOT NULL, PRIMARY KEY(lane, urgent, turn)
) STRICT, WITHOUT ROWID;
INSERT INTO census_lane SELECT lane, urgent, turn, count(DISTINCT msg) FROM spool_rcpt
  WHERE state = 0 AND held = 0 GROUP BY lane, urgent, turn;
CREATE TEMP TRIGGER census_comes AFTER INSERT ON main.spool_rcpt
WHEN new.state = 0 AND new.held = 0 AND (SELECT n FROM spool_rcpt
  WHERE msg = new.msg AND +lane = new.lane AND +state = 0 AND +held = 0 AND n <> new.n ORDER BY n LIMIT 1) IS NULL
BEGIN
  INSERT INTO census_lane VALUES(new.lane, new.urgent, new.turn, 1) ON CONFLICT DO UPDATE SET messages = messages + 1;
END;
CREATE TEMP TRIGGER census_returns AFTER UPDATE OF state, held, lane ON main.spool_rcpt
WHEN new.state = 0 AND new.held = 0 AND NOT (old.state = 0 AND old.held = 0 AND old.lane = new.lane)
  AND (SELECT n FROM spool_rcpt
  WHERE msg = new.msg AND +lane = new.lane AND +state = 0 AND +held = 0 AND n <> new.n ORDER BY n LIMIT 1) IS NULL
BEGIN
  INSERT INTO census_lane VALUES(new.lane, new.urgent, new.turn, 1) ON CONFLICT DO UPDATE SET messages = messages + 1;
END;
CREATE TEMP TRIGGER census_leaves AFTER UPDATE OF state, held, lane ON main.spool_rcpt
WHEN old.state = 0 AND old.held = 0 AND NOT (new.state = 0 AND new.held = 0 AND old.lane = new.lane)
  AND (SELECT n FROM spool_rcpt
  WHERE msg = old.msg AND +lane = old.lane AND +state = 0 AND +held = 0 AND n <> old.n ORDER BY n DESC LIMIT 1) IS NULL
BEGIN
  UPDATE census_lane SET messages = messages - 1 WHERE lane = old.lane AND urgent = old.urgent AND turn = old.turn;
END;
CREATE TEMP TRIGGER census_goes AFTER DELETE ON main.spool_rcpt
WHEN old.state = 0 AND old.held = 0 AND (SELECT n FROM spool_rcpt
  WHERE msg = old.msg AND +lane = old.lane AND +state = 0 AND +held = 0 ORDER BY n DESC LIMIT 1) IS NULL
BEGIN
  UPDATE census_lane SET messages = messages - 1 WHERE lane = old.lane AND urgent = old.urgent AND turn = old.turn;
END;
";

/// Messages of one credential that wait in a lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    pub lane: String,
    /// They live shortly, and go first.
    pub urgent: bool,
    pub principal: String,
    pub messages: u64,
}

/// Counts once, and has it kept from here on. To be done before any statement is prepared.
pub fn begin(connection: &Connection) -> Result<()> {
    connection.execute_batch(COUNTING)
}

pub struct Census<'c> {
    waiting: Statement<'c>,
}

impl<'c> Census<'c> {
    pub fn prepare(connection: &'c Connection) -> Result<Self> {
        let waiting = "SELECT lane, urgent, turn, messages FROM census_lane WHERE messages > 0";
        Ok(Self { waiting: connection.prepare(waiting)? })
    }

    /// All who have messages that wait, by lane.
    pub fn waiting(&mut self) -> Result<Vec<Waiting>> {
        let rows = self.waiting.query_map([], |row| {
            let (lane, urgent, principal) = (row.get(0)?, row.get(1)?, row.get(2)?);
            Ok(Waiting { lane, urgent, principal, messages: unsigned(row, 3)? })
        })?;
        rows.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vault::store::Store;
    use crate::vault::store::open::Database;

    /// What the counts must be, by looking through the spool.
    const TRUTH: &str = "SELECT lane, urgent, turn, count(DISTINCT msg) FROM spool_rcpt WHERE state = 0 AND held = 0 \
                         GROUP BY lane, urgent, turn ORDER BY lane, urgent, turn";
    const COUNTED: &str =
        "SELECT lane, urgent, turn, messages FROM census_lane WHERE messages > 0 ORDER BY lane, urgent, turn";

    fn rows(connection: &Connection, sql: &str) -> Vec<(String, u32, String, u32)> {
        let mut statement = connection.prepare(sql).unwrap();
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))).unwrap();
        rows.map(Result::unwrap).collect()
    }

    fn database(home: &std::path::Path) -> Database {
        std::fs::create_dir_all(home.join("db")).unwrap();
        Database::open(home).unwrap()
    }

    const MESSAGE: &str = "INSERT INTO spool_msg(msg_id, accept_seq, session_id, principal, bytes, sha256, accepted_us, \
                           expires_us) VALUES(randomblob(16), 0, randomblob(16), ?, 1, randomblob(32), 1, 2) RETURNING id";

    #[test]
    fn rule_q12_what_waits_is_counted_whatever_becomes_of_it() {
        let home = tempfile::tempdir().unwrap();
        let database = database(home.path());
        let connection = &database.connection;
        let mut seed = 7u64;
        let mut dice = |sides: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) % sides
        };
        for round in 0..2000 {
            let pick = "(SELECT id FROM spool_msg ORDER BY id LIMIT 1 OFFSET";
            let (many, some, n) = (dice(30), i64::try_from(dice(4)).unwrap(), dice(4));
            match dice(9) {
                0 | 1 => {
                    let who = ["shop", "till", "billing"][usize::try_from(dice(3)).unwrap()];
                    let id: i64 = connection.query_row(MESSAGE, [who], |row| row.get(0)).unwrap();
                    for n in 0..=some {
                        let lane = ["a", "a,b"][usize::try_from(dice(2)).unwrap()];
                        let columns = "msg, n, rcpt, lane, state, next_us, turn, urgent";
                        let sql = format!("INSERT INTO spool_rcpt({columns}) VALUES(?, ?, 'x@y', ?, 0, 0, ?, ?)");
                        connection.execute(&sql, (id, n, lane, who, i64::from(who == "till"))).unwrap();
                    }
                }
                2 => drop(connection.execute(&format!("DELETE FROM spool_msg WHERE id = {pick} {many})"), [])),
                change => {
                    let to = ["state = 1", "state = 0", "state = 2", "held = 1", "held = 0", "lane = 'b'"];
                    let set = to[usize::try_from(change).unwrap() - 3];
                    let whom = if some == 0 { String::new() } else { format!("AND n <= {n}") };
                    let sql = format!("UPDATE spool_rcpt SET {set} WHERE msg = {pick} {many}) {whom}");
                    connection.execute(&sql, []).unwrap();
                }
            }
            if round % 5 == 0 {
                connection.execute_batch("BEGIN; UPDATE spool_rcpt SET state = 3; ROLLBACK;").unwrap();
            }
            assert_eq!(rows(connection, COUNTED), rows(connection, TRUTH), "{round}");
        }
        assert!(rows(connection, TRUTH).len() > 3);
    }

    #[test]
    fn what_waited_before_a_restart_is_counted_and_no_message_is_looked_for_in_all_of_a_lane() {
        let home = tempfile::tempdir().unwrap();
        let first = database(home.path());
        let id: i64 = first.connection.query_row(MESSAGE, ["shop"], |row| row.get(0)).unwrap();
        for n in 0..3 {
            let sql = "INSERT INTO spool_rcpt(msg, n, rcpt, lane, state, next_us, turn, urgent) \
                       VALUES(?, ?, 'x@y', 'a', 0, 0, 'shop', 1)";
            first.connection.execute(sql, (id, n)).unwrap();
        }
        drop(first);
        let again = database(home.path());
        let plan = "EXPLAIN QUERY PLAN SELECT n FROM spool_rcpt WHERE msg = 1 AND +lane = 'a' AND +state = 0 AND +held = 0 \
                    AND n <> 1 ORDER BY n DESC LIMIT 1";
        let plan: String = again.connection.query_row(plan, [], |row| row.get(3)).unwrap();
        assert!(plan.contains("PRIMARY KEY (msg=?)"), "{plan}");
        let mut store = Store::prepare(&again).unwrap();
        let shop = Waiting { lane: "a".into(), urgent: true, principal: "shop".into(), messages: 1 };
        assert_eq!(store.census.waiting().unwrap(), [shop]);
    }
}
