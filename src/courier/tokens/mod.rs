//! Access tokens for an upstream that is logged in to by them: asked for at its token endpoint, by a refresh token (RFC 6749 section 6)
//! or by the client's own credentials (section 4.4), and kept until shortly before they end.
//!
//! One is asked for at a time, for all connections: who waits meanwhile shares the answer, also when it is none. The endpoint isn't asked
//! again before it wants that.

mod answer;
pub mod form;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex as StdMutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;
use zeroize::Zeroizing;

use super::dial::Dialer;
use super::http::{self, Request};
use super::secrets::Secrets;
use super::{lookout, tls};
use crate::config::slice::{Grant, Oauth2Slice};
use crate::ipc::delivery::Line;
use crate::secret::Secret;

pub use answer::Failed;
use answer::Granted;

/// From the connection to the last octet. The dialer gives up after 30 seconds; an endpoint answers within one or two.
const ASKING: Duration = Duration::from_secs(40);
/// Octets of an answer: two tokens and some words.
const MAX_ANSWER: usize = 32 * 1024;
/// A token is not used for the last minute of its life: a login takes its time, and clocks differ.
const MARGIN: Duration = Duration::from_secs(60);
/// Refresh tokens that others came for, and that are hidden still: an endpoint that gives a new one each time, as often as every few
/// minutes, may say back what it had hours ago. Each is 8 KiB at most.
const SUPERSEDED: usize = 32;
/// Longest that an endpoint is left alone, whatever it asks for; so are routes.
const LONGEST_REST: Duration = Duration::from_secs(3600);

/// Where tokens are asked for, and with what.
pub struct Settings {
    pub slice: Oauth2Slice,
    /// Present unless the endpoint is on this machine, and spoken to in clear.
    pub connector: Option<TlsConnector>,
    pub client_secret: Option<Secret<String>>,
    /// Present when the grant is by it.
    pub refresh_token: Option<Secret<String>>,
}

/// A token that was given.
#[derive(Clone)]
pub struct Token {
    secret: Arc<Secret<String>>,
    /// As it was given.
    pub life: Duration,
    until: Instant,
}

impl Token {
    pub fn expose(&self) -> &str {
        self.secret.expose()
    }

    #[cfg(test)]
    pub fn for_tests(secret: &str) -> Self {
        Self { secret: Arc::new(Secret::new(secret.to_owned())), life: Duration::ZERO, until: Instant::now() }
    }

    fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.secret, &other.secret)
    }
}

/// The tokens of one upstream.
pub struct Tokens {
    slice: Oauth2Slice,
    connector: Option<TlsConnector>,
    client_secret: Option<Secret<String>>,
    patience: Duration,
    /// Held while the endpoint is asked, so that others wait for the same answer.
    held: Mutex<Held>,
    /// How often it was asked.
    asked: AtomicU64,
    /// Of what is in the configuration's files.
    fixed: Secrets,
    shown: StdMutex<Shown>,
}

struct Held {
    /// The newest.
    refresh_token: Option<Secret<String>>,
    current: Option<Token>,
    failed: Option<Failure>,
    /// That the newest refresh token is not that of the file was said.
    is_told: bool,
}

/// How the last question ended, if it ended so.
struct Failure {
    failed: Failed,
    /// Which question it was.
    number: u64,
    /// The endpoint wants to be left alone until then.
    until: Option<Instant>,
}

/// What could be said back, beside what is fixed.
#[derive(Default)]
struct Shown {
    /// The refresh tokens that came, the newest first, and some of those before it.
    newer: Vec<Secrets>,
    /// The last two tokens, one of which may still be in use.
    recent: Vec<Token>,
}

impl Tokens {
    pub fn new(settings: Settings) -> Self {
        let Settings { slice, connector, client_secret, refresh_token } = settings;
        let fixed = [&client_secret, &refresh_token].into_iter().flatten().fold(Secrets::default(), hidden);
        let held = Held { refresh_token, current: None, failed: None, is_told: false };
        let (held, shown) = (Mutex::new(held), StdMutex::default());
        let asked = AtomicU64::new(0);
        Self { slice, connector, client_secret, patience: ASKING, held, asked, fixed, shown }
    }

    #[cfg(test)]
    pub fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Where they are asked for.
    pub fn url(&self) -> String {
        let scheme = if self.slice.tls { "https" } else { "http" };
        format!("{scheme}://{}{}", self.authority(), self.slice.path)
    }

