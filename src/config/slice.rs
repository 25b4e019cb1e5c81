//! What each role is told. A slice is built by adding what its role needs, never by taking away from the whole.

mod outgoing;

use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

pub use super::alerts::Alerts;
pub use super::audit::{Audit, Retention, WhenFull};
pub use super::dialect::{Dialect, Optional};
pub use super::reach::{ForwardedBy, Reach};
pub use outgoing::{
    Api, Auth, Bearer, Belief, CourierSlice, Destination, DialerSlice, Endpoint, Family, Grant, Keep, MailerSlice,
    Oauth2Slice, OnUnsupported, ProviderSlice, SmtpSlice, TurnstileSlice, Understands, Verify, WebhookSlice,
    WitnessSlice,
};

use crate::ipc::capsule;
use crate::mail::address::Address;
use crate::policy::certificate::Wanted;
use crate::policy::feedback::Told;
use crate::policy::limits::{Anomaly, FailedLogins, Pace, Tiers};
use crate::policy::mask::Mask;
use crate::policy::mechanism::Mechanism;
use crate::policy::presence::Caps;
use crate::policy::route::Route;
use crate::policy::thresholds::Shedding;
use crate::policy::{Delivery, Policy};
use crate::secret::Secret;

/// What a listener speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    Smtp,
    Http,
}

/// When TLS begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TlsMode {
    #[default]
    None,
    Starttls,
    Implicit,
}

/// Whether clients are asked for certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ClientCertificates {
    /// They may show one.
    Request,
    /// Without one there is no handshake.
    Require,
}

/// What an HTTP listener answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Serve {
    /// Submission: `/v1/...`.
    V1,
    /// Operation: `/healthz`, `/livez`, `/readyz`, `/metrics`.
    Ops,
    /// `/send`, as a gateway to Cloudflare has it.
    Send,
    /// Resend's API: `/emails` and `/emails/batch`, also below `/resend`.
    Resend,
    /// Postmark's API: `/email`, `/email/batch` and `/server`, also below `/postmark`.
    Postmark,
    /// useSend's API: `/api/v1/emails` and `/api/v1/emails/batch`.
    Usesend,
    /// What providers tell of mail: `/hooks/{name}`.
    Hooks,
}

/// Listener: what it accepts on, how many it lets in.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ListenerSlice {
    pub capsule_key: Secret<[u8; capsule::KEY]>,
    pub listeners: Vec<Admission>,
    /// Sessions that one edge may hold; beyond it, and with no other edge free, new connections are turned away.
    pub sessions_per_edge: u32,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Admission {
    pub number: u16,
    pub name: String,
    pub protocol: Protocol,
    pub tls: TlsMode,
    /// Edges of this zone alone are handed its connections.
    pub zone: String,
    /// None where clients come from everywhere through a proxy.
    pub caps: Option<Caps>,
    /// Gateways, for which there are no caps here either.
    pub xclient_from: Vec<IpNet>,
    /// The proxies whose connections alone are taken, each to begin with a PROXY header. Empty: no header is expected.
    pub proxy_from: Vec<IpNet>,
}

impl Admission {
    /// How many sessions there may be from this address.
    pub fn caps_of(&self, address: IpAddr) -> Option<Caps> {
        let address = address.to_canonical();
        self.caps.filter(|_| !self.xclient_from.iter().any(|network| network.contains(&address)))
    }

    /// Whether connections from this address are taken at all.
    pub fn admits(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.proxy_from.is_empty() || self.proxy_from.iter().any(|network| network.contains(&address))
    }
}

/// Edge: how to greet, what to offer, how long to wait.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EdgeSlice {
    pub hostname: String,
    pub listeners: Vec<Desk>,
    pub sessions: u32,
    /// How many of them may be strangers', who have not logged in.
    pub strangers: u32,
    /// Octets of one message, header included, dots un-stuffed.
    pub max_size: u64,
    /// Some route has REQUIRETLS.
    pub requiretls: bool,
    /// How long the keyholder may take for a signature, and a whole handshake.
    pub signing: Duration,
    pub handshake: Duration,
    /// Waiting for a command before and after login (RFC 5321 section 4.5.3.2.7).
    pub idle_strange: Duration,
    pub idle: Duration,
}

