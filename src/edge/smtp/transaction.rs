//! One transaction: from MAIL to the dot, or to the last chunk.

use std::collections::{BTreeMap, VecDeque};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::chunk::{self, Chunk};
use super::content::{Content, Verdict};
use super::data;
use super::reply::Reply;
use super::wire::{Stop, Wire};
use crate::edge::conversation::Visit;
use crate::edge::front::Front;
use crate::mail::address::{Address, ReversePath};
use crate::mail::dsn::Wish;
use crate::mail::envelope::{Addressee, Utf8};
use crate::mail::id::MessageId;
use crate::policy::Grant;
use crate::policy::presence::neighbourhood;

#[derive(Debug)]
pub struct Transaction {
    pub envelope: Envelope,
    /// Replies to RCPT that took one. A recipient that is named twice is taken twice.
    pub taken: u32,
    /// The vault was told that there were too many recipients.
    pub overflowed: bool,
    /// The content has begun to come in chunks.
    pub chunks: Option<Chunks>,
    /// Of a live message, what is to be answered in this order as soon as the upstream has.
    pub asked: VecDeque<Turn>,
}

/// A recipient of a live message in its group.
#[derive(Debug)]
pub enum Turn {
    /// Answered already.
    Said(Reply),
    Asked(Addressee),
}

impl Transaction {
    pub fn new(envelope: Envelope) -> Self {
        Self { envelope, taken: 0, overflowed: false, chunks: None, asked: VecDeque::new() }
    }

    pub fn take(&mut self, address: Address, wish: Wish) {
        self.envelope.recipients.insert(address, wish);
        self.taken = self.taken.saturating_add(1);
    }
}

#[derive(Debug)]
pub struct Envelope {
    pub message: MessageId,
    pub sender: ReversePath,
    /// Who the client said, when the credential's mail goes out as another's.
    pub given: ReversePath,
    pub utf8: Utf8,
    pub require_tls: bool,
    /// Each once, however often it was named, and what it is to be told.
    pub recipients: BTreeMap<Address, Wish>,
}

/// Content between two of its chunks.
#[derive(Debug)]
pub struct Chunks {
    scanner: chunk::Scanner,
    content: Content,
    /// Since then it is the client's turn to send the next.
    since: Instant,
}

/// What the trace field, the decision about the header and the vault need to know of the session.
#[derive(Debug)]
pub struct Setting<'a> {
    pub front: &'a Front,
    pub grant: &'a Grant,
    pub helo: &'a str,
    /// RFC 3848.
    pub with: &'static str,
    pub cipher: Option<&'a str>,
    pub envelope: &'a Envelope,
    pub visit: &'a mut Visit,
}

impl Setting<'_> {
    /// Octets of the message.
    pub fn max_size(&self) -> u64 {
        self.grant.size(self.front.max_size)
    }

    /// Tells that this message was changed, and whose device is to be set right: a hundred of a listener's in a minute, and then
    /// their number.
    fn repaired(&self, lines: u64) {
        let listener = self.front.desk.name.clone();
        let further =
            move |messages| tracing::info!(listener, messages, "further messages were repaired, not told one by one");
        let (client, message) = (self.visit.client(), self.envelope.message);
        if self.front.repaired.has_line_for(neighbourhood(client), further) {
            let (listener, account) = (&self.front.desk.name, &self.grant.principal);
            tracing::info!(listener, %client, account, id = %message, lines, "bare line feeds were made line ends");
        }
    }
}

/// DATA: reads the content to its dot, passing it on as it comes, and asks the vault to keep it.
pub async fn receive<S: AsyncRead + AsyncWrite + Unpin>(
    wire: &mut Wire<S>,
    setting: &mut Setting<'_>,
) -> Result<Verdict, Stop> {
    let (mut scanner, mut content) =
        (data::Scanner::new(setting.front.desk.dialect.repair_bare_lf), Content::default());
    let mut block = Vec::new();
    loop {
        block.clear();
        let scanned = scanner.scan(wire.inbox.pending(), &mut block);
        wire.inbox.consume(scanned.consumed);
        content.take(&block, scanner.tally(), setting).await;
        if scanned.ended {
            wire.content_came(scanner.tally().octets());
            let verdict = content.end(scanner.tally().fault(), setting).await;
            if verdict.kept && scanner.repaired() > 0 {
                setting.repaired(scanner.repaired());
            }
            return Ok(verdict);
        }
        content.more(wire, scanner.tally(), setting).await?;
        setting.visit.turn();
    }
}

/// The first is about to come.
impl Default for Chunks {
    fn default() -> Self {
        Self { scanner: chunk::Scanner::default(), content: Content::default(), since: Instant::now() }
    }
}

impl Chunks {
    /// When the next must have begun, whatever else is said meanwhile: what came so far is held for a client that sends.
    pub fn deadline(&self) -> Instant {
        self.since + self.content.patience(self.scanner.tally())
    }

    /// BDAT: reads one chunk to its end, whatever is thought of it meanwhile, so that none of it is taken for a command.
    ///
    /// None: it was taken, and others follow. RFC 3030 section 2: one that is refused ends the transaction.
    pub async fn receive<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        chunk: Chunk,
        wire: &mut Wire<S>,
        setting: &mut Setting<'_>,
    ) -> Result<Option<Verdict>, Stop> {
        let Self { scanner, content, since } = self;
        content.resume(since.elapsed(), scanner.tally())?;
        let mut left = usize::try_from(chunk.octets).unwrap_or(usize::MAX);
        let mut block = Vec::new();
        while left > 0 {
            let pending = wire.inbox.pending();
            let here = pending.get(..left).unwrap_or(pending);
            if here.is_empty() {
                content.more(wire, scanner.tally(), setting).await?;
                setting.visit.turn();
                continue;
            }
            block.clear();
            scanner.scan(here, &mut block);
            let taken = here.len();
            wire.inbox.consume(taken);
            left -= taken;
            content.take(&block, scanner.tally(), setting).await;
        }
        wire.content_came(chunk.octets);
        if chunk.last {
            block.clear();
            scanner.finish(&mut block);
            content.take(&block, scanner.tally(), setting).await;
        }
        if chunk.last || content.refused().is_some() {
            let (fault, content) = (scanner.tally().fault(), std::mem::take(content));
            return Ok(Some(content.end(fault, setting).await));
        }
        *since = Instant::now();
        Ok(None)
    }
}
