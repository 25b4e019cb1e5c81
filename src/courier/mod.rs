//! The courier: delivers to one upstream, asks one witness or Turnstile, or tells one webhook, over sockets that the dialer hands over.
//!
//! **Does.** TLS, login and delivery; says what became of each recipient. Or takes heads of the log to a witness, events to a webhook,
//! or tokens to Turnstile.
//! **Trusts.** The parent and the vault. Not the dialer's word about names, and nothing that the upstream says: its text is data.
//! **Holds.** That upstream's password, webhook's secret or that of Turnstile, or what tokens are asked for with and the token, and the key of the certificate it is shown, and
//! the messages it is delivering.
//! **If it falls.** An intruder (a hostile upstream, most likely) has these and the mail in flight, and no way to connect anywhere but through the dialer, to that upstream and its token endpoint.
//!
//! A kind of upstream is a module with something in `Upstream` that turns a `Parcel` into a `Verdict`; `crate::jobs` and `dial` know no
//! protocol.

mod admission;
mod dial;
mod http;
mod lookout;
mod provider;
mod secrets;
mod signature;
pub(crate) mod smtp;
mod tls;
mod tokens;
mod trust;
mod turnstile;
mod upstream;
mod webhook;
mod witness;

#[cfg(any(test, fuzzing))]
pub use provider::trial;

use std::fs;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use zeroize::Zeroizing;

use crate::config::slice::{
    Api, Belief, CourierSlice, Grant, Oauth2Slice, ProviderSlice, SmtpSlice, TlsMode, Verify, WebhookSlice,
    WitnessSlice,
};
use crate::ipc::channel;
use crate::ipc::control::{ChildPackets, File, Order, Peer};
use crate::ipc::packet::{Arrival, Packet};
use crate::jobs::Jobs;
pub(crate) use crate::jobs::parcel;
use crate::role::link::Talk;
use crate::role::start::Start;
use crate::sandbox::{self, Sealed};
use crate::secret::Secret;

use dial::Dialer;
use provider::Provider;
use smtp::{Bearer, Credential, Hosts, Login, Patience, Settings};
use tokens::Tokens;
use trust::Trust;
use turnstile::Turnstile;
use upstream::Upstream;
use webhook::Webhook;
use witness::Witness;

/// A system's bundle of authorities has some 250 KiB.
const MAX_AUTHORITIES: u64 = 4 * 1024 * 1024;
/// A chain of certificates, or a key.
const MAX_OWN: u64 = 256 * 1024;
/// Longer than any provider's token, which is what passwords are at many.
const MAX_PASSWORD: u64 = 8 * 1024;

/// The role's entry: returns when the parent is gone, or when it has drained.
pub fn main(start: &mut Start) -> Result<(), String> {
    let slice: CourierSlice = start.slice()?;
    let business = business(slice, |wanted| start.file(wanted))?;
    let confined = sandbox::confine(start.role, &start.grounds)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
        .map_err(|error| format!("can't make the event loop: {error}"))?;
    let peers = std::mem::take(&mut start.peers);
    let sealed = confined.seal()?;
    let control = start.ready(&sealed)?;
    runtime.block_on(async {
        let control = control.into_async().map_err(|error| format!("can't watch the control channel: {error}"))?;
        serve(control, peers, business, &sealed).await
    })
}

/// What this courier is for.
enum Business {
    Smtp(Box<Settings>),
    Provider(Box<provider::Settings>),
    Witness(WitnessSlice, Option<TlsConnector>),
    Webhook(webhook::Settings),
    Turnstile(turnstile::Settings),
}

