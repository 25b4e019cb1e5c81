//! AUTH SCRAM-SHA-256 and SCRAM-SHA-256-PLUS: the password is proven and never said, and the upstream must prove that it knows it, too.

use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};

use super::Patience;
use super::login::{self, Credential};
use super::reply::Reply;
use super::session::{Refused, Session};
use crate::sasl::client::{Challenge, Channel, Client, Keys};

/// Random octets of our part of the nonce.
const NONCE: usize = 18;

/// What it says of a name or a password that is none (RFC 5802 section 7); all else is of the mechanism, or of itself.
const REFUSALS: [&str; 3] = ["invalid-proof", "unknown-user", "invalid-username-encoding"];

/// The keys of the last login. An upstream asks for the same stretching each time, and then it need not be done again.
#[derive(Debug, Default)]
pub struct Kept(Mutex<Option<Arc<Keys>>>);

impl Credential {
    fn keys(&self, challenge: &Challenge) -> Arc<Keys> {
        // Held over the stretching, in which nothing can panic: one thread serves all sessions.
        let mut kept = self.kept.0.lock().unwrap_or_else(PoisonError::into_inner);
        match kept.as_ref().filter(|keys| keys.are_for(challenge)) {
            Some(keys) => Arc::clone(keys),
            None => Arc::clone(kept.insert(Arc::new(Keys::derive(&self.password, challenge)))),
        }
    }
}

/// Logs in. Errors: what the upstream said, or what it should have.
pub async fn login(
    session: &mut Session,
    credential: &Credential,
    bound: bool,
    patience: &Patience,
) -> Result<(), Refused> {
    let exported = session.exported;
    let (command, channel) = match &exported {
        Some(exported) if bound => (b"AUTH SCRAM-SHA-256-PLUS".as_slice(), Channel::Exporter(exported)),
        // It may be offered, and then the upstream has to know that we would have taken it.
        Some(_) => (b"AUTH SCRAM-SHA-256".as_slice(), Channel::Unoffered),
        None => (b"AUTH SCRAM-SHA-256".as_slice(), Channel::None),
    };
    let client = Client::new(&credential.username, channel, nonce()?);
    let reply = login::begin(session, command, client.first().as_bytes(), patience).await?;
    let challenge = client.read(&said(&reply)?)?;
    let (proof, expected) = client.prove(&challenge, &credential.keys(&challenge));
    let reply = login::respond(session, proof.as_bytes(), patience).await?;
    if reply.code == 235 {
        return Err("it took the login and did not show that it knows the password".into());
    }
    let verdict = said(&reply)?;
    if let Some(error) = verdict.strip_prefix(b"e=") {
        let reason = format!("it says {}", String::from_utf8_lossy(&verdict).escape_default());
        let is_login = REFUSALS.iter().any(|word| error.split(|octet| *octet == b',').next() == Some(word.as_bytes()));
        return Err(Refused { is_login, ..reason.into() });
    }
    // What is compared was said in the open; how long it takes tells nothing.
    if verdict.split(|octet| *octet == b',').next() != Some(expected.as_bytes()) {
        return Err("what should show that it knows the password does not: it is not who it pretends to be".into());
    }
    login::welcomed(&login::respond(session, b"", patience).await?)
}

/// What a challenge says.
fn said(reply: &Reply) -> Result<Vec<u8>, Refused> {
    login::challenged(reply)?;
    let text = reply.lines.first().map(|line| line.trim_end()).unwrap_or_default();
    STANDARD.decode(text).map_err(|_| "its challenge is not base64".into())
}

fn nonce() -> Result<String, String> {
    let mut octets = [0; NONCE];
    getrandom::fill(&mut octets).map_err(|error| format!("no random octets: {error}"))?;
    Ok(STANDARD_NO_PAD.encode(octets))
}