    fn authority(&self) -> String {
        http::authority(&self.slice.host, self.slice.port, self.slice.tls)
    }

    /// What endpoint and upstream could say back.
    pub fn secrets(&self) -> Secrets {
        let shown = self.shown();
        let secrets = shown.newer.iter().fold(self.fixed.clone(), |secrets, newer| secrets.with(newer));
        shown.recent.iter().fold(secrets, |secrets, token| secrets.and(token.expose()))
    }

    /// The tokens that could be said back.
    pub fn recent(&self) -> Vec<Token> {
        self.shown().recent.clone()
    }

    /// The lock is never held while something is awaited or can panic.
    fn shown(&self) -> MutexGuard<'_, Shown> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A token that can be used: the one at hand, or one that is asked for.
    pub async fn token(&self, dialer: &Dialer) -> Result<Token, Failed> {
        let seen = self.asked.load(Ordering::Relaxed);
        let mut held = self.held.lock().await;
        if let Some(token) = held.current.as_ref().filter(|token| Instant::now() < token.until) {
            return Ok(token.clone());
        }
        match &held.failed {
            // It was answered while we waited.
            Some(failure) if failure.number > seen => Err(failure.failed.clone()),
            _ => self.ask(&mut held, dialer).await,
        }
    }

    /// Another one than that which was refused: one that came meanwhile, or one that is asked for.
    pub async fn another(&self, dialer: &Dialer, refused: &Token) -> Result<Token, Failed> {
        self.held.lock().await.current.take_if(|token| token.is(refused));
        self.token(dialer).await
    }

    /// One that is asked for now, whatever is at hand; and what the endpoint showed of itself in its handshake, if it came to one.
    pub async fn anew(&self, dialer: &Dialer) -> (Result<Token, Failed>, Option<Line>) {
        let mut held = self.held.lock().await;
        let connector = self.connector.as_ref().map(lookout::anew);
        let (asked, seen) = lookout::watch(self.ask_by(connector.as_ref(), &mut held, dialer)).await;
        (asked, tls::name(&self.slice.host).ok().and_then(|name| seen.line(&name)))
    }

    async fn ask(&self, held: &mut Held, dialer: &Dialer) -> Result<Token, Failed> {
        self.ask_by(self.connector.as_ref(), held, dialer).await
    }

    async fn ask_by(
        &self,
        connector: Option<&TlsConnector>,
        held: &mut Held,
        dialer: &Dialer,
    ) -> Result<Token, Failed> {
        let now = Instant::now();
        if let Some(Failure { failed, until: Some(until), .. }) = &held.failed
            && now < *until
        {
            return Err(Failed { rest: Some(*until - now), ..failed.clone() });
        }
        let asked = timeout(self.patience, self.exchange(connector, dialer, held.refresh_token.as_ref())).await;
        let asked = asked.unwrap_or_else(|_| Err(format!("it took longer than {} s", self.patience.as_secs()).into()));
        let number = self.asked.fetch_add(1, Ordering::Relaxed) + 1;
        match asked {
            Ok(granted) => Ok(self.keep(held, granted)),
            Err(failed) => {
                let rest = failed.rest.map(|rest| rest.min(LONGEST_REST));
                let failed = Failed { reason: format!("{}: {}", self.slice.host, failed.reason), rest, ..failed };
                let until = rest.map(|rest| Instant::now() + rest);
                held.failed = Some(Failure { failed: failed.clone(), number, until });
                Err(failed)
            }
        }
    }

    async fn exchange(
        &self,
        connector: Option<&TlsConnector>,
        dialer: &Dialer,
        refresh_token: Option<&Secret<String>>,
    ) -> Result<Granted, Failed> {
        let dialed = dialer.dial_token_endpoint().await.map_err(|reasons| reasons.join("; "))?;
        // The name that the certificate must bear is our own, whatever the dialer says of where it went.
        let (stream, _) = tls::ready(dialed, connector, &self.slice.host).await?;
        let request = Request {
            authority: self.authority(),
            path: self.slice.path.clone(),
            kind: "application/x-www-form-urlencoded",
            headers: vec![("accept", "application/json".to_owned())],
            body: Secret::new(std::mem::take(&mut *self.form(refresh_token)).into_bytes()),
            ..Request::default()
        };
        let reply = http::post(stream, request, MAX_ANSWER, async { true }).await.map_err(http::Failed::into_reason)?;
        answer::judge(reply, &self.secrets())
    }

