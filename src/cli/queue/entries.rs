//! Where in a log a message came into the queue: not all that the log says of it is about who waits there.
//!
//! Whom the upstream refused while a client was still there (`delivery = "fallback"`) has an end before the message was taken, and
//! who went into an archive and came back waits again: he, and no other of the same message.

use std::collections::BTreeMap;
use std::path::Path;

use super::before::Mark;
use super::pairs::{Mention, Mentions, pairs};
use crate::mail::id::MessageId;
use crate::vault::audit::query::{self, Filter, Found};

/// The only end that is taken back, by the other; and the reasons of those that never are: it may have been delivered.
pub const DROP: &str = "queue.drop";
pub const IMPORT: &str = "queue.import";
const FOR_GOOD: [&str; 2] = ["unknown-outcome", "reconciled"];

#[derive(Default)]
struct Entry {
    /// The first event that says that it was taken.
    accepted: Option<u64>,
    /// Who was given up by this log, and who came back by any.
    dropped: Mentions,
    back: Mentions,
    /// Who was given up and came back, and by what.
    pairs: BTreeMap<Mark, Mark>,
}

/// The messages of one log.
#[derive(Default)]
pub struct Entries(BTreeMap<MessageId, Entry>);

impl Entries {
    /// Where those of the messages that are wanted were taken, from the auditors' files of a directory; up to an event, if one is given.
    ///
    /// Errors: the log can't be read.
    pub fn of(audit: &Path, believed: Option<u64>, is_wanted: impl Fn(&MessageId) -> bool) -> Result<Self, String> {
        let mut entries = Self::default();
        let filter = Filter { event: Some("msg.accept".to_owned()), to: believed, ..Filter::default() };
        query::query(audit, &filter, |event| {
            if let Some(message) = message(&event).filter(&is_wanted) {
                entries.note_accept(message, event.seq());
            }
        })?;
        Ok(entries)
    }

    fn note_accept(&mut self, message: MessageId, seq: u64) {
        let entry = self.0.entry(message).or_default();
        entry.accepted = Some(entry.accepted.map_or(seq, |first| first.min(seq)));
    }

    /// Notes somebody who was given up or came back.
    pub fn note(&mut self, message: MessageId, (name, reason): (&str, &str), mark: Mark, mention: Mention) {
        let entry = self.0.entry(message).or_default();
        match name {
            DROP if !FOR_GOOD.contains(&reason) => entry.dropped.insert(mark, mention),
            IMPORT => entry.back.insert(mark, mention),
            _ => None,
        };
    }

    /// Finds out who came back, when all were noted.
    pub fn pair(&mut self) {
        self.0.values_mut().for_each(|entry| entry.pairs = pairs(&entry.dropped, &entry.back));
    }

    /// Who came back by another log, whose places say nothing here, came back.
    pub fn learn(&mut self, other: &Self) {
        for (message, theirs) in &other.0 {
            let own = self.0.entry(*message).or_default();
            for (mark, mention) in &theirs.back {
                // What both have in common is of this one too.
                own.back.entry(mark.clone()).or_insert_with(|| Mention { is_foreign: true, ..mention.clone() });
            }
        }
        self.pair();
    }

    /// The message of which somebody who waits no more has ended by this event: he who stands there.
    pub fn ended(&self, event: &Found, mark: &Mark) -> Option<MessageId> {
        self.waited(event).filter(|message| !self.is_taken_back(*message, mark))
    }

    /// The message of which somebody has ended by this event who had waited in the queue.
    pub fn waited(&self, event: &Found) -> Option<MessageId> {
        message(event).filter(|message| self.is_behind_its_entry(*message, event.seq()))
    }

    /// Whether he who came back there had left by this place, or after it.
    pub fn left_from(&self, message: MessageId, back: &Mark, from: u64) -> bool {
        let pairs = self.0.get(&message).map(|entry| &entry.pairs);
        pairs.is_some_and(|pairs| pairs.iter().any(|(left, by)| by == back && left.0 >= from))
    }

    /// Without the event that the message was taken, which may be pruned, all is: a second copy is worse than what is looked after by
    /// hand.
    fn is_behind_its_entry(&self, message: MessageId, seq: u64) -> bool {
        self.0.get(&message).and_then(|entry| entry.accepted).is_none_or(|accepted| accepted < seq)
    }

    fn is_taken_back(&self, message: MessageId, mark: &Mark) -> bool {
        self.0.get(&message).is_some_and(|entry| entry.pairs.contains_key(mark))
    }
}

/// The message that an event is about.
pub fn message(event: &Found) -> Option<MessageId> {
    event.get("msg_id").and_then(|id| id.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXPORTED: (&str, &str) = (DROP, "exported");
    const BACK: (&str, &str) = (IMPORT, "");

    fn mark(seq: u64, time_us: u64) -> Mark {
        (seq, time_us.to_string(), 0)
    }

    fn mention(who: &str) -> Mention {
        Mention { shown: "***@example.org".into(), clear: Some(who.into()), is_foreign: false }
    }

    impl Entries {
        fn is_end(&self, message: MessageId, seq: u64) -> bool {
            self.is_behind_its_entry(message, seq) && !self.is_taken_back(message, &mark(seq, seq * 100))
        }
    }

    #[test]
    fn an_end_before_the_message_was_taken_is_none_and_so_is_a_drop_before_he_came_back() {
        let (message, mut entries) = (MessageId::now(), Entries::default());
        assert!(entries.is_end(message, 3), "nothing is known of it");
        [5, 6].into_iter().for_each(|seq| entries.note_accept(message, seq));
        for (event, seq, who) in [
            (EXPORTED, 7, "a"),
            ((DROP, "ordered"), 8, "b"),
            (BACK, 9, "a"),
            (EXPORTED, 11, "a"),
            (BACK, 12, "a"),
            (EXPORTED, 13, "a"),
            // Whoever may have got it doesn't wait again.
            ((DROP, "unknown-outcome"), 14, "c"),
            ((DROP, "reconciled"), 15, "d"),
            (BACK, 20, "c"),
            (BACK, 21, "d"),
        ] {
            entries.note(message, event, mark(seq, seq * 100), mention(who));
        }
        entries.pair();
        let ends = [(4, false), (7, false), (8, true), (10, true), (11, false), (13, true), (14, true), (15, true)];
        for (seq, expected) in ends {
            assert_eq!(entries.is_end(message, seq), expected, "{seq}");
        }
        assert!(entries.left_from(message, &mark(12, 1200), 11) && !entries.left_from(message, &mark(12, 1200), 12));
        assert!(!entries.left_from(message, &mark(20, 2000), 0), "he came from elsewhere");
    }

    #[test]
    fn who_came_back_by_a_later_log_waits_and_who_went_after_it_had_come_does_not() {
        let (message, [mut old, mut present]) = (MessageId::now(), [Entries::default(), Entries::default()]);
        old.note_accept(message, 5);
        for (seq, who) in [(7, "a"), (8, "b")] {
            old.note(message, EXPORTED, mark(seq, seq * 100), mention(who));
        }
        old.note(message, EXPORTED, mark(10, 1000), mention("a"));
        present.note(message, BACK, mark(3, 900), mention("a"));
        old.learn(&present);
        let ends: Vec<u64> = [7, 8, 10].into_iter().filter(|seq| old.is_end(message, *seq)).collect();
        assert_eq!(ends, [8, 10]);
    }
}
