//! `audit-leaf/1`: the octets of an event that the tree is made of.
//!
//! ```text
//! leaf      = "audit-leaf/1\n" | u64be seq | u64be time_us | lp8(event) | u16be nfields | field*
//! field     = lp8(key) | kind u8 (0 clear, 1 committed) | u32be len | octets      keys ascending, octet by octet
//! clear     = text as UTF-8, integers as ASCII decimal; what is absent is left out
//! committed = SHA-256("audit-field/1\n" | salt[16] | u64be seq | lp8(key) | value)
//! ```
//!
//! A new key may be added; the meaning of one is never changed. Not JSON, because mail is octets and canonical JSON has
//! floating point in it; and short enough to be written again in another language in an hour.

use std::borrow::Cow;
use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use crate::merkle::Hash;

/// Octets of the salt of one commitment.
pub const SALT: usize = 16;
pub type Salt = [u8; SALT];

/// How a leaf begins.
const FORM: &[u8] = b"audit-leaf/1\n";

/// The value of a field in the leaf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Clear(String),
    Committed(Hash),
}

/// The fields of a leaf by their keys.
pub type Fields = BTreeMap<String, Value>;

/// A field on its way into a leaf, without a copy of what it holds: a log is hashed by the hundred thousand events a second.
#[derive(Debug)]
pub struct Part<'a> {
    pub key: Cow<'a, str>,
    pub holds: Holds<'a>,
}

