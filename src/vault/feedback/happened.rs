//! What becomes of a recipient, as a webhook is told of it: an event in the outbox, in the transaction of the outcome.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rusqlite::Result;
use serde::Serialize;
use uuid::Uuid;

use super::dropped;
use crate::config::slice::Webhook;
use crate::ipc::feedback::MAX_BODY;
use crate::ipc::happening::Kind;
use crate::ipc::label::Label;
use crate::mail::address::{Address, ReversePath};
use crate::mail::dsn::Notify;
use crate::mail::id::MessageId;
use crate::mail::notification::{Action, Fate};
use crate::mail::outcome::Said;
use crate::policy::feedback::Told;
use crate::policy::mask::Mask;
use crate::policy::reports::Reports;
use crate::vault::audit::ledger::now_us;
use crate::vault::audit::mask;
use crate::vault::store::Store;
use crate::vault::store::outbox::Fresh;
use crate::vault::store::spool::{Leased, Settled, State};

/// The version of the body. It changes when a receiver that knows this one would read something wrong.
pub const VERSION: u8 = 1;
/// How long an event is kept for a webhook that the configuration doesn't have: it may come back.
const STRANGE_US: u64 = 4 * 86_400_000_000;
/// The reason where no upstream has refused a recipient, but the gate itself.
pub const NOT_SENDABLE: &str = "not-sendable";

/// A message with a webhook.
#[derive(Clone, Debug)]
pub struct Subject {
    pub webhook: String,
    /// It is told of failures in the place of the sender.
    pub instead: bool,
    pub row: i64,
    pub message: MessageId,
    pub credential: String,
    pub sender: ReversePath,
    pub expires_us: u64,
    pub test: bool,
}

impl Subject {
    /// None where no webhook is to be told.
    pub fn of(leased: &Leased) -> Option<Self> {
        Some(Self {
            webhook: leased.webhook.clone()?,
            instead: leased.reports == Reports::Webhook,
            row: leased.row,
            message: leased.message,
            credential: leased.principal.clone(),
            sender: leased.sender.clone(),
            expires_us: leased.expires_us,
            test: leased.manner.test,
        })
    }
}

/// What became of one recipient.
#[derive(Clone, Debug)]
pub struct Happened {
    /// Of the recipient. None where it stands for a report.
    pub number: Option<u32>,
    pub told: Told,
    /// A word of a closed list, as events of the audit log have it.
    pub reason: String,
    pub recipient: Address,
    /// This one included. Neither is known where it stands for a report.
    pub attempts: Option<u32>,
    pub upstream: Option<String>,
    pub said: Said,
    /// When it is tried again.
    pub next_us: Option<u64>,
    /// An attempt, this one or one before it, may have delivered it.
    pub doubt: bool,
}

impl Happened {
    /// None for somebody who isn't on that lease, or of whom nothing is to be told (NOTIFY=NEVER): a copy that the sender need
    /// not know of is such a one.
    pub fn of(leased: &Leased, number: u32, settled: &Settled, upstream: &str, reason: &str) -> Option<Self> {
        let (_, addressee, attempts) = leased.recipients.iter().find(|(n, ..)| *n == number)?;
        if addressee.wish.notify == Some(Notify::never()) {
            return None;
        }
        let told = match settled.kind() {
            Kind::Sent => Told::Sent,
            Kind::Deferred => Told::Deferred,
            Kind::Bounced => Told::Bounced,
            _ => Told::Failed,
        };
        let (reason, next_us) = match settled.state {
            State::Delivered | State::Failed => (reason, None),
            State::Waiting(next_us) => (reason, Some(next_us)),
            State::Held(_) => ("held", None),
            State::Expired => ("lifetime", None),
        };
        Some(Self {
            number: Some(number),
            told,
            reason: reason.to_owned(),
            recipient: addressee.address.clone(),
            attempts: Some(attempts.saturating_add(u32::from(settled.tried))),
            upstream: Some(upstream.to_owned()),
            said: settled.said.clone(),
            next_us,
            doubt: settled.state != State::Delivered && (settled.unknown || leased.is_doubtful(number)),
        })
    }
}

