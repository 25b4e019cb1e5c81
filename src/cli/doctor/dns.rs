//! Questions to a name server, for what a domain publishes about its mail: UDP first, TCP where the answer is too long for it.
//! What comes back is a stranger's: it is read within its bounds, believed by nobody, and shown as text.

use std::cell::Cell;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

/// How long one server may take for one question, and how often it is asked.
const PATIENCE: Duration = Duration::from_secs(2);
const TRIES: usize = 2;
/// After so many questions in a row without an answer there is nobody there, or no network, and no more is asked.
const DEAF: usize = 3;
/// All questions together.
const WHOLE: Duration = Duration::from_secs(30);
/// Servers of resolv.conf that count: resolv.conf(5).
const SERVERS: usize = 3;
/// Records of an answer that are read, and octets of it: no domain has more that is meant.
const RECORDS: usize = 64;
const LONGEST: usize = 16 * 1024;
/// Jumps in a compressed name; each goes backwards, so that more are a loop.
const JUMPS: usize = 16;
/// Octets of a name (RFC 1035 section 2.3.4), and of one label.
const NAME: usize = 255;
const LABEL: usize = 63;

const IN: u16 = 1;
const RESPONSE: u16 = 0x8000;
const TRUNCATED: u16 = 0x0200;
const RECURSE: u16 = 0x0100;
const CODE: u16 = 0x000f;
const NO_SUCH_NAME: u16 = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    A,
    Mx,
    Txt,
    Aaaa,
}

impl Kind {
    const fn number(self) -> u16 {
        match self {
            Self::A => 1,
            Self::Mx => 15,
            Self::Txt => 16,
            Self::Aaaa => 28,
        }
    }
}

/// Those who are asked, until the time is over.
pub struct Resolver {
    servers: Vec<SocketAddr>,
    until: Instant,
    /// Questions in a row that nobody answered.
    unanswered: Cell<usize>,
}

impl Resolver {
    /// `chosen`, or the system's.
    ///
    /// Errors: there is none.
    pub fn new(chosen: Option<SocketAddr>) -> Result<Self, String> {
        let servers = match chosen {
            Some(server) => vec![server],
            None => of_system()?,
        };
        Ok(Self { servers, until: Instant::now() + WHOLE, unanswered: Cell::new(0) })
    }

    /// The records of a name, as text; none when there are none, or no such name.
    ///
    /// Errors: nobody gave an answer, in words.
    pub fn ask(&self, name: &str, kind: Kind) -> Result<Vec<String>, String> {
        let id = u16::from_be_bytes(random().map_err(|error| error.to_string())?);
        let question = question(id, name, kind).ok_or_else(|| format!("{name:?} is no name"))?;
        let mut last = "there is no time left for it".to_owned();
        if self.unanswered.get() >= DEAF {
            return Err("nobody answered the questions before this one".to_owned());
        }
        let mut heard = false;
        for server in self.servers.iter().cycle().take(self.servers.len() * TRIES) {
            let left = self.until.saturating_duration_since(Instant::now()).min(PATIENCE);
            if left.is_zero() {
                break;
            }
            let asked = over_udp(*server, &question, left).and_then(|answer| match answer {
                answer if is_truncated(&answer) => over_tcp(*server, &question, left),
                answer => Ok(answer),
            });
            heard |= asked.is_ok();
            let understood = asked.map_err(|error| error.to_string()).and_then(|answer| understand(&answer, id, kind));
            match understood {
                Ok(records) => {
                    self.unanswered.set(0);
                    return Ok(records);
                }
                Err(why) => last = format!("{server}: {why}"),
            }
        }
        // A server that can't find something out is there.
        self.unanswered.set(if heard { 0 } else { self.unanswered.get() + 1 });
        Err(last)
    }
}

/// resolv.conf(5): the local one where none is named.
fn of_system() -> Result<Vec<SocketAddr>, String> {
    let text = std::fs::read_to_string("/etc/resolv.conf").map_err(|error| format!("/etc/resolv.conf: {error}"))?;
    let servers = text.lines().filter_map(|line| line.trim().strip_prefix("nameserver")?.trim().parse::<IpAddr>().ok());
    let mut all: Vec<SocketAddr> = servers.take(SERVERS).map(|address| (address, 53).into()).collect();
    if all.is_empty() {
        all.push((Ipv4Addr::LOCALHOST, 53).into());
    }
    Ok(all)
}

/// An id that nobody can guess who would answer in the server's place.
fn random() -> io::Result<[u8; 2]> {
    let mut octets = [0; 2];
    getrandom::fill(&mut octets).map_err(io::Error::other)?;
    Ok(octets)
}

