//! An event with its place in the log: as it is stored in the vault, in the auditors' file, and hashed.

use std::borrow::Cow;
use std::sync::LazyLock;

use rusqlite::Row as Columns;
use rusqlite::types::{Value as Stored, ValueRef};

use super::event::{Event, Field, MAX_RECIPIENTS, Personal};
use super::leaf::{self, Holds, Part, SALT, Salt};
use crate::merkle::{self, Hash};
use crate::policy::mask::Mask;

/// Octets of a text in the log; the rest is cut off and the event says so.
pub const MAX_TEXT: usize = 512;

/// Octets of a leaf: its length in a tile has two octets (C2SP tlog-tiles).
const MAX_LEAF: usize = 65_535;

/// The clear fields, which are columns of the same name, in the order of the tables.
pub const COLUMNS: [&str; 20] = [
    "outcome",
    "severity",
    "component",
    "session_id",
    "msg_id",
    "delivery_id",
    "actor",
    "listener",
    "tls",
    "smtp_code",
    "enhanced",
    "reason",
    "upstream",
    "mx",
    "bytes",
    "rcpt_count",
    "attempt",
    "duration_us",
    "data",
    "truncated",
];

/// The same by the order of their names, which is the one of the leaf.
static ORDERED: LazyLock<[usize; COLUMNS.len()]> = LazyLock::new(|| {
    let mut ordered = std::array::from_fn(|at| at);
    ordered.sort_unstable_by_key(|at| COLUMNS.get(*at));
    ordered
});

/// The keys of recipients, and of what stands for them.
static RECIPIENTS: LazyLock<[[String; 2]; MAX_RECIPIENTS]> = LazyLock::new(|| {
    let numbered = |n| format!("{}[{n}]", Field::RcptTo.word());
    std::array::from_fn(|n| [numbered(n), numbered(n) + SHOWN])
});

/// What the key of a value ends with that stands for another.
const SHOWN: &str = ".shown";

/// All columns of an event, for SQL: `seq, time_us, event`, the clear fields, `leaf_hash`.
pub fn columns() -> String {
    format!("seq, time_us, event, {}, leaf_hash", COLUMNS.join(", "))
}

/// As many parameters as there are columns.
pub fn parameters() -> String {
    vec!["?"; COLUMNS.len() + 4].join(", ")
}

/// The columns of a personal value, for SQL.
pub const PERSONAL: &str = "seq, field, n, salt, value, commitment, shown, shown_salt, shown_commitment";

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Row {
    pub seq: u64,
    pub time_us: u64,
    pub event: String,
    /// One for each of `COLUMNS`.
    pub clear: Vec<Stored>,
    pub personal: Vec<PersonalRow>,
    pub leaf_hash: Hash,
}

/// A personal value: itself, and what auditors see instead, each with its salt while it isn't erased.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PersonalRow {
    pub field: String,
    pub n: u32,
    pub salt: Option<Salt>,
    pub value: Option<String>,
    pub commitment: Hash,
    pub shown: Option<String>,
    pub shown_salt: Option<Salt>,
    /// None for the fields that show nothing.
    pub shown_commitment: Option<Hash>,
}