    /// The client shows what it is known by in the form (RFC 6749 section 2.3.1), as Google and Microsoft have it.
    fn form(&self, refresh_token: Option<&Secret<String>>) -> Zeroizing<String> {
        let grant = match self.slice.grant {
            Grant::RefreshToken => "refresh_token",
            Grant::ClientCredentials => "client_credentials",
        };
        let pairs = [
            Some(("grant_type", grant)),
            Some(("client_id", self.slice.client_id.as_str())),
            self.client_secret.as_ref().map(|secret| ("client_secret", secret.expose().as_str())),
            refresh_token.map(|token| ("refresh_token", token.expose().as_str())),
            self.slice.scope.as_ref().map(|scope| ("scope", scope.as_str())),
        ];
        form::encoded(&pairs.into_iter().flatten().collect::<Vec<_>>())
    }

    fn keep(&self, held: &mut Held, granted: Granted) -> Token {
        let Granted { token, life, refresh_token } = granted;
        let used = life.saturating_sub(MARGIN).max(life / 2);
        let token = Token { secret: Arc::new(token), life, until: Instant::now() + used };
        tracing::info!(endpoint = self.slice.host, life_s = life.as_secs(), "a token was given");
        if self.slice.grant == Grant::RefreshToken
            && let Some(newer) = refresh_token
                .filter(|newer| held.refresh_token.as_ref().is_none_or(|older| older.expose() != newer.expose()))
        {
            if !held.is_told {
                tracing::warn!(
                    endpoint = self.slice.host,
                    "a new refresh token came with it: it is used as long as this courier runs, and a restart begins with that of the file"
                );
            }
            let mut shown = self.shown();
            shown.newer.insert(0, hidden(Secrets::default(), &newer));
            shown.newer.truncate(1 + SUPERSEDED);
            drop(shown);
            (held.refresh_token, held.is_told) = (Some(newer), true);
        }
        (held.failed, held.current) = (None, Some(token.clone()));
        let mut shown = self.shown();
        shown.recent.insert(0, token.clone());
        shown.recent.truncate(2);
        drop(shown);
        token
    }
}

/// As it is, and as it stands in a form.
fn hidden(secrets: Secrets, secret: &Secret<String>) -> Secrets {
    secrets.and(secret.expose()).and(&form::value(secret.expose()))
}

/// An endpoint for tests, which nobody asks.
#[cfg(test)]
pub fn endpoint(bearer: crate::config::slice::Bearer, grant: Grant) -> Oauth2Slice {
    Oauth2Slice {
        bearer,
        grant,
        host: "tokens.test".into(),
        port: 443,
        tls: true,
        path: "/".into(),
        client_id: "gate".into(),
        client_secret: false,
        scope: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::slice::Bearer;

    #[test]
    fn refresh_tokens_that_others_came_for_are_hidden_still_and_not_without_end() {
        let slice = endpoint(Bearer::Xoauth2, Grant::RefreshToken);
        let refresh_token = Some(Secret::new("of-the-file".to_owned()));
        let tokens = Tokens::new(Settings { slice, connector: None, client_secret: None, refresh_token });
        let mut held = Held { refresh_token: None, current: None, failed: None, is_told: true };
        let mut came = |n: usize| {
            let (token, life) = (Secret::new(format!("access-{n}-")), Duration::from_secs(60));
            let refresh_token = Some(Secret::new(format!("renew/{n}-")));
            tokens.keep(&mut held, Granted { token, life, refresh_token });
        };
        (1..=3).for_each(&mut came);
        let said = tokens.secrets().hide("of-the-file renew/1- renew%2F1- renew/2- renew/3- renew/4-");
        assert_eq!(said, "[hidden] [hidden] [hidden] [hidden] [hidden] renew/4-");
        (4..=3 + SUPERSEDED).for_each(&mut came);
        let said = tokens.secrets().hide(&format!("renew/1- renew/2- renew/3- renew/{}- of-the-file", 3 + SUPERSEDED));
        assert_eq!(said, "renew/1- renew/2- [hidden] [hidden] [hidden]");
    }
}
