//! A copy of the database, made by the one connection there is, some pages between any two groups. What is written meanwhile
//! is written to the copy as well, so it is the database as it is at the last page.

use std::path::PathBuf;

use rusqlite::backup::{Backup, StepResult};
use tokio::sync::{mpsc, oneshot};

use super::{Failure, Group, Job};
use crate::merkle::Hash;
use crate::vault::backup::copier::open_copy;
use crate::vault::master;

/// Pages copied between two groups: a millisecond or two.
const PAGES: i32 = 256;
/// Pages in a row that could not be copied, which nothing of ours can cause.
const STUCK: u32 = 1000;

pub struct Order {
    pub path: PathBuf,
    pub done: oneshot::Sender<Result<Copied, String>>,
}

/// What a copy holds.
#[derive(Clone, Debug)]
pub struct Copied {
    /// Events of the audit log, and the root of their tree.
    pub size: u64,
    pub root: Hash,
    /// The segments that bodies of it are in.
    pub segments: Vec<String>,
    /// The master keys that keys in it are wrapped with.
    pub masters: Vec<master::Id>,
}

/// Makes the copy, and does what is queued meanwhile. What fails for the copy alone is its own answer.
pub fn copy(group: &mut Group<'_>, order: Order, queue: &mut mpsc::Receiver<Job>) -> Result<(), Failure> {
    let Order { path, done } = order;
    if std::mem::replace(&mut group.copying, true) {
        let _ = done.send(Err("a copy is being made already".to_owned()));
        return Ok(());
    }
    let copied = pages(group, &path, queue);
    group.copying = false;
    let answer = match copied {
        Ok(Ok(())) => content(group).map_err(|error| error.to_string()),
        Ok(Err(reason)) => Err(format!("copying the database: {reason}")),
        Err(failure) => return Err(failure),
    };
    // Whoever asked may be gone.
    let _ = done.send(answer);
    Ok(())
}

fn pages(
    group: &mut Group<'_>,
    path: &std::path::Path,
    queue: &mut mpsc::Receiver<Job>,
) -> Result<Result<(), String>, Failure> {
    let source = group.store.connection;
    let mut target = match open_copy(path) {
        Ok(target) => target,
        Err(error) => return Ok(Err(error.to_string())),
    };
    let backup = match Backup::new(source, &mut target) {
        Ok(backup) => backup,
        Err(error) => return Ok(Err(error.to_string())),
    };
    let mut stuck = 0;
    loop {
        match backup.step(PAGES) {
            Ok(StepResult::Done) => return Ok(Ok(())),
            Ok(StepResult::More) => stuck = 0,
            Ok(_) => stuck += 1,
            Err(error) => return Ok(Err(error.to_string())),
        }
        if stuck > STUCK {
            return Ok(Err("its pages are locked".to_owned()));
        }
        if let Ok(job) = queue.try_recv() {
            group.group(job, queue)?;
            group.copy_back(false)?;
        }
    }
}

/// What is in the copy: nothing was written since its last page.
fn content(group: &mut Group<'_>) -> rusqlite::Result<Copied> {
    let size = group.store.ledger.size();
    let root = group.store.ledger.root_at(size)?.unwrap_or_default();
    let segments = group.store.spool.segments()?;
    let masters = group.store.keys.masters().iter().map(|master| master.id).collect();
    Ok(Copied { size, root, segments, masters })
}
