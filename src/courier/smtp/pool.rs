//! Sessions between two messages: kept open for the next one, for a while and not for too many.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::Patience;
use super::session::Session;

#[derive(Default)]
pub struct Pool {
    parked: Mutex<VecDeque<(Session, Instant)>>,
    changed: Notify,
}

impl Pool {
    /// A session that is open as far as one can see. Whether it still is shows at MAIL.
    pub async fn take(&self) -> Option<Session> {
        loop {
            let (mut session, until) = self.parked().pop_back()?;
            if Instant::now() < until && session.wire.is_silent().await {
                return Some(session);
            }
        }
    }

    /// Keeps a session for the next message, or ends it when it has begun enough of them (`most`) or is too old.
    pub fn park(&self, session: Session, most: u32, patience: Patience) {
        let end = session.opened + patience.age;
        let is_spent = session.offers.limits.mails.is_some_and(|most| session.begun >= most);
        if session.begun >= most || is_spent || end <= Instant::now() {
            tokio::spawn(async move { session.quit(&patience).await });
            return;
        }
        self.parked().push_back((session, end.min(Instant::now() + patience.idle)));
        self.changed.notify_one();
    }

    /// Ends sessions that nobody needed in time. Runs as long as the courier does, and sleeps while nothing is parked.
    pub async fn sweep(&self, patience: Patience) {
        loop {
            let oldest = self.parked().front().map(|(_, until)| *until);
            let Some(until) = oldest else {
                self.changed.notified().await;
                continue;
            };
            sleep_until(until).await;
            let now = Instant::now();
            let stale = self.parked().pop_front_if(|(_, until)| *until <= now);
            if let Some((session, _)) = stale {
                tokio::spawn(async move { session.quit(&patience).await });
            }
        }
    }

    /// Ends every parked session, all at once.
    pub async fn close(&self, patience: Patience) {
        let parked = std::mem::take(&mut *self.parked());
        let mut leaving = JoinSet::new();
        for (session, _) in parked {
            leaving.spawn(async move { session.quit(&patience).await });
        }
        while leaving.join_next().await.is_some() {}
    }

    /// The lock is never held while something is awaited or can panic.
    fn parked(&self) -> MutexGuard<'_, VecDeque<(Session, Instant)>> {
        self.parked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
