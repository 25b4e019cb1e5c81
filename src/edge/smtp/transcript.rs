//! What those who follow a session are told of it: commands as they were understood, and our own replies. What was not
//! understood may be a password that was said at the wrong time: of it, and of content, only the number of octets is told.

use std::fmt;

use super::attribute::{self, Name};
use super::command::{self, Command, Mail, Rcpt, Recipient};
use super::line::Line;
use super::reply;
use super::session::Session;
use super::wire::Stop;
use crate::edge::conversation::Welcome;
use crate::ipc::session::Tls;
use crate::ipc::trace::Told;
use crate::mail::dsn::Wish;
use crate::mail::envelope::Utf8;
use crate::mail::hold::Hold;

const HIDDEN: &str = "[hidden]";
/// Words that begin a command, whatever is behind them.
const VERBS: [&str; 24] = [
    "EHLO", "HELO", "LHLO", "STARTTLS", "AUTH", "MAIL", "RCPT", "DATA", "BDAT", "RSET", "NOOP", "QUIT", "HELP", "VRFY",
    "EXPN", "XCLIENT", "XFORWARD", "ETRN", "ATRN", "TURN", "SEND", "SOML", "SAML", "BURL",
];

/// A line of an exchange that logs in.
pub fn hidden() -> Told {
    Told::Client(HIDDEN.to_owned())
}

pub fn content(octets: u64) -> Told {
    Told::Client(format!("[{octets} octets of content]"))
}

pub fn tls(tls: &Tls) -> Told {
    let certificate = if tls.client.is_some() { ", and the client showed a certificate" } else { "" };
    Told::Stage(format!("TLS: {}, {}{certificate}", tls.version, tls.cipher))
}

pub fn no_tls(why: &impl fmt::Display) -> Told {
    Told::Stage(format!("the TLS handshake failed: {why}"))
}

/// The end without a reply.
pub fn silence(is_foreign: bool) -> Told {
    let why = if is_foreign { "the client speaks no SMTP, and is told nothing" } else { "the client is gone" };
    Told::Stage(why.to_owned())
}