/// Takes the slice, and the files it speaks of, before the sandbox closes.
fn business(slice: CourierSlice, mut file: impl FnMut(&File) -> Result<OwnedFd, String>) -> Result<Business, String> {
    match slice {
        CourierSlice::Smtp(slice) => settings(slice, file).map(|settings| Business::Smtp(Box::new(settings))),
        CourierSlice::Provider(slice) => provider(slice, file).map(|settings| Business::Provider(Box::new(settings))),
        CourierSlice::Witness(slice) => {
            let connector = if slice.tls { Some(connector(&mut file)?) } else { None };
            Ok(Business::Witness(slice, connector))
        }
        CourierSlice::Webhook(slice) => webhook(slice, file).map(Business::Webhook),
        CourierSlice::Turnstile(slice) => {
            let connector = if slice.tls { Some(connector(&mut file)?) } else { None };
            let secret = line(file(&File::Password)?, "the file of secret_file")?;
            Ok(Business::Turnstile(turnstile::Settings::new(slice, connector, secret)))
        }
    }
}

fn connector(file: &mut impl FnMut(&File) -> Result<OwnedFd, String>) -> Result<TlsConnector, String> {
    tls::connector(&read(file(&File::Authorities)?, MAX_AUTHORITIES, "the bundle of authorities")?)
}

/// A connector that believes the upstream by what its configuration says.
fn trusting(
    upstream: &str,
    belief: &Belief,
    file: &mut impl FnMut(&File) -> Result<OwnedFd, String>,
) -> Result<TlsConnector, String> {
    let mut whole = |wanted: &File, most, what| read(file(wanted)?, most, what);
    let authorities = match belief.verify {
        Verify::Full => Some(whole(&File::Authorities, MAX_AUTHORITIES, "the bundle of authorities")?),
        Verify::Pin => None,
        Verify::NoneInsecure => {
            tracing::warn!(upstream, "this upstream's certificate is not verified: whoever answers is believed");
            None
        }
    };
    let own = match belief.own {
        true => {
            let chain = whole(&File::OwnChain, MAX_OWN, "client_certificate")?;
            Some((chain, whole(&File::OwnKey, MAX_OWN, "client_key")?))
        }
        false => None,
    };
    trust::connector(Trust {
        authorities: authorities.as_ref().map(|bundle| bundle.as_slice()),
        pins: belief.pins.clone(),
        own: own.as_ref().map(|(chain, key)| (chain.as_slice(), key.as_slice())),
    })
}

fn settings(slice: SmtpSlice, mut file: impl FnMut(&File) -> Result<OwnedFd, String>) -> Result<Settings, String> {
    let connector = match slice.tls {
        TlsMode::None => None,
        TlsMode::Starttls | TlsMode::Implicit => Some(trusting(&slice.upstream, &slice.belief, &mut file)?),
    };
    let login = match (slice.username, slice.oauth2) {
        (None, _) => None,
        (Some(username), None) => {
            let password = line(file(&File::Password)?, "the password file")?;
            Some(Credential::new(username, password, slice.auth).into())
        }
        (Some(username), Some(oauth2)) => {
            let mechanism = oauth2.bearer;
            Some(Login::Token(Box::new(Bearer::new(username, mechanism, tokens(oauth2, &mut file)?))))
        }
    };
    Ok(Settings {
        helo: slice.helo,
        tls: slice.tls,
        connector,
        tls_name: slice.belief.name,
        verified: slice.belief.verify != Verify::NoneInsecure,
        login,
        hosts: Hosts::new(slice.hosts),
        connections: slice.connections,
        messages: slice.keep.messages,
        patience: Patience { idle: slice.keep.idle, age: slice.keep.age, ..Patience::default() },
    })
}

/// What is used of the configuration to ask for tokens.
fn tokens(slice: Oauth2Slice, file: &mut impl FnMut(&File) -> Result<OwnedFd, String>) -> Result<Tokens, String> {
    let connector = match slice.tls {
        true => {
            let what = "the bundle of authorities for the token endpoint";
            let bundle = read(file(&File::TokenAuthorities)?, MAX_AUTHORITIES, what)?;
            // By this one, who looks on sees what the endpoint shows of itself.
            Some(trust::connector(Trust { authorities: Some(&bundle), ..Trust::default() })?)
        }
        false => None,
    };
    let client_secret = match slice.client_secret {
        true => Some(line(file(&File::ClientSecret)?, "the file of client_secret")?),
        false => None,
    };
    let refresh_token = match slice.grant {
        Grant::RefreshToken => Some(line(file(&File::RefreshToken)?, "the file of refresh_token")?),
        Grant::ClientCredentials => None,
    };
    Ok(Tokens::new(tokens::Settings { slice, connector, client_secret, refresh_token }))
}

