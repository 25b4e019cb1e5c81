//! A courier's messages whose senders wait: what their tasks want of it, and what it says of them.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};

use super::{Courier, Violation};
use crate::ipc::bytes::Octets;
use crate::ipc::delivery::{Job, Offer, Progress};
use crate::ipc::frame::MAX_CONTENT;
use crate::mail::address::ReversePath;
use crate::mail::envelope::{Addressee, MAX_ADDRESSEE, Manner};
use crate::mail::id::MessageId;
use crate::mail::outcome::{Outcome as Delivery, Said};
use crate::vault::audit::event::Name;
use crate::vault::delivery::breaker::Fault;
use crate::vault::delivery::schedule::{plain, route_event, tell_of};

/// What the task of a message says to the courier that has it.
#[derive(Debug)]
pub enum Bidding {
    Begin(Box<Brief>, UnboundedSender<Event>),
    Recipients(Vec<(u32, Addressee)>),
    Content(Vec<u8>),
    /// All of it was said, and it is on the disk who gets it.
    End,
    /// Nothing comes of it.
    Withdraw,
}

/// What a courier is told first.
#[derive(Debug)]
pub struct Brief {
    pub message: MessageId,
    pub principal: String,
    pub sender: ReversePath,
    pub manner: Manner,
    pub size: Option<u64>,
    /// Where its upstream's day has a pace, the slot that it was taken in.
    pub day_slot: Option<u64>,
}

/// What a task hears of its message. When no more can come, the courier is gone.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    Want(u32),
    Accepted(u32),
    Outcome(u32, Delivery),
    Ended(End),
}

/// How it ended for those who have no outcome.
#[derive(Debug, PartialEq, Eq)]
pub enum End {
    /// There are none.
    Settled,
    Route,
    Login,
    BrokenOff(Said),
    GivenUp,
    Fell,
}

/// One such message at this courier.
struct Live {
    principal: String,
    day_slot: Option<u64>,
    events: UnboundedSender<Event>,
    /// Recipients who have no answer yet, and those who were accepted and have no outcome.
    asked: HashSet<u32>,
    accepted: HashSet<u32>,
    is_answered: bool,
}

/// All of them.
#[derive(Default)]
pub struct Lives(HashMap<Job, Live>);

impl Lives {
    /// Whether something that was said is about one of them.
    pub fn have(&self, said: &Progress) -> Option<Job> {
        let job = match said {
            Progress::Want { job, .. }
            | Progress::Ending { job, .. }
            | Progress::Accepted { job, .. }
            | Progress::Recipient { job, .. }
            | Progress::Settled { job }
            | Progress::RouteFailed { job, .. }
            | Progress::LoginRefused { job, .. }
            | Progress::Fell { job }
            | Progress::BrokenOff { job, .. }
            | Progress::GivenUp { job } => *job,
            Progress::Slots(_) | Progress::Rehearsal { .. } => return None,
        };
        self.0.contains_key(&job).then_some(job)
    }
}

impl Courier {
    pub(super) async fn bid(&mut self, job: Job, bidding: Bidding) {
        match bidding {
            Bidding::Begin(brief, events) => {
                let Brief { message, principal, sender, manner, size, day_slot } = *brief;
                let (asked, accepted, is_answered) = (HashSet::new(), HashSet::new(), false);
                self.lives.0.insert(job, Live { principal, day_slot, events, asked, accepted, is_answered });
                self.say(Offer::Live { job, message, sender, manner, size }).await;
            }
            // It may have ended meanwhile, which its task hears.
            _ if !self.lives.0.contains_key(&job) => {}
            Bidding::Recipients(all) => {
                if let Some(live) = self.lives.0.get_mut(&job) {
                    live.asked.extend(all.iter().map(|(number, _)| *number));
                }
                for batch in all.chunks(MAX_CONTENT / MAX_ADDRESSEE) {
                    self.say(Offer::Recipients { job, batch: batch.to_vec() }).await;
                }
            }
            Bidding::Content(octets) => self.say(Offer::Content { job, octets: Octets(octets) }).await,
            Bidding::End => self.say(Offer::End { job, turn: 0 }).await,
            Bidding::Withdraw => {
                self.say(Offer::Withdraw { job }).await;
                if let Some(live) = self.lives.0.remove(&job) {
                    self.let_go_of(&live);
                }
            }
        }
    }

