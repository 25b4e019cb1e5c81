//! Proofs about a tree, made from whatever its perfect subtrees can be had from.

use super::{Frontier, Hash, fold, node_hash};

/// Where the roots of perfect subtrees come from.
pub trait Subtrees {
    type Error;
    /// The root over the 2^height leaves from index * 2^height on.
    fn perfect(&mut self, height: u32, index: u64) -> Result<Hash, Self::Error>;
}

/// Makes proofs.
pub struct Prover<S>(pub S);

impl<S: Subtrees> Prover<S> {
    /// The root when the tree had that many leaves.
    pub fn root_at(&mut self, size: u64) -> Result<Hash, S::Error> {
        Ok(fold(&self.frontier_at(size)?.peaks))
    }

    /// The perfect subtrees when the tree had that many leaves.
    pub fn frontier_at(&mut self, size: u64) -> Result<Frontier, S::Error> {
        let (mut peaks, mut start) = (Vec::new(), 0);
        while start < size {
            let width = 1 << (size - start).ilog2();
            peaks.push(self.range(start, start + width)?);
            start += width;
        }
        Ok(Frontier { size, peaks })
    }

    /// That the tree of `new` leaves extends the one of `old`: RFC 6962 section 2.1.2. Empty when there is nothing to
    /// show: nothing before, or nothing new.
    pub fn consistency(&mut self, old: u64, new: u64) -> Result<Vec<Hash>, S::Error> {
        let mut proof = Vec::new();
        if old > 0 && old < new {
            self.consistent(old, 0, new, true, &mut proof)?;
        }
        Ok(proof)
    }

    /// SUBPROOF(m, D[start:end], b), deepest first.
    fn consistent(&mut self, m: u64, start: u64, end: u64, b: bool, proof: &mut Vec<Hash>) -> Result<(), S::Error> {
        if m == end - start {
            if !b {
                proof.push(self.range(start, end)?);
            }
            return Ok(());
        }
        let k = split(end - start);
        if m <= k {
            self.consistent(m, start, start + k, b, proof)?;
            proof.push(self.range(start + k, end)?);
        } else {
            self.consistent(m - k, start + k, end, false, proof)?;
            proof.push(self.range(start, start + k)?);
        }
        Ok(())
    }

    /// That a leaf is in the tree of that size: RFC 6962 section 2.1.1.
    pub fn inclusion(&mut self, leaf: u64, size: u64) -> Result<Vec<Hash>, S::Error> {
        let mut proof = Vec::new();
        let (mut start, mut end) = (0, size);
        while end - start > 1 {
            let middle = start + split(end - start);
            if leaf < middle {
                proof.push(self.range(middle, end)?);
                end = middle;
            } else {
                proof.push(self.range(start, middle)?);
                start = middle;
            }
        }
        proof.reverse();
        Ok(proof)
    }

    /// The root of the leaves from `start` up to `end`, which is how the tree itself divides them.
    fn range(&mut self, start: u64, end: u64) -> Result<Hash, S::Error> {
        let width = end - start;
        if width.is_power_of_two() {
            return self.0.perfect(width.ilog2(), start >> width.ilog2());
        }
        let k = split(width);
        Ok(node_hash(&self.range(start, start + k)?, &self.range(start + k, end)?))
    }
}

/// The largest power of two below n.
fn split(n: u64) -> u64 {
    1 << (n - 1).ilog2()
}
