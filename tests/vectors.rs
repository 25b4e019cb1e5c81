//! Claims: every byte vector of a server has its required result through the whole service, over plain loopback, STARTTLS and
//! implicit TLS alike, and nothing reaches the upstream but what the table says.
//!
//! The tables stand in `tests/vectors`. A line `V3 words [transports]` begins a vector; without brackets it goes over plain,
//! starttls and implicit. `clear` is a listener with STARTTLS before TLS, `proxied` one that wants a PROXY header. Steps:
//!
//! - `C:` sends a line with CRLF, `C~` without, `P~` before anything else in place of a sound PROXY header; what follows each
//!   other goes in one write. `\r \n \t \0 \xNN \\` are octets, `\[9 x]` nine times x; `C*9:` sends nine lines, # is the number.
//! - `S:` is the next line of the server, `*` at its end any rest; `S*9:` nine such lines. `--`: it closes without another reply.
//! - `@greeted`, `@hello`, `@login`, `@mail`, `@data` lead up to that point; `@again` is the next MAIL and RCPT.
//! - `arrives:` one message arrives at the upstream, with this body; `header:`, `by:`, `to:`, `recipients:` tell of it.
//! - `never told:` what stands in no log.

mod support;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use gatepost::sink::Received;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use support::smtp::trusting;
use support::{CREDENTIAL, PATIENCE, Service, Setting, free_port};

const USUAL: &str = "plain, starttls, implicit";
const HEADER: &[u8] = b"PROXY TCP4 192.0.2.7 192.0.2.8 40000 25\r\n";

#[test]
fn vector_v1_vector_v2_vector_v3_vector_v4_vector_v11_vector_v12_vector_v22_over_every_transport() {
    Gate::open().hold("content.txt");
}

#[test]
fn vector_v5_vector_v6_vector_v7_vector_v8_vector_v9_vector_v10_vector_v13_vector_v18_vector_v19_vector_v20_vector_v23_over_every_transport()
 {
    Gate::open().hold("lines.txt");
}

#[test]
fn vector_v14_vector_v15_vector_v16_vector_v17_vector_v21_vector_v26_over_every_transport() {
    Gate::open().hold("envelope.txt");
}

/// One service with a listener for every transport.
struct Gate {
    service: Service,
    ports: Vec<(&'static str, u16)>,
    login: String,
    tls: Arc<ClientConfig>,
}

impl Gate {
    fn open() -> Self {
        let names = ["plain", "implicit", "proxied plain", "proxied starttls", "proxied implicit"];
        let mut ports: Vec<_> = names.map(|name| (name, free_port())).to_vec();
        let mut more = String::new();
        for (name, port) in &ports {
            let tls = name.rsplit(' ').next().unwrap().replace("plain", "none");
            let label = name.replace(' ', "-");
            more += &format!(
                "[[listener]]\nname = \"{label}\"\naddress = [\"127.0.0.1:{port}\"]\nprotocol = \"smtp\"\ntls = \"{tls}\"\n"
            );
            if name.starts_with("proxied") {
                more += "proxy_from = [\"127.0.0.1\"]\n";
            }
            if *name == "proxied plain" {
                more += "behind_tls_proxy = true\n";
            }
        }
        let service = Service::start_with(&Setting { more, ..Setting::default() });
        ports.extend([("clear", service.smtp), ("starttls", service.smtp)]);
        let words =
            ["credential", "add", CREDENTIAL, "--sender", "@example.net", "--recipient-deny", "@denied.example"];
        let output = service.command(&words);
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
        let login = STANDARD.encode(format!("\0{CREDENTIAL}\0{}", said.lines().last().unwrap()));
        let tls = trusting(&service.pair);
        Self { service, ports, login, tls }
    }

