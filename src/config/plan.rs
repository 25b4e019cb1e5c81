//! The configuration as it is meant: checked, numbered, defaults filled in. The parent works from this.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;
use sha2::{Digest, Sha256};

pub use super::anchors::{Anchor, Place, Witness};
use super::audit::{Audit, Retention, WhenFull};
use super::file::{At, Config};
use super::findings::Findings;
pub use super::hooks::Hook;
pub use super::limits::{Limits, Spool};
pub use super::protection::Protection;
pub use super::providers::Provider;
use super::shown::change::Written;
use super::slice::{
    Alerts, Auth, Bounce, ClientCertificates, CountBounces, Declared, Extension, Family, Keep, Protocol, Serve, TlsMode,
};
use super::source::Source;
pub use super::turnstile::Turnstile;
pub use super::webhooks::Webhook;
use super::{
    Dialect, Mode, Reach, alerts, anchors, audit, bounces, credentials, hooks, limits, listeners, log, name, odd,
    pass_through, routes, suppression, turnstile, upstreams, ways, webhooks,
};
pub use super::{oauth2::Oauth2, programs::Program};
use crate::policy::limits::Pace;
use crate::policy::mechanism::Mechanism;
use crate::policy::presence::Caps;
use crate::policy::route::Route;
use crate::policy::{Delivery, Policy};

/// The version of the file's keys. It changes when an old file would mean something else.
pub(super) const VERSION: i64 = 1;
pub const STATE: &str = "/var/lib/gatepost";
/// The directory of the master key in the state directory, unless the configuration says otherwise.
pub const MASTER: &str = "master";
pub const RUNTIME: &str = "/run/gatepost";

/// Two oddities of which whoever sees more than the file can say more.
pub const NO_CREDENTIAL: &str =
    "no credential in this file: nobody can send but who was added with `gatepost credential add`";
pub const NO_ANCHOR: &str = "no anchor at a witness or by mail: months of the audit log are not removed after retain_events, because \
                             nothing on another machine shows what they were";

#[derive(Clone, Debug)]
pub struct Plan {
    /// SHA-256 of the file, in hexadecimal: what the audit log says was loaded.
    pub digest: String,
    /// What is written in it, to tell what another one changes.
    pub written: Written,
    pub state_directory: PathBuf,
    /// Where the master key of bodies is.
    pub master_directory: PathBuf,
    pub runtime_directory: PathBuf,
    pub hostname: String,
    pub listeners: Vec<Listener>,
    pub certificates: Vec<Certificate>,
    pub credentials: Vec<Declared>,
    pub upstreams: Vec<Upstream>,
    pub bounces: Vec<Bounce>,
    pub routes: Vec<Route>,
    pub spool: Spool,
    pub suppression: Option<CountBounces>,
    pub anchors: Vec<Anchor>,
    pub webhooks: Vec<Webhook>,
    pub turnstile: Option<Turnstile>,
    pub alerts: Option<Alerts>,
    pub limits: Limits,
    pub audit: Audit,
    pub log: log::Log,
    /// What is odd, though it is used: one line each, with its place.
    pub warnings: Vec<String>,
}

/// Where a listening socket comes from.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Bind {
    Address(SocketAddr),
    /// Handed over by systemd under this name (FileDescriptorName in the socket unit).
    Systemd(String),
}

#[derive(Clone, Debug)]
pub struct Listener {
    pub number: u16,
    pub name: String,
    pub addresses: Vec<Bind>,
    pub protocol: Protocol,
    /// What an HTTP listener answers; empty for SMTP.
    pub serve: Vec<Serve>,
    pub tls: TlsMode,
    /// Empty when `tls` is none. The first is shown to whoever asks for none by its name.
    pub certificates: Vec<u16>,
    /// Whether clients are asked for certificates; then whose are believed is there too.
    pub client_certificates: Option<ClientCertificates>,
    pub client_authorities: Option<Source>,
    pub behind_tls_proxy: bool,
    /// The proxies that begin every connection with a PROXY header; empty when there is none.
    pub proxy_from: Vec<IpNet>,
    pub identify_by_network: bool,
    /// A password may be said without TLS.
    pub plain_login: bool,
    /// By which a client may log in, in the order in which they are announced.
    pub mechanisms: Vec<Mechanism>,
    pub extensions_off: Vec<Extension>,
    /// The longest that a message may ask to be held; none: it may not ask.
    pub future_release: Option<Duration>,
    pub delivery: Delivery,
    pub dialect: Dialect,
    /// By which hosts and through which proxies an HTTP listener is reached.
    pub reach: Reach,
    pub zone: String,
    pub per_address: u32,
    pub per_prefix: u32,
}

