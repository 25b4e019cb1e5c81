//! What holds where nothing is written, by table, in the words that one would write. A test writes all of it into a file, and asks that
//! it means what it meant without.

use crate::config::plan::Plan;
use crate::config::turnstile;

/// The tables that there is one of.
pub const SINGLE: [&str; 8] = ["tls", "limits", "spool", "suppression", "audit", "turnstile", "alerts", "log"];

/// A key, and what holds without it.
type Default = (&'static str, Option<&'static str>);

const TOP: [Default; 4] = [
    ("version", None),
    ("state_directory", Some("\"/var/lib/gatepost\"")),
    ("runtime_directory", Some("\"/run/gatepost\"")),
    ("hostname", None),
];

const TLS: [Default; 3] = [("certificate", None), ("key", None), ("certificates", None)];

/// Of a listener for SMTP or LMTP; those with a bar are for these alone.
const LISTENER: [Default; 29] = [
    ("name", None),
    ("address", None),
    ("protocol", None),
    ("serve", None),
    ("tls", Some("\"none\"")),
    ("certificate", None),
    ("key", None),
    ("certificates", None),
    ("client_certificates", None),
    ("client_authorities_file", None),
    ("behind_tls_proxy", Some("false")),
    ("proxy_from", None),
    ("hosts", None),
    ("origins", None),
    ("trusted_proxies", None),
    ("forwarded_by", None),
    ("ops_networks", None),
    ("identify_by_network", Some("false")),
    ("mechanisms", None),
    ("extensions_off", Some("[]")),
    ("future_release", None),
    ("delivery", Some("\"spool\"")),
    ("repair_bare_lf", Some("false")),
    ("commands_off", Some("[]")),
    ("xclient_from", None),
    ("xforward_from", None),
    ("zone", Some("\"main\"")),
    ("per_address", Some("100")),
    ("per_prefix", Some("400")),
];
/// What is said of a listener for HTTP.
const HTTP: [&str; 8] = [
    "behind_tls_proxy",
    "identify_by_network",
    "tls",
    "zone",
    "per_address",
    "per_prefix",
    "extensions_off",
    "commands_off",
];

const CREDENTIAL: [Default; 28] = [
    ("id", None),
    ("secrets", None),
    ("senders", None),
    ("recipients", None),
    ("limits", None),
    ("delivery", None),
    ("pass_through", None),
    ("identified_by", None),
    ("max_recipients", Some("100")),
    ("enabled", Some("true")),
    ("description", Some("\"\"")),
    ("max_size", None),
    ("ttl", None),
    ("on_unknown", Some("\"retry\"")),
    ("test", Some("false")),
    ("reports", Some("\"mail\"")),
    ("webhook", None),
    ("networks", None),
    ("expires", None),
    ("scopes", Some("[\"smtp\", \"send\", \"send_raw\"]")),
    ("certificates", None),
    ("mask", None),
    ("rewrite", None),
    ("remove_headers", None),
    ("redirect", None),
    ("always_bcc", None),
    ("turnstile", None),
    ("form", None),
];

/// Of an upstream that speaks SMTP.
const UPSTREAM: [Default; 39] = [
    ("name", None),
    ("kind", None),
    ("hosts", None),
    ("tls", None),
    ("verify", Some("\"full\"")),
    ("pin", None),
    ("tls_name", None),
    ("client_certificate", None),
    ("client_key", None),
    ("username", None),
    ("password_file", None),
    ("password", None),
    ("password_insecure_inline", None),
    ("auth", Some("\"auto\"")),
    ("oauth2", None),
    ("authorities_file", None),
    ("requiretls", Some("false")),
    ("connections", Some("4")),
    ("pace", None),
    ("idle", Some("\"8s\"")),
    ("max_age", Some("\"5m\"")),
    ("messages_per_connection", Some("100")),
    ("helo", None),
    ("family", Some("\"any\"")),
    ("source_address", None),
    ("url", None),
    ("secret_file", None),
    ("account", None),
    ("token_file", None),
    ("drop_headers", None),
    ("endpoint", None),
    ("on_unsupported", None),
    ("command", None),
    ("arguments", None),
    ("user", None),
    ("options", None),
    ("time_limit", None),
    ("bounce", None),
    ("webhook_in", None),
];
/// What is said of an upstream that is a provider.
const PROVIDER: [&str; 2] = ["connections", "family"];
/// And of one that is a program.
const PROGRAM: [&str; 1] = ["connections"];

const ROUTE: [Default; 4] = [("credential", None), ("from", None), ("to", Some("\"*\"")), ("via", None)];

const ANCHOR: [Default; 10] = [
    ("name", None),
    ("kind", None),
    ("every", None),
    ("socket", None),
    ("path", None),
    ("to", None),
    ("from", None),
    ("url", None),
    ("key", None),
    ("authorities_file", None),
];
/// How often, by the kind of an anchor.
const EVERY: [(&str, &str); 4] = [("syslog", "\"1h\""), ("file", "\"1h\""), ("mail", "\"1d\""), ("witness", "\"5m\"")];

const WEBHOOK: [Default; 8] = [
    ("name", None),
    ("url", None),
    ("secret_file", None),
    ("previous_secret_file", None),
    ("authorities_file", None),
    ("events", Some("[\"sent\", \"deferred\", \"bounced\", \"failed\"]")),
    ("mask", Some("\"none\"")),
    ("lifetime", Some("\"4d\"")),
];

