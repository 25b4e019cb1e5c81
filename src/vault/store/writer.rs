//! The writer: one thread, one connection, natural group commit.
//!
//! It blocks for one job, takes what is queued by then, does it all in one transaction, and answers all. There is no timer:
//! under load groups grow by themselves, at rest a job waits for nothing.

mod answer;
mod copy;
mod log;
mod look;
mod shared;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rusqlite::Result as Sql;
use tokio::sync::{mpsc, oneshot};

use super::open::{Database, FAILED};
use super::room::{Room, Watch};
use super::{Failure, Store};
use crate::config::slice::Webhook;
use crate::ipc::admin::load::Stage;
use crate::vault::audit::event::{Event, Name, Outcome};
use crate::vault::audit::masks::Masks;
use crate::vault::bells::Bells;
use crate::vault::figures::tally::Tally;
use crate::vault::load::Load;
use answer::{Answer, Work, job, unsaid};
pub use answer::{NotStored, Stored};
pub use copy::Copied;
use copy::Order;

/// Jobs in one transaction, and octets of what they carry.
const GROUP: usize = 256;
const GROUP_OCTETS: usize = 4 * 1024 * 1024;
/// Jobs that may wait. Beyond it those who ask wait for room, channel by channel.
const QUEUE: usize = 4096;
/// Events that wait for room on a full disk; beyond it they are counted.
const OWED: usize = 10_000;
/// A disk that was full for longer is told of, also when no event was lost: until then the log stood still.
const FULL: Duration = Duration::from_secs(60);

enum Job {
    Work {
        work: Work,
        octets: usize,
    },
    /// One that only reads.
    Look(Work),
    Events(Vec<Event>),
    Masks(Masks),
    Webhooks(Vec<Webhook>),
    /// Nothing of what was erased may stay in the write-ahead log.
    Empty,
    /// A second has passed.
    Tick,
    Copy(Order),
}

/// The way to the writer, from any thread.
#[derive(Clone)]
pub struct Writer {
    queue: mpsc::Sender<Job>,
    size: Arc<AtomicU64>,
    room: Room,
    load: Load,
    tally: Tally,
    bells: Bells,
}

impl Writer {
    /// As `start_with`, on a disk that nobody watches.
    pub fn start(database: Database, fatal: fn(&Failure)) -> Result<(Self, JoinHandle<()>), String> {
        let directory = database.path.parent().map(std::path::Path::to_owned).unwrap_or_default();
        Self::start_with(database, Watch::new(directory, 0, 0), fatal)
    }

    /// Starts the thread and waits until every statement is prepared.
    ///
    /// `fatal` is called, once, when the store can't go on; it should end the process.
    pub fn start_with(database: Database, watch: Watch, fatal: fn(&Failure)) -> Result<(Self, JoinHandle<()>), String> {
        let (queue, jobs) = mpsc::channel(QUEUE);
        let size = Arc::new(AtomicU64::new(0));
        let (load, tally, bells) = (Load::default(), Tally::default(), Bells::default());
        let (own_size, room) = (Arc::clone(&size), watch.room());
        let writer =
            Self { queue, size: own_size, room, load: load.clone(), tally: tally.clone(), bells: bells.clone() };
        let (ready, prepared) = std::sync::mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("writer".into())
            .spawn(move || write(database, watch, (load, tally, bells), jobs, &size, &ready, fatal))
            .map_err(|error| format!("the writer's thread can't be made: {error}"))?;
        prepared.recv().map_err(|_| "the writer ended before it began".to_owned())??;
        Ok((writer, thread))
    }

