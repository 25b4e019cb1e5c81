//! Who asks: from the request's key, or the connection's certificate, to a grant, once per connection.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use hyper::header::{self, HeaderMap};
use sha2::{Digest, Sha256};

use super::reply::{Code, Fault};
use super::{Session, key, surface};
use crate::edge::conversation::{Lost, Visit, Welcome};
use crate::ipc::allowance::Allowance;
use crate::ipc::session::{Denial, Via};
use crate::policy::Grant;
use crate::policy::mechanism::Mechanism;
use crate::policy::refusal::Refusal;
use crate::secret::Secret;

/// Seconds after which the vault may be back, and after which it may have room to check a key.
pub const VAULT_AGAIN: u32 = 5;
const ROOM_AGAIN: u32 = 2;
/// Who asks for it, among pages: of every request of a browser (Fetch Metadata).
const FETCH_SITE: &str = "sec-fetch-site";

/// What a request shows of who asks.
#[derive(Debug)]
enum Shown {
    Key(Secret<String>),
    /// The connection's certificate, and no key.
    Certificate,
}

/// The same as it is remembered: of a key its SHA-256, for the key itself is not kept.
#[derive(Debug, PartialEq, Eq)]
enum By {
    Key([u8; 32]),
    Certificate,
}

/// A connection's place at the vault, and who sits there.
#[derive(Debug)]
pub struct Seat {
    pub visit: Visit,
    /// The vault knows this connection.
    introduced: bool,
    /// Whom a trusted proxy has named; none inside: nobody that can be believed.
    client: Option<Option<SocketAddr>>,
    /// By what the vault has granted that.
    known: Option<(By, Arc<Grant>)>,
    /// What the request at hand was told to be left of its limits.
    pub allowance: Option<Allowance>,
}

impl Seat {
    pub const fn new(visit: Visit) -> Self {
        Self { visit, introduced: false, client: None, known: None, allowance: None }
    }

    /// Who this request comes from, or why it gets no further.
    pub async fn enter(&mut self, session: &Session, headers: &HeaderMap) -> Result<Arc<Grant>, Fault> {
        let known = self.know(session, headers).await?;
        if let Some(form) = &known.form {
            // Whatever it asks: nothing is told of such a key but to its pages.
            surface::stands_in(form, headers).inspect_err(|_| {
                self.visit.turned(&known.only_sender().cloned(), None, Refusal::FormOrigin);
            })?;
        }
        // What was said of an earlier request is nothing to this one.
        (self.allowance, _) = (None, self.visit.allowance());
        session.entered.store(true, Ordering::Relaxed);
        Ok(known)
    }

    async fn know(&mut self, session: &Session, headers: &HeaderMap) -> Result<Arc<Grant>, Fault> {
        let shown = match key::read(headers)? {
            Some(key) => Shown::Key(key),
            None if is_shown(session, headers) => Shown::Certificate,
            None => return Err(key::unauthorized()),
        };
        if session.tls.is_none() && !session.front.desk.plain_login {
            let message =
                "keys are taken over TLS only: use https, and replace the key that was just sent in the clear";
            return Err(Fault::new(Code::Forbidden, message).closing());
        }
        self.name(session, headers).await?;
        self.introduce().await.map_err(away)?;
        let by = shown.by();
        match &self.known {
            Some((known, _)) if *known != by => Err(another()),
            Some((_, grant)) if !self.visit.revoked() => Ok(Arc::clone(grant)),
            _ => self.login(session, shown, by).await,
        }
    }

    /// What the one may who sits there.
    pub fn grant(&self) -> Option<&Grant> {
        self.known.as_ref().map(|(_, grant)| &**grant)
    }

    /// A trusted proxy has said whose connection this is.
    pub const fn is_named(&self) -> bool {
        self.client.is_some()
    }

