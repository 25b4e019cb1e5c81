//! AUTH (RFC 4954): by which mechanism, and PLAIN (RFC 4616) and LOGIN themselves, with buffers that are wiped.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::Patience;
use super::bearer::Bearer;
use super::offers::Mechanisms;
use super::reply::Reply;
use super::scram::{self, Kept};
use super::session::{Refused, Session};
use crate::config::slice::Auth;
use crate::courier::dial::Dialer;
use crate::courier::secrets::Secrets;
use crate::courier::tokens::form;
use crate::sasl::proof;
use crate::secret::Secret;

/// A command line with an initial response must not be longer than this (RFC 5321 section 4.5.3.1.4, RFC 4954 section 4).
const MAX_LINE: usize = 512;

/// What an upstream knows us by.
#[derive(Debug)]
pub struct Credential {
    pub username: String,
    pub password: Secret<String>,
    auth: Auth,
    /// Keys of the password, from one login by SCRAM to the next.
    pub kept: Kept,
}

/// One of the mechanisms that this client has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mechanism {
    /// Bound to the TLS session, or not.
    Scram {
        bound: bool,
    },
    Plain,
    Login,
}

impl Mechanism {
    const fn name(self) -> &'static str {
        match self {
            Self::Scram { bound: true } => "SCRAM-SHA-256-PLUS",
            Self::Scram { bound: false } => "SCRAM-SHA-256",
            Self::Plain => "PLAIN",
            Self::Login => "LOGIN",
        }
    }
}

impl Credential {
    pub fn new(username: String, password: Secret<String>, auth: Auth) -> Self {
        Self { username, password, auth, kept: Kept::default() }
    }

    /// What an upstream could say back of a login.
    pub fn secrets(&self) -> Secrets {
        let password = self.password.expose();
        let plain = Zeroizing::new(format!("\0{}\0{password}", self.username));
        // Some say back what they logged as it stands in an address, with slashes or without.
        let quoted = form::value(password);
        let with_slashes = Zeroizing::new(quoted.replace("%2F", "/"));
        Secrets::of(&plain).and(password).and(&quoted).and(&with_slashes)
    }

    /// The mechanism to log in by, of those that the session offers. Errors: there is none.
    ///
    /// What is refused by one is not tried by the next: who only says that it has no keys would then be told the password.
    fn choose(&self, offered: Mechanisms, can_bind: bool) -> Result<Mechanism, String> {
        let bound = (offered.scram_plus && can_bind).then_some(Mechanism::Scram { bound: true });
        let scram = bound.or(offered.scram.then_some(Mechanism::Scram { bound: false }));
        let plain = offered.plain.then_some(Mechanism::Plain);
        let login = offered.login.then_some(Mechanism::Login);
        let by_proof = proof::is_plain(&self.username) && proof::is_plain(self.password.expose());
        let (chosen, wanted) = match self.auth {
            Auth::Auto => (scram.filter(|_| by_proof).or(plain).or(login), "any of SCRAM-SHA-256, PLAIN and LOGIN"),
            Auth::ScramSha256 if !by_proof => {
                return Err(
                    "AUTH: username or password is not printable ASCII, and SCRAM takes nothing else".to_owned()
                );
            }
            Auth::ScramSha256 => (scram, "SCRAM-SHA-256, which auth asks for"),
            Auth::Plain => (plain, "PLAIN, which auth asks for"),
            Auth::Login => (login, "LOGIN, which auth asks for"),
        };
        chosen.ok_or_else(|| format!("AUTH: the upstream does not offer {wanted}"))
    }
}

/// How an upstream is logged in to.
pub enum Login {
    Password(Credential),
    Token(Box<Bearer>),
}

impl From<Credential> for Login {
    fn from(credential: Credential) -> Self {
        Self::Password(credential)
    }
}

impl Login {
    /// What an upstream could say back of it.
    pub fn secrets(&self) -> Secrets {
        match self {
            Self::Password(credential) => credential.secrets(),
            Self::Token(bearer) => bearer.secrets(),
        }
    }
}

/// Logs in. Errors are the route's, and never repeat what was sent.
pub async fn login(session: &mut Session, login: &Login, dialer: &Dialer, patience: &Patience) -> Result<(), Refused> {
    match login {
        Login::Password(credential) => by_password(session, credential, patience).await,
        Login::Token(bearer) => bearer.login(session, dialer, patience).await,
    }
}

async fn by_password(session: &mut Session, credential: &Credential, patience: &Patience) -> Result<(), Refused> {
    let mechanism = credential.choose(session.offers.mechanisms, session.exported.is_some())?;
    let done = match mechanism {
        Mechanism::Scram { bound } => scram::login(session, credential, bound, patience).await,
        Mechanism::Plain => plain(session, credential, patience).await.and_then(|reply| welcomed(&reply)),
        Mechanism::Login => by_login(session, credential, patience).await.and_then(|reply| welcomed(&reply)),
    };
    done.map_err(|refused| refused.within(&format!("AUTH {}", mechanism.name())))
}

