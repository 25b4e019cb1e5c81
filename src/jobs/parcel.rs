//! One job as an upstream of any kind sees it: an envelope, content that arrives by credit, and the verdict to give.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TryRecvError;
use tokio::time::{Instant, timeout};

use crate::ipc::bytes::Octets;
use crate::ipc::channel::Sender;
use crate::ipc::delivery::{Job, Progress};
use crate::mail::address::ReversePath;
use crate::mail::envelope::{Addressee, Manner};
use crate::mail::id::MessageId;
use crate::mail::outcome::{Outcome, Said};
use crate::secret::Secret;

/// Content under way to us at most: enough to keep a fast upstream busy over the vault's turns, and what a whole
/// ordinary message needs. Twice this is a slot's memory.
pub const WINDOW: u32 = 128 * 1024;
/// The vault reads from a local disk; one that says nothing for this long is as good as gone.
const VAULT: Duration = Duration::from_secs(120);
/// The same for the sender of a live message, whom the vault ends long before.
const SENDER: Duration = Duration::from_secs(600);
/// Who has an upstream wait for so long may have it leave for that.
const DAWDLED: Duration = Duration::from_secs(if cfg!(test) { 1 } else { 10 });

/// A message for an upstream.
#[derive(Debug)]
pub struct Parcel {
    pub message: MessageId,
    pub sender: ReversePath,
    pub manner: Manner,
    /// Octets of the content, dots not stuffed; of a live message what its sender said of them, if it did.
    pub size: Option<u64>,
    /// Numbered as the vault numbers them. Of a live message, those who were not refused so far.
    pub recipients: Vec<(u32, Addressee)>,
    pub content: Content,
    pub teller: Teller,
    /// Of a live message: the provider's key that it goes with instead of ours.
    pub key: Option<Secret<String>>,
}

/// How a job ended.
#[derive(Debug)]
pub enum Verdict {
    /// Each recipient has its outcome, here or told before.
    Settled(Vec<(u32, Outcome)>),
    /// No host would let us in: the route's failure, not that of those who have no outcome. `rest`: it asked to be left alone for so long.
    RouteFailed { reason: String, rest: Option<Duration> },
    /// The same, because our login was refused wherever somebody was reached.
    LoginRefused(String),
    /// Hosts let us in and heard of the message, and then the session ended. `heard` have their outcome; the others are put off by this.
    BrokenOff { heard: Vec<(u32, Outcome)>, said: Said },
    /// The vault took it back or fell silent: whoever has no outcome doesn't have it.
    Withdrawn,
}

/// Tells the vault what became of recipients as soon as it is known, so that nobody who has the message gets it again, however the
/// job ends.
#[derive(Debug)]
pub struct Teller {
    job: Job,
    vault: Sender<Progress>,
    told: Vec<Outcome>,
    /// Recipients of a live message that it was told of as accepted.
    accepted: usize,
}

impl Teller {
    pub fn new(job: Job, vault: Sender<Progress>) -> Self {
        Self { job, vault, told: Vec::new(), accepted: 0 }
    }

    /// Mail for that recipient of a live message is taken: by the upstream, if it is an answer.
    pub async fn accept(&mut self, number: u32, is_answer: bool) {
        self.accepted += 1;
        // A vault that is gone shows where its words are read.
        let _ = self.vault.send(Progress::Accepted { job: self.job, number, is_answer }).await;
    }

    /// Whether anything was told of anybody: it can't be told otherwise any more.
    pub fn has_spoken(&self) -> bool {
        self.accepted > 0 || !self.told.is_empty()
    }

    pub async fn tell(&mut self, outcomes: Vec<(u32, Outcome)>) {
        for (number, outcome) in outcomes {
            self.told.push(outcome.clone());
            // A vault that is gone shows where its words are read.
            let _ = self.vault.send(Progress::Recipient { job: self.job, number, outcome }).await;
        }
    }

    /// What was told.
    pub fn told(&self) -> &[Outcome] {
        &self.told
    }
}

/// What comes from the vault for one job after its envelope.
#[derive(Debug)]
pub enum Feed {
    /// Of a live message.
    Recipients(Vec<(u32, Addressee)>),
    Content(Octets),
    /// By its number.
    End(u32),
    Withdraw,
}

