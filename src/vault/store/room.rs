//! Room on the disk: how much there is, when mail is refused for want of it, and the ballast that is thrown off so that what
//! was accepted can still be delivered and written down.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use nix::sys::statvfs::statvfs;

use crate::sys;
use crate::vault::audit::event::{Event, Name, Outcome};

/// The file that takes room away until it is needed.
const BALLAST: &str = "ballast";
/// It is written in pieces of this size, where room can't be reserved.
const PIECE: usize = 1024 * 1024;

/// Whether there is room for more mail, as everybody in the vault sees it.
#[derive(Clone, Debug, Default)]
pub struct Room(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    short: AtomicBool,
    /// Octets that were free at the last look.
    free: AtomicU64,
}

impl Room {
    /// New mail is refused: it could not be kept, or would take the room that the outcomes of the old need.
    pub fn is_short(&self) -> bool {
        self.0.short.load(Ordering::Relaxed)
    }

    /// Octets that were free when it was looked last. None: it was not looked yet.
    pub fn free(&self) -> Option<u64> {
        Some(self.0.free.load(Ordering::Relaxed)).filter(|free| *free > 0)
    }

    fn set(&self, short: bool) {
        self.0.short.store(short, Ordering::Relaxed);
    }
}

/// A change that is worth an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// So many octets are free, or none could be had.
    Short(u64),
    Recovered,
}

impl Change {
    /// What it is in both logs.
    pub fn event(self) -> Event {
        match self {
            Self::Short(free) => {
                tracing::error!(free, "the disk is full: nothing is accepted until there is room");
                let data = Some(serde_json::json!({ "free": free }).to_string());
                Event { severity: 2, data, ..Event::new(Name::StoreFull, Outcome::Failure) }
            }
            Self::Recovered => {
                tracing::info!("there is room on the disk again: mail is accepted");
                Event::new(Name::StoreRecovered, Outcome::Info)
            }
        }
    }
}

/// How much is kept free, and what is done about it.
#[derive(Debug)]
pub struct Watch {
    directory: PathBuf,
    /// Octets free below which no mail is taken, and of the ballast.
    reserve: u64,
    ballast: u64,
    room: Room,
    /// Whether the ballast is in its place.
    loaded: bool,
    short: bool,
    /// It was thrown off before anybody could be told.
    untold: bool,
}

impl Watch {
    /// Looks after `db/`. Takes the ballast on board if there is room for it.
    pub fn new(directory: PathBuf, reserve: u64, ballast: u64) -> Self {
        let mut watch =
            Self { directory, reserve, ballast, room: Room::default(), loaded: false, short: false, untold: false };
        watch.load();
        watch
    }

    pub fn room(&self) -> Room {
        self.room.clone()
    }

    pub fn is_short(&self) -> bool {
        self.short
    }

    /// A write found no room: throws the ballast off.
    pub fn full(&mut self) -> Option<Change> {
        throw_off(&self.directory);
        self.loaded = false;
        self.begin_short(0)
    }

    /// The start needed the room of the ballast: there is none for more mail, unless it could be put back meanwhile.
    pub fn was_thrown_off(&mut self) {
        self.untold = !self.loaded;
        self.room.set(self.untold);
    }

    /// The last run ended while room was short: its end is still to be told.
    pub fn go_on_short(&mut self) {
        self.short = true;
        let enough = self.enough();
        self.room.set(!free(&self.directory).is_ok_and(|free| free >= enough));
    }

    /// Looks how much room there is.
    pub fn look(&mut self) -> Option<Change> {
        let free = match free(&self.directory) {
            Ok(free) => free,
            Err(error) => {
                tracing::error!(%error, "the room on the disk can't be looked at");
                return None;
            }
        };
        self.room.0.free.store(free, Ordering::Relaxed);
        if !self.short {
            let untold = std::mem::take(&mut self.untold);
            return if untold || free < self.reserve { self.begin_short(free) } else { None };
        }
        if free < self.enough() {
            return None;
        }
        self.load();
        if !self.loaded && self.ballast > 0 {
            return None;
        }
        self.short = false;
        self.room.set(false);
        Some(Change::Recovered)
    }

    /// What must be free again: a quarter more than the limit, so that it isn't crossed to and fro.
    fn enough(&self) -> u64 {
        let enough = self.reserve.saturating_add(self.reserve / 4);
        if self.loaded { enough } else { enough.saturating_add(self.ballast) }
    }

    fn begin_short(&mut self, free: u64) -> Option<Change> {
        self.room.set(true);
        (!std::mem::replace(&mut self.short, true)).then_some(Change::Short(free))
    }

