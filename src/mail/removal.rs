//! Fields of a header that may be removed on a credential's way out.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Names of one credential.
pub const MOST: usize = 32;
/// Characters of a name: it stands on one line with its colon.
const LONGEST: usize = 76;

/// The registered fields that may go, each with why somebody wants that and nobody needs it. Every other registered field is
/// what a reader, a reply or a signature goes by: From, To, Date, Message-ID, Content-Type and their kin stay.
const NAMED: [(&str, &str); 3] = [
    (
        "Received",
        "hops before this gate name hosts and addresses of the inside; the gate's own, by which circles are seen, stay",
    ),
    ("User-Agent", "which program wrote it, and in which version, is of use to attackers alone"),
    ("Organization", "a text of the program's set-up that nothing goes by"),
];
/// Fields that no standard gives a meaning, such as X-Originating-IP and X-Mailer.
const PRIVATE: &str = "X-";

/// The name of a field that may be removed, as it was written. Names compare in ASCII, whatever their case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Removable(String);

impl Removable {
    pub fn name(&self) -> &str {
        &self.0
    }
}

impl FromStr for Removable {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_name = text.len() <= LONGEST && text.bytes().all(|octet| matches!(octet, b'!'..=b'9' | b';'..=b'~'));
        let named = NAMED.iter().any(|(name, _)| name.eq_ignore_ascii_case(text));
        let private = text.get(..PRIVATE.len()).is_some_and(|start| start.eq_ignore_ascii_case(PRIVATE));
        if is_name && (named || private && text.len() > PRIVATE.len()) {
            return Ok(Self(text.to_owned()));
        }
        let names: Vec<&str> = NAMED.iter().map(|(name, _)| *name).collect();
        Err(format!(
            "{text:?} can't be removed: what can are {} and fields that begin with {PRIVATE}",
            names.join(", ")
        ))
    }
}

impl fmt::Display for Removable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Removable {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Removable> for String {
    fn from(name: Removable) -> Self {
        name.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn row_55a_what_readers_go_by_cannot_be_removed() {
        for good in ["Received", "received", "X-Originating-IP", "x-mailer", "User-Agent"] {
            assert_eq!(good.parse::<Removable>().unwrap().name(), good);
        }
        for bad in [
            "",
            "X-",
            "From",
            "To",
            "Date",
            "Message-ID",
            "Sender",
            "Subject",
            "DKIM-Signature",
            "X-a:b",
            "X-\u{e4}",
            "X a",
            "X-a b",
        ] {
            assert!(bad.parse::<Removable>().unwrap_err().contains("can't be removed"), "{bad}");
        }
    }
}
