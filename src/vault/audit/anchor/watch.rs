//! One anchor as the vault watches it: when it is due, when it is overdue, and what the log says of that. No I/O: the times
//! are given.

use std::time::{Duration, Instant};

use crate::config::slice::{Anchor, Place};
use crate::vault::audit::event::{Event, Name, Outcome};
use crate::vault::store::anchors::{Anchored, State};
use crate::vault::transaction::microseconds;

/// The wait after a first failure; it doubles with each further one, up to the anchor's own interval.
const AGAIN: Duration = Duration::from_secs(60);
/// An anchor that works is an event so often, not each time: a quiet log stays quiet.
const TOLD_US: u64 = 86_400_000_000;

#[derive(Clone, Debug)]
pub struct Watch {
    pub anchor: Anchor,
    pub state: State,
    /// The last success.
    pub last: Option<Anchored>,
    /// An attempt is under way.
    pub busy: bool,
    /// Why the last attempt was none; shown when somebody asks.
    pub failed: Option<String>,
    /// It is asked once at the start, whenever it last was.
    fresh: bool,
    /// When a mail was last handed to the spool.
    sent_us: u64,
    failures: u32,
    /// Not before.
    next: Option<Instant>,
}

impl Watch {
    /// `sent_us` is when a mail of it was sent that is still under way.
    pub fn new(anchor: Anchor, state: State, last: Option<Anchored>, sent_us: Option<u64>) -> Self {
        // A witness knows at once whether the whole machine was set back.
        let fresh = matches!(anchor.place, Place::Witness { .. });
        let sent_us = sent_us.unwrap_or(0);
        Self { anchor, state, last, busy: false, failed: None, fresh, sent_us, failures: 0, next: None }
    }

    /// The same one by a newer configuration.
    pub fn configured(self, anchor: Anchor) -> Self {
        Self { anchor, ..self }
    }

