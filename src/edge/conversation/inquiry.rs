//! What a session asks about the mail of its credential, and about what that may.

use std::time::Duration;

use super::{ANSWER, Lost, State, Visit};
use crate::ipc::allowance::Allowance;
use crate::ipc::inquiry::{Finding, Inquiry};
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
