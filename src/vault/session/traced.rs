//! A session that operators follow: whether, whose it is to them, and what they are given of it.

use std::time::Instant;

use super::super::trace::{self, Who};
use super::{Session, Violation};
use crate::config::slice::Protocol;
use crate::ipc::admin::trace::What;
use crate::ipc::session::Answer;
use crate::ipc::trace::{PACE, Pace, Told};
use crate::policy::mechanism::Mechanism;
use crate::secret::Secret;

/// Lines of one session in a second, whatever its edge thinks of that. An honest one tells half of it.
const MOST: u32 = 2 * PACE;

#[derive(Default)]
pub struct Traced {
    /// The edge tells what the session does.
    on: bool,
    /// It was asked for that: what it tells may be on its way.
    asked: bool,
    /// The credential of a login that is tried, or was refused.
    claimed: Option<String>,
    /// By which mechanism it was tried last.
    tried: Option<Mechanism>,
    /// Operators who know whose session it is.
    met: Vec<u64>,
    pace: Pace,
}

impl Session {
    /// Whether somebody follows it from its beginning.
    pub(super) fn begins(&mut self) -> bool {
        self.traced.on = self.is_followed();
        self.traced.asked = self.traced.on;
        self.traced.on
    }

    /// Operators have come or gone, or it is known better whose session it is.
    pub async fn follow(&mut self) {
        self.vault.traces.retain(&mut self.traced.met);
        let on = self.is_followed();
        if on != self.traced.on {
            (self.traced.on, self.traced.asked) = (on, self.traced.asked || on);
            self.say(Answer::Trace { slot: self.slot, on }).await;
        }
    }

    /// Somebody tries to log in.
    pub(super) async fn claims(&mut self, mechanism: Mechanism, user: &str, password: &Secret<String>) {
        if self.vault.traces.is_idle() {
            return;
        }
        {
            let authority = self.vault.authority.borrow();
            let owner = authority.credentials.owner(mechanism, user, password.expose());
            self.traced.claimed = owner.map(|owner| owner.id.clone());
        }
        self.traced.tried = Some(mechanism);
        self.meet().await;
    }

    /// Somebody has logged in.
    pub(super) async fn is_known(&mut self) {
        if self.vault.traces.is_idle() {
            return;
        }
        self.traced.claimed = None;
        // By a certificate nobody was named before.
        self.meet().await;
        if let Some(known) = &self.principal {
            let credential = known.credential.id.clone();
            self.tell(&What::Known { credential });
        }
    }

    /// Whoever follows its credential is shown by which mechanism, because the edge was not asked when the client said so.
    async fn meet(&mut self) {
        self.follow().await;
        if self.traced.on {
            let mut met = std::mem::take(&mut self.traced.met);
            self.vault.traces.meet(self.who(), &mut met, self.traced.tried);
            self.traced.met = met;
        }
    }

    /// A line from its edge.
    pub(super) fn told(&mut self, told: Told) -> Result<(), Violation> {
        if !self.traced.asked {
            return Err(Violation("trace-not-asked-for"));
        }
        // One that crossed the word that nobody follows any more.
        if !self.traced.on {
            return Ok(());
        }
        let pace = &mut self.traced.pace;
        if !pace.admits(MOST, Instant::now()) {
            pace.left_out = pace.left_out.saturating_add(1);
            return Ok(());
        }
        let left_out = std::mem::take(&mut pace.left_out);
        if left_out > 0 {
            self.tell(&What::Told(Told::LeftOut(left_out)));
        }
        self.tell(&What::Told(trace::plain(told)));
        Ok(())
    }

    /// The last that is told of it.
    pub fn over(&mut self, violation: Option<&str>) {
        if std::mem::take(&mut self.traced.on) {
            self.tell(&What::Over { violation: violation.map(str::to_owned) });
        }
    }

    fn is_followed(&self) -> bool {
        self.listener.protocol == Protocol::Smtp && self.vault.traces.wants(self.who())
    }

    fn tell(&mut self, what: &What) {
        let mut met = std::mem::take(&mut self.traced.met);
        self.vault.traces.tell(self.who(), &mut met, what);
        self.traced.met = met;
    }

    fn who(&self) -> Who<'_> {
        Who {
            session: self.introduction.session,
            address: self.introduction.peer,
            listener: &self.listener.name,
            credential: self.principal.as_ref().map(|known| known.credential.id.as_str()),
            claimed: self.traced.claimed.as_deref(),
        }
    }
}
