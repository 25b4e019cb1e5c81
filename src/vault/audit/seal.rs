//! Sealing: every second, when there is news, the sealer is shown the new head and its note is stored.
//!
//! The order is COMMIT, seal, store the note: a head that was signed before its leaves were on the disk could outlive them
//! and would look like tampering. A refusal stops nothing but the sealing.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Interval, MissedTickBehavior, interval, timeout};

use super::anchor;
use super::event::{Event, Name, Outcome};
use super::ledger::{Head, Note, now_us};
use super::resume::{self, Declared, Standing, Wish};
use crate::config::slice::{Anchor, Place};
use crate::ipc::channel::{Receiver, Sender};
use crate::ipc::sealing::{Answer, Ask};
use crate::vault::Vault;
use crate::vault::audit::publish::Publisher;
use crate::vault::delivery::schedule;

const EVERY: Duration = Duration::from_secs(1);
/// A log in which nothing happens says so this often, so that a truncated one can't pass for a quiet one.
pub const HEARTBEAT: Duration = Duration::from_secs(300);
/// How long the sealer may take: two syncs on a poor disk.
const PATIENCE: Duration = Duration::from_secs(5);
/// After a refusal it is tried again this often.
const AGAIN: Duration = Duration::from_secs(60);

/// Characters of the sealer's own words in an event.
const SAID: usize = 400;

pub type Channel = (Sender<Ask>, Receiver<Answer>);

/// What others may ask of the sealing.
pub enum Order {
    /// A sealer, or its successor.
    Peer(Channel),
    /// Seal what is on the disk now; the answer comes when it was tried.
    Now(oneshot::Sender<()>),
    /// The sealer is to anchor its last head, at all anchors of its own or at that one.
    Anchor(Option<String>),
    /// Declare a gap and go on; the answer is what was declared, or why there is nothing to.
    Resume(Wish, oneshot::Sender<Result<Declared, String>>),
}

/// When the sealer answered last, which the watchdog wants to know; and whether it signs what it is shown.
#[derive(Default)]
pub struct Pulse {
    answered: Cell<Option<Instant>>,
    refuses: Cell<bool>,
}

impl Pulse {
    /// Whether it answered within that time.
    pub fn beats(&self, within: Duration) -> bool {
        self.answered.get().is_some_and(|at| at.elapsed() < within)
    }

    /// Whether it has refused the newest head that it was shown, or has lost what it signed.
    pub fn refuses(&self) -> bool {
        self.refuses.get()
    }
}

struct Sealing {
    vault: Rc<Vault>,
    publisher: Publisher,
    pulse: Rc<Pulse>,
    anchors: mpsc::UnboundedSender<anchor::Order>,
    channel: Option<Channel>,
    /// The sealer's own last head, as far as it said.
    sealed: u64,
    refused: Option<Instant>,
    told: bool,
    /// It did not answer in time: that answer may still come and must not be taken for the next one's.
    owed: bool,
}

/// Why sealing did not get on.
enum Stuck {
    /// The sealer is gone: wait for its successor.
    Gone,
    /// It did not answer in time. It may be slow, or stopped, and go on later.
    Silent,
    /// The vault's own store can't be read now: the next second may do.
    Later,
    Refused(String),
}

pub async fn run(
    vault: Rc<Vault>,
    publisher: Publisher,
    pulse: Rc<Pulse>,
    anchors: mpsc::UnboundedSender<anchor::Order>,
    mut orders: mpsc::UnboundedReceiver<Order>,
) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut seen, mut news) = (vault.writer.size(), Instant::now());
    let mut sealing =
        Sealing { vault, publisher, pulse, anchors, channel: None, sealed: 0, refused: None, told: false, owed: false };
    while let Some(order) = next(&mut ticks, &mut orders).await {
        match order {
            Some(Order::Peer(channel)) => sealing.meet(channel).await,
            Some(Order::Now(done)) => {
                sealing.refused = None;
                // What was given to the writer before this is on the disk then, and counted.
                let _ = sealing.vault.writer.run(|_| Ok(())).await;
                sealing.catch_up().await;
                let _ = done.send(());
            }
            Some(Order::Anchor(name)) => sealing.anchor(Ask::Anchor { name }).await,
            Some(Order::Resume(wish, done)) => {
                let _ = done.send(sealing.resume(wish).await);
            }
            None => {
                sealing.catch_up().await;
                if sealing.has_anchors() {
                    sealing.anchor(Ask::Anchors).await;
                }
                let size = sealing.vault.writer.size();
                if size != seen {
                    (seen, news) = (size, Instant::now());
                } else if news.elapsed() >= HEARTBEAT {
                    news = Instant::now();
                    let event = Event::new(Name::AuditHeartbeat, Outcome::Info);
                    sealing.vault.writer.record(vec![event]).await;
                }
            }
        }
    }
}

