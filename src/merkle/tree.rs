//! The growing tree: full tiles go to storage (C2SP tlog-tiles), the edge that isn't full yet stays in memory.

use std::collections::HashMap;

use super::prover::{Prover, Subtrees};
use super::{Frontier, Hash, fold, node_hash};

/// Hashes of one full tile.
pub const WIDTH: usize = 256;
/// The height of the subtree that is one hash of the level above.
pub const WIDTH_BITS: u32 = 8;
/// Levels of tiles: one of the highest that can become full covers 2^56 leaves.
const LEVELS: u8 = 7;

/// A tile that has just become full: level 0 holds leaf hashes, each level above the roots of the tiles below.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tile {
    pub level: u8,
    pub number: u64,
    pub hashes: Vec<Hash>,
}

impl Tile {
    pub fn bytes(&self) -> Vec<u8> {
        self.hashes.concat()
    }
}

/// The hashes of a stored tile; none unless there are exactly as many as a full tile has.
pub fn hashes(bytes: &[u8]) -> Option<Vec<Hash>> {
    let (hashes, rest) = bytes.as_chunks::<32>();
    (rest.is_empty() && hashes.len() == WIDTH).then(|| hashes.to_vec())
}

/// Where full tiles are kept.
pub trait Tiles {
    type Error;
    /// The hashes of a tile that was full before.
    fn full(&mut self, level: u8, number: u64) -> Result<Vec<Hash>, Self::Error>;
}

/// The size and, for each level, the hashes of the tile that isn't full yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree {
    size: u64,
    rows: Vec<Vec<Hash>>,
}

impl Tree {
    /// The tree of that size, from its stored tiles and the leaf hashes behind the last full tile.
    pub fn load<T: Tiles>(size: u64, edge: Vec<Hash>, tiles: &mut T) -> Result<Self, T::Error> {
        let mut rows = vec![edge];
        for level in 1..LEVELS {
            let below = size >> (WIDTH_BITS * u32::from(level));
            if below == 0 {
                break;
            }
            let mut row = Vec::new();
            for number in (below & !(WIDTH as u64 - 1))..below {
                row.push(subtree(&tiles.full(level - 1, number)?));
            }
            rows.push(row);
        }
        Ok(Self { size, rows })
    }

    pub fn size(&self) -> u64 {
        self.size
    }

    /// Appends a leaf. Returns the tiles it filled, the lowest first: usually none.
    pub fn push(&mut self, leaf: Hash) -> Vec<Tile> {
        let mut filled = Vec::new();
        let mut hash = leaf;
        self.size += 1;
        for level in 0..LEVELS {
            let at = usize::from(level);
            if self.rows.len() <= at {
                self.rows.push(Vec::with_capacity(WIDTH));
            }
            let Some(row) = self.rows.get_mut(at) else { break };
            row.push(hash);
            if row.len() < WIDTH {
                break;
            }
            let hashes = std::mem::replace(row, Vec::with_capacity(WIDTH));
            hash = subtree(&hashes);
            let number = (self.size >> (WIDTH_BITS * (u32::from(level) + 1))) - 1;
            filled.push(Tile { level, number, hashes });
        }
        filled
    }

    /// The roots of its perfect subtrees.
    pub fn frontier(&self) -> Frontier {
        let mut peaks = Vec::new();
        for row in self.rows.iter().rev() {
            let mut rest = row.as_slice();
            while !rest.is_empty() {
                let (block, after) = rest.split_at(1 << rest.len().ilog2());
                peaks.push(subtree(block));
                rest = after;
            }
        }
        Frontier { size: self.size, peaks }
    }

    pub fn root(&self) -> Hash {
        fold(&self.frontier().peaks)
    }

    /// Proofs about this tree and any earlier state of it.
    pub fn prover<'a, T: Tiles>(&'a self, tiles: &'a mut T) -> Prover<Tiled<'a, T>> {
        Prover(Tiled { tree: self, tiles, cache: HashMap::new() })
    }
}

/// The root of a perfect subtree.
pub fn subtree(leaves: &[Hash]) -> Hash {
    let mut row = leaves.to_vec();
    while row.len() > 1 {
        row = row.as_chunks::<2>().0.iter().map(|[left, right]| node_hash(left, right)).collect();
    }
    row.first().copied().unwrap_or_else(super::empty_root)
}

/// The subtrees of a tree by its stored tiles and its edge; reads each stored tile once.
pub struct Tiled<'a, T: Tiles> {
    tree: &'a Tree,
    tiles: &'a mut T,
    cache: HashMap<(u8, u64), Vec<Hash>>,
}

impl<T: Tiles> Subtrees for Tiled<'_, T> {
    type Error = T::Error;

    fn perfect(&mut self, height: u32, index: u64) -> Result<Hash, T::Error> {
        let level = u8::try_from(height / WIDTH_BITS).unwrap_or(LEVELS);
        let bits = height % WIDTH_BITS;
        let first = index << bits;
        let row = self.row(level, first >> WIDTH_BITS)?;
        let offset = usize::try_from(first).unwrap_or(usize::MAX) % WIDTH;
        Ok(subtree(row.get(offset..offset + (1 << bits)).unwrap_or_default()))
    }
}

impl<T: Tiles> Tiled<'_, T> {
    fn row(&mut self, level: u8, number: u64) -> Result<&[Hash], T::Error> {
        let full = self.tree.size >> (WIDTH_BITS * (u32::from(level) + 1));
        if number >= full {
            return Ok(self.tree.rows.get(usize::from(level)).map(Vec::as_slice).unwrap_or_default());
        }
        if !self.cache.contains_key(&(level, number)) {
            let hashes = self.tiles.full(level, number)?;
            self.cache.insert((level, number), hashes);
        }
        Ok(self.cache.get(&(level, number)).map(Vec::as_slice).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests;
