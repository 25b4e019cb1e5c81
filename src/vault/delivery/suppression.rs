//! Mail to addresses that nothing is sent to: what is kept in the list is asked where a message is kept, and again where it is
//! offered, because an address may be put there while mail for it waits; and hard bounces are counted where they are written.
//!
//! Reports of the gate's own are held to what is there for all. A signed head goes where the configuration says.

use rusqlite::Result as Sql;

use super::outcome;
use super::settlement::{owes, tell};
use crate::config::slice::CountBounces;
use crate::mail::address::Address;
use crate::mail::id::MessageId;
use crate::mail::outcome::Said;
use crate::policy::Policy;
use crate::policy::principal::GATE;
use crate::policy::suppression::{folded, is_no_mailbox};
use crate::vault::audit::event::{Event, Field, Name, Outcome};
use crate::vault::audit::ledger::now_us;
use crate::vault::store::Store;
use crate::vault::store::spool::{Accepted, Leased, Settled, State, Verdict};

/// The word for it in the log.
pub const REASON: &str = "suppressed";
/// What its sender is told of such a recipient: RFC 3463 section 3.8, because it says nothing about the mailbox, and a policy of
/// this gate's everything.
const STATUS: &str = "5.7.1";
const WORDS: &str = "nothing is sent to this address from here: it is on the list of suppressed addresses";

/// Of so many recipients of a message its client is told that nothing is sent to them: more than a request over HTTP names.
const MOST_TOLD: usize = 100;

/// What a list for one credential says is not asked for what the gate sends itself.
fn whose(leased: &Leased) -> &str {
    if leased.is_report || leased.sender.is_none() { "" } else { &leased.principal }
}

/// The numbers of those among the first so many recipients, whom a message names, that nothing is sent to; copies are behind them.
/// None: nothing is sent to any of them. Where nobody is told of them (`is_told`), the first that isn't one of them ends the search.
pub fn covered(
    store: &mut Store<'_>,
    accepted: &Accepted,
    named: usize,
    is_told: bool,
    passed_us: u64,
) -> Sql<Option<Vec<u32>>> {
    let (mut covered, mut is_for_somebody) = (Vec::new(), named == 0);
    for (number, (recipient, _)) in (0..).zip(accepted.recipients.iter().take(named)) {
        if store.suppressions.covers(&accepted.principal, &recipient.address, passed_us)?.is_some() {
            covered.push(number);
            continue;
        }
        is_for_somebody = true;
        if !is_told {
            return Ok(Some(Vec::new()));
        }
    }
    covered.truncate(MOST_TOLD);
    Ok(is_for_somebody.then_some(covered))
}

/// Takes those off a lease that nothing is sent to: each has failed, which is reported as any failure. Gives the segment that must be
/// removed when nobody is left, and the lease is ended then.
pub fn part(store: &mut Store<'_>, leased: &mut Leased, upstream: &str, passed_us: u64) -> Sql<Option<String>> {
    if leased.principal == GATE {
        return Ok(None);
    }
    let now = now_us();
    let (mut left, mut events) = (Vec::with_capacity(leased.recipients.len()), Vec::new());
    for (number, addressee, attempts) in std::mem::take(&mut leased.recipients) {
        match store.suppressions.covers(whose(leased), &addressee.address, passed_us)? {
            None => left.push((number, addressee, attempts)),
            Some(why) => events.push((number, addressee, attempts, why)),
        }
    }
    if events.is_empty() {
        leased.recipients = left;
        return Ok(None);
    }
    let said = Said { enhanced: Some(STATUS.to_owned()), text: WORDS.to_owned(), ..Said::default() };
    let (state, name) = (State::Failed, Name::DeliverBounce);
    // Whether each is owed a report is asked of all who were on the lease.
    leased.recipients =
        events.iter().map(|(number, addressee, attempts, _)| (*number, addressee.clone(), *attempts)).collect();
    let mut all = Vec::with_capacity(events.len());
    for (number, addressee, attempts, why) in events {
        let event = outcome::event(name, leased, upstream, &addressee.address, attempts, &said);
        let data = serde_json::json!({ "because": why.word() }).to_string();
        let event = Event { reason: Some(REASON.to_owned()), data: Some(data), upstream: None, ..event };
        all.push(outcome::doubted(event, leased.is_doubtful(number)));
        let owed = owes(leased, number, state, &said);
        let settled =
            Settled { state, said: said.clone(), owed, tried: false, unknown: false, verdict: Verdict::Other };
        tell(leased, upstream, &settled, name);
        store.settle(leased.job, leased.row, number, &settled)?;
    }
    store.record(all)?;
    leased.recipients = left;
    if !leased.recipients.is_empty() {
        return Ok(None);
    }
    store.spool.release(leased.job, now)?;
    store.finish(leased.row, now)
}

