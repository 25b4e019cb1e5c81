//! The vault: decides and remembers.
//!
//! **Does.** Checks credentials, holds senders to their policy and limits, keeps messages and the audit log, schedules deliveries.
//! **Trusts.** The parent. It treats edges and couriers as hostile: every question has its moment, every number its bound.
//! **Holds.** `db/` and `audit/`: messages, hashes of keys, the log. No key to sign the log with, no upstream's password.
//! **If it falls.** An intruder has the mail and the hashes, and can lie from now on; what was sealed before can't be rewritten.
//!
//! Threads: this one serves sessions and never waits for the disk; one writes the database, one large bodies, one the
//! auditors' files; one counts days for digests, one copies for backups; a few hash passwords.

mod acceptance;
pub mod admin;
pub mod admission;
pub mod alerts;
mod amiss;
pub mod audit;
pub mod authority;
pub mod backup;
pub mod beginning;
mod bells;
mod cards;
pub mod cipher;
pub mod control;
mod custody;
pub mod delivery;
pub mod digest;
pub mod edge;
pub mod explain;
pub mod feedback;
pub mod figures;
pub mod happening;
pub mod hooks;
mod housekeeping;
mod inquiries;
mod shares;
pub mod limits;
pub mod load;
mod live;
pub mod login;
pub mod master;
pub mod offline;
mod once;
mod own_mail;
pub mod prepare;
pub mod queue;
pub mod readiness;
pub mod rekey;
pub mod restored;
pub mod sender;
pub mod session;
pub mod store;
mod telling;
pub mod trace;
pub mod transaction;
mod turnstile;
mod visitor;

use std::cell::{Cell, RefCell};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use tokio::sync::{Notify, Semaphore, mpsc, oneshot, watch};
use tokio::task::{JoinHandle, LocalSet, spawn_local};

use crate::config::slice::VaultSlice;
use crate::ipc::control::{ChildEnd, Peer};
use crate::role::{Generation, start::Start};
use crate::sandbox::{self, Sealed};
use crate::secret::Secret;
use audit::adopt;
use audit::anchor;
use audit::ledger::now_us;
use audit::masks::Masks;
use audit::month;
use audit::publish::Publisher;
use audit::retention::keeper::Shared as Retention;
use audit::seal::{self, Pulse};
use authority::Authority;
use backup::copier::Copier;
use control::Control;
use delivery::schedule::{self, Schedule};
use limits::clock::Clock;
use login::hashing;
use login::line::Claim;
use login::pool::Hashers;
use login::tag::Tagger;
use master::Master;
use once::Onces;
use queue::pending::Pending;
use shares::Shares;
use store::Failure;
use store::hooks::Scope;
use store::open::{Database, FAILED};
use store::room::Watch;
use store::schema;
use store::segment::{self, Segments};
use store::writer::Writer;
use trace::Traces;

pub use prepare::prepare;

/// What the tasks of the session thread share. Cells are borrowed for a moment, never across an await.
pub struct Vault {
    pub writer: Writer,
    pub segments: Segments,
    pub copier: Copier,
    pub hashers: Hashers,
    /// A hash that nothing fits: what an unknown name is compared with.
    pub dummy: Secret<String>,
    pub tagger: Tagger,
    pub authority: RefCell<Authority>,
    pub schedule: RefCell<Schedule>,
    /// There may be something to deliver.
    pub poke: Notify,
    /// A mail with a signed head has arrived.
    pub anchored: Notify,
    /// Credentials have changed.
    pub changed: watch::Sender<()>,
    /// Where the next master key goes when the parent hands it over.
    pub next_master: RefCell<Option<oneshot::Sender<Master>>>,
    /// Where webhooks are told from.
    pub feedback: feedback::Desk,
    /// Where Turnstile is asked.
    pub turnstile: turnstile::Desk,
    /// What providers tell.
    pub hooks: hooks::Desk,
    /// Requests that are done once.
    pub onces: Rc<Onces>,
    /// What those who watch the service are told.
    pub figures: figures::Desk,
    /// Of those who make reports.
    pub reporting: delivery::report::Turns,
    /// Held by every message that was decided and is not on the disk yet.
    pub pending: Pending,
    /// When this has ended, the version before is to take the database (`gatepost downgrade`).
    pub goes_back: Rc<Cell<bool>>,
    /// What must be on the disk before an orderly end holds a permit.
    unfinished: Arc<Semaphore>,
    /// How large the audit log may be, and whether it is.
    pub retention: Retention,
    /// What credentials have on the way.
    pub incoming: Rc<Shares>,
    /// Inquiries under way, and how many of them each credential has.
    pub inquiries: inquiries::Inquiries,
    /// Logins under way.
    pub logins: login::exchanges::UnderWay,
    /// Those who follow sessions.
    pub traces: Rc<Traces>,
    /// What is known for operators who are to be told.
    pub alerts: alerts::Desk,
    /// Counts what a day was like.
    counter: digest::Counter,
}

/// More permits than there can be tasks.
const PERMITS: u32 = 1 << 28;

