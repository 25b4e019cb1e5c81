//! A submission as it is meant: the one model that every dialect fills in and `mime` writes.
//!
//! Its parts can only be made from text that is safe where it will stand, so what comes later needs no second look.

use std::time::Duration;

use jiff::Timestamp;

use super::media::MediaType;
use crate::ipc::label::Label;
use crate::ipc::token::Token;
use crate::mail::address::Address;
use crate::mail::facts::Changes;
use crate::policy::Grant;

/// Recipients of one submission, to, cc and bcc together.
pub const MAX_RECIPIENTS: usize = 50;
pub const MAX_REPLY_TO: usize = 10;
/// Characters of a display name, and of a subject.
pub const MAX_NAME: usize = 128;
pub const MAX_SUBJECT: usize = 255;
/// Octets of each of the two texts.
pub const MAX_TEXT: usize = 512 * 1024;
pub const MAX_ATTACHMENTS: usize = 20;
/// Octets of all attachments together, decoded.
pub const MAX_ATTACHED: usize = 10 * 1024 * 1024;
/// Octets of a file name: what file systems hold.
const MAX_FILENAME: usize = 255;
/// Octets of a Content-ID and of a Message-ID, so that the line stays short.
const MAX_CONTENT_ID: usize = 255;
/// Octets of an address in a list's text form: a name, an address, and the signs between.
const MAX_MAILBOX: usize = 4 * MAX_NAME + 320;

#[derive(Clone, Debug)]
pub struct Letter {
    pub from: Mailbox,
    pub to: Vec<Mailbox>,
    pub cc: Vec<Mailbox>,
    pub bcc: Vec<Mailbox>,
    pub reply_to: Vec<Mailbox>,
    pub subject: Option<HeaderText>,
    pub text: Option<String>,
    pub html: Option<String>,
    pub fields: Vec<super::field::Field>,
    pub attachments: Vec<Attachment>,
    /// When it is to leave; none: now.
    pub scheduled_at: Option<Timestamp>,
    /// How far ahead that lay when it was read, where its client said that and no time.
    pub scheduled_in: Option<Duration>,
    /// The client's own Message-ID, without its brackets; none: it gets one here.
    pub message_id: Option<String>,
    /// It is for a test, whatever its client's key is for, and never leaves.
    pub test: bool,
    /// What came with it to prove that a person wrote it; no part of the message.
    pub proof: Option<Token>,
    /// What its client says of it beside it, and by which API.
    pub label: Label,
    /// What was changed since the client wrote it.
    pub changes: Changes,
}

impl Letter {
    /// Changes what the credential's mail doesn't go out with: its sender, and fields that are removed.
    pub fn change(&mut self, grant: &Grant) {
        if let Some(other) = grant.rewritten(&self.from.address).cloned() {
            let given = std::mem::replace(&mut self.from.address, other);
            self.changes.author = Some(given.clone());
            self.changes.sender = Some(given);
        }
        let changes = &mut self.changes;
        self.fields.retain(|field| {
            let removed = grant.remove_headers.iter().find(|name| name.name().eq_ignore_ascii_case(&field.name));
            removed.inspect(|name| changes.remove(name.name())).is_none()
        });
    }

    /// The envelope's recipients, in order.
    pub fn recipients(&self) -> impl Iterator<Item = &Mailbox> {
        self.to.iter().chain(&self.cc).chain(&self.bcc)
    }
}

/// What is wrong with one value, before it is known where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flaw {
    pub code: &'static str,
    pub message: String,
}

pub fn flaw(code: &'static str, message: impl Into<String>) -> Flaw {
    Flaw { code, message: message.into() }
}

/// Text that may stand in a header: no line end, no control, nothing that another program might take for one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderText(String);

