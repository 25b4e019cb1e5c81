//! The thread that copies files for a backup and reads them: nobody else waits for the disk because of it.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};
use tokio::sync::{mpsc, oneshot};

use crate::vault::audit::survey::{Lack, survey};
use crate::vault::store::room::free;

/// Jobs that may wait: there is one backup at a time, and it asks for one thing after the other; at its end its copies are
/// removed, two for each month of the log.
const QUEUE: usize = 1024;
/// Pages copied at once: 4 MiB.
const PAGES: i32 = 1024;

enum Job {
    List(oneshot::Sender<io::Result<Vec<(String, PathBuf)>>>),
    Copy { from: PathBuf, to: PathBuf, done: oneshot::Sender<Result<(), String>> },
    Check { path: PathBuf, done: oneshot::Sender<Result<(), String>> },
    Survey { kept: u64, done: oneshot::Sender<Vec<Lack>> },
    Room { beside: u64, done: oneshot::Sender<Result<(), String>> },
    Length { path: PathBuf, done: oneshot::Sender<io::Result<u64>> },
    Read { path: PathBuf, offset: u64, length: usize, done: oneshot::Sender<io::Result<Vec<u8>>> },
    Remove(PathBuf),
}

/// The way to the thread.
#[derive(Clone)]
pub struct Copier {
    queue: mpsc::Sender<Job>,
    db: PathBuf,
    busy: Arc<AtomicBool>,
}

/// Whose turn it is; the next one comes when it is dropped.
pub struct Turn(Arc<AtomicBool>);

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

impl Copier {
    pub fn start(home: PathBuf) -> Result<(Self, JoinHandle<()>), String> {
        let (queue, jobs) = mpsc::channel(QUEUE);
        let db = home.join("db");
        let thread = std::thread::Builder::new()
            .name("backup".into())
            .spawn(move || work(&home, jobs))
            .map_err(|error| format!("the thread for backups can't be made: {error}"))?;
        Ok((Self { queue, db, busy: Arc::default() }, thread))
    }

    pub fn directory(&self) -> &Path {
        &self.db
    }

    /// Takes a turn when nobody has it.
    pub fn turn(&self) -> Option<Turn> {
        let taken = self.busy.swap(true, Ordering::Acquire);
        (!taken).then(|| Turn(Arc::clone(&self.busy)))
    }

    async fn ask<T>(&self, job: impl FnOnce(oneshot::Sender<T>) -> Job) -> Result<T, String> {
        let (done, answer) = oneshot::channel();
        // A thread that is gone drops `done`.
        let _ = self.queue.send(job(done)).await;
        answer.await.map_err(|_| "the thread for backups has ended".to_owned())
    }

    /// The auditors' files and the personal ones: what the copy calls them, and where they are.
    pub async fn list(&self) -> Result<Vec<(String, PathBuf)>, String> {
        self.ask(Job::List).await?.map_err(|error| format!("the files of the log can't be listed: {error}"))
    }

    /// What is missing of the log's files. The database itself has the events from `kept` on.
    pub async fn survey(&self, kept: u64) -> Result<Vec<Lack>, String> {
        self.ask(|done| Job::Survey { kept, done }).await
    }

    /// Whether a second copy of everything that is copied finds room, and leaves so many octets free.
    pub async fn room(&self, beside: u64) -> Result<(), String> {
        self.ask(|done| Job::Room { beside, done }).await?
    }

    /// Copies a database that others may have open.
    pub async fn copy(&self, from: PathBuf, to: PathBuf) -> Result<(), String> {
        self.ask(|done| Job::Copy { from, to, done }).await?
    }

    /// Looks through a copied database, page by page.
    pub async fn check(&self, path: PathBuf) -> Result<(), String> {
        self.ask(|done| Job::Check { path, done }).await?
    }

    pub async fn length(&self, path: PathBuf) -> Result<u64, String> {
        let name = path.display().to_string();
        self.ask(|done| Job::Length { path, done }).await?.map_err(|error| format!("{name}: {error}"))
    }

    /// Some octets of a file that no database has open; none at its end.
    pub async fn read(&self, path: PathBuf, offset: u64, length: usize) -> Result<Vec<u8>, String> {
        self.ask(|done| Job::Read { path, offset, length, done }).await?.map_err(|error| error.to_string())
    }

