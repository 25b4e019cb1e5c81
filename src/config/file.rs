//! The configuration as it is written: every key there is, and nothing decided yet.
//!
//! Each value keeps its place in the file, so that whatever is wrong with it can be said with line and column. What is
//! missing is none here; which keys are needed is decided in `plan`.

mod turnstile;
mod upstream;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;
use toml::Spanned;
use toml::de::DeTable;

use super::findings::{Findings, suggestion};
use super::salvage::{Cut, cut};
use crate::secret::Secret;
pub use turnstile::{Form, Proof, Turnstile};
pub use upstream::{Bounce, Oauth2, Pace, Upstream, WebhookIn};

/// A value and its place.
pub type At<T> = Spanned<T>;

/// One run reports at most this many keys: who has more wrong than a screenful has given us some other file.
pub(super) const MOST_REPORTED: usize = 20;

/// The tables of which there can be several.
const TABLES: [&str; 6] = ["listener", "credential", "upstream", "route", "anchor", "webhook"];

/// Keys beside those of passwords whose value could be a secret.
pub(super) const SECRETS: [&str; 3] = ["hash", "client_secret", "refresh_token"];

/// The whole file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    pub version: Option<At<i64>>,
    pub state_directory: Option<At<PathBuf>>,
    pub runtime_directory: Option<At<PathBuf>>,
    pub hostname: Option<At<String>>,
    pub listener: Vec<At<Listener>>,
    pub tls: Tls,
    pub credential: Vec<At<Credential>>,
    pub upstream: Vec<At<Upstream>>,
    pub route: Vec<At<Route>>,
    pub spool: Spool,
    pub suppression: Suppression,
    pub audit: Audit,
    pub anchor: Vec<At<Anchor>>,
    pub webhook: Vec<At<Webhook>>,
    pub turnstile: Turnstile,
    pub alerts: Alerts,
    pub limits: Limits,
    pub log: Log,
}

/// `[[listener]]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Listener {
    pub name: Option<At<String>>,
    pub address: Vec<At<String>>,
    pub protocol: Option<At<String>>,
    pub serve: Option<Vec<At<String>>>,
    pub tls: Option<At<String>>,
    pub certificate: Option<At<String>>,
    pub key: Option<At<String>>,
    pub certificates: Option<Vec<At<Pair>>>,
    pub client_certificates: Option<At<String>>,
    pub client_authorities_file: Option<At<String>>,
    pub behind_tls_proxy: Option<At<bool>>,
    pub proxy_from: Option<Vec<At<String>>>,
    pub hosts: Option<Vec<At<String>>>,
    pub origins: Option<Vec<At<String>>>,
    pub trusted_proxies: Option<Vec<At<String>>>,
    pub forwarded_by: Option<At<String>>,
    pub ops_networks: Option<Vec<At<String>>>,
    pub identify_by_network: Option<At<bool>>,
    pub mechanisms: Option<Vec<At<String>>>,
    pub extensions_off: Option<Vec<At<String>>>,
    pub future_release: Option<At<String>>,
    pub delivery: Option<At<String>>,
    pub repair_bare_lf: Option<At<bool>>,
    pub commands_off: Option<Vec<At<String>>>,
    pub xclient_from: Option<Vec<At<String>>>,
    pub xforward_from: Option<Vec<At<String>>>,
    pub zone: Option<At<String>>,
    pub per_address: Option<At<i64>>,
    pub per_prefix: Option<At<i64>>,
}

/// `[tls]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tls {
    pub certificate: Option<At<String>>,
    pub key: Option<At<String>>,
    pub certificates: Option<Vec<At<Pair>>>,
}

/// One of `certificates`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Pair {
    pub certificate: Option<At<String>>,
    pub key: Option<At<String>>,
}

