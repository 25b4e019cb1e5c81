//! One channel to the vault, and the seats of the sessions that share it.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ipnet::IpNet;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use super::Lost;
use super::scribe::Scribe;
use crate::ipc::allowance::Allowance;
use crate::ipc::bytes::Octets;
use crate::ipc::channel::{Receiver, Sender};
use crate::ipc::counted::Counted;
use crate::ipc::figures::{Figures, Parts};
use crate::ipc::session::{Answer, Ask, MAX_ASKED, Slot, Word};
use crate::ipc::trace::Pace;
use crate::mail::id::MessageId;
use crate::policy::Grant;

/// Questions that may wait for the vault when it is told what was counted.
const BEHIND: usize = 1024;

/// A channel and who sits on it.
#[derive(Debug)]
pub struct Line {
    pub(super) asks: Sender<Ask>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// By slot number.
    places: Vec<Option<Arc<Place>>>,
    /// Given back in order, so that a slot rests as long as possible.
    free: VecDeque<Slot>,
    /// Those who ask what became of a message.
    was: HashMap<MessageId, oneshot::Sender<bool>>,
    /// Where sessions come from that are shown to the vault at their beginning.
    networks: Vec<IpNet>,
    /// How the service is, as far as it has come, and as it came last, with the moment.
    parts: Parts,
    figures: Option<(Instant, Arc<Figures>)>,
    down: bool,
}

#[derive(Debug, Default)]
pub struct Place {
    pub(super) inner: Mutex<Inner>,
    bell: Notify,
}

/// What the vault has said to a session and the session has not taken yet. Bounded by construction.
#[derive(Debug, Default)]
pub struct Inner {
    /// Whether `Opened` has come. What comes before it was meant for the slot's last holder, whose goodbye crossed it on
    /// the way: a grant among it must not fall to a stranger.
    pub opened: bool,
    pub network: Option<Option<Box<Grant>>>,
    pub answer: Option<Answer>,
    /// Answers to recipients of a live message, in the order of the questions.
    pub words: VecDeque<Word>,
    credit: usize,
    /// What was left of the credential's limits at the last word that said so.
    allowance: Option<Box<Allowance>>,
    revoked: bool,
    over: bool,
    /// It is over because there was no place for it.
    pub crowded: bool,
    /// The vault was asked to open it.
    introduced: bool,
    /// Somebody follows the session.
    trace: Option<Box<Pace>>,
    /// The goodbye is on its way: nothing may be said behind it.
    gone: bool,
    /// Nobody sits here any more, and the vault has not answered its introduction yet.
    left: bool,
}

impl Inner {
    /// Draws up to `wanted` octets of credit; waits (none) when there is no credit, gives `Some(None)` when an answer
    /// came instead.
    pub fn draw(&mut self, wanted: usize) -> Option<Option<usize>> {
        if self.answer.is_some() {
            return Some(None);
        }
        let drawn = wanted.min(self.credit);
        self.credit -= drawn;
        (drawn > 0).then_some(Some(drawn))
    }

    /// How fast it is told what the session does, where somebody follows it.
    pub fn trace(&mut self) -> Option<&mut Pace> {
        self.trace.as_deref_mut().filter(|_| !self.gone && !self.over)
    }
}

pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Line {
    pub fn start(asks: Sender<Ask>, answers: Receiver<Answer>) -> Arc<Self> {
        let line = Arc::new(Self { asks, state: Mutex::default() });
        tokio::spawn(line.clone().listen(answers));
        line
    }

    pub fn is_down(&self) -> bool {
        lock(&self.state).down
    }

    /// Takes the slot that has rested longest.
    pub fn sit(self: &Arc<Self>) -> Seat {
        let place = Arc::new(Place::default());
        let mut state = lock(&self.state);
        lock(&place.inner).over = state.down;
        let slot = state.free.pop_front().unwrap_or_else(|| {
            state.places.push(None);
            Slot(u32::try_from(state.places.len() - 1).unwrap_or(u32::MAX))
        });
        if let Some(entry) = state.places.get_mut(index(slot)) {
            *entry = Some(place.clone());
        }
        drop(state);
        Seat { line: self.clone(), place, slot }
    }

    /// Whether sessions from there are shown to the vault at their beginning.
    pub fn introduces(&self, peer: IpAddr) -> bool {
        lock(&self.state).networks.iter().any(|network| network.contains(&peer))
    }

    /// How the service was when the vault said so last.
    pub fn figures(&self) -> Option<(Instant, Arc<Figures>)> {
        lock(&self.state).figures.clone()
    }

    fn hear_figures(&self, part: &Octets, place: (bool, bool)) {
        let mut state = lock(&self.state);
        match state.parts.add(part, place) {
            Some(Ok(figures)) => state.figures = Some((Instant::now(), Arc::new(figures))),
            Some(Err(error)) => tracing::error!(%error, "how the service is can't be read"),
            None => {}
        }
    }

    /// Whether this message was committed; none when the vault is gone before it says.
    pub async fn was(&self, message: MessageId) -> Option<bool> {
        let (tell, told) = oneshot::channel();
        {
            let mut state = lock(&self.state);
            if state.down {
                return None;
            }
            state.was.insert(message, tell);
        }
        self.asks.send(Ask::Was { message }).await.ok()?;
        told.await.ok()
    }

    /// Behind what sessions ask: never in their way.
    pub fn count(&self, counted: Counted) -> Result<(), Counted> {
        match self.asks.try_send_behind(Ask::Counted(Box::new(counted.clone())), BEHIND) {
            Ok(()) => Ok(()),
            Err(_) => Err(counted),
        }
    }

    async fn listen(self: Arc<Self>, mut answers: Receiver<Answer>) {
        let end = loop {
            match answers.receive().await {
                Ok(Some(answer)) => self.deliver(answer),
                Ok(None) => break "closed".to_owned(),
                Err(error) => break error.to_string(),
            }
        };
        tracing::warn!(%end, "the vault is gone; sessions it knew are lost");
        let (places, was) = {
            let mut state = lock(&self.state);
            state.down = true;
            (std::mem::take(&mut state.places), std::mem::take(&mut state.was))
        };
        drop(was);
        for place in places.into_iter().flatten() {
            lock(&place.inner).over = true;
            place.bell.notify_one();
        }
    }

    fn deliver(&self, answer: Answer) {
        let slot = match &answer {
            Answer::Was { message, committed } => {
                if let Some(tell) = lock(&self.state).was.remove(message) {
                    let _ = tell.send(*committed);
                }
                return;
            }
            Answer::Introduce { networks } => {
                lock(&self.state).networks.clone_from(networks);
                return;
            }
            Answer::Figures { part, first, last } => return self.hear_figures(part, (*first, *last)),
            Answer::Opened { slot, .. }
            | Answer::Granted { slot, .. }
            | Answer::Denied { slot, .. }
            | Answer::Challenge { slot, .. }
            | Answer::Reserved { slot, .. }
            | Answer::Repeated { slot, .. }
            | Answer::Recipient { slot, .. }
            | Answer::Passed { slot, .. }
            | Answer::Credit { slot, .. }
            | Answer::Kept { slot, .. }
            | Answer::Refused { slot, .. }
            | Answer::Revoked { slot }
            | Answer::Trace { slot, .. }
            | Answer::Crowded { slot }
            | Answer::Found { slot, .. }
            | Answer::Hooked { slot, .. }
            | Answer::Allowance { slot, .. }
            | Answer::Ended { slot } => *slot,
        };
        let place = lock(&self.state).places.get(index(slot)).cloned().flatten();
        // Nobody sits there any more: it crossed a goodbye.
        let Some(place) = place else { return };
        let left = {
            let mut inner = lock(&place.inner);
            inner.take(answer);
            inner.left && (inner.opened || inner.over)
        };
        place.bell.notify_one();
        if left {
            self.free(slot);
        }
    }

    /// The goodbye is on its way. As long as the vault has not answered the introduction, the slot stays taken: else that
    /// answer, and the grant behind it, would fall to whoever comes next.
    fn leave(&self, slot: Slot) {
        let place = lock(&self.state).places.get(index(slot)).cloned().flatten();
        let Some(place) = place else { return };
        let waits = {
            let mut inner = lock(&place.inner);
            inner.left = inner.introduced && !inner.opened && !inner.over;
            inner.left
        };
        if !waits {
            self.free(slot);
        }
    }

    fn free(&self, slot: Slot) {
        let mut state = lock(&self.state);
        if let Some(entry) = state.places.get_mut(index(slot)) {
            *entry = None;
            state.free.push_back(slot);
        }
    }
}

