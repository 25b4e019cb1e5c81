//! The conversation with the gate: one login, one message, all of its recipients or none.

mod holder;
mod login;

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use super::exit::{self, Failure};
use crate::config::sendmail::Settings;
use crate::mail::address::Address;
use crate::mail::dsn::{Notify, Ret};
use crate::vault::audit::visible::visible;

/// For a connection within this machine.
const CONNECT: Duration = Duration::from_secs(10);
/// For a reply: what RFC 5321 section 4.5.3.2 has for the slowest, the end of a message, and for the others no less. Whoever gave up
/// sooner would send again what was taken.
const PATIENCE: Duration = Duration::from_secs(10 * 60);
/// For the answer to QUIT, which nobody needs.
const FAREWELL: Duration = Duration::from_secs(3);
/// What the gate says of one recipient too many (RFC 3463 section 3.6). By RFC 5321 it means "these in a second message", which is not
/// for us to make, and another attempt would end in the same way.
const TOO_MANY: (u16, &str) = (452, "4.5.3 ");
/// A reply's line with its end, and the lines of one (RFC 5321 section 4.5.3.1.5 has 512 octets).
const MAX_LINE: u64 = 2048;
const MAX_LINES: usize = 100;

#[derive(Debug)]
pub struct Envelope {
    pub sender: Option<Address>,
    pub recipients: Vec<Address>,
    pub is_international: bool,
    pub has_eight_bits: bool,
    pub notify: Option<Notify>,
    pub ret: Option<Ret>,
    pub envid: Option<String>,
}

#[derive(Debug)]
pub struct Reply {
    pub code: u16,
    /// Without their codes.
    pub lines: Vec<String>,
}

impl Reply {
    fn is_good(&self) -> bool {
        self.code / 100 == 2
    }

    fn is_too_many(&self) -> bool {
        self.code == TOO_MANY.0 && self.lines.iter().any(|line| line.starts_with(TOO_MANY.1))
    }

    /// What it means for the caller that this was said.
    fn failure(&self, what: &str, for_good: u8) -> Failure {
        let code = if self.code / 100 == 5 { for_good } else { exit::TEMPFAIL };
        Failure::new(code, format!("{what}: the gate said {} {}", self.code, self.lines.join(" / ")))
    }
}

#[derive(Debug)]
pub struct Talk {
    stream: BufReader<TcpStream>,
    greeting: String,
    /// What the gate offers, in upper case.
    offers: Vec<String>,
    is_shown: bool,
}

impl Talk {
    /// Connects and logs in.
    pub fn open(settings: &Settings, is_shown: bool) -> Result<Self, Failure> {
        let server = settings.server;
        let connected = TcpStream::connect_timeout(&server, CONNECT).and_then(|stream| {
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_write_timeout(Some(PATIENCE))?;
            stream.set_nodelay(true)?;
            Ok(stream)
        });
        let stream = connected.map_err(|error| {
            let why = format!(
                "the gate can't be reached at {server}: {error}: does it run, and listen there? Nothing was sent."
            );
            Failure::new(exit::TEMPFAIL, why)
        })?;
        let mut talk = Self { stream: BufReader::new(stream), greeting: String::new(), offers: Vec::new(), is_shown };
        let greeting = talk.hear()?;
        if !greeting.is_good() {
            return Err(greeting.failure("the greeting", exit::UNAVAILABLE));
        }
        talk.greeting = format!("{} {}", greeting.code, greeting.lines.join(" "));
        let offers = talk.say("EHLO localhost")?;
        if !offers.is_good() {
            return Err(offers.failure("EHLO", exit::UNAVAILABLE));
        }
        talk.offers = offers.lines.iter().skip(1).map(|line| line.to_ascii_uppercase()).collect();
        login::log_in(&mut talk, settings)?;
        Ok(talk)
    }

    /// Nothing is sent to anybody unless all of it was taken.
    pub fn submit(mut self, envelope: &Envelope, content: &[u8]) -> Result<(), Failure> {
        if let Some(most) = self.most().filter(|most| *most > 0 && content.len() > *most) {
            let why = format!("the message has {} octets, and the gate takes {most}", content.len());
            return Err(Failure::new(exit::DATAERR, why));
        }
        let command = self.mail(envelope, content.len())?;
        self.insist(&command, "the sender")?;
        let wants_reports = self.reports(envelope).is_some();
        for recipient in &envelope.recipients {
            let notify =
                envelope.notify.filter(|_| wants_reports).map(|notify| format!(" NOTIFY={notify}")).unwrap_or_default();
            let reply = self.say(&format!("RCPT TO:<{recipient}>{notify}"))?;
            if reply.is_too_many() {
                let why = format!(
                    "more recipients than the gate takes for one message, so nobody got it: send it in parts: the gate said {} {}",
                    reply.code,
                    reply.lines.join(" / ")
                );
                return Err(Failure::new(exit::UNAVAILABLE, why));
            }
            if !reply.is_good() {
                return Err(reply.failure(&format!("recipient {recipient}"), exit::UNAVAILABLE));
            }
        }
        let ready = self.say("DATA")?;
        if ready.code != 354 {
            return Err(ready.failure("the message", exit::UNAVAILABLE));
        }
        let taken = self.content(content).and_then(|()| self.hear()).map_err(|failure| {
            let more = "the gate may have taken it, so look before you send it again: gatepost audit query";
            Failure::new(failure.code, format!("{}; {more}", failure.text))
        })?;
        if !taken.is_good() {
            return Err(taken.failure("the message", exit::UNAVAILABLE));
        }
        // It is kept; what comes of this changes nothing.
        let stream = self.stream.get_ref();
        if stream.set_read_timeout(Some(FAREWELL)).and_then(|()| stream.set_write_timeout(Some(FAREWELL))).is_ok() {
            let _ = self.say("QUIT");
        }
        Ok(())
    }

