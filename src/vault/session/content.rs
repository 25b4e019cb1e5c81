//! The content of a session's message, within its credit: to the disk, or on to a courier.

use tokio::task::spawn_local;

use super::super::limits::incoming;
use super::super::transaction::{self, WINDOW};
use super::{Moment, News, Session, Violation};
use crate::ipc::label::Label;
use crate::ipc::session::Answer;
use crate::policy::refusal::Refusal;

impl Session {
    /// What a client says of its message beside it: once, and nothing of one that is passed on as it comes.
    pub(super) fn label(&mut self, label: Box<Label>) -> Result<(), Violation> {
        match &mut self.moment {
            Moment::Envelope(transaction)
                if transaction.live.is_none() && transaction.label.is_none() && label.is_sound() =>
            {
                transaction.label = Some(label);
                Ok(())
            }
            _ => Err(Violation("label-out-of-order")),
        }
    }

    /// Says that so many octets more may come.
    pub(super) async fn give(&self, octets: u32) {
        if octets > 0 {
            self.say(Answer::Credit { slot: self.slot, octets }).await;
        }
    }

    pub(super) async fn content(&mut self) -> Result<(), Violation> {
        let Moment::Envelope(mut transaction) = std::mem::replace(&mut self.moment, Moment::Ready) else {
            return Err(Violation("content-out-of-order"));
        };
        if transaction.recipients.is_empty() {
            self.moment = Moment::Envelope(transaction);
            return Err(Violation("content-without-recipients"));
        }
        if transaction.live.is_some() {
            return self.begin_content(transaction).await;
        }
        if let Some(ahead) = &mut self.ahead {
            let named = u64::try_from(transaction.recipients.len()).unwrap_or(u64::MAX);
            ahead.name(&mut transaction.reservation, named);
        }
        transaction.give(WINDOW);
        self.moment = Moment::Content(transaction);
        self.say(Answer::Credit { slot: self.slot, octets: WINDOW }).await;
        Ok(())
    }

    pub(super) async fn chunk(&mut self, octets: Vec<u8>) -> Result<(), Violation> {
        let Moment::Content(transaction) = &mut self.moment else { return Err(Violation("content-out-of-order")) };
        let policy = self.principal.as_ref().map(|known| &known.credential.policy);
        let max_size = policy.map_or(0, |policy| self.vault.authority.borrow().max_size(policy));
        let most = policy.map_or(0, |policy| incoming::most(policy.limits.bytes_per_day, max_size));
        let taken = match transaction.live {
            Some(_) => transaction.pass(octets, max_size, most),
            None => transaction.take(octets, max_size, most),
        };
        let (piece, credit) = taken.ok_or(Violation("content-beyond-credit"))?;
        let message = transaction.message;
        transaction.give(credit);
        self.give(credit).await;
        let Some(piece) = piece else { return Ok(()) };
        let length = u32::try_from(piece.octets.len()).unwrap_or(u32::MAX);
        let written = self.vault.segments.append(piece).await;
        let (post, to) = (self.post.clone(), (self.slot, self.number));
        spawn_local(async move {
            let written = match written.await {
                Ok(Ok(())) => Ok(length),
                Ok(Err(error)) => {
                    tracing::error!(%error, "a piece of a body could not be written");
                    Err(transaction::refusal(&error))
                }
                Err(_) => Err(Refusal::StoreUnavailable),
            };
            let _ = post.send((to.0, to.1, News::Written(message, written)));
        });
        Ok(())
    }
}