impl Inner {
    fn take(&mut self, answer: Answer) {
        match answer {
            Answer::Opened { network, traced, .. } if !self.opened => {
                (self.opened, self.network) = (true, Some(network));
                self.trace = traced.then(Box::default);
            }
            Answer::Crowded { .. } => (self.crowded, self.over) = (true, true),
            Answer::Ended { .. } => {
                tracing::warn!("the vault ended a session");
                self.over = true;
            }
            _ if !self.opened => (),
            Answer::Credit { octets, .. } => {
                self.credit = self.credit.saturating_add(usize::try_from(octets).unwrap_or(usize::MAX));
            }
            Answer::Recipient { word, .. } if self.words.len() < MAX_ASKED => self.words.push_back(word),
            Answer::Revoked { .. } => self.revoked = true,
            Answer::Allowance { allowance, .. } => self.allowance = Some(allowance),
            Answer::Trace { on: false, .. } => self.trace = None,
            Answer::Trace { .. } => self.trace = self.trace.take().or_else(|| Some(Box::default())),
            answer if self.answer.is_none() => {
                match answer {
                    Answer::Granted { .. } => self.revoked = false,
                    // What was left of an earlier transaction's does not count for this one.
                    Answer::Reserved { .. } => {
                        self.credit = 0;
                        self.words.clear();
                    }
                    _ => (),
                }
                self.answer = Some(answer);
            }
            answer => {
                tracing::error!(answer = answer.word(), "the vault answered twice");
                self.over = true;
            }
        }
    }
}

/// A session's place on a line.
#[derive(Debug)]
pub struct Seat {
    line: Arc<Line>,
    place: Arc<Place>,
    slot: Slot,
}

impl Seat {
    pub fn slot(&self) -> Slot {
        self.slot
    }

    /// Lends its place to who tells what the session does.
    pub fn lend(&self, scribe: &Scribe) {
        scribe.sit(&self.line, &self.place, self.slot);
    }

    pub fn is_over(&self) -> bool {
        lock(&self.place.inner).over
    }

    pub fn is_revoked(&self) -> bool {
        lock(&self.place.inner).revoked
    }

    /// Once.
    pub fn allowance(&self) -> Option<Box<Allowance>> {
        lock(&self.place.inner).allowance.take()
    }

    pub async fn ask(&self, ask: Ask) -> Result<(), Lost> {
        if self.is_over() {
            return Err(Lost);
        }
        let introduces = matches!(ask, Ask::Open { .. });
        self.line.asks.send(ask).await.map_err(|_| Lost)?;
        if introduces {
            lock(&self.place.inner).introduced = true;
        }
        Ok(())
    }

    /// Says something that needs no answer, unless the vault has more to read than it can.
    pub fn mention(&self, ask: Ask) {
        if self.line.asks.try_send(ask).is_err() {
            tracing::warn!("the vault could not be told of a refusal");
        }
    }

    /// A refusal that came while content was still being sent.
    pub fn early_answer(&self) -> Option<Answer> {
        lock(&self.place.inner).answer.take()
    }

    /// A refusal of a transaction that was given up is not an answer to the next.
    pub fn forget_transaction(&self) {
        lock(&self.place.inner).answer = None;
    }

    pub async fn wait<T>(&self, mut take: impl FnMut(&mut Inner) -> Option<T>) -> Result<T, Lost> {
        loop {
            {
                let mut inner = lock(&self.place.inner);
                if let Some(found) = take(&mut inner) {
                    return Ok(found);
                }
                if inner.over {
                    return Err(Lost);
                }
            }
            self.place.bell.notified().await;
        }
    }
}

impl Drop for Seat {
    /// The slot is free once the goodbye is on its way, at the earliest: the next session's `Open` must come after it.
    fn drop(&mut self) {
        lock(&self.place.inner).gone = true;
        let (line, slot) = (self.line.clone(), self.slot);
        let close = Ask::Close { slot };
        if line.asks.try_send(close.clone()).is_ok() {
            line.leave(slot);
        } else if let (false, Ok(runtime)) = (line.is_down(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(async move {
                if line.asks.send(close).await.is_ok() {
                    line.leave(slot);
                }
            });
        }
    }
}

fn index(slot: Slot) -> usize {
    usize::try_from(slot.0).unwrap_or(usize::MAX)
}
