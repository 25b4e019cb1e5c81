//! Sessions that are ended by us for what their client did. No audit log has it, so the service's log does: a client that speaks
//! before its turn, or another protocol, fails for ever and tells nobody.

use tokio::time::Instant;

use super::reply::{self, Reply};
use super::session::{STRANGER, Session};
use super::wire::Stop;
use crate::policy::presence::neighbourhood;

/// By what it was brought about.
#[derive(Clone, Copy, Debug)]
enum Cause {
    Early,
    Slow,
    Budget,
    Foreign,
    Crowded,
    /// A line or content that has no end, or that nothing can be read behind.
    Form,
}

/// How many there are, for a place for each: one that strangers flood the log with hides none of the others.
pub const CAUSES: usize = 6;

impl Cause {
    /// None: the client left, or we would have ended it whoever it was.
    fn of(stop: &Stop) -> Option<Self> {
        let said = match stop {
            Stop::Silently => return None,
            Stop::Foreign => return Some(Self::Foreign),
            Stop::With(said) => said,
        };
        let is = |replies: &[Reply]| replies.contains(said);
        Some(match () {
            // Of who makes room the log has a line already.
            () if is(&[reply::CLOSING, reply::MAKES_ROOM]) => return None,
            () if is(&[reply::SHUTTING_DOWN, reply::CONNECT_AGAIN, reply::VAULT_AWAY]) => return None,
            () if is(&[reply::EARLY_TALKER, reply::SPEAKS_TOO_EARLY]) => Self::Early,
            () if is(&[reply::TOO_SLOW, reply::STAYS_A_STRANGER, reply::CONTENT_TOO_SLOW]) => Self::Slow,
            () if is(&[reply::TOO_MANY_ERRORS, reply::TOO_MANY_COMMANDS, reply::TOO_MANY_GUESSES]) => Self::Budget,
            () if is(&[reply::CROWDED]) => Self::Crowded,
            () => Self::Form,
        })
    }
}

impl Session {
    /// Tells it: a hundred of each cause in a minute for a listener, and then their number.
    pub(super) fn ended(&self, stop: &Stop) {
        let Some(cause) = Cause::of(stop) else { return };
        let Some(flood) = self.front.ended.get(cause as usize) else { return };
        let listener = self.front.desk.name.clone();
        let further =
            move |sessions| tracing::info!(listener, sessions, "further sessions were ended, not told one by one");
        if !flood.has_line_for(neighbourhood(self.visit.client()), further) {
            return;
        }
        let (session, listener, client) = (self.id, &self.front.desk.name, self.visit.client());
        let through = Some(self.visit.peer()).filter(|peer| *peer != client).map(tracing::field::display);
        let account = self.standing.grant.as_ref().map(|grant| grant.principal.as_str());
        match stop {
            Stop::With(said) => {
                let reply = said.to_string();
                tracing::info!(%session, listener, %client, through, account, reply, "a session was ended");
            }
            _ => tracing::info!(
                %session, listener, %client, through, account,
                "a session was ended: the client speaks another protocol, and was told nothing"
            ),
        }
    }

    /// Which of the times that a command is waited for was over.
    pub(super) fn exactly(&self, stop: Stop) -> Stop {
        let now = Instant::now();
        let chunks = self.transaction.as_ref().and_then(|transaction| transaction.chunks.as_ref());
        match () {
            () if stop != reply::TOO_SLOW.into() => stop,
            () if chunks.is_some_and(|chunks| chunks.deadline() <= now) => reply::CONTENT_TOO_SLOW.into(),
            () if self.standing.grant.is_none() && self.born + STRANGER <= now => reply::STAYS_A_STRANGER.into(),
            () => stop,
        }
    }
}
