//! Delivery by a provider's HTTP API: the whole message is gathered, and goes out in one request of its own connection.
//!
//! | phase | what happens | for the message |
//! |---|---|---|
//! | before the request | REQUIRETLS; longer than the provider takes; what its API can't carry | Failed: nothing was sent |
//! | connection, handshake, and until something is written | fails | route failed |
//! | request | breaks off before all of it was written | broken off: half a request is none (its length was said first) |
//! | answer | none, or no HTTP | Unknown |
//! | answer | any | by the API; see `judgement` for what statuses mean where it has no words of its own |
//!
//! No redirect is followed: where a provider is, the configuration says.

mod access;
mod api;
mod bytesend;
mod cloudflare;
mod connection;
mod fields;
mod headers;
mod judgement;
mod live;
mod rehearsal;
mod verification;
mod webhook;

/// What a message becomes, for fuzzing.
#[cfg(any(test, fuzzing))]
#[path = "tests/trial.rs"]
pub mod trial;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;
use tokio_rustls::TlsConnector;

use super::admission::Admission;
use super::dial::Dialer;
use super::http::{self, Failed};
use super::parcel::{Content, Parcel, Verdict, Withdrawn};
use super::secrets::Secrets;
use crate::config::slice::{self, ProviderSlice};
use crate::mail::address::{Address, ReversePath};
use crate::mail::id::MessageId;
use crate::mail::outcome::{Outcome, Said, UNANSWERED};
use crate::secret::Secret;

use access::Access;
use api::Api;
use bytesend::Bytesend;
use cloudflare::Cloudflare;
use judgement::{Judgement, words};
use verification::Verifying;
use webhook::Webhook;

/// Octets of the hash over the recipients that tell parts of one message apart.
const PART: usize = 8;
/// Octets of an answer: an address and some words for each recipient.
const MAX_ANSWER: usize = 64 * 1024;

/// Where the provider is, and how it is spoken to.
pub struct Settings {
    host: String,
    authority: String,
    /// Present unless it is on this machine, and spoken to in clear.
    connector: Option<TlsConnector>,
    /// The name that a certificate must bear, instead of the host's.
    tls_name: Option<String>,
    path: String,
    connections: u16,
    /// Of what it is told with each request.
    secrets: Secrets,
    api: Api,
}

impl Settings {
    /// Errors: the secret is none that this API has.
    pub fn new(slice: ProviderSlice, connector: Option<TlsConnector>, secret: Secret<String>) -> Result<Self, String> {
        let api = match slice.api {
            slice::Api::Webhook => Api::Webhook(Webhook::new(&secret, slice.max_size)?),
            slice::Api::Bytesend { on_unsupported } => {
                Api::Bytesend(Bytesend::new(&secret, on_unsupported, slice.max_size)?)
            }
            slice::Api::Cloudflare { drop_headers, endpoint } => {
                Api::Cloudflare(Cloudflare::new(&secret, drop_headers, endpoint)?)
            }
        };
        Ok(Self {
            authority: http::authority(&slice.host, slice.port, slice.tls),
            host: slice.host,
            connector,
            tls_name: slice.belief.name,
            path: slice.path,
            connections: slice.connections.max(1),
            secrets: Secrets::of(secret.expose()),
            api,
        })
    }
}

/// Whether an API of that kind can know us by this secret. Errors: what it must be.
pub fn fits(api: &slice::Api, secret: &Secret<String>) -> Result<(), String> {
    match api {
        slice::Api::Webhook => Webhook::new(secret, 0).map(drop),
        slice::Api::Cloudflare { .. } | slice::Api::Bytesend { .. } => bearer(secret).map(drop),
    }
}

/// What an API is given: the message, and those of its recipients who go with one request.
struct Letter<'a> {
    message: MessageId,
    sender: &'a ReversePath,
    recipients: &'a [(u32, Address)],
    content: &'a [u8],
}

/// One provider, and the dialer for its connections.
pub struct Provider {
    settings: Settings,
    dialer: Arc<Dialer>,
    free: Semaphore,
    verifying: Verifying,
    admission: Mutex<Admission<ReversePath>>,
}

impl Provider {
    pub fn new(settings: Settings, dialer: Arc<Dialer>) -> Self {
        let free = Semaphore::new(usize::from(settings.connections));
        Self { settings, dialer, free, verifying: Verifying::default(), admission: Mutex::default() }
    }

    /// How many messages it takes at once.
    pub fn slots(&self) -> u16 {
        self.settings.connections
    }

    /// Delivers one message, or finds out why not.
    pub async fn deliver(&self, parcel: &mut Parcel) -> Verdict {
        let Ok(_permit) = self.free.acquire().await else { return Verdict::Withdrawn };
        self.carry(parcel).await
    }

