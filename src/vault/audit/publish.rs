//! The publisher: moves events from the vault's database to the auditors' files, in a thread of its own.
//!
//! First the personal values, then the auditors' file, then they leave the vault's database. Each step may be done again,
//! so a crash between any two loses nothing and doubles nothing.

mod delay;
mod turns;

use std::collections::VecDeque;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rusqlite::ErrorCode;
use tokio::sync::oneshot;

use super::erasure::disclosure::{self, Disclosure};
use super::erasure::places::{self, Place};
use super::erasure::search::{self, Target};
use super::erasure::{self, Selection, pruning, removal};
use super::holes::{self, Hole};
use super::ledger::{Batch, Note};
use super::month;
use super::month::Month;
use super::month_file::{self, MonthFile, keep_personal};
use super::retention::keeper::Shared;
use super::retention::{self, Keeper, Looked};
use super::row::Row;
use crate::config::slice::Retention;
use crate::vault::store::erasures;
use crate::vault::store::writer::Writer;
use delay::Delay;
pub use turns::Prune;
use turns::Turns;

const EVERY: Duration = Duration::from_secs(1);
/// Events moved at once: a few milliseconds of the writer's time.
const BATCH: u32 = 1000;
/// How long the end of a month waits for its last leaf to be sealed.
const SEAL: Duration = Duration::from_secs(60);

/// What may be asked of the thread, and where the answer goes.
enum Order {
    /// Publish everything now, erase what is to be erased, and say up to which leaf.
    Publish(oneshot::Sender<Result<u64, String>>),
    Select(Target, Vec<String>, oneshot::Sender<Result<Selection, String>>),
    Disclose(u64, String, oneshot::Sender<Result<Disclosure, String>>),
    Prune(Prune, oneshot::Sender<Result<Vec<Looked>, String>>),
    /// Which events are in no file any more.
    Holes(oneshot::Sender<Result<Vec<Hole>, String>>),
    /// Say when nothing is being moved, and move nothing until the other end is dropped.
    Pause(oneshot::Sender<()>, oneshot::Receiver<()>),
}

