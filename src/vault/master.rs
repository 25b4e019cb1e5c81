//! The master key: it wraps the keys of bodies. The parent makes its file once and hands it to the vault as a descriptor.
//!
//! ```text
//! master.key, master.id   the key (32 octets, 0600) and its name, so that another key in its place is noticed
//! next.key, next.id       while `gatepost queue rekey` runs: the one that takes its place
//! ```

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use hmac::{Hmac, KeyInit, Mac};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use ring::aead::{Aad, NONCE_LEN, Nonce};
use sha2::{Digest, Sha256};

use super::cipher::{BodyKey, KEY, TAG, cipher};
use crate::mail::id::MessageId;
use crate::secret::Secret;
use crate::sys::plain;

/// Octets of a wrapped key: its nonce, the key, the tag.
pub const WRAPPED: usize = NONCE_LEN + KEY + TAG;
/// Octets of a master key's name.
pub const ID: usize = 8;

pub const CURRENT: &str = "master.key";
pub const NEXT: &str = "next.key";
const CURRENT_ID: &str = "master.id";
const NEXT_ID: &str = "next.id";
/// Octets of the file of a name, which has 17.
const LONGEST_NAME: u64 = 64;

/// What is left to do without a key.
const LOST: &str = "If it is lost for good: gatepost queue rekey --lost makes a new one; mail that waits can't be read then, and is \
                    held until it is dropped";

/// Which master key.
pub type Id = [u8; ID];

/// A master key. One key wraps some billions of others before its random nonces could meet; a new one is made long before.
#[derive(Clone, Debug)]
pub struct Master {
    secret: Secret<[u8; KEY]>,
    pub id: Id,
}

impl Master {
    pub fn new(secret: Secret<[u8; KEY]>) -> Self {
        let digest = Sha256::new().chain_update(b"gatepost-master/1\n").chain_update(secret.expose()).finalize();
        let mut id = [0; ID];
        id.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
        Self { secret, id }
    }

    /// Reads a key file and insists that there is nothing else in it.
    pub fn read(mut file: impl Read) -> io::Result<Self> {
        let mut key = Secret::new([0; KEY + 1]);
        let mut length = 0;
        while let Some(rest) = key.expose_mut().get_mut(length..).filter(|rest| !rest.is_empty()) {
            match file.read(rest)? {
                0 => break,
                n => length += n,
            }
        }
        match (length, key.expose().first_chunk()) {
            (KEY, Some(key)) => Ok(Self::new(Secret::new(*key))),
            _ => Err(io::Error::new(io::ErrorKind::InvalidData, "a master key has exactly 32 octets")),
        }
    }

    /// A key for another purpose, from which nothing leads back to this one. Another master key has other ones.
    pub fn subkey(&self, purpose: &[u8]) -> Secret<[u8; KEY]> {
        #[allow(clippy::expect_used)] // RFC 2104 section 2
        let mut mac = Hmac::<Sha256>::new_from_slice(self.secret.expose()).expect("HMAC takes a key of any length");
        mac.update(b"gatepost-subkey/1\n");
        mac.update(purpose);
        Secret::new(mac.finalize().into_bytes().into())
    }

    /// Wraps the key of a message's body.
    pub fn wrap(&self, key: &BodyKey, message: MessageId) -> io::Result<[u8; WRAPPED]> {
        let mut nonce = [0; NONCE_LEN];
        getrandom::fill(&mut nonce).map_err(io::Error::other)?;
        let mut text = Secret::new(*key.secret().expose());
        let sealed = cipher(&self.secret)?.seal_in_place_separate_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(message.uuid().as_bytes()),
            text.expose_mut(),
        );
        let tag = sealed.map_err(|_| io::Error::other("a key can't be wrapped"))?;
        let mut wrapped = [0; WRAPPED];
        let parts = nonce.iter().chain(text.expose()).chain(tag.as_ref());
        wrapped.iter_mut().zip(parts).for_each(|(to, from)| *to = *from);
        Ok(wrapped)
    }

    /// The key that was wrapped for this message.
    pub fn unwrap(&self, wrapped: &[u8; WRAPPED], message: MessageId) -> io::Result<BodyKey> {
        let changed = || io::Error::new(io::ErrorKind::InvalidData, "the key of a body is not what was written");
        let (nonce, sealed) = wrapped.split_first_chunk::<NONCE_LEN>().ok_or_else(changed)?;
        let mut text = Secret::new([0; KEY + TAG]);
        text.expose_mut().iter_mut().zip(sealed).for_each(|(to, from)| *to = *from);
        let (nonce, message) = (Nonce::assume_unique_for_key(*nonce), message.uuid());
        let opened = cipher(&self.secret)?.open_in_place(nonce, Aad::from(message.as_bytes()), text.expose_mut());
        let key = opened.map_err(|_| changed())?.first_chunk().copied().ok_or_else(changed)?;
        Ok(BodyKey::new(Secret::new(key)))
    }
}

