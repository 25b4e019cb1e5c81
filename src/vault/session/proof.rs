//! What proves that a person wrote a session's message.

use super::{Moment, Session, Violation};
use crate::ipc::token::Token;

impl Session {
    /// A token came with the message: once, and with none that is passed on as it comes. Turnstile is asked when all else is decided.
    pub(super) fn proof(&mut self, token: Token) -> Result<(), Violation> {
        match &mut self.moment {
            Moment::Envelope(transaction)
                if transaction.live.is_none() && transaction.proof.is_none() && token.is_sound() =>
            {
                transaction.proof = Some(token);
                Ok(())
            }
            _ => Err(Violation("proof-out-of-order")),
        }
    }
}
