//! How a transaction begins.

use super::{DISK, Lost, Visit};
use crate::ipc::label::Label;
use crate::ipc::once::Once;
use crate::ipc::session::{Answer, Ask, Tls};
use crate::ipc::token::Token;
use crate::mail::address::ReversePath;
use crate::mail::envelope::Manner;
use crate::mail::id::MessageId;
use crate::policy::refusal::Refusal;

/// How the transaction of a request begins.
#[derive(Clone, Copy, Debug)]
pub enum Begun {
    Reserved(MessageId),
    /// It doesn't: the request was done before, and this came of it.
    Repeated(MessageId),
}

impl Visit {
    /// A transaction begins, of a request that is done once. Errors within: it is refused.
    pub async fn mail_once(
        &mut self,
        sender: ReversePath,
        size: u64,
        manner: Manner,
        tls: Option<Tls>,
        once: Option<Once>,
    ) -> Result<Result<Begun, Refusal>, Lost> {
        let (slot, size) = (self.seat().await?.slot(), Some(size));
        let helo = String::new();
        self.ask(Ask::Mail { slot, sender, size, manner, helo, tls, once: once.map(Box::new) }).await?;
        match self.answer(DISK).await? {
            Answer::Repeated { message, .. } if once.is_some() => Ok(Ok(Begun::Repeated(message))),
            answer => Ok(self.reserved(answer).await?.map(Begun::Reserved)),
        }
    }

    /// A transaction begins. Gives the message's id.
    pub async fn mail(
        &mut self,
        sender: ReversePath,
        size: Option<u64>,
        manner: Manner,
        helo: String,
        tls: Option<Tls>,
    ) -> Result<Result<MessageId, Refusal>, Lost> {
        let slot = self.seat().await?.slot();
        self.ask(Ask::Mail { slot, sender, size, manner, helo, tls, once: None }).await?;
        let answer = self.answer(DISK).await?;
        self.reserved(answer).await
    }

    /// What the client says of the message beside it.
    pub async fn label(&mut self, label: Label) -> Result<(), Lost> {
        let slot = self.seat().await?.slot();
        self.ask(Ask::Label { slot, label: Box::new(label) }).await
    }

    /// What came with the message to prove that a person wrote it.
    pub async fn prove(&mut self, token: Token) -> Result<(), Lost> {
        let slot = self.seat().await?.slot();
        self.ask(Ask::Prove { slot, token }).await
    }

    async fn reserved(&mut self, answer: Answer) -> Result<Result<MessageId, Refusal>, Lost> {
        match answer {
            Answer::Reserved { message, backed_up, live, .. } => {
                (self.message, self.content, self.backed_up, self.live) = (Some(message), false, backed_up, live);
                Ok(Ok(message))
            }
            Answer::Refused { refusal, .. } => Ok(Err(refusal)),
            other => self.astray(&other),
        }
    }
}
