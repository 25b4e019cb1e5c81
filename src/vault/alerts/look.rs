//! What is wrong now, read from what the vault knows already: nothing is probed for it.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::rates::{HOUR, Rates};
use super::sign::{Kind, Sign};
use crate::config::slice::Alerts;
use crate::ipc::admin::load::{Measure, Obstacle, Readiness};
use crate::ipc::admin::route::{Standing, State};
use crate::ipc::allowance::{Allowance, Limit};
use crate::vault::Vault;
use crate::vault::admin::overview;
use crate::vault::audit::seal::Pulse;
use crate::vault::delivery::breaker::Fault;
use crate::vault::readiness;
use crate::vault::transaction::microseconds;

/// What is counted by the minute: guesses, and processes that fall.
pub const SPAN: Duration = Duration::from_secs(600);
/// Ends within an hour below which a share of them says nothing.
const FEW: u64 = 20;
/// A head is signed within a second; the log is told of a sealer that refuses at once.
const UNSEALED: Duration = Duration::from_secs(300);
/// Names in one text.
const NAMED: usize = 8;

/// Everything but what credentials have left. None when the store gives no answer: then nobody can be told either.
pub async fn look(vault: &Rc<Vault>, pulse: &Pulse, alerts: &Alerts, rates: &Rates, now_us: u64) -> Option<Vec<Sign>> {
    let readiness = readiness::look(vault, pulse).await;
    if readiness.obstacles.iter().any(|obstacle| matches!(obstacle, Obstacle::Store | Obstacle::Draining)) {
        return None;
    }
    let names: Vec<String> = vault.authority.borrow().slice.anchors.iter().map(|anchor| anchor.name.clone()).collect();
    let asked = vault.writer.run(move |store| {
        let states = names.into_iter().map(|name| store.anchors.state(&name, now_us).map(|state| (name, state)));
        let states = states.collect::<Result<Vec<_>, _>>()?;
        Ok((store.oldest_waiting(now_us)?, store.anchors.note()?, states))
    });
    let (oldest, note, anchors) = asked.await.ok()?;
    let mut signs = of_readiness(&readiness, alerts);
    if let Some(age) =
        oldest.map(|since| now_us.saturating_sub(since)).filter(|age| *age > microseconds(alerts.queue_age))
    {
        signs.push(Sign::new(Kind::QueueAge, "", format!("a message has waited for {}", span(age))));
    }
    let is_behind = note.as_ref().is_some_and(|note| {
        note.size < vault.writer.size() && now_us.saturating_sub(note.time_us) > microseconds(UNSEALED)
    });
    if is_behind || readiness.obstacles.contains(&Obstacle::Sealer) {
        let size = note.map_or(0, |note| note.size);
        let behind = vault.writer.size().saturating_sub(size);
        signs.push(Sign::new(Kind::Unsealed, "", format!("{behind} events of the audit log have no signed head")));
    }
    for (name, state) in anchors {
        if let Some(holds) = state.contradicted {
            let text = format!("it holds a head of {holds} events that this log does not extend");
            signs.push(Sign::new(Kind::Anchor, name, text));
        } else if state.overdue {
            signs.push(Sign::new(Kind::Anchor, name, "no head of the audit log was kept there for too long"));
        }
    }
    signs.extend(of_upstreams(&states(vault)));
    signs.extend(of_rates(rates, alerts));
    signs.extend(of_certificates(&expiries(vault), alerts, now_us / 1_000_000));
    Some(signs)
}

/// When the first certificate ends that each listener shows, in Unix seconds.
pub fn expiries(vault: &Vault) -> BTreeMap<String, u64> {
    let authority = vault.authority.borrow();
    let listeners: Vec<&str> = authority.slice.listeners.iter().map(|listener| listener.name.as_str()).collect();
    vault.alerts.certificates.borrow().of(authority.generation(), &listeners)
}

fn states(vault: &Vault) -> Vec<State> {
    let (authority, schedule, now) = (vault.authority.borrow(), vault.schedule.borrow(), Instant::now());
    authority.slice.upstreams.iter().map(|name| schedule.state(name, now)).collect()
}

fn of_readiness(readiness: &Readiness, alerts: &Alerts) -> Vec<Sign> {
    let Readiness { obstacles, load, free, reserve, .. } = readiness;
    let mut signs = Vec::new();
    let is_short = obstacles.contains(&Obstacle::Room);
    // Before mail is refused, as `GatepostRoomShort`.
    if is_short || free.is_some_and(|free| free < reserve.saturating_mul(2)) {
        let what = if is_short { "no mail is taken" } else { "soon no mail is taken" };
        let free = free.map_or_else(|| "unknown".to_owned(), |free| free.to_string());
        signs.push(Sign::new(Kind::Disk, "", format!("{what}: free={free} reserve={reserve} octets")));
    }
    for obstacle in obstacles.iter().filter(|one| matches!(one, Obstacle::AuditMaxBytes | Obstacle::Load)) {
        let text = match obstacle {
            Obstacle::Load => "the load is beyond the threshold from which all mail is put off",
            _ => "the audit log is as large as it may be (max_bytes), and new mail is refused",
        };
        signs.push(Sign::new(Kind::NotReady, obstacle.word(), text));
    }
    let messages = load.figures.iter().find(|figure| figure.measure == Measure::Messages).map_or(0, |found| found.now);
    if messages > alerts.queue_messages {
        signs.push(Sign::new(Kind::QueueMessages, "", format!("the spool holds {messages} messages")));
    }
    signs
}

