//! `[turnstile]`: where Cloudflare's Turnstile is asked of the tokens of web pages, and what the site is known by there.

use super::file::{self, At, Config};
use super::findings::Findings;
use super::plan::Plan;
use super::slice::{Declared, TurnstileSlice};
use super::source::Source;
use super::upstreams::{self, is_loopback};
use super::url::Url;
use crate::ipc::turnstile::POST;
use crate::policy::form;
use crate::policy::turnstile as policy;

pub const CLOUDFLARE: &str = "https://challenges.cloudflare.com";

#[derive(Clone, Debug)]
pub struct Turnstile {
    pub url: Url,
    pub secret: Source,
    /// Whom to trust; the system's authorities when absent.
    pub authorities: Option<Source>,
}

impl Turnstile {
    /// Whatever is read for its courier.
    pub fn sources(&self) -> impl Iterator<Item = &Source> {
        [&self.secret].into_iter().chain(&self.authorities)
    }

    pub fn slice(&self) -> TurnstileSlice {
        let Url { tls, host, port, path } = self.url.clone();
        TurnstileSlice { host, port, tls, prefix: path }
    }
}

/// None where nothing is written of it.
pub fn plan(config: &Config, findings: &mut Findings<'_>) -> Option<Turnstile> {
    let written = &config.turnstile;
    let url = url(&written.url, findings);
    let authorities = upstreams::authorities(&written.authorities_file, findings);
    if let (Some(file), Some(Url { tls: false, .. })) = (&written.authorities_file, &url) {
        findings.refuse(file.span(), "authorities_file: nobody's certificate is checked over http");
    }
    let Some(secret) = &written.secret_file else {
        if let Some(other) = written.url.as_ref().or(written.authorities_file.as_ref()) {
            let text = "secret_file is missing under [turnstile]: a file that holds the site's secret, one line";
            findings.refuse(other.span(), text);
        }
        return None;
    };
    let read =
        Source::file(secret.get_ref()).map_err(|why| findings.refuse(secret.span(), format!("secret_file: {why}")));
    Some(Turnstile { url: url?, secret: read.ok()?, authorities })
}

fn url(written: &Option<At<String>>, findings: &mut Findings<'_>) -> Option<Url> {
    let Some(place) = written else { return Url::parse(CLOUDFLARE) };
    let Some(url) = Url::parse(place.get_ref()).filter(|url| !url.path.contains('?')) else {
        let text =
            format!("url: write what comes before /turnstile/v0/siteverify, such as \"{CLOUDFLARE}\", without query");
        findings.refuse(place.span(), text);
        return None;
    };
    if !url.tls && !is_loopback(&url.host) {
        findings.refuse(place.span(), "url: http is for this machine only: write https");
    }
    Some(Url { path: url.path.trim_end_matches('/').to_owned(), ..url })
}

/// What a credential demands. Whether that can be meant is asked with the rest of it.
pub fn demanded(written: &Option<At<file::Proof>>) -> Option<policy::Turnstile> {
    let written = written.as_ref()?.get_ref();
    let hostnames = written.hostnames.iter().map(|host| host.get_ref().clone()).collect();
    Some(policy::Turnstile { hostnames, action: written.action.as_ref().map(|action| action.get_ref().clone()) })
}

/// The pages whose forms a key is of.
pub fn form(written: &Option<At<file::Form>>) -> Option<form::Form> {
    let written = written.as_ref()?.get_ref();
    Some(form::Form { origins: written.origins.iter().map(|origin| origin.get_ref().clone()).collect() })
}

/// Warns of pages that no listener lets send: their visitors' browsers would be told so, and nobody else.
pub fn reached(config: &Config, findings: &mut Findings<'_>) {
    let listed = |origin: &str| {
        let mut all = config.listener.iter().flat_map(|listener| listener.get_ref().origins.iter().flatten());
        all.any(|known| known.get_ref() == origin)
    };
    for table in &config.credential {
        for origin in table.get_ref().form.iter().flat_map(|form| &form.get_ref().origins) {
            if !listed(origin.get_ref()) {
                let text = format!("form: no listener has {:?} in its origins: that page can't send", origin.get_ref());
                findings.warn(Some(origin.span()), text);
            }
        }
    }
}

/// Refuses credentials that demand what nobody is asked of.
pub fn known(credentials: &[Declared], config: &Config, findings: &mut Findings<'_>) {
    for (credential, table) in credentials.iter().zip(&config.credential) {
        if let (Some(written), None) = (&table.get_ref().turnstile, &config.turnstile.secret_file) {
            let text = format!(
                "credential {:?}: turnstile: nobody is asked of its tokens: write [turnstile] with secret_file",
                credential.id
            );
            findings.refuse(written.span(), text);
        }
    }
}

impl Plan {
    /// The label of the courier that asks Turnstile, where there is one.
    pub fn turnstile_label(&self) -> Option<&'static str> {
        self.turnstile.as_ref().map(|_| POST)
    }

    /// Turnstile, where a courier of this label asks it.
    ///
    /// Errors: it is not configured.
    pub fn turnstile_of(&self, label: &str) -> Result<Option<&Turnstile>, String> {
        if label != POST {
            return Ok(None);
        }
        self.turnstile.as_ref().map(Some).ok_or_else(|| "Turnstile is not configured".to_owned())
    }
}
