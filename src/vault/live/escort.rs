//! The task of one message: from its first recipient to its end, it goes between the session and a courier.

use std::cell::RefCell;
use std::rc::Rc;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

use super::hold::Hold;
use super::intent::{self, Ended, Intent, Unwritten};
use super::line::Line;
use super::{Order, Word, charge};
use crate::ipc::session::Tls;
use crate::ipc::waits::END_AT_VAULT;
use crate::mail::address::Address;
use crate::mail::address::ReversePath;
use crate::mail::envelope::Manner;
use crate::mail::id::MessageId;
use crate::mail::outcome::Outcome;
use crate::mail::spoken::Spoken;
use crate::vault::Vault;
use crate::vault::custody;
use crate::vault::delivery::courier::live::{Bidding, End, Event};
use crate::vault::sender::Sender;
use crate::vault::transaction::{self, Transaction};

pub struct Escort {
    pub(super) vault: Rc<Vault>,
    pub(super) from: Sender,
    pub(super) message: MessageId,
    pub(super) sender: ReversePath,
    pub(super) manner: Manner,
    pub(super) tls: Option<Tls>,
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
    /// Since there is a line.
    pub(super) hold: Hold,
    pub(super) is_content: bool,
    /// Whom the upstream was asked for and has answered.
    pub(super) answered: Rc<RefCell<Vec<Address>>>,
    /// What the upstream can't take now is kept.
    pub(super) keeps: bool,
    /// It goes to no upstream any more, and is kept.
    pub(super) is_alone: bool,
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
            tls: transaction.tls.clone(),
            size,
            orders,
            ahead: None,
            gone,
            tell,
            line: None,
            broken: None,
            hold: Hold::new(Instant::now()),
            is_content: false,
            answered: Rc::default(),
            keeps: false,
            is_alone: false,
            number: 0,
        }
    }

    pub async fn run(mut self) {
        while let Some(order) = self.order().await {
            match order {
                Order::Recipient(question) => self.recipients(question).await,
                Order::Content => {
                    self.is_content = true;
                    if let Some(line) = &self.line {
                        self.hold.content(Instant::now(), line.wanted);
                        (self.tell)(Word::Credit(line.wanted));
                    }
                }
                Order::Chunk(octets) => {
                    self.hold.take(Instant::now(), octets.len());
                    if let Some(line) = &self.line {
                        line.bid(Bidding::Content(octets));
                    }
                }
                Order::End(whole, keeping) => {
                    let (sender, transaction) = *whole;
                    let vault = Rc::clone(&self.vault);
                    vault.finish(self.end(sender, transaction, keeping));
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
        loop {
            let until = self.hold.until();
            let Some(line) = &mut self.line else { return self.orders.recv().await };
            let event = tokio::select! {
                biased;
                order = self.orders.recv() => return order,
                event = line.event() => event,
                () = too_long(until) => {
                    line.bid(Bidding::Withdraw);
                    self.over(End::GivenUp, Spoken::too_slow()).await;
                    continue;
                }
            };
            self.heard(event).await;
        }
    }

    /// Something that comes of the courier by itself.
    async fn heard(&mut self, event: Event) {
        let Some(line) = &mut self.line else { return };
        match event {
            Event::Want(octets) if self.is_content => {
                self.hold.give(Instant::now(), octets);
                (self.tell)(Word::Credit(octets));
            }
            Event::Want(octets) => line.wanted = line.wanted.saturating_add(octets),
            Event::Outcome(number, outcome) => drop(line.outcomes.insert(number, outcome)),
            Event::Accepted(_) => {}
            Event::Ended(end) => {
                let spoken = line.spoken(&end);
                self.over(end, spoken).await;
            }
        }
    }

    /// From now on it is kept, for all its recipients: what is taken back here was delivered to nobody.
    pub(super) fn fall(&mut self) {
        if let Some(line) = self.line.take() {
            line.bid(Bidding::Withdraw);
        }
        if !std::mem::replace(&mut self.is_alone, true) {
            tracing::info!(message = %self.message, "it can't be passed on now, and will be kept");
            (self.tell)(Word::Alone);
        }
    }

    /// The line is over before the end. Who was accepted there is put off, or has what was said of it; or it is kept.
    pub(super) async fn over(&mut self, end: End, spoken: Spoken) {
        let Some(mut line) = self.line.take() else { return };
        if line.accepted.is_empty() {
            return;
        }
        line.end = Some(end);
        let outcomes = line.settle(false);
        let falls = self.keeps && !outcomes.iter().all(|(_, outcome)| is_refused(outcome));
        for (number, outcome) in outcomes {
            // Who was refused beside others who are kept is tried again with them: that is not his end.
            let outcome = if falls { Outcome::Deferred(outcome.said().clone()) } else { outcome };
            let address = line.accepted.iter().find(|(own, _)| *own == number).map(|(_, address)| address.clone());
            if let Some(address) = address {
                intent::lost(&self.vault, &self.from, self.message, &line, &address, &outcome).await;
            }
        }
        if falls {
            return self.fall();
        }
        self.broken = Some(spoken.clone());
        (self.tell)(Word::Broken(spoken));
    }

    /// The end: the intent is on the disk before the courier may end it, and what became of it before its sender hears that.
    /// `keeping` is held by what is decided and not on the disk yet.
    async fn end(mut self, sender: Sender, transaction: Transaction, keeping: Rc<()>) {
        // Word may be there already that the way is lost.
        while let Some(event) = self.line.as_mut().and_then(Line::next) {
            self.heard(event).await;
        }
        if let Some(line) = self.line.take() {
            let word = self.pass(sender, transaction, line, keeping).await;
            return (self.tell)(word);
        }
        if self.is_alone {
            let word = self.keep(&sender, transaction).await;
            return (self.tell)(word);
        }
        self.discard(transaction).await;
        (self.tell)(Word::Ended(Ok(self.broken.unwrap_or_else(Spoken::lost))));
    }

    /// Keeps it, for all its recipients.
    async fn keep(&self, sender: &Sender, transaction: Transaction) -> Word {
        let asked = self.answered.borrow().clone();
        Word::Kept(custody::take(&self.vault, sender, transaction, &asked).await)
    }

    /// Nothing comes of it.
    async fn discard(&self, transaction: Transaction) {
        let segment = transaction.segment_name();
        charge(&self.vault, &self.from, transaction.reservation, &self.answered.borrow());
        if let Some(segment) = segment {
            self.vault.segments.remove(segment).await;
        }
    }

    /// Has the courier end it. Gives what its sender is told.
    async fn pass(&mut self, sender: Sender, mut transaction: Transaction, mut line: Line, keeping: Rc<()>) -> Word {
        let body = match self.keeps {
            true => transaction::body(&self.vault, &mut transaction).await.map(Some),
            false => Ok(None),
        };
        let intent = match body {
            Ok(body) => Intent::write(&self.vault, &sender, &transaction, &line, body).await,
            Err(error) => {
                tracing::error!(message = %self.message, %error, "the body of a message could not be written");
                Err(Unwritten::Refused(transaction::refusal(&error)))
            }
        };
        let intent = match intent {
            Ok(intent) => intent,
            // It is kept for the others.
            Err(Unwritten::Covered) => {
                line.bid(Bidding::Withdraw);
                return self.keep(&sender, transaction).await;
            }
            Err(Unwritten::Refused(refusal)) => {
                line.bid(Bidding::Withdraw);
                self.discard(transaction).await;
                return Word::Ended(Err(refusal));
            }
        };
        // Whoever settles the queue finds it on its lease from here on.
        drop(keeping);
        // One that ended meanwhile was told nothing, and has delivered nothing.
        while let Some(event) = line.next() {
            line.note(event);
        }
        let may_end = line.end.is_none();
        if may_end {
            line.bid(Bidding::End);
        }
        let deadline = Instant::now() + END_AT_VAULT;
        while line.end.is_none() {
            tokio::select! {
                event = line.event() => line.note(event),
                () = sleep_until(deadline) => break,
            }
        }
        if line.end.is_none() {
            line.bid(Bidding::Withdraw);
        }
        let outcomes = line.settle(may_end);
        let spoken = said(self.message, outcomes.iter().map(|(_, outcome)| outcome));
        match intent.settle(&self.vault, &line, outcomes, !self.gone.is_closed()).await {
            Ended::Kept => {
                self.vault.writer.tally().accepted(&sender, transaction.size(), transaction.recipients.len());
                Word::Kept(Ok(Vec::new()))
            }
            Ended::Told => Word::Ended(Ok(spoken)),
            Ended::Lost => Word::Ended(Ok(Spoken::unknown())),
        }
    }
}

async fn too_long(until: Option<Instant>) {
    match until {
        Some(until) => sleep_until(until).await,
        None => std::future::pending().await,
    }
}

const fn is_refused(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Failed(_) | Outcome::Unsendable(_))
}

/// What a sender is told of all its recipients at once. Where their outcomes differ, nobody may be told that it is done.
fn said<'a>(message: MessageId, mut outcomes: impl Iterator<Item = &'a Outcome>) -> Spoken {
    let Some(first) = outcomes.next() else { return Spoken::lost() };
    let is_same = |other: &Outcome| {
        std::mem::discriminant(other) == std::mem::discriminant(first) || is_refused(other) && is_refused(first)
    };
    if !outcomes.all(is_same) {
        return Spoken::unknown();
    }
    let spoken = Spoken::of(first);
    match spoken.is_positive() {
        true => Spoken { text: format!("{message} {}", spoken.text), ..spoken },
        false => spoken,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::outcome::Said;

    #[test]
    fn a_sender_is_told_that_it_is_done_only_where_it_is_so_for_all() {
        let said_by = |code: Option<u16>| Said { code, ..Said::default() };
        let delivered = || Outcome::Delivered(said_by(Some(250)));
        let failed = || Outcome::Failed(said_by(Some(550)));
        let unsendable = || Outcome::Unsendable(said_by(None));
        let deferred = || Outcome::Deferred(said_by(Some(450)));
        for (outcomes, code) in [
            (vec![delivered(), delivered()], 250),
            (vec![delivered(), failed()], 451),
            (vec![delivered(), deferred()], 451),
            // None of them has it, whoever says so.
            (vec![failed(), unsendable()], 550),
            (vec![unsendable(), failed()], 554),
            (vec![failed(), deferred()], 451),
        ] {
            assert_eq!(said(MessageId::now(), outcomes.iter()).code, code, "{outcomes:?}");
        }
    }
}