pub fn welcomed(reply: &Reply) -> Result<(), Refused> {
    if reply.code == 235 { Ok(()) } else { Err(refused(reply)) }
}

pub fn refused(reply: &Reply) -> Refused {
    Refused { is_login: matches!(reply.code, 534 | 535), ..reply.to_string().into() }
}

async fn plain(session: &mut Session, credential: &Credential, patience: &Patience) -> Result<Reply, Refused> {
    let Credential { username, password, .. } = credential;
    let mut response = Zeroizing::new(Vec::with_capacity(username.len() + password.expose().len() + 2));
    for part in [b"\0", username.as_bytes(), b"\0", password.expose().as_bytes()] {
        response.extend_from_slice(part);
    }
    begin(session, b"AUTH PLAIN", &response, patience).await
}

async fn by_login(session: &mut Session, credential: &Credential, patience: &Patience) -> Result<Reply, Refused> {
    let asked = session.exchange(&line(&[b"AUTH LOGIN"]), patience).await?;
    challenged(&asked)?;
    let asked = respond(session, credential.username.as_bytes(), patience).await?;
    challenged(&asked)?;
    respond(session, credential.password.expose().as_bytes(), patience).await
}

/// Begins an exchange in which the client speaks first: with the command, or, where that would be too long, behind it.
pub async fn begin(
    session: &mut Session,
    command: &[u8],
    response: &[u8],
    patience: &Patience,
) -> Result<Reply, Refused> {
    let whole = line(&[command, b" ", &encoded(response)]);
    if whole.len() <= MAX_LINE {
        return Ok(session.exchange(&whole, patience).await?);
    }
    let asked = session.exchange(&line(&[command]), patience).await?;
    challenged(&asked)?;
    respond(session, response, patience).await
}

/// Answers a challenge.
pub async fn respond(session: &mut Session, response: &[u8], patience: &Patience) -> Result<Reply, Refused> {
    Ok(session.exchange(&line(&[&encoded(response)]), patience).await?)
}

pub fn challenged(reply: &Reply) -> Result<(), Refused> {
    if reply.code == 334 { Ok(()) } else { Err(refused(reply)) }
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

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Mechanisms =
        Mechanisms { scram_plus: true, scram: true, plain: true, login: true, xoauth2: true, oauthbearer: true };

    fn chosen(auth: Auth, password: &str, offered: Mechanisms, can_bind: bool) -> &'static str {
        let credential = Credential::new("gate".into(), Secret::new(password.into()), auth);
        credential.choose(offered, can_bind).map_or("none", Mechanism::name)
    }

    #[test]
    fn rule_u5_the_best_mechanism_that_is_offered_is_taken_or_the_one_that_was_asked_for() {
        let without = |change: fn(&mut Mechanisms)| {
            let mut offered = ALL;
            change(&mut offered);
            offered
        };
        let unbound = without(|m| m.scram_plus = false);
        let spoken = without(|m| (m.scram_plus, m.scram) = (false, false));
        let only_bound = Mechanisms { scram_plus: true, ..Mechanisms::NONE };
        let only_login = Mechanisms { login: true, ..Mechanisms::NONE };
        for (auth, offered, can_bind, expected) in [
            (Auth::Auto, ALL, true, "SCRAM-SHA-256-PLUS"),
            (Auth::Auto, ALL, false, "SCRAM-SHA-256"),
            (Auth::Auto, unbound, true, "SCRAM-SHA-256"),
            (Auth::Auto, spoken, true, "PLAIN"),
            (Auth::Auto, only_login, true, "LOGIN"),
            (Auth::Auto, only_bound, false, "none"),
            // By a token is never logged in but where that was asked for.
            (Auth::Auto, Mechanisms { xoauth2: true, oauthbearer: true, ..Mechanisms::NONE }, true, "none"),
            (Auth::Auto, Mechanisms::NONE, true, "none"),
            (Auth::ScramSha256, ALL, true, "SCRAM-SHA-256-PLUS"),
            (Auth::ScramSha256, spoken, true, "none"),
            (Auth::Plain, ALL, true, "PLAIN"),
            (Auth::Plain, only_login, true, "none"),
            (Auth::Login, ALL, true, "LOGIN"),
            (Auth::Login, only_bound, true, "none"),
        ] {
            assert_eq!(chosen(auth, "sesame", offered, can_bind), expected, "{auth:?} {offered:?}");
        }
        // Both sides might not spell it alike.
        assert_eq!(chosen(Auth::Auto, "s\u{e9}same", ALL, true), "PLAIN");
        assert_eq!(chosen(Auth::ScramSha256, "s\u{e9}same", ALL, true), "none");
    }
}