impl PersonalRow {
    /// The key of the value in the leaf.
    pub fn key(&self) -> Cow<'_, str> {
        if self.field != Field::RcptTo.word() {
            return self.field.as_str().into();
        }
        match self.recipient() {
            Some([key, _]) => key.into(),
            None => format!("{}[{}]", self.field, self.n).into(),
        }
    }

    /// The key of what stands in its stead.
    pub fn shown_key(&self) -> Cow<'_, str> {
        match (Field::of(&self.field), self.recipient()) {
            (Some(Field::RcptTo), Some([_, key])) => key.into(),
            (Some(Field::RcptTo), None) | (None, _) => (self.key() + SHOWN).into_owned().into(),
            (Some(field), _) => field.shown_word().into(),
        }
    }

    fn recipient(&self) -> Option<&'static [String; 2]> {
        usize::try_from(self.n).ok().and_then(|n| RECIPIENTS.get(n))
    }

    fn add<'a>(&'a self, parts: &mut Vec<Part<'a>>) {
        parts.push(Part { key: self.key(), holds: Holds::Commitment(&self.commitment) });
        if let Some(commitment) = &self.shown_commitment {
            parts.push(Part { key: self.shown_key(), holds: Holds::Commitment(commitment) });
        }
    }

    fn new(personal: Personal, seq: u64, mask: Mask, mut salt: impl FnMut() -> Salt, truncated: &mut bool) -> Self {
        let Personal { field, n, value } = personal;
        let value = cut(value, truncated);
        let mut row = Self {
            field: field.word().to_owned(),
            n,
            salt: Some(salt()),
            shown: field.masked(&value, mask),
            value: Some(value),
            commitment: [0; 32],
            shown_salt: None,
            shown_commitment: None,
        };
        row.shown_salt = row.shown.is_some().then(&mut salt);
        let commit = |salt: Option<Salt>, key: &str, value: Option<&String>| {
            salt.zip(value).map(|(salt, value)| leaf::commit(&salt, seq, key, value))
        };
        row.commitment = commit(row.salt, &row.key(), row.value.as_ref()).unwrap_or_default();
        row.shown_commitment = commit(row.shown_salt, &row.shown_key(), row.shown.as_ref());
        row
    }

    /// Reads `PERSONAL`.
    pub fn read(row: &Columns<'_>) -> rusqlite::Result<(u64, Self)> {
        let mut personal = Self::default();
        let seq = personal.refill(row)?;
        Ok((seq, personal))
    }

    /// Reads `PERSONAL` in place of what it was, in the same memory. Gives the event that it belongs to.
    pub fn refill(&mut self, row: &Columns<'_>) -> rusqlite::Result<u64> {
        retext(&mut self.field, row, 1)?;
        self.n = u32::try_from(row.get::<_, i64>(2)?).map_err(|_| bad(2))?;
        self.salt = octets::<SALT>(row, 3)?;
        retext_or_none(&mut self.value, row, 4)?;
        self.commitment = octets(row, 5)?.ok_or_else(|| bad(5))?;
        retext_or_none(&mut self.shown, row, 6)?;
        self.shown_salt = octets::<SALT>(row, 7)?;
        self.shown_commitment = octets(row, 8)?;
        unsigned(row, 0)
    }
}

impl Row {
    /// Gives an event its place. None when it can't be encoded, which no event of ours is.
    pub fn new(event: Event, seq: u64, time_us: u64, mask: Mask, mut salt: impl FnMut() -> Salt) -> Option<Self> {
        let mut truncated = false;
        let mut text =
            |value: Option<String>| value.map_or(Stored::Null, |value| Stored::Text(cut(value, &mut truncated)));
        let id = |id: Option<String>| id.map_or(Stored::Null, Stored::Text);
        let mut clear = vec![
            Stored::Text(event.outcome.word().to_owned()),
            Stored::Integer(i64::from(event.severity)),
            Stored::Text(event.component.to_owned()),
            id(event.session.map(|session| session.to_string())),
            id(event.message.map(|message| message.to_string())),
            id(event.delivery.map(|delivery| delivery.to_string())),
            text(event.actor),
            text(event.listener),
            text(event.tls),
            event.code.map_or(Stored::Null, |code| Stored::Integer(i64::from(code))),
            text(event.enhanced),
            text(event.reason),
            text(event.upstream),
            text(event.mx),
            number(event.bytes),
            number(event.rcpt_count),
            number(event.attempt),
            number(event.duration_us),
            event.data.map_or(Stored::Null, Stored::Text),
        ];
        let personal = event
            .personal
            .into_iter()
            .map(|value| PersonalRow::new(value, seq, mask, &mut salt, &mut truncated))
            .collect();
        clear.push(if truncated { Stored::Integer(1) } else { Stored::Null });
        let mut row =
            Self { seq, time_us, event: event.name.word().to_owned(), clear, personal, leaf_hash: Hash::default() };
        let mut leaf = row.leaf()?;
        if leaf.len() > MAX_LEAF {
            // Whatever made it so long: a leaf that can't be exported would be in the way of all of them.
            row.drop_data();
            leaf = row.leaf()?;
        }
        row.leaf_hash = merkle::leaf_hash(&leaf);
        Some(row)
    }