/// One that an administrator has paused is as it should be.
fn of_upstreams(states: &[State]) -> Vec<Sign> {
    let is_down = |state: &&State| {
        state.paused.is_none() && matches!(state.standing, Standing::Resting | Standing::Probed | Standing::Absent)
    };
    let sign = |state: &State| {
        let fault = state.fault.as_ref();
        let kind = match fault {
            Some((word, _)) if word == Fault::Login.word() => Kind::UpstreamLogin,
            _ => Kind::Upstream,
        };
        // Its word alone: what the upstream said may quote addresses, and stays here.
        let word = fault.map_or_else(String::new, |(word, _)| format!(" {word}"));
        Sign::new(kind, &state.upstream, format!("{} failures={}{word}", state.standing.word(), state.failures))
    };
    states.iter().filter(is_down).map(sign).collect()
}

fn of_rates(rates: &Rates, alerts: &Alerts) -> Vec<Sign> {
    let (hour, span) = (rates.within(HOUR), rates.within(SPAN));
    let mut signs = Vec::new();
    let ended = hour.accepted.saturating_add(hour.failed);
    if ended >= FEW && hour.failed.saturating_mul(100) >= ended.saturating_mul(alerts.bounce_rate.into()) {
        let text = format!("{} of {ended} recipients of the last hour failed", hour.failed);
        signs.push(Sign::new(Kind::Bounces, "", text));
    }
    if span.failed_logins >= alerts.failed_logins.into() {
        let text = format!("{} logins failed within ten minutes", span.failed_logins);
        signs.push(Sign::new(Kind::FailedLogins, "", text));
    }
    // A vault that fell counts from 0 again: its successor says that it did.
    if span.fallen >= alerts.falls.into() || hour.crashes > 0 {
        let text = match hour.crashes {
            0 => format!("{} processes fell within ten minutes", span.fallen),
            _ => "the last run ended without an orderly stop".to_owned(),
        };
        signs.push(Sign::new(Kind::Processes, "", text));
    }
    if hour.integrity > 0 {
        let text = "integrity.failure or sealer.refused is in the audit log of the last hour";
        signs.push(Sign::new(Kind::Integrity, "", text));
    }
    if span.steps > 0 {
        signs.push(Sign::new(
            Kind::Clock,
            "",
            "the clocks moved apart within the last ten minutes: one was set, or the machine slept or stood still",
        ));
    }
    signs
}

fn of_certificates(known: &BTreeMap<String, u64>, alerts: &Alerts, now: u64) -> Vec<Sign> {
    let limit = now.saturating_add(alerts.certificate.as_secs());
    let sign = |(listener, ends): (&String, u64)| {
        let text = match ends.checked_sub(now) {
            Some(left) => format!("it expires in {}", span(left.saturating_mul(1_000_000))),
            None => "it has expired: clients refuse it".to_owned(),
        };
        Sign::new(Kind::Certificate, listener, text)
    };
    known.iter().map(|(listener, ends)| (listener, *ends)).filter(|(_, ends)| *ends < limit).map(sign).collect()
}

/// What credentials have left: of limits by the hour and by the day, for those by the minute are there to be met.
pub fn of_credentials(vault: &Vault) -> Vec<Sign> {
    let mut signs = Vec::new();
    overview::each(&vault.authority.borrow(), |id, allowance| signs.extend(of_credential(id, allowance)));
    signs
}

fn of_credential(id: &str, allowance: &Allowance) -> Option<Sign> {
    if let Some(seconds) = allowance.suspended {
        let left = span(u64::from(seconds).saturating_mul(1_000_000));
        return Some(Sign::new(Kind::Suspended, id, format!("far beyond its history; suspended for another {left}")));
    }
    let is_short = |limit| matches!(limit, Limit::PerMinute | Limit::RecipientsPerMinute);
    let used = allowance.own.iter().filter(|one| one.quota > 0 && one.left == 0 && !is_short(one.limit));
    let names: Vec<String> = used.take(NAMED).map(|one| format!("{}={}", one.limit.word(), one.quota)).collect();
    (!names.is_empty()).then(|| Sign::new(Kind::Limit, id, format!("nothing is left of {}", names.join(", "))))
}

/// A length of time in the largest unit of which there are two.
pub fn span(us: u64) -> String {
    let seconds = us / 1_000_000;
    match seconds {
        0..120 => format!("{seconds} seconds"),
        120..7200 => format!("{} minutes", seconds / 60),
        7200..172_800 => format!("{} hours", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
#[path = "look/tests.rs"]
mod tests;
