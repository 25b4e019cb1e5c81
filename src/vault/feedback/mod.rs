//! Webhooks: what became of mail is told to whoever is to know, as long as they may be told, and mail never waits for it.
//!
//! Events are written with the outcomes that they tell of (`happened`), and posted from there by couriers, one for each
//! webhook. Whatever a receiver does, it costs its own events a later try and, when it goes on, the webhook a rest.

mod answered;
mod asked;
pub mod dropped;
pub mod happened;
mod hook;
mod line;
mod over;
pub mod verdict;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{Notify, oneshot};
use tokio::time::{MissedTickBehavior, interval};

use crate::ipc::admin::webhook::State;
use crate::ipc::control::{ChildPackets, Peer, Report};
use crate::ipc::feedback::{self, Answer};
use crate::role::{Generation, Instance};
use crate::vault::Vault;
use crate::vault::audit::event::{Event, Name, Outcome};
use crate::vault::audit::ledger::now_us;
use hook::Hook;
use line::Line;

pub use line::Channel;

const EVERY: Duration = Duration::from_secs(1);
/// Events that are over are looked for once in so many seconds.
const SWEEP_SECONDS: u64 = if cfg!(test) { 1 } else { 60 };

/// What the others tell the keeper.
pub enum Order {
    /// The courier of a webhook, or its successor.
    Courier(Peer, Channel),
    /// What became of an event; none when its courier ended first.
    Answered {
        webhook: String,
        generation: Generation,
        ticket: u64,
        answer: Option<Answer>,
    },
    /// Its courier has not looked at an event: it is for the next one, as it was.
    Unread {
        webhook: String,
        ticket: u64,
    },
    /// A courier said what it may not, and its channel was ended.
    Violated {
        webhook: String,
        instance: Instance,
        word: &'static str,
    },
    /// A courier gives no answers, and its channel was ended.
    Hung {
        webhook: String,
        instance: Instance,
    },
    /// That is on the disk.
    Settled {
        webhook: String,
        row: i64,
    },
    /// There is another configuration.
    Reloaded,
    Status(oneshot::Sender<Vec<State>>),
    /// Post an event that tells of nothing. Errors: it can't be posted now.
    Test {
        webhook: String,
        body: String,
        answer: oneshot::Sender<Answer>,
    },
    /// Post what waits for that one now, whatever it rests for. Answer: how many those are.
    Retry {
        webhook: String,
        actor: String,
        answer: oneshot::Sender<u64>,
    },
}

/// Where orders are given.
pub struct Desk {
    pub orders: UnboundedSender<Order>,
    /// Somebody may have an event to post.
    pub fresh: Arc<Notify>,
    wanted: RefCell<Option<UnboundedReceiver<Order>>>,
}

impl Default for Desk {
    fn default() -> Self {
        let (orders, wanted) = unbounded_channel();
        Self { orders, fresh: Arc::default(), wanted: RefCell::new(Some(wanted)) }
    }
}

struct Keeper {
    vault: Rc<Vault>,
    parent: Rc<ChildPackets>,
    hooks: BTreeMap<String, Hook>,
    tickets: u64,
}

/// Runs as long as there is a vault.
pub async fn run(vault: Rc<Vault>, parent: Rc<ChildPackets>) {
    let Some(mut wanted) = vault.feedback.wanted.take() else { return };
    let fresh = Arc::clone(&vault.feedback.fresh);
    let mut keeper = Keeper { vault, parent, hooks: BTreeMap::new(), tickets: 0 };
    keeper.reload().await;
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut second = 0u64;
    loop {
        tokio::select! {
            order = wanted.recv() => match order {
                Some(order) => keeper.obey(order).await,
                None => return,
            },
            () = fresh.notified() => keeper.hooks.values_mut().for_each(|hook| hook.due_us = 0),
            _ = ticks.tick() => {
                second += 1;
                if second.is_multiple_of(SWEEP_SECONDS) {
                    while keeper.sweep().await {}
                }
            }
        }
        keeper.fill().await;
    }
}

