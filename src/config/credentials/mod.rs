//! Credentials that stand in the file: who they are, what they may do, and that none of them opens a relay.

mod changes;
pub mod networks;
mod secrets;

use std::collections::BTreeSet;
use std::str::FromStr;
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::Serialize;

use super::file::{self, At};
use super::findings::Findings;
use super::limits::{Bound, duration, whole};
use super::plan::word;
use super::slice::Declared;
use super::{Mode, client_certificates, rates, turnstile};
use crate::policy::mask::Mask;
use crate::policy::reports::Reports;
use crate::policy::rule::NotARule;
use crate::policy::scope::{Scope, Scopes};
use crate::policy::{
    DEFAULT_RECIPIENTS, Delivery, LEAST_SIZE, LEAST_TTL, MAX_ENCODED, MOST_RECIPIENTS, MOST_TTL, OnUnknown, Policy,
    Recipients, principal,
};
use networks::Identified;

/// Recipients of one message.
const MAX_RECIPIENTS: Bound<u32> =
    Bound { key: "max_recipients", default: DEFAULT_RECIPIENTS, least: 1, most: MOST_RECIPIENTS };
/// Octets of one message. What the gate takes as a whole bounds it too.
const MAX_SIZE: Bound<u64> = Bound { key: "max_size", default: u64::MAX, least: LEAST_SIZE, most: 1 << 30 };
/// How long its messages are tried. Without the key as long as `spool.lifetime` says, which is not this default.
const TTL: Bound<Duration> = Bound {
    key: "ttl",
    default: Duration::from_secs(MOST_TTL),
    least: Duration::from_secs(LEAST_TTL),
    most: Duration::from_secs(MOST_TTL),
};

/// Scopes of paths that are not built yet.
const LATER: &[&str] = &["status"];

pub fn plan(tables: &[At<file::Credential>], mode: Mode, findings: &mut Findings<'_>) -> Vec<Declared> {
    let (mut ids, mut identified) = (BTreeSet::new(), Identified::default());
    let mut credentials = Vec::new();
    for table in tables {
        let written = table.get_ref();
        let delivery = written.delivery.as_ref();
        let delivery = delivery.and_then(|mode| word(mode, "delivery", &Delivery::WORDS, &[], findings));
        let on_unknown = written
            .on_unknown
            .as_ref()
            .and_then(|word| self::word(word, "on_unknown", &OnUnknown::WORDS, &[], findings));
        let reports = written.reports.as_ref();
        let reports = reports.and_then(|word| self::word(word, "reports", &Reports::WORDS, &[], findings));
        let policy = Policy {
            senders: rules(&written.senders, "senders", findings),
            recipients: Recipients {
                allow: rules(&written.recipients.allow, "recipients.allow", findings),
                deny: rules(&written.recipients.deny, "recipients.deny", findings),
            },
            limits: rates::limits(&written.limits, findings),
            delivery,
            pass_through: written.pass_through.as_ref().map(|upstream| upstream.get_ref().clone()),
            identified_by: networks::identified_by(&written.identified_by, &mut identified, findings),
            max_recipients: written
                .max_recipients
                .as_ref()
                .map(|_| whole(&written.max_recipients, &MAX_RECIPIENTS, findings)),
            description: description(&written.description, findings),
            max_size: written.max_size.as_ref().map(|_| whole(&written.max_size, &MAX_SIZE, findings)),
            networks: networks::networks(&written.networks, findings),
            expires_us: written.expires.as_ref().and_then(|written| expires(written, findings)),
            scopes: scopes(&written.scopes, findings),
            mask: written.mask.as_ref().and_then(|mask| word(mask, "mask", &Mask::WORDS, &[], findings)),
            rewrite: changes::rewrite(&written.rewrite, findings),
            remove_headers: changes::removed(&written.remove_headers, findings),
            redirect: changes::redirect(&written.redirect, findings),
            always_bcc: changes::copies(&written.always_bcc, findings),
            ttl_seconds: written.ttl.as_ref().map(|ttl| duration(ttl, &TTL, findings).as_secs()),
            on_unknown: on_unknown.unwrap_or_default(),
            reports: reports.unwrap_or_default(),
            webhook: written.webhook.as_ref().map(|name| name.get_ref().clone()),
            turnstile: turnstile::demanded(&written.turnstile),
            form: turnstile::form(&written.form),
            test: written.test.as_ref().is_some_and(|test| *test.get_ref()),
        };
        let credential = Declared {
            id: id(table, &mut ids, findings),
            secrets: secrets::plan(written, findings),
            certificates: client_certificates::wanted(written, findings),
            policy,
            enabled: written.enabled.as_ref().is_none_or(|enabled| *enabled.get_ref()),
        };
        judge(&credential, table, findings);
        credentials.push(credential);
    }
    if mode.is_world_readable() && credentials.iter().any(|credential| !credential.secrets.is_empty()) {
        findings.warn(None, "everybody can read this file, and it holds password hashes: chmod o-r");
    }
    credentials
}

