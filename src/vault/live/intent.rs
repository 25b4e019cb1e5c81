//! What is written of such a message: the intent, before the upstream is told to deliver, and what became of it.

use std::rc::Rc;

use super::line::Line;
use crate::ipc::delivery::Job;
use crate::mail::address::{Address, ReversePath};
use crate::mail::envelope::{Addressee, Manner};
use crate::mail::id::MessageId;
use crate::mail::outcome::{Outcome as Delivery, Said};
use crate::policy::OnUnknown;
use crate::policy::refusal::Refusal;
use crate::policy::reports::{Delays, Reports};
use crate::vault::Vault;
use crate::vault::acceptance;
use crate::vault::audit::event::{Event, Name};
use crate::vault::audit::ledger::now_us;
use crate::vault::delivery::courier::behind;
use crate::vault::delivery::courier::live::End;
use crate::vault::delivery::outcome::{self, PutOff};
use crate::vault::delivery::report;
use crate::vault::delivery::schedule::persist;
use crate::vault::delivery::settlement::{self, bounded};
use crate::vault::delivery::suppression::{self, Sign};
use crate::vault::feedback::happened::{self, Happened, NOT_SENDABLE, Subject};
use crate::vault::hooks;
use crate::vault::limits::denial::By;
use crate::vault::limits::key::{Key, Tier};
use crate::vault::limits::notices::POLICY;
use crate::vault::limits::rate::HOUR_US;
use crate::vault::queue;
use crate::vault::sender::Sender;
use crate::vault::store::Store;
use crate::vault::store::hooks::Scope;
use crate::vault::store::keys::Lock;
use crate::vault::store::spool::intents::otherwise;
use crate::vault::store::spool::{Accepted, Body, Leased, Settled, State, Verdict};
use crate::vault::store::writer::NotStored;
use crate::vault::telling;
use crate::vault::transaction::{self, Transaction};

/// One that is written, and not settled.
pub struct Intent {
    leased: Leased,
    /// Where it is kept if need be, what the log says then.
    acceptance: Option<Vec<Event>>,
    is_urgent: bool,
}

/// Why there is no intent: nothing was written.
pub enum Unwritten {
    Refused(Refusal),
    /// Nothing is sent any more to some of those who were accepted, and the upstream can't be told to leave them out.
    Covered,
}

/// What is written of the end.
#[derive(Debug, PartialEq, Eq)]
pub enum Ended {
    /// What became of it, and nothing waits.
    Told,
    /// It waits in the spool, as if it had come from there.
    Kept,
    /// Nothing: the store is closed. The next start finds the intent, and what is said then is that nobody knows.
    Lost,
}

