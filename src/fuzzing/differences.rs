//! Where our reader of commands and that of the crate `smtp-proto` differ, and why: a difference that is not listed here is a
//! finding. docs/fuzzing.md has the list in words.

use smtp_proto::{AUTH_LOGIN, AUTH_PLAIN, MAIL_REQUIRETLS, MAIL_RET_FULL, MAIL_RET_HDRS, MAIL_SMTPUTF8, Request};

use crate::edge::smtp::command::{self, Command, Fault, Mail, Recipient};
use crate::mail::address::Address;
use crate::mail::dsn::Ret;
use crate::mail::envelope::Utf8;
use crate::policy::mechanism::Mechanism;

/// Why the two don't agree on a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Difference {
    /// Control characters and octets above 127: theirs takes them as a part of a word, and passes over CR and TAB.
    Octets,
    /// Theirs takes blanks before a verb and inside `FROM:<`, and passes over arguments where there may be none.
    Blanks,
    /// Verbs that one of them doesn't know, or doesn't offer.
    Verb,
    /// VRFY and EXPN need an argument there; what stands behind NOOP and HELP is one word there.
    Idle,
    /// What is no domain and no literal is the name of a host there.
    Name,
    /// Addresses that ours doesn't take, or that only ours takes: quoted, in UTF-8, at a literal, too long, with a route.
    Path,
    /// Theirs takes off quotes and backslashes and leaves the case and the route as they were said.
    Spelling,
    /// `<postmaster>` is the empty address there.
    Postmaster,
    /// Which parameters there are, what values they may have, and how often each may be said.
    Parameters,
    /// Theirs knows another list of mechanisms.
    Mechanism,
    /// Numbers beyond 64 bits wrap or end at another place there.
    Number,
}

/// Panics where the two differ and no reason is known.
pub fn check(line: &[u8]) {
    let framed = [line, b"\r\n"].concat();
    let ours = command::parse(line);
    let theirs = Request::parse(&mut framed.iter());
    let known = match (&ours, &theirs) {
        (Err(_), Err(_)) => return,
        (Ok(ours), Ok(theirs)) => match same(ours, theirs) {
            Some(true) => return,
            Some(false) => None,
            None => spelled(line, ours),
        },
        (Err(fault), Ok(_)) => stricter(line, *fault),
        (Ok(ours), Err(_)) => looser(line, ours),
    };
    assert!(known.is_some(), "{:?}: {ours:?}, and theirs is {theirs:?}", String::from_utf8_lossy(line));
}

/// Whether two commands are the same; none when their addresses alone differ.
fn same<T: AsRef<str>>(ours: &Command, theirs: &Request<T>) -> Option<bool> {
    Some(match (ours, theirs) {
        (Command::Ehlo(name), Request::Ehlo { host }) | (Command::Helo(name), Request::Helo { host }) => {
            name == host.as_ref()
        }
        (Command::Bdat(chunk), Request::Bdat { chunk_size, is_last }) => {
            (chunk.octets, chunk.last) == (*chunk_size as u64, *is_last)
        }
        (Command::Auth { mechanism: None, .. }, Request::Auth { .. }) => true,
        (Command::Auth { mechanism: Some(ours), initial }, Request::Auth { mechanism, initial_response }) => {
            let bit = match ours {
                Mechanism::Plain => AUTH_PLAIN,
                Mechanism::Login => AUTH_LOGIN,
                // Theirs have other names for the rest.
                _ => *mechanism,
            };
            let said = initial.as_deref().unwrap_or_default();
            bit == *mechanism && said == initial_response.as_ref().as_bytes()
        }
        (Command::Mail(mail), Request::Mail { from }) => {
            if !parameters(mail, from.flags, from.size, from.env_id.is_some()) {
                return Some(false);
            }
            return address(mail.from.as_ref(), from.address.as_ref());
        }
        (Command::Rcpt(rcpt), Request::Rcpt { to }) => match &rcpt.recipient {
            Recipient::Postmaster => return None,
            Recipient::Mailbox(ours) => return address(Some(ours), to.address.as_ref()),
        },
        (Command::Lhlo(_), Request::Lhlo { .. })
        | (Command::Starttls, Request::StartTls)
        | (Command::Data, Request::Data)
        | (Command::Rset, Request::Rset)
        | (Command::Quit, Request::Quit)
        | (Command::Noop, Request::Noop { .. })
        | (Command::Help, Request::Help { .. })
        | (Command::Vrfy, Request::Vrfy { .. })
        | (Command::Expn, Request::Expn { .. }) => true,
        _ => false,
    })
}

