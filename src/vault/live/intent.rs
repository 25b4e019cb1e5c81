//! What is written of such a message: the intent, before the upstream is told to deliver, and what became of it.

use std::rc::Rc;

use super::line::Line;
use crate::ipc::delivery::Job;
use crate::mail::address::{Address, ReversePath};
use crate::mail::envelope::{Addressee, Manner};
use crate::mail::id::MessageId;
use crate::mail::outcome::{Outcome as Delivery, Said};
use crate::policy::OnUnknown;
use crate::policy::feedback::Told;
use crate::policy::refusal::Refusal;
use crate::policy::reports::{Delays, Reports};
use crate::vault::Vault;
use crate::vault::acceptance;
use crate::vault::audit::event::{Event, Name};
use crate::vault::audit::ledger::now_us;
use crate::vault::cipher::BodyKey;
use crate::vault::delivery::outcome::{self, PutOff};
use crate::vault::delivery::schedule::persist;
use crate::vault::delivery::settlement::bounded;
use crate::vault::delivery::suppression::{self, Sign};
use crate::vault::feedback::happened::{self, Happened, Subject};
use crate::vault::limits::denial::By;
use crate::vault::limits::key::{Key, Tier};
use crate::vault::limits::notices::POLICY;
use crate::vault::limits::rate::HOUR_US;
use crate::vault::sender::Sender;
use crate::vault::store::Store;
use crate::vault::store::keys::Lock;
use crate::vault::store::spool::{Accepted, Body, Leased, Settled, State};
use crate::vault::store::writer::NotStored;
use crate::vault::telling;
use crate::vault::transaction::Transaction;

/// One that is written, and not settled.
pub struct Intent {
    leased: Leased,
}

impl Intent {
    /// Writes the message without its body, its recipients as those who may have it, its use of the limits, and the audit leaves,
    /// in one transaction. **Only behind this may the upstream be told to deliver.**
    ///
    /// Errors: nothing was written, which is so, too, where nothing is sent any more to somebody who was accepted before.
    pub async fn write(
        vault: &Vault,
        sender: &Sender,
        transaction: &Transaction,
        line: &Line,
    ) -> Result<Self, Refusal> {
        let (now, bytes, sha256) = (now_us(), transaction.size(), transaction.digest());
        let recipients: Vec<Addressee> = transaction.addressees().collect();
        let events = acceptance::events(Name::MsgIntent, sender, transaction, &recipients);
        let accepted = Accepted {
            message: transaction.message,
            session: sender.session,
            principal: sender.credential.id.clone(),
            sender: transaction.sender.clone(),
            manner: transaction.manner.clone(),
            recipients: recipients.iter().map(|to| (to.clone(), line.lane.clone())).collect(),
            body: Body::Inline(Vec::new()),
            key: BodyKey::generate(),
            bytes,
            sha256,
            accepted_us: now,
            due_us: now,
            expires_us: now,
            on_unknown: OnUnknown::Drop,
            // Whoever sent it hears of it at once.
            reports: Reports::None,
            webhook: sender.credential.policy.webhook.clone(),
            delays: Delays::Never,
            is_report: false,
        };
        let used = vault.authority.borrow_mut().limits.used(&transaction.reservation);
        let alarms = transaction.reservation.events();
        let (job, delivery, upstream) = (line.place.job.0, line.delivery, line.place.upstream.clone());
        let (kept, slot) = (accepted.clone(), line.place.slot.clone());
        let written = vault.writer.run(move |store| {
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
            let row = store.intend(&kept, seqs.first().copied().unwrap_or_default(), job, &upstream, delivery)?;
            if let Some(slot) = &slot {
                store.paces.add(slot, 1)?;
            }
            store.record(alarms.clone())?;
            store.consumption.consume(&used)?;
            Ok(Ok(row))
        });
        match written.await {
            Ok(Ok(row)) => {
                let recipients = (0..).zip(recipients).map(|(n, to)| (n, to, 0)).collect();
                let Accepted { sender: from, expires_us, .. } = accepted;
                let leased = leased(sender, accepted.message, line);
                Ok(Self { leased: Leased { row, recipients, sender: from, expires_us, ..leased } })
            }
            // Of several, the upstream has some already whom it can't be told to leave out: its client comes again, and hears at RCPT.
            Ok(Err(is_all)) => {
                let refusal = if is_all { Refusal::Suppressed } else { Refusal::StoreUnavailable };
                acceptance::refused(vault, sender, transaction, refusal).await;
                Err(refusal)
            }
            Err(NotStored::Full) => Err(Refusal::StoreFull),
            Err(NotStored::Closed) => Err(Refusal::StoreUnavailable),
        }
    }

