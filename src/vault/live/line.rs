//! The way to the upstream: a job of a courier's, as its message's task sees it.

use std::collections::HashMap;
use std::time::Instant;

use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use uuid::Uuid;

use crate::mail::address::Address;
use crate::mail::outcome::{Outcome, Said};
use crate::mail::spoken::Spoken;
use crate::vault::Vault;
use crate::vault::delivery::courier::live::{Bidding, Brief, End, Event};
use crate::vault::delivery::interrupted::interrupted;
use crate::vault::delivery::schedule::live::Place;

pub struct Line {
    pub place: Place,
    pub lane: String,
    pub delivery: Uuid,
    pub begun: Instant,
    events: UnboundedReceiver<Event>,
    /// Octets that the courier asked for before the content began.
    pub wanted: u32,
    /// Who was accepted, by the number of the question.
    pub accepted: Vec<(u32, Address)>,
    /// What is known of them.
    pub outcomes: HashMap<u32, Outcome>,
    pub end: Option<End>,
}

impl Line {
    /// Offers the message to the courier that has a place for it. None when that is gone.
    pub fn begin(vault: &Vault, place: Place, lane: &str, brief: Brief) -> Option<Self> {
        let (told, events) = unbounded_channel();
        let principal = brief.principal.clone();
        if place.biddings.send((place.job, Bidding::Begin(Box::new(brief), told))).is_err() {
            let mut schedule = vault.schedule.borrow_mut();
            schedule.unsaid(&place.upstream, place.slot.as_ref().map(|slot| slot.slot), 1);
            schedule.left(&place.upstream, place.instance, place.job, &principal);
            return None;
        }
        let (wanted, accepted, outcomes, end) = (0, Vec::new(), HashMap::new(), None);
        let (delivery, begun) = (Uuid::now_v7(), Instant::now());
        Some(Self { place, lane: lane.to_owned(), delivery, begun, events, wanted, accepted, outcomes, end })
    }

    pub fn bid(&self, bidding: Bidding) {
        // A courier that is gone shows where its events are heard.
        let _ = self.place.biddings.send((self.place.job, bidding));
    }

    /// The next event. A courier that is gone has ended all of its jobs.
    pub async fn event(&mut self) -> Event {
        self.events.recv().await.unwrap_or(Event::Ended(End::Fell))
    }

    /// One that has come already.
    pub fn next(&mut self) -> Option<Event> {
        match self.events.try_recv() {
            Ok(event) => Some(event),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => (self.end.is_none()).then_some(Event::Ended(End::Fell)),
        }
    }

    /// What comes while it ends.
    pub fn note(&mut self, event: Event) {
        match event {
            Event::Want(_) | Event::Accepted(_) => {}
            Event::Outcome(number, outcome) => drop(self.outcomes.insert(number, outcome)),
            Event::Ended(end) => self.end = Some(end),
        }
    }

    /// What its sender is told when it is over before the end.
    pub fn spoken(&self, end: &End) -> Spoken {
        match (self.outcomes.values().next(), end) {
            (Some(outcome), _) => Spoken::of(outcome),
            (None, End::Route) => Spoken::no_route(),
            (None, End::Login) => Spoken::no_login(),
            (None, End::BrokenOff(said)) => Spoken::of(&Outcome::Deferred(said.clone())),
            (None, End::Settled | End::GivenUp | End::Fell) => Spoken::lost(),
        }
    }

    /// What became of those who were accepted, each by its number. `is_ended`: the upstream may have been told to deliver.
    pub fn settle(&mut self, is_ended: bool) -> Vec<(u32, Outcome)> {
        let ours = |text: &str| Said { enhanced: Some("4.4.1".into()), text: text.into(), ..Said::default() };
        let rest = match &self.end {
            Some(End::BrokenOff(said)) => Outcome::Deferred(said.clone()),
            Some(End::Route | End::Login) => Outcome::Deferred(ours("the upstream could not be used")),
            Some(End::GivenUp) => Outcome::Deferred(ours("the courier gave it up")),
            Some(End::Settled | End::Fell) | None if !is_ended => Outcome::Deferred(ours("the courier ended")),
            Some(End::Settled | End::Fell) => Outcome::Unknown(interrupted("the courier ended")),
            None => Outcome::Unknown(interrupted("the courier said nothing in time")),
        };
        let of = |number: &u32| self.outcomes.get(number).unwrap_or(&rest).clone();
        self.accepted.iter().map(|(number, _)| (*number, of(number))).collect()
    }
}
