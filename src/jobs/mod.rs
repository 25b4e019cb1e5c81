//! One vault's jobs, as who delivers has them: they come in, each gets a task and a feed, and each ends with one last word.
//!
//! Couriers and mailers do this alike; what a message is handed to is their own affair, behind the trait `Upstream`.

mod live;
pub mod parcel;
mod upstream;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, sleep};

use crate::ipc::channel::{Gone, Receiver, Sender};
use crate::ipc::delivery::{Heard, Job, MAX_LINES, Offer, Progress};
use crate::ipc::waits;
use crate::mail::address::ReversePath;
use crate::mail::envelope::{Addressee, Manner};
use crate::mail::id::MessageId;
use crate::mail::outcome::Outcome;
use crate::secret::Secret;

use parcel::{Content, Credit, Feed, Parcel, Teller, Verdict};
pub use upstream::Upstream;

/// Draining, jobs are taken for this long after the last one ended: the vault may have offered them before it heard of it.
const GRACE: Duration = Duration::from_millis(500);

/// A job at hand.
#[derive(Debug)]
struct Desk {
    message: MessageId,
    /// Until all recipients are there. A live message's come one by one, and its task is there before them.
    envelope: Option<Envelope>,
    credit: Credit,
    /// Kept until the job ends: its end tells the task that the vault is gone.
    feed: mpsc::UnboundedSender<Feed>,
    /// Of a live message: when its task must have ended, once that is known.
    until: watch::Sender<Option<Instant>>,
}

/// What a task needs to begin.
#[derive(Debug)]
struct Envelope {
    sender: ReversePath,
    manner: Manner,
    size: Option<u64>,
    /// As many as the vault has announced.
    expected: usize,
    recipients: Vec<(u32, Addressee)>,
    content: Content,
    key: Option<Secret<String>>,
    until: watch::Receiver<Option<Instant>>,
}

/// One vault's jobs.
pub struct Jobs<U> {
    vault: Sender<Progress>,
    upstream: Arc<U>,
    desks: HashMap<Job, Desk>,
    tasks: JoinSet<Verdict>,
    task_of: HashMap<Id, Job>,
    rehearsals: JoinSet<()>,
    /// The vault said what it can't have meant.
    is_astray: bool,
}

impl<U: Upstream> Jobs<U> {
    pub fn new(vault: Sender<Progress>, upstream: Arc<U>) -> Self {
        let (tasks, rehearsals) = (JoinSet::new(), JoinSet::new());
        let (desks, task_of, is_astray) = (HashMap::new(), HashMap::new(), false);
        Self { vault, upstream, desks, tasks, task_of, rehearsals, is_astray }
    }

    /// Serves the channel until the vault is gone, says something impossible, or, draining, until nothing is at hand. Jobs
    /// that are left then are abandoned: what has not seen its dot never sees it.
    ///
    /// Errors: it said something impossible. Nothing would come from it any more, so the process is to be replaced.
    pub async fn serve(mut self, mut offers: Receiver<Offer>, mut drain: watch::Receiver<bool>) -> Result<(), String> {
        let slots = if *drain.borrow_and_update() { 0 } else { self.upstream.slots() };
        let mut alive = self.vault.send(Progress::Slots(slots)).await;
        while alive.is_ok() {
            let idle_and_draining = *drain.borrow() && self.desks.is_empty();
            alive = tokio::select! {
                offer = offers.receive() => match offer {
                    Ok(Some(offer)) => self.take(offer).await,
                    Ok(None) => Err(Gone),
                    Err(error) => {
                        tracing::error!(%error, "the vault's channel can't be read");
                        Err(Gone)
                    }
                },
                Some(done) = self.tasks.join_next_with_id(), if !self.tasks.is_empty() => self.end(done).await,
                Some(_) = self.rehearsals.join_next(), if !self.rehearsals.is_empty() => Ok(()),
                changed = drain.changed() => match changed {
                    Ok(()) => self.vault.send(Progress::Slots(0)).await,
                    Err(_) => Err(Gone),
                },
                () = sleep(GRACE), if idle_and_draining => Err(Gone),
            };
        }
        // Without their feeds the tasks stop before the dot; those past it are let finish, for their log line.
        self.desks.clear();
        self.tasks.detach_all();
        match self.is_astray {
            true => Err("the vault said something impossible".to_owned()),
            false => Ok(()),
        }
    }