/// `[[credential]]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Credential {
    pub id: Option<At<String>>,
    pub secrets: Vec<At<KeyHash>>,
    pub senders: Vec<At<String>>,
    pub recipients: Recipients,
    pub limits: CredentialLimits,
    pub delivery: Option<At<String>>,
    pub pass_through: Option<At<String>>,
    pub identified_by: Vec<At<String>>,
    pub max_recipients: Option<At<i64>>,
    pub enabled: Option<At<bool>>,
    pub description: Option<At<String>>,
    pub max_size: Option<At<i64>>,
    pub ttl: Option<At<String>>,
    pub on_unknown: Option<At<String>>,
    pub test: Option<At<bool>>,
    pub reports: Option<At<String>>,
    pub webhook: Option<At<String>>,
    pub networks: Vec<At<String>>,
    pub expires: Option<At<String>>,
    pub scopes: Option<Vec<At<String>>>,
    pub certificates: Vec<At<String>>,
    pub mask: Option<At<String>>,
    pub rewrite: BTreeMap<String, At<String>>,
    pub remove_headers: Vec<At<String>>,
    pub redirect: Option<At<String>>,
    pub always_bcc: Vec<At<String>>,
    pub turnstile: Option<At<Proof>>,
    pub form: Option<At<Form>>,
}

/// One of `secrets`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KeyHash {
    pub key: Option<At<String>>,
    pub hash: Option<At<Secret<String>>>,
    pub scram: Option<At<Secret<String>>>,
}

/// `recipients` of a credential.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Recipients {
    pub allow: Vec<At<String>>,
    pub deny: Vec<At<String>>,
}

/// `limits` of a credential.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CredentialLimits {
    pub per_minute: Option<At<i64>>,
    pub per_hour: Option<At<i64>>,
    pub per_day: Option<At<i64>>,
    pub burst: Option<At<i64>>,
    pub recipients_per_minute: Option<At<i64>>,
    pub recipients_per_hour: Option<At<i64>>,
    pub recipients_per_day: Option<At<i64>>,
    pub recipients_burst: Option<At<i64>>,
    pub bytes_per_day: Option<At<i64>>,
    pub per_recipient_domain: Option<Rates>,
    pub anomaly: Option<Anomaly>,
}

/// The rates and quotas of a tier.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rates {
    pub per_minute: Option<At<i64>>,
    pub per_hour: Option<At<i64>>,
    pub per_day: Option<At<i64>>,
    pub burst: Option<At<i64>>,
    pub recipients_per_minute: Option<At<i64>>,
    pub recipients_per_hour: Option<At<i64>>,
    pub recipients_per_day: Option<At<i64>>,
    pub recipients_burst: Option<At<i64>>,
    pub bytes_per_day: Option<At<i64>>,
}

/// `anomaly`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Anomaly {
    pub factor: Option<At<i64>>,
    pub minimum: Option<At<i64>>,
    pub action: Option<At<String>>,
}

/// `failed_logins`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FailedLogins {
    pub windows: Option<Vec<At<String>>>,
    pub per_address: Option<Vec<At<i64>>>,
    pub per_prefix: Option<Vec<At<i64>>>,
    pub per_wide_prefix: Option<Vec<At<i64>>>,
    pub per_credential: Option<Vec<At<i64>>>,
}

/// `[[route]]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Route {
    pub credential: Option<At<String>>,
    pub from: Option<At<String>>,
    pub to: Option<At<String>>,
    pub via: Vec<At<String>>,
}

/// `[spool]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Spool {
    pub retry: Option<Vec<At<String>>>,
    pub lifetime: Option<At<String>>,
    pub delay_report: Option<At<String>>,
    pub master_key_directory: Option<At<PathBuf>>,
    pub reserve: Option<At<i64>>,
    pub ballast: Option<At<i64>>,
    pub shed_messages: Option<Vec<At<i64>>>,
    pub shed_octets: Option<Vec<At<i64>>>,
    pub shed_latency: Option<Vec<At<String>>>,
}

/// `[suppression]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Suppression {
    pub bounces: Option<At<bool>>,
    pub after: Option<At<i64>>,
    pub lifetime: Option<At<String>>,
}

/// `[alerts]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Alerts {
    pub mail: Option<Vec<At<String>>>,
    pub from: Option<At<String>>,
    pub webhook: Option<At<String>>,
    pub repeat: Option<At<String>>,
    pub queue_age: Option<At<String>>,
    pub queue_messages: Option<At<i64>>,
    pub upstream_down: Option<At<String>>,
    pub bounce_rate: Option<At<i64>>,
    pub failed_logins: Option<At<i64>>,
    pub falls: Option<At<i64>>,
    pub certificate: Option<At<String>>,
    pub digest: Option<At<i64>>,
}

