//! The log key: made once at first start, read as a descriptor, used to sign and for nothing else.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use ring::signature::{Ed25519KeyPair, KeyPair};

use super::state;
use crate::merkle::gap::Gap;
use crate::merkle::note::{Checkpoint, Verifier};
use crate::secret::Secret;
use crate::sys::plain;

/// Octets of an Ed25519 seed: RFC 8032 section 5.1.5.
pub const SEED: usize = 32;
/// Octets of `log.vkey`: the name of the log, which is a host's, and 53 more.
const LONGEST_NAME: u64 = 1024;

/// Signs checkpoints of one log.
pub struct LogKey {
    pair: Ed25519KeyPair,
    verifier: Verifier,
}

impl LogKey {
    pub fn new(origin: &str, seed: &Secret<[u8; SEED]>) -> io::Result<Self> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed.expose())
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "not an Ed25519 seed"))?;
        let public = pair.public_key().as_ref().try_into().map_err(io::Error::other)?;
        Ok(Self { pair, verifier: Verifier::new(origin, public) })
    }

    /// Reads the seed and insists that there is nothing else.
    pub fn read(origin: &str, mut file: impl Read) -> io::Result<Self> {
        let mut seed = Secret::new([0; SEED + 1]);
        let mut length = 0;
        while let Some(rest) = seed.expose_mut().get_mut(length..).filter(|rest| !rest.is_empty()) {
            match file.read(rest)? {
                0 => break,
                n => length += n,
            }
        }
        match (length, seed.expose().first_chunk()) {
            (SEED, Some(seed)) => Self::new(origin, &Secret::new(*seed)),
            _ => Err(io::Error::new(io::ErrorKind::InvalidData, "it must hold exactly 32 octets")),
        }
    }

    pub fn verifier(&self) -> &Verifier {
        &self.verifier
    }

    /// The signed note of a head.
    pub fn sign(&self, size: u64, root: [u8; 32]) -> String {
        self.sign_with(size, root, None)
    }

    /// The same, with the gap that it declares.
    pub fn sign_with(&self, size: u64, root: [u8; 32], gap: Option<&Gap>) -> String {
        let mut text = Checkpoint { origin: self.verifier.name.clone(), size, root }.text();
        text.extend(gap.map(Gap::line));
        self.verifier.signed(&text, self.pair.sign(text.as_bytes()).as_ref())
    }
}

/// The verifier key that belongs to a seed, as text: what an auditor pins.
pub fn vkey(origin: &str, seed: &Secret<[u8; SEED]>) -> io::Result<String> {
    Ok(LogKey::new(origin, seed)?.verifier.to_string())
}

/// Makes `log.key` (0600) and `log.vkey` (0644) in a directory that exists, unless they are there. What is there already is
/// never replaced: a new key under an old log would look like tampering.
///
/// Errors: the files can't be written or read, or `log.vkey` is another key's.
pub fn create(directory: &Path, origin: &str) -> io::Result<()> {
    let path = directory.join("log.key");
    let public = directory.join("log.vkey");
    if !path.try_exists()? && !public.try_exists()? {
        // The log begins: slots that are lost later must not look like this.
        create_slots(directory)?;
        let mut seed = Secret::new([0; SEED]);
        getrandom::fill(seed.expose_mut()).map_err(io::Error::other)?;
        // Under another name first: after a crash the key is whole or not there.
        write_new(&directory.join("log.key.new"), &path, 0o600, seed.expose())?;
        // Before its other half: that one without the key would be a lost key.
        File::open(directory)?.sync_all()?;
    }
    if let Some(vkey) = inspect(directory, origin)? {
        write_new(&directory.join("log.vkey.new"), &public, 0o644, vkey.as_bytes())?;
    }
    File::open(directory)?.sync_all()
}

