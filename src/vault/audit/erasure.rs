//! What is taken out of the log on purpose, and the events that say so.
//!
//! Leaf hashes and commitments stay, so every proof stays. The event comes first, in one transaction with the order that the
//! publisher works off: nothing is ever erased without its event, and what an event says is done, after a crash as well.

pub mod disclosure;
pub mod erased;
pub mod hashes;
pub mod places;
pub mod pruning;
pub mod removal;
pub mod scrub;
pub mod search;

use rusqlite::Result as Sql;
use serde::{Deserialize, Serialize};

use super::event::{Event, Field, Name, Outcome};
use crate::mail::id::MessageId;
use crate::vault::feedback::dropped;
use crate::vault::store::Store;
pub use hashes::hash_pruning;
use pruning::Pruning;

/// Ranges of events in one leaf: some 30 KiB of its 65,535 octets. More make further events.
const MOST_RANGES: usize = 1000;
/// Octets of a ground: a reference to a case and a sentence. It stays in the log for ever.
pub const MAX_GROUND: usize = 512;
/// Messages that are forgotten in one transaction.
pub const MOST_MESSAGES: usize = 1000;

/// Fields of events: each of the fields, in every event of the ranges.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// First and last event, both included.
    pub events: Vec<(u64, u64)>,
    /// `mail_from`; `rcpt_to` for all recipients of an event, `rcpt_to[3]` for one of them.
    pub fields: Vec<String>,
}

/// The data of `audit.redact`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redaction {
    pub erased: Vec<Part>,
    pub ground: String,
}

/// What is to be erased, and the messages concerned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    pub parts: Vec<Part>,
    pub messages: Vec<MessageId>,
}

/// One line of what an event took out, as auditors are shown it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub first: u64,
    pub last: u64,
    /// Fields, or what else it was.
    pub what: String,
    pub ground: String,
}

impl Part {
    /// Whether it names this value of that event.
    pub fn names(&self, field: &str, key: &str) -> bool {
        self.fields.iter().any(|named| named == field || named == key)
    }

    pub fn count(&self) -> u64 {
        self.events.iter().map(|(first, last)| last.saturating_sub(*first).saturating_add(1)).sum()
    }
}

/// The personal fields that are erased unless others are named: all but those that say who sent what to which domain.
pub fn usual_fields() -> Vec<String> {
    let kept = [Field::Account, Field::RcptDomain];
    Field::ALL.iter().filter(|field| !kept.contains(field)).map(|field| field.word().to_owned()).collect()
}

/// All personal fields, for those who named another.
pub fn field_names() -> String {
    Field::ALL.map(Field::word).join(", ")
}

/// A field's name and which of several, for `rcpt_to[3]`. None when it isn't a personal field, or isn't written as the log
/// writes it: there it is compared as text.
pub fn parse_key(key: &str) -> Option<(Field, Option<u32>)> {
    let (name, n) = match key.strip_suffix(']').and_then(|key| key.split_once('[')) {
        Some((name, digits)) => {
            let n: u32 = digits.parse().ok().filter(|n: &u32| n.to_string() == digits)?;
            (name, Some(n))
        }
        None => (key, None),
    };
    let field = Field::of(name)?;
    (n.is_none() || field == Field::RcptTo).then_some((field, n))
}

/// A ground as it may stand in the log.
pub fn check_ground(ground: &str) -> Result<(), String> {
    if ground.trim().is_empty() {
        return Err("the ground is empty: say why, for example the number of the request".into());
    }
    if ground.len() > MAX_GROUND || ground.chars().any(char::is_control) {
        return Err(format!("the ground must be one line of at most {MAX_GROUND} octets"));
    }
    Ok(())
}

/// Seqs in order as ranges.
pub fn ranges(seqs: impl IntoIterator<Item = u64>) -> Vec<(u64, u64)> {
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    for seq in seqs {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 >= seq => *last = seq.max(*last),
            _ => ranges.push((seq, seq)),
        }
    }
    ranges
}

/// What an erasing event took out. Nothing for other events.
pub fn lines(event: &str, data: Option<&str>) -> Vec<Line> {
    let data = data.unwrap_or_default();
    if event == Name::AuditRedact.word() {
        let Ok(Redaction { erased, ground }) = serde_json::from_str(data) else { return Vec::new() };
        let line = |part: &Part, (first, last): (u64, u64)| Line {
            first,
            last,
            what: part.fields.join(" "),
            ground: ground.clone(),
        };
        return erased.iter().flat_map(|part| part.events.iter().map(|range| line(part, *range))).collect();
    }
    let line =
        |first, end: u64, what: &str, ground| Line { first, last: end.saturating_sub(1), what: what.into(), ground };
    let events = pruning(event, data).map(|pruned| line(pruned.first, pruned.size, erased::EVENTS, pruned.ground));
    let hashes = || hash_pruning(event, data).map(|pruned| line(0, pruned.hashes, "hashes", pruned.ground));
    events.or_else(hashes).into_iter().collect()
}

/// The values that an order is to take out. None when it can't be read.
pub fn parts(event: &str, data: &str) -> Option<Vec<Part>> {
    if event != Name::AuditRedact.word() {
        return None;
    }
    serde_json::from_str::<Redaction>(data).ok().map(|redaction| redaction.erased)
}

