//! The slices of those who go out: the dialer, and the couriers.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::TlsMode;

/// Dialer: where each upstream is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DialerSlice {
    pub upstreams: Vec<Destination>,
    /// Where their couriers get tokens, by the names of those upstreams that have it.
    pub token_endpoints: Vec<Destination>,
    pub connect: Duration,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Destination {
    pub name: String,
    pub hosts: Vec<(String, u16)>,
    pub family: Family,
    /// What its end of the connection is bound to, one of each family; hosts of another are not connected to then.
    pub sources: Vec<IpAddr>,
}

/// Which addresses of a host are connected to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Family {
    #[default]
    Any,
    Ipv4,
    Ipv6,
}

impl Family {
    pub const fn has(self, address: IpAddr) -> bool {
        match self {
            Self::Any => true,
            Self::Ipv4 => address.is_ipv4(),
            Self::Ipv6 => address.is_ipv6(),
        }
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::Any => "IP",
            Self::Ipv4 => "IPv4",
            Self::Ipv6 => "IPv6",
        }
    }
}

/// Courier: whom it speaks with, and how. Authorities and password come as descriptors.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum CourierSlice {
    Smtp(SmtpSlice),
    Provider(ProviderSlice),
    Witness(WitnessSlice),
    Webhook(WebhookSlice),
    Turnstile(TurnstileSlice),
}

/// A courier that asks Turnstile. The site's secret comes as the password does.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TurnstileSlice {
    /// The configured name, which its certificate must bear; the dialer's word is not taken for it.
    pub host: String,
    pub port: u16,
    pub tls: bool,
    /// What comes before `/turnstile/v0/siteverify`.
    pub prefix: String,
}

/// A courier that tells a webhook what became of mail. What is signed with comes as the password does.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WebhookSlice {
    /// The configured name, which its certificate must bear; the dialer's word is not taken for it.
    pub host: String,
    pub port: u16,
    /// What is posted to, with the query.
    pub path: String,
    pub tls: bool,
    /// The secret before this one comes, too, and signs beside it.
    pub previous: bool,
}

/// A courier that asks a witness.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WitnessSlice {
    /// The configured name, which its certificate must bear; the dialer's word is not taken for it.
    pub host: String,
    pub port: u16,
    /// What comes before `/add-checkpoint`.
    pub prefix: String,
    pub tls: bool,
}

/// A courier that delivers to one SMTP upstream.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SmtpSlice {
    pub upstream: String,
    /// The configured names, in the order that the dialer has them: a certificate must bear the one that was connected to,
    /// and the dialer's word alone is not taken for it.
    pub hosts: Vec<String>,
    /// The name we give in EHLO.
    pub helo: String,
    pub tls: TlsMode,
    pub belief: Belief,
    pub username: Option<String>,
    pub auth: Auth,
    /// It logs in by tokens instead of a password.
    pub oauth2: Option<Oauth2Slice>,
    pub connections: u16,
    pub keep: Keep,
}

/// Where a courier gets its access tokens, and for what. Its secrets come as descriptors.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Oauth2Slice {
    pub bearer: Bearer,
    pub grant: Grant,
    /// The configured name, which the endpoint's certificate must bear.
    pub host: String,
    pub port: u16,
    pub tls: bool,
    /// What is posted to, with the query.
    pub path: String,
    pub client_id: String,
    /// A client secret comes as a descriptor.
    pub client_secret: bool,
    pub scope: Option<String>,
}

/// By which mechanism a token is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Bearer {
    Xoauth2,
    Oauthbearer,
}

/// What an access token is asked for with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Grant {
    /// A refresh token (RFC 6749 section 6), which comes as a descriptor.
    RefreshToken,
    /// The client's own credentials (RFC 6749 section 4.4).
    ClientCredentials,
}

/// Whom an upstream's courier believes, and what it shows.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Belief {
    pub verify: Verify,
    /// SHA-256 of public keys, one of which it must have; any when there are none.
    pub pins: Vec<[u8; 32]>,
    /// The name that a certificate must bear, instead of the host's.
    pub name: Option<String>,
    /// A certificate of our own and its key come as descriptors.
    pub own: bool,
}

/// A courier that delivers to one provider by HTTP. What the provider knows us by comes as the password does.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ProviderSlice {
    pub upstream: String,
    pub host: String,
    pub port: u16,
    pub tls: bool,
    pub belief: Belief,
    /// What is posted to, with the query.
    pub path: String,
    pub api: Api,
    /// Octets of the longest message that the gate takes.
    pub max_size: u64,
    pub connections: u16,
}

/// A mailer: what it runs for each message.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MailerSlice {
    pub upstream: String,
    pub command: PathBuf,
    /// What it is told before sender and recipients.
    pub arguments: Vec<String>,
    pub understands: Understands,
    pub time_limit: Duration,
    /// At once.
    pub runs: u16,
}

/// What the program of a mailer may be told, as its operator says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Understands {
    /// -B8BITMIME
    pub eight_bit: bool,
    /// -N, -R and -V: RFC 3461.
    pub dsn: bool,
    /// Addresses and header fields beyond ASCII.
    pub utf8: bool,
}

/// How a provider is spoken to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Api {
    /// Standard Webhooks: the message and its envelope, signed.
    Webhook,
    /// Cloudflare's Email Service; it isn't shown header fields of these names.
    Cloudflare { drop_headers: Vec<String>, endpoint: Endpoint },
    /// ByteSend and useSend: the message as fields.
    Bytesend { on_unsupported: OnUnsupported },
}

/// What of Cloudflare's API is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Endpoint {
    /// The message as it is.
    #[default]
    SendRaw,
    /// The message as fields.
    Send(OnUnsupported),
}

/// What becomes of a message that an API has no fields for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnUnsupported {
    /// It isn't sent.
    #[default]
    Fail,
    /// It is sent without what has no field, and the log says without what.
    Drop,
}

/// How long a connection is kept for further messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keep {
    /// Without one.
    pub idle: Duration,
    /// In all; what is under way is finished.
    pub age: Duration,
    /// And for so many of them.
    pub messages: u32,
}

/// By what an upstream's certificate is believed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verify {
    /// An authority has signed for its name; and its key, where some are pinned.
    #[default]
    Full,
    /// Its key alone.
    Pin,
    /// Nothing: whoever answers.
    NoneInsecure,
}

/// How a courier logs in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Auth {
    /// By the best of those below that is offered, the best first.
    #[default]
    Auto,
    /// Bound to the TLS session where that is offered.
    ScramSha256,
    Plain,
    Login,
}