impl From<Fate> for Happened {
    /// What a report would say.
    fn from(fate: Fate) -> Self {
        let (told, reason) = match fate.action {
            Action::Relayed => (Told::Sent, "accepted-upstream"),
            Action::Delayed => (Told::Deferred, "delayed"),
            Action::Failed => (Told::Bounced, "refused-upstream"),
            Action::Expired => (Told::Failed, "lifetime"),
            Action::Unknown => (Told::Failed, "unknown"),
        };
        let doubt = fate.doubt && told != Told::Sent;
        let Fate { recipient, code, enhanced, text, host, .. } = fate;
        let said = Said { code, enhanced, text, host, ..Said::default() };
        let reason = reason.to_owned();
        Self { number: None, told, reason, recipient, attempts: None, upstream: None, said, next_us: None, doubt }
    }
}

/// What would have been reported of recipients goes to a webhook. A failure that an event of the message's own tells it, or has
/// told, is not put again; nor what is none and that it wants to be told of. Gives the number of events.
pub fn report(store: &mut Store<'_>, subject: &Subject, fates: Vec<(u32, Fate)>) -> Result<usize> {
    let is_own = store.outbox.of(subject.row)?.is_some_and(|own| own == subject.webhook);
    let known = store.outbox.webhooks.get(&subject.webhook).filter(|_| is_own);
    let known = known.map(|webhook| webhook.events.clone()).unwrap_or_default();
    let mut told = 0;
    for (number, fate) in fates {
        let is_refused = fate.action == Action::Failed;
        let mut happened = Happened::from(fate);
        if is_refused && store.outbox.is_unsendable(subject.row, number)? {
            (happened.told, happened.reason) = (Told::Failed, NOT_SENDABLE.to_owned());
        }
        let is_known = match happened.told.is_failure() {
            true => is_own && store.outbox.stands_for(subject.row, number)?,
            false => known.contains(&happened.told),
        };
        told += usize::from(!is_known && put(store, subject, &happened)?);
    }
    Ok(told)
}

/// Keeps the event, when the webhook is to be told. Whether it is.
pub fn put(store: &mut Store<'_>, subject: &Subject, happened: &Happened) -> Result<bool> {
    let instead = subject.instead && happened.told.is_failure();
    let webhook = store.outbox.webhooks.get(&subject.webhook).cloned();
    let webhook = webhook.as_ref();
    if !instead && !webhook.is_some_and(|webhook| webhook.events.contains(&happened.told)) {
        return Ok(false);
    }
    let label = store.outbox.label(subject.row)?;
    let lifetime =
        webhook.map_or(STRANGE_US, |webhook| u64::try_from(webhook.lifetime.as_micros()).unwrap_or(u64::MAX));
    let now_us = now_us();
    let fresh = Fresh {
        id: Uuid::now_v7(),
        webhook: subject.webhook.clone(),
        message: subject.message,
        kind: happened.told.kind(),
        body: body(subject, happened, &label, webhook, now_us),
        instead,
        now_us,
        expires_us: now_us.saturating_add(lifetime),
    };
    // If a report is owed of it, the way of that may lead to the same webhook.
    if let Some(number) = happened.number.filter(|_| !instead && happened.told.is_failure()) {
        store.outbox.mark(subject.row, number, fresh.id)?;
    }
    let pushed_out = store.outbox.put(&fresh)?;
    store.outbox.fresh.notify_one();
    store.record(dropped::events(&pushed_out, "outbox-full")).map(|()| true)
}

#[derive(Serialize)]
struct Body<'a> {
    r#type: &'static str,
    version: u8,
    timestamp: String,
    /// The same, where receivers of another service look for it.
    created_at: String,
    data: Data<'a>,
}

#[derive(Serialize)]
struct Data<'a> {
    email_id: String,
    /// When it was accepted, and until when it is tried.
    created_at: String,
    expires_at: String,
    credential: &'a str,
    /// None: it is from nobody.
    from: Option<String>,
    /// Of several recipients each has events of its own.
    to: [String; 1],
    upstream: Option<&'a str>,
    reason: &'a str,
    attempts: Option<u32>,
    next_attempt_at: Option<String>,
    reply: Option<Answer<'a>>,
    may_be_delivered: bool,
    /// It is of a test: nothing was sent.
    test: bool,
    /// What its client said of it; a tag without a value has an empty one.
    message_id: Option<String>,
    tags: BTreeMap<&'a str, &'a str>,
    metadata: BTreeMap<&'a str, &'a str>,
}

#[derive(Serialize)]
struct Answer<'a> {
    host: Option<&'a str>,
    code: Option<u16>,
    enhanced: Option<&'a str>,
    text: Option<&'a str>,
}

