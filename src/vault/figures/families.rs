//! All that is counted and measured, as it is told: under each label of a closed set, also where it is 0. Where something isn't
//! known it is left out, and nothing is made up for it.

use std::time::Instant;

use super::entries::{OUTCOMES, RESULTS};
use super::tally::{ACCEPTED, LOGINS, PROTOCOLS, REJECTED, Tally, UPSTREAM};
use crate::ipc::admin::load::{Measure, Readiness};
use crate::ipc::admin::route::{Standing, State};
use crate::ipc::counted::{Api, Malformed, Met, Status};
use crate::ipc::figures::family::{Family, Series, Value};
use crate::ipc::figures::metric::Metric;
use crate::policy::refusal::Refusal;
use crate::vault::Vault;
use crate::vault::alerts;
use crate::vault::audit::event::Name;
use crate::vault::audit::ledger::now_us;
use crate::vault::feedback::verdict::Verdict;
use crate::vault::hooks;
use crate::vault::limits::key::Tier;
use crate::vault::turnstile;

/// What is not counted as it happens, but looked at.
pub struct Look {
    pub readiness: Readiness,
    /// Since when the message that is longest in the spool is there, in unix microseconds.
    pub oldest_us: Option<u64>,
    /// Since when the one waits that has waited the longest of those that could leave.
    pub waiting_us: Option<u64>,
    /// When this vault began.
    pub started_us: u64,
}

/// Everything, at this moment.
pub fn all(vault: &Vault, look: &Look) -> Vec<Family> {
    let tally = vault.writer.tally();
    let mut families = vec![Family::plain(Metric::StartTime, look.started_us)];
    families.extend(messages(tally));
    families.push(tally.family(Metric::AuthAttempts, both(&PROTOCOLS[..2], &LOGINS)));
    families.push(tally.family(Metric::TurnstileVerifications, each(turnstile::RESULTS)));
    families.push(tally.family(Metric::RateLimited, each(Tier::ALL.map(Tier::word))));
    families.extend(spool(look));
    families.push(tally.family(Metric::CommitDuration, [Vec::new()]));
    families.extend(deliveries(vault, tally));
    families.push(tally.family(Metric::WebhookDeliveries, each(Verdict::ALL)));
    families.push(hooks(vault, tally));
    families.push(tally.family(Metric::AuditEvents, each(Name::ALL.iter().map(|name| name.word()))));
    families.push(certificates(vault));
    families.extend(edges(vault, tally));
    families
        .extend([Metric::ReloadSuccessful, Metric::ReloadTime].into_iter().filter_map(|metric| tally.known(metric)));
    families
}

/// As edges tell it of what they show: no key is there to be looked at here.
fn certificates(vault: &Vault) -> Family {
    let ends = alerts::expiries(vault);
    let micros = |seconds: u64| seconds.saturating_mul(1_000_000);
    Family::by(Metric::CertificateExpiry, ends.iter().map(|(listener, end)| (listener.as_str(), micros(*end))))
}

/// As edges tell it of what they meet.
fn edges(vault: &Vault, tally: &Tally) -> Vec<Family> {
    let authority = vault.authority.borrow();
    let listeners: Vec<String> = authority.slice.listeners.iter().map(|listener| listener.name.clone()).collect();
    let names: Vec<&str> = listeners.iter().map(String::as_str).collect();
    let (apis, met) = (words(Api::ALL, Api::word), words(Met::ALL, Met::word));
    let codes = Status::ALL.map(|(_, word)| word);
    let edges = vault.figures.edges.borrow();
    vec![
        edges.open(&listeners),
        tally.family(Metric::Connections, both(&names, &met)),
        tally.family(Metric::HttpRequests, both(&apis, &codes)),
        tally.family(Metric::HttpDuration, each(apis.iter().copied())),
        tally.family(Metric::HttpBody, each(apis.iter().copied())),
        edges.under_way(),
        tally.family(Metric::HttpProtocolErrors, each(words(Malformed::ALL, Malformed::word))),
        tally.family(Metric::Panics, each(PROTOCOLS[..2].iter().copied())),
    ]
}

