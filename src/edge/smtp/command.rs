//! One command line, read strictly and without I/O: RFC 5321 section 4.1 and the extensions that we announce.

pub mod asked;
pub mod parameters;

use std::net::{Ipv4Addr, Ipv6Addr};

use super::chunk::Chunk;
use super::line::Said;
use crate::config::slice::Extension;
use crate::mail::address::{Address, ReversePath};
use crate::mail::dsn::Wish;
use crate::mail::envelope::{Manner, Utf8};
use crate::mail::hold::Hold;
use asked::Asked;

/// Octets of a command line with its CRLF, by verb: MAIL and RCPT bear paths and parameters, AUTH a response of RFC 4954
/// section 4.
const LINE: usize = 512;
const PATH_LINE: usize = 2048;
pub const AUTH_LINE: usize = 12288;
/// Told apart from all others: after a BDAT line that can't be read nobody knows what is content and what a command.
pub const CHUNK_LINE: usize = LINE + 1;
/// RFC 5321 section 4.5.3.1.3, with the angle brackets.
const MAX_PATH: usize = 256;
const MAX_HELLO: usize = 255;

#[derive(Debug, PartialEq, Eq)]
pub enum Command {
    Helo(String),
    Ehlo(String),
    /// The name, unless it is none.
    Lhlo(Option<String>),
    Starttls,
    Auth {
        asked: Asked,
        /// As it was said: base64, or `=`.
        initial: Option<Said>,
    },
    Mail(Box<Mail>),
    Rcpt(Box<Rcpt>),
    Data,
    Bdat(Chunk),
    Rset,
    Noop,
    Quit,
    Help,
    Vrfy,
    Expn,
    /// With its attributes, unread.
    Xclient(String),
    Xforward(String),
}

/// MAIL: the sender, and what it wants done.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Mail {
    pub from: ReversePath,
    pub size: Option<u64>,
    /// It says what its content is.
    pub body: bool,
    pub hold: Option<Hold>,
    pub manner: Manner,
}

impl Mail {
    /// Those whose parameters it bears.
    pub fn extensions(&self) -> impl Iterator<Item = Extension> {
        let report = &self.manner.report;
        let borne = [
            (self.size.is_some(), Extension::Size),
            (self.body, Extension::EightBit),
            (self.manner.utf8 != Utf8::None, Extension::Utf8),
            (self.manner.require_tls, Extension::RequireTls),
            (report.ret.is_some() || report.envid.is_some(), Extension::Dsn),
        ];
        borne.into_iter().filter(|(is_borne, _)| *is_borne).map(|(_, extension)| extension)
    }
}

