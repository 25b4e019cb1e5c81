//! How a courier's jobs end: with a route that failed, a session that was broken off, a time that is over, or the courier itself.

use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::UnboundedReceiver;

use super::{Active, Courier};
use crate::ipc::delivery::Job;
use crate::mail::outcome::{Outcome as Delivery, Said};
use crate::vault::audit::event::Name;
use crate::vault::delivery::breaker::Fault;
use crate::vault::delivery::interrupted::interrupted;
use crate::vault::delivery::poison::{self, Proof};
use crate::vault::delivery::release::release;
use crate::vault::delivery::schedule::{persist, plain, tell_of, unsaid};
use crate::vault::delivery::settlement::{Outcomes, owes, tell, write};
use crate::vault::delivery::{outcome, report};
use crate::vault::edge::Parting;
use crate::vault::feedback::happened::Happened;
use crate::vault::limits::clock::{passed_us, queue_us};
use crate::vault::store::keys::Lock;
use crate::vault::store::spool::{Body, Leased, Settled, State, Verdict};
use crate::vault::transaction::microseconds;

impl Courier {
    /// The upstream can't be reached: the route rests, the message is as it was, unless its time is over.
    pub(super) async fn route_failed(
        &mut self,
        mut active: Active,
        fault: Fault,
        reason: &str,
        rest: Option<Duration>,
    ) {
        let reason = plain(reason);
        let pause = self.rest(fault, &reason, rest);
        if rest.is_none() {
            unsaid(&self.vault, &self.peer.label, &active.leased);
        }
        tell_of(&self.vault, &self.peer.label, pause, fault, reason).await;
        self.expire(&mut active);
        self.end(active, passed_us(), Proof::None);
    }

    /// The route rests. For how long, when it wasn't resting already.
    pub(super) fn rest(&self, fault: Fault, reason: &str, rest: Option<Duration>) -> Option<Duration> {
        let (mut schedule, now) = (self.vault.schedule.borrow_mut(), Instant::now());
        let pause = schedule.failed(&self.peer.label, fault, reason, now);
        let longer = rest.and_then(|rest| schedule.rest_at_least(&self.peer.label, rest, now));
        pause.map(|pause| longer.unwrap_or(pause))
    }

    /// The upstream ended its session over a message: that one waits as when it was put off, and is
    /// for the next upstream of its route first, if there is one; the schedule judges the route.
    pub(super) async fn broke_off(&mut self, job: Job, said: Said) {
        let Some(active) = self.active.get_mut(&job) else { return };
        let (credential, before) = (active.leased.principal.clone(), active.leased.lane.clone());
        let (open, reason) = (std::mem::take(&mut active.open), said.text.clone());
        if let Some(lane) = behind(&before, &self.peer.label) {
            active.leased.lane.clone_from(&lane);
            let vault = Rc::clone(&self.vault);
            active.writing.push(self.vault.finish(async move {
                persist(&vault, move |store| store.leases.turn(job.0, &lane)).await;
                // Who was put off before waits there still.
                vault.schedule.borrow_mut().arrived([before]);
            }));
        }
        let put_off = Delivery::Deferred(said);
        for (number, (recipient, attempts)) in open {
            self.settle(job, number, &recipient, attempts, &put_off, false);
        }
        let pause = self.vault.schedule.borrow_mut().broke_off(&self.peer.label, &credential, Instant::now());
        tell_of(&self.vault, &self.peer.label, pause, Fault::Route, plain(&reason)).await;
        if let Some(active) = self.active.remove(&job) {
            self.end(active, passed_us(), Proof::Harmless);
        }
    }

    /// The courier could not wait for us any longer. What we have not taken back waits as it was, and a little longer for a disk that
    /// is slow.
    pub(super) fn given_up(&mut self, job: Job) {
        let Some(mut active) = self.active.remove(&job) else { return };
        tracing::error!(message = %active.leased.message, "its courier waited for the store in vain: it waits");
        let wait = self.vault.authority.borrow().slice.retry.first().copied().unwrap_or_default();
        self.expire(&mut active);
        self.end(active, queue_us() + microseconds(wait), Proof::None);
    }

    /// Gives up the recipients that have no outcome, if the time of the message is over.
    pub(super) fn expire(&self, active: &mut Active) {
        if self.vault.authority.borrow().clock.passed_us() < active.leased.expires_us {
            return;
        }
        let (upstream, said, state) = (&self.peer.label, Said::default(), State::Expired);
        let (mut all, mut events) = (Vec::new(), Vec::new());
        for (number, (recipient, attempts)) in &active.open {
            let attempt = attempts.saturating_add(1);
            let event = outcome::event(Name::DeliverExpire, &active.leased, upstream, recipient, attempt, &said);
            events.push(outcome::doubted(event, active.leased.is_doubtful(*number)));
            let owed = owes(&active.leased, *number, state, &said);
            let settled =
                Settled { state, owed, said: said.clone(), tried: true, unknown: false, verdict: Verdict::Other };
            tell(&active.leased, upstream, &settled, Name::DeliverExpire);
            all.push((*number, settled));
        }
        let told = all
            .iter()
            .filter_map(|(number, settled)| Happened::of(&active.leased, *number, settled, upstream, "lifetime"));
        let outcomes = Outcomes { told: told.collect(), settled: all, events, end_lease: false };
        let writing = write(&self.vault, Job(active.leased.job), &active.leased, outcomes);
        active.writing.push(writing);
    }

