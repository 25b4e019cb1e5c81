//! One message's content on its way to the vault: held until its header was judged, then passed on as it comes.

use std::time::Duration;

use jiff::Timestamp;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::reply::{self, Reply};
use super::tally::{Fault, Tally};
use super::transaction::Setting;
use super::wire::{Stop, Wire};
use crate::edge::conversation::Lost;
use crate::edge::conversation::live::Passed;
use crate::edge::front::Phase;
use crate::ipc::frame::MAX_CONTENT;
use crate::mail::address::Address;
use crate::mail::envelope::Utf8;
use crate::mail::facts::Facts;
use crate::mail::flaw::Flaw;
use crate::mail::{fixup, header};
use crate::policy::refusal::Refusal;

/// Octets of a header, which is held until it was judged as a whole.
pub const MAX_HEADER: usize = 64 * 1024;
/// A client must send this many octets a second, after a while that it has for free: one that trickles would hold its
/// place for ever.
const MIN_RATE: u64 = 500;
const FREE: Duration = Duration::from_secs(60);
const EMPTY_LINE: &[u8] = b"\r\n\r\n";

/// The one reply to the message, and the reply that ends the session after it, if it must end.
#[derive(Debug)]
pub struct Verdict {
    pub reply: Reply,
    pub kept: bool,
    pub end: Option<Reply>,
}

#[derive(Debug)]
enum Stage {
    /// Held, and not yet complete.
    Header(Vec<u8>),
    /// Judged and passed on; the rest follows as it comes.
    Body(Facts),
    /// Read to its end and thrown away.
    Refused(Reply),
}

/// Why a message isn't passed on: for the vault, for its log, and for the client.
#[derive(Debug)]
struct Unfit(Refusal, Option<Flaw>, Reply);

impl From<Flaw> for Unfit {
    fn from(flaw: Flaw) -> Self {
        Self(flaw.refusal(), Some(flaw), flaw.into())
    }
}

impl From<Refusal> for Unfit {
    fn from(refusal: Refusal) -> Self {
        Self(refusal, None, refusal.into())
    }
}

impl From<Fault> for Unfit {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Framing => Flaw::BareOctet.into(),
            Fault::LineTooLong => Flaw::LineTooLong.into(),
        }
    }
}

/// What became of the content so far.
#[derive(Debug)]
pub struct Content {
    stage: Stage,
    /// For how long the client was waited for.
    waited: Duration,
}

impl Default for Content {
    fn default() -> Self {
        Self { stage: Stage::Header(Vec::new()), waited: Duration::ZERO }
    }
}

