//! The last head that was signed, in two slots written in turn: a crash in the middle of one leaves the other.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use sha2::{Digest, Sha256};

use crate::merkle::{Hash, empty_root};

/// The slots' names in the sealer's directory.
pub const SLOTS: [&str; 2] = ["head.0", "head.1"];
/// First octets of a slot: what it is, and the version of its form.
const MAGIC: &[u8; 8] = b"GPSEAL\x00\x01";
/// Magic, turn, size, root.
const BODY: usize = 8 + 8 + 8 + 32;
const SLOT: usize = BODY + 32;

/// A tree head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    pub size: u64,
    pub root: Hash,
}

/// The two slots and what the newer one says.
#[derive(Debug)]
pub struct State {
    slots: [File; 2],
    turn: u64,
    head: Head,
}

/// What one slot holds.
enum Slot {
    Empty,
    Damaged,
    Head { turn: u64, head: Head },
}

impl State {
    /// Reads both slots. Two empty ones are those of a log that was never signed; one that is damaged beside one that is
    /// whole was being written when the power failed, before anything was signed with it.
    ///
    /// Errors: neither can be believed.
    pub fn read(slots: [File; 2]) -> io::Result<Self> {
        let found = match [read(&slots[0])?, read(&slots[1])?] {
            [Slot::Head { turn: a, head }, Slot::Head { turn: b, .. }] if a > b => (a, head),
            [_, Slot::Head { turn, head }] | [Slot::Head { turn, head }, _] => (turn, head),
            [Slot::Damaged, Slot::Damaged] => {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "both state slots are damaged"));
            }
            _ => (0, Head { size: 0, root: empty_root() }),
        };
        Ok(Self { slots, turn: found.0, head: found.1 })
    }

    pub fn head(&self) -> Head {
        self.head
    }

    /// Makes a head durable in the older slot. Only after that may it be signed.
    pub fn write(&mut self, head: Head) -> io::Result<()> {
        let turn = self.turn + 1;
        let mut bytes = Vec::with_capacity(SLOT);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&turn.to_be_bytes());
        bytes.extend_from_slice(&head.size.to_be_bytes());
        bytes.extend_from_slice(&head.root);
        let checksum: Hash = Sha256::digest(&bytes).into();
        bytes.extend_from_slice(&checksum);
        let slot = if turn.is_multiple_of(2) { &self.slots[0] } else { &self.slots[1] };
        slot.write_all_at(&bytes, 0)?;
        slot.sync_all()?;
        (self.turn, self.head) = (turn, head);
        Ok(())
    }
}

fn read(slot: &File) -> io::Result<Slot> {
    if slot.metadata()?.len() == 0 {
        return Ok(Slot::Empty);
    }
    let mut bytes = [0; SLOT];
    match slot.read_exact_at(&mut bytes, 0) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(Slot::Damaged),
        other => other?,
    }
    let (body, checksum) = bytes.split_at(BODY);
    Ok(parse(body, checksum).unwrap_or(Slot::Damaged))
}

fn parse(body: &[u8], checksum: &[u8]) -> Option<Slot> {
    let rest = body.strip_prefix(MAGIC)?;
    let (turn, rest) = rest.split_first_chunk()?;
    let (size, root) = rest.split_first_chunk()?;
    if Sha256::digest(body).as_slice() != checksum {
        return None;
    }
    let head = Head { size: u64::from_be_bytes(*size), root: root.try_into().ok()? };
    Some(Slot::Head { turn: u64::from_be_bytes(*turn), head })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots() -> (tempfile::NamedTempFile, tempfile::NamedTempFile) {
        (tempfile::NamedTempFile::new().unwrap(), tempfile::NamedTempFile::new().unwrap())
    }

    fn open((a, b): &(tempfile::NamedTempFile, tempfile::NamedTempFile)) -> io::Result<State> {
        State::read([a.reopen()?, b.reopen()?])
    }

    fn head(size: u64) -> Head {
        Head { size, root: [u8::try_from(size).unwrap(); 32] }
    }

    #[test]
    fn the_newer_of_two_slots_counts() {
        let files = slots();
        let mut state = open(&files).unwrap();
        assert_eq!(state.head().size, 0);
        for size in 1..6 {
            state.write(head(size)).unwrap();
            assert_eq!(open(&files).unwrap().head(), head(size));
        }
    }

    #[test]
    fn a_torn_slot_leaves_the_head_before_it() {
        let files = slots();
        let mut state = open(&files).unwrap();
        for size in 1..4 {
            state.write(head(size)).unwrap();
        }
        // The third was written to the second slot.
        files.1.as_file().write_all_at(b"torn", 20).unwrap();
        assert_eq!(open(&files).unwrap().head(), head(2));
        files.0.as_file().set_len(10).unwrap();
        assert!(open(&files).is_err());
    }
}