/// RCPT: a recipient, and what it is to be told.
#[derive(Debug, PartialEq, Eq)]
pub struct Rcpt {
    pub recipient: Recipient,
    pub wish: Wish,
    /// It was said in UTF-8, which its transaction must ask for.
    pub utf8: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Recipient {
    Mailbox(Address),
    /// `<postmaster>` without a domain (RFC 5321 section 4.5.1).
    Postmaster,
}

/// What is wrong with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A control character, NUL, bare CR or LF, or an octet above 127.
    Octets,
    UnknownVerb,
    /// A verb that we know and don't offer.
    NotOffered,
    /// A BDAT that doesn't say how much follows it: what follows are no commands, and the session can't go on.
    Chunk,
    /// HELO or EHLO with a name that is none.
    Hello,
    /// An argument where there may be none, or none where there must be one.
    Argument,
    Sender,
    Recipient,
    /// A sender or recipient at an address literal.
    SenderLiteral,
    RecipientLiteral,
    /// In UTF-8, which the transaction doesn't ask for.
    SenderUtf8,
    RecipientUtf8,
    UnknownParameter,
    /// Said twice, or with a value that it can't have.
    Parameter(&'static str),
}

/// How long the line that begins like this may be, with its CRLF.
pub fn limit(begin: &[u8]) -> usize {
    let is = |verb: &[u8]| begin.get(..verb.len()).is_some_and(|head| head.eq_ignore_ascii_case(verb));
    match () {
        () if is(b"MAIL ") || is(b"RCPT ") => PATH_LINE,
        () if is(b"AUTH ") => AUTH_LINE,
        () if is(b"BDAT") => CHUNK_LINE,
        () => LINE,
    }
}

/// Whether this is the beginning of another protocol: TLS, HTTP, SSH. A browser that was tricked into speaking to us must
/// not get a word of its own back (ALPACA).
pub fn is_foreign(begin: &[u8]) -> bool {
    const FOREIGN: [&[u8]; 11] = [
        b"\x16\x03",
        b"GET ",
        b"POST ",
        b"PUT ",
        b"HEAD ",
        b"OPTIONS ",
        b"CONNECT ",
        b"DELETE ",
        b"PATCH ",
        b"PRI ",
        b"SSH-",
    ];
    FOREIGN.iter().any(|other| begin.starts_with(other))
}

/// Reads one line, without its CRLF. A TAB is no separator: it once sent passwords to a log.
pub fn parse(line: &[u8]) -> Result<Command, Fault> {
    // UTF-8 is where addresses are, and nowhere else (RFC 6531 section 3.3).
    let most = if limit(line) == PATH_LINE { u8::MAX } else { b'~' };
    if !line.iter().all(|octet| (b' '..=most).contains(octet) && *octet != 0x7f) {
        return Err(if limit(line) == CHUNK_LINE { Fault::Chunk } else { Fault::Octets });
    }
    let line = std::str::from_utf8(line).map_err(|_| Fault::Octets)?.trim_end_matches(' ');
    let (verb, rest) = line.split_once(' ').map_or((line, None), |(verb, rest)| (verb, Some(rest)));
    let alone = |command: Command| if rest.is_none() { Ok(command) } else { Err(Fault::Argument) };
    match verb.to_ascii_uppercase().as_str() {
        "EHLO" => hello(rest).map(Command::Ehlo),
        "XCLIENT" => Ok(Command::Xclient(rest.unwrap_or_default().to_owned())),
        "XFORWARD" => Ok(Command::Xforward(rest.unwrap_or_default().to_owned())),
        "LHLO" => Ok(Command::Lhlo(hello(rest).ok())),
        "HELO" => hello(rest).map(Command::Helo),
        "MAIL" => mail(rest.unwrap_or_default()),
        "RCPT" => rcpt(rest.unwrap_or_default()),
        "AUTH" => auth(rest.unwrap_or_default()),
        "DATA" => alone(Command::Data),
        "RSET" => alone(Command::Rset),
        "QUIT" => alone(Command::Quit),
        "STARTTLS" => alone(Command::Starttls),
        "NOOP" => Ok(Command::Noop),
        "HELP" => Ok(Command::Help),
        "VRFY" => Ok(Command::Vrfy),
        "EXPN" => Ok(Command::Expn),
        "BDAT" => chunk(rest.unwrap_or_default()).map(Command::Bdat),
        "ETRN" | "ATRN" | "TURN" | "SEND" | "SOML" | "SAML" | "BURL" => Err(Fault::NotOffered),
        _ => Err(Fault::UnknownVerb),
    }
}

/// A domain, an address literal, or the bare name that many clients have (RFC 6409 section 4). Names with an underscore
/// are none, and are said all the same.
fn hello(name: Option<&str>) -> Result<String, Fault> {
    let name = name.filter(|name| name.len() <= MAX_HELLO).ok_or(Fault::Hello)?;
    let label = |label: &str| {
        !label.is_empty() && label.bytes().all(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_'))
    };
    let sound = match name.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']').is_some_and(is_literal),
        None => name.split('.').all(label),
    };
    if sound { Ok(name.to_owned()) } else { Err(Fault::Hello) }
}

/// What stands between the brackets of an address literal (RFC 5321 section 4.1.3).
fn is_literal(inner: &str) -> bool {
    match inner.split_at_checked(5) {
        Some((tag, address)) if tag.eq_ignore_ascii_case("IPv6:") => address.parse::<Ipv6Addr>().is_ok(),
        _ => inner.parse::<Ipv4Addr>().is_ok(),
    }
}

fn auth(rest: &str) -> Result<Command, Fault> {
    let (name, initial) = rest.split_once(' ').map_or((rest, None), |(name, initial)| (name, Some(initial)));
    if name.is_empty() || initial.is_some_and(|initial| initial.is_empty() || initial.contains(' ')) {
        return Err(Fault::Argument);
    }
    Ok(Command::Auth { asked: Asked::read(name), initial: initial.map(|initial| initial.as_bytes().into()) })
}

