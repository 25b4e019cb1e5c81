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

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use crate::merkle::{self, Hash};

/// Octets of the salt of one commitment.
pub const SALT: usize = 16;
pub type Salt = [u8; SALT];

/// The value of a field in the leaf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Clear(String),
    Committed(Hash),
}

/// The fields of a leaf by their keys.
pub type Fields = BTreeMap<String, Value>;

/// The octets. None when they have no encoding: a key or name longer than 255 octets, or too many fields.
pub fn encode(seq: u64, time_us: u64, event: &str, fields: &Fields) -> Option<Vec<u8>> {
    let mut leaf = b"audit-leaf/1\n".to_vec();
    leaf.extend_from_slice(&seq.to_be_bytes());
    leaf.extend_from_slice(&time_us.to_be_bytes());
    short(&mut leaf, event)?;
    leaf.extend_from_slice(&u16::try_from(fields.len()).ok()?.to_be_bytes());
    for (key, value) in fields {
        short(&mut leaf, key)?;
        let (kind, octets) = match value {
            Value::Clear(text) => (0, text.as_bytes()),
            Value::Committed(hash) => (1, hash.as_slice()),
        };
        leaf.push(kind);
        leaf.extend_from_slice(&u32::try_from(octets.len()).ok()?.to_be_bytes());
        leaf.extend_from_slice(octets);
    }
    Some(leaf)
}

/// The hash that stands in the tree.
pub fn hash(seq: u64, time_us: u64, event: &str, fields: &Fields) -> Option<Hash> {
    encode(seq, time_us, event, fields).map(|leaf| merkle::leaf_hash(&leaf))
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

#[cfg(test)]
mod tests {
    use super::*;

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
    fn a_value_moved_to_another_event_or_field_commits_to_something_else() {
        let commitment = commit(&[7; 16], 5, "rcpt_to[0]", "a@example.net");
        assert_ne!(commitment, commit(&[7; 16], 6, "rcpt_to[0]", "a@example.net"));
        assert_ne!(commitment, commit(&[7; 16], 5, "rcpt_to[1]", "a@example.net"));
        assert_ne!(commitment, commit(&[8; 16], 5, "rcpt_to[0]", "a@example.net"));
    }
}
