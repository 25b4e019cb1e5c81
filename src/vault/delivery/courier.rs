//! One courier: the jobs it has, their content as it asks for it, and their outcomes.

mod acquittal;
mod content;
mod ending;
mod ends;
pub mod live;
mod silence;

pub use ends::behind;

use std::collections::{HashMap, HashSet};
use std::io;
use std::rc::Rc;
use std::time::Instant;

use sha2::{Digest, Sha256};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;

use super::attempt::Attempt;
use super::breaker::Fault;
use super::outcome::PutOff;
use super::poison::Proof;
use super::rehearsal::Rehearsals;
use super::verification::Verifications;
use crate::ipc::channel::{Receiver, Sender};
use crate::ipc::control::Peer;
use crate::ipc::delivery::{Job, MAX_SLOTS, Offer, Progress};
use crate::ipc::frame::MAX_CONTENT;
use crate::mail::address::Address;
use crate::mail::envelope::MAX_ADDRESSEE;
use crate::mail::outcome::Outcome as Delivery;
use crate::vault::Vault;
use crate::vault::audit::event::{Event, Name, Outcome};
use crate::vault::edge::Parting;
use crate::vault::limits::clock::passed_us;
use crate::vault::store::spool::{Body, Leased};

use super::attempt::on_unknown;
pub use content::open;
use ending::Suspects;
use live::Lives;

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
    /// Something is on its way from the disk, or to it.
    reading: bool,
    suspects: Suspects,
    /// The upstream has said something of somebody.
    is_answered: bool,
    /// It takes longer than what ends a courier does: nobody waits for its end.
    is_slow: bool,
    /// Its lease ended with its only outcome, or does when that is on the disk.
    is_released: bool,
}

impl Active {
    /// Whether the outcome that came last is all that its lease waits for: no other is on its way, and nothing is to be written before the end.
    fn ends_with_it(&self) -> bool {
        self.open.is_empty() && self.writing.is_empty() && self.leased.ended == 0
    }
}

/// What a job waited for.
enum Ready {
    Piece(io::Result<Vec<u8>>),
    /// The marks of some recipients are on the disk, if it is `done`.
    Marked {
        turn: u32,
        numbers: HashSet<u32>,
        changes: Vec<(u32, bool)>,
        done: bool,
    },
}

struct Courier {
    vault: Rc<Vault>,
    peer: Peer,
    offers: Sender<Offer>,
    active: HashMap<Job, Active>,
    /// It said how many jobs it takes.
    introduced: bool,
    /// It said that it takes no more: it ends in order, or because its time for that is over.
    drains: bool,
    ready: UnboundedSender<(Job, Ready)>,
    rehearsals: Rehearsals,
    verifications: Verifications,
    lives: Lives,
}

/// A courier said something it may not.
struct Violation(&'static str);

/// Serves one courier until it is gone. What it leaves without an outcome is offered to another at once, if it can't have been
/// delivered.
pub async fn serve(vault: Rc<Vault>, peer: Peer, offers: Sender<Offer>, mut progress: Receiver<Progress>) -> Parting {
    let (lease, mut leased) = unbounded_channel();
    let (ready, mut come) = unbounded_channel();
    let (rehearse, mut rehearsed) = unbounded_channel();
    let (verify, mut shown) = unbounded_channel();
    let (bid, mut biddings) = unbounded_channel();
    vault.schedule.borrow_mut().join(&peer.label, peer.instance, peer.generation, lease);
    vault.schedule.borrow_mut().rehearses(&peer.label, peer.instance, rehearse);
    vault.schedule.borrow_mut().verifies(&peer.label, peer.instance, verify);
    vault.schedule.borrow_mut().bids(&peer.label, peer.instance, bid);
    let (active, rehearsals, introduced, drains) = (HashMap::new(), Rehearsals::default(), false, false);
    let (verifications, lives) = (Verifications::default(), Lives::default());
    let mut courier =
        Courier { vault, peer, offers, active, introduced, drains, ready, rehearsals, verifications, lives };
    let parting = loop {
        let (due, silent) = (courier.next_acquittal(), courier.last_word());
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
            Some((job, ready)) = come.recv() => {
                match ready {
                    Ready::Piece(piece) => courier.pass_on(job, piece).await,
                    Ready::Marked { turn, numbers, changes, done } => {
                        courier.marked(job, turn, numbers, changes, done).await;
                    }
                }
                Ok(())
            }
            Some((job, bidding)) = biddings.recv() => {
                courier.bid(job, bidding).await;
                Ok(())
            }
            job = Courier::acquittal(due) => {
                courier.acquit(job);
                Ok(())
            }
            () = Courier::silence(silent) => {
                courier.tell_of_silence();
                break Parting::LetGo;
            }
            Some(rehearsal) = rehearsed.recv() => {
                let job = courier.vault.schedule.borrow_mut().number();
                let offer = courier.rehearsals.begin(job, rehearsal);
                courier.say(offer).await;
                Ok(())
            }
            Some(verification) = shown.recv() => {
                let job = courier.vault.schedule.borrow_mut().number();
                let offer = courier.verifications.begin(job, verification);
                courier.say(offer).await;
                Ok(())
            }
        };
        if let Err(Violation(word)) = heard {
            courier.accuse(word).await;
            break Parting::LetGo;
        }
    };
    let is_for_a_live_one = courier.let_go_of_all(biddings);
    courier.leave(leased, parting, is_for_a_live_one).await;
    parting
}

