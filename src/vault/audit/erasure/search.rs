//! Which values are meant by a message, an address or a range of events.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use rusqlite::{Result as Sql, params};

use super::{Part, Selection, parse_key, places, ranges, usual_fields};
use crate::mail::address::Address;
use crate::mail::id::MessageId;
use crate::vault::audit::event::Field;
use crate::vault::audit::row::{integer, unsigned};

/// Values that one search may find; who has more erases by range.
const MOST_FOUND: usize = 1_000_000;

/// Which events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// First and last, both included.
    Events(u64, u64),
    Message(MessageId),
    /// Those in whose personal values this mail address stands.
    Address(String),
}

/// A value's event and its key.
type Found = (u64, String);

/// The values of the target in the published files. Without fields: the usual ones, and of an address the values alone in
/// which it stands. Nothing is selected when nothing is found, or when it was erased before: the log must not say that it erased
/// what wasn't there.
pub fn select(home: &Path, target: &Target, fields: &[String]) -> Result<Selection, String> {
    let mut selection = meant(home, target, fields)?;
    still_there(home, &mut selection.parts, !fields.is_empty())?;
    Ok(if selection.parts.is_empty() { Selection::default() } else { selection })
}

/// Leaves what there is of the parts; and of fields that were named, those that any of the events still has.
fn still_there(home: &Path, parts: &mut Vec<Part>, named: bool) -> Result<(), String> {
    let mut opened = Vec::new();
    let audit =
        places::audit(home)?.into_iter().map(|place| (place.path, " AND (value IS NOT NULL OR shown IS NOT NULL)"));
    for (path, condition) in audit.chain(places::personal(home)?.into_iter().map(|path| (path, ""))) {
        opened.push((places::open(&path)?, condition, path));
    }
    let is_there = |part: &Part, key: &String| -> Result<bool, String> {
        let Some((field, n)) = parse_key(key) else { return Ok(false) };
        for (connection, condition, path) in &opened {
            let look = || -> Sql<bool> {
                let sql = format!(
                    "SELECT EXISTS(SELECT 1 FROM personal WHERE seq BETWEEN ?1 AND ?2 AND field = ?3 AND (?4 IS NULL OR n = ?4)\
                     {condition})"
                );
                let mut found = connection.prepare(&sql)?;
                for (first, last) in &part.events {
                    if found.query_row(params![integer(*first), integer(*last), field.word(), n], |row| row.get(0))? {
                        return Ok(true);
                    }
                }
                Ok(false)
            };
            if look().map_err(|error| places::explain(path, &error))? {
                return Ok(true);
            }
        }
        Ok(false)
    };
    let mut left = Vec::new();
    for mut part in parts.drain(..) {
        let mut there = Vec::new();
        for key in &part.fields {
            if is_there(&part, key)? {
                there.push(key.clone());
                if !named {
                    break;
                }
            }
        }
        if there.is_empty() {
            continue;
        }
        if named {
            part.fields = there;
        }
        left.push(part);
    }
    *parts = left;
    Ok(())
}

fn meant(home: &Path, target: &Target, fields: &[String]) -> Result<Selection, String> {
    // Each once, however often it was named.
    let fields = fields.iter().collect::<BTreeSet<_>>();
    let fields: Vec<String> = fields.into_iter().cloned().collect();
    let named = || if fields.is_empty() { usual_fields() } else { fields.clone() };
    let whole = |events: Vec<(u64, u64)>, fields| match events.is_empty() {
        true => Vec::new(),
        false => vec![Part { events, fields }],
    };
    match target {
        Target::Events(first, last) => {
            let messages = messages(home, &[(*first, *last)])?;
            Ok(Selection { parts: whole(vec![(*first, *last)], named()), messages })
        }
        Target::Message(message) => {
            let events = ranges(events_of(home, *message)?);
            Ok(Selection { parts: whole(events, named()), messages: vec![*message] })
        }
        Target::Address(address) => {
            let found = find(home, address)?;
            let events = ranges(found.iter().map(|(seq, _)| *seq).collect::<BTreeSet<u64>>());
            let messages = messages(home, &events)?;
            let parts = if fields.is_empty() { by_field(found) } else { whole(events, named()) };
            Ok(Selection { parts, messages })
        }
    }
}

/// Values with the same key in one part.
fn by_field(found: Vec<Found>) -> Vec<Part> {
    let mut keys: BTreeMap<String, BTreeSet<u64>> = BTreeMap::new();
    for (seq, key) in found {
        keys.entry(key).or_default().insert(seq);
    }
    keys.into_iter().map(|(key, seqs)| Part { events: ranges(seqs), fields: vec![key] }).collect()
}

