//! One line of a sender or recipient list, as it stands in the configuration.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::mail::address::Address;

/// `user@domain`, `@domain` or `*`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum SenderRule {
    Any,
    Domain(String),
    Address(Address),
}

/// `user@domain`, `@domain`, `.suffix` (any subdomain, not the domain itself) or `*`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum RecipientRule {
    Any,
    Domain(String),
    Suffix(String),
    Address(Address),
}

/// A rule that can't be read, with what one looks like.
#[derive(Debug, PartialEq, Eq)]
pub struct NotARule(String);

impl fmt::Display for NotARule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NotARule {}

impl SenderRule {
    pub fn matches(&self, address: &Address) -> bool {
        match self {
            Self::Any => true,
            Self::Domain(domain) => address.domain() == domain,
            Self::Address(own) => own == address,
        }
    }
}

impl RecipientRule {
    pub fn matches(&self, address: &Address) -> bool {
        match self {
            Self::Any => true,
            Self::Domain(domain) => address.domain() == domain,
            Self::Suffix(suffix) => {
                address.domain().strip_suffix(suffix.as_str()).is_some_and(|host| host.ends_with('.'))
            }
            Self::Address(own) => own == address,
        }
    }

    /// Whether nothing may go there. Nearly every receiver takes `CEO@` for `ceo@`: what is denied is denied whatever its case.
    pub fn denies(&self, address: &Address) -> bool {
        match self {
            Self::Address(denied) => {
                denied.domain() == address.domain() && denied.local().to_lowercase() == address.local().to_lowercase()
            }
            other => other.matches(address),
        }
    }
}

/// A domain as it is compared. It is read as part of an address, so that one grammar holds for all.
fn domain(text: &str) -> Option<String> {
    if text.is_empty() {
        return None;
    }
    Address::parse_international(&format!("postmaster@{text}")).ok().map(|address| address.domain().to_owned())
}

impl FromStr for SenderRule {
    type Err = NotARule;

    fn from_str(text: &str) -> Result<Self, NotARule> {
        let rule = match text {
            "*" => Some(Self::Any),
            _ => match text.strip_prefix('@') {
                Some(rest) => domain(rest).map(Self::Domain),
                None => Address::parse_international(text).ok().map(Self::Address),
            },
        };
        rule.ok_or_else(|| {
            NotARule(format!("{text:?} is not a sender rule: write \"user@domain\", \"@domain\" or \"*\""))
        })
    }
}

impl FromStr for RecipientRule {
    type Err = NotARule;

    fn from_str(text: &str) -> Result<Self, NotARule> {
        let rule = match (text, text.strip_prefix('@'), text.strip_prefix('.')) {
            ("*", ..) => Some(Self::Any),
            (_, Some(rest), _) => domain(rest).map(Self::Domain),
            (_, _, Some(rest)) => domain(rest).map(Self::Suffix),
            _ => Address::parse_international(text).ok().map(Self::Address),
        };
        rule.ok_or_else(|| {
            NotARule(format!(
                "{text:?} is not a recipient rule: write \"user@domain\", \"@domain\", \".suffix\" or \"*\""
            ))
        })
    }
}

impl fmt::Display for SenderRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Domain(domain) => write!(f, "@{domain}"),
            Self::Address(address) => address.fmt(f),
        }
    }
}

impl fmt::Display for RecipientRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Domain(domain) => write!(f, "@{domain}"),
            Self::Suffix(suffix) => write!(f, ".{suffix}"),
            Self::Address(address) => address.fmt(f),
        }
    }
}

impl TryFrom<String> for SenderRule {
    type Error = NotARule;

    fn try_from(text: String) -> Result<Self, NotARule> {
        text.parse()
    }
}

impl From<SenderRule> for String {
    fn from(rule: SenderRule) -> Self {
        rule.to_string()
    }
}

impl TryFrom<String> for RecipientRule {
    type Error = NotARule;

    fn try_from(text: String) -> Result<Self, NotARule> {
        text.parse()
    }
}

impl From<RecipientRule> for String {
    fn from(rule: RecipientRule) -> Self {
        rule.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_match_what_they_say_and_nothing_near_it() {
        let cases = [
            ("*", "a@example.net", true),
            ("@example.net", "a@EXAMPLE.net", true),
            ("@example.net", "a@sub.example.net", false),
            ("@example.net", "a@notexample.net", false),
            (".example.net", "a@sub.example.net", true),
            (".example.net", "a@example.net", false),
            (".example.net", "a@notexample.net", false),
            ("a@example.net", "a@example.net", true),
            ("a@example.net", "b@example.net", false),
        ];
        for (rule, address, expected) in cases {
            let rule: RecipientRule = rule.parse().unwrap();
            assert_eq!(rule.matches(&Address::parse(address).unwrap()), expected, "{rule} {address}");
        }
    }

    #[test]
    fn rule_x4_rule_p12_what_is_denied_is_denied_whatever_its_case() {
        let rule: RecipientRule = "j\u{f6}rg.Ceo@example.org".parse().unwrap();
        for (address, denied) in [
            ("j\u{f6}rg.Ceo@example.org", true),
            ("J\u{d6}RG.ceo@EXAMPLE.org", true),
            ("\"j\u{f6}rg.CEO\"@example.org", true),
            ("jorg.ceo@example.org", false),
            ("j\u{f6}rg.ceo@example.net", false),
        ] {
            assert_eq!(rule.denies(&Address::parse_international(address).unwrap()), denied, "{address}");
        }
        let domain: RecipientRule = ".example.org".parse().unwrap();
        assert!(domain.denies(&Address::parse("A@b.example.org").unwrap()));
    }

    #[test]
    fn a_rule_that_cannot_be_read_says_what_one_looks_like() {
        for text in ["", "@", "example.net", "a@", "**"] {
            assert!(text.parse::<SenderRule>().unwrap_err().to_string().contains("user@domain"), "{text}");
        }
    }
}
