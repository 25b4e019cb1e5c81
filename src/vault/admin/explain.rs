//! What would become of a message now: the rules, and what is in the way at this moment. Nothing is taken and nothing written down.

use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;

use uuid::Uuid;

use super::submit::nowhere;
use super::unknown;
use crate::config::slice::{Clients, Counter};
use crate::ipc::admin::Response;
use crate::ipc::admin::explain::{MOST, Question, Stage, Step};
use crate::ipc::channel::Sender as Channel;
use crate::mail::envelope::Manner;
use crate::vault::Vault;
use crate::vault::admission::admit;
use crate::vault::audit::ledger::now_us;
use crate::vault::authority::Authority;
use crate::vault::delivery::congestion;
use crate::vault::explain::by_rules;
use crate::vault::limits::denial::Denied;
use crate::vault::login::credentials::Way;
use crate::vault::sender::Sender;

/// Errors: there is no such credential, in words.
pub async fn perform(vault: &Vault, question: Question, parts: &Channel<Response>) -> Result<Response, String> {
    if question.recipients.is_empty() || question.recipients.len() > MOST {
        return Err(format!("from one to {MOST} recipients"));
    }
    let id = question.credential.clone();
    let (sender, mut steps) = {
        let authority = vault.authority.borrow();
        let credential = authority.credentials.get(&id).cloned();
        let credential = credential.ok_or_else(|| unknown::in_force(&id, &authority))?;
        let grant = authority.grant(&credential);
        let steps = by_rules(&credential, &grant, &authority.slice.upstreams, &question, now_us());
        // Where its address is known it counts by that, too.
        let clients = if question.address.is_some() { Clients::Known } else { Clients::Unnamed };
        let sender = Sender {
            session: Uuid::nil(),
            address: question.address.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            listener: Rc::new(Counter { clients, ..nowhere() }),
            credential,
            passed: None,
            actor: None,
        };
        (sender, steps)
    };
    if steps.iter().all(|step| step.refused.is_none()) {
        steps.push(match moment(vault, &sender, &question) {
            Ok(()) => Step::taken(Stage::Moment, "one more message", "limits, load and room have a place for it"),
            Err(denied) => Step::denied(denied),
        });
    }
    let (recipients, passed_us) = (question.recipients, vault.authority.borrow().clock.passed_us());
    let found = vault.writer.look(move |store| {
        let one =
            |to| Ok(store.suppressions.covers(&id, &to, passed_us)?.map(|reason| Step::suppressed(&to, reason.word())));
        recipients.into_iter().map(one).collect::<rusqlite::Result<Vec<_>>>()
    });
    steps.extend(found.await.map_err(|error| format!("the store can't be read: {error}"))?.into_iter().flatten());
    let demanded = sender.credential.policy.turnstile.as_ref();
    let is_asked = vault.authority.borrow().slice.turnstile;
    steps.extend(demanded.map(|demanded| Step::proof(demanded, is_asked)));
    for step in steps {
        parts.send(Response::Explained(step)).await.map_err(|_| "whoever asked is gone")?;
    }
    Ok(Response::Done)
}

/// A place is taken as at MAIL, asked whether the rest fits as at the dot, and given back before anybody else is served.
fn moment(vault: &Vault, from: &Sender, question: &Question) -> Result<(), Denied> {
    let (way, manner) = (Way { address: None, scopes: None }, Manner::default());
    let sender = {
        let authority = vault.authority.borrow();
        let grant = authority.grant(&from.credential);
        Some(grant.rewritten(&question.sender).unwrap_or(&question.sender).clone())
    };
    let place = admit(vault, from, way, &sender, &manner, true, None)?;
    let fits = {
        let mut authority = vault.authority.borrow_mut();
        let Authority { limits, slice, clock, .. } = &mut *authority;
        let origin = Authority::origin(slice, &from.credential, &from.listener, from.address);
        limits.fits(&origin, &question.recipients, clock.now())
    };
    vault.authority.borrow_mut().release(place);
    fits.and_then(|()| congestion::check(vault, &from.credential, &sender, &question.recipients))
}