fn mail(rest: &str) -> Result<Command, Fault> {
    let rest = behind("FROM:", rest).ok_or(Fault::Argument)?;
    let (path, parameters) = path(rest).ok_or(Fault::Sender)?;
    let from = match path {
        "" => None,
        path if at_literal(path) => return Err(Fault::SenderLiteral),
        path => Some(Address::parse_international(path).map_err(|_| Fault::Sender)?),
    };
    let mail = parameters::of_mail(from, parameters)?;
    match mail.manner.utf8 {
        Utf8::None if !path.is_ascii() => Err(Fault::SenderUtf8),
        _ => Ok(Command::Mail(Box::new(mail))),
    }
}

fn rcpt(rest: &str) -> Result<Command, Fault> {
    let rest = behind("TO:", rest).ok_or(Fault::Argument)?;
    let (path, parameters) = path(rest).ok_or(Fault::Recipient)?;
    let recipient = match path {
        path if path.eq_ignore_ascii_case("postmaster") => Recipient::Postmaster,
        path if at_literal(path) => return Err(Fault::RecipientLiteral),
        path => Recipient::Mailbox(Address::parse_international(path).map_err(|_| Fault::Recipient)?),
    };
    let wish = parameters::of_rcpt(parameters)?;
    Ok(Command::Rcpt(Box::new(Rcpt { recipient, wish, utf8: !rest.is_ascii() })))
}

/// RFC 3030 section 2: how many octets follow, and whether they are the last.
fn chunk(rest: &str) -> Result<Chunk, Fault> {
    let (octets, last) = match rest.split_once(' ') {
        None => (rest, false),
        Some((octets, end)) if end.eq_ignore_ascii_case("LAST") => (octets, true),
        Some(_) => return Err(Fault::Chunk),
    };
    parameters::number(Some(octets).filter(|octets| !octets.is_empty()))
        .map(|octets| Chunk { octets, last })
        .ok_or(Fault::Chunk)
}

/// What follows `FROM:` or `TO:`, which is one word with the path. One blank between them is what Outlook and many
/// devices send, and means nothing else.
fn behind<'a>(keyword: &str, rest: &'a str) -> Option<&'a str> {
    let (head, rest) = rest.split_at_checked(keyword.len())?;
    head.eq_ignore_ascii_case(keyword).then(|| rest.strip_prefix(' ').unwrap_or(rest))
}

/// Whether it is MAIL or RCPT with that blank: those who follow its session see it.
pub fn has_blank(line: &[u8]) -> bool {
    let is = |begin: &[u8]| line.get(..begin.len()).is_some_and(|head| head.eq_ignore_ascii_case(begin));
    is(b"MAIL FROM: ") || is(b"RCPT TO: ")
}

/// The inside of the angle brackets, without a source route, and what follows them. A closing bracket in quotes doesn't
/// close.
fn path(text: &str) -> Option<(&str, &str)> {
    let inside = text.strip_prefix('<')?;
    let (mut quoted, mut escaped) = (false, false);
    let end = inside.bytes().position(|octet| {
        match octet {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'>' if !quoted => return true,
            _ => (),
        }
        false
    })?;
    let (path, rest) = (inside.get(..end)?, inside.get(end + 1..)?);
    (path.len() + 2 <= MAX_PATH).then_some(())?;
    Some((without_route(path)?, rest))
}

/// RFC 5321 appendix C: `@a,@b:user@c` is `user@c`. Nothing is ever routed by it.
fn without_route(path: &str) -> Option<&str> {
    if !path.starts_with('@') {
        return Some(path);
    }
    let (route, mailbox) = path.split_once(':')?;
    let hop = |hop: &str| hop.starts_with('@') && Address::parse_international(&format!("x{hop}")).is_ok();
    (!mailbox.is_empty() && route.split(',').all(hop)).then_some(mailbox)
}

fn at_literal(path: &str) -> bool {
    let literal = path.rsplit_once("@[").and_then(|(local, rest)| Some((local, rest.strip_suffix(']')?)));
    literal
        .is_some_and(|(local, inner)| is_literal(inner) && Address::parse_international(&format!("{local}@x")).is_ok())
}

#[cfg(test)]
#[path = "command/tests.rs"]
mod tests;
