//! The tree as C2SP tlog-tiles has it: hashes and entries in files, and the checkpoint that they add up to.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{Range, Way};
use crate::merkle::prover::Prover;
use crate::merkle::tree::{WIDTH, subtree};
use crate::merkle::{Hash, leaf_hash};
use crate::vault::audit::archive::{Archive, Subtrees, altered, unreadable, usage};
use crate::vault::audit::verify::Fault;

/// Hashes in a full tile, and entries in a full bundle.
const FULL: u64 = WIDTH as u64;

pub fn write(folder: &Path, archive: &Archive, range: &Range, way: &mut Way) -> Result<(), Fault> {
    if range.from > 0 {
        return Err(usage(format!(
            "tiles are of the whole tree, and the files begin with event {}: take jsonl, which can begin there",
            range.from
        )));
    }
    let size = range.head.size;
    let mut prover = archive.prover();
    if prover.root_at(size)? != range.head.root {
        return Err(altered("the files aren't the log that was signed: run `gatepost audit verify`".to_owned()));
    }
    entries(folder, archive, size, &mut prover.0, way)?;
    let mut below = size;
    for level in 0.. {
        for (number, width) in tiles(below) {
            let hashes = prover.0.tile(level, number, width)?;
            is_made_of(&mut prover, level, number, &hashes)?;
            put(&folder.join("tile").join(level.to_string()), number, width, &hashes.concat())?;
        }
        way.at(size)?;
        below /= FULL;
        if below == 0 {
            break;
        }
    }
    fs::write(folder.join("checkpoint"), &range.head.note).map_err(|error| failed(folder, &error))
}

/// The tiles of a level with so many hashes: number and width, the last one partial.
fn tiles(hashes: u64) -> impl Iterator<Item = (u64, u64)> {
    let full = hashes / FULL;
    let partial = Some((full, hashes % FULL)).filter(|(_, width)| *width > 0);
    (0..full).map(|number| (number, FULL)).chain(partial)
}

/// The entries, each with its length before it, in bundles as wide as the tiles of their hashes.
fn entries(
    folder: &Path,
    archive: &Archive,
    size: u64,
    subtrees: &mut Subtrees<'_>,
    way: &mut Way,
) -> Result<(), Fault> {
    let folder = folder.join("tile").join("entries");
    for (number, width) in tiles(size) {
        let (mut bundle, mut hashes) = (Vec::new(), Vec::new());
        let first = number * FULL;
        archive.each(first, first + width, |rows| {
            for row in rows {
                let leaf = row.leaf().ok_or_else(|| altered(format!("event {} can't be encoded", row.seq)))?;
                let length = u16::try_from(leaf.len());
                let length =
                    length.map_err(|_| altered(format!("event {} is longer than an entry may be", row.seq)))?;
                hashes.push(leaf_hash(&leaf));
                bundle.extend(length.to_be_bytes());
                bundle.extend(leaf);
            }
            Ok(())
        })?;
        if hashes != subtrees.tile(0, number, width)? {
            return Err(altered(format!("events from {first} on aren't what their hashes were made from")));
        }
        put(&folder, number, width, &bundle)?;
        way.at(first + width)?;
    }
    Ok(())
}

/// A hash above the lowest level stands for a full tile below: it must be that tile's.
fn is_made_of(prover: &mut Prover<Subtrees<'_>>, level: u32, number: u64, hashes: &[Hash]) -> Result<(), Fault> {
    let Some(below) = level.checked_sub(1) else { return Ok(()) };
    for (n, hash) in (number * FULL..).zip(hashes) {
        if subtree(&prover.0.tile(below, n, FULL)?) != *hash {
            return Err(altered(format!("tile {n} of level {below} isn't the one in the tree")));
        }
    }
    Ok(())
}

fn put(folder: &Path, number: u64, width: u64, octets: &[u8]) -> Result<(), Fault> {
    let path = folder.join(place(number, width));
    let made = path.parent().map_or(Ok(()), fs::create_dir_all);
    made.and_then(|()| fs::write(&path, octets)).map_err(|error| failed(&path, &error))
}

/// `x001/x234/067`, and `.p/W` behind it when it isn't full.
fn place(number: u64, width: u64) -> PathBuf {
    let mut groups = vec![format!("{:03}", number % 1000)];
    let mut rest = number / 1000;
    while rest > 0 {
        groups.push(format!("x{:03}", rest % 1000));
        rest /= 1000;
    }
    groups.reverse();
    let path = groups.join("/");
    PathBuf::from(if width < FULL { format!("{path}.p/{width}") } else { path })
}

fn failed(path: &Path, error: &io::Error) -> Fault {
    unreadable(format!("writing {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers are those of the specification's own examples.
    #[test]
    fn tiles_have_the_names_and_widths_of_c2sp() {
        assert_eq!(place(1_234_067, FULL).to_str(), Some("x001/x234/067"));
        assert_eq!(place(0, FULL).to_str(), Some("000"));
        assert_eq!(place(273, 112).to_str(), Some("273.p/112"));
        let widths = |hashes: u64| tiles(hashes).map(|(_, width)| width).collect::<Vec<_>>();
        assert_eq!((widths(70_000).len(), widths(70_000).last()), (274, Some(&112)));
        assert_eq!((widths(70_000 / 256).len(), widths(70_000 / 256).last()), (2, Some(&17)));
        assert_eq!(widths(70_000 / 256 / 256), [1]);
        assert_eq!((widths(256), widths(1)), (vec![256], vec![1]));
    }
}
