//! Anchors: signed heads of the log, kept where nobody can reach them who could rewrite it.
//!
//! File and syslog are the sealer's own: here is only written down what it says became of them. Mail goes through the spool,
//! a witness is asked through a courier. Whatever hangs or fails here holds up neither mail nor sealing.

mod asked;
mod mail;
mod outcome;
mod watch;
mod witness;

use std::collections::HashMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::sync::oneshot;
use tokio::task::spawn_local;
use tokio::time::{MissedTickBehavior, interval};

use super::ledger::now_us;
use super::seal;
use crate::config::slice::{Anchor, Place};
use crate::ipc::admin::audit::Anchoring;
use crate::ipc::control::Peer;
use crate::ipc::sealing;
use crate::ipc::witnessing;
use crate::vault::Vault;
use crate::vault::store::anchors::Anchored;
use crate::vault::transaction::microseconds;
use asked::Waiter;
use watch::Watch;
use witness::{Attempt, Line};

pub use witness::Channel;

const EVERY: Duration = Duration::from_secs(1);
/// Whether syslog took a line is known this much later than that the sealer said it.
const SYSLOG: Duration = Duration::from_secs(2);
/// The clock that shows the date may run ahead of the other by so much in a second: more is a step, or a machine that slept.
const STEP_US: u64 = 30_000_000;
/// After a start, a step or a sleep every anchor gets this long before it is called overdue.
const GRACE: Duration = Duration::from_secs(120);

/// What the others tell the anchors.
pub enum Order {
    /// The courier of a witness, or its successor.
    Witness(Peer, Channel),
    /// What became of the sealer's own anchors.
    Sealer(Vec<sealing::Anchored>),
    /// Whether the local syslog takes the sealer's lines, as the parent sees it.
    Syslog(bool),
    /// An attempt of ours has ended.
    Ended(String, Attempt),
    /// Anchor now, everywhere or at one place. The answer comes when all is known, or after a while.
    Now { name: Option<String>, actor: String, answer: oneshot::Sender<Result<Vec<Anchoring>, String>> },
}

struct Keeper {
    vault: Rc<Vault>,
    sealing: UnboundedSender<seal::Order>,
    own: UnboundedSender<Order>,
    /// As configured; the watches are these.
    anchors: Vec<Anchor>,
    watches: Vec<Watch>,
    lines: HashMap<String, Line>,
    waiters: Vec<Waiter>,
    syslog: Option<bool>,
    /// Lines that the sealer said, to be believed when syslog is seen to work.
    said: Vec<(Anchored, Instant)>,
    /// There is a signed head.
    signed: bool,
    clock: (u64, Instant),
    calm: Instant,
}

/// Runs as long as there is a vault. `own` is the other end of `orders`.
pub async fn run(
    vault: Rc<Vault>,
    sealing: UnboundedSender<seal::Order>,
    own: UnboundedSender<Order>,
    mut orders: UnboundedReceiver<Order>,
) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let now = Instant::now();
    let mut keeper = Keeper {
        vault: Rc::clone(&vault),
        sealing,
        own,
        anchors: Vec::new(),
        watches: Vec::new(),
        lines: HashMap::new(),
        waiters: Vec::new(),
        syslog: None,
        said: Vec::new(),
        signed: false,
        clock: (now_us(), now),
        calm: now,
    };
    loop {
        tokio::select! {
            order = orders.recv() => match order {
                Some(order) => keeper.obey(order).await,
                None => return,
            },
            () = vault.anchored.notified() => keeper.arrived().await,
            _ = ticks.tick() => keeper.tick(now_us(), Instant::now()).await,
        }
    }
}

impl Keeper {
    async fn obey(&mut self, order: Order) {
        match order {
            Order::Witness(peer, channel) => {
                let Some(name) = witnessing::anchor(&peer.label).map(str::to_owned) else { return };
                let older = self.lines.get(&name).is_some_and(|line| {
                    !line.is_gone() && (line.generation, line.instance) > (peer.generation, peer.instance)
                });
                if !older {
                    self.lines.insert(name, Line::open(peer.generation, peer.instance, channel));
                }
            }
            Order::Sealer(done) => self.sealer(done).await,
            Order::Syslog(works) => self.syslog = Some(works),
            Order::Ended(name, attempt) => match attempt {
                Attempt::Kept(anchored) => self.kept(anchored).await,
                Attempt::Failed(reason) => self.failed(&name, reason, true),
                Attempt::Contradicted { holds, size, reason, said } => {
                    self.contradicted(&name, holds, size, reason, said).await;
                }
            },
            Order::Now { name, actor, answer } => self.order(name, actor, answer).await,
        }
    }

