//! The mathematics of the audit log: an RFC 6962 tree, its proofs, and its heads as C2SP signed notes. No I/O.
//!
//! Vault, sealer and the auditor's `verify` share it, so that all three mean the same by a head.

pub mod anchor;
pub mod cosignature;
pub mod gap;
pub mod heads;
pub mod note;
pub mod proof;
pub mod prover;
pub mod tlog_proof;
pub mod tree;

use sha2::{Digest, Sha256};

pub use crate::ipc::sealing::Hash;

/// The hash of a leaf: RFC 6962 section 2.1.
pub fn leaf_hash(leaf: &[u8]) -> Hash {
    Sha256::new().chain_update([0]).chain_update(leaf).finalize().into()
}

/// The hash of an inner node.
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    Sha256::new().chain_update([1]).chain_update(left).chain_update(right).finalize().into()
}

/// The root of the tree without leaves.
pub fn empty_root() -> Hash {
    Sha256::digest([]).into()
}

/// The root over perfect subtrees, the largest (leftmost) first.
pub fn fold(peaks: &[Hash]) -> Hash {
    match peaks.split_last() {
        None => empty_root(),
        Some((last, rest)) => rest.iter().rev().fold(*last, |right, left| node_hash(left, &right)),
    }
}

/// A tree of which only the perfect subtrees are known: enough to go on from any point and to know the root.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frontier {
    pub size: u64,
    pub peaks: Vec<Hash>,
}

impl Frontier {
    pub fn push(&mut self, leaf: Hash) {
        self.push_with(leaf, |_, _| {});
    }

    /// As `push`; gives the root of each perfect subtree that the leaf completes, with its height: itself first.
    pub fn push_with(&mut self, leaf: Hash, mut completed: impl FnMut(u32, &Hash)) {
        let mut node = leaf;
        completed(0, &node);
        // As many subtrees are completed as the old size has trailing one bits.
        for height in 1..=self.size.trailing_ones() {
            match self.peaks.pop() {
                Some(left) => node = node_hash(&left, &node),
                None => break,
            }
            completed(height, &node);
        }
        self.peaks.push(node);
        self.size += 1;
    }

    pub fn root(&self) -> Hash {
        fold(&self.peaks)
    }

    /// Whether it has as many subtrees as a tree of its size must have.
    pub fn is_sound(&self) -> bool {
        u32::try_from(self.peaks.len()) == Ok(self.size.count_ones())
    }
}