    async fn take(&mut self, offer: Offer) -> Result<(), Gone> {
        match offer {
            Offer::Message { job, message, sender, manner, size, recipients } => {
                let expected = usize::try_from(recipients).unwrap_or(usize::MAX);
                self.open(job, message, (sender, manner), Some(size), Some(expected), None)?;
                self.begin(job);
            }
            Offer::Live { job, message, sender, manner, size, key } => {
                self.open(job, message, (sender, manner), size, None, key)?;
                self.begin(job);
            }
            Offer::Recipients { job, batch } => {
                let Some(desk) = self.desks.get_mut(&job) else { return Ok(()) };
                let Some(envelope) = &mut desk.envelope else {
                    desk.hand(Feed::Recipients(batch));
                    return Ok(());
                };
                envelope.recipients.extend(batch);
                if envelope.recipients.len() > envelope.expected {
                    return Err(self.impossible("more recipients than announced"));
                }
                self.begin(job);
            }
            Offer::Content { job, octets } => {
                // A job that has ended may still have content under way.
                let Some(desk) = self.desks.get(&job) else { return Ok(()) };
                if !desk.credit.spend(octets.0.len()) {
                    return Err(self.impossible("more content than asked for"));
                }
                desk.hand(Feed::Content(octets));
            }
            Offer::End { job, turn } => {
                if let Some(desk) = self.desks.get(&job) {
                    desk.hand(Feed::End(turn));
                    desk.ends_within(waits::END);
                }
            }
            Offer::Withdraw { job } => {
                let Some(desk) = self.desks.get(&job) else { return Ok(()) };
                desk.hand(Feed::Withdraw);
                desk.ends_within(waits::LEAVING);
                if desk.envelope.is_some() {
                    // Its recipients never came, and so it has no task that could see this.
                    self.desks.remove(&job);
                    return self.vault.send(Progress::GivenUp { job }).await;
                }
            }
            Offer::Rehearse { job, senders } => self.rehearse(job, senders),
            Offer::Verify { job, key } => {
                let (vault, upstream) = (self.vault.clone(), Arc::clone(&self.upstream));
                self.rehearsals.spawn(async move {
                    let verified = upstream.verify(&key).await;
                    // A vault that is gone shows where its words are read.
                    let _ = vault.send(Progress::Verified { job, verified }).await;
                });
            }
        }
        Ok(())
    }

    /// A desk for a job. Without a number of recipients it is a live one's.
    fn open(
        &mut self,
        job: Job,
        message: MessageId,
        (sender, manner): (ReversePath, Manner),
        size: Option<u64>,
        expected: Option<usize>,
        key: Option<Secret<String>>,
    ) -> Result<(), Gone> {
        // Twice the slots, because a job that the vault took back may still be ending.
        if self.desks.len() >= 2 * usize::from(self.upstream.slots()) || self.desks.contains_key(&job) {
            return Err(self.impossible("more jobs than slots, or one twice"));
        }
        let (feed, feeding) = mpsc::unbounded_channel();
        let credit = Credit::default();
        let octets = size.filter(|_| expected.is_some());
        let content = Content::new(job, octets, self.vault.clone(), feeding, credit.clone());
        let recipients = Vec::new();
        let ((until, ends), expected) = (watch::channel(None), expected.unwrap_or(0));
        let envelope = Envelope { sender, manner, size, expected, recipients, content, key, until: ends };
        self.desks.insert(job, Desk { message, envelope: Some(envelope), credit, feed, until });
        Ok(())
    }

    /// Lines go to the vault as they come. It ends with the channel, or when it has more to say than the vault takes.
    fn rehearse(&mut self, job: Job, senders: Vec<ReversePath>) {
        let (vault, upstream) = (self.vault.clone(), Arc::clone(&self.upstream));
        self.rehearsals.spawn(async move {
            let (lines, mut said) = mpsc::unbounded_channel();
            let rehearsing = async move { upstream.rehearse(&senders, &lines).await };
            let telling = async {
                let mut left = MAX_LINES;
                while let Some(line) = said.recv().await {
                    if left > 0 && vault.send(Progress::Rehearsal { job, heard: Heard::Line(line) }).await.is_err() {
                        return;
                    }
                    left = left.saturating_sub(1);
                }
            };
            let (passed, ()) = tokio::join!(rehearsing, telling);
            // A vault that is gone shows where its words are read.
            let _ = vault.send(Progress::Rehearsal { job, heard: Heard::End(passed) }).await;
        });
    }

