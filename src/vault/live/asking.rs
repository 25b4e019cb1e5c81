//! Recipients of a live message: each is asked for where the route leads, and has its answer in its turn.

use std::collections::HashMap;
use std::rc::Rc;
use std::time::{Duration, Instant as Clock};

use tokio::time::{Instant, sleep_until, timeout};

use super::escort::Escort;
use super::hold::Hold;
use super::intent;
use super::line::Line;
use super::{Order, Question, Word};
use crate::ipc::session::{self, MAX_ASKED};
use crate::ipc::waits::ANSWER;
use crate::mail::address::Address;
use crate::mail::envelope::Addressee;
use crate::mail::spoken::Spoken;
use crate::policy::refusal::Refusal;
use crate::vault::audit::event::Event as Leaf;
use crate::vault::audit::ledger::now_us;
use crate::vault::authority::Authority;
use crate::vault::delivery::courier::live::{Bidding, Brief, End, Event};
use crate::vault::delivery::schedule::live::{NoPlace, Place, Waiting};
use crate::vault::limits::denial::Denied;
use crate::vault::store::writer::NotStored;
use crate::vault::telling;

/// Of the time for an answer, for a free place.
const PLACE: Duration = Duration::from_secs(if cfg!(test) { 2 } else { 10 });

impl Escort {
    /// Recipients that the client named in one go. It waits from the first of them on.
    pub(super) async fn recipients(&mut self, first: Question) {
        let deadline = first.asked + ANSWER;
        let mut batch = vec![first];
        while batch.len() < MAX_ASKED && self.ahead.is_none() {
            match self.orders.try_recv() {
                Ok(Order::Recipient(question)) => batch.push(question),
                Ok(other) => self.ahead = Some(other),
                Err(_) => break,
            }
        }
        self.suppress(&mut batch).await;
        let mut lane = self.line.as_ref().map(|line| line.lane.clone());
        let (mut asked, mut words) = (Vec::new(), Vec::new());
        for Question { addressee, refused, .. } in batch {
            let own = self.vault.authority.borrow().lane(&self.from.credential.id, &self.sender, &addressee.address);
            let word = match refused.map_or_else(|| self.room(&asked, &addressee.address), |why| Err(why.into())) {
                Err(denied) => Err(session::Word::Refused(self.refuse(&addressee.address, denied).await)),
                Ok(()) if self.is_alone => Err(session::Word::Taken),
                // What those before it were told is final, and so it goes no other way.
                Ok(()) if self.broken.is_some() => {
                    Err(session::Word::Said(self.broken.clone().unwrap_or_else(Spoken::no_route)))
                }
                Ok(()) if *lane.get_or_insert_with(|| own.clone()) != own => match self.keeps {
                    // Its client sends it a message of its own.
                    false => Err(session::Word::Refused(Refusal::TooManyRecipients)),
                    true => {
                        self.fall();
                        Err(session::Word::Taken)
                    }
                },
                Ok(()) => {
                    self.number += 1;
                    asked.push((self.number, addressee.clone()));
                    Ok(self.number)
                }
            };
            words.push((addressee, word));
        }
        let mut answers = match (&self.broken, lane) {
            (Some(_), _) | (_, None) => HashMap::new(),
            _ if self.is_alone => HashMap::new(),
            _ if asked.is_empty() => HashMap::new(),
            (None, Some(lane)) => self.ask(&lane, asked, deadline).await,
        };
        // Who is put off alone would have the message twice, if others got it both ways: it goes one way for all of them.
        // What those before this batch were told is final, and so it goes no other way.
        if self.keeps && self.broken.is_none() && answers.values().any(is_put_off) {
            self.fall();
        }
        let otherwise = match self.is_alone {
            true => session::Word::Taken,
            false => session::Word::Said(self.broken.clone().unwrap_or_else(Spoken::no_route)),
        };
        for (addressee, word) in words {
            let mut answer = |number| answers.remove(&number).filter(|word| !(self.is_alone && is_put_off(word)));
            let word = word.map_or_else(|own| own, |number| answer(number).unwrap_or_else(|| otherwise.clone()));
            (self.tell)(Word::Recipient(addressee, word));
        }
        self.hold.answered(Instant::now());
    }

    /// Those whom nothing is sent to are not asked for.
    async fn suppress(&self, batch: &mut [Question]) {
        let open: Vec<Address> =
            batch.iter().filter(|one| one.refused.is_none()).map(|one| one.addressee.address.clone()).collect();
        let principal = self.from.credential.id.clone();
        let found = self.vault.writer.run(move |store| {
            let covers = |to: &Address| store.suppressions.covers(&principal, to, now_us()).map(|why| why.is_some());
            open.iter().map(covers).collect::<rusqlite::Result<Vec<bool>>>()
        });
        let found = found.await.map_err(|why| match why {
            NotStored::Full => Refusal::StoreFull,
            NotStored::Closed => Refusal::StoreUnavailable,
        });
        for (at, question) in batch.iter_mut().filter(|one| one.refused.is_none()).enumerate() {
            question.refused = match &found {
                Ok(covered) => covered.get(at).filter(|is_covered| **is_covered).map(|_| Refusal::Suppressed),
                Err(refusal) => Some(*refusal),
            };
        }
    }

