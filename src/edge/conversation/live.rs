//! A message that is delivered while its client waits: what the upstream says comes by the vault.

use std::time::Duration;

use super::{Lost, Visit, line};
use crate::ipc::session::{Answer, Ask, Word};
use crate::mail::envelope::Addressee;
use crate::mail::facts::Facts;
use crate::mail::spoken::Spoken;
use crate::policy::refusal::Refusal;

/// For the answer to a recipient: somewhat more than the vault waits for the upstream.
const ANSWER: Duration = Duration::from_secs(70);
/// For the end of the message, and for an upstream that takes no more of it for a while: more than the courier waits.
pub(super) const END: Duration = Duration::from_secs(100);

impl Visit {
    /// Whether this transaction's message is one.
    pub const fn is_live(&self) -> bool {
        self.live
    }

    /// Asks for a recipient. Its answer comes behind those that were asked for before.
    pub async fn ask_for(&mut self, addressee: Addressee) -> Result<(), Lost> {
        let slot = self.seat().await?.slot();
        self.ask(Ask::Recipient { slot, addressee }).await
    }

    /// The next of these answers.
    pub async fn word(&mut self) -> Result<Word, Lost> {
        self.wait(ANSWER, |inner| inner.words.pop_front()).await
    }

    /// The dot: what the upstream said to it, or is said in its stead; refused; or lost, and then it may have been delivered.
    pub async fn pass(&mut self, facts: Facts) -> Result<Result<Spoken, Refusal>, Lost> {
        let message = self.message.take().ok_or(Lost)?;
        self.content = false;
        let slot = self.seat().await?.slot();
        self.ask(Ask::Commit { slot, facts }).await?;
        match self.answer(END).await? {
            Answer::Passed { spoken, .. } => {
                if spoken.is_positive() {
                    tracing::info!(%message, "a message was acknowledged");
                }
                Ok(Ok(spoken))
            }
            Answer::Refused { refusal, .. } => Ok(Err(refusal)),
            other => {
                tracing::error!(answer = line::word(&other), "the vault's answer does not fit the question");
                self.lose()
            }
        }
    }
}
