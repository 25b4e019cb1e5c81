//! An attempt at a message: what each outcome of it means, for the queue, the log, the webhook and the sender.

use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

use super::outcome::{self, PutOff};
use super::settlement::{Outcomes, bounded, owes, tell, write};
use crate::ipc::delivery::Job;
use crate::mail::address::Address;
use crate::mail::outcome::Outcome as Delivery;
use crate::policy::OnUnknown;
use crate::vault::Vault;
use crate::vault::audit::event::{Event, Name};
use crate::vault::feedback::happened::Happened;
use crate::vault::store::spool::{Leased, Settled, State, Verdict};

/// What is known of it.
pub struct Attempt<'a> {
    pub vault: &'a Rc<Vault>,
    pub upstream: &'a str,
    pub leased: &'a Leased,
    pub begun: Instant,
    /// Since its first outcome.
    pub put_off: PutOff,
    /// The waits of those whom it didn't reach.
    pub retry: &'a [Duration],
}

impl Attempt<'_> {
    /// What one outcome means; it is on the disk when the handle ends, and the lease over with it if it is the only one.
    pub fn settle(
        &self,
        number: u32,
        recipient: &Address,
        attempts: u32,
        delivery: &Delivery,
        end_lease: bool,
    ) -> JoinHandle<()> {
        let Self { vault, upstream, leased, .. } = *self;
        let attempt = attempts.saturating_add(1);
        let on_unknown = on_unknown(vault, leased);
        let (state, name) = outcome::decide(leased, attempts, delivery, self.retry, self.put_off, on_unknown);
        let said = bounded(delivery.said());
        let event = outcome::event(name, leased, upstream, recipient, attempt, &said);
        let duration = u64::try_from(self.begun.elapsed().as_micros()).ok();
        let reason = outcome::reason(delivery).or(event.reason.clone());
        let mut events = vec![Event { duration_us: duration, reason, ..event }];
        if state == State::Expired {
            events.push(outcome::event(Name::DeliverExpire, leased, upstream, recipient, attempt, &said));
        }
        events.extend(outcome::by_itself(name, state, leased, recipient));
        let may_be = leased.is_doubtful(number) || name == Name::DeliverUnknown;
        let events: Vec<Event> = events.into_iter().map(|event| outcome::doubted(event, may_be)).collect();
        let word = events.first().and_then(|event| event.reason.clone()).unwrap_or_default();
        let (owed, unknown) = (owes(leased, number, state, &said), name == Name::DeliverUnknown);
        let settled = Settled { state, owed, said, tried: true, unknown, verdict: Verdict::of(delivery) };
        tell(leased, upstream, &settled, name);
        let told = Happened::of(leased, number, &settled, upstream, &word).into_iter().collect();
        write(vault, Job(leased.job), leased, Outcomes { settled: vec![(number, settled)], told, events, end_lease })
    }
}

/// What becomes of a message of which nobody knows: as its credential says, or said when it was accepted and is gone now. A report
/// that comes twice harms nobody; without one, nobody would know of what was given up.
pub fn on_unknown(vault: &Vault, leased: &Leased) -> OnUnknown {
    if leased.is_report {
        return OnUnknown::Retry;
    }
    let authority = vault.authority.borrow();
    let credential = authority.credentials.get(&leased.principal);
    credential.map_or(leased.on_unknown, |credential| credential.policy.on_unknown)
}
