//! Large bodies: one file each under `db/`, sealed, written and synced by a thread of their own before the row that refers
//! to it. Chunk follows upon chunk, each longer by its tag than what is in it.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Instant;

use sha2::{Digest, Sha256};
use tokio::sync::{mpsc, oneshot};

use crate::mail::id::MessageId;
use crate::vault::cipher::{BodyKey, CHUNK, TAG};
use crate::vault::load::Load;

/// Jobs that may wait: at 64 KiB each, 32 MiB.
const QUEUE: usize = 512;
/// The names of our files; nothing else in the directory is ever touched.
pub const PREFIX: &str = "body-";
/// Stands before the name of one that was set aside.
pub const ASIDE: &str = "aside-";

enum Job {
    Append {
        piece: Piece,
        done: oneshot::Sender<io::Result<()>>,
    },
    Sync {
        name: String,
        octets: u64,
        done: oneshot::Sender<io::Result<[u8; 32]>>,
    },
    Read {
        part: Part,
        done: oneshot::Sender<io::Result<Vec<u8>>>,
    },
    Remove {
        name: String,
    },
    /// Nobody keeps what was to be removed meanwhile, perhaps.
    Free,
}

/// As long as it is there, no segment is removed. Those that nobody needs any more are, after it.
pub struct Keep {
    kept: Arc<AtomicUsize>,
    /// Weak: the thread ends although somebody keeps its files.
    queue: mpsc::WeakSender<Job>,
}

impl Drop for Keep {
    fn drop(&mut self) {
        self.kept.fetch_sub(1, Ordering::Release);
        if let Some(queue) = self.queue.upgrade() {
            // Where there is no room for it, the next removal does the same.
            let _ = queue.try_send(Job::Free);
        }
    }
}

/// Content for the disk: a whole chunk, save the last.
#[derive(Debug)]
pub struct Piece {
    pub name: String,
    pub key: BodyKey,
    pub octets: Vec<u8>,
    pub last: bool,
}

/// A part of a body that is wanted.
#[derive(Debug)]
pub struct Part {
    pub name: String,
    /// None when the body was kept before bodies were sealed.
    pub key: Option<BodyKey>,
    /// Octets of the whole body.
    pub octets: u64,
    pub offset: u64,
    pub length: usize,
}

/// The way to the thread.
#[derive(Clone)]
pub struct Segments {
    queue: mpsc::Sender<Job>,
    kept: Arc<AtomicUsize>,
}

/// The name of a message's segment. One that comes from elsewhere has its segment under a new id: no other has that one.
pub fn name(message: MessageId) -> String {
    format!("{PREFIX}{message}")
}

impl Segments {
    /// How long it takes is told to `load`.
    pub fn start(directory: PathBuf, load: Load) -> Result<(Self, JoinHandle<()>), String> {
        let (queue, jobs) = mpsc::channel(QUEUE);
        let kept = Arc::<AtomicUsize>::default();
        let files = Files { kept: Arc::clone(&kept), ..Files::new(directory) };
        let thread = std::thread::Builder::new()
            .name("segments".into())
            .spawn(move || files.work(jobs, &load))
            .map_err(|error| format!("the thread for large bodies can't be made: {error}"))?;
        Ok((Self { queue, kept }, thread))
    }

    /// Appends to a segment, which the first octets make. The answer comes when they were written (not synced).
    pub async fn append(&self, piece: Piece) -> oneshot::Receiver<io::Result<()>> {
        let (done, answer) = oneshot::channel();
        // A thread that is gone drops `done`, and the receiver says so.
        let _ = self.queue.send(Job::Append { piece, done }).await;
        answer
    }

    /// Makes a segment of so many octets durable and gives its SHA-256. One that lacks any of them is an error.
    pub async fn sync(&self, name: String, octets: u64) -> oneshot::Receiver<io::Result<[u8; 32]>> {
        let (done, answer) = oneshot::channel();
        let _ = self.queue.send(Job::Sync { name, octets, done }).await;
        answer
    }

    /// Some octets of a body; fewer at its end and at the end of a chunk.
    pub async fn read(&self, part: Part) -> io::Result<Vec<u8>> {
        let (done, answer) = oneshot::channel();
        let _ = self.queue.send(Job::Read { part, done }).await;
        answer.await.map_err(io::Error::other)?
    }

