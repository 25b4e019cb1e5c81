//! A message that is delivered while its client waits: what the upstream says comes by the vault.

use tokio::time::Instant;

use super::{Lost, Visit, line};
use crate::ipc::session::{Answer, Ask, Word};
use crate::ipc::waits::{ANSWER_AT_EDGE, END_AT_EDGE};
use crate::mail::envelope::Addressee;
use crate::mail::facts::Facts;
use crate::mail::spoken::Spoken;
use crate::policy::refusal::Refusal;

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
        self.wait(ANSWER_AT_EDGE, |inner| inner.words.pop_front()).await
    }

    /// The dot: what the upstream said to it, or is said in its stead; refused; or lost, and then it may have been delivered.
    pub async fn pass(&mut self, facts: Facts) -> Result<Result<Spoken, Refusal>, Lost> {
        let message = self.message.take().ok_or(Lost)?;
        self.content = false;
        // What the last of its content waited for is over: this has its own time.
        self.turn_until(Instant::now() + END_AT_EDGE);
        let slot = self.seat().await?.slot();
        self.ask(Ask::Commit { slot, facts }).await?;
        match self.answer(END_AT_EDGE).await? {
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
