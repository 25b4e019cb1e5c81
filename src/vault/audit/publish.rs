//! The publisher: moves events from the vault's database to the auditors' files, in a thread of its own.
//!
//! First the personal values, then the auditors' file, then they leave the vault's database. Each step may be done again,
//! so a crash between any two loses nothing and doubles nothing.

mod delay;
mod files;
mod turns;

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::oneshot;

use super::erasure::Selection;
use super::erasure::disclosure::{self, Disclosure};
use super::erasure::search::{self, Target};
use super::holes::{self, Hole};
use super::retention::keeper::Shared;
use super::retention::{Keeper, Looked};
use crate::vault::store::writer::Writer;
use files::Files;
pub use turns::Prune;
use turns::Turns;

const EVERY: Duration = Duration::from_secs(1);

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

#[cfg(test)]
mod tests;
