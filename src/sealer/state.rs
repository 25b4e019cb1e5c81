//! The last head that was signed, in two slots written in turn: a crash in the middle of one leaves the other.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::unix::fs::FileExt;

use sha2::{Digest, Sha256};

use crate::merkle::gap::Gap;
use crate::merkle::{Hash, empty_root};

/// The slots' names in the sealer's directory.
pub const SLOTS: [&str; 2] = ["head.0", "head.1"];
/// First octets of a slot: what it is, and the version of its form.
const MAGIC: &[u8; 8] = b"GPSEAL\x00\x02";
/// The first form had neither key nor gap.
const MAGIC_1: &[u8; 8] = b"GPSEAL\x00\x01";
/// Longer than any form.
const SLOT: u64 = 512;

/// A tree head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    pub size: u64,
    pub root: Hash,
}

/// What the sealer must not forget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    pub head: Head,
    /// SHA-256 of the verifier key that signed it; none before the first signature.
    pub key: Option<Hash>,
    /// The last gap that was declared, and up to which size heads must go on to say so.
    pub gap: Option<(Gap, u64)>,
}

impl Memory {
    /// Of a log that was never signed.
    pub fn first() -> Self {
        Self { head: Head { size: 0, root: empty_root() }, key: None, gap: None }
    }
}

/// The two slots and what the newer one says.
#[derive(Debug)]
pub struct State {
    slots: [File; 2],
    turn: u64,
    memory: Option<Memory>,
}

/// What one slot holds.
enum Slot {
    Empty,
    Damaged,
    Whole { turn: u64, memory: Memory },
}

impl State {
    /// Reads both slots. One that is damaged or empty beside one that is whole was being written when the power failed,
    /// before anything was signed with it. Without a whole one the state is lost.
    pub fn read(slots: [File; 2]) -> io::Result<Self> {
        let (turn, memory) = match [read(&slots[0])?, read(&slots[1])?] {
            [Slot::Whole { turn: a, memory }, Slot::Whole { turn: b, .. }] if a > b => (a, Some(memory)),
            [_, Slot::Whole { turn, memory }] | [Slot::Whole { turn, memory }, _] => (turn, Some(memory)),
            [Slot::Damaged | Slot::Empty, Slot::Damaged | Slot::Empty] => (0, None),
        };
        Ok(Self { slots, turn, memory })
    }

    /// None when it is lost.
    pub fn memory(&self) -> Option<Memory> {
        self.memory
    }

    /// Makes it durable in the older slot. Only after that may its head be signed.
    pub fn write(&mut self, memory: Memory) -> io::Result<()> {
        let turn = self.turn + 1;
        let slot = if turn.is_multiple_of(2) { &self.slots[0] } else { &self.slots[1] };
        slot.write_all_at(&encode(turn, &memory), 0)?;
        slot.sync_all()?;
        (self.turn, self.memory) = (turn, Some(memory));
        Ok(())
    }
}

/// How many leaves the head in a slot has, for whoever only looks; 0 when nothing was signed, or nobody knows.
pub fn signed(slot: &File) -> io::Result<u64> {
    Ok(match read(slot)? {
        Slot::Whole { memory, .. } => memory.head.size,
        Slot::Empty | Slot::Damaged => 0,
    })
}

/// The first slot of a log that was never signed: slots that are lost later don't look like it.
pub fn beginning() -> Vec<u8> {
    encode(0, &Memory::first())
}

/// Magic, turn, size, root, key, then the gap with its bound; zeros stand for what there is none of. A checksum ends it.
fn encode(turn: u64, memory: &Memory) -> Vec<u8> {
    let Memory { head, key, gap } = memory;
    let mut bytes = MAGIC.to_vec();
    let none = Gap { kept: 0, old_size: 0, old_root: [0; 32], resumed: 0 };
    let (gap, until) = gap.unwrap_or((none, 0));
    bytes.extend_from_slice(&turn.to_be_bytes());
    bytes.extend_from_slice(&head.size.to_be_bytes());
    bytes.extend_from_slice(&head.root);
    bytes.extend_from_slice(&key.unwrap_or_default());
    for number in [gap.kept, gap.old_size, gap.resumed, until] {
        bytes.extend_from_slice(&number.to_be_bytes());
    }
    bytes.extend_from_slice(&gap.old_root);
    let checksum: Hash = Sha256::digest(&bytes).into();
    bytes.extend_from_slice(&checksum);
    bytes
}

