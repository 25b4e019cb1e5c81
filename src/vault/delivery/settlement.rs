//! Outcomes on their way to the disk.

use std::rc::Rc;

use tokio::task::JoinHandle;

use super::release::{self, Ended, follow};
use super::schedule::persist;
use super::suppression;
use crate::ipc::delivery::Job;
use crate::mail::dsn::Notify;
use crate::mail::outcome::{Said, is_reference};
use crate::policy::principal::GATE;
use crate::policy::reports::Reports;
use crate::vault::Vault;
use crate::vault::audit::event::{Event, Name};
use crate::vault::audit::ledger::now_us;
use crate::vault::feedback::happened::{self, Happened, NOT_SENDABLE, Subject};
use crate::vault::limits::clock::passed_us;
use crate::vault::store::spool::{Leased, Settled, State};

/// What became of recipients of a lease.
#[derive(Clone)]
pub struct Outcomes {
    pub settled: Vec<(u32, Settled)>,
    /// What the webhook is told of them.
    pub told: Vec<Happened>,
    pub events: Vec<Event>,
    /// Nobody of the lease is without one then, nor is any other on its way to the disk: it ends with these.
    pub end_lease: bool,
}

/// Writes down outcomes, what the webhook is told of them, their events and, when they were the last, the end of the body, in one transaction.
pub fn write(vault: &Rc<Vault>, job: Job, leased: &Leased, outcomes: Outcomes) -> JoinHandle<()> {
    let (own, row) = (Rc::clone(vault), leased.row);
    let Outcomes { settled, told, events, end_lease } = outcomes;
    let (rule, signs) = {
        let authority = vault.authority.borrow();
        let policy = authority.credentials.get(&leased.principal).map(|one| &one.policy);
        let rule = authority.slice.suppression.clone();
        let signs = rule.as_ref().map(|_| suppression::signs(leased, &settled, policy));
        (rule, signs.unwrap_or_default())
    };
    let whose = (leased.principal.clone(), leased.message);
    let subject = Subject::of(leased);
    let lane = end_lease.then(|| leased.lane.clone());
    // What the gate itself sends is a signed head: one that has arrived is kept elsewhere now.
    let head = (leased.principal == GATE).then_some(leased.message);
    vault.finish(async move {
        let finished = persist(&own, move |store| {
            for (number, settled) in &settled {
                store.settle(job.0, row, *number, settled)?;
                if matches!(settled.state, State::Held(_)) {
                    store.hold.quarantine(row)?;
                }
                if let Some(message) = head.filter(|_| !matches!(settled.state, State::Waiting(_))) {
                    store.anchors.mail_ended(message, settled.state == State::Delivered, now_us())?;
                }
            }
            store.record(events)?;
            if let Some(rule) = &rule {
                suppression::count(store, rule, (&whose.0, whose.1), &signs)?;
            }
            for number in told.iter().filter(|happened| happened.reason == NOT_SENDABLE).filter_map(|one| one.number) {
                store.outbox.unsendable(row, number)?;
            }
            if let Some(subject) = subject {
                told.iter().try_for_each(|happened| happened::put(store, &subject, happened).map(drop))?;
            }
            let finished = store.finish(row, now_us())?;
            let buried = if end_lease { release::write(store, job.0, passed_us())?.1 } else { None };
            Ok([finished, buried])
        });
        let segments = finished.await;
        if head.is_some() {
            own.anchored.notify_one();
        }
        for segment in segments.into_iter().flatten().flatten() {
            own.segments.remove(segment).await;
        }
        if let Some(lane) = lane {
            follow(&own, Some(Ended { job: job.0, row }), lane).await;
        }
    })
}

/// Whether the sender is to be told of a state: of a failure unless it wants not to be, of a delivery when it wants to be
/// and the host that took the message will not do it (RFC 3461 sections 4.1 and 5.2.2). Nobody is told who sent from
/// nobody, nor of a report, whoever that is from (RFC 5321 section 6.1), nor the gate, whose log says it, nor whoever's
/// credential wants no reports.
pub fn owes(leased: &Leased, number: u32, state: State, said: &Said) -> bool {
    let recipient = leased.recipients.iter().find(|(n, ..)| *n == number);
    let notify = recipient.and_then(|(_, addressee, _)| addressee.wish.notify);
    let wanted = match state {
        State::Failed | State::Expired => notify.is_none_or(Notify::on_failure),
        State::Delivered => !said.reports && notify.is_some_and(Notify::on_success),
        State::Waiting(_) | State::Held(_) => false,
    };
    let is_reported = !leased.is_report && leased.reports == Reports::Mail && leased.principal != GATE;
    wanted && is_reported && leased.sender.is_some()
}

/// A stranger's words, no longer than they are kept.
pub fn bounded(said: &Said) -> Said {
    let cut = |text: &str| text.chars().filter(|c| !c.is_control()).take(crate::mail::outcome::MAX_TEXT).collect();
    let reference = said.reference.clone().filter(|reference| is_reference(reference));
    Said {
        text: cut(&said.text),
        host: cut(&said.host),
        enhanced: said.enhanced.as_deref().map(cut),
        reference,
        ..said.clone()
    }
}

/// For the service's log. Told is the sender, by a report or by the webhook that stands for it.
pub fn tell(leased: &Leased, upstream: &str, settled: &Settled, name: Name) {
    let (message, code, event) = (leased.message, settled.said.code, name.word());
    let told = settled.owed || leased.reports == Reports::Webhook;
    match settled.state {
        State::Failed if name == Name::DeliverUnknown => {
            tracing::warn!(%message, upstream, code, event, told, "it may have been delivered: given up, as its credential says");
        }
        State::Failed | State::Expired => {
            tracing::error!(%message, upstream, code, event, told, "a recipient can't be reached");
        }
        State::Delivered => tracing::info!(%message, upstream, code, "delivered"),
        State::Held(_) => {
            tracing::warn!(%message, upstream, code, event, "it may have been delivered: held until somebody releases it")
        }
        State::Waiting(_) => tracing::info!(%message, upstream, code, event, "will be tried again"),
    }
}
