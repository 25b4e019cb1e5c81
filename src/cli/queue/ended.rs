//! What the audit log of this gate says of the messages of an archive: who of them has got his here, or was given up.

use std::collections::BTreeMap;
use std::path::Path;

use super::entries::Entries;
use crate::cli::audit::place::{Latest, audit_directory};
use crate::config::Places;
use crate::ipc::admin::queue::transfer::{Envelope, Recipient};
use crate::mail::address::Address;
use crate::mail::id::MessageId;
use crate::vault::audit::mask;
use crate::vault::audit::query::{self, Cursor, Filter, Found};
use crate::vault::audit::values::Values;

/// The events that end a recipient, each with the reasons for which it does; none where it always does.
const ENDS: [(&str, &[&str]); 4] = [
    ("deliver.success", &[]),
    ("deliver.bounce", &[]),
    ("deliver.expire", &[]),
    // Given up by the gate itself, because nobody knows whether it was delivered, or because another log has its end.
    ("queue.drop", &["unknown-outcome", "reconciled"]),
];
/// Held by the gate itself because nobody knows whether it was delivered: given up by order after that, it may have been.
const DOUBT: (&str, &str) = ("queue.hold", "unknown-outcome");
/// An order that gave it up, and not because it went into an archive.
const ORDERS: (&str, &[&str]) = ("queue.drop", &["ordered", "revoked", "canceled", "dropped-under-way"]);

/// The recipients of a message of an archive.
pub struct Told {
    /// When it was accepted, as far back as anything in the file says.
    accepted_us: u64,
    waiting: Vec<String>,
    ended: Vec<String>,
}

impl Told {
    pub fn of(envelope: &Envelope, recipients: &[Recipient]) -> Self {
        let by_id = envelope.message.time_ms().map_or(u64::MAX, |ms| ms.saturating_mul(1000));
        let (waiting, ended): (Vec<_>, Vec<_>) = recipients.iter().partition(|one| one.standing.is_open());
        let text = |all: Vec<&Recipient>| all.into_iter().map(|one| one.addressee.address.to_string()).collect();
        Self { accepted_us: envelope.accepted_us.min(by_id), waiting: text(waiting), ended: text(ended) }
    }

    /// Whether somebody who ended here is one whom the file has as ended too, and nobody whom it has waiting. The same mask may
    /// stand for both: then it isn't known.
    fn accounts_for(&self, who: &Who) -> bool {
        self.ended.iter().any(|one| who.may_be(one)) && !self.waiting.iter().any(|one| who.may_be(one))
    }
}

/// A recipient in the log.
enum Who {
    Clear(String),
    /// What auditors see of it, when nothing else is left.
    Shown(String),
}

impl Who {
    /// All whom an event names.
    fn of(event: &Found, values: &mut Values) -> Vec<Self> {
        let shown = event.get("rcpt_to").unwrap_or_default();
        let who = |(n, shown): (u32, &str)| match values.get(event, "rcpt_to", n) {
            Some(clear) => Self::Clear(Address::canonical(&clear)),
            None => Self::Shown(shown.to_owned()),
        };
        (0..).zip(shown.split([',', ' ']).filter(|one| !one.is_empty())).map(who).collect()
    }

    /// Whether both events may name the same.
    fn is_alike(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Clear(one), Self::Clear(other)) => one == other,
            (Self::Shown(shown), Self::Clear(clear)) | (Self::Clear(clear), Self::Shown(shown)) => {
                Self::Shown(shown.clone()).may_be(clear)
            }
            (Self::Shown(one), Self::Shown(other)) => one == other,
        }
    }

    fn may_be(&self, address: &str) -> bool {
        match self {
            Self::Clear(clear) => clear == address,
            Self::Shown(shown) => *shown == mask::mailbox(address) || shown == address,
        }
    }
}

/// What is known here.
#[derive(Default)]
pub struct Ended {
    /// How many of those who are to wait, or may be they, have ended.
    found: BTreeMap<MessageId, usize>,
    /// The first event that is kept, where earlier ones are not kept any more.
    since_us: Option<u64>,
}