/// What a field holds: the octets of a text, a number that becomes text, or a commitment.
#[derive(Clone, Copy, Debug)]
pub enum Holds<'a> {
    Text(&'a str),
    Number(i64),
    Commitment(&'a Hash),
}

/// The octets. None when they have no encoding: a key or name longer than 255 octets, or too many fields.
pub fn encode(seq: u64, time_us: u64, event: &str, fields: &Fields) -> Option<Vec<u8>> {
    let parts = fields.iter().map(|(key, value)| {
        let holds = match value {
            Value::Clear(text) => Holds::Text(text),
            Value::Committed(hash) => Holds::Commitment(hash),
        };
        Part { key: key.into(), holds }
    });
    let mut leaf = Vec::with_capacity(1024);
    encode_parts(&mut leaf, seq, time_us, event, parts.collect())?;
    Some(leaf)
}

/// As `encode`, of fields in any order, in place of what `leaf` holds. None, too, when two have the same key.
pub fn encode_parts(leaf: &mut Vec<u8>, seq: u64, time_us: u64, event: &str, mut parts: Vec<Part<'_>>) -> Option<()> {
    // Nearly always they are in order.
    if !is_ascending(&parts) {
        parts.sort_unstable_by(|one, other| one.key.as_bytes().cmp(other.key.as_bytes()));
        if !is_ascending(&parts) {
            return None;
        }
    }
    leaf.clear();
    leaf.extend_from_slice(FORM);
    leaf.extend_from_slice(&seq.to_be_bytes());
    leaf.extend_from_slice(&time_us.to_be_bytes());
    short(leaf, event)?;
    leaf.extend_from_slice(&u16::try_from(parts.len()).ok()?.to_be_bytes());
    for Part { key, holds } in &parts {
        short(leaf, key)?;
        match holds {
            Holds::Text(text) => long(leaf, false, text.as_bytes())?,
            Holds::Number(number) => long(leaf, false, number.to_string().as_bytes())?,
            Holds::Commitment(hash) => long(leaf, true, hash.as_slice())?,
        }
    }
    Some(())
}

/// Whether each key is larger than the one before.
fn is_ascending(parts: &[Part<'_>]) -> bool {
    parts.is_sorted_by(|one, other| one.key.as_bytes() < other.key.as_bytes())
}

/// What a leaf says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    pub seq: u64,
    pub time_us: u64,
    pub event: String,
    pub fields: Fields,
}

/// Reads a leaf. None unless the octets are the one encoding of what they say.
pub fn decode(octets: &[u8]) -> Option<Leaf> {
    let mut rest = octets.strip_prefix(FORM)?;
    let seq = u64::from_be_bytes(take(&mut rest)?);
    let time_us = u64::from_be_bytes(take(&mut rest)?);
    let event = take_short(&mut rest)?;
    let count = u16::from_be_bytes(take(&mut rest)?);
    let mut fields = Fields::new();
    for _ in 0..count {
        let key = take_short(&mut rest)?;
        let [kind] = take(&mut rest)?;
        let length = usize::try_from(u32::from_be_bytes(take(&mut rest)?)).ok()?;
        let (value, after) = rest.split_at_checked(length)?;
        rest = after;
        let value = match kind {
            0 => Value::Clear(String::from_utf8(value.to_vec()).ok()?),
            _ => Value::Committed(value.try_into().ok()?),
        };
        fields.insert(key, value);
    }
    let leaf = Leaf { seq, time_us, event, fields };
    let again = encode(leaf.seq, leaf.time_us, &leaf.event, &leaf.fields)?;
    (again == octets).then_some(leaf)
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(*taken)
}

fn take_short(rest: &mut &[u8]) -> Option<String> {
    let [length] = take(rest)?;
    let (taken, after) = rest.split_at_checked(usize::from(length))?;
    *rest = after;
    String::from_utf8(taken.to_vec()).ok()
}

/// The commitment to a value. Place and key are in it, so that salt and value can't be moved to another event.
pub fn commit(salt: &Salt, seq: u64, key: &str, value: &str) -> Hash {
    let length = u8::try_from(key.len()).unwrap_or(u8::MAX);
    let digest = Sha256::new().chain_update(b"audit-field/1\n").chain_update(salt).chain_update(seq.to_be_bytes());
    digest.chain_update([length]).chain_update(key).chain_update(value).finalize().into()
}

fn short(leaf: &mut Vec<u8>, text: &str) -> Option<()> {
    leaf.push(u8::try_from(text.len()).ok()?);
    leaf.extend_from_slice(text.as_bytes());
    Some(())
}

fn long(leaf: &mut Vec<u8>, committed: bool, octets: &[u8]) -> Option<()> {
    leaf.push(u8::from(committed));
    leaf.extend_from_slice(&u32::try_from(octets.len()).ok()?.to_be_bytes());
    leaf.extend_from_slice(octets);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merkle;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The octets were written down from the definition above, the hashes computed by another program.
    #[test]
    fn a_leaf_is_these_octets_for_ever() {
        let commitment = commit(&[7; 16], 5, "mail_from", "a@example.net");
        let fields = Fields::from([
            ("outcome".to_owned(), Value::Clear("success".into())),
            ("bytes".to_owned(), Value::Clear("42".into())),
            ("mail_from".to_owned(), Value::Committed(commitment)),
        ]);
        let leaf = encode(5, 1_700_000_000_000_000, "msg.accept", &fields).unwrap();
        let expected = [
            "61756469742d6c6561662f310a",
            "0000000000000005",
            "00060a24181e4000",
            "0a6d73672e616363657074",
            "0003",
            "056279746573000000000234 32",
            "096d61696c5f66726f6d0100000020",
            &hex(&commitment),
            "076f7574636f6d650000000007737563636573 73",
        ];
        assert_eq!(hex(&leaf), expected.concat().replace(' ', ""));
        assert_eq!(hex(&commitment), "a1cb117ae41540edd916a6ffe1d7184d3ce9b66f0b6bfb63655bcfd85aeb61af");
        assert_eq!(hex(&merkle::leaf_hash(&leaf)), "ae18bd93b9c723db706e56edd1343c70390677d18bc3611a2b43350642986bcc");
    }

    #[test]
    fn a_leaf_is_read_again_and_octets_that_nobody_wrote_are_none() {
        let fields = Fields::from([
            ("outcome".to_owned(), Value::Clear("success".into())),
            ("rcpt_to[0]".to_owned(), Value::Committed([7; 32])),
        ]);
        let octets = encode(5, 9, "msg.accept", &fields).unwrap();
        let leaf = Leaf { seq: 5, time_us: 9, event: "msg.accept".into(), fields };
        assert_eq!(decode(&octets), Some(leaf));
        for end in 0..octets.len() {
            assert_eq!(decode(&octets[..end]), None, "{end}");
        }
        assert_eq!(decode(&[octets.as_slice(), b"x"].concat()), None);
        // A kind that is none, and fields out of order.
        assert_eq!(decode(&octets.iter().map(|octet| if *octet == 1 { 2 } else { *octet }).collect::<Vec<_>>()), None);
        let text = String::from_utf8_lossy(&octets).replace("outcome", "zutcome");
        assert_eq!(decode(text.as_bytes()), None);
    }

    #[test]
    fn fields_are_put_in_order_and_a_key_stands_there_once() {
        let part = |key: &'static str, text: &'static str| Part { key: key.into(), holds: Holds::Text(text) };
        let encoded = |parts: Vec<Part<'_>>| {
            let mut leaf = b"of the one before".to_vec();
            encode_parts(&mut leaf, 1, 2, "msg.accept", parts).map(|()| leaf)
        };
        let fields = [("a", "1"), ("b", "2")].map(|(key, text)| (key.to_owned(), Value::Clear(text.into())));
        let sorted = encode(1, 2, "msg.accept", &Fields::from(fields));
        assert!(sorted.is_some());
        assert_eq!(encoded(vec![part("b", "2"), part("a", "1")]), sorted);
        assert_eq!(encoded(vec![part("a", "1"), part("b", "2")]), sorted);
        assert_eq!(encoded(vec![part("a", "2"), part("a", "1")]), None);
        assert_eq!(encoded(vec![part("a", "2"), part("b", "1"), part("a", "1")]), None);
        let number = Part { key: "a".into(), holds: Holds::Number(1) };
        assert_eq!(encoded(vec![number, part("b", "2")]), sorted);
    }

    #[test]
    fn a_value_moved_to_another_event_or_field_commits_to_something_else() {
        let commitment = commit(&[7; 16], 5, "rcpt_to[0]", "a@example.net");
        assert_ne!(commitment, commit(&[7; 16], 6, "rcpt_to[0]", "a@example.net"));
        assert_ne!(commitment, commit(&[7; 16], 5, "rcpt_to[1]", "a@example.net"));
        assert_ne!(commitment, commit(&[8; 16], 5, "rcpt_to[0]", "a@example.net"));
    }
}