/// Looks whether the key that is there can sign a log of this origin. What is to be written into `log.vkey`, where that is missing.
///
/// Errors: there is no key, or it is open to others, or `log.vkey` is that of another key or host name.
pub fn inspect(directory: &Path, origin: &str) -> io::Result<Option<String>> {
    let (path, public) = (directory.join("log.key"), directory.join("log.vkey"));
    if !path.try_exists()? && public.try_exists()? {
        let text =
            "log.key is missing beside log.vkey: restore it; another key under this log would look like tampering";
        return Err(io::Error::new(io::ErrorKind::NotFound, text));
    }
    let key = plain::open(&path)?;
    let mode = key.metadata()?.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        let text = format!("log.key has mode {mode:04o}: others could sign the log; chmod it to 0600");
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
    }
    let vkey = format!("{}\n", LogKey::read(origin, key)?.verifier());
    let found = match plain::text(&public, LONGEST_NAME) {
        Ok(found) if found == vkey => return Ok(None),
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Some(vkey)),
        Err(error) => return Err(error),
    };
    let text = match found.parse::<Verifier>() {
        Ok(Verifier { name, .. }) if name != origin => format!(
            "log.vkey is of the log {name:?}, and under this host name it would be {origin:?}: hostname was changed, which a log that has \
             begun doesn't bear. Put it back, or see docs/operations.md, \"Another host name\""
        ),
        _ => "log.vkey is not the public half of log.key under this origin: restore the file that belongs to the key"
            .to_owned(),
    };
    Err(io::Error::new(io::ErrorKind::InvalidData, text))
}

/// Insists on what was left of the sealer, where there is a log already. Without any of it the disk isn't there, or all was
/// lost; a slot alone, be it empty, is an administrator's word that the key is gone: then a new one is made, which signs
/// nothing before the loss is declared.
pub fn demand(directory: &Path) -> io::Result<()> {
    for name in ["log.key", "log.vkey"].into_iter().chain(state::SLOTS) {
        if directory.join(name).try_exists()? {
            return Ok(());
        }
    }
    let text = "there is a log, but neither its key nor what was signed with it is here: is a disk not mounted? Put log.key, \
                log.vkey, head.0 and head.1 back. If the key is lost for good, make an empty file head.0 there, start, and \
                declare it with gatepost audit resume; heads of then go on to verify with the old log.vkey";
    Err(io::Error::new(io::ErrorKind::NotFound, text))
}

/// Makes the first slot of a log that begins, unless there are slots. Before there is a key: slots that are missing or empty
/// beside a key are lost, and the sealer doesn't take them for a beginning.
pub fn create_slots(directory: &Path) -> io::Result<()> {
    let [first, second] = state::SLOTS.map(|slot| directory.join(slot));
    if first.try_exists()? || second.try_exists()? {
        return Ok(());
    }
    write_new(&directory.join("head.new"), &first, 0o600, &state::beginning())?;
    File::open(directory)?.sync_all()
}

fn write_new(draft: &Path, path: &Path, mode: u32, content: &[u8]) -> io::Result<()> {
    // Left over from a crash; it was never used.
    match fs::remove_file(draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(draft)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(draft, path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_key_is_made_once_and_its_verifier_reads_what_it_signs() {
        let directory = tempfile::tempdir().unwrap();
        create(directory.path(), "gate.example.net/audit").unwrap();
        let slot = directory.path().join(state::SLOTS[0]);
        assert_eq!(fs::read(&slot).unwrap(), state::beginning());
        fs::write(&slot, b"").unwrap();
        let first = fs::read(directory.path().join("log.key")).unwrap();
        create(directory.path(), "gate.example.net/audit").unwrap();
        assert_eq!(fs::read(directory.path().join("log.key")).unwrap(), first);
        assert_eq!(fs::read(&slot).unwrap(), b"", "what was emptied isn't made anew");
        let mode = fs::metadata(directory.path().join("log.key")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);

        let key = LogKey::read("gate.example.net/audit", first.as_slice()).unwrap();
        let pinned: Verifier = fs::read_to_string(directory.path().join("log.vkey")).unwrap().parse().unwrap();
        assert_eq!(pinned.checkpoint(&key.sign(3, [1; 32])).unwrap().size, 3);
        assert_eq!(
            vkey("gate.example.net/audit", &Secret::new(first.try_into().unwrap())).unwrap(),
            pinned.to_string()
        );
    }

    #[test]
    fn another_origin_over_the_same_key_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        create(directory.path(), "gate.example.net/audit").unwrap();
        assert!(create(directory.path(), "other.example.net/audit").is_err());
    }

    #[test]
    fn a_seed_of_another_length_is_refused() {
        assert!(LogKey::read("o", [0u8; 31].as_slice()).is_err());
        assert!(LogKey::read("o", [0u8; 33].as_slice()).is_err());
    }
}
