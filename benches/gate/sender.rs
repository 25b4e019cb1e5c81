//! A device that keeps its session and knows how long it waited for the answer to each dot.

use std::io::Write;
use std::net::{Ipv4Addr, TcpStream};
use std::time::Instant;

use crate::devices::connect_from;
use crate::trial::Smtp;

/// What became of a message.
pub enum Told {
    /// It was taken, so many milliseconds after its dot.
    Taken(f64),
    /// By this code.
    Refused(u16),
    /// The connection was closed without a word.
    Gone,
}

pub struct Sender {
    session: Smtp<TcpStream>,
    envelope: Vec<u8>,
    /// It was ended by the other side.
    pub over: bool,
}

impl Sender {
    /// Greets. Errors: what it was turned away with; none when the connection closed without a word.
    pub fn connect(port: u16, from: Ipv4Addr, id: &str) -> Result<Self, Option<u16>> {
        let mut session = Smtp::over(connect_from(from, port).map_err(|_| None)?);
        for (code, word) in [(220, "EHLO client.example"), (250, "")] {
            match session.try_code() {
                Some(said) if said == code => {}
                other => return Err(other),
            }
            if !word.is_empty() {
                session.stream().write_all(format!("{word}\r\n").as_bytes()).map_err(|_| None)?;
            }
        }
        let envelope = format!("MAIL FROM:<{id}@example.net>\r\nRCPT TO:<person@example.org>\r\nDATA\r\n");
        Ok(Self { session, envelope: envelope.into_bytes(), over: false })
    }

    /// As `connect`, by one who must get in.
    pub fn enter(port: u16, from: Ipv4Addr, id: &str) -> Self {
        Self::connect(port, from, id).unwrap_or_else(|code| panic!("a device was not let in: {code:?}"))
    }

    /// The envelope in one write, then the content.
    pub fn send(&mut self, content: &[u8]) -> Told {
        let told = self.try_send(content);
        self.over |= told.is_none();
        told.unwrap_or(Told::Gone)
    }

    fn try_send(&mut self, content: &[u8]) -> Option<Told> {
        self.session.stream().write_all(&self.envelope).ok()?;
        let mut first = None;
        for _ in 0..3 {
            let code = self.session.try_code()?;
            if code >= 400 {
                first = first.or(Some(code));
                if code == 421 {
                    self.over = true;
                    break;
                }
            }
        }
        if let Some(code) = first {
            return Some(Told::Refused(code));
        }
        self.session.stream().write_all(content).ok()?;
        let dot = Instant::now();
        self.session.stream().write_all(b".\r\n").ok()?;
        match self.session.try_code()? {
            250 => Some(Told::Taken(dot.elapsed().as_secs_f64() * 1000.0)),
            code => {
                self.over = code == 421;
                Some(Told::Refused(code))
            }
        }
    }
}

/// A message of so many octets with its header, without its dot.
pub fn content(id: &str, length: usize) -> Vec<u8> {
    const LINE: &[u8] = b"All work and no play makes a dull mail, and all mail and no play, a dull operator.\r\n";
    let header = format!("From: {id}@example.net\r\nTo: person@example.org\r\nSubject: A bill\r\n\r\n");
    let mut content = header.into_bytes();
    while content.len() < length {
        content.extend_from_slice(LINE);
    }
    content.truncate(length.saturating_sub(2));
    // Cut between the two octets that end a line, it would have another CR before this.
    if content.ends_with(b"\r") {
        content.pop();
    }
    content.extend_from_slice(b"\r\n");
    content
}