    /// The same, with a place of its own.
    async fn carry(&self, parcel: &mut Parcel) -> Verdict {
        let recipients: Vec<(u32, Address)> =
            parcel.recipients.iter().map(|(number, to)| (*number, to.address.clone())).collect();
        let unsendable = |said| Verdict::Settled(everybody(&recipients, &Outcome::Unsendable(said)));
        if let Some(said) = self.unfit(parcel, parcel.size) {
            return unsendable(said);
        }
        let access = match Access::new(&self.settings, parcel.key.as_ref()) {
            Ok(access) => access,
            // It was verified before: then it was one.
            Err(why) => return unsendable(self.said("5.7.8", why)),
        };
        let most = self.settings.api.max_size();
        let Ok(content) = gather(&mut parcel.content, parcel.size.unwrap_or(0).min(most)).await else {
            return Verdict::Withdrawn;
        };
        if let Some(said) = self.unfit(parcel, u64::try_from(content.len()).ok()) {
            return unsendable(said);
        }
        if let Some(said) = self.unsaid(&access, parcel, &recipients, &content) {
            return unsendable(said);
        }
        let mut waiting = recipients.as_slice();
        loop {
            let (part, rest) = waiting.split_at(self.settings.api.part(waiting, &content).min(waiting.len()));
            let letter =
                Letter { message: parcel.message, sender: &parcel.sender, recipients: part, content: &content };
            let mut verdict = self.post(&access, &letter, &mut parcel.content).await;
            if self.settings.api.remembers() && is_unknown(&verdict) {
                tracing::info!(message = %letter.message, "no answer: the same is asked once more, by its key");
                verdict = again(verdict, self.post(&access, &letter, &mut parcel.content).await);
            }
            match verdict {
                Verdict::Settled(outcomes) if !rest.is_empty() => parcel.teller.tell(outcomes).await,
                // What a part meets is said of it and of those behind it: they have nothing yet.
                ended => return ended,
            }
            waiting = rest;
        }
    }

    /// Why the message is not even tried. No host has heard of it.
    fn unfit(&self, parcel: &Parcel, size: Option<u64>) -> Option<Said> {
        let most = self.settings.api.max_size();
        if parcel.manner.require_tls {
            let text = "it needs REQUIRETLS, which no HTTP API can promise; it was not sent";
            return Some(Said { host: String::new(), ..self.said("5.7.30", text.to_owned()) });
        }
        size.filter(|size| *size > most).map(|size| {
            let text = format!("it has {size} octets, and this upstream takes {most}; it was not sent");
            Said { host: String::new(), ..self.said("5.3.4", text) }
        })
    }

    /// Why a part of the message can't be said, where there are several. It is known before anybody has it: else some would get it, and
    /// whoever sends it anew for the others, as their report has it, would send it to all. Parts differ in whom the header names: if the
    /// first can be said and the last recipient be told alone, it names nobody, and so for all between them.
    fn unsaid(&self, access: &Access<'_>, parcel: &Parcel, all: &[(u32, Address)], content: &[u8]) -> Option<Said> {
        let (first, rest) = all.split_at(self.settings.api.part(all, content).min(all.len()));
        let (last, _) = rest.split_last()?;
        [first, std::slice::from_ref(last)].into_iter().find_map(|recipients| {
            let letter = Letter { message: parcel.message, sender: &parcel.sender, recipients, content };
            let said = access.api().refuses(&letter)?;
            Some(Said { text: words(said.text.as_bytes()), ..said })
        })
    }

