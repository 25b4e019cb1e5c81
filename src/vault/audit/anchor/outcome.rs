//! What became of an attempt to anchor: in the store, in the log where that is news, and to those who wait.

use std::time::Instant;

use super::Keeper;
use crate::config::slice::Place;
use crate::ipc::admin::audit::Made;
use crate::vault::audit::event::Event;
use crate::vault::store::anchors::{Anchored, State};

impl Keeper {
    /// A mail has arrived somewhere: its success is in the store already.
    pub(super) async fn arrived(&mut self) {
        let mails = self.watches.iter().filter(|watch| matches!(watch.anchor.place, Place::Mail { .. }));
        for name in mails.map(|watch| watch.anchor.name.clone()).collect::<Vec<_>>() {
            let of = name.clone();
            let Ok(Some(last)) = self.vault.writer.run(move |store| store.anchors.last(&of)).await else { continue };
            if self.watch(&name).is_some_and(|watch| watch.last.as_ref() != Some(&last)) {
                self.kept(last).await;
            }
        }
    }

    /// A head is kept: in the store, in the log where that is news, and told to those who wait.
    pub(super) async fn kept(&mut self, anchored: Anchored) {
        let name = anchored.name.clone();
        let actor = self.waiters.iter().find(|waiter| waiter.open.contains(&name)).map(|waiter| waiter.actor.clone());
        let Some(watch) = self.watch(&name) else { return };
        let events = watch.succeed(anchored.clone(), actor.as_deref());
        let (state, size) = (watch.state.clone(), anchored.size);
        let is_witness = matches!(watch.anchor.place, Place::Witness { .. });
        let written = self.vault.writer.run(move |store| {
            store.anchors.keep(&anchored)?;
            if let Some(line) = anchored.proof.as_ref().filter(|_| is_witness) {
                store.anchors.cosign(size, line)?;
            }
            store.anchors.set_state(&anchored.name, &state)?;
            store.record(events)
        });
        if written.await.is_err() {
            tracing::error!(anchor = name, size, "a head was anchored and that could not be written down");
        }
        self.tell(&name, Made::Kept { size });
    }

    /// `news`: whether the log of the service may be told.
    pub(super) fn failed(&mut self, name: &str, reason: String, news: bool) {
        let Some(watch) = self.watch(name) else { return };
        let first = watch.fail(reason.clone(), Instant::now());
        if first && news {
            tracing::warn!(anchor = name, reason, "a head could not be anchored; it is tried again");
        }
        self.tell(name, Made::Failed { reason });
    }

    pub(super) async fn contradicted(&mut self, name: &str, holds: u64, size: u64, reason: &'static str, said: String) {
        tracing::error!(anchor = name, holds, size, said, "A WITNESS CONTRADICTS THE LOG: it was set back or forked");
        let Some(watch) = self.watch(name) else { return };
        let event = watch.contradict(holds, size, reason, said.clone());
        self.write(name, event).await;
        self.tell(name, Made::Contradicted { holds, reason: said });
    }

    pub(super) async fn check(&mut self, now_us: u64) {
        let limit = self.vault.authority.borrow().slice.audit.anchor_overdue;
        let alarms = self.watches.iter_mut().filter_map(|watch| {
            let event = watch.check(now_us, limit)?;
            Some((watch.anchor.name.clone(), watch.failed.clone(), event))
        });
        for (name, failed, event) in alarms.collect::<Vec<_>>() {
            let reason = failed.unwrap_or_else(|| "nothing came of it".to_owned());
            tracing::error!(anchor = name, reason, "no head was anchored here for too long");
            self.write(&name, event).await;
        }
    }

    /// Writes an event, and what was said of the anchor with it.
    async fn write(&mut self, name: &str, event: Event) {
        let Some(state) = self.watch(name).map(|watch| watch.state.clone()) else { return };
        let (own, known): (String, State) = (name.to_owned(), state);
        let written = self.vault.writer.run(move |store| {
            store.anchors.set_state(&own, &known)?;
            store.record(vec![event])
        });
        if written.await.is_err() {
            tracing::error!(anchor = name, "an alarm could not be written down");
        }
    }
}
