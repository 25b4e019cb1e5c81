//! The tree against an independent implementation.

use std::convert::Infallible;

use ct_merkle::mem_backed_tree::MemoryBackedTree;
use ct_merkle::{ConsistencyProof, InclusionProof};
use sha2::Sha256;

use super::*;
use crate::merkle::{leaf_hash, proof};

#[derive(Default)]
struct Memory(HashMap<(u8, u64), Vec<Hash>>);

impl Memory {
    fn keep(&mut self, tiles: Vec<Tile>) {
        for tile in tiles {
            assert_eq!(tile.hashes.len(), WIDTH);
            assert!(self.0.insert((tile.level, tile.number), tile.hashes).is_none());
        }
    }
}

impl Tiles for Memory {
    type Error = Infallible;
    fn full(&mut self, level: u8, number: u64) -> Result<Vec<Hash>, Infallible> {
        Ok(self.0.get(&(level, number)).expect("a tile that was full").clone())
    }
}

fn leaf(n: u64) -> Vec<u8> {
    format!("leaf {n}").into_bytes()
}

fn grown(size: u64) -> (Tree, Memory, Vec<Hash>) {
    let (mut tree, mut tiles, mut roots) = (Tree::default(), Memory::default(), vec![Tree::default().root()]);
    for n in 0..size {
        tiles.keep(tree.push(leaf_hash(&leaf(n))));
        roots.push(tree.root());
    }
    (tree, tiles, roots)
}

#[test]
fn roots_and_proofs_agree_with_ct_merkle_for_all_sizes_to_300() {
    let (tree, mut tiles, roots) = grown(300);
    let mut oracle = MemoryBackedTree::<Sha256, Vec<u8>>::new();
    let mut oracle_roots = vec![oracle.root()];
    for size in 1..=300u64 {
        oracle.push(leaf(size - 1));
        oracle_roots.push(oracle.root());
        let root = roots[size as usize];
        assert_eq!(oracle.root().as_bytes().as_slice(), root, "size {size}");
        assert_eq!(tree.prover(&mut tiles).root_at(size).unwrap(), root);
        for old in [1, 2, size / 3, size / 2, size - 1] {
            if old == 0 || old >= size {
                continue;
            }
            let ours = tree.prover(&mut tiles).consistency(old, size).unwrap();
            let theirs = oracle.prove_consistency((size - old) as usize);
            assert_eq!(theirs.as_bytes(), ours.concat(), "{old} to {size}");
            let parsed = ConsistencyProof::<Sha256>::try_from_bytes(ours.concat()).unwrap();
            oracle.root().verify_consistency(&oracle_roots[old as usize], &parsed).unwrap();
            assert!(proof::is_consistent(old, &roots[old as usize], size, &root, &ours));
            assert!(!proof::is_consistent(old, &roots[old as usize - 1], size, &root, &ours));
        }
        for index in [0, size / 3, size / 2, size - 1] {
            let ours = tree.prover(&mut tiles).inclusion(index, size).unwrap();
            let parsed = InclusionProof::<Sha256>::try_from_bytes(ours.concat()).unwrap();
            oracle.root().verify_inclusion(&leaf(index), index, &parsed).unwrap();
            assert!(proof::is_included(index, &leaf_hash(&leaf(index)), size, &root, &ours));
            assert!(!proof::is_included(index, &leaf_hash(b"another"), size, &root, &ours));
        }
    }
}

#[test]
fn every_step_of_growth_can_be_proved_and_nothing_else() {
    let (tree, mut tiles, roots) = grown(70);
    for new in 0..=70 {
        for old in 0..=new {
            let steps = tree.prover(&mut tiles).consistency(old, new).unwrap();
            let (before, after) = (&roots[old as usize], &roots[new as usize]);
            assert!(proof::is_consistent(old, before, new, after, &steps), "{old} to {new}");
            if old > 0 {
                assert!(!proof::is_consistent(old, &[9; 32], new, after, &steps), "{old} to {new}");
                assert!(!proof::is_consistent(old, before, new, &[9; 32], &steps), "{old} to {new}");
                let longer = [steps.clone(), vec![[0; 32]]].concat();
                assert!(!proof::is_consistent(old, before, new, after, &longer), "{old} to {new}");
            }
        }
    }
}

