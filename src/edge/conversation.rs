//! One session's side of the conversation with the vault.

pub mod begun;
pub mod dialogue;
mod figures;
mod hook;
pub mod line;
mod inquiry;
pub mod live;
mod refusals;
pub mod scribe;
#[cfg(test)]
mod tests;
mod whose;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};

use super::strangers::{Notice, Place};
use crate::ipc::bytes::Octets;
use crate::ipc::capsule::Capsule;
use crate::ipc::channel::{Receiver, Sender};
use crate::ipc::counted::Counted;
use crate::ipc::frame::MAX_CONTENT;
use crate::ipc::session::{Answer, Ask, Denial, Tls, Via};
use crate::ipc::waits;
use crate::mail::envelope::{Addressee, MAX_ADDRESSEE};
use crate::mail::facts::Facts;
use crate::mail::id::MessageId;
use crate::policy::Grant;
use crate::policy::mechanism::Mechanism;
use crate::policy::refusal::Refusal;
use crate::policy::route::BackedUp;
use crate::secret::Secret;
use line::{Line, Seat};
use scribe::Scribe;

/// For an answer that needs no disk: a login that waits for its turn to be hashed is the longest.
const ANSWER: Duration = Duration::from_secs(30);
/// For credit and for the commit, which wait for the disk: within the two minutes that RFC 6409 section 5.3 gives us.
const DISK: Duration = Duration::from_secs(60);
/// How long a session past the dot looks for the vault's successor, to learn whether its message was kept.
const SUCCESSOR: Duration = Duration::from_secs(10);
/// How long a client of SMTP waits for us in all, however many questions its command takes: with what is left for a successor,
/// within those two minutes.
const TURN: Duration = Duration::from_secs(105);
/// Recipients in one frame.
const BATCH: usize = MAX_CONTENT / MAX_ADDRESSEE;

/// The vault is away, or this session is no longer known to it: 421 4.3.2 at the next command, 451 after the dot, 503.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost;

/// What the vault says to a client that a proxy named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Welcome {
    Opened,
    /// It has as many sessions as it may have; this one is over.
    Crowded,
}

/// The way to whichever vault there is now. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Vault {
    line: Arc<watch::Sender<Option<Arc<Line>>>>,
}

impl Vault {
    /// Uses this channel from now on. Sessions that the vault before it knew are lost.
    pub fn plug(&self, asks: Sender<Ask>, answers: Receiver<Answer>) {
        self.line.send_replace(Some(Line::start(asks, answers)));
    }

    /// A session enters. Nothing is said to the vault before the session's first question.
    pub fn enter(&self, capsule: Capsule) -> Visit {
        let peer = capsule.introduction.peer.ip();
        let state = State::Outside(Box::new(capsule));
        Visit {
            vault: self.clone(),
            peer,
            state,
            via: Via::Direct,
            place: None,
            scribe: Scribe::default(),
            message: None,
            content: false,
            live: false,
            backed_up: Vec::new(),
            suppressed: Vec::new(),
            turn: None,
        }
    }

    /// Tells it what was counted. An error, with what could not be told: it is away, or has much to hear already.
    pub fn count(&self, counted: Counted) -> Result<(), Counted> {
        match self.current() {
            Some(line) => line.count(counted),
            None => Err(counted),
        }
    }

    pub(super) fn current(&self) -> Option<Arc<Line>> {
        self.line.borrow().clone().filter(|line| !line.is_down())
    }
}

/// One session at the vault. Dropping it says goodbye.
#[derive(Debug)]
pub struct Visit {
    vault: Vault,
    /// Where the connection comes from, as the listener saw it.
    peer: IpAddr,
    state: State,
    via: Via,
    /// Its place among the strangers, until somebody has logged in whose key not everybody has.
    place: Option<Place>,
    scribe: Scribe,
    /// The transaction's message, once the vault has named it.
    message: Option<MessageId>,
    /// Whether its content has begun.
    content: bool,
    /// It is delivered while its client waits.
    live: bool,
    /// The routes that it can't take now.
    pub backed_up: Vec<BackedUp>,
    /// Of the message that was kept last, the numbers of the recipients to whom nothing is sent.
    suppressed: Vec<u32>,
    /// Until then its client waits for an answer; none where nobody says so.
    turn: Option<Instant>,
}

#[derive(Debug)]
enum State {
    Outside(Box<Capsule>),
    Inside(Seat),
    Lost,
}

impl Visit {
    /// It is a stranger's until somebody is known by a key of his own, and has this place until then.
    pub fn take(&mut self, place: Place) {
        self.place = Some(place);
    }

