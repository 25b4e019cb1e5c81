//! What a credential may do. The edge asks it to answer at once, the vault to decide with authority: the same code.
//!
//! Nothing here knows how often (that is a limit, the vault's alone) or where to (that is a route).

pub mod certificate;
mod delivery;
pub mod derived;
pub mod destination;
pub mod feedback;
pub mod form;
pub mod grant;
pub mod limits;
pub mod mask;
pub mod mechanism;
pub mod phc;
pub mod presence;
pub mod principal;
pub mod refusal;
pub mod reports;
pub mod rewrite;
pub mod route;
pub mod rule;
pub mod scope;
pub mod simulation;
pub mod spelling;
pub mod suppression;
pub mod thresholds;
pub mod turnstile;

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::mail::address::Address;
use crate::mail::removal::Removable;
pub use delivery::{Delivery, OnUnknown};
use form::Form;
pub use grant::Grant;
pub use limits::Limits;
use mask::Mask;
use reports::Reports;
use rewrite::Rewrite;
use route::Route;
use rule::{RecipientRule, SenderRule};
use scope::Scopes;
use turnstile::Turnstile;

/// The most octets the rules of one credential may take when encoded, so that a grant always fits into one frame.
pub const MAX_ENCODED: usize = 12 * 1024;
/// Recipients of one message unless the credential says otherwise: the least that RFC 5321 section 4.5.3.1.8 demands.
pub const DEFAULT_RECIPIENTS: u32 = 100;
/// The most that a credential may be given: few upstreams take more than a thousand, and each is a row, an event and a limit.
pub const MOST_RECIPIENTS: u32 = 10_000;
/// The least that a credential's messages may be bounded to: less is a typing error.
pub const LEAST_SIZE: u64 = 1024;
/// The least and the most seconds that messages of a credential may be tried.
pub const LEAST_TTL: u64 = 60;
pub const MOST_TTL: u64 = 30 * 86_400;
/// Octets that the edge may add to a message of the announced size: Received, Date and Message-ID, with long names in them.
pub const FIX_UPS: u64 = 4096;
/// Networks in one list.
pub const MOST_NETWORKS: usize = 64;
/// Characters of a description.
pub const MOST_DESCRIPTION: usize = 200;

/// All that is decided about a credential. An empty sender list sends nothing. In the vault it is kept as JSON: what a policy
/// of an older Gatepost doesn't say has its default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    pub senders: Vec<SenderRule>,
    pub recipients: Recipients,
    pub limits: Limits,
    /// As its listener says when absent.
    pub delivery: Option<Delivery>,
    /// The provider whose keys are its passwords, by the name of its upstream: what it sends goes there with the key of its login.
    pub pass_through: Option<String>,
    /// Networks whose members are this credential on listeners with `identify_by_network`.
    pub identified_by: Vec<IpNet>,
    /// Recipients of one message; `DEFAULT_RECIPIENTS` when absent.
    pub max_recipients: Option<u32>,
    /// What it is for, in the operator's words.
    pub description: String,
    /// Octets of one message, as the client sends it; what the gate takes when absent.
    pub max_size: Option<u64>,
    /// Where it may log in from; from everywhere when empty.
    pub networks: Vec<IpNet>,
    /// The instant from which on it is nobody's; in microseconds.
    pub expires_us: Option<u64>,
    pub scopes: Scopes,
    /// What auditors see of addresses in its events, where that isn't what they see of the others.
    pub mask: Option<Mask>,
    /// Whose mail goes out as whose, in the envelope and in From and Sender.
    pub rewrite: Vec<Rewrite>,
    /// Fields that don't go out.
    pub remove_headers: Vec<Removable>,
    /// Who gets all its mail instead of those whom it names.
    pub redirect: Option<Address>,
    /// Who gets a copy of each message.
    pub always_bcc: Vec<Address>,
    /// How long its messages are tried, in seconds; as long as all others when absent.
    pub ttl_seconds: Option<u64>,
    /// What becomes of a message whose upstream didn't answer after the dot.
    pub on_unknown: OnUnknown,
    /// How its senders hear what became of their mail.
    pub reports: Reports,
    /// The webhook that is told what became of its mail, by its name in the configuration.
    pub webhook: Option<String>,
    /// What it sends is checked, kept and told of, and never leaves. It is that from its beginning to its end.
    pub test: bool,
    /// A person must prove to have written each message.
    pub turnstile: Option<Turnstile>,
    /// Its key stands in public pages. It is that from its beginning to its end.
    pub form: Option<Form>,
}

/// Deny wins over allow. An empty allow list allows everybody who is not denied.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Recipients {
    pub allow: Vec<RecipientRule>,
    pub deny: Vec<RecipientRule>,
}

