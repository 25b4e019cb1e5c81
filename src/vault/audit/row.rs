//! An event with its place in the log: as it is stored in the vault, in the auditors' file, and hashed.

use std::borrow::Cow;

use rusqlite::Row as Columns;
use rusqlite::types::Value as Stored;

use super::event::{Event, Field, Personal};
use super::leaf::{self, Part, SALT, Salt};
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

#[derive(Clone, Debug, PartialEq)]
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
#[derive(Clone, Debug, PartialEq, Eq)]
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
    /// The key of the value in the leaf; `.shown` is added for what stands in its stead.
    pub fn key(&self) -> String {
        if self.field == Field::RcptTo.word() { format!("{}[{}]", self.field, self.n) } else { self.field.clone() }
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
        let key = row.key();
        let commit = |salt: Option<Salt>, key: &str, value: Option<&String>| {
            salt.zip(value).map(|(salt, value)| leaf::commit(&salt, seq, key, value))
        };
        row.commitment = commit(row.salt, &key, row.value.as_ref()).unwrap_or_default();
        row.shown_commitment = commit(row.shown_salt, &format!("{key}.shown"), row.shown.as_ref());
        row
    }

    /// Reads `PERSONAL`.
    pub fn read(row: &Columns<'_>) -> rusqlite::Result<(u64, Self)> {
        let seq = unsigned(row, 0)?;
        let personal = Self {
            field: row.get(1)?,
            n: u32::try_from(row.get::<_, i64>(2)?).map_err(|_| bad(2))?,
            salt: octets::<SALT>(row, 3)?,
            value: row.get(4)?,
            commitment: octets(row, 5)?.ok_or_else(|| bad(5))?,
            shown: row.get(6)?,
            shown_salt: octets::<SALT>(row, 7)?,
            shown_commitment: octets(row, 8)?,
        };
        Ok((seq, personal))
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
        self.leaf().map(|leaf| merkle::leaf_hash(&leaf))
    }

    /// The leaf itself.
    pub fn leaf(&self) -> Option<Vec<u8>> {
        let mut parts = Vec::with_capacity(COLUMNS.len() + 2 * self.personal.len());
        for (key, value) in COLUMNS.iter().zip(&self.clear) {
            let octets: Cow<'_, [u8]> = match value {
                Stored::Null => continue,
                Stored::Integer(n) => n.to_string().into_bytes().into(),
                Stored::Text(text) => text.as_bytes().into(),
                Stored::Real(_) | Stored::Blob(_) => return None,
            };
            parts.push(Part { key: (*key).into(), committed: false, octets });
        }
        for personal in &self.personal {
            let key = personal.key();
            if let Some(commitment) = &personal.shown_commitment {
                let octets = commitment.as_slice().into();
                parts.push(Part { key: format!("{key}.shown").into(), committed: true, octets });
            }
            parts.push(Part { key: key.into(), committed: true, octets: personal.commitment.as_slice().into() });
        }
        leaf::encode_parts(self.seq, self.time_us, &self.event, parts)
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
        let clear = (3..3 + COLUMNS.len()).map(|at| row.get(at)).collect::<rusqlite::Result<Vec<Stored>>>()?;
        let at = 3 + COLUMNS.len();
        Ok(Self {
            seq: unsigned(row, 0)?,
            time_us: unsigned(row, 1)?,
            event: row.get(2)?,
            clear,
            personal: Vec::new(),
            leaf_hash: octets(row, at)?.ok_or_else(|| bad(at))?,
        })
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
    let blob: Option<Vec<u8>> = row.get(at)?;
    blob.map(|blob| blob.try_into().map_err(|_| bad(at))).transpose()
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
mod tests {
    use super::super::event::{Name, Outcome};
    use super::*;
    use crate::mail::address::Address;

    fn row(event: Event) -> Row {
        masked(event, Mask::LocalPart)
    }

    fn masked(event: Event, mask: Mask) -> Row {
        let mut n = 0;
        let salt = || {
            n += 1;
            [n; SALT]
        };
        Row::new(event, 9, 1_000, mask, salt).unwrap()
    }

