//! Leases: what is due is leased to whoever can take it, in one transaction, before it is offered.

use std::rc::Rc;
use std::time::Instant;

use tokio::task::spawn_local;

use super::plan::Plan;
use super::{TICK, persist, stranded, unsaid};
use crate::vault::Vault;
use crate::vault::audit::ledger::now_us;
use crate::vault::delivery::pace::{day_slot, oldest_day_slot};
use crate::vault::delivery::release::release;
use crate::vault::delivery::suppression;
use crate::vault::delivery::{backlog, expiry, report, revoked};
use crate::vault::limits::clock::{passed_us, queue_us};
use crate::vault::store::spool::Leased;

/// Leases what is due to whoever can take it, for ever.
pub async fn run(vault: Rc<Vault>) {
    // Before anything is offered: on a full disk nothing can be, and none of this is to be forgotten for that.
    let Some(paused) = persist(&vault, |store| store.pauses.all()).await else { return };
    for (upstream, pause) in paused {
        tracing::warn!(upstream, by = pause.actor, "an upstream is paused: nothing is offered to it");
        vault.schedule.borrow_mut().pause(&upstream, Some(pause));
    }
    revoked::begin(&vault).await;
    spawn_local(backlog::watch(Rc::clone(&vault)));
    let (now, clock_us) = (Instant::now(), now_us());
    let had = persist(&vault, move |store| store.paces.all(day_slot(clock_us), oldest_day_slot(clock_us))).await;
    let Some(had) = had else { return };
    vault.schedule.borrow_mut().remember(had, now, clock_us);
    spawn_local(stranded::run(Rc::clone(&vault)));
    loop {
        loop {
            let plan = {
                let (authority, mut schedule) = (vault.authority.borrow(), vault.schedule.borrow_mut());
                schedule.is_shared = authority.credentials.are_several();
                if authority.draining { None } else { schedule.next(Instant::now(), queue_us()) }
            };
            let Some(plan) = plan else { break };
            lease(&vault, plan).await;
        }
        let sleep = vault.schedule.borrow().sleep(TICK, Instant::now());
        tokio::select! {
            () = vault.poke.notified() => {}
            () = tokio::time::sleep(sleep) => {}
        }
    }
}

/// What one transaction found for a plan.
struct Found {
    leased: Vec<Leased>,
    /// How many were given up because their time was over, and their segments.
    expired: u32,
    segments: Vec<String>,
    /// When the next recipient of the lane is due, and the next suspect.
    next: Option<u64>,
    suspect: Option<u64>,
}

/// The lease is on the disk before the offer is made.
async fn lease(vault: &Rc<Vault>, plan: Plan) {
    let (lane, upstream, first, count) = (plan.lane.clone(), plan.upstream.clone(), plan.first, plan.count);
    let (mut share, is_alone, clock) = (plan.share.clone(), plan.is_alone, vault.authority.borrow().clock);
    let (slot, taken_in) = (plan.slot.clone(), plan.slot.as_ref().map(|slot| slot.slot));
    let barred = vault.schedule.borrow().barred.clone();
    // Whoever arrives from here on is looked at again.
    vault.schedule.borrow_mut().lanes.insert(lane.clone(), u64::MAX);
    let found = vault.writer.run(move |store| {
        let now = queue_us();
        let mut found = Found { leased: Vec::new(), expired: 0, segments: Vec::new(), next: None, suspect: None };
        for job in first..first + u64::from(count) {
            let leased = match is_alone {
                true => store.lease_suspect(&lane, &upstream, job, now)?,
                false => store.lease(&lane, &upstream, job, now, &|who| share.may(who) && !barred.contains(who))?,
            };
            match leased {
                Some(late) if clock.has_come(late.expires_us) => {
                    found.expired += 1;
                    found.segments.extend(expiry::give_up(store, &late, &upstream)?);
                }
                Some(mut leased) => {
                    found.segments.extend(suppression::part(store, &mut leased, &upstream, clock.passed_us())?);
                    if leased.recipients.is_empty() {
                        // As those that are over it goes to nobody, and a report may be owed.
                        found.expired += 1;
                        continue;
                    }
                    share.take(&leased.whose());
                    found.leased.push(Leased { day_slot: taken_in, ..leased });
                }
                None => break,
            }
        }
        if let Some(slot) = slot.filter(|_| !found.leased.is_empty()) {
            store.paces.add(&slot, u32::try_from(found.leased.len()).unwrap_or(count))?;
        }
        found.next = store.spool.next_due(&lane)?;
        found.suspect = store.suspects.next_due(&lane)?;
        Ok(found)
    });
    let later = Some(queue_us() + tick_us());
    let nothing = || Found { leased: Vec::new(), expired: 0, segments: Vec::new(), next: later, suspect: later };
    let found = found.await.unwrap_or_else(|_| nothing());
    {
        let mut schedule = vault.schedule.borrow_mut();
        let got = u32::try_from(found.leased.len()).unwrap_or(plan.count).min(plan.count);
        schedule.back(&plan.upstream, plan.instance, plan.first, plan.count - got);
        schedule.unsaid(&plan.upstream, taken_in, plan.count - got);
        // Those who are left although there was room have all that they may have.
        let is_passed_over =
            !is_alone && got + found.expired < plan.count && found.next.is_some_and(|next| next <= queue_us());
        schedule.took(&plan, &found.leased, is_passed_over);
        schedule.suspect(&plan.lane, found.suspect);
        let next = if is_passed_over { Some(queue_us() + tick_us()) } else { found.next };
        let due = schedule.lanes.entry(plan.lane).or_insert(u64::MAX);
        match next {
            Some(next) => *due = (*due).min(next),
            // Nobody waits in it: whoever arrives brings it back.
            None if *due == u64::MAX => schedule.lanes.retain(|_, due| *due != u64::MAX),
            None => {}
        }
    }
    for message in found.leased {
        let (refused, again_us) = match may_send(vault, &message) {
            true => (plan.offers.send(message).err().map(|gone| gone.0), passed_us()),
            false => (Some(message), passed_us().saturating_add(tick_us())),
        };
        if let Some(message) = refused {
            vault.schedule.borrow_mut().returned(&plan.upstream, plan.instance, message.job, &message.whose());
            unsaid(vault, &plan.upstream, &message);
            release(vault, message.job, message.lane, again_us);
        }
    }
    if found.expired > 0 {
        let own = Rc::clone(vault);
        vault.finish(async move {
            for segment in found.segments {
                own.segments.remove(segment).await;
            }
            report::make_all(&own).await;
        });
    }
}

/// Whether its credential may send, as far as that isn't seen to already: where its mail is about to be held, or its time came
/// since the last look at that, it goes back. A report of the gate's own goes whatever became of whose mail it tells of.
fn may_send(vault: &Vault, message: &Leased) -> bool {
    let principal = &message.principal;
    if message.whose() != *principal {
        return true;
    }
    let is_barred = vault.schedule.borrow().barred.contains(principal);
    let authority = vault.authority.borrow();
    let own = authority.credentials.get(principal).filter(|own| own.enabled);
    let end_us = own.and_then(|own| own.policy.expires_us).filter(|end_us| *end_us <= authority.clock.now().wall_us);
    !is_barred && end_us.is_none_or(|end_us| authority.noticed.knows(principal, end_us))
}

fn tick_us() -> u64 {
    u64::try_from(TICK.as_micros()).unwrap_or(0)
}