impl Intent {
    /// Writes the message, its recipients as those who may have it, its use of the limits, and the audit leaves, in one transaction;
    /// with its body where that is to be kept if need be. **Only behind this may the upstream be told to deliver.**
    ///
    /// Errors: nothing was written.
    pub async fn write(
        vault: &Vault,
        sender: &Sender,
        transaction: &Transaction,
        line: &Line,
        body: Option<(Body, [u8; 32])>,
    ) -> Result<Self, Unwritten> {
        let (now, keeps) = (now_us(), body.is_some());
        let recipients: Vec<Addressee> = transaction.addressees().collect();
        let events = acceptance::events(Name::MsgIntent, sender, transaction, &recipients);
        let acceptance = keeps.then(|| acceptance::events(Name::MsgAccept, sender, transaction, &recipients));
        let body = body.unwrap_or_else(|| (Body::Inline(Vec::new()), transaction.digest()));
        let accepted = transaction::accepted(vault, sender, transaction, recipients.clone(), body, now);
        let lanes = recipients.iter().map(|to| (to.clone(), line.lane.clone())).collect();
        let accepted = Accepted { recipients: lanes, ..accepted };
        let accepted = match keeps {
            true => accepted,
            // Whoever sent it hears of it at once, and nobody tries it again.
            false => Accepted {
                expires_us: now,
                on_unknown: OnUnknown::Drop,
                reports: Reports::None,
                delays: Delays::Never,
                ..accepted
            },
        };
        let used = vault.authority.borrow_mut().limits.used(&transaction.reservation);
        let alarms = transaction.reservation.events();
        let (job, delivery, upstream) = (line.place.job.0, line.delivery, line.place.upstream.clone());
        let (kept, slot) = (accepted.clone(), line.place.slot.clone());
        // An inline body counts for what is written at a time.
        let octets = match &accepted.body {
            Body::Inline(content) => content.len(),
            Body::Segment(_) => 0,
        };
        let written = vault.writer.queue(octets, move |store| {
            let mut covered = 0;
            for (to, _) in &kept.recipients {
                covered += usize::from(store.suppressions.covers(&kept.principal, &to.address, now)?.is_some());
            }
            if covered > 0 {
                return Ok(Err(covered == kept.recipients.len()));
            }
            let mut seqs = Vec::with_capacity(events.len());
            for event in &events {
                seqs.push(store.ledger.append(event.clone())?);
            }
            let row =
                store.intend(&kept, seqs.first().copied().unwrap_or_default(), job, &upstream, delivery, keeps)?;
            if let Some(slot) = &slot {
                store.paces.add(slot, 1)?;
            }
            store.record(alarms.clone())?;
            store.consumption.consume(&used)?;
            Ok(Ok(row))
        });
        match async { written.await?.answer().await }.await {
            Ok(Ok(row)) => {
                let recipients = (0..).zip(recipients).map(|(n, to)| (n, to, 0)).collect();
                let is_urgent = accepted.is_urgent();
                let Accepted { sender: from, expires_us, on_unknown, reports, .. } = accepted;
                let leased =
                    Leased { row, recipients, sender: from, expires_us, ..leased(sender, accepted.message, line) };
                let leased = if keeps { Leased { on_unknown, reports, ..leased } } else { leased };
                Ok(Self { leased, acceptance, is_urgent })
            }
            Ok(Err(false)) if keeps => Err(Unwritten::Covered),
            // Of several, the upstream has some already whom it can't be told to leave out: its client comes again, and hears at RCPT.
            Ok(Err(is_all)) => {
                let refusal = if is_all { Refusal::Suppressed } else { Refusal::StoreUnavailable };
                acceptance::refused(vault, sender, transaction, refusal).await;
                Err(Unwritten::Refused(refusal))
            }
            Err(NotStored::Full) => Err(Unwritten::Refused(Refusal::StoreFull)),
            Err(NotStored::Closed) => Err(Unwritten::Refused(Refusal::StoreUnavailable)),
        }
    }

