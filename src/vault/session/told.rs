//! What a session is told of itself beside the answers to its questions: what is left of its credential's limits, and what that may.

use std::rc::Rc;

use serde_json::json;
use tokio::task::spawn_local;

use super::{Moment, News, Session, Violation};
use crate::config::slice::Protocol;
use crate::ipc::allowance::Allowance;
use crate::ipc::card::Which;
use crate::ipc::inquiry::Finding;
use crate::ipc::session::Answer;
use crate::policy::refusal::Refusal;
use crate::policy::scope::Scope;
use crate::vault::audit::event::{Event, Name, Outcome};
use crate::vault::audit::ledger::now_us;
use crate::vault::authority::Authority;
use crate::vault::cards;

impl Session {
    /// What is to go before this answer: over HTTP, what the decision left of the limits.
    pub(super) fn allowance_before(&self, answer: &Answer) -> Option<Box<Allowance>> {
        let is_told = match answer {
            Answer::Kept { .. } | Answer::Refused { .. } | Answer::Repeated { .. } => true,
            // That is it.
            Answer::Found { finding: Finding::Allowance(_), .. } => false,
            Answer::Found { .. } => true,
            _ => false,
        };
        (is_told && self.listener.protocol == Protocol::Http).then(|| self.allowance()).flatten().map(Box::new)
    }

    /// What is left of its credential's limits. None where it has none any more.
    pub(super) fn allowance(&self) -> Option<Allowance> {
        let known = self.principal.as_ref().filter(|_| self.revoked.is_none())?;
        let authority = self.vault.authority.borrow();
        let address = self.introduction.peer.ip();
        let origin = Authority::origin(&authority.slice, &known.credential, &self.listener, address);
        Some(authority.limits.left(&origin, authority.clock.now()))
    }

    /// What its credential may, and the key by which it is that.
    pub(super) fn own_card(&self) -> Option<Finding> {
        let known = self.principal.as_ref()?;
        let own = known.credential.keys.iter().filter(|key| Some(key.mark) == known.key);
        let authority = self.vault.authority.borrow();
        Some(Finding::Card(Box::new(cards::card(&authority, &known.credential, own, &self.listener, now_us()))))
    }

    /// Shows credentials to somebody who may see them all. That it was asked is on the disk before it is answered.
    pub(super) async fn show(&mut self, which: Which) -> Result<(), Violation> {
        let Some(known) = self.principal.clone() else { return Err(Violation("inquiry-without-login")) };
        // Whoever is known by an address has shown no key.
        let may = known.key.is_some() && known.credential.policy.scopes.has(Scope::Admin);
        let paid = if may { self.vault.inquiries.pays(&known.credential.id) } else { Err(Refusal::Scope) };
        if let Err(refusal) = paid {
            self.say(Answer::Refused { slot: self.slot, refusal }).await;
            return Ok(());
        }
        self.moment = Moment::Inquiring(None);
        let data = match &which {
            Which::One(id) => json!({ "credential": id }),
            Which::After(None, most) => json!({ "most": most }),
            Which::After(Some(id), most) => json!({ "after": id, "most": most }),
            Which::Before(id, most) => json!({ "before": id, "most": most }),
        };
        let event = Event { data: Some(data.to_string()), ..Event::new(Name::CredentialView, Outcome::Info) };
        let event = self.sender(&known).describe(event, None);
        let (vault, post, to) = (Rc::clone(&self.vault), self.post.clone(), (self.slot, self.number));
        let listener = Rc::clone(&self.listener);
        spawn_local(async move {
            let noted = vault.writer.run(move |store| store.record(vec![event])).await;
            let found = match noted {
                Ok(()) => Ok(cards::cards(&vault, which, &listener, now_us())),
                Err(_) => Err(Refusal::StoreUnavailable),
            };
            let _ = post.send((to.0, to.1, News::Found(found)));
        });
        Ok(())
    }
}
