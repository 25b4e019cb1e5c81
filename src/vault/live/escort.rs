//! The task of one message: from its first recipient to its end, it goes between the session and a courier.

use std::rc::Rc;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

use super::intent::{self, Intent};
use super::line::Line;
use super::{Order, Word};
use crate::mail::address::ReversePath;
use crate::mail::envelope::Manner;
use crate::mail::id::MessageId;
use crate::mail::outcome::Outcome;
use crate::mail::spoken::Spoken;
use crate::vault::Vault;
use crate::vault::delivery::courier::live::{Bidding, End, Event};
use crate::vault::transaction::{Sender, Transaction};

/// A sender that says nothing for so long between two recipients gives its place to others. Within the content the edge sees to it.
const IDLE: Duration = Duration::from_secs(if cfg!(test) { 2 } else { 60 });
/// For the answer to the dot: more than the courier waits for it.
const DOT: Duration = Duration::from_secs(90);

pub struct Escort {
    pub(super) vault: Rc<Vault>,
    pub(super) from: Sender,
    pub(super) message: MessageId,
    pub(super) sender: ReversePath,
    pub(super) manner: Manner,
    pub(super) size: Option<u64>,
    pub(super) orders: UnboundedReceiver<Order>,
    /// What came while recipients were gathered.
    pub(super) ahead: Option<Order>,
    /// Closed when the session has given it up.
    pub(super) gone: oneshot::Sender<()>,
    pub(super) tell: Box<dyn Fn(Word)>,
    pub(super) line: Option<Line>,
    /// Why there is none any more, when recipients were accepted.
    pub(super) broken: Option<Spoken>,
    pub(super) is_content: bool,
    /// Of the next recipient.
    pub(super) number: u32,
}

impl Escort {
    pub fn new(
        vault: &Rc<Vault>,
        from: Sender,
        transaction: &Transaction,
        size: Option<u64>,
        orders: UnboundedReceiver<Order>,
        gone: oneshot::Sender<()>,
        tell: Box<dyn Fn(Word)>,
    ) -> Self {
        Self {
            vault: Rc::clone(vault),
            from,
            message: transaction.message,
            sender: transaction.sender.clone(),
            manner: transaction.manner.clone(),
            size,
            orders,
            ahead: None,
            gone,
            tell,
            line: None,
            broken: None,
            is_content: false,
            number: 0,
        }
    }

    pub async fn run(mut self) {
        while let Some(order) = self.order().await {
            match order {
                Order::Recipient(addressee, refused) => self.recipients((addressee, refused)).await,
                Order::Content => {
                    self.is_content = true;
                    if let Some(line) = &self.line {
                        (self.tell)(Word::Credit(line.wanted));
                    }
                }
                Order::Chunk(octets) => {
                    if let Some(line) = &self.line {
                        line.bid(Bidding::Content(octets));
                    }
                }
                Order::End(whole) => {
                    let (sender, transaction) = *whole;
                    let vault = Rc::clone(&self.vault);
                    vault.finish(self.end(sender, transaction));
                    return;
                }
            }
        }
        if let Some(line) = self.line {
            line.bid(Bidding::Withdraw);
        }
    }

    /// The next of the session's wishes; what comes of the courier meanwhile is seen to.
    async fn order(&mut self) -> Option<Order> {
        if let Some(order) = self.ahead.take() {
            return Some(order);
        }
        let idle = Instant::now() + IDLE;
        loop {
            let Some(line) = &mut self.line else { return self.orders.recv().await };
            let event = tokio::select! {
                biased;
                order = self.orders.recv() => return order,
                event = line.event() => event,
                () = sleep_until(idle), if !self.is_content => {
                    line.bid(Bidding::Withdraw);
                    Event::Ended(End::GivenUp)
                }
            };
            match event {
                Event::Want(octets) if self.is_content => (self.tell)(Word::Credit(octets)),
                Event::Want(octets) => line.wanted = line.wanted.saturating_add(octets),
                Event::Outcome(number, outcome) => drop(line.outcomes.insert(number, outcome)),
                Event::Accepted(_) => {}
                Event::Ended(end) => {
                    let spoken = line.spoken(&end);
                    self.over(end, spoken).await;
                }
            }
        }
    }

    /// The line is over before the end. Who was accepted there is put off, or has what was said of it.
    pub(super) async fn over(&mut self, end: End, spoken: Spoken) {
        let Some(mut line) = self.line.take() else { return };
        if line.accepted.is_empty() {
            return;
        }
        line.end = Some(end);
        for (number, outcome) in line.settle(false) {
            let address = line.accepted.iter().find(|(own, _)| *own == number).map(|(_, address)| address.clone());
            if let Some(address) = address {
                intent::refused(&self.vault, &self.from, self.message, &line, &address, &outcome).await;
            }
        }
        self.broken = Some(spoken.clone());
        (self.tell)(Word::Broken(spoken));
    }

    /// The end: the intent is on the disk before the courier may end it, and what became of it before its sender hears that.
    async fn end(mut self, sender: Sender, transaction: Transaction) {
        let Some(mut line) = self.line.take() else {
            transaction.give_up(&self.vault);
            return (self.tell)(Word::Ended(Ok(self.broken.unwrap_or_else(Spoken::lost))));
        };
        let intent = match Intent::write(&self.vault, &sender, transaction, &line).await {
            Ok(intent) => intent,
            Err(refusal) => {
                line.bid(Bidding::Withdraw);
                return (self.tell)(Word::Ended(Err(refusal)));
            }
        };
        line.bid(Bidding::End);
        let deadline = Instant::now() + DOT;
        while line.end.is_none() {
            let event = tokio::select! {
                event = line.event() => event,
                () = sleep_until(deadline) => break,
            };
            match event {
                Event::Want(_) | Event::Accepted(_) => {}
                Event::Outcome(number, outcome) => drop(line.outcomes.insert(number, outcome)),
                Event::Ended(end) => line.end = Some(end),
            }
        }
        if line.end.is_none() {
            line.bid(Bidding::Withdraw);
        }
        let outcomes = line.settle(true);
        let spoken = said(self.message, outcomes.iter().map(|(_, outcome)| outcome));
        intent.settle(&self.vault, &line, outcomes).await;
        (self.tell)(Word::Ended(Ok(spoken)));
    }
}

/// What a sender is told of all its recipients at once. Where their outcomes differ, nobody may be told that it is done.
fn said<'a>(message: MessageId, mut outcomes: impl Iterator<Item = &'a Outcome>) -> Spoken {
    let Some(first) = outcomes.next() else { return Spoken::lost() };
    if outcomes.any(|other| std::mem::discriminant(other) != std::mem::discriminant(first)) {
        return Spoken::unknown();
    }
    let spoken = Spoken::of(first);
    match spoken.is_positive() {
        true => Spoken { text: format!("{message} {}", spoken.text), ..spoken },
        false => spoken,
    }
}
