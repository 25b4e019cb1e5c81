//! Turns: replies are matched by their count alone, so nothing may have been said when something is asked. Otherwise the answer
//! to what was asked before is taken for the one that follows, and at the end for the message's.

use super::{Attempt, Transaction};
use crate::courier::smtp::reply::Reply;
use crate::courier::smtp::wire::Broken;

/// What an upstream does while nobody asks it anything.
pub(super) enum Aside {
    /// It closes, or says that it will (421), which it may at any time.
    Leaving(String),
    Said(Reply),
    Garbled(String),
}

impl Transaction<'_> {
    /// Whether it is silent, as it must be.
    pub(super) async fn listen(&mut self) -> Result<(), Aside> {
        match self.session.wire.overheard(self.patience.quit).await {
            Ok(None) => Ok(()),
            Ok(Some(reply)) if reply.code == 421 => Err(Aside::Leaving(reply.to_string())),
            Ok(Some(reply)) => Err(Aside::Said(reply)),
            Err(broken @ (Broken::Closed | Broken::Failed(_))) => Err(Aside::Leaving(broken.to_string())),
            Err(broken) => Err(Aside::Garbled(broken.to_string())),
        }
    }

    /// Must hold before a command to which there is an answer. `stale` as for `Attempt`.
    pub(super) async fn in_turn(&mut self, phase: &str, stale: bool) -> Result<(), Attempt> {
        match self.listen().await {
            Ok(()) => Ok(()),
            Err(Aside::Leaving(why)) => Err(self.route(phase, &why, stale)),
            Err(aside) => Err(self.out_of_step(phase, aside, stale)),
        }
    }

    /// There are more answers than questions. Those that were taken for the recipients' may be others', so none of them counts.
    pub(super) fn out_of_step(&mut self, phase: &str, aside: Aside, stale: bool) -> Attempt {
        self.outcomes.fill(None);
        self.has_refused = false;
        let what = match aside {
            Aside::Said(reply) => reply.to_string(),
            Aside::Leaving(why) | Aside::Garbled(why) => why,
        };
        self.route(phase, &format!("it spoke out of its turn: {what}"), stale)
    }
}
