//! Where a secret, a key or a certificate comes from. The plan names the place; whoever needs it opens it.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::secret::Secret;

/// The longest secret given in the environment or inline. It is handed over through a pipe, whose buffer holds far more,
/// so that writing it waits for nobody.
const MAX_INLINE: usize = 1024;

#[derive(Clone, Debug)]
pub enum Source {
    File(PathBuf),
    /// A systemd credential: a file in `$CREDENTIALS_DIRECTORY`.
    Credential(String),
    /// A variable of the environment.
    Environment(String),
    /// In the configuration itself, which is then 0600.
    Inline(Secret<String>),
}

impl Source {
    /// A file by its whole path, or `credential:NAME`.
    ///
    /// Errors: what to write instead.
    pub fn file(text: &str) -> Result<Self, String> {
        match text.strip_prefix("credential:") {
            Some(name) => credential(name),
            None if Path::new(text).is_absolute() => Ok(Self::File(text.into())),
            None => Err(format!("{text:?}: write the whole path, from / on, or \"credential:NAME\"")),
        }
    }

    /// `credential:NAME` or `env:NAME`. The text may be a secret written in the wrong place, so it is never repeated.
    ///
    /// Errors: what to write instead.
    pub fn indirect(text: &str) -> Result<Self, String> {
        match (text.strip_prefix("credential:"), text.strip_prefix("env:")) {
            (Some(name), _) => credential(name),
            (_, Some(name)) if !name.is_empty() && !name.contains(['=', '\0']) => Ok(Self::Environment(name.into())),
            _ => Err("write \"credential:NAME\" or \"env:NAME\" here, or name a file in the key that ends in _file; \
                      the secret itself does not stand in this file"
                .into()),
        }
    }

    /// The path, for a source that has one.
    ///
    /// Errors: a systemd credential outside of a service.
    pub fn path(&self) -> Result<Option<PathBuf>, String> {
        match self {
            Self::File(path) => Ok(Some(path.clone())),
            Self::Credential(name) => match std::env::var_os("CREDENTIALS_DIRECTORY") {
                Some(directory) => Ok(Some(Path::new(&directory).join(name))),
                None => Err(format!("{self}: no CREDENTIALS_DIRECTORY here: systemd sets it for a service only")),
            },
            Self::Environment(_) | Self::Inline(_) => Ok(None),
        }
    }

    /// A descriptor to read it from once: the file, or a pipe that holds it.
    ///
    /// Errors: what can't be opened and why.
    pub fn open(&self) -> Result<OwnedFd, String> {
        let failed = |error: io::Error| format!("{self}: can't be opened: {error}");
        if let Some(path) = self.path()? {
            return regular(&path).map(OwnedFd::from).map_err(failed);
        }
        let value = match self {
            Self::Inline(secret) => secret.clone(),
            Self::Environment(name) => {
                Secret::new(std::env::var(name).map_err(|_| format!("{self}: is not set, or is not UTF-8"))?)
            }
            Self::File(_) | Self::Credential(_) => return Err(format!("{self}: has no path")),
        };
        match value.expose().len() {
            0 => return Err(format!("{self}: is empty")),
            1..=MAX_INLINE => {}
            _ => return Err(format!("{self}: is longer than {MAX_INLINE} octets; use a file")),
        }
        let (reader, mut writer) = io::pipe().map_err(failed)?;
        writer.write_all(value.expose().as_bytes()).map_err(failed)?;
        Ok(reader.into())
    }
}

/// Opens a file, and nothing that somebody else could keep waiting by not writing to it.
///
/// Errors: it is none, or can't be opened.
pub(super) fn regular(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().read(true).custom_flags(nix::libc::O_NONBLOCK).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("it is no file")) }
}

/// Its name in messages; never a secret.
impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Credential(name) => write!(f, "credential:{name}"),
            Self::Environment(name) => write!(f, "env:{name}"),
            Self::Inline(_) => f.write_str("the inline password"),
        }
    }
}

/// systemd.exec(5): a credential's name is a file name.
fn credential(name: &str) -> Result<Source, String> {
    match name {
        "" | "." | ".." => Err("credential: is followed by the name of a systemd credential".into()),
        _ if name.contains(['/', '\0']) => Err(format!("credential:{name}: the name of a credential has no slash")),
        _ => Ok(Source::Credential(name.into())),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn a_secret_in_the_wrong_place_is_refused_and_not_repeated() {
        for text in ["hunter2", "Env:hunter2", "env:hunter2=", ""] {
            assert!(!Source::indirect(text).unwrap_err().contains("hunter2"), "{text}");
        }
        for text in ["env:", "credential:", "credential:..", "credential:../key"] {
            assert!(Source::indirect(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_relative_path_is_refused() {
        assert!(Source::file("tls/key.pem").is_err());
        assert!(Source::file("env:KEY").is_err());
        assert!(matches!(Source::file("credential:tls.key"), Ok(Source::Credential(_))));
    }

    #[test]
    fn nobody_waits_for_a_pipe_in_the_place_of_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("key.pem");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        for path in [pipe.as_path(), folder.path(), Path::new("/dev/zero")] {
            let refused = Source::File(path.to_owned()).open().unwrap_err();
            assert!(refused.ends_with("can't be opened: it is no file"), "{refused}");
        }
    }

    #[test]
    fn an_inline_secret_is_read_from_a_pipe() {
        let descriptor = Source::Inline(Secret::new("hunter2".into())).open().unwrap();
        let mut read = String::new();
        File::from(descriptor).read_to_string(&mut read).unwrap();
        assert_eq!(read, "hunter2");
        assert!(Source::Inline(Secret::new("x".repeat(MAX_INLINE + 1))).open().is_err());
        assert!(Source::Environment("GATEPOST_NOT_SET".into()).open().is_err());
    }
}