    /// Keeps all segments that are there, for a backup that reads them.
    pub fn keep(&self) -> Keep {
        self.kept.fetch_add(1, Ordering::Acquire);
        Keep { kept: Arc::clone(&self.kept), queue: self.queue.downgrade() }
    }

    /// Removes a segment that no row refers to, after everything asked of it before.
    pub async fn remove(&self, name: String) {
        let _ = self.queue.send(Job::Remove { name }).await;
    }
}

/// Removes the segments that no message needs: left over from a crash between body and row, or between row and removal. What
/// was set aside and is needed again is put back first.
pub fn sweep(directory: &Path, needed: &[String]) -> io::Result<()> {
    put_back(directory, needed)?;
    for name in strays(directory, needed)? {
        tracing::info!(segment = name, "a body that belongs to no message was removed");
        fs::remove_file(directory.join(name))?;
    }
    Ok(())
}

/// The same beside a database that has forgotten what it knew: what no message needs gets another name and stays.
pub fn set_aside(directory: &Path, needed: &[String]) -> io::Result<()> {
    put_back(directory, needed)?;
    let strays = strays(directory, needed)?;
    for name in &strays {
        fs::rename(directory.join(name), directory.join(format!("{ASIDE}{name}")))?;
    }
    if !strays.is_empty() {
        tracing::warn!(
            bodies = strays.len(),
            "bodies of messages that this database doesn't know were set aside (db/{ASIDE}{PREFIX}*): beside the newer \
             vault.db they are found again; without it nobody can read them"
        );
    }
    Ok(())
}

fn put_back(directory: &Path, needed: &[String]) -> io::Result<()> {
    for name in needed {
        let (path, aside) = (directory.join(name), directory.join(format!("{ASIDE}{name}")));
        if !path.try_exists()? && aside.try_exists()? {
            fs::rename(aside, path)?;
        }
    }
    Ok(())
}

/// The names of segments that no message needs.
fn strays(directory: &Path, needed: &[String]) -> io::Result<Vec<String>> {
    let needed: HashSet<&str> = needed.iter().map(String::as_str).collect();
    let mut strays = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(name) = name.to_str().filter(|name| name.starts_with(PREFIX)) else { continue };
        // A directory is none of ours, whatever it is called.
        if !needed.contains(name) && !entry.file_type()?.is_dir() {
            strays.push(name.to_owned());
        }
    }
    Ok(strays)
}

/// A segment that is being written.
enum Writing {
    Sound(Sound),
    /// A piece of it could not be written, for this reason. It stays so until it is removed: whoever asked may not have
    /// heard of it when the next piece comes, and a body with a hole must never be kept.
    Spoilt(io::ErrorKind),
}

/// What was written so far.
#[derive(Default)]
struct Sound {
    digest: Sha256,
    /// Octets of the body, and of the file.
    octets: u64,
    sealed: u64,
    chunks: u64,
    whole: bool,
}

/// The segments of a directory, as the one thread that works on them has them.
pub struct Files {
    directory: PathBuf,
    open: HashMap<String, Writing>,
    /// How many want all segments to stay, and those that wait for the end of that.
    kept: Arc<AtomicUsize>,
    later: Vec<String>,
}

impl Files {
    pub fn new(directory: PathBuf) -> Self {
        Self { directory, open: HashMap::new(), kept: Arc::default(), later: Vec::new() }
    }

    fn work(mut self, mut jobs: mpsc::Receiver<Job>, load: &Load) {
        while let Some(job) = jobs.blocking_recv() {
            // Those who asked may be gone.
            match job {
                Job::Append { piece, done } => drop(done.send(self.append(piece))),
                Job::Sync { name, octets, done } => {
                    let begun = Instant::now();
                    let synced = self.sync(&name, octets);
                    load.synced(octets, begun.elapsed());
                    drop(done.send(synced));
                }
                Job::Read { part, done } => drop(done.send(self.read(&part))),
                Job::Remove { name } => self.remove(&name),
                Job::Free => self.free(),
            }
        }
    }

