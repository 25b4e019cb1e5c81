//! A message that comes from another gate: collected as it comes, and taken in by one transaction, under the id it has.
//!
//! Whoever gives it is an administrator, and what a file says of it is judged as what a client says: the rules that its
//! credential has here are asked, save for its header, and what it tells of itself has bounds: its id, times, tries and answers.

use std::io;

use rusqlite::Result as Sql;
use sha2::{Digest, Sha256};

use super::{AGAIN_US, before};
use crate::ipc::admin::queue::listing::Standing;
use crate::ipc::admin::queue::transfer::{Envelope, Recipient};
use crate::mail::address::Address;
use crate::mail::envelope::Utf8;
use crate::mail::id::MessageId;
use crate::mail::outcome::MAX_TEXT;
use crate::policy::reports::{Delays, Reports};
use crate::policy::simulation::LANE;
use crate::policy::{Grant, MOST_TTL, Policy, Reportable};
use crate::vault::audit::event::{Event, Field, MAX_RECIPIENTS, Name, Outcome};
use crate::vault::audit::ledger::now_us;
use crate::vault::cipher::{BodyKey, CHUNK};
use crate::vault::limits::clock::passed_us;
use crate::vault::store::Store;
use crate::vault::store::segment::{self, Piece};
use crate::vault::store::spool::{Accepted, Body};

/// Recipients of one message: more than any credential may have, and no end of memory.
const MAX: usize = 100_000;

/// How far the clock of another gate may be ahead, and what of a life is left at most: a message lives as long as `MOST_TTL` from
/// its release, which may be as far away.
const AHEAD_US: u64 = 86_400_000_000;
const LONGEST_US: u64 = 2 * MOST_TTL * 1_000_000 + AHEAD_US;

/// What has come of a message so far.
pub struct Incoming {
    envelope: Envelope,
    credential: String,
    recipients: Vec<Recipient>,
    key: BodyKey,
    digest: Sha256,
    size: u64,
    buffer: Vec<u8>,
    segment: Option<String>,
}

/// It has come whole, sealed and on the disk.
pub struct Arrived {
    envelope: Envelope,
    credential: String,
    recipients: Vec<Recipient>,
    key: BodyKey,
    body: Body,
}

/// How it is to be kept.
#[derive(Clone, Debug)]
pub struct Keeping {
    pub release: bool,
    /// The rules of its credential were not asked.
    pub regardless: bool,
    /// Its credential is disabled or over: what is to be released is held.
    pub is_over: bool,
    pub note: Option<String>,
    pub actor: String,
    /// The webhook that its credential has here.
    pub webhook: Option<String>,
}

impl Keeping {
    /// By what its sender is told: by a webhook only where its credential has one here.
    fn reports(&self, wanted: Reports) -> Reports {
        if wanted == Reports::Webhook && self.webhook.is_none() { Reports::Mail } else { wanted }
    }
}

/// What came of keeping it: who of it may be offered at once waits in these lanes.
pub struct Kept {
    pub released: bool,
}

