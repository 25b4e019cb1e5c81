//! Messages that are delivered while their senders wait (`delivery = "direct"` or `"fallback"`): what a session has of one, and the task that goes
//! between it and the courier.

mod asking;
mod credit;
mod escort;
mod hold;
mod intent;
mod line;

use std::cell::RefCell;
use std::collections::HashSet;
use std::rc::Rc;

use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tokio::task::spawn_local;
use tokio::time::Instant;

use super::Vault;
use super::authority::Authority;
use super::delivery::schedule::persist;
use super::limits::Reservation;
use super::sender::Sender;
use super::transaction::Transaction;
use crate::ipc::session::{self, MAX_ASKED};
use crate::mail::address::Address;
use crate::mail::envelope::Addressee;
use crate::mail::spoken::Spoken;
use crate::policy::refusal::Refusal;
use credit::Credit;
use escort::Escort;

/// What a session wants of its message's task.
#[derive(Debug)]
pub enum Order {
    Recipient(Question),
    /// What follows is content.
    Content,
    Chunk(Vec<u8>),
    /// It was decided that it may go. With word that a message is being kept, for as long as it may be.
    End(Box<(Sender, Transaction)>, Rc<()>),
}

/// A recipient to be asked for; or, so that it is answered in its turn, why not.
#[derive(Debug)]
pub struct Question {
    pub addressee: Addressee,
    pub refused: Option<Refusal>,
    /// Its client waits from then on.
    pub asked: Instant,
}

/// What the session hears of it.
#[derive(Debug)]
pub enum Word {
    /// In the order of the questions.
    Recipient(Addressee, session::Word),
    /// So many octets of content can be passed on.
    Credit(u32),
    /// Nothing can, and this is what its sender is to be told.
    Broken(Spoken),
    /// It goes to the upstream no more, and is to be kept.
    Alone,
    /// The end: what the upstream said, or is said in its stead; or why it was not asked.
    Ended(Result<Spoken, Refusal>),
    /// The end: it was kept, or could not be. It is counted.
    Kept(Result<Vec<u32>, Refusal>),
}

/// Dropped when nobody waits for its end any more.
pub type Held = oneshot::Receiver<()>;

/// What a session has of it. Nothing comes of the message when this is dropped before the end.
#[derive(Debug)]
pub struct Live {
    orders: UnboundedSender<Order>,
    /// Its end is seen by the task whatever that waits for.
    held: Held,
    from: Sender,
    /// Whom the upstream was asked for and has answered, whatever it said.
    answered: Rc<RefCell<Vec<Address>>>,
    /// Recipients that were asked for and not answered.
    asked: usize,
    /// What the upstream can't take now is kept.
    keeps: bool,
    is_alone: bool,
    /// Of one that is kept if need be.
    pub credit: Credit,
    pub broken: Option<Spoken>,
}

impl Live {
    /// For a message whose transaction has begun.
    pub fn begin(
        vault: &Rc<Vault>,
        from: &Sender,
        transaction: &Transaction,
        size: Option<u64>,
        keeps: bool,
        tell: impl Fn(Word) + 'static,
    ) -> Self {
        let (orders, heard) = unbounded_channel();
        let ((gone, held), answered) = (oneshot::channel(), Rc::default());
        let escort = Escort::new(vault, from.clone(), transaction, size, heard, gone, Box::new(tell));
        let escort = Escort { answered: Rc::clone(&answered), keeps, ..escort };
        spawn_local(escort.run());
        let (from, credit) = (from.clone(), Credit::default());
        Self { orders, held, from, answered, asked: 0, keeps, is_alone: false, credit, broken: None }
    }

    /// Whom it is counted for, as if it had been kept: what a sender learns of mailboxes has its limits, too.
    pub fn answered_for(&self) -> Vec<Address> {
        self.answered.borrow().clone()
    }

    /// The same, with its recipients, whoever has answered for them.
    pub fn counted(&self, recipients: &[Address]) -> Vec<Address> {
        let answered = self.answered.borrow();
        let known: HashSet<&Address> = answered.iter().collect();
        answered.iter().chain(recipients.iter().filter(|one| !known.contains(one))).cloned().collect()
    }

    pub const fn keeps(&self) -> bool {
        self.keeps
    }

    /// It goes to the upstream no more, and is to be kept.
    pub const fn is_alone(&self) -> bool {
        self.is_alone
    }

    /// Gives what the edge may send now.
    pub fn alone(&mut self) -> u32 {
        self.is_alone = true;
        self.credit.alone()
    }

    /// The upstream takes so many octets. Gives what the edge may send for that.
    pub fn wanted(&mut self, octets: u32) -> u32 {
        if self.keeps { self.credit.upstream(octets) } else { octets }
    }

    /// Nothing comes of it.
    pub fn give_up(&self, vault: &Rc<Vault>, reservation: Reservation) {
        charge(vault, &self.from, reservation, &self.answered.borrow());
    }

    /// Asks for a recipient. False when there are too many questions at once.
    pub fn ask(&mut self, addressee: Addressee, refused: Option<Refusal>) -> bool {
        self.asked += 1;
        // A task that is gone shows where its words are heard.
        let _ = self.orders.send(Order::Recipient(Question { addressee, refused, asked: Instant::now() }));
        self.asked <= MAX_ASKED
    }

    pub const fn answered(&mut self) {
        self.asked = self.asked.saturating_sub(1);
    }

    /// Recipients are still to be answered.
    pub const fn is_asking(&self) -> bool {
        self.asked > 0
    }

    pub fn content(&self) {
        let _ = self.orders.send(Order::Content);
    }

    pub fn pass(&self, octets: Vec<u8>) {
        let _ = self.orders.send(Order::Chunk(octets));
    }

    /// Ends it, whatever becomes of the session. To be held for as long as that waits.
    pub fn end(self, sender: Sender, transaction: Transaction, keeping: Rc<()>) -> Held {
        let _ = self.orders.send(Order::End(Box::new((sender, transaction)), keeping));
        self.held
    }
}

/// A message comes to nothing. It is counted all the same when the upstream was asked for somebody: else whoever has a credential
/// could go through its mailboxes.
pub fn charge(vault: &Rc<Vault>, from: &Sender, reservation: Reservation, answered: &[Address]) {
    let (used, alarms) = {
        let mut authority = vault.authority.borrow_mut();
        if answered.is_empty() {
            return authority.release(reservation);
        }
        let Authority { limits, slice, clock, .. } = &mut *authority;
        let origin = Authority::origin(slice, &from.credential, &from.listener, from.address);
        limits.charge(reservation, &origin, answered, clock.now())
    };
    let own = Rc::clone(vault);
    vault.finish(async move {
        let written = persist(&own, move |store| {
            store.record(alarms)?;
            store.consumption.consume(&used)
        });
        written.await;
    });
}
