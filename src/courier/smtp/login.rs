//! AUTH PLAIN and LOGIN (RFC 4954, RFC 4616), with buffers that are wiped.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::Patience;
use super::session::Session;
use crate::secret::Secret;

/// A command line with an initial response must not be longer than this (RFC 5321 section 4.5.3.1.4, RFC 4954 section 4).
const MAX_LINE: usize = 512;

/// What an upstream knows us by.
#[derive(Debug)]
pub struct Credential {
    pub username: String,
    pub password: Secret<String>,
}

/// Logs in by the best mechanism that the session offers. Errors are the route's, and never repeat what was sent.
pub async fn login(session: &mut Session, credential: &Credential, patience: &Patience) -> Result<(), String> {
    let Credential { username, password } = credential;
    let reply = if session.offers.plain {
        let mut response = Zeroizing::new(Vec::with_capacity(username.len() + password.expose().len() + 2));
        for part in [b"\0", username.as_bytes(), b"\0", password.expose().as_bytes()] {
            response.extend_from_slice(part);
        }
        let response = encoded(&response);
        let line = line(&[b"AUTH PLAIN ", &response]);
        if line.len() <= MAX_LINE {
            session.ask("AUTH", &line, patience).await?
        } else {
            answer(session, b"AUTH PLAIN\r\n", &response, patience).await?
        }
    } else if session.offers.login {
        let user = encoded(username.as_bytes());
        let reply = answer(session, b"AUTH LOGIN\r\n", &user, patience).await?;
        if reply.code != 334 {
            return Err(format!("AUTH: {reply}"));
        }
        session.ask("AUTH", &line(&[&encoded(password.expose().as_bytes())]), patience).await?
    } else {
        return Err("AUTH: the upstream offers neither PLAIN nor LOGIN".into());
    };
    if reply.code == 235 { Ok(()) } else { Err(format!("AUTH: {reply}")) }
}

/// Begins an exchange and answers its first challenge.
async fn answer(
    session: &mut Session,
    begin: &[u8],
    response: &[u8],
    patience: &Patience,
) -> Result<super::reply::Reply, String> {
    let reply = session.ask("AUTH", begin, patience).await?;
    if reply.code != 334 {
        return Err(format!("AUTH: {reply}"));
    }
    session.ask("AUTH", &line(&[response]), patience).await
}

fn encoded(octets: &[u8]) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(STANDARD.encode(octets).into_bytes())
}

/// The parts and CRLF, in a buffer that never moves: a copy left behind would not be wiped.
fn line(parts: &[&[u8]]) -> Zeroizing<Vec<u8>> {
    let mut line = Zeroizing::new(Vec::with_capacity(parts.iter().map(|part| part.len()).sum::<usize>() + 2));
    for part in parts {
        line.extend_from_slice(part);
    }
    line.extend_from_slice(b"\r\n");
    line
}
