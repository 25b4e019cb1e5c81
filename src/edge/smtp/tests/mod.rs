//! Sessions over a pipe, with a vault that stands in: each test bears the id of the rule or vector that it shows.

mod auth;
mod chunking;
mod commands;
mod conformance;
mod content;
mod dialect;
mod dialogs;
mod envelope;
mod extensions;
mod framing;
mod guards;
mod live;
mod lmtp;
mod memory;
mod patience;
mod replies;
mod scram;
mod tls;
mod transcript;
mod xclient;

use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::server::ResolvesServerCertUsingSni;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::session::{Leave, Session};
use crate::config::slice::{Desk, EdgeSlice, TlsMode};
use crate::edge::front::{Front, Phase};
use crate::edge::stand_in::{Seen, StandIn, Ways};
use crate::policy::certificate::Presented;
use crate::policy::mechanism::Mechanism;

pub const MAX_SIZE: u64 = 100_000;
/// What sessions under TLS are bound by.
const EXPORTED: [u8; 32] = [9; 32];
/// No test waits longer for a line.
const PATIENCE: Duration = Duration::from_secs(20);

/// A listener with its vault.
pub struct Room {
    pub front: Arc<Front>,
    pub house: StandIn,
    pub season: watch::Sender<Phase>,
}

impl Room {
    /// On loopback: a password may be said in the clear.
    pub fn plain() -> Self {
        Self::with(Ways::default(), |desk| desk.plain_login = true)
    }

    pub fn with(ways: Ways, change: impl FnOnce(&mut Desk)) -> Self {
        let mut desk = Desk {
            number: 1,
            name: "submission".into(),
            tls: TlsMode::None,
            certificates: Vec::new(),
            client_certificates: None,
            plain_login: false,
            identify_by_network: false,
            proxied: false,
            serve: vec![],
            mechanisms: vec![Mechanism::Plain, Mechanism::Login],
            extensions_off: vec![],
            future_release: None,
            dialect: Default::default(),
            reach: Default::default(),
        };
        change(&mut desk);
        let slice = EdgeSlice {
            hostname: "gate.example.net".into(),
            listeners: vec![],
            sessions: 10,
            strangers: 10,
            max_size: MAX_SIZE,
            requiretls: ways.login.2.routes.iter().any(|route| route.requiretls),
            signing: Duration::from_secs(1),
            handshake: Duration::from_secs(2),
            idle_strange: Duration::from_secs(30),
            idle: Duration::from_secs(300),
        };
        let (season, phase) = watch::channel(Phase::Serving);
        let tls = (desk.tls != TlsMode::None).then(offer);
        Self { front: Arc::new(Front::new(&slice, desk, tls, phase)), house: StandIn::new(ways), season }
    }

    pub fn connect(&self) -> Client {
        let (ours, theirs) = tokio::io::duplex(256 * 1024);
        let session = Session::new(self.front.clone(), self.house.visit(), Uuid::nil());
        Client { stream: ours, read: Vec::new(), session: spawn(session, theirs) }
    }

    /// A session from its first octet, by a script.
    pub async fn run(&self, script: &str) -> Client {
        let mut client = self.connect();
        client.run(script).await;
        client
    }

    /// What the vault has seen, once all of it was in its moment.
    pub fn seen(&self) -> Seen {
        self.house.seen()
    }
}

/// A configuration that no handshake is made with.
fn offer() -> Arc<ServerConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    Arc::new(config.with_no_client_auth().with_cert_resolver(Arc::new(ResolvesServerCertUsingSni::new())))
}

type Left = (Session, Leave<DuplexStream>);

fn spawn(mut session: Session, stream: DuplexStream) -> JoinHandle<Left> {
    tokio::spawn(async move {
        let leave = session.converse(stream).await;
        (session, leave)
    })
}

/// The other end.
pub struct Client {
    pub stream: DuplexStream,
    read: Vec<u8>,
    pub session: JoinHandle<Left>,
}

impl Client {
    pub async fn send(&mut self, octets: impl AsRef<[u8]>) {
        // A session that has closed takes nothing more.
        let _ = self.stream.write_all(octets.as_ref()).await;
    }

    /// The next line, without its CRLF; none when the session has closed.
    pub async fn line(&mut self) -> Option<String> {
        loop {
            if let Some(at) = memchr::memmem::find(&self.read, b"\r\n") {
                let line: Vec<u8> = self.read.drain(..at + 2).take(at).collect();
                let is_sound = at <= 510 && line.iter().all(|octet| (b' '..=b'~').contains(octet));
                assert!(is_sound, "rule L13: {:?}", String::from_utf8_lossy(&line));
                return Some(String::from_utf8(line).unwrap());
            }
            let mut buffer = [0; 4096];
            let read = tokio::time::timeout(PATIENCE, self.stream.read(&mut buffer)).await;
            match read.expect("nothing was said for too long") {
                Ok(0) | Err(_) => {
                    assert!(self.read.is_empty(), "half a line: {:?}", String::from_utf8_lossy(&self.read));
                    return None;
                }
                Ok(n) => self.read.extend_from_slice(&buffer[..n]),
            }
        }
    }

    /// The next whole reply.
    pub async fn reply(&mut self) -> String {
        let mut reply = String::new();
        while let Some(line) = self.line().await {
            let last = line.as_bytes().get(3) != Some(&b'-');
            reply += &line;
            reply += "\n";
            if last {
                break;
            }
        }
        reply
    }

