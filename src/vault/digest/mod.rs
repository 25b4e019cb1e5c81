//! The digest: what a day was like, by mail at an hour of the next one. It is counted from the auditors' files by a thread of its own, in
//! pages between which nothing is locked: neither mail nor the log waits for it.

pub mod counts;
pub mod sheet;
pub mod standing;

use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval};

use crate::config::slice::Alerts;
use crate::vault::Vault;
use crate::vault::alerts::{letter, tell};
use crate::vault::audit::ledger::now_us;
use crate::vault::audit::month;
use crate::vault::own_mail;
use counts::Counts;

/// There is one at a time.
const QUEUE: usize = 1;
/// The last events of a day are in the auditors' files by then.
const SETTLED: u32 = 300;
/// After a failure it is tried again soon, as there are no auditors' files in the first moments of a first start, and then ever more
/// seldom. So often it is asked for whether the last one was sent.
const SOON: Duration = Duration::from_secs(5);
const AGAIN: Duration = Duration::from_secs(600);

struct Job {
    day: i64,
    done: oneshot::Sender<Result<Counts, String>>,
}

/// The way to the thread.
#[derive(Clone)]
pub struct Counter(mpsc::Sender<Job>);

impl Counter {
    /// For the files under a state directory. Before the sandbox is sealed: there are no threads later.
    pub fn start(home: PathBuf) -> Result<Self, String> {
        let (queue, mut jobs) = mpsc::channel::<Job>(QUEUE);
        std::thread::Builder::new()
            .name("digest".into())
            .spawn(move || {
                let path = home.join("audit");
                while let Some(Job { day, done }) = jobs.blocking_recv() {
                    let _ = done.send(counts::count(&path, day));
                }
            })
            .map_err(|error| format!("the thread for digests can't be made: {error}"))?;
        Ok(Self(queue))
    }

    async fn count(&self, day: i64) -> Result<Counts, String> {
        let (done, answer) = oneshot::channel();
        let ended = || "the thread for digests has ended".to_owned();
        self.0.send(Job { day, done }).await.map_err(|_| ended())?;
        answer.await.map_err(|_| ended())?
    }
}

/// Runs as long as there is a vault. A day may take minutes to be counted: nobody else waits for that.
pub async fn run(vault: Rc<Vault>) {
    let mut ticks = interval(SOON);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut turn = Turn::default();
    loop {
        ticks.tick().await;
        let alerts = vault.authority.borrow().slice.alerts.clone();
        if let Some(alerts) = alerts {
            turn.look(&vault, &alerts, now_us(), Instant::now()).await;
        }
    }
}

/// When it is tried again, and how long is waited after a failure.
#[derive(Debug, Default)]
struct Turn {
    again: Option<Instant>,
    wait: Duration,
}

impl Turn {
    /// Sends the digest of the day before, when it is time and that was not done.
    async fn look(&mut self, vault: &Rc<Vault>, alerts: &Alerts, now_us: u64, now: Instant) {
        let Some(day) = due(alerts.digest, now_us) else { return };
        if self.again.is_some_and(|again| now < again) {
            return;
        }
        // Not to be asked for at each look, when it was sent.
        self.again = Some(now + AGAIN);
        // Another one is of a clock that was wrong.
        match vault.writer.run(|store| store.alerts.digested()).await {
            Ok(Some(known)) if known == day => return,
            Ok(_) => {}
            Err(_) => return,
        }
        match send(vault, alerts, day, now_us).await {
            Ok(()) => {
                self.wait = Duration::ZERO;
                tracing::info!(day = sheet::day(day), "the digest of a day is on its way");
            }
            Err(reason) => {
                self.wait = (2 * self.wait).clamp(SOON, AGAIN);
                self.again = Some(now + self.wait);
                tracing::error!(day = sheet::day(day), reason, "the digest of a day can't be sent; it is tried again");
            }
        }
    }
}

/// The day whose digest should have been sent by then.
fn due(hour: Option<u32>, now_us: u64) -> Option<i64> {
    let (today, left) = month::today(now_us);
    let passed = 86_400u32.saturating_sub(left);
    (passed >= (hour? * 3600).max(SETTLED)).then_some(today.saturating_sub(1))
}

async fn send(vault: &Rc<Vault>, alerts: &Alerts, day: i64, now_us: u64) -> Result<(), String> {
    let counts = vault.counter.count(day).await?;
    let standing = standing::look(vault, now_us).await?;
    let lines = sheet::lines(&counts, Some(&standing), now_us);
    let text: String = lines.iter().map(|line| letter::plain(line, letter::LINE) + "\n").collect();
    let subject =
        format!("[gatepost] {}: digest of {}", letter::plain(&standing.hostname, letter::SUBJECT), sheet::day(day));
    let mail = tell::mail(vault, alerts, &subject, &(text + letter::FOOT), json!({ "digest": sheet::day(day) }))?;
    own_mail::send(vault, mail, move |store| store.alerts.set_digested(day)).await
}

#[cfg(test)]
mod tests;
