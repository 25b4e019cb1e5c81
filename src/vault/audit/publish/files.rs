//! What the publisher writes: the auditors' files and the personal ones, batch by batch, month by month.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::ErrorCode;

use super::delay::Delay;
use super::turns::{Prune, Turns};
use crate::config::slice::Retention;
use crate::vault::audit::erasure::places::{self, Place};
use crate::vault::audit::erasure::{self, pruning, removal};
use crate::vault::audit::ledger::{self, Batch, Note};
use crate::vault::audit::month;
use crate::vault::audit::month_file::{self, MonthFile, keep_personal};
use crate::vault::audit::retention;
use crate::vault::audit::row::Row;
use crate::vault::store::erasures;
use crate::vault::store::writer::Writer;

/// Events moved at once: a few milliseconds of the writer's time.
pub const BATCH: u32 = 1000;
/// How long the end of a month waits for its last leaf to be sealed.
const SEAL: Duration = Duration::from_secs(60);

/// The auditors' files and the personal ones.
pub struct Files {
    pub home: PathBuf,
    current: Option<MonthFile>,
    /// Since when a month waits to be closed.
    closing: Option<Instant>,
    /// The erasure that waits for a reader.
    delay: Delay,
}

/// How far a batch got.
#[derive(Debug, PartialEq, Eq)]
pub enum Moved {
    /// Everything below that leaf may leave the vault's database.
    Below(u64),
    /// A reader is in the way, or the month's last head isn't sealed yet: the next tick goes on.
    NotNow,
}

impl Files {
    pub fn open(home: &Path) -> Result<Self, String> {
        let current = MonthFile::open(&home.join("audit").join("audit.db"))?;
        Ok(Self { home: home.to_owned(), current, closing: None, delay: Delay::default() })
    }

    pub fn published(&self) -> u64 {
        self.current.as_ref().map_or(0, |file| file.published)
    }

    /// Publishes all that was there when it began, and what comes with the last of it.
    pub fn publish_all(&mut self, writer: &Writer, vkey: Option<&str>) -> Result<u64, String> {
        loop {
            let store = |error| format!("the vault's database: {error:?}");
            let batch = writer.run_blocking(|store| {
                let anchors = store.anchors.unpublished(BATCH)?;
                Ok(Batch { anchors, ..store.ledger.batch(BATCH)? })
            });
            let batch = batch.map_err(store)?;
            let sealed = self.current.as_ref().map_or(0, |file| file.sealed);
            if batch.rows.is_empty() && batch.anchors.is_empty() && batch.notes.iter().all(|note| note.size <= sealed) {
                return Ok(self.published());
            }
            let Moved::Below(seq) = self.publish(&batch, vkey)? else { return Ok(self.published()) };
            // What came meanwhile is for the next second: files that are synced for a few events at a time keep the disk from the writer.
            let is_all = batch.rows.len() < BATCH as usize && batch.anchors.len() < BATCH as usize;
            let rest = is_all && batch.rows.last().is_none_or(|last| last.seq < seq);
            let anchors: Vec<_> = batch.anchors.into_iter().filter(|anchored| anchored.size <= seq).collect();
            let forget = writer.run_blocking(move |store| {
                store.anchors.published(&anchors)?;
                store.ledger.forget(seq)
            });
            forget.map_err(store)?;
            if rest {
                return Ok(self.published());
            }
        }
    }

    /// Works off the orders to erase whose events are published, the oldest first; a reader in the way keeps them for later.
    pub fn erase_all(&mut self, writer: &Writer) -> Result<(), String> {
        let store = |error| format!("the vault's database: {error:?}");
        while let Some(order) = writer.run_blocking(|store| store.erasures.due()).map_err(store)? {
            let done = self.erase(&order, writer);
            // Pages that it has read are not what they were.
            self.current = MonthFile::open(&self.home.join("audit").join("audit.db"))?;
            if !done? {
                break;
            }
            writer.run_blocking(move |store| store.erasures.finish(order.seq)).map_err(store)?;
            writer.empty_log();
            tracing::info!(event = order.seq, "what the event says was taken out of the audit log's files");
        }
        self.delay.tell(writer).map_err(store)
    }

    /// False when a reader is in the way.
    fn erase(&self, order: &erasures::Order, writer: &Writer) -> Result<bool, String> {
        if let Some(pruning) = erasure::pruning(&order.event, &order.data) {
            return pruning::remove(&self.home, &pruning).map(|()| true);
        }
        if let Some(pruning) = erasure::hash_pruning(&order.event, &order.data) {
            let from = pruning.hashes;
            let remove = || writer.run_blocking(move |store| store.hashes.remove(from));
            while remove().map_err(|error| format!("the vault's database: {error:?}"))? {}
            return Ok(true);
        }
        let Some(parts) = erasure::parts(&order.event, &order.data) else {
            return Err(format!("event {} orders an erasure that can't be read", order.seq));
        };
        removal::remove(&self.home, &parts)
    }

