//! The database: every statement that can ever run, in transactions that one thread alone makes.

pub mod alerts;
pub mod anchors;
mod bounces;
pub mod census;
pub mod consumption;
pub mod counts;
pub mod credentials;
pub mod erasures;
pub mod feed;
pub mod hashes;
pub mod hold;
pub mod holdings;
pub mod hooks;
pub mod keys;
pub mod late;
pub mod listing;
pub mod lock;
pub mod marker;
pub mod once;
pub mod open;
pub mod outbox;
pub mod owed;
pub mod paces;
pub mod pauses;
pub mod room;
pub mod schema;
pub mod segment;
pub mod spool;
pub mod submissions;
pub mod suppressions;
pub mod transfer;
pub mod waits;
pub mod writer;

use rusqlite::wal::CheckpointMode;
use rusqlite::{Connection, ErrorCode, PrepFlags, Result, Statement};
use uuid::Uuid;

use super::audit::event::Event;
use super::audit::ledger::Ledger;
use crate::policy::principal::GATE;
use crate::policy::reports::Reports;
use alerts::Alerts;
use anchors::Anchors;
use census::Census;
use consumption::Consumption;
use credentials::Credentials;
use erasures::Erasures;
use feed::Feed;
use hashes::Hashes;
use hold::Hold;
use holdings::{Came, Holdings};
use hooks::Hooks;
use keys::Keys;
use late::Late;
use listing::Listing;
use marker::Marker;
use once::Once;
use open::Database;
use outbox::Outbox;
use owed::{Occasion, Owed, Owing};
use paces::Paces;
use pauses::Pauses;
use spool::intents::Intents;
use spool::leases::Leases;
use spool::suspects::Suspects;
use spool::{Accepted, Leased, Settled, Spool, State};
use submissions::Submissions;
use suppressions::Suppressions;
use transfer::Transfer;
use waits::Waits;

/// Prepares a statement that stays as long as the connection: SQLite keeps it out of the small memory that each run takes from and
/// gives back, which hundreds of statements would fill for ever.
pub fn lasting<'c>(connection: &'c Connection, sql: &str) -> rusqlite::Result<Statement<'c>> {
    #[cfg(test)]
    tests::PREPARED.with_borrow_mut(|all| all.push(sql.to_owned()));
    connection.prepare_with_flags(sql, PrepFlags::SQLITE_PREPARE_PERSISTENT)
}

/// All prepared statements, by noun.
pub struct Store<'c> {
    pub ledger: Ledger<'c>,
    pub spool: Spool<'c>,
    pub leases: Leases<'c>,
    pub intents: Intents<'c>,
    pub suspects: Suspects<'c>,
    pub hold: Hold<'c>,
    pub listing: Listing<'c>,
    pub submissions: Submissions<'c>,
    pub transfer: Transfer<'c>,
    pub suppressions: Suppressions<'c>,
    pub keys: Keys<'c>,
    pub consumption: Consumption<'c>,
    pub credentials: Credentials<'c>,
    pub erasures: Erasures<'c>,
    pub hashes: Hashes<'c>,
    pub waits: Waits<'c>,
    pub marker: Marker<'c>,
    pub owing: Owing<'c>,
    pub late: Late<'c>,
    pub pauses: Pauses<'c>,
    pub paces: Paces<'c>,
    pub census: Census,
    pub holdings: Holdings<'c>,
    pub anchors: Anchors<'c>,
    pub alerts: Alerts<'c>,
    pub outbox: Outbox<'c>,
    pub feed: Feed<'c>,
    pub once: Once<'c>,
    pub hooks: Hooks<'c>,
    /// How many transactions were begun.
    pub transactions: u64,
    connection: &'c Connection,
    begin: Statement<'c>,
    commit: Statement<'c>,
    rollback: Statement<'c>,
}

/// What can be done about a failed transaction.
#[derive(Debug)]
pub enum Failure {
    /// No room: it was rolled back, and may be tried again when there is.
    Full,
    /// Anything else, above all a failed sync: it must never be tried again, because the kernel may have forgotten what
    /// it couldn't write. The process ends; the next one recovers what is really on the disk.
    Fatal(rusqlite::Error),
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        if is_full(&error) { Self::Full } else { Self::Fatal(error) }
    }
}

