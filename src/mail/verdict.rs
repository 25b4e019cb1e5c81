//! Authentication-Results: in whose name a verdict is told (RFC 8601 section 2.2).
//!
//! Who trusts a gate's name trusts what stands behind it, so none may pass that somebody reads as ours; and readers skip
//! comments, take quotes for what is in them, and forgive.

use super::header::Field;
use super::international;
use super::mailbox::Reader;

/// Whether a verdict may be read as one of this host's: it names the host, or can't be read as the name of any.
pub fn is_of(field: &Field<'_>, hostname: &str) -> bool {
    authority(&field.text()).is_none_or(|authority| authority.eq_ignore_ascii_case(hostname.trim_end_matches('.')))
}

/// `[CFWS] authserv-id [[CFWS] version] [CFWS]` and a semicolon, or the end. The id as the DNS has it, without a last dot.
fn authority(text: &str) -> Option<String> {
    let mut reader = Reader::new(text.as_bytes());
    reader.blank().ok()?;
    let id = match reader.peek()? {
        b'"' => {
            let quoted = reader.taken(Reader::quoted).ok()?;
            let mut meant = Vec::with_capacity(quoted.len());
            let mut octets = quoted.get(1..quoted.len() - 1)?.iter();
            while let Some(octet) = octets.next() {
                meant.push(if *octet == b'\\' { *octets.next()? } else { *octet });
            }
            String::from_utf8(meant).ok()?
        }
        _ => std::str::from_utf8(reader.run(is_token)).ok().filter(|token| !token.is_empty())?.to_owned(),
    };
    reader.blank().ok()?;
    if !reader.run(|octet| octet.is_ascii_digit()).is_empty() {
        reader.blank().ok()?;
    }
    if !matches!(reader.peek(), None | Some(b';')) {
        return None;
    }
    let name = id.trim_end_matches('.');
    if name.is_ascii() { Some(name.to_owned()) } else { international::a_labels(name) }
}

/// RFC 2045 section 5.1, and UTF-8 (RFC 8601 section 2.2).
fn is_token(octet: u8) -> bool {
    matches!(octet, b'!'..=b'~' | 0x80..) && !b"()<>@,;:\\\"/[]?=".contains(&octet)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_ours(body: &str) -> bool {
        let whole = format!("Authentication-Results:{body}\r\n");
        let field = Field { name: "Authentication-Results", whole: whole.as_bytes() };
        ["gate.buecher.example", "xn--bcher-kva.example"].iter().any(|hostname| is_of(&field, hostname))
    }

    #[test]
    fn rule_h7_our_name_is_ours_in_whatever_spelling() {
        for body in [
            " gate.buecher.example; auth=pass",
            "GATE.buecher.Example;none",
            "\r\n\tgate.buecher.example; auth=pass",
            " (x) gate.buecher.example; auth=pass",
            " (a (b) \\) c)\r\n (d)gate.buecher.example(e) 1 (f); spf=pass",
            "\r\n (c)\r\n gate.buecher.example 1; spf=pass",
            " \"gate.buecher.example\"; auth=pass",
            " \"gate\\.buecher\\.example\" 1; auth=pass",
            " gate.buecher.example.; x=y",
            " \"gate.buecher.example..\"; x=y",
            " gate.buecher.example",
            " xn--bcher-kva.example; spf=pass",
            " B\u{fc}cher.example; spf=pass",
            " \"b\u{fc}cher.example.\"; spf=pass",
        ] {
            assert!(is_ours(body), "{body:?}");
        }
    }

    #[test]
    fn rule_h7_what_cannot_be_read_as_anybodys_may_be_read_as_ours() {
        for body in [
            "",
            " ",
            " ; auth=pass",
            " gate.buecher.example/1; x=pass",
            " other.net gate.buecher.example; auth=pass",
            " spf=pass smtp.mailfrom=gate.buecher.example",
            " (gate.buecher.example; auth=pass",
            " \"gate.buecher.example; auth=pass",
            " \"other.net\"gate.buecher.example; auth=pass",
            " <gate.buecher.example>; auth=pass",
            " b\u{fc}\u{ad}cher.example; auth=pass",
            " other.net 1 2; auth=pass",
        ] {
            assert!(is_ours(body), "{body:?}");
        }
    }

    #[test]
    fn rule_h7_others_may_speak_for_themselves() {
        for body in [
            " other.net; spf=fail",
            " (gate.buecher.example) other.net 1; spf=fail",
            " \"other.net\"; auth=pass (gate.buecher.example)",
            " gate.buecher.example.net; none",
            " x.gate.buecher.example; none",
            " m\u{fc}ller.example; none",
            " gmail-imap.l.other.net",
        ] {
            assert!(!is_ours(body), "{body:?}");
        }
    }
}
