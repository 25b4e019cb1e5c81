//! The sealer: a local witness with a key.
//!
//! **Does.** Signs the heads of the audit tree, each only when it is shown to extend the last one signed; writes them into
//! the files it was handed for that, and into its log.
//! **Trusts.** The parent for key and slots. The vault for nothing: it checks the proof itself.
//! **Holds.** The log key, and the last head it signed, on disk before the signature exists.
//! **If it falls.** An intruder can sign the present, not the past, and nothing that contradicts a head someone else keeps.

pub mod anchors;
pub mod key;
pub mod state;

use std::cell::RefCell;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Instant;

use sha2::{Digest, Sha256};
use tokio::task::{LocalSet, spawn_local};

use crate::config::slice::SealerSlice;
use crate::ipc::channel::{self, Receiver, Sender};
use crate::ipc::control::{ChildPackets, File as Handed, Order, Peer};
use crate::ipc::packet::Arrival;
use crate::ipc::sealing::{Answer, Ask};
use crate::merkle::gap::Gap;
use crate::merkle::{Hash, proof};
use crate::role::link::{End, Talk};
use crate::role::start::Start;
use crate::sandbox::{self, Sealed};
use anchors::Anchors;
use key::LogKey;
use state::{Head, Memory, State};

pub fn main(start: &mut Start) -> Result<(), String> {
    let slice: SealerSlice = start.slice()?;
    let seed = File::from(start.file(&Handed::LogKey)?);
    let slots = [start.file(&Handed::Slot(0))?, start.file(&Handed::Slot(1))?].map(File::from);
    let confined = sandbox::confine(start.role, &start.grounds)?;
    let key = LogKey::read(&slice.origin, seed).map_err(|error| format!("the log key can't be used: {error}"))?;
    // A state that can't be read is no reason to stop: it refuses to sign, and says why each time it is asked.
    let state = State::read(slots).map_err(|error| error.to_string());
    let file = |number| start.file(&Handed::Anchor(number)).map(File::from);
    let anchors = Anchors::start(slice.anchors, file)?;
    let sealer = Rc::new(RefCell::new(Sealer { key, state, anchors }));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .map_err(|error| format!("no runtime can be made: {error}"))?;
    let sealed = confined.seal()?;
    let control = start.ready(&sealed)?;
    let peers = std::mem::take(&mut start.peers);
    LocalSet::new().block_on(&runtime, async {
        for (peer, socket) in peers {
            meet(&sealer, &peer, socket, &sealed);
        }
        let control = control.into_async().map_err(|error| format!("the control channel: {error}"))?;
        obey(&control, &sealer, &sealed).await
    })
}

/// Takes orders until the parent is gone or wants no more.
async fn obey(control: &ChildPackets, sealer: &Rc<RefCell<Sealer>>, sealed: &Sealed) -> Result<(), String> {
    loop {
        match control.receive().await.map_err(|error| format!("the control channel: {error}"))? {
            Arrival::Closed => return Ok(()),
            Arrival::Dropped => tracing::warn!("an order did not arrive whole and was dropped"),
            Arrival::Packet(packet) => match (packet.message, packet.descriptor) {
                (Order::Drain, _) => return Ok(()),
                (Order::Peer(peer), Some(socket)) => meet(sealer, &peer, socket, sealed),
                (order, _) => tracing::warn!(?order, "an order that means nothing to the sealer"),
            },
        }
    }
}

/// A vault, or its successor.
fn meet(sealer: &Rc<RefCell<Sealer>>, peer: &Peer, socket: OwnedFd, sealed: &Sealed) {
    if (peer.talk, peer.end) != (Talk::Sealing, End::Answers) {
        return tracing::warn!(?peer, "a peer that has nothing to do with the sealer");
    }
    match channel::open(socket, sealed) {
        Ok((answers, asks)) => drop(spawn_local(serve(Rc::clone(sealer), answers, asks))),
        Err(error) => tracing::error!(%error, "the vault's channel can't be used"),
    }
}

/// One vault's questions, until it is gone or says what can't be read.
async fn serve(sealer: Rc<RefCell<Sealer>>, answers: Sender<Answer>, mut asks: Receiver<Ask>) {
    loop {
        let ask = match asks.receive().await {
            Ok(Some(ask)) => ask,
            Ok(None) => return,
            Err(error) => return tracing::error!(%error, "the vault's channel ended"),
        };
        let answer = sealer.borrow_mut().answer(ask);
        if answers.send(answer).await.is_err() {
            return;
        }
    }
}