impl Recipients {
    pub fn permit(&self, recipient: &Address) -> bool {
        let allowed = self.allow.is_empty() || self.allow.iter().any(|rule| rule.matches(recipient));
        allowed && !self.deny.iter().any(|rule| rule.denies(recipient))
    }
}

/// What a report to the sender of a message may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reportable {
    /// As much of the message as was asked for.
    Message,
    /// What became of it, and nothing of what is in it.
    Outcome,
    Nothing,
}

impl Policy {
    /// What a report to this sender may hold: all where it is the credential's own address, or one that it may write to.
    /// Otherwise a report would be a way to whoever its rules keep it from: in a domain of its own it says what
    /// became of the message, and elsewhere, or where they deny it, there is none.
    pub fn reportable(&self, sender: &Address) -> Reportable {
        if self.recipients.permit(sender) || self.senders.iter().any(|rule| rule.names(sender)) {
            Reportable::Message
        } else if self.recipients.deny.iter().any(|rule| rule.denies(sender)) {
            Reportable::Nothing
        } else if self.senders.iter().any(|rule| *rule != SenderRule::Any && rule.matches(sender)) {
            Reportable::Outcome
        } else {
            Reportable::Nothing
        }
    }

    /// Recipients of one message: never more than its own limits could ever let through.
    pub fn most_recipients(&self) -> u32 {
        self.max_recipients.unwrap_or(DEFAULT_RECIPIENTS).min(self.limits.most_recipients())
    }

    /// The slice of it that goes to an edge.
    pub fn grant(&self, principal: &str, routes: &[Route]) -> Grant {
        let grant = Grant {
            principal: principal.to_owned(),
            senders: self.senders.clone(),
            recipients: self.recipients.clone(),
            routes: routes.iter().filter(|route| route.can_apply_to(principal)).cloned().collect(),
            max_recipients: self.most_recipients(),
            max_size: self.max_size,
            scopes: self.scopes.clone(),
            rewrite: self.rewrite.clone(),
            remove_headers: self.remove_headers.clone(),
            redirect: self.redirect.clone(),
            test: false,
            turnstile: self.turnstile.is_some(),
            form: self.form.clone(),
        };
        if self.test { grant.testing() } else { grant }
    }

    /// Whether a client at this address may be this credential.
    pub fn is_reachable_from(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.networks.is_empty() || self.networks.iter().any(|network| network.contains(&address))
    }

    /// What a test would not be one with: another's key, and a client who is told what an upstream says.
    ///
    /// Errors: which, in words.
    pub fn check_test(&self) -> Result<(), String> {
        match self.test {
            true if self.pass_through.is_some() => {
                Err("test: what goes with keys of a provider is sent by that provider: choose one".to_owned())
            }
            true if !matches!(self.delivery, None | Some(Delivery::Spool)) => {
                Err("test: there is no upstream to wait for: delivery must be \"spool\", or left out".to_owned())
            }
            _ => Ok(()),
        }
    }

    pub fn is_over(&self, now_us: u64) -> bool {
        self.expires_us.is_some_and(|end| end <= now_us)
    }

    /// What no single value shows.
    ///
    /// Errors: in words: which value can't be meant, and why.
    pub fn check(&self) -> Result<(), String> {
        if self.description.chars().count() > MOST_DESCRIPTION || self.description.chars().any(char::is_control) {
            return Err(format!("description: at most {MOST_DESCRIPTION} characters, on one line"));
        }
        if self.scopes.0.is_empty() {
            return Err("scopes: without any it could not be used: name one, or disable it".to_owned());
        }
        self.check_scopes()?;
        if self.networks.len() > MOST_NETWORKS {
            return Err(format!("networks: at most {MOST_NETWORKS}"));
        }
        if let Some(network) = self.networks.iter().find(|network| network.addr() != network.network()) {
            return Err(format!("networks: {network} has bits beyond its prefix: {} is meant?", network.trunc()));
        }
        if self.max_size.is_some_and(|size| size < LEAST_SIZE) {
            return Err(format!("max_size: at least {LEAST_SIZE} octets"));
        }
        if self.ttl_seconds.is_some_and(|ttl| !(LEAST_TTL..=MOST_TTL).contains(&ttl)) {
            return Err(format!("ttl: from {LEAST_TTL} seconds to {} days", MOST_TTL / 86_400));
        }
        if self.max_recipients.is_some_and(|most| !(1..=MOST_RECIPIENTS).contains(&most)) {
            return Err(format!("max_recipients: from 1 to {MOST_RECIPIENTS}"));
        }
        self.check_destinations()?;
        self.check_reports()?;
        self.check_delivery()?;
        self.check_test()?;
        self.check_turnstile()?;
        self.check_form()?;
        self.check_changes()
    }
}

