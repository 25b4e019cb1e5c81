//! Messages that are delivered while their senders wait (`delivery = "direct"`): what a session has of one, and the task that goes
//! between it and the courier.

mod asking;
mod escort;
mod intent;
mod line;

use std::rc::Rc;

use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tokio::task::spawn_local;

use super::Vault;
use super::transaction::{Sender, Transaction};
use crate::ipc::session::{self, MAX_ASKED};
use crate::mail::envelope::Addressee;
use crate::mail::spoken::Spoken;
use crate::policy::refusal::Refusal;
use escort::Escort;

/// What a session wants of its message's task.
#[derive(Debug)]
pub enum Order {
    /// To be asked for; or, so that it is answered in its turn, why not.
    Recipient(Addressee, Option<Refusal>),
    /// What follows is content.
    Content,
    Chunk(Vec<u8>),
    /// It was decided that it may go.
    End(Box<(Sender, Transaction)>),
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
    /// The end: what the upstream said, or is said in its stead; or why it was not asked.
    Ended(Result<Spoken, Refusal>),
}

/// What a session has of it. Nothing comes of the message when this is dropped before the end.
#[derive(Debug)]
pub struct Live {
    orders: UnboundedSender<Order>,
    /// Its end is seen by the task whatever that waits for.
    _held: oneshot::Receiver<()>,
    /// Recipients that were asked for and not answered.
    asked: usize,
    pub broken: Option<Spoken>,
}

impl Live {
    /// For a message whose transaction has begun.
    pub fn begin(
        vault: &Rc<Vault>,
        from: &Sender,
        transaction: &Transaction,
        size: Option<u64>,
        tell: impl Fn(Word) + 'static,
    ) -> Self {
        let (orders, heard) = unbounded_channel();
        let (gone, _held) = oneshot::channel();
        let escort = Escort::new(vault, from.clone(), transaction, size, heard, gone, Box::new(tell));
        spawn_local(escort.run());
        Self { orders, _held, asked: 0, broken: None }
    }

    /// Asks for a recipient. False when there are too many questions at once.
    pub fn ask(&mut self, addressee: Addressee, refused: Option<Refusal>) -> bool {
        self.asked += 1;
        // A task that is gone shows where its words are heard.
        let _ = self.orders.send(Order::Recipient(addressee, refused));
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

    /// Ends it, whatever becomes of the session.
    pub fn end(self, sender: Sender, transaction: Transaction) {
        let _ = self.orders.send(Order::End(Box::new((sender, transaction))));
    }
}
