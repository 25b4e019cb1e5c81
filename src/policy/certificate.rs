//! Certificates of clients: what one shows of itself, and which a credential wants.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Names of one certificate that are looked at.
pub const MOST_NAMES: usize = 16;

/// What a verified certificate shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Presented {
    /// SHA-256 of its public key (SubjectPublicKeyInfo, RFC 5280 section 4.1.2.7): the same as long as its key is renewed
    /// with it.
    pub key: [u8; 32],
    /// Its DNS names in lower case, `MOST_NAMES` at most. No wildcards: they name nobody.
    pub names: Vec<String>,
}

/// One of `certificates` of a credential.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Wanted {
    /// `sha256:HEX`: the certificate of this public key.
    Key([u8; 32]),
    /// `dns:NAME`: any certificate under the listener's authorities that bears this DNS name.
    Name(String),
}

impl Wanted {
    pub fn is(&self, presented: &Presented) -> bool {
        match self {
            Self::Key(key) => *key == presented.key,
            Self::Name(name) => presented.names.contains(name),
        }
    }
}

/// As it is written in `certificates`.
impl fmt::Display for Presented {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Wanted::Key(self.key).fmt(f)
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(key) => {
                f.write_str("sha256:")?;
                key.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
            }
            Self::Name(name) => write!(f, "dns:{name}"),
        }
    }
}

impl FromStr for Wanted {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wanted = match text.split_once(':') {
            Some(("sha256", hex)) => key(hex).map(Self::Key),
            Some(("dns", name)) => is_name(name).then(|| Self::Name(name.to_ascii_lowercase())),
            _ => None,
        };
        wanted.ok_or_else(|| {
            format!("{text:?}: write \"sha256:\" and 64 hexadecimal digits of the public key's hash, or \"dns:NAME\"")
        })
    }
}

fn key(hex: &str) -> Option<[u8; 32]> {
    if hex.len() != 64 || !hex.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    let mut key = [0; 32];
    for (octet, at) in key.iter_mut().zip((0..).step_by(2)) {
        *octet = u8::from_str_radix(hex.get(at..at + 2)?, 16).ok()?;
    }
    Some(key)
}

/// Labels of letters, digits, hyphens and underscores, with a dot between them.
fn is_name(name: &str) -> bool {
    let sound = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    name.len() <= 253 && name.split('.').all(|label| (1..=63).contains(&label.len()) && label.chars().all(sound))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rule_t9_a_certificate_is_wanted_by_its_whole_key_or_by_a_whole_name() {
        let presented = Presented { key: [0xab; 32], names: vec!["printer.example.net".into()] };
        let is = |text: &str| text.parse::<Wanted>().unwrap().is(&presented);
        assert_eq!(presented.to_string(), format!("sha256:{}", "ab".repeat(32)));
        assert!(is(&presented.to_string()) && is(&format!("sha256:{}", "AB".repeat(32))));
        assert!(is("dns:printer.example.net") && is("dns:Printer.Example.NET"));
        assert!(
            !is(&format!("sha256:{}ac", "ab".repeat(31))) && !is("dns:example.net") && !is("dns:a.printer.example.net")
        );
        let long = format!("sha256:{}", "ab".repeat(33));
        for bad in
            ["", "sha256:", "sha256:abc", &long, "dns:", "dns:*.example.net", "dns:a..b", "CN=printer", "sha1:ab"]
        {
            assert!(bad.parse::<Wanted>().is_err(), "{bad}");
        }
    }
}