/// What comes next of a live message.
#[derive(Debug)]
pub enum Step {
    Recipients(Vec<(u32, Addressee)>),
    /// The content begins, or is at its end.
    Content,
}

/// The vault will not send the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Withdrawn;

/// Octets that the vault may still send for one job, shared by who asks and who counts what arrives.
#[derive(Debug, Clone, Default)]
pub struct Credit(Arc<AtomicU64>);

impl Credit {
    fn grant(&self, octets: u32) {
        self.0.fetch_add(octets.into(), Ordering::Relaxed);
    }

    /// False when the vault sent more than it was asked for.
    pub fn spend(&self, octets: usize) -> bool {
        let octets = u64::try_from(octets).unwrap_or(u64::MAX);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(octets)).is_ok()
    }
}

/// A message's content, fetched from the vault as it is used up. As long as it fits the window, what was taken is kept, so
/// that another host can be tried with it.
#[derive(Debug)]
pub struct Content {
    job: Job,
    vault: Sender<Progress>,
    feed: mpsc::UnboundedReceiver<Feed>,
    credit: Credit,
    /// Octets of all of it, and those that came. None of a live message, whose end is when the vault says so.
    size: Option<u64>,
    came: u64,
    /// Of a live message, what came before it was its turn; and that its end has come.
    ahead: Option<Feed>,
    is_whole: bool,
    /// The same, and that its last octets may have gone out; and for how long its sender was waited for.
    has_gone: bool,
    waited: Duration,
    /// Taken since the vault was last asked for more.
    used: u32,
    /// Who may have the message by what was said last, the number of that, and of the last that was answered. None while it is not
    /// known whether it was said.
    suspects: Option<Vec<u32>>,
    turn: u32,
    answered: u32,
    kept: Option<Vec<Arc<Octets>>>,
    kept_octets: usize,
    at: usize,
}

impl Content {
    pub fn new(
        job: Job,
        size: Option<u64>,
        vault: Sender<Progress>,
        feed: mpsc::UnboundedReceiver<Feed>,
        credit: Credit,
    ) -> Self {
        let (suspects, turn, answered) = (Some(Vec::new()), 0, 0);
        // Of a live message nothing can be tried again.
        let (kept, kept_octets, at) = (size.is_some().then(Vec::new), 0, 0);
        let (came, ahead, is_whole, used) = (0, None, false, 0);
        let (has_gone, waited) = (false, Duration::ZERO);
        Self {
            job,
            vault,
            feed,
            credit,
            size,
            came,
            ahead,
            is_whole,
            has_gone,
            waited,
            used,
            suspects,
            turn,
            answered,
            kept,
            kept_octets,
            at,
        }
    }

    /// Asks for the first window, so that it arrives while the upstream is still answering the envelope.
    pub async fn begin(&self) {
        self.want(WINDOW).await;
    }

    /// Whether it is still coming from its sender.
    pub const fn is_live(&self) -> bool {
        self.size.is_none()
    }

    /// The next octets; none at the end.
    pub async fn next(&mut self) -> Result<Option<Arc<Octets>>, Withdrawn> {
        if let Some(kept) = self.kept.as_ref().and_then(|kept| kept.get(self.at)) {
            self.at += 1;
            return Ok(Some(Arc::clone(kept)));
        }
        if self.is_whole || self.size.is_some_and(|size| self.came >= size) {
            return Ok(None);
        }
        match self.feed().await {
            Some(Feed::Content(octets)) => {
                self.came = self.came.saturating_add(u64::try_from(octets.0.len()).unwrap_or(u64::MAX));
                self.used = self.used.saturating_add(u32::try_from(octets.0.len()).unwrap_or(u32::MAX));
                if self.used >= WINDOW / 2 {
                    let used = std::mem::take(&mut self.used);
                    self.want(used).await;
                }
                Ok(Some(self.keep(octets)))
            }
            Some(Feed::End(_)) if self.size.is_none() => {
                self.is_whole = true;
                Ok(None)
            }
            // An end comes behind all content.
            Some(Feed::End(_) | Feed::Withdraw | Feed::Recipients(_)) | None => Err(Withdrawn),
        }
    }