impl Ended {
    /// Errors: the log can't be read.
    pub fn look(places: &Places, messages: &BTreeMap<MessageId, Told>) -> Result<Self, String> {
        let mut ended = Self::default();
        let audit = audit_directory(&places.state_directory);
        // A gate that never ran has none.
        if !Path::new(&audit).join("audit.db").exists() {
            return Ok(ended);
        }
        Latest::of(places);
        let first = Cursor::start(&audit, &Filter::default())?.page()?.into_iter().next();
        let time = |event: &Found| event.get("time_us").and_then(|time| time.parse().ok());
        ended.since_us = first.as_ref().filter(|first| first.seq() > 0).and_then(time);
        let entries = Entries::of(Path::new(&audit), None, |message| messages.contains_key(message))?;
        let mut values = Values::of(places.state_directory.join("db"));
        // From the beginning: by which clock the file has its times is not known.
        let mut each = |(name, reasons): (&str, &[&str]), found: &mut dyn FnMut(u64, MessageId, &Told, Who)| {
            let filter = Filter { event: Some(name.to_owned()), ..Filter::default() };
            query::query(&audit, &filter, |event| {
                let reason = event.get("reason").unwrap_or_default();
                let about = entries.waited(&event).and_then(|message| messages.get_key_value(&message));
                if let Some((message, told)) = about.filter(|_| reasons.is_empty() || reasons.contains(&reason)) {
                    let all = Who::of(&event, &mut values);
                    all.into_iter().for_each(|who| found(event.seq(), *message, told, who));
                }
            })
        };
        for end in ENDS {
            each(end, &mut |_, message, told, who| {
                if !told.accounts_for(&who) {
                    *ended.found.entry(message).or_default() += 1;
                }
            })?;
        }
        let mut doubtful: BTreeMap<MessageId, Vec<(u64, Who)>> = BTreeMap::new();
        each((DOUBT.0, &[DOUBT.1]), &mut |seq, message, _, who| {
            doubtful.entry(message).or_default().push((seq, who));
        })?;
        each(ORDERS, &mut |seq, message, told, who| {
            let doubts = doubtful.get(&message).map(Vec::as_slice).unwrap_or_default();
            let is_doubtful = doubts.iter().any(|(at, held)| *at < seq && held.is_alike(&who));
            if is_doubtful && !told.accounts_for(&who) {
                *ended.found.entry(message).or_default() += 1;
            }
        })?;
        Ok(ended)
    }

    /// Why a message is not taken in.
    pub fn obstacle(&self, message: MessageId, told: &Told) -> Option<String> {
        if let Some(count) = self.found.get(&message) {
            return Some(format!(
                "the audit log here has it as delivered to {count} of its recipients, or given up for them, whom the file has not"
            ));
        }
        let is_older = self.since_us.is_some_and(|since| told.accepted_us < since);
        is_older.then(|| {
            "it is older than the audit log that is kept here: nobody knows whether it was delivered".to_owned()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(waiting: &[&str], ended: &[&str]) -> Told {
        let text = |all: &[&str]| all.iter().map(|one| (*one).to_owned()).collect();
        Told { accepted_us: 1000, waiting: text(waiting), ended: text(ended) }
    }

    #[test]
    fn who_ended_here_must_be_one_whom_the_file_has_as_ended() {
        let file = told(&["y@example.org"], &["x@example.org", "z@example.net"]);
        for (who, expected) in [
            (Who::Clear("x@example.org".into()), true),
            (Who::Clear("y@example.org".into()), false),
            (Who::Clear("other@example.org".into()), false),
            // It may be the one who waits.
            (Who::Shown("***@example.org".into()), false),
            (Who::Shown("***@example.net".into()), true),
            (Who::Shown("[erased]".into()), false),
        ] {
            assert_eq!(file.accounts_for(&who), expected);
        }
    }

    #[test]
    fn what_is_older_than_a_log_that_has_lost_its_beginning_is_not_taken_in() {
        let (message, file) = (MessageId::now(), told(&["y@example.org"], &[]));
        for (since_us, is_refused) in [(None, false), (Some(1000), false), (Some(1001), true)] {
            let ended = Ended { since_us, ..Ended::default() };
            assert_eq!(ended.obstacle(message, &file).is_some(), is_refused, "{since_us:?}");
        }
    }
}
