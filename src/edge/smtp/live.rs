//! RCPT of a message that is delivered while its client waits: those that a client pipelines are asked for together, and answered in
//! their order.

use tokio::io::{AsyncRead, AsyncWrite};

use super::command::{Rcpt, Recipient};
use super::reply::{self, Reply};
use super::session::Session;
use super::transaction::Turn;
use super::wire::{Stop, Wire};
use crate::ipc::session::{MAX_ASKED, Word};
use crate::mail::envelope::Addressee;

/// What the next command of a group begins with; it is whole, and no longer than a command may be.
const RCPT: &[u8] = b"RCPT ";
const LONGEST: usize = 1024;

impl Session {
    /// Asks the vault, and answers the group when this is the last of it.
    pub(super) async fn ask<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        wire: &mut Wire<S>,
        fresh: Addressee,
    ) -> Result<Option<Reply>, Stop> {
        self.visit.ask_for(fresh.clone()).await?;
        if let Some(transaction) = &mut self.transaction {
            transaction.asked.push_back(Turn::Asked(fresh));
        }
        self.end_of_group(wire).await
    }

    /// A reply of our own, behind those of its group.
    pub(super) async fn in_turn<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        wire: &mut Wire<S>,
        reply: Reply,
    ) -> Result<Option<Reply>, Stop> {
        match self.transaction.as_mut().filter(|transaction| !transaction.asked.is_empty()) {
            None => Ok(Some(reply)),
            Some(transaction) => {
                transaction.asked.push_back(Turn::Said(reply));
                self.end_of_group(wire).await
            }
        }
    }

    async fn end_of_group<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        wire: &mut Wire<S>,
    ) -> Result<Option<Reply>, Stop> {
        let asked = self.transaction.as_ref().map_or(0, |transaction| transaction.asked.len());
        if asked < MAX_ASKED && goes_on(wire.inbox.pending()) {
            return Ok(None);
        }
        self.answers(wire).await
    }

    /// Answers what was asked, before anything else is answered.
    pub(super) async fn answer_group<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        wire: &mut Wire<S>,
    ) -> Result<(), Stop> {
        match self.answers(wire).await? {
            Some(last) => self.answer(wire, last).await,
            None => Ok(()),
        }
    }

    /// Waits for the answers of a group, and says all but the last, which is given.
    async fn answers<S: AsyncRead + AsyncWrite + Unpin>(&mut self, wire: &mut Wire<S>) -> Result<Option<Reply>, Stop> {
        let mut last = None;
        while let Some(turn) = self.transaction.as_mut().and_then(|transaction| transaction.asked.pop_front()) {
            let reply = match turn {
                Turn::Said(reply) => reply,
                Turn::Asked(Addressee { address, wish }) => match self.visit.word().await? {
                    Word::Taken => {
                        if let Some(transaction) = &mut self.transaction {
                            transaction.take(address, wish);
                        }
                        reply::RECIPIENT_OK
                    }
                    Word::Refused(refusal) => refusal.into(),
                    Word::Said(spoken) => Reply::spoken(&spoken),
                },
            };
            let most = self.standing.grant.as_ref().map_or(0, |grant| grant.max_recipients);
            if reply.is_put_off() && !self.budget.spare_recipient(most) {
                return Err(reply::TOO_MANY_COMMANDS.into());
            }
            if let Some(before) = last.replace(reply) {
                self.answer(wire, before).await?;
            }
        }
        Ok(last)
    }

    /// Whether this recipient is asked for just now.
    pub(super) fn is_asked(&self, rcpt: &Rcpt) -> bool {
        let Recipient::Mailbox(address) = &rcpt.recipient else { return self.is_asking() };
        let asked = self.transaction.iter().flat_map(|transaction| &transaction.asked);
        asked.into_iter().any(|turn| matches!(turn, Turn::Asked(one) if one.address == *address))
    }

    pub(super) fn is_asking(&self) -> bool {
        self.transaction.as_ref().is_some_and(|transaction| !transaction.asked.is_empty())
    }
}

/// Whether a whole RCPT stands next.
fn goes_on(pending: &[u8]) -> bool {
    let begins = pending.get(..RCPT.len()).is_some_and(|first| first.eq_ignore_ascii_case(RCPT));
    begins && pending.iter().take(LONGEST).any(|octet| *octet == b'\n')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_goes_on_with_a_whole_rcpt_and_nothing_else() {
        let long = [b"RCPT TO:<".to_vec(), vec![b'a'; LONGEST], b">\r\n".to_vec()].concat();
        for (pending, expected) in [
            (&b"RCPT TO:<a@b.test>\r\n"[..], true),
            (b"rcpt to:<a@b.test>\r\nDATA\r\n", true),
            (b"RCPT TO:<a@b.te", false),
            (b"DATA\r\nRCPT TO:<a@b.test>\r\n", false),
            (b"RCPTS\r\n", false),
            (b"", false),
            (&long, false),
        ] {
            assert_eq!(goes_on(pending), expected, "{}", String::from_utf8_lossy(pending));
        }
    }
}
