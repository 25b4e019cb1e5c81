//! Upstreams that are spoken to by HTTP: where their API is, and the secret that it knows us by.

use super::file::{self, At};
use super::findings::Findings;
use super::limits::{CONNECTIONS, whole};
use super::plan::Upstream;
use super::protection;
use super::slice::{Api, Auth, Keep, TlsMode, Verify};
use super::source::Source;
use super::upstreams::{family, is_loopback};
use super::url::Url;

/// The word for an upstream that speaks SMTP.
pub const SMTP: &str = "smtp";
const WEBHOOK: &str = "webhook";
/// The kinds there are, and those of the design that are not in this version.
pub const KINDS: [&str; 2] = [SMTP, WEBHOOK];
pub const LATER: [&str; 3] = ["cloudflare", "bytesend", "sendmail"];

/// Beside host and port, what a provider's API needs.
#[derive(Clone, Debug)]
pub struct Provider {
    /// From the slash on, with its query.
    pub path: String,
    pub api: Api,
}

/// Refuses the keys that an upstream of this kind has nothing to do with: a misunderstanding.
pub fn only(kind: &str, written: &file::Upstream, findings: &mut Findings<'_>) {
    const BY_SMTP: &[&str] = &[SMTP];
    const BY_HTTP: &[&str] = &[WEBHOOK];
    let span = |text: &Option<At<String>>| text.as_ref().map(At::span);
    let keys = [
        ("hosts", written.hosts.first().map(At::span), BY_SMTP),
        ("tls", span(&written.tls), BY_SMTP),
        ("username", span(&written.username), BY_SMTP),
        ("password_file", span(&written.password_file), BY_SMTP),
        ("password", written.password.as_ref().map(At::span), BY_SMTP),
        ("password_insecure_inline", written.password_insecure_inline.as_ref().map(At::span), BY_SMTP),
        ("auth", span(&written.auth), BY_SMTP),
        ("requiretls", written.requiretls.as_ref().map(At::span), BY_SMTP),
        ("idle", span(&written.idle), BY_SMTP),
        ("max_age", span(&written.max_age), BY_SMTP),
        ("messages_per_connection", written.messages_per_connection.as_ref().map(At::span), BY_SMTP),
        ("helo", span(&written.helo), BY_SMTP),
        ("url", span(&written.url), BY_HTTP),
        ("secret_file", span(&written.secret_file), &[WEBHOOK]),
    ];
    for (key, place, kinds) in keys {
        if let Some(place) = place.filter(|_| !kinds.contains(&kind)) {
            let kinds: Vec<String> = kinds.iter().map(|kind| format!("{kind:?}")).collect();
            findings.refuse(place, format!("{key}: only an upstream of kind {} has it", kinds.join(" or ")));
        }
    }
}

/// One that is not of kind smtp.
pub fn plan(
    (number, name): (u16, String),
    table: &At<file::Upstream>,
    findings: &mut Findings<'_>,
) -> Option<Upstream> {
    let written = table.get_ref();
    let url = url(written, table, findings);
    let password = secret(&written.secret_file, "secret_file", table, findings);
    let Url { tls, host, port, path } = url?;
    let tls = if tls { TlsMode::Implicit } else { TlsMode::None };
    let hosts = vec![(host, port)];
    let protection = protection::plan(written, tls, &hosts, findings);
    if let (Verify::NoneInsecure, Some(verify)) = (protection.verify, &written.verify) {
        findings.refuse(verify.span(), "verify: a provider is verified always: write verify = \"pin\" and pin its key");
    }
    Some(Upstream {
        number,
        name,
        provider: Some(Provider { path: if path.is_empty() { "/".to_owned() } else { path }, api: Api::Webhook }),
        username: None,
        password,
        auth: Auth::default(),
        protection,
        requiretls: false,
        connections: whole(&written.connections, &CONNECTIONS, findings),
        keep: Keep::default(),
        helo: None,
        family: family(written, &hosts, findings),
        hosts,
        tls,
    })
}

fn url(written: &file::Upstream, table: &At<file::Upstream>, findings: &mut Findings<'_>) -> Option<Url> {
    let Some(place) = &written.url else {
        findings.refuse(table.span(), "url is missing: such as \"https://mail.example.net/hook\"");
        return None;
    };
    let Some(url) = Url::parse(place.get_ref()) else {
        let text =
            "url: write where it is posted to, such as \"https://mail.example.net/hook\", without user and fragment";
        findings.refuse(place.span(), text);
        return None;
    };
    if !url.tls && !is_loopback(&url.host) {
        findings.refuse(place.span(), "url: http is for this machine only: write https");
    }
    Some(url)
}

fn secret(
    written: &Option<At<String>>,
    key: &str,
    table: &At<file::Upstream>,
    findings: &mut Findings<'_>,
) -> Option<Source> {
    let Some(written) = written else {
        findings.refuse(table.span(), format!("{key} is missing: a file that holds it, one line"));
        return None;
    };
    Source::file(written.get_ref()).map_err(|why| findings.refuse(written.span(), format!("{key}: {why}"))).ok()
}