impl Incoming {
    /// For that credential instead of its own, if one is named.
    ///
    /// Errors: there can be no such message, in words.
    pub fn new(mut envelope: Envelope, credential: Option<String>) -> Result<Self, &'static str> {
        if !envelope.is_sound() || envelope.bytes == 0 {
            return Err("its envelope has a value that no message has");
        }
        let now = now_us();
        if envelope.accepted_us > now.saturating_add(AHEAD_US) {
            return Err("it was accepted in the future");
        }
        if envelope.expires_us > now.saturating_add(LONGEST_US) {
            return Err("it lives longer than any message does");
        }
        // The clock of the other gate may be ahead, and what is counted from then is its age here.
        envelope.accepted_us = envelope.accepted_us.min(now);
        let credential = credential.unwrap_or_else(|| envelope.credential.clone());
        let (key, digest) = (BodyKey::generate(), Sha256::new());
        let (recipients, buffer, size, segment) = (Vec::new(), Vec::new(), 0, None);
        Ok(Self { envelope, credential, recipients, key, digest, size, buffer, segment })
    }

    pub fn credential(&self) -> &str {
        &self.credential
    }

    /// What has been written of it, to be removed when nothing comes of it.
    pub fn segment(&self) -> Option<String> {
        self.segment.clone()
    }

    /// Errors: why it can be none of its recipients, in words.
    pub fn add(&mut self, mut recipient: Recipient) -> Result<(), &'static str> {
        if self.recipients.len() >= MAX {
            return Err("it has too many recipients");
        }
        if recipient.addressee.address.is_international() && self.envelope.manner.utf8 == Utf8::None {
            return Err("it has an international recipient without SMTPUTF8");
        }
        if !recipient.is_sound() {
            return Err("it has a recipient with a value that none has");
        }
        recipient.next_us = recipient.next_us.min(self.envelope.expires_us);
        let cut = |text: String| text.chars().filter(|c| !c.is_control()).take(MAX_TEXT).collect();
        recipient.enhanced = recipient.enhanced.map(cut);
        recipient.said = recipient.said.map(cut);
        recipient.host = recipient.host.map(cut);
        self.recipients.push(recipient);
        Ok(())
    }

    /// Takes content. Gives the piece that is to be written now.
    ///
    /// Errors: it is more than its envelope says.
    pub fn take(&mut self, octets: &[u8]) -> Result<Option<Piece>, &'static str> {
        self.size += u64::try_from(octets.len()).unwrap_or(u64::MAX);
        if self.size > self.envelope.bytes {
            return Err("it is longer than it says");
        }
        self.digest.update(octets);
        self.buffer.extend_from_slice(octets);
        // Something stays behind, so that the last piece is known as the last when it comes.
        Ok((self.buffer.len() > CHUNK).then(|| self.piece(false)))
    }

    fn piece(&mut self, last: bool) -> Piece {
        // Under an id that nobody else has: a message of its own id may be here, with a segment.
        let name = self.segment.get_or_insert_with(|| segment::name(MessageId::now())).clone();
        let rest = self.buffer.split_off(CHUNK.min(self.buffer.len()));
        Piece { name, key: self.key.clone(), octets: std::mem::replace(&mut self.buffer, rest), last }
    }

    /// The last piece of one that has a segment, and the octets of all.
    ///
    /// Errors: it is not what its envelope says, in words.
    pub fn end(&mut self) -> Result<Option<(Piece, u64)>, &'static str> {
        let Envelope { sender, manner, bytes, sha256, .. } = &self.envelope;
        if sender.as_ref().is_some_and(Address::is_international) && manner.utf8 == Utf8::None {
            return Err("it has an international sender without SMTPUTF8");
        }
        if !self.recipients.iter().any(|one| one.standing.is_open()) {
            return Err("nobody waits for it");
        }
        let mut named: Vec<String> = self.recipients.iter().map(|one| one.addressee.address.to_string()).collect();
        named.sort_unstable();
        if named.windows(2).any(|pair| matches!(pair, [one, other] if one == other)) {
            return Err("it has a recipient twice");
        }
        if self.size != *bytes || self.digest.clone().finalize().as_slice() != sha256 {
            return Err("its content is not what was exported: length or SHA-256 differ");
        }
        Ok(self.segment.is_some().then(|| (self.piece(true), self.size)))
    }

    /// When all of it is written.
    pub fn arrived(self) -> io::Result<Arrived> {
        let Self { envelope, credential, recipients, key, mut buffer, segment, .. } = self;
        let body = match segment {
            Some(name) => Body::Segment(name),
            None => {
                key.seal(0, true, &mut buffer)?;
                Body::Inline(buffer)
            }
        };
        Ok(Arrived { envelope, credential, recipients, key, body })
    }
}

impl Arrived {
    /// Who waits for it, with the sender.
    pub fn waiting(&self) -> impl Iterator<Item = &Address> {
        self.recipients.iter().filter(|one| one.standing.is_open()).map(|one| &one.addressee.address)
    }

    /// What it is kept as here: of a credential that is for tests it is one.
    pub fn is_of(&mut self, policy: &Policy) {
        self.envelope.manner.test |= policy.test;
    }

    pub fn envelope(&self) -> &Envelope {
        &self.envelope
    }

    /// What of the rules that its credential has here speaks against it, in words; `max_size` is what it may have of octets. A
    /// report, which is from nobody or from one of `reporters`, the addresses that reports are from here, goes to whom reports of
    /// its mail may go. Its header is not asked.
    pub fn offence(
        &self,
        policy: &Policy,
        grant: &Grant,
        max_size: u64,
        reporters: &[Address],
    ) -> Option<&'static str> {
        let waiting: Vec<&Address> = self.waiting().collect();
        let most = usize::try_from(grant.max_recipients).unwrap_or(usize::MAX).saturating_add(policy.always_bcc.len());
        let sender = &self.envelope.sender;
        let is_reporter = sender.as_ref().is_none_or(|from| self.envelope.is_report && reporters.contains(from));
        let may_get = |to: &Address| match &grant.redirect {
            _ if is_reporter => policy.reportable(to) != Reportable::Nothing,
            Some(only) => to == only,
            None => grant.recipients.permit(to) || policy.always_bcc.contains(to),
        };
        let offences = [
            (
                policy.pass_through.is_some(),
                "its credential sends with keys of its clients here, and it would go with the gate's own",
            ),
            (self.envelope.bytes > max_size, "it is larger than its credential may send here"),
            (waiting.len() > most, "more wait for it than its credential may send to here"),
            (!is_reporter && grant.sender(sender).is_err(), "its sender is none of its credential's here"),
            (!waiting.into_iter().all(may_get), "its credential may not send to one of those who wait for it here"),
        ];
        offences.into_iter().find_map(|(is, words)| is.then_some(words))
    }

    pub fn credential(&self) -> &str {
        &self.credential
    }

    pub fn segment(&self) -> Option<String> {
        if let Body::Segment(name) = &self.body { Some(name.clone()) } else { None }
    }
}

