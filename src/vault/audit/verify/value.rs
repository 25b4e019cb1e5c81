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

/// A value that is there must be the one committed to, and its row one that we write: another may have the same keys in the leaf
/// and show nothing, or something else.
pub fn check(seq: u64, value: &PersonalRow) -> Result<State, Fault> {
    let Some(field) = Field::of(&value.field).filter(|field| value.n == 0 || *field == Field::RcptTo) else {
        let what = format!("event {seq} has a value `{}` ({}), which no event has", value.field, value.n);
        return Err(altered(what));
    };
    let is_there = |key: &str, salt: Option<leaf::Salt>, text: Option<&String>, commitment: Hash| match (salt, text) {
        (Some(salt), Some(text)) if leaf::commit(&salt, seq, key, text) == commitment => Ok(true),
        (None, None) => Ok(false),
        _ => Err(altered(format!("{key} of event {seq} isn't the value that was committed to"))),
    };
    let key = value.key();
    let there = is_there(&key, value.salt, value.value.as_ref(), value.commitment)?;
    let shown = match value.shown_commitment {
        Some(commitment) => is_there(&value.shown_key(), value.shown_salt, value.shown.as_ref(), commitment)?,
        None if field.is_masked() => {
            return Err(altered(format!("{key} of event {seq} has nothing that is shown in its stead")));
        }
        None if value.shown.is_none() && value.shown_salt.is_none() => false,
        None => return Err(altered(format!("{key} of event {seq} shows what nobody committed to"))),
    };
    Ok(match (field.is_open(), value.shown_commitment.is_some()) {
        (true, _) if !there => State::Gone,
        (_, true) if !shown => State::Gone,
        (false, false) if !there => State::Hidden,
        _ => State::There,
    })
}