    /// Queues a job; waits for room at most. The answer comes after the commit.
    pub async fn queue<T, W>(&self, octets: usize, work: W) -> Result<Stored<T>, NotStored>
    where
        T: Send + 'static,
        W: FnOnce(&mut Store<'_>) -> Sql<T> + Send + 'static,
    {
        let (work, answer) = job(work);
        self.queue.send(Job::Work { work, octets }).await.map_err(|_| NotStored::Closed)?;
        Ok(answer)
    }

    /// Does something in a transaction and waits for its commit.
    pub async fn run<T, W>(&self, work: W) -> Result<T, NotStored>
    where
        T: Send + 'static,
        W: FnOnce(&mut Store<'_>) -> Sql<T> + Send + 'static,
    {
        self.queue(0, work).await?.answer().await
    }

    /// As `run`, from a thread without a runtime.
    pub fn run_blocking<T, W>(&self, work: W) -> Result<T, NotStored>
    where
        T: Send + 'static,
        W: FnOnce(&mut Store<'_>) -> Sql<T> + Send + 'static,
    {
        let (work, answer) = job(work);
        self.queue.blocking_send(Job::Work { work, octets: 0 }).map_err(|_| NotStored::Closed)?;
        answer.blocking_answer()
    }

    /// Events that nobody waits for. On a full disk they are kept until there is room.
    pub async fn record(&self, events: Vec<Event>) {
        if self.queue.send(Job::Events(events)).await.is_err() {
            tracing::error!("an audit event came after the end of the log");
        }
    }

    /// What auditors will see of the events that come. It is no transaction of its own, so that a full disk can't keep it
    /// from being obeyed.
    pub async fn mask(&self, masks: Masks) {
        // A writer that has ended writes nothing that would need it.
        let _ = self.queue.send(Job::Masks(masks)).await;
    }

    /// The webhooks that are told of what comes. No transaction of its own, either.
    pub async fn tell(&self, webhooks: Vec<Webhook>) {
        let _ = self.queue.send(Job::Webhooks(webhooks)).await;
    }

    /// Copies the database to a new file, between the groups.
    pub async fn copy(&self, path: PathBuf) -> Result<Copied, String> {
        let (done, answer) = oneshot::channel();
        let ended = || "the writer has ended".to_owned();
        self.queue.send(Job::Copy(Order { path, done })).await.map_err(|_| ended())?;
        answer.await.map_err(|_| ended())?
    }

    /// Has the write-ahead log emptied after what was done before, from a thread without a runtime.
    pub fn empty_log(&self) {
        let _ = self.queue.blocking_send(Job::Empty);
    }

    /// Says that a second has passed, when there is room to say it: the pause in which the log is copied back.
    pub fn tick(&self) {
        // A full queue means that there is no pause.
        let _ = self.queue.try_send(Job::Tick);
    }
}

fn write(
    database: Database,
    watch: Watch,
    (load, tally, bells): (Load, Tally, Bells),
    mut jobs: mpsc::Receiver<Job>,
    size: &AtomicU64,
    ready: &std::sync::mpsc::Sender<Result<(), String>>,
    fatal: fn(&Failure),
) {
    let mut writer = match Store::prepare(&database) {
        Ok(store) => Group {
            store,
            copying: false,
            watch,
            load,
            weighed: Vec::new(),
            stage: None,
            log: Arc::clone(&database.log),
            size,
            owed: Vec::new(),
            lost: 0,
            full: None,
            worked: false,
            empty: false,
        },
        Err(error) => return drop(ready.send(Err(format!("{}: {error}", database.path.display())))),
    };
    writer.store.ledger.entries.tally = tally;
    writer.store.ledger.ringer.bells = bells;
    if let Err(error) = writer.go_on() {
        return drop(ready.send(Err(format!("{}: {error}", database.path.display()))));
    }
    size.store(writer.store.ledger.size(), Ordering::Release);
    if ready.send(Ok(())).is_err() {
        return;
    }
    while let Some(first) = jobs.blocking_recv() {
        let done = writer.group(first, &mut jobs).and_then(|()| writer.copy_back(jobs.is_empty()));
        if let Err(failure) = done {
            // For the next start, if anything can be written at all.
            let _ = std::fs::write(database.path.with_file_name(FAILED), failure.to_string());
            return fatal(&failure);
        }
    }
    match writer.store.checkpoint(true) {
        // The log stays where it is; the next start copies it back.
        Ok(()) | Err(Failure::Full) => {}
        Err(failure) => fatal(&failure),
    }
}

struct Group<'c> {
    store: Store<'c>,
    /// A copy of the database is being made.
    copying: bool,
    /// Room on the disk.
    watch: Watch,
    load: Load,
    /// What it has come to, and the stage, until they are written.
    weighed: Vec<Event>,
    stage: Option<Stage>,
    /// Pages in the write-ahead log.
    log: Arc<AtomicU32>,
    /// Leaves on the disk, for the other threads.
    size: &'c AtomicU64,
    /// Events that found no room, and how many were too many to keep.
    owed: Vec<Event>,
    lost: u64,
    /// Since when there is no room.
    full: Option<Instant>,
    /// Whether anything was written since the last tick.
    worked: bool,
    empty: bool,
}

impl Group<'_> {
    /// From where the last run ended.
    fn go_on(&mut self) -> Sql<()> {
        if self.store.marker.is_short()? {
            self.watch.go_on_short();
        }
        self.load.go_on(self.store.marker.was_shed()?);
        self.load.changed(self.store.holdings.changed());
        Ok(())
    }

    fn group(&mut self, first: Job, queue: &mut mpsc::Receiver<Job>) -> Result<(), Failure> {
        let (mut works, mut events, mut ticked) = (Vec::new(), std::mem::take(&mut self.owed), false);
        let (mut next, mut weight, mut count, mut masks) = (Some(first), 0, 0, None);
        let (mut copy, mut looks) = (None, Vec::new());
        while let Some(job) = next {
            match job {
                Job::Work { work, octets } => {
                    weight += octets;
                    works.push(work);
                }
                Job::Look(work) => looks.push(work),
                Job::Events(more) => events.extend(more),
                // What came before it is written as it was to be seen then.
                Job::Masks(new) => masks = Some(new),
                Job::Webhooks(all) => self.store.outbox.configure(all, Arc::clone(&self.store.outbox.fresh)),
                Job::Empty => self.empty = true,
                Job::Tick => ticked = true,
                Job::Copy(order) => copy = Some(order),
            }
            count += 1;
            let goes_on = count < GROUP && weight < GROUP_OCTETS && masks.is_none() && copy.is_none();
            next = if goes_on { queue.try_recv().ok() } else { None };
        }
        let done = self.write(works, events, ticked, queue.len().div_ceil(GROUP)).and_then(|()| self.look(looks));
        if let Some(masks) = masks {
            self.store.ledger.masks = masks;
        }
        match copy {
            Some(order) => done.and_then(|()| copy::copy(self, order, queue)),
            None => done,
        }
    }

    /// `behind`: so many groups wait already.
    fn write(&mut self, works: Vec<Work>, mut events: Vec<Event>, ticked: bool, behind: usize) -> Result<(), Failure> {
        if ticked && let Some(change) = self.watch.look() {
            events.push(change.event());
        }
        if ticked {
            self.load.second();
            self.weigh();
        }
        events.append(&mut self.weighed);
        let stage = self.stage;
        if works.is_empty() && events.is_empty() && !(ticked && self.store.ledger.look()) {
            return self.rest(ticked);
        }
        // Before what waited: it explains why nothing stands between the event before it and this one.
        events.splice(0..0, self.recovered());
        let kept = events.clone();
        let (mut works, mut answers) = (works.into_iter(), Vec::<Answer>::new());
        let (begun, changes) = (Instant::now(), self.store.changes());
        self.load.begin(begun);
        let done = self.store.transaction(|store| {
            store.marker.room(&events)?;
            stage.map_or(Ok(()), |stage| store.marker.shed(stage))?;
            store.record(events)?;
            works.by_ref().try_for_each(|work| work(store).map(|answer| answers.push(answer)))
        });
        self.load.end(Instant::now());
        match done {
            Ok(()) => {
                (self.lost, self.full, self.stage) = (0, None, None);
                self.size.store(self.store.ledger.size(), Ordering::Release);
                let wrote = self.store.changes() > changes;
                self.worked |= wrote;
                if wrote {
                    self.load.committed(begun.elapsed(), behind);
                    self.store.ledger.entries.tally.committed(begun.elapsed());
                }
                // Before anybody hears: who sends again at once is judged by it.
                self.load.changed(self.store.holdings.changed());
                self.weigh();
                answers.into_iter().for_each(|answer| answer());
                // Whoever only looks, however often, doesn't keep what was erased in the log.
                if wrote { Ok(()) } else { self.rest(ticked) }
            }
            Err(Failure::Full) => {
                self.worked = true;
                self.owe(kept);
                Ok(())
            }
            Err(failure) => {
                unsaid((works, answers));
                Err(failure)
            }
        }
    }

    /// Looks what the load has come to. What is to be written of it is, with the next group or within a second.
    fn weigh(&mut self) {
        if let Some(change) = self.load.look(Instant::now()) {
            self.stage = Some(change.stage());
            self.weighed.push(change.event());
        }
    }

    /// The event of the end of a full disk, if it was long or cost something.
    fn recovered(&self) -> Option<Event> {
        let full = self.full.map(|since| since.elapsed()).unwrap_or_default();
        let data = serde_json::json!({ "events_lost": self.lost, "full_us": u64::try_from(full.as_micros()).ok() });
        let event = Event { data: Some(data.to_string()), ..Event::new(Name::StoreRecovered, Outcome::Info) };
        Some(event).filter(|_| self.lost > 0 || full >= FULL)
    }

    /// Keeps the events of a group that found no room, and throws the ballast off for the next one. The other jobs of this
    /// one are dropped, which tells those who wait.
    fn owe(&mut self, mut events: Vec<Event>) {
        if let Some(change) = self.watch.full() {
            let event = change.event();
            events.push(event);
        }
        self.full.get_or_insert_with(Instant::now);
        events.retain(|event| event.name != Name::StoreRecovered);
        events.extend(std::mem::take(&mut self.owed));
        let excess = events.len().saturating_sub(OWED);
        events.truncate(OWED);
        self.lost += u64::try_from(excess).unwrap_or(u64::MAX);
        self.owed = events;
    }
}

#[cfg(test)]
mod tests;
