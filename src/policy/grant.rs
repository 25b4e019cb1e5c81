//! What a credential that has logged in may do, as far as an edge asks.

use serde::{Deserialize, Serialize};

use super::Recipients;
use super::form::Form;
use super::refusal::Refusal;
use super::rewrite::{self, Rewrite};
use super::route::{self, BackedUp, Route};
use super::rule::{RecipientRule, SenderRule};
use super::scope::Scopes;
use super::simulation::{self, End};
use crate::mail::address::{Address, ReversePath};
use crate::mail::facts::Facts;
use crate::mail::removal::Removable;

/// The answer to a login: who it is, and the part of the policy that the edge needs to answer MAIL and RCPT at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// The credential's id.
    pub principal: String,
    pub senders: Vec<SenderRule>,
    pub recipients: Recipients,
    /// The routes that can apply to this credential, in order.
    pub routes: Vec<Route>,
    pub max_recipients: u32,
    pub max_size: Option<u64>,
    pub scopes: Scopes,
    pub rewrite: Vec<Rewrite>,
    pub remove_headers: Vec<Removable>,
    pub redirect: Option<Address>,
    /// What it sends never leaves.
    pub test: bool,
    /// With each message comes a token that a person wrote it.
    pub turnstile: bool,
    /// Its key stands in public pages.
    pub form: Option<Form>,
}

impl Grant {
    /// The same for a test: wherever it goes, there is a way, which ends here.
    #[must_use]
    pub fn testing(self) -> Self {
        let way = Route { credential: None, from: None, to: RecipientRule::Any, via: Vec::new(), requiretls: true };
        Self { test: true, routes: vec![way], ..self }
    }

    /// Its key stands in a page, where everybody can read it: it is a form's, or demands that a person proves to be one.
    pub const fn is_public(&self) -> bool {
        self.form.is_some() || self.turnstile
    }

    /// What this sender or author becomes; none when it stays as it is. What the credential may be itself stays.
    pub fn rewritten(&self, address: &Address) -> Option<&Address> {
        let own = self.senders.iter().any(|rule| rule.matches(address));
        if own { None } else { rewrite::find(&self.rewrite, address) }
    }

    /// The only address that it may send from, if there is no other: the one of its only rule, whose tags are as good as it.
    pub fn only_sender(&self) -> Option<&Address> {
        let mut all = self.senders.iter().map(|rule| match rule {
            SenderRule::Address(address) | SenderRule::Tagged(address) => Some(address),
            _ => None,
        });
        let first = all.next()??;
        all.all(|other| other == Some(first)).then_some(first)
    }

    /// Octets of one message, on a gate that takes so many.
    pub fn size(&self, gate: u64) -> u64 {
        self.max_size.map_or(gate, |own| own.min(gate))
    }

    /// May this credential be the envelope sender? RFC 6409 section 6.1. The null sender is refused: what it would bounce
    /// to nobody, nobody would learn of.
    pub fn sender(&self, sender: &ReversePath) -> Result<(), Refusal> {
        match sender {
            Some(address) if self.senders.iter().any(|rule| rule.matches(address)) => Ok(()),
            _ => Err(Refusal::SenderNotAllowed),
        }
    }

    /// May it send there, and is there a way?
    pub fn recipient(&self, sender: &ReversePath, recipient: &Address) -> Result<(), Refusal> {
        if !self.recipients.permit(recipient) {
            return Err(Refusal::RecipientNotAllowed);
        }
        match simulation::end(recipient) {
            _ if !self.test && simulation::is_reserved(recipient) => return Err(Refusal::TestAddress),
            None => return Err(Refusal::TestAddress),
            Some(End::Rejected) => return Err(Refusal::TestRejected),
            Some(_) => {}
        }
        self.way(sender, self.redirect.as_ref().unwrap_or(recipient))
    }

    /// Is there a way to that mailbox, whatever the rules say of it?
    pub fn way(&self, sender: &ReversePath, to: &Address) -> Result<(), Refusal> {
        route::find(&self.routes, &self.principal, sender, to).map(|_| ()).ok_or(Refusal::NoRoute)
    }

    /// Is that way one that keeps mail under TLS from server to server (RFC 8689)?
    pub fn protected(&self, sender: &ReversePath, recipient: &Address) -> Result<(), Refusal> {
        let to = self.redirect.as_ref().unwrap_or(recipient);
        let route = route::find(&self.routes, &self.principal, sender, to);
        if route.is_some_and(|route| route.requiretls) { Ok(()) } else { Err(Refusal::RequireTls) }
    }

    /// Is the way free, of those through which too much waits to go?
    pub fn is_free(&self, sender: &ReversePath, recipient: &Address, backed_up: &[BackedUp]) -> Result<(), Refusal> {
        if backed_up.is_empty() {
            return Ok(());
        }
        let to = self.redirect.as_ref().unwrap_or(recipient);
        let route = route::find(&self.routes, &self.principal, sender, to);
        let found = route.and_then(|route| backed_up.iter().find(|way| way.via == route.via));
        found.map_or(Ok(()), |way| Err(Refusal::BackedUp(way.seconds)))
    }

    /// Are all the authors in the header this credential's? At least one is needed: RFC 5322 section 3.6.2.
    pub fn authors(&self, facts: &Facts) -> Result<(), Refusal> {
        let own = |author: &Address| self.senders.iter().any(|rule| rule.matches(author));
        if !facts.authors.is_empty() && facts.authors.iter().all(own) { Ok(()) } else { Err(Refusal::AuthorNotAllowed) }
    }
}