impl Listener {
    pub fn caps(&self) -> Caps {
        Caps { address: self.per_address, prefix: self.per_prefix }
    }
}

/// A pair of files, by number.
#[derive(Clone, Debug)]
pub struct Certificate {
    pub number: u16,
    pub chain: Source,
    pub key: Source,
}

#[derive(Clone, Debug)]
pub struct Upstream {
    pub number: u16,
    pub name: String,
    /// Spoken to by HTTP; none: by SMTP.
    pub provider: Option<Provider>,
    /// Run for each message; there are no hosts then.
    pub program: Option<Program>,
    pub hosts: Vec<(String, u16)>,
    pub tls: TlsMode,
    pub username: Option<String>,
    /// Present exactly when `username` is, or the provider's secret.
    pub password: Option<Source>,
    pub auth: Auth,
    /// How it gets tokens, where it logs in by them.
    pub oauth2: Option<Oauth2>,
    pub protection: Protection,
    /// It offers REQUIRETLS, as its operator says.
    pub requiretls: bool,
    pub connections: u16,
    pub pace: Pace,
    pub keep: Keep,
    /// The name in EHLO, where it isn't the gate's.
    pub helo: Option<String>,
    pub family: Family,
    /// From which addresses it is connected to, one of each family; none: the system chooses.
    pub sources: Vec<IpAddr>,
    /// Where it tells what became of mail.
    pub hook: Option<Hook>,
}

impl Upstream {
    /// Whatever is read for its courier, and for what it tells.
    pub fn sources(&self) -> impl Iterator<Item = &Source> {
        let oauth2 = self.oauth2.iter().flat_map(Oauth2::sources);
        self.password
            .iter()
            .chain(self.protection.sources())
            .chain(oauth2)
            .chain(self.hook.iter().flat_map(Hook::sources))
    }
}

impl Plan {
    /// Works out what a file means. Whatever is refused on the way makes the result worthless.
    pub(super) fn make(config: Config, text: &str, mode: Mode, findings: &mut Findings<'_>) -> Self {
        version(&config, findings);
        let (listeners, certificates) = listeners::plan(&config, findings);
        let upstreams = upstreams::plan(&config.upstream, mode, findings);
        let webhooks = webhooks::plan(&config.webhook, findings);
        let bounces = bounces::plan(&config.upstream, &upstreams, &webhooks, findings);
        let routes = routes::plan(&config.route, &upstreams, findings);
        let credentials = credentials::plan(&config.credential, mode, findings);
        webhooks::known(&webhooks, &credentials, &config, findings);
        let turnstile = turnstile::plan(&config, findings);
        turnstile::known(&credentials, &config, findings);
        turnstile::reached(&config, findings);
        pass_through::look(&credentials, &upstreams, &routes, &config, findings);
        let state_directory = directory(&config.state_directory, "state_directory", STATE.as_ref(), findings);
        let beside = state_directory.join(MASTER);
        let audit = audit::plan(&config.audit, findings);
        let anchors = anchors::plan(&config, &routes, audit.anchor_overdue, findings);
        let plan = Self {
            written: Written::default(),
            digest: Sha256::digest(text).iter().map(|octet| format!("{octet:02x}")).collect(),
            master_directory: directory(&config.spool.master_key_directory, "master_key_directory", &beside, findings),
            state_directory,
            runtime_directory: directory(&config.runtime_directory, "runtime_directory", RUNTIME.as_ref(), findings),
            hostname: name::hostname(&config.hostname, findings),
            listeners,
            certificates,
            credentials,
            upstreams,
            bounces,
            spool: limits::spool(&config.spool, findings),
            suppression: suppression::plan(&config.suppression, findings),
            log: log::plan(&config.log, findings),
            alerts: alerts::plan(&config, &routes, &webhooks, findings),
            anchors,
            webhooks,
            turnstile,
            limits: limits::limits(&config.limits, findings),
            audit,
            routes,
            warnings: Vec::new(),
        };
        if plan.state_directory == plan.runtime_directory {
            findings.refuse_whole("state_directory and runtime_directory are the same: one is kept, the other is not");
        }
        if !findings.is_refused() {
            plan.look_for_oddities(&config, findings);
            ways::look(&plan, &config, findings);
            bounces::look(&plan, &config, findings);
            hooks::look(&plan, &config, findings);
        }
        plan
    }

