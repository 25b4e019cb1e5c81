//! What is made of the answers to posted events: taken, tried again, given up, or a rest for their webhook.

use std::rc::Rc;
use std::time::Instant;

use rusqlite::Result as Sql;

use super::hook::Pause;
use super::verdict::{Verdict, judge, next_us};
use super::{Keeper, Order, dropped, event};
use crate::ipc::feedback::Answer;
use crate::ipc::figures::metric::Metric;
use crate::role::Generation;
use crate::vault::audit::event::Name;
use crate::vault::audit::ledger::now_us;
use crate::vault::delivery::schedule::{persist, plain};
use crate::vault::store::Store;
use crate::vault::store::outbox::Due;

/// What is said of an event whose courier ended over it.
const FELL: &str = "its courier ended";

impl Keeper {
    pub(super) async fn answered(&mut self, name: &str, generation: Generation, ticket: u64, answer: Option<Answer>) {
        let Some(hook) = self.hooks.get_mut(name) else { return };
        if let Some(test) = hook.tests.remove(&ticket) {
            if let Some(answer) = answer {
                let _ = test.send(answer);
            }
            return;
        }
        let Some(due) = hook.answered(ticket) else { return };
        hook.due_us = 0;
        let is_replaced = hook.line.as_ref().is_some_and(|line| line.generation > generation);
        let is_ended = is_replaced || self.vault.authority.borrow().draining;
        let verdict = match answer.map(judge) {
            // It is posted again as it was: nobody fell, or what says so is of before a reload.
            None if is_ended => return,
            Some(Verdict::Gone) if is_replaced => return,
            // Its courier fell, maybe over it: without a wait it would be the first that the next one is given.
            None => Verdict::Refused(FELL.to_owned()),
            Some(verdict) => verdict,
        };
        self.vault.writer.tally().add(Metric::WebhookDeliveries, [verdict.word(), ""], 1);
        match verdict {
            Verdict::Taken => {
                if hook.took() {
                    tracing::info!(webhook = name, "a webhook takes events again");
                    self.vault.writer.record(vec![event(Name::WebhookResume, name, None)]).await;
                }
                self.settle(name, due.row, move |store| store.outbox.taken(due.row));
            }
            Verdict::Gone => {
                let is_news = !std::mem::replace(&mut hook.is_gone, true);
                if is_news {
                    tracing::error!(
                        webhook = name,
                        "a webhook's receiver wants no events (410): it is told none until a reload"
                    );
                    self.vault.writer.record(vec![event(Name::WebhookPause, name, Some("gone"))]).await;
                }
            }
            Verdict::Refused(reason) => {
                let reason = plain(&reason);
                let pause = hook.refused(&reason, Instant::now());
                self.put_off(name, &due, &reason);
                self.tell(name, pause, reason).await;
            }
            Verdict::Away(reason, asked) => {
                let reason = plain(&reason);
                let pause = hook.failed(&reason, asked, Instant::now());
                if due.expires_us <= now_us() {
                    self.give_up(name, due.row);
                }
                self.tell(name, pause, reason).await;
            }
        }
    }

    /// It is tried again, the last time shortly before its time is over, which it may be: an attempt was just made.
    fn put_off(&mut self, name: &str, due: &Due, reason: &str) {
        let (row, now) = (due.row, now_us());
        if due.expires_us <= now {
            return self.give_up(name, row);
        }
        let next_us = next_us(now, due.attempts, due.expires_us);
        let (id, seconds) = (due.id, (next_us - now) / 1_000_000);
        tracing::info!(webhook = name, %id, reason, seconds, "a webhook did not take an event; it is tried again");
        self.settle(name, row, move |store| store.outbox.put_off(row, next_us));
    }

    fn give_up(&mut self, name: &str, row: i64) {
        self.settle(name, row, move |store| match store.outbox.give_up(row)? {
            Some(lost) => store.record(dropped::events(&[lost], "lifetime")),
            None => Ok(()),
        });
    }

    /// Writes down what became of an event; until then nobody else is given it.
    fn settle(&mut self, name: &str, row: i64, work: impl FnOnce(&mut Store<'_>) -> Sql<()> + Clone + Send + 'static) {
        if let Some(hook) = self.hooks.get_mut(name) {
            hook.settle(row);
        }
        let (vault, webhook) = (Rc::clone(&self.vault), name.to_owned());
        self.vault.finish(async move {
            persist(&vault, work).await;
            let _ = vault.feedback.orders.send(Order::Settled { webhook, row });
        });
    }

    /// A webhook begins to rest, if it does; the log is told of the first rest alone.
    async fn tell(&self, name: &str, pause: Option<Pause>, reason: String) {
        let Some(Pause { time, is_first }) = pause else { return };
        let seconds = time.as_secs();
        if !is_first {
            return tracing::info!(webhook = name, reason, seconds, "a webhook still takes no events");
        }
        tracing::warn!(webhook = name, reason, seconds, "a webhook takes no events for now; they wait");
        self.vault.writer.record(vec![event(Name::WebhookPause, name, Some("failed"))]).await;
    }
}
