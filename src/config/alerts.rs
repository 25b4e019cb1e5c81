//! `[alerts]`: who is told when something is wrong with the gate itself, from when on it is wrong, and the daily digest.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::file::{self, At, Config};
use super::findings::Findings;
use super::limits::{Bound, NEVER, days, duration, minutes, time, whole};
use super::plan::Webhook;
use super::webhooks;
use crate::mail::address::Address;
use crate::policy::principal::GATE;
use crate::policy::route::{self, Route};

/// A mail to more than a handful goes to a list.
const MOST: usize = 10;
/// One that goes on is told again so often: who was away finds the one of today.
const REPEAT: Bound<Duration> = Bound { key: "repeat", default: days(1), least: minutes(60), most: days(30) };
/// As `GatepostQueueOld` of the rules for Prometheus.
const QUEUE_AGE: Bound<Duration> = Bound { key: "queue_age", default: minutes(15), least: minutes(1), most: days(30) };
/// A tenth of what mail is put off for (`shed_messages`).
const QUEUE_MESSAGES: Bound<u64> = Bound { key: "queue_messages", default: 10_000, least: 1, most: 100_000_000 };
/// As `GatepostUpstreamDown`: a restart over there is over by then.
const UPSTREAM_DOWN: Bound<Duration> =
    Bound { key: "upstream_down", default: minutes(5), least: Duration::ZERO, most: days(7) };
/// Percent of the recipients that ended within an hour. Providers stop accounts at 5 to 10 over weeks; within an hour a small
/// batch is above that by chance.
const BOUNCE_RATE: Bound<u32> = Bound { key: "bounce_rate", default: 20, least: 1, most: 100 };
/// Within ten minutes: people who mistype don't come to it together.
const FAILED_LOGINS: Bound<u32> = Bound { key: "failed_logins", default: 100, least: 1, most: 1_000_000 };
/// Within ten minutes: one may be the kernel's doing, for want of memory.
const FALLS: Bound<u32> = Bound { key: "falls", default: 3, least: 1, most: 1000 };
/// As the log tells it: whoever renews by itself has failed for weeks by then.
const CERTIFICATE: Bound<Duration> = Bound { key: "certificate", default: days(14), least: days(1), most: days(365) };
/// An hour of the day, in UTC.
const DIGEST: Bound<u32> = Bound { key: "digest", default: 7, least: 0, most: 23 };

/// Whom to tell, and of what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alerts {
    pub mail: Vec<Address>,
    /// There where `mail` is not empty.
    pub from: Option<Address>,
    /// By its name.
    pub webhook: Option<String>,
    /// None: what goes on is told once.
    pub repeat: Option<Duration>,
    pub queue_age: Duration,
    pub queue_messages: u64,
    pub upstream_down: Duration,
    pub bounce_rate: u32,
    pub failed_logins: u32,
    pub falls: u32,
    /// How long before its end.
    pub certificate: Duration,
    /// The hour of the daily digest; none: there is none.
    pub digest: Option<u32>,
}

/// None when nobody is to be told.
pub fn plan(config: &Config, routes: &[Route], hooks: &[Webhook], findings: &mut Findings<'_>) -> Option<Alerts> {
    let written = &config.alerts;
    let listed = written.mail.as_deref().unwrap_or_default();
    if let Some(beyond) = listed.get(MOST) {
        findings.refuse(beyond.span(), format!("mail: at most {MOST} addresses: write that of a list"));
    }
    let from = written.from.as_ref().and_then(|from| address(from, "from", findings));
    let mail: Vec<Address> = listed.iter().filter_map(|to| address(to, "mail", findings)).collect();
    if let (Some(first), None) = (listed.first(), &written.from) {
        findings.refuse(first.span(), "from is missing: whom these mails are from, such as \"gate@example.net\"");
    }
    if let Some(from) = &from {
        for (to, place) in mail.iter().zip(listed) {
            if route::find(routes, GATE, &Some(from.clone()), to).is_none() {
                findings.refuse(place.span(), format!("mail: no route takes mail from {from} to {to}"));
            }
        }
    }
    let webhook = written.webhook.as_ref().and_then(|name| webhooks::named(name, "webhook", hooks, findings));
    if let Some(place) = written.digest.as_ref().filter(|_| listed.is_empty()) {
        findings.refuse(place.span(), "digest: it goes by mail: name somebody in mail");
    }
    let repeat = match &written.repeat {
        Some(word) if word.get_ref() == NEVER => None,
        Some(text) => Some(duration(text, &REPEAT, findings)),
        None => Some(REPEAT.default),
    };
    let alerts = Alerts {
        from,
        webhook,
        repeat,
        queue_age: time(&written.queue_age, &QUEUE_AGE, findings),
        queue_messages: whole(&written.queue_messages, &QUEUE_MESSAGES, findings),
        upstream_down: time(&written.upstream_down, &UPSTREAM_DOWN, findings),
        bounce_rate: whole(&written.bounce_rate, &BOUNCE_RATE, findings),
        failed_logins: whole(&written.failed_logins, &FAILED_LOGINS, findings),
        falls: whole(&written.falls, &FALLS, findings),
        certificate: time(&written.certificate, &CERTIFICATE, findings),
        digest: written.digest.as_ref().map(|_| whole(&written.digest, &DIGEST, findings)),
        mail,
    };
    let is_told = written.mail.is_some() || written.webhook.is_some();
    if let (Some((key, place)), false) = (idle(written), is_told) {
        findings.warn(Some(place), format!("{key}: has no effect where neither mail nor webhook says who is told"));
    }
    (!alerts.mail.is_empty() || alerts.webhook.is_some()).then_some(alerts)
}

