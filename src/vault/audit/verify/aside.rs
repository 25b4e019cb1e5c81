//! Other names for the vault's database and its write-ahead log, in a folder of our own, for as long as it takes to open them:
//! SQLite wants to make files beside what it opens, and in the vault's folder anything may be put in its way.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::signal::kill;
use nix::unistd::{Pid, Uid, mkdtemp};

/// What a folder is called before the number of the process that made it.
const NAME: &str = "gatepost-verify-";

pub struct Aside(PathBuf);

impl Aside {
    /// In the state directory, where it is ours alone and takes no room; else a copy, in the directory for temporary files.
    ///
    /// Errors: why in neither, in words.
    pub fn make(state: &Path, database: &Path) -> Result<Self, String> {
        let temporary = std::env::temp_dir();
        let parents = [Some(state).filter(|state| is_ours(state)), Some(temporary.as_path())];
        let mut obstacles = Vec::new();
        for parent in parents.into_iter().flatten() {
            match Self::make_in(parent, database) {
                Ok(aside) => return Ok(aside),
                Err(error) => obstacles.push(format!("{} ({error})", parent.display())),
            }
        }
        Err(format!("it can't be set aside to be read, in {}", obstacles.join(" or ")))
    }

    fn make_in(parent: &Path, database: &Path) -> io::Result<Self> {
        sweep(parent)?;
        // Made for its owner alone, as mkdtemp(3) has it.
        let template = parent.join(format!("{NAME}{}-{}", std::process::id(), "X".repeat(6)));
        let aside = Self(fs::canonicalize(mkdtemp(&template)?)?);
        for extension in ["db", "db-wal"] {
            let (from, to) = (database.with_extension(extension), aside.database().with_extension(extension));
            if fs::hard_link(&from, &to).is_err() {
                io::copy(&mut plain(&from)?, &mut File::create_new(&to)?)?;
            }
            plain(&to)?;
        }
        Ok(aside)
    }

    pub fn database(&self) -> PathBuf {
        self.0.join("vault.db")
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            eprintln!("gatepost: remove {} yourself, it has the vault's database: {error}", self.0.display());
        }
    }
}

/// Whether nobody else can put anything in there, or take it away.
fn is_ours(folder: &Path) -> bool {
    fs::metadata(folder)
        .is_ok_and(|about| about.uid() == Uid::effective().as_raw() && about.permissions().mode() & 0o022 == 0)
}

/// Removes what a process left there that was killed meanwhile.
fn sweep(parent: &Path) -> io::Result<()> {
    for entry in fs::read_dir(parent)? {
        let entry = entry?;
        let name = entry.file_name();
        let pid = name.to_str().and_then(|name| name.strip_prefix(NAME)?.split_once('-')?.0.parse::<i32>().ok());
        let is_left = pid.is_some_and(|pid| pid > 0 && kill(Pid::from_raw(pid), None) == Err(Errno::ESRCH));
        if is_left && is_ours(&entry.path()) {
            // It may be gone by now.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
    Ok(())
}

/// Opens what is a file, and no way to another one, a pipe or a device: nobody waits for who may write into that.
pub fn plain(path: &Path) -> io::Result<File> {
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits()).open(path)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::other("it is no regular file")),
    }
}
