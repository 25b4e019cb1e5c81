//! A message whose sender waits: its recipients are said as they come, each answer is told at once, and the content follows.

use super::{Answers, Attempt, Transaction};
use crate::courier::parcel::{Parcel, Step, Withdrawn};
use crate::courier::smtp::Patience;
use crate::courier::smtp::envelope;
use crate::courier::smtp::session::Session;
use crate::mail::envelope::Utf8;

/// Makes one attempt, with the first recipients in the parcel. As long as nobody was told anything, another can follow; the session
/// must be dropped unless it is said to be reusable. At its end each recipient who was accepted, and is still in the parcel, has its
/// outcome.
pub async fn live(session: &mut Session, parcel: &mut Parcel, patience: &Patience) -> Attempt {
    let outcomes = vec![None; parcel.recipients.len()];
    Transaction { session, parcel, patience, outcomes, is_told: false, has_refused: false }.follow().await
}

impl Transaction<'_> {
    async fn follow(mut self) -> Attempt {
        if let Some(unprotected) = self.unprotected() {
            return unprotected;
        }
        // Whether the header needs it shows when it is too late (rule X3).
        if !self.session.offers.utf8 && self.parcel.manner.utf8 != Utf8::None {
            let outcome = self.without_utf8();
            self.settle(&outcome);
            return self.finish(true, false);
        }
        self.session.begun += 1;
        let mut from = 0;
        loop {
            let commands = envelope::so_far(self.parcel, &self.session.offers, from, self.is_told);
            let answers = match self.exchange(commands).await {
                Ok(answers) => answers,
                Err(attempt) => return attempt,
            };
            if answers.refused.is_some() {
                return self.judge(answers).await;
            }
            self.tell(from).await;
            from = self.parcel.recipients.len();
            match self.parcel.content.step().await {
                Ok(Step::Recipients(batch)) => self.parcel.recipients.extend(batch),
                Ok(Step::Content) => break,
                Err(Withdrawn) => {
                    let reusable = self.session.reset(&self.patience.brief()).await;
                    return Attempt::GivenUp { reusable };
                }
            }
            self.outcomes.resize(self.parcel.recipients.len(), None);
        }
        let answers = match self.session.offers.chunking {
            true => Answers::default(),
            false => match self.exchange(vec![envelope::data()]).await {
                Ok(answers) => answers,
                Err(attempt) => return attempt,
            },
        };
        self.judge(answers).await
    }

    /// Tells how those from that position on were answered. Who was refused is forgotten with that.
    async fn tell(&mut self, from: usize) {
        let outcomes = self.outcomes.split_off(from);
        let recipients = self.parcel.recipients.split_off(from);
        for (recipient, outcome) in recipients.into_iter().zip(outcomes) {
            match outcome {
                Some(outcome) => self.parcel.teller.tell(vec![(recipient.0, outcome)]).await,
                None => {
                    self.parcel.teller.accept(recipient.0).await;
                    self.parcel.recipients.push(recipient);
                    self.outcomes.push(None);
                }
            }
        }
        self.has_refused = false;
    }
}