/// What no single key shows: a grant that fits no frame, a credential that nobody can use, an open relay.
fn judge(credential: &Declared, table: &At<file::Credential>, findings: &mut Findings<'_>) {
    let Declared { id, secrets, policy, .. } = credential;
    if encoded(&(&policy.senders, &policy.recipients, &policy.rewrite, &policy.remove_headers, &policy.redirect))
        > MAX_ENCODED
    {
        let text = format!(
            "credential {id:?}: its senders, recipients, rewrite and remove_headers take more than {} KiB together; use \"@domain\" or \".suffix\"",
            MAX_ENCODED / 1024
        );
        findings.refuse(table.span(), text);
    }
    let checked = policy.check_destinations().and_then(|()| policy.check_delivery()).and_then(|()| policy.check_test());
    if let Err(why) = checked
        .and_then(|()| policy.check_changes())
        .and_then(|()| policy.check_scopes())
        .and_then(|()| policy.check_turnstile())
        .and_then(|()| policy.check_form())
    {
        findings.refuse(table.span(), format!("credential {id:?}: {why}"));
    }
    if let Some(written) = &table.get_ref().pass_through {
        if !table.get_ref().secrets.is_empty() || !table.get_ref().identified_by.is_empty() {
            let text = "pass_through: the provider's keys are its passwords: leave out secrets and identified_by";
            findings.refuse(written.span(), text);
        }
        return;
    }
    if table.get_ref().identified_by.is_empty() {
        if secrets.is_empty() && table.get_ref().secrets.is_empty() && table.get_ref().certificates.is_empty() {
            let text = format!(
                "credential {id:?} has neither secrets nor identified_by nor certificates: nobody could ever be it"
            );
            findings.refuse(table.span(), text);
        }
        return;
    }
    if let Some(rule) = table.get_ref().senders.iter().find(|rule| rule.get_ref() == "*") {
        let text = "senders: \"*\" with identified_by is an open relay for that network: name addresses or domains";
        findings.refuse(rule.span(), text);
    }
    let rates = policy.limits.rates();
    if rates.per_minute.or(rates.per_hour).or(rates.per_day).is_none() {
        let text = format!("credential {id:?}: identified_by needs limits: per_minute, per_hour or per_day");
        findings.refuse(table.span(), text);
    }
}

fn id(table: &At<file::Credential>, ids: &mut BTreeSet<String>, findings: &mut Findings<'_>) -> String {
    let Some(written) = &table.get_ref().id else {
        findings.refuse(table.span(), "id is missing");
        return String::new();
    };
    let text = written.get_ref();
    if !principal::is_id(text) {
        findings.refuse(written.span(), format!("id: {text:?}: write {}", principal::ID));
    } else if !ids.insert(text.clone()) {
        findings.refuse(written.span(), format!("id: {text:?} is used twice"));
    }
    text.clone()
}

fn rules<R: FromStr<Err = NotARule>>(list: &[At<String>], key: &str, findings: &mut Findings<'_>) -> Vec<R> {
    let mut rules = Vec::new();
    for written in list {
        match written.get_ref().parse() {
            Ok(rule) => rules.push(rule),
            Err(why) => findings.refuse(written.span(), format!("{key}: {why}")),
        }
    }
    rules
}

fn description(written: &Option<At<String>>, findings: &mut Findings<'_>) -> String {
    let Some(written) = written else { return String::new() };
    let described = Policy { description: written.get_ref().clone(), ..Policy::default() };
    if let Err(why) = described.check() {
        findings.refuse(written.span(), why);
    }
    described.description
}

fn expires(written: &At<String>, findings: &mut Findings<'_>) -> Option<u64> {
    let instant = instant(written.get_ref());
    match &instant {
        Err(why) => findings.refuse(written.span(), format!("expires: {why}")),
        Ok(end) if u64::try_from(Timestamp::now().as_microsecond()).is_ok_and(|now| *end <= now) => {
            let text = format!("expires: {:?} is over: this credential can't be used", written.get_ref());
            findings.warn(Some(written.span()), text);
        }
        Ok(_) => {}
    }
    instant.ok()
}

/// "2027-01-31T18:00:00Z", or the beginning of a day (UTC); in microseconds.
pub fn instant(text: &str) -> Result<u64, String> {
    let time = text.parse::<Timestamp>().or_else(|error| {
        let day = text.parse::<Date>().map_err(|_| error)?;
        day.to_zoned(TimeZone::UTC).map(|zoned| zoned.timestamp())
    });
    let time = time.ok().and_then(|time| u64::try_from(time.as_microsecond()).ok());
    time.ok_or_else(|| format!("{text:?} is not a time: write \"2027-01-31\" or \"2027-01-31T18:00:00Z\""))
}

fn scopes(written: &Option<Vec<At<String>>>, findings: &mut Findings<'_>) -> Scopes {
    let Some(list) = written else { return Scopes::default() };
    if list.is_empty() {
        findings.refuse_whole(
            "scopes: an empty list is a credential that can't be used: leave the key out, or say enabled = false",
        );
    }
    let here: Vec<(&str, Scope)> = Scope::ALL.iter().map(|scope| (scope.word(), *scope)).collect();
    Scopes(list.iter().filter_map(|scope| word(scope, "scopes", &here, LATER, findings)).collect())
}

/// Octets between processes.
pub fn encoded(value: &impl Serialize) -> usize {
    postcard::to_stdvec(value).map_or(usize::MAX, |octets| octets.len())
}
