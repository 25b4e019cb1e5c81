//! Who has how much that waits in the spool, counted as it changes and by whatever changes it: nobody looks through the spool
//! for that.
//!
//! The counts are in tables of this connection's own, in memory, and are filled once at its start. Triggers keep them, in the
//! transaction that changes what they count, so that one that is undone takes its counts with it. What one recipient's change
//! costs doesn't depend on how many others its message has.

use rusqlite::{Connection, Result, Statement};

use crate::vault::audit::ledger::now_us;
use crate::vault::audit::row::{integer, unsigned};
use crate::vault::store::lasting;

/// A recipient waits when it is in no courier's hands, not held and not scheduled for later. A message counts once in a lane,
/// however many recipients of it wait there: `census_message` has how many, and those of a lane are counted as its rows come
/// and go. What is due only after `census_clock` stands aside in `census_later` until somebody counts: one that was put off after
/// an attempt waits all the while. There, too, all recipients of a message that have a lane and a time in common are one row:
/// there is no limit to how many recipients the spool has.
const TABLES: &str = "
CREATE TEMP TABLE census_clock(now_us INTEGER NOT NULL) STRICT;
CREATE TEMP TABLE census_lane(
  lane TEXT NOT NULL, urgent INTEGER NOT NULL, turn TEXT NOT NULL, messages INTEGER NOT NULL, PRIMARY KEY(lane, urgent, turn)
) STRICT, WITHOUT ROWID;
CREATE TEMP TABLE census_message(
  msg INTEGER NOT NULL, lane TEXT NOT NULL, urgent INTEGER NOT NULL, turn TEXT NOT NULL, recipients INTEGER NOT NULL,
  PRIMARY KEY(msg, lane)
) STRICT, WITHOUT ROWID;
CREATE TEMP TABLE census_later(
  due_us INTEGER NOT NULL, msg INTEGER NOT NULL, lane TEXT NOT NULL, urgent INTEGER NOT NULL, turn TEXT NOT NULL,
  recipients INTEGER NOT NULL, PRIMARY KEY(due_us, msg, lane)
) STRICT, WITHOUT ROWID;
";
/// Made when the tables are full: into one that has a trigger SQLite selects all before it inserts any.
const COUNTING: &str = "
CREATE TEMP TRIGGER census_message_comes AFTER INSERT ON census_message
BEGIN
  INSERT INTO census_lane VALUES(new.lane, new.urgent, new.turn, 1) ON CONFLICT DO UPDATE SET messages = messages + 1;
END;
CREATE TEMP TRIGGER census_message_goes AFTER DELETE ON census_message
BEGIN
  UPDATE census_lane SET messages = messages - 1 WHERE lane = old.lane AND urgent = old.urgent AND turn = old.turn;
END;
CREATE TEMP TRIGGER census_one_less AFTER UPDATE OF recipients ON census_message WHEN new.recipients = 0
BEGIN
  DELETE FROM census_message WHERE msg = new.msg AND lane = new.lane;
END;
CREATE TEMP TRIGGER census_one_less_later AFTER UPDATE OF recipients ON census_later WHEN new.recipients = 0
BEGIN
  DELETE FROM census_later WHERE due_us = new.due_us AND msg = new.msg AND lane = new.lane;
END;

CREATE TEMP TRIGGER census_comes AFTER INSERT ON main.spool_rcpt WHEN new.state = 0 AND new.held = 0
BEGIN
  {comes}
END;
CREATE TEMP TRIGGER census_leaves BEFORE UPDATE OF state, held, lane, next_us, tried ON main.spool_rcpt
WHEN old.state = 0 AND old.held = 0
  AND NOT (new.state = 0 AND new.held = 0 AND (old.lane, old.next_us, old.tried) = (new.lane, new.next_us, new.tried))
BEGIN
  {goes}
END;
CREATE TEMP TRIGGER census_returns AFTER UPDATE OF state, held, lane, next_us, tried ON main.spool_rcpt
WHEN new.state = 0 AND new.held = 0
  AND NOT (old.state = 0 AND old.held = 0 AND (old.lane, old.next_us, old.tried) = (new.lane, new.next_us, new.tried))
BEGIN
  {comes}