    /// Writes what became of it, before its sender hears of that. `is_heard`: it is there to hear it.
    pub async fn settle(self, vault: &Rc<Vault>, line: &Line, outcomes: Vec<(u32, Delivery)>, is_heard: bool) {
        let Self { leased } = self;
        let (mut all, mut events, mut happened) = (Vec::new(), Vec::new(), Vec::new());
        for (n, addressee, _) in &leased.recipients {
            let number = line.accepted.iter().find(|(_, address)| *address == addressee.address).map(|(n, _)| n);
            let Some((_, outcome)) = outcomes.iter().find(|(own, _)| Some(own) == number) else { continue };
            let (name, state) = fate(&leased, outcome);
            let event = told(name, &leased, line, &addressee.address, outcome);
            // It may come again with what was delivered, and an auditor sees why.
            let data = (!is_heard).then(|| serde_json::json!({ "client": "not-told" }).to_string());
            let word = event.reason.clone().unwrap_or_default();
            events.push(Event { data, ..event });
            events.extend(outcome::by_itself(name, state, &leased, &addressee.address));
            let (said, unknown) = (bounded(outcome.said()), name == Name::DeliverUnknown);
            match state {
                State::Delivered => {
                    tracing::info!(message = %leased.message, upstream = line.place.upstream, code = said.code, "passed on");
                }
                _ => tell(&leased, line, &said, name),
            }
            let settled = Settled { state, said, owed: false, tried: true, unknown };
            happened.extend(happening(&leased, *n, &settled, line, &word, name));
            all.push((*n, settled));
        }
        if !is_heard {
            tracing::warn!(message = %leased.message, "its client was gone, or waited no longer, when it ended");
        }
        let (Job(job), row, subject) = (line.place.job, leased.row, Subject::of(&leased));
        let counting = counting(vault, &leased, &all);
        persist(vault, move |store| {
            for (n, settled) in &all {
                store.spool.settle(job, *n, settled)?;
            }
            store.record(events)?;
            counting.map_or(Ok(()), |count| count(store))?;
            if let Some(subject) = subject {
                happened.iter().try_for_each(|one| happened::put(store, &subject, one).map(drop))?;
            }
            store.spool.release(job, now_us())?;
            store.finish(row, now_us()).map(drop)
        })
        .await;
    }
}

/// What an outcome is that nobody tries again.
fn fate(leased: &Leased, outcome: &Delivery) -> (Name, State) {
    let (state, name) = outcome::decide(leased, 0, outcome, &[], PutOff::now(), OnUnknown::Drop);
    (name, if state == State::Delivered { state } else { State::Failed })
}

fn told(name: Name, leased: &Leased, line: &Line, recipient: &Address, outcome: &Delivery) -> Event {
    let event = outcome::event(name, leased, &line.place.upstream, recipient, 1, &bounded(outcome.said()));
    let reason = outcome::reason(outcome).or(event.reason.clone());
    Event { duration_us: u64::try_from(line.begun.elapsed().as_micros()).ok(), reason, ..event }
}

/// What a webhook is told. What was put off is tried again by nobody here.
fn happening(leased: &Leased, n: u32, settled: &Settled, line: &Line, word: &str, name: Name) -> Option<Happened> {
    let happened = Happened::of(leased, n, settled, &line.place.upstream, word)?;
    Some(if name == Name::DeliverDefer { Happened { told: Told::Deferred, ..happened } } else { happened })
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
    let (name, state) = fate(&leased, outcome);
    let said = bounded(outcome.said());
    tell(&leased, line, &said, name);
    let event = told(name, &leased, line, &addressee.address, outcome);
    let code = said.code.map_or_else(String::new, |code| code.to_string());
    let key = Key::new(Tier::Credential, format!("{} {} {code}", from.credential.id, name.word()));
    telling::tell(vault, event, Some(By { key, limit: POLICY, window_us: HOUR_US })).await;
    let settled = Settled { state, said, owed: false, tried: true, unknown: false };
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
    let (name, _) = fate(&leased, outcome);
    tell(&leased, line, &bounded(outcome.said()), name);
    telling::tell(vault, told(name, &leased, line, recipient, outcome), None).await;
}

/// For the service's log.
fn tell(leased: &Leased, line: &Line, said: &Said, name: Name) {
    let (message, upstream, code, event) = (leased.message, &line.place.upstream, said.code, name.word());
    tracing::warn!(%message, upstream, code, event, "not passed on, which its client is told");
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
