//! One connection to the sink.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use nix::libc::linger;
use nix::sys::socket::{setsockopt, sockopt};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::{Act, Options, Phase, Received, Tally, lock};

/// A client that says nothing for this long has left.
const IDLE: Duration = Duration::from_secs(120);
/// Bounds of what is kept of one client.
const MAX_LINE: usize = 16 * 1024;
const MAX_CONTENT: usize = 64 * 1024 * 1024;
const MAX_COMMANDS: usize = 100_000;
/// The end of content: CRLF, a lone dot, CRLF.
const END: &[u8] = b"\r\n.\r\n";

trait Duplex: Read + Write + Send {}
impl<T: Read + Write + Send> Duplex for T {}

pub(super) struct Session<'a> {
    stream: Box<dyn Duplex>,
    /// What is beneath it.
    socket: TcpStream,
    input: Vec<u8>,
    number: usize,
    pub(super) options: &'a Options,
    tally: &'a Mutex<Tally>,
    tls: bool,
    pub(super) user: Option<String>,
    /// The phases that this connection has been through.
    phases: Vec<Phase>,
}

/// What a fault leaves to be done about a command.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Left {
    Everything,
    /// All but the word that it is done; then the connection ends.
    Silently,
    Nothing,
}

pub fn serve(
    socket: TcpStream,
    number: usize,
    options: &Options,
    tally: &Mutex<Tally>,
    keep: &Sender<Received>,
) -> io::Result<()> {
    socket.set_read_timeout(Some(IDLE))?;
    socket.set_nodelay(true)?;
    let (stream, input, phases) = (Box::new(socket.try_clone()?), Vec::new(), Vec::new());
    let mut session = Session { stream, socket, input, number, options, tally, tls: false, user: None, phases };
    if session.fault(Phase::Connect)? == Left::Nothing {
        return Ok(());
    }
    if let Some(config) = options.tls.as_ref().filter(|_| options.implicit) {
        session.protect(config)?;
    }
    if session.fault(Phase::Greeting)? == Left::Everything {
        session.say(&format!("220 {} ESMTP", options.hostname))?;
    }
    let (mut sender, mut recipients) = (None, Vec::new());
    let mut chunks: Vec<Vec<u8>> = Vec::new();
    loop {
        let line = session.line()?;
        let verb = line.split_ascii_whitespace().next().unwrap_or_default().to_ascii_uppercase();
        session.note(if verb == "AUTH" { "AUTH" } else { &line });
        match verb.as_str() {
            "EHLO" if session.fault(Phase::Ehlo)? == Left::Everything => session.hello()?,
            "STARTTLS" if session.fault(Phase::Starttls)? == Left::Everything => {
                let Some(config) = options.tls.as_ref().filter(|_| !session.tls) else {
                    session.say("502 5.5.1 no TLS here")?;
                    continue;
                };
                session.say("220 2.0.0 go ahead")?;
                session.protect(config)?;
            }
            "AUTH" if session.fault(Phase::Auth)? == Left::Everything => session.login(&line)?,
            "MAIL" if session.fault(Phase::Mail)? == Left::Everything => {
                if options.login.is_some() && session.user.is_none() {
                    session.say("530 5.7.0 Authentication required")?;
                } else if sender.is_some() {
                    session.say("503 5.5.1 one at a time")?;
                } else {
                    sender = Some(path(&line));
                    session.say("250 2.1.0 Ok")?;
                }
            }
            "RCPT" if session.fault(Phase::Rcpt)? == Left::Everything => {
                let recipient = path(&line);
                let refused = options.refuse.iter().find(|(which, _)| recipient.contains(which.as_str()));
                match refused {
                    _ if sender.is_none() => session.say("503 5.5.1 MAIL first")?,
                    Some((_, reply)) => {
                        if reply.starts_with('2') {
                            recipients.push(recipient);
                        }
                        session.say(reply)?;
                    }
                    None => {
                        recipients.push(recipient);
                        session.say("250 2.1.5 Ok")?;
                    }
                }
            }
            "DATA" if session.fault(Phase::Data)? == Left::Everything => {
                let Some(from) = sender.clone().filter(|_| !recipients.is_empty()) else {
                    session.say("554 5.5.1 no valid recipients")?;
                    continue;
                };
                session.say("354 end with a dot")?;
                let content = session.content()?;
                let recipients = std::mem::take(&mut recipients);
                sender = None;
                let left = session.fault(Phase::Dot)?;
                if left != Left::Nothing {
                    session.keep(keep, from, recipients, content, left)?;
                }
            }
            "BDAT" => {
                let mut words = line.split(' ').skip(1);
                let length = words.next().and_then(|length| length.parse().ok()).unwrap_or_default();
                let last = words.next() == Some("LAST");
                let chunk = session.octets(length)?;
                if !chunks.is_empty() || sender.is_some() && !recipients.is_empty() {
                    chunks.push(chunk);
                }
                let left = session.fault(if last { Phase::Dot } else { Phase::Chunk })?;
                match sender.clone().filter(|_| !recipients.is_empty()) {
                    _ if left == Left::Nothing => chunks.clear(),
                    None => session.say("503 5.5.1 no valid recipients")?,
                    Some(_) if !last => session.say(&format!("250 2.0.0 {length} octets"))?,
                    Some(from) => {
                        let (content, recipients) = (chunks.concat(), std::mem::take(&mut recipients));
                        chunks.clear();
                        sender = None;
                        session.keep(keep, from, recipients, content, left)?;
                    }
                }
            }
            "RSET" if session.fault(Phase::Rset)? == Left::Everything => {
                (sender, recipients) = (None, Vec::new());
                chunks.clear();
                session.say("250 2.0.0 Ok")?;
            }
            "NOOP" => session.say("250 2.0.0 Ok")?,
            "QUIT" => {
                return match session.fault(Phase::Quit)? {
                    Left::Everything => session.say("221 2.0.0 bye"),
                    _ => Ok(()),
                };
            }
            // A fault has answered these.
            "EHLO" | "STARTTLS" | "AUTH" | "MAIL" | "RCPT" | "DATA" | "RSET" => {}
            _ => session.say("500 5.5.2 what?")?,
        }
    }
}

