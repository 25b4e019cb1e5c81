//! Mail that is sent for a test: it waits in a lane of its own, and what takes it there is the vault itself, which tells of it what its
//! addresses ask for. No courier is asked, so that nothing of it can leave.

use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::unbounded_channel;
use tokio::task::spawn_local;
use uuid::Uuid;

use super::attempt::Attempt;
use super::outcome::PutOff;
use super::release::release;
use super::report;
use super::schedule::persist;
use crate::mail::address::Address;
use crate::mail::outcome::{Outcome as Delivery, Said};
use crate::policy::simulation::{self, DEFERRALS, End, LANE};
use crate::role::{Generation, Instance};
use crate::vault::Vault;
use crate::vault::hooks::effects::{self, From};
use crate::vault::hooks::event::{Event as Told, Kind};
use crate::vault::limits::clock::passed_us;
use crate::vault::store::spool::{Body, Leased};

/// Messages at a time: as many as a courier may have at most. Only one whose recipient is slow takes longer than a commit.
const SLOTS: u32 = 64;
/// It is no process of the parent's, whose numbers begin with one.
const NOBODY: Instance = Instance(0);
/// How long the slow one takes.
const SLOW: Duration = Duration::from_secs(if cfg!(test) { 1 } else { 5 });
/// How long somebody waits who was put off: shortly, because a test waits for it.
const RETRY: [Duration; 1] = [Duration::from_secs(if cfg!(test) { 1 } else { 5 })];

/// Takes what waits in that lane, for ever.
pub async fn run(vault: Rc<Vault>) {
    let (lease, mut leased) = unbounded_channel();
    {
        let mut schedule = vault.schedule.borrow_mut();
        schedule.join(LANE, NOBODY, Generation(0), lease);
        schedule.room(LANE, NOBODY, SLOTS);
    }
    vault.poke.notify_one();
    while let Some(message) = leased.recv().await {
        // What ends meanwhile is offered again: a test that is told of twice harms nobody.
        spawn_local(deliver(Rc::clone(&vault), message));
    }
}

/// One message, for all on its lease.
async fn deliver(vault: Rc<Vault>, leased: Leased) {
    // Nobody reads it any more.
    let leased = Leased { body: Body::Inline(Vec::new()), ..leased };
    let begun = Instant::now();
    if leased.recipients.iter().any(|(_, to, _)| !leased.is_report && simulation::end(&to.address) == Some(End::Slow)) {
        tokio::time::sleep(SLOW).await;
    }
    let attempt =
        Attempt { vault: &vault, upstream: LANE, leased: &leased, begun, put_off: PutOff::now(), retry: &RETRY };
    let (mut writing, mut complaints) = (Vec::new(), Vec::new());
    for (number, to, attempts) in &leased.recipients {
        // A report of the gate's own tests nothing.
        let end = if leased.is_report { None } else { simulation::end(&to.address) };
        let (delivery, complaint) = outcome(end, &to.address, *attempts);
        writing.push(attempt.settle(*number, &to.address, *attempts, &delivery, false));
        complaints.extend(complaint);
    }
    let own = Rc::clone(&vault);
    vault.finish(async move {
        for one in writing {
            // It ends early only with the store.
            let _ = one.await;
        }
        own.schedule.borrow_mut().returned(LANE, NOBODY, leased.job, &leased.whose());
        let _ = release(&own, leased.job, leased.lane.clone(), passed_us()).await;
        for told in complaints {
            // No rule: what is simulated is no reason to send somebody nothing.
            let from = From { hook: LANE.to_owned(), upstream: LANE.to_owned(), rule: None };
            persist(&own, move |store| effects::take(store, &from, &told).map(drop)).await;
        }
        report::make_all(&own).await;
    });
}

/// How an attempt at that address ends, and what is told of it later.
fn outcome(end: Option<End>, address: &Address, attempts: u32) -> (Delivery, Option<Told>) {
    let said = |code, enhanced: &str, text: &str| Said {
        code: Some(code),
        enhanced: Some(enhanced.to_owned()),
        text: format!("a test, nothing was sent: {text}"),
        of_recipient: true,
        ..Said::default()
    };
    let taken = || said(250, "2.0.0", "as if it was taken");
    match end {
        Some(End::Bounced) => (Delivery::Failed(said(550, "5.1.1", "as if there was no such mailbox")), None),
        Some(End::Suppressed) => (Delivery::Failed(said(550, "5.7.1", "as if the address was on a list")), None),
        Some(End::Rejected) => (Delivery::Failed(said(550, "5.7.1", "as if it was refused")), None),
        Some(End::Deferred) if attempts < DEFERRALS => {
            (Delivery::Deferred(said(451, "4.2.0", "as if it was put off")), None)
        }
        Some(End::Complained) => {
            let reference = format!("test-{}", Uuid::now_v7());
            let told = Told {
                call: reference.clone(),
                kind: Kind::Complained,
                reference: reference.clone(),
                named: vec![address.clone()],
                strange: 0,
                code: 250,
                enhanced: "2.0.0".to_owned(),
                text: "a test, nothing was sent: as if its reader called it unwanted".to_owned(),
            };
            (Delivery::Delivered(Said { reference: Some(reference.into()), ..taken() }), Some(told))
        }
        Some(End::Delivered | End::Slow | End::Deferred) | None => (Delivery::Delivered(taken()), None),
    }
}
