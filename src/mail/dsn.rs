//! What a sender asks to be told of its message's delivery: RFC 3461.
//!
//! Values are kept as they were said, once they were found to be what they should be: the next server is told the same.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::xtext;

/// Characters of an envelope id and of an original recipient, as xtext (RFC 3461 section 4).
const MAX_ENVID: usize = 100;
const MAX_ORCPT: usize = 500;

/// What MAIL asks of all reports about a message.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    pub ret: Option<Ret>,
    pub envid: Option<Envid>,
}

/// How much of the message a report of its failure brings back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ret {
    Full,
    Headers,
}

/// What RCPT asks for one recipient.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wish {
    pub notify: Option<Notify>,
    pub orcpt: Option<Orcpt>,
}

/// When to report: never, or on a set of occasions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct Notify(u8);

/// The sender's name for the message, in xtext.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Envid(String);

/// Whom the sender had in mind: the type of the address, `;`, and the address in xtext.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Orcpt(String);

/// A value that can't be what it is said to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unfit;

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a value that RFC 3461 allows")
    }
}

impl std::error::Error for Unfit {}

impl Ret {
    pub fn parse(text: &str) -> Result<Self, Unfit> {
        let known = [("FULL", Self::Full), ("HDRS", Self::Headers)];
        known.into_iter().find(|(word, _)| word.eq_ignore_ascii_case(text)).map(|(_, ret)| ret).ok_or(Unfit)
    }

    pub const fn word(self) -> &'static str {
        match self {
            Self::Full => "FULL",
            Self::Headers => "HDRS",
        }
    }
}

impl Notify {
    const NEVER: u8 = 1;
    const SUCCESS: u8 = 2;
    const FAILURE: u8 = 4;
    const DELAY: u8 = 8;
    const OCCASIONS: [(&str, u8); 3] = [("SUCCESS", Self::SUCCESS), ("FAILURE", Self::FAILURE), ("DELAY", Self::DELAY)];

    pub const fn never() -> Self {
        Self(Self::NEVER)
    }

    /// What two recipients want of one mailbox that stands for both. Who says nothing wants failures (RFC 3461 section 4.1).
    pub fn both(one: Option<Self>, other: Option<Self>) -> Option<Self> {
        if one.is_none() && other.is_none() {
            return None;
        }
        let bits = one.map_or(Self::FAILURE, u8::from) | other.map_or(Self::FAILURE, u8::from);
        let occasions = bits & !Self::NEVER;
        Some(Self(if occasions == 0 { Self::NEVER } else { occasions }))
    }

    pub const fn on_success(self) -> bool {
        self.0 & Self::SUCCESS != 0
    }

    pub const fn on_failure(self) -> bool {
        self.0 & Self::FAILURE != 0
    }

    pub const fn on_delay(self) -> bool {
        self.0 & Self::DELAY != 0
    }

    /// Reads `NEVER`, or occasions with commas between them. One that is named twice is named.
    pub fn parse(text: &str) -> Result<Self, Unfit> {
        if text.eq_ignore_ascii_case("NEVER") {
            return Ok(Self(Self::NEVER));
        }
        let mut bits = 0;
        for word in text.split(',') {
            let known = Self::OCCASIONS.iter().find(|(known, _)| known.eq_ignore_ascii_case(word));
            bits |= known.ok_or(Unfit)?.1;
        }
        Ok(Self(bits))
    }
}

impl fmt::Display for Notify {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == Self::NEVER {
            return f.write_str("NEVER");
        }
        let named = Self::OCCASIONS.iter().filter(|(_, bit)| self.0 & bit != 0);
        f.write_str(&named.map(|(word, _)| *word).collect::<Vec<_>>().join(","))
    }
}

impl TryFrom<u8> for Notify {
    type Error = Unfit;

    /// One bit for never, or some of those for the occasions.
    fn try_from(bits: u8) -> Result<Self, Unfit> {
        let occasions = Self::OCCASIONS.iter().fold(0, |all, (_, bit)| all | bit);
        if bits == Self::NEVER || (bits != 0 && bits & !occasions == 0) { Ok(Self(bits)) } else { Err(Unfit) }
    }
}

impl From<Notify> for u8 {
    fn from(notify: Notify) -> Self {
        notify.0
    }
}

impl Envid {
    /// What it means, in printable ASCII.
    pub fn meaning(&self) -> String {
        meaning(&self.0)
    }
}

impl Orcpt {
    /// The type of the address, `;`, and what the address means, in printable ASCII.
    pub fn meaning(&self) -> String {
        self.0.split_once(';').map(|(kind, address)| format!("{kind};{}", meaning(address))).unwrap_or_default()
    }
}