/// What stands in the angle brackets.
fn path(line: &str) -> String {
    let inner = line.split_once('<').and_then(|(_, rest)| rest.rsplit_once('>'));
    inner.map_or_else(String::new, |(path, _)| path.to_owned())
}

impl Session<'_> {
    /// From here on under TLS. The handshake itself is made by what is read or written first.
    fn protect(&mut self, config: &Arc<ServerConfig>) -> io::Result<()> {
        if self.fault(Phase::Handshake)? == Left::Nothing {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        let connection = ServerConnection::new(Arc::clone(config)).map_err(io::Error::other)?;
        self.stream = Box::new(StreamOwned::new(connection, self.socket.try_clone()?));
        self.input.clear();
        self.tls = true;
        Ok(())
    }

    fn hello(&mut self) -> io::Result<()> {
        let mut lines = vec![self.options.hostname.clone()];
        lines.extend(self.options.keywords.iter().cloned());
        if self.options.tls.is_some() && !self.tls {
            lines.push("STARTTLS".into());
        }
        if self.options.login.is_some() {
            lines.push(format!("AUTH {}", self.options.mechanisms));
        }
        let last = lines.len().saturating_sub(1);
        let text = lines.iter().enumerate().map(|(at, line)| {
            let hyphen = if at == last { ' ' } else { '-' };
            format!("250{hyphen}{line}\r\n")
        });
        self.stream.write_all(text.collect::<String>().as_bytes())?;
        self.stream.flush()
    }

    fn keep(
        &mut self,
        keep: &Sender<Received>,
        sender: String,
        recipients: Vec<String>,
        content: Vec<u8>,
        left: Left,
    ) -> io::Result<()> {
        let (tls, authenticated, at) = (self.tls, self.user.clone(), SystemTime::now());
        let answered = left == Left::Everything;
        let received = Received { sender, recipients, content, tls, authenticated, at, answered };
        keep.send(received).map_err(io::Error::other)?;
        if !answered {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        self.say(&format!("250 2.0.0 Ok: queued as {}", self.number))
    }

    /// So many octets: one chunk.
    fn octets(&mut self, length: usize) -> io::Result<Vec<u8>> {
        let mut input = std::mem::take(&mut self.input);
        while input.len() < length.min(MAX_CONTENT) {
            if let Err(error) = self.read(&mut input, MAX_CONTENT) {
                lock(self.tally).broken_off += 1;
                return Err(error);
            }
        }
        self.input = input.split_off(length.min(input.len()));
        Ok(input)
    }

    /// The content up to its end, dots un-stuffed.
    fn content(&mut self) -> io::Result<Vec<u8>> {
        if self.fault(Phase::Content)? != Left::Everything {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        // As if the CRLF of DATA were part of it: a first line may be the dot (RFC 5321 section 4.1.1.4).
        let mut raw = b"\r\n".to_vec();
        raw.append(&mut self.input);
        let mut searched = 0;
        let end = loop {
            let from = usize::saturating_sub(searched, END.len());
            if let Some(at) = memchr::memmem::find(raw.get(from..).unwrap_or_default(), END) {
                break from + at;
            }
            searched = raw.len();
            if let Err(error) = self.read(&mut raw, MAX_CONTENT) {
                lock(self.tally).broken_off += 1;
                return Err(error);
            }
        };
        self.input = raw.split_off(end + END.len());
        raw.truncate(end + 2);
        let mut content = Vec::with_capacity(raw.len());
        for line in raw.get(2..).unwrap_or_default().split_inclusive(|octet| *octet == b'\n') {
            content.extend_from_slice(line.strip_prefix(b".").unwrap_or(line));
        }
        Ok(content)
    }

    /// Does what the table of faults says for this phase of this connection.
    fn fault(&mut self, phase: Phase) -> io::Result<Left> {
        let (number, passed) = (self.number, self.phases.iter().filter(|passed| **passed == phase).count());
        self.phases.push(phase);
        let applies = |fault: &&super::Fault| {
            fault.at == phase && fault.connection.is_none_or(|only| only == number) && passed >= fault.after
        };
        let listed = self.options.faults.iter().find(applies).map(|fault| fault.act.clone());
        let act = listed.or_else(|| self.options.whim.as_ref().and_then(|whim| whim(phase)));
        if phase == Phase::Handshake && act.is_some() {
            // The client's first octets: what happens to it happens in the middle.
            self.read(&mut Vec::new(), MAX_LINE)?;
        }
        match act {
            None => Ok(Left::Everything),
            Some(Act::Say(octets)) => {
                self.stream.write_all(&octets)?;
                self.stream.flush()?;
                Ok(Left::Nothing)
            }
            Some(Act::Swallow) if phase == Phase::Dot => Ok(Left::Silently),
            Some(Act::Close | Act::Swallow) => Err(io::ErrorKind::ConnectionAborted.into()),
            Some(Act::Reset) => {
                setsockopt(&self.socket, sockopt::Linger, &linger { l_onoff: 1, l_linger: 0 })?;
                Err(io::ErrorKind::ConnectionAborted.into())
            }
            Some(Act::Hang) => {
                let mut rest = [0; 4096];
                while self.stream.read(&mut rest)? > 0 {}
                Err(io::ErrorKind::ConnectionAborted.into())
            }
        }
    }

    pub(super) fn say(&mut self, line: &str) -> io::Result<()> {
        self.stream.write_all(format!("{line}\r\n").as_bytes())?;
        self.stream.flush()
    }

    pub(super) fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(end) = memchr::memmem::find(&self.input, b"\r\n") {
                let line: Vec<u8> = self.input.drain(..end + 2).take(end).collect();
                return Ok(String::from_utf8_lossy(&line).into_owned());
            }
            let mut input = std::mem::take(&mut self.input);
            let read = self.read(&mut input, MAX_LINE);
            self.input = input;
            read?;
        }
    }

    fn read(&mut self, into: &mut Vec<u8>, most: usize) -> io::Result<()> {
        let mut buffer = [0; 16 * 1024];
        let n = self.stream.read(&mut buffer)?;
        if n == 0 || into.len() + n > most + buffer.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        into.extend_from_slice(buffer.get(..n).unwrap_or_default());
        Ok(())
    }

    pub(super) fn note_mechanism(&self, mechanism: &str) {
        let mut tally = lock(self.tally);
        if tally.mechanisms.len() < MAX_COMMANDS {
            tally.mechanisms.push(mechanism.to_owned());
        }
    }

    fn note(&self, command: &str) {
        let mut tally = lock(self.tally);
        if tally.commands.len() < MAX_COMMANDS {
            tally.commands.push(command.to_owned());
        }
    }
}