/// Replies, line by line. What is said in an exchange that logs in is not shown.
pub fn replies(said: &[u8]) -> impl Iterator<Item = Told> {
    let lines = said.split(|octet| *octet == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    lines.filter(|line| !line.is_empty()).map(|line| {
        Told::Server(match line.strip_prefix(b"334 ") {
            Some([]) => "334".to_owned(),
            Some(_) => format!("334 {HIDDEN}"),
            None => String::from_utf8_lossy(line).into_owned(),
        })
    })
}

/// A line where a command may stand.
pub fn command(line: &Line) -> Told {
    Told::Client(match line {
        Line::Whole(said) => match command::parse(said) {
            // The blank that is tolerated behind the colon (rule P6) is shown, for another server may not.
            Ok(command) if command::has_blank(said) => understood(&command).replacen(":<", ": <", 1),
            Ok(command) => understood(&command),
            Err(_) => unread(said),
        },
        Line::TooLong(limit) => format!("[a line of more than {limit} octets]"),
        Line::Endless => "[a line without an end]".to_owned(),
    })
}

/// What can't be read, by how much it is.
fn unread(said: &[u8]) -> String {
    let end = memchr::memchr(b' ', said).unwrap_or(said.len());
    let word = said.get(..end).unwrap_or_default();
    let verb = VERBS.iter().find(|verb| verb.as_bytes().eq_ignore_ascii_case(word));
    match (verb, said.len().saturating_sub(end + 1)) {
        (Some(verb), 0) => (*verb).to_owned(),
        (Some(verb), octets) => format!("{verb} [{octets} octets that can't be read]"),
        (None, _) => format!("[a line of {} octets that is no command]", said.len()),
    }
}

fn understood(command: &Command) -> String {
    match command {
        Command::Helo(name) => format!("HELO {name}"),
        Command::Ehlo(name) => format!("EHLO {name}"),
        Command::Lhlo(Some(name)) => format!("LHLO {name}"),
        Command::Lhlo(None) => "LHLO [what is no name of a host]".to_owned(),
        Command::Starttls => "STARTTLS".to_owned(),
        Command::Auth { asked, initial } => match (asked.name(), initial) {
            (None, _) => format!("AUTH {HIDDEN}"),
            (Some(name), None) => format!("AUTH {name}"),
            (Some(name), Some(_)) => format!("AUTH {name} {HIDDEN}"),
        },
        Command::Mail(mail) => of_mail(mail),
        Command::Rcpt(rcpt) => of_rcpt(rcpt),
        Command::Data => "DATA".to_owned(),
        Command::Bdat(chunk) => format!("BDAT {}{}", chunk.octets, if chunk.last { " LAST" } else { "" }),
        Command::Rset => "RSET".to_owned(),
        Command::Noop => "NOOP".to_owned(),
        Command::Quit => "QUIT".to_owned(),
        Command::Help => "HELP".to_owned(),
        Command::Vrfy => "VRFY".to_owned(),
        Command::Expn => "EXPN".to_owned(),
        Command::Xclient(said) => attributes("XCLIENT", said, &[Name::XCLIENT, &[Name::Login]].concat()),
        Command::Xforward(said) => attributes("XFORWARD", said, Name::XFORWARD),
    }
}

/// The sender, and the parameters as they were meant. Which of two bodies it is changes nothing, and is not known here.
fn of_mail(mail: &Mail) -> String {
    let mut line = format!("MAIL FROM:<{}>", mail.from.as_ref().map(ToString::to_string).unwrap_or_default());
    let mut add = |parameter: String| {
        line.push(' ');
        line.push_str(&parameter);
    };
    if let Some(size) = mail.size {
        add(format!("SIZE={size}"));
    }
    if mail.body {
        add("BODY".to_owned());
    }
    if mail.manner.utf8 != Utf8::None {
        add("SMTPUTF8".to_owned());
    }
    if mail.manner.require_tls {
        add("REQUIRETLS".to_owned());
    }
    match mail.hold {
        Some(Hold::For(seconds)) => add(format!("HOLDFOR={seconds}")),
        Some(Hold::Until(time)) => add(format!("HOLDUNTIL={time}")),
        None => (),
    }
    if let Some(ret) = mail.manner.report.ret {
        add(format!("RET={}", ret.word()));
    }
    if let Some(envid) = &mail.manner.report.envid {
        add(format!("ENVID={}", envid.meaning()));
    }
    line
}

fn of_rcpt(rcpt: &Rcpt) -> String {
    let Wish { notify, orcpt } = &rcpt.wish;
    let recipient = match &rcpt.recipient {
        Recipient::Mailbox(address) => address.to_string(),
        Recipient::Postmaster => "postmaster".to_owned(),
    };
    let notify = notify.map(|notify| format!(" NOTIFY={notify}")).unwrap_or_default();
    let orcpt = orcpt.as_ref().map(|orcpt| format!(" ORCPT={}", orcpt.meaning())).unwrap_or_default();
    format!("RCPT TO:<{recipient}>{notify}{orcpt}")
}

fn attributes(verb: &str, said: &str, known: &[Name]) -> String {
    let Ok(all) = attribute::read(said, known) else {
        return format!("{verb} [{} octets that can't be read]", said.len());
    };
    all.iter().fold(verb.to_owned(), |line, one| {
        let value = match (&one.value, one.name) {
            (None, _) => "[UNAVAILABLE]",
            (Some(_), Name::Login) => HIDDEN,
            (Some(value), _) => value,
        };
        format!("{line} {}={value}", one.name.word())
    })
}

impl Session {
    /// Where somebody follows sessions from there, the vault meets this one now and not with its first question. A gateway's is
    /// its client's, which is not named yet.
    pub(super) async fn show(&mut self) -> Result<(), Stop> {
        if !self.visit.is_awaited() || self.is_from(&self.front.desk.dialect.xclient_from) {
            return Ok(());
        }
        match Box::pin(self.visit.be_met()).await? {
            Welcome::Opened => Ok(()),
            Welcome::Crowded => Err(reply::CROWDED.into()),
        }
    }
}
