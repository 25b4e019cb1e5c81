//! The options that say what a credential may do, as a change to its policy.

use std::time::SystemTime;

use clap::Args;
use clap::builder::PossibleValuesParser;
use serde_json::{Map, Value, json};

use super::rates::{self, Rates};
use crate::config;
use crate::mail::address::Address;
use crate::policy::mask::Mask;
use crate::policy::reports::Reports;
use crate::policy::{Delivery, OnUnknown};

/// The name of each option and its place in a policy.
const PLACES: [(&str, &[&str]); 23] = [
    ("sender", &["senders"]),
    ("recipient-allow", &["recipients", "allow"]),
    ("recipient-deny", &["recipients", "deny"]),
    ("max-size", &["max_size"]),
    ("max-recipients", &["max_recipients"]),
    ("network", &["networks"]),
    ("expires", &["expires_us"]),
    ("scope", &["scopes"]),
    ("description", &["description"]),
    ("mask", &["mask"]),
    ("rewrite", &["rewrite"]),
    ("remove-header", &["remove_headers"]),
    ("redirect", &["redirect"]),
    ("always-bcc", &["always_bcc"]),
    ("ttl", &["ttl_seconds"]),
    ("on-unknown", &["on_unknown"]),
    ("reports", &["reports"]),
    ("webhook", &["webhook"]),
    ("delivery", &["delivery"]),
    ("turnstile", &["turnstile"]),
    ("turnstile-hostname", &["turnstile", "hostnames"]),
    ("turnstile-action", &["turnstile", "action"]),
    ("form-origin", &["form", "origins"]),
];

#[derive(Debug, Default, Args)]
pub struct Rules {
    /// Send to these recipients only: user@domain, @domain, .suffix or "*" (may be given several times)
    #[arg(long, value_name = "RULE")]
    recipient_allow: Vec<String>,
    /// Never send to these recipients; wins over --recipient-allow
    #[arg(long, value_name = "RULE")]
    recipient_deny: Vec<String>,
    #[command(flatten)]
    rates: Rates,
    /// Octets of one message
    #[arg(long, value_name = "N")]
    max_size: Option<u64>,
    /// Recipients of one message; 100 by default
    #[arg(long, value_name = "N")]
    max_recipients: Option<u32>,
    /// Log in from this network or address only (may be given several times)
    #[arg(long = "network", value_name = "NETWORK")]
    networks: Vec<String>,
    /// The end of it: 2027-01-31, 2027-01-31T18:00:00Z, or a length of time from now on such as 90d
    #[arg(long, value_name = "TIME")]
    expires: Option<String>,
    /// What it may be used for: smtp, send (over HTTP), send_raw (whole messages over HTTP), these three by default; admin (to see what
    /// all credentials may) (may be given several times)
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<String>,
    /// What it is for
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// What auditors see of addresses in its events: local-part, full (hides all) or none; as `[audit]` says by default
    #[arg(long, value_name = "MASK", value_parser = PossibleValuesParser::new(Mask::WORDS.map(|(word, _)| word)))]
    mask: Option<String>,
    /// Let mail of this sender go out as another's, in envelope, From and Sender: PATTERN=ADDRESS, where the pattern is
    /// user@domain, @domain or "*" and no sender of its own (may be given several times)
    #[arg(long, value_name = "PATTERN=ADDRESS")]
    rewrite: Vec<String>,
    /// Remove these fields: Received, User-Agent, Organization or any that begins with X- (may be given several times)
    #[arg(long = "remove-header", value_name = "NAME")]
    removed: Vec<String>,
    /// Send all its mail to this address instead of those whom it names
    #[arg(long, value_name = "ADDRESS", value_parser = mailbox)]
    redirect: Option<String>,
    /// Send a copy of each message to this address (may be given several times)
    #[arg(long = "always-bcc", value_name = "ADDRESS", value_parser = mailbox)]
    copies: Vec<String>,
    /// How long its messages are tried, such as 15m; as `[spool]` says by default
    #[arg(long, value_name = "TIME", value_parser = ttl)]
    ttl: Option<u64>,
    /// What becomes of a message whose upstream gave no answer after the dot: retry (the default), hold or drop
    #[arg(long, value_name = "WHAT", value_parser = PossibleValuesParser::new(OnUnknown::WORDS.map(|(word, _)| word)))]
    on_unknown: Option<String>,
    /// How its senders hear what became of their mail: mail (the default), none, or webhook, with --webhook
    #[arg(long, value_name = "HOW", value_parser = PossibleValuesParser::new(Reports::WORDS.map(|(word, _)| word)))]
    reports: Option<String>,
    /// The webhook that is told what becomes of its mail, by its name in the configuration
    #[arg(long, value_name = "NAME")]
    webhook: Option<String>,
    /// How its messages leave: spool (kept, then delivered), direct (while its client waits), or fallback (as direct, and kept where no
    /// upstream can take it); as its listener says by default
    #[arg(long, value_name = "MODE", value_parser = PossibleValuesParser::new(Delivery::WORDS.map(|(word, _)| word)))]
    delivery: Option<String>,
    /// Each message needs a Turnstile token of a page on this host; with --scope send (may be given several times)
    #[arg(long = "turnstile-hostname", value_name = "HOST")]
    turnstile_hostnames: Vec<String>,
    /// And of this action, as data-action of the page's widget has it
    #[arg(long, value_name = "ACTION")]
    turnstile_action: Option<String>,
    /// Its key, gp_form_..., may stand in a public page of this origin, such as https://www.example.net: with one --sender,
    /// --recipient-allow of addresses, --turnstile-hostname, --max-size and a limit (may be given several times)
    #[arg(long = "form-origin", value_name = "ORIGIN")]
    form_origins: Vec<String>,
}

