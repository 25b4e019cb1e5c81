//! Personal values against the commitments in their leaves.

use super::{Fault, altered};
use crate::merkle::Hash;
use crate::vault::audit::event::Field;
use crate::vault::audit::leaf;
use crate::vault::audit::row::PersonalRow;

/// How much of a value auditors see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Itself, or what stands for it, as was committed to.
    There,
    /// Nothing, although there was something.
    Gone,
    /// Nothing, as ever.
    Hidden,
}

/// A value that is there must be the one committed to.
pub fn check(seq: u64, value: &PersonalRow) -> Result<State, Fault> {
    let key = value.key();
    let is_there = |key: &str, salt: Option<leaf::Salt>, text: Option<&String>, commitment: Hash| match (salt, text) {
        (Some(salt), Some(text)) if leaf::commit(&salt, seq, key, text) == commitment => Ok(true),
        (None, None) => Ok(false),
        _ => Err(altered(format!("{key} of event {seq} isn't the value that was committed to"))),
    };
    let there = is_there(&key, value.salt, value.value.as_ref(), value.commitment)?;
    let open = Field::of(&value.field).is_none_or(Field::is_open);
    let shown = match value.shown_commitment {
        Some(commitment) => is_there(&format!("{key}.shown"), value.shown_salt, value.shown.as_ref(), commitment)?,
        None if value.shown.is_none() && value.shown_salt.is_none() => false,
        None => return Err(altered(format!("{key} of event {seq} shows what nobody committed to"))),
    };
    Ok(match (open, value.shown_commitment.is_some()) {
        (true, _) if !there => State::Gone,
        (_, true) if !shown => State::Gone,
        (false, false) if !there => State::Hidden,
        _ => State::There,
    })
}
