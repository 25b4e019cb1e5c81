//! When the power fails, and which files then forget what was not synced.
//!
//! Chance alone seldom meets the instants at which one file promises what another one must keep. So beside the instants
//! that chance picks, each of these is cut by itself, with the worst that the disk may do then.

use std::path::Path;

use super::dice::Dice;
use super::disk::Fate;
use super::strace::{Change, Entry};

/// How often one instant of the keys' making is cut with names and files in any mixture.
const MIXTURES: usize = 3;
/// On every so many-th instant that chance picked a real service is started.
const START_EVERY: usize = 10;

/// A power cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// It comes after this entry of the record.
    pub after: usize,
    pub scene: Scene,
    /// Whether a real service is started on what is left.
    pub starts: bool,
}

/// What the disk makes of what was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scene {
    Lost,
    Kept,
    /// The sealer's slots keep what all others forget: a head that was signed too early outlives its leaves.
    SealerAhead,
    /// The sealer forgets what all others keep: a head is known that it never made durable.
    SealerBehind,
    /// The auditors' and the personal files forget: what has left the vault's database too early is nowhere.
    AuditorsBehind,
    /// The master key and its name are forgotten: what was wrapped too early can't be opened.
    KeysBehind,
    /// Of the keys and their names only the last step stays: what was done before it came too late.
    KeysDisordered,
    /// Each file and directory by its own luck.
    Mixed,
}

impl Scene {
    const ALL: [Self; 10] = [
        Self::Lost,
        Self::Kept,
        Self::SealerAhead,
        Self::SealerBehind,
        Self::AuditorsBehind,
        Self::KeysBehind,
        Self::Mixed,
        Self::Mixed,
        Self::Mixed,
        Self::Mixed,
    ];

    /// What happens to the unsynced writes of a file, or to the unsynced names of a directory.
    pub fn fate(self, path: &Path, dice: &mut Dice) -> Fate {
        let kept = |kept: bool| if kept { Fate::Kept } else { Fate::Lost };
        match self {
            Self::Lost => Fate::Lost,
            Self::Kept => Fate::Kept,
            Self::SealerAhead => kept(path.starts_with("seal")),
            Self::SealerBehind => kept(!path.starts_with("seal")),
            Self::AuditorsBehind => kept(!is_auditors(path)),
            Self::KeysBehind => kept(!path.starts_with("master")),
            Self::KeysDisordered if path.starts_with("master") => Fate::Last,
            Self::KeysDisordered => Fate::Kept,
            Self::Mixed => [Fate::Lost, Fate::Kept, Fate::Mixed, Fate::Mixed][index(dice, 4)],
        }
    }
}

/// So many cuts by chance (a half anywhere, a quarter right after a sync, a quarter around the sealer's writes), and one or
/// some at each instant that matters. In the order of the record.
pub fn choose(entries: &[Entry], by_chance: usize, dice: &mut Dice) -> Vec<Cut> {
    let places = |wanted: &dyn Fn(&Change) -> bool| -> Vec<usize> {
        entries.iter().enumerate().filter(|(_, entry)| wanted(&entry.change)).map(|(at, _)| at).collect()
    };
    let syncs = places(&|change| matches!(change, Change::SyncEnds { .. }));
    let slots = places(&|change| match change {
        Change::Write { path, .. } | Change::SyncBegins { path, .. } => is_slot(path),
        _ => false,
    });
    assert!(syncs.len() > 50 && slots.len() > 5, "{} syncs, {} writes of the sealer", syncs.len(), slots.len());
    let mut cuts: Vec<Cut> = (0..by_chance)
        .map(|n| {
            let after = match n % 4 {
                0 => syncs[index(dice, syncs.len())],
                1 => (slots[index(dice, slots.len())] + n % 3).min(entries.len() - 1),
                _ => index(dice, entries.len()),
            };
            Cut { after, scene: Scene::ALL[index(dice, Scene::ALL.len())], starts: n % START_EVERY == 0 }
        })
        .collect();
    let mut at = |places: Vec<usize>, scenes: &[Scene]| {
        assert!(places.len() > 2, "{scenes:?}: the record has only {} such instants", places.len());
        cuts.extend(
            places.iter().flat_map(|after| scenes.iter().map(|scene| (*after, *scene))).map(|(after, scene)| Cut {
                after,
                scene,
                starts: false,
            }),
        );
    };
    at(slots, &[Scene::SealerAhead]);
    at(departures(entries), &[Scene::AuditorsBehind]);
    let keys = places(&|change| named(change).any(is_key));
    at(keys.iter().map(|at| at.saturating_sub(1)).collect(), &[Scene::KeysBehind]);
    at(keys, &[&[Scene::Lost, Scene::KeysDisordered][..], &[Scene::Mixed; MIXTURES]].concat());
    cuts.sort_by_key(|cut| cut.after);
    cuts
}

/// Each first commit of the vault after the auditors' or the personal files were written: with it what they have may leave
/// the vault's database.
fn departures(entries: &[Entry]) -> Vec<usize> {
    let (mut written, mut committing, mut places) = (false, None, Vec::new());
    for (at, Entry { change, .. }) in entries.iter().enumerate() {
        match change {
            Change::Write { path, .. } if is_auditors(path) => written = true,
            Change::SyncBegins { thread, path } if written && path == "db/vault.db-wal" => committing = Some(*thread),
            Change::SyncEnds { thread } if committing == Some(*thread) => {
                places.push(at);
                (written, committing) = (false, None);
            }
            _ => {}
        }
    }
    places
}

/// The paths that a change names.
fn named(change: &Change) -> impl Iterator<Item = &Path> {
    let (one, other) = match change {
        Change::Open { path, make: true, .. }
        | Change::Write { path, .. }
        | Change::Truncate { path, .. }
        | Change::Allocate { path, .. }
        | Change::SyncBegins { path, .. }
        | Change::Remove { path }
        | Change::MakeFolder { path } => (Some(path), None),
        Change::Rename { from, to } => (Some(from), Some(to)),
        Change::Open { .. } | Change::SyncEnds { .. } => (None, None),
    };
    one.into_iter().chain(other).map(|path| path.as_path())
}

fn is_slot(path: &Path) -> bool {
    path.starts_with("seal") && path.file_name().is_some_and(|name| name == "head.0" || name == "head.1")
}

/// An auditors' file, or one of personal values: both have what the vault's database forgets.
fn is_auditors(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    path.starts_with("audit") || name.starts_with("personal-")
}

/// A key, its name, or the directory of either.
fn is_key(path: &Path) -> bool {
    (path.starts_with("seal") || path.starts_with("master")) && !is_slot(path)
}

fn index(dice: &mut Dice, end: usize) -> usize {
    usize::try_from(dice.below(u64::try_from(end).unwrap())).unwrap()
}
