//! One session with an upstream: greeting, EHLO, TLS, login; then it is ready for transactions.

use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::login;
use super::offers::Offers;
use super::reply::Reply;
use super::transcript::Transcript;
use super::wire::{Broken, Wire};
use super::{Patience, Settings};
use crate::config::slice::TlsMode;
use crate::courier::dial::{Connection, Dialer};
use crate::courier::lookout;
use crate::courier::tls::{self, Protected, Stream};

/// Why there is no session: the route's fault, in words.
#[derive(Clone, Debug)]
pub struct Refused {
    pub reason: String,
    /// It is our login that it doesn't take: 534 or 535 (RFC 4954 sections 4 and 6).
    pub is_login: bool,
    /// How long who said so wants to be left alone.
    pub rest: Option<Duration>,
}

impl From<String> for Refused {
    fn from(reason: String) -> Self {
        Self { reason, is_login: false, rest: None }
    }
}

impl From<&str> for Refused {
    fn from(reason: &str) -> Self {
        reason.to_owned().into()
    }
}

impl Refused {
    /// What was being done comes first.
    pub fn within(self, phase: &str) -> Self {
        Self { reason: format!("{phase}: {}", self.reason), ..self }
    }
}

pub struct Session {
    pub wire: Wire,
    pub offers: Offers,
    /// Which host of the configuration it is with, and its name there.
    pub index: u16,
    pub host: String,
    pub tls: Option<&'static str>,
    /// What a login can be bound to this connection by.
    pub exported: Option<[u8; 32]>,
    pub opened: Instant,
    /// Transactions that were begun on it, whatever became of them.
    pub begun: u32,
    /// It was told that BDAT is no command.
    pub shuns_chunks: bool,
}

impl Session {
    /// Opens a session on a fresh connection, told by a transcript if somebody looks on. Errors are the route's: what was being
    /// done and why it failed.
    pub async fn open(
        connection: Connection,
        settings: &Settings,
        dialer: &Dialer,
        transcript: Option<Transcript>,
    ) -> Result<Self, Refused> {
        let Connection { socket, index, host, address } = connection;
        let stream: Box<dyn Stream> = Box::new(socket);
        let patience = &settings.patience;
        let (stream, tls, exported) = match settings.tls {
            TlsMode::Implicit => {
                let Protected { stream, version, exported } =
                    handshake(settings, &host, stream, transcript.as_ref()).await?;
                (stream, Some(version), exported)
            }
            TlsMode::None | TlsMode::Starttls => (stream, None, None),
        };
        let (wire, offers) = (Wire::new(stream).told_by(transcript), Offers::default());
        let mut session =
            Self { wire, offers, index, host, tls, exported, opened: Instant::now(), begun: 0, shuns_chunks: false };
        let end = Some(session.opened + patience.opening);
        session.wire.until(end);
        session.greeting(patience).await?;
        session.hello(settings).await?;
        if settings.tls == TlsMode::Starttls {
            session = session.protect(settings).await?;
            session.wire.until(end);
            // RFC 3207 section 4.2: nothing that was learned in clear counts any more.
            session.hello(settings).await?;
        }
        if let Some(login) = &settings.login {
            // Rule U5: never in clear, except where no wire is crossed.
            if session.tls.is_none() && !address.ip().to_canonical().is_loopback() {
                return Err("AUTH: not without TLS; set tls to starttls or implicit for this upstream".into());
            }
            // What was said before, it can't say back; and what it offers is read as it stands.
            session.wire.conceal(login.secrets());
            login::login(&mut session, login, dialer, patience).await?;
        }
        session.wire.until(None);
        Ok(session)
    }

    async fn greeting(&mut self, patience: &Patience) -> Result<(), String> {
        let reply = self.wire.reply(patience.greeting).await.map_err(|broken| format!("greeting: {broken}"))?;
        if reply.code == 220 { Ok(()) } else { Err(format!("greeting: {reply}")) }
    }

