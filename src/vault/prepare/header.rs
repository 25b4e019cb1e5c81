//! The header of a database, and whether the file behind it can be the one: who is about to restart the service must know of a
//! damaged one while it still serves. No page is read through for that.
//! The fields: <https://www.sqlite.org/fileformat.html>, 1.3 and 4.1.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::vault::audit::month_file;
use crate::vault::store::open::{self, HEADER, KEEP, SHORT};

/// What is being written is not what it will be: a fault is one that is still there a moment later.
const LOOKS: u32 = 3;
const PAUSE: Duration = Duration::from_millis(100);
/// Octets before the frames of a write-ahead log, and before the page in each.
const LOG_HEADER: usize = 32;
const FRAME_HEADER: usize = 24;
/// Frames that are looked at: 4 GiB of pages. A longer log gets the benefit of the doubt.
const FRAMES: usize = 1 << 20;

/// A file that isn't empty.
struct Beginning {
    octets: Vec<u8>,
    length: u64,
}

/// Why the vault would not open its database.
pub fn of_the_vault(path: &Path) -> Option<String> {
    lasting(|| {
        let found = match read(path) {
            Ok(found) => found?,
            Err(error) => return unread(path, &error),
        };
        let why = match <[u8; HEADER]>::try_from(found.octets.as_slice()) {
            Err(_) => Some(SHORT.to_owned()),
            Ok(header) => open::judge(&header, found.length, has_octets(&beside(path, "-wal"))).err().or_else(|| {
                // Before its first log was copied back it says nothing of itself.
                let says = header.iter().any(|octet| *octet != 0);
                let why = misfit(path, &header, found.length).filter(|_| says)?;
                Some(format!("is damaged ({why}): {KEEP}, and restore a backup"))
            }),
        };
        why.map(|why| format!("{}: {why}", path.display()))
    })
}

/// Why the vault would not open the auditors' file that it writes.
pub fn of_the_auditors(path: &Path) -> Option<String> {
    lasting(|| {
        let found = match read(path) {
            Ok(found) => found?,
            Err(error) => return unread(path, &error),
        };
        let header = <[u8; HEADER]>::try_from(found.octets.as_slice());
        let is_sound =
            header.is_ok_and(|header| header.starts_with(open::MAGIC) && misfit(path, &header, found.length).is_none());
        (!is_sound).then(|| month_file::damaged(path))
    })
}

/// A fault that each look finds.
fn lasting(look: impl Fn() -> Option<String>) -> Option<String> {
    let mut fault = look();
    for _ in 1..LOOKS {
        if fault.is_some() {
            std::thread::sleep(PAUSE);
            fault = look();
        }
    }
    fault
}

/// None where none is yet, an empty one, or what is no file, of which others tell.
fn read(path: &Path) -> io::Result<Option<Beginning>> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_file() => {}
        Ok(_) => return Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    }
    let file = opened(path)?;
    let length = file.metadata()?.len();
    let mut octets = Vec::with_capacity(HEADER);
    file.take(u64::try_from(HEADER).unwrap_or_default()).read_to_end(&mut octets)?;
    Ok((length > 0).then_some(Beginning { octets, length }))
}

fn opened(path: &Path) -> io::Result<File> {
    // A pipe would be waited for.
    OpenOptions::new().read(true).custom_flags(nix::libc::O_NONBLOCK | nix::libc::O_NOFOLLOW).open(path)
}

/// It comes and goes, or its owner and mode are told already.
fn unread(path: &Path, error: &io::Error) -> Option<String> {
    let is_told = matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied);
    (!is_told).then(|| format!("{}: can't be read: {error}", path.display()))
}

/// How a file is not what its header says.
fn misfit(path: &Path, header: &[u8; HEADER], length: u64) -> Option<String> {
    let size = match u64::from(number(header, 16) >> 16) {
        1 => 65_536,
        size if size.is_power_of_two() && (512..=32_768).contains(&size) => size,
        size => return Some(format!("pages of {size} octets in its header")),
    };
    // What was broken off in it is put right from its journal.
    if has_octets(&beside(path, "-journal")) {
        return None;
    }
    let log = Some(beside(path, "-wal")).filter(|log| has_octets(log));
    let (there, rest) = (length / size, length % size);
    if log.is_none() && rest != 0 {
        return Some(format!("{length} octets are no whole pages of {size}"));
    }
    let counted = u64::from(number(header, 28));
    // Who doesn't know of that number leaves an old one there.
    let is_valid = number(header, 24) == number(header, 92);
    if !is_valid || there >= counted || log.is_some_and(|log| has_pages(&log, size, there, counted)) {
        return None;
    }
    Some(format!("{there} pages are there, and its header counts {counted}"))
}

/// Whether all pages behind the first `there` stand in a write-ahead log, as while it is copied back.
fn has_pages(log: &Path, size: u64, there: u64, counted: u64) -> bool {
    let Ok(log) = opened(log) else { return true };
    let mut header = [0; LOG_HEADER];
    if log.read_exact_at(&mut header, 0).is_err() || u64::from(number(&header, 8)) != size {
        return false;
    }
    let (mut frame, mut at, mut found) = ([0; FRAME_HEADER], LOG_HEADER as u64, BTreeSet::new());
    for _ in 0..FRAMES {
        // Behind its end stands what was written before it began anew, with other salts.
        if log.read_exact_at(&mut frame, at).is_err() || frame[8..16] != header[16..24] {
            return false;
        }
        let page = u64::from(number(&frame, 0));
        if page > there && page <= counted {
            found.insert(page);
        }
        if found.len() as u64 == counted - there {
            return true;
        }
        at += FRAME_HEADER as u64 + size;
    }
    true
}

fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    PathBuf::from(name)
}

fn has_octets(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| found.len() > 0)
}

fn number(octets: &[u8], at: usize) -> u32 {
    let octets = octets.get(at..at + 4).and_then(|octets| octets.try_into().ok());
    octets.map_or(0, u32::from_be_bytes)
}

#[cfg(test)]
mod tests;