/// Every value of the personal files that is the address, or quotes it.
fn find(home: &Path, address: &str) -> Result<Vec<Found>, String> {
    let address = Address::canonical(address).to_ascii_lowercase();
    let mut found = Vec::new();
    for path in places::personal(home)? {
        let connection = places::open(&path)?;
        let mut search = || -> Sql<()> {
            // SQLite's lower() knows ASCII only, as we do.
            let sql = "SELECT seq, field, n, value FROM personal WHERE instr(lower(value), ?) > 0";
            let mut statement = connection.prepare(sql)?;
            let mut rows = statement.query([&address])?;
            while let Some(row) = rows.next()? {
                let (seq, field, n) = (unsigned(row, 0)?, row.get::<_, String>(1)?, row.get::<_, u32>(2)?);
                if is_meant(&field, &row.get::<_, String>(3)?.to_ascii_lowercase(), &address) {
                    let key = if field == Field::RcptTo.word() { format!("{field}[{n}]") } else { field };
                    found.push((seq, key));
                }
                if found.len() > MOST_FOUND {
                    break;
                }
            }
            Ok(())
        };
        search().map_err(|error| places::explain(&path, &error))?;
        if found.len() > MOST_FOUND {
            return Err(format!(
                "the address stands in more than {MOST_FOUND} values: erase by ranges of events (--seq)"
            ));
        }
    }
    Ok(found)
}

/// Whether a value is about that address. Both are in lower case.
fn is_meant(field: &str, value: &str, address: &str) -> bool {
    if field == Field::MailFrom.word() || field == Field::RcptTo.word() {
        return value == address;
    }
    // Words about it: but not about an address that merely ends or begins like it.
    value.match_indices(address).any(|(at, _)| {
        let before = value.get(..at).unwrap_or_default().chars().next_back();
        let mut after = value.get(at + address.len()..).unwrap_or_default().chars();
        let longer = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '+');
        let goes_on = match after.next() {
            Some('.') => after.next().is_some_and(char::is_alphanumeric),
            next => next.is_some_and(longer),
        };
        !goes_on && !before.is_some_and(|c| longer(c) || c == '.')
    })
}

fn events_of(home: &Path, message: MessageId) -> Result<Vec<u64>, String> {
    let mut seqs = Vec::new();
    for place in places::audit(home)? {
        let connection = places::open(&place.path)?;
        let collect = || -> Sql<Vec<u64>> {
            let mut statement = connection.prepare("SELECT seq FROM event WHERE msg_id = ? ORDER BY seq")?;
            statement.query_map([message.to_string()], |row| unsigned(row, 0))?.collect()
        };
        seqs.extend(collect().map_err(|error| places::explain(&place.path, &error))?);
    }
    Ok(seqs)
}

/// The messages that the events are about, at most as many as one search may find.
fn messages(home: &Path, events: &[(u64, u64)]) -> Result<Vec<MessageId>, String> {
    let mut all = BTreeSet::new();
    for place in places::audit(home)? {
        let connection = places::open(&place.path)?;
        let mut collect = || -> Sql<()> {
            let sql = "SELECT DISTINCT msg_id FROM event WHERE seq BETWEEN ? AND ? AND msg_id IS NOT NULL LIMIT ?";
            let mut statement = connection.prepare(sql)?;
            for range in events.iter().filter(|range| place.has(**range)) {
                let room = MOST_FOUND.saturating_sub(all.len());
                let limit = i64::try_from(room).unwrap_or(i64::MAX);
                let rows = statement
                    .query_map(params![integer(range.0), integer(range.1), limit], |row| row.get::<_, String>(0))?;
                for id in rows {
                    all.extend(id?.parse::<MessageId>().ok());
                }
            }
            Ok(())
        };
        collect().map_err(|error| places::explain(&place.path, &error))?;
    }
    Ok(all.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_found_where_it_stands_and_not_where_another_ends_like_it() {
        let address = "rosa@example.net";
        for (field, value, meant) in [
            ("rcpt_to", "rosa@example.net", true),
            ("rcpt_to", "primrosa@example.net", false),
            ("mail_from", "rosa@example.net.uk", false),
            ("remote_text", "550 <rosa@example.net>: unknown", true),
            ("remote_text", "no such user 'rosa@example.net'.", true),
            ("remote_text", "rosa@example.net", true),
            ("remote_text", "primrosa@example.net is unknown", false),
            ("remote_text", "b.rosa@example.net is unknown", false),
            ("remote_text", "rosa@example.network, rosa@example.net.uk", false),
            ("remote_text", "rosa@example.network; rosa@example.net.", true),
        ] {
            assert_eq!(is_meant(field, value, address), meant, "{field} {value}");
        }
    }

    #[test]
    fn values_of_one_key_are_one_part() {
        let found = |seq: u64, key: &str| (seq, key.to_owned());
        let parts = by_field(vec![
            found(3, "rcpt_to[0]"),
            found(4, "rcpt_to[0]"),
            found(4, "remote_text"),
            found(9, "rcpt_to[0]"),
        ]);
        let part = |events: &[(u64, u64)], key: &str| Part { events: events.to_vec(), fields: vec![key.to_owned()] };
        assert_eq!(parts, [part(&[(3, 4), (9, 9)], "rcpt_to[0]"), part(&[(4, 4)], "remote_text")]);
    }
}