    async fn hello(&mut self, settings: &Settings) -> Result<(), String> {
        let line = format!("EHLO {}\r\n", settings.helo);
        let reply = self.ask("EHLO", line.as_bytes(), &settings.patience).await?;
        if reply.code != 250 {
            return Err(format!("EHLO: {reply}"));
        }
        self.offers = Offers::read(&reply);
        // RFC 8689 section 4.2.1: to keep mail under TLS is promised to who is known alone.
        self.offers.require_tls &= settings.verified;
        Ok(())
    }

    /// STARTTLS, which is required where it is configured: there is no way on without it (rule U3).
    async fn protect(mut self, settings: &Settings) -> Result<Self, String> {
        if !self.offers.starttls {
            return Err("STARTTLS: not offered, and required by the configuration".into());
        }
        let reply = self.ask("STARTTLS", b"STARTTLS\r\n", &settings.patience).await?;
        if reply.code != 220 {
            return Err(format!("STARTTLS: {reply}"));
        }
        // Octets that came in clear behind the 220 would be read as if TLS had protected them (CVE-2021-38371).
        if self.wire.has_spoken() {
            return Err("STARTTLS: more was said in clear after the 220; somebody may be in between".into());
        }
        let (stream, transcript) = self.wire.into_parts();
        let Protected { stream, version, exported } =
            handshake(settings, &self.host, stream, transcript.as_ref()).await?;
        let wire = Wire::new(stream).told_by(transcript);
        Ok(Self { wire, offers: Offers::default(), tls: Some(version), exported, ..self })
    }

    /// One command and its reply, in a phase where any accident is the route's.
    pub async fn ask(&mut self, phase: &str, line: &[u8], patience: &Patience) -> Result<Reply, String> {
        self.exchange(line, patience).await.map_err(|reason| format!("{phase}: {reason}"))
    }

    /// The same, for who names the phase itself.
    pub async fn exchange(&mut self, line: &[u8], patience: &Patience) -> Result<Reply, String> {
        match self.wire.overheard(patience.quit).await {
            Ok(None) => {}
            Ok(Some(reply)) => return Err(format!("the upstream spoke out of its turn: {reply}")),
            Err(broken) => return Err(broken.to_string()),
        }
        let asked = async {
            self.wire.say(line, patience.command).await?;
            self.wire.reply(patience.command).await
        };
        asked.await.map_err(|broken: Broken| broken.to_string())
    }

    /// Clears what a refused transaction left, so that the next message finds the session as new.
    pub async fn reset(&mut self, patience: &Patience) -> bool {
        self.ask("RSET", b"RSET\r\n", patience).await.is_ok_and(|reply| reply.is_positive())
    }

    /// Leaves politely, but does not wait long for the answer to that.
    pub async fn quit(mut self, patience: &Patience) {
        if self.wire.say(b"QUIT\r\n", patience.quit).await.is_ok() {
            // The message's fate is known; whatever is answered, the connection ends here.
            let _ = self.wire.reply(patience.quit).await;
        }
    }
}

/// Errors: why there is no TLS. Who looks on is told what the other side shows of itself, whether it is believed or not.
async fn handshake(
    settings: &Settings,
    host: &str,
    stream: Box<dyn Stream>,
    transcript: Option<&Transcript>,
) -> Result<Protected, String> {
    let connector = settings.connector.as_ref().ok_or("TLS: no authorities to verify the certificate with")?;
    let limit = settings.patience.handshake;
    let name = settings.tls_name.as_deref().unwrap_or(host);
    let shaken = match transcript {
        None => timeout(limit, tls::protect(connector, name, stream)).await,
        Some(transcript) => {
            let connector = lookout::anew(connector);
            let (shaken, seen) = lookout::watch(timeout(limit, tls::protect(&connector, name, stream))).await;
            if let Some(line) = tls::name(name).ok().and_then(|name| seen.line(&name)) {
                transcript.show(line);
            }
            shaken
        }
    };
    let failed = shaken.map_err(|_| format!("TLS: no handshake within {} s", limit.as_secs()))?;
    failed.map_err(|reason| format!("TLS: {reason}"))
}