#[test]
fn a_tree_loaded_from_its_tiles_is_the_tree_that_was_stored() {
    for size in [0, 1, 255, 256, 257, 65_535, 65_536, 65_537, 66_049] {
        let (mut tree, mut tiles) = (Tree::default(), Memory::default());
        let mut edge = Vec::new();
        let mut frontier = Frontier::default();
        for n in 0..size {
            let hash = leaf_hash(&leaf(n));
            frontier.push(hash);
            edge.push(hash);
            let filled = tree.push(hash);
            if !filled.is_empty() {
                edge.clear();
            }
            tiles.keep(filled);
        }
        let loaded = Tree::load(size, edge, &mut tiles).unwrap();
        assert_eq!(loaded.root(), tree.root(), "size {size}");
        assert_eq!(loaded.frontier(), frontier, "size {size}");
        assert!(frontier.is_sound());
        if size > 1 {
            let steps = loaded.prover(&mut tiles).consistency(size / 2, size).unwrap();
            let before = loaded.prover(&mut tiles).root_at(size / 2).unwrap();
            assert!(proof::is_consistent(size / 2, &before, size, &tree.root(), &steps));
        }
    }
}

#[test]
fn a_frontier_gives_the_roots_of_the_subtrees_that_a_leaf_completes() {
    let leaves: Vec<Hash> = (0..600).map(|n| leaf_hash(&leaf(n))).collect();
    let mut frontier = Frontier::default();
    for (size, hash) in (1..).zip(&leaves) {
        let mut completed = Vec::new();
        frontier.push_with(*hash, |height, root| completed.push((height, *root)));
        let size: usize = size;
        let expected = (0..=size.trailing_zeros()).map(|height| (height, subtree(&leaves[size - (1 << height)..size])));
        assert_eq!(completed, expected.collect::<Vec<_>>(), "{size}");
    }
}

/// Octets that look random and are the same in every run.
fn random(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *seed >> 33
}

#[test]
fn roots_and_proofs_agree_with_ct_merkle_at_random_sizes_to_a_hundred_thousand() {
    let mut seed = 6962;
    let mut sizes: Vec<u64> = (0..12).map(|_| 301 + random(&mut seed) % 99_700).collect();
    // Where tiles of the second level begin and end.
    sizes.extend([65_535, 65_536, 65_537, 65_792]);
    sizes.sort_unstable();
    let (mut tree, mut tiles) = (Tree::default(), Memory::default());
    let mut oracle = MemoryBackedTree::<Sha256, Vec<u8>>::new();
    let mut earlier = (0, oracle.root(), tree.root());
    for size in sizes {
        for n in tree.size()..size {
            tiles.keep(tree.push(leaf_hash(&leaf(n))));
            oracle.push(leaf(n));
        }
        let (root, theirs) = (tree.root(), oracle.root());
        assert_eq!(theirs.as_bytes().as_slice(), root, "size {size}");
        let (old, old_theirs, old_root) = std::mem::replace(&mut earlier, (size, theirs.clone(), root));
        if old > 0 && old < size {
            let ours = tree.prover(&mut tiles).consistency(old, size).unwrap();
            assert_eq!(oracle.prove_consistency((size - old) as usize).as_bytes(), ours.concat(), "{old} to {size}");
            let parsed = ConsistencyProof::<Sha256>::try_from_bytes(ours.concat()).unwrap();
            theirs.verify_consistency(&old_theirs, &parsed).unwrap();
            assert!(proof::is_consistent(old, &old_root, size, &root, &ours));
        }
        for index in [0, random(&mut seed) % size, size - 1] {
            let ours = tree.prover(&mut tiles).inclusion(index, size).unwrap();
            assert_eq!(oracle.prove_inclusion(index as usize).as_bytes(), ours.concat(), "{index} of {size}");
            assert!(proof::is_included(index, &leaf_hash(&leaf(index)), size, &root, &ours));
        }
    }
}