    /// Starts the job's task when its envelope is complete.
    fn begin(&mut self, job: Job) {
        let Some(desk) = self.desks.get_mut(&job) else { return };
        let is_complete = |envelope: &mut Envelope| envelope.recipients.len() >= envelope.expected;
        let Some(envelope) = desk.envelope.take_if(is_complete) else { return };
        let Envelope { sender, manner, size, recipients, content, key, until, .. } = envelope;
        let (message, teller) = (desk.message, Teller::new(job, self.vault.clone()));
        let mut parcel = Parcel { message, sender, manner, size, recipients, content, teller, key };
        let upstream = Arc::clone(&self.upstream);
        let task = self.tasks.spawn(async move {
            let is_live = parcel.content.is_live();
            if parcel.recipients.is_empty() && !is_live {
                return Verdict::Settled(Vec::new());
            }
            parcel.content.begin().await;
            let verdict = match is_live {
                true => live::deliver(&*upstream, &mut parcel, until).await,
                false => upstream.deliver(&mut parcel).await,
            };
            record(&parcel, &verdict);
            verdict
        });
        self.task_of.insert(task.id(), job);
    }

    /// The vault is more trusted than we are: what it can't have meant is a bug, and its channel is finished.
    fn impossible(&mut self, what: &str) -> Gone {
        tracing::error!(what, "the vault said something impossible; its channel is ended");
        self.is_astray = true;
        Gone
    }

    /// Tells the vault how a job ended.
    async fn end(&mut self, done: Result<(Id, Verdict), JoinError>) -> Result<(), Gone> {
        let (id, verdict) = match done {
            Ok((id, verdict)) => (id, Some(verdict)),
            Err(error) => (error.id(), None),
        };
        let Some(job) = self.task_of.remove(&id) else { return Ok(()) };
        let Some(desk) = self.desks.remove(&job) else { return Ok(()) };
        // The task panicked, and nobody knows how far it came.
        let Some(verdict) = verdict else {
            tracing::error!(message = %desk.message, "a delivery fell; its outcome is unknown");
            return self.vault.send(Progress::Fell { job }).await;
        };
        match verdict {
            Verdict::Settled(outcomes) => {
                for (number, outcome) in outcomes {
                    self.vault.send(Progress::Recipient { job, number, outcome }).await?;
                }
                self.vault.send(Progress::Settled { job }).await
            }
            Verdict::RouteFailed { reason, rest } => self.vault.send(Progress::RouteFailed { job, reason, rest }).await,
            Verdict::LoginRefused(reason) => self.vault.send(Progress::LoginRefused { job, reason }).await,
            Verdict::BrokenOff { heard, said } => {
                for (number, outcome) in heard {
                    self.vault.send(Progress::Recipient { job, number, outcome }).await?;
                }
                self.vault.send(Progress::BrokenOff { job, said }).await
            }
            Verdict::Withdrawn => self.vault.send(Progress::GivenUp { job }).await,
        }
    }
}

impl Desk {
    fn hand(&self, feed: Feed) {
        // A task that has ended needs no more.
        let _ = self.feed.send(feed);
    }

    fn ends_within(&self, wait: Duration) {
        self.until.send_replace(Some(Instant::now() + wait));
    }
}

fn record(parcel: &Parcel, verdict: &Verdict) {
    let message = parcel.message;
    match verdict {
        Verdict::Settled(outcomes) => {
            let all = || parcel.teller.told().iter().chain(outcomes.iter().map(|(_, outcome)| outcome));
            let count = |wanted: fn(&Outcome) -> bool| all().filter(|outcome| wanted(outcome)).count();
            let said = all().next().map(Outcome::said);
            tracing::info!(
                %message,
                delivered = count(|outcome| matches!(outcome, Outcome::Delivered(_))),
                deferred = count(|outcome| matches!(outcome, Outcome::Deferred(_))),
                failed = count(|outcome| matches!(outcome, Outcome::Failed(_) | Outcome::Unsendable(_))),
                unknown = count(|outcome| matches!(outcome, Outcome::Unknown(_))),
                host = said.map(|said| said.host.as_str()),
                tls = said.and_then(|said| said.tls.as_deref()),
                "attempt settled"
            );
        }
        Verdict::BrokenOff { said, .. } => {
            tracing::warn!(%message, reason = said.text, "the upstream did not take this message to its end");
        }
        Verdict::LoginRefused(reason) => tracing::warn!(%message, reason, "login refused"),
        Verdict::RouteFailed { reason, .. } => tracing::warn!(%message, reason, "route failed"),
        Verdict::Withdrawn if parcel.content.is_live() => tracing::debug!(%message, "its sender gave it up"),
        Verdict::Withdrawn => {
            let told = parcel.teller.told().len();
            tracing::warn!(%message, told, "the vault took it back or fell silent before its end; nothing was delivered to those who were not told of");
        }
    }
}