/// The next order, or a tick; none when nobody can order any more.
async fn next(ticks: &mut Interval, orders: &mut mpsc::UnboundedReceiver<Order>) -> Option<Option<Order>> {
    tokio::select! {
        order = orders.recv() => order.map(Some),
        _ = ticks.tick() => Some(None),
    }
}

impl Sealing {
    async fn meet(&mut self, channel: Channel) {
        self.channel = Some(channel);
        (self.refused, self.told, self.owed) = (None, false, false);
        self.greet().await;
    }

    /// Asks where the sealer stands: at its first word, and after a silence, when it may have signed what we did not hear of.
    async fn greet(&mut self) {
        match self.ask(Ask::Head).await {
            Ok(Answer::Head { last: None, refuses, vkey }) => {
                self.publisher.tell(&vkey);
                let reason = refuses.unwrap_or_default();
                tracing::error!(
                    reason,
                    "the sealer has lost what it signed: the log goes on unsealed, see `gatepost audit resume`"
                );
                let data = serde_json::json!({ "said": reason }).to_string();
                self.pulse.refuses.set(true);
                self.alarm(Name::IntegrityFailure, "sealer-lost", data).await;
                (self.refused, self.told) = (Some(Instant::now()), true);
            }
            Ok(Answer::Head { last: Some((size, _)), refuses: _, vkey }) => {
                self.publisher.tell(&vkey);
                self.sealed = size;
                let known = self.vault.writer.run(|store| store.ledger.last_sealed()).await.unwrap_or(0);
                if known > size {
                    tracing::error!(
                        known,
                        sealer = size,
                        "the sealer remembers less than it has signed: was its state restored or lost?"
                    );
                    self.alarm(
                        Name::IntegrityFailure,
                        "sealer-forgot",
                        format!("{{\"known\":{known},\"sealer\":{size}}}"),
                    )
                    .await;
                }
            }
            Ok(_) => self.lose(),
            Err(Stuck::Silent | Stuck::Later) => {}
            Err(_) => self.lose(),
        }
    }

    /// Seals until there is nothing new. Also the sign of life: with nothing new it asks for the head.
    async fn catch_up(&mut self) {
        if self.owed {
            self.greet().await;
        }
        if self.channel.is_none() || self.refused.is_some_and(|at| at.elapsed() < AGAIN) {
            return self.ping().await;
        }
        if self.vault.writer.size() == self.sealed {
            return self.ping().await;
        }
        // Under load there is always more; what comes meanwhile is for the next second.
        let target = self.vault.writer.size();
        let mut first = true;
        while std::mem::take(&mut first) || self.sealed < target {
            match self.seal().await {
                Ok(()) => {}
                Err(Stuck::Silent | Stuck::Later) => return,
                Err(Stuck::Gone) => return self.lose(),
                Err(Stuck::Refused(reason)) => {
                    self.refused = Some(Instant::now());
                    self.pulse.refuses.set(true);
                    tracing::error!(reason, "the sealer refused the head of the audit log: it goes on unsealed");
                    if !std::mem::replace(&mut self.told, true) {
                        let reason: String = reason.chars().filter(|c| !c.is_control()).take(SAID).collect();
                        let data = serde_json::json!({ "said": reason }).to_string();
                        self.alarm(Name::SealerRefused, "not-an-extension", data).await;
                    }
                    return;
                }
            }
        }
        self.told = false;
        self.pulse.refuses.set(false);
    }

    async fn seal(&mut self) -> Result<(), Stuck> {
        let sealed = self.sealed;
        let head = self.vault.writer.run(move |store| store.ledger.head(sealed)).await.map_err(|_| Stuck::Later)?;
        let Some(Head { size, root, proof }) = head else {
            let why = match sealed > self.vault.writer.size() {
                true => "more than there are: was the vault's state restored?",
                false => {
                    "and the hashes that show what follows them are gone (retain_hashes): was the sealer's state restored?"
                }
            };
            return Err(Stuck::Refused(format!("it has signed {sealed} leaves, {why} See `gatepost audit resume`")));
        };
        match self.ask(Ask::Seal { size, root, proof }).await? {
            Answer::Sealed { size: signed, note } if signed == size => {
                let note = Note { size, time_us: now_us(), root, note };
                // A note that finds no room is lost; the next head covers this one.
                let _ = self.vault.writer.run(move |store| store.ledger.keep_note(&note)).await;
                self.sealed = size;
                Ok(())
            }
            Answer::Refused { reason, .. } => Err(Stuck::Refused(reason)),
            Answer::Sealed { .. } | Answer::Head { .. } | Answer::Anchors { .. } => Err(Stuck::Gone),
        }
    }