/// `[log]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    pub format: Option<At<String>>,
    pub to: Option<At<String>>,
    pub socket: Option<At<PathBuf>>,
}

/// `[[anchor]]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Anchor {
    pub name: Option<At<String>>,
    pub kind: Option<At<String>>,
    pub every: Option<At<String>>,
    pub socket: Option<At<String>>,
    pub path: Option<At<String>>,
    pub to: Option<At<String>>,
    pub from: Option<At<String>>,
    pub url: Option<At<String>>,
    pub key: Option<At<String>>,
    pub authorities_file: Option<At<String>>,
}

/// `[[webhook]]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Webhook {
    pub name: Option<At<String>>,
    pub url: Option<At<String>>,
    pub secret_file: Option<At<String>>,
    pub previous_secret_file: Option<At<String>>,
    pub authorities_file: Option<At<String>>,
    pub events: Option<Vec<At<String>>>,
    pub mask: Option<At<String>>,
    pub lifetime: Option<At<String>>,
}

/// `[limits]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    pub sessions: Option<At<i64>>,
    pub strangers: Option<At<i64>>,
    pub max_size: Option<At<i64>>,
    pub handshake: Option<At<String>>,
    pub signing: Option<At<String>>,
    pub idle_strange: Option<At<String>>,
    pub idle: Option<At<String>>,
    pub connect: Option<At<String>>,
    pub hashers: Option<At<i64>>,
    pub hash_queue: Option<At<i64>>,
    pub hash_deadline: Option<At<String>>,
    pub vault_deaths: Option<At<i64>>,
    pub global: Rates,
    pub address: Rates,
    pub prefix: Rates,
    pub wide_prefix: Rates,
    pub failed_logins: FailedLogins,
    pub anomaly: Anomaly,
}

/// `[audit]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Audit {
    pub retain_personal: Option<At<String>>,
    pub retain_events: Option<At<String>>,
    pub retain_hashes: Option<At<String>>,
    pub max_bytes: Option<At<i64>>,
    pub when_full: Option<At<String>>,
    pub least_kept: Option<At<String>>,
    pub anchor_overdue: Option<At<String>>,
    pub mask: Option<At<String>>,
}

/// Reads the text and reports everything that is no TOML, no key of ours or of the wrong type. Serde stops at the first
/// mistake, so each one found is cut out of the tree and the rest is read again.
pub fn read(text: &str, findings: &mut Findings<'_>) -> Option<Config> {
    let (mut tree, mistakes) = DeTable::parse_recoverable(text);
    for mistake in &mistakes {
        findings.refuse(mistake.span().unwrap_or_default(), mistake.message());
    }
    if !mistakes.is_empty() {
        return None;
    }
    for _ in 0..MOST_REPORTED {
        let mistake = match Config::deserialize(toml::Deserializer::from(tree.clone())) {
            // With a key cut out, what follows from it is no finding of its own.
            Ok(config) => return Some(config).filter(|_| !findings.is_refused()),
            Err(mistake) => mistake,
        };
        let span = mistake.span().unwrap_or_default();
        let Some(Cut { key, .. }) = cut(tree.get_mut(), &span) else {
            findings.refuse(span, mistake.message());
            return None;
        };
        findings.refuse(span, explain(mistake.message(), &key));
    }
    None
}

/// Serde's message in the operator's words. A value is shown only where it can't be a secret.
fn explain(message: &str, key: &str) -> String {
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    match quoted.split_first() {
        Some((unknown, known)) if message.starts_with("unknown field") => {
            format!("unknown key {unknown:?}: {}", suggestion(unknown, known))
        }
        _ if key.starts_with("password") || SECRETS.contains(&key) => format!("{key}: must be a text in quotes"),
        _ if TABLES.contains(&key) && message.contains("expected a sequence") => {
            format!("write [[{key}]], with two brackets: there can be several")
        }
        _ => format!("{key}: {}", message.replace("expected i64", "expected a whole number")),
    }
}
