//! What is shown of the queue, a bounded part of it in each transaction, with addresses as auditors see them.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::Result as Sql;

use crate::ipc::admin::queue::listing::{By, Entry, Standing, Stop, Sum, View};
use crate::ipc::admin::queue::{Command, Response};
use crate::mail::address::{Address, ReversePath};
use crate::mail::outcome::UNANSWERED;
use crate::policy::mask::Mask;
use crate::policy::rule::RecipientRule;
use crate::vault::audit::event::{Event, Field, Name, Outcome};
use crate::vault::audit::mask;
use crate::vault::store::Store;
use crate::vault::store::listing::{Seen, SeenRecipient};

/// Messages looked at in one transaction, and recipients after which it ends before that.
const SLICE: u32 = 500;
const SLICE_OF_RECIPIENTS: usize = 5000;
/// Recipients and routes of a message that a list names.
const NAMED: usize = 3;
/// How messages are told apart by age: at most so many seconds old.
const AGES: [u64; 5] = [60, 600, 3600, 86_400, 4 * 86_400];

/// Answers a command that only looks. Whoever wants to see addresses in clear is written down with what is asked for first.
pub fn look(store: &mut Store<'_>, command: &Command, actor: &str, now_us: u64) -> Sql<Vec<Response>> {
    if command.leaves_a_trace() {
        store.record(vec![told(command, actor)])?;
    }
    match command {
        Command::View { view, after } => page(store, view, *after, now_us),
        Command::Show { message, clear } => {
            let Some(seen) = store.listing.find(*message, now_us)? else { return Ok(Vec::new()) };
            let mask = seen_as(store, &seen, *clear);
            let entry = std::iter::once(Response::Entry(Box::new(entry(&seen, mask))));
            Ok(entry.chain(seen.recipients.iter().map(|one| Response::Stop(Box::new(stop(one, mask))))).collect())
        }
        Command::Tally { after } => tally(store, *after, now_us),
        _ => Ok(Vec::new()),
    }
}

/// The messages that fit, of some that wait behind a row.
fn page(store: &mut Store<'_>, view: &View, after: i64, now_us: u64) -> Sql<Vec<Response>> {
    let mut found = Vec::new();
    let next = walk(store, after, now_us, |store, seen| {
        let mask = seen_as(store, seen, view.clear);
        if fits(view, seen, mask) {
            found.push(Response::Entry(Box::new(entry(seen, mask))));
        }
    })?;
    found.push(Response::Next(next));
    Ok(found)
}

/// How many wait behind a row, of some messages.
fn tally(store: &mut Store<'_>, after: i64, now_us: u64) -> Sql<Vec<Response>> {
    let mut sums: BTreeMap<By, Sum> = BTreeMap::new();
    let next = walk(store, after, now_us, |_, seen| count(seen, now_us, &mut sums))?;
    let sums = sums.into_iter().map(|(by, sum)| Response::Tallied(by, sum));
    Ok(sums.chain([Response::Next(next)]).collect())
}

/// Shows messages that somebody waits for to `each`, until it is enough for one transaction. Gives where to go on.
fn walk(store: &mut Store<'_>, after: i64, now_us: u64, mut each: impl FnMut(&Store<'_>, &Seen)) -> Sql<Option<i64>> {
    let (mut at, mut recipients) = (after, 0);
    for _ in 0..SLICE {
        let Some(seen) = store.listing.next(at, now_us)? else { return Ok(None) };
        (at, recipients) = (seen.row, recipients + seen.recipients.len());
        if seen.recipients.iter().any(|one| one.standing.is_open()) {
            each(store, &seen);
        }
        if recipients > SLICE_OF_RECIPIENTS {
            break;
        }
    }
    Ok(Some(at))
}

fn fits(view: &View, seen: &Seen, mask: Mask) -> bool {
    let own = |one: &SeenRecipient| {
        one.standing.is_open()
            && view.standing.is_none_or(|standing| standing == one.standing)
            && view.recipient.as_ref().is_none_or(|rule| matches(rule, &one.recipient, mask))
    };
    view.credential.as_ref().is_none_or(|id| *id == seen.principal) && seen.recipients.iter().any(own)
}

/// Compares no more of an address than may be seen of it: else whoever may not see it could ask for one after the other.
fn matches(rule: &RecipientRule, address: &Address, mask: Mask) -> bool {
    match (mask, rule) {
        (Mask::None, rule) => rule.matches(address),
        (Mask::LocalPart, RecipientRule::Address(own)) => own.domain() == address.domain(),
        (Mask::LocalPart, rule) => rule.matches(address),
        (Mask::Full, rule) => *rule == RecipientRule::Any,
    }
}