/// What was found to be xtext of printable characters when it was taken.
fn meaning(xtext: &str) -> String {
    String::from_utf8(xtext::decode(xtext).unwrap_or_default()).unwrap_or_default()
}

/// What it means must be printable (RFC 3461 sections 4.2 and 4.4): it is written into the fields of reports.
fn is_printable(xtext: &str) -> bool {
    xtext::decode(xtext)
        .is_some_and(|meant| !meant.is_empty() && meant.iter().all(|octet| matches!(octet, b' '..=b'~')))
}

impl TryFrom<String> for Envid {
    type Error = Unfit;

    fn try_from(text: String) -> Result<Self, Unfit> {
        if text.len() <= MAX_ENVID && is_printable(&text) { Ok(Self(text)) } else { Err(Unfit) }
    }
}

impl TryFrom<String> for Orcpt {
    type Error = Unfit;

    fn try_from(text: String) -> Result<Self, Unfit> {
        let (kind, address) = text.split_once(';').ok_or(Unfit)?;
        let kind = !kind.is_empty() && kind.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-');
        if text.len() <= MAX_ORCPT && kind && is_printable(address) { Ok(Self(text)) } else { Err(Unfit) }
    }
}

impl From<Envid> for String {
    fn from(envid: Envid) -> Self {
        envid.0
    }
}

impl From<Orcpt> for String {
    fn from(orcpt: Orcpt) -> Self {
        orcpt.0
    }
}

impl fmt::Display for Envid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Orcpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rule_x5_never_stands_alone_and_occasions_in_any_order() {
        for (text, written) in [
            ("never", "NEVER"),
            ("DELAY,success", "SUCCESS,DELAY"),
            ("FAILURE", "FAILURE"),
            ("SUCCESS,SUCCESS", "SUCCESS"),
        ] {
            assert_eq!(Notify::parse(text).unwrap().to_string(), written);
        }
        for bad in
            ["", "NEVER,FAILURE", "FAILURE,NEVER", "NEVER,NEVER", "SUCCESS,", ",SUCCESS", "ALWAYS", "SUCCESS;DELAY"]
        {
            assert_eq!(Notify::parse(bad), Err(Unfit), "{bad}");
        }
    }

    #[test]
    fn rule_x5_what_another_process_or_the_disk_says_is_judged_as_what_a_client_says() {
        for bits in 0..=u8::MAX {
            let is_sound = bits == 1 || (bits != 0 && bits & 1 == 0 && bits < 16);
            assert_eq!(Notify::try_from(bits).is_ok(), is_sound, "{bits}");
        }
        let notify = Notify::parse("FAILURE,DELAY").unwrap();
        assert_eq!(Notify::try_from(u8::from(notify)), Ok(notify));
    }

    #[test]
    fn rule_x5_values_are_bounded_xtext_that_means_something_printable() {
        let envid = |text: &str| Envid::try_from(text.to_owned());
        let orcpt = |text: &str| Orcpt::try_from(text.to_owned());
        assert!(envid("QQ314159+20+2B").is_ok() && envid(&"x".repeat(100)).is_ok());
        for bad in ["", "a b", "a=b", "a+", "+0D+0A", "+00", "+E4", &"x".repeat(101)] {
            assert_eq!(envid(bad), Err(Unfit), "{bad}");
        }
        assert!(orcpt("rfc822;Bob+20Smith@example.org").is_ok() && orcpt("X-fax;+2B1").is_ok());
        assert!(orcpt(&format!("rfc822;{}", "x".repeat(493))).is_ok());
        for bad in
            ["rfc822", ";a", "rfc822;", "rfc 822;a", "rfc822;+0A", "rfc822;a=b", &format!("rfc822;{}", "x".repeat(494))]
        {
            assert_eq!(orcpt(bad), Err(Unfit), "{bad}");
        }
    }

    #[test]
    fn rule_x5_what_is_reported_is_what_was_meant() {
        assert_eq!(Envid::try_from("QQ+2B1".to_owned()).unwrap().meaning(), "QQ+1");
        assert_eq!(Orcpt::try_from("rfc822;a+20b@c".to_owned()).unwrap().meaning(), "rfc822;a b@c");
    }

    #[test]
    fn rule_x5_how_much_comes_back() {
        assert_eq!((Ret::parse("full"), Ret::parse("HDRS")), (Ok(Ret::Full), Ok(Ret::Headers)));
        assert_eq!((Ret::parse("HEADERS"), Ret::parse("")), (Err(Unfit), Err(Unfit)));
    }
}