    /// Puts the ballast in its place, when it isn't there in its full length.
    fn load(&mut self) {
        let path = self.directory.join(BALLAST);
        let there = fs::metadata(&path).map_or(0, |found| found.len());
        if there == self.ballast && self.ballast > 0 {
            self.loaded = true;
            return;
        }
        let written = match self.ballast {
            0 => fs::remove_file(&path).or_else(|error| match error.kind() {
                io::ErrorKind::NotFound => Ok(()),
                _ => Err(error),
            }),
            // Never so that it is its own weight that makes room short.
            _ if !free(&self.directory).is_ok_and(|free| free >= self.ballast.saturating_add(self.reserve)) => {
                Err(io::ErrorKind::StorageFull.into())
            }
            octets => fill(&path, octets),
        };
        self.loaded = written.is_ok() && self.ballast > 0;
        if let Err(error) = written {
            let _ = fs::remove_file(&path);
            tracing::warn!(%error, octets = self.ballast, "there is no room for the ballast");
        }
    }
}

/// Octets that a start writes at most before it looks at the room: the log of its first transactions.
const START: u64 = 1024 * 1024;

/// Before a database is opened: on a disk that is full to the last octet, the ballast makes room for that.
/// True when it did.
pub fn make_way(directory: &Path) -> bool {
    let needed = free(directory).is_ok_and(|free| free < START) && directory.join(BALLAST).exists();
    if needed {
        throw_off(directory);
    }
    needed
}

fn throw_off(directory: &Path) {
    let path = directory.join(BALLAST);
    let octets = fs::metadata(&path).map_or(0, |found| found.len());
    match fs::remove_file(&path) {
        Ok(()) => tracing::warn!(octets, "the ballast was thrown off to end what was begun"),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => tracing::error!(%error, "the ballast {} can't be thrown off", path.display()),
    }
}

/// Octets that this user can still write in a directory.
pub fn free(directory: &Path) -> io::Result<u64> {
    let found = statvfs(directory)?;
    // Their types differ between systems.
    #[allow(clippy::useless_conversion)]
    let (blocks, size) = (u64::from(found.blocks_available()), u64::from(found.fragment_size()));
    Ok(blocks.saturating_mul(size))
}

/// Takes that much room for a file, by writing where it can't be reserved.
fn fill(path: &Path, octets: u64) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    if !sys::room::reserve(&file, octets)? {
        let mut piece = vec![0; PIECE];
        // What compresses to nothing would take no room.
        getrandom::fill(&mut piece).map_err(io::Error::other)?;
        let mut left = octets;
        while left > 0 {
            let next = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
            file.write_all(piece.get(..next).unwrap_or_default())?;
            left -= u64::try_from(next).unwrap_or(left);
        }
    }
    file.sync_all()?;
    path.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ballast_is_thrown_off_once_and_comes_back_when_there_is_room() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(BALLAST);
        let mut watch = Watch::new(directory.path().to_owned(), 1, 3 * 1024 * 1024 + 5);
        assert_eq!(fs::metadata(&path).unwrap().len(), 3 * 1024 * 1024 + 5);
        assert_eq!(watch.look(), None);
        let room = watch.room();
        assert!(!room.is_short());
        assert_eq!(watch.full(), Some(Change::Short(0)));
        assert!(room.is_short() && !path.exists());
        assert_eq!(watch.full(), None, "it is said once");
        assert_eq!(watch.look(), Some(Change::Recovered));
        assert!(!room.is_short() && path.exists());
    }

    #[test]
    fn what_was_short_before_a_restart_is_told_of_when_it_ends() {
        let directory = tempfile::tempdir().unwrap();
        let mut watch = Watch::new(directory.path().to_owned(), 1, 1024 * 1024);
        assert_eq!(watch.look(), None);
        watch.go_on_short();
        assert!(!watch.room().is_short(), "there is room: nobody is refused meanwhile");
        assert_eq!((watch.look(), watch.look()), (Some(Change::Recovered), None));
        let small = tempfile::tempdir().unwrap();
        let mut thrown = Watch::new(small.path().to_owned(), u64::MAX / 2, 1);
        thrown.reserve = 1;
        thrown.was_thrown_off();
        assert!(thrown.room().is_short());
        assert!(
            matches!(thrown.look(), Some(Change::Short(free)) if free > 0),
            "although there is more than the reserve"
        );
        watch.reserve = u64::MAX / 2;
        watch.go_on_short();
        assert!(watch.room().is_short());
        assert_eq!(watch.look(), None, "it was told");
    }

    #[test]
    fn mail_is_refused_before_the_disk_is_full_and_the_ballast_stays() {
        let directory = tempfile::tempdir().unwrap();
        let mut watch = Watch::new(directory.path().to_owned(), 1, 1024 * 1024);
        watch.reserve = u64::MAX / 2;
        assert!(matches!(watch.look(), Some(Change::Short(free)) if free > 0));
        assert!(watch.room().is_short() && directory.path().join(BALLAST).exists());
        assert_eq!(watch.look(), None);
        watch.reserve = 1;
        assert_eq!(watch.look(), Some(Change::Recovered));
    }

    #[test]
    fn without_a_ballast_there_is_no_file() {
        let directory = tempfile::tempdir().unwrap();
        drop(Watch::new(directory.path().to_owned(), 1, 4096));
        let watch = Watch::new(directory.path().to_owned(), 1, 0);
        assert!(!watch.loaded && !directory.path().join(BALLAST).exists());
    }
}