/// A name as it is written.
pub fn name(id: &Id) -> String {
    id.iter().map(|octet| format!("{octet:02x}")).collect()
}

/// Makes the key in a directory that exists, unless it is there. What is there already is never replaced: without its key
/// no mail that waits can be read. Ends a change of keys that had come to its last step.
///
/// Errors: the key is missing, is not the one of before, or can be read by others; with what to do.
pub fn create(directory: &Path) -> io::Result<()> {
    let (key, id) = (directory.join(CURRENT), directory.join(CURRENT_ID));
    if !key.try_exists()? && !id.try_exists()? {
        make(directory, CURRENT)?;
        // Before its name: that one without the key would be a lost key.
        File::open(directory)?.sync_all()?;
    }
    match inspect(directory)? {
        Naming::Right => {}
        Naming::Next => fs::rename(directory.join(NEXT_ID), &id)?,
        Naming::None(name) => write(directory, CURRENT_ID, 0o644, format!("{name}\n").as_bytes())?,
    }
    File::open(directory)?.sync_all()
}

/// What the name beside a key is to it: `next.id` has it before the last step of a change of keys.
pub enum Naming {
    Right,
    Next,
    None(String),
}

/// Looks at the key that is there, and changes nothing. Errors: as `create`, and where there is none yet.
pub fn inspect(directory: &Path) -> io::Result<Naming> {
    let (key, id) = (directory.join(CURRENT), directory.join(CURRENT_ID));
    if !key.try_exists()? && id.try_exists()? {
        let text = format!("master.key is missing beside master.id: put it back from where a copy is kept. {LOST}");
        return Err(io::Error::new(io::ErrorKind::NotFound, text));
    }
    let found = name(&read_file(&key)?.id);
    match read_id(&id)? {
        Some(expected) if expected == found => Ok(Naming::Right),
        Some(_) if read_id(&directory.join(NEXT_ID))?.as_ref() == Some(&found) => Ok(Naming::Next),
        Some(expected) => {
            let text =
                format!("master.key is not the key that master.id names ({expected}): put the right one back. {LOST}");
            Err(io::Error::new(io::ErrorKind::InvalidData, text))
        }
        None => Ok(Naming::None(found)),
    }
}

/// Insists on a key, or its name, where bodies were sealed already: without both the directory is not the right one, or is
/// not there yet.
pub fn demand(directory: &Path) -> io::Result<()> {
    if directory.join(CURRENT).try_exists()? || directory.join(CURRENT_ID).try_exists()? {
        return Ok(());
    }
    let text = format!(
        "neither master.key nor master.id is here, but bodies were sealed with one: is a disk not mounted, or was the \
         directory moved? Put them back. {LOST}"
    );
    Err(io::Error::new(io::ErrorKind::NotFound, text))
}

/// Puts a new key in the place of one that is lost for good, while no service runs. What is there is renamed, and stays.
/// Gives the name of the new key.
pub fn replace_lost(directory: &Path) -> io::Result<Id> {
    match DirBuilder::new().mode(0o700).create(directory) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    for name in [CURRENT, CURRENT_ID] {
        let path = directory.join(name);
        if path.try_exists()? {
            fs::rename(&path, free_name(directory, name)?)?;
        }
    }
    create(directory)?;
    read_file(&directory.join(CURRENT)).map(|master| master.id)
}

