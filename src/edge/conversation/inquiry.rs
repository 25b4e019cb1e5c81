//! What a session asks about the mail of its credential, and about what that may.

use std::time::Duration;

use super::{ANSWER, Lost, State, Visit};
use crate::ipc::allowance::Allowance;
use crate::ipc::inquiry::{Batch, Finding, Inquiry};
use crate::ipc::session::{Answer, Ask};
use crate::policy::refusal::Refusal;

impl Visit {
    /// Asks between transactions, of somebody who is known.
    pub async fn inquire(&mut self, inquiry: Inquiry) -> Result<Result<Finding, Refusal>, Lost> {
        let slot = self.seat().await?.slot();
        self.ask(Ask::Inquire { slot, inquiry }).await?;
        let answer = self.answer(ANSWER).await?;
        self.finding(answer)
    }

    /// Has the vault keep room for all of a batch before its first message is asked for. Errors within: there is none.
    pub async fn room(&mut self, batch: Batch) -> Result<Result<(), Refusal>, Lost> {
        Ok(self.inquire(Inquiry::Room(Box::new(batch))).await?.map(drop))
    }

    /// Gives back what is left of that room. A vault that is away has forgotten it.
    pub async fn leave_room(&mut self) {
        if let State::Inside(seat) = &self.state {
            let slot = seat.slot();
            let _ = self.ask(Ask::Abort { slot }).await;
        }
    }

    /// The numbers of those recipients of the message that was kept last to whom nothing is sent; once.
    pub fn suppressed(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.suppressed)
    }

    /// The same of what the vault may take so long for. When `left` comes first, it is told that nobody waits any more, and says
    /// what it knows.
    pub async fn inquire_within(
        &mut self,
        inquiry: Inquiry,
        within: Duration,
        left: impl Future<Output = ()>,
    ) -> Result<Result<Finding, Refusal>, Lost> {
        let slot = self.seat().await?.slot();
        self.ask(Ask::Inquire { slot, inquiry }).await?;
        let answer = tokio::select! {
            answer = self.answer(within + ANSWER) => Some(answer?),
            () = left => None,
        };
        let answer = match answer {
            Some(answer) => answer,
            None => {
                self.ask(Ask::Abort { slot }).await?;
                self.answer(ANSWER).await?
            }
        };
        self.finding(answer)
    }

    fn finding(&mut self, answer: Answer) -> Result<Result<Finding, Refusal>, Lost> {
        match answer {
            Answer::Found { finding, .. } => Ok(Ok(finding)),
            Answer::Refused { refusal, .. } => Ok(Err(refusal)),
            other => self.astray(&other),
        }
    }

    /// What the vault has said, since this was asked last, to be left of the credential's limits.
    pub fn allowance(&self) -> Option<Allowance> {
        let State::Inside(seat) = &self.state else { return None };
        seat.allowance().map(|allowance| *allowance)
    }
}
