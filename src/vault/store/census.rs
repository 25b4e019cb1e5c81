//! Who has how much that waits in the spool, counted as it changes and by whatever changes it: nobody looks through the spool
//! for that.
//!
//! The counts are in tables of this connection's own, in memory, and are filled once at its start. Triggers keep them, in the
//! transaction that changes what they count, so that one that is undone takes its counts with it. What one recipient's change
//! costs doesn't depend on how many others its message has.

use rusqlite::{Connection, Result, Statement, params};

use crate::vault::audit::ledger::now_us;
use crate::vault::audit::row::{integer, unsigned};

/// A recipient waits when it is in no courier's hands, not held and not scheduled for later. A message counts once in a lane,
/// however many recipients of it wait there: `census_message` has how many, and those of a lane are counted as its rows come
/// and go. Who is scheduled stands aside in `census_later` until then: one that was put off after an attempt waits all the while.
const COUNTING: &str = "
CREATE TEMP TABLE census_lane(
  lane TEXT NOT NULL, urgent INTEGER NOT NULL, turn TEXT NOT NULL, messages INTEGER NOT NULL, PRIMARY KEY(lane, urgent, turn)
) STRICT, WITHOUT ROWID;
CREATE TEMP TABLE census_message(
  msg INTEGER NOT NULL, lane TEXT NOT NULL, urgent INTEGER NOT NULL, turn TEXT NOT NULL, recipients INTEGER NOT NULL,
  PRIMARY KEY(msg, lane)
) STRICT, WITHOUT ROWID;
CREATE TEMP TABLE census_later(
  msg INTEGER NOT NULL, n INTEGER NOT NULL, due_us INTEGER NOT NULL, lane TEXT NOT NULL, urgent INTEGER NOT NULL,
  turn TEXT NOT NULL, PRIMARY KEY(msg, n)
) STRICT, WITHOUT ROWID;
CREATE INDEX temp.census_due ON census_later(due_us);

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

CREATE TEMP TRIGGER census_comes AFTER INSERT ON main.spool_rcpt WHEN new.state = 0 AND new.held = 0
BEGIN
  {comes}
END;
CREATE TEMP TRIGGER census_leaves BEFORE UPDATE OF state, held, lane, next_us, attempts ON main.spool_rcpt
WHEN old.state = 0 AND old.held = 0
  AND NOT (new.state = 0 AND new.held = 0 AND (old.lane, old.next_us, old.attempts) = (new.lane, new.next_us, new.attempts))
BEGIN
  {goes}
END;
CREATE TEMP TRIGGER census_returns AFTER UPDATE OF state, held, lane, next_us, attempts ON main.spool_rcpt
WHEN new.state = 0 AND new.held = 0
  AND NOT (old.state = 0 AND old.held = 0 AND (old.lane, old.next_us, old.attempts) = (new.lane, new.next_us, new.attempts))
BEGIN
  {comes}
END;
CREATE TEMP TRIGGER census_goes BEFORE DELETE ON main.spool_rcpt WHEN old.state = 0 AND old.held = 0
BEGIN
  {goes}
END;
";
/// A recipient begins to wait, or to be scheduled, which it is with more than a second to go: the clock here has no more than
/// milliseconds.
const COMES: &str = "
  INSERT INTO census_later SELECT new.msg, new.n, new.next_us, new.lane, new.urgent, new.turn
  WHERE new.attempts = 0 AND new.next_us > 1000000 * (unixepoch('subsec') + 1);
  INSERT INTO census_message SELECT new.msg, new.lane, new.urgent, new.turn, 1
  WHERE NOT EXISTS(SELECT 1 FROM census_later WHERE msg = new.msg AND n = new.n)
  ON CONFLICT DO UPDATE SET recipients = recipients + 1;
";
/// It was one or the other.
const GOES: &str = "
  UPDATE census_message SET recipients = recipients - 1 WHERE msg = old.msg AND lane = old.lane
    AND NOT EXISTS(SELECT 1 FROM census_later WHERE msg = old.msg AND n = old.n);
  DELETE FROM census_later WHERE msg = old.msg AND n = old.n;
";
/// All that is there at the start, at a time.
const FILLING: [&str; 2] = [
    "INSERT INTO census_later SELECT msg, n, next_us, lane, urgent, turn FROM spool_rcpt
     WHERE state = 0 AND held = 0 AND attempts = 0 AND next_us > ?1",
    "INSERT INTO census_message SELECT msg, lane, min(urgent), min(turn), count(*) FROM spool_rcpt
     WHERE state = 0 AND held = 0 AND NOT (attempts = 0 AND next_us > ?1) GROUP BY msg, lane",
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
    connection.execute_batch(&COUNTING.replace("{comes}", COMES).replace("{goes}", GOES))?;
    let now = now_us();
    FILLING.iter().try_for_each(|sql| connection.execute(sql, [integer(now)]).map(drop))
}

pub struct Census<'c> {
    now_due: [Statement<'c>; 2],
    waiting: Statement<'c>,
}

impl<'c> Census<'c> {
    pub fn prepare(connection: &'c Connection) -> Result<Self> {
        let sql = |sql: &str| connection.prepare(sql);
        Ok(Self {
            now_due: [
                sql("INSERT INTO census_message SELECT msg, lane, min(urgent), min(turn), count(*) FROM census_later
                     WHERE due_us <= ? GROUP BY msg, lane
                     ON CONFLICT DO UPDATE SET recipients = recipients + excluded.recipients")?,
                sql("DELETE FROM census_later WHERE due_us <= ?")?,
            ],
            waiting: sql("SELECT lane, urgent, turn, messages FROM census_lane WHERE messages > 0")?,
        })
    }

    /// All who have messages that wait, by lane. What was scheduled until now or before waits from here on.
    pub fn waiting(&mut self, now_us: u64) -> Result<Vec<Waiting>> {
        for statement in &mut self.now_due {
            statement.execute(params![integer(now_us)])?;
        }
        let rows = self.waiting.query_map([], |row| {
            let (lane, urgent, principal) = (row.get(0)?, row.get(1)?, row.get(2)?);
            Ok(Waiting { lane, urgent, principal, messages: unsigned(row, 3)? })
        })?;
        rows.collect()
    }
}

#[cfg(test)]
mod tests;
