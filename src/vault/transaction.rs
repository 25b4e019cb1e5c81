//! One message on its way in: what is collected between MAIL and the dot, and the decision at the dot.

mod body;
mod passing;

use std::rc::Rc;
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::Vault;
use super::acceptance;
use super::admission;
use super::audit::event::Name;
use super::audit::ledger::now_us;
use super::authority::Authority;
use super::cipher::{BodyKey, CHUNK};
use super::delivery::{congestion, suppression};
use super::limits::Reservation;
use super::limits::clock::passed_us;
use super::limits::denial::Denied;
use super::limits::incoming;
use super::live::Live;
use super::once::Holding;
use super::sender::Sender;
use super::shares::Share;
use super::store::segment::{self, Piece};
use super::store::spool::{Accepted, Body};
use super::store::writer::NotStored;
use crate::ipc::frame::MAX_CONTENT;
use crate::ipc::label::Label;
use crate::ipc::session::Tls;
use crate::ipc::token::Token;
use crate::mail::address::{Address, ReversePath};
use crate::mail::dsn::Wish;
use crate::mail::envelope::{Addressee, Manner, Utf8};
use crate::mail::facts::{Changes, Facts};
use crate::mail::id::MessageId;
use crate::policy::mask::Mask;
use crate::policy::refusal::Refusal;
pub use body::{body, refusal};

/// Octets of content a session may have on its way: the constant memory of a message of any size.
pub const WINDOW: u32 = 128 * 1024;
/// Bodies up to this are rows; larger ones go to a segment in pieces of this size.
const INLINE: usize = CHUNK;
/// RFC 5321 section 6.3: so many Received fields mean a loop.
const HOPS: u32 = 100;

/// A transaction that was admitted.
#[derive(Debug)]
pub struct Transaction {
    pub message: MessageId,
    pub sender: ReversePath,
    pub manner: Manner,
    pub helo: String,
    pub tls: Option<Tls>,
    pub recipients: Vec<Address>,
    /// What each of them is to be told.
    wishes: Vec<Wish>,
    pub reservation: Reservation,
    /// Octets the edge may still send.
    credit: u32,
    buffer: Vec<u8>,
    /// All octets so far.
    size: u64,
    segment: Option<String>,
    /// What its body is sealed with.
    key: BodyKey,
    /// What the edge changed by the credential's wish.
    pub changes: Changes,
    /// It is a report itself, by what its header says.
    is_report: bool,
    /// What it will be refused for at the dot, whatever else comes.
    trouble: Option<Refusal>,
    /// Of what its credential has on the way.
    share: Share,
    /// It is delivered while its sender waits.
    pub live: Option<Live>,
    /// Its request is done once.
    pub once: Option<Holding>,
    /// What its client says of it beside it.
    pub label: Option<Box<Label>>,
    /// What came with it to prove that a person wrote it; and the host of the page, once that is proven.
    pub proof: Option<Token>,
    pub proven: Option<String>,
    /// Of what was passed on of it.
    digest: Sha256,
    /// The whole of its body, once that was made.
    sealed: Option<(Body, [u8; 32])>,
}

impl Transaction {
    pub fn new(
        sender: ReversePath,
        manner: Manner,
        helo: String,
        tls: Option<Tls>,
        (reservation, share): (Reservation, Share),
    ) -> Self {
        Self {
            message: MessageId::now(),
            sender,
            manner,
            helo,
            tls,
            recipients: Vec::new(),
            wishes: Vec::new(),
            reservation,
            credit: 0,
            buffer: Vec::new(),
            size: 0,
            segment: None,
            key: BodyKey::generate(),
            changes: Changes::default(),
            is_report: false,
            trouble: None,
            share,
            live: None,
            once: None,
            label: None,
            proof: None,
            proven: None,
            digest: Sha256::new(),
            sealed: None,
        }
    }

    /// More recipients, but never more than the credential may have.
    pub fn add(&mut self, batch: Vec<Addressee>, most: u32) {
        let room = usize::try_from(most).unwrap_or(usize::MAX).saturating_sub(self.recipients.len());
        if batch.len() > room {
            self.fail(Refusal::TooManyRecipients);
        }
        for Addressee { address, wish } in batch.into_iter().take(room) {
            if address.is_international() && self.manner.utf8 == Utf8::None {
                self.fail(Refusal::Utf8);
            }
            self.recipients.push(address);
            self.wishes.push(wish);
        }
    }

    pub fn addressees(&self) -> impl Iterator<Item = Addressee> {
        let pairs = self.recipients.iter().zip(&self.wishes);
        pairs.map(|(address, wish)| Addressee { address: address.clone(), wish: wish.clone() })
    }

    pub fn give(&mut self, octets: u32) {
        self.credit = self.credit.saturating_add(octets);
    }

    pub fn fail(&mut self, refusal: Refusal) {
        self.trouble.get_or_insert(refusal);
    }

