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

use tokio::task::{LocalSet, spawn_local};

use crate::config::slice::SealerSlice;
use crate::ipc::channel::{self, Receiver, Sender};
use crate::ipc::control::{ChildPackets, File as Handed, Order, Peer};
use crate::ipc::packet::Arrival;
use crate::ipc::sealing::{Answer, Ask};
use crate::merkle::{Hash, empty_root, proof};
use crate::role::link::{End, Talk};
use crate::role::start::Start;
use crate::sandbox::{self, Sealed};
use anchors::Anchors;
use key::LogKey;
use state::{Head, State};

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
        match ask {
            Ask::Head => {
                let head = self.state.as_ref().map_or(Head { size: 0, root: empty_root() }, State::head);
                Answer::Head { size: head.size, root: head.root, vkey: self.key.verifier().to_string() }
            }
            Ask::Seal { size, root, proof } => match self.seal(Head { size, root }, &proof) {
                Ok(note) => {
                    self.anchors.signed(size, &note, Instant::now());
                    Answer::Sealed { size, note }
                }
                Err(reason) => {
                    tracing::error!(size, reason, "a head was refused");
                    Answer::Refused { size, reason }
                }
            },
            Ask::Anchor { name } => {
                // Nothing was signed yet, or nobody knows what: then there is nothing to be kept anywhere.
                if let Some(Head { size, root }) =
                    self.state.as_ref().ok().map(State::head).filter(|head| head.size > 0)
                {
                    self.anchors.order(size, &self.key.sign(size, root), name.as_deref());
                }
                Answer::Anchors { done: self.anchors.outcomes(Instant::now()) }
            }
            Ask::Anchors => Answer::Anchors { done: self.anchors.outcomes(Instant::now()) },
        }
    }

    /// Check, persist, sign: in this order, so that no signature can exist that the next start doesn't know of.
    fn seal(&mut self, head: Head, steps: &[Hash]) -> Result<String, String> {
        let state = self.state.as_mut().map_err(|reason| reason.clone())?;
        let last = state.head();
        if !proof::is_consistent(last.size, &last.root, head.size, &head.root, steps) {
            return Err(format!("{} leaves are not shown to extend the {} sealed before", head.size, last.size));
        }
        if head != last {
            state.write(head).map_err(|error| format!("the state can't be written: {error}"))?;
        }
        Ok(self.key.sign(head.size, head.root))
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
        let files = [slots[0].reopen().unwrap(), slots[1].reopen().unwrap()];
        let state = State::read(files).map_err(|error| error.to_string());
        Sealer { key: LogKey::new("gate/audit", &Secret::new([5; 32])).unwrap(), state, anchors: none() }
    }

    fn ask(sealer: &mut Sealer, tree: &Tree, old: u64) -> Answer {
        let proof = tree.prover(&mut NoTiles).consistency(old, tree.size()).unwrap();
        sealer.answer(Ask::Seal { size: tree.size(), root: tree.root(), proof })
    }

    #[test]
    fn it_signs_what_extends_its_last_head_and_refuses_the_rest_for_good() {
        let slots = [(); 2].map(|()| tempfile::NamedTempFile::new().unwrap());
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
        let slots = [(); 2].map(|()| tempfile::NamedTempFile::new().unwrap());
        let files = [0, 1].map(|n: usize| std::fs::File::open(slots[n].path()).unwrap());
        let state = State::read(files).map_err(|error| error.to_string());
        let mut sealer =
            Sealer { key: LogKey::new("gate/audit", &Secret::new([5; 32])).unwrap(), state, anchors: none() };
        assert!(matches!(ask(&mut sealer, &tree(&["a"]), 0), Answer::Refused { .. }));
        let Answer::Head { size, .. } = sealer.answer(Ask::Head) else { panic!("no head") };
        assert_eq!(size, 0);
    }
}
