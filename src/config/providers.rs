//! Upstreams that are spoken to by HTTP: where their API is, and the secret that it knows us by.

use super::file::{self, At};
use super::findings::Findings;
use super::limits::{CONNECTIONS, whole};
use super::plan::{Upstream, word};
use super::slice::{Api, Auth, Endpoint, Keep, OnUnsupported, TlsMode, Verify};
use super::source::Source;
use super::upstreams::{family, is_loopback, sources};
use super::url::Url;
use super::{hooks, pace, protection};

/// The word for an upstream that speaks SMTP.
pub const SMTP: &str = "smtp";
const WEBHOOK: &str = "webhook";
const CLOUDFLARE: &str = "cloudflare";
const BYTESEND: &str = "bytesend";
/// The word for one that is a program.
pub const SENDMAIL: &str = "sendmail";
/// The kinds there are.
pub const KINDS: [&str; 5] = [SMTP, WEBHOOK, CLOUDFLARE, BYTESEND, SENDMAIL];

/// Where Cloudflare's API is.
const CLOUDFLARE_URL: &str = "https://api.cloudflare.com/client/v4";
/// Where ByteSend's is; useSend's and those of one's own are elsewhere.
const BYTESEND_URL: &str = "https://bytesend.cloud/api";
/// The words for what becomes of a message that an API has no fields for.
const ON_UNSUPPORTED: [(&str, OnUnsupported); 2] = [("fail", OnUnsupported::Fail), ("drop", OnUnsupported::Drop)];
/// The words for what of Cloudflare's API is asked, which are the ends of its paths.
const SEND_RAW: &str = "send_raw";
const SEND: &str = "send";
/// An account's id has 32.
const MAX_ACCOUNT: usize = 64;
/// Fields that say what the octets of a message are, and those that whoever reads it sees.
const MIME: [&str; 4] = ["MIME-Version", "Content-Type", "Content-Transfer-Encoding", "Content-Disposition"];
const READ: [&str; 5] = ["To", "Cc", "Subject", "Date", "Message-ID"];
/// More names than a header has that somebody else could own.
const MAX_DROPPED: usize = 64;

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
    const BY_HTTP: &[&str] = &[WEBHOOK, CLOUDFLARE, BYTESEND];
    const CONNECTED: &[&str] = &[SMTP, WEBHOOK, CLOUDFLARE, BYTESEND];
    const RUN: &[&str] = &[SENDMAIL];
    let span = |text: &Option<At<String>>| text.as_ref().map(At::span);
    let keys = [
        ("hosts", written.hosts.first().map(At::span), BY_SMTP),
        ("tls", span(&written.tls), BY_SMTP),
        ("username", span(&written.username), BY_SMTP),
        ("password_file", span(&written.password_file), BY_SMTP),
        ("password", written.password.as_ref().map(At::span), BY_SMTP),
        ("password_insecure_inline", written.password_insecure_inline.as_ref().map(At::span), BY_SMTP),
        ("auth", span(&written.auth), BY_SMTP),
        ("oauth2", written.oauth2.as_ref().map(At::span), BY_SMTP),
        ("requiretls", written.requiretls.as_ref().map(At::span), BY_SMTP),
        ("idle", span(&written.idle), BY_SMTP),
        ("max_age", span(&written.max_age), BY_SMTP),
        ("messages_per_connection", written.messages_per_connection.as_ref().map(At::span), BY_SMTP),
        ("helo", span(&written.helo), BY_SMTP),
        ("verify", span(&written.verify), CONNECTED),
        ("pin", written.pin.as_ref().map(At::span), CONNECTED),
        ("tls_name", span(&written.tls_name), CONNECTED),
        ("client_certificate", span(&written.client_certificate), CONNECTED),
        ("client_key", span(&written.client_key), CONNECTED),
        ("authorities_file", span(&written.authorities_file), CONNECTED),
        ("family", span(&written.family), CONNECTED),
        ("source_address", written.source_address.as_ref().map(At::span), CONNECTED),
        ("command", span(&written.command), RUN),
        ("arguments", written.arguments.as_ref().and_then(|words| words.first()).map(At::span), RUN),
        ("user", span(&written.user), RUN),
        ("options", written.options.as_ref().and_then(|words| words.first()).map(At::span), RUN),
        ("time_limit", span(&written.time_limit), RUN),
        ("url", span(&written.url), BY_HTTP),
        ("secret_file", span(&written.secret_file), &[WEBHOOK]),
        ("account", span(&written.account), &[CLOUDFLARE]),
        ("token_file", span(&written.token_file), &[CLOUDFLARE, BYTESEND]),
        ("endpoint", span(&written.endpoint), &[CLOUDFLARE]),
        ("on_unsupported", span(&written.on_unsupported), &[CLOUDFLARE, BYTESEND]),
        ("webhook_in", written.webhook_in.as_ref().map(At::span), &[BYTESEND]),
        ("drop_headers", written.drop_headers.as_ref().and_then(|names| names.first()).map(At::span), &[CLOUDFLARE]),
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
    kind: &str,
    (number, name): (u16, String),
    table: &At<file::Upstream>,
    findings: &mut Findings<'_>,
) -> Option<Upstream> {
    let written = table.get_ref();
    let url = match (kind, &written.url) {
        (CLOUDFLARE, None) => Url::parse(CLOUDFLARE_URL),
        (BYTESEND, None) => Url::parse(BYTESEND_URL),
        _ => url(written, table, findings),
    };
    let (below, api, password) = match kind {
        CLOUDFLARE => {
            let account = account(written, table, findings);
            let drop_headers = drop_headers(written, findings);
            let token = secret(&written.token_file, "token_file", table, findings);
            let endpoint = endpoint(written, findings);
            let end = if endpoint == Endpoint::SendRaw { SEND_RAW } else { SEND };
            (format!("/accounts/{account}/email/sending/{end}"), Api::Cloudflare { drop_headers, endpoint }, token)
        }
        BYTESEND => {
            let on_unsupported = on_unsupported(written, findings);
            let token = secret(&written.token_file, "token_file", table, findings);
            ("/v1/emails".to_owned(), Api::Bytesend { on_unsupported }, token)
        }
        _ => (String::new(), Api::Webhook, secret(&written.secret_file, "secret_file", table, findings)),
    };
    let Url { tls, host, port, path } = url?;
    if let Some(written) = written.url.as_ref().filter(|_| ends_below(kind, &path)) {
        let text = format!("url: {below:?} is added to it: write where the API begins, and nothing of that");
        findings.refuse(written.span(), text);
    }
    let path = match below.as_str() {
        "" if path.is_empty() => "/".to_owned(),
        "" => path,
        below => {
            if let Some(url) = written.url.as_ref().filter(|_| path.contains('?')) {
                findings.refuse(url.span(), "url: what is below it has no query: write it without one");
            }
            format!("{}{below}", path.trim_end_matches('/'))
        }
    };
    let tls = if tls { TlsMode::Implicit } else { TlsMode::None };
    let hosts = vec![(host, port)];
    let protection = protection::plan(written, tls, &hosts, findings);
    if let (Verify::NoneInsecure, Some(verify)) = (protection.verify, &written.verify) {
        findings.refuse(verify.span(), "verify: a provider is verified always: write verify = \"pin\" and pin its key");
    }
    let family = family(written, &hosts, findings);
    Some(Upstream {
        number,
        name,
        provider: Some(Provider { path, api }),
        program: None,
        username: None,
        password,
        auth: Auth::default(),
        oauth2: None,
        protection,
        requiretls: false,
        connections: whole(&written.connections, &CONNECTIONS, findings),
        pace: pace::plan(&written.pace, findings),
        keep: Keep::default(),
        helo: None,
        family,
        sources: sources(written, &hosts, family, findings),
        hosts,
        tls,
        hook: hooks::plan(written, findings),
    })
}