/// Takes it in, with the lane of each recipient. Otherwise the reason why not.
pub fn keep(
    store: &mut Store<'_>,
    mut arrived: Arrived,
    lane: &dyn Fn(&Address) -> String,
    keeping: &Keeping,
) -> Sql<Result<Kept, &'static str>> {
    let message = arrived.envelope.message;
    let doubted = match before::look(store, message, arrived.waiting())? {
        Ok(doubted) => doubted,
        Err(obstacle) => return Ok(Err(obstacle)),
    };
    // Whatever the file says of them: it may be older than the attempt.
    for one in arrived.recipients.iter_mut().filter(|one| doubted.contains(&one.addressee.address.to_string())) {
        one.unknown = true;
    }
    store.transfer.forget(message)?;
    let doubtful = !doubted.is_empty() || arrived.recipients.iter().any(Recipient::is_doubtful);
    let held = arrived.recipients.iter().any(|one| one.standing == Standing::Held);
    let released = keeping.release && !keeping.is_over && !doubtful && !held;
    let events = events(&arrived, keeping, released);
    let mut first = None;
    store.ledger.tell_clocks()?;
    for event in events {
        let seq = store.ledger.append(event)?;
        first.get_or_insert(seq);
    }
    let Arrived { envelope, credential, recipients, key, body } = arrived;
    let test = envelope.manner.test;
    let lane = |to: &Address| if test { LANE.to_owned() } else { lane(to) };
    let pairs = recipients.iter().map(|one| (one.addressee.clone(), lane(&one.addressee.address)));
    // From nobody comes nothing else.
    let is_report = envelope.is_report || envelope.sender.is_none();
    let accepted = Accepted {
        message,
        session: envelope.session,
        principal: credential,
        sender: envelope.sender,
        manner: envelope.manner,
        recipients: pairs.collect(),
        body,
        key,
        bytes: envelope.bytes,
        sha256: envelope.sha256,
        accepted_us: envelope.accepted_us,
        // The clock of where it comes from may be ahead.
        due_us: envelope.accepted_us.min(passed_us()),
        expires_us: envelope.expires_us,
        on_unknown: envelope.on_unknown,
        reports: keeping.reports(envelope.reports),
        webhook: keeping.webhook.clone(),
        // Each is placed as it stood.
        delays: Delays::Never,
        is_report,
        // Which of them are copies an archive doesn't say.
        named: None,
        owner: None,
        label: None,
    };
    store.accept(&accepted, first.unwrap_or_default())?;
    let Some(open) = store.hold.find(message)? else { return Ok(Err(before::OPEN)) };
    // Nobody is told of a delay who would not be, had it come in here, whatever the archive says.
    let hears = accepted.sender.is_some() && !accepted.is_report && accepted.reports == Reports::Mail;
    for (number, mut recipient) in (0..).zip(recipients) {
        let is_told = hears && Delays::Told.are_told(recipient.addressee.wish.notify);
        recipient.since_us = recipient.since_us.filter(|_| is_told);
        store.transfer.place(open.row, number, &recipient)?;
    }
    store.transfer.suspect(open.row, envelope.ended)?;
    match (released, doubtful) {
        (true, _) => {
            store.hold.release(open.row, now_us())?;
            store.hold.extend(open.row, now_us().saturating_add(AGAIN_US))?;
        }
        (false, true) => store.hold.quarantine(open.row)?,
        (false, false) => store.hold.hold(open.row).map(drop)?,
    }
    Ok(Ok(Kept { released }))
}

/// The event of it, and further ones for recipients beyond what one leaf may hold.
fn events(arrived: &Arrived, keeping: &Keeping, released: bool) -> Vec<Event> {
    let waiting: Vec<&Address> = arrived.waiting().collect();
    let mut said = serde_json::json!({ "accepted_us": arrived.envelope.accepted_us, "released": released });
    if arrived.credential != arrived.envelope.credential {
        said["credential_before"] = arrived.envelope.credential.clone().into();
    }
    if keeping.regardless {
        said["rules"] = "not asked".into();
    }
    if keeping.is_over {
        said["credential"] = "disabled or over".into();
    }
    if let Some(note) = &keeping.note {
        said["note"] = super::noted(note).into();
    }
    let event = |batch: &[&Address]| {
        let event = Event {
            message: Some(arrived.envelope.message),
            actor: Some(keeping.actor.clone()),
            severity: 5,
            bytes: Some(arrived.envelope.bytes),
            rcpt_count: u64::try_from(batch.len()).ok(),
            data: Some(said.to_string()),
            ..Event::new(Name::QueueImport, Outcome::Success)
        };
        let event = event.with(Field::Account, arrived.credential.clone()).sender(&arrived.envelope.sender);
        event.recipients(batch.iter().copied())
    };
    waiting.chunks(MAX_RECIPIENTS).map(event).collect()
}
