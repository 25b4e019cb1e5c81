//! Where a file or folder is written: it appears whole under its name or not at all, and never takes another's place.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::vault::audit::archive::{unreadable, usage};
use crate::vault::audit::verify::Fault;

/// Masked values are still nothing for everybody; the umask may take more.
const FILE_MODE: u32 = 0o640;
const FOLDER_MODE: u32 = 0o750;

/// A draft beside the place it is for. It is removed unless it is settled.
pub struct Target {
    place: PathBuf,
    draft: PathBuf,
    is_settled: bool,
}

impl Target {
    /// Errors: there is something of that name already.
    pub fn new(place: &Path) -> Result<Self, Fault> {
        let name = place.file_name().ok_or_else(|| usage(format!("{}: is no name for a file", place.display())))?;
        let mut hidden = OsString::from(".");
        hidden.push(name);
        hidden.push(format!(".{}.part", std::process::id()));
        let target = Self { place: place.to_owned(), draft: place.with_file_name(hidden), is_settled: false };
        if place.symlink_metadata().is_ok() {
            return Err(target.taken());
        }
        Ok(target)
    }

    /// Writes a small file.
    pub fn write(place: &Path, octets: &[u8]) -> Result<(), Fault> {
        let target = Self::new(place)?;
        let mut file = target.file()?;
        file.write_all(octets).map_err(|error| target.failed(&error))?;
        target.settle_file(&file)
    }

    pub fn file(&self) -> Result<File, Fault> {
        let made = OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(&self.draft);
        made.map_err(|error| self.failed(&error))
    }

    /// The folder to fill.
    pub fn folder(&self) -> Result<&Path, Fault> {
        DirBuilder::new().mode(FOLDER_MODE).create(&self.draft).map_err(|error| self.failed(&error))?;
        Ok(&self.draft)
    }

    /// Gives the file its name, once it is on the disk.
    pub fn settle_file(mut self, file: &File) -> Result<(), Fault> {
        file.sync_all().map_err(|error| self.failed(&error))?;
        // A link takes nobody's place, where renaming would.
        match fs::hard_link(&self.draft, &self.place) {
            Ok(()) => fs::remove_file(&self.draft).map_err(|error| self.failed(&error))?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(self.taken()),
            // A file system without links.
            Err(_) if self.place.symlink_metadata().is_ok() => return Err(self.taken()),
            Err(_) => fs::rename(&self.draft, &self.place).map_err(|error| self.failed(&error))?,
        }
        self.is_settled = true;
        self.keep_name()
    }

    /// Gives the folder its name, once all in it is on the disk.
    pub fn settle_folder(mut self) -> Result<(), Fault> {
        nix::unistd::sync();
        if self.place.symlink_metadata().is_ok() {
            return Err(self.taken());
        }
        // A folder takes the place of an empty one at most.
        fs::rename(&self.draft, &self.place).map_err(|error| self.failed(&error))?;
        self.is_settled = true;
        self.keep_name()
    }

    fn keep_name(&self) -> Result<(), Fault> {
        let parent = self.place.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(parent).and_then(|folder| folder.sync_all()).map_err(|error| self.failed(&error))
    }

    pub fn failed(&self, error: &io::Error) -> Fault {
        unreadable(format!("writing {}: {error}", self.place.display()))
    }

    fn taken(&self) -> Fault {
        usage(format!("{} exists already: choose another name, or move it away", self.place.display()))
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        if !self.is_settled {
            // The first is for a file, the second for a folder; most often there is nothing yet.
            let _ = fs::remove_file(&self.draft).or_else(|_| fs::remove_dir_all(&self.draft));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn it_takes_nobodys_place_and_leaves_nothing_half() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (folder.path().join("one"), folder.path().join("two"));
        Target::write(&one, b"first").unwrap();
        assert!(Target::write(&one, b"second").unwrap_err().what.contains("exists already"));
        let late = Target::new(&two).unwrap();
        let file = late.file().unwrap();
        assert_eq!(names(folder.path()).len(), 2, "the draft has another name");
        fs::write(&two, b"somebody else's").unwrap();
        assert!(late.settle_file(&file).unwrap_err().what.contains("exists already"));
        let given_up = Target::new(&folder.path().join("three")).unwrap();
        fs::write(given_up.folder().unwrap().join("part"), b"x").unwrap();
        drop(given_up);
        assert_eq!(names(folder.path()), ["one", "two"]);
        assert_eq!(
            (fs::read(&one).unwrap(), fs::read(&two).unwrap()),
            (b"first".to_vec(), b"somebody else's".to_vec())
        );
        let whole = Target::new(&folder.path().join("three")).unwrap();
        fs::write(whole.folder().unwrap().join("part"), b"x").unwrap();
        whole.settle_folder().unwrap();
        assert_eq!(names(folder.path()), ["one", "three", "two"]);
    }
}
