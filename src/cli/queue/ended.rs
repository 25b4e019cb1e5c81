//! What the audit log of this gate says of the messages of an archive: who of them has got his here, or was given up.

use std::collections::BTreeMap;
use std::path::Path;

use crate::cli::audit::place::{Latest, audit_directory};
use crate::config::Places;
use crate::ipc::admin::queue::transfer::{Envelope, Recipient};
use crate::mail::address::Address;
use crate::mail::id::MessageId;
use crate::vault::audit::mask;
use crate::vault::audit::query::{self, Cursor, Filter, Found};
use crate::vault::audit::values::Values;

/// The events that end a recipient.
const ENDS: [&str; 3] = ["deliver.success", "deliver.bounce", "deliver.expire"];

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
    fn of(event: &Found, values: &mut Values) -> Self {
        match values.get(event, "rcpt_to", 0) {
            Some(clear) => Self::Clear(Address::canonical(&clear)),
            None => Self::Shown(event.get("rcpt_to").unwrap_or_default().to_owned()),
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
        let mut values = Values::of(places.state_directory.join("db"));
        for event in ENDS {
            // From the beginning: by which clock the file has its times is not known.
            let filter = Filter { event: Some(event.to_owned()), ..Filter::default() };
            query::query(&audit, &filter, |event| {
                let message = event.get("msg_id").and_then(|id| id.parse::<MessageId>().ok());
                if let Some((message, told)) = message.and_then(|message| messages.get_key_value(&message))
                    && !told.accounts_for(&Who::of(&event, &mut values))
                {
                    *ended.found.entry(*message).or_default() += 1;
                }
            })?;
        }
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