fn count(seen: &Seen, now_us: u64, sums: &mut BTreeMap<By, Sum>) {
    let age = now_us.saturating_sub(seen.accepted_us) / 1_000_000;
    let own = [By::All, By::Credential(seen.principal.clone()), By::Age(AGES.into_iter().find(|limit| age <= *limit))];
    let mut counted: BTreeMap<By, u64> = BTreeMap::new();
    for one in seen.recipients.iter().filter(|one| one.standing.is_open()) {
        for by in own.iter().cloned().chain([By::Standing(one.standing), By::Route(one.lane.clone())]) {
            *counted.entry(by).or_default() += 1;
        }
    }
    for (by, recipients) in counted {
        let sum = Sum { messages: 1, recipients, bytes: seen.bytes, oldest_us: Some(seen.accepted_us) };
        sums.entry(by).or_default().add(sum);
    }
}

/// What may be seen of a message, by whoever asks.
fn seen_as(store: &Store<'_>, seen: &Seen, clear: bool) -> Mask {
    if clear { Mask::None } else { store.ledger.masks.of_mail(&seen.principal, Some(seen.message)) }
}

fn entry(seen: &Seen, mask: Mask) -> Entry {
    let mut standings: BTreeMap<Standing, u64> = BTreeMap::new();
    for one in &seen.recipients {
        *standings.entry(one.standing).or_default() += 1;
    }
    // Of a message that is done nobody is open, and all are meant.
    let is_done = !seen.recipients.iter().any(|one| one.standing.is_open());
    let open = || seen.recipients.iter().filter(|one| is_done || one.standing.is_open());
    let named: BTreeSet<String> = open().map(|one| shown(&one.recipient, mask)).collect();
    let routes: BTreeSet<&String> = open().map(|one| &one.lane).collect();
    let waits =
        |one: &&SeenRecipient| matches!(one.standing, Standing::Ready | Standing::Deferred | Standing::Scheduled);
    let answered = open().find(|one| one.code.is_some());
    Entry {
        message: seen.message,
        credential: seen.principal.clone(),
        sender: sender(&seen.sender, mask),
        bytes: seen.bytes,
        accepted_us: seen.accepted_us,
        expires_us: seen.expires_us,
        standings: standings.into_iter().collect(),
        order: seen.recipients.iter().filter_map(|one| one.order).max(),
        recipients: named.into_iter().take(NAMED).collect(),
        routes: routes.into_iter().take(NAMED).cloned().collect(),
        attempts: seen.recipients.iter().map(|one| one.attempts).max().unwrap_or_default(),
        next_us: open().filter(waits).map(|one| one.next_us).min(),
        code: answered.and_then(|one| one.code),
        enhanced: answered.and_then(|one| one.enhanced.clone()),
    }
}

fn stop(one: &SeenRecipient, mask: Mask) -> Stop {
    let waits = matches!(one.standing, Standing::Ready | Standing::Deferred | Standing::Scheduled);
    Stop {
        number: one.number,
        recipient: shown(&one.recipient, mask),
        standing: one.standing,
        order: one.order,
        route: one.lane.clone(),
        attempts: one.attempts,
        next_us: waits.then_some(one.next_us),
        code: one.code,
        enhanced: one.enhanced.clone(),
        said: one.said.as_deref().and_then(|said| said_as(said, mask)),
        host: one.host.clone().filter(|host| !host.is_empty()),
        doubt: one.doubt && one.standing != Standing::Delivered,
    }
}

/// What an upstream said may quote an address; that it said nothing may be seen.
fn said_as(said: &str, mask: Mask) -> Option<String> {
    match mask {
        Mask::None => (!said.is_empty()).then(|| said.to_owned()),
        _ => said.starts_with(UNANSWERED).then(|| UNANSWERED.to_owned()),
    }
}

fn shown(address: &Address, mask: Mask) -> String {
    match mask {
        Mask::None => address.to_string(),
        Mask::LocalPart => mask::mailbox(&address.to_string()),
        Mask::Full => mask::HIDDEN.to_owned(),
    }
}

fn sender(sender: &ReversePath, mask: Mask) -> String {
    sender.as_ref().map_or_else(|| "<>".to_owned(), |address| shown(address, mask))
}

/// The event of whoever asked for addresses in clear.
fn told(command: &Command, actor: &str) -> Event {
    let event = Event { actor: Some(actor.to_owned()), severity: 5, ..Event::new(Name::QueueView, Outcome::Info) };
    match command {
        Command::Show { message, .. } => Event { message: Some(*message), ..event },
        Command::View { view: View { credential: Some(id), .. }, .. } => event.with(Field::Account, id.clone()),
        _ => event,
    }
}