    /// Where a trusted proxy says whose request it is: so says the first one whose connection it is, and the vault counts and
    /// records that client. Those behind it must be of the same.
    async fn name(&mut self, session: &Session, headers: &HeaderMap) -> Result<(), Fault> {
        let Some(client) = session.named(headers) else { return Ok(()) };
        match self.client {
            Some(known) if known == client => Ok(()),
            None if self.visit.is_unknown() => {
                if self.visit.introduce(Via::Xclient(client)).await.map_err(away)? == Welcome::Crowded {
                    let message = "there are too many connections of this client; use those that there are";
                    return Err(Fault::new(Code::RateLimited, message).after(ROOM_AGAIN).closing());
                }
                self.client = Some(client);
                Ok(())
            }
            _ => {
                let message =
                    "this connection belongs to another client: the proxy must not send those of several over one";
                Err(Fault::new(Code::Misdirected, message).closing())
            }
        }
    }

    /// Has the vault know whose connection this is, where nobody has a key.
    pub async fn stand(&mut self, session: &Session, headers: &HeaderMap) -> Result<(), Fault> {
        self.name(session, headers).await?;
        self.introduce().await.map_err(away)
    }

    /// Has the vault know this connection.
    pub async fn introduce(&mut self) -> Result<(), Lost> {
        if !self.introduced {
            // A device that is known by its address is none over HTTP.
            drop(self.visit.open().await?);
            self.introduced = true;
        }
        Ok(())
    }

    async fn login(&mut self, session: &Session, shown: Shown, by: By) -> Result<Arc<Grant>, Fault> {
        self.known = None;
        let (mechanism, secret) = match shown {
            Shown::Key(key) => (Mechanism::Bearer, key),
            Shown::Certificate => (Mechanism::External, Secret::default()),
        };
        // A key names its credential itself, and a certificate is one's alone or nobody's.
        let answer = self.visit.login(mechanism, String::new(), secret, session.tls.clone()).await;
        match answer.map_err(away)? {
            Ok(grant) => {
                let grant = Arc::from(grant);
                self.known = Some((by, Arc::clone(&grant)));
                Ok(grant)
            }
            // Whoever guesses needs a connection for each guess.
            Err(Denial::Invalid) => Err(Fault::new(Code::Forbidden, by.denied()).closing()),
            Err(Denial::Busy) => {
                Err(Fault::new(Code::StoreUnavailable, "there is no room to check keys now; try again")
                    .after(ROOM_AGAIN))
            }
            Err(Denial::Away) => Err(Fault::new(
                Code::StoreUnavailable,
                "the provider that knows this key can't be asked now; try again",
            )
            .after(ROOM_AGAIN)),
            Err(Denial::Wait(seconds)) => {
                let message = "too many failed logins from this address; wait";
                Err(Fault::new(Code::RateLimited, message).after(seconds).closing())
            }
        }
    }
}

impl Shown {
    fn by(&self) -> By {
        match self {
            Self::Key(key) => By::Key(Sha256::digest(key.expose().as_bytes()).into()),
            Self::Certificate => By::Certificate,
        }
    }
}

impl By {
    const fn denied(&self) -> &'static str {
        match self {
            Self::Key(_) => "this key is not valid here",
            Self::Certificate => "nobody is known by this certificate alone: send a key",
        }
    }
}

/// Whether the certificate of the connection stands for a key. Browsers add it by themselves to whatever any page has them send,
/// and say so in one of these fields: a page needs a key.
fn is_shown(session: &Session, headers: &HeaderMap) -> bool {
    let is_of_a_page = [header::ORIGIN.as_str(), FETCH_SITE].iter().any(|name| headers.contains_key(*name));
    let has_certificate = session.tls.as_ref().is_some_and(|tls| tls.client.is_some());
    has_certificate && !is_of_a_page && session.front.desk.mechanisms.contains(&Mechanism::External)
}

/// The vault knows one client per connection. A proxy that mixes clients on one connection would let one send as another.
fn another() -> Fault {
    let message =
        "this connection belongs to another key, or to a certificate: send each key over a connection of its own";
    Fault::new(Code::Misdirected, message).closing()
}

/// The credential was changed since the login.
pub fn changed() -> Fault {
    Fault::new(Code::StoreUnavailable, "the key was changed meanwhile; send the request again").after(1).closing()
}

pub fn away(_: Lost) -> Fault {
    Fault::new(Code::StoreUnavailable, "the message store is away for a moment; try again").after(VAULT_AGAIN).closing()
}
