//! Large bodies: one file each under `db/`, written and synced by a thread of their own before the row that refers to it.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use sha2::{Digest, Sha256};
use tokio::sync::{mpsc, oneshot};

use crate::mail::id::MessageId;

/// Jobs that may wait: at 64 KiB each, 32 MiB.
const QUEUE: usize = 512;
/// The names of our files; nothing else in the directory is ever touched.
const PREFIX: &str = "body-";

enum Job {
    Append { name: String, octets: Vec<u8>, done: oneshot::Sender<io::Result<()>> },
    Sync { name: String, done: oneshot::Sender<io::Result<[u8; 32]>> },
    Read { name: String, offset: u64, length: usize, done: oneshot::Sender<io::Result<Vec<u8>>> },
    Remove { name: String },
}

/// The way to the thread.
#[derive(Clone)]
pub struct Segments {
    queue: mpsc::Sender<Job>,
}

/// The name of a message's segment.
pub fn name(message: MessageId) -> String {
    format!("{PREFIX}{message}")
}

impl Segments {
    pub fn start(directory: PathBuf) -> Result<(Self, JoinHandle<()>), String> {
        let (queue, jobs) = mpsc::channel(QUEUE);
        let thread = std::thread::Builder::new()
            .name("segments".into())
            .spawn(move || Files { directory, open: HashMap::new() }.work(jobs))
            .map_err(|error| format!("the thread for large bodies can't be made: {error}"))?;
        Ok((Self { queue }, thread))
    }

    /// Appends to a segment, which the first octets make. The answer comes when they were written (not synced).
    pub async fn append(&self, name: String, octets: Vec<u8>) -> oneshot::Receiver<io::Result<()>> {
        let (done, answer) = oneshot::channel();
        // A thread that is gone drops `done`, and the receiver says so.
        let _ = self.queue.send(Job::Append { name, octets, done }).await;
        answer
    }

    /// Makes a segment durable and gives its SHA-256.
    pub async fn sync(&self, name: String) -> oneshot::Receiver<io::Result<[u8; 32]>> {
        let (done, answer) = oneshot::channel();
        let _ = self.queue.send(Job::Sync { name, done }).await;
        answer
    }

    /// Some octets of a segment; fewer only at its end.
    pub async fn read(&self, name: String, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let (done, answer) = oneshot::channel();
        let _ = self.queue.send(Job::Read { name, offset, length, done }).await;
        answer.await.map_err(io::Error::other)?
    }

    /// Removes a segment that no row refers to, after everything asked of it before.
    pub async fn remove(&self, name: String) {
        let _ = self.queue.send(Job::Remove { name }).await;
    }
}

/// Removes the segments that no message needs: left over from a crash between body and row, or between row and removal.
pub fn sweep(directory: &Path, needed: &[String]) -> io::Result<()> {
    let needed: HashSet<&str> = needed.iter().map(String::as_str).collect();
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name();
        let Some(name) = name.to_str().filter(|name| name.starts_with(PREFIX)) else { continue };
        if !needed.contains(name) {
            tracing::info!(segment = name, "a body that belongs to no message was removed");
            fs::remove_file(directory.join(name))?;
        }
    }
    Ok(())
}

struct Files {
    directory: PathBuf,
    /// The digests of the segments that are being written.
    open: HashMap<String, Sha256>,
}

impl Files {
    fn work(mut self, mut jobs: mpsc::Receiver<Job>) {
        while let Some(job) = jobs.blocking_recv() {
            // Those who asked may be gone.
            match job {
                Job::Append { name, octets, done } => drop(done.send(self.append(name, &octets))),
                Job::Sync { name, done } => drop(done.send(self.sync(&name))),
                Job::Read { name, offset, length, done } => drop(done.send(self.read(&name, offset, length))),
                Job::Remove { name } => self.remove(&name),
            }
        }
    }

    /// A segment is opened for each piece of 64 KiB: so many may be in progress that they would need more descriptors than
    /// the process has, and beside such a write an open costs nothing.
    fn append(&mut self, name: String, octets: &[u8]) -> io::Result<()> {
        let path = self.directory.join(&name);
        let mut options = OpenOptions::new();
        let mut file = match self.open.contains_key(&name) {
            true => options.append(true).open(path)?,
            false => options.write(true).create_new(true).mode(0o600).open(path)?,
        };
        self.open.entry(name).or_default().update(octets);
        file.write_all(octets)
    }

    fn sync(&mut self, name: &str) -> io::Result<[u8; 32]> {
        let digest = self.open.remove(name).ok_or_else(|| io::Error::other("nothing was written"))?;
        File::open(self.directory.join(name))?.sync_data()?;
        // The name must be as durable as what it names.
        File::open(&self.directory)?.sync_all()?;
        Ok(digest.finalize().into())
    }

    fn read(&self, name: &str, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let file = File::open(self.directory.join(name))?;
        let mut octets = vec![0; length];
        let mut read = 0;
        while let Some(rest) = octets.get_mut(read..).filter(|rest| !rest.is_empty()) {
            match file.read_at(rest, offset + u64::try_from(read).unwrap_or(0))? {
                0 => break,
                n => read += n,
            }
        }
        octets.truncate(read);
        Ok(octets)
    }

    fn remove(&mut self, name: &str) {
        self.open.remove(name);
        if let Err(error) = fs::remove_file(self.directory.join(name)) {
            tracing::warn!(segment = name, %error, "a body could not be removed; the next start will");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_is_written_synced_read_and_swept() {
        let directory = tempfile::tempdir().unwrap();
        let (segments, thread) = Segments::start(directory.path().to_owned()).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (kept, lost) = (name(MessageId::now()), name(MessageId::now()));
        runtime.block_on(async {
            segments.append(kept.clone(), vec![1; 1000]).await.await.unwrap().unwrap();
            segments.append(kept.clone(), vec![2; 10]).await.await.unwrap().unwrap();
            segments.append(lost.clone(), vec![3; 10]).await.await.unwrap().unwrap();
            let digest = segments.sync(kept.clone()).await.await.unwrap().unwrap();
            assert_eq!(digest, <[u8; 32]>::from(Sha256::digest([vec![1; 1000], vec![2; 10]].concat())));
            assert_eq!(segments.read(kept.clone(), 998, 100).await.unwrap(), [vec![1; 2], vec![2; 10]].concat());
        });
        drop(segments);
        thread.join().unwrap();
        fs::write(directory.path().join("vault.db"), b"not a segment").unwrap();
        sweep(directory.path(), std::slice::from_ref(&kept)).unwrap();
        let mut left: Vec<_> = fs::read_dir(directory.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, [kept.as_str(), "vault.db"]);
    }
}
