//! What an event does: to the recipient's state, the audit log, the list of suppressed addresses, the webhook of its credential, and to
//! whether its sender is owed a report. All of it is of one transaction, in which the event is remembered, too.

use rusqlite::Result;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::event::{Event as Told, Kind};
use crate::config::slice::CountBounces;
use crate::ipc::happening;
use crate::mail::address::Address;
use crate::mail::outcome::{MAX_TEXT, Said};
use crate::policy::feedback;
use crate::vault::audit::event::{Event, Field, Name, Outcome};
use crate::vault::audit::ledger::now_us;
use crate::vault::delivery::outcome;
use crate::vault::delivery::settlement::{owes, tell};
use crate::vault::delivery::suppression;
use crate::vault::feedback::happened::{self, Happened, Subject};
use crate::vault::store::Store;
use crate::vault::store::feed::Entry;
use crate::vault::store::hooks::{Early, Kept, Sent};
use crate::vault::store::spool::{Leased, Settled, State, Verdict};

/// Where an event came from, and the rule for what it says of mailboxes.
#[derive(Clone, Debug)]
pub struct From {
    pub hook: String,
    pub upstream: String,
    pub rule: Option<CountBounces>,
}

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Took {
    /// It changed something: of so many recipients whom it names the message has none.
    Applied { strangers: usize },
    /// It was taken before, or said nothing new.
    Repeated,
    /// It is kept until what it is about is written down.
    Early,
    /// There is no room for it.
    Full,
    /// Nothing is known of its message, and nothing can come.
    Unknown,
}

/// Takes an event, once. Gives also one that came early and had to make room for it.
pub fn take(store: &mut Store<'_>, from: &From, told: &Told) -> Result<(Took, Option<Early>)> {
    let now_us = now_us();
    if store.hooks.knows(&from.hook, &told.call)? {
        return Ok((Took::Repeated, None));
    }
    let mut gone = None;
    let sent = store.hooks.sent(&from.upstream, &told.reference)?;
    let mut is_early = sent.is_empty() && store.hooks.may_come(&from.upstream)?;
    for one in &sent {
        // Who went with the same request may not be written down yet.
        is_early |= store.hooks.is_leased(one.row)?;
    }
    let took = match is_early {
        true => {
            let text = serde_json::to_string(told).unwrap_or_default();
            match store.hooks.keep((&from.hook, &from.upstream), &told.reference, &text, now_us)? {
                Kept::Kept => Took::Early,
                Kept::Instead(oldest) => {
                    gone = Some(oldest);
                    Took::Early
                }
                // It comes again, and isn't remembered.
                Kept::Full => return Ok((Took::Full, None)),
            }
        }
        false if sent.is_empty() => return Ok((Took::Unknown, None)),
        false => apply(store, from, told, &sent)?,
    };
    store.hooks.learn(&from.hook, &told.call, now_us)?;
    Ok((took, gone))
}

/// Does what an event says, of those who went out under its name.
pub fn apply(store: &mut Store<'_>, from: &From, told: &Told, sent: &[Sent]) -> Result<Took> {
    let all: Vec<&Address> = sent.iter().map(|one| &one.addressee.address).collect();
    let (about, is_certain) = told.about(&all);
    if about.is_empty() {
        return Ok(Took::Unknown);
    }
    let mut is_new = false;
    for one in sent.iter().filter(|one| about.contains(&&one.addressee.address)) {
        if one.told & told.kind.bit() == 0 {
            is_new = true;
            store.hooks.tell((&from.upstream, &told.reference), one, told.kind.bit())?;
            of_one(store, from, told, one, if is_certain { 1 } else { sent.len() })?;
        }
    }
    let strangers = told.strangers(&all);
    Ok(if is_new || strangers > 0 { Took::Applied { strangers } } else { Took::Repeated })
}

