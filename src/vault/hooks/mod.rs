//! What providers tell of mail that they took: posted to an edge by whoever likes to, and believed by its signature alone.
//!
//! The vault has the secrets, for it decides what is believed; an edge that was taken over could make events up otherwise. What
//! strangers post is hashed here and nothing else: only what is signed is read (`event`), by a reader of small JSON with bounds, and
//! then does what it says (`effects`) in one transaction, before the provider is told that it was taken.

pub mod effects;
pub mod event;
mod signature;

use std::cell::Cell;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use uuid::Uuid;

use super::Vault;
use super::audit::ledger::now_us;
use super::delivery::report;
use super::limits::denial::By;
use super::limits::key::{Key, Tier};
use super::limits::rate::HOUR_US;
use super::login::posted::{self, Poster};
use super::store::hooks::{CALL_US, Early, Scope};
use super::store::writer::NotStored;
use super::telling::tell;
use crate::config::slice::{Counter, Hook};
use crate::ipc::figures::metric::Metric;
use crate::ipc::hook::{Posted, Verdict};
use crate::log::flood::Flood;
use effects::{From, Took};
use event::{Event, Read};

/// Bodies that come in or are looked at, in all: each may take `MOST_OCTETS`. A provider posts one at a time.
const PLACES: usize = 64;
/// Events that came early and are applied in one transaction.
const PORTION: u32 = 50;
/// What is forgotten in one transaction, once a minute.
const SWEEP: u32 = 10_000;
/// How old the vault is by then.
const SETTLED: Duration = Duration::from_secs(3600);
/// The name of a limit that is told by once in its window.
const UNATTRIBUTABLE: &str = "unattributable";

/// What came of a request, as it is counted.
pub const RESULTS: [&str; 9] = [APPLIED, REPEATED, EARLY, UNATTRIBUTABLE, IGNORED, UNSIGNED, LIMITED, UNREADABLE, BUSY];
const APPLIED: &str = "applied";
const REPEATED: &str = "repeated";
const EARLY: &str = "early";
const IGNORED: &str = "ignored";
const UNSIGNED: &str = "unsigned";
const LIMITED: &str = "limited";
const UNREADABLE: &str = "unreadable";
const BUSY: &str = "busy";

/// What is shared by all that is posted.
pub struct Desk {
    pub places: Arc<Semaphore>,
    /// There may be events that came early.
    early: Cell<bool>,
    lines: Flood,
}

impl Default for Desk {
    fn default() -> Self {
        Self { places: Arc::new(Semaphore::new(PLACES)), early: Cell::new(true), lines: Flood::default() }
    }
}

/// A request, whole.
pub struct Call {
    pub session: Uuid,
    pub address: IpAddr,
    pub listener: Rc<Counter>,
    pub posted: Posted,
    pub body: Vec<u8>,
}

/// Decides one.
pub async fn decide(vault: &Rc<Vault>, call: Call) -> Verdict {
    let known = vault.authority.borrow().slice.hooks.iter().find(|hook| hook.name == call.posted.hook).cloned();
    let name = known.as_ref().map(|hook| hook.name.clone()).unwrap_or_default();
    let draining = vault.authority.borrow().draining;
    let (verdict, result) = match draining {
        true => (Verdict::Busy, BUSY),
        false => judge(vault, call, known).await,
    };
    vault.writer.tally().add(Metric::HookEvents, [name, result.to_owned()], 1);
    verdict
}

/// There is no room to look at it.
pub fn turned_away(vault: &Vault) -> Verdict {
    vault.writer.tally().add(Metric::HookEvents, ["", BUSY], 1);
    Verdict::Busy
}

async fn judge(vault: &Rc<Vault>, call: Call, known: Option<Hook>) -> (Verdict, &'static str) {
    let Call { session, address, listener, posted, body } = call;
    let poster = Poster::new((session, address, listener), &posted.hook, known.as_ref().map(|hook| hook.name.as_str()));
    let attempt = match posted::begin(vault, &poster).await {
        Ok(attempt) => attempt,
        Err(verdict) => return (verdict, if verdict == Verdict::Busy { BUSY } else { LIMITED }),
    };
    let Some((hook, skew)) = signature::verified(known, &posted, &body, now_us() / 1000) else {
        let verdict = posted::fail(vault, &poster, attempt).await;
        return (verdict, if verdict == Verdict::Unsigned { UNSIGNED } else { LIMITED });
    };
    if let Some(seconds) = skew {
        if line(vault) {
            tracing::warn!(
                hook = hook.name,
                seconds,
                "an event is signed for another time, and was refused: is the clock right?"
            );
        }
        let verdict = posted::fail(vault, &poster, attempt).await;
        return (verdict, if verdict == Verdict::Unsigned { UNSIGNED } else { LIMITED });
    }
    posted::welcome(vault, &poster, attempt).await;
    let event = match event::read(&body) {
        Read::Event(event) => event,
        Read::Other => return (Verdict::Taken, IGNORED),
        Read::Unreadable => {
            if line(vault) {
                tracing::warn!(
                    hook = hook.name,
                    octets = body.len(),
                    "what is rightly signed is no event that can be read"
                );
            }
            return (Verdict::Unreadable, UNREADABLE);
        }
    };
    let rule = vault.authority.borrow().slice.suppression.clone();
    take(vault, From { hook: hook.name, upstream: hook.upstream, rule }, *event).await
}