    #[test]
    fn what_auditors_see_is_committed_to_as_well() {
        let address = Address::parse("rosa@example.net").unwrap();
        let row = row(Event::new(Name::MsgAccept, Outcome::Success).recipients([&address]));
        let [personal] = row.personal.as_slice() else { panic!("one recipient") };
        assert_eq!(personal.key(), "rcpt_to[0]");
        assert_eq!(personal.shown.as_deref(), Some("***@example.net"));
        let mut forged = row.clone();
        forged.personal[0].shown_commitment = Some([0; 32]);
        assert_ne!(forged.hash(), Some(row.leaf_hash));
    }

    #[test]
    fn a_mask_says_how_much_auditors_see_and_is_committed_to_whatever_it_is() {
        let event = || {
            let rosa = Address::parse("rosa@example.net").unwrap();
            let event = Event::new(Name::MsgAccept, Outcome::Success).sender(&Some(rosa.clone())).recipients([&rosa]);
            event.client("192.0.2.7".parse().unwrap()).with(Field::Helo, "pc").with(Field::Account, "shop")
        };
        for (mask, expected) in [
            (Mask::LocalPart, [Some("***@example.net"), Some("***@example.net"), Some("192.0.2.0/24"), None, None]),
            (Mask::Full, [Some("***"), Some("***"), Some("***"), None, None]),
            (Mask::None, [Some("rosa@example.net"), Some("rosa@example.net"), Some("192.0.2.7"), Some("pc"), None]),
        ] {
            let row = masked(event(), mask);
            let shown: Vec<Option<&str>> = row.personal.iter().map(|value| value.shown.as_deref()).collect();
            assert_eq!(shown, expected, "{mask:?}");
            assert!(row.personal.iter().all(|value| value.shown.is_some() == value.shown_commitment.is_some()));
        }
        let null = masked(Event::new(Name::MsgAccept, Outcome::Success).sender(&None), Mask::Full);
        assert_eq!(null.personal[0].shown.as_deref(), Some("<>"));
    }

    #[test]
    fn long_texts_are_cut_at_a_character_and_control_characters_are_not_kept() {
        let text = format!("{}é\nX", "x".repeat(MAX_TEXT - 1));
        let row = row(Event { reason: Some(text), ..Event::new(Name::MsgReject, Outcome::Denied) });
        assert_eq!(row.clear[11], Stored::Text("x".repeat(MAX_TEXT - 1)));
        assert_eq!(row.clear[19], Stored::Integer(1));
        let row = self::row(Event { mx: Some("a\r\nb".into()), ..Event::new(Name::MsgReject, Outcome::Denied) });
        assert_eq!(row.clear[13], Stored::Text("a\u{fffd}\u{fffd}b".into()));
    }

    #[test]
    fn a_full_event_fits_into_a_leaf_of_the_tiles_format() {
        let label = "d".repeat(63);
        let address = Address::parse(&format!("{}@{label}.{label}.example", "l".repeat(64))).unwrap();
        let row =
            row(Event::new(Name::MsgAccept, Outcome::Success)
                .recipients([&address; super::super::event::MAX_RECIPIENTS]));
        // Each recipient is two commitments, whatever its length.
        assert!(row.personal.len() * 2 * (32 + 24) < MAX_LEAF);
        assert_eq!(row.hash(), Some(row.leaf_hash));
    }
    #[test]
    fn data_that_no_leaf_of_the_tiles_format_could_hold_is_dropped_and_the_event_says_so() {
        let of = |octets: usize| {
            let data = serde_json::json!({ "said": "x".repeat(octets) }).to_string();
            row(Event { data: Some(data), ..Event::new(Name::SealerRefused, Outcome::Failure) })
        };
        let (whole, dropped) = (of(60_000), of(66_000));
        assert!(whole.text("data").is_some());
        assert_eq!((dropped.text("data"), dropped.clear[19].clone()), (None, Stored::Integer(1)));
        assert!(dropped.leaf().unwrap().len() <= MAX_LEAF);
        assert_eq!(dropped.hash(), Some(dropped.leaf_hash));
    }
}
