//! Asking Cloudflare's Turnstile of a token: one question of its own connection, and a second where the first had no answer.
//!
//! | answer | meaning |
//! |---|---|
//! | `success` | solved: where and for what goes to the vault, which decides |
//! | `invalid-input-secret`, `missing-input-secret` | our secret is none of theirs |
//! | `timeout-or-duplicate`, `invalid-input-response`, `missing-input-response` | refused |
//! | `internal-error`, 5xx, no answer | asked once more, by the same `idempotency_key`; then nobody can say |
//! | anything else: other codes, other statuses, no JSON, too much of it | nobody can say |

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tokio_rustls::TlsConnector;
use uuid::Uuid;

use super::dial::Dialer;
use super::http::{self, Reply as Heard, Request};
use super::tls::{self, Stream};
use super::tokens::form;
use crate::config::slice::TurnstileSlice;
use crate::ipc::channel::{Receiver, Sender};
use crate::ipc::token::Token;
use crate::ipc::turnstile::{Answer, Ask, MAX_ASKS, Reply, cut};
use crate::secret::Secret;

/// All of it: dial, handshake and exchange, twice if need be. A visitor waits, and then the page's own limits.
const WHOLE: Duration = Duration::from_secs(5);
/// Of the first of two, so that something is left for the second.
const FIRST: Duration = Duration::from_secs(3);
/// What is asked under the configured address.
const PATH: &str = "/turnstile/v0/siteverify";
/// Octets of an answer: an honest one has some 300.
const MAX_ANSWER: usize = 8 * 1024;
/// Statuses that an answer in JSON comes with.
const ANSWERS: [u16; 2] = [200, 400];
/// From there on a status is of a server that is not well (RFC 9110 section 15.6).
const AILING: u16 = 500;
/// Codes of its answers.
const OWN: [&str; 2] = ["missing-input-secret", "invalid-input-secret"];
const THEIRS: [&str; 3] = ["missing-input-response", "invalid-input-response", "timeout-or-duplicate"];
const INTERNAL: &str = "internal-error";
/// When it is to leave, questions that are on their way to it are still answered.
const GRACE: Duration = Duration::from_secs(1);

/// Where it is asked, and what the site is known by there.
pub struct Settings {
    slice: TurnstileSlice,
    connector: Option<TlsConnector>,
    secret: Secret<String>,
}

impl Settings {
    pub fn new(slice: TurnstileSlice, connector: Option<TlsConnector>, secret: Secret<String>) -> Self {
        Self { slice, connector, secret }
    }

    fn request(&self, token: &Token, address: Option<IpAddr>, id: Uuid) -> Request {
        let (address, id) = (address.map(|address| address.to_canonical().to_string()), id.to_string());
        let mut pairs =
            vec![("secret", self.secret.expose().as_str()), ("response", token.expose()), ("idempotency_key", &id)];
        pairs.extend(address.as_deref().map(|address| ("remoteip", address)));
        let TurnstileSlice { host, port, tls, prefix } = &self.slice;
        Request {
            authority: http::authority(host, *port, *tls),
            path: format!("{prefix}{PATH}"),
            kind: "application/x-www-form-urlencoded",
            body: Secret::new(form::encoded(&pairs).as_bytes().to_vec()),
            ..Request::default()
        }
    }
}

/// What the answer's body has that we use.
#[derive(Deserialize)]
struct Body {
    success: bool,
    #[serde(default)]
    hostname: Option<String>,
    #[serde(default)]
    action: Option<String>,
    #[serde(default, rename = "error-codes")]
    codes: Vec<String>,
}

/// An answer, or that it may be asked again.
enum Said {
    Done(Answer),
    Again(String),
}

pub struct Turnstile {
    settings: Settings,
    dialer: Arc<Dialer>,
}

impl Turnstile {
    pub fn new(settings: Settings, dialer: Arc<Dialer>) -> Self {
        Self { settings, dialer }
    }

