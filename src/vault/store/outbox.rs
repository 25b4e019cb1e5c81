//! Events that webhooks have not taken yet. They are written in the transaction of what they tell of.

use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::{Connection, Result, Row, Statement, params};
use tokio::sync::Notify;
use uuid::Uuid;

use super::spool::{id, number};
use crate::config::slice::Webhook;
use crate::ipc::label::Label;
use crate::mail::id::MessageId;
use crate::vault::audit::row::{integer, unsigned};
use crate::vault::store::lasting;

/// Events of one webhook that are kept: a day of an application that sends one every ten seconds, and some megabytes. What is
/// more pushes out the oldest, and those first that something else tells of. It is looked at once in so many, which may be more.
pub const MOST: u32 = if cfg!(test) { 4 } else { 10_000 };
const LOOK: u32 = if cfg!(test) { 1 } else { 100 };

/// An event as it is written.
#[derive(Clone, Debug)]
pub struct Fresh {
    pub id: Uuid,
    pub webhook: String,
    pub message: MessageId,
    /// Its type.
    pub kind: &'static str,
    pub body: String,
    /// Nothing else tells of it.
    pub instead: bool,
    pub now_us: u64,
    pub expires_us: u64,
}

/// One that is to be posted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    pub row: i64,
    pub id: Uuid,
    pub body: String,
    pub attempts: u32,
    pub expires_us: u64,
}

/// One that nobody will take any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    pub id: Uuid,
    pub webhook: String,
    pub message: MessageId,
    pub kind: String,
    pub instead: bool,
}

/// How much waits for one webhook.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    pub events: u64,
    /// When the oldest of them may last be tried.
    pub first_end_us: Option<u64>,
}

pub struct Outbox<'c> {
    /// Somebody may have an event to post.
    pub fresh: Arc<Notify>,
    /// The webhooks of the configuration, by their names.
    pub webhooks: HashMap<String, Webhook>,
    /// Events that were written since it was looked at how many there are.
    since: HashMap<String, u32>,
    subscribe: Statement<'c>,
    of: Statement<'c>,
    label: Statement<'c>,
    put: Statement<'c>,
    count: Statement<'c>,
    push_out: Statement<'c>,
    due: Statement<'c>,
    next: Statement<'c>,
    taken: Statement<'c>,
    put_off: Statement<'c>,
    again: [Statement<'c>; 2],
    give_up: Statement<'c>,
    over: Statement<'c>,
    waiting: Statement<'c>,
    all: Statement<'c>,
    unsendable: Statement<'c>,
    is_unsendable: Statement<'c>,
    mark: Statement<'c>,
    marked: Statement<'c>,
    stand_in: Statement<'c>,
    unmark: Statement<'c>,
    of_message: Statement<'c>,
}

impl<'c> Outbox<'c> {
    pub fn prepare(connection: &'c Connection) -> Result<Self> {
        let sql = |sql: &str| lasting(connection, sql);
        Ok(Self {
            fresh: Arc::default(),
            webhooks: HashMap::new(),
            since: HashMap::new(),
            subscribe: sql("INSERT INTO spool_webhook(msg, webhook, instead) VALUES(?, ?, ?)")?,
            of: sql("SELECT webhook FROM spool_webhook WHERE msg = ?")?,
            label: sql("SELECT label FROM spool_msg WHERE id = ?")?,
            put: sql(
                "INSERT INTO webhook_event(event_id, webhook, msg_id, kind, body, instead, expires_us, next_us) \
                      VALUES(?, ?, ?, ?, ?, ?, ?, ?)",
            )?,
            count: sql("SELECT count(*) FROM webhook_event WHERE webhook = ?")?,
            push_out: sql("DELETE FROM webhook_event WHERE id IN (SELECT id FROM webhook_event WHERE webhook = ? \
                           ORDER BY instead, id LIMIT ?) RETURNING webhook, msg_id, kind, instead, event_id")?,
            due: sql(
                "SELECT id, event_id, body, attempts, expires_us FROM webhook_event WHERE webhook = ? AND next_us <= ? \
                      AND expires_us > ? ORDER BY next_us, id LIMIT ?",
            )?,
            next: sql("SELECT next_us FROM webhook_event WHERE webhook = ? AND next_us > ? ORDER BY next_us LIMIT 1")?,
            taken: sql("DELETE FROM webhook_event WHERE id = ?")?,
            put_off: sql("UPDATE webhook_event SET attempts = min(attempts + 1, 1000000), next_us = ? WHERE id = ?")?,
            again: [
                sql("UPDATE webhook_event SET next_us = ?1 WHERE next_us > ?1")?,
                sql("UPDATE webhook_event SET next_us = ?1 WHERE webhook = ?2 AND next_us > ?1")?,
            ],
            give_up: sql("DELETE FROM webhook_event WHERE id = ? RETURNING webhook, msg_id, kind, instead, event_id")?,
            over: sql("DELETE FROM webhook_event WHERE id IN (SELECT id FROM webhook_event WHERE expires_us <= ? \
                       ORDER BY expires_us LIMIT ?) RETURNING webhook, msg_id, kind, instead, event_id")?,
            waiting: sql("SELECT count(*), min(expires_us) FROM webhook_event WHERE webhook = ?")?,
            all: sql("SELECT DISTINCT webhook FROM webhook_event")?,
            unsendable: sql("INSERT OR IGNORE INTO spool_unsendable(msg, num) VALUES(?, ?)")?,
            is_unsendable: sql("SELECT 1 FROM spool_unsendable WHERE msg = ? AND num = ?")?,
            mark: sql("INSERT OR REPLACE INTO spool_told(msg, num, event_id) VALUES(?, ?, ?)")?,
            marked: sql("SELECT event_id FROM spool_told WHERE msg = ? AND num = ?")?,
            stand_in: sql("UPDATE webhook_event SET instead = 1 WHERE event_id = ?")?,
            unmark: sql("DELETE FROM spool_told WHERE event_id = ?")?,
            of_message: sql(
                "DELETE FROM webhook_event WHERE msg_id = ? RETURNING webhook, msg_id, kind, instead, event_id",
            )?,
        })
    }