    /// The greeting, and the connection, on which nothing is under way.
    pub fn into_greeting_and_stream(self) -> (String, TcpStream) {
        (self.greeting, self.stream.into_inner())
    }

    /// MAIL, with what is wished for and offered.
    fn mail(&self, envelope: &Envelope, size: usize) -> Result<String, Failure> {
        let sender = envelope.sender.as_ref().map(Address::to_string).unwrap_or_default();
        let mut command = format!("MAIL FROM:<{sender}>");
        if self.most().is_some() {
            command += &format!(" SIZE={size}");
        }
        if envelope.is_international {
            if !self.does_offer("SMTPUTF8") {
                let why = "the header or an address is not ASCII, and the gate does not offer SMTPUTF8: encode the header (RFC 2047)";
                return Err(Failure::new(exit::DATAERR, why));
            }
            command += " SMTPUTF8";
        }
        if envelope.has_eight_bits && self.does_offer("8BITMIME") {
            command += " BODY=8BITMIME";
        }
        if let Some((ret, envid)) = self.reports(envelope) {
            command += &ret.map(|ret| format!(" RET={}", ret.word())).unwrap_or_default();
            command += &envid.map(|envid| format!(" ENVID={envid}")).unwrap_or_default();
        }
        Ok(command)
    }

    /// What the sender says of reports, where the gate hears it.
    fn reports<'a>(&self, envelope: &'a Envelope) -> Option<(Option<Ret>, Option<&'a str>)> {
        let has_wishes = envelope.notify.is_some() || envelope.ret.is_some() || envelope.envid.is_some();
        if has_wishes && !self.does_offer("DSN") {
            let _ = writeln!(
                io::stderr(),
                "gatepost: sendmail: the gate does not offer DSN here: -N, -R and -V say nothing"
            );
            return None;
        }
        has_wishes.then_some((envelope.ret, envelope.envid.as_deref()))
    }

    fn does_offer(&self, keyword: &str) -> bool {
        self.offers.iter().any(|line| line.split(' ').next() == Some(keyword))
    }

    /// The most octets that a message may have, by the gate's word.
    fn most(&self) -> Option<usize> {
        let line = self.offers.iter().find(|line| line.split(' ').next() == Some("SIZE"))?;
        line.split(' ').nth(1).unwrap_or("0").parse().ok()
    }

    fn insist(&mut self, command: &str, what: &str) -> Result<(), Failure> {
        let reply = self.say(command)?;
        if reply.is_good() { Ok(()) } else { Err(reply.failure(what, exit::UNAVAILABLE)) }
    }

    fn say(&mut self, command: &str) -> Result<Reply, Failure> {
        self.say_as(command, command)
    }

    /// Says it, and shows something else in its place.
    fn say_as(&mut self, command: &str, shown: &str) -> Result<Reply, Failure> {
        self.show('>', shown);
        self.send(format!("{command}\r\n").as_bytes())?;
        self.hear()
    }

    fn send(&mut self, octets: &[u8]) -> Result<(), Failure> {
        self.stream.get_mut().write_all(octets).map_err(|error| lost(&error))
    }

    /// All of it, with a dot before each line that begins with one, and the dot that ends it (RFC 5321 section 4.5.2).
    fn content(&mut self, content: &[u8]) -> Result<(), Failure> {
        self.show('>', &format!("({} octets)", content.len()));
        let mut stuffed = Vec::with_capacity(content.len() + 3);
        for line in content.split_inclusive(|octet| *octet == b'\n') {
            if line.first() == Some(&b'.') {
                stuffed.push(b'.');
            }
            stuffed.extend_from_slice(line);
        }
        stuffed.extend_from_slice(b".\r\n");
        self.send(&stuffed)
    }

    fn hear(&mut self) -> Result<Reply, Failure> {
        let mut lines = Vec::new();
        while lines.len() < MAX_LINES {
            let mut line = Vec::new();
            (&mut self.stream).take(MAX_LINE).read_until(b'\n', &mut line).map_err(|error| lost(&error))?;
            if line.is_empty() {
                return Err(lost(&io::ErrorKind::UnexpectedEof.into()));
            }
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            self.show('<', &text);
            let code = text.get(..3).and_then(|code| code.parse().ok()).filter(|code| (200..600).contains(code));
            let Some(code) = code.filter(|_| line.ends_with(b"\n")) else { break };
            lines.push(text.get(4..).unwrap_or_default().to_owned());
            if text.get(3..4) != Some("-") {
                return Ok(Reply { code, lines });
            }
        }
        Err(Failure::new(exit::TEMPFAIL, "what listens there does not speak SMTP: is it the gate?"))
    }

    fn show(&self, mark: char, text: &str) {
        if self.is_shown {
            let _ = writeln!(io::stderr(), "{mark} {}", visible(text));
        }
    }
}

fn lost(error: &io::Error) -> Failure {
    Failure::new(exit::TEMPFAIL, format!("the connection to the gate was lost: {error}"))
}