    /// Takes content. Gives the piece that is to be written now, and the credit that can be given back at once; none when
    /// it is more than there was credit for. `most`: what the credential may have on the way.
    pub fn take(&mut self, octets: Vec<u8>, max_size: u64, most: u64) -> Option<(Option<Piece>, u32)> {
        let length = self.count(&octets, max_size, most)?;
        if self.trouble.is_some() {
            // Nothing of it will be kept; the edge may go on to the dot.
            self.buffer = Vec::new();
            return Some((None, length));
        }
        self.buffer.extend_from_slice(&octets);
        // Something stays behind, so that the last piece is known as the last when it comes.
        let full = self.buffer.len() > INLINE;
        Some((full.then(|| self.piece(false)), 0))
    }

    /// Counts content, of what it may have; none when it is more than there was credit for.
    fn count(&mut self, octets: &[u8], max_size: u64, most: u64) -> Option<u32> {
        let length = u32::try_from(octets.len()).ok()?;
        self.credit = self.credit.checked_sub(length)?;
        self.size += u64::from(length);
        if self.size > max_size {
            self.fail(Refusal::TooBig);
        }
        if self.trouble.is_none() && self.share.grow(u64::from(length), most).is_err() {
            self.fail(Refusal::RateLimited(incoming::AGAIN));
        }
        Some(length)
    }

    /// What is in the buffer, on its way to the segment: a whole chunk, or what the last one is to hold.
    fn piece(&mut self, last: bool) -> Piece {
        let name = self.segment.get_or_insert_with(|| segment::name(self.message)).clone();
        let end = INLINE.min(self.buffer.len());
        // As large at once as it gets: it is full again soon.
        let mut rest = Vec::with_capacity(if last { 0 } else { INLINE + MAX_CONTENT });
        rest.extend_from_slice(self.buffer.get(end..).unwrap_or_default());
        self.buffer.truncate(end);
        Piece { name, key: self.key.clone(), octets: std::mem::replace(&mut self.buffer, rest), last }
    }

    /// The segment that was begun, if any: to be removed when nothing comes of the message.
    pub fn segment_name(&self) -> Option<String> {
        self.segment.clone()
    }

    pub fn size(&self) -> u64 {
        self.size
    }

    /// The decision, with authority: by the policy of this moment, whatever the edge was told before. Last, the place is used.
    pub fn decide(&mut self, vault: &Vault, sender: &Sender, facts: &Facts) -> Result<(), Denied> {
        match self.trouble {
            // No rate is asked before this: it was more than the credential may have on its way.
            Some(Refusal::RateLimited(_)) => return Err(incoming::beyond(&sender.credential.id)),
            Some(trouble) => return Err(trouble.into()),
            None => {}
        }
        self.manner.test |= sender.credential.policy.test;
        // What has its place there waits for nobody, and has taken of the pace already; a test asks for nothing of it.
        if !self.manner.test && self.live.as_ref().is_none_or(Live::is_alone) {
            congestion::check(vault, &sender.credential, &self.sender, &self.recipients)?;
        }
        let mut authority = vault.authority.borrow_mut();
        let grant = authority.grant(&sender.credential);
        let grant = if self.manner.test { grant.testing() } else { grant };
        grant.sender(&self.sender)?;
        for recipient in &self.recipients {
            grant.recipient(&self.sender, recipient)?;
            if self.manner.require_tls {
                grant.protected(&self.sender, recipient)?;
            }
        }
        for copy in sender.credential.policy.copies(self.recipients.iter()) {
            // Nobody named it, so that nobody's mail is to come back for it: see `congestion::copies`.
            grant.way(&self.sender, copy).map_err(|_| Refusal::CopyNoRoute)?;
            if self.manner.require_tls {
                grant.protected(&self.sender, copy)?;
            }
        }
        grant.authors(facts)?;
        match self.manner.utf8 {
            Utf8::None if facts.utf8 => return Err(Refusal::Utf8.into()),
            Utf8::Allowed if facts.utf8 => self.manner.utf8 = Utf8::Needed,
            _ => {}
        }
        if facts.received > HOPS {
            return Err(Refusal::Loop.into());
        }
        if self.size > authority.max_size(&sender.credential.policy) {
            return Err(Refusal::TooBig.into());
        }
        admission::room(vault, &sender.credential.id)?;
        self.changes = facts.changes.clone();
        self.is_report = facts.is_report;
        // An edge could say any other.
        self.changes.removed.retain(|(name, _)| grant.remove_headers.iter().any(|own| own.name() == name));
        let Authority { limits, slice, clock, .. } = &mut *authority;
        let origin = Authority::origin(slice, &sender.credential, &sender.listener, sender.address);
        let counted = self.counted();
        limits.accept(&mut self.reservation, &origin, &counted, self.size, clock.now())
    }

    /// Gives back what it took, and removes what it wrote.
    pub fn give_up(self, vault: &Rc<Vault>) {
        match &self.live {
            Some(live) => live.give_up(vault, self.reservation),
            None => vault.authority.borrow_mut().release(self.reservation),
        }
        if let Some(segment) = self.segment {
            let own = Rc::clone(vault);
            vault.finish(async move { own.segments.remove(segment).await });
        }
    }
}

