//! The content of a session's message: DATA and BDAT, two ways that lead to one verdict.

use tokio::io::{AsyncRead, AsyncWrite};

use super::barred::Barred;
use super::chunk::Chunk;
use super::content::Verdict;
use super::reply::{self, Reply};
use super::session::Session;
use super::transaction::{self, Chunks, Setting};
use super::wire::{Stop, Wire};
use super::xclient::Forwarded;
use crate::config::slice::Extension;
use crate::mail::envelope::Addressee;

/// A chunk of fewer octets that isn't the last does nothing that the next couldn't do: it is charged for as NOOP is.
const SMALL_CHUNK: u64 = 512;

impl Session {
    /// DATA is the last of its group: what stands behind it is not content yet.
    pub(super) async fn data<S: AsyncRead + AsyncWrite + Unpin>(&mut self, wire: &mut Wire<S>) -> Result<Reply, Stop> {
        if wire.is_ahead() {
            return Err(reply::SPEAKS_TOO_EARLY.into());
        }
        if let Some(unfit) = self.unfit() {
            return Ok(unfit);
        }
        if self.transaction.as_ref().is_some_and(|transaction| transaction.chunks.is_some()) {
            return Ok(reply::BETWEEN_CHUNKS);
        }
        self.begin().await?;
        wire.say(&reply::GO_AHEAD);
        let Some((mut setting, _)) = self.setting() else { return Err(reply::BROKEN.into()) };
        let verdict = transaction::receive(wire, &mut setting).await?;
        self.conclude(wire, verdict, true).await
    }

    /// One chunk. Its octets are read to their end whatever the answer is; only what is far too much, and what comes too
    /// slowly, ends the session instead.
    pub(super) async fn bdat<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        wire: &mut Wire<S>,
        chunk: Chunk,
    ) -> Result<Reply, Stop> {
        if chunk.octets > self.standing.size().saturating_mul(2) {
            return Err(reply::TOO_BIG.into());
        }
        if chunk.octets < SMALL_CHUNK && !chunk.last && !self.budget.idle_command(self.standing.grant.is_some()) {
            return Err(reply::TOO_MANY_COMMANDS.into());
        }
        let unfit = match () {
            () if self.standing.needs_tls() => {
                self.barred(Barred::Clear);
                Some(reply::TLS_FIRST)
            }
            // What follows is content all the same, and no command.
            () if !self.standing.offers(Extension::Chunking) => Some(reply::NOT_OFFERED),
            () => self.unfit(),
        };
        if let Some(unfit) = unfit {
            wire.skip(chunk.octets, self.deadline()).await?;
            return Ok(unfit);
        }
        let mut chunks = match self.transaction.as_mut().and_then(|transaction| transaction.chunks.take()) {
            Some(chunks) => chunks,
            None => {
                self.begin().await?;
                Chunks::default()
            }
        };
        let Some((mut setting, between)) = self.setting() else { return Err(reply::BROKEN.into()) };
        match chunks.receive(chunk, wire, &mut setting).await? {
            Some(verdict) => self.conclude(wire, verdict, chunk.last).await,
            None => {
                *between = Some(chunks);
                Ok(reply::CHUNK_OK)
            }
        }
    }

    /// Why there can be no content now.
    fn unfit(&self) -> Option<Reply> {
        match &self.transaction {
            None => Some(reply::NO_TRANSACTION),
            Some(transaction) if transaction.envelope.recipients.is_empty() => Some(match self.standing.lmtp() {
                true => reply::NO_LMTP_RECIPIENT,
                false => reply::NO_RECIPIENT,
            }),
            Some(_) => None,
        }
    }

    /// Tells the vault that the envelope is complete, and what comes now is content.
    async fn begin(&mut self) -> Result<(), Stop> {
        let Some(transaction) = &self.transaction else { return Ok(()) };
        let recipients = transaction.envelope.recipients.iter();
        let recipients: Vec<_> =
            recipients.map(|(address, wish)| Addressee { address: address.clone(), wish: wish.clone() }).collect();
        // Of a live message they were asked for one by one.
        if !self.visit.is_live() {
            self.visit.recipients(&recipients).await?;
        }
        self.visit.content().await?;
        Ok(())
    }

    /// What content needs to know; and the place for what is between two chunks. Without it the session must end: its client
    /// sends content, and none of that may be taken for a command.
    fn setting(&mut self) -> Option<(Setting<'_>, &mut Option<Chunks>)> {
        let utf8 = self.transaction.as_ref().map(|transaction| transaction.envelope.utf8).unwrap_or_default();
        let with = self.standing.with(utf8);
        let (Some(transaction), Some(grant), Some(hello)) =
            (&mut self.transaction, &self.standing.grant, &self.standing.hello)
        else {
            return None;
        };
        let cipher = self.standing.tls.as_ref().map(|tls| tls.cipher.as_str());
        let envelope = &transaction.envelope;
        let (front, visit) = (&*self.front, &mut self.visit);
        Some((Setting { front, grant, helo: &hello.name, with, cipher, envelope, visit }, &mut transaction.chunks))
    }

    /// The transaction is over: at the end of its content, or before it.
    async fn conclude<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        wire: &mut Wire<S>,
        mut verdict: Verdict,
        at_end: bool,
    ) -> Result<Reply, Stop> {
        self.forwarded = Forwarded::default();
        let taken = self.transaction.take().map_or(0, |transaction| transaction.taken);
        if at_end {
            verdict.reply = self.for_each_recipient(wire, taken, verdict.reply).await?;
        }
        if verdict.kept {
            self.budget.served();
        }
        match verdict.end {
            None => Ok(verdict.reply),
            Some(end) => {
                wire.say(&verdict.reply);
                Err(end.into())
            }
        }
    }
}