impl Content {
    /// Reads what more there is, up to about `MAX_CONTENT` octets. Ends the session of a client that sends too slowly, or far
    /// more than it may.
    pub async fn more<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        wire: &mut Wire<S>,
        tally: &Tally,
        setting: &Setting<'_>,
    ) -> Result<(), Stop> {
        if tally.octets() > setting.max_size().saturating_mul(2) {
            return Err(reply::TOO_BIG.into());
        }
        let (of_rate, idle) = (self.patience(tally), setting.front.idle);
        let begun = Instant::now();
        let filled = wire.fill(MAX_CONTENT, begun + of_rate.min(idle), Phase::Closing).await;
        filled.map_err(|stop| match stop == reply::TOO_SLOW.into() && of_rate < idle {
            true => reply::CONTENT_TOO_SLOW.into(),
            false => stop,
        })?;
        self.waited += begun.elapsed();
        Ok(())
    }

    /// How much longer the client may be waited for, for as much as it has sent.
    pub fn patience(&self, tally: &Tally) -> Duration {
        (FREE + Duration::from_secs(tally.octets() / MIN_RATE)).saturating_sub(self.waited)
    }

    /// The client was waited for elsewhere. Ends the session when that was too long.
    pub fn resume(&mut self, waited: Duration, tally: &Tally) -> Result<(), Stop> {
        self.waited += waited;
        if self.patience(tally).is_zero() { Err(reply::CONTENT_TOO_SLOW.into()) } else { Ok(()) }
    }

    /// Takes a block that was scanned: judges what the scanner found, and passes it on.
    pub async fn take(&mut self, block: &[u8], tally: &Tally, setting: &mut Setting<'_>) {
        self.judge(tally, setting).await;
        self.pass(block, setting).await;
    }

    /// What it was refused with, if it was.
    pub fn refused(&self) -> Option<&Reply> {
        match &self.stage {
            Stage::Refused(reply) => Some(reply),
            _ => None,
        }
    }

    /// What the scanner found wrong is told to the vault at once: what it holds of the message is of no more use.
    async fn judge(&mut self, tally: &Tally, setting: &mut Setting<'_>) {
        if matches!(self.stage, Stage::Refused(_)) {
            return;
        }
        if tally.octets() > setting.max_size() {
            return self.refuse(Refusal::TooBig, setting).await;
        }
        if let Some(fault) = tally.fault() {
            self.refuse(fault, setting).await;
        }
    }

    async fn refuse(&mut self, why: impl Into<Unfit>, setting: &mut Setting<'_>) {
        let Unfit(refusal, flaw, reply) = why.into();
        setting.visit.abort().await;
        setting.visit.unfit(&setting.envelope.sender, refusal, flaw);
        self.stage = Stage::Refused(reply);
    }

    async fn pass(&mut self, block: &[u8], setting: &mut Setting<'_>) {
        match &mut self.stage {
            Stage::Refused(_) => (),
            Stage::Body(_) => {
                let sent = setting.visit.chunk(block).await;
                self.settle(sent);
            }
            Stage::Header(held) => {
                let seen = held.len();
                held.extend_from_slice(block);
                if let Some(end) = header_end(held, seen) {
                    let held = std::mem::take(held);
                    self.begin(&held, end, setting).await;
                } else if held.len() > MAX_HEADER {
                    self.refuse(Flaw::TooLong, setting).await;
                }
            }
        }
    }

    /// The header is complete: judge it, fix it up, and pass it on with what came behind it.
    async fn begin(&mut self, held: &[u8], end: usize, setting: &mut Setting<'_>) {
        let Some((block, rest)) = held.split_at_checked(end) else { return };
        if block.len() > MAX_HEADER {
            return self.refuse(Flaw::TooLong, setting).await;
        }
        let Setting { front, grant, helo, with, cipher, envelope, .. } = setting;
        let mut recipients = envelope.recipients.keys();
        let trace = fixup::Trace {
            helo,
            hostname: &front.hostname,
            listener: &front.desk.name,
            with,
            cipher: *cipher,
            id: envelope.message,
            only_recipient: recipients.next().filter(|_| recipients.next().is_none()),
        };
        let own = fixup::mark(&front.hostname, &front.desk.name);
        let rewrite = |author: &Address| grant.rewritten(author).cloned();
        let orders = fixup::Orders { rewrite: &rewrite, remove: &grant.remove_headers };
        let fixed = header::read(block, &own, envelope.utf8 != Utf8::None).map_err(Unfit::from).and_then(|header| {
            grant.authors(&fixup::facts(&header, orders)).map_err(Unfit::from)?;
            fixup::apply(&header, &trace, orders, Timestamp::now()).map_err(Unfit::from)
        });
        match fixed {
            Err(unfit) => self.refuse(unfit, setting).await,
            Ok((mut out, mut facts)) => {
                facts.changes.sender.clone_from(&envelope.given);
                out.extend_from_slice(rest);
                let sent = setting.visit.chunk(&out).await;
                self.stage = Stage::Body(facts);
                self.settle(sent);
            }
        }
    }

    /// Without the vault the content is still read to its end: only then is it the client's turn to hear.
    fn settle(&mut self, sent: Result<(), Lost>) {
        if sent.is_err() {
            self.stage = Stage::Refused(Refusal::StoreUnavailable.into());
        }
    }

    /// The dot, or the end of the last chunk: asks the vault to keep it.
    pub async fn end(mut self, fault: Option<Fault>, setting: &mut Setting<'_>) -> Verdict {
        if let Stage::Header(held) = &mut self.stage {
            // No empty line came: all of it is header.
            let held = std::mem::take(held);
            self.begin(&held, held.len(), setting).await;
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
        if setting.visit.is_live() {
            return match setting.visit.pass(facts).await {
                Ok(Ok(Passed::Kept(message))) => Verdict { reply: Reply::kept(message), kept: true, end: None },
                Ok(Ok(Passed::Spoken(spoken))) => {
                    Verdict { reply: Reply::spoken(&spoken), kept: spoken.is_positive(), end: None }
                }
                Ok(Err(refusal)) => Verdict { reply: refusal.into(), kept: false, end: None },
                Err(Lost) => Verdict { reply: reply::LOST_AT_THE_END, kept: false, end: None },
            };
        }
        match setting.visit.commit(facts).await {
            Ok(Ok(message)) => Verdict { reply: Reply::kept(message), kept: true, end: None },
            Ok(Err(refusal)) => Verdict { reply: refusal.into(), kept: false, end: None },
            Err(Lost) => Verdict { reply: reply::LOST_AFTER_DOT, kept: false, end: None },
        }
    }
}

/// Where the header ends: before the first empty line. None was found in the first `seen` octets, which are looked at no
/// second time: a client that sends octet by octet would have us look at all of them for each.
pub fn header_end(held: &[u8], seen: usize) -> Option<usize> {
    if held.starts_with(b"\r\n") {
        return Some(0);
    }
    let from = seen.saturating_sub(EMPTY_LINE.len() - 1);
    memchr::memmem::find(held.get(from..)?, EMPTY_LINE).map(|at| from + at + 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rule_h9_the_end_of_a_header_is_found_in_whatever_pieces_it_comes() {
        for (content, end) in [("a: b\r\n\r\nc", Some(6)), ("\r\nx\r\n\r\n", Some(0)), ("a\r\n\r", None), ("", None)] {
            for step in 1..=content.len().max(1) {
                let (mut held, mut found) = (Vec::new(), None);
                for piece in content.as_bytes().chunks(step) {
                    let seen = held.len();
                    held.extend_from_slice(piece);
                    found = found.or_else(|| header_end(&held, seen));
                }
                assert_eq!(found, end, "{content:?} {step}");
            }
        }
        // What was seen is not looked at again.
        assert_eq!(header_end(b"a\r\n\r\nbbbb", 8), None);
    }
}