impl HeaderText {
    pub fn parse(text: &str, longest: usize) -> Result<Self, Flaw> {
        if text.chars().count() > longest {
            return Err(flaw("too_long", format!("is longer than {longest} characters")));
        }
        if text.chars().any(|c| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')) {
            return Err(flaw("control_character", "holds a line end or another control character"));
        }
        Ok(Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// One address with its display name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mailbox {
    pub name: Option<HeaderText>,
    pub address: Address,
    /// Where the client wrote it, in its dialect's words: the pointer of findings about it.
    pub pointer: String,
}

impl Mailbox {
    /// `address`, or `Name <address>` where a name with signs of its own stands in quotes.
    pub fn parse(text: &str, pointer: &str) -> Result<Self, Flaw> {
        if text.len() > MAX_MAILBOX {
            return Err(flaw("too_long", "is too long for an address and its name"));
        }
        let text = text.trim_matches(' ');
        match text.strip_suffix('>').and_then(|rest| rest.rsplit_once('<')) {
            Some((name, address)) => Self::named(&unquoted(name.trim_matches(' '))?, address, pointer),
            None => Self::named("", text, pointer),
        }
    }

    /// A name as it is meant, without quotes, and an address.
    pub fn named(name: &str, text: &str, pointer: &str) -> Result<Self, Flaw> {
        let name = HeaderText::parse(name, MAX_NAME)?;
        if name.0.chars().any(is_bidi_control) {
            return Err(flaw("control_character", "the name holds a sign that turns the direction of text"));
        }
        Ok(Self {
            name: Some(name).filter(|name| !name.0.is_empty()),
            address: address(text)?,
            pointer: pointer.to_owned(),
        })
    }
}

/// An address as a header and an upstream can carry it without quoting or SMTPUTF8. A domain in another script is called as the DNS
/// has it, as over SMTP.
fn address(text: &str) -> Result<Address, Flaw> {
    if text.contains(',') || text.contains(';') {
        return Err(flaw("invalid_address", "holds one address only; write several as an array"));
    }
    let address = Address::parse_international(text)
        .map_err(|error| flaw("invalid_address", format!("is not an address: {error}")))?;
    let plain = |part: &str, signs: &[u8]| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || signs.contains(&b))
    };
    if address.is_encoded() {
        Err(flaw("invalid_address", "is not an address: an encoded-word can't stand in one"))
    } else if plain(address.local(), b"!#$%&'*+-/=?^_`{|}~.") && plain(address.domain(), b"-.[]:") {
        Ok(address)
    } else {
        Err(flaw(
            "invalid_address",
            "is not an address that can be sent to: letters beyond ASCII before the @, and quotes, are not served",
        ))
    }
}

/// The display name before `<`. Signs that separate addresses must be quoted: a second address in front of the brackets
/// would be taken for a name and its mail would never leave.
fn unquoted(name: &str) -> Result<String, Flaw> {
    let refused = || flaw("invalid_address", "the name needs double quotes, or the form {\"email\": …, \"name\": …}");
    let Some(quoted) = name.strip_prefix('"') else {
        let plain = !name.contains(['"', '<', '>', '@', ',', ';', ':', '\\']);
        return if plain { Ok(name.to_owned()) } else { Err(refused()) };
    };
    let mut text = String::new();
    let mut signs = quoted.strip_suffix('"').ok_or_else(refused)?.chars();
    while let Some(sign) = signs.next() {
        match sign {
            '"' => return Err(refused()),
            '\\' => text.push(signs.next().ok_or_else(refused)?),
            other => text.push(other),
        }
    }
    Ok(text)
}