    /// The next reply begins like this.
    pub async fn expect(&mut self, begin: &str) {
        let reply = self.reply().await;
        assert!(reply.starts_with(begin), "{begin:?} was expected, and it was {reply:?}");
    }

    /// A line that comes only after a while on the paused clock.
    pub async fn slow_line(&mut self, begin: &str) {
        let mut buffer = [0; 512];
        let read = tokio::time::timeout(Duration::from_secs(3600), self.stream.read(&mut buffer)).await;
        let n = read.expect("nothing was said for an hour").unwrap();
        assert!(String::from_utf8_lossy(&buffer[..n]).starts_with(begin));
    }

    pub async fn closed(&mut self) {
        assert_eq!(self.line().await, None, "the session should have been closed");
    }

    /// TLS begins, as far as the session can tell: it goes on over a new pipe.
    pub async fn secured(self, front: &Front) -> Self {
        self.secured_with(front, None).await
    }

    /// With this certificate of the client.
    pub async fn secured_with(self, front: &Front, client: Option<Presented>) -> Self {
        assert!(front.tls.is_some());
        let (mut session, leave) = self.session.await.unwrap();
        assert!(matches!(leave, Leave::Starttls(_)), "{leave:?}");
        let (ours, theirs) = tokio::io::duplex(256 * 1024);
        let cipher = "TLS_AES_128_GCM_SHA256".to_owned();
        let tls = crate::ipc::session::Tls { version: "TLSv1.3".into(), cipher, client: client.map(Box::new) };
        session.secured(tls, Some(EXPORTED));
        Self { stream: ours, read: Vec::new(), session: spawn(session, theirs) }
    }

    /// A script: one step a line. `C:` sends a line with CRLF, `C~` without, and all that follow each other go in one
    /// write; `\r \n \0 \xNN` stand for octets. `S:` is the next line from the server, with `*` at its end for any rest.
    /// `--` says that the session is closed. `@hello`, `@login`, `@mail` and `@data` lead up to that point; `@again` is the next MAIL and RCPT.
    /// `@offers` are the lines of the reply to EHLO that stand in each.
    pub async fn run(&mut self, script: &str) {
        let mut pending = Vec::new();
        for step in script.lines().map(str::trim).filter(|step| !step.is_empty() && !step.starts_with('#')) {
            if let Some(text) = step.strip_prefix("C:") {
                pending.extend(octets(text.strip_prefix(' ').unwrap_or(text)));
                pending.extend(b"\r\n");
                continue;
            }
            if let Some(text) = step.strip_prefix("C~") {
                pending.extend(octets(text.strip_prefix(' ').unwrap_or(text)));
                continue;
            }
            self.send(std::mem::take(&mut pending)).await;
            match step {
                "--" => self.closed().await,
                "@hello" => Box::pin(self.run(HELLO)).await,
                "@offers" => Box::pin(self.run(OFFERS)).await,
                "@login" => Box::pin(self.run(&[HELLO, LOGIN].concat())).await,
                "@mail" => Box::pin(self.run(&[HELLO, LOGIN, MAIL].concat())).await,
                "@again" => Box::pin(self.run(MAIL)).await,
                "@data" => Box::pin(self.run(&[HELLO, LOGIN, MAIL, DATA].concat())).await,
                _ => {
                    let expected = step.strip_prefix("S: ").unwrap_or_else(|| panic!("not a step: {step}"));
                    let line = self.line().await.unwrap_or_else(|| panic!("closed, and expected was {expected:?}"));
                    let fits = match expected.strip_suffix('*') {
                        Some(begin) => line.starts_with(begin),
                        None => line == expected,
                    };
                    assert!(fits, "{expected:?} was expected, and it was {line:?}");
                }
            }
        }
        self.send(pending).await;
    }
}

const HELLO: &str = "
    S: 220 gate.example.net ESMTP
    C: EHLO client.example
    @offers
    S: 250 AUTH PLAIN LOGIN
";
const OFFERS: &str = "
    S: 250-gate.example.net
    S: 250-PIPELINING
    S: 250-SIZE 100000
    S: 250-8BITMIME
    S: 250-SMTPUTF8
    S: 250-ENHANCEDSTATUSCODES
    S: 250-CHUNKING
    S: 250-DSN
";
const LOGIN: &str = "
    C: AUTH PLAIN AGJpbGxpbmcAczNjcmV0
    S: 235 2.7.0 *
";
const MAIL: &str = "
    C: MAIL FROM:<a@example.net>
    S: 250 2.1.0 *
    C: RCPT TO:<b@example.org>
    S: 250 2.1.5 *
";
const DATA: &str = "
    C: DATA
    S: 354 *
";

fn octets(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text.chars();
    while let Some(next) = rest.next() {
        match next {
            '\\' => match rest.next() {
                Some('r') => out.push(b'\r'),
                Some('n') => out.push(b'\n'),
                Some('t') => out.push(b'\t'),
                Some('0') => out.push(0),
                Some('x') => out.push(u8::from_str_radix(&rest.by_ref().take(2).collect::<String>(), 16).unwrap()),
                Some('\\') => out.push(b'\\'),
                other => panic!("unknown escape {other:?} in {text:?}"),
            },
            other => out.extend(other.to_string().as_bytes()),
        }
    }
    out
}
