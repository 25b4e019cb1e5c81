//! An event with everything that its leaf hash is made from, as JSON: nothing is lost in it, and nothing else is needed.

use rusqlite::types::Value as Stored;
use serde_json::{Map, Value, json};

use super::leaf::Salt;
use super::month_file::hex;
use super::row::{COLUMNS, PersonalRow, Row};
use crate::merkle::Hash;

/// `seq`, `time_us`, `event`, the `clear` fields of the leaf, its `committed` ones (each with the hash that stands there, and
/// with salt and value where auditors may see it), and `leaf_hash`. `time` is for the eyes.
pub fn object(row: &Row) -> Value {
    let clear = COLUMNS.iter().zip(&row.clear).filter_map(|(name, value)| {
        let value = match value {
            Stored::Null => return None,
            Stored::Integer(n) => Value::from(*n),
            Stored::Real(n) => Value::from(*n),
            Stored::Text(text) => Value::from(text.as_str()),
            Stored::Blob(octets) => json!({ "octets": hex(octets) }),
        };
        Some(((*name).to_owned(), value))
    });
    json!({
        "seq": row.seq, "time_us": row.time_us, "time": time(row.time_us), "event": row.event,
        "clear": Value::Object(clear.collect::<Map<_, _>>()),
        "committed": Value::Object(row.personal.iter().flat_map(commitments).collect::<Map<_, _>>()),
        "leaf_hash": hex(&row.leaf_hash),
    })
}

/// A value, and what is shown in its stead.
fn commitments(personal: &PersonalRow) -> impl Iterator<Item = (String, Value)> {
    let key = personal.key();
    let shown = personal.shown_commitment.map(|hash| {
        (personal.shown_key().into_owned(), commitment(&hash, personal.shown_salt.as_ref(), personal.shown.as_deref()))
    });
    let own = commitment(&personal.commitment, personal.salt.as_ref(), personal.value.as_deref());
    [(key.into_owned(), own)].into_iter().chain(shown)
}

fn commitment(hash: &Hash, salt: Option<&Salt>, value: Option<&str>) -> Value {
    let mut members = Map::from_iter([("hash".to_owned(), Value::from(hex(hash)))]);
    members.extend(salt.map(|salt| ("salt".to_owned(), Value::from(hex(salt)))));
    members.extend(value.map(|value| ("value".to_owned(), Value::from(value))));
    Value::Object(members)
}

/// RFC 3339, in UTC, with microseconds.
pub fn time(time_us: u64) -> String {
    let time = i64::try_from(time_us).ok().and_then(|us| jiff::Timestamp::from_microsecond(us).ok());
    time.map_or_else(|| format!("{time_us} us"), |time| format!("{time:.6}"))
}