/// One that a listener offers unless its configuration says otherwise. STARTTLS and AUTH are none of them: they follow
/// from how the listener is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Extension {
    Pipelining,
    Size,
    EightBit,
    Utf8,
    RequireTls,
    StatusCodes,
    Chunking,
    Dsn,
    Limits,
}

/// One listener as its edge sees it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Desk {
    pub number: u16,
    pub name: String,
    pub tls: TlsMode,
    /// Which certificates; empty when `tls` is none. The first is shown to whoever asks for none by its name.
    pub certificates: Vec<u16>,
    /// Whether clients are asked for certificates: then the authorities come as a descriptor.
    pub client_certificates: Option<ClientCertificates>,
    /// Whether a password may be said without TLS: on loopback and behind a TLS proxy only.
    pub plain_login: bool,
    pub identify_by_network: bool,
    /// Every connection begins with a PROXY header.
    pub proxied: bool,
    /// What an HTTP listener answers; empty for SMTP.
    pub serve: Vec<Serve>,
    /// By which a client may log in, in the order in which they are announced.
    pub mechanisms: Vec<Mechanism>,
    pub extensions_off: Vec<Extension>,
    /// The longest that a message may ask to be held; none: it may not ask.
    pub future_release: Option<Duration>,
    pub dialect: Dialect,
    pub reach: Reach,
}

/// Keyholder: the certificates, by number and by file name for messages. The files come as descriptors.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct KeyholderSlice {
    pub certificates: Vec<(u16, String)>,
}

/// Vault: everything that decides.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct VaultSlice {
    /// The origin of the audit log and the name in our own mail.
    pub hostname: String,
    pub capsule_key: Secret<[u8; capsule::KEY]>,
    pub listeners: Vec<Counter>,
    pub credentials: Vec<Declared>,
    pub upstreams: Vec<String>,
    /// Those of them that are programs, whose processes no filter holds.
    pub programs: Vec<String>,
    /// Zones whose HTTP edges answer those who watch the service.
    pub ops_zones: Vec<String>,
    /// Those of them that have one.
    pub paces: Vec<(String, Pace)>,
    pub bounces: Vec<Bounce>,
    pub routes: Vec<Route>,
    pub max_size: u64,
    /// Waits between attempts; the last one repeats.
    pub retry: Vec<Duration>,
    /// How long a message is tried before it fails for good.
    pub lifetime: Duration,
    /// How long one waits before the sender is told; none: it is never told.
    pub delay_report: Option<Duration>,
    /// Whether hard bounces are counted.
    pub suppression: Option<CountBounces>,
    /// Octets free on the disk below which no mail is taken, and of the ballast. Both hold from start to end.
    pub reserve: u64,
    pub ballast: u64,
    /// From which load on mail is put off.
    pub shedding: Shedding,
    /// argon2 workers, and logins that may wait for one.
    pub hashers: u16,
    pub hash_queue: u16,
    pub audit: Audit,
    /// How long a login may take to be checked.
    pub hash_deadline: Duration,
    pub limits: VaultLimits,
    pub anchors: Vec<Anchor>,
    pub webhooks: Vec<Webhook>,
    /// Turnstile can be asked.
    pub turnstile: bool,
    pub hooks: Vec<Hook>,
    pub alerts: Option<Alerts>,
    /// Of the file that all this is of, as `shown::change::Written` has it: for who asks whether it was changed since.
    pub written: [u8; 32],
}

/// Where a provider tells what became of mail that one upstream has taken.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Hook {
    pub name: String,
    pub upstream: String,
    /// What it signs with; two while that changes.
    pub secrets: Vec<Secret<String>>,
}

