//! What a listener's own dialect makes of a command: LMTP (RFC 2033) has LHLO where SMTP has EHLO, and one reply for each
//! recipient where SMTP has one for the message.

use tokio::io::{AsyncRead, AsyncWrite};

use super::command::{Command, Fault};
use super::reply::{self, Reply};
use super::session::Session;
use super::wire::{Stop, Wire};
use crate::config::slice::Optional;

/// Replies to the end of content that are held before they are written.
const IN_ONE_WRITE: u32 = 256;

impl Session {
    /// The command as this listener has it.
    ///
    /// Errors: it has none such, and what is said to that.
    pub(super) fn understood(&self, command: Command) -> Result<Command, Reply> {
        let optional = match &command {
            Command::Helo(_) => Some(Optional::Helo),
            Command::Help => Some(Optional::Help),
            Command::Vrfy => Some(Optional::Vrfy),
            Command::Expn => Some(Optional::Expn),
            _ => None,
        };
        if optional.is_some_and(|one| self.front.desk.dialect.commands_off.contains(&one)) {
            return Err(reply::NOT_OFFERED);
        }
        match (command, self.standing.lmtp()) {
            (Command::Lhlo(Some(name)), true) => Ok(Command::Ehlo(name)),
            (Command::Lhlo(None), true) => Err(Fault::Hello.into()),
            // RFC 2033 section 4.1: a client of SMTP that came here must notice at once.
            (Command::Ehlo(_) | Command::Helo(_), true) => Err(reply::ONLY_LMTP),
            (command, _) => Ok(command),
        }
    }

    /// The verdict about content that has come to its end, for each recipient that was taken, in their order; the last one is
    /// given back, to be said as every reply is. One verdict holds for all: the vault keeps a message for all of its recipients
    /// or for none, and what becomes of each at the upstream comes later.
    pub(super) async fn for_each_recipient<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        wire: &mut Wire<S>,
        taken: u32,
        verdict: Reply,
    ) -> Result<Reply, Stop> {
        let others = if self.standing.lmtp() { taken.saturating_sub(1) } else { 0 };
        for said in 1..=others {
            wire.say(&verdict);
            if said.is_multiple_of(IN_ONE_WRITE) {
                wire.flush().await?;
            }
        }
        Ok(verdict)
    }
}