    /// Writes what became of it, before its sender hears of that. `is_heard`: it is there to hear it.
    pub async fn settle(self, vault: &Rc<Vault>, line: &Line, outcomes: Vec<(u32, Delivery)>, is_heard: bool) -> Ended {
        let Self { leased, acceptance, is_urgent } = self;
        let is_kept = acceptance.is_some() && is_left(&outcomes, leased.on_unknown);
        let is_told = is_heard || is_kept;
        let (retry, put_off) = (vault.authority.borrow().slice.retry.clone(), PutOff::now());
        // Before its outcomes, as of all mail: `queue reconcile` counts the ends behind it.
        let mut events: Vec<Event> = acceptance.filter(|_| is_kept).into_iter().flatten().collect();
        let (mut all, mut happened) = (Vec::new(), Vec::new());
        let mut lanes: Vec<(u32, String)> = Vec::new();
        for (n, addressee, _) in &leased.recipients {
            let number = line.accepted.iter().find(|(_, address)| *address == addressee.address).map(|(n, _)| n);
            let Some((_, outcome)) = outcomes.iter().find(|(own, _)| Some(own) == number) else { continue };
            let (state, name) = match is_kept {
                true => outcome::decide(&leased, 0, outcome, &retry, put_off, leased.on_unknown),
                false => fate(&leased, outcome),
            };
            let event = told(name, &leased, line, &addressee.address, outcome);
            // It may come again with what was delivered, and an auditor sees why.
            let data = (!is_told).then(|| serde_json::json!({ "client": "not-told" }).to_string());
            let word = event.reason.clone().unwrap_or_default();
            if state == State::Expired {
                events.push(Event { name: Name::DeliverExpire, ..event.clone() });
            }
            events.push(Event { data: data.or(event.data.clone()), ..event });
            events.extend(outcome::by_itself(name, state, &leased, &addressee.address));
            let (said, unknown) = (bounded(outcome.said()), name == Name::DeliverUnknown);
            let owed = is_kept && settlement::owes(&leased, *n, state, &said);
            let settled = Settled { state, said, owed, tried: true, unknown, verdict: Verdict::of(outcome) };
            match state {
                State::Delivered => {
                    let (upstream, code) = (&line.place.upstream, settled.said.code);
                    tracing::info!(message = %leased.message, upstream, code, "passed on");
                }
                _ if is_kept => settlement::tell(&leased, &line.place.upstream, &settled, name),
                _ => tell(&leased, line, &settled.said, name),
            }
            happened.extend(Happened::of(&leased, *n, &settled, &line.place.upstream, &word));
            if matches!(state, State::Waiting(_) | State::Held(_)) {
                lanes.push((*n, lane(vault, &leased, line, &addressee.address)));
            }
            all.push((*n, settled));
        }
        if !is_told {
            tracing::warn!(message = %leased.message, "its client was gone, or waited no longer, when it ended");
        }
        let (Job(job), row, reports, subject) = (line.place.job, leased.row, leased.reports, Subject::of(&leased));
        let (counting, moved) = (counting(vault, &leased, &all), lanes.clone());
        let ended = persist(vault, move |store| {
            moved.iter().try_for_each(|(n, lane)| store.spool.move_to(row, *n, lane))?;
            for (n, settled) in &all {
                store.settle(job, row, *n, settled)?;
                if matches!(settled.state, State::Held(_)) {
                    store.hold.quarantine(row)?;
                }
            }
            store.record(events)?;
            counting.map_or(Ok(()), |count| count(store))?;
            for number in happened.iter().filter(|one| one.reason == NOT_SENDABLE).filter_map(|one| one.number) {
                store.outbox.unsendable(row, number)?;
            }
            if let Some(subject) = subject {
                happened.iter().try_for_each(|one| happened::put(store, &subject, one).map(drop))?;
            }
            if is_kept {
                store.intents.keep(row, reports)?;
            }
            store.spool.release(job, now_us())?;
            // Somebody may have had it dropped meanwhile.
            let buried = queue::bury(store, row)?;
            store.finish(row, now_us()).map(|segment| segment.or(buried))
        });
        let Some(segment) = ended.await else { return Ended::Lost };
        if is_kept {
            let lanes = lanes.into_iter().map(|(_, lane)| lane).collect();
            vault.schedule.borrow_mut().queued(lanes, Some(&leased.principal), is_urgent);
            vault.poke.notify_one();
        }
        // Its sender doesn't wait for this.
        let own = Rc::clone(vault);
        vault.finish(async move {
            if let Some(segment) = segment {
                own.segments.remove(segment).await;
            }
            if is_kept {
                report::make_all(&own).await;
            }
            hooks::ripen(&own, Scope::Message(row)).await;
        });
        if is_kept { Ended::Kept } else { Ended::Told }
    }
}

/// Where somebody waits: by the routes of now, and for the next upstream first where this one broke its session off, as in the spool.
fn lane(vault: &Vault, leased: &Leased, line: &Line, to: &Address) -> String {
    let lane = vault.authority.borrow().lane(&leased.principal, &leased.sender, to);
    match line.end {
        Some(End::BrokenOff(_)) => behind(&lane, &line.place.upstream).unwrap_or(lane),
        _ => lane,
    }
}

/// Whether somebody is left who is to be tried again, or of whom no one answer tells what became of him.
fn is_left(outcomes: &[(u32, Delivery)], on_unknown: OnUnknown) -> bool {
    let all = |test: fn(&Delivery) -> bool| outcomes.iter().all(|(_, outcome)| test(outcome));
    let is_told = all(|outcome| matches!(outcome, Delivery::Delivered(_)))
        || all(|outcome| matches!(outcome, Delivery::Failed(_) | Delivery::Unsendable(_)))
        || (all(|outcome| matches!(outcome, Delivery::Unknown(_))) && otherwise(on_unknown) == OnUnknown::Drop);
    !is_told
}

/// What an outcome is that nobody tries again.
fn fate(leased: &Leased, outcome: &Delivery) -> (State, Name) {
    let (state, name) = outcome::decide(leased, 0, outcome, &[], PutOff::now(), OnUnknown::Drop);
    (if state == State::Delivered { state } else { State::Failed }, name)
}

