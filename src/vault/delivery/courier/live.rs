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
use crate::secret::Secret;
use crate::vault::audit::event::Name;
use crate::vault::delivery::breaker::Fault;
use crate::vault::delivery::schedule::{give_back, plain, route_event, tell_of};
use crate::vault::transaction::WINDOW;

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
    /// The provider's key that it goes with instead of ours.
    pub key: Option<Secret<String>>,
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

/// One such message at this courier. It has its place until the courier's last word of it, also when it was taken back.
struct Live {
    principal: String,
    day_slot: Option<u64>,
    /// None when it was taken back.
    events: Option<UnboundedSender<Event>>,
    /// Recipients who have no answer yet, and those who were accepted and have no outcome.
    asked: HashSet<u32>,
    accepted: HashSet<u32>,
    is_answered: bool,
    /// Octets that it asked for and was not given.
    wanted: u32,
    /// It was given some, and told that they are all.
    has_content: bool,
    is_ended: bool,
}

impl Live {
    fn new(principal: String, day_slot: Option<u64>, events: UnboundedSender<Event>) -> Self {
        let (asked, accepted, is_answered) = (HashSet::new(), HashSet::new(), false);
        let (wanted, has_content, is_ended) = (0, false, false);
        Self { principal, day_slot, events: Some(events), asked, accepted, is_answered, wanted, has_content, is_ended }
    }

    fn tell(&self, event: Event) {
        if let Some(events) = &self.events {
            // A task that is gone has no use for it.
            let _ = events.send(event);
        }
    }
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
            Progress::Slots(_) | Progress::Rehearsal { .. } | Progress::Verified { .. } => return None,
        };
        self.0.contains_key(&job).then_some(job)
    }
}

impl Courier {
    pub(super) async fn bid(&mut self, job: Job, bidding: Bidding) {
        match bidding {
            Bidding::Begin(brief, events) => {
                let Brief { message, principal, sender, manner, size, day_slot, key } = *brief;
                self.lives.0.insert(job, Live::new(principal, day_slot, events));
                self.say(Offer::Live { job, message, sender, manner, size, key }).await;
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
            Bidding::Content(octets) => {
                if let Some(live) = self.lives.0.get_mut(&job) {
                    live.wanted = live.wanted.saturating_sub(u32::try_from(octets.len()).unwrap_or(u32::MAX));
                    live.has_content = true;
                }
                self.say(Offer::Content { job, octets: Octets(octets) }).await;
            }
            Bidding::End => {
                if let Some(live) = self.lives.0.get_mut(&job) {
                    live.is_ended = true;
                }
                self.say(Offer::End { job, turn: 0 }).await;
            }
            Bidding::Withdraw => {
                if let Some(live) = self.lives.0.get_mut(&job) {
                    live.events = None;
                }
                self.say(Offer::Withdraw { job }).await;
            }
        }
    }

    /// Something about one of them.
    pub(super) async fn hear_of(&mut self, job: Job, said: Progress) -> Result<(), Violation> {
        let Some(live) = self.lives.0.get_mut(&job) else { return Ok(()) };
        match said {
            // It passes from a sender at once to nobody's memory but this courier's and ours.
            Progress::Want { octets, .. } => {
                let wanted = live.wanted.checked_add(octets).filter(|wanted| *wanted <= WINDOW);
                live.wanted = wanted.ok_or(Violation("content-without-end"))?;
                live.tell(Event::Want(octets));
            }
            Progress::Accepted { number, is_answer, .. } => {
                if !live.asked.remove(&number) {
                    return Err(Violation("answer-out-of-order"));
                }
                live.accepted.insert(number);
                live.is_answered |= is_answer;
                live.tell(Event::Accepted(number));
                if is_answer {
                    self.works().await;
                }
            }
            Progress::Recipient { number, outcome, .. } => {
                if !live.asked.remove(&number) && !live.accepted.remove(&number) {
                    return Err(Violation("outcome-out-of-order"));
                }
                let is_answer = outcome.is_answer();
                live.is_answered |= is_answer;
                live.tell(Event::Outcome(number, outcome));
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
            Progress::Ending { .. } | Progress::Slots(_) | Progress::Rehearsal { .. } | Progress::Verified { .. } => {
                return Err(Violation("ending-out-of-order"));
            }
        }
        Ok(())
    }

    async fn no_route(&mut self, job: Job, fault: Fault, reason: &str, rest: Option<Duration>) {
        let reason = plain(reason);
        let pause = self.rest(fault, &reason, rest);
        // What was not ended is given back when it lets go.
        if rest.is_none()
            && let Some(live) = self.lives.0.get(&job).filter(|live| live.is_ended)
        {
            give_back(&self.vault, &self.peer.label, live.day_slot);
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
        self.let_go_of(job, &live);
        live.tell(Event::Ended(end));
    }

    fn let_go_of(&self, job: Job, live: &Live) {
        // The pace is of messages, and this was none: whoever only asks takes nothing of it from others.
        if !live.is_ended {
            self.vault.schedule.borrow_mut().unsaid(&self.peer.label, live.day_slot, 1);
        }
        self.vault.schedule.borrow_mut().left(&self.peer.label, self.peer.instance, job, &live.principal);
        self.vault.poke.notify_one();
    }

    /// The courier is gone: their tasks hear nothing more, nor do those whose messages it never got. Whether it may have been for
    /// one of these that it ended.
    pub(super) fn let_go_of_all(&mut self, mut biddings: UnboundedReceiver<(Job, Bidding)>) -> bool {
        let mut had_content = false;
        for (job, live) in std::mem::take(&mut self.lives.0) {
            had_content |= live.has_content;
            self.let_go_of(job, &live);
        }
        biddings.close();
        while let Ok((job, bidding)) = biddings.try_recv() {
            if let Bidding::Begin(brief, _) = bidding {
                let mut schedule = self.vault.schedule.borrow_mut();
                schedule.unsaid(&self.peer.label, brief.day_slot, 1);
                schedule.left(&self.peer.label, self.peer.instance, job, &brief.principal);
            }
        }
        had_content
    }
}