    /// Every vector of a table over each of its transports.
    fn hold(self, table: &str) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors").join(table);
        let text = std::fs::read_to_string(path).unwrap();
        let (mut arrived, mut held, mut secrets) = (0, 0, Vec::new());
        for (title, steps) in sections(&text) {
            let (_, transports) =
                title.split_once(" [").map_or((title, USUAL), |(words, rest)| (words, rest.trim_end_matches(']')));
            for transport in transports.split(", ") {
                eprintln!("{title} over {transport}");
                let mut run = Run { gate: &self, wire: self.connect(transport, &steps), arrived: None };
                steps.iter().for_each(|step| run.take(step));
                run.send();
                held += 1;
            }
            arrived +=
                steps.iter().filter(|step| step.starts_with("arrives:")).count() * transports.split(", ").count();
            secrets.extend(steps.iter().filter_map(|step| step.strip_prefix("never told: ").map(str::to_owned)));
        }
        assert!(held > 20, "{held}");
        assert!(self.service.sink.next(Duration::from_secs(1)).is_none(), "nothing else arrives");
        let events = self.service.command(&["audit", "query", "--event", "msg.accept", "--json"]);
        let events = String::from_utf8(events.stdout).unwrap();
        assert_eq!(events.lines().count(), arrived, "accepted was what arrived: {events}");
        assert!(self.service.command(&["audit", "verify"]).status.success());
        let trail = String::from_utf8(self.service.command(&["audit", "query", "--json"]).stdout).unwrap();
        let log = self.service.stop();
        for secret in secrets {
            assert!(!log.contains(&secret) && !trail.contains(&secret), "{secret:?} was told");
        }
    }

    fn connect(&self, transport: &str, steps: &[&str]) -> Wire {
        let port = self.ports.iter().find(|(name, _)| *name == transport).map(|(_, port)| *port);
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port.expect(transport))).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let first = steps.first().and_then(|step| step.strip_prefix("P~ "));
        if let Some(odd) = first {
            stream.write_all(&octets(odd)).unwrap();
            return Wire { stream: Box::new(stream), is_greeted: false, read: Vec::new(), pending: Vec::new() };
        }
        if transport.starts_with("proxied") {
            stream.write_all(HEADER).unwrap();
        }
        let mut wire = Wire {
            stream: Box::new(stream.try_clone().unwrap()),
            is_greeted: false,
            read: Vec::new(),
            pending: Vec::new(),
        };
        if transport.ends_with("starttls") {
            wire.greet();
            wire.ask("EHLO client.example", "250");
            wire.ask("STARTTLS", "220");
        }
        if !transport.ends_with("plain") && transport != "clear" {
            let connection =
                ClientConnection::new(self.tls.clone(), ServerName::try_from("localhost").unwrap()).unwrap();
            wire.stream = Box::new(StreamOwned::new(connection, stream));
        }
        wire
    }
}

/// Title and steps of each vector.
fn sections(text: &str) -> Vec<(&str, Vec<&str>)> {
    let mut sections: Vec<(&str, Vec<&str>)> = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let is_title = line.starts_with('V') && line[1..].starts_with(|first: char| first.is_ascii_digit());
        match sections.last_mut() {
            _ if is_title => sections.push((line, Vec::new())),
            Some((_, steps)) => steps.push(line),
            None => panic!("a step of no vector: {line}"),
        }
    }
    sections
}

trait Stream: Read + Write {}
impl<S: Read + Write> Stream for S {}

struct Wire {
    stream: Box<dyn Stream>,
    is_greeted: bool,
    read: Vec<u8>,
    pending: Vec<u8>,
}

impl Wire {
    /// The next line; none when it closed, however it did.
    fn line(&mut self) -> Option<String> {
        loop {
            if let Some(at) = self.read.windows(2).position(|pair| pair == b"\r\n") {
                let line: Vec<u8> = self.read.drain(..at + 2).take(at).collect();
                return Some(String::from_utf8_lossy(&line).into_owned());
            }
            let mut buffer = [0; 4096];
            match self.stream.read(&mut buffer) {
                Ok(0) => return None,
                Ok(n) => self.read.extend_from_slice(&buffer[..n]),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => panic!("nothing was said for too long"),
                Err(_) => return None,
            }
        }
    }

    fn expect(&mut self, expected: &str) {
        let line = self.line().unwrap_or_else(|| panic!("closed, and expected was {expected:?}"));
        let fits = expected.strip_suffix('*').map_or(line == expected, |begin| line.starts_with(begin));
        assert!(fits, "{expected:?} was expected, and it was {line:?}");
    }

    /// A command and its reply, of any number of lines.
    fn ask(&mut self, line: &str, code: &str) {
        self.stream.write_all(format!("{line}\r\n").as_bytes()).unwrap();
        self.stream.flush().unwrap();
        loop {
            let line = self.line().expect("no reply");
            assert!(line.starts_with(code), "{code} was expected, and it was {line:?}");
            if line.as_bytes().get(3) != Some(&b'-') {
                return;
            }
        }
    }

    fn greet(&mut self) {
        if !std::mem::replace(&mut self.is_greeted, true) {
            self.expect("220 gate.test.example ESMTP");
        }
    }
}

