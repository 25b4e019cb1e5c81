//! What became of a message, told to its sender: RFC 3464 in the report of RFC 6522, and RFC 6533 where an address is
//! beyond ASCII.
//!
//! What others have said stands in it as printable ASCII on one line, so that none of it becomes a field. Only the `To` of
//! a sender beyond ASCII is 8-bit: whatever else is, is encoded, and any upstream can take the rest.

mod room;

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use jiff::fmt::rfc2822;
use jiff::tz::TimeZone;
use memchr::memmem;

use super::address::Address;
use super::dsn::{Envid, Orcpt, Ret};
use super::id::MessageId;
pub use room::MAX_REPORT;

/// Octets of a header that come back: who wrote it needs to recognise it, not more.
const MAX_HEADER: usize = 32 * 1024;
/// Octets of a message that comes back whole, where RET=FULL asks for it and there is room for it in a report. A larger one
/// would burden who is told.
pub const MAX_WHOLE: u64 = 50_000;
/// Of one who may have it, whatever the last answer says: which of these it is, is not written down.
const DOUBT: &str = "    It may have been delivered all the same: an attempt ended before the host answered, or it is not certain\r\n    \
                     that this answer is about this recipient, or for good.\r\n";
/// Octets of base64 on a line: RFC 2045 section 6.8.
const MAX_ENCODED: usize = 76;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Failed,
    /// Its time was over.
    Expired,
    /// Nobody knows whether it was delivered, and it is given up.
    Unknown,
    /// It was handed over to a host that tells nothing of deliveries.
    Relayed,
    /// It waits, and is tried again.
    Delayed,
}

/// What became of one recipient.
#[derive(Clone, Debug)]
pub struct Fate {
    pub recipient: Address,
    /// Whom the sender had in mind.
    pub original: Option<Orcpt>,
    pub action: Action,
    /// The last answer, and the host that gave it. Without a code the words are our own.
    pub code: Option<u16>,
    pub enhanced: Option<String>,
    pub text: String,
    pub host: String,
    /// An attempt, be it the last or an earlier one, may have delivered it; or that it wasn't is said of somebody, for now.
    pub doubt: bool,
}

/// What comes back of the message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Original {
    Header(Vec<u8>),
    Whole(Vec<u8>),
    /// It can't be read.
    Nothing,
}

impl Original {
    /// From the beginning of a message of so many octets: all of it when that was asked for, it is small, and any upstream
    /// can take it; otherwise its header.
    pub fn of(beginning: &[u8], bytes: u64, ret: Option<Ret>) -> Self {
        let is_all = u64::try_from(beginning.len()) == Ok(bytes);
        if ret == Some(Ret::Full) && bytes <= MAX_WHOLE && is_all && beginning.is_ascii() {
            return Self::Whole(beginning.to_vec());
        }
        Self::header(beginning, MAX_HEADER)
    }

    /// So many octets of the header at most.
    fn header(beginning: &[u8], most: usize) -> Self {
        let end = memmem::find(beginning, b"\r\n\r\n").map_or(beginning.len(), |at| at + 2);
        let header = beginning.get(..end.min(most)).unwrap_or_default();
        // No field is cut in its line.
        let whole = memmem::rfind(header, b"\r\n").map_or(0, |at| at + 2);
        Self::Header(header.get(..whole).unwrap_or_default().to_vec())
    }
}

/// One report to one sender.
#[derive(Clone, Debug)]
pub struct Notification<'a> {
    pub hostname: &'a str,
    pub id: MessageId,
    /// Whom its header is from, where that isn't the gate.
    pub from: Option<&'a Address>,
    pub to: &'a Address,
    pub now: Timestamp,
    /// The message that it is about, and when that was accepted.
    pub about: MessageId,
    pub accepted: Timestamp,
    /// Until when those who wait are tried.
    pub until: Timestamp,
    pub envid: Option<&'a Envid>,
    pub fates: &'a [Fate],
    pub original: &'a Original,
}

