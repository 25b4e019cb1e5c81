//! A proof that a person wrote what a credential sends: a token of Cloudflare's Turnstile, of a page on one of its hosts.

use serde::{Deserialize, Serialize};

use super::refusal::Refusal;
use super::scope::Scope;
use super::{Delivery, Policy};

/// Pages of one site have few hosts.
pub const MOST_HOSTNAMES: usize = 16;
/// RFC 1035 section 2.3.4, without the last dot.
const LONGEST_HOSTNAME: usize = 253;
const LONGEST_LABEL: usize = 63;
/// Characters of an action, as a widget takes it.
const LONGEST_ACTION: usize = 32;

/// What each message of a credential must prove.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Turnstile {
    /// The hosts of the pages whose tokens are taken.
    pub hostnames: Vec<String>,
    /// What the page's widget calls what is done there; anything when absent.
    pub action: Option<String>,
}

impl Turnstile {
    /// Whether a token that was solved there, for that, is good for this.
    pub fn takes(&self, hostname: &str, action: &str) -> Result<(), Refusal> {
        if !self.hostnames.iter().any(|own| own.eq_ignore_ascii_case(hostname)) {
            return Err(Refusal::TurnstileHostname);
        }
        match &self.action {
            Some(own) if own != action => Err(Refusal::TurnstileAction),
            _ => Ok(()),
        }
    }

    /// Errors: in words, what can't be meant.
    fn check(&self) -> Result<(), String> {
        if self.hostnames.is_empty() || self.hostnames.len() > MOST_HOSTNAMES {
            return Err(format!(
                "turnstile: hostnames: name the host of each page whose tokens are taken, at most {MOST_HOSTNAMES}, such as \
                 \"www.example.net\""
            ));
        }
        if let Some(odd) = self.hostnames.iter().find(|host| !is_hostname(host)) {
            return Err(format!(
                "turnstile: hostnames: {odd:?}: write a host as it stands in a page's address, such as \"www.example.net\", \
                 without scheme, port and path"
            ));
        }
        let is_action = |action: &String| {
            let plain = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'_' | b'-');
            (1..=LONGEST_ACTION).contains(&action.len()) && action.bytes().all(plain)
        };
        match &self.action {
            Some(odd) if !is_action(odd) => Err(format!(
                "turnstile: action: {odd:?}: letters, digits, _ and -, at most {LONGEST_ACTION}, as data-action of the \
                 widget has it"
            )),
            _ => Ok(()),
        }
    }
}

fn is_hostname(host: &str) -> bool {
    let plain = |octet: u8| octet.is_ascii_alphanumeric() || octet == b'-';
    let is_label = |label: &str| (1..=LONGEST_LABEL).contains(&label.len()) && label.bytes().all(plain);
    host.len() <= LONGEST_HOSTNAME && host.split('.').all(is_label)
}

impl Policy {
    /// A token comes by `/send` alone, and whoever has it waits for that answer and for no upstream's.
    ///
    /// Errors: in words, what doesn't go with it.
    pub fn check_turnstile(&self) -> Result<(), String> {
        let Some(turnstile) = &self.turnstile else { return Ok(()) };
        turnstile.check()?;
        if self.scopes.0.iter().any(|scope| *scope != Scope::Send) {
            return Err(
                "turnstile: a token is shown by POST /send alone: write scopes = [\"send\"] (--scope send)".to_owned()
            );
        }
        if self.pass_through.is_some() || !matches!(self.delivery, None | Some(Delivery::Spool)) {
            return Err(
                "turnstile: its mail is kept once the token is proven: leave out pass_through, and write delivery = \"spool\" or \
                 nothing"
                    .to_owned(),
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::scope::Scopes;

    fn turnstile(hostnames: &[&str], action: Option<&str>) -> Turnstile {
        Turnstile {
            hostnames: hostnames.iter().map(|host| (*host).to_owned()).collect(),
            action: action.map(str::to_owned),
        }
    }

    fn policy(turnstile: Turnstile) -> Policy {
        Policy { scopes: Scopes([Scope::Send].into()), turnstile: Some(turnstile), ..Policy::default() }
    }

    #[test]
    fn a_token_counts_on_the_pages_that_are_named_and_for_what_is_named() {
        let any = turnstile(&["www.example.net", "example.net"], None);
        assert_eq!((any.takes("WWW.example.net", ""), any.takes("example.net", "login")), (Ok(()), Ok(())));
        for other in ["", "evil.example", "www.example.net.evil.example", "x.example.net"] {
            assert_eq!(any.takes(other, ""), Err(Refusal::TurnstileHostname), "{other}");
        }
        let one = turnstile(&["example.net"], Some("contact"));
        assert_eq!(one.takes("example.net", "contact"), Ok(()));
        for other in ["", "login", "Contact"] {
            assert_eq!(one.takes("example.net", other), Err(Refusal::TurnstileAction), "{other}");
        }
        assert_eq!(one.takes("evil.example", "login"), Err(Refusal::TurnstileHostname));
    }

    #[test]
    fn what_could_never_be_taken_or_shown_is_refused() {
        let good = policy(turnstile(&["www.example.net", "localhost"], Some("contact_form-1")));
        assert_eq!(good.check(), Ok(()));
        for (hosts, action, why) in [
            (&[][..], None, "name the host"),
            (&["https://www.example.net"], None, "without scheme"),
            (&["www.example.net:443"], None, "without scheme"),
            (&["www..net"], None, "without scheme"),
            (&[""], None, "without scheme"),
            (&["*.example.net"], None, "without scheme"),
            (&["a.test"], Some("two words"), "data-action"),
            (&["a.test"], Some(""), "data-action"),
        ] {
            let why_not = policy(turnstile(hosts, action)).check().unwrap_err();
            assert!(why_not.starts_with("turnstile: ") && why_not.contains(why), "{hosts:?} {action:?}: {why_not}");
        }
        let many = vec!["a.test"; MOST_HOSTNAMES + 1];
        assert!(policy(turnstile(&many, None)).check().is_err());
        for scopes in [vec![Scope::Smtp, Scope::Send], vec![Scope::SendRaw], vec![Scope::Admin, Scope::Send]] {
            let wide = Policy { scopes: Scopes(scopes.into_iter().collect()), ..good.clone() };
            assert!(wide.check().unwrap_err().contains("scopes = [\"send\"]"));
        }
        for delivery in [Delivery::Direct, Delivery::Fallback] {
            assert!(Policy { delivery: Some(delivery), ..good.clone() }.check().is_err());
        }
        assert!(Policy { pass_through: Some("sink".into()), ..good.clone() }.check_turnstile().is_err());
        // Whatever its listener says.
        assert_eq!(good.delivery(Delivery::Direct), Delivery::Spool);
    }
}