impl Vault {
    /// Does something that an orderly end waits for.
    pub fn finish<T: 'static>(&self, work: impl Future<Output = T> + 'static) -> JoinHandle<T> {
        let permit = Arc::clone(&self.unfinished).try_acquire_owned();
        // In its place at once: such a work is some thousand octets, and would be moved with each of what is put around it.
        let work = Box::pin(work);
        spawn_local(async move {
            let _permit = permit;
            work.await
        })
    }

    /// Waits until everything of that kind is done.
    pub async fn finished(&self) {
        // It is never closed.
        let _ = self.unfinished.acquire_many(PERMITS).await;
    }
}

pub fn main(start: &mut Start) -> Result<(), String> {
    let slice: VaultSlice = start.slice()?;
    let masters = rekey::handed_over(start)?;
    // SQLite seeds itself from /dev/urandom once, and takes time and process number instead when it can't reach it.
    let seeded = rusqlite::Connection::open_in_memory();
    seeded.and_then(|memory| memory.execute_batch("SELECT randomblob(16)")).map_err(|error| error.to_string())?;
    let confined = sandbox::confine(start.role, &start.grounds)?;
    let house = House::open(Path::new("."), slice, start.generation, masters)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
        .map_err(|error| format!("no runtime can be made: {error}"))?;
    let sealed = confined.seal()?;
    let control = start.ready(&sealed)?;
    let peers = std::mem::take(&mut start.peers);
    house.serve(&runtime, control, peers, sealed)
}

/// The store can't go on. What was not answered was not promised.
fn fatal(failure: &Failure) {
    if failure.is_damage() {
        tracing::error!(%failure, "integrity.failure: the database is damaged: keep db/ as it is, and restore a backup");
    } else {
        tracing::error!(%failure, "the store can't be written: the vault ends, and its successor takes what is on the disk");
    }
    std::process::exit(1);
}

/// The vault with its threads, before it serves.
struct House {
    vault: Rc<Vault>,
    publisher: Publisher,
    /// Those that must come to their end: what they were given is on the disk then.
    threads: [thread::JoinHandle<()>; 2],
}

impl House {
    /// Opens everything under a directory and starts the threads.
    fn open(home: &Path, slice: VaultSlice, generation: Generation, masters: Vec<Master>) -> Result<Self, String> {
        let database = Database::open(home)?;
        let db = home.join("db");
        let mut watch = Watch::new(db.clone(), slice.reserve, slice.ballast);
        if database.needs_ballast {
            watch.was_thrown_off();
        }
        let (writer, writing) = Writer::start_with(database, watch, fatal)?;
        writer.load().set(slice.shedding);
        let behind = amiss::spare_bodies(home, &writer)?;
        let adopted = adopt::adopt(home, &writer);
        let now = now_us();
        let (today, _) = month::today(now);
        let (mask, declared) = (slice.audit.mask, slice.credentials.clone());
        let failed = beginning::failure(&db);
        let is_restored = restored::is_marked(&db)?;
        let (feedback, webhooks, retry) = (feedback::Desk::default(), slice.webhooks.clone(), slice.retry.clone());
        let fresh = Arc::clone(&feedback.fresh);
        let once_key = masters.first().ok_or("no master key")?.subkey(once::PURPOSE);
        let first = writer.run_blocking(move |store| {
            let credentials = store.credentials.all()?;
            store.ledger.masks = Masks::new(mask, &declared, &credentials);
            store.outbox.configure(webhooks, fresh);
            // First of all, so that what may be missing lies between the event before it and this one.
            let last = store.ledger.last();
            store.marker.is_restored = is_restored;
            if let Some(end) = store.marker.begin(now, last)? {
                if !is_restored {
                    tracing::warn!("the last run ended without an orderly stop; what it had acknowledged is here");
                }
                store.ledger.append(end)?;
            }
            store.ledger.begin()?;
            if let Some(failed) = failed {
                store.record(vec![failed])?;
            }
            delivery::interrupted::end_leases(store, &retry)?;
            queue::tidy(store)?;
            store.keys.adopt(masters);
            rekey::hold_foreign(store)?;
            let consumed = store.consumption.all(now, today)?;
            let (segments, lanes) = (store.spool.segments()?, store.spool.lanes()?);
            let onces = store.once.all(once::OF_ALL)?;
            let goes_back = store.marker.goes_back()?;
            Ok(((credentials, store.credentials.tagger()?), consumed, segments, lanes, (onces, goes_back)))
        });
        amiss::tell_of_files(&writer, adopted);
        let ((stored, tagger), consumed, needed, lanes, (onces, goes_back)) =
            first.map_err(|error| format!("the vault's database: {error:?}"))?;
        amiss::tell_of_strangers(&stored);
        amiss::tell_of_lacks(home, &writer)?;
        match fs::remove_file(db.join(FAILED)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(format!("{}: {error}", db.display())),
            _ => {}
        }
        let cleared = if behind { segment::set_aside(&db, &needed) } else { segment::sweep(&db, &needed) };
        cleared.map_err(|error| format!("{}: {error}", db.display()))?;
        backup::sweep(&db).map_err(|error| format!("{}: {error}", db.display()))?;
        restored::hold(&db, &writer)?;
        let (segments, bodies) = Segments::start(PathBuf::from(&db), writer.load().clone())?;
        let (copier, _) = Copier::start(home.to_owned())?;
        let (hashers, _) = Hashers::start(slice.hashers, slice.hash_queue, slice.hash_deadline)?;
        let (publisher, _) = Publisher::start(home.to_owned(), writer.clone())?;
        publisher.retention.set(slice.audit.retention.clone());
        let (_, nobody) = login::key::generate()?;
        let begun = Instant::now();
        let dummy = hashing::hash_here(&nobody)?;
        hashers.pace.note(Claim::New, begun.elapsed());
        let vault = Vault {
            writer,
            segments,
            copier,
            hashers,
            dummy,
            tagger,
            schedule: RefCell::new(Schedule::new(lanes).paced(&slice.paces)),
            authority: RefCell::new(Authority::new(slice, generation, stored, consumed, Clock::start())?),
            poke: Notify::new(),
            anchored: Notify::new(),
            changed: watch::Sender::new(()),
            next_master: RefCell::new(None),
            retention: publisher.retention.clone(),
            incoming: Rc::default(),
            inquiries: inquiries::Inquiries::default(),
            logins: login::exchanges::UnderWay::default(),
            traces: Rc::default(),
            alerts: alerts::Desk::default(),
            counter: digest::Counter::start(home.to_owned())?,
            feedback,
            turnstile: turnstile::Desk::default(),
            hooks: hooks::Desk::default(),
            onces: Onces::new(once_key, onces, now),
            figures: figures::Desk::default(),
            reporting: delivery::report::Turns::default(),
            pending: Pending::default(),
            goes_back: Rc::new(Cell::new(goes_back)),
            unfinished: Arc::new(Semaphore::new(usize::try_from(PERMITS).unwrap_or_default())),
        };
        Ok(Self { vault: Rc::new(vault), publisher, threads: [bodies, writing] })
    }