    /// What the sealer says of its own anchors. It is believed about them alone, and about heads that there are.
    async fn sealer(&mut self, done: Vec<sealing::Anchored>) {
        let sealed = self.vault.writer.run(|store| store.ledger.last_sealed()).await.unwrap_or(0);
        for sealing::Anchored { name, size, failed } in done {
            let anchored = Anchored { name: name.clone(), size, time_us: now_us(), proof: None };
            match (failed, self.watch(&name).map(|watch| watch.anchor.place.clone())) {
                (_, None | Some(Place::Mail { .. } | Place::Witness { .. })) => {}
                (Some(reason), _) => self.failed(&name, reason, true),
                _ if !(1..=sealed).contains(&size) => {
                    self.failed(&name, format!("the sealer names {size} events, but {sealed} are sealed"), true);
                }
                (None, Some(Place::Syslog)) => self.said.push((anchored, Instant::now() + SYSLOG)),
                (None, Some(Place::File)) => self.kept(anchored).await,
            }
        }
    }

    fn watch(&mut self, name: &str) -> Option<&mut Watch> {
        self.watches.iter_mut().find(|watch| watch.anchor.name == name)
    }

    async fn tick(&mut self, now_us: u64, now: Instant) {
        let configured = self.vault.authority.borrow().slice.anchors.clone();
        if configured != self.anchors {
            self.take(configured, now_us).await;
        }
        let (before_us, before) = std::mem::replace(&mut self.clock, (now_us, now));
        if now_us.saturating_sub(before_us) > microseconds(now.duration_since(before)).saturating_add(STEP_US) {
            self.calm = now;
        }
        let (due, later) = std::mem::take(&mut self.said).into_iter().partition(|(_, until)| *until <= now);
        self.said = later;
        for (anchored, _) in due {
            match self.syslog {
                Some(true) => self.kept(anchored).await,
                _ => self.failed(&anchored.name, "the local syslog does not take the lines".to_owned(), true),
            }
        }
        let due = self.watches.iter().filter(|watch| watch.is_due(now_us, now)).map(|watch| watch.anchor.name.clone());
        let due = due.collect::<Vec<_>>();
        if !due.is_empty() && self.is_signed().await {
            for name in due {
                self.begin(&name).await;
            }
        }
        if now.duration_since(self.calm) >= GRACE {
            self.check(now_us).await;
        }
        for waiter in std::mem::take(&mut self.waiters) {
            if waiter.until <= now { self.let_go(waiter) } else { self.waiters.push(waiter) }
        }
    }

    /// Whether there is a signed head; at the first start ever it comes in a moment.
    async fn is_signed(&mut self) -> bool {
        if !self.signed {
            self.signed = matches!(self.vault.writer.run(|store| store.anchors.note()).await, Ok(Some(_)));
        }
        self.signed
    }

    /// Takes the anchors of a configuration; those that stay are as they were.
    async fn take(&mut self, configured: Vec<Anchor>, now_us: u64) {
        let mut watches = Vec::new();
        for anchor in &configured {
            if let Some(at) = self.watches.iter().position(|watch| watch.anchor.name == anchor.name) {
                watches.push(self.watches.swap_remove(at).configured(anchor.clone()));
                continue;
            }
            let name = anchor.name.clone();
            let known = self.vault.writer.run(move |store| {
                let (last, state) = (store.anchors.last(&name)?, store.anchors.state(&name, now_us)?);
                Ok((last, state, store.anchors.is_under_way(&name)?))
            });
            // A full disk, or the end of the store: the next second may do.
            let Ok((last, state, under_way)) = known.await else { return };
            if let Some(holds) = state.contradicted {
                tracing::error!(
                    anchor = anchor.name,
                    holds,
                    "this witness contradicted the log and is not asked: look for integrity.failure in the audit log"
                );
            }
            watches.push(Watch::new(anchor.clone(), state, last, under_way.then_some(now_us)));
        }
        (self.watches, self.anchors) = (watches, configured);
    }

    /// Makes one of ours now, unless it is under way.
    async fn begin(&mut self, name: &str) {
        let line = self.lines.get(name).filter(|line| !line.is_gone()).cloned();
        let Some(watch) = self.watch(name).filter(|watch| !watch.busy) else { return };
        match watch.anchor.place.clone() {
            Place::Syslog | Place::File => {}
            Place::Mail { to, from } => {
                watch.begin();
                match mail::send(&self.vault, name, &to, &from).await {
                    Ok(message) => {
                        tracing::info!(anchor = name, %message, "a signed head is on its way by mail");
                        if let Some(watch) = self.watch(name) {
                            watch.sent(now_us());
                        }
                    }
                    Err(reason) => self.failed(name, reason, true),
                }
            }
            Place::Witness { key } => {
                let known = watch.last.as_ref().map_or(0, |last| last.size);
                let Some(line) = line else {
                    // At a start or a reload it comes in a moment.
                    if !self.calm_for(Duration::from_secs(10)) {
                        return;
                    }
                    return self.failed(name, "its courier is not there".to_owned(), true);
                };
                watch.begin();
                let (vault, own, name) = (Rc::clone(&self.vault), self.own.clone(), name.to_owned());
                spawn_local(async move {
                    let attempt = witness::attempt(&vault, &name, &key, known, &line).await;
                    let _ = own.send(Order::Ended(name, attempt));
                });
            }
        }
    }

    fn calm_for(&self, time: Duration) -> bool {
        self.calm.elapsed() >= time
    }
}