    /// Word for the stranger that it must make room.
    pub fn notice(&self) -> Notice {
        self.place.as_ref().map_or_else(Notice::never, Place::notice)
    }

    /// Shows the capsule now. Gives, once, the grant of a device known by its address, where the listener identifies so.
    pub async fn open(&mut self) -> Result<Option<Box<Grant>>, Lost> {
        self.seat().await?;
        let grant = self.wait(ANSWER, |inner| inner.network.as_mut().map(Option::take)).await?;
        if let Some(grant) = &grant {
            self.greet(grant);
        }
        Ok(grant)
    }

    /// Something came of the client: from now on it waits for us.
    pub fn turn(&mut self) {
        self.turn_until(Instant::now() + TURN);
    }

    /// The same, and it waits until then.
    pub fn turn_until(&mut self, until: Instant) {
        self.turn = Some(until);
    }

    /// So long, or what is left of the client's wait.
    fn within(&self, patience: Duration) -> Duration {
        self.turn.map_or(patience, |until| patience.min(until.saturating_duration_since(Instant::now())))
    }

    /// Shows the capsule now, of a connection that came through a proxy, with whose it is.
    ///
    /// Errors: the vault is away, and can be asked later.
    pub async fn introduce(&mut self, via: Via) -> Result<Welcome, Lost> {
        self.via = via;
        if let (Some(place), Some(client)) = (&mut self.place, via.named()) {
            place.moves(client.ip());
        }
        self.seat().await?;
        let met = |inner: &mut line::Inner| match (inner.opened, inner.crowded) {
            (_, true) => Some(Welcome::Crowded),
            (true, false) => Some(Welcome::Opened),
            (false, false) => None,
        };
        self.wait(ANSWER, met).await
    }

    pub async fn login(
        &mut self,
        mechanism: Mechanism,
        user: String,
        password: Secret<String>,
        tls: Option<Tls>,
    ) -> Result<Result<Box<Grant>, Denial>, Lost> {
        let slot = self.seat().await?.slot();
        self.ask(Ask::Login { slot, mechanism, user, password, tls }).await?;
        match self.answer(ANSWER).await? {
            Answer::Granted { grant, .. } => {
                self.greet(&grant);
                Ok(Ok(grant))
            }
            Answer::Denied { denial, .. } => Ok(Err(denial)),
            other => self.astray(&other),
        }
    }

    /// Names recipients, in as many frames as it takes.
    pub async fn recipients(&mut self, all: &[Addressee]) -> Result<(), Lost> {
        let slot = self.seat().await?.slot();
        for batch in all.chunks(BATCH) {
            self.ask(Ask::Recipients { slot, batch: batch.to_vec() }).await?;
        }
        Ok(())
    }

    /// The content begins.
    pub async fn content(&mut self) -> Result<(), Lost> {
        let slot = self.seat().await?.slot();
        self.content = true;
        self.ask(Ask::Content { slot }).await
    }

    /// The next octets, as fast as the vault takes them. After a refusal in the middle nothing more is sent: the answer
    /// waits for `commit`.
    pub async fn chunk(&mut self, mut octets: &[u8]) -> Result<(), Lost> {
        let slot = self.seat().await?.slot();
        while !octets.is_empty() {
            let wanted = octets.len().min(MAX_CONTENT);
            let patience = if self.live { waits::END_AT_EDGE } else { DISK };
            let allowed = self.wait(patience, |inner| inner.draw(wanted)).await?;
            let Some((now, later)) = allowed.and_then(|n| octets.split_at_checked(n)) else { return Ok(()) };
            self.ask(Ask::Chunk { slot, octets: Octets(now.to_vec()) }).await?;
            octets = later;
        }
        Ok(())
    }

    /// The dot: kept, refused, or lost. When the vault dies after it was asked, its successor is asked what became of it.
    ///
    /// What was kept is told in the log before it is told to the client: a vault that acknowledges what it leaves out of the
    /// audit log has no say in this line.
    pub async fn commit(&mut self, facts: Facts) -> Result<Result<MessageId, Refusal>, Lost> {
        let committed = self.decide(facts).await;
        if let Ok(Ok(message)) = &committed {
            tracing::info!(%message, "a message was acknowledged");
        }
        committed
    }

