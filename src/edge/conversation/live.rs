//! A message that is delivered while its client waits: what the upstream says comes by the vault.

use tokio::time::Instant;

use super::{Lost, Visit};
use crate::ipc::session::{Answer, Ask, Word};
use crate::ipc::waits::{ANSWER_AT_EDGE, END_AT_EDGE};
use crate::mail::envelope::Addressee;
use crate::mail::facts::Facts;
use crate::mail::id::MessageId;
use crate::mail::spoken::Spoken;
use crate::policy::refusal::Refusal;

/// What came of one.
#[derive(Debug)]
pub enum Passed {
    /// By the upstream's word, or what is said in its stead.
    Spoken(Spoken),
    Kept(MessageId),
}

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

    /// The dot: what the upstream said to it, or is said in its stead; kept; refused; or lost, and then it may have been delivered.
    /// When the vault dies after it was asked, its successor is asked whether it was kept.
    pub async fn pass(&mut self, facts: Facts) -> Result<Result<Passed, Refusal>, Lost> {
        let message = self.message.take().ok_or(Lost)?;
        self.content = false;
        // What the last of its content waited for is over: this has its own time.
        let until = Instant::now() + END_AT_EDGE;
        self.turn_until(until);
        let slot = self.seat().await?.slot();
        self.ask(Ask::Commit { slot, facts }).await?;
        let answer = match self.answer(END_AT_EDGE).await {
            Ok(answer) => answer,
            // One that is there and doesn't answer has no successor.
            Err(Lost) if Instant::now() >= until => return Err(Lost),
            Err(Lost) => Answer::Kept { slot, message: self.was(message).await?, suppressed: Vec::new() },
        };
        match answer {
            Answer::Passed { spoken, .. } => {
                if spoken.is_positive() {
                    tracing::info!(%message, "a message was acknowledged");
                }
                Ok(Ok(Passed::Spoken(spoken)))
            }
            Answer::Kept { message, .. } => {
                tracing::info!(%message, "a message was acknowledged");
                Ok(Ok(Passed::Kept(message)))
            }
            Answer::Refused { refusal, .. } => Ok(Err(refusal)),
            other => {
                tracing::error!(answer = other.word(), "the vault's answer does not fit the question");
                self.lose()
            }
        }
    }
}