const fn is_bidi_control(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[derive(Clone, Debug)]
pub struct Attachment {
    pub filename: HeaderText,
    pub media: MediaType,
    pub content_id: Option<String>,
    /// Shown inside the message rather than beside it.
    pub inline: bool,
    pub content: Vec<u8>,
}

/// Some readers decode such words (RFC 2047) also where none may stand, as in quotes.
pub fn looks_encoded(text: &str) -> bool {
    text.contains("=?")
}

const DECODED: &str = "mail programs would take it for an encoded word and show another text";

/// A name, not a path.
pub fn filename(text: &str) -> Result<HeaderText, Flaw> {
    let name = HeaderText::parse(text, MAX_FILENAME)?;
    if name.0.len() > MAX_FILENAME {
        return Err(flaw("too_long", format!("is longer than {MAX_FILENAME} octets")));
    }
    if looks_encoded(text) {
        return Err(flaw("invalid_filename", format!("must not hold =?: {DECODED}")));
    }
    let is_name =
        !["", ".", ".."].contains(&text.trim()) && !text.contains(['/', '\\']) && !text.chars().any(is_bidi_control);
    if is_name { Ok(name) } else { Err(flaw("invalid_filename", "must be a file's name without a path")) }
}

/// A type for an attachment: one part, of any kind but those that are parts themselves and can't be in base64
/// (RFC 2046 sections 5.1 and 5.2).
pub fn attachment_type(text: &str) -> Result<MediaType, Flaw> {
    let refused = |message| Err(flaw("invalid_content_type", message));
    match MediaType::parse(text) {
        None => refused("is not a content type; write type/subtype"),
        Some(media) if media.essence.starts_with("multipart/") || media.essence.starts_with("message/") => {
            refused("multipart and message types can't be attached; use application/octet-stream")
        }
        Some(media) if media.parameters.iter().any(|(name, _)| name == "boundary") => {
            refused("must not have a boundary")
        }
        Some(media) if media.parameters.iter().any(|(_, value)| looks_encoded(value)) => {
            Err(flaw("invalid_content_type", format!("must not hold =? in a parameter: {DECODED}")))
        }
        Some(media) => Ok(media),
    }
}

/// `logo`, `<logo>` or `cid:logo`, as providers' clients write it; what is kept is the id alone.
pub fn content_id(text: &str) -> Result<String, Flaw> {
    let id = text.strip_prefix("cid:").unwrap_or(text);
    let id = id.strip_prefix('<').and_then(|rest| rest.strip_suffix('>')).unwrap_or(id);
    let plain = id.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~.@".contains(&b));
    if !id.is_empty() && id.len() <= MAX_CONTENT_ID && plain {
        Ok(id.to_owned())
    } else {
        Err(flaw("invalid_content_id", "must be a short word of ASCII letters, digits and signs"))
    }
}

/// A Message-ID in the form that every reader takes, with its brackets or without: `dot-atom@dot-atom` (RFC 5322 section 3.6.4).
/// Its quoted and literal forms are not served.
pub fn message_id(text: &str) -> Result<String, Flaw> {
    let id = text.strip_prefix('<').and_then(|rest| rest.strip_suffix('>')).unwrap_or(text);
    let is_atom = |part: &str| {
        let is_plain = part.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&b));
        !part.is_empty() && is_plain
    };
    let is_dotted = |side: &str| side.split('.').all(is_atom);
    match id.split_once('@') {
        Some((left, right)) if id.len() <= MAX_CONTENT_ID && is_dotted(left) && is_dotted(right) => Ok(id.to_owned()),
        _ => Err(flaw(
            "invalid_message_id",
            format!("must be as <order-17.1@shop.example>, in at most {MAX_CONTENT_ID} ASCII characters"),
        )),
    }
}

/// A Message-ID that can be told in its brackets: whatever a client wrote into that field goes on as it is.
pub fn is_shown(id: &str) -> bool {
    id.contains('@')
        && id.len() <= MAX_CONTENT_ID
        && !id.chars().any(|c| c.is_control() || matches!(c, ' ' | '<' | '>'))
}