struct Sealer {
    key: LogKey,
    /// Or why the slots can't be believed.
    state: Result<State, String>,
    anchors: Anchors,
}

impl Sealer {
    fn answer(&mut self, ask: Ask) -> Answer {
        let size = match &ask {
            Ask::Head => {
                let last = self.state.as_ref().ok().and_then(State::memory);
                return Answer::Head {
                    last: last.map(|memory| (memory.head.size, memory.head.root)),
                    refuses: self.memory().err(),
                    vkey: self.key.verifier().to_string(),
                };
            }
            Ask::Anchor { name } => {
                // Nothing was signed yet, or nobody knows what: then there is nothing to be kept anywhere.
                if let Some(memory) = self.memory().ok().filter(|memory| memory.head.size > 0) {
                    let note = self.note(&memory);
                    self.anchors.order(memory.head.size, &note, name.as_deref(), Instant::now());
                }
                return Answer::Anchors { done: self.anchors.outcomes(Instant::now()) };
            }
            Ask::Anchors => return Answer::Anchors { done: self.anchors.outcomes(Instant::now()) },
            Ask::Seal { size, .. } | Ask::Resume { size, .. } => *size,
        };
        let done = match ask {
            Ask::Resume { last, kept, old: (old_size, old_root), size, root } => {
                let gap = Gap { kept, old_size, old_root, resumed: size };
                self.resume(last, gap, Head { size, root })
            }
            Ask::Seal { size, root, proof } => self.seal(Head { size, root }, &proof),
            Ask::Head | Ask::Anchor { .. } | Ask::Anchors => Err("no head was shown".to_owned()),
        };
        match done {
            Ok(note) => {
                self.anchors.signed(size, &note, Instant::now());
                Answer::Sealed { size, note }
            }
            Err(reason) => {
                tracing::error!(size, reason, "a head was refused");
                Answer::Refused { size, reason }
            }
        }
    }

    /// What it remembers, or why it can't go on from there.
    fn memory(&self) -> Result<Memory, String> {
        let state = self.state.as_ref().map_err(Clone::clone)?;
        let memory = state.memory().ok_or("its state is lost: both slots are empty or damaged")?;
        match memory.key {
            Some(key) if key != self.fingerprint() => {
                Err("the last head was signed with another key, or under another name".to_owned())
            }
            _ => Ok(memory),
        }
    }

    fn fingerprint(&self) -> Hash {
        Sha256::digest(self.key.verifier().to_string()).into()
    }

    /// Check, persist, sign: in this order, so that no signature can exist that the next start doesn't know of.
    fn seal(&mut self, head: Head, steps: &[Hash]) -> Result<String, String> {
        let memory = self.memory()?;
        let last = memory.head;
        if !proof::is_consistent(last.size, &last.root, head.size, &head.root, steps) {
            return Err(format!("{} leaves are not shown to extend the {} sealed before", head.size, last.size));
        }
        if head == last {
            return Ok(self.note(&memory));
        }
        let gap = memory.gap.filter(|(_, until)| head.size <= *until);
        self.sign(head, gap)
    }

    /// Goes on from elsewhere, because an administrator says so: only by this question, only when what it remembers is named
    /// as it is, and never without the head itself saying so.
    fn resume(&mut self, named: Option<(u64, Hash)>, gap: Gap, head: Head) -> Result<String, String> {
        let memory = self.state.as_ref().map_err(Clone::clone)?.memory();
        let last = memory.map(|memory| (memory.head.size, memory.head.root));
        if named != last {
            return Err("the head to go on from isn't the last one that was sealed".to_owned());
        }
        if !gap.is_possible() || last.is_some_and(|last| last != (gap.old_size, gap.old_root)) {
            return Err("what is to be given up isn't what was sealed last".to_owned());
        }
        // Heads of the history that is given up may be of any size up to here: the new ones are told from them until then.
        let before = memory.and_then(|memory| memory.gap).map_or(0, |(_, until)| until);
        let until = before.max(gap.old_size).max(head.size);
        tracing::warn!(old = gap.old_size, kept = gap.kept, size = head.size, "the log goes on after a declared gap");
        self.sign(head, Some((gap, until)))
    }

    fn sign(&mut self, head: Head, gap: Option<(Gap, u64)>) -> Result<String, String> {
        let key = Some(self.fingerprint());
        let state = self.state.as_mut().map_err(|reason| reason.clone())?;
        let memory = Memory { head, key, gap };
        state.write(memory).map_err(|error| format!("the state can't be written: {error}"))?;
        Ok(self.note(&memory))
    }