    /// Whether one more recipient can be asked for, by the limits of whoever sends: as if all of them had the message.
    fn room(&self, asked: &[(u32, Addressee)], more: &Address) -> Result<(), Denied> {
        let mut all = self.answered.borrow().clone();
        all.extend(asked.iter().map(|(_, to)| to.address.clone()).chain([more.clone()]));
        let mut authority = self.vault.authority.borrow_mut();
        let Authority { limits, slice, clock, .. } = &mut *authority;
        let (credential, listener) = (&self.from.credential, &self.from.listener);
        limits.fits(&Authority::origin(slice, credential, listener, self.from.address), &all, clock.now())
    }

    /// Writes down that a recipient is not asked for. Gives why.
    async fn refuse(&self, recipient: &Address, denied: Denied) -> Refusal {
        let refusal = denied.refusal;
        let leaf = Leaf { message: Some(self.message), upstream: denied.upstream, ..Leaf::refusal(refusal) };
        let leaf = self.from.describe(leaf, self.tls.as_ref()).sender(&self.sender).recipients([recipient]);
        let by = denied.by.unwrap_or_else(|| telling::refused(Some(&self.from.credential.id), refusal));
        telling::tell(&self.vault, leaf, Some(by)).await;
        refusal
    }

    /// Asks for them on the line that there is, or on one to the first upstream of the route that can be used.
    async fn ask(
        &mut self,
        lane: &str,
        asked: Vec<(u32, Addressee)>,
        deadline: Instant,
    ) -> HashMap<u32, session::Word> {
        if let Some(line) = &self.line {
            line.bid(Bidding::Recipients(asked.clone()));
            return self.answers(&asked, deadline).await.0;
        }
        let mut said = Spoken::no_route();
        let (policy, passed) = (&self.from.credential.policy, &self.from.passed);
        let fits = |upstream: &&str| match &policy.pass_through {
            None => passed.is_none(),
            Some(own) => passed.is_some() && own == *upstream,
        };
        // A key of a provider's is shown to that provider, whatever a route says; and who needs one never sends with ours.
        let upstreams: Vec<&str> = lane.split(',').filter(fits).collect();
        for upstream in upstreams {
            let place = match self.place(upstream, deadline).await {
                Ok(place) => place,
                Err(NoPlace::Away) => continue,
                // The next upstream is for when this one fails, not for when it is busy.
                Err(NoPlace::Busy) => {
                    said = Spoken::busy();
                    break;
                }
            };
            let brief = Brief {
                message: self.message,
                principal: self.from.credential.id.clone(),
                sender: self.sender.clone(),
                manner: self.manner.clone(),
                size: self.size,
                day_slot: place.slot.as_ref().map(|slot| slot.slot),
                key: self.from.passed.as_ref().map(|passed| passed.key.clone()),
            };
            let Some(line) = Line::begin(&self.vault, place, lane, brief) else { continue };
            line.bid(Bidding::Recipients(asked.clone()));
            (self.line, self.hold) = (Some(line), Hold::new(Instant::now()));
            match self.answers(&asked, deadline).await {
                // Nothing was said of anybody: another upstream may take it.
                (answers, Some(End::Route)) if answers.is_empty() => said = Spoken::no_route(),
                (answers, Some(End::Login)) if answers.is_empty() => said = Spoken::no_login(),
                (answers, _) => return answers,
            }
        }
        asked.into_iter().map(|(number, _)| (number, session::Word::Said(said.clone()))).collect()
    }

    /// A place at that upstream, as soon as there is one.
    ///
    /// Errors: it can't be used, or there is none in time.
    async fn place(&mut self, upstream: &str, deadline: Instant) -> Result<Place, NoPlace> {
        let (vault, who) = (Rc::clone(&self.vault), self.from.credential.id.clone());
        let freed = Rc::clone(&vault.schedule.borrow().freed);
        let mut waiting = None;
        let wait = async {
            loop {
                // Before it is looked, so that nothing is missed.
                let told = freed.notified();
                let place = vault.schedule.borrow_mut().place(upstream, &who, Clock::now(), now_us());
                match place {
                    Err(NoPlace::Busy) => {
                        waiting.get_or_insert_with(|| Waiting::new(&vault, upstream));
                        // A pace lets something through by time alone.
                        let _ = timeout(Duration::from_millis(250), told).await;
                    }
                    place => return place,
                }
            }
        };
        tokio::select! {
            place = wait => place,
            () = sleep_until(deadline.min(Instant::now() + PLACE)) => Err(NoPlace::Busy),
            () = self.gone.closed() => Err(NoPlace::Busy),
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
            let of = |number| asked.iter().find(|(own, _)| *own == number).map(|(_, to)| to.clone());
            match event {
                Event::Want(octets) => line.wanted = line.wanted.saturating_add(octets),
                Event::Accepted(number) => {
                    if let Some(Addressee { address, .. }) = of(number) {
                        self.answered.borrow_mut().push(address.clone());
                        line.accepted.push((number, address));
                        answers.insert(number, session::Word::Taken);
                    }
                }
                Event::Outcome(number, outcome) => match of(number) {
                    Some(addressee) => {
                        if outcome.is_answer() {
                            self.answered.borrow_mut().push(addressee.address.clone());
                        }
                        let to = (self.message, &addressee);
                        intent::refused(&self.vault, &self.from, &self.sender, line, to, &outcome).await;
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

fn is_put_off(word: &session::Word) -> bool {
    matches!(word, session::Word::Said(spoken) if spoken.is_temporary())
}