    /// Gives up `data`, and says so.
    fn drop_data(&mut self) {
        for (key, value) in COLUMNS.iter().zip(&mut self.clear) {
            match *key {
                "data" => *value = Stored::Null,
                "truncated" => *value = Stored::Integer(1),
                _ => {}
            }
        }
    }

    /// The leaf hash, computed anew from everything in the row. None when the row has no encoding.
    pub fn hash(&self) -> Option<Hash> {
        self.hash_in(&mut Vec::new())
    }

    /// As `hash`, with memory for the leaf.
    pub fn hash_in(&self, leaf: &mut Vec<u8>) -> Option<Hash> {
        self.encode(leaf).map(|()| merkle::leaf_hash(leaf))
    }

    /// The leaf itself.
    pub fn leaf(&self) -> Option<Vec<u8>> {
        let mut leaf = Vec::with_capacity(1024);
        self.encode(&mut leaf).map(|()| leaf)
    }

    fn encode(&self, leaf: &mut Vec<u8>) -> Option<()> {
        let mut parts = Vec::with_capacity(COLUMNS.len() + 2 * self.personal.len());
        let mut personal = self.personal.iter().peekable();
        for at in ORDERED.iter() {
            let (Some(key), Some(value)) = (COLUMNS.get(*at), self.clear.get(*at)) else { continue };
            let holds = match value {
                Stored::Null => continue,
                Stored::Integer(number) => Holds::Number(*number),
                Stored::Text(text) => Holds::Text(text),
                Stored::Real(_) | Stored::Blob(_) => return None,
            };
            while let Some(before) = personal.next_if(|personal| personal.field.as_str() < *key) {
                before.add(&mut parts);
            }
            parts.push(Part { key: (*key).into(), holds });
        }
        personal.for_each(|personal| personal.add(&mut parts));
        leaf::encode_parts(leaf, self.seq, self.time_us, &self.event, parts)
    }