    /// The signed head of what is on the disk, with the gap it must tell of.
    fn note(&self, Memory { head, gap, .. }: &Memory) -> String {
        self.key.sign_with(head.size, head.root, gap.as_ref().map(|(gap, _)| gap))
    }
}

/// A sealer for the tests of others: with a fixed key, in a thread that ends with its channel.
#[cfg(test)]
pub fn start_for_tests(
    slots: [File; 2],
    socket: OwnedFd,
    anchors: Vec<(crate::config::slice::NearAnchor, File)>,
) -> crate::merkle::note::Verifier {
    let key = LogKey::new("gate.example.net/audit", &crate::secret::Secret::new([9; 32])).unwrap();
    let verifier = key.verifier().clone();
    std::thread::spawn(move || {
        let (anchors, mut files): (Vec<_>, Vec<_>) = anchors.into_iter().unzip();
        let anchors = Anchors::start(anchors, |_| Ok(files.remove(0))).unwrap();
        let sealer = Sealer { key, state: State::read(slots).map_err(|error| error.to_string()), anchors };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
        runtime.block_on(async {
            let (answers, asks) = channel::open(socket, &Sealed::for_tests()).unwrap();
            serve(Rc::new(RefCell::new(sealer)), answers, asks).await;
        });
    });
    verifier
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merkle::tree::{Tiles, Tree};
    use crate::merkle::{leaf_hash, note::Verifier};
    use crate::secret::Secret;

    /// A tree too small to have a full tile.
    struct NoTiles;

    impl Tiles for NoTiles {
        type Error = ();
        fn full(&mut self, _: u8, _: u64) -> Result<Vec<Hash>, ()> {
            Err(())
        }
    }

    fn none() -> Anchors {
        Anchors::start(Vec::new(), |_| Err(String::new())).unwrap()
    }

    fn tree(leaves: &[&str]) -> Tree {
        let mut tree = Tree::default();
        for leaf in leaves {
            tree.push(leaf_hash(leaf.as_bytes()));
        }
        tree
    }

    fn sealer(slots: &[tempfile::NamedTempFile; 2]) -> Sealer {
        sealer_of(5, slots)
    }

    /// The slots of a log that was never signed.
    fn slots() -> [tempfile::NamedTempFile; 2] {
        let slots = [(); 2].map(|()| tempfile::NamedTempFile::new().unwrap());
        let files = [slots[0].reopen().unwrap(), slots[1].reopen().unwrap()];
        State::read(files).unwrap().write(Memory::first()).unwrap();
        slots
    }

    fn sealer_of(seed: u8, slots: &[tempfile::NamedTempFile; 2]) -> Sealer {
        let files = [slots[0].reopen().unwrap(), slots[1].reopen().unwrap()];
        let state = State::read(files).map_err(|error| error.to_string());
        Sealer { key: LogKey::new("gate/audit", &Secret::new([seed; 32])).unwrap(), state, anchors: none() }
    }

    fn ask(sealer: &mut Sealer, tree: &Tree, old: u64) -> Answer {
        let proof = tree.prover(&mut NoTiles).consistency(old, tree.size()).unwrap();
        sealer.answer(Ask::Seal { size: tree.size(), root: tree.root(), proof })
    }

    #[test]
    fn it_signs_what_extends_its_last_head_and_refuses_the_rest_for_good() {
        let slots = slots();
        let mut first = sealer(&slots);
        assert!(matches!(ask(&mut first, &tree(&["a", "b"]), 0), Answer::Sealed { size: 2, .. }));
        let Answer::Sealed { note, .. } = ask(&mut first, &tree(&["a", "b", "c"]), 2) else { panic!("refused") };
        let verifier: Verifier = first.key.verifier().to_string().parse().unwrap();
        assert_eq!(verifier.checkpoint(&note).unwrap().root, tree(&["a", "b", "c"]).root());

        // Another one after a restart remembers.
        let mut second = sealer(&slots);
        assert!(matches!(ask(&mut second, &tree(&["a", "x", "c", "d"]), 3), Answer::Refused { .. }), "rewritten");
        assert!(matches!(ask(&mut second, &tree(&["a", "b"]), 2), Answer::Refused { .. }), "truncated");
        assert!(matches!(ask(&mut second, &tree(&["a", "b", "d"]), 3), Answer::Refused { .. }), "forked");
        assert!(matches!(ask(&mut second, &tree(&["a", "b", "c"]), 3), Answer::Sealed { .. }), "the same again");
        assert!(matches!(ask(&mut second, &tree(&["a", "b", "c", "d"]), 3), Answer::Sealed { .. }), "goes on");
    }

    #[test]
    fn a_state_that_cannot_be_written_means_no_signature() {
        let slots = slots();
        let files = [0, 1].map(|n: usize| std::fs::File::open(slots[n].path()).unwrap());
        let state = State::read(files).map_err(|error| error.to_string());
        let mut sealer =
            Sealer { key: LogKey::new("gate/audit", &Secret::new([5; 32])).unwrap(), state, anchors: none() };
        assert!(matches!(ask(&mut sealer, &tree(&["a"]), 0), Answer::Refused { .. }));
        let Answer::Head { last: Some((size, _)), .. } = sealer.answer(Ask::Head) else { panic!("no head") };
        assert_eq!(size, 0);
    }

    fn resume(sealer: &mut Sealer, last: Option<&Tree>, kept: u64, old: &Tree, new: &Tree) -> Answer {
        let head = |tree: &Tree| (tree.size(), tree.root());
        let (size, root) = head(new);
        sealer.answer(Ask::Resume { last: last.map(head), kept, old: head(old), size, root })
    }

    fn gap(note: &str) -> Option<Gap> {
        Gap::of(note.split_once("\n\n").unwrap().0)
    }

    #[test]
    fn a_gap_is_declared_by_its_own_question_only_and_stays_in_the_heads_until_they_are_past_the_old_one() {
        let slots = slots();
        let mut first = sealer(&slots);
        let old = tree(&["a", "b", "c", "d", "e"]);
        assert!(matches!(ask(&mut first, &old, 0), Answer::Sealed { .. }));
        // The vault came back with less, and went on.
        let new = tree(&["a", "b", "x"]);
        let wrong = tree(&["a", "b", "c", "d"]);
        for (last, kept, given_up) in
            [(None, 2, &old), (Some(&wrong), 2, &wrong), (Some(&old), 2, &wrong), (Some(&old), 3, &old)]
        {
            assert!(matches!(resume(&mut first, last, kept, given_up, &new), Answer::Refused { .. }));
        }
        let Answer::Sealed { note, .. } = resume(&mut first, Some(&old), 2, &old, &new) else { panic!("refused") };
        let declared = Gap { kept: 2, old_size: 5, old_root: old.root(), resumed: 3 };
        assert_eq!(gap(&note), Some(declared));
        assert!(first.key.verifier().checkpoint(&note).is_ok());
        // It is on the disk.
        let mut second = sealer(&slots);
        for (leaves, expected) in [("abx1", Some(declared)), ("abx12", Some(declared)), ("abx123", None)] {
            let leaves: Vec<String> = leaves.chars().map(String::from).collect();
            let grown = tree(&leaves.iter().map(String::as_str).collect::<Vec<_>>());
            let Answer::Sealed { note, .. } = ask(&mut second, &grown, grown.size() - 1) else { panic!("refused") };
            assert_eq!(gap(&note), expected, "{}", grown.size());
        }
        assert!(matches!(resume(&mut second, Some(&old), 2, &old, &new), Answer::Refused { .. }), "once");
    }

    #[test]
    fn a_state_that_is_lost_and_one_of_another_key_sign_nothing_until_they_are_told_to_go_on() {
        let slots = slots();
        let old = tree(&["a", "b"]);
        assert!(matches!(ask(&mut sealer(&slots), &old, 0), Answer::Sealed { .. }));
        let new = tree(&["a", "b", "c"]);
        let mut other = sealer_of(6, &slots);
        assert!(matches!(ask(&mut other, &new, 2), Answer::Refused { .. }));
        let Answer::Head { last: Some((2, _)), refuses: Some(_), .. } = other.answer(Ask::Head) else {
            panic!("willing")
        };
        assert!(matches!(resume(&mut other, Some(&old), 2, &old, &new), Answer::Sealed { .. }));
        assert!(matches!(ask(&mut sealer_of(6, &slots), &new, 3), Answer::Sealed { .. }));

        for slot in &slots {
            slot.as_file().set_len(0).unwrap();
        }
        let mut lost = sealer_of(6, &slots);
        assert!(matches!(ask(&mut lost, &new, 0), Answer::Refused { .. }), "it is no beginning");
        let Answer::Head { last: None, refuses: Some(_), .. } = lost.answer(Ask::Head) else { panic!("willing") };
        assert!(matches!(resume(&mut lost, Some(&old), 2, &old, &new), Answer::Refused { .. }));
        assert!(matches!(resume(&mut lost, None, 2, &old, &new), Answer::Sealed { .. }));
        assert!(matches!(ask(&mut sealer_of(6, &slots), &new, 3), Answer::Sealed { .. }));
    }
}