impl Notification<'_> {
    /// The whole message, however long, with CRLF at the end of each line.
    pub fn compose(&self) -> Vec<u8> {
        let Self { hostname, id, to, original, .. } = self;
        let from = self.from.map_or_else(|| format!("MAILER-DAEMON@{hostname}"), ToString::to_string);
        let is_any = |wanted: &[Action]| self.fates.iter().any(|fate| wanted.contains(&fate.action));
        let is_lost = || {
            let ends = |fate: &Fate| matches!(fate.action, Action::Failed | Action::Expired);
            self.fates.iter().any(|fate| ends(fate) && !fate.doubt)
        };
        let subject = match () {
            () if is_lost() => "Your message was not delivered",
            () if is_any(&[Action::Delayed]) => "Your message is delayed",
            () if is_any(&[Action::Unknown, Action::Failed, Action::Expired]) => {
                "It is not known whether your message was delivered"
            }
            () => "Your message was handed over",
        };
        let boundary = format!("=_{id}");
        let mut out = format!(
            "From: Mail Delivery System <{from}>\r\n\
             To: <{to}>\r\n\
             Date: {}\r\n\
             Message-ID: <{id}@{hostname}>\r\n\
             Subject: {subject}\r\n\
             Auto-Submitted: auto-replied\r\n\
             MIME-Version: 1.0\r\n\
             Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary=\"{boundary}\"\r\n\r\n",
            date(self.now)
        );
        part(&mut out, &boundary, ["text/plain; charset=utf-8"; 2], self.words().as_bytes());
        let status = ["message/delivery-status", "message/global-delivery-status"];
        part(&mut out, &boundary, status, self.fields().as_bytes());
        match original {
            Original::Header(header) => {
                part(&mut out, &boundary, ["text/rfc822-headers", "message/global-headers"], header);
            }
            Original::Whole(message) => part(&mut out, &boundary, ["message/rfc822", "message/global"], message),
            Original::Nothing => {}
        }
        out.push_str(&format!("--{boundary}--\r\n"));
        out.into_bytes()
    }

    /// For people.
    fn words(&self) -> String {
        let Self { hostname, about, .. } = self;
        let mut out = format!("This is the mail gate {hostname}.\r\n");
        let until = format!(
            "could not be delivered to these recipients yet. You need to do nothing: it is tried until\r\n{}:",
            date(self.until)
        );
        for (actions, said) in [
            (
                [Action::Failed, Action::Expired].as_slice(),
                "could not be delivered to these recipients, and is not tried again:",
            ),
            (&[Action::Unknown], "may or may not have been delivered to these recipients, and is not tried again:"),
            (&[Action::Relayed], "was handed over for these recipients, to hosts that report nothing further:"),
            (&[Action::Delayed], until.as_str()),
        ] {
            let fates = self.fates.iter().filter(|fate| actions.contains(&fate.action));
            let lines: String = fates.map(Fate::words).collect();
            if !lines.is_empty() {
                out.push_str(&format!("\r\nYour message of {}\r\n{said}\r\n\r\n{lines}", date(self.accepted)));
            }
        }
        out.push_str(&format!("\r\nThe administrators of {hostname} know it as {about}.\r\n"));
        out
    }

    /// For programs: RFC 3464 section 2.
    fn fields(&self) -> String {
        let Self { hostname, about, accepted, .. } = self;
        let mut out = format!("Reporting-MTA: dns; {hostname}\r\n");
        if let Some(envid) = self.envid {
            out.push_str(&format!("Original-Envelope-Id: {}\r\n", envid.meaning()));
        }
        let _ = write!(out, "Arrival-Date: {}\r\nX-Gatepost-Id: {about}\r\n", date(*accepted));
        for fate in self.fates {
            out.push_str(&fate.fields(self.now, self.until));
        }
        out
    }
}

impl Fate {
    fn words(&self) -> String {
        let Self { recipient, host, .. } = self;
        let answer = self.answer();
        let said = match (self.action, self.code) {
            (Action::Relayed, _) => format!("taken by {}", plain(host)),
            (Action::Failed | Action::Unknown, Some(_)) => format!("{} said: {answer}", plain(host)),
            (Action::Failed | Action::Unknown, None) => answer,
            (Action::Delayed, Some(_)) => format!("{} said last: {answer}", plain(host)),
            (Action::Delayed, None) if answer.is_empty() => "no host has answered so far".to_owned(),
            (Action::Delayed, None) => format!("last: {answer}"),
            (Action::Expired, Some(_)) => {
                format!("given up, because its time was over; {} said last: {answer}", plain(host))
            }
            (Action::Expired, None) if answer.is_empty() => "given up, because its time was over".to_owned(),
            (Action::Expired, None) => format!("given up, because its time was over; last: {answer}"),
        };
        // Of the others it is said already, or it is no matter any more.
        let is_said = self.doubt && !matches!(self.action, Action::Unknown | Action::Relayed);
        let doubt = if is_said { DOUBT } else { "" };
        format!("<{recipient}>\r\n    {said}\r\n{doubt}")
    }

