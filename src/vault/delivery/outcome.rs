//! What an outcome means for the queue and for the log.

use std::time::Duration;

use crate::mail::address::Address;
use crate::mail::outcome::{Outcome as Delivery, Said};
use crate::policy::OnUnknown;
use crate::policy::reports::Reports;
use crate::vault::audit::event::{Event, Field, Name, Outcome};
use crate::vault::feedback::happened::NOT_SENDABLE;
use crate::vault::limits::clock::{passed_us, queue_us};
use crate::vault::store::spool::{Leased, State};

/// The jitter of a retry, to each side, in parts of a hundred: what failed together shall not come back together.
const JITTER: u32 = 20;

/// How long something waits, in parts of a hundred of what it should.
pub fn jitter() -> u32 {
    let mut octets = [0; 4];
    // Without random octets all come back together, which is no reason to stop.
    let _ = getrandom::fill(&mut octets);
    100 - JITTER + u32::from_le_bytes(octets) % (2 * JITTER + 1)
}

/// Whence those wait whom one attempt did not reach, and by how much longer or shorter: the same for all of them, so that
/// recipients of a message who were put off together come back in one transaction, and other messages at other moments.
#[derive(Clone, Copy)]
pub struct PutOff {
    at_us: u64,
    passed_us: u64,
    percent: u64,
}

impl PutOff {
    pub fn now() -> Self {
        Self { at_us: queue_us(), passed_us: passed_us(), percent: u64::from(jitter()) }
    }

    /// Another attempt after so many, or none when the message is too old. An attempt was just made, so a clock that was set
    /// forward can't expire what was never tried.
    fn until(self, leased: &Leased, attempts: u32, retry: &[Duration]) -> State {
        if self.passed_us >= leased.expires_us {
            return State::Expired;
        }
        State::Waiting(self.at_us.saturating_add(self.wait(attempts, retry)))
    }

    /// Microseconds until the attempt after so many.
    fn wait(self, attempts: u32, retry: &[Duration]) -> u64 {
        let at = usize::try_from(attempts).unwrap_or(usize::MAX).min(retry.len().saturating_sub(1));
        let base = retry.get(at).map_or(60_000_000, |wait| u64::try_from(wait.as_micros()).unwrap_or(u64::MAX));
        base.saturating_mul(self.percent) / 100
    }
}

/// What becomes of one recipient, and the event that says so.
pub fn decide(
    leased: &Leased,
    attempts: u32,
    delivery: &Delivery,
    retry: &[Duration],
    put_off: PutOff,
    on_unknown: OnUnknown,
) -> (State, Name) {
    match delivery {
        Delivery::Delivered(_) => (State::Delivered, Name::DeliverSuccess),
        Delivery::Failed(_) | Delivery::Unsendable(_) => (State::Failed, Name::DeliverBounce),
        Delivery::Deferred(_) => (put_off.until(leased, attempts, retry), Name::DeliverDefer),
        Delivery::Unknown(_) => match on_unknown {
            OnUnknown::Retry => (put_off.until(leased, attempts, retry), Name::DeliverUnknown),
            // Whoever releases it wants it tried.
            OnUnknown::Hold => (State::Held(put_off.at_us), Name::DeliverUnknown),
            OnUnknown::Drop => (State::Failed, Name::DeliverUnknown),
        },
    }
}

/// The word for why, where it isn't what the event's name implies.
pub fn reason(delivery: &Delivery) -> Option<String> {
    matches!(delivery, Delivery::Unsendable(_)).then(|| NOT_SENDABLE.to_owned())
}

/// What the gate did by itself with a recipient that nobody knows about, beside the event of the attempt: one that is given up
/// must be shown as ended, and one that waits for somebody as held.
pub fn by_itself(name: Name, state: State, leased: &Leased, recipient: &Address) -> Option<Event> {
    let name = match (name, state) {
        (Name::DeliverUnknown, State::Held(_)) => Name::QueueHold,
        (Name::DeliverUnknown, State::Failed) => Name::QueueDrop,
        _ => return None,
    };
    let event = Event {
        message: Some(leased.message),
        rcpt_count: Some(1),
        reason: Some("unknown-outcome".to_owned()),
        data: if name == Name::QueueDrop { unreported(leased) } else { None },
        severity: 5,
        ..Event::new(name, if name == Name::QueueDrop { Outcome::Failure } else { Outcome::Info })
    };
    Some(event.with(Field::Account, leased.principal.clone()).recipients([recipient]))
}

/// What is said beside the failure of a recipient of whom nobody is told by mail, because the credential wants no reports,
/// or the message says itself that it is one.
fn unreported(leased: &Leased) -> Option<String> {
    let word = match leased.reports {
        Reports::Mail => return None,
        Reports::None => "none",
        Reports::Webhook => "webhook",
    };
    (!leased.is_report).then(|| serde_json::json!({ "report": word }).to_string())
}

/// That event of the end of a recipient says so, if an attempt may have delivered to him.
pub fn doubted(event: Event, is_doubtful: bool) -> Event {
    if !is_doubtful || !matches!(event.name, Name::DeliverBounce | Name::DeliverExpire) {
        return event;
    }
    let before = event.data.as_deref().and_then(|data| serde_json::from_str::<serde_json::Map<_, _>>(data).ok());
    let mut data = before.unwrap_or_default();
    data.insert("may_be_delivered".to_owned(), true.into());
    Event { data: Some(serde_json::Value::Object(data).to_string()), ..event }
}

/// An event about one recipient of an attempt.
pub fn event(name: Name, leased: &Leased, upstream: &str, recipient: &Address, attempt: u32, said: &Said) -> Event {
    let (outcome, reason) = match name {
        Name::DeliverSuccess => (Outcome::Success, "accepted-upstream"),
        Name::DeliverBounce => (Outcome::Failure, "refused-upstream"),
        Name::DeliverDefer => (Outcome::Deferred, "deferred-upstream"),
        Name::DeliverUnknown => (Outcome::Deferred, "unknown"),
        _ => (Outcome::Failure, "lifetime"),
    };
    let event = Event {
        message: Some(leased.message),
        session: Some(leased.session),
        delivery: Some(leased.delivery),
        upstream: Some(upstream.to_owned()),
        mx: (!said.host.is_empty()).then(|| said.host.clone()),
        tls: said.tls.clone(),
        code: said.code,
        enhanced: said.enhanced.clone(),
        reason: Some(reason.to_owned()),
        attempt: Some(u64::from(attempt)),
        data: if outcome == Outcome::Failure { unreported(leased) } else { None },
        ..Event::new(name, outcome)
    };
    let event = event.with(Field::Account, leased.principal.clone()).recipients([recipient]);
    let event = event.with(Field::RcptDomain, recipient.domain());
    if said.text.is_empty() { event } else { event.with(Field::RemoteText, said.text.clone()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rule_q4_waits_follow_the_list_and_the_last_repeats() {
        let retry = [Duration::from_secs(10), Duration::from_secs(100)];
        for (attempts, base) in [(0, 10_000_000), (1, 100_000_000), (9, 100_000_000)] {
            for _ in 0..50 {
                let wait = PutOff::now().wait(attempts, &retry);
                assert!((base * 80 / 100..=base * 120 / 100).contains(&wait), "{attempts}: {wait}");
            }
        }
    }
}