/// A body's text. NUL is what many programs stop reading at.
pub fn text(text: &str) -> Result<String, Flaw> {
    if text.len() > MAX_TEXT {
        Err(flaw("too_long", format!("is longer than {MAX_TEXT} octets")))
    } else if text.contains('\0') {
        Err(flaw("control_character", "holds a NUL"))
    } else {
        Ok(text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mailbox(text: &str) -> Result<(String, String), &'static str> {
        let parsed = Mailbox::parse(text, "/to").map_err(|flaw| flaw.code)?;
        Ok((parsed.name.map_or_else(String::new, |name| name.0), parsed.address.to_string()))
    }

    #[test]
    fn addresses_are_read_with_and_without_names() {
        let good = [
            ("a@example.net", "", "a@example.net"),
            ("<a@example.net>", "", "a@example.net"),
            (" Ann <a@example.net> ", "Ann", "a@example.net"),
            ("Ann B. (Sales) <a@example.net>", "Ann B. (Sales)", "a@example.net"),
            ("\"Doe, \\\"Ann\\\" <x>\" <a@example.net>", "Doe, \"Ann\" <x>", "a@example.net"),
            ("Jürgen Ł <a@example.net>", "Jürgen Ł", "a@example.net"),
            ("Ann <x@Bücher.example>", "Ann", "x@xn--bcher-kva.example"),
        ];
        for (text, name, address) in good {
            assert_eq!(mailbox(text), Ok((name.into(), address.into())), "{text}");
        }
    }

    #[test]
    fn two_addresses_in_one_text_are_never_taken_for_one() {
        for text in [
            "a@example.net, b@example.net",
            "a@example.net;b@example.net",
            "a@example.net, Ann <b@example.net>",
            "<a@example.net> <b@example.net>",
            "jürgen@example.net",
            "Ann <a@example.net>, Bob <b@example.net>",
        ] {
            assert_eq!(mailbox(text), Err("invalid_address"), "{text}");
        }
    }

    #[test]
    fn rule_h8_nothing_that_ends_a_line_gets_into_a_header() {
        for text in ["a\r\nBcc: x@evil.example", "a\nb", "a\rb", "a\0b", "a\tb", "a\u{85}b", "a\u{2028}b"] {
            assert_eq!(HeaderText::parse(text, 255).unwrap_err().code, "control_character", "{text:?}");
            assert!(Mailbox::named(text, "a@example.net", "").is_err());
            assert!(Mailbox::parse(&format!("{text} <a@example.net>"), "").is_err());
            assert!(Mailbox::parse(&format!("{text}@example.net"), "").is_err());
            assert!(Mailbox::parse(&format!("a@{text}.example.net"), "").is_err());
            assert!(filename(text).is_err());
            assert!(content_id(text).is_err());
            assert!(attachment_type(&format!("text/{text}")).is_err());
        }
    }

    #[test]
    fn a_file_name_is_no_path_and_a_name_turns_no_text() {
        for text in ["", ".", "..", "a/b", "a\\b", "gpj.\u{202e}exe", &"x".repeat(256)] {
            assert!(filename(text).is_err(), "{text:?}");
        }
        assert!(Mailbox::named("\u{202e}Ann", "a@example.net", "").is_err());
        assert!(filename("Jahresabschluß 2024.pdf").is_ok());
    }

    #[test]
    fn rule_h8_a_message_id_of_a_client_has_one_form() {
        for text in ["<a.b-1@shop.example>", "a.b-1@shop.example"] {
            assert_eq!(message_id(text).unwrap(), "a.b-1@shop.example");
        }
        let long = format!("{}@shop.example", "x".repeat(250));
        for text in [
            "",
            "<>",
            "a",
            "a@",
            "@b",
            "a@b@c",
            "a..b@c",
            ".a@b",
            "a@b.",
            "<a@b",
            "a@b>",
            "<a@b> <c@d>",
            "a b@c",
            "a@[::1]",
            "\"a\"@b",
            "a@b\r\nBcc: x",
            "a@b\n",
            "ä@b",
            &long,
        ] {
            assert_eq!(message_id(text).unwrap_err().code, "invalid_message_id", "{text:?}");
        }
    }

    #[test]
    fn content_ids_are_taken_in_the_forms_that_clients_use() {
        for text in ["logo", "<logo>", "cid:logo"] {
            assert_eq!(content_id(text).unwrap(), "logo");
        }
        for text in ["", "<>", "a b", "a>b", &"x".repeat(256)] {
            assert!(content_id(text).is_err(), "{text:?}");
        }
    }
}