fn provider(
    slice: ProviderSlice,
    mut file: impl FnMut(&File) -> Result<OwnedFd, String>,
) -> Result<provider::Settings, String> {
    let connector = match slice.tls {
        true => Some(trusting(&slice.upstream, &slice.belief, &mut file)?),
        false => None,
    };
    let secret = line(file(&File::Password)?, "the file of its secret")?;
    provider::Settings::new(slice, connector, secret)
}

fn webhook(
    slice: WebhookSlice,
    mut file: impl FnMut(&File) -> Result<OwnedFd, String>,
) -> Result<webhook::Settings, String> {
    let connector = if slice.tls { Some(connector(&mut file)?) } else { None };
    let secret = line(file(&File::Password)?, "the file of secret_file")?;
    let previous = match slice.previous {
        true => Some(line(file(&File::PreviousSecret)?, "the file of previous_secret_file")?),
        false => None,
    };
    webhook::Settings::new(slice, connector, &secret, previous.as_ref())
}

/// Whether a webhook's receiver can know us by what is in this file. Errors: what it must be.
pub fn signs(octets: &[u8], key: &str) -> Result<(), String> {
    signature::Key::new(&short_line(octets, "the file of its secret")?, key).map(drop)
}

/// Whether a provider can know us by what is in this file, as its courier finds at its start. Errors: what it must be.
pub fn fits(api: &Api, octets: &[u8]) -> Result<(), String> {
    provider::fits(api, &short_line(octets, "the file of its secret")?)
}

/// Whether this can be a password or another secret of one line, as its courier finds at its start. Errors: what it must be.
pub fn is_secret(octets: &[u8]) -> Result<(), String> {
    short_line(octets, "it").map(drop)
}

fn read(file: OwnedFd, most: u64, what: &str) -> Result<Zeroizing<Vec<u8>>, String> {
    // Whole at once, so that the buffer of a secret never moves and leaves a copy behind.
    let mut octets = Zeroizing::new(Vec::new());
    let file = fs::File::from(file);
    let length = file.metadata().map_err(|error| format!("can't read {what}: {error}"))?.len();
    fits_into(length, most, what)?;
    octets.reserve(usize::try_from(length.max(4096)).unwrap_or_default() + 1);
    file.take(most).read_to_end(&mut octets).map_err(|error| format!("can't read {what}: {error}"))?;
    Ok(octets)
}

fn fits_into(length: u64, most: u64, what: &str) -> Result<(), String> {
    if length > most { Err(format!("{what} is longer than {most} octets")) } else { Ok(()) }
}

/// What `line` takes, of octets that somebody else has read.
fn short_line(octets: &[u8], what: &str) -> Result<Secret<String>, String> {
    fits_into(u64::try_from(octets.len()).unwrap_or(u64::MAX), MAX_PASSWORD, what)?;
    one_line(octets, what)
}

/// A secret of one line. SASL forbids NUL, and a line end within would be a command.
fn line(file: OwnedFd, what: &str) -> Result<Secret<String>, String> {
    one_line(&read(file, MAX_PASSWORD, what)?, what)
}

fn one_line(octets: &[u8], what: &str) -> Result<Secret<String>, String> {
    let line = octets.strip_suffix(b"\n").unwrap_or(octets);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.is_empty() || line.iter().any(|octet| matches!(octet, b'\r' | b'\n' | 0)) {
        return Err(format!("{what} must hold one line"));
    }
    let line = std::str::from_utf8(line).map_err(|_| format!("{what} is not UTF-8"))?;
    Ok(Secret::new(line.to_owned()))
}

/// A business with its dialer.
enum Desk {
    Mail(Arc<Upstream>),
    Witness(Arc<Witness>),
    Webhook(Arc<Webhook>),
    Turnstile(Arc<Turnstile>),
}