    /// Takes the webhooks of a configuration, and whom to wake when there is an event.
    pub fn configure(&mut self, webhooks: Vec<Webhook>, fresh: Arc<Notify>) {
        self.webhooks = webhooks.into_iter().map(|webhook| (webhook.name.clone(), webhook)).collect();
        self.fresh = fresh;
    }

    /// That webhook is told what becomes of a message; with `instead` it is told of failures in the place of its sender.
    pub fn subscribe(&mut self, row: i64, webhook: &str, instead: bool) -> Result<()> {
        self.subscribe.execute(params![row, webhook, instead]).map(drop)
    }

    /// The webhook of a message.
    pub fn of(&mut self, row: i64) -> Result<Option<String>> {
        self.of.query_map([row], |columns| columns.get(0))?.next().transpose()
    }

    /// What the client said of a message beside it; one that can't be read is none, for what became of it is to be told all the same.
    pub fn label(&mut self, row: i64) -> Result<Label> {
        let label = self.label.query_map([row], |columns| columns.get::<_, Option<String>>(0))?.next().transpose()?;
        Ok(label.flatten().and_then(|label| serde_json::from_str(&label).ok()).unwrap_or_default())
    }

    /// Keeps an event. Gives those that it pushes out.
    pub fn put(&mut self, event: &Fresh) -> Result<Vec<Lost>> {
        let Fresh { id, webhook, message, kind, body, instead, now_us, expires_us } = event;
        let (id, message) = (id.as_bytes(), message.uuid());
        let (ends, due) = (integer(*expires_us), integer(*now_us));
        self.put.execute(params![id, webhook, message.as_bytes(), kind, body, instead, ends, due])?;
        let since = self.since.entry(webhook.clone()).or_insert(LOOK);
        *since += 1;
        if *since < LOOK {
            return Ok(Vec::new());
        }
        *since = 0;
        let count: u32 = self.count.query_row([webhook], |row| number(row, 0))?;
        let lost =
            self.push_out.query_map(params![webhook, count.saturating_sub(MOST)], lost)?.collect::<Result<_>>()?;
        self.dropped(lost)
    }

