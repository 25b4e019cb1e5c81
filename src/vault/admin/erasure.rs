//! Commands that erase or show personal values of the audit log.

use super::{Desk, suppress};
use crate::ipc::admin::{Response, audit};
use crate::mail::address::Address;
use crate::vault::audit::erasure::disclosure::Disclosure;
use crate::vault::audit::erasure::{self, search};
use crate::vault::audit::event::{Event, Name, Outcome};
use crate::vault::audit::publish::Prune;
use crate::vault::audit::retention::Looked;

/// Everything up to now in the files, which is where values are looked for.
async fn settled(desk: &Desk) -> Result<u64, String> {
    let events = desk.vault.writer.size();
    let size = desk.publisher.publish().await?;
    if size < events {
        let left = events - size;
        return Err(format!(
            "the newest {left} events are not in the auditors' files yet: a reader holds the file; close it and try again"
        ));
    }
    Ok(size)
}

pub async fn redact(
    desk: &Desk,
    target: audit::Target,
    fields: Vec<String>,
    ground: String,
    actor: &str,
) -> Result<Response, String> {
    erasure::check_ground(&ground)?;
    if let Some(wrong) = fields.iter().find(|key| erasure::parse_key(key).is_none()) {
        return Err(format!("{wrong}: no personal field; there are {}", erasure::field_names()));
    }
    let target = match target {
        audit::Target::Events(first, last) if first > last => {
            return Err(format!("the range ends before it begins: {first} to {last}"));
        }
        audit::Target::Events(first, last) => search::Target::Events(first, last),
        audit::Target::Message(message) => search::Target::Message(message),
        audit::Target::Address(address) if !address.contains('@') => {
            return Err(format!("{address:?} is no mail address"));
        }
        audit::Target::Address(address) => search::Target::Address(address),
    };
    // What is on the list of suppressed addresses stays there, without the address itself.
    let named =
        if let search::Target::Address(address) = &target { Address::parse_international(address).ok() } else { None };
    let unlisted = match &named {
        Some(address) => suppress::erase(&desk.vault, address).await?,
        None => 0,
    };
    let size = settled(desk).await?;
    if let search::Target::Events(_, last) = target
        && last >= size
    {
        return Err(format!("there is no event {last}: the last one is {}", size.saturating_sub(1)));
    }
    let mut selection = desk.publisher.select(target, fields).await?;
    let messages = std::mem::take(&mut selection.messages);
    let events = selection.parts.iter().map(erasure::Part::count).sum();
    let actor = actor.to_owned();
    let (now, later) = messages.split_at(messages.len().min(erasure::MOST_MESSAGES));
    let now = now.to_vec();
    let ordered = desk.vault.writer.run(move |store| {
        let last = erasure::order(store, &selection.parts, &actor, &ground, None)?;
        if last.is_some() {
            erasure::forget_done(store, &now)?;
        }
        Ok(last)
    });
    let ordered = ordered.await.map_err(|error| error.to_string())?;
    let event = ordered.ok_or(match unlisted {
        0 => "nothing was found: there is nothing to erase",
        _ => "the log has nothing of it; on the list of suppressed addresses only a hash is left, by which nothing is sent there",
    })?;
    for messages in later.chunks(erasure::MOST_MESSAGES) {
        let messages = messages.to_vec();
        let forgotten = desk.vault.writer.run(move |store| erasure::forget_done(store, &messages));
        forgotten.await.map_err(|error| {
            format!("event {event} says it, but the spool still knows messages that are done ({error:?}): give the order again")
        })?;
    }
    desk.vault.onces.erase(&messages);
    // Published, and then worked off, by the same thread.
    let tried = desk.publisher.publish().await;
    let open = desk.vault.writer.run(move |store| store.erasures.is_open(event)).await;
    Ok(Response::Audit(audit::Response::Redacted { event, events, gone: tried.is_ok() && open == Ok(false) }))
}

pub async fn prune(desk: &Desk, before: Option<String>, dry: bool, actor: &str) -> Result<Response, String> {
    let month = |text: String| text.parse().map_err(|()| format!("{text:?} is no month: write it as 2026-01"));
    let before = before.map(month).transpose()?;
    let looked = desk.publisher.prune(Prune { before, actor: actor.to_owned(), dry }).await?;
    let all = looked.into_iter().map(|Looked { month, first, end, octets, obstacle }| audit::LookedAt {
        month: month.to_string(),
        first,
        end,
        octets,
        obstacle,
    });
    Ok(Response::Audit(audit::Response::Pruned(all.collect())))
}

pub async fn disclose(
    desk: &Desk,
    event: u64,
    field: String,
    ground: Option<String>,
    actor: &str,
) -> Result<Response, String> {
    ground.as_deref().map_or(Ok(()), erasure::check_ground)?;
    if erasure::parse_key(&field).is_none() {
        return Err(format!("{field}: no personal field; there are {}", erasure::field_names()));
    }
    settled(desk).await?;
    let Disclosure { event, key, salt, value, commitment } = desk.publisher.disclose(event, field).await?;
    let data = match ground {
        Some(ground) => serde_json::json!({ "event": event, "field": key, "ground": ground }),
        None => serde_json::json!({ "event": event, "field": key }),
    };
    let said = Event {
        actor: Some(actor.to_owned()),
        severity: 5,
        data: Some(data.to_string()),
        ..Event::new(Name::AuditDisclose, Outcome::Success)
    };
    // In the log before it is shown.
    let logged = desk.vault.writer.run(move |store| store.ledger.append(said)).await;
    let logged = logged.map_err(|error| format!("nothing is shown, because the log can't say so: {error}"))?;
    Ok(Response::Audit(audit::Response::Disclosed { event, key, salt, value, commitment, logged }))
}