    async fn decide(&mut self, facts: Facts) -> Result<Result<MessageId, Refusal>, Lost> {
        let message = self.message.take().ok_or(Lost)?;
        self.content = false;
        let seat = self.seat().await?;
        let slot = seat.slot();
        let answer = match seat.early_answer() {
            Some(refused) => Ok(refused),
            None => {
                self.ask(Ask::Commit { slot, facts }).await?;
                self.answer(DISK).await
            }
        };
        match answer {
            Ok(Answer::Kept { message, suppressed, .. }) => {
                self.suppressed = suppressed;
                Ok(Ok(message))
            }
            Ok(Answer::Refused { refusal, .. }) => Ok(Err(refusal)),
            Ok(other) => self.astray(&other),
            Err(Lost) => self.was(message).await.map(Ok),
        }
    }

    /// Gives the transaction up.
    pub async fn abort(&mut self) {
        self.content = false;
        if self.message.take().is_none() {
            return;
        }
        if let State::Inside(seat) = &self.state {
            let slot = seat.slot();
            seat.forget_transaction();
            // When the vault is away it has forgotten the transaction already.
            let _ = self.ask(Ask::Abort { slot }).await;
        }
    }

    /// The credential was changed or revoked since the login.
    pub fn revoked(&self) -> bool {
        matches!(&self.state, State::Inside(seat) if seat.is_revoked())
    }

    /// The vault that knew this session is gone, or ended it.
    pub fn is_lost(&self) -> bool {
        match &self.state {
            State::Outside(_) => false,
            State::Inside(seat) => seat.is_over(),
            State::Lost => true,
        }
    }

    /// The seat at the vault; taken now when this is the first question.
    async fn seat(&mut self) -> Result<&Seat, Lost> {
        if matches!(self.state, State::Outside(_)) {
            let line = self.vault.current().ok_or(Lost)?;
            if let State::Outside(capsule) = std::mem::replace(&mut self.state, State::Lost) {
                let seat = line.sit();
                let slot = seat.slot();
                seat.lend(&self.scribe);
                self.state = State::Inside(seat);
                self.ask(Ask::Open { slot, capsule: *capsule, via: self.via }).await?;
            }
        }
        match &self.state {
            State::Inside(seat) if !seat.is_over() => Ok(seat),
            _ => Err(Lost),
        }
    }

    async fn ask(&mut self, ask: Ask) -> Result<(), Lost> {
        let _asking = self.place.as_ref().map(Place::asks);
        let State::Inside(seat) = &self.state else { return Err(Lost) };
        match timeout(self.within(ANSWER), seat.ask(ask)).await {
            Ok(asked) => asked,
            Err(_) => self.lose(),
        }
    }

    async fn answer(&mut self, patience: Duration) -> Result<Answer, Lost> {
        self.wait(patience, |inner| inner.answer.take()).await
    }

    /// Waits until `take` finds what it looks for. One that never comes ends the session at the vault: a late answer must
    /// not be taken for that of a later question.
    async fn wait<T>(
        &mut self,
        patience: Duration,
        take: impl FnMut(&mut line::Inner) -> Option<T>,
    ) -> Result<T, Lost> {
        let _asking = self.place.as_ref().map(Place::asks);
        let State::Inside(seat) = &self.state else { return Err(Lost) };
        match timeout(self.within(patience), seat.wait(take)).await {
            Ok(found) => found,
            Err(_) => {
                tracing::warn!(seconds = patience.as_secs(), "the vault did not answer a session in time");
                self.lose()
            }
        }
    }

    fn lose<T>(&mut self) -> Result<T, Lost> {
        self.state = State::Lost;
        Err(Lost)
    }

    /// The vault is trusted more than we are; an answer of its out of place is a bug of ours or its, and ends the session.
    fn astray<T>(&mut self, answer: &Answer) -> Result<T, Lost> {
        tracing::error!(answer = answer.word(), "the vault's answer does not fit the question");
        self.lose()
    }

    /// Asks the vault's successor whether the message was kept. Asks again when that one falls too.
    async fn was(&mut self, message: MessageId) -> Result<MessageId, Lost> {
        self.state = State::Lost;
        let deadline = Instant::now() + SUCCESSOR;
        let mut lines = self.vault.line.subscribe();
        let found = timeout_at(deadline, async {
            loop {
                let line = lines.borrow_and_update().clone().filter(|line| !line.is_down());
                if let Some(line) = line
                    && let Some(committed) = line.was(message).await
                {
                    return committed;
                }
                if lines.changed().await.is_err() {
                    return false;
                }
            }
        });
        match found.await {
            Ok(true) => Ok(message),
            Ok(false) | Err(_) => Err(Lost),
        }
    }
}