fn read(mut slot: &File) -> io::Result<Slot> {
    let mut bytes = Vec::new();
    slot.rewind()?;
    slot.take(SLOT).read_to_end(&mut bytes)?;
    if bytes.is_empty() {
        return Ok(Slot::Empty);
    }
    Ok(decode(&bytes).unwrap_or(Slot::Damaged))
}

fn decode(bytes: &[u8]) -> Option<Slot> {
    let mut fields = Fields(bytes);
    let is_old = match &fields.octets::<8>()? {
        MAGIC => false,
        MAGIC_1 => true,
        _ => return None,
    };
    let (turn, size, root) = (fields.number()?, fields.number()?, fields.octets()?);
    let mut memory = Memory { head: Head { size, root }, key: None, gap: None };
    if !is_old {
        memory.key = Some(fields.octets()?).filter(|key| *key != [0; 32]);
        let [kept, old_size, resumed, until] = [fields.number()?, fields.number()?, fields.number()?, fields.number()?];
        let gap = Gap { kept, old_size, old_root: fields.octets()?, resumed };
        memory.gap = Some((gap, until)).filter(|_| resumed > 0);
    }
    let body = bytes.get(..bytes.len() - fields.0.len())?;
    let checksum: Hash = fields.octets()?;
    let is_whole = <[u8; 32]>::from(Sha256::digest(body)) == checksum && (is_old || fields.0.is_empty());
    is_whole.then_some(Slot::Whole { turn, memory })
}

/// Octets to be read one field after the other.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn octets<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*field)
    }

    fn number(&mut self) -> Option<u64> {
        self.octets().map(u64::from_be_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots() -> (tempfile::NamedTempFile, tempfile::NamedTempFile) {
        (tempfile::NamedTempFile::new().unwrap(), tempfile::NamedTempFile::new().unwrap())
    }

    fn open((a, b): &(tempfile::NamedTempFile, tempfile::NamedTempFile)) -> State {
        State::read([a.reopen().unwrap(), b.reopen().unwrap()]).unwrap()
    }

    fn memory(size: u64) -> Memory {
        let octet = u8::try_from(size).unwrap();
        let gap = Gap { kept: 1, old_size: 9, old_root: [octet; 32], resumed: 2 };
        let head = Head { size, root: [octet; 32] };
        Memory { head, key: Some([3; 32]), gap: Some((gap, 9)).filter(|_| size > 2) }
    }

    #[test]
    fn the_newer_of_two_slots_counts() {
        let files = slots();
        let mut state = open(&files);
        assert_eq!(state.memory(), None);
        for size in 1..6 {
            state.write(memory(size)).unwrap();
            assert_eq!(open(&files).memory(), Some(memory(size)));
        }
    }

    #[test]
    fn a_torn_slot_leaves_the_head_before_it_and_two_are_a_state_that_is_lost() {
        let files = slots();
        let mut state = open(&files);
        for size in 1..4 {
            state.write(memory(size)).unwrap();
        }
        // The third was written to the second slot.
        files.1.as_file().write_all_at(b"torn", 20).unwrap();
        assert_eq!(open(&files).memory(), Some(memory(2)));
        files.0.as_file().set_len(10).unwrap();
        let mut lost = open(&files);
        assert_eq!(lost.memory(), None);
        lost.write(memory(7)).unwrap();
        assert_eq!(open(&files).memory(), Some(memory(7)));
    }

    #[test]
    fn a_beginning_is_no_lost_state_and_slots_of_the_first_form_are_read() {
        let files = slots();
        files.0.as_file().write_all_at(&beginning(), 0).unwrap();
        assert_eq!(open(&files).memory(), Some(Memory::first()));
        let mut bytes = [MAGIC_1.as_slice(), &7u64.to_be_bytes(), &5u64.to_be_bytes(), &[8; 32]].concat();
        bytes.extend(Sha256::digest(&bytes));
        files.1.as_file().write_all_at(&bytes, 0).unwrap();
        let old = Memory { head: Head { size: 5, root: [8; 32] }, key: None, gap: None };
        assert_eq!(open(&files).memory(), Some(old));
    }
}