fn on_unsupported(written: &file::Upstream, findings: &mut Findings<'_>) -> OnUnsupported {
    let given = written.on_unsupported.as_ref();
    given.and_then(|it| word(it, "on_unsupported", &ON_UNSUPPORTED, &[], findings)).unwrap_or_default()
}

/// The message as it is, unless fields are asked for.
fn endpoint(written: &file::Upstream, findings: &mut Findings<'_>) -> Endpoint {
    let given = written.endpoint.as_ref();
    let fields = Endpoint::Send(on_unsupported(written, findings));
    let known = [(SEND_RAW, Endpoint::SendRaw), (SEND, fields)];
    let chosen = given.and_then(|it| word(it, "endpoint", &known, &[], findings)).unwrap_or_default();
    if let Some(written) = written.on_unsupported.as_ref().filter(|_| chosen == Endpoint::SendRaw) {
        let text =
            "on_unsupported: send_raw carries every message as it is: take it away, or write endpoint = \"send\"";
        findings.refuse(written.span(), text);
    }
    chosen
}

/// Whether somebody wrote the place that is posted to where that of the API belongs: each request would be lost.
fn ends_below(kind: &str, path: &str) -> bool {
    let path = path.trim_end_matches('/');
    match kind {
        CLOUDFLARE => path.contains("/accounts"),
        BYTESEND => path.ends_with("/v1") || path.ends_with("/emails"),
        _ => false,
    }
}

fn account(written: &file::Upstream, table: &At<file::Upstream>, findings: &mut Findings<'_>) -> String {
    let Some(account) = &written.account else {
        findings.refuse(table.span(), "account is missing: the id of the account, as its dashboard shows it");
        return String::new();
    };
    let text = account.get_ref();
    if text.is_empty() || text.len() > MAX_ACCOUNT || !text.bytes().all(|octet| octet.is_ascii_alphanumeric()) {
        findings.refuse(account.span(), "account: write the id of the account, letters and digits alone");
    }
    text.clone()
}

fn drop_headers(written: &file::Upstream, findings: &mut Findings<'_>) -> Vec<String> {
    let Some(names) = &written.drop_headers else { return Vec::new() };
    if let Some(beyond) = names.get(MAX_DROPPED) {
        findings.refuse(beyond.span(), format!("drop_headers: at most {MAX_DROPPED}"));
    }
    for name in names {
        // RFC 5322 section 2.2; who wrote it is what the sender was held to.
        let is_field = |octet: u8| octet.is_ascii_graphic() && octet != b':';
        if name.get_ref().is_empty() || !name.get_ref().bytes().all(is_field) {
            let text =
                format!("drop_headers: {:?}: write the name of a header field, without the colon", name.get_ref());
            findings.refuse(name.span(), text);
        } else if name.get_ref().eq_ignore_ascii_case("from") {
            findings.refuse(name.span(), "drop_headers: without From it is no message");
        } else if is_one_of(name.get_ref(), &MIME) {
            let text = format!("drop_headers: without {} the message is read as another one", name.get_ref());
            findings.refuse(name.span(), text);
        } else if is_one_of(name.get_ref(), &READ) {
            let text = format!("drop_headers: {}: its recipients know a message by that", name.get_ref());
            findings.warn(Some(name.span()), text);
        }
    }
    names.iter().map(|name| name.get_ref().clone()).collect()
}

fn is_one_of(name: &str, names: &[&str]) -> bool {
    names.iter().any(|one| one.eq_ignore_ascii_case(name))
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
