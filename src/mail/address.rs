//! One mail address, by one strict grammar: RFC 5321 section 4.1.2, without source routes and address literals, and RFC
//! 6531 section 3.3 where it is asked for.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::international;

/// RFC 5321 section 4.5.3.1: octets of a local part, as it was given.
const MAX_LOCAL: usize = 64;
/// Octets of a domain (the same section), and of one of its labels (RFC 1035 section 2.3.4).
const MAX_DOMAIN: usize = 255;
const MAX_LABEL: usize = 63;
/// A path has 256 octets with its angle brackets.
const MAX_ADDRESS: usize = 254;

/// A mailbox in canonical form: the local part as it is meant, without quotes, and the domain as the DNS has it. Two
/// addresses are the same mailbox, for every decision, when they are equal: `"abc"@c` is `abc@C`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Address {
    local: String,
    domain: String,
}

/// MAIL FROM: `None` is the null reverse-path `<>`.
pub type ReversePath = Option<Address>;

/// Why a text is no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAnAddress(pub &'static str);

impl fmt::Display for NotAnAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for NotAnAddress {}

impl Address {
    /// Reads `local@domain`, all of it, in ASCII. No spaces, comments or angle brackets.
    pub fn parse(text: &str) -> Result<Self, NotAnAddress> {
        if text.is_ascii() { Self::parse_international(text) } else { Err(NotAnAddress("an octet that is not ASCII")) }
    }

    /// The same, in any script: a local part in UTF-8, a domain with U-labels, which becomes one of A-labels.
    pub fn parse_international(text: &str) -> Result<Self, NotAnAddress> {
        if text.len() > MAX_ADDRESS {
            return Err(NotAnAddress("longer than a path may be"));
        }
        if text.bytes().any(|octet| octet.is_ascii_control()) {
            return Err(NotAnAddress("a control character"));
        }
        let (given, domain) = split(text).ok_or(NotAnAddress("no @ behind a local part"))?;
        if given.len() > MAX_LOCAL {
            return Err(NotAnAddress("a local part longer than 64 octets"));
        }
        let local = match given.strip_prefix('"') {
            Some(rest) => unquote(rest)?,
            None if is_dot_string(given) => given.to_owned(),
            None => return Err(NotAnAddress("a local part that is no dot-string and not quoted")),
        };
        if local.is_empty() {
            return Err(NotAnAddress("an empty local part"));
        }
        if !international::is_sound(&local) {
            return Err(NotAnAddress("a local part that has another spelling, or characters that nobody sees"));
        }
        let domain = match domain.is_ascii() {
            true => domain.to_ascii_lowercase(),
            false => international::a_labels(domain).ok_or(NotAnAddress("a domain that has no name in the DNS"))?,
        };
        check_domain(&domain)?;
        // The name in the DNS is longer.
        if given.len() + 1 + domain.len() > MAX_ADDRESS {
            return Err(NotAnAddress("longer than a path may be"));
        }
        Ok(Self { local, domain })
    }

    /// What somebody wrote, as it stands in the log and in the queue: another spelling of the same domain would not be found.
    pub fn canonical(text: &str) -> String {
        Self::parse_international(text).map_or_else(|_| text.to_owned(), |address| address.to_string())
    }

    /// The local part as it is meant: quotes and backslashes are gone. For comparison, never to be written out as it is.
    pub fn local(&self) -> &str {
        &self.local
    }

    /// The domain in lower case, an A-label where it is international.
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// Whether it can be said only to who takes UTF-8 (RFC 6531). Its domain never needs that.
    pub fn is_international(&self) -> bool {
        !self.local.is_ascii()
    }

    /// Whether it has an encoded-word in it: there is no place for one in an address (RFC 2047 section 5), and yet some readers
    /// decode it there, and see another.
    pub fn is_encoded(&self) -> bool {
        self.local.split_once("=?").is_some_and(|(_, rest)| rest.contains("?="))
    }

    /// Whether the domain is fully qualified as far as its form tells (RFC 6409 section 4.2).
    pub fn is_qualified(&self) -> bool {
        self.domain.contains('.')
    }
}

/// The local part as given, and the domain. The border is the first @ outside quotes: in `"a@evil"@ok` the second, and
/// `user@a@b` has a domain that is none.
fn split(text: &str) -> Option<(&str, &str)> {
    if !text.starts_with('"') {
        return text.split_once('@');
    }
    let mut escaped = false;
    for (at, octet) in text.bytes().enumerate().skip(1) {
        match octet {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => {
                let (local, rest) = text.split_at_checked(at + 1)?;
                return Some((local, rest.strip_prefix('@')?));
            }
            _ => (),
        }
    }
    None
}