    /// The edges that are needed: one kind for each protocol and zone.
    pub fn edges(&self) -> BTreeSet<(Protocol, String)> {
        self.listeners.iter().map(|listener| (listener.protocol, listener.zone.clone())).collect()
    }

    /// Where the listeners listen, for the log.
    pub fn addresses(&self) -> String {
        let one = |listener: &Listener| {
            let addresses = listener.addresses.iter().map(|bind| match bind {
                Bind::Address(address) => address.to_string(),
                Bind::Systemd(name) => format!("systemd:{name}"),
            });
            format!("{} {}", listener.name, addresses.collect::<Vec<_>>().join(" "))
        };
        self.listeners.iter().map(one).collect::<Vec<_>>().join(", ")
    }

    /// Whether the dialer gives some connection an address of its own.
    pub fn has_sources(&self) -> bool {
        self.upstreams.iter().any(|upstream| !upstream.sources.is_empty())
    }

    /// The most connections that any upstream is given.
    pub fn connections(&self) -> u64 {
        self.upstreams.iter().map(|upstream| u64::from(upstream.connections)).max().unwrap_or(0)
    }

    /// The ports that the dialer may connect to.
    pub fn ports(&self) -> BTreeSet<u16> {
        self.dialed().map(|(_, port)| port).collect()
    }

    /// Whom the dialer connects to, in words, and at which port.
    pub fn dialed(&self) -> impl Iterator<Item = (String, u16)> {
        let hosts = |upstream: &Upstream| {
            let whose = format!("upstream {:?}", upstream.name);
            upstream.hosts.iter().map(|(_, port)| (whose.clone(), *port)).collect::<Vec<_>>()
        };
        let endpoint = |upstream: &Upstream| {
            let port = upstream.oauth2.as_ref()?.url.port;
            Some((format!("the token endpoint of upstream {:?}", upstream.name), port))
        };
        let upstreams = self.upstreams.iter().flat_map(hosts);
        let endpoints = self.upstreams.iter().filter_map(endpoint);
        let witnesses = self.witnesses().map(|(name, witness)| (format!("witness {name:?}"), witness.port));
        let webhooks = self.webhooks.iter().map(|webhook| (format!("webhook {:?}", webhook.name), webhook.url.port));
        let turnstile = self.turnstile.iter().map(|turnstile| ("[turnstile]".to_owned(), turnstile.url.port));
        upstreams.chain(endpoints).chain(witnesses).chain(webhooks).chain(turnstile)
    }

    /// The witnesses among the anchors, by their names.
    pub fn witnesses(&self) -> impl Iterator<Item = (&str, &Witness)> {
        self.anchors.iter().filter_map(|anchor| Some((anchor.name.as_str(), anchor.witness()?)))
    }

    /// What is odd about where a credential's mail goes instead of to those whom it names, and beside them.
    pub fn astray(&self, id: &str, policy: &Policy) -> Vec<String> {
        // Without any route all is refused, which is said by itself.
        if self.routes.is_empty() || policy.test { Vec::new() } else { routes::astray(id, policy, &self.routes) }
    }

