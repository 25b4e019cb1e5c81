//! `[[webhook]]`: who is told what became of mail, of what, and by what it knows us.

use std::collections::BTreeSet;
use std::time::Duration;

use super::file::{self, At, Config};
use super::findings::{Findings, suggestion};
use super::limits::{WEBHOOK_LIFETIME, time};
use super::plan::{Plan, label, word};
use super::slice::{self, Declared, WebhookSlice};
use super::source::Source;
use super::upstreams::{self, is_loopback};
use super::url::Url;
use crate::ipc::feedback;
use crate::policy::feedback::Told;
use crate::policy::mask::Mask;

/// Each is a process: more than this was meant otherwise.
const MOST: usize = 16;

#[derive(Clone, Debug)]
pub struct Webhook {
    pub name: String,
    pub url: Url,
    /// What is signed with; and the one before, until every receiver has the new one.
    pub secret: Source,
    pub previous: Option<Source>,
    /// Whom to trust; the system's authorities when absent.
    pub authorities: Option<Source>,
    pub events: Vec<Told>,
    pub mask: Mask,
    pub lifetime: Duration,
}

impl Webhook {
    /// Whatever is read for its courier.
    pub fn sources(&self) -> impl Iterator<Item = &Source> {
        [&self.secret].into_iter().chain(&self.previous).chain(&self.authorities)
    }

    pub fn slice(&self) -> WebhookSlice {
        let Url { tls, host, port, path } = self.url.clone();
        WebhookSlice { host, port, path, tls, previous: self.previous.is_some() }
    }

    /// What the vault knows of it.
    pub fn rule(&self) -> slice::Webhook {
        let Self { name, events, mask, lifetime, .. } = self.clone();
        slice::Webhook { name, events, mask, lifetime }
    }
}

pub fn plan(tables: &[At<file::Webhook>], findings: &mut Findings<'_>) -> Vec<Webhook> {
    if let Some(beyond) = tables.get(MOST) {
        findings.refuse(beyond.span(), format!("webhook: at most {MOST}"));
    }
    let mut names = BTreeSet::new();
    tables.iter().filter_map(|table| one(table, &mut names, findings)).collect()
}

fn one(table: &At<file::Webhook>, names: &mut BTreeSet<String>, findings: &mut Findings<'_>) -> Option<Webhook> {
    let written = table.get_ref();
    let name = label(written.name.as_ref(), table, "name", names, findings);
    let url = url(written, table, findings);
    let authorities = upstreams::authorities(&written.authorities_file, findings);
    if let (Some(file), Some(Url { tls: false, .. })) = (&written.authorities_file, &url) {
        findings.refuse(file.span(), "authorities_file: nobody's certificate is checked over http");
    }
    if written.secret_file.is_none() {
        findings
            .refuse(table.span(), "secret_file is missing: a file that holds whsec_ and its key in base64, one line");
    }
    let mut secret = |written: &Option<At<String>>, key: &str| {
        let written = written.as_ref()?;
        Source::file(written.get_ref()).map_err(|why| findings.refuse(written.span(), format!("{key}: {why}"))).ok()
    };
    let (secret, previous) =
        (secret(&written.secret_file, "secret_file"), secret(&written.previous_secret_file, "previous_secret_file"));
    let events = events(written, findings);
    let mask = written.mask.as_ref().and_then(|mask| word(mask, "mask", &Mask::WORDS, &[], findings));
    let lifetime = time(&written.lifetime, &WEBHOOK_LIFETIME, findings);
    // A receiver is the operator's own, and can do little with an address that it isn't told.
    let mask = mask.unwrap_or(Mask::None);
    Some(Webhook { name, url: url?, secret: secret?, previous, authorities, events, mask, lifetime })
}

fn url(written: &file::Webhook, table: &At<file::Webhook>, findings: &mut Findings<'_>) -> Option<Url> {
    let Some(place) = &written.url else {
        findings.refuse(table.span(), "url is missing: such as \"https://app.example.net/hooks/mail\"");
        return None;
    };
    let Some(url) = Url::parse(place.get_ref()) else {
        let text = "url: write where it is posted to, such as \"https://app.example.net/hooks/mail\", without user and \
                    fragment";
        findings.refuse(place.span(), text);
        return None;
    };
    if !url.tls && !is_loopback(&url.host) {
        findings.refuse(place.span(), "url: http is for this machine only: write https");
    }
    Some(Url { path: if url.path.is_empty() { "/".to_owned() } else { url.path }, ..url })
}

/// All of them, unless some are named.
fn events(written: &file::Webhook, findings: &mut Findings<'_>) -> Vec<Told> {
    let Some(list) = &written.events else { return Told::WORDS.map(|(_, told)| told).to_vec() };
    if list.is_empty() {
        findings.refuse_whole("events: an empty list is a webhook that is told nothing: leave the key out for all");
    }
    list.iter().filter_map(|event| word(event, "events", &Told::WORDS, &[], findings)).collect()
}

/// Refuses credentials that name a webhook that there isn't, or need one and name none.
pub fn known(webhooks: &[Webhook], credentials: &[Declared], config: &Config, findings: &mut Findings<'_>) {
    for (credential, table) in credentials.iter().zip(&config.credential) {
        if let Some(written) = &table.get_ref().webhook {
            named(written, "webhook", webhooks, findings);
        }
        if let Err(why) = credential.policy.check_reports() {
            findings.refuse(table.span(), format!("credential {:?}: {why}", credential.id));
        }
    }
}

/// The webhook of that name.
pub fn named(written: &At<String>, key: &str, webhooks: &[Webhook], findings: &mut Findings<'_>) -> Option<String> {
    let name = written.get_ref();
    if webhooks.iter().any(|webhook| webhook.name == *name) {
        return Some(name.clone());
    }
    let names: Vec<&str> = webhooks.iter().map(|webhook| webhook.name.as_str()).collect();
    let text = match names.is_empty() {
        true => format!("{key}: there is no webhook {name:?}: write a [[webhook]] of that name"),
        false => format!("{key}: there is no webhook {name:?}: {}", suggestion(name, &names)),
    };
    findings.refuse(written.span(), text);
    None
}

impl Plan {
    /// The labels of the couriers that tell webhooks.
    pub fn webhook_labels(&self) -> impl Iterator<Item = String> {
        self.webhooks.iter().map(|webhook| feedback::post(&webhook.name))
    }

    /// The webhook that a courier of this label tells; none when it does something else.
    ///
    /// Errors: it would tell one that is not configured.
    pub fn webhook_of(&self, label: &str) -> Result<Option<&Webhook>, String> {
        let Some(name) = feedback::webhook(label) else { return Ok(None) };
        let found = self.webhooks.iter().find(|webhook| webhook.name == name);
        found.map(Some).ok_or_else(|| "its webhook is not configured".to_owned())
    }
}
