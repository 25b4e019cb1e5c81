//! Going on after a loss: what a declared gap says, and the event of it.
//!
//! After a restore, a lost second of the disk or a lost state of the sealer, the log can't be shown to extend the last head
//! that was signed. An administrator says that this is known and why; the log says so in an event and in its signed heads,
//! for ever. Whatever lies outside of the range that is named must still agree. Events that are in none of the auditors'
//! files any more are declared in the same way: then the tree has lost nothing, and the files have a hole.

use rusqlite::Result;

use super::event::{Event, Name, Outcome};
use super::holes::Hole;
use super::month_file::hex;
use crate::merkle::gap::Gap;
use crate::merkle::{Hash, empty_root};
use crate::vault::store::Store;

/// The longest reason that is kept.
const REASON: usize = 400;

/// A head by size and root.
pub type Head = (u64, Hash);

/// Where the sealer stands.
#[derive(Clone, Debug)]
pub struct Standing {
    /// Its last head, if it has one.
    pub last: Option<Head>,
    /// Why it signs nothing, whatever it is shown.
    pub refuses: Option<String>,
    /// Events that are in none of the auditors' files any more.
    pub holes: Vec<Hole>,
}

/// Who asks for it, and why.
#[derive(Clone, Debug)]
pub struct Wish {
    pub actor: String,
    pub reason: String,
    /// The last head of before as it was kept elsewhere, for a sealer that has none.
    pub named: Option<Head>,
}

/// What was declared, and the head that is to say so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declared {
    pub gap: Gap,
    pub root: Hash,
    pub missing: Vec<Hole>,
}

/// Writes the event of a gap. The head to be signed ends with it.
///
/// Gives the reason, in words, if there is nothing to declare.
pub fn declare(
    store: &mut Store<'_>,
    standing: &Standing,
    wish: &Wish,
) -> Result<std::result::Result<Declared, String>> {
    let (old, kind) = match standing {
        Standing { last: Some(last), refuses: None, holes } => {
            let agrees = agrees(store, *last)?;
            if agrees && holes.is_empty() {
                return Ok(Err(
                    "there is nothing to resume: the log goes on from the sealer's last head, and is sealed".to_owned(),
                ));
            }
            (*last, if agrees { "files-lost" } else { "rollback" })
        }
        Standing { last: Some(last), .. } => (*last, "another-key"),
        Standing { last: None, .. } => {
            let note = store.ledger.last_note()?;
            (wish.named.or(note).unwrap_or((0, empty_root())), "sealer-lost")
        }
    };
    if wish.named.is_some_and(|named| named != old) {
        return Ok(Err(format!(
            "--head isn't the head that the sealer remembers, which is of {} events: leave it out",
            old.0
        )));
    }
    let kept = kept(store, old)?;
    store.ledger.tell_clocks()?;
    let resumed = store.ledger.size() + 1;
    let gap = Gap { kept, old_size: old.0, old_root: old.1, resumed };
    let reason: String = wish.reason.chars().take(REASON).collect();
    let mut data = serde_json::json!({
        "kept": kept, "old_size": old.0, "old_root": hex(&old.1), "new_size": resumed,
        "lost": old.0 - kept, "why": reason,
    });
    let missing = standing.holes.clone();
    if !missing.is_empty() {
        data["missing"] = missing.iter().map(|(first, end)| serde_json::json!([first, end - 1])).collect();
    }
    let seq = store.ledger.append(Event {
        severity: 2,
        actor: Some(wish.actor.clone()),
        reason: Some(kind.to_owned()),
        data: Some(data.to_string()),
        ..Event::new(Name::AuditResume, Outcome::Info)
    })?;
    match store.ledger.root_at(resumed)? {
        Some(root) if seq + 1 == resumed => Ok(Ok(Declared { gap, root, missing })),
        _ => Ok(Err("a clock was set at this very moment: try again".to_owned())),
    }
}

/// How much of the old history this log has for certain: all of it, or as far as a head of it was signed.
fn kept(store: &mut Store<'_>, old: Head) -> Result<u64> {
    if agrees(store, old)? {
        return Ok(old.0);
    }
    match store.ledger.last_note()? {
        Some(note) if note.0 <= old.0 && agrees(store, note)? => Ok(note.0),
        _ => Ok(0),
    }
}

fn agrees(store: &mut Store<'_>, (size, root): Head) -> Result<bool> {
    Ok(size == 0 || store.ledger.root_at(size)? == Some(root))
}