/// The month that an event says was removed. None for other events, and when it can't be read.
pub fn pruning(event: &str, data: &str) -> Option<Pruning> {
    if event != Name::AuditPrune.word() { None } else { serde_json::from_str(data).ok() }
}

/// Writes the events of an erasure and the orders to do it, and forgets the messages concerned that are done. `rule` is the
/// turn of a retention rule that this is. Gives the place of the last event.
pub fn order(store: &mut Store<'_>, parts: &[Part], actor: &str, ground: &str, rule: Option<&str>) -> Sql<Option<u64>> {
    let mut last = None;
    for erased in split(parts) {
        let data = serde_json::json!(Redaction { erased, ground: ground.to_owned() }).to_string();
        last = Some(record(store, Name::AuditRedact, data, actor, rule)?);
    }
    Ok(last)
}

fn record(store: &mut Store<'_>, name: Name, data: String, actor: &str, rule: Option<&str>) -> Sql<u64> {
    let event = Event {
        actor: Some(actor.to_owned()),
        severity: 5,
        data: Some(data.clone()),
        ..Event::new(name, Outcome::Success)
    };
    let seq = store.ledger.append(event)?;
    store.erasures.add(seq, name.word(), &data, rule)?;
    Ok(seq)
}

/// What the spool remembers of messages that are done, for those who ask how they ended, and what no webhook has taken yet of any
/// of them. At most `MOST_MESSAGES` at once.
pub fn forget_done(store: &mut Store<'_>, messages: &[MessageId]) -> Sql<()> {
    let mut lost = Vec::new();
    for message in messages {
        store.erasures.forget_message(*message)?;
        store.once.erase(*message)?;
        lost.extend(store.outbox.erase(*message)?);
    }
    store.record(dropped::events(&lost, "erased"))
}

/// In portions that fit into a leaf.
fn split(parts: &[Part]) -> Vec<Vec<Part>> {
    let (mut portions, mut portion, mut room) = (Vec::new(), Vec::new(), MOST_RANGES);
    for part in parts {
        let mut events = part.events.as_slice();
        while !events.is_empty() {
            let (now, later) = events.split_at(events.len().min(room));
            portion.push(Part { events: now.to_vec(), fields: part.fields.clone() });
            room -= now.len();
            events = later;
            if room == 0 {
                portions.push(std::mem::take(&mut portion));
                room = MOST_RANGES;
            }
        }
    }
    portions.extend(Some(portion).filter(|portion| !portion.is_empty()));
    portions
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod forms {
    use super::*;

    #[test]
    fn a_field_is_named_whole_or_by_number_where_there_are_several() {
        assert_eq!(parse_key("mail_from"), Some((Field::MailFrom, None)));
        assert_eq!(parse_key("rcpt_to"), Some((Field::RcptTo, None)));
        assert_eq!(parse_key("rcpt_to[12]"), Some((Field::RcptTo, Some(12))));
        for wrong in ["", "data", "mail_from[0]", "rcpt_to[]", "rcpt_to[x]", "rcpt_to[1", "rcpt_to[-1]"] {
            assert_eq!(parse_key(wrong), None, "{wrong}");
        }
        // What the log says it took out must name the value as the log does.
        for other in ["rcpt_to[03]", "rcpt_to[+3]", "rcpt_to[00]", "rcpt_to[4294967296]", "rcpt_to[3]]"] {
            assert_eq!(parse_key(other), None, "{other}");
        }
        assert!(!usual_fields().iter().any(|field| field == "account" || field == "rcpt_domain"));
        assert_eq!(usual_fields().len(), 7);
    }

    #[test]
    fn an_erasure_of_any_size_is_events_that_fit_into_a_leaf_and_say_it_all() {
        let events: Vec<(u64, u64)> = (0..2500).map(|n| (u64::MAX / 2 + n * 2, u64::MAX / 2 + n * 2)).collect();
        let field = |name: &str| vec![name.to_owned()];
        let parts = [
            Part { events: events.clone(), fields: field("rcpt_to[99]") },
            Part { events: vec![(1, 2)], fields: usual_fields() },
        ];
        let portions = split(&parts);
        assert_eq!(portions.len(), 3);
        let mut said = Vec::new();
        for erased in portions {
            let data = serde_json::json!(Redaction { erased, ground: "g".repeat(MAX_GROUND) }).to_string();
            assert!(data.len() < 60_000, "{}", data.len());
            said.extend(lines("audit.redact", Some(&data)));
        }
        assert_eq!(said.len(), 2501);
        assert_eq!((said[2499].first, said[2499].what.as_str()), (events[2499].0, "rcpt_to[99]"));
        assert_eq!((said[2500].first, said[2500].last), (1, 2));
        assert!(lines("audit.redact", Some("{}")).is_empty() && lines("msg.accept", None).is_empty());
    }

    #[test]
    fn places_in_order_are_ranges() {
        assert_eq!(ranges([1, 2, 3, 7, 9, 9, 10]), [(1, 3), (7, 7), (9, 10)]);
        assert_eq!(ranges([]), []);
    }
}
