//! Administrators who want heads anchored now, and wait for what comes of it.

use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::{Keeper, Watch, seal};
use crate::ipc::admin::audit::{Anchoring, Made};

/// How long an administrator waits for what is ordered; it goes on all the same.
const PATIENCE: Duration = Duration::from_secs(25);

/// An administrator who waits.
pub struct Waiter {
    pub actor: String,
    pub open: Vec<String>,
    pub made: Vec<Anchoring>,
    pub until: Instant,
    pub answer: oneshot::Sender<Result<Vec<Anchoring>, String>>,
}

impl Keeper {
    /// An administrator's order.
    pub(super) async fn order(
        &mut self,
        name: Option<String>,
        actor: String,
        answer: oneshot::Sender<Result<Vec<Anchoring>, String>>,
    ) {
        let wanted = |watch: &&Watch| name.as_ref().is_none_or(|name| watch.anchor.name == *name);
        let open: Vec<String> = self.watches.iter().filter(wanted).map(|watch| watch.anchor.name.clone()).collect();
        if open.is_empty() {
            let reason = match name {
                Some(name) => format!("there is no anchor {name:?} in the configuration"),
                None => "no anchor is configured: see [[anchor]] in gatepost.toml(5)".to_owned(),
            };
            let _ = answer.send(Err(reason));
            return;
        }
        let until = Instant::now() + PATIENCE;
        self.waiters.push(Waiter { actor, open: open.clone(), made: Vec::new(), until, answer });
        // The sealer knows which are its own.
        let _ = self.sealing.send(seal::Order::Anchor(name));
        for name in open {
            self.begin(&name).await;
        }
    }

    /// Tells those who wait for this anchor.
    pub(super) fn tell(&mut self, name: &str, made: Made) {
        let Some(kind) = self.watch(name).map(|watch| watch.kind().to_owned()) else { return };
        for mut waiter in std::mem::take(&mut self.waiters) {
            if let Some(at) = waiter.open.iter().position(|open| open == name) {
                waiter.open.swap_remove(at);
                waiter.made.push(Anchoring { name: name.to_owned(), kind: kind.clone(), made: made.clone() });
            }
            if waiter.open.is_empty() { self.let_go(waiter) } else { self.waiters.push(waiter) }
        }
    }

    pub(super) fn let_go(&self, mut waiter: Waiter) {
        for watch in self.watches.iter().filter(|watch| waiter.open.contains(&watch.anchor.name)) {
            let made = Made::Pending;
            waiter.made.push(Anchoring { name: watch.anchor.name.clone(), kind: watch.kind().to_owned(), made });
        }
        waiter.made.sort_by(|one, other| one.name.cmp(&other.name));
        let _ = waiter.answer.send(Ok(waiter.made));
    }
}
