//! What a credential may do. The edge asks it to answer at once, the vault to decide with authority: the same code.
//!
//! Nothing here knows how often (that is a limit, the vault's alone) or where to (that is a route).

pub mod limits;
pub mod principal;
pub mod refusal;
pub mod route;
pub mod rule;

use serde::{Deserialize, Serialize};

use crate::mail::address::{Address, ReversePath};
use crate::mail::facts::Facts;
pub use limits::Limits;
use refusal::Refusal;
use route::Route;
use rule::{RecipientRule, SenderRule};

/// The most octets the rules of one credential may take when encoded, so that a grant always fits into one frame.
pub const MAX_ENCODED: usize = 12 * 1024;
/// Recipients of one message unless the credential says otherwise: the least that RFC 5321 section 4.5.3.1.8 demands.
pub const DEFAULT_RECIPIENTS: u32 = 100;

/// All that is decided about a credential. An empty sender list sends nothing. In the vault it is kept as JSON: what a policy
/// of an older Gatepost doesn't say has its default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    pub senders: Vec<SenderRule>,
    pub recipients: Recipients,
    pub limits: Limits,
    pub delivery: Delivery,
    /// Networks whose members are this credential on listeners with `identify_by_network`.
    pub identified_by: Vec<ipnet::IpNet>,
    /// Recipients of one message; `DEFAULT_RECIPIENTS` when absent.
    pub max_recipients: Option<u32>,
}

/// Deny wins over allow. An empty allow list allows everybody who is not denied.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Recipients {
    pub allow: Vec<RecipientRule>,
    pub deny: Vec<RecipientRule>,
}

/// How a message leaves. Only the spool exists so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Delivery {
    /// Kept on disk, then delivered, with retry.
    #[default]
    Spool,
}

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
}

impl Grant {
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
        let Recipients { allow, deny } = &self.recipients;
        let allowed = allow.is_empty() || allow.iter().any(|rule| rule.matches(recipient));
        if !allowed || deny.iter().any(|rule| rule.matches(recipient)) {
            return Err(Refusal::RecipientNotAllowed);
        }
        match route::find(&self.routes, &self.principal, sender, recipient) {
            Some(_) => Ok(()),
            None => Err(Refusal::NoRoute),
        }
    }

    /// Are all the authors in the header this credential's? At least one is needed: RFC 5322 section 3.6.2.
    pub fn authors(&self, facts: &Facts) -> Result<(), Refusal> {
        let own = |author: &Address| self.senders.iter().any(|rule| rule.matches(author));
        if !facts.authors.is_empty() && facts.authors.iter().all(own) { Ok(()) } else { Err(Refusal::AuthorNotAllowed) }
    }
}

impl Policy {
    /// Recipients of one message: never more than its own limits could ever let through.
    pub fn most_recipients(&self) -> u32 {
        self.max_recipients.unwrap_or(DEFAULT_RECIPIENTS).min(self.limits.most_recipients())
    }

    /// The slice of it that goes to an edge.
    pub fn grant(&self, principal: &str, routes: &[Route]) -> Grant {
        Grant {
            principal: principal.to_owned(),
            senders: self.senders.clone(),
            recipients: self.recipients.clone(),
            routes: routes.iter().filter(|route| route.can_apply_to(principal)).cloned().collect(),
            max_recipients: self.most_recipients(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Address {
        Address::parse(text).unwrap()
    }

    fn grant(senders: &[&str], deny: &[&str]) -> Grant {
        let policy = Policy {
            senders: senders.iter().map(|rule| rule.parse().unwrap()).collect(),
            recipients: Recipients { allow: vec![], deny: deny.iter().map(|rule| rule.parse().unwrap()).collect() },
            ..Policy::default()
        };
        policy.grant("billing", &[Route { credential: None, from: None, to: "*".parse().unwrap(), via: vec![0] }])
    }

    #[test]
    fn an_empty_sender_list_sends_nothing() {
        assert_eq!(grant(&[], &[]).sender(&Some(address("a@example.net"))), Err(Refusal::SenderNotAllowed));
    }

    #[test]
    fn the_null_sender_is_refused_even_for_a_credential_that_may_be_anybody() {
        assert_eq!(grant(&["*"], &[]).sender(&None), Err(Refusal::SenderNotAllowed));
    }

    #[test]
    fn deny_wins_over_allow() {
        let mut grant = grant(&["*"], &["@competitor.example"]);
        grant.recipients.allow = vec!["*".parse().unwrap()];
        let from = Some(address("a@example.net"));
        assert_eq!(grant.recipient(&from, &address("x@competitor.example")), Err(Refusal::RecipientNotAllowed));
        assert_eq!(grant.recipient(&from, &address("x@friend.example")), Ok(()));
    }

    #[test]
    fn every_author_must_be_the_credentials_own_and_there_must_be_one() {
        let grant = grant(&["@example.net"], &[]);
        let facts =
            |authors: &[&str]| Facts { authors: authors.iter().map(|a| address(a)).collect(), ..Facts::default() };
        assert_eq!(grant.authors(&facts(&["a@example.net", "b@example.net"])), Ok(()));
        assert_eq!(grant.authors(&facts(&["a@example.net", "b@evil.example"])), Err(Refusal::AuthorNotAllowed));
        assert_eq!(grant.authors(&facts(&[])), Err(Refusal::AuthorNotAllowed));
    }
}
