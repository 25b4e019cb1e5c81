//! Where in a log a message came into the queue: not all that the log says of it is about who waits there.
//!
//! Whom the upstream refused while a client was still there (`delivery = "fallback"`) has an end before the message was taken, and
//! what went into an archive and came back waits again.

use std::collections::BTreeMap;
use std::path::Path;

use crate::mail::id::MessageId;
use crate::vault::audit::query::{self, Filter};

/// The only end that is taken back: by `queue import`.
const DROP: &str = "queue.drop";

#[derive(Default)]
struct Entry {
    /// The first event that says that it was taken.
    accepted: Option<u64>,
    /// The last one that says that it came back.
    imported: Option<u64>,
}

/// The messages of one log.
#[derive(Default)]
pub struct Entries(BTreeMap<MessageId, Entry>);

impl Entries {
    /// Those of the messages that are wanted, from the auditors' files of a directory; up to an event, if that is given.
    ///
    /// Errors: the log can't be read.
    pub fn of(audit: &Path, to: Option<u64>, is_wanted: impl Fn(&MessageId) -> bool) -> Result<Self, String> {
        let mut entries = Self::default();
        for name in ["msg.accept", "queue.import"] {
            let filter = Filter { event: Some(name.to_owned()), to, ..Filter::default() };
            query::query(audit, &filter, |event| {
                let message = event.get("msg_id").and_then(|id| id.parse::<MessageId>().ok());
                if let Some(message) = message.filter(&is_wanted) {
                    entries.note(message, name, event.seq());
                }
            })?;
        }
        Ok(entries)
    }

    fn note(&mut self, message: MessageId, name: &str, seq: u64) {
        let entry = self.0.entry(message).or_default();
        match name {
            "msg.accept" => entry.accepted = Some(entry.accepted.map_or(seq, |first| first.min(seq))),
            _ => entry.imported = entry.imported.max(Some(seq)),
        }
    }

    /// Whether this event is the end of somebody who waited. Without the event that the message was taken, which may be pruned,
    /// each is: a second copy is worse than what is looked after by hand.
    pub fn is_end(&self, message: MessageId, name: &str, seq: u64) -> bool {
        let Some(entry) = self.0.get(&message) else { return true };
        let came_back = name == DROP && entry.imported.is_some_and(|imported| seq < imported);
        !came_back && entry.accepted.is_none_or(|accepted| accepted < seq)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_before_the_message_was_taken_is_none_and_so_is_a_drop_before_it_came_back() {
        let (message, mut entries) = (MessageId::now(), Entries::default());
        assert!(entries.is_end(message, "deliver.bounce", 3), "nothing is known of it");
        for (name, seq) in [("msg.accept", 5), ("msg.accept", 6), ("queue.import", 9), ("queue.import", 12)] {
            entries.note(message, name, seq);
        }
        for (name, seq, expected) in [
            ("deliver.bounce", 4, false),
            ("deliver.success", 7, true),
            ("queue.drop", 7, false),
            ("queue.drop", 11, false),
            ("queue.drop", 13, true),
            ("deliver.success", 11, true),
        ] {
            assert_eq!(entries.is_end(message, name, seq), expected, "{name} {seq}");
        }
    }

    #[test]
    fn without_the_event_that_it_was_taken_each_end_counts() {
        let (message, mut entries) = (MessageId::now(), Entries::default());
        entries.note(message, "queue.import", 9);
        assert!(entries.is_end(message, "deliver.success", 3) && !entries.is_end(message, "queue.drop", 3));
    }
}