async fn take(vault: &Rc<Vault>, from: From, event: Event) -> (Verdict, &'static str) {
    let (own, told) = (from.clone(), event.clone());
    // An edge that is gone doesn't end what is begun.
    let taking = Rc::clone(vault);
    let took = vault.finish(async move { taking.writer.run(move |store| effects::take(store, &own, &told)).await });
    let (took, gone) = match took.await {
        Ok(Ok(took)) => took,
        Ok(Err(NotStored::Full | NotStored::Closed)) | Err(_) => return (Verdict::Busy, BUSY),
    };
    if let Some(gone) = gone {
        pushed_out(vault, gone).await;
    }
    match took {
        Took::Applied { strangers } => {
            tell_of_strangers(vault, &from, &event, strangers);
            let own = Rc::clone(vault);
            vault.finish(async move { report::make_all(&own).await });
            (Verdict::Taken, APPLIED)
        }
        Took::Repeated => (Verdict::Taken, REPEATED),
        Took::Early => {
            vault.hooks.early.set(true);
            // What it waits for may have been written just before.
            let own = Rc::clone(vault);
            let scope = Scope::Named { upstream: from.upstream, reference: event.reference };
            vault.finish(async move { ripen(&own, scope).await });
            (Verdict::Taken, EARLY)
        }
        Took::Full => {
            if line(vault) {
                tracing::warn!(
                    hook = from.hook,
                    "so many events came before what they are about that no more are kept; they come again"
                );
            }
            (Verdict::Busy, BUSY)
        }
        Took::Unknown => {
            unattributable(vault, &from, &event).await;
            (Verdict::Taken, UNATTRIBUTABLE)
        }
    }
}

/// An early event of which nothing is known made room for another.
async fn pushed_out(vault: &Vault, gone: Early) {
    let Early { hook, upstream, event, .. } = gone;
    if line(vault) {
        tracing::warn!(hook, upstream, "so many events came before what they are about that the oldest is given up");
    }
    if let Ok(event) = serde_json::from_str::<Event>(&event) {
        unattributable(vault, &From { hook, upstream, rule: None }, &event).await;
    }
}

/// Written down, the first in an hour and then by number: whoever else sends by the same account is told of here, too.
async fn unattributable(vault: &Vault, from: &From, event: &Event) {
    let by = By { key: Key::new(Tier::Global, from.hook.as_str()), limit: UNATTRIBUTABLE, window_us: HOUR_US };
    tell(vault, effects::unknown(from, event), Some(by)).await;
}

fn tell_of_strangers(vault: &Vault, from: &From, event: &Event, strangers: usize) {
    if strangers > 0 && line(vault) {
        let (hook, kind) = (&from.hook, event.kind.word());
        tracing::warn!(
            hook,
            call = event.call,
            kind,
            strangers,
            "an event names recipients that its message doesn't have"
        );
    }
}

/// Whether the service's log has a line for it.
fn line(vault: &Vault) -> bool {
    vault
        .hooks
        .lines
        .has_line(|events| tracing::warn!(events, "further events of providers were odd, not told one by one"))
}

/// Applies events that came early, as far as what they are about is written down by now: when a courier's job is over,
/// those about its message; at a start and once a minute, all.
pub async fn ripen(vault: &Rc<Vault>, scope: Scope) {
    if !vault.hooks.early.get() {
        return;
    }
    let rule = vault.authority.borrow().slice.suppression.clone();
    let (mut after, mut owed) = (0, false);
    loop {
        let (rule, scope) = (rule.clone(), scope.clone());
        // Whoever keeps one meanwhile says so.
        vault.hooks.early.set(false);
        let ripened = vault.writer.run(move |store| {
            let ripe = store.hooks.ripe(&scope, after, PORTION)?;
            let mut applied = Vec::new();
            for Early { id, hook, upstream, event } in &ripe {
                let from = From { hook: hook.clone(), upstream: upstream.clone(), rule: rule.clone() };
                if let Ok(event) = serde_json::from_str::<Event>(event) {
                    let sent = store.hooks.sent(upstream, &event.reference)?;
                    let took = effects::apply(store, &from, &event, &sent)?;
                    applied.push((from, event, took));
                }
                store.hooks.drop(*id)?;
            }
            Ok((ripe.last().map(|early| early.id), applied, store.hooks.any()?))
        });
        // No room on the disk, or the end of the store: the next look will do.
        let Ok((last, applied, any)) = ripened.await else { return vault.hooks.early.set(true) };
        if any {
            vault.hooks.early.set(true);
        }
        for (from, event, took) in applied {
            owed = true;
            if let Took::Applied { strangers } = took {
                vault.writer.tally().add(Metric::HookEvents, [from.hook.clone(), APPLIED.to_owned()], 1);
                tell_of_strangers(vault, &from, &event, strangers);
            } else if took == Took::Unknown {
                unattributable(vault, &from, &event).await;
            }
        }
        match last {
            Some(last) => after = last,
            None => break,
        }
    }
    if owed {
        report::make_all(vault).await;
    }
}

/// What time brings, once a minute: early events that nothing came of, and calls that are old.
pub async fn sweep(vault: &Rc<Vault>) {
    ripen(vault, Scope::All).await;
    let now = now_us();
    let clock = vault.authority.borrow().clock;
    // By both clocks, and not while a machine that has just started may have one wrong: what is given up doesn't come back.
    let over_us = (clock.age() >= SETTLED).then(|| clock.passed_us());
    let swept = vault.writer.run(move |store| {
        store.hooks.forget(now.saturating_sub(CALL_US), SWEEP)?;
        over_us.map_or(Ok(Vec::new()), |over_us| store.hooks.over(over_us, SWEEP))
    });
    let Ok(over) = swept.await else { return };
    for Early { hook, upstream, event, .. } in over {
        let Ok(event) = serde_json::from_str::<Event>(&event) else { continue };
        if line(vault) {
            tracing::info!(hook, upstream, "an event came early, and nothing came that it is about");
        }
        unattributable(vault, &From { hook, upstream, rule: None }, &event).await;
    }
}