/// Whether it failed for want of room, and is undone.
fn is_full(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::DiskFull)
}

impl Failure {
    /// The file is not what was written to it: a new process would find the same.
    pub fn is_damage(&self) -> bool {
        let Self::Fatal(error) = self else { return false };
        matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Full => f.write_str("the disk is full"),
            Self::Fatal(error) => error.fmt(f),
        }
    }
}

impl<'c> Store<'c> {
    /// Prepares everything, then closes the compiler.
    pub fn prepare(database: &'c Database) -> Result<Self> {
        let connection = &database.connection;
        let store = Self {
            ledger: Ledger::prepare(connection)?,
            spool: Spool::prepare(connection, database.counts.clone())?,
            leases: Leases::prepare(connection)?,
            intents: Intents::prepare(connection)?,
            suspects: Suspects::prepare(connection)?,
            hold: Hold::prepare(connection)?,
            listing: Listing::prepare(connection)?,
            submissions: Submissions::prepare(connection)?,
            transfer: Transfer::prepare(connection)?,
            suppressions: Suppressions::prepare(connection)?,
            once: Once::prepare(connection)?,
            keys: Keys::prepare(connection)?,
            consumption: Consumption::prepare(connection)?,
            credentials: Credentials::prepare(connection)?,
            erasures: Erasures::prepare(connection)?,
            hashes: Hashes::prepare(connection)?,
            waits: Waits::prepare(connection)?,
            marker: Marker::prepare(connection)?,
            owing: Owing::prepare(connection)?,
            late: Late::prepare(connection)?,
            pauses: Pauses::prepare(connection)?,
            paces: Paces::prepare(connection)?,
            census: Census::new(database.counts.clone()),
            holdings: Holdings::prepare(connection, database.counts.clone())?,
            anchors: Anchors::prepare(connection)?,
            alerts: Alerts::prepare(connection)?,
            outbox: Outbox::prepare(connection)?,
            feed: Feed::prepare(connection)?,
            hooks: Hooks::prepare(connection)?,
            transactions: 0,
            connection,
            begin: lasting(connection, "BEGIN IMMEDIATE")?,
            commit: lasting(connection, "COMMIT")?,
            rollback: lasting(connection, "ROLLBACK")?,
        };
        database.close_compiler();
        Ok(store)
    }

