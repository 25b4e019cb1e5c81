//! The telling: the mail, the events for the webhook, what the audit log says of it and that it was told, all in one transaction.

use std::rc::Rc;

use rusqlite::Result as Sql;
use serde_json::{Value, json};
use uuid::Uuid;

use super::letter::{self, FOOT};
use super::sign::Kind;
use super::watch::{Change, Turn};
use crate::config::slice::Alerts;
use crate::mail::id::MessageId;
use crate::vault::Vault;
use crate::vault::audit::event::{Event, Field, Name, Outcome};
use crate::vault::audit::ledger::now_us;
use crate::vault::feedback::dropped;
use crate::vault::own_mail::{self, OwnMail};
use crate::vault::store::Store;
use crate::vault::store::alerts::Told;
use crate::vault::store::outbox::Fresh;
use crate::vault::transaction::microseconds;

/// What was put on its way.
#[derive(Debug)]
pub struct Sent {
    pub mail: Option<MessageId>,
    pub webhook: Option<String>,
    /// Or why there is no mail, where somebody is told by one.
    pub by_mail: Result<(), String>,
}

/// Tells of changes, and writes down that they were told. Gives why it could be told by the webhook alone, if so.
///
/// Errors: nobody was told, and nothing was written.
pub async fn changes(
    vault: &Rc<Vault>,
    alerts: &Alerts,
    changes: &[Change],
    now_us: u64,
) -> Result<Result<(), String>, String> {
    let hostname = vault.authority.borrow().slice.hostname.clone();
    let (subject, text) = (letter::subject(&hostname, changes), letter::text(&hostname, changes, now_us));
    let bodies = changes.iter().map(|change| letter::event(&hostname, change, now_us)).collect();
    let events: Vec<Event> = changes.iter().filter_map(event).collect();
    for Change { turn, kind, subject, text, .. } in changes {
        let (alert, state) = (kind.word(), turn.word());
        match turn {
            Turn::Over => tracing::info!(alert, subject, "what operators were told of is over"),
            Turn::Begins | Turn::GoesOn => tracing::warn!(alert, subject, state, what = text, "operators are told"),
        }
    }
    let changes = changes.to_vec();
    send(vault, alerts, (subject, text), bodies, move |store| {
        store.record(events)?;
        changes.into_iter().try_for_each(|change| note(store, change, now_us))
    })
    .await
    .map(|sent| sent.by_mail)
}

/// Tells everybody that this is a test.
///
/// Errors: nobody was told.
pub async fn test(vault: &Rc<Vault>, alerts: &Alerts, actor: &str) -> Result<Sent, String> {
    let hostname = vault.authority.borrow().slice.hostname.clone();
    let subject = format!("[gatepost] {hostname}: a test");
    let text = format!("This is a test of the alerts of {hostname}: nothing is wrong.\n{FOOT}");
    let bodies = vec![letter::test_event(&hostname, now_us())];
    let event = Event { actor: Some(actor.to_owned()), severity: 5, ..Event::new(Name::AlertTest, Outcome::Success) };
    send(vault, alerts, (subject, text), bodies, move |store| store.record(vec![event])).await
}

fn note(store: &mut Store<'_>, change: Change, told_us: u64) -> Sql<()> {
    let Change { turn, kind, subject, text, since_us } = change;
    match turn {
        Turn::Over => store.alerts.remove(kind.word(), &subject),
        Turn::Begins | Turn::GoesOn => {
            store.alerts.set(&Told { kind: kind.word().to_owned(), subject, since_us, told_us, text })
        }
    }
}

/// What the audit log says of it: when it began and ended. Whose it is can be erased.
fn event(change: &Change) -> Option<Event> {
    let Change { turn, kind, subject, .. } = change;
    let (name, outcome) = match turn {
        Turn::Begins => (Name::AlertBegin, Outcome::Failure),
        Turn::Over => (Name::AlertEnd, Outcome::Success),
        Turn::GoesOn => return None,
    };
    let event = Event { reason: Some(kind.word().to_owned()), ..Event::new(name, outcome) };
    Some(match kind {
        Kind::Suspended | Kind::Limit => event.with(Field::Account, subject.as_str()),
        Kind::Upstream | Kind::UpstreamLogin => Event { upstream: Some(subject.clone()), ..event },
        _ if subject.is_empty() => event,
        _ => Event { data: Some(json!({ "subject": subject }).to_string()), ..event },
    })
}

/// One transaction: the mail, the events for the webhook, and what else is to be written.
async fn send(
    vault: &Rc<Vault>,
    alerts: &Alerts,
    (subject, text): (String, String),
    bodies: Vec<Value>,
    beside: impl FnOnce(&mut Store<'_>) -> Sql<()> + Send + 'static,
) -> Result<Sent, String> {
    let mail = mail(vault, alerts, &subject, &text, json!({ "alert": true }));
    let (mail, why) = match mail {
        Ok(mail) => (mail, None),
        Err(why) => (None, Some(why)),
    };
    if let Some(why) = &why {
        tracing::error!(why, "operators are not told by mail");
        if alerts.webhook.is_none() {
            return Err(why.clone());
        }
    }
    let message = mail.as_ref().map(|mail| mail.message);
    let fresh = fresh(vault, alerts, message.unwrap_or_else(MessageId::now), bodies);
    own_mail::send(vault, mail, move |store| {
        beside(store)?;
        for fresh in fresh {
            let pushed_out = store.outbox.put(&fresh)?;
            store.record(dropped::events(&pushed_out, "outbox-full"))?;
        }
        Ok(())
    })
    .await?;
    vault.feedback.fresh.notify_one();
    let by_mail = why.map_or(Ok(()), |why| Err(format!("by mail: {why}")));
    Ok(Sent { mail: message, webhook: alerts.webhook.clone(), by_mail })
}

/// None where nobody is told by mail.
///
/// Errors: it can't be sent.
pub fn mail(vault: &Vault, alerts: &Alerts, subject: &str, text: &str, data: Value) -> Result<Option<OwnMail>, String> {
    let Some(from) = alerts.from.as_ref().filter(|_| !alerts.mail.is_empty()) else { return Ok(None) };
    let compose = |message, hostname: &str| {
        let header = own_mail::header(hostname, message, &alerts.mail, from, subject);
        let header = header.ok_or("the time can't be told")?;
        Ok(format!("{header}\n{text}").replace('\n', "\r\n").into_bytes())
    };
    OwnMail::make(vault, from, &alerts.mail, data.to_string(), compose).map(Some)
}

fn fresh(vault: &Vault, alerts: &Alerts, message: MessageId, bodies: Vec<Value>) -> Vec<Fresh> {
    let authority = vault.authority.borrow();
    let Some(webhook) = alerts.webhook.as_ref() else { return Vec::new() };
    let known = authority.slice.webhooks.iter().find(|known| known.name == *webhook);
    let (now_us, lifetime) = (now_us(), known.map(|known| known.lifetime).unwrap_or_default());
    let one = |body: Value| Fresh {
        id: Uuid::now_v7(),
        webhook: webhook.clone(),
        message,
        kind: letter::TYPE,
        body: body.to_string(),
        instead: false,
        now_us,
        expires_us: now_us.saturating_add(microseconds(lifetime)),
    };
    bodies.into_iter().map(one).collect()
}
