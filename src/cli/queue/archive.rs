//! The file that an export writes. What was not told to the log has no end, so that nobody takes it in.

use std::fs::{self, File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::tar;

pub fn header(name: &str, size: u64, seconds: u64) -> Result<Vec<u8>, String> {
    tar::header(name, size, seconds).map_err(|error| error.to_string())
}

/// What an export that failed left where it could not remove it: an empty file of our own, that nobody else reads or names.
fn empty(path: &Path) -> Option<File> {
    let flags = nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK;
    let file = OpenOptions::new().append(true).custom_flags(flags).open(path).ok()?;
    let is = file.metadata().ok()?;
    let is_ours = is.uid() == nix::unistd::geteuid().as_raw() && is.nlink() == 1 && is.mode() & 0o777 == 0o600;
    (is.is_file() && is.len() == 0 && is_ours).then_some(file)
}

/// Where it is written to.
pub struct Archive {
    /// None is standard output.
    file: Option<(File, PathBuf)>,
    /// The directory of the file: its name must be as durable as what is in it.
    folder: Option<File>,
    pub length: u64,
}

impl Archive {
    /// Before anything else: what is opened later may be out of reach.
    pub fn create(path: Option<&Path>) -> Result<Self, String> {
        let Some(path) = path else {
            if io::stdout().is_terminal() {
                return Err("an archive is nothing for a terminal: give --out FILE, or redirect it".to_owned());
            }
            return Ok(Self { file: None, folder: None, length: 0 });
        };
        let said = |error: io::Error| match error.kind() {
            io::ErrorKind::AlreadyExists => format!("{} exists already: name a file that does not", path.display()),
            _ => format!("{}: {error}", path.display()),
        };
        // Each write goes to where the file ends, also when a part of it was taken back.
        let file = match OpenOptions::new().append(true).create_new(true).mode(0o600).open(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => empty(path).ok_or(error),
            opened => opened,
        };
        let file = file.map_err(said)?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let folder = Some(File::open(folder).map_err(said)?);
        let path = std::path::absolute(path).map_err(said)?;
        Ok(Self { file: Some((file, path)), folder, length: 0 })
    }

    pub fn write(&mut self, octets: &[u8]) -> Result<(), String> {
        let written = match &mut self.file {
            Some((file, _)) => file.write_all(octets),
            None => io::stdout().write_all(octets),
        };
        written.map_err(|error| format!("writing the archive: {error}"))?;
        self.length += u64::try_from(octets.len()).unwrap_or_default();
        Ok(())
    }

    pub fn file(&mut self, name: &str, content: &[u8], seconds: u64) -> Result<(), String> {
        let size = u64::try_from(content.len()).unwrap_or(u64::MAX);
        self.write(&header(name, size, seconds)?)?;
        self.write(content)?;
        self.write(&tar::padding(size))
    }

    /// Undoes what was written from there on.
    pub fn take_back(&mut self, to: u64) -> Result<(), String> {
        match &self.file {
            _ if self.length == to => Ok(()),
            Some((file, path)) => {
                self.length = to;
                file.set_len(to).map_err(|error| format!("{}: {error}", path.display()))
            }
            None => Err("a message could not be read to its end: give --out FILE, where it can be left out".to_owned()),
        }
    }

    /// Has on the disk all but its end, for which there is room then.
    pub fn sync(&mut self) -> Result<(), String> {
        let content = self.length;
        if self.file.is_some() {
            self.write(&tar::end())?;
            self.take_back(content)?;
        }
        self.flush()
    }

    /// Ends it: only from then on it is taken for an archive.
    pub fn finish(&mut self) -> Result<(), String> {
        let end = tar::end();
        match &self.file {
            // It is made of zeros.
            Some((file, path)) => {
                let length = self.length.saturating_add(u64::try_from(end.len()).unwrap_or_default());
                file.set_len(length).map_err(|error| format!("{}: {error}", path.display()))?;
            }
            None => self.write(&end)?,
        }
        self.flush()
    }

    fn flush(&self) -> Result<(), String> {
        let synced = match (&self.file, &self.folder) {
            (Some((file, _)), Some(folder)) => file.sync_all().and_then(|()| folder.sync_all()),
            _ => io::stdout().flush(),
        };
        synced.map_err(|error| format!("writing the archive: {error}"))
    }

    /// A part of an archive is worth nothing.
    pub fn remove(&self) {
        if let Some((file, path)) = &self.file {
            // Where this process may not remove it any more, it is empty, and not taken for an archive.
            let _ = file.set_len(0).and_then(|()| fs::remove_file(path));
        }
    }
}