/// One vector over one transport.
struct Run<'a> {
    gate: &'a Gate,
    wire: Wire,
    arrived: Option<Received>,
}

impl Run<'_> {
    /// What the peer has closed takes nothing more.
    fn send(&mut self) {
        let pending = std::mem::take(&mut self.wire.pending);
        let _ = self.wire.stream.write_all(&pending).and_then(|()| self.wire.stream.flush());
    }

    fn take(&mut self, step: &str) {
        let (word, rest) = step.split_once(' ').unwrap_or((step, ""));
        let (word, times) = match word.strip_suffix(':').and_then(|word| word.split_once('*')) {
            Some((side, times)) => (format!("{side}:"), times.parse().unwrap()),
            None => (word.to_owned(), 1),
        };
        if word == "C:" || word == "C~" {
            for number in 1..=times {
                let text = if times > 1 { rest.replace('#', &number.to_string()) } else { rest.to_owned() };
                self.wire.pending.extend(octets(&text));
                self.wire.pending.extend_from_slice(if word == "C:" { b"\r\n" } else { b"" });
            }
            return;
        }
        self.send();
        let login = format!("AUTH PLAIN {}", self.gate.login);
        let wire = &mut self.wire;
        let (hello, mail, data) = (
            ("EHLO client.example", "250"),
            [("MAIL FROM:<a@example.net>", "250"), ("RCPT TO:<b@example.org>", "250")],
            ("DATA", "354"),
        );
        let mut ask = |words: &[(&str, &str)]| {
            wire.greet();
            words.iter().for_each(|(line, code)| wire.ask(line, code));
        };
        match word.as_str() {
            "P~" | "never" => (),
            "S:" => (0..times).for_each(|_| wire.expect(rest)),
            "--" => {
                while let Some(line) = wire.line() {
                    let is_reply = line.len() > 3 && line.as_bytes()[..3].iter().all(u8::is_ascii_digit);
                    assert!(!is_reply, "it said {line:?} instead of closing");
                }
            }
            "@greeted" => ask(&[]),
            "@hello" => ask(&[hello]),
            "@login" => ask(&[hello, (&login, "235")]),
            "@mail" => ask(&[&[hello, (&login, "235")], &mail[..]].concat()),
            "@data" => ask(&[&[hello, (&login, "235")], &mail[..], &[data]].concat()),
            "@again" => ask(&mail),
            "arrives:" => {
                let received = self.gate.service.sink.next(PATIENCE).expect("it arrives");
                let content = String::from_utf8(received.content.clone()).unwrap();
                let body = content.split_once("\r\n\r\n").map_or("", |(_, body)| body);
                assert_eq!(body.as_bytes(), octets(rest), "{content}");
                self.arrived = Some(received);
            }
            told => {
                let arrived = self.arrived.as_ref().expect("something arrived");
                match told {
                    "header:" => {
                        assert!(String::from_utf8_lossy(&arrived.content).contains(&format!("\r\n{rest}\r\n")))
                    }
                    "by:" => assert_eq!(arrived.sender.as_bytes(), octets(rest)),
                    "to:" => assert_eq!(arrived.recipients.join(" ").as_bytes(), octets(rest)),
                    "recipients:" => assert_eq!(arrived.recipients.len().to_string(), rest),
                    _ => panic!("not a step: {step}"),
                }
            }
        }
    }
}

fn octets(text: &str) -> Vec<u8> {
    let (mut out, mut rest) = (Vec::new(), text);
    while let Some((plain, escaped)) = rest.split_once('\\') {
        out.extend_from_slice(plain.as_bytes());
        let (octets, length) = match escaped.as_bytes() {
            [b'r', ..] => (b"\r".to_vec(), 1),
            [b'n', ..] => (b"\n".to_vec(), 1),
            [b't', ..] => (b"\t".to_vec(), 1),
            [b'0', ..] => (b"\0".to_vec(), 1),
            [b'\\', ..] => (b"\\".to_vec(), 1),
            [b'x', ..] => (vec![u8::from_str_radix(&escaped[1..3], 16).unwrap()], 3),
            [b'[', ..] => {
                let (inner, _) = escaped[1..].split_once(']').unwrap();
                let (times, what) = inner.split_once(' ').unwrap();
                (what.repeat(times.parse().unwrap()).into_bytes(), inner.len() + 2)
            }
            _ => panic!("unknown escape in {text:?}"),
        };
        out.extend(octets);
        rest = &escaped[length..];
    }
    out.extend_from_slice(rest.as_bytes());
    out
}