    /// One transaction. When this returns without an error, what was done in it is on the disk.
    pub fn transaction<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T>) -> Result<T, Failure> {
        self.begin.execute([])?;
        self.transactions += 1;
        match work(self).and_then(|value| self.commit.execute([]).map(|_| value)) {
            Ok(value) => {
                self.ledger.committed();
                Ok(value)
            }
            Err(error) => {
                // SQLite has rolled back by itself after some errors.
                if !self.connection.is_autocommit() {
                    self.rollback.execute([])?;
                }
                let failure = Failure::from(error);
                if matches!(failure, Failure::Full) {
                    self.ledger.load()?;
                }
                Err(failure)
            }
        }
    }

    /// Takes a message in.
    pub fn accept(&mut self, accepted: &Accepted, accept_seq: u64) -> Result<()> {
        let row = self.spool.accept(accepted, &mut self.keys, accept_seq, None)?;
        self.subscribe(row, accepted)
    }

    fn subscribe(&mut self, row: i64, accepted: &Accepted) -> Result<()> {
        match &accepted.webhook {
            Some(webhook) => self.outbox.subscribe(row, webhook, accepted.reports == Reports::Webhook),
            None => Ok(()),
        }
    }

    /// Takes a message in that is delivered while its sender waits, as a courier has it already; `keeps`: with its body. Gives its row.
    pub fn intend(
        &mut self,
        accepted: &Accepted,
        accept_seq: u64,
        job: u64,
        upstream: &str,
        delivery: Uuid,
        keeps: bool,
    ) -> Result<i64> {
        let (lease, keys) = ((job, upstream, delivery), keeps.then_some(&mut self.keys));
        if !keeps {
            let recipients = u64::try_from(accepted.recipients.len()).unwrap_or(u64::MAX);
            self.holdings.passed(&accepted.principal, Came { recipients, octets: 0 });
        }
        let row = self.intents.intend(&mut self.spool, accepted, accept_seq, lease, keys)?;
        self.subscribe(row, accepted).map(|()| row)
    }

    /// Leases a message of a lane, of a credential that may have one.
    pub fn lease(
        &mut self,
        lane: &str,
        upstream: &str,
        job: u64,
        now_us: u64,
        may: &dyn Fn(&str) -> bool,
    ) -> Result<Option<Leased>> {
        self.spool.lease(lane, upstream, job, now_us, may, &mut self.keys)
    }

    /// Leases a suspect of a lane, which is offered alone.
    pub fn lease_suspect(&mut self, lane: &str, upstream: &str, job: u64, now_us: u64) -> Result<Option<Leased>> {
        let Some(row) = self.suspects.next(lane, now_us)? else { return Ok(None) };
        self.spool.lease_row(row, lane, upstream, job, now_us, &mut self.keys).map(Some)
    }

    /// A message of which a report is owed.
    pub fn owed(&mut self) -> Result<Option<Owed>> {
        let Some((row, fates)) = self.owing.first()? else { return Ok(None) };
        self.owing.of(row, fates, Occasion::End, &mut self.keys).map(Some)
    }

    /// A message that somebody has waited for since before then, whose sender is to be told.
    pub fn late(&mut self, before_us: u64) -> Result<Option<Owed>> {
        let Some((row, fates)) = self.late.next(before_us)? else { return Ok(None) };
        self.owing.of(row, fates, Occasion::Delay, &mut self.keys).map(Some)
    }

    /// Notes that the sender was told of these. False, and nothing noted, when it isn't to be any more.
    pub fn told(&mut self, row: i64, numbers: &[u32], occasion: Occasion) -> Result<bool> {
        match occasion {
            Occasion::End => numbers.iter().try_for_each(|number| self.owing.told(row, *number)).map(|()| true),
            Occasion::Delay => self.late.told(row, numbers),
        }
    }

    /// Destroys the body of a message that nobody waits for any more.
    pub fn finish(&mut self, row: i64, now_us: u64) -> Result<Option<String>> {
        self.spool.finish(row, now_us, &mut self.keys)
    }

    /// Writes down what became of a leased recipient of the message of that row, and how a provider that took it calls that.
    pub fn settle(&mut self, job: u64, row: i64, number: u32, settled: &Settled) -> Result<bool> {
        if let (State::Delivered, Some(reference)) = (settled.state, &settled.said.reference) {
            self.hooks.refer(job, number, reference)?;
        }
        let is_settled = self.spool.settle(job, row, number, settled)?;
        if is_settled {
            self.feed.settled(row, number, settled)?;
        }
        Ok(is_settled)
    }

    /// Since when the message of a client has waited that has waited the longest (`alerts`), of all that is due by then: what came while
    /// its upstream was away isn't counted before.
    pub fn oldest_waiting(&mut self, now_us: u64) -> Result<Option<u64>> {
        // Of the gate's own mail nothing is told: an alert that can't leave would be the reason for the next one.
        let first = self.census.first(GATE, alerts::LOOKED_AT, now_us);
        self.alerts.oldest_waiting(&first)
    }

    /// Writes events, and what the clocks did, and nothing else.
    pub fn record(&mut self, events: Vec<Event>) -> Result<()> {
        self.ledger.tell_clocks()?;
        events.into_iter().try_for_each(|event| self.ledger.append(event).map(drop))
    }

    /// First of all that a command writes while the service is stopped: how it stopped, if that was not in order.
    pub fn tell_unclean_stop(&mut self) -> Result<()> {
        let last = self.ledger.last();
        match self.marker.bound(last)? {
            Some(crash) => self.ledger.append(crash).map(drop),
            None => Ok(()),
        }
    }

    /// Rows that were changed since the database was opened, also by what was undone.
    pub fn changes(&self) -> u64 {
        self.connection.total_changes()
    }

    /// Copies the write-ahead log back. With `truncate` nothing of it stays in the file.
    pub fn checkpoint(&mut self, truncate: bool) -> Result<(), Failure> {
        // The call and not the pragma, which would be compiled anew each time.
        let mode = if truncate { CheckpointMode::TRUNCATE } else { CheckpointMode::PASSIVE };
        self.connection.wal_checkpoint_v2(None::<&str>, mode)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
