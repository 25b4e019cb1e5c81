//! What a session tells those who follow it, on its way to the vault. It never waits, and never takes the room that questions
//! need: what there is no room for is left out, and counted.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use super::line::{Line, Place, lock};
use super::{Lost, State, Visit, Welcome};
use crate::ipc::session::{Ask, Slot};
use crate::ipc::trace::{PACE, Told};

/// Frames that may wait for the vault before lines are left out: half of the room there is, of all sessions.
const WAITING: usize = 8 * 1024;

/// A session's hand. Clones share it; it writes nothing before the session has its seat, and nothing after.
#[derive(Clone, Debug, Default)]
pub struct Scribe(Arc<OnceLock<Pen>>);

#[derive(Debug)]
struct Pen {
    line: Arc<Line>,
    place: Arc<Place>,
    slot: Slot,
}

impl Scribe {
    /// The session has its seat.
    pub(super) fn sit(&self, line: &Arc<Line>, place: &Arc<Place>, slot: Slot) {
        // A session has one seat in its life.
        let _ = self.0.set(Pen { line: line.clone(), place: place.clone(), slot });
    }

    /// Whether somebody follows the session.
    pub fn is_on(&self) -> bool {
        self.0.get().is_some_and(|pen| lock(&pen.place.inner).trace().is_some())
    }

    /// Tells it, where somebody follows the session.
    pub fn tell(&self, told: impl FnOnce() -> Told) {
        let Some(pen) = self.0.get() else { return };
        let mut inner = lock(&pen.place.inner);
        let Some(pace) = inner.trace() else { return };
        let send = |told| pen.line.asks.try_send_behind(Ask::Told { slot: pen.slot, told }, WAITING);
        let admitted = pace.admits(PACE, Instant::now());
        if admitted && pace.left_out > 0 && send(Told::LeftOut(pace.left_out)).is_ok() {
            pace.left_out = 0;
        }
        if !admitted || pace.left_out > 0 || send(told().cut()).is_err() {
            pace.left_out = pace.left_out.saturating_add(1);
        }
    }
}

impl Visit {
    /// Who tells what the session does, to those who follow it.
    pub fn scribe(&self) -> &Scribe {
        &self.scribe
    }

    /// Somebody follows sessions from there, and the vault does not know of this one.
    pub fn is_awaited(&self) -> bool {
        matches!(self.state, State::Outside(_))
            && self.vault.current().is_some_and(|line| line.introduces(self.peer.to_canonical()))
    }

    /// Shows the capsule now, with whose connection it is known to be.
    pub async fn be_met(&mut self) -> Result<Welcome, Lost> {
        self.introduce(self.via).await
    }
}
