//! One courier: the jobs it has, their content as it asks for it, and their outcomes.

use std::collections::HashMap;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::{JoinHandle, spawn_local};

use super::breaker::Fault;
use super::outcome::PutOff;
use super::rehearsal::Rehearsals;
use super::schedule::{plain, release, route_event, tell_of};
use super::settlement::{bounded, owes, tell, write};
use super::{outcome, report};
use crate::ipc::bytes::Octets;
use crate::ipc::channel::{Receiver, Sender};
use crate::ipc::control::Peer;
use crate::ipc::delivery::{Job, MAX_SLOTS, Offer, Progress};
use crate::ipc::frame::MAX_CONTENT;
use crate::mail::address::Address;
use crate::mail::envelope::MAX_ADDRESSEE;
use crate::mail::outcome::{Outcome as Delivery, Said};
use crate::vault::Vault;
use crate::vault::audit::event::{Event, Name, Outcome};
use crate::vault::audit::ledger::now_us;
use crate::vault::edge::Parting;
use crate::vault::store::keys::Lock;
use crate::vault::store::segment::Part;
use crate::vault::store::spool::{Body, Leased, Settled, State};
use crate::vault::transaction::microseconds;

/// Octets of a segment read at once.
const READ: usize = 64 * 1024;

/// A message that this courier has.
struct Active {
    leased: Leased,
    /// Recipients without an outcome, with the attempts before this one.
    open: HashMap<u32, (Address, u32)>,
    begun: Instant,
    /// Since its first outcome.
    put_off: Option<PutOff>,
    /// Outcomes on their way to the disk.
    writing: Vec<JoinHandle<()>>,
    sent: u64,
    /// Of what was sent.
    digest: Sha256,
    wanted: u64,
    reading: bool,
    ended: bool,
}

struct Courier {
    vault: Rc<Vault>,
    peer: Peer,
    offers: Sender<Offer>,
    active: HashMap<Job, Active>,
    /// It said how many jobs it takes.
    introduced: bool,
    pieces: UnboundedSender<(Job, io::Result<Vec<u8>>)>,
    rehearsals: Rehearsals,
}