/// The body, which is the same at each attempt.
fn body(subject: &Subject, happened: &Happened, label: &Label, webhook: Option<&Webhook>, now_us: u64) -> String {
    let mask = webhook.map_or(Mask::default(), |webhook| webhook.mask);
    let Happened { number: _, told, reason, recipient, attempts, upstream, said, next_us, doubt } = happened;
    let accepted_us = subject.message.time_ms().map_or(now_us, |ms| ms.saturating_mul(1000));
    // It quotes addresses.
    let text = Some(said.text.as_str()).filter(|text| mask == Mask::None && !text.is_empty());
    let reply = Answer {
        host: Some(said.host.as_str()).filter(|host| !host.is_empty()),
        code: said.code,
        enhanced: said.enhanced.as_deref(),
        text,
    };
    let is_said = said.code.is_some() || !said.text.is_empty();
    let body = Body {
        r#type: told.kind(),
        version: VERSION,
        timestamp: time(now_us),
        created_at: time(now_us),
        data: Data {
            email_id: subject.message.to_string(),
            created_at: time(accepted_us),
            expires_at: time(subject.expires_us),
            credential: &subject.credential,
            from: subject.sender.as_ref().map(|sender| shown(sender, mask)),
            to: [shown(recipient, mask)],
            upstream: upstream.as_deref(),
            reason,
            attempts: *attempts,
            next_attempt_at: next_us.map(time),
            reply: is_said.then_some(reply),
            may_be_delivered: *doubt,
            test: subject.test,
            message_id: label.message_id.as_ref().map(|id| format!("<{id}>")),
            tags: label.tags.iter().map(|tag| (&*tag.name, tag.value.as_deref().unwrap_or_default())).collect(),
            metadata: label.metadata.iter().map(|(name, value)| (&**name, &**value)).collect(),
        },
    };
    let text = serde_json::to_string(&body).unwrap_or_default();
    // Words of control characters grow sixfold; those of addresses have bounds.
    if text.len() <= MAX_BODY {
        return text;
    }
    serde_json::to_string(&Body { data: Data { reply: None, ..body.data }, ..body }).unwrap_or_default()
}

fn shown(address: &Address, mask: Mask) -> String {
    match mask {
        Mask::None => address.to_string(),
        Mask::LocalPart => mask::mailbox(&address.to_string()),
        Mask::Full => mask::HIDDEN.to_owned(),
    }
}

/// A moment as bodies have it.
pub fn time(us: u64) -> String {
    let moment = i64::try_from(us).ok().and_then(|us| Timestamp::from_microsecond(us).ok()).unwrap_or_default();
    format!("{moment:.6}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipc::label::Tag;

    #[test]
    fn a_body_fits_into_its_frame_whatever_an_upstream_says() {
        let subject = Subject {
            webhook: "app".into(),
            instead: false,
            row: 1,
            message: MessageId::now(),
            credential: "shop".into(),
            sender: None,
            expires_us: 1,
            test: false,
        };
        let tag = |n: usize| Tag { name: format!("{n}{}", "x".repeat(255)), value: Some("y".repeat(256)) };
        let most = Label {
            tags: (0..10).map(tag).collect(),
            metadata: vec![("a".into(), "\"".repeat(2044))],
            message_id: Some(format!("{}@x", "m".repeat(250))),
            ..Label::default()
        };
        assert!(most.is_sound());
        for (text, is_kept, label) in [
            ("\u{1f4a3}".repeat(512), true, Label::default()),
            ("\u{1f4a3}".repeat(512), true, most.clone()),
            ("\u{1}".repeat(MAX_BODY), false, most),
        ] {
            let said = Said { code: Some(550), text, host: "mx.example.org".into(), ..Said::default() };
            let happened = Happened {
                number: None,
                told: Told::Bounced,
                reason: "refused-upstream".into(),
                recipient: Address::parse("a@example.org").unwrap(),
                attempts: Some(1),
                upstream: None,
                said,
                next_us: None,
                doubt: false,
            };
            let (events, lifetime) = (Vec::new(), std::time::Duration::ZERO);
            let webhook = Webhook { name: "app".into(), events, mask: Mask::None, lifetime };
            let text = body(&subject, &happened, &label, Some(&webhook), 1_700_000_000_000_000);
            let read: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert!(text.len() <= MAX_BODY && read["data"]["reply"].is_object() == is_kept, "{}", text.len());
            assert_eq!(read["data"]["tags"].as_object().unwrap().len(), label.tags.len());
            assert_eq!((&read["data"]["from"], &read["type"]), (&serde_json::Value::Null, &"email.bounced".into()));
        }
    }
}