    /// Removes a copy, when there is time.
    pub fn remove(&self, path: PathBuf) {
        // What is left over is removed at the next start.
        let _ = self.queue.try_send(Job::Remove(path));
    }
}

fn work(home: &Path, mut jobs: mpsc::Receiver<Job>) {
    while let Some(job) = jobs.blocking_recv() {
        match job {
            Job::List(done) => drop(done.send(list(home))),
            Job::Copy { from, to, done } => {
                let copied = copy(&from, &to).map_err(|error| format!("copying {}: {error}", from.display()));
                drop(done.send(copied));
            }
            Job::Check { path, done } => drop(done.send(check(&path))),
            Job::Survey { kept, done } => drop(done.send(survey(home, kept))),
            Job::Room { beside, done } => drop(done.send(room(home, beside))),
            Job::Length { path, done } => drop(done.send(fs::metadata(path).map(|found| found.len()))),
            Job::Read { path, offset, length, done } => drop(done.send(read(&path, offset, length))),
            Job::Remove(path) => {
                // One that could not be made isn't there.
                let removed = fs::remove_file(&path);
                if let Err(error) = removed
                    && error.kind() != io::ErrorKind::NotFound
                {
                    tracing::warn!(%error, "the copy {} can't be removed; the next start will", path.display());
                }
            }
        }
    }
}

fn list(home: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    let mut found = Vec::new();
    for (folder, start) in [("audit", "audit"), ("db", "personal-")] {
        for entry in fs::read_dir(home.join(folder))? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with(start) && name.ends_with(".db") && entry.metadata()?.len() > 0 {
                found.push((name, entry.path()));
            }
        }
    }
    found.sort();
    Ok(found)
}

fn room(home: &Path, beside: u64) -> Result<(), String> {
    let measure = || {
        let mut needed = fs::metadata(home.join("db").join("vault.db"))?.len();
        for (_, path) in list(home)? {
            needed = needed.saturating_add(fs::metadata(path)?.len());
        }
        io::Result::Ok((needed, free(&home.join("db"))?))
    };
    let (needed, free) = measure().map_err(|error| format!("the room for a copy can't be measured: {error}"))?;
    if free >= needed.saturating_add(beside) {
        return Ok(());
    }
    Err(format!(
        "a copy takes {needed} octets on the disk of the state directory for as long as it is made, and {free} are free, of \
         which {beside} are the reserve: make room first"
    ))
}

/// An empty file of our mode, and a connection to it that syncs nothing: a copy that a crash breaks is thrown away.
pub fn open_copy(path: &Path) -> rusqlite::Result<Connection> {
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    made.map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
    let connection = Connection::open(path)?;
    connection.execute_batch("PRAGMA synchronous=OFF;")?;
    connection.query_row("PRAGMA journal_mode=OFF", [], |_| Ok(()))?;
    Ok(connection)
}

fn copy(from: &Path, to: &Path) -> rusqlite::Result<()> {
    // Never by its octets: closing the file would take the locks that this process has on it.
    let source = Connection::open_with_flags(from, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    source.busy_timeout(std::time::Duration::from_secs(10))?;
    let mut target = open_copy(to)?;
    let backup = Backup::new(&source, &mut target)?;
    while backup.step(PAGES)? != StepResult::Done {
        std::thread::yield_now();
    }
    Ok(())
}

fn check(path: &Path) -> Result<(), String> {
    let look = || {
        let copy = Connection::open(path)?;
        // The copy says that it has a write-ahead log beside it. It has none, and shall need no second file.
        copy.query_row("PRAGMA locking_mode=EXCLUSIVE", [], |_| Ok(()))?;
        copy.query_row("PRAGMA journal_mode=DELETE", [], |_| Ok(()))?;
        copy.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0))
    };
    match look() {
        Ok(verdict) if verdict == "ok" => Ok(()),
        Ok(verdict) => Err(format!("is damaged ({verdict})")),
        Err(error) => Err(format!("its copy can't be looked through ({error})")),
    }
}

fn read(path: &Path, offset: u64, length: usize) -> io::Result<Vec<u8>> {
    let mut octets = vec![0; length];
    let n = File::open(path)?.read_at(&mut octets, offset)?;
    octets.truncate(n);
    Ok(octets)
}