    /// A clear field that is text.
    pub fn text(&self, column: &str) -> Option<&str> {
        let at = COLUMNS.iter().position(|name| *name == column)?;
        match self.clear.get(at)? {
            Stored::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Reads `columns()`; the personal values come from their own table.
    pub fn read(row: &Columns<'_>) -> rusqlite::Result<Self> {
        let mut read = Self::default();
        read.refill(row)?;
        Ok(read)
    }

    /// As `read`, in place of what it was and in the same memory. The personal values stay.
    pub fn refill(&mut self, row: &Columns<'_>) -> rusqlite::Result<()> {
        self.clear.resize(COLUMNS.len(), Stored::Null);
        for (at, stored) in (3..).zip(&mut self.clear) {
            match (row.get_ref(at)?, stored) {
                (ValueRef::Null, stored) => *stored = Stored::Null,
                (ValueRef::Integer(number), stored) => *stored = Stored::Integer(number),
                (ValueRef::Text(octets), Stored::Text(text)) => replace(text, octets, at)?,
                (ValueRef::Text(_), stored) => *stored = Stored::Text(row.get(at)?),
                (ValueRef::Real(_) | ValueRef::Blob(_), stored) => *stored = row.get(at)?,
            }
        }
        let at = 3 + COLUMNS.len();
        self.seq = unsigned(row, 0)?;
        self.time_us = unsigned(row, 1)?;
        retext(&mut self.event, row, 2)?;
        self.leaf_hash = octets(row, at)?.ok_or_else(|| bad(at))?;
        Ok(())
    }

    /// The values for `columns()`.
    pub fn values(&self) -> Vec<Stored> {
        let mut values = Vec::with_capacity(COLUMNS.len() + 4);
        values.extend([integer(self.seq), integer(self.time_us), Stored::Text(self.event.clone())]);
        values.extend(self.clear.iter().cloned());
        values.push(Stored::Blob(self.leaf_hash.to_vec()));
        values
    }
}

/// SQLite has signed integers only; what doesn't fit is as large as can be.
pub fn integer(n: u64) -> Stored {
    Stored::Integer(i64::try_from(n).unwrap_or(i64::MAX))
}

/// An integer column that is never negative.
pub fn unsigned(row: &Columns<'_>, at: usize) -> rusqlite::Result<u64> {
    u64::try_from(row.get::<_, i64>(at)?).map_err(|_| bad(at))
}

/// A blob column of a fixed length.
pub fn octets<const N: usize>(row: &Columns<'_>, at: usize) -> rusqlite::Result<Option<[u8; N]>> {
    match row.get_ref(at)? {
        ValueRef::Null => Ok(None),
        ValueRef::Blob(blob) => blob.try_into().map(Some).map_err(|_| bad(at)),
        _ => Err(bad(at)),
    }
}

/// A text column into a text that is there.
fn retext(text: &mut String, row: &Columns<'_>, at: usize) -> rusqlite::Result<()> {
    match row.get_ref(at)? {
        ValueRef::Text(octets) => replace(text, octets, at),
        _ => row.get(at).map(|read| *text = read),
    }
}

fn retext_or_none(text: &mut Option<String>, row: &Columns<'_>, at: usize) -> rusqlite::Result<()> {
    match (row.get_ref(at)?, text) {
        (ValueRef::Null, text) => {
            *text = None;
            Ok(())
        }
        (ValueRef::Text(octets), Some(text)) => replace(text, octets, at),
        (_, text) => row.get(at).map(|read| *text = read),
    }
}

fn replace(text: &mut String, octets: &[u8], at: usize) -> rusqlite::Result<()> {
    let read = std::str::from_utf8(octets).map_err(|error| rusqlite::Error::Utf8Error(at, error))?;
    text.clear();
    text.push_str(read);
    Ok(())
}

/// Whether a row holds what can't be in it. All else is a failure of the store.
pub const fn is_damage(error: &rusqlite::Error) -> bool {
    use rusqlite::Error::{FromSqlConversionFailure, IntegralValueOutOfRange, InvalidColumnType, Utf8Error};
    matches!(error, FromSqlConversionFailure(..) | IntegralValueOutOfRange(..) | InvalidColumnType(..) | Utf8Error(..))
}

/// An error in words: where they are ours, without those of the library around them.
pub fn words(error: &rusqlite::Error) -> String {
    match error {
        rusqlite::Error::FromSqlConversionFailure(_, rusqlite::types::Type::Null, ours) => ours.to_string(),
        _ => error.to_string(),
    }
}

/// What stands in the store isn't what we write there.
pub fn damaged(what: &'static str) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Null, what.into())
}

fn bad(at: usize) -> rusqlite::Error {
    rusqlite::Error::InvalidColumnType(at, "length or range".to_owned(), rusqlite::types::Type::Blob)
}

fn number(value: Option<u64>) -> Stored {
    value.map_or(Stored::Null, integer)
}

/// Control characters become U+FFFD, so that no text can forge a line wherever the log is printed; then at most `MAX_TEXT`.
fn cut(text: String, truncated: &mut bool) -> String {
    let mut text = if text.chars().any(char::is_control) { text.replace(char::is_control, "\u{fffd}") } else { text };
    if text.len() > MAX_TEXT {
        *truncated = true;
        text.truncate(text.floor_char_boundary(MAX_TEXT));
    }
    text
}

#[cfg(test)]
mod tests;
