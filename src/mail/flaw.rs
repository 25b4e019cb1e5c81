//! What was wrong with a message that nobody may send: a word of ours for the audit log, and none of the message's own.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Fields that something can be wrong with.
const FIELDS: [&str; 12] = [
    "From",
    "Sender",
    "Reply-To",
    "To",
    "Cc",
    "Subject",
    "Date",
    "Message-ID",
    "Bcc",
    "Resent-Bcc",
    "Return-Path",
    "Authentication-Results",
];

/// The name of one of these fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct Named(u8);

impl Named {
    /// The name as it is compared; what is none of them is From, the first that anybody looks at.
    pub fn of(name: &str) -> Self {
        let at = FIELDS.iter().position(|field| field.eq_ignore_ascii_case(name));
        Self(at.and_then(|at| u8::try_from(at).ok()).unwrap_or_default())
    }

    pub fn name(self) -> &'static str {
        FIELDS.get(usize::from(self.0)).copied().unwrap_or_default()
    }
}

impl TryFrom<u8> for Named {
    type Error = String;

    fn try_from(at: u8) -> Result<Self, String> {
        if usize::from(at) < FIELDS.len() { Ok(Self(at)) } else { Err(format!("there is no field {at}")) }
    }
}

impl From<Named> for u8 {
    fn from(named: Named) -> Self {
        named.0
    }
}

/// Why a header or what is around it can't be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Flaw {
    /// A line of the header that is no field.
    Line,
    EightBit,
    NotUtf8,
    TooManyFields,
    NoFrom,
    /// From without a mailbox.
    Nobody,
    Twice(Named),
    Author(Named),
    TooManyAuthors,
    Signed(Named),
    SignedAway,
    TooLong,
    Loop,
    /// A bare CR or LF, or NUL.
    BareOctet,
    LineTooLong,
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line => f.write_str("line-is-no-field"),
            Self::EightBit => f.write_str("not-ascii"),
            Self::NotUtf8 => f.write_str("not-utf8"),
            Self::TooManyFields => f.write_str("too-many-fields"),
            Self::NoFrom => f.write_str("no-from"),
            Self::Nobody => f.write_str("from-names-nobody"),
            Self::Twice(field) => write!(f, "twice: {}", field.name()),
            Self::Author(field) => write!(f, "unreadable: {}", field.name()),
            Self::TooManyAuthors => f.write_str("too-many-authors"),
            Self::Signed(field) => write!(f, "signed: {}", field.name()),
            Self::SignedAway => f.write_str("signed: a field of remove_headers"),
            Self::TooLong => f.write_str("header-too-long"),
            Self::Loop => f.write_str("circles"),
            Self::BareOctet => f.write_str("bare-cr-lf-or-nul"),
            Self::LineTooLong => f.write_str("line-too-long"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_has_its_name_and_no_other_number_is_one() {
        for field in FIELDS {
            assert_eq!(Named::of(&field.to_ascii_lowercase()).name(), field);
        }
        assert!(Named::try_from(12).is_err() && Named::try_from(11).is_ok());
        assert_eq!(Flaw::Twice(Named::of("to")).to_string(), "twice: To");
    }
}