/// Keeps a message: its segment is synced, then its rows, its use of the limits and its audit leaves are one transaction.
/// When this returns without an error, the message is ours: **the instant of responsibility**. Gives as `suppression::covered`.
pub async fn keep(vault: &Vault, sender: &Sender, mut transaction: Transaction) -> Result<Vec<u32>, Refusal> {
    let (body, sha256) = match body(vault, &mut transaction).await {
        Ok(found) => found,
        Err(error) => {
            tracing::error!(message = %transaction.message, %error, "the body of a message could not be written");
            return Err(refusal(&error));
        }
    };
    let destinations = sender.credential.policy.destinations(transaction.addressees().collect());
    let events = acceptance::events(Name::MsgAccept, sender, &transaction, &destinations);
    let named = without_copies(&destinations, &transaction);
    let is_told = sender.is_told_of_suppressed();
    let now = now_us();
    let mut accepted = accepted(vault, sender, &transaction, destinations, (body, sha256), now);
    let size = if let Body::Inline(content) = &accepted.body { content.len() } else { 0 };
    let used = vault.authority.borrow_mut().limits.used(&transaction.reservation);
    let alarms = transaction.reservation.events();
    let (urgent, due) = (accepted.is_urgent(), accepted.due_us);
    let lanes: Vec<String> = accepted.recipients.iter().map(|(_, lane)| lane.clone()).collect();
    let passed_us = vault.authority.borrow().clock.passed_us();
    let leaves_us = transaction.manner.release_us.unwrap_or(passed_us).max(passed_us);
    let once = transaction.once.take().map(|holding| (holding.row(transaction.message, leaves_us), holding));
    let row = once.as_ref().map(|(row, _)| row.clone());
    let stored = vault.writer.queue(size, move |store| {
        let Some(suppressed) = suppression::covered(store, &accepted, named, is_told, passed_us)? else {
            return Ok(None);
        };
        let mut seqs = Vec::with_capacity(events.len());
        for event in events {
            seqs.push(store.ledger.append(event)?);
        }
        if let Some(label) = &mut accepted.label
            && store.ledger.masks.of_mail(&accepted.principal, Some(accepted.message)) != Mask::None
        {
            label.subject = None;
        }
        store.accept(&accepted, seqs.first().copied().unwrap_or_default())?;
        store.record(alarms)?;
        row.iter().try_for_each(|row| store.once.keep(row))?;
        store.consumption.consume(&used).map(|()| Some(suppressed))
    });
    match async { stored.await?.answer().await }.await {
        Ok(None) => Err(acceptance::suppressed(vault, sender, &transaction).await),
        Ok(Some(suppressed)) => {
            let gone = once.map(|(row, holding)| holding.done(row, passed_us)).unwrap_or_default();
            if !gone.is_empty() {
                // Nobody waits for it: what is not forgotten on the disk is found there by the next vault, and over in a day.
                drop(vault.writer.queue(0, move |store| gone.iter().try_for_each(|row| store.once.forget(row))).await);
            }
            // What is scheduled for later is in nobody's way until then.
            let who = (due <= now).then_some(sender.credential.id.as_str());
            vault.schedule.borrow_mut().queued(lanes, who, urgent);
            vault.poke.notify_one();
            Ok(suppressed)
        }
        Err(NotStored::Full) => Err(Refusal::StoreFull),
        Err(NotStored::Closed) => Err(Refusal::StoreUnavailable),
    }
}

/// How many it really goes to without the copies, which stand behind them.
fn without_copies(destinations: &[Addressee], transaction: &Transaction) -> usize {
    destinations.len().min(transaction.recipients.len())
}

/// A message as it is kept, in all that its credential says of it.
pub fn accepted(
    vault: &Vault,
    sender: &Sender,
    transaction: &Transaction,
    destinations: Vec<Addressee>,
    (body, sha256): (Body, [u8; 32]),
    now: u64,
) -> Accepted {
    let due = transaction.manner.release_us.map_or_else(|| passed_us().min(now), |release| release.max(now));
    let named = without_copies(&destinations, transaction);
    let authority = vault.authority.borrow();
    let (principal, policy) = (&sender.credential.id, &sender.credential.policy);
    let lane = |to: &Address| authority.lane_of(&transaction.manner, principal, &transaction.sender, to);
    Accepted {
        message: transaction.message,
        session: sender.session,
        principal: principal.clone(),
        recipients: destinations.into_iter().map(|to| (to.clone(), lane(&to.address))).collect(),
        sender: transaction.sender.clone(),
        manner: transaction.manner.clone(),
        body,
        key: transaction.key.clone(),
        bytes: transaction.size,
        sha256,
        accepted_us: now,
        due_us: due,
        // The time that it is tried begins when it may be.
        expires_us: due.max(now).saturating_add(microseconds(authority.lifetime(policy))),
        on_unknown: policy.on_unknown,
        reports: policy.reports_of(transaction.is_report),
        webhook: policy.webhook.clone(),
        delays: policy.delays_of(transaction.is_report),
        is_report: false,
        named: policy.redirect.is_none().then(|| u32::try_from(named).unwrap_or_default()),
        owner: Some(sender.credential.since_us),
        label: transaction.label.clone(),
    }
}

pub fn microseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