    /// One request.
    async fn post(&self, access: &Access<'_>, letter: &Letter<'_>, content: &mut Content) -> Verdict {
        let mut request = match access.api().request(letter) {
            Ok(request) => request,
            Err(said) => {
                let text = words(said.text.as_bytes());
                return Verdict::Settled(everybody(letter.recipients, &Outcome::Unsendable(Said { text, ..said })));
            }
        };
        request.authority.clone_from(&self.settings.authority);
        request.path.clone_from(&self.settings.path);
        let (stream, tls) = match self.connect().await {
            Ok(connected) => connected,
            Err(reason) => return Verdict::RouteFailed { reason: self.named(&reason), rest: None },
        };
        let told = |enhanced: &str, text: String| Said { tls: tls.map(str::to_owned), ..self.said(enhanced, text) };
        let suspects = letter.recipients.iter().map(|(number, _)| *number).collect();
        let reply = match http::post(stream, request, MAX_ANSWER, content.may_end(suspects)).await {
            // Many quote what they were asked with.
            Ok(reply) => http::Reply { body: access.secrets().hide_octets(reply.body), ..reply },
            Err(Failed::Withheld) => return Verdict::Withdrawn,
            Err(Failed::Unsent { begun: false, reason }) => {
                return Verdict::RouteFailed { reason: self.named(&reason), rest: None };
            }
            Err(Failed::Unsent { begun: true, reason }) => {
                let said = told("4.4.2", format!("the connection was lost before all of it was sent: {reason}"));
                return Verdict::BrokenOff { heard: Vec::new(), said };
            }
            Err(Failed::Unanswered(reason)) => {
                let said = told("4.4.2", format!("{UNANSWERED}: {reason}"));
                return Verdict::Settled(everybody(letter.recipients, &Outcome::Unknown(said)));
            }
        };
        match access.judged(access.api().judge(&reply, letter), letter) {
            Judgement::Settled(outcomes) => {
                let is_delivered = |(_, outcome): &(u32, Outcome)| matches!(outcome, Outcome::Delivered(_));
                if access.is_ours() && outcomes.iter().any(is_delivered) {
                    self.admission().passed(letter.sender);
                }
                let from = |said: Said| Said { host: self.settings.host.clone(), tls: tls.map(str::to_owned), ..said };
                Verdict::Settled(outcomes.into_iter().map(|(number, outcome)| (number, outcome.map(from))).collect())
            }
            Judgement::PutOff(said) => Verdict::BrokenOff { heard: Vec::new(), said: told("4.3.0", said.text) },
            Judgement::Route { reason: text, rest: None } | Judgement::Unwelcome(text)
                if self.is_of_the_sender(letter.sender) =>
            {
                Verdict::BrokenOff { heard: Vec::new(), said: told("4.7.0", text) }
            }
            Judgement::Unwelcome(reason) => Verdict::LoginRefused(self.named(&reason)),
            Judgement::Route { reason, rest } => Verdict::RouteFailed { reason: self.named(&reason), rest },
            Judgement::Login(reason) => Verdict::LoginRefused(self.named(&reason)),
        }
    }

    /// Whether what may be said of the sender is: others passed, or he was refused just before. Who comes behind him and is refused,
    /// too, shows that it is all of them.
    fn is_of_the_sender(&self, sender: &ReversePath) -> bool {
        let mut admission = self.admission();
        let is_of = admission.is_of(sender);
        admission.refused(sender);
        admission.failed();
        is_of
    }

    fn admission(&self) -> MutexGuard<'_, Admission<ReversePath>> {
        self.admission.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Our own words.
    fn said(&self, enhanced: &str, text: String) -> Said {
        let (enhanced, text) = (Some(enhanced.to_owned()), words(text.as_bytes()));
        Said { enhanced, text, host: self.settings.host.clone(), ..Said::default() }
    }

    fn named(&self, reason: &str) -> String {
        words(format!("{}: {reason}", self.settings.host).as_bytes())
    }
}

/// What stands in `Authorization`. Errors: the token is none.
fn bearer(token: &Secret<String>) -> Result<Secret<String>, String> {
    match token.expose().bytes().all(|octet| octet.is_ascii_graphic()) {
        true => Ok(Secret::new(format!("Bearer {}", token.expose()))),
        false => Err("token_file: must hold one line of visible ASCII, the token".to_owned()),
    }
}

/// The whole content, of about so many octets.
async fn gather(content: &mut Content, size: u64) -> Result<Vec<u8>, Withdrawn> {
    let mut gathered = Vec::with_capacity(usize::try_from(size).map_err(|_| Withdrawn)?);
    while let Some(octets) = content.next().await? {
        gathered.extend_from_slice(&octets.0);
    }
    Ok(gathered)
}

/// The same for each attempt at the same recipients, and another one when some of them have been served: who keeps it takes nothing
/// twice and leaves nobody out.
fn part_id(message: MessageId, recipients: &[(u32, Address)]) -> String {
    let mut hash = Sha256::new();
    for (_, address) in recipients {
        hash.update(address.to_string());
        hash.update([0]);
    }
    let part: String = hash.finalize().iter().take(PART).map(|octet| format!("{octet:02x}")).collect();
    format!("msg_{message}_{part}")
}

/// Whether both are one mailbox, as a person would say.
fn is_same(one: &Address, other: &Address) -> bool {
    one.domain() == other.domain() && one.local().eq_ignore_ascii_case(other.local())
}

fn is_unknown(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Settled(outcomes) if outcomes.iter().any(|(_, outcome)| matches!(outcome, Outcome::Unknown(_))))
}

/// What is known after a second try: that the message was taken, if it says so. A refusal of the second request says nothing of the
/// first one, which may be what it is refused for.
fn again(first: Verdict, second: Verdict) -> Verdict {
    match second {
        Verdict::Settled(outcomes) if outcomes.iter().all(|(_, outcome)| matches!(outcome, Outcome::Delivered(_))) => {
            Verdict::Settled(outcomes)
        }
        _ => first,
    }
}

fn everybody(recipients: &[(u32, Address)], outcome: &Outcome) -> Vec<(u32, Outcome)> {
    recipients.iter().map(|(number, _)| (*number, outcome.clone())).collect()
}
