//! Checking proofs, with nothing but hashes at hand.

use super::{Hash, node_hash};

/// Whether a tree of `new` leaves with `new_root` extends the one of `old` leaves with `old_root`: RFC 9162 section
/// 2.1.4.2, whose proofs are those of RFC 6962 section 2.1.2. Anything extends the tree without leaves.
pub fn is_consistent(old: u64, old_root: &Hash, new: u64, new_root: &Hash, proof: &[Hash]) -> bool {
    match old {
        _ if old > new => return false,
        0 => return proof.is_empty(),
        _ if old == new => return proof.is_empty() && old_root == new_root,
        _ => {}
    }
    let mut steps = proof.iter();
    // The old tree is one perfect subtree of the new one: its root is where the path begins.
    let first = if old.is_power_of_two() { Some(old_root) } else { steps.next() };
    let Some(first) = first else { return false };
    let (mut fr, mut sr) = (*first, *first);
    let (mut fnode, mut snode) = (old - 1, new - 1);
    let shared = fnode.trailing_ones();
    (fnode, snode) = (fnode >> shared, snode >> shared);
    for step in steps {
        if snode == 0 {
            return false;
        }
        if fnode & 1 == 1 || fnode == snode {
            (fr, sr) = (node_hash(step, &fr), node_hash(step, &sr));
            while fnode & 1 == 0 && fnode != 0 {
                (fnode, snode) = (fnode >> 1, snode >> 1);
            }
        } else {
            sr = node_hash(&sr, step);
        }
        (fnode, snode) = (fnode >> 1, snode >> 1);
    }
    snode == 0 && fr == *old_root && sr == *new_root
}

/// Whether the leaf with that hash stands at `index` in the tree of `size` leaves: RFC 9162 section 2.1.3.2.
pub fn is_included(index: u64, leaf: &Hash, size: u64, root: &Hash, proof: &[Hash]) -> bool {
    if index >= size {
        return false;
    }
    let (mut node, mut last, mut hash) = (index, size - 1, *leaf);
    for step in proof {
        if last == 0 {
            return false;
        }
        if node & 1 == 1 || node == last {
            hash = node_hash(step, &hash);
            while node & 1 == 0 && node != 0 {
                (node, last) = (node >> 1, last >> 1);
            }
        } else {
            hash = node_hash(&hash, step);
        }
        (node, last) = (node >> 1, last >> 1);
    }
    last == 0 && hash == *root
}