    /// Serves until the parent is gone or wants an end.
    fn serve(
        self,
        runtime: &tokio::runtime::Runtime,
        control: ChildEnd,
        peers: Vec<(Peer, std::os::fd::OwnedFd)>,
        sealed: Sealed,
    ) -> Result<(), String> {
        let Self { vault, publisher, threads } = self;
        let (local, goes_back) = (LocalSet::new(), Rc::clone(&vault.goes_back));
        // Kept open until the threads have ended: the parent takes one that is closed for an end, and kills who lives on.
        let mut channel = None;
        let ended = local.block_on(runtime, async {
            let packets = control.into_async().map_err(|error| format!("the control channel: {error}"))?;
            let packets = Rc::clone(channel.insert(Rc::new(packets)));
            let (sealing, orders) = mpsc::unbounded_channel();
            let pulse = Rc::new(Pulse::default());
            let (anchors, wanted) = mpsc::unbounded_channel();
            let seal = seal::run(Rc::clone(&vault), publisher.clone(), Rc::clone(&pulse), anchors.clone(), orders);
            spawn_local(seal);
            spawn_local(anchor::run(Rc::clone(&vault), sealing.clone(), anchors.clone(), wanted));
            spawn_local(schedule::leasing::run(Rc::clone(&vault)));
            spawn_local(delivery::simulated::run(Rc::clone(&vault)));
            spawn_local(housekeeping::run(Rc::clone(&vault)));
            spawn_local(rekey::go_on(Rc::clone(&vault)));
            let early = Rc::clone(&vault);
            spawn_local(async move { hooks::ripen(&early, Scope::All).await });
            spawn_local(delivery::report::begin(Rc::clone(&vault)));
            spawn_local(feedback::run(Rc::clone(&vault), Rc::clone(&packets)));
            spawn_local(figures::run(Rc::clone(&vault), Rc::clone(&pulse)));
            spawn_local(alerts::run(Rc::clone(&vault), Rc::clone(&pulse)));
            spawn_local(digest::run(Rc::clone(&vault)));
            // The routes may have changed while nobody was here.
            spawn_local(delivery::reroute::run(Rc::clone(&vault)));
            let mut control = Control::new(vault, publisher, sealing, anchors, pulse, packets, sealed);
            for (peer, socket) in peers {
                control.meet(peer, socket);
            }
            control.obey().await
        });
        // Every way to the threads ends with the tasks; then they do what they were given, and end.
        drop(local);
        if threads.into_iter().any(|thread| thread.join().is_err()) {
            return Err("a thread of the store ended badly".into());
        }
        if goes_back.get() {
            schema::take_back(Path::new(".")).inspect_err(|error| {
                tracing::error!(error, "the database was not taken back: the version before won't open it");
            })?;
            tracing::info!("the database is that of the version before: installed now, it goes on with it");
        }
        ended
    }
}

#[cfg(test)]
mod tests;
