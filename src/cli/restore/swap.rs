//! The last step of a restore: what was restored takes the place of what was there. A power cut leaves a mark, with which no
//! service starts, and the same command ends what was begun.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::vault::restored::UNFINISHED;

/// In this order: `db/` has the mark that all mail is held with, so there is never a log without its mail.
const FOLDERS: [&str; 2] = ["db", "audit"];

/// What a restore does with what is there.
#[derive(Debug, PartialEq, Eq)]
pub struct Swap {
    /// Part of the names of what is renamed.
    pub stamp: String,
    /// The folders that something of before is in.
    pub occupied: Vec<String>,
    /// A restore was broken off in its last step; this one ends it.
    pub goes_on: bool,
}

impl Swap {
    /// Looks at what is there, or what a swap that was broken off had found.
    pub fn look(state: &Path, stamp: String) -> io::Result<Self> {
        match fs::read_to_string(state.join(UNFINISHED)) {
            Ok(text) => {
                let mut words = text.split_whitespace().map(str::to_owned);
                let stamp = words.next().filter(|stamp| stamp.chars().all(|c| c.is_ascii_alphanumeric()));
                let stamp = stamp.ok_or_else(|| {
                    let text = format!("{UNFINISHED} is not what a restore writes: see what is there, and remove it");
                    io::Error::new(io::ErrorKind::InvalidData, text)
                })?;
                Ok(Self { stamp, occupied: words.collect(), goes_on: true })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let occupied = FOLDERS.into_iter().filter(|name| is_occupied(&state.join(name)));
                Ok(Self { stamp, occupied: occupied.map(str::to_owned).collect(), goes_on: false })
            }
            Err(error) => Err(error),
        }
    }

    /// Puts the drafts `db.restoring` and `audit.restoring`, which are on the disk, in their places.
    pub fn end(&self, state: &Path) -> io::Result<()> {
        self.mark(state)?;
        for name in FOLDERS {
            self.clear(state, name)?;
            fs::rename(state.join(format!("{name}.restoring")), state.join(name))?;
        }
        File::open(state)?.sync_all()?;
        fs::remove_file(state.join(UNFINISHED))?;
        File::open(state)?.sync_all()
    }

    fn mark(&self, state: &Path) -> io::Result<()> {
        if self.goes_on {
            return Ok(());
        }
        let draft = state.join(format!("{UNFINISHED}.new"));
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
        file.write_all(format!("{} {}\n", self.stamp, self.occupied.join(" ")).as_bytes())?;
        file.sync_all()?;
        fs::rename(draft, state.join(UNFINISHED))?;
        File::open(state)?.sync_all()
    }

    /// Renames what is in the way: what was there before to its name, and what a swap that was broken off had put there to
    /// another, so that nobody takes it for that.
    fn clear(&self, state: &Path, name: &str) -> io::Result<()> {
        let (path, before) = (state.join(name), self.before(state, name));
        if !is_occupied(&path) {
            return if path.exists() { fs::remove_dir(path) } else { Ok(()) };
        }
        if self.occupied.iter().any(|one| one == name) && !before.exists() {
            return fs::rename(path, before);
        }
        let unfinished = |n: u32| state.join(format!("{name}.unfinished-{}-{n}", self.stamp));
        // A number that is free: so often no restore is broken off.
        let free = (1..1000).map(unfinished).find(|path| !path.exists()).unwrap_or_else(|| unfinished(0));
        fs::rename(path, free)
    }

    fn before(&self, state: &Path, name: &str) -> PathBuf {
        state.join(format!("{name}.before-{}", self.stamp))
    }
}

/// Whether something is there that a restore would take the place of.
fn is_occupied(path: &Path) -> bool {
    match fs::read_dir(path) {
        Ok(mut entries) => entries.next().is_some(),
        Err(error) => error.kind() != io::ErrorKind::NotFound,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder with one file, which says what it is.
    fn folder(path: PathBuf, what: &str) {
        fs::create_dir(&path).unwrap();
        fs::write(path.join("what"), what).unwrap();
    }

    fn what(path: &Path) -> String {
        fs::read_to_string(path.join("what")).unwrap_or_default()
    }

    fn drafts(state: &Path) {
        for name in FOLDERS {
            let draft = state.join(format!("{name}.restoring"));
            let _ = fs::remove_dir_all(&draft);
            folder(draft, "new");
        }
    }

    #[test]
    fn broken_off_anywhere_it_goes_on_and_what_was_there_keeps_its_name() {
        for old in [true, false] {
            for done in 0..=4 {
                let home = tempfile::tempdir().unwrap();
                let state = home.path();
                if old {
                    FOLDERS.iter().for_each(|name| folder(state.join(name), "old"));
                }
                drafts(state);
                let swap = Swap::look(state, "T1".into()).unwrap();
                assert_eq!((swap.occupied.len(), swap.goes_on), (if old { 2 } else { 0 }, false));
                // As far as it came before the cut.
                swap.mark(state).unwrap();
                let steps = FOLDERS.into_iter().flat_map(|name| [(name, true), (name, false)]);
                for (name, aside) in steps.take(done) {
                    match aside {
                        true => swap.clear(state, name).unwrap(),
                        false => fs::rename(state.join(format!("{name}.restoring")), state.join(name)).unwrap(),
                    }
                }
                assert!(done < 4 || what(&state.join("audit")) == "new");
                drafts(state);
                let again = Swap::look(state, "T2".into()).unwrap();
                assert_eq!((again.stamp.as_str(), &again.occupied, again.goes_on), ("T1", &swap.occupied, true));
                again.end(state).unwrap();
                for name in FOLDERS {
                    assert_eq!(what(&state.join(name)), "new", "{old} {done}");
                    let before = if old { "old" } else { "" };
                    assert_eq!(what(&state.join(format!("{name}.before-T1"))), before, "{old} {done} {name}");
                    assert!(!state.join(format!("{name}.before-T2")).exists());
                }
                assert!(!state.join(UNFINISHED).exists());
            }
        }
    }

    #[test]
    fn a_mark_that_no_restore_wrote_is_not_believed() {
        let home = tempfile::tempdir().unwrap();
        for text in ["", "../x db"] {
            fs::write(home.path().join(UNFINISHED), text).unwrap();
            assert!(Swap::look(home.path(), "T1".into()).is_err(), "{text:?}");
        }
    }
}