impl Keeper {
    async fn obey(&mut self, order: Order) {
        match order {
            Order::Courier(peer, channel) => {
                let Some(name) = feedback::webhook(&peer.label).map(str::to_owned) else { return };
                let hook = self.hooks.entry(name.clone()).or_default();
                let age = (peer.generation, peer.instance);
                let is_older =
                    hook.line.as_ref().is_some_and(|line| !line.is_gone() && (line.generation, line.instance) > age);
                if !is_older {
                    let orders = self.vault.feedback.orders.clone();
                    (hook.line, hook.due_us) = (Some(Line::open(name, age, channel, orders)), 0);
                }
            }
            Order::Answered { webhook, generation, ticket, answer } => {
                self.answered(&webhook, generation, ticket, answer).await
            }
            Order::Unread { webhook, ticket } => {
                let _ = self.hooks.get_mut(&webhook).map(|hook| hook.unread(ticket));
            }
            Order::Violated { webhook, instance, word } => self.accuse(&webhook, instance, word).await,
            Order::Hung { webhook, instance } => {
                tracing::error!(webhook, "a webhook's courier gives no answers: it is replaced");
                self.let_go(instance).await;
            }
            Order::Settled { webhook, row } => {
                if let Some(hook) = self.hooks.get_mut(&webhook) {
                    hook.settled(row);
                }
            }
            Order::Reloaded => {
                self.reload().await;
                // Whoever mended a receiver need not wait for a day.
                let again = self.vault.writer.run(move |store| store.outbox.again(now_us()));
                if let Err(error) = again.await {
                    tracing::warn!(?error, "the events that wait for webhooks wait on: reload again");
                }
            }
            Order::Status(answer) => {
                let states = self.states().await;
                let _ = answer.send(states);
            }
            Order::Test { webhook, body, answer } => self.test(&webhook, body, answer),
            Order::Retry { webhook, actor, answer } => self.retry(&webhook, actor, answer).await,
        }
    }

    async fn accuse(&self, name: &str, instance: Instance, word: &'static str) {
        tracing::error!(webhook = name, word, "a webhook's courier said what it may not; its channel was ended");
        let violation = Event { severity: 2, outcome: Outcome::Denied, ..event(Name::IpcViolation, name, Some(word)) };
        self.vault.writer.record(vec![violation]).await;
        self.let_go(instance).await;
    }

    /// It would live on without us: the parent ends and replaces it.
    async fn let_go(&self, instance: Instance) {
        if let Err(error) = self.parent.send(&Report::LetGo(instance), None).await {
            tracing::error!(instance = instance.0, %error, "the parent can't be told to replace a process");
        }
    }

    /// Takes the webhooks of the configuration; each is tried again, whatever was wrong with it.
    async fn reload(&mut self) {
        let names: Vec<String> = {
            let authority = self.vault.authority.borrow();
            let names = authority.slice.webhooks.iter().map(|webhook| webhook.name.clone());
            let names: Vec<String> = names.collect();
            for credential in authority.credentials.iter() {
                if let Some(webhook) = credential.policy.webhook.as_ref().filter(|webhook| !names.contains(webhook)) {
                    tracing::warn!(
                        credential = credential.id,
                        webhook,
                        "a credential names a webhook that there isn't"
                    );
                }
            }
            names
        };
        self.hooks.values_mut().for_each(|hook| hook.is_known = false);
        let mut resumed = Vec::new();
        for name in names {
            let hook = self.hooks.entry(name.clone()).or_default();
            hook.is_known = true;
            if hook.forget() {
                resumed.push(event(Name::WebhookResume, &name, Some("config")));
            }
        }
        self.hooks.retain(|_, hook| hook.is_known || hook.line.as_ref().is_some_and(|line| !line.is_gone()));
        if !resumed.is_empty() {
            self.vault.writer.record(resumed).await;
        }
    }

    /// Gives every webhook what it may be given.
    async fn fill(&mut self) {
        if self.vault.authority.borrow().draining {
            return;
        }
        let (now, moment) = (now_us(), Instant::now());
        // What is over is for the sweep: nobody is told what it was worth to know for a minute hours after it.
        let over_us = self.over_us().unwrap_or_default();
        for (name, hook) in &mut self.hooks {
            let room = hook.room(moment);
            if room == 0 || hook.due_us > now {
                continue;
            }
            let (own, depth) = (name.clone(), hook.depth(room));
            let found = self.vault.writer.run(move |store| {
                Ok((store.outbox.due(&own, now, over_us, depth)?, store.outbox.next_due(&own, now)?))
            });
            // No room on the disk, or the end of the store: the next second will do.
            let Ok((due, next)) = found.await else { continue };
            let is_all = due.len() < depth;
            let mut more = due.into_iter().filter(|due| !hook.has(due.row)).collect::<Vec<_>>();
            let is_all = is_all && more.len() <= room;
            more.truncate(room);
            for due in more {
                self.tickets += 1;
                hook.post(self.tickets, due);
            }
            if is_all {
                hook.due_us = next.unwrap_or(u64::MAX);
            }
        }
    }
}

/// An event of a webhook itself.
pub fn event(name: Name, webhook: &str, reason: Option<&str>) -> Event {
    let outcome = if name == Name::WebhookPause { Outcome::Failure } else { Outcome::Info };
    let data = Some(serde_json::json!({ "webhook": webhook }).to_string());
    Event { reason: reason.map(str::to_owned), data, ..Event::new(name, outcome) }
}