/// The options that can be taken back.
#[derive(Debug, Default, Args)]
pub struct Unset {
    /// Take this option back, as if it had never been given (may be given several times)
    #[arg(long = "unset", value_name = "OPTION", value_parser = PossibleValuesParser::new(places().map(|(name, _)| name)))]
    names: Vec<String>,
}

fn places() -> impl Iterator<Item = (&'static str, &'static [&'static str])> {
    PLACES.into_iter().chain(rates::PLACES)
}

impl Rules {
    /// What is given here, as a JSON Merge Patch (RFC 7396) of a policy: what is not named stays as it is, a list is replaced
    /// as a whole.
    pub fn patch(&self, senders: &[String], unset: &Unset) -> Result<Value, String> {
        let mut patch = Map::new();
        put(&mut patch, "sender", list(senders));
        put(&mut patch, "recipient-allow", list(&self.recipient_allow));
        put(&mut patch, "recipient-deny", list(&self.recipient_deny));
        for ((name, _), value) in rates::PLACES.iter().zip(self.rates.values()) {
            put(&mut patch, name, value.map(Value::from));
        }
        put(&mut patch, "max-size", self.max_size.map(Value::from));
        put(&mut patch, "max-recipients", self.max_recipients.map(Value::from));
        let networks: Result<Vec<String>, String> =
            self.networks.iter().map(|text| config::network(text).map(|network| network.to_string())).collect();
        put(&mut patch, "network", list(&networks.map_err(|why| format!("--network: {why}"))?));
        put(&mut patch, "expires", self.expires.as_deref().map(instant).transpose()?.map(Value::from));
        put(&mut patch, "scope", list(&self.scopes));
        put(&mut patch, "description", self.description.clone().map(Value::from));
        put(&mut patch, "mask", self.mask.clone().map(Value::from));
        put(&mut patch, "rewrite", list(&self.rewrite));
        put(&mut patch, "remove-header", list(&self.removed));
        put(&mut patch, "redirect", self.redirect.clone().map(Value::from));
        put(&mut patch, "always-bcc", list(&self.copies));
        put(&mut patch, "ttl", self.ttl.map(Value::from));
        put(&mut patch, "on-unknown", self.on_unknown.clone().map(Value::from));
        put(&mut patch, "reports", self.reports.clone().map(Value::from));
        put(&mut patch, "webhook", self.webhook.clone().map(Value::from));
        put(&mut patch, "delivery", self.delivery.clone().map(Value::from));
        put(&mut patch, "turnstile-hostname", list(&self.turnstile_hostnames));
        put(&mut patch, "turnstile-action", self.turnstile_action.clone().map(Value::from));
        put(&mut patch, "form-origin", list(&self.form_origins));
        for name in &unset.names {
            if is_given(&patch, name) {
                return Err(format!("--{name} and --unset {name} contradict each other: give one of them"));
            }
            put(&mut patch, name, Some(Value::Null));
        }
        Ok(Value::Object(patch))
    }
}

/// Whether an option has a value in it; one that was taken back twice has not.
fn is_given(patch: &Map<String, Value>, option: &str) -> bool {
    let Some((_, path)) = places().find(|(name, _)| *name == option) else { return false };
    let Some((first, rest)) = path.split_first() else { return false };
    let place = rest.iter().try_fold(patch.get(*first), |value, name| Some(value?.get(*name)));
    place.flatten().is_some_and(|value| !value.is_null())
}

fn put(patch: &mut Map<String, Value>, option: &str, value: Option<Value>) {
    let place = places().find(|(name, _)| *name == option).and_then(|(_, path)| path.split_last());
    let (Some(value), Some((last, tables))) = (value, place) else { return };
    let mut table = patch;
    for name in tables {
        let inner = table.entry(*name).or_insert_with(|| json!({}));
        let Some(inner) = inner.as_object_mut() else { return };
        table = inner;
    }
    table.insert((*last).to_owned(), value);
}

/// A list that was given.
fn list(texts: &[String]) -> Option<Value> {
    (!texts.is_empty()).then(|| json!(texts))
}

/// An address, as it is kept.
fn mailbox(text: &str) -> Result<String, String> {
    Address::parse(text).map(|to| to.to_string()).map_err(|why| format!("{why}: write \"user@domain\""))
}

/// A length of time, in seconds.
fn ttl(text: &str) -> Result<u64, String> {
    config::duration(text).map(|ttl| ttl.as_secs()).ok_or_else(|| "write a length of time such as 15m or 2d".to_owned())
}

/// A time that comes, or how far off it is; in microseconds.
fn instant(text: &str) -> Result<u64, String> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let end = match config::duration(text) {
        Some(wait) => u64::try_from(now.saturating_add(wait).as_micros())
            .map_err(|_| format!("--expires: {text:?} is too far off"))?,
        None => {
            config::instant(text).map_err(|why| format!("--expires: {why}, or a length of time such as \"90d\""))?
        }
    };
    match u128::from(end) > now.as_micros() {
        true => Ok(end),
        false => Err(format!(
            "--expires: {text:?} is over already: give a time that comes, or let nobody be it from now on: gatepost \
             credential disable"
        )),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        rules: Rules,
        #[command(flatten)]
        unset: Unset,
    }

    fn patch(line: &str) -> Result<Value, String> {
        let line = Line::try_parse_from(format!("set {line}").split_whitespace()).map_err(|error| error.to_string())?;
        line.rules.patch(&[], &line.unset)
    }

    #[test]
    fn options_become_a_patch_of_what_they_name() {
        assert_eq!(patch(""), Ok(json!({})));
        let given = "--per-minute 6 --network 192.0.2.7 --network 10.0.0.0/8 --expires 2027-01-31 --scope smtp";
        let expected = json!({
            "limits": { "per_minute": 6 }, "networks": ["192.0.2.7/32", "10.0.0.0/8"], "scopes": ["smtp"],
            "expires_us": 1_801_353_600_000_000_u64,
        });
        assert_eq!(patch(given), Ok(expected));
        let short = json!({ "ttl_seconds": 900, "on_unknown": "hold", "reports": "none" });
        assert_eq!(patch("--ttl 15m --on-unknown hold --reports none"), Ok(short));
        let told = json!({ "reports": "webhook", "webhook": "app" });
        assert_eq!(patch("--reports webhook --webhook app"), Ok(told));
        let unset = json!({ "limits": { "burst": null }, "expires_us": null });
        assert_eq!(patch("--unset burst --unset expires --unset burst"), Ok(unset));
        let one_of_two = json!({ "limits": { "per_minute": 6, "burst": null } });
        assert_eq!(patch("--per-minute 6 --unset burst"), Ok(one_of_two));
    }

    #[test]
    fn values_that_would_mean_nothing_are_wrong_usage() {
        for (bad, why) in [
            ("--per-minute 0", "not in 1.."),
            ("--burst 0", "not in 1.."),
            ("--per-day 0", "not in 1.."),
            ("--unset colour", "possible values"),
            ("--network printer", "not a network"),
            ("--network 10.0.0.1/8", "bits beyond"),
            ("--expires soon", "length of time"),
            ("--expires 2020-01-01", "credential disable"),
            ("--expires 0s", "over already"),
            ("--mask none --unset mask", "--mask and --unset mask contradict"),
            ("--unset per-minute --per-minute 6", "give one of them"),
            ("--network 192.0.2.7 --unset network", "give one of them"),
            ("--ttl soon", "such as 15m"),
            ("--on-unknown shrug", "possible values"),
            ("--reports smoke", "possible values"),
        ] {
            let error = patch(bad).unwrap_err();
            assert!(error.contains(why), "{bad}: {error}");
        }
    }
}