    /// What is no mistake, but seldom meant.
    fn look_for_oddities(&self, config: &Config, findings: &mut Findings<'_>) {
        if !self.hostname.contains('.') {
            let text = format!(
                "hostname: {:?} is not a full name such as gate.example.net; clients and the audit log will see it",
                self.hostname
            );
            findings.warn(config.hostname.as_ref().map(At::span), text);
        }
        let is_elsewhere = |anchor: &Anchor| matches!(anchor.place, Place::Mail { .. } | Place::Witness(_));
        if !self.anchors.iter().any(is_elsewhere) && self.audit.retention.events.is_some() {
            findings.warn(None, NO_ANCHOR);
        }
        let Retention { events, hashes, when_full, least_kept, .. } = self.audit.retention;
        if when_full == WhenFull::Oldest && events.is_some_and(|events| events <= least_kept) {
            let text = "when_full: with a least_kept that is not shorter than retain_events no month ever goes for want of room, and \
                        mail is refused instead";
            findings.warn(config.audit.when_full.as_ref().map(At::span), text);
        }
        if hashes.is_some_and(|hashes| events.is_none_or(|events| hashes < events)) {
            let text = "retain_hashes: leaf hashes are kept as long as the events, and retain_events is longer";
            findings.warn(config.audit.retain_hashes.as_ref().map(At::span), text);
        }
        if self.upstreams.is_empty() {
            findings.warn(None, "no upstream: nothing can be delivered, so every recipient is refused");
        } else if self.routes.is_empty() {
            findings.warn(None, "no route: no upstream is ever used, so every recipient is refused");
        } else {
            routes::unused(self, &config.upstream, findings);
        }
        if self.credentials.is_empty() {
            findings.warn(None, NO_CREDENTIAL);
        }
        odd::credentials(self, config, findings);
    }
}

fn version(config: &Config, findings: &mut Findings<'_>) {
    match &config.version {
        None => findings.refuse_whole(format!("version is missing: write `version = {VERSION}` at the top")),
        Some(version) if *version.get_ref() != VERSION => {
            findings.refuse(version.span(), format!("version: this gatepost reads version {VERSION} only"));
        }
        Some(_) => {}
    }
}

fn directory(written: &Option<At<PathBuf>>, key: &str, default: &Path, findings: &mut Findings<'_>) -> PathBuf {
    let Some(written) = written else { return default.into() };
    if !written.get_ref().is_absolute() {
        findings.refuse(written.span(), format!("{key}: write the whole path, from / on"));
    }
    written.get_ref().clone()
}

/// The numbers of listeners, certificates and upstreams are two octets between processes.
pub(super) fn number(index: usize, what: &str, findings: &mut Findings<'_>) -> u16 {
    u16::try_from(index).unwrap_or_else(|_| {
        findings.refuse_whole(format!("more than {} {what}", u16::MAX));
        0
    })
}

/// A label that must be there and be the only one of its kind.
pub(super) fn label(
    written: Option<&At<String>>,
    table: &At<impl Sized>,
    key: &str,
    seen: &mut BTreeSet<String>,
    findings: &mut Findings<'_>,
) -> String {
    let Some(written) = written else {
        findings.refuse(table.span(), format!("{key} is missing"));
        return String::new();
    };
    let text = written.get_ref();
    if !name::is_label(text) {
        findings.refuse(written.span(), format!("{key}: {text:?}: write {}", name::LABEL));
    } else if !seen.insert(text.clone()) {
        findings.refuse(written.span(), format!("{key}: {text:?} is used twice"));
    }
    text.clone()
}

/// A word out of a closed list, some of which exist in the design but not yet in the program.
pub(super) fn word<T: Copy>(
    written: &At<String>,
    key: &str,
    here: &[(&str, T)],
    later: &[&str],
    findings: &mut Findings<'_>,
) -> Option<T> {
    let text = written.get_ref().as_str();
    if let Some((_, value)) = here.iter().find(|(word, _)| *word == text) {
        return Some(*value);
    }
    let known: Vec<&str> = here.iter().map(|(word, _)| *word).collect();
    let why = match later.contains(&text) {
        true => format!("{key}: {text:?} is not in this version; there is {}", known.join(", ")),
        false => format!("{key}: {text:?} is unknown: {}", super::findings::suggestion(text, &known)),
    };
    findings.refuse(written.span(), why);
    None
}