    /// Whether the sealer has anchors of its own.
    fn has_anchors(&self) -> bool {
        let near = |anchor: &Anchor| matches!(anchor.place, Place::Syslog | Place::File);
        self.vault.authority.borrow().slice.anchors.iter().any(near)
    }

    /// Has the sealer anchor, or say what became of it.
    async fn anchor(&mut self, ask: Ask) {
        if self.channel.is_none() || self.owed {
            return;
        }
        match self.ask(ask).await {
            Ok(Answer::Anchors { done }) if done.is_empty() => {}
            // Nobody listens only at the end.
            Ok(Answer::Anchors { done }) => drop(self.anchors.send(anchor::Order::Sealer(done))),
            Err(Stuck::Silent | Stuck::Later) => {}
            Ok(_) | Err(_) => self.lose(),
        }
    }

    /// Goes on after a gap: the event first, on the disk; then the head that declares it.
    async fn resume(&mut self, wish: Wish) -> Result<Declared, String> {
        let stuck = |stuck: Stuck| match stuck {
            Stuck::Refused(reason) => format!("the sealer refused it: {reason}"),
            Stuck::Gone | Stuck::Silent | Stuck::Later => "the sealer is away: try again when it is back".to_owned(),
        };
        let Answer::Head { last, refuses, .. } = self.ask(Ask::Head).await.map_err(stuck)? else {
            return Err("the sealer answered something else".to_owned());
        };
        let standing = Standing { last, refuses, holes: self.publisher.holes().await? };
        let declared = self.vault.writer.run(move |store| resume::declare(store, &standing, &wish)).await;
        let declared = declared.map_err(|error| error.to_string())??;
        let Declared { gap, root, .. } = declared;
        let (size, old) = (gap.resumed, (gap.old_size, gap.old_root));
        let ask = Ask::Resume { last, kept: gap.kept, old, size, root };
        match self.ask(ask).await.map_err(stuck)? {
            Answer::Sealed { note, .. } => {
                (self.sealed, self.refused, self.told) = (size, None, false);
                self.pulse.refuses.set(false);
                let note = Note { size, time_us: now_us(), root, note };
                // This note must not be lost: no other one may say the same.
                let kept = schedule::persist(&self.vault, move |store| store.ledger.keep_note(&note)).await;
                kept.map(|()| declared).ok_or_else(|| "the store has ended".to_owned())
            }
            Answer::Refused { reason, .. } => Err(stuck(Stuck::Refused(reason))),
            Answer::Head { .. } | Answer::Anchors { .. } => Err("the sealer answered something else".to_owned()),
        }
    }

    async fn ping(&mut self) {
        if self.channel.is_some()
            && !self.owed
            && !self.pulse.beats(PATIENCE)
            && let Err(Stuck::Gone) = self.ask(Ask::Head).await
        {
            self.lose();
        }
    }

    async fn ask(&mut self, ask: Ask) -> Result<Answer, Stuck> {
        if self.owed {
            self.hear().await?;
        }
        let (asks, _) = self.channel.as_ref().ok_or(Stuck::Gone)?;
        asks.send(ask).await.map_err(|_| Stuck::Gone)?;
        self.hear().await
    }

    /// The next answer, which may be to a question that was given up.
    async fn hear(&mut self) -> Result<Answer, Stuck> {
        let (_, answers) = self.channel.as_mut().ok_or(Stuck::Gone)?;
        let heard = timeout(PATIENCE, answers.receive()).await;
        if heard.is_err() && !self.owed {
            tracing::error!("the sealer is silent: the log goes on unsealed until it answers");
        }
        self.owed = heard.is_err();
        match heard {
            Ok(Ok(Some(answer))) => {
                self.pulse.answered.set(Some(Instant::now()));
                Ok(answer)
            }
            Ok(_) => Err(Stuck::Gone),
            Err(_) => Err(Stuck::Silent),
        }
    }

    fn lose(&mut self) {
        if self.channel.take().is_some() {
            tracing::error!("the sealer is gone: the log goes on unsealed until there is another");
        }
    }

    async fn alarm(&self, name: Name, reason: &str, data: String) {
        let event =
            Event { severity: 1, reason: Some(reason.into()), data: Some(data), ..Event::new(name, Outcome::Failure) };
        self.vault.writer.record(vec![event]).await;
    }
}