/// Quoted-string content up to its closing quote, which `split` has found.
fn unquote(rest: &str) -> Result<String, NotAnAddress> {
    let inner = rest.strip_suffix('"').ok_or(NotAnAddress("a quote that isn't closed"))?;
    let mut meant = String::with_capacity(inner.len());
    let mut octets = inner.chars();
    while let Some(octet) = octets.next() {
        match octet {
            '\\' => meant.push(octets.next().ok_or(NotAnAddress("a backslash before nothing"))?),
            other => meant.push(other),
        }
    }
    Ok(meant)
}

fn is_dot_string(text: &str) -> bool {
    text.split('.').all(|atom| !atom.is_empty() && atom.bytes().all(is_atext))
}

/// RFC 5322 section 3.2.3 and RFC 6532 section 3.2. `%`, `!` and `/` are among it, and have no meaning to us. Which characters
/// the octets above 127 may be is judged elsewhere.
pub(super) fn is_atext(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || !octet.is_ascii() || b"!#$%&'*+-/=?^_`{|}~".contains(&octet)
}

fn check_domain(domain: &str) -> Result<(), NotAnAddress> {
    if domain.starts_with('[') {
        return Err(NotAnAddress("an address literal instead of a domain"));
    }
    if domain.is_empty() || domain.len() > MAX_DOMAIN {
        return Err(NotAnAddress("a domain that is empty or longer than 255 octets"));
    }
    let label = |label: &str| {
        (1..=MAX_LABEL).contains(&label.len())
            && label.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    // A trailing dot makes an empty last label: another spelling of a domain would get around a rule about it.
    if domain.split('.').all(label) {
        Ok(())
    } else {
        Err(NotAnAddress("a domain that is not letters, digits, hyphens"))
    }
}

impl fmt::Display for Address {
    /// The one spelling that goes out: quoted only when it must be, so that no octet of it changes meaning downstream.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if is_dot_string(&self.local) {
            return write!(f, "{}@{}", self.local, self.domain);
        }
        f.write_str("\"")?;
        for octet in self.local.chars() {
            if matches!(octet, '"' | '\\') {
                f.write_str("\\")?;
            }
            write!(f, "{octet}")?;
        }
        write!(f, "\"@{}", self.domain)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl TryFrom<String> for Address {
    type Error = NotAnAddress;

    fn try_from(text: String) -> Result<Self, NotAnAddress> {
        Self::parse_international(&text)
    }
}

impl From<Address> for String {
    fn from(address: Address) -> Self {
        address.to_string()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn address(text: &str) -> Address {
        Address::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn rule_p1_lengths_and_octets_are_checked() {
        let local = |n| format!("{}@example.net", "a".repeat(n));
        assert!(Address::parse(&local(64)).is_ok());
        assert!(Address::parse(&local(65)).is_err());
        let label = "d".repeat(63);
        assert!(Address::parse(&format!("a@{label}.{label}.net")).is_ok());
        assert!(Address::parse(&format!("a@{label}d.net")).is_err());
        let long = format!("{label}.{label}.{label}.{}", "d".repeat(60));
        assert_eq!(format!("a@{long}").len(), 254);
        assert!(Address::parse(&format!("a@{long}")).is_ok());
        assert!(Address::parse(&format!("ab@{long}")).is_err());
        for bad in ["a\0@c.net", "a\r\n@c.net", "\"a\tb\"@c.net", "ä@c.net", "a@ä.net", "\"ä\"@c.net", "a\u{7f}@c.net"]
        {
            assert!(Address::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn rule_p2_an_empty_local_part_or_domain_never_passes() {
        for bad in
            ["", "@", "@c.net", "a@", "\"\"@c.net", "a", "a@.net", "a@c..net", ".a@c.net", "a.@c.net", "a..b@c.net"]
        {
            assert!(Address::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn rule_p4_quotes_stay_where_they_must_and_mean_nothing_where_not() {
        assert_eq!(address("\"abc\"@C.net"), address("abc@c.net"));
        assert_eq!(address("\"a\\bc\"@c.net").to_string(), "abc@c.net");
        assert_eq!(address("\"a b\"@c.net").to_string(), "\"a b\"@c.net");
        assert_eq!(address("\"a@evil\"@ok.net").domain(), "ok.net");
        assert_eq!(address("\"a@evil\"@ok.net").to_string(), "\"a@evil\"@ok.net");
        assert_eq!(address("\"a> SIZE=\"@ok.net").to_string(), "\"a> SIZE=\"@ok.net");
        assert_eq!(address(r#""o'x\"; --"@c.net"#).to_string(), r#""o'x\"; --"@c.net"#);
        for bad in
            ["\"a\nb\"@c.net", "\"a\\\rb\"@c.net", "\"a\"b\"@c.net", "\"a@c.net", "\"a\\\"@c.net", "a\"b\"@c.net"]
        {
            assert!(Address::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn rule_p5_old_routing_tricks_are_literal_or_refused() {
        assert_eq!(address("user%b.net@a.net").domain(), "a.net");
        assert_eq!(address("b.net!user@a.net").local(), "b.net!user");
        for bad in
            ["user@a.net@b.net", "user@a.net.", "@a.net:user@b.net", "user@a_b.net", "user@-a.net", "user@a-.net"]
        {
            assert!(Address::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn rule_p7_literals_are_no_domains_and_single_labels_are_not_qualified() {
        assert!(Address::parse("a@[192.0.2.1]").is_err());
        assert!(!address("a@localhost").is_qualified());
        assert!(address("a@example.net").is_qualified());
    }

    #[test]
    fn rule_x4_domains_compare_in_lower_case_and_local_parts_octet_by_octet() {
        assert_eq!(address("a@XN--Bcher-KVA.Example"), address("a@xn--bcher-kva.example"));
        assert_ne!(address("A@c.net"), address("a@c.net"));
    }

    #[test]
    fn rule_x3_rule_x4_other_scripts_are_taken_where_they_are_asked_for() {
        let read = |text: &str| Address::parse_international(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        let person = read("jörg@Bücher.example");
        assert_eq!((person.local(), person.domain()), ("jörg", "xn--bcher-kva.example"));
        assert_eq!(person, read("jörg@xn--bcher-kva.example"));
        assert_eq!(Address::canonical("jörg@bücher.example"), "jörg@xn--bcher-kva.example");
        assert_eq!(Address::canonical("no address"), "no address");
        assert_ne!(person, read("Jörg@xn--bcher-kva.example"));
        assert_eq!(read("\"jörg\"@c.net"), read("jörg@c.net"));
        assert_eq!(read("\"jö rg\"@c.net").to_string(), "\"jö rg\"@c.net");
        assert!(person.is_international() && !read("joerg@bücher.example").is_international());
        for text in ["jörg@c.net", "joerg@bücher.example"] {
            assert!(Address::parse(text).is_err(), "{text}");
        }
        for bad in
            ["jo\u{308}rg@c.net", "a\u{202e}b@c.net", "\"a\u{a0}b\"@c.net", "a@b\u{200b}c.net", "ö@", "a\u{85}@c.net"]
        {
            assert!(Address::parse_international(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn rule_p1_lengths_are_those_of_what_is_said_in_the_end() {
        let local = |n| format!("{}@c.net", "ö".repeat(n));
        assert!(Address::parse_international(&local(32)).is_ok() && Address::parse_international(&local(33)).is_err());
        // A name in the DNS is longer.
        let labels = |n| format!("abcdefghij@{}net", "ö.".repeat(n));
        assert!(
            Address::parse_international(&labels(30)).is_ok() && Address::parse_international(&labels(31)).is_err()
        );
    }

    proptest! {
        #[test]
        fn whatever_passes_in_any_script_reads_back_as_the_same(text in "\\PC{0,12}@\\PC{0,12}", more in "[a-zé界\"\\\\ .]{0,9}@[a-zü例-]{1,6}\\.net") {
            for text in [text, more] {
                if let Ok(once) = Address::parse_international(&text) {
                    prop_assert_eq!(Address::parse_international(&once.to_string()), Ok(once));
                }
            }
        }

        #[test]
        fn what_is_written_out_reads_back_as_the_same(local in "[ -~]{1,31}", domain in "[a-zA-Z0-9]{1,8}(\\.[a-z0-9]{1,8}){0,2}") {
            let quoted = local.replace('\\', "\\\\").replace('"', "\\\"");
            let once = Address::parse(&format!("\"{quoted}\"@{domain}")).unwrap();
            prop_assert_eq!(once.local(), &local);
            prop_assert_eq!(&Address::parse(&once.to_string()).unwrap(), &once);
        }

        #[test]
        fn whatever_passes_reads_back_as_the_same(text in "[ -~]{0,24}@[ -~]{0,12}") {
            if let Ok(once) = Address::parse(&text) {
                prop_assert_eq!(Address::parse(&once.to_string()), Ok(once));
            }
        }
    }
}