    /// Something about one of them.
    pub(super) async fn hear_of(&mut self, job: Job, said: Progress) -> Result<(), Violation> {
        let Some(live) = self.lives.0.get_mut(&job) else { return Ok(()) };
        match said {
            // A task that is gone has no use for it.
            Progress::Want { octets, .. } => drop(live.events.send(Event::Want(octets))),
            Progress::Accepted { number, .. } => {
                if !live.asked.remove(&number) {
                    return Err(Violation("answer-out-of-order"));
                }
                live.accepted.insert(number);
                live.is_answered = true;
                let _ = live.events.send(Event::Accepted(number));
                self.works().await;
            }
            Progress::Recipient { number, outcome, .. } => {
                if !live.asked.remove(&number) && !live.accepted.remove(&number) {
                    return Err(Violation("outcome-out-of-order"));
                }
                let is_answer = !matches!(outcome, Delivery::Unsendable(_));
                live.is_answered |= is_answer;
                let _ = live.events.send(Event::Outcome(number, outcome));
                if is_answer {
                    self.works().await;
                }
            }
            Progress::Settled { .. } if !(live.asked.is_empty() && live.accepted.is_empty()) => {
                return Err(Violation("settled-without-outcomes"));
            }
            Progress::Settled { .. } => {
                if live.is_answered {
                    self.vault.schedule.borrow_mut().passed(&self.peer.label);
                }
                self.over(job, End::Settled);
            }
            Progress::Fell { .. } => self.over(job, End::Fell),
            Progress::GivenUp { .. } => self.over(job, End::GivenUp),
            Progress::RouteFailed { reason, rest, .. } => self.no_route(job, Fault::Route, &reason, rest).await,
            Progress::LoginRefused { reason, .. } => self.no_route(job, Fault::Login, &reason, None).await,
            Progress::BrokenOff { said, .. } => {
                let credential = live.principal.clone();
                let pause = self.vault.schedule.borrow_mut().broke_off(&self.peer.label, &credential, Instant::now());
                tell_of(&self.vault, &self.peer.label, pause, Fault::Route, plain(&said.text)).await;
                self.over(job, End::BrokenOff(said));
            }
            Progress::Ending { .. } | Progress::Slots(_) | Progress::Rehearsal { .. } => {
                return Err(Violation("ending-out-of-order"));
            }
        }
        Ok(())
    }

    async fn no_route(&mut self, job: Job, fault: Fault, reason: &str, rest: Option<Duration>) {
        let reason = plain(reason);
        let pause = self.rest(fault, &reason, rest);
        if rest.is_none()
            && let Some(live) = self.lives.0.get(&job)
        {
            self.vault.schedule.borrow_mut().unsaid(&self.peer.label, live.day_slot, 1);
        }
        tell_of(&self.vault, &self.peer.label, pause, fault, reason).await;
        self.over(job, if fault == Fault::Login { End::Login } else { End::Route });
    }

    /// The upstream has answered.
    pub(super) async fn works(&self) {
        if self.vault.schedule.borrow_mut().works(&self.peer.label) {
            self.vault.writer.record(vec![route_event(Name::RouteResume, &self.peer.label, None)]).await;
        }
    }

    fn over(&mut self, job: Job, end: End) {
        let Some(live) = self.lives.0.remove(&job) else { return };
        self.let_go_of(&live);
        let _ = live.events.send(Event::Ended(end));
    }

    fn let_go_of(&self, live: &Live) {
        self.vault.schedule.borrow_mut().left(&self.peer.label, self.peer.instance, &live.principal);
        self.vault.poke.notify_one();
    }

    /// The courier is gone: their tasks hear nothing more, nor do those whose messages it never got.
    pub(super) fn let_go_of_all(&mut self, mut biddings: UnboundedReceiver<(Job, Bidding)>) {
        for (_, live) in std::mem::take(&mut self.lives.0) {
            self.let_go_of(&live);
        }
        biddings.close();
        while let Ok((_, bidding)) = biddings.try_recv() {
            if let Bidding::Begin(brief, _) = bidding {
                let mut schedule = self.vault.schedule.borrow_mut();
                schedule.unsaid(&self.peer.label, brief.day_slot, 1);
                schedule.left(&self.peer.label, self.peer.instance, &brief.principal);
            }
        }
    }
}