fn parameters(mail: &Mail, flags: u64, size: usize, envid: bool) -> bool {
    let report = &mail.manner.report;
    let ret = match report.ret {
        None => 0,
        Some(Ret::Full) => MAIL_RET_FULL,
        Some(Ret::Headers) => MAIL_RET_HDRS,
    };
    mail.size.unwrap_or_default() == size as u64
        && (mail.manner.utf8 != Utf8::None) == (flags & MAIL_SMTPUTF8 != 0)
        && mail.manner.require_tls == (flags & MAIL_REQUIRETLS != 0)
        && ret == flags & (MAIL_RET_FULL | MAIL_RET_HDRS)
        && report.envid.is_some() == envid
}

/// The same to the letter, save for the case of the domain; none when it isn't.
fn address(ours: Option<&Address>, theirs: &str) -> Option<bool> {
    let Some(ours) = ours else { return Some(theirs.is_empty()) };
    let (local, domain) = theirs.rsplit_once('@')?;
    (ours.local() == local && ours.domain().eq_ignore_ascii_case(domain)).then_some(true)
}

/// Both take it, and read another address.
fn spelled(line: &[u8], ours: &Command) -> Option<Difference> {
    let inside = path(line)?;
    match ours {
        Command::Rcpt(rcpt) if rcpt.recipient == Recipient::Postmaster => Some(Difference::Postmaster),
        _ => (!is_plain(inside)).then_some(Difference::Spelling),
    }
}

/// Ours refuses it and theirs doesn't.
fn stricter(line: &[u8], fault: Fault) -> Option<Difference> {
    let behind = |verbs: &[&str]| verbs.iter().any(|verb| begins(line, verb));
    let odd = line.iter().any(|octet| !(b' '..=b'~').contains(octet));
    match fault {
        Fault::Octets => odd.then_some(Difference::Octets),
        Fault::UnknownVerb => line.starts_with(b" ").then_some(Difference::Blanks),
        Fault::NotOffered => Some(Difference::Verb),
        Fault::Chunk => begins(line, "BDAT").then_some(if odd { Difference::Octets } else { Difference::Number }),
        Fault::Hello => Some(Difference::Name),
        Fault::Argument if behind(&["MAIL", "RCPT", "AUTH", "DATA", "RSET", "QUIT", "STARTTLS"]) => {
            Some(Difference::Blanks)
        }
        Fault::Argument => None,
        Fault::Sender | Fault::Recipient => {
            path(line).is_none_or(|inside| !is_plain(inside)).then_some(Difference::Path)
        }
        Fault::SenderLiteral | Fault::RecipientLiteral => Some(Difference::Path),
        Fault::SenderUtf8 | Fault::RecipientUtf8 => odd.then_some(Difference::Path),
        Fault::UnknownParameter | Fault::Parameter => Some(Difference::Parameters),
    }
}

/// Theirs refuses it and ours doesn't.
fn looser(line: &[u8], ours: &Command) -> Option<Difference> {
    match ours {
        Command::Noop | Command::Help | Command::Vrfy | Command::Expn => Some(Difference::Idle),
        Command::Auth { .. } => Some(Difference::Mechanism),
        Command::Lhlo(_) | Command::Xclient(_) | Command::Xforward(_) => Some(Difference::Verb),
        Command::Bdat(chunk) => (chunk.octets == u64::MAX).then_some(Difference::Number),
        Command::Mail(_) | Command::Rcpt(_) => {
            let inside = path(line)?;
            let alone = line.trim_ascii_end().ends_with(b">");
            match () {
                () if !is_plain(inside) => Some(Difference::Path),
                () if !alone => Some(Difference::Parameters),
                () => None,
            }
        }
        _ => None,
    }
}

fn begins(line: &[u8], verb: &str) -> bool {
    line.get(..verb.len()).is_some_and(|head| head.eq_ignore_ascii_case(verb.as_bytes()))
}

/// What stands between the first `<` and the first `>`, where no quotes are in the way.
fn path(line: &[u8]) -> Option<&str> {
    let inside = line.split(|octet| *octet == b'<').nth(1)?;
    std::str::from_utf8(inside.split(|octet| *octet == b'>').next()?).ok()
}

/// An address about which nobody disagrees: dot-string, letters and digits and hyphens, in ASCII. Or none.
fn is_plain(path: &str) -> bool {
    let Some((local, domain)) = path.split_once('@') else { return path.is_empty() };
    let atom = |octet: u8| octet.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&octet);
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let is_local = local.len() <= 64 && local.split('.').all(|part| !part.is_empty() && part.bytes().all(atom));
    is_local && path.len() <= 254 && domain.contains('.') && domain.split('.').all(is_label)
}