impl Courier {
    async fn hear(&mut self, said: Progress) -> Result<(), Violation> {
        if let Some(job) = self.lives.have(&said) {
            return self.hear_of(job, said).await;
        }
        match said {
            // Said once; no more may be lent to a courier than that. One that drains says that it takes no more.
            Progress::Slots(0) => self.drains = true,
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
            Progress::Ending { job, turn, numbers } => self.ending(job, turn, numbers).await?,
            Progress::Recipient { job, number, outcome } => {
                let Some(active) = self.active.get_mut(&job) else { return Ok(()) };
                let (recipient, attempts) = active.open.remove(&number).ok_or(Violation("outcome-out-of-order"))?;
                // What the upstream wasn't asked shows nothing of it.
                let is_answer = !matches!(outcome, Delivery::Unsendable(_));
                active.is_answered |= is_answer;
                if is_answer {
                    self.works().await;
                }
                let ends = self.active.get(&job).is_some_and(Active::ends_with_it);
                self.settle(job, number, &recipient, attempts, &outcome, ends);
            }
            Progress::Settled { job } => {
                let Some(active) = self.active.remove(&job) else { return Ok(()) };
                if !active.open.is_empty() {
                    self.active.insert(job, active);
                    return Err(Violation("settled-without-outcomes"));
                }
                if active.is_answered {
                    self.vault.schedule.borrow_mut().passed(&self.peer.label);
                }
                self.end(active, passed_us(), Proof::Harmless);
            }
            Progress::Fell { job } => {
                self.lose(job, "the delivery fell in the courier");
                let Some(active) = self.active.remove(&job) else { return Ok(()) };
                self.end(active, passed_us(), Proof::Fell);
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
            Progress::GivenUp { job } => self.given_up(job),
            // Of a live message that was withdrawn while this was on its way.
            Progress::Accepted { .. } => {}
            Progress::Rehearsal { job, heard } => self.rehearsals.heard(job, heard).map_err(Violation)?,
            Progress::Verified { job, verified } => self.verifications.heard(job, verified).map_err(Violation)?,
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
        let (reading, suspects, is_answered, is_slow, is_released) = (false, Suspects::default(), false, false, false);
        let active = Active {
            leased,
            open,
            begun,
            put_off,
            writing,
            sent,
            digest,
            wanted,
            reading,
            suspects,
            is_answered,
            is_slow,
            is_released,
        };
        self.active.insert(job, active);
        match (body, self.active.get_mut(&job)) {
            (Ok(body), Some(active)) => active.leased.body = body,
            (Err(error), _) => self.withdraw(job, &error).await,
            (Ok(_), None) => {}
        }
    }

    /// What one outcome means.
    fn settle(
        &mut self,
        job: Job,
        number: u32,
        recipient: &Address,
        attempts: u32,
        delivery: &Delivery,
        end_lease: bool,
    ) {
        let Some(active) = self.active.get_mut(&job) else { return };
        let put_off = *active.put_off.get_or_insert_with(PutOff::now);
        let retry = self.vault.authority.borrow().slice.retry.clone();
        let attempt = Attempt {
            vault: &self.vault,
            upstream: &self.peer.label,
            leased: &active.leased,
            begun: active.begun,
            put_off,
            retry: &retry,
        };
        let writing = attempt.settle(number, recipient, attempts, delivery, end_lease);
        active.writing.push(writing);
        active.is_released |= end_lease;
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

    async fn say(&self, offer: Offer) {
        // A courier that is gone is noticed where its words are read.
        let _ = self.offers.send(offer).await;
    }
}