fn address(written: &At<String>, key: &str, findings: &mut Findings<'_>) -> Option<Address> {
    let parsed = Address::parse(written.get_ref()).ok().filter(Address::is_qualified);
    if parsed.is_none() {
        findings.refuse(written.span(), format!("{key}: {:?} is not an address", written.get_ref()));
    }
    parsed
}

/// A key that is written although nobody is told.
fn idle(written: &file::Alerts) -> Option<(&'static str, std::ops::Range<usize>)> {
    let words = [
        ("from", &written.from),
        ("repeat", &written.repeat),
        ("queue_age", &written.queue_age),
        ("upstream_down", &written.upstream_down),
        ("certificate", &written.certificate),
    ];
    let numbers = [
        ("queue_messages", &written.queue_messages),
        ("bounce_rate", &written.bounce_rate),
        ("failed_logins", &written.failed_logins),
        ("falls", &written.falls),
    ];
    let words = words.into_iter().filter_map(|(key, at)| Some((key, at.as_ref()?.span())));
    words.chain(numbers.into_iter().filter_map(|(key, at)| Some((key, at.as_ref()?.span())))).next()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::config::Errors;

    fn load(alerts: &str) -> Result<crate::config::Plan, Errors> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gatepost.toml");
        let text = format!(
            "version = 1\nhostname = \"gate.example.net\"\n\
             [[listener]]\nname = \"l\"\naddress = [\"127.0.0.1:2525\"]\nprotocol = \"smtp\"\n\
             [[upstream]]\nname = \"u\"\nkind = \"smtp\"\nhosts = [\"smtp.example.net:587\"]\n\
             [[route]]\nto = \"@example.org\"\nvia = [\"u\"]\n\
             [[webhook]]\nname = \"ops\"\nurl = \"https://ops.example.net/\"\nsecret_file = \"/etc/gatepost/ops.secret\"\n\
             [alerts]\n{alerts}"
        );
        fs::write(&path, text).unwrap();
        Config::load(&path)
    }

    #[test]
    fn alerts_that_could_reach_nobody_are_refused_with_their_place() {
        let good = "mail = [\"ops@example.org\"]\nfrom = \"gate@example.net\"\nwebhook = \"ops\"\nrepeat = \"never\"\ndigest = 6\n";
        let alerts = load(good).unwrap().alerts.unwrap();
        assert_eq!((alerts.mail.len(), alerts.webhook.as_deref(), alerts.repeat), (1, Some("ops"), None));
        assert_eq!((alerts.digest, alerts.queue_age, alerts.falls), (Some(6), minutes(15), 3));
        assert_eq!(load("").unwrap().alerts, None);
        for (from, to, why) in [
            ("from = \"gate@example.net\"\n", "", "from is missing"),
            ("ops@example.org", "ops@example.com", "no route takes mail from gate@example.net to ops@example.com"),
            ("ops@example.org", "ops", "is not an address"),
            ("webhook = \"ops\"", "webhook = \"opps\"", "did you mean \"ops\"?"),
            ("digest = 6", "digest = 24", "digest: must be from 0 to 23"),
            ("repeat = \"never\"", "repeat = \"1m\"", "repeat: must be from"),
        ] {
            let Errors(errors) = load(&good.replacen(from, to, 1)).unwrap_err();
            assert!(errors.len() == 1 && errors[0].contains(why), "{why}: {errors:?}");
        }
        let Errors(errors) = load("webhook = \"ops\"\ndigest = 6\n").unwrap_err();
        assert!(errors[0].contains("it goes by mail"), "{errors:?}");
        let warnings = load("falls = 1\n").unwrap().warnings;
        assert!(warnings.iter().any(|line| line.contains("falls: has no effect")), "{warnings:?}");
    }
}
