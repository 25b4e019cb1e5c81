//! Where in a log a message came into the queue: not all that the log says of it is about who waits there.
//!
//! Whom the upstream refused while a client was still there (`delivery = "fallback"`) has an end before the message was taken, and
//! what went into an archive and came back waits again.

use std::collections::BTreeMap;
use std::path::Path;

use crate::mail::id::MessageId;
use crate::vault::audit::query::{self, Filter, Found};

/// The only end that is taken back, by `queue import`; and the reasons of those that never are: it may have been delivered.
const DROP: &str = "queue.drop";
const FOR_GOOD: [&str; 2] = ["unknown-outcome", "reconciled"];

#[derive(Default)]
struct Entry {
    /// The first event that says that it was taken.
    accepted: Option<u64>,
    /// The last one that says that it came back, and when it last did by any log.
    imported: Option<u64>,
    back_us: Option<u64>,
}

/// The messages of one log.
#[derive(Default)]
pub struct Entries(BTreeMap<MessageId, Entry>);

impl Entries {
    /// Those of the messages that are wanted, from the auditors' files of a directory. What was taken is believed up to that event, if
    /// one is given; what came back is in any case, as it ends nobody.
    ///
    /// Errors: the log can't be read.
    pub fn of(audit: &Path, believed: Option<u64>, is_wanted: impl Fn(&MessageId) -> bool) -> Result<Self, String> {
        let mut entries = Self::default();
        for (name, to) in [("msg.accept", believed), ("queue.import", None)] {
            let filter = Filter { event: Some(name.to_owned()), to, ..Filter::default() };
            query::query(audit, &filter, |event| {
                let message = event.get("msg_id").and_then(|id| id.parse::<MessageId>().ok());
                if let Some(message) = message.filter(&is_wanted) {
                    entries.note(message, name, event.seq(), time_us(&event));
                }
            })?;
        }
        Ok(entries)
    }

    fn note(&mut self, message: MessageId, name: &str, seq: u64, time_us: u64) {
        let entry = self.0.entry(message).or_default();
        match name {
            "msg.accept" => entry.accepted = Some(entry.accepted.map_or(seq, |first| first.min(seq))),
            _ => {
                entry.imported = entry.imported.max(Some(seq));
                entry.back_us = entry.back_us.max(Some(time_us));
            }
        }
    }

    /// What came back by another log, whose places say nothing here, came back.
    pub fn learn(&mut self, other: &Self) {
        for (message, theirs) in &other.0 {
            let own = self.0.entry(*message).or_default();
            own.back_us = own.back_us.max(theirs.back_us);
        }
    }

    /// The message of which somebody who waits no more has ended by this event.
    pub fn ended(&self, event: &Found) -> Option<MessageId> {
        let word = |key| event.get(key).unwrap_or_default();
        let is_end =
            |id: &MessageId| !self.is_taken_back(*id, (word("event"), word("reason")), event.seq(), time_us(event));
        self.waited(event).filter(is_end)
    }

    /// The message of which somebody has ended by this event who had waited in the queue.
    pub fn waited(&self, event: &Found) -> Option<MessageId> {
        let message = event.get("msg_id").and_then(|id| id.parse::<MessageId>().ok())?;
        self.is_behind_its_entry(message, event.seq()).then_some(message)
    }

    /// Without the event that the message was taken, which may be pruned, all is: a second copy is worse than what is looked after by
    /// hand.
    fn is_behind_its_entry(&self, message: MessageId, seq: u64) -> bool {
        self.0.get(&message).and_then(|entry| entry.accepted).is_none_or(|accepted| accepted < seq)
    }

    fn is_taken_back(&self, message: MessageId, (name, reason): (&str, &str), seq: u64, time_us: u64) -> bool {
        let Some(entry) = self.0.get(&message).filter(|_| name == DROP && !FOR_GOOD.contains(&reason)) else {
            return false;
        };
        entry.imported.is_some_and(|own| seq < own) || entry.back_us.is_some_and(|back| time_us < back)
    }
}

fn time_us(event: &Found) -> u64 {
    event.get("time_us").and_then(|time| time.parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXPORTED: (&str, &str) = ("queue.drop", "exported");
    const BOUNCED: (&str, &str) = ("deliver.bounce", "refused");
    const DELIVERED: (&str, &str) = ("deliver.success", "");

    impl Entries {
        fn is_end(&self, message: MessageId, event: (&str, &str), seq: u64, time_us: u64) -> bool {
            self.is_behind_its_entry(message, seq) && !self.is_taken_back(message, event, seq, time_us)
        }
    }

    #[test]
    fn an_end_before_the_message_was_taken_is_none_and_so_is_a_drop_before_it_came_back() {
        let (message, mut entries) = (MessageId::now(), Entries::default());
        assert!(entries.is_end(message, BOUNCED, 3, 300), "nothing is known of it");
        for (name, seq) in [("msg.accept", 5), ("msg.accept", 6), ("queue.import", 9), ("queue.import", 12)] {
            entries.note(message, name, seq, seq * 100);
        }
        for (event, seq, expected) in [
            (BOUNCED, 4, false),
            (DELIVERED, 7, true),
            (EXPORTED, 7, false),
            (EXPORTED, 11, false),
            (EXPORTED, 13, true),
            (DELIVERED, 11, true),
            // Whoever may have got it doesn't wait again with the others.
            (("queue.drop", "unknown-outcome"), 7, true),
            (("queue.drop", "reconciled"), 7, true),
        ] {
            assert_eq!(entries.is_end(message, event, seq, seq * 100), expected, "{event:?} {seq}");
        }
    }

    #[test]
    fn without_the_event_that_it_was_taken_each_end_counts() {
        let (message, mut entries) = (MessageId::now(), Entries::default());
        entries.note(message, "queue.import", 9, 900);
        assert!(entries.is_end(message, DELIVERED, 3, 300) && !entries.is_end(message, EXPORTED, 3, 300));
    }

    #[test]
    fn what_came_back_by_a_later_log_waits_and_what_went_after_it_had_come_does_not() {
        let (message, [mut old, mut present]) = (MessageId::now(), [Entries::default(), Entries::default()]);
        old.note(message, "msg.accept", 5, 500);
        present.note(message, "queue.import", 3, 900);
        old.learn(&present);
        assert!(!old.is_end(message, EXPORTED, 7, 700) && old.is_end(message, EXPORTED, 8, 950));
        assert!(old.is_end(message, DELIVERED, 7, 700));
    }
}