    /// The next from the vault; none when it is gone or says nothing for too long.
    async fn feed(&mut self) -> Option<Feed> {
        if let Some(feed) = self.ahead.take() {
            return Some(feed);
        }
        let (limit, begun) = (if self.size.is_some() { VAULT } else { SENDER }, Instant::now());
        let feed = timeout(limit, self.feed.recv()).await.ok().flatten();
        self.waited = self.waited.saturating_add(begun.elapsed());
        feed
    }

    /// Whether its sender had the upstream wait: one that leaves then is not to blame.
    pub fn has_dawdled(&self) -> bool {
        self.is_live() && self.waited >= DAWDLED
    }

    /// Whether a live message may have been ended.
    pub const fn has_gone(&self) -> bool {
        self.has_gone
    }

    /// What the sender of a live message does next.
    pub async fn step(&mut self) -> Result<Step, Withdrawn> {
        match self.feed().await {
            Some(Feed::Recipients(mut all)) => {
                // Those who have come meanwhile go out with them.
                while self.ahead.is_none() {
                    match self.feed.try_recv() {
                        Ok(Feed::Recipients(more)) => all.extend(more),
                        Ok(other) => self.ahead = Some(other),
                        Err(_) => break,
                    }
                }
                Ok(Step::Recipients(all))
            }
            Some(Feed::Withdraw) | None => Err(Withdrawn),
            Some(content) => {
                self.ahead = Some(content);
                Ok(Step::Content)
            }
        }
    }

    /// Says that these, by their numbers, may have the message soon. Said a while before `may_end`, nobody has to wait there.
    pub async fn ending(&mut self, suspects: Vec<u32>) {
        if self.suspects.as_ref() == Some(&suspects) || self.size.is_none() {
            return;
        }
        self.suspects = None;
        self.turn = self.turn.wrapping_add(1);
        let numbers = suspects.clone();
        // A vault that is gone shows at the next read of the feed.
        let _ = self.vault.send(Progress::Ending { job: self.job, turn: self.turn, numbers }).await;
        self.suspects = Some(suspects);
    }

    /// Whether the message may be ended now for these: the vault knows that they may have it, waits for what becomes of them and has
    /// not taken it back. Of a live message it knows when it says that it is whole. After the dot it is too late, and a vault that forgot the job would send the message again.
    pub async fn may_end(&mut self, suspects: Vec<u32>) -> bool {
        if self.size.is_none() {
            self.has_gone = self.is_whole && matches!(self.feed.try_recv(), Err(TryRecvError::Empty));
            return self.has_gone;
        }
        self.ending(suspects).await;
        while self.answered != self.turn {
            match timeout(VAULT, self.feed.recv()).await {
                Ok(Some(Feed::End(turn))) => self.answered = turn,
                Ok(Some(Feed::Content(_) | Feed::Recipients(_) | Feed::Withdraw) | None) | Err(_) => return false,
            }
        }
        matches!(self.feed.try_recv(), Err(TryRecvError::Empty))
    }

    /// Nothing that was sent can be acted on any more: nobody who has no outcome has the message.
    pub async fn not_ended(&mut self) {
        self.ending(Vec::new()).await;
    }

    /// The same, and back to the first octet, for another host; false when that is no longer at hand.
    pub async fn rewind(&mut self) -> bool {
        self.not_ended().await;
        self.at = 0;
        self.kept.is_some()
    }

    fn keep(&mut self, octets: Octets) -> Arc<Octets> {
        let octets = Arc::new(octets);
        self.kept_octets = self.kept_octets.saturating_add(octets.0.len());
        if u32::try_from(self.kept_octets).is_ok_and(|kept| kept <= WINDOW) {
            if let Some(kept) = &mut self.kept {
                kept.push(Arc::clone(&octets));
                self.at += 1;
            }
        } else {
            self.kept = None;
        }
        octets
    }

    async fn want(&self, octets: u32) {
        self.credit.grant(octets);
        // A vault that is gone shows at the next read of the feed.
        let _ = self.vault.send(Progress::Want { job: self.job, octets }).await;
    }
}
