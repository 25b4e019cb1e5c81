//! What administrators ask of webhooks.

use std::collections::BTreeMap;
use std::time::Instant;

use rusqlite::Result as Sql;
use tokio::sync::oneshot;

use super::hook::Hook;
use super::{Keeper, event};
use crate::ipc::admin::webhook::State;
use crate::ipc::feedback::{Answer, Ask};
use crate::vault::audit::event::{Event, Name};
use crate::vault::audit::ledger::now_us;
use crate::vault::store::outbox::Waiting;

/// Credentials that are named for a webhook that there isn't.
const NAMED: usize = 10;

impl Keeper {
    pub(super) fn test(&mut self, name: &str, body: String, answer: oneshot::Sender<Answer>) {
        let Some(hook) = self.hooks.get_mut(name).filter(|hook| hook.is_known) else { return };
        self.tickets += 1;
        let (ticket, id) = (self.tickets, format!("evt_{}", uuid::Uuid::now_v7()));
        if hook.line.as_ref().is_some_and(|line| line.post(Ask::Post { ticket, id, body })) {
            hook.tests.insert(ticket, answer);
        }
    }

    /// Those of the configuration, and those that it doesn't have: something waits for them, or a credential names them.
    pub(super) async fn states(&self) -> Vec<State> {
        let known: Vec<String> =
            self.hooks.iter().filter(|(_, hook)| hook.is_known).map(|(name, _)| name.clone()).collect();
        let mut named = BTreeMap::<String, Vec<String>>::new();
        for credential in self.vault.authority.borrow().credentials.iter() {
            if let Some(webhook) = credential.policy.webhook.as_ref().filter(|webhook| !known.contains(webhook)) {
                named.entry(webhook.clone()).or_default().push(credential.id.clone());
            }
        }
        let all: Vec<String> = known.iter().chain(named.keys()).cloned().collect();
        let waiting = self.vault.writer.run(move |store| {
            let mut names = store.outbox.all()?;
            names.extend(all);
            names.sort_unstable();
            names.dedup();
            names.into_iter().map(|name| Ok((store.outbox.waiting(&name)?, name))).collect::<Sql<Vec<_>>>()
        });
        let (waiting, absent) = (waiting.await.unwrap_or_default(), Hook::default());
        let state = |waiting: &Waiting, name: &String| {
            let state = self.hooks.get(name).unwrap_or(&absent).state(name, waiting, Instant::now());
            let credentials = named.get(name).into_iter().flatten().take(NAMED).cloned().collect();
            State { credentials, ..state }
        };
        waiting.iter().map(|(waiting, name)| state(waiting, name)).collect()
    }

    /// What was wrong may have been mended: nothing rests any more, and what waits is due.
    pub(super) async fn retry(&mut self, name: &str, actor: String, answer: oneshot::Sender<u64>) {
        let Some(hook) = self.hooks.get_mut(name).filter(|hook| hook.is_known) else { return };
        hook.forget();
        let (own, resumed) = (name.to_owned(), event(Name::WebhookResume, name, Some("ordered")));
        let done = self.vault.writer.run(move |store| {
            store.record(vec![Event { actor: Some(actor), ..resumed }])?;
            store.outbox.again_of(&own, now_us())
        });
        match done.await {
            // Whoever asked may be gone.
            Ok(waiting) => drop(answer.send(waiting)),
            Err(error) => tracing::warn!(webhook = name, ?error, "its events wait on: nothing could be written"),
        }
    }
}