fn words<T: Copy>(all: &[T], word: fn(T) -> &'static str) -> Vec<&'static str> {
    all.iter().map(|one| word(*one)).collect()
}

/// Of each hook that there is, and of none.
fn hooks(vault: &Vault, tally: &Tally) -> Family {
    let authority = vault.authority.borrow();
    let names: Vec<&str> = authority.slice.hooks.iter().map(|hook| hook.name.as_str()).chain([""]).collect();
    tally.family(Metric::HookEvents, both(&names, &hooks::RESULTS))
}

fn messages(tally: &Tally) -> Vec<Family> {
    let reasons: Vec<&str> = Refusal::ALL.iter().map(|refusal| refusal.word()).chain([UPSTREAM]).collect();
    let rejected = tally.family(Metric::MessagesRejected, both(&PROTOCOLS, &reasons));
    let mut received = tally.family(Metric::MessagesReceived, both(&PROTOCOLS, &[ACCEPTED]));
    // No second count, which could be another one.
    received.series.extend(PROTOCOLS.map(|protocol| {
        let own = rejected.series.iter().filter(|series| series.labels.first().is_some_and(|label| label == protocol));
        let sum = own.map(|series| number(&series.value)).fold(0u64, u64::saturating_add);
        Series { labels: vec![protocol.to_owned(), REJECTED.to_owned()], value: Value::Number(sum) }
    }));
    let recipients = tally.family(Metric::RecipientsRejected, both(&PROTOCOLS[..2], &reasons));
    let [size, many] =
        [Metric::MessageSize, Metric::MessageRecipients].map(|metric| tally.family(metric, [Vec::new()]));
    vec![received, rejected, recipients, size, many]
}

fn spool(look: &Look) -> Vec<Family> {
    let Readiness { load, free, reserve, .. } = &look.readiness;
    let of = |measure| load.figures.iter().find(|figure| figure.measure == measure).map(|figure| figure.now);
    let since = |then_us: u64| now_us().saturating_sub(then_us);
    let all = [
        (Metric::QueueMessages, of(Measure::Messages)),
        (Metric::QueueBytes, of(Measure::Octets)),
        (Metric::QueueOldest, Some(look.oldest_us.map_or(0, since))),
        (Metric::QueueWaiting, Some(look.waiting_us.map_or(0, since))),
        (Metric::SpoolFree, *free),
        (Metric::SpoolReserve, Some(*reserve)),
    ];
    all.into_iter().filter_map(|(metric, number)| Some(Family::plain(metric, number?))).collect()
}

fn deliveries(vault: &Vault, tally: &Tally) -> Vec<Family> {
    let (authority, schedule) = (vault.authority.borrow(), vault.schedule.borrow());
    let (now, upstreams) = (Instant::now(), &authority.slice.upstreams);
    let names: Vec<&str> = upstreams.iter().map(String::as_str).collect();
    let or_none: Vec<&str> = names.iter().copied().chain([""]).collect();
    let states: Vec<State> = upstreams.iter().map(|name| schedule.state(name, now)).collect();
    let by = |metric, of: fn(&State) -> u64| {
        Family::by(metric, states.iter().map(|state| (state.upstream.as_str(), of(state))))
    };
    vec![
        tally.family(Metric::Attempts, both(&names, &RESULTS)),
        tally.family(Metric::Deliveries, both(&or_none, &OUTCOMES)),
        tally.family(Metric::Latency, each(names)),
        by(Metric::UpstreamUp, |state| u64::from(!super::is_down(state.standing))),
        by(Metric::UpstreamCircuit, |state| u64::from(matches!(state.standing, Standing::Resting | Standing::Probed))),
        by(Metric::UpstreamPaused, |state| u64::from(state.paused.is_some())),
        by(Metric::UpstreamInFlight, |state| u64::from(state.under_way)),
    ]
}

fn each<'a>(all: impl IntoIterator<Item = &'a str>) -> impl Iterator<Item = Vec<String>> {
    all.into_iter().map(|label| vec![label.to_owned()])
}

fn both<'a>(outer: &'a [&'a str], inner: &'a [&'a str]) -> impl Iterator<Item = Vec<String>> {
    outer.iter().flat_map(move |one| inner.iter().map(move |other| vec![(*one).to_owned(), (*other).to_owned()]))
}

const fn number(value: &Value) -> u64 {
    match value {
        Value::Number(number) => *number,
        Value::Spread(_) => 0,
    }
}