fn question(id: u16, name: &str, kind: Kind) -> Option<Vec<u8>> {
    let mut message = Vec::with_capacity(NAME + 17);
    for word in [id, RECURSE, 1, 0, 0, 0] {
        message.extend(word.to_be_bytes());
    }
    if name.len() > NAME - 2 || !name.is_ascii() {
        return None;
    }
    for label in name.trim_end_matches('.').split('.') {
        message.push(u8::try_from(label.len()).ok().filter(|length| (1..=LABEL).contains(&usize::from(*length)))?);
        message.extend(label.as_bytes());
    }
    message.push(0);
    message.extend(kind.number().to_be_bytes());
    message.extend(IN.to_be_bytes());
    Some(message)
}

fn over_udp(server: SocketAddr, question: &[u8], patience: Duration) -> io::Result<Vec<u8>> {
    let any: IpAddr = if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0))?;
    // Others' datagrams don't get here then.
    socket.connect(server)?;
    socket.set_read_timeout(Some(patience))?;
    socket.send(question)?;
    let until = Instant::now() + patience;
    let mut answer = vec![0; LONGEST];
    loop {
        let length = socket.recv(&mut answer)?;
        // Whoever guesses is heard, and not believed: the right one may come yet.
        if answer.get(..2) == question.get(..2) || Instant::now() >= until {
            answer.truncate(length);
            return Ok(answer);
        }
    }
}

fn over_tcp(server: SocketAddr, question: &[u8], patience: Duration) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&server, patience)?;
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(patience))?;
    let length = u16::try_from(question.len()).map_err(io::Error::other)?;
    stream.write_all(&length.to_be_bytes())?;
    stream.write_all(question)?;
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut answer = vec![0; usize::from(u16::from_be_bytes(length)).min(LONGEST)];
    stream.read_exact(&mut answer)?;
    Ok(answer)
}

fn is_truncated(answer: &[u8]) -> bool {
    Message { octets: answer, at: 2 }.word().is_some_and(|flags| flags & TRUNCATED != 0)
}

/// The records of one kind in an answer.
///
/// Errors: it is no answer to this question, or says that there is none.
fn understand(answer: &[u8], id: u16, kind: Kind) -> Result<Vec<String>, String> {
    let broken = || "its answer can't be read".to_owned();
    let mut message = Message { octets: answer, at: 0 };
    let mut word = || message.word().ok_or_else(broken);
    let (said, flags, questions, answers) = (word()?, word()?, word()?, word()?);
    if said != id || flags & RESPONSE == 0 {
        return Err("it answered something else".to_owned());
    }
    match flags & CODE {
        0 => {}
        NO_SUCH_NAME => return Ok(Vec::new()),
        2 => return Err("it could not find out (SERVFAIL)".to_owned()),
        5 => return Err("it does not answer us (REFUSED)".to_owned()),
        code => return Err(format!("it answered with code {code}")),
    }
    message.at = 12;
    for _ in 0..questions.min(1) {
        message.name().ok_or_else(broken)?;
        message.skip(4).ok_or_else(broken)?;
    }
    let mut records = Vec::new();
    for _ in 0..usize::from(answers).min(RECORDS) {
        let (is_wanted, end) = message.head(kind).ok_or_else(broken)?;
        if is_wanted {
            records.push(message.record(kind, end).ok_or_else(broken)?);
        }
        message.at = end;
    }
    Ok(records)
}

/// A message that is read from one place on.
struct Message<'a> {
    octets: &'a [u8],
    at: usize,
}

