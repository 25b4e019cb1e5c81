//! What was posted to a provider's hook.

use super::{DISK, Lost, Visit};
use crate::ipc::bytes::Octets;
use crate::ipc::frame::MAX_CONTENT;
use crate::ipc::hook::{Posted, Verdict};
use crate::ipc::session::{Answer, Ask};

impl Visit {
    /// Shows it to the vault, between transactions. `posted` says how long the body is.
    pub async fn hook(&mut self, posted: Posted, body: &[u8]) -> Result<Verdict, Lost> {
        let slot = self.seat().await?.slot();
        self.ask(Ask::Hook { slot, posted: Box::new(posted) }).await?;
        for octets in body.chunks(MAX_CONTENT) {
            self.ask(Ask::Body { slot, octets: Octets(octets.to_vec()) }).await?;
        }
        match self.answer(DISK).await? {
            Answer::Hooked { verdict, .. } => Ok(verdict),
            other => self.astray(&other),
        }
    }
}