/// A courier said something it may not.
struct Violation(&'static str);

/// Serves one courier until it is gone. What it leaves without an outcome is offered to another at once.
pub async fn serve(vault: Rc<Vault>, peer: Peer, offers: Sender<Offer>, mut progress: Receiver<Progress>) -> Parting {
    let (lease, mut leased) = unbounded_channel();
    let (pieces, mut read) = unbounded_channel();
    let (rehearse, mut rehearsed) = unbounded_channel();
    vault.schedule.borrow_mut().join(&peer.label, peer.instance, peer.generation, lease);
    vault.schedule.borrow_mut().rehearses(&peer.label, peer.instance, rehearse);
    let (active, rehearsals) = (HashMap::new(), Rehearsals::default());
    let mut courier = Courier { vault, peer, offers, active, introduced: false, pieces, rehearsals };
    let parting = loop {
        let heard = tokio::select! {
            said = progress.receive() => match said {
                Ok(Some(said)) => courier.hear(said).await,
                Ok(None) => break Parting::Gone,
                Err(error) => {
                    tracing::error!(upstream = courier.peer.label, %error, "a courier's channel ended");
                    Err(Violation("malformed-frame"))
                }
            },
            Some(message) = leased.recv() => {
                courier.offer(message).await;
                Ok(())
            }
            Some((job, piece)) = read.recv() => {
                courier.pass_on(job, piece).await;
                Ok(())
            }
            Some(rehearsal) = rehearsed.recv() => {
                let job = courier.vault.schedule.borrow_mut().number();
                let offer = courier.rehearsals.begin(job, rehearsal);
                courier.say(offer).await;
                Ok(())
            }
        };
        if let Err(Violation(word)) = heard {
            courier.accuse(word).await;
            break Parting::LetGo;
        }
    };
    courier.leave(leased).await;
    parting
}

impl Courier {
    async fn hear(&mut self, said: Progress) -> Result<(), Violation> {
        match said {
            // Said once; no more may be lent to a courier than that. One that drains says that it takes no more.
            Progress::Slots(0) => {}
            Progress::Slots(slots) => {
                if slots > MAX_SLOTS || std::mem::replace(&mut self.introduced, true) {
                    return Err(Violation("slots-without-end"));
                }
                self.vault.schedule.borrow_mut().room(&self.peer.label, self.peer.instance, u32::from(slots));
                self.vault.poke.notify_one();
            }
            Progress::Want { job, octets } => {
                // A job that was withdrawn while this was on its way.
                let Some(active) = self.active.get_mut(&job) else { return Ok(()) };
                active.wanted = active.wanted.saturating_add(u64::from(octets));
                self.pump(job).await;
            }
            Progress::Recipient { job, number, outcome } => {
                let Some(active) = self.active.get_mut(&job) else { return Ok(()) };
                let (recipient, attempts) = active.open.remove(&number).ok_or(Violation("outcome-out-of-order"))?;
                if self.vault.schedule.borrow_mut().works(&self.peer.label) {
                    let event = route_event(Name::RouteResume, &self.peer.label, None);
                    self.vault.writer.record(vec![event]).await;
                }
                self.settle(job, number, &recipient, attempts, &outcome);
            }
            Progress::Settled { job } => {
                let Some(active) = self.active.remove(&job) else { return Ok(()) };
                if !active.open.is_empty() {
                    self.active.insert(job, active);
                    return Err(Violation("settled-without-outcomes"));
                }
                self.vault.schedule.borrow_mut().passed(&self.peer.label);
                self.end(active, now_us());
            }
            Progress::RouteFailed { job, reason, rest } => {
                let Some(active) = self.active.remove(&job) else { return Ok(()) };
                self.route_failed(active, Fault::Route, &reason, rest).await;
            }
            Progress::LoginRefused { job, reason } => {
                let Some(active) = self.active.remove(&job) else { return Ok(()) };
                self.route_failed(active, Fault::Login, &reason, None).await;
            }
            Progress::BrokenOff { job, said } => self.broke_off(job, said).await,
            Progress::Rehearsal { job, heard } => self.rehearsals.heard(job, heard).map_err(Violation)?,
        }
        Ok(())
    }

    async fn offer(&mut self, leased: Leased) {
        let (job, message) = (Job(leased.job), leased.message);
        let body = open(&leased.lock, &leased.body, leased.bytes);
        let recipients = u32::try_from(leased.recipients.len()).unwrap_or(u32::MAX);
        let (sender, manner) = (leased.sender.clone(), leased.manner.clone());
        self.say(Offer::Message { job, message, sender, manner, size: leased.bytes, recipients }).await;
        for batch in leased.recipients.chunks(MAX_CONTENT / MAX_ADDRESSEE) {
            let batch = batch.iter().map(|(n, addressee, _)| (*n, addressee.clone())).collect();
            self.say(Offer::Recipients { job, batch }).await;
        }
        let open = leased.recipients.iter().map(|(n, to, attempts)| (*n, (to.address.clone(), *attempts))).collect();
        let (begun, put_off, writing) = (Instant::now(), None, Vec::new());
        let leased = Leased { body: Body::Inline(Vec::new()), ..leased };
        let (sent, digest, wanted) = (0, Sha256::new(), 0);
        let active =
            Active { leased, open, begun, put_off, writing, sent, digest, wanted, reading: false, ended: false };
        self.active.insert(job, active);
        match (body, self.active.get_mut(&job)) {
            (Ok(body), Some(active)) => active.leased.body = body,
            (Err(error), _) => self.withdraw(job, &error).await,
            (Ok(_), None) => {}
        }
    }

    /// Sends as much content as was asked for and is at hand.
    async fn pump(&mut self, job: Job) {
        let Some(active) = self.active.get_mut(&job) else { return };
        if active.ended || active.reading {
            return;
        }
        if active.sent >= active.leased.bytes {
            // Before the final dot: until then nothing that was sent is a message.
            if active.digest.clone().finalize().as_slice() != active.leased.sha256 {
                return self.withdraw(job, &changed()).await;
            }
            active.ended = true;
            return self.say(Offer::End { job }).await;
        }
        if active.wanted == 0 {
            return;
        }
        let left = active.leased.bytes - active.sent;
        let length = usize::try_from(active.wanted.min(left)).unwrap_or(READ).min(READ);
        match &active.leased.body {
            Body::Inline(content) => {
                let from = usize::try_from(active.sent).unwrap_or(usize::MAX);
                let piece = content.get(from..from.saturating_add(length)).map(<[u8]>::to_vec);
                let piece = piece.ok_or_else(|| io::Error::other("the body is shorter than it was"));
                let _ = self.pieces.send((job, piece));
            }
            Body::Segment(name) => {
                let (vault, pieces) = (Rc::clone(&self.vault), self.pieces.clone());
                let key = match &active.leased.lock {
                    Lock::Key(key) => Some(key.clone()),
                    Lock::None | Lock::Lost => None,
                };
                let (offset, octets) = (active.sent, active.leased.bytes);
                let part = Part { name: name.clone(), key, octets, offset, length };
                spawn_local(async move {
                    let _ = pieces.send((job, vault.segments.read(part).await));
                });
            }
        }
        active.reading = true;
    }

    async fn pass_on(&mut self, job: Job, piece: io::Result<Vec<u8>>) {
        let Some(active) = self.active.get_mut(&job) else { return };
        let piece =
            piece.and_then(|piece| if piece.is_empty() { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(piece) });
        let piece = match piece {
            Ok(piece) => piece,
            Err(error) => return self.withdraw(job, &error).await,
        };
        let length = u64::try_from(piece.len()).unwrap_or(u64::MAX);
        (active.reading, active.sent) = (false, active.sent + length);
        active.wanted = active.wanted.saturating_sub(length);
        active.digest.update(&piece);
        for octets in piece.chunks(MAX_CONTENT) {
            self.say(Offer::Content { job, octets: Octets(octets.to_vec()) }).await;
        }
        // The end needs no asking for.
        self.pump(job).await;
    }

    /// Our own body can't be read: the courier must not send the final dot. It is tried again until its time is over.
    async fn withdraw(&mut self, job: Job, error: &io::Error) {
        let Some(mut active) = self.active.remove(&job) else { return };
        tracing::error!(message = %active.leased.message, %error, "the body of a message can't be read");
        let event = Event {
            severity: 1,
            message: Some(active.leased.message),
            reason: Some("body-unreadable".into()),
            ..Event::new(Name::IntegrityFailure, Outcome::Failure)
        };
        self.vault.writer.record(vec![event]).await;
        self.say(Offer::Withdraw { job }).await;
        let wait = self.vault.authority.borrow().slice.retry.last().copied().unwrap_or_default();
        self.expire(&mut active);
        self.end(active, now_us() + microseconds(wait));
    }

    /// What one outcome means.
    fn settle(&mut self, job: Job, number: u32, recipient: &Address, attempts: u32, delivery: &Delivery) {
        let Some(active) = self.active.get_mut(&job) else { return };
        let put_off = *active.put_off.get_or_insert_with(PutOff::now);
        let leased = &active.leased;
        let (retry, on_unknown) = {
            let authority = self.vault.authority.borrow();
            // A report that comes twice harms nobody; without one, nobody would know of what was given up. It is from nobody.
            let credential = leased.sender.as_ref().and_then(|_| authority.credentials.get(&leased.principal));
            (authority.slice.retry.clone(), credential.map(|credential| credential.policy.on_unknown))
        };
        let (state, name) =
            outcome::decide(leased, attempts, delivery, &retry, put_off, on_unknown.unwrap_or_default());
        let said = bounded(delivery.said());
        let event = outcome::event(name, leased, &self.peer.label, recipient, attempts + 1, &said);
        let duration = u64::try_from(active.begun.elapsed().as_micros()).ok();
        let mut events = vec![Event { duration_us: duration, ..event }];
        if state == State::Expired {
            events.push(outcome::event(Name::DeliverExpire, leased, &self.peer.label, recipient, attempts + 1, &said));
        }
        events.extend(outcome::by_itself(name, state, leased, recipient));
        let settled = Settled { state, owed: owes(leased, number, state, &said), said };
        tell(leased, &self.peer.label, &settled, name);
        let writing = write(&self.vault, job, leased, vec![(number, settled)], events);
        active.writing.push(writing);
    }

    /// The upstream can't be reached: the route rests, the message is as it was, unless its time is over.
    async fn route_failed(&mut self, mut active: Active, fault: Fault, reason: &str, rest: Option<Duration>) {
        let reason = plain(reason);
        let pause = {
            let (mut schedule, now) = (self.vault.schedule.borrow_mut(), Instant::now());
            let pause = schedule.failed(&self.peer.label, fault, &reason, now);
            let longer = rest.and_then(|rest| schedule.rest_at_least(&self.peer.label, rest, now));
            pause.map(|pause| longer.unwrap_or(pause))
        };
        tell_of(&self.vault, &self.peer.label, pause, fault, reason).await;
        self.expire(&mut active);
        self.end(active, now_us());
    }

    /// The upstream ended its session over a message: that one waits as when it was put off, and the schedule judges the route.
    async fn broke_off(&mut self, job: Job, said: Said) {
        let Some(active) = self.active.get_mut(&job) else { return };
        let (lane, credential) = (active.leased.lane.clone(), active.leased.principal.clone());
        let (open, reason) = (std::mem::take(&mut active.open), said.text.clone());
        let put_off = Delivery::Deferred(said);
        for (number, (recipient, attempts)) in open {
            self.settle(job, number, &recipient, attempts, &put_off);
        }
        let pause = self.vault.schedule.borrow_mut().broke_off(&self.peer.label, &lane, &credential, Instant::now());
        tell_of(&self.vault, &self.peer.label, pause, Fault::Route, plain(&reason)).await;
        if let Some(active) = self.active.remove(&job) {
            self.end(active, now_us());
        }
    }

    /// Gives up the recipients that have no outcome, if the time of the message is over.
    fn expire(&self, active: &mut Active) {
        if now_us() < active.leased.expires_us {
            return;
        }
        let (upstream, said, state) = (&self.peer.label, Said::default(), State::Expired);
        let (mut all, mut events) = (Vec::new(), Vec::new());
        for (number, (recipient, attempts)) in &active.open {
            let attempt = attempts + 1;
            events.push(outcome::event(Name::DeliverExpire, &active.leased, upstream, recipient, attempt, &said));
            let owed = owes(&active.leased, *number, state, &said);
            let settled = Settled { state, owed, said: said.clone() };
            tell(&active.leased, upstream, &settled, Name::DeliverExpire);
            all.push((*number, settled));
        }
        let writing = write(&self.vault, Job(active.leased.job), &active.leased, all, events);
        active.writing.push(writing);
    }

    /// The job is over. Its lease ends when its outcomes are on the disk; what has none waits until then.
    fn end(&self, active: Active, next_us: u64) {
        self.vault.schedule.borrow_mut().back(&self.peer.label, self.peer.instance, 1);
        let vault = Rc::clone(&self.vault);
        self.vault.finish(async move {
            for writing in active.writing {
                // It ends early only with the store.
                let _ = writing.await;
            }
            // Who failed in this attempt is told of when nobody is under way any more.
            let _ = release(&vault, active.leased.job, active.leased.lane, next_us).await;
            report::make_all(&vault).await;
        });
    }

    async fn accuse(&self, word: &'static str) {
        tracing::error!(upstream = self.peer.label, word, "a courier said what it may not; its channel was ended");
        let event = Event {
            severity: 2,
            reason: Some(word.to_owned()),
            upstream: Some(self.peer.label.clone()),
            ..Event::new(Name::IpcViolation, Outcome::Denied)
        };
        self.vault.writer.record(vec![event]).await;
    }

    /// The courier is gone. Outcomes that came stay; the rest is for another.
    async fn leave(mut self, mut leased: UnboundedReceiver<Leased>) {
        self.vault.schedule.borrow_mut().leave(&self.peer.label, self.peer.instance);
        leased.close();
        for (_, active) in std::mem::take(&mut self.active) {
            self.end(active, now_us());
        }
        // What was leased to it and never offered.
        while let Some(message) = leased.recv().await {
            self.vault.schedule.borrow_mut().back(&self.peer.label, self.peer.instance, 1);
            release(&self.vault, message.job, message.lane, now_us());
        }
    }

    async fn say(&self, offer: Offer) {
        // A courier that is gone is noticed where its words are read.
        let _ = self.offers.send(offer).await;
    }
}

/// A small body as it is, and a large one by its name; none when there is no key for it. One that is sealed is longer than
/// what is in it, and so is never taken for one of before bodies were sealed (a segment: see where it is read).
pub fn open(lock: &Lock, body: &Body, octets: u64) -> io::Result<Body> {
    match (lock, body) {
        (Lock::Lost, _) => Err(io::Error::new(io::ErrorKind::InvalidData, "the master key of its key is not here")),
        (Lock::Key(key), Body::Inline(sealed)) => key.open(0, true, sealed.clone()).map(Body::Inline),
        (Lock::None, Body::Inline(content)) if u64::try_from(content.len()) != Ok(octets) => Err(changed()),
        (Lock::Key(_), Body::Segment(_)) | (Lock::None, _) => Ok(body.clone()),
    }
}

fn changed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the body is not what was accepted, or its key is gone")
}