/// As long as it is there, the files stay as they are.
pub struct Pause(#[allow(dead_code)] oneshot::Sender<()>);

/// The way to the thread.
#[derive(Clone)]
pub struct Publisher {
    orders: Sender<Order>,
    vkey: Arc<Mutex<Option<String>>>,
    published: Arc<AtomicU64>,
    pub retention: Shared,
}

impl Publisher {
    /// Opens the current file, so that a wrong one is known at start, and starts the thread.
    pub fn start(home: PathBuf, writer: Writer) -> Result<(Self, JoinHandle<()>), String> {
        let files = Files::open(&home)?;
        let (orders, receiver) = channel();
        let vkey = Arc::new(Mutex::new(None));
        let shared = Arc::clone(&vkey);
        let published = Arc::new(AtomicU64::new(files.published()));
        let so_far = Arc::clone(&published);
        let retention = Shared::default();
        let rules = retention.clone();
        let thread = std::thread::Builder::new()
            .name("publisher".into())
            .spawn(move || work(files, &writer, &receiver, &shared, &so_far, rules))
            .map_err(|error| format!("the publisher's thread can't be made: {error}"))?;
        Ok((Self { orders, vkey, published, retention }, thread))
    }

    /// The number of leaves that have been published, as far as this process has seen: whatever becomes of the files.
    pub fn published(&self) -> u64 {
        self.published.load(Ordering::Acquire)
    }

    /// Publishes everything that is on the disk by now. Gives the number of leaves that are published.
    pub async fn publish(&self) -> Result<u64, String> {
        self.ask(Order::Publish).await
    }

    /// What of the published files is meant by a target.
    pub async fn select(&self, target: Target, fields: Vec<String>) -> Result<Selection, String> {
        self.ask(|answer| Order::Select(target, fields, answer)).await
    }

    /// A personal value with its salt, from the published files.
    pub async fn disclose(&self, event: u64, key: String) -> Result<Disclosure, String> {
        self.ask(|answer| Order::Disclose(event, key, answer)).await
    }

    /// Removes months, as far as they may go.
    pub async fn prune(&self, prune: Prune) -> Result<Vec<Looked>, String> {
        self.ask(|answer| Order::Prune(prune, answer)).await
    }

    /// The events that are in no file any more, although they have left the vault's database.
    pub async fn holes(&self) -> Result<Vec<Hole>, String> {
        self.ask(Order::Holes).await
    }

    async fn ask<T>(&self, order: impl FnOnce(oneshot::Sender<Result<T, String>>) -> Order) -> Result<T, String> {
        let (answer, receiver) = oneshot::channel();
        let gone = || "the publisher has ended".to_owned();
        self.orders.send(order(answer)).map_err(|_| gone())?;
        receiver.await.map_err(|_| gone())?
    }

    /// Leaves the files as they are for as long as the answer is kept.
    pub async fn pause(&self) -> Result<Pause, String> {
        let ((said, stands), (pause, ended)) = (oneshot::channel(), oneshot::channel());
        let gone = || "the publisher has ended".to_owned();
        self.orders.send(Order::Pause(said, ended)).map_err(|_| gone())?;
        stands.await.map_err(|_| gone())?;
        Ok(Pause(pause))
    }

    /// The verifier key, for the information of those who open the file.
    pub fn tell(&self, vkey: &str) {
        *self.vkey.lock().unwrap_or_else(PoisonError::into_inner) = Some(vkey.to_owned());
    }
}

fn work(
    mut files: Files,
    writer: &Writer,
    orders: &Receiver<Order>,
    vkey: &Mutex<Option<String>>,
    published: &AtomicU64,
    shared: Shared,
) {
    let mut blocked = false;
    let mut keeper = Keeper::new(shared, files.last_us(), writer);
    let mut turns: VecDeque<Turns> = VecDeque::new();
    loop {
        // One month in each round: what is to be published never waits for more.
        let order = match orders.recv_timeout(if turns.is_empty() { EVERY } else { Duration::ZERO }) {
            Ok(Order::Pause(said, ended)) => {
                // It ends with whoever asked for it.
                let _ = said.send(());
                let _ = ended.blocking_recv();
                continue;
            }
            Ok(order) => Some(order),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => return,
        };
        let vkey = vkey.lock().unwrap_or_else(PoisonError::into_inner).clone();
        keeper.look(&files.home, writer);
        let done = files.publish_all(writer, vkey.as_deref());
        // Before a file is opened anew, which may be another one by now.
        published.fetch_max(files.published(), Ordering::AcqRel);
        let done = done.and_then(|published| {
            files.erase_all(writer)?;
            Ok(published)
        });
        // Once is enough: it is tried again every second.
        if let Err(error) = &done
            && !std::mem::replace(&mut blocked, true)
        {
            tracing::error!(error, "events can't be moved to the auditors' files for now; they wait in the vault");
        }
        blocked &= done.is_err();
        // Whoever asked may be gone.
        match order {
            Some(Order::Publish(answer)) => drop(answer.send(done)),
            Some(Order::Select(target, fields, answer)) => {
                drop(answer.send(search::select(&files.home, &target, &fields)));
            }
            Some(Order::Prune(prune, answer)) => match files.begin(keeper.rules(), prune) {
                Ok((months, ground, prune)) => {
                    turns.push_back(Turns { months, ground, prune, looked: Vec::new(), answer })
                }
                Err(reason) => drop(answer.send(Err(reason))),
            },
            Some(Order::Disclose(event, key, answer)) => drop(answer.send(disclosure::find(&files.home, event, &key))),
            Some(Order::Holes(answer)) => drop(answer.send(holes::find(&files.home, writer))),
            Some(Order::Pause(..)) | None => {}
        }
        if let Some(next) = turns.pop_front() {
            turns.extend(files.prune(writer, next));
        }
    }
}

/// The auditors' files and the personal ones.
struct Files {
    home: PathBuf,
    current: Option<MonthFile>,
    /// Since when a month waits to be closed.
    closing: Option<Instant>,
    /// The erasure that waits for a reader.
    delay: Delay,
}

/// How far a batch got.
#[derive(Debug, PartialEq, Eq)]
enum Moved {
    /// Everything below that leaf may leave the vault's database.
    Below(u64),
    /// A reader is in the way, or the month's last head isn't sealed yet: the next tick goes on.
    NotNow,
}

impl Files {
    fn open(home: &Path) -> Result<Self, String> {
        let current = MonthFile::open(&home.join("audit").join("audit.db"))?;
        Ok(Self { home: home.to_owned(), current, closing: None, delay: Delay::default() })
    }

    fn published(&self) -> u64 {
        self.current.as_ref().map_or(0, |file| file.published)
    }

    fn publish_all(&mut self, writer: &Writer, vkey: Option<&str>) -> Result<u64, String> {
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
            let rest = batch.rows.is_empty();
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
    fn erase_all(&mut self, writer: &Writer) -> Result<(), String> {
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
    fn last_us(&self) -> Option<u64> {
        let closed = || {
            let place = places::audit(&self.home).ok()?.pop()?;
            month_file::last_us(&places::open(&place.path).ok()?)
        };
        self.current.as_ref().and_then(MonthFile::last_us).or_else(closed)
    }

    /// What an order by hand means.
    fn begin(&self, rules: &Retention, prune: Prune) -> Result<(VecDeque<Place>, String, Prune), String> {
        let before = prune.before;
        let now_us = super::ledger::now_us();
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
    fn prune(&mut self, writer: &Writer, mut turns: Turns) -> Option<Turns> {
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
    fn publish(&mut self, batch: &Batch, vkey: Option<&str>) -> Result<Moved, String> {
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

#[cfg(test)]
mod tests;