#[cfg(test)]
mod tests {
    use super::refusal::Refusal;
    use super::*;
    use crate::mail::facts::Facts;

    fn address(text: &str) -> Address {
        Address::parse(text).unwrap()
    }

    fn grant(senders: &[&str], deny: &[&str]) -> Grant {
        let policy = Policy {
            senders: senders.iter().map(|rule| rule.parse().unwrap()).collect(),
            recipients: Recipients { allow: vec![], deny: deny.iter().map(|rule| rule.parse().unwrap()).collect() },
            ..Policy::default()
        };
        policy.grant(
            "billing",
            &[Route { credential: None, from: None, to: "*".parse().unwrap(), via: vec![0], requiretls: false }],
        )
    }

    #[test]
    fn rule_p12_rule_x7_a_report_is_no_way_to_those_whom_the_rules_keep_it_from() {
        let policy = |senders: &[&str]| Policy {
            senders: senders.iter().map(|rule| rule.parse().unwrap()).collect(),
            recipients: Recipients { allow: vec!["@example.org".parse().unwrap()], deny: vec![] },
            ..Policy::default()
        };
        for (senders, sender, reportable) in [
            (&["*"][..], "ceo@example.com", Reportable::Nothing),
            (&["*"], "ceo@example.org", Reportable::Message),
            (&["@example.net"], "ceo@example.net", Reportable::Outcome),
            (&["*", "@example.net"], "ceo@example.net", Reportable::Outcome),
            (&["@example.net", "shop@example.net"], "shop@example.net", Reportable::Message),
            // No sender of its any more.
            (&["@example.net"], "ceo@example.com", Reportable::Nothing),
        ] {
            assert_eq!(policy(senders).reportable(&address(sender)), reportable, "{senders:?} {sender}");
        }
        let mut denying = policy(&["@example.net", "shop@example.net"]);
        denying.recipients = Recipients { allow: vec![], deny: vec!["@example.net".parse().unwrap()] };
        assert_eq!(denying.reportable(&address("ceo@example.net")), Reportable::Nothing);
        assert_eq!(denying.reportable(&address("shop@example.net")), Reportable::Message);
    }

    #[test]
    fn an_empty_sender_list_sends_nothing() {
        assert_eq!(grant(&[], &[]).sender(&Some(address("a@example.net"))), Err(Refusal::SenderNotAllowed));
    }

    #[test]
    fn rule_p8_no_credential_can_allow_nobody_as_its_sender() {
        for senders in [&["*"][..], &["@example.net"], &["a@example.net"], &["*", "@example.net", "a@example.net"], &[]]
        {
            assert_eq!(grant(senders, &[]).sender(&None), Err(Refusal::SenderNotAllowed), "{senders:?}");
        }
        // Nor is there a rule that says so, in the file or by a command, nor anybody to be rewritten as.
        for nobody in ["<>", "", " ", "@", "\"\"", "\"\"@", "<>@example.net", "postmaster", "MAILER-DAEMON"] {
            assert!(nobody.parse::<SenderRule>().is_err(), "{nobody:?}");
            assert!(Address::parse(nobody).is_err(), "{nobody:?}");
        }
    }

    #[test]
    fn rule_p12_whoever_is_denied_is_refused_and_where_some_are_allowed_so_is_everybody_else() {
        let from = Some(address("a@example.net"));
        let is_refused = |grant: &Grant, to: &str| match grant.recipient(&from, &address(to)) {
            Ok(()) => false,
            refused => refused == Err(Refusal::RecipientNotAllowed),
        };
        let all = ["x@friend.example", "x@sub.friend.example", "x@competitor.example", "ceo@friend.example"];
        for (allow, deny, refused) in [
            (&[][..], &[][..], [false, false, false, false]),
            (&[], &["@competitor.example"], [false, false, true, false]),
            (&["*"], &["@competitor.example", "ceo@friend.example"], [false, false, true, true]),
            (&["@friend.example"], &[], [false, true, true, false]),
            (&[".friend.example"], &[], [true, false, true, true]),
            (&["ceo@friend.example"], &[], [true, true, true, false]),
            (&["@friend.example", ".friend.example"], &["ceo@friend.example"], [false, false, true, true]),
        ] {
            let mut grant = grant(&["*"], deny);
            grant.recipients.allow = allow.iter().map(|rule| rule.parse().unwrap()).collect();
            assert_eq!(all.map(|to| is_refused(&grant, to)), refused, "{allow:?} {deny:?}");
        }
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