    /// The job is over. Its lease ends when its outcomes are on the disk, if it didn't end with them; what has none waits until then.
    pub(super) fn end(&self, mut active: Active, next_us: u64, proof: Proof) {
        let (job, whose) = (active.leased.job, active.leased.whose());
        // Nobody reads it any more, and it takes a while until all is on the disk.
        (active.leased.body, active.leased.lock) = (Body::Inline(Vec::new()), Lock::None);
        self.vault.schedule.borrow_mut().returned(&self.peer.label, self.peer.instance, job, &whose);
        if active.is_slow {
            self.vault.schedule.borrow_mut().slow_one_ended(&self.peer.label, self.peer.instance);
        }
        // Its place is free: the next message is leased in the transaction that keeps the outcomes of this one, and not behind it.
        self.vault.poke.notify_one();
        let (vault, upstream) = (Rc::clone(&self.vault), self.peer.label.clone());
        self.vault.finish(async move {
            for writing in active.writing {
                // It ends early only with the store.
                let _ = writing.await;
            }
            if proof == Proof::Fell || active.leased.ended > 0 {
                let leased = active.leased.clone();
                persist(&vault, move |store| poison::note(store, &leased, &upstream, proof)).await;
            }
            // Who failed in this attempt is told of when nobody is under way any more.
            if !active.is_released {
                let _ = release(&vault, active.leased.job, active.leased.lane.clone(), next_us).await;
            }
            if proof == Proof::Fell {
                vault.schedule.borrow_mut().suspect(&active.leased.lane, Some(0));
                vault.poke.notify_one();
            }
            report::make_all(&vault).await;
        });
    }

    /// Nobody will tell what became of those who have no outcome. Some of them may have the message.
    pub(super) fn lose(&mut self, job: Job, why: &str) {
        let Some(active) = self.active.get_mut(&job) else { return };
        let suspects = &active.suspects;
        let lost: Vec<_> = active.open.extract_if(|number, _| suspects.has(*number)).collect();
        let unknown = Delivery::Unknown(interrupted(why));
        for (number, (recipient, attempts)) in lost {
            self.settle(job, number, &recipient, attempts, &unknown, false);
        }
    }

    /// The courier is gone. Outcomes that came stay; the rest is for another, unless it may have been delivered.
    pub(super) async fn leave(
        mut self,
        mut leased: UnboundedReceiver<Leased>,
        parting: Parting,
        is_for_a_live_one: bool,
    ) {
        // It may have been one of its messages, unless somebody has ended it: one that drains or is replaced has its time. Where it may
        // have been one whose sender waited, who comes again, those of the queue would be blamed one after the other.
        let is_replaced = self.vault.schedule.borrow().is_replaced(&self.peer.label, self.peer.generation);
        let is_ended = self.drains || is_replaced || self.vault.authority.borrow().draining;
        let is_of_the_queue = parting == Parting::Gone && !is_ended && !is_for_a_live_one;
        let proof = if is_of_the_queue { Proof::Fell } else { Proof::None };
        self.vault.schedule.borrow_mut().leave(&self.peer.label, self.peer.instance);
        leased.close();
        let jobs: Vec<Job> = self.active.keys().copied().collect();
        for job in jobs {
            self.lose(job, "the courier ended");
            if let Some(active) = self.active.remove(&job) {
                self.end(active, passed_us(), proof);
            }
        }
        // What was leased to it and never offered.
        while let Some(message) = leased.recv().await {
            self.vault.schedule.borrow_mut().returned(
                &self.peer.label,
                self.peer.instance,
                message.job,
                &message.whose(),
            );
            unsaid(&self.vault, &self.peer.label, &message);
            release(&self.vault, message.job, message.lane, passed_us());
        }
    }
}

/// The lane with that upstream at its end; none where it is alone.
pub fn behind(lane: &str, upstream: &str) -> Option<String> {
    let (last, mut others): (Vec<&str>, Vec<&str>) = lane.split(',').partition(|name| *name == upstream);
    if others.is_empty() || last.is_empty() {
        return None;
    }
    others.extend(last);
    Some(others.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upstream_goes_to_the_end_of_a_lane() {
        for (lane, upstream, expected) in [
            ("a,b,c", "a", Some("b,c,a")),
            ("a,b,c", "b", Some("a,c,b")),
            ("b,a", "a", Some("b,a")),
            ("a", "a", None),
            ("a,b", "c", None),
        ] {
            assert_eq!(behind(lane, upstream).as_deref(), expected, "{lane} {upstream}");
        }
    }
}