/// After how many hard bounces in a row nothing is sent to an address any more, and for how long.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CountBounces {
    pub after: u32,
    pub lifetime: Duration,
}

/// What becomes of reports that would go by one upstream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bounce {
    /// Which one, by its number.
    pub upstream: u16,
    /// Their sender, in the envelope and in From.
    pub from: Option<Address>,
    /// The upstream that they go by instead, and whether that offers REQUIRETLS.
    pub via: Option<u16>,
    pub requiretls: bool,
    /// The webhook that is told instead, by its name.
    pub webhook: Option<String>,
}

/// A webhook as the vault sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Webhook {
    pub name: String,
    pub events: Vec<Told>,
    /// How much of addresses it is told.
    pub mask: Mask,
    /// How long it is tried for one event.
    pub lifetime: Duration,
}

/// How often and how much, beside what each credential is held to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VaultLimits {
    pub tiers: Tiers,
    pub failed_logins: FailedLogins,
    /// For credentials that have no rule of their own.
    pub anomaly: Anomaly,
}

/// An anchor as the vault sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anchor {
    pub name: String,
    pub every: Duration,
    pub place: Place,
}

/// Who keeps the heads, and what the vault needs for that.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Place {
    /// The sealer's line in its log, which the parent copies there.
    Syslog,
    /// The sealer writes it.
    File,
    Mail {
        to: Address,
        from: Address,
    },
    /// Asked through a courier of its own. The key is checked here.
    Witness {
        key: String,
    },
}

/// One listener as the vault sees it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Counter {
    pub number: u16,
    pub name: String,
    pub protocol: Protocol,
    pub identify_by_network: bool,
    pub client_certificates: Option<ClientCertificates>,
    pub plain_login: bool,
    /// By which its clients may log in.
    pub mechanisms: Vec<Mechanism>,
    /// The longest that a message may ask to be held; none: it may not ask.
    pub future_release: Option<Duration>,
    /// How mail of its clients leaves whose credential doesn't say.
    pub delivery: Delivery,
    pub clients: Clients,
    /// The proxies that name its clients, and none else. Empty: its clients are those that the listener sees.
    pub proxy_from: Vec<IpNet>,
    /// The gateways that may name a client by XCLIENT.
    pub xclient_from: Vec<IpNet>,
    /// Sessions of one client that a proxy named.
    pub caps: Caps,
}

impl Counter {
    /// Its clients' addresses tell them apart.
    pub fn knows_addresses(&self) -> bool {
        self.clients == Clients::Known
    }
}

/// What the address of a client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Clients {
    /// Its own.
    Known,
    /// The proxy's, whoever comes through it.
    Proxied,
    /// The proxy's, although that names its clients: whose connection this is, it didn't say.
    Unnamed,
}

/// A credential that stands in the configuration file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Declared {
    pub id: String,
    /// Up to two, for rotation.
    pub secrets: Vec<DeclaredSecret>,
    /// When there are any, a login needs one of them beside its secret.
    pub certificates: Vec<Wanted>,
    pub policy: Policy,
    /// False: it is known, and nobody can be it.
    pub enabled: bool,
}

/// One secret of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DeclaredSecret {
    /// The public part of it.
    pub key: String,
    /// Its argon2id hash as a PHC string.
    pub hash: Secret<String>,
    /// The keys that were derived from it, as text, where it may be used by SCRAM.
    pub scram: Option<Secret<String>>,
}

/// Sealer: the name of the log it signs, and the anchors it makes by itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SealerSlice {
    /// First line of every checkpoint (C2SP tlog-checkpoint), for example `gate.example.net/audit`.
    pub origin: String,
    pub anchors: Vec<NearAnchor>,
}

/// An anchor that the sealer makes: a file that comes as a descriptor of that number, or a line in its log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NearAnchor {
    pub name: String,
    pub every: Duration,
    pub file: Option<u16>,
}