const TURNSTILE: [Default; 3] = [("secret_file", None), ("url", None), ("authorities_file", None)];

/// What holds where somebody is told.
const ALERTS: [Default; 12] = [
    ("mail", None),
    ("from", None),
    ("webhook", None),
    ("repeat", Some("\"1d\"")),
    ("queue_age", Some("\"15m\"")),
    ("queue_messages", Some("10000")),
    ("upstream_down", Some("\"5m\"")),
    ("bounce_rate", Some("20")),
    ("failed_logins", Some("100")),
    ("falls", Some("3")),
    ("certificate", Some("\"14d\"")),
    ("digest", None),
];

const LIMITS: [Default; 18] = [
    ("sessions", Some("4096")),
    ("strangers", None),
    ("max_size", Some("26214400")),
    ("handshake", Some("\"10s\"")),
    ("signing", Some("\"5s\"")),
    ("idle_strange", Some("\"30s\"")),
    ("idle", Some("\"5m\"")),
    ("connect", Some("\"5s\"")),
    ("hashers", Some("2")),
    ("hash_queue", Some("64")),
    ("hash_deadline", Some("\"10s\"")),
    ("vault_deaths", Some("3")),
    ("global", None),
    ("address", None),
    ("prefix", None),
    ("wide_prefix", None),
    (
        "failed_logins",
        Some(
            "{ windows = [\"5m\", \"1d\"], per_address = [20, 100], per_prefix = [60, 300], per_wide_prefix = [200, 1000], \
             per_credential = [20, 100] }",
        ),
    ),
    ("anomaly", Some("{ factor = 5, minimum = 100, action = \"event\" }")),
];

const SPOOL: [Default; 9] = [
    ("retry", Some("[\"1m\", \"2m\", \"5m\", \"10m\", \"20m\", \"30m\", \"1h\"]")),
    ("lifetime", Some("\"4d\"")),
    ("delay_report", Some("\"4h\"")),
    ("master_key_directory", None),
    ("reserve", Some("134217728")),
    ("ballast", Some("67108864")),
    ("shed_messages", Some("[100000, 200000]")),
    ("shed_octets", Some("[8589934592, 17179869184]")),
    ("shed_latency", Some("[\"2s\", \"10s\"]")),
];

/// `after` and `lifetime` mean nothing without `bounces`.
const SUPPRESSION: [Default; 3] = [("bounces", Some("false")), ("after", Some("2")), ("lifetime", Some("\"90d\""))];

const LOG: [Default; 3] = [("format", Some("\"text\"")), ("to", Some("\"stderr\"")), ("socket", Some("\"/dev/log\""))];

const AUDIT: [Default; 8] = [
    ("retain_personal", Some("\"90d\"")),
    ("retain_events", Some("\"400d\"")),
    ("retain_hashes", Some("\"forever\"")),
    ("max_bytes", None),
    ("when_full", Some("\"mail\"")),
    ("least_kept", Some("\"90d\"")),
    ("anchor_overdue", Some("\"2d\"")),
    ("mask", Some("\"local-part\"")),
];

/// The keys of a table, each with what holds where it is not written. `kind`: of a listener or an upstream, what is written there.
pub fn of(table: &str, kind: &str, plan: &Plan) -> Vec<(&'static str, Option<String>)> {
    let (keys, only): (&[Default], Option<&[&str]>) = match table {
        "" => (&TOP, None),
        "tls" => (&TLS, None),
        "listener" => (&LISTENER, (kind == "http").then_some(&HTTP)),
        "credential" => (&CREDENTIAL, None),
        "upstream" => (
            &UPSTREAM,
            match kind {
                "smtp" => None,
                "sendmail" => Some(&PROGRAM),
                _ => Some(&PROVIDER),
            },
        ),
        "route" => (&ROUTE, None),
        "anchor" => (&ANCHOR, None),
        "webhook" => (&WEBHOOK, None),
        "turnstile" => (&TURNSTILE, None),
        "alerts" => (&ALERTS, None),
        "limits" => (&LIMITS, None),
        "spool" => (&SPOOL, None),
        "suppression" => (&SUPPRESSION, None),
        "audit" => (&AUDIT, None),
        "log" => (&LOG, None),
        _ => (&[], None),
    };
    let value = |key: &'static str, text: Option<&str>| match (table, key) {
        // These follow from others.
        ("limits", "strangers") => Some(plan.limits.strangers.to_string()),
        ("spool", "master_key_directory") => Some(format!("{:?}", plan.master_directory)),
        ("turnstile", "url") if plan.turnstile.is_some() => Some(format!("{:?}", turnstile::CLOUDFLARE)),
        ("listener", "mechanisms") if kind == "smtp" => Some("[\"PLAIN\", \"LOGIN\"]".to_owned()),
        ("listener", "mechanisms") if kind == "http" => Some("[\"BEARER\"]".to_owned()),
        ("listener", "serve") if kind == "http" => Some("[\"v1\"]".to_owned()),
        ("upstream", "time_limit") if kind == "sendmail" => Some("\"5m\"".to_owned()),
        ("anchor", "every") => EVERY.iter().find(|(of, _)| *of == kind).map(|(_, every)| (*every).to_owned()),
        _ => text.filter(|_| only.is_none_or(|only| only.contains(&key))).map(str::to_owned),
    };
    keys.iter().map(|(key, text)| (*key, value(key, *text))).collect()
}