    /// The word for its kind.
    pub fn kind(&self) -> &'static str {
        match self.anchor.place {
            Place::Syslog => "syslog",
            Place::File => "file",
            Place::Mail { .. } => "mail",
            Place::Witness { .. } => "witness",
        }
    }

    /// Whether the vault is to make it now. The sealer makes its own by itself.
    pub fn is_due(&self, now_us: u64, now: Instant) -> bool {
        let ours = matches!(self.anchor.place, Place::Mail { .. } | Place::Witness { .. });
        let may = ours && !self.busy && self.state.contradicted.is_none() && self.next.is_none_or(|next| next <= now);
        let since = self.last.as_ref().map_or(0, |last| last.time_us).max(self.sent_us);
        // A clock that was set back starts the interval anew.
        may && (self.fresh || now_us < since || now_us - since >= microseconds(self.anchor.every))
    }

    /// An attempt begins, by the clock or by order.
    pub fn begin(&mut self) {
        (self.busy, self.fresh) = (true, false);
    }

    /// Its mail is in the spool.
    pub fn sent(&mut self, now_us: u64) {
        (self.busy, self.failed, self.failures, self.next) = (false, None, 0, None);
        self.sent_us = now_us;
    }

    /// Whether that is news: the log is told of the first failure in a row.
    pub fn fail(&mut self, reason: String, now: Instant) -> bool {
        let wait = AGAIN.saturating_mul(1 << self.failures.min(16)).min(self.anchor.every);
        (self.busy, self.failed, self.next) = (false, Some(reason), Some(now + wait));
        self.failures = self.failures.saturating_add(1);
        self.failures == 1
    }

    /// A head is kept there. Gives what the log is to say; `actor` gave the order, if anybody did.
    pub fn succeed(&mut self, anchored: Anchored, actor: Option<&str>) -> Vec<Event> {
        let mut events = Vec::new();
        let now_us = anchored.time_us;
        if std::mem::take(&mut self.state.overdue) {
            let event = Event::new(Name::AnchorOverdue, Outcome::Success);
            events.push(Event {
                reason: Some("works-again".into()),
                data: Some(self.data(anchored.size, None)),
                ..event
            });
        }
        let quiet = now_us >= self.state.told_us && now_us - self.state.told_us < TOLD_US;
        if actor.is_some() || !quiet || self.state.contradicted.is_some() {
            self.state.told_us = now_us;
            let event = Event::new(Name::AuditAnchor, Outcome::Success);
            events.push(Event { actor: actor.map(str::to_owned), data: Some(self.data(anchored.size, None)), ..event });
        }
        self.state.contradicted = None;
        (self.busy, self.failed, self.failures, self.next) = (false, None, 0, None);
        self.last = Some(anchored);
        events
    }

    /// A witness holds a head that this log does not extend. It isn't asked again until somebody orders it.
    pub fn contradict(&mut self, holds: u64, size: u64, reason: &'static str, said: String) -> Event {
        (self.busy, self.failed) = (false, Some(said));
        self.state.contradicted = Some(holds);
        Event {
            severity: 1,
            reason: Some(reason.into()),
            data: Some(self.data(size, Some(("holds", holds)))),
            ..Event::new(Name::IntegrityFailure, Outcome::Failure)
        }
    }

    /// The alarm, once, when it has not succeeded for so long.
    pub fn check(&mut self, now_us: u64, limit: Duration) -> Option<Event> {
        let since = self.last.as_ref().map_or(self.state.since_us, |last| last.time_us);
        if self.state.overdue || now_us.saturating_sub(since) < microseconds(limit) {
            return None;
        }
        self.state.overdue = true;
        let seconds = now_us.saturating_sub(since) / 1_000_000;
        let size = self.last.as_ref().map_or(0, |last| last.size);
        let event = Event::new(Name::AnchorOverdue, Outcome::Failure);
        let data = Some(self.data(size, Some(("seconds", seconds))));
        Some(Event { severity: 3, reason: Some("no-success".into()), data, ..event })
    }

    fn data(&self, size: u64, more: Option<(&str, u64)>) -> String {
        let mut data = serde_json::json!({ "anchor": self.anchor.name, "kind": self.kind(), "size": size });
        if let (Some((key, value)), Some(data)) = (more, data.as_object_mut()) {
            data.insert(key.into(), value.into());
        }
        data.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::address::Address;

    const HOUR_US: u64 = 3_600_000_000;
    const HOUR: Duration = Duration::from_secs(3600);
    const DAY: Duration = Duration::from_secs(86_400);

    fn watch(place: Place) -> Watch {
        let anchor = Anchor { name: "a".into(), every: HOUR, place };
        Watch::new(anchor, State { since_us: 100 * HOUR_US, ..State::default() }, None, None)
    }

    fn witness() -> Watch {
        watch(Place::Witness { key: String::new() })
    }

    fn kept(time_us: u64) -> Anchored {
        Anchored { name: "a".into(), size: 9, time_us, proof: None }
    }

    fn words(events: &[Event]) -> Vec<&str> {
        events.iter().map(|event| event.name.word()).collect()
    }

    #[test]
    fn it_is_due_at_the_start_and_then_after_its_interval_and_after_a_failure_soon() {
        let (mut watch, now) = (witness(), Instant::now());
        let at = 200 * HOUR_US;
        watch.last = Some(kept(at - 1));
        assert!(watch.is_due(at, now), "a witness is asked at the start");
        watch.begin();
        assert!(!watch.is_due(at, now), "once at a time");
        assert!(watch.fail("away".into(), now), "the first failure is news");
        assert!(!watch.is_due(at + 2 * HOUR_US, now + AGAIN / 2));
        assert!(watch.is_due(at + 2 * HOUR_US, now + AGAIN));
        assert!(!watch.fail("away".into(), now));
        assert!(!watch.is_due(at + 2 * HOUR_US, now + AGAIN), "it waits longer each time");
        watch.succeed(kept(at), None);
        assert!(!watch.is_due(at + HOUR_US - 1, now) && watch.is_due(at + HOUR_US, now));
        assert!(watch.is_due(at - 1, now), "the clock was set back");
    }

    #[test]
    fn a_mail_under_way_is_not_sent_twice_and_the_sealers_anchors_are_its_own() {
        let (to, from) = (Address::parse("a@example.org").unwrap(), Address::parse("b@example.net").unwrap());
        let (mut mail, now) = (watch(Place::Mail { to, from }), Instant::now());
        let at = 200 * HOUR_US;
        assert!(mail.is_due(at, now));
        mail.begin();
        mail.sent(at);
        assert!(!mail.is_due(at + HOUR_US - 1, now) && mail.is_due(at + HOUR_US, now));
        assert!(!watch(Place::File).is_due(at, now) && !watch(Place::Syslog).is_due(at, now));
    }

    #[test]
    fn the_alarm_comes_once_and_its_end_is_told() {
        let mut watch = watch(Place::File);
        assert!(watch.check(100 * HOUR_US + 2 * 24 * HOUR_US - 1, 2 * DAY).is_none());
        let alarm = watch.check(100 * HOUR_US + 2 * 24 * HOUR_US, 2 * DAY).unwrap();
        assert_eq!((alarm.name, alarm.reason.as_deref()), (Name::AnchorOverdue, Some("no-success")));
        assert!(watch.check(900 * HOUR_US, 2 * DAY).is_none(), "once");
        let events = watch.succeed(kept(900 * HOUR_US), None);
        assert_eq!(words(&events), ["anchor.overdue", "audit.anchor"]);
        assert_eq!(events[0].outcome, Outcome::Success);
        assert!(watch.check(901 * HOUR_US, 2 * DAY).is_none());
        assert!(watch.check(949 * HOUR_US, 2 * DAY).is_some(), "and again");
    }

    #[test]
    fn successes_are_an_event_a_day_and_those_by_order_always() {
        let mut watch = watch(Place::File);
        let at = 200 * HOUR_US;
        assert_eq!(words(&watch.succeed(kept(at), None)), ["audit.anchor"]);
        for hour in 1..24 {
            assert_eq!(words(&watch.succeed(kept(at + hour * HOUR_US), None)), [] as [&str; 0]);
        }
        let ordered = watch.succeed(kept(at + HOUR_US), Some("uid 0"));
        assert_eq!(ordered[0].actor.as_deref(), Some("uid 0"));
        assert_eq!(watch.succeed(kept(at + 25 * HOUR_US), None).len(), 1);
    }

    #[test]
    fn a_witness_that_contradicts_is_asked_again_by_order_alone() {
        let (mut watch, now) = (witness(), Instant::now());
        let at = 200 * HOUR_US;
        let alarm = watch.contradict(12, 9, "rollback", "it holds more".into());
        assert_eq!((alarm.severity, alarm.reason.as_deref()), (1, Some("rollback")));
        assert_eq!(alarm.data.as_deref(), Some(r#"{"anchor":"a","holds":12,"kind":"witness","size":9}"#));
        assert!(!watch.is_due(at + 99 * HOUR_US, now + DAY));
        assert_eq!(words(&watch.succeed(kept(at), Some("uid 0"))), ["audit.anchor"]);
        assert!(watch.is_due(at + HOUR_US, now));
    }
}
