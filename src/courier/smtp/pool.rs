//! Sessions between two messages: kept open for the next one, for a while and not for too many.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::Patience;
use super::session::Session;

/// Messages over one connection (rule U11): many servers stop at 100, and fresh connections spread over a balancer.
const MAX_CARRIED: u32 = 100;
/// A connection may wait this long for its next message: less than servers wait for us (RFC 5321 has 5 minutes, busy ones
/// have 10 seconds), long enough for the next of a batch.
pub const IDLE: Duration = Duration::from_secs(8);

#[derive(Default)]
pub struct Pool {
    parked: Mutex<VecDeque<(Session, Instant)>>,
    changed: Notify,
}

impl Pool {
    /// A session that is open as far as one can see. Whether it still is shows at MAIL.
    pub async fn take(&self) -> Option<Session> {
        loop {
            let (mut session, _) = self.parked().pop_back()?;
            if session.wire.is_silent().await {
                return Some(session);
            }
        }
    }

    /// Keeps a session for the next message, or ends it when it has carried enough.
    pub fn park(&self, session: Session, patience: Patience) {
        if session.carried >= MAX_CARRIED {
            tokio::spawn(async move { session.quit(&patience).await });
            return;
        }
        self.parked().push_back((session, Instant::now() + patience.idle));
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
