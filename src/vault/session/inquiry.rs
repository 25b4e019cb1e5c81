//! A session asks what became of its credential's mail, or takes it back or gives it another time, and what that credential may.

use std::rc::Rc;

use tokio::sync::oneshot;
use tokio::task::spawn_local;

use super::{Moment, News, Session, Violation};
use crate::ipc::inquiry::{Finding, Inquiry};
use crate::ipc::session::Answer;
use crate::policy::refusal::Refusal;
use crate::policy::scope::Scope;
use crate::vault::admission;
use crate::vault::inquiries::{self, Asker};
use crate::vault::queue::{cancel, reschedule};

impl Session {
    /// Looks it up beside the other sessions. Whose mail that is, the login says and not the question.
    pub(super) async fn inquire(&mut self, inquiry: Inquiry) -> Result<(), Violation> {
        let Some(principal) = self.principal.clone() else { return Err(Violation("inquiry-without-login")) };
        self.review().await;
        let policy = &principal.credential.policy;
        let scoped = match inquiry {
            // Whoever reads the page has its key, and what it may is the operator's: whom it sends to, for one.
            Inquiry::Card if policy.form.is_some() => false,
            // Of itself everybody may know; who may see others, `show` asks.
            Inquiry::Allowance | Inquiry::Card | Inquiry::Cards(_) => true,
            // What is left of its limits; what may be sent, each message says.
            Inquiry::Room(_) => true,
            // A key that stands in a page is everybody's, and others' mail is nobody's to see or to take back.
            _ if policy.turnstile.is_some() => false,
            _ => policy.scopes.has(Scope::Send) || policy.scopes.has(Scope::SendRaw),
        };
        if let Some(refusal) = self.revoked.or_else(|| (!scoped).then_some(Refusal::Scope)) {
            self.say(Answer::Refused { slot: self.slot, refusal }).await;
            return Ok(());
        }
        // What is in memory is answered at once.
        let at_once = match inquiry {
            Inquiry::Allowance => self.allowance().map(|allowance| Finding::Allowance(Box::new(allowance))),
            Inquiry::Card => self.own_card(),
            Inquiry::Cards(which) => return self.show(which).await,
            Inquiry::Room(batch) => {
                self.room(&principal, &batch).await;
                return Ok(());
            }
            _ => None,
        };
        if let Some(finding) = at_once {
            self.say(Answer::Found { slot: self.slot, finding }).await;
            return Ok(());
        }
        let event = match &inquiry {
            Inquiry::Reschedule { release_us, .. } => {
                // As at MAIL: of an edge that didn't ask this itself, too.
                if *release_us > admission::latest_release(&self.listener) {
                    self.say(Answer::Refused { slot: self.slot, refusal: Refusal::HeldTooLong }).await;
                    return Ok(());
                }
                reschedule::event()
            }
            _ => cancel::event(),
        };
        let (leave, left) = oneshot::channel();
        self.moment = Moment::Inquiring(Some(leave));
        let (vault, post, to) = (Rc::clone(&self.vault), self.post.clone(), (self.slot, self.number));
        let who = Asker { principal: principal.credential.id.clone(), since_us: principal.credential.since_us };
        let event = self.sender(&principal).describe(event, None);
        spawn_local(async move {
            let found = inquiries::answer(&vault, who, inquiry, event, left).await;
            let _ = post.send((to.0, to.1, News::Found(found)));
        });
        Ok(())
    }

    /// The look is over.
    pub(super) async fn found(&mut self, found: Result<Finding, Refusal>) {
        self.moment = Moment::Ready;
        let slot = self.slot;
        // It may have been waited for.
        self.review().await;
        match self.revoked.map_or(found, Err) {
            Ok(finding) => self.say(Answer::Found { slot, finding }).await,
            Err(refusal) => self.say(Answer::Refused { slot, refusal }).await,
        }
    }
}