END;
CREATE TEMP TRIGGER census_goes BEFORE DELETE ON main.spool_rcpt WHEN old.state = 0 AND old.held = 0
BEGIN
  {goes}
END;
";
/// A recipient begins to wait, or to be scheduled. What comes has a second's time until it is counted as what waits.
const COMES: &str = "
  INSERT INTO census_later SELECT new.next_us, new.msg, new.lane, new.urgent, new.turn, 1
  WHERE new.tried = 0 AND new.next_us > (SELECT now_us FROM census_clock)
  ON CONFLICT DO UPDATE SET recipients = recipients + 1;
  INSERT INTO census_message SELECT new.msg, new.lane, new.urgent, new.turn, 1
  WHERE NOT (new.tried = 0 AND new.next_us > (SELECT now_us FROM census_clock))
  ON CONFLICT DO UPDATE SET recipients = recipients + 1;
";
/// It was one or the other, and is so by the same clock still: when that goes on, whoever is due goes with it.
const GOES: &str = "
  UPDATE census_later SET recipients = recipients - 1 WHERE due_us = old.next_us AND msg = old.msg AND lane = old.lane
    AND old.tried = 0 AND old.next_us > (SELECT now_us FROM census_clock);
  UPDATE census_message SET recipients = recipients - 1 WHERE msg = old.msg AND lane = old.lane
    AND NOT (old.tried = 0 AND old.next_us > (SELECT now_us FROM census_clock));
";
/// All that is there at the start, at a time. Nothing is grouped, which would sort each recipient in memory.
const FILLING: [&str; 4] = [
    "INSERT INTO census_clock VALUES(?1)",
    "INSERT INTO census_later SELECT next_us, msg, lane, urgent, turn, 1 FROM spool_rcpt
     WHERE state = 0 AND held = 0 AND tried = 0 AND next_us > ?1
     ON CONFLICT DO UPDATE SET recipients = recipients + 1",
    "INSERT INTO census_message SELECT msg, lane, urgent, turn, 1 FROM spool_rcpt
     WHERE state = 0 AND held = 0 AND NOT (tried = 0 AND next_us > ?1)
     ON CONFLICT DO UPDATE SET recipients = recipients + 1",
    "INSERT INTO census_lane SELECT lane, urgent, turn, 1 FROM census_message WHERE ?1 = ?1
     ON CONFLICT DO UPDATE SET messages = messages + 1",
];

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
    connection.execute_batch(TABLES)?;
    let now = now_us();
    FILLING.iter().try_for_each(|sql| connection.execute(sql, [integer(now)]).map(drop))?;
    connection.execute_batch(&COUNTING.replace("{comes}", COMES).replace("{goes}", GOES))
}

pub struct Census<'c> {
    now_due: [Statement<'c>; 3],
    waiting: Statement<'c>,
}

impl<'c> Census<'c> {
    pub fn prepare(connection: &'c Connection) -> Result<Self> {
        let sql = |sql: &str| lasting(connection, sql);
        Ok(Self {
            now_due: [
                sql("INSERT INTO census_message SELECT msg, lane, urgent, turn, recipients FROM census_later
                     WHERE due_us <= ? ON CONFLICT DO UPDATE SET recipients = recipients + excluded.recipients")?,
                sql("DELETE FROM census_later WHERE due_us <= ?")?,
                sql("UPDATE census_clock SET now_us = max(now_us, ?)")?,
            ],
            waiting: sql("SELECT lane, urgent, turn, messages FROM census_lane WHERE messages > 0")?,
        })
    }

    /// What is due by then waits from here on.
    pub fn advance(&mut self, now_us: u64) -> Result<()> {
        self.now_due.iter_mut().try_for_each(|statement| statement.execute([integer(now_us)]).map(drop))
    }

    /// All who have messages that wait, by lane. What was scheduled until now or before waits from here on.
    pub fn waiting(&mut self, now_us: u64) -> Result<Vec<Waiting>> {
        self.advance(now_us)?;
        let rows = self.waiting.query_map([], |row| {
            let (lane, urgent, principal) = (row.get(0)?, row.get(1)?, row.get(2)?);
            Ok(Waiting { lane, urgent, principal, messages: unsigned(row, 3)? })
        })?;
        rows.collect()
    }
}

#[cfg(test)]
mod tests;