impl Message<'_> {
    fn octet(&mut self) -> Option<u8> {
        let octet = *self.octets.get(self.at)?;
        self.at += 1;
        Some(octet)
    }

    fn word(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes([self.octet()?, self.octet()?]))
    }

    fn skip(&mut self, octets: usize) -> Option<()> {
        self.at = self.at.checked_add(octets).filter(|at| *at <= self.octets.len())?;
        Some(())
    }

    /// What is before the data of a record: whether it is one of that kind, and where the next one begins.
    fn head(&mut self, kind: Kind) -> Option<(bool, usize)> {
        self.name()?;
        let (found, class) = (self.word()?, self.word()?);
        self.skip(4)?;
        let length = usize::from(self.word()?);
        let end = self.at.checked_add(length).filter(|end| *end <= self.octets.len())?;
        Some((found == kind.number() && class == IN, end))
    }

    fn record(&mut self, kind: Kind, end: usize) -> Option<String> {
        let data = self.octets.get(self.at..end)?;
        match kind {
            Kind::A => Some(Ipv4Addr::from(<[u8; 4]>::try_from(data).ok()?).to_string()),
            Kind::Aaaa => Some(Ipv6Addr::from(<[u8; 16]>::try_from(data).ok()?).to_string()),
            Kind::Mx => {
                let preference = self.word()?;
                let name = self.name()?;
                Some(format!("{preference} {name}."))
            }
            Kind::Txt => {
                let mut text = Vec::new();
                while self.at < end {
                    let length = usize::from(self.octet()?);
                    let next = self.at.checked_add(length).filter(|next| *next <= end)?;
                    text.extend_from_slice(self.octets.get(self.at..next)?);
                    self.at = next;
                }
                Some(String::from_utf8_lossy(&text).into_owned())
            }
        }
    }

    /// A name without its last dot; what is behind it is next. Compressed by RFC 1035 section 4.1.4.
    fn name(&mut self) -> Option<String> {
        let (mut name, mut behind, mut jumps) = (String::new(), None, 0);
        loop {
            let length = self.octet()?;
            match length {
                0 => break,
                1..=63 => {
                    let end = self.at.checked_add(usize::from(length))?;
                    if !name.is_empty() {
                        name.push('.');
                    }
                    name.push_str(&String::from_utf8_lossy(self.octets.get(self.at..end)?));
                    self.at = end;
                }
                192.. => {
                    let place = usize::from(length & 63) << 8 | usize::from(self.octet()?);
                    behind.get_or_insert(self.at);
                    jumps += 1;
                    if jumps > JUMPS {
                        return None;
                    }
                    self.at = place;
                }
                _ => return None,
            }
            if name.len() > NAME * 3 {
                return None;
            }
        }
        self.at = behind.unwrap_or(self.at);
        Some(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An answer with records of one name, that of the question.
    fn answer(flags: u16, records: &[(u16, Vec<u8>)]) -> Vec<u8> {
        let mut message = question(7, "example.net", Kind::Txt).unwrap();
        message[2..4].copy_from_slice(&(RESPONSE | flags).to_be_bytes());
        message[6..8].copy_from_slice(&u16::try_from(records.len()).unwrap().to_be_bytes());
        for (kind, data) in records {
            message.extend([0xc0, 12]);
            message.extend(kind.to_be_bytes());
            message.extend([0, 1, 0, 0, 0, 60]);
            message.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
            message.extend(data);
        }
        message
    }

    #[test]
    fn records_of_the_kind_are_read_and_their_parts_put_together() {
        let text = vec![2, b'v', b'=', 3, b's', b'p', b'f'];
        let mail = vec![0, 10, 2, b'm', b'x', 0xc0, 12];
        let message = answer(0, &[(5, vec![0xc0, 12]), (16, text), (15, mail)]);
        assert_eq!(understand(&message, 7, Kind::Txt).unwrap(), ["v=spf"]);
        assert_eq!(understand(&message, 7, Kind::Mx).unwrap(), ["10 mx.example.net."]);
        assert!(understand(&answer(NO_SUCH_NAME, &[]), 7, Kind::Mx).unwrap().is_empty());
    }

    #[test]
    fn what_is_no_answer_is_an_error_and_never_more_than_that() {
        let good = answer(0, &[(15, vec![0, 10, 2, b'm', b'x', 0xc0, 12])]);
        for (flags, word) in [(2, "SERVFAIL"), (5, "REFUSED"), (4, "code 4")] {
            assert!(understand(&answer(flags, &[]), 7, Kind::Mx).unwrap_err().contains(word));
        }
        assert!(understand(&good, 8, Kind::Mx).is_err(), "the id of another question");
        for length in 0..good.len() {
            assert!(understand(&good[..length], 7, Kind::Mx).is_err(), "cut at {length}");
        }
        // A name that leads to itself, and one that leads out.
        for target in [u8::try_from(good.len() - 2).unwrap(), 255] {
            let mut looped = good.clone();
            let end = looped.len();
            looped[end - 1] = target;
            assert!(understand(&looped, 7, Kind::Mx).is_err(), "{target}");
        }
        for at in 12..good.len() {
            for octet in [0, 1, 63, 64, 192, 255] {
                let mut other = good.clone();
                other[at] = octet;
                // Whatever it is then, it is read or refused.
                let _ = understand(&other, 7, Kind::Mx);
            }
        }
    }

    #[test]
    fn what_is_no_name_is_not_asked() {
        for name in ["", "a..b", &"a".repeat(64), &"a.".repeat(200), "ü.example"] {
            assert!(question(1, name, Kind::A).is_none(), "{name}");
        }
    }
}