impl Desk {
    fn new(business: Business, dialer: &Arc<Dialer>) -> Self {
        let dialer = Arc::clone(dialer);
        match business {
            Business::Smtp(settings) => {
                Self::Mail(Arc::new(Upstream::Smtp(Box::new(smtp::Upstream::new(*settings, dialer)))))
            }
            Business::Provider(settings) => {
                Self::Mail(Arc::new(Upstream::Provider(Box::new(Provider::new(*settings, dialer)))))
            }
            Business::Webhook(settings) => Self::Webhook(Arc::new(Webhook::new(settings, dialer))),
            Business::Turnstile(settings) => Self::Turnstile(Arc::new(Turnstile::new(settings, dialer))),
            Business::Witness(slice, connector) => Self::Witness(Arc::new(Witness::new(slice, connector, dialer))),
        }
    }
}

/// Vaults and dialers come and go; ends when the parent is gone, or, draining, when every job at hand has ended.
async fn serve(
    control: ChildPackets,
    peers: Vec<(Peer, OwnedFd)>,
    business: Business,
    sealed: &Sealed,
) -> Result<(), String> {
    let dialer = Arc::new(Dialer::default());
    let desk = Desk::new(business, &dialer);
    let (draining, drain) = watch::channel(false);
    let mut vaults = JoinSet::new();
    if let Desk::Mail(upstream) = &desk {
        let tending = Arc::clone(upstream);
        tokio::spawn(async move { tending.tend().await });
    }
    let attach = |peer: Peer, socket: OwnedFd, vaults: &mut JoinSet<Result<(), String>>| {
        let attached = match (peer.talk, &desk) {
            (Talk::Dialing, _) => dialer.attach(socket, sealed),
            (Talk::Delivery, Desk::Mail(upstream)) => channel::open(socket, sealed).map(|(progress, offers)| {
                vaults.spawn(Jobs::new(progress, Arc::clone(upstream)).serve(offers, drain.clone()));
            }),
            (Talk::Witnessing, Desk::Witness(witness)) => channel::open(socket, sealed).map(|(answers, asks)| {
                let serving = Arc::clone(witness).serve(answers, asks, drain.clone());
                vaults.spawn(async move {
                    serving.await;
                    Ok(())
                });
            }),
            (Talk::Feedback, Desk::Webhook(webhook)) => channel::open(socket, sealed).map(|(answers, asks)| {
                let serving = Arc::clone(webhook).serve(answers, asks, drain.clone());
                vaults.spawn(async move {
                    serving.await;
                    Ok(())
                });
            }),
            (Talk::Turnstile, Desk::Turnstile(turnstile)) => channel::open(socket, sealed).map(|(answers, asks)| {
                let serving = Arc::clone(turnstile).serve(answers, asks, drain.clone());
                vaults.spawn(async move {
                    serving.await;
                    Ok(())
                });
            }),
            (other, _) => return tracing::warn!(talk = ?other, "a peer that this courier has no business with"),
        };
        if let Err(error) = attached {
            tracing::warn!(%error, talk = ?peer.talk, "a peer's channel can't be watched");
        }
    };
    for (peer, socket) in peers {
        attach(peer, socket, &mut vaults);
    }
    loop {
        if *draining.borrow() && vaults.is_empty() {
            if let Desk::Mail(upstream) = &desk {
                upstream.close().await;
            }
            return Ok(());
        }
        tokio::select! {
            arrival = control.receive() => {
                match arrival.map_err(|error| format!("reading the control channel: {error}"))? {
                    Arrival::Packet(Packet { message: Order::Peer(peer), descriptor: Some(socket) }) => {
                        attach(peer, socket, &mut vaults);
                    }
                    Arrival::Packet(Packet { message: Order::Retire | Order::Drain, .. }) => {
                        draining.send_replace(true);
                    }
                    Arrival::Packet(packet) => tracing::warn!(order = ?packet.message, "order out of its moment"),
                    Arrival::Dropped => tracing::warn!("an order did not arrive whole"),
                    Arrival::Closed => return Ok(()),
                }
            }
            Some(served) = vaults.join_next(), if !vaults.is_empty() => {
                if let Ok(Err(reason)) = served {
                    return Err(reason);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
