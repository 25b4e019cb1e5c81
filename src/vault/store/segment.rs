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
    Sync { name: String, octets: u64, done: oneshot::Sender<io::Result<[u8; 32]>> },
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
            .spawn(move || Files::new(directory).work(jobs))
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

    /// Makes a segment of so many octets durable and gives its SHA-256. One that lacks any of them is an error.
    pub async fn sync(&self, name: String, octets: u64) -> oneshot::Receiver<io::Result<[u8; 32]>> {
        let (done, answer) = oneshot::channel();
        let _ = self.queue.send(Job::Sync { name, octets, done }).await;
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

/// A segment that is being written.
enum Writing {
    Sound {
        digest: Sha256,
        octets: u64,
    },
    /// A piece of it could not be written, for this reason. It stays so until it is removed: whoever asked may not have
    /// heard of it when the next piece comes, and a body with a hole must never be kept.
    Spoilt(io::ErrorKind),
}

struct Files {
    directory: PathBuf,
    open: HashMap<String, Writing>,
}

impl Files {
    fn new(directory: PathBuf) -> Self {
        Self { directory, open: HashMap::new() }
    }

    fn work(mut self, mut jobs: mpsc::Receiver<Job>) {
        while let Some(job) = jobs.blocking_recv() {
            // Those who asked may be gone.
            match job {
                Job::Append { name, octets, done } => drop(done.send(self.append(name, &octets))),
                Job::Sync { name, octets, done } => drop(done.send(self.sync(&name, octets))),
                Job::Read { name, offset, length, done } => drop(done.send(self.read(&name, offset, length))),
                Job::Remove { name } => self.remove(&name),
            }
        }
    }

    fn append(&mut self, name: String, octets: &[u8]) -> io::Result<()> {
        let (path, length) = (self.directory.join(&name), u64::try_from(octets.len()).unwrap_or(u64::MAX));
        let before = match self.open.remove(&name) {
            Some(Writing::Spoilt(kind)) => Err(kind.into()),
            Some(Writing::Sound { digest, octets }) => Ok(Some((digest, octets))),
            None => Ok(None),
        };
        let written = before.and_then(|before| write(&path, before.is_none(), octets).map(|()| before));
        let (writing, answer) = match written {
            Ok(before) => {
                let (digest, so_far) = before.unwrap_or_default();
                let writing = Writing::Sound { digest: digest.chain_update(octets), octets: so_far + length };
                (writing, Ok(()))
            }
            Err(error) => (Writing::Spoilt(error.kind()), Err(error)),
        };
        self.open.insert(name, writing);
        answer
    }

    fn sync(&mut self, name: &str, octets: u64) -> io::Result<[u8; 32]> {
        let digest = match self.open.remove(name) {
            Some(Writing::Sound { digest, octets: written }) if written == octets => digest,
            Some(Writing::Spoilt(kind)) => return Err(kind.into()),
            _ => return Err(io::Error::other("not all of it was written")),
        };
        let file = File::open(self.directory.join(name))?;
        file.sync_data()?;
        if file.metadata()?.len() != octets {
            return Err(io::Error::other("the file has another length than what was written to it"));
        }
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
mod tests {
    use std::os::unix::fs::symlink;

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
            let digest = segments.sync(kept.clone(), 1010).await.await.unwrap().unwrap();
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

    #[test]
    fn a_segment_that_lacks_a_piece_never_becomes_durable() {
        // What the second piece finds in the place of the file: something that can't be opened, a device without room.
        let blocks: [fn(&Path); 2] = [|path| fs::create_dir(path).unwrap(), |path| symlink("/dev/full", path).unwrap()];
        for (block, lacking) in blocks.into_iter().zip(["/", "/dev/full"]) {
            if !Path::new(lacking).exists() {
                continue;
            }
            let directory = tempfile::tempdir().unwrap();
            let (path, aside) = (directory.path().join("body-1"), directory.path().join("aside"));
            let mut files = Files::new(directory.path().to_owned());
            files.append("body-1".into(), &[1; 10]).unwrap();
            fs::rename(&path, &aside).unwrap();
            block(&path);
            let why = files.append("body-1".into(), &[2; 10]).unwrap_err().kind();
            fs::rename(&path, directory.path().join("block")).unwrap();
            fs::rename(&aside, &path).unwrap();
            let later = files.append("body-1".into(), &[3; 10]).map_err(|error| error.kind());
            assert_eq!(later, Err(why), "the later piece has the first one's reason");
            // The file may well be as long as the pieces that came.
            assert!(files.sync("body-1", 20).is_err(), "{lacking}");
        }
    }

    #[test]
    fn a_segment_that_could_not_be_made_is_not_made_by_its_second_piece() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("body-1");
        let mut files = Files::new(directory.path().to_owned());
        fs::write(&path, b"in the way").unwrap();
        assert!(files.append("body-1".into(), &[1; 10]).is_err());
        fs::remove_file(&path).unwrap();
        assert!(files.append("body-1".into(), &[2; 10]).is_err());
        assert!(files.sync("body-1", 10).is_err());
    }

    #[test]
    fn a_segment_is_as_long_as_the_transaction_counted() {
        let directory = tempfile::tempdir().unwrap();
        let mut files = Files::new(directory.path().to_owned());
        let cases = [("a", 10, false, true), ("b", 11, false, false), ("c", 10, true, false), ("d", 11, true, false)];
        for (name, counted, grows, is_kept) in cases {
            files.append(name.into(), &[1; 10]).unwrap();
            if grows {
                fs::write(directory.path().join(name), [1; 11]).unwrap();
            }
            assert_eq!(files.sync(name, counted).is_ok(), is_kept, "{name}");
        }
    }
}
