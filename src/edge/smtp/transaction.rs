//! One transaction: from MAIL to the dot.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::data::{Fault, Scanner};
use super::reply::{self, Reply};
use super::wire::{Stop, Wire};
use crate::edge::conversation::{Lost, Visit};
use crate::edge::front::{Front, Phase};
use crate::ipc::frame::MAX_CONTENT;
use crate::mail::address::{Address, ReversePath};
use crate::mail::facts::Facts;
use crate::mail::id::MessageId;
use crate::mail::{fixup, header};
use crate::policy::Grant;
use crate::policy::refusal::Refusal;

/// Octets of a header, which is held until it was judged as a whole.
const MAX_HEADER: usize = 64 * 1024;
/// A client must send this many octets a second, after a while that it has for free: one that trickles would hold its
/// place for ever.
const MIN_RATE: u64 = 500;
const FREE: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub struct Transaction {
    pub message: MessageId,
    pub sender: ReversePath,
    /// Each once, however often it was named.
    pub recipients: BTreeSet<Address>,
    /// The vault was told that there were too many.
    pub overflowed: bool,
}

/// What the trace field and the decision about the header need to know of the session.
#[derive(Debug)]
pub struct Setting<'a> {
    pub front: &'a Front,
    pub grant: &'a Grant,
    pub helo: &'a str,
    /// RFC 3848.
    pub with: &'static str,
    pub cipher: Option<&'a str>,
}

impl Setting<'_> {
    /// Octets of the message.
    fn max_size(&self) -> u64 {
        self.grant.size(self.front.max_size)
    }
}

/// The one reply to the message, and the reply that ends the session after it, if it must end.
#[derive(Debug)]
pub struct Verdict {
    pub reply: Reply,
    pub kept: bool,
    pub end: Option<Reply>,
}

/// Content on its way through.
enum Stage {
    /// Held, and not yet complete.
    Header(Vec<u8>),
    /// Judged and passed on; the rest follows as it comes.
    Body(Facts),
    /// Read to its end and thrown away.
    Refused(Reply),
}

struct Content<'a> {
    transaction: &'a Transaction,
    setting: &'a Setting<'a>,
    visit: &'a mut Visit,
    stage: Stage,
}

impl Transaction {
    /// Reads the content to its end, passing it on as it comes, and asks the vault to keep it.
    pub async fn receive<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        wire: &mut Wire<S>,
        visit: &mut Visit,
        setting: &Setting<'_>,
    ) -> Result<Verdict, Stop> {
        let mut content = Content { transaction: self, setting, visit, stage: Stage::Header(Vec::new()) };
        let mut scanner = Scanner::default();
        let mut block = Vec::new();
        let mut waited = Duration::ZERO;
        loop {
            block.clear();
            let scanned = scanner.scan(wire.inbox.pending(), &mut block);
            wire.inbox.consume(scanned.consumed);
            content.judge(&scanner).await;
            content.pass(&block).await;
            if scanned.ended {
                return Ok(content.end(scanner.fault()).await);
            }
            if scanner.octets() > setting.max_size().saturating_mul(2) {
                return Err(reply::TOO_BIG.into());
            }
            let allowed = FREE + Duration::from_secs(scanner.octets() / MIN_RATE);
            let patience = allowed.saturating_sub(waited).min(setting.front.idle);
            let begun = Instant::now();
            wire.fill(MAX_CONTENT, begun + patience, Phase::Closing).await?;
            waited += begun.elapsed();
        }
    }
}