    /// When the last event was that was published.
    pub fn last_us(&self) -> Option<u64> {
        let closed = || {
            let place = places::audit(&self.home).ok()?.pop()?;
            month_file::last_us(&places::open(&place.path).ok()?)
        };
        self.current.as_ref().and_then(MonthFile::last_us).or_else(closed)
    }

    /// What an order by hand means.
    pub fn begin(&self, rules: &Retention, prune: Prune) -> Result<(VecDeque<Place>, String, Prune), String> {
        let before = prune.before;
        let now_us = ledger::now_us();
        let ground = match (before, rules.events) {
            (Some(month), _) => format!("before {month}"),
            (None, Some(keep)) => format!("retain_events = {}", retention::days(keep)),
            (None, None) => return Err("retain_events is \"forever\": say before which month (--before)".into()),
        };
        let until = |place: &Place| match before {
            Some(month) => place.month < month,
            None => rules.events.is_some_and(|keep| retention::is_over(place, keep, now_us)),
        };
        Ok((retention::meant(&self.home, until)?, ground, prune))
    }

    /// The next month by hand; what stays keeps all after it. Gives what is left, or answers.
    pub fn prune(&mut self, writer: &Writer, mut turns: Turns) -> Option<Turns> {
        let Prune { actor, dry, .. } = &turns.prune;
        let looked = turns.months.pop_front().map(|place| {
            let looked = retention::by_hand(&place, writer, &turns.ground, actor, *dry)?;
            if !dry {
                self.publish_all(writer, None)?;
                self.erase_all(writer)?;
            }
            Ok(looked)
        });
        match looked {
            Some(Ok(looked)) => {
                let stays = looked.obstacle.is_some();
                turns.looked.push(looked);
                if !stays && !turns.months.is_empty() {
                    return Some(turns);
                }
                drop(turns.answer.send(Ok(turns.looked)));
            }
            Some(Err(reason)) => drop(turns.answer.send(Err(reason))),
            None => drop(turns.answer.send(Ok(turns.looked))),
        }
        None
    }

    /// Moves what belongs into one file; the rest of the batch comes with the next.
    pub fn publish(&mut self, batch: &Batch, vkey: Option<&str>) -> Result<Moved, String> {
        let Some(first) = batch.rows.first() else { return self.write(&[], batch, vkey) };
        let month = month::of(first.time_us);
        if self.current.as_ref().is_some_and(|file| file.month < month) && !self.close_month(batch, vkey)? {
            return Ok(Moved::NotNow);
        }
        // A clock that was set back doesn't reopen a month: leaves go where they are in order.
        let month = self.current.as_ref().map_or(month, |file| file.month);
        let end = batch.rows.partition_point(|row| month::of(row.time_us) <= month);
        let rows = batch.rows.get(..end).unwrap_or_default();
        keep_personal(&self.home.join("db").join(format!("personal-{month}.db")), rows)?;
        if self.current.is_none() {
            let path = self.home.join("audit").join("audit.db");
            self.current = Some(MonthFile::create(&path, month, &batch.base)?);
        }
        self.write(rows, batch, vkey)
    }

    fn write(&mut self, rows: &[Row], batch: &Batch, vkey: Option<&str>) -> Result<Moved, String> {
        let Some(file) = &mut self.current else { return Ok(Moved::NotNow) };
        let end = rows.last().map_or(file.published, |last| last.seq + 1).max(file.published);
        let new = |note: &&Note| note.size > file.sealed && note.size <= end;
        let notes: Vec<&Note> = batch.notes.iter().filter(new).collect();
        match file.publish(rows, batch, &notes, vkey) {
            Ok(()) => Ok(Moved::Below(end)),
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => Ok(Moved::NotNow),
            Err(error) => Err(month_file::said(&self.home.join("audit").join(month_file::CURRENT), &error)),
        }
    }

    /// Renames the file of a month that is over, once the head of its last leaf is in it, or after a while without. True
    /// when that is done.
    fn close_month(&mut self, batch: &Batch, vkey: Option<&str>) -> Result<bool, String> {
        let since = *self.closing.get_or_insert_with(Instant::now);
        if self.write(&[], batch, vkey)? == Moved::NotNow {
            return Ok(false);
        }
        let Some(file) = &self.current else { return Ok(true) };
        if file.sealed < file.published && since.elapsed() < SEAL {
            return Ok(false);
        }
        let audit = self.home.join("audit");
        let closed = audit.join(format!("audit-{}.db", file.month));
        if closed.exists() {
            return Err(format!("{} exists already: move it away", closed.display()));
        }
        // Closes it.
        self.current = None;
        self.closing = None;
        let moved = fs::rename(audit.join("audit.db"), &closed).and_then(|()| File::open(&audit)?.sync_all());
        moved.map_err(|error| format!("{}: {error}", closed.display()))?;
        Ok(true)
    }
}