    /// As `Segments::append`, at once. So the others.
    pub fn append(&mut self, piece: Piece) -> io::Result<()> {
        let name = piece.name.clone();
        let before = match self.open.remove(&name) {
            Some(Writing::Spoilt(kind)) => Err(kind.into()),
            Some(Writing::Sound(sound)) => Ok(sound),
            None => Ok(Sound::default()),
        };
        let (writing, answer) = match before.and_then(|before| self.seal(before, piece)) {
            Ok(sound) => (Writing::Sound(sound), Ok(())),
            Err(error) => (Writing::Spoilt(error.kind()), Err(error)),
        };
        self.open.insert(name, writing);
        answer
    }

    /// Seals and writes the next chunk.
    fn seal(&self, sound: Sound, piece: Piece) -> io::Result<Sound> {
        let Piece { name, key, mut octets, last } = piece;
        if sound.whole || octets.len() > CHUNK || (!last && octets.len() != CHUNK) {
            return Err(io::Error::other("a piece that is no chunk of this body"));
        }
        let (digest, plain) = (sound.digest.chain_update(&octets), count(octets.len()));
        key.seal(sound.chunks, last, &mut octets)?;
        write(&self.directory.join(name), sound.chunks == 0, &octets)?;
        Ok(Sound {
            digest,
            octets: sound.octets + plain,
            sealed: sound.sealed + count(octets.len()),
            chunks: sound.chunks + 1,
            whole: last,
        })
    }

    pub fn sync(&mut self, name: &str, octets: u64) -> io::Result<[u8; 32]> {
        let sound = match self.open.remove(name) {
            Some(Writing::Sound(sound)) if sound.whole && sound.octets == octets => sound,
            Some(Writing::Spoilt(kind)) => return Err(kind.into()),
            _ => return Err(io::Error::other("not all of it was written")),
        };
        let file = File::open(self.directory.join(name))?;
        file.sync_data()?;
        if file.metadata()?.len() != sound.sealed {
            return Err(io::Error::other("the file has another length than what was written to it"));
        }
        // The name must be as durable as what it names.
        File::open(&self.directory)?.sync_all()?;
        Ok(sound.digest.finalize().into())
    }

    pub fn read(&self, part: &Part) -> io::Result<Vec<u8>> {
        let file = File::open(self.directory.join(&part.name))?;
        let Some(key) = &part.key else {
            // One that is sealed is longer: then its key is gone, and it must not be sent as it is.
            if file.metadata()?.len() != part.octets {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "the body has no key, and is not as it was written",
                ));
            }
            return read_at(&file, part.offset, part.length);
        };
        let (chunk, sealed) = (count(CHUNK), CHUNK + TAG);
        let number = part.offset / chunk;
        let last = number >= part.octets.saturating_sub(1) / chunk;
        let opened = key.open(number, last, read_at(&file, number * count(sealed), sealed)?)?;
        let from = usize::try_from(part.offset % chunk).unwrap_or(usize::MAX);
        let to = from.saturating_add(part.length).min(opened.len());
        Ok(opened.get(from..to).unwrap_or_default().to_vec())
    }

    pub fn remove(&mut self, name: &str) {
        self.open.remove(name);
        self.later.push(name.to_owned());
        self.free();
    }

    fn free(&mut self) {
        if self.kept.load(Ordering::Acquire) > 0 {
            return;
        }
        for name in std::mem::take(&mut self.later) {
            self.unlink(&name);
        }
    }

    fn unlink(&self, name: &str) {
        if let Err(error) = fs::remove_file(self.directory.join(name)) {
            tracing::warn!(segment = name, %error, "a body could not be removed; the next start will");
        }
    }
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

/// What is there from an offset on, up to that length.
fn read_at(file: &File, offset: u64, length: usize) -> io::Result<Vec<u8>> {
    let mut octets = vec![0; length];
    let mut read = 0;
    while let Some(rest) = octets.get_mut(read..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, offset + count(read))? {
            0 => break,
            n => read += n,
        }
    }
    octets.truncate(read);
    Ok(octets)
}

/// A segment is opened for each piece of 64 KiB: so many may be in progress that they would need more descriptors than the
/// process has, and beside such a write an open costs nothing.
fn write(path: &Path, first: bool, octets: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file = match first {
        true => options.write(true).create_new(true).mode(0o600).open(path)?,
        false => options.append(true).open(path)?,
    };
    file.write_all(octets)
}

#[cfg(test)]
mod tests;