/// Of one recipient, who is one of so many whom it may be about.
fn of_one(store: &mut Store<'_>, from: &From, told: &Told, sent: &Sent, among: usize) -> Result<()> {
    let mut leased = store.spool.leased(u64::MAX, sent.row, "", Uuid::nil())?;
    leased.recipients = vec![(sent.number, sent.addressee.clone(), sent.attempts)];
    // What is there already, an answer of somebody's machine doesn't take back.
    let is_late = told.is_soft() && sent.told & Kind::Delivered.bit() != 0;
    let is_doubtful = among > 1 || told.is_soft();
    leased.doubtful = if sent.doubt || is_doubtful { vec![sent.number] } else { Vec::new() };
    let (is_failure, mut said) = (told.kind.is_failure() && !is_late, told.said());
    // Of several it may be any.
    said.of_recipient = among == 1;
    if among > 1 {
        let unsure = format!(" (the provider does not say of which of {among} recipients)");
        said.text.truncate(said.text.floor_char_boundary(MAX_TEXT.saturating_sub(unsure.len())));
        said.text.push_str(&unsure);
    }
    let state = if is_failure { State::Failed } else { State::Delivered };
    let owed = is_failure && owes(&leased, sent.number, state, &said);
    let verdict = if is_failure { Verdict::Refused } else { Verdict::Other };
    let settled = Settled { state, said: said.clone(), owed, tried: false, unknown: false, verdict };
    let is_ended = match is_failure {
        true => store.hooks.fail(sent, &said, owed, is_doubtful, now_us())?,
        // Of several nobody knows who has it.
        false if is_late || among > 1 => false,
        false => {
            store.hooks.note(sent, &said)?;
            false
        }
    };
    store.record(vec![event(from, told, &leased, sent, &said, among)])?;
    if is_ended {
        tell(&leased, &from.upstream, &settled, Name::FeedbackReceived);
    }
    let is_news = told.kind == Kind::Delayed && sent.told & Kind::ends() == 0;
    if let Some(kind) = happening(told.kind, is_ended, is_news, is_late || among > 1) {
        store.feed.put(sent.row, sent.number, kind, &Entry { next_us: None, said: Some(&said) })?;
    }
    if is_ended || is_news {
        tell_webhook(store, from, told, &leased, sent, &settled)?;
    }
    if let Some(rule) = from.rule.as_ref().filter(|_| sent.is_named && among == 1 && !is_late) {
        count(store, rule, told.kind, &leased, sent, settled)?;
    }
    Ok(())
}

/// What its own client is told of it; none where it is nothing new, or may be about somebody else.
fn happening(kind: Kind, is_ended: bool, is_news: bool, is_unsure: bool) -> Option<happening::Kind> {
    match kind {
        _ if is_ended => Some(happening::Kind::Bounced),
        Kind::Delayed if is_news => Some(happening::Kind::Deferred),
        Kind::Delivered if !is_unsure => Some(happening::Kind::Delivered),
        Kind::Complained if !is_unsure => Some(happening::Kind::Complained),
        _ => None,
    }
}

/// The event of the log.
fn event(from: &From, told: &Told, leased: &Leased, sent: &Sent, said: &Said, among: usize) -> Event {
    let outcome = match told.kind {
        Kind::Delivered => Outcome::Success,
        Kind::Delayed => Outcome::Deferred,
        Kind::Complained => Outcome::Info,
        _ => Outcome::Failure,
    };
    let name = if told.kind.is_failure() { Name::DeliverBounce } else { Name::DeliverSuccess };
    let base = outcome::event(name, leased, &from.upstream, &sent.addressee.address, sent.attempts, said);
    let mut data: Map<String, Value> =
        base.data.as_deref().and_then(|it| serde_json::from_str(it).ok()).unwrap_or_default();
    data.insert("hook".to_owned(), from.hook.clone().into());
    data.insert("call".to_owned(), told.call.clone().into());
    if among > 1 {
        data.insert("one_of".to_owned(), among.into());
    }
    Event {
        name: Name::FeedbackReceived,
        outcome,
        severity: Event::new(Name::FeedbackReceived, outcome).severity,
        reason: Some(told.kind.word().to_owned()),
        delivery: None,
        data: Some(Value::Object(data).to_string()),
        ..base
    }
}

/// The webhook that the credential has.
fn tell_webhook(
    store: &mut Store<'_>,
    from: &From,
    told: &Told,
    leased: &Leased,
    sent: &Sent,
    settled: &Settled,
) -> Result<()> {
    let happened = Happened::of(leased, sent.number, settled, &from.upstream, told.kind.word());
    let (Some(subject), Some(happened)) = (Subject::of(leased), happened) else { return Ok(()) };
    let happened = match told.kind {
        Kind::Delayed => Happened { told: feedback::Told::Deferred, ..happened },
        _ => happened,
    };
    happened::put(store, &subject, &happened).map(drop)
}

/// What it says of the mailbox.
fn count(
    store: &mut Store<'_>,
    rule: &CountBounces,
    kind: Kind,
    leased: &Leased,
    sent: &Sent,
    settled: Settled,
) -> Result<()> {
    let whose = (leased.principal.as_str(), leased.message);
    match kind {
        Kind::Delivered | Kind::Bounced => {
            let signs = suppression::signs(leased, &[(sent.number, settled)], None);
            suppression::count(store, rule, whose, &signs)
        }
        Kind::Complained => suppression::complained(store, rule, leased, &sent.addressee.address),
        _ => Ok(()),
    }
}

/// An event of which nothing is known here: of a message that is forgotten, or was not sent from here.
pub fn unknown(from: &From, told: &Told) -> Event {
    let data = serde_json::json!({ "hook": from.hook, "call": told.call, "event": told.kind.word() });
    let event = Event {
        upstream: Some(from.upstream.clone()),
        reason: Some("unattributable".to_owned()),
        rcpt_count: u64::try_from(told.named.len()).ok(),
        data: Some(data.to_string()),
        ..Event::new(Name::FeedbackReceived, Outcome::Info)
    };
    // They may be strangers of another application's.
    match told.named.first() {
        Some(first) => event.with(Field::RcptDomain, first.domain()),
        None => event,
    }
}