    /// RFC 3464 section 2.3, RFC 6533 section 3.
    fn fields(&self, now: Timestamp, until: Timestamp) -> String {
        let Self { recipient, action, host, .. } = self;
        let mut out = "\r\n".to_owned();
        if let Some(original) = &self.original {
            out.push_str(&format!("Original-Recipient: {}\r\n", original.meaning()));
        }
        let kind = if recipient.is_international() { "utf-8" } else { "rfc822" };
        let word = match action {
            Action::Failed | Action::Expired | Action::Unknown => "failed",
            Action::Relayed => "relayed",
            Action::Delayed => "delayed",
        };
        let _ = write!(out, "Final-Recipient: {kind}; {recipient}\r\nAction: {word}\r\nStatus: {}\r\n", self.status());
        if !host.is_empty() {
            out.push_str(&format!("Remote-MTA: dns; {}\r\n", plain(host)));
        }
        if self.code.is_some() {
            out.push_str(&format!("Diagnostic-Code: smtp; {}\r\n", self.answer()));
        }
        // Sections 2.3.7 and 2.3.9. When one who waits was tried last is not written down.
        match action {
            Action::Delayed => out.push_str(&format!("Will-Retry-Until: {}\r\n", date(until))),
            _ => out.push_str(&format!("Last-Attempt-Date: {}\r\n", date(now))),
        }
        out
    }

    /// RFC 3463: what was said, if it fits what is reported.
    fn status(&self) -> String {
        let is_for_now = self.code.is_some_and(|code| (400..500).contains(&code));
        let (class, otherwise) = match self.action {
            // A provider gives up what was refused for now: the code beside it says so, and 4.y.z is what lasted.
            Action::Failed if is_for_now => ("4.", "4.0.0"),
            Action::Failed => ("5.", "5.0.0"),
            Action::Relayed => ("2.", "2.0.0"),
            Action::Delayed => ("4.", "4.0.0"),
            // Section 3.5: the time that it is tried was over; a connection ended within a transaction.
            Action::Expired => return "4.4.7".to_owned(),
            Action::Unknown => return "4.4.2".to_owned(),
        };
        let is_one = |text: &&str| {
            text.starts_with(class)
                && text.split('.').count() == 3
                && text.split('.').all(|n| (1..=3).contains(&n.len()) && n.bytes().all(|octet| octet.is_ascii_digit()))
        };
        self.enhanced.as_deref().filter(is_one).unwrap_or(otherwise).to_owned()
    }

    fn answer(&self) -> String {
        let code = self.code.map(|code| code.to_string());
        let words = [code.as_deref(), self.enhanced.as_deref(), Some(self.text.as_str())];
        let words: Vec<String> = words.into_iter().flatten().filter(|word| !word.is_empty()).map(plain).collect();
        words.join(" ")
    }
}

/// Printable ASCII.
fn plain(text: &str) -> String {
    text.chars().map(|c| if matches!(c, ' '..='~') { c } else { '?' }).collect()
}

fn date(time: Timestamp) -> String {
    // There is a form for every year that a clock of ours can show.
    rfc2822::to_string(&time.to_zoned(TimeZone::UTC)).unwrap_or_default()
}

/// One part: by the first type as it is, or, when it is beyond ASCII, by the second and encoded.
fn part(out: &mut String, boundary: &str, types: [&str; 2], content: &[u8]) {
    let [plain, international] = types;
    match std::str::from_utf8(content).ok().filter(|_| content.is_ascii()) {
        Some(text) => {
            // The line end before a boundary is the boundary's (RFC 2046 section 5.1.1): what stands here keeps its own.
            out.push_str(&format!("--{boundary}\r\nContent-Type: {plain}\r\n\r\n{text}\r\n"));
        }
        None => {
            let head = format!("--{boundary}\r\nContent-Type: {international}\r\n");
            out.push_str(&head);
            out.push_str("Content-Transfer-Encoding: base64\r\n\r\n");
            let encoded = STANDARD.encode(content);
            let mut rest = encoded.as_str();
            while let Some((line, more)) =
                rest.split_at_checked(MAX_ENCODED.min(rest.len())).filter(|(l, _)| !l.is_empty())
            {
                out.push_str(line);
                out.push_str("\r\n");
                rest = more;
            }
        }
    }
}

#[cfg(test)]
mod tests;
