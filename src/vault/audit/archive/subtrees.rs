//! The perfect subtrees of the log, from what the auditors' files have of it: full tiles, leaf hashes, and for what lies
//! before the first file the subtrees that it begins behind.
//!
//! Whatever a proof for a leaf that is here needs from before the first leaf is one of these: a subtree to its left is
//! whole there, and its parent is not.

use std::collections::HashMap;

use rusqlite::{OptionalExtension, Result as Sql, params};

use super::{Archive, altered, usage};
use crate::merkle::prover::{self, Prover};
use crate::merkle::tree::{WIDTH, hashes, subtree};
use crate::merkle::{Frontier, Hash, node_hash};
use crate::vault::audit::row::{integer, octets, unsigned};
use crate::vault::audit::verify::Fault;

/// Leaves in a full tile of level 0, as a power of two; each level above has as many tiles of the one below.
const WIDTH_BITS: u32 = 8;

/// Reads each tile once.
pub struct Subtrees<'a> {
    archive: &'a Archive,
    tiles: HashMap<(u32, u64), Option<Vec<Hash>>>,
}

/// Where the subtrees of a frontier stand: height and index.
pub fn places(frontier: &Frontier) -> impl Iterator<Item = ((u32, u64), Hash)> {
    let heights = (0..u64::BITS).rev().filter(|height| frontier.size >> height & 1 == 1);
    heights.zip(&frontier.peaks).map(|(height, peak)| {
        // All larger ones stand before it.
        let index = (frontier.size >> height) - 1;
        ((height, index), *peak)
    })
}

/// The subtrees that lead from one size of the log to a larger one, in order: as large as they can be, each with its height.
pub fn rest(prover: &mut Prover<Subtrees<'_>>, from: u64, to: u64) -> Result<Vec<(u32, Hash)>, Fault> {
    let (mut rest, mut at) = (Vec::new(), from);
    while at < to {
        let height = (to - at).ilog2().min(at.trailing_zeros());
        rest.push((height, prover::Subtrees::perfect(&mut prover.0, height, at >> height)?));
        at += 1 << height;
    }
    Ok(rest)
}

impl<'a> Subtrees<'a> {
    pub fn new(archive: &'a Archive) -> Self {
        Self { archive, tiles: HashMap::new() }
    }

    /// The hashes of a tile, from its first on: of `level` 0 those of leaves.
    pub fn tile(&mut self, level: u32, number: u64, width: u64) -> Result<Vec<Hash>, Fault> {
        if let Some(stored) = self.stored(level, number)?.and_then(|tile| tile.get(..usize::try_from(width).ok()?)) {
            return Ok(stored.to_vec());
        }
        let first = number << WIDTH_BITS;
        (first..first + width).map(|index| prover::Subtrees::perfect(self, level * WIDTH_BITS, index)).collect()
    }

    /// A tile that was full and is in one of the files.
    fn stored(&mut self, level: u32, number: u64) -> Result<Option<&[Hash]>, Fault> {
        if !self.tiles.contains_key(&(level, number)) {
            let sql = "SELECT hashes FROM tile WHERE level = ? AND number = ?";
            let mut found = None;
            for month in &self.archive.months {
                let bytes: Option<Vec<u8>> = month.ask(|connection| {
                    let mut statement = connection.prepare(sql)?;
                    statement.query_row(params![level, integer(number)], |row| row.get(0)).optional()
                })?;
                found = bytes.as_deref().and_then(hashes).or(found);
            }
            self.tiles.insert((level, number), found);
        }
        Ok(self.tiles.get(&(level, number)).and_then(Option::as_deref))
    }

    /// The hashes of leaves, if all of them are here.
    fn leaves(&self, from: u64, to: u64) -> Result<Option<Vec<Hash>>, Fault> {
        let mut leaves = Vec::new();
        while let Some(month) = self.archive.month_of(from + leaves.len() as u64).filter(|_| !is_all(&leaves, from, to))
        {
            let begin = from + leaves.len() as u64;
            let found = month.ask(|connection| {
                let sql = "SELECT seq, leaf_hash FROM event WHERE seq >= ? AND seq < ? ORDER BY seq";
                let mut statement = connection.prepare(sql)?;
                let rows = statement
                    .query_map([integer(begin), integer(to)], |row| Ok((unsigned(row, 0)?, octets(row, 1)?)))?;
                rows.collect::<Sql<Vec<(u64, Option<Hash>)>>>()
            })?;
            let end = month.end.min(to);
            let whole: Option<Vec<Hash>> =
                (begin..end).zip(&found).map(|(seq, (has, hash))| hash.filter(|_| *has == seq)).collect();
            match whole.filter(|hashes| hashes.len() as u64 == end - begin) {
                Some(hashes) => leaves.extend(hashes),
                None => return Err(altered(format!("an event of {begin} to {end} is missing"))),
            }
        }
        Ok(Some(leaves).filter(|leaves| is_all(leaves, from, to)))
    }
}

fn is_all(leaves: &[Hash], from: u64, to: u64) -> bool {
    leaves.len() as u64 == to - from
}

impl prover::Subtrees for Subtrees<'_> {
    type Error = Fault;

    fn perfect(&mut self, height: u32, index: u64) -> Result<Hash, Fault> {
        if let Some(peak) = self.archive.peaks.get(&(height, index)) {
            return Ok(*peak);
        }
        let (level, bits) = (height / WIDTH_BITS, height % WIDTH_BITS);
        let first = index << bits;
        let offset = usize::try_from(first).unwrap_or(usize::MAX) % WIDTH;
        let stored = self.stored(level, first >> WIDTH_BITS)?;
        if let Some(hashes) = stored.and_then(|tile| tile.get(offset..offset + (1 << bits))) {
            return Ok(subtree(hashes));
        }
        if height <= WIDTH_BITS
            && let Some(leaves) = self.leaves(index << height, (index + 1) << height)?
        {
            return Ok(subtree(&leaves));
        }
        match height {
            0 => Err(usage(format!("event {index} is in the file of a month that isn't here, and the proof needs it"))),
            _ => Ok(node_hash(&self.perfect(height - 1, 2 * index)?, &self.perfect(height - 1, 2 * index + 1)?)),
        }
    }
}