fn told(name: Name, leased: &Leased, line: &Line, recipient: &Address, outcome: &Delivery) -> Event {
    let event = outcome::event(name, leased, &line.place.upstream, recipient, 1, &bounded(outcome.said()));
    let reason = outcome::reason(outcome).or(event.reason.clone());
    Event { duration_us: u64::try_from(line.begun.elapsed().as_micros()).ok(), reason, ..event }
}

/// Counts what outcomes say of mailboxes, where that is done.
fn counting(
    vault: &Vault,
    leased: &Leased,
    settled: &[(u32, Settled)],
) -> Option<impl FnOnce(&mut Store<'_>) -> rusqlite::Result<()> + Clone + Send + use<>> {
    let authority = vault.authority.borrow();
    let rule = authority.slice.suppression.clone()?;
    let policy = authority.credentials.get(&leased.principal).map(|credential| &credential.policy);
    let (signs, whose): (Vec<Sign>, _) =
        (suppression::signs(leased, settled, policy), (leased.principal.clone(), leased.message));
    (!signs.is_empty())
        .then_some(move |store: &mut Store<'_>| suppression::count(store, &rule, (&whose.0, whose.1), &signs))
}

/// Tells of a recipient whom the upstream refused before there was an intent: the first with that answer in a window, and then how
/// many more.
pub async fn refused(
    vault: &Vault,
    from: &Sender,
    sender: &ReversePath,
    line: &Line,
    to: (MessageId, &Addressee),
    outcome: &Delivery,
) {
    let (message, addressee) = to;
    let leased = Leased { sender: sender.clone(), ..leased(from, message, line) };
    let leased = Leased { recipients: vec![(0, addressee.clone(), 0)], ..leased };
    let (state, name) = fate(&leased, outcome);
    let said = bounded(outcome.said());
    tell(&leased, line, &said, name);
    let event = told(name, &leased, line, &addressee.address, outcome);
    let code = said.code.map_or_else(String::new, |code| code.to_string());
    let key = Key::new(Tier::Credential, format!("{} {} {code}", from.credential.id, name.word()));
    telling::tell(vault, event, Some(By { key, limit: POLICY, window_us: HOUR_US })).await;
    let settled = Settled { state, said, owed: false, tried: true, unknown: false, verdict: Verdict::of(outcome) };
    if let Some(count) = counting(vault, &leased, &[(0, settled)]) {
        // What is not counted on a full disk is counted the next time.
        let _ = vault.writer.run(count).await;
    }
}

/// Tells of a recipient who was accepted, and came to nothing before there was an intent: each of them, because somebody was told
/// that mail for him is taken.
pub async fn lost(
    vault: &Vault,
    from: &Sender,
    message: MessageId,
    line: &Line,
    recipient: &Address,
    outcome: &Delivery,
) {
    let leased = leased(from, message, line);
    let (_, name) = fate(&leased, outcome);
    tell(&leased, line, &bounded(outcome.said()), name);
    telling::tell(vault, told(name, &leased, line, recipient, outcome), None).await;
}

/// For the service's log.
fn tell(leased: &Leased, line: &Line, said: &Said, name: Name) {
    let (message, upstream, code, event) = (leased.message, &line.place.upstream, said.code, name.word());
    tracing::warn!(%message, upstream, code, event, "not passed on now");
}

/// As the spool would have it on offer.
fn leased(from: &Sender, message: MessageId, line: &Line) -> Leased {
    Leased {
        job: line.place.job.0,
        delivery: line.delivery,
        lane: line.lane.clone(),
        row: 0,
        message,
        session: from.session,
        principal: from.credential.id.clone(),
        sender: None,
        manner: Manner::default(),
        bytes: 0,
        sha256: [0; 32],
        expires_us: 0,
        on_unknown: OnUnknown::Drop,
        reports: Reports::Mail,
        webhook: from.credential.policy.webhook.clone(),
        is_report: false,
        ended: 0,
        day_slot: None,
        body: Body::Inline(Vec::new()),
        lock: Lock::None,
        recipients: Vec::new(),
        doubtful: Vec::new(),
    }
}
