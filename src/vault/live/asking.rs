//! Recipients of a live message: each is asked for where the route leads, and has its answer in its turn.

use std::collections::HashMap;
use std::rc::Rc;
use std::time::{Duration, Instant as Clock};

use tokio::time::{Instant, sleep_until, timeout};

use super::escort::Escort;
use super::intent;
use super::line::Line;
use super::{Order, Word};
use crate::ipc::session::{self, MAX_ASKED};
use crate::mail::envelope::Addressee;
use crate::mail::spoken::Spoken;
use crate::policy::refusal::Refusal;
use crate::vault::audit::ledger::now_us;
use crate::vault::delivery::courier::live::{Bidding, Brief, End, Event};
use crate::vault::delivery::schedule::live::{NoPlace, Place, Waiting};

/// For the answer to RCPT, with all that comes before it: clients wait five minutes (RFC 5321 section 4.5.3.2.3), and the edge
/// somewhat more than this.
const ANSWER: Duration = Duration::from_secs(60);
/// Of that, for a free place.
const PLACE: Duration = Duration::from_secs(10);

impl Escort {
    /// Recipients that the client named in one go.
    pub(super) async fn recipients(&mut self, first: (Addressee, Option<Refusal>)) {
        let mut batch = vec![first];
        while batch.len() < MAX_ASKED && self.ahead.is_none() {
            match self.orders.try_recv() {
                Ok(Order::Recipient(addressee, refused)) => batch.push((addressee, refused)),
                Ok(other) => self.ahead = Some(other),
                Err(_) => break,
            }
        }
        let mut lane = self.line.as_ref().map(|line| line.lane.clone());
        let (mut asked, mut words) = (Vec::new(), Vec::new());
        for (addressee, refused) in batch {
            let own = self.vault.authority.borrow().lane(&self.from.credential.id, &self.sender, &addressee.address);
            let word = match refused {
                Some(refusal) => Err(session::Word::Refused(refusal)),
                // Its client sends it a message of its own.
                None if *lane.get_or_insert_with(|| own.clone()) != own => {
                    Err(session::Word::Refused(Refusal::TooManyRecipients))
                }
                None => {
                    self.number += 1;
                    asked.push((self.number, addressee.clone()));
                    Ok(self.number)
                }
            };
            words.push((addressee, word));
        }
        let mut answers = match (&self.broken, lane) {
            (Some(_), _) | (_, None) => HashMap::new(),
            _ if asked.is_empty() => HashMap::new(),
            (None, Some(lane)) => self.ask(&lane, asked).await,
        };
        let otherwise = self.broken.clone().unwrap_or_else(Spoken::no_route);
        for (addressee, word) in words {
            let answer = |number| answers.remove(&number).unwrap_or_else(|| session::Word::Said(otherwise.clone()));
            let word = word.map_or_else(|refused| refused, answer);
            (self.tell)(Word::Recipient(addressee, word));
        }
    }

    /// Asks for them on the line that there is, or on one to the first upstream of the route that can be used.
    async fn ask(&mut self, lane: &str, asked: Vec<(u32, Addressee)>) -> HashMap<u32, session::Word> {
        let deadline = Instant::now() + ANSWER;
        if let Some(line) = &self.line {
            line.bid(Bidding::Recipients(asked.clone()));
            return self.answers(&asked, deadline).await.0;
        }
        let mut said = Spoken::no_route();
        for upstream in lane.split(',') {
            let Some(place) = self.place(upstream, deadline).await else { continue };
            let brief = Brief {
                message: self.message,
                principal: self.from.credential.id.clone(),
                sender: self.sender.clone(),
                manner: self.manner.clone(),
                size: self.size,
                day_slot: place.slot.as_ref().map(|slot| slot.slot),
            };
            let Some(line) = Line::begin(&self.vault, place, lane, brief) else { continue };
            line.bid(Bidding::Recipients(asked.clone()));
            self.line = Some(line);
            match self.answers(&asked, deadline).await {
                // Nothing was said of anybody: another upstream may take it.
                (answers, Some(End::Route)) if answers.is_empty() => said = Spoken::no_route(),
                (answers, Some(End::Login)) if answers.is_empty() => said = Spoken::no_login(),
                (answers, _) => return answers,
            }
        }
        asked.into_iter().map(|(number, _)| (number, session::Word::Said(said.clone()))).collect()
    }

    /// A place at that upstream, as soon as there is one. None: it can't be used, or there is none in time.
    async fn place(&mut self, upstream: &str, deadline: Instant) -> Option<Place> {
        let (vault, who) = (Rc::clone(&self.vault), self.from.credential.id.clone());
        let freed = Rc::clone(&vault.schedule.borrow().freed);
        let mut waiting = None;
        let wait = async {
            loop {
                // Before it is looked, so that nothing is missed.
                let told = freed.notified();
                let place = vault.schedule.borrow_mut().place(upstream, &who, Clock::now(), now_us());
                match place {
                    Ok(place) => return Some(place),
                    Err(NoPlace::Away) => return None,
                    Err(NoPlace::Busy) => {
                        waiting.get_or_insert_with(|| Waiting::new(&vault, upstream));
                        // A pace lets something through by time alone.
                        let _ = timeout(Duration::from_millis(250), told).await;
                    }
                }
            }
        };
        tokio::select! {
            place = wait => place,
            () = sleep_until(deadline.min(Instant::now() + PLACE)) => None,
            () = self.gone.closed() => None,
        }
    }

    /// The answers to these, by their numbers, and how the line ended if it did. Those who have none then are answered by that, but
    /// where nobody has one.
    async fn answers(
        &mut self,
        asked: &[(u32, Addressee)],
        deadline: Instant,
    ) -> (HashMap<u32, session::Word>, Option<End>) {
        let mut answers = HashMap::new();
        while answers.len() < asked.len() {
            let Some(line) = &mut self.line else { break };
            let event = tokio::select! {
                event = line.event() => event,
                () = sleep_until(deadline) => {
                    line.bid(Bidding::Withdraw);
                    Event::Ended(End::GivenUp)
                }
                () = self.gone.closed() => break,
            };
            let of = |number| asked.iter().find(|(own, _)| *own == number).map(|(_, to)| to.address.clone());
            match event {
                Event::Want(octets) => line.wanted = line.wanted.saturating_add(octets),
                Event::Accepted(number) => {
                    if let Some(address) = of(number) {
                        line.accepted.push((number, address));
                        answers.insert(number, session::Word::Taken);
                    }
                }
                Event::Outcome(number, outcome) => match of(number) {
                    Some(address) => {
                        intent::refused(&self.vault, &self.from, self.message, line, &address, &outcome).await;
                        answers.insert(number, session::Word::Said(Spoken::of(&outcome)));
                    }
                    None => drop(line.outcomes.insert(number, outcome)),
                },
                Event::Ended(end) => {
                    let spoken = line.spoken(&end);
                    let is_the_routes = matches!(end, End::Route | End::Login) && answers.is_empty();
                    let is_over = line.accepted.is_empty();
                    let ended = match end {
                        End::Route => End::Route,
                        End::Login => End::Login,
                        _ => End::Settled,
                    };
                    self.over(end, spoken.clone()).await;
                    if !(is_the_routes && is_over) {
                        for (number, _) in asked {
                            answers.entry(*number).or_insert_with(|| session::Word::Said(spoken.clone()));
                        }
                    }
                    return (answers, Some(ended));
                }
            }
        }
        (answers, None)
    }
}
