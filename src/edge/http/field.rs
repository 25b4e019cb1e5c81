//! Header fields that a client may add of its own, and how each is written.

use super::letter::{Flaw, HeaderText, flaw};

pub const MAX_FIELDS: usize = 30;
/// Octets of a name, of a value, and of all of them: what providers take too, so nothing accepted here fails there.
const MAX_NAME: usize = 100;
const MAX_VALUE: usize = 2048;
pub const MAX_TOTAL: usize = 16 * 1024;
/// Octets between two places where a line may be folded, so that no line grows beyond 998 (RFC 5322 section 2.1.1).
const MAX_WORD: usize = 900;

/// Fields that are allowed by name, in lower case. Those of free text are encoded when they aren't ASCII; the others have
/// a grammar, in which an encoded word would be nonsense.
const ALLOWED: [(&str, Kind); 13] = [
    ("archived-at", Kind::Structured),
    ("auto-submitted", Kind::Structured),
    ("comments", Kind::Free),
    ("content-language", Kind::Structured),
    ("feedback-id", Kind::Structured),
    ("importance", Kind::Structured),
    ("in-reply-to", Kind::Structured),
    ("keywords", Kind::Free),
    ("organization", Kind::Free),
    ("precedence", Kind::Structured),
    ("priority", Kind::Structured),
    ("references", Kind::Structured),
    ("sensitivity", Kind::Structured),
];
/// Fields that some provider reads for itself, and finds recipients or orders for some of them in: SendGrid, SparkPost, Mandrill and
/// Mailgun. Policy, limits and audit log would know nothing of these.
const ORDERS: [&str; 4] = ["x-mailgun-recipient-variables", "x-mc-bccaddress", "x-msys-api", "x-smtpapi"];
const ALLOWED_PREFIXES: [(&str, Kind); 2] = [("x-", Kind::Free), ("list-", Kind::Structured)];
/// Fields that have a member of their own.
const MEMBERS: [(&str, &str); 6] =
    [("from", "from"), ("to", "to"), ("cc", "cc"), ("bcc", "bcc"), ("reply-to", "reply_to"), ("subject", "subject")];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Free,
    Structured,
}

#[derive(Clone, Debug)]
pub struct Field {
    pub name: String,
    pub value: HeaderText,
    pub kind: Kind,
}

impl Field {
    pub fn parse(name: &str, value: &str) -> Result<Self, Flaw> {
        let kind = kind(name)?;
        if value.len() > MAX_VALUE {
            return Err(flaw("too_long", format!("is longer than {MAX_VALUE} octets")));
        }
        let value = value.trim_matches(' ');
        let text = HeaderText::parse(value, MAX_VALUE)?;
        if value.is_empty() {
            return Err(flaw("required", "is empty"));
        }
        if kind == Kind::Structured && !value.is_ascii() {
            return Err(flaw("invalid_header_value", "must be ASCII in this field"));
        }
        if longest_word(value) > MAX_WORD {
            return Err(flaw("too_long", format!("has more than {MAX_WORD} octets without a space")));
        }
        Ok(Self { name: name.to_owned(), value: text, kind })
    }

    pub fn octets(&self) -> usize {
        self.name.len() + self.value.as_str().len()
    }
}

fn kind(name: &str) -> Result<Kind, Flaw> {
    if name.len() > MAX_NAME {
        return Err(flaw("too_long", format!("the name is longer than {MAX_NAME} octets")));
    }
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_') {
        return Err(flaw("invalid_header_name", "the name must be letters, digits and hyphens"));
    }
    let lower = name.to_ascii_lowercase();
    if let Some((_, member)) = MEMBERS.iter().find(|(field, _)| *field == lower) {
        return Err(flaw("header_not_allowed", format!("this field is written from the member {member}: use that")));
    }
    if ORDERS.contains(&lower.as_str()) {
        let message = "a provider reads recipients in this field that nobody here would know of: use to, cc and bcc";
        return Err(flaw("header_not_allowed", message));
    }
    let by_name = ALLOWED.iter().find(|(field, _)| *field == lower);
    let by_prefix =
        || ALLOWED_PREFIXES.iter().find(|(prefix, _)| lower.len() > prefix.len() && lower.starts_with(prefix));
    by_name.or_else(by_prefix).map(|row| row.1).ok_or_else(|| {
        flaw("header_not_allowed", "this field can't be set; X-*, List-*, References, In-Reply-To and a few more can")
    })
}

/// The longest run of spaces with the word behind it: lines are folded in front of such runs only.
fn longest_word(value: &str) -> usize {
    let (mut longest, mut current, mut in_word) = (0, 0, false);
    for octet in value.bytes() {
        if octet == b' ' && in_word {
            current = 0;
        }
        in_word = octet != b' ';
        current += 1;
        longest = longest.max(current);
    }
    longest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(name: &str, value: &str) -> &'static str {
        Field::parse(name, value).map_or_else(|flaw| flaw.code, |_| "ok")
    }

    #[test]
    fn fields_that_are_ours_or_have_a_member_are_refused() {
        for name in [
            "X-Campaign",
            "X-MC-Tags",
            "X-SES-CONFIGURATION-SET",
            "List-Unsubscribe",
            "in-reply-to",
            "References",
            "Auto-Submitted",
        ] {
            assert_eq!(code(name, "<a@b>"), "ok", "{name}");
        }
        for name in [
            "From",
            "BCC",
            "Date",
            "Message-ID",
            "Received",
            "Return-Path",
            "DKIM-Signature",
            "ARC-Seal",
            "MIME-Version",
            "Content-Type",
            "Resent-To",
            "Sender",
            "X-",
            "List-",
            "X-SMTPAPI",
            "X-MSYS-API",
            "x-mc-BccAddress",
            "X-Mailgun-Recipient-Variables",
        ] {
            assert_eq!(code(name, "a"), "header_not_allowed", "{name}");
        }
    }

    #[test]
    fn neither_name_nor_value_can_begin_another_field() {
        for name in ["X-A\r\nBcc", "X-A: b\r\nBcc", "X A", "X-A:", "", "X-\u{e4}"] {
            assert_eq!(code(name, "a"), "invalid_header_name", "{name:?}");
        }
        for value in ["a\r\nBcc: x", "a\nb", "a\rb", "a\0b", "a\tb"] {
            assert_eq!(code("X-A", value), "control_character", "{value:?}");
        }
    }

    #[test]
    fn values_that_no_line_can_hold_are_refused() {
        assert_eq!(code("X-A", &"a".repeat(901)), "too_long");
        assert_eq!(code("X-A", &format!("a{}b", " ".repeat(901))), "too_long");
        assert_eq!(code("X-A", &"word ".repeat(409)), "ok");
        assert_eq!(code("X-A", &"word ".repeat(411)), "too_long");
        assert_eq!(code("References", "<\u{e4}@b>"), "invalid_header_value");
        assert_eq!(code("X-A", " "), "required");
    }
}
