//! A login of several rounds: what the client says goes to the vault as it is, and what the vault says to the client.

use super::{ANSWER, Lost, Visit};
use crate::ipc::session::{Answer, Ask, Denial, Exported, Tls};
use crate::policy::Grant;
use crate::policy::mechanism::Mechanism;
use crate::secret::Secret;

/// What the vault says to it.
#[derive(Debug)]
pub enum Step {
    /// This is told to the client, and what it answers to the vault.
    Challenge(Vec<u8>),
    Over(Result<Box<Grant>, Denial>),
}

impl Visit {
    /// The client's first message, with what its TLS session can be bound by.
    pub async fn begin(
        &mut self,
        mechanism: Mechanism,
        message: Secret<Vec<u8>>,
        exported: Option<Exported>,
        tls: Option<Tls>,
    ) -> Result<Step, Lost> {
        let slot = self.seat().await?.slot();
        self.ask(Ask::Scram { slot, mechanism, message, exported, tls }).await?;
        self.step().await
    }

    /// Its answer to a challenge.
    pub async fn respond(&mut self, message: Secret<Vec<u8>>) -> Result<Step, Lost> {
        let slot = self.seat().await?.slot();
        self.ask(Ask::Respond { slot, message }).await?;
        self.step().await
    }

    /// The client answers nothing.
    pub async fn break_off(&mut self) -> Result<(), Lost> {
        let slot = self.seat().await?.slot();
        self.ask(Ask::Abort { slot }).await
    }

    async fn step(&mut self) -> Result<Step, Lost> {
        match self.answer(ANSWER).await? {
            Answer::Challenge { message, .. } => Ok(Step::Challenge(message.0)),
            Answer::Granted { grant, .. } => {
                self.greet(&grant);
                Ok(Step::Over(Ok(grant)))
            }
            Answer::Denied { denial, .. } => Ok(Step::Over(Err(denial))),
            other => self.astray(&other),
        }
    }
}
