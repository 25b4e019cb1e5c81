//! What was wrong with a message that nobody may send: a word of ours for the audit log, a sentence for its client, and nothing of
//! the message's own in either.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::header::MAX_FIELDS;
use crate::policy::refusal::Refusal;

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
    /// A line that is neither a field nor its continuation.
    Line,
    /// Octets above 127, which need SMTPUTF8.
    EightBit,
    /// Octets above 127 that are no UTF-8.
    NotUtf8,
    TooManyFields,
    NoFrom,
    /// From has only groups without members.
    Nobody,
    Twice(Named),
    /// From or Sender can't be read in one way only.
    Author(Named),
    TooManyAuthors,
    /// It would have to be changed where it is signed.
    Signed(Named),
    /// It has a field that the credential wants removed, and that is signed.
    SignedAway,
    TooLong,
    Loop,
    /// A bare CR or LF, or NUL.
    BareOctet,
    LineTooLong,
}

impl Flaw {
    /// What a message with it is refused as.
    pub const fn refusal(self) -> Refusal {
        match self {
            Self::Loop => Refusal::Loop,
            Self::BareOctet | Self::LineTooLong => Refusal::Framing,
            _ => Refusal::Header,
        }
    }

    /// What its client is told: what is wrong, and where it helps, what to do.
    pub fn said(self) -> String {
        match self {
            Self::Line => "a line of the header is no field".to_owned(),
            Self::NotUtf8 => "the header has octets that are not UTF-8, encode them by RFC 2047".to_owned(),
            Self::EightBit => {
                "the header has octets that are not ASCII, encode them by RFC 2047 or say SMTPUTF8".to_owned()
            }
            Self::TooManyFields => format!("the header has more than {MAX_FIELDS} fields"),
            Self::NoFrom => "the header has no From".to_owned(),
            Self::Nobody => "From names nobody".to_owned(),
            Self::Twice(field) => format!("the header has more than one {}", field.name()),
            Self::Author(field) => format!("{} can't be read in one way only", field.name()),
            Self::TooManyAuthors => "the header has too many authors".to_owned(),
            Self::SignedAway => "a field that this login does not send is signed".to_owned(),
            Self::Signed(field) => format!("{} would have to be changed and is signed", field.name()),
            Self::TooLong => "the header is too long".to_owned(),
            Self::Loop => "the message goes in circles".to_owned(),
            Self::BareOctet => "a bare CR, bare LF or NUL in the message".to_owned(),
            Self::LineTooLong => "a line of the message is longer than 1000 octets".to_owned(),
        }
    }

    /// Each of them, of each field.
    #[cfg(test)]
    pub fn every() -> Vec<Self> {
        let of = |flaw: u8| (0..FIELDS.len() as u8).map(move |field| [flaw, field]);
        (0..u8::MAX).flat_map(of).map_while(|octets| Some(postcard::take_from_bytes(&octets).ok()?.0)).collect()
    }
}

/// The word for it.
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
        assert!(Flaw::every().contains(&Flaw::LineTooLong));
    }
}