impl Content<'_> {
    /// What the scanner found wrong is told to the vault at once: what it holds of the message is of no more use.
    async fn judge(&mut self, scanner: &Scanner) {
        if matches!(self.stage, Stage::Refused(_)) {
            return;
        }
        if scanner.octets() > self.setting.max_size() {
            return self.refuse(Refusal::TooBig, Refusal::TooBig.into()).await;
        }
        match scanner.fault() {
            Some(Fault::Framing) => self.refuse(Refusal::Framing, Refusal::Framing.into()).await,
            Some(Fault::LineTooLong) => self.refuse(Refusal::Framing, reply::DATA_LINE_TOO_LONG).await,
            None => (),
        }
    }

    async fn refuse(&mut self, refusal: Refusal, reply: Reply) {
        self.visit.abort().await;
        self.visit.turned(&self.transaction.sender, None, refusal);
        self.stage = Stage::Refused(reply);
    }

    async fn pass(&mut self, block: &[u8]) {
        match &mut self.stage {
            Stage::Refused(_) => (),
            Stage::Body(_) => {
                let sent = self.visit.chunk(block).await;
                self.settle(sent);
            }
            Stage::Header(held) => {
                held.extend_from_slice(block);
                if let Some(end) = header_end(held) {
                    let held = std::mem::take(held);
                    self.begin(&held, end).await;
                } else if held.len() > MAX_HEADER {
                    self.refuse(Refusal::Header, header::Fault::TooLong.into()).await;
                }
            }
        }
    }

    /// The header is complete: judge it, fix it up, and pass it on with what came behind it.
    async fn begin(&mut self, held: &[u8], end: usize) {
        let Some((block, rest)) = held.split_at_checked(end) else { return };
        if block.len() > MAX_HEADER {
            return self.refuse(Refusal::Header, header::Fault::TooLong.into()).await;
        }
        let Setting { front, grant, helo, with, cipher } = self.setting;
        let mut recipients = self.transaction.recipients.iter();
        let trace = fixup::Trace {
            helo,
            hostname: &front.hostname,
            listener: &front.desk.name,
            with,
            cipher: *cipher,
            id: self.transaction.message,
            only_recipient: recipients.next().filter(|_| recipients.next().is_none()),
        };
        let own = fixup::mark(&front.hostname, &front.desk.name);
        let fixed = header::read(block, &own).and_then(|header| fixup::apply(&header, &trace, Timestamp::now()));
        match fixed {
            Err(fault) => self.refuse(fault.refusal(), fault.into()).await,
            Ok((mut out, facts)) => match grant.authors(&facts) {
                Err(refusal) => self.refuse(refusal, refusal.into()).await,
                Ok(()) => {
                    out.extend_from_slice(rest);
                    let sent = self.visit.chunk(&out).await;
                    self.stage = Stage::Body(facts);
                    self.settle(sent);
                }
            },
        }
    }

    /// Without the vault the content is still read to its end: only then is it the client's turn to hear.
    fn settle(&mut self, sent: Result<(), Lost>) {
        if sent.is_err() {
            self.stage = Stage::Refused(Refusal::StoreUnavailable.into());
        }
    }

    /// The dot.
    async fn end(mut self, fault: Option<Fault>) -> Verdict {
        if let Stage::Header(held) = &mut self.stage {
            // No empty line came: all of it is header.
            let held = std::mem::take(held);
            self.begin(&held, held.len()).await;
        }
        let facts = match self.stage {
            _ if fault == Some(Fault::Framing) => {
                let end = Some(reply::AFTER_BAD_CONTENT);
                return Verdict { reply: Refusal::Framing.into(), kept: false, end };
            }
            Stage::Body(facts) => facts,
            Stage::Refused(reply) => return Verdict { reply, kept: false, end: None },
            Stage::Header(_) => Facts::default(),
        };
        match self.visit.commit(facts).await {
            Ok(Ok(message)) => Verdict { reply: Reply::kept(message), kept: true, end: None },
            Ok(Err(refusal)) => Verdict { reply: refusal.into(), kept: false, end: None },
            Err(Lost) => Verdict { reply: reply::LOST_AFTER_DOT, kept: false, end: None },
        }
    }
}

/// Where the header ends: before the first empty line.
fn header_end(held: &[u8]) -> Option<usize> {
    if held.starts_with(b"\r\n") {
        return Some(0);
    }
    memchr::memmem::find(held, b"\r\n\r\n").map(|at| at + 2)
}