    /// Serves one vault until it is gone; draining, until what is under way has ended.
    pub async fn serve(
        self: Arc<Self>,
        answers: Sender<Reply>,
        mut asks: Receiver<Ask>,
        mut drain: watch::Receiver<bool>,
    ) {
        let (mut questions, mut leaves) = (JoinSet::new(), None);
        loop {
            if *drain.borrow_and_update() && leaves.is_none() {
                leaves = Some(Instant::now() + GRACE);
            }
            let is_late = leaves.is_some_and(|moment| Instant::now() >= moment);
            let moment = leaves.unwrap_or_else(Instant::now);
            if is_late && questions.is_empty() {
                return;
            }
            tokio::select! {
                ask = asks.receive(), if !is_late && questions.len() < MAX_ASKS => match ask {
                    Ok(Some(Ask::Verify { ticket, token, address })) => {
                        let own = Arc::clone(&self);
                        questions.spawn(async move { Reply { ticket, answer: own.verify(&token, address).await } });
                    }
                    Ok(None) => return,
                    Err(error) => return tracing::error!(%error, "the vault's channel can't be read"),
                },
                Some(done) = questions.join_next(), if !questions.is_empty() => match done {
                    Ok(reply) => if answers.send(reply).await.is_err() { return },
                    // The vault gives up waiting for it.
                    Err(error) => tracing::error!(%error, "a question to Turnstile fell in the courier"),
                },
                () = sleep_until(moment), if leaves.is_some() && !is_late => {}
                _ = drain.changed(), if leaves.is_none() => {}
            }
        }
    }

    /// No word of it has the token or the secret, whatever is answered: an answer's own text is not passed on, and its codes are.
    async fn verify(&self, token: &Token, address: Option<IpAddr>) -> Answer {
        let id = Uuid::now_v7();
        let until = Instant::now() + WHOLE;
        let first = timeout(FIRST, self.ask(token, address, id)).await;
        let why = match first {
            Ok(Said::Done(answer)) => return answer,
            Ok(Said::Again(why)) => why,
            Err(_) => format!("no answer within {} s", FIRST.as_secs()),
        };
        tracing::debug!(why, "Turnstile is asked again");
        match timeout_at(until, self.ask(token, address, id)).await {
            Ok(Said::Done(answer)) => answer,
            Ok(Said::Again(why)) => self.failed(&why),
            Err(_) => self.failed(&format!("no answer within {} s", WHOLE.as_secs())),
        }
    }

    async fn ask(&self, token: &Token, address: Option<IpAddr>, id: Uuid) -> Said {
        let stream = match self.connect().await {
            Ok(stream) => stream,
            Err(why) => return Said::Again(why),
        };
        let request = self.settings.request(token, address, id);
        match http::post(stream, request, MAX_ANSWER, async { true }).await {
            Ok(heard) => self.understand(&heard),
            Err(failed) => Said::Again(failed.into_reason()),
        }
    }

    fn understand(&self, heard: &Heard) -> Said {
        if heard.status >= AILING {
            return Said::Again(format!("HTTP {}", heard.status));
        }
        let failed = |why: &str| Said::Done(self.failed(why));
        if !ANSWERS.contains(&heard.status) {
            return failed(&format!("HTTP {}", heard.status));
        }
        if !heard.whole {
            return failed(&format!("its answer broke off, or has more than {MAX_ANSWER} octets"));
        }
        // An object, and nothing that could be read as one: serde takes a list for it.
        let object = serde_json::from_slice::<Map<String, Value>>(&heard.body).map(Value::Object);
        let Ok(body) = object.and_then(serde_json::from_value::<Body>) else {
            return failed("what it answered is not of Turnstile");
        };
        // Its own words are short and plain; others could have quoted what we said.
        let codes = body.codes.iter().filter(|code| code.bytes().all(|c| c.is_ascii_lowercase() || c == b'-'));
        let codes = cut(&codes.map(String::as_str).collect::<Vec<_>>().join(" "));
        let has = |known: &[&str]| body.codes.iter().any(|code| known.contains(&code.as_str()));
        match body.success {
            true => Said::Done(Answer::Solved {
                hostname: cut(&body.hostname.unwrap_or_default()),
                action: cut(&body.action.unwrap_or_default()),
            }),
            false if has(&OWN) => Said::Done(Answer::Unknown { codes }),
            false if has(&[INTERNAL]) => Said::Again(format!("it says {codes}")),
            false if has(&THEIRS) => Said::Done(Answer::Refused { codes }),
            false => failed(&format!("it says no, and why in words that are not known ({codes})")),
        }
    }

    fn failed(&self, why: &str) -> Answer {
        Answer::Failed { reason: cut(&format!("{}: {why}", self.settings.slice.host)) }
    }

    /// A connection, ready for the request. Errors: what failed.
    async fn connect(&self) -> Result<Box<dyn Stream>, String> {
        let connection = self.dialer.dial(0).await.map_err(|reasons| reasons.join("; "))?;
        // The name that the certificate must bear is our own, whatever the dialer says of where it went.
        let Settings { slice, connector, .. } = &self.settings;
        tls::ready(connection, connector.as_ref(), &slice.host).await.map(|(stream, _)| stream)
    }
}
