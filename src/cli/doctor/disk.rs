//! The disk under the state directory: room, names, and whether what it calls written is.

use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::statvfs::{Statvfs, statvfs};

use super::Look;
use super::finding::Sheet;
use crate::sys::room::nameless;

/// Times the reserve: below it there are hours until mail is refused, and not days.
const COMFORT: u64 = 4;
/// Percent of inodes.
const FEW: u64 = 5;
/// Flushes that are timed; the middle one counts.
const FLUSHES: usize = 9;
/// Octets of each: one page of the database.
const PAGE: [u8; 4096] = [7; 4096];
/// Slower than this, a commit is what limits the gate to a few messages in a second.
const SLOW: Duration = Duration::from_millis(100);
/// Faster than this no disk is, not even one that answers from a cache that survives a power cut: nothing was flushed.
const IMPLAUSIBLE: Duration = Duration::from_micros(10);

pub fn look(look: &Look<'_>, sheet: &mut Sheet) {
    let state = &look.plan.state_directory;
    // Before the first start: where it will be made.
    let Some(place) = state.ancestors().find(|place| place.is_dir()) else { return };
    match statvfs(place) {
        Ok(found) => room(place, &found, look.plan.spool.reserve, sheet),
        Err(error) => {
            sheet.skip("disk.space", place.display().to_string(), error.to_string());
            sheet.skip("disk.inodes", place.display().to_string(), error.to_string());
        }
    }
    match flush(place) {
        Ok(middle) => plausible(place, middle, sheet),
        Err(error) => sheet.skip(
            "disk.flush",
            format!("how long {} takes to flush a page", place.display()),
            format!("it needs a file without a name there: {error}"),
        ),
    }
}

// The types of these numbers differ between systems.
#[allow(clippy::useless_conversion)]
fn room(place: &Path, found: &Statvfs, reserve: u64, sheet: &mut Sheet) {
    let free = u64::from(found.blocks_available()).saturating_mul(u64::from(found.fragment_size()));
    let (free_mib, reserve_mib, name) = (free >> 20, reserve >> 20, place.display());
    let fix = "make room, or a larger disk: docs/operations.md, \"A full disk\"";
    if free < reserve {
        let what = format!("{free_mib} MiB are free for {name}, and {reserve_mib} MiB (spool.reserve) must be");
        sheet.fail("disk.space", what, "mail is refused until there is room", fix);
    } else if free < reserve.saturating_mul(COMFORT) {
        let what = format!("{free_mib} MiB are free for {name}; below {reserve_mib} MiB mail is refused");
        sheet.warn("disk.space", what, "one large queue fills that", fix);
    } else {
        sheet.pass("disk.space", format!("{free_mib} MiB are free for {name}"));
    }
    let (names, left) = (u64::from(found.files()), u64::from(found.files_available()));
    if names == 0 {
        sheet.skip("disk.inodes", "how many files there can be", "this file system has no such number");
    } else if left.saturating_mul(100) < names.saturating_mul(FEW) {
        let what = format!("{left} files of {names} are left for {name}");
        sheet.fail("disk.inodes", what, "large messages are files: without names for them mail is refused", fix);
    } else {
        sheet.pass("disk.inodes", format!("{left} more files can be made"));
    }
}

/// The middle time of a flush, in a file that has no name: nothing is left of it, however this ends.
fn flush(place: &Path) -> io::Result<Duration> {
    let mut file = nameless(place)?;
    let mut times = Vec::with_capacity(FLUSHES);
    for _ in 0..FLUSHES {
        file.write_all(&PAGE)?;
        let begun = Instant::now();
        file.sync_data()?;
        times.push(begun.elapsed());
    }
    times.sort_unstable();
    times.get(FLUSHES / 2).copied().ok_or_else(|| io::Error::other("nothing was timed"))
}

fn plausible(place: &Path, middle: Duration, sheet: &mut Sheet) {
    let (name, us) = (place.display(), middle.as_micros());
    if middle > SLOW {
        sheet.warn(
            "disk.flush",
            format!("{name} takes {us} microseconds to flush a page"),
            "every message waits for that, and mail is put off when it gets slower (spool.shed_latency)",
            "keep the state directory on a disk of its own, or a faster one",
        );
    } else if middle < IMPLAUSIBLE {
        sheet.warn(
            "disk.flush",
            format!("{name} flushes a page in {us} microseconds, which no disk does"),
            "it is memory, or something says so that did not do it: what was accepted is lost with the power",
            "keep the state directory on a real disk, with write barriers on",
        );
    } else {
        sheet.pass("disk.flush", format!("{name} flushes a page in {us} microseconds"));
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;

    #[test]
    fn what_no_disk_does_and_what_is_too_slow_are_told() {
        for (time, level) in [
            (Duration::from_micros(2), Level::Warn),
            (Duration::from_micros(60), Level::Pass),
            (Duration::from_millis(9), Level::Pass),
            (Duration::from_millis(300), Level::Warn),
        ] {
            let mut sheet = Sheet::default();
            plausible(Path::new("/x"), time, &mut sheet);
            assert_eq!(sheet.worst(), level, "{time:?}");
        }
    }

    #[test]
    fn a_reserve_that_the_disk_has_not_and_one_that_is_near_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let found = statvfs(folder.path()).unwrap();
        let free = found.blocks_available() * found.fragment_size();
        for (reserve, level) in [(free.saturating_mul(2), Level::Fail), (free / 2, Level::Warn), (1, Level::Pass)] {
            let mut sheet = Sheet::default();
            room(folder.path(), &found, reserve, &mut sheet);
            assert_eq!(sheet.0[0].level, level, "{reserve} of {free}");
        }
    }
}
