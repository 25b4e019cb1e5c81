//! Where our reader of commands and that of the crate `smtp-proto` differ, and why: a difference that is not listed here is a
//! finding. docs/fuzzing.md has the list in words.

use smtp_proto::{
    AUTH_EXTERNAL, AUTH_LOGIN, AUTH_OAUTHBEARER, AUTH_PLAIN, AUTH_SCRAM_SHA_256, AUTH_SCRAM_SHA_256_PLUS, AUTH_XOAUTH2,
    MAIL_REQUIRETLS, MAIL_RET_FULL, MAIL_RET_HDRS, MAIL_SMTPUTF8, RCPT_NOTIFY_DELAY, RCPT_NOTIFY_FAILURE,
    RCPT_NOTIFY_NEVER, RCPT_NOTIFY_SUCCESS, Request,
};

use super::plain::{self, Parts};
use crate::edge::smtp::command::{self, Command, Fault, Mail, Recipient};
use crate::mail::address::Address;
use crate::mail::dsn::{Notify, Ret};
use crate::mail::envelope::Utf8;
use crate::policy::mechanism::Mechanism;

/// Why the two don't agree on a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Difference {
    /// Control characters and octets above 127: theirs takes them as a part of a word, and passes over CR and TAB.
    Octets,
    /// Theirs takes blanks before a verb, between words and inside `FROM:<`, none before a parameter, and passes over
    /// arguments where there may be none.
    Blanks,
    /// Verbs that one of them doesn't know, or doesn't offer.
    Verb,
    /// VRFY and EXPN need an argument of at most 256 octets there.
    Idle,
    /// What is no domain and no literal is the name of a host there.
    Name,
    /// Addresses that ours doesn't take, or that only ours takes: quoted, in UTF-8, at a literal, too long, with a route.
    Path,
    /// The null path is a recipient there.
    Nobody,
    /// Theirs takes off quotes and backslashes and leaves the case and the route as they were said.
    Spelling,
    /// `<postmaster>` is the empty address there.
    Postmaster,
    /// Which parameters there are, what values they may have, and how often each may be said.
    Parameters,
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

/// Names of mechanisms, and what they are there.
const MECHANISMS: [(&str, u64); 7] = [
    ("PLAIN", AUTH_PLAIN),
    ("LOGIN", AUTH_LOGIN),
    ("OAUTHBEARER", AUTH_OAUTHBEARER),
    ("XOAUTH2", AUTH_XOAUTH2),
    ("EXTERNAL", AUTH_EXTERNAL),
    ("SCRAM-SHA-256", AUTH_SCRAM_SHA_256),
    ("SCRAM-SHA-256-PLUS", AUTH_SCRAM_SHA_256_PLUS),
];

