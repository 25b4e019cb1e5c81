//! What the audit log shows of deliveries and of the configuration, counted once it is on the disk: what is rolled back did not
//! happen.

use super::tally::Tally;
use crate::ipc::figures::metric::Metric;
use crate::policy::principal::GATE;
use crate::vault::audit::event::{Event, Field, Name};

/// How recipients end, beside those whom an administrator drops.
pub const OUTCOMES: [&str; 4] = ["accepted", "failed", "expired", DROPPED];
const DROPPED: &str = "dropped";
/// What came of an attempt.
pub const RESULTS: [&str; 4] = ["accepted", "failed", "deferred", "unknown"];
/// The reason of a failure that is an upstream's answer; others say that it was never asked.
const ANSWERED: &str = "refused-upstream";

/// What is counted of an event.
struct Entry {
    name: Name,
    upstream: String,
    /// Of the gate's own mail.
    is_own: bool,
    /// By the upstream's word.
    is_answer: bool,
    recipients: u64,
    /// How long it had taken.
    age_us: Option<u64>,
    time_us: u64,
}

/// What was appended and is not committed yet.
#[derive(Default)]
pub struct Entries {
    pub tally: Tally,
    waiting: Vec<Entry>,
}

impl Entries {
    pub fn append(&mut self, event: &Event, time_us: u64) {
        let begun_us = event.message.and_then(|message| message.time_ms()).map(|ms| ms.saturating_mul(1000));
        self.waiting.push(Entry {
            name: event.name,
            upstream: event.upstream.clone().unwrap_or_default(),
            is_own: event.personal.iter().any(|one| one.field == Field::Account && one.value == GATE),
            is_answer: event.reason.as_deref() == Some(ANSWERED),
            recipients: event.rcpt_count.unwrap_or(1),
            age_us: begun_us.map(|begun_us| time_us.saturating_sub(begun_us)),
            time_us,
        });
    }

    /// They are on the disk.
    pub fn committed(&mut self) {
        for entry in self.waiting.drain(..) {
            self.tally.add(Metric::AuditEvents, [entry.name.word(), ""], 1);
            entry.count(&self.tally);
        }
    }

    pub fn rolled_back(&mut self) {
        self.waiting.clear();
    }
}

impl Entry {
    fn count(self, tally: &Tally) {
        let [accepted, failed, deferred, unknown] = RESULTS;
        let attempt = match self.name {
            Name::DeliverSuccess => Some(accepted),
            Name::DeliverBounce if self.is_answer => Some(failed),
            Name::DeliverDefer => Some(deferred),
            Name::DeliverUnknown => Some(unknown),
            _ => None,
        };
        let [accepted, failed, expired, dropped] = OUTCOMES;
        let end = match self.name {
            Name::DeliverSuccess => Some((accepted, 1)),
            Name::DeliverBounce => Some((failed, 1)),
            Name::DeliverExpire => Some((expired, 1)),
            Name::QueueDrop => Some((dropped, self.recipients)),
            _ => None,
        };
        match self.name {
            Name::ConfigLoad | Name::DaemonStart => {
                tally.set(Metric::ReloadSuccessful, 1);
                tally.set(Metric::ReloadTime, self.time_us);
            }
            Name::ConfigReject => tally.set(Metric::ReloadSuccessful, 0),
            Name::DeliverSuccess => {
                tally.add(Metric::Latency, [self.upstream.clone(), String::new()], self.age_us.unwrap_or_default());
            }
            _ => {}
        }
        if let Some(result) = attempt {
            tally.add(Metric::Attempts, [self.upstream.clone(), result.to_owned()], 1);
        }
        if let Some((outcome, recipients)) = end {
            // Beside those of its upstream, under a name that no upstream can have: it is shown nowhere.
            if self.is_own {
                tally.add(Metric::Deliveries, [GATE, outcome], recipients);
            }
            tally.add(Metric::Deliveries, [self.upstream, outcome.to_owned()], recipients);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipc::figures::family::Value;
    use crate::mail::id::MessageId;
    use crate::vault::audit::event::Outcome;

    fn number(entries: &Entries, metric: Metric, labels: &[&str]) -> u64 {
        let labels = labels.iter().map(|label| (*label).to_owned()).collect();
        match &entries.tally.family(metric, [labels]).series[0].value {
            Value::Number(number) => *number,
            Value::Spread(spread) => spread.counts.iter().sum(),
        }
    }

    fn event(name: Name, reason: &str) -> Event {
        let (upstream, reason) = (Some("relay".to_owned()), Some(reason.to_owned()));
        Event { upstream, reason, message: Some(MessageId::now()), ..Event::new(name, Outcome::Info) }
    }

    #[test]
    fn what_is_committed_counts_and_what_is_rolled_back_does_not() {
        let mut entries = Entries::default();
        entries.append(&event(Name::DeliverSuccess, "accepted-upstream"), u64::MAX);
        entries.rolled_back();
        entries.committed();
        assert_eq!(number(&entries, Metric::Attempts, &["relay", "accepted"]), 0);
        for (name, reason) in [
            (Name::DeliverSuccess, "accepted-upstream"),
            (Name::DeliverBounce, ANSWERED),
            (Name::DeliverBounce, "not-sendable"),
            (Name::DeliverDefer, "deferred-upstream"),
            (Name::DeliverUnknown, "unknown"),
            (Name::DeliverExpire, "lifetime"),
        ] {
            entries.append(&event(name, reason), u64::MAX);
        }
        entries.append(&Event { rcpt_count: Some(7), upstream: None, ..event(Name::QueueDrop, "") }, 1);
        assert_eq!(number(&entries, Metric::AuditEvents, &["deliver.success"]), 0, "not yet");
        entries.committed();
        entries.committed();
        assert_eq!(number(&entries, Metric::AuditEvents, &["deliver.bounce"]), 2);
        assert_eq!(RESULTS.map(|result| number(&entries, Metric::Attempts, &["relay", result])), [1, 1, 1, 1]);
        assert_eq!(OUTCOMES.map(|outcome| number(&entries, Metric::Deliveries, &["relay", outcome])), [1, 2, 1, 0]);
        assert_eq!(number(&entries, Metric::Deliveries, &["", "dropped"]), 7);
        assert_eq!(number(&entries, Metric::Latency, &["relay"]), 1);
    }

    #[test]
    fn a_reload_that_was_refused_is_shown_until_one_succeeds() {
        let mut entries = Entries::default();
        for (name, time_us, shown) in
            [(Name::DaemonStart, 5, (1, 5)), (Name::ConfigReject, 6, (0, 5)), (Name::ConfigLoad, 7, (1, 7))]
        {
            entries.append(&Event::new(name, Outcome::Info), time_us);
            entries.committed();
            let of = |metric| number(&entries, metric, &[]);
            assert_eq!((of(Metric::ReloadSuccessful), of(Metric::ReloadTime)), shown);
        }
    }
}
