//! What is counted of the spool in memory, by whatever changes it: who has how much that waits (`census.rs`), and whose mail is held
//! (`holdings.rs`). Nobody looks through the spool for that.
//!
//! The spool tells of what it takes in, and triggers of this connection's own of each row that is changed or goes, in the transaction that
//! does it; when that is undone, it is told of the other way round. A count follows from the rows that are there and from nothing that was
//! before, so nothing is left behind. (A trigger on what comes would have SQLite copy each page before it is changed: it has a foreign key.)

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::types::Null;
use rusqlite::{Connection, Result};

use super::{census, holdings};

/// Room for so many changes stays for the next transaction: more than a group of ordinary ones has. An order over many messages has
/// thousands, and is rare.
const ROOM: usize = 1024;

/// One thread has them, as it has the connection; the functions that the triggers call would have it that others could.
#[derive(Clone, Debug, Default)]
pub struct Counts(Arc<Mutex<All>>);

#[derive(Debug, Default)]
pub struct All {
    pub census: census::Tables,
    pub holdings: holdings::Tables,
    /// What was counted in this transaction.
    counted: Vec<(Change, Way)>,
}

/// What is counted.
#[derive(Clone, Debug)]
pub enum Change {
    Waits(census::Recipient),
    Held(Box<holdings::Message>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Comes,
    Goes,
}

impl Way {
    const fn back(self) -> Self {
        match self {
            Self::Comes => Self::Goes,
            Self::Goes => Self::Comes,
        }
    }
}

impl All {
    /// Counts what this transaction does.
    pub fn count(&mut self, change: Change, way: Way) {
        self.apply(&change, way);
        self.counted.push((change, way));
    }

    fn apply(&mut self, change: &Change, way: Way) {
        match change {
            Change::Waits(recipient) => self.census.count(recipient, way),
            Change::Held(message) => self.holdings.count(message, way),
        }
    }

    /// The transaction is on the disk.
    fn keep(&mut self) {
        self.counted.clear();
        self.counted.shrink_to(ROOM);
    }

    fn undo(&mut self) {
        for (change, way) in std::mem::take(&mut self.counted).iter().rev() {
            self.apply(change, way.back());
        }
    }
}

impl Counts {
    /// Counts once, and has it kept from here on. To be done before any statement is prepared. `kept` hears of each transaction that is on
    /// the disk, and how many pages the write-ahead log has by then.
    pub fn begin(connection: &mut Connection, kept: impl Fn(u32) + Send + 'static) -> Result<Self> {
        let counts = Self::default();
        counts.all().census.fill(connection)?;
        counts.all().holdings.fill(connection)?;
        for (name, way) in [("waiting_comes", Way::Comes), ("waiting_goes", Way::Goes)] {
            counts.function(connection, name, way, |all, told| all.census.recipient(told).map(Change::Waits))?;
        }
        counts.function(connection, "held_goes", Way::Goes, |_, told| {
            holdings::Message::read(told).map(|message| Change::Held(message.of_before().into()))
        })?;
        connection.execute_batch(census::TELLING)?;
        connection.execute_batch(holdings::TELLING)?;
        let (done, undone) = (counts.clone(), counts.clone());
        connection.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, pages: i32| {
            done.all().keep();
            kept(u32::try_from(pages).unwrap_or(0));
            Ok(())
        }))?;
        connection.rollback_hook(Some(move || undone.all().undo()))?;
        Ok(counts)
    }

    /// What triggers call.
    fn function(
        &self,
        connection: &Connection,
        name: &str,
        way: Way,
        read: impl Fn(&mut All, &Context<'_>) -> Result<Change> + Send + 'static,
    ) -> Result<()> {
        let counts = self.clone();
        connection.create_scalar_function(name, -1, FunctionFlags::SQLITE_UTF8, move |row| {
            let mut all = counts.all();
            let change = read(&mut all, row)?;
            all.count(change, way);
            Ok(Null)
        })
    }

    /// A message was taken in, which nobody waits for yet.
    pub fn held(&self, principal: &str, octets: u64, last: u32) {
        let message = holdings::Message::new(principal, octets, u64::from(last));
        self.all().count(Change::Held(message.into()), Way::Comes);
    }

    /// Somebody waits for the message of that row.
    pub fn waits(&self, row: i64, (lane, urgent, turn): (&str, bool, &str), due_us: u64) {
        let due_us = i64::try_from(due_us).unwrap_or(i64::MAX);
        let mut all = self.all();
        let recipient = all.census.comes(row, (lane, urgent, turn), due_us);
        all.count(Change::Waits(recipient), Way::Comes);
    }

    /// How many changes this transaction has, and for how many there is room.
    #[cfg(test)]
    pub fn counted(&self) -> usize {
        self.all().counted.len()
    }

    #[cfg(test)]
    pub fn room(&self) -> usize {
        self.all().counted.capacity()
    }

    /// Has what is written without the spool told of, too.
    #[cfg(test)]
    pub fn watch_all(&self, connection: &Connection) {
        let held =
            |_: &mut All, told: &Context<'_>| holdings::Message::read(told).map(|message| Change::Held(message.into()));
        self.function(connection, "held_comes", Way::Comes, held).unwrap();
        let triggers = "
            CREATE TEMP TRIGGER waiting_comes AFTER INSERT ON main.spool_rcpt WHEN new.state = 0 AND new.held = 0
            BEGIN
              SELECT waiting_comes(new.msg, new.lane, new.urgent, new.turn, new.next_us, new.tried);
            END;
            CREATE TEMP TRIGGER held_comes AFTER INSERT ON main.spool_body
            BEGIN
              SELECT held_comes(principal, bytes, 0) FROM spool_msg WHERE id = new.msg;
            END;";
        connection.execute_batch(triggers).unwrap();
    }

    pub fn all(&self) -> MutexGuard<'_, All> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