fn is_ours(name: &str) -> bool {
    Mechanism::SASL.iter().any(|mechanism| mechanism.name() == name)
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
        (Command::Auth { asked, initial }, Request::Auth { mechanism, initial_response }) => {
            let said = initial.as_deref().unwrap_or_default();
            let is_same = match asked.ours() {
                Some(ours) => MECHANISMS.contains(&(ours.name(), *mechanism)),
                // Theirs knows more of them, and each that it knows and ours doesn't is no mechanism of ours.
                None => !MECHANISMS.iter().any(|(name, bit)| bit == mechanism && is_ours(name)),
            };
            is_same && said == initial_response.as_ref().as_bytes()
        }
        (Command::Mail(mail), Request::Mail { from }) => {
            if !parameters(mail, from.flags, from.size, from.env_id.is_some()) {
                return Some(false);
            }
            return address(mail.from.as_ref(), from.address.as_ref());
        }
        (Command::Rcpt(rcpt), Request::Rcpt { to }) => {
            let occasions =
                to.flags & (RCPT_NOTIFY_NEVER | RCPT_NOTIFY_SUCCESS | RCPT_NOTIFY_FAILURE | RCPT_NOTIFY_DELAY);
            if notified(rcpt.wish.notify) != occasions || rcpt.wish.orcpt.is_some() != to.orcpt.is_some() {
                return Some(false);
            }
            match &rcpt.recipient {
                Recipient::Postmaster => return None,
                Recipient::Mailbox(ours) => return address(Some(ours), to.address.as_ref()),
            }
        }
        (Command::Lhlo(Some(name)), Request::Lhlo { host }) => name == host.as_ref(),
        // Which is refused where its dialect is spoken.
        (Command::Lhlo(None), Request::Lhlo { .. }) => true,
        (Command::Starttls, Request::StartTls)
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

/// When a recipient's delivery is to be reported, as theirs says it.
fn notified(notify: Option<Notify>) -> u64 {
    let Some(notify) = notify else { return 0 };
    let bit = |word: &str| match word {
        "NEVER" => RCPT_NOTIFY_NEVER,
        "SUCCESS" => RCPT_NOTIFY_SUCCESS,
        "FAILURE" => RCPT_NOTIFY_FAILURE,
        "DELAY" => RCPT_NOTIFY_DELAY,
        other => panic!("{other} is no occasion"),
    };
    notify.to_string().split(',').map(bit).sum()
}

/// Both take it, and read another address.
fn spelled(line: &[u8], ours: &Command) -> Option<Difference> {
    let parts = plain::parts(line)?;
    match ours {
        Command::Rcpt(rcpt) if rcpt.recipient == Recipient::Postmaster => Some(Difference::Postmaster),
        _ => (!parts.has_plain_path()).then_some(Difference::Spelling),
    }
}

/// Ours refuses it and theirs doesn't.
fn stricter(line: &[u8], fault: Fault) -> Option<Difference> {
    let behind = |verbs: &[&str]| verbs.iter().any(|verb| begins(line, verb));
    let odd = line.iter().any(|octet| !(b' '..=b'~').contains(octet));
    let parts = plain::parts(line);
    match fault {
        Fault::Octets => odd.then_some(Difference::Octets),
        Fault::UnknownVerb => line.starts_with(b" ").then_some(Difference::Blanks),
        Fault::NotOffered => behind(&["ETRN ", "ATRN ", "BURL "]).then_some(Difference::Verb),
        Fault::Chunk if !begins(line, "BDAT") || plain::is_chunk(line) => None,
        Fault::Chunk if odd => Some(Difference::Octets),
        Fault::Chunk => Some(if is_beyond(line) { Difference::Number } else { Difference::Blanks }),
        Fault::Hello => (behind(&["EHLO ", "HELO "]) && !plain::is_hello(line)).then_some(Difference::Name),
        Fault::Argument if behind(&["MAIL ", "RCPT "]) => {
            // Behind a quote the first bracket may be a part of the address: where it ends can't be told then.
            parts.is_none_or(|parts| !parts.is_shaped() || parts.path.contains('"')).then_some(Difference::Blanks)
        }
        Fault::Argument if begins(line, "AUTH ") => {
            (!matches!(plain::word_count(line), Some(2 | 3))).then_some(Difference::Blanks)
        }
        Fault::Argument if behind(&["DATA ", "RSET ", "QUIT ", "STARTTLS "]) => {
            (plain::word_count(line) != Some(1)).then_some(Difference::Blanks)
        }
        Fault::Argument => None,
        Fault::Sender | Fault::Recipient => match parts {
            Some(Parts { path: "", is_mail: false, .. }) => Some(Difference::Nobody),
            Some(parts) if parts.has_plain_path() => (!parts.is_shaped()).then_some(Difference::Blanks),
            _ => Some(Difference::Path).filter(|_| behind(&["MAIL ", "RCPT "])),
        },
        Fault::SenderLiteral | Fault::RecipientLiteral => {
            parts.is_some_and(|parts| parts.path.ends_with(']')).then_some(Difference::Path)
        }
        Fault::SenderUtf8 | Fault::RecipientUtf8 => odd.then_some(Difference::Path),
        Fault::UnknownParameter | Fault::Parameter(_) => {
            parts.is_some_and(|parts| !parts.has_plain_parameters()).then_some(Difference::Parameters)
        }
    }
}

/// Theirs refuses it and ours doesn't.
fn looser(line: &[u8], ours: &Command) -> Option<Difference> {
    match ours {
        Command::Vrfy | Command::Expn => {
            // Blanks at the end are an argument's where its quotes are never closed.
            let said = line.get(5..).unwrap_or_default();
            let is_nothing = said.iter().all(|octet| b"\"\\ ".contains(octet));
            (is_nothing || said.len() > 256).then_some(Difference::Idle)
        }
        Command::Lhlo(None) | Command::Xclient(_) | Command::Xforward(_) => Some(Difference::Verb),
        Command::Bdat(chunk) => (chunk.octets == u64::MAX).then_some(Difference::Number),
        Command::Mail(_) | Command::Rcpt(_) => match plain::parts(line)? {
            parts if !parts.has_plain_path() => Some(Difference::Path),
            parts if !parts.has_plain_parameters() => Some(Difference::Parameters),
            _ => None,
        },
        _ => None,
    }
}

fn begins(line: &[u8], verb: &str) -> bool {
    line.get(..verb.len()).is_some_and(|head| head.eq_ignore_ascii_case(verb.as_bytes()))
}

/// Whether the number of a BDAT has more than twenty digits, or is more than 64 bits hold.
fn is_beyond(line: &[u8]) -> bool {
    let digits: String = line.iter().skip(5).skip_while(|octet| **octet == b' ').map_while(digit).collect();
    digits.len() > 20 || digits.parse::<u64>().is_err() && !digits.is_empty()
}

fn digit(octet: &u8) -> Option<char> {
    octet.is_ascii_digit().then_some(char::from(*octet))
}

#[cfg(test)]
#[path = "differences/tests.rs"]
mod tests;
