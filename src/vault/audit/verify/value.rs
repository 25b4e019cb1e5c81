//! Personal values against the commitments in their leaves.

use super::{Fault, Verdict, altered};
use crate::merkle::Hash;
use crate::vault::audit::event::Field;
use crate::vault::audit::leaf;
use crate::vault::audit::row::PersonalRow;

/// A value that is there must be the one committed to; one that isn't there must have been hidden from auditors, not erased.
pub fn check(seq: u64, value: &PersonalRow) -> Result<(), Fault> {
    let key = value.key();
    let is_there = |key: &str, salt: Option<leaf::Salt>, text: Option<&String>, commitment: Hash| match (salt, text) {
        (Some(salt), Some(text)) if leaf::commit(&salt, seq, key, text) == commitment => Ok(true),
        (None, None) => Ok(false),
        _ => Err(altered(format!("{key} of event {seq} isn't the value that was committed to"))),
    };
    let erased = |what: &str| Fault {
        verdict: Verdict::Erased,
        what: format!("{what} of event {seq} was erased, and no event says so"),
    };
    let there = is_there(&key, value.salt, value.value.as_ref(), value.commitment)?;
    let open = Field::of(&value.field).is_none_or(Field::is_open);
    if open && !there {
        return Err(erased(&key));
    }
    match value.shown_commitment {
        Some(commitment) => {
            let key = format!("{key}.shown");
            if is_there(&key, value.shown_salt, value.shown.as_ref(), commitment)? { Ok(()) } else { Err(erased(&key)) }
        }
        None if value.shown.is_none() && value.shown_salt.is_none() => Ok(()),
        None => Err(altered(format!("{key} of event {seq} shows what nobody committed to"))),
    }
}
