//! One line of a sender or recipient list, as it stands in the configuration.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::mail::address::Address;

/// `user@domain`, `user+*@domain`, `@domain` or `*`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum SenderRule {
    Any,
    Domain(String),
    /// This address, and with any tag behind a plus sign (RFC 5233 section 4 calls it a detail).
    Tagged(Address),
    Address(Address),
}

/// Behind the local part of a rule: whatever its tag.
const ANY_TAG: &str = "+*";

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
            Self::Tagged(own) => {
                let rest = address.local().strip_prefix(own.local());
                own.domain() == address.domain() && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('+'))
            }
            Self::Address(own) => own == address,
        }
    }

    /// Whether it is this mailbox that the rule names.
    pub fn names(&self, address: &Address) -> bool {
        matches!(self, Self::Address(own) | Self::Tagged(own) if own == address)
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
                None => {
                    match text.rsplit_once('@').and_then(|(local, domain)| Some((local.strip_suffix(ANY_TAG)?, domain)))
                    {
                        Some((local, domain)) => {
                            Address::parse_international(&format!("{local}@{domain}")).ok().map(Self::Tagged)
                        }
                        None => Address::parse_international(text).ok().map(Self::Address),
                    }
                }
            },
        };
        rule.ok_or_else(|| {
            NotARule(format!(
                "{text:?} is not a sender rule: write \"user@domain\", \"user+*@domain\" for any tag, \"@domain\" or \"*\""
            ))
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
            Self::Tagged(address) => {
                let text = address.to_string();
                let (local, domain) = text.rsplit_once('@').unwrap_or((&text, ""));
                write!(f, "{local}{ANY_TAG}@{domain}")
            }
            // Within quotes it is no tag but that one address.
            Self::Address(address) if address.local().ends_with(ANY_TAG) && !address.to_string().starts_with('"') => {
                write!(f, "\"{}\"@{}", address.local(), address.domain())
            }
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
    fn rule_p12_rules_match_what_they_say_and_nothing_near_it() {
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
    fn rule_p9_a_rule_with_any_tag_is_for_one_mailbox_with_and_without_one() {
        let rule: SenderRule = "user+*@Example.net".parse().unwrap();
        assert_eq!(rule.to_string(), "user+*@example.net");
        assert_eq!(rule.to_string().parse::<SenderRule>().unwrap(), rule);
        for (address, expected) in [
            ("user@example.net", true),
            ("user+a@example.net", true),
            ("user+@example.net", true),
            ("\"user+a b\"@example.net", true),
            ("user+a+b@example.net", true),
            ("users@example.net", false),
            ("user-a@example.net", false),
            ("us+er@example.net", false),
            ("User+a@example.net", false),
            ("user+a@example.org", false),
            ("user+a@sub.example.net", false),
        ] {
            assert_eq!(rule.matches(&Address::parse(address).unwrap()), expected, "{address}");
        }
        let plain: SenderRule = "user@example.net".parse().unwrap();
        assert!(!plain.matches(&Address::parse("user+a@example.net").unwrap()));
        // One address that is spelled so, which goes to the vault and back as text.
        for text in ["\"user+*\"@example.net", "\"a b+*\"@example.net", "\"a b\"+*@example.net", "user+*+*@example.net"]
        {
            let rule: SenderRule = text.parse().unwrap();
            assert_eq!(rule.to_string().parse::<SenderRule>().unwrap(), rule, "{text}");
        }
        let one: SenderRule = "\"user+*\"@example.net".parse().unwrap();
        assert!(one.matches(&Address::parse("user+*@example.net").unwrap()));
        assert!(!one.matches(&Address::parse("user+a@example.net").unwrap()));
        for text in ["+*@example.net", "\"user+*\"@example.net+*", "user+*@", "user+*"] {
            assert!(text.parse::<SenderRule>().is_err(), "{text}");
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
