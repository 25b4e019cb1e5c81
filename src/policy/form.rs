//! A key that may stand in a public page: it sends what visitors of pages of these origins write, from one sender, to recipients
//! that are all named, and nothing else.

use serde::{Deserialize, Serialize};

use super::Policy;
use super::rule::{RecipientRule, SenderRule};

/// Pages of one form stand on few origins, and all of them go with each grant.
pub const MOST_ORIGINS: usize = 8;
/// Recipients of a form are the people who read it.
pub const MOST_RECIPIENTS: usize = 8;
/// Octets of one message: many pages of text, without any file.
pub const MOST_SIZE: u64 = 64 * 1024;

/// What a form's key is bound to beside its sender, its recipients and its limits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Form {
    /// The origins of the pages that it stands in, as browsers say them.
    pub origins: Vec<String>,
}

/// The host of an origin as browsers say it (RFC 6454 section 6.2): without path, and with a port that isn't the scheme's own.
fn host(origin: &str) -> Option<&str> {
    let (scheme, rest) = origin.split_once("://")?;
    let own = match scheme {
        "https" => 443,
        "http" => 80,
        _ => return None,
    };
    let (host, port) = rest.split_once(':').map_or((rest, None), |(host, port)| (host, Some(port)));
    let is_sound = |port: &str| port.parse::<u16>().is_ok_and(|number| number != own && number.to_string() == port);
    let plain = |octet: u8| octet.is_ascii_lowercase() || octet.is_ascii_digit() || matches!(octet, b'.' | b'-');
    (host.bytes().all(plain) && port.is_none_or(is_sound)).then_some(host)
}

impl Policy {
    /// What a key that everybody can read is bound to: a proof for each message that a person wrote it on a page of its own, one
    /// sender, recipients by name, and limits.
    ///
    /// Errors: in words, what is missing.
    pub fn check_form(&self) -> Result<(), String> {
        let Some(form) = &self.form else { return Ok(()) };
        let Some(turnstile) = &self.turnstile else {
            return Err(
                "form: whoever sees the page has its key: write turnstile = { hostnames = [\"www.example.net\"] } \
                        (--turnstile-hostname)"
                    .to_owned(),
            );
        };
        if form.origins.is_empty() || form.origins.len() > MOST_ORIGINS {
            return Err(format!(
                "form: origins: name the origin of each page that it stands in, at most {MOST_ORIGINS}, such as \
                 \"https://www.example.net\""
            ));
        }
        for origin in &form.origins {
            let Some(host) = host(origin) else {
                return Err(format!(
                    "form: origins: {origin:?}: write it as browsers say it, a scheme and a host, and a port that is not the \
                     scheme's own: \"https://www.example.net\""
                ));
            };
            if !turnstile.hostnames.iter().any(|own| own.eq_ignore_ascii_case(host)) {
                return Err(format!(
                    "form: origins: {origin:?}: no token of its pages would be taken: name {host:?} in turnstile's hostnames \
                     (--turnstile-hostname)"
                ));
            }
        }
        if !matches!(self.senders.as_slice(), [SenderRule::Address(_)]) {
            return Err("form: it sends from one address: write that one in senders (--sender)".to_owned());
        }
        let all = &self.recipients.allow;
        let are_named = all.iter().all(|rule| matches!(rule, RecipientRule::Address(_)));
        if all.is_empty() || all.len() > MOST_RECIPIENTS || !are_named {
            return Err(format!(
                "form: it sends to recipients that are named: write from 1 to {MOST_RECIPIENTS} addresses in recipients.allow \
                 (--recipient-allow)"
            ));
        }
        if usize::try_from(self.most_recipients()).is_ok_and(|most| most < all.len()) {
            return Err(
                "form: its limits on recipients let no message through to all of its recipients: raise them".to_owned()
            );
        }
        if self.max_size.is_none_or(|size| size > MOST_SIZE) {
            return Err(format!("form: write max_size (--max-size), at most {MOST_SIZE} octets"));
        }
        let rates = self.limits.rates();
        if rates.per_minute.or(rates.per_hour).or(rates.per_day).is_none() {
            return Err("form: it needs limits: per_minute, per_hour or per_day (--per-hour and its like)".to_owned());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Recipients;
    use crate::policy::limits::Limits;
    use crate::policy::scope::{Scope, Scopes};
    use crate::policy::turnstile::Turnstile;

    type Change = fn(&mut Policy);

    fn good() -> Policy {
        Policy {
            senders: vec!["form@example.net".parse().unwrap()],
            recipients: Recipients { allow: vec!["office@example.net".parse().unwrap()], deny: vec![] },
            limits: Limits { per_hour: Some(20), ..Limits::default() },
            max_size: Some(20_000),
            scopes: Scopes([Scope::Send].into()),
            turnstile: Some(Turnstile { hostnames: vec!["www.example.net".into()], action: None }),
            form: Some(Form { origins: vec!["https://www.example.net".into(), "http://www.example.net:8080".into()] }),
            ..Policy::default()
        }
    }

    #[test]
    fn a_key_for_everybody_is_bound_to_all_that_bounds_it() {
        assert_eq!(good().check(), Ok(()));
        let cases: [(&str, Change); 13] = [
            ("turnstile", |policy| policy.turnstile = None),
            ("name the origin", |policy| policy.form = Some(Form::default())),
            ("senders", |policy| policy.senders = vec!["@example.net".parse().unwrap()]),
            ("senders", |policy| policy.senders = vec!["form+*@example.net".parse().unwrap()]),
            ("senders", |policy| policy.senders.push("other@example.net".parse().unwrap())),
            ("senders", |policy| policy.senders.clear()),
            ("recipients.allow", |policy| policy.recipients.allow.clear()),
            ("recipients.allow", |policy| policy.recipients.allow.push("@example.net".parse().unwrap())),
            ("recipients.allow", |policy| policy.recipients.allow = vec!["a@example.net".parse().unwrap(); 9]),
            ("max_size", |policy| policy.max_size = None),
            ("max_size", |policy| policy.max_size = Some(MOST_SIZE + 1)),
            ("limits", |policy| policy.limits = Limits::default()),
            ("raise them", |policy| {
                policy.max_recipients = Some(1);
                policy.recipients.allow.push("boss@example.net".parse().unwrap());
            }),
        ];
        for (why, change) in cases {
            let mut policy = good();
            change(&mut policy);
            let said = policy.check().unwrap_err();
            assert!(said.starts_with("form: ") && said.contains(why), "{why}: {said}");
        }
    }

    #[test]
    fn an_origin_is_one_that_a_browser_says_of_a_page_whose_tokens_are_taken() {
        for odd in [
            "www.example.net",
            "https://www.example.net/",
            "https://www.example.net:443",
            "http://www.example.net:080",
            "https://WWW.example.net",
            "ftp://www.example.net",
            "https://evil.example",
            "https://www.example.net.evil.example",
            "https://www.example.net@evil.example",
            "https://",
            "null",
            "*",
        ] {
            let said = Policy { form: Some(Form { origins: vec![odd.into()] }), ..good() }.check().unwrap_err();
            assert!(said.starts_with("form: origins: "), "{odd}: {said}");
        }
    }
}
