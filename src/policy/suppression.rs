//! Addresses that nothing is sent to: why, and how they are compared.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::mail::address::Address;

/// Why nothing is sent there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reason {
    /// Somebody said so.
    Manual,
    /// The host that it was to be delivered to says that there is no such mailbox.
    Bounce,
    /// Whoever reads it calls our mail unwanted.
    Complaint,
}

impl Reason {
    pub const ALL: [Self; 3] = [Self::Manual, Self::Bounce, Self::Complaint];

    pub const fn word(self) -> &'static str {
        match self {
            Self::Manual => "manual",
            Self::Bounce => "bounce",
            Self::Complaint => "complaint",
        }
    }
}

impl FromStr for Reason {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|one| one.word() == text);
        found.ok_or_else(|| format!("{text:?} is no reason: write manual, bounce or complaint"))
    }
}

/// An address as it is compared here. Nearly every receiver takes `Ann@` for `ann@`: as with `recipients.deny`, the case of the
/// local part is none.
pub fn folded(address: &Address) -> String {
    format!("{}@{}", address.local().to_lowercase(), address.domain())
}

/// Whether a host's answer about one recipient says that there is no such mailbox (RFC 3463 section 3.2), and nothing about the
/// sender, the content or a policy. What reads a domain's complaints and questions is there whatever is said.
pub fn is_no_mailbox(address: &Address, code: Option<u16>, enhanced: Option<&str>) -> bool {
    let is_role = ["postmaster", "abuse"].contains(&address.local().to_lowercase().as_str());
    !is_role && enhanced == Some("5.1.1") && code.is_some_and(|code| (550..=559).contains(&code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_the_same_whatever_its_case_and_quotes() {
        let folded = |text: &str| folded(&Address::parse_international(text).unwrap());
        assert_eq!(folded("Ann@Example.ORG"), "ann@example.org");
        assert_eq!(folded("\"ann\"@example.org"), "ann@example.org");
        assert_ne!(folded("\"a@b\"@example.org"), folded("a@b.example.org"));
        assert_ne!(
            folded("ann+x@example.org"),
            "ann@example.org",
            "a tag is another mailbox until its host says otherwise"
        );
    }

    #[test]
    fn only_a_mailbox_that_is_not_there_is_a_hard_bounce() {
        let ann = Address::parse("ann@example.org").unwrap();
        for (code, enhanced, expected) in [
            (Some(550), Some("5.1.1"), true),
            (Some(450), Some("4.1.1"), false),
            (Some(450), Some("5.1.1"), false),
            (Some(550), Some("5.7.1"), false),
            (Some(554), Some("5.6.0"), false),
            (Some(552), Some("5.2.2"), false),
            (Some(550), Some("5.1.10"), false),
            (Some(550), None, false),
            (None, Some("5.1.1"), false),
        ] {
            assert_eq!(is_no_mailbox(&ann, code, enhanced), expected, "{code:?} {enhanced:?}");
        }
        let postmaster = Address::parse("Postmaster@example.org").unwrap();
        assert!(!is_no_mailbox(&postmaster, Some(550), Some("5.1.1")));
    }
}