/// A name for what is put aside, which nothing has.
fn free_name(directory: &Path, name: &str) -> io::Result<PathBuf> {
    for n in 1..u32::MAX {
        let path = directory.join(format!("{name}.lost-{n}"));
        if !path.try_exists()? {
            return Ok(path);
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// A change of keys under way. There is one at a time: a second one would put its own next key in the place of the one that
/// everything was wrapped with by the first.
pub struct Change {
    directory: PathBuf,
    pub next: Master,
    /// This change has made the next key; it is none of one that was broken off.
    is_new: bool,
    _lock: Flock<File>,
}

impl Change {
    /// The first step: makes the next key, unless it is there from a change that was broken off. One that had come to its
    /// last step is ended first.
    pub fn begin(directory: &Path) -> io::Result<Self> {
        let lock = Flock::lock(File::open(directory)?, FlockArg::LockExclusiveNonblock).map_err(|(_, error)| {
            let busy = "the master key is being changed by another command: wait for its end";
            if error == Errno::EWOULDBLOCK { io::Error::new(io::ErrorKind::WouldBlock, busy) } else { error.into() }
        })?;
        create(directory)?;
        let key = directory.join(NEXT);
        let is_new = !key.try_exists()?;
        if is_new {
            make(directory, NEXT)?;
        }
        let next = read_file(&key)?;
        write(directory, NEXT_ID, 0o644, format!("{}\n", name(&next.id)).as_bytes())?;
        File::open(directory)?.sync_all()?;
        Ok(Self { directory: directory.to_owned(), next, is_new, _lock: lock })
    }

    /// Takes back the first step, when it is certain that nobody has taken the next key. What was there before stays.
    pub fn withdraw(self) -> io::Result<()> {
        if !self.is_new {
            return Ok(());
        }
        fs::remove_file(self.directory.join(NEXT_ID))?;
        fs::remove_file(self.directory.join(NEXT))?;
        File::open(&self.directory)?.sync_all()
    }

    /// The last step, when no key is wrapped by the old one any more: the next one takes its place, and the old one is
    /// overwritten.
    pub fn end(self) -> io::Result<()> {
        let directory = &self.directory;
        if read_file(&directory.join(NEXT))?.id != self.next.id {
            let text =
                "next.key is not the key that everything was wrapped with: nothing was replaced; put that one back";
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        let mut old =
            OpenOptions::new().write(true).custom_flags(nix::libc::O_NOFOLLOW).open(directory.join(CURRENT))?;
        fs::rename(directory.join(NEXT), directory.join(CURRENT))?;
        // Key and name may be renamed in one order only: after a crash between the two, `next.id` says what has happened.
        File::open(directory)?.sync_all()?;
        fs::rename(directory.join(NEXT_ID), directory.join(CURRENT_ID))?;
        File::open(directory)?.sync_all()?;
        // Some file systems and disks write elsewhere; there it is only unlinked.
        old.write_all(&[0; KEY])?;
        old.sync_all()
    }
}

fn make(directory: &Path, file: &str) -> io::Result<()> {
    let mut key = Secret::new([0; KEY]);
    getrandom::fill(key.expose_mut()).map_err(io::Error::other)?;
    write(directory, file, 0o600, key.expose())
}

fn read_file(path: &Path) -> io::Result<Master> {
    let file = plain::open(path)?;
    let (found, file_name) = (file.metadata()?, path.file_name().unwrap_or_default().to_string_lossy());
    let mode = found.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        let text = format!("{file_name} has mode {mode:04o}: others could read mail that waits; chmod it to 0600");
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
    }
    Master::read(file).map_err(|error| io::Error::new(error.kind(), format!("{file_name}: {error}")))
}

fn read_id(path: &Path) -> io::Result<Option<String>> {
    match plain::text(path, LONGEST_NAME) {
        Ok(text) => Ok(Some(text.trim_end().to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Under another name first: after a crash the file is whole, or as it was.
fn write(directory: &Path, name: &str, mode: u32, content: &[u8]) -> io::Result<()> {
    let draft = directory.join(format!("{name}.new"));
    match fs::remove_file(&draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&draft)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(draft, directory.join(name))
}

#[cfg(test)]
mod tests;