    /// What is to be posted now, what waits the longest first; nothing whose time was over then.
    pub fn due(&mut self, webhook: &str, now_us: u64, over_us: u64, limit: usize) -> Result<Vec<Due>> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = self.due.query_map(params![webhook, integer(now_us), integer(over_us), limit], |row| {
            Ok(Due {
                row: row.get(0)?,
                id: id(row, 1)?,
                body: row.get(2)?,
                attempts: number(row, 3)?,
                expires_us: unsigned(row, 4)?,
            })
        })?;
        rows.collect()
    }

    /// When the next one after then is to be posted.
    pub fn next_due(&mut self, webhook: &str, then_us: u64) -> Result<Option<u64>> {
        self.next.query_map(params![webhook, integer(then_us)], |row| unsigned(row, 0))?.next().transpose()
    }

    /// The receiver has it.
    pub fn taken(&mut self, row: i64) -> Result<()> {
        self.taken.execute([row]).map(drop)
    }

    /// It is tried again then.
    pub fn put_off(&mut self, row: i64, next_us: u64) -> Result<()> {
        self.put_off.execute(params![integer(next_us), row]).map(drop)
    }

    /// Whatever waits is tried at once.
    pub fn again(&mut self, now_us: u64) -> Result<()> {
        self.again[0].execute([integer(now_us)]).map(drop)
    }

    /// The same of what waits for one. Gives how much that is.
    pub fn again_of(&mut self, webhook: &str, now_us: u64) -> Result<u64> {
        self.again[1].execute(params![integer(now_us), webhook])?;
        Ok(self.waiting(webhook)?.events)
    }

    /// It is not tried again.
    pub fn give_up(&mut self, row: i64) -> Result<Option<Lost>> {
        let lost = self.give_up.query_map([row], lost)?.collect::<Result<_>>()?;
        Ok(self.dropped(lost)?.pop())
    }

    /// Takes out some whose time was over then.
    pub fn over(&mut self, then_us: u64, limit: u32) -> Result<Vec<Lost>> {
        let lost = self.over.query_map(params![integer(then_us), limit], lost)?.collect::<Result<_>>()?;
        self.dropped(lost)
    }

    /// Takes out what tells of a message, for an erasure.
    pub fn erase(&mut self, message: MessageId) -> Result<Vec<Lost>> {
        let lost = self.of_message.query_map([message.uuid().as_bytes()], lost)?.collect::<Result<_>>()?;
        self.dropped(lost)
    }

    /// The gate itself found that the message can't be sent to that recipient.
    pub fn unsendable(&mut self, row: i64, number: u32) -> Result<()> {
        self.unsendable.execute([row, i64::from(number)]).map(drop)
    }

    pub fn is_unsendable(&mut self, row: i64, number: u32) -> Result<bool> {
        self.is_unsendable.exists([row, i64::from(number)])
    }

    /// That event, which is put in the same transaction, tells of a recipient's failure.
    pub fn mark(&mut self, row: i64, number: u32, event: Uuid) -> Result<()> {
        self.mark.execute(params![row, number, event.as_bytes()]).map(drop)
    }

    /// Whether an event tells of that recipient's failure, or has told. If it waits, it stands for the report from now on.
    pub fn stands_for(&mut self, row: i64, number: u32) -> Result<bool> {
        let event = self.marked.query_map(params![row, number], |columns| id(columns, 0))?.next().transpose()?;
        let Some(event) = event else { return Ok(false) };
        self.stand_in.execute([event.as_bytes()])?;
        Ok(true)
    }

    /// Nobody was told by these.
    fn dropped(&mut self, lost: Vec<Lost>) -> Result<Vec<Lost>> {
        for lost in &lost {
            self.unmark.execute([lost.id.as_bytes()])?;
        }
        Ok(lost)
    }

    pub fn waiting(&mut self, webhook: &str) -> Result<Waiting> {
        self.waiting.query_row([webhook], |row| {
            let first_end_us = row.get::<_, Option<i64>>(1)?.and_then(|end| u64::try_from(end).ok());
            Ok(Waiting { events: unsigned(row, 0)?, first_end_us })
        })
    }

    /// The webhooks that something waits for, whether they are configured or not.
    pub fn all(&mut self) -> Result<Vec<String>> {
        self.all.query_map([], |row| row.get(0))?.collect()
    }
}

fn lost(row: &Row<'_>) -> Result<Lost> {
    Ok(Lost {
        id: id(row, 4)?,
        webhook: row.get(0)?,
        message: id(row, 1)?.into(),
        kind: row.get(2)?,
        instead: row.get(3)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vault::store::Store;
    use crate::vault::store::open::Database;

    #[test]
    fn rule_q13_what_is_over_is_posted_no_more() {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join("db")).unwrap();
        let database = Database::open(home.path()).unwrap();
        let mut store = Store::prepare(&database).unwrap();
        let fresh = Fresh {
            id: Uuid::now_v7(),
            webhook: "app".into(),
            message: MessageId::now(),
            kind: "email.sent",
            body: "{}".into(),
            instead: false,
            now_us: 10,
            expires_us: 100,
        };
        store.outbox.put(&fresh).unwrap();
        let mut due = |now, over| store.outbox.due("app", now, over, 9).unwrap().len();
        assert_eq!([due(9, 0), due(10, 0), due(10, 99), due(200, 99), due(200, 100)], [0, 1, 1, 1, 0]);
        assert_eq!((store.outbox.again_of("app", 1).unwrap(), store.outbox.again_of("nap", 1).unwrap()), (1, 0));
        assert_eq!(store.outbox.due("app", 1, 0, 9).unwrap().len(), 1, "it is due now");
    }
}
