//! A message's one name everywhere: in replies, logs, the spool and the audit log.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A UUIDv7 (RFC 9562): sorts by the time it was given.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct MessageId(Uuid);

/// Crockford's base32: no I, L, O, U, so that an id can be read aloud. Its order is that of ASCII, so ids still sort.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// 128 bits in letters of 5 bits.
const LETTERS: u32 = 26;
/// What an id begins with where HTTP clients see it.
const REQUEST: &str = "req_";

impl MessageId {
    pub fn now() -> Self {
        Self(Uuid::now_v7())
    }

    pub const fn uuid(self) -> Uuid {
        self.0
    }

    /// When it was given, in milliseconds since 1970.
    pub fn time_ms(self) -> Option<u64> {
        let (seconds, nanoseconds) = self.0.get_timestamp()?.to_unix();
        Some(seconds * 1000 + u64::from(nanoseconds / 1_000_000))
    }

    /// The 26 letters, as they stand in Message-ID and behind `req_`.
    pub fn base32(self) -> String {
        let bits = self.0.as_u128();
        let letter = |at: u32| {
            let five = usize::try_from((bits >> (5 * at)) & 31).unwrap_or_default();
            char::from(ALPHABET.get(five).copied().unwrap_or_default())
        };
        (0..LETTERS).rev().map(letter).collect()
    }

    /// `req_` and the 26 letters: the form in HTTP replies.
    pub fn request_id(self) -> String {
        format!("{REQUEST}{}", self.base32())
    }

    fn from_base32(text: &str) -> Option<Self> {
        // The first letter has 3 of its 5 bits only.
        if text.len() != 26 || !text.starts_with(|first: char| ('0'..='7').contains(&first)) {
            return None;
        }
        let mut bits = 0u128;
        for octet in text.bytes() {
            let five = ALPHABET.iter().position(|letter| *letter == octet)?;
            bits = (bits << 5) | u128::try_from(five).ok()?;
        }
        Some(Self(Uuid::from_u128(bits)))
    }
}

impl From<Uuid> for MessageId {
    fn from(id: Uuid) -> Self {
        Self(id)
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What was given for an id is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAnId;

impl fmt::Display for NotAnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "an id is what the client was told: a UUID such as 0199e2a4-6c1d-7e2b-9c55-3f2f4a1b7d10, or req_ and 26 letters \
             and digits",
        )
    }
}

impl std::error::Error for NotAnId {}

/// Takes both forms, the UUID and `req_` with its 26 letters.
impl FromStr for MessageId {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.strip_prefix(REQUEST).and_then(Self::from_base32) {
            Some(id) => Ok(id),
            None => text.parse().map(Self).map_err(|_| NotAnId),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_two_forms_of_an_id_are_the_same_id() {
        let id: MessageId = "01a1f866-0d7b-7d39-bc3d-1f2a8b5c6d7e".parse().unwrap();
        assert_eq!(id.request_id(), "req_01M7W6C3BVFMWVRF8Z5A5NRVBY");
        assert_eq!("req_01M7W6C3BVFMWVRF8Z5A5NRVBY".parse::<MessageId>().unwrap(), id);
    }

    #[test]
    fn what_is_no_id_is_refused() {
        for text in ["", "req_", "req_81M7W6C3BVFMWVRF8Z5A5NRVBY", "req_01M7W6C3BVFMWVRF8Z5A5NRVBI", "req_01M7W6C3BV"] {
            assert!(text.parse::<MessageId>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_id_survives_both_forms(bits: u128) {
            let id = MessageId(Uuid::from_u128(bits));
            prop_assert_eq!(id.request_id().parse::<MessageId>().unwrap(), id);
            prop_assert_eq!(id.to_string().parse::<MessageId>().unwrap(), id);
        }
    }
}
