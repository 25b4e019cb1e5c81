//! The dot: whether the message is taken, by policy and limits, and where that is demanded by what proves that a person wrote it.

use std::rc::Rc;

use super::{Moment, News, Session, Violation};
use crate::ipc::session::Answer;
use crate::mail::facts::Facts;
use crate::policy::refusal::Refusal;
use crate::vault::audit::event::Event;
use crate::vault::audit::ledger::now_us;
use crate::vault::login::credentials::Known;
use crate::vault::sender::Sender;
use crate::vault::transaction::Transaction;
use crate::vault::{Vault, acceptance, custody, turnstile};

impl Session {
    pub(super) async fn commit(&mut self, facts: Facts) -> Result<(), Violation> {
        let (Moment::Content(mut transaction), Some(principal)) =
            (std::mem::replace(&mut self.moment, Moment::Ready), self.principal.clone())
        else {
            return Err(Violation("commit-out-of-order"));
        };
        self.review().await;
        if let Some(spoken) = transaction.live.as_ref().and_then(|live| live.broken.clone()) {
            transaction.give_up(&self.vault);
            self.counts(&Ok(spoken.clone()));
            self.say(Answer::Passed { slot: self.slot, spoken }).await;
            return Ok(());
        }
        let sender = self.sender(&principal);
        let decided = match self.revoked {
            Some(refusal) => Err(refusal.into()),
            None => transaction.decide(&self.vault, &sender, &facts),
        };
        if let Err(denied) = decided {
            let event = Event {
                message: Some(transaction.message),
                bytes: Some(transaction.size()),
                upstream: denied.upstream.clone(),
                ..Event::refusal(denied.refusal)
            };
            let event = sender.describe(event, transaction.tls.as_ref()).sender(&transaction.sender);
            transaction.give_up(&self.vault);
            self.refuse(event, denied).await;
            return Ok(());
        }
        let message = transaction.message;
        let keeping = self.vault.pending.begin();
        let asked = match transaction.live.take() {
            Some(live) if !live.is_alone() => {
                self.moment = Moment::Committing(message, Some(live.end(sender, *transaction, keeping)));
                return Ok(());
            }
            live => live.map(|live| live.answered_for()).unwrap_or_default(),
        };
        self.moment = Moment::Committing(message, None);
        let (vault, post, to) = (Rc::clone(&self.vault), self.post.clone(), (self.slot, self.number));
        self.vault.finish(async move {
            let _keeping = keeping;
            let kept = match proven(&vault, &principal, &sender, *transaction).await {
                Ok(transaction) => custody::take(&vault, &sender, transaction, &asked).await,
                Err(refusal) => Err(refusal),
            };
            let _ = post.send((to.0, to.1, News::Kept(kept)));
        });
        Ok(())
    }
}

/// The message, once it is proven that a person wrote it, where its credential demands that. Of one that isn't nothing is left but
/// what the log says of it.
async fn proven(
    vault: &Rc<Vault>,
    known: &Known,
    sender: &Sender,
    mut transaction: Transaction,
) -> Result<Transaction, Refusal> {
    let Some(demanded) = &sender.credential.policy.turnstile else { return Ok(transaction) };
    let token = transaction.proof.take();
    let proven = turnstile::prove(vault, sender, demanded, token).await;
    // It may have been changed or revoked while that was asked.
    let proven = match proven {
        Ok(hostname) => {
            let review = vault.authority.borrow().credentials.review(known, now_us());
            review.map(|()| hostname).map_err(turnstile::Unproven::from)
        }
        unproven => unproven,
    };
    match proven {
        Ok(hostname) => {
            transaction.proven = Some(hostname);
            Ok(transaction)
        }
        Err(unproven) => {
            let refusal = unproven.refusal;
            vault.writer.tally().unproven(sender, refusal, unproven.by.as_ref());
            acceptance::unproven(vault, sender, &transaction, unproven).await;
            transaction.give_up(vault);
            Err(refusal)
        }
    }
}