/// What an outcome says of a mailbox.
#[derive(Clone, Debug)]
pub struct Sign {
    address: Address,
    is_there: bool,
}

/// The signs in what became of recipients of that lease; only where bounces are counted. Whom the configuration names is no
/// matter of what a client's list is like: copies, and all mail where it is redirected, would end without a word.
pub fn signs(leased: &Leased, settled: &[(u32, Settled)], policy: Option<&Policy>) -> Vec<Sign> {
    // What the gate sent itself says nothing of whom its clients send to, and nor does a test.
    if leased.principal == GATE || leased.is_report || leased.sender.is_none() || leased.manner.test {
        return Vec::new();
    }
    let sign = |(number, settled): &(u32, Settled)| {
        let (_, addressee, _) = leased.recipients.iter().find(|(other, ..)| other == number)?;
        let (address, said) = (addressee.address.clone(), &settled.said);
        let is_ours = |policy: &Policy| {
            policy.always_bcc.iter().chain(&policy.redirect).any(|own| folded(own) == folded(&address))
        };
        if policy.is_some_and(is_ours) {
            return None;
        }
        let is_gone = || said.of_recipient && is_no_mailbox(&address, said.code, said.enhanced.as_deref());
        match settled.state {
            // A provider that takes it has not asked the recipient's host yet.
            State::Delivered if said.reference.is_none() => Some(Sign { address, is_there: true }),
            State::Failed if is_gone() => Some(Sign { address, is_there: false }),
            _ => None,
        }
    };
    settled.iter().filter_map(sign).collect()
}

/// Counts them.
pub fn count(
    store: &mut Store<'_>,
    rule: &CountBounces,
    (credential, message): (&str, MessageId),
    signs: &[Sign],
) -> Sql<()> {
    let now = now_us();
    let lifetime = u64::try_from(rule.lifetime.as_micros()).unwrap_or(u64::MAX);
    for Sign { address, is_there } in signs {
        if *is_there {
            store.suppressions.delivered(credential, address)?;
        } else if store.suppressions.bounced(credential, address, rule.after, now, now.saturating_add(lifetime))? {
            let event = Event {
                message: Some(message),
                reason: Some("bounce".to_owned()),
                rcpt_count: Some(1),
                severity: 5,
                ..Event::new(Name::SuppressAdd, Outcome::Success)
            };
            store.record(vec![event.with(Field::Account, credential.to_owned()).recipients([address])])?;
        }
    }
    Ok(())
}

/// Somebody whom that message was for calls it unwanted: nothing is sent to him for its credential, for as long as after bounces.
pub fn complained(store: &mut Store<'_>, rule: &CountBounces, leased: &Leased, address: &Address) -> Sql<()> {
    if leased.principal == GATE || leased.is_report {
        return Ok(());
    }
    let (now, credential) = (now_us(), leased.principal.as_str());
    let lifetime = u64::try_from(rule.lifetime.as_micros()).unwrap_or(u64::MAX);
    if store.suppressions.complained(credential, address, now, now.saturating_add(lifetime))? {
        let event = Event {
            message: Some(leased.message),
            reason: Some("complaint".to_owned()),
            rcpt_count: Some(1),
            severity: 5,
            ..Event::new(Name::SuppressAdd, Outcome::Success)
        };
        store.record(vec![event.with(Field::Account, credential.to_owned()).recipients([address])])?;
    }
    Ok(())
}
