//! One stranger's session: a fixed list of questions, each with its moment. Anything else ends the session.
//!
//! | moment     | questions that may come                        |
//! |------------|------------------------------------------------|
//! | Ready      | Login, Scram, Mail and Inquire (when somebody is known) |
//! | Checking   | none: a login is being decided                 |
//! | Answering  | none: what a client said by SCRAM is looked at |
//! | Challenged | Respond                                        |
//! | Envelope   | Recipients, Label and Prove, or Recipient of a live message; Content |
//! | Content    | Chunk, Commit                                  |
//! | Committing | none: the message is being kept                |
//! | Inquiring  | none: what was asked is looked up              |
//!
//! Turned, Told, Abort and Close may come at any moment; Abort does nothing where there is nothing to give up, ends a wait for what
//! becomes of mail, and comes too late when the message is being kept.

mod batch;
mod commit;
mod content;
mod hook;
mod inquiry;
mod live;
mod login;
mod proof;
mod refusals;
mod told;
mod traced;

use std::rc::Rc;

use tokio::sync::mpsc::{self, UnboundedSender};
use tokio::sync::oneshot;

use super::audit::{event::Event, ledger::now_us};
use super::authority::{Stay, Visitor};
use super::delivery::congestion;
use super::limits::ahead::Ahead;
use super::live::{Held, Word};
use super::login::credentials::Known;
use super::transaction::{Transaction, WINDOW};
use super::{Vault, once};
use crate::config::slice::Counter;
use crate::ipc::allowance::Violated;
use crate::ipc::bytes::Octets;
use crate::ipc::capsule::Introduction;
use crate::ipc::channel;
use crate::ipc::hook::Verdict;
use crate::ipc::inquiry::Finding;
use crate::ipc::once::Once;
use crate::ipc::session::{Answer, Ask, Denial, Slot, Tls};
use crate::mail::{address::ReversePath, envelope::Manner, id::MessageId};
use crate::policy::Delivery;
use crate::policy::refusal::Refusal;
use crate::role::Generation;
use crate::secret::Secret;
use hook::Coming;
use traced::Traced;

/// What something that was waited for has come to.
#[derive(Debug)]
pub enum News {
    Checked(Result<Known, Denial>),
    /// What a client that logs in is to answer.
    Challenge(Octets),
    /// So many octets of that message are on their way to the disk no longer; or why they won't get there.
    Written(MessageId, Result<u32, Refusal>),
    /// With the numbers of those of its recipients to whom nothing is sent.
    Kept(Result<Vec<u32>, Refusal>),
    /// Of a live message.
    Live(MessageId, Word),
    /// What became of mail.
    Found(Result<Finding, Refusal>),
    /// What came of something that was posted to a hook.
    Hooked(Verdict),
}

/// Where news of a session go: late ones for a slot that is another's by now are told apart by the number.
pub type Post = UnboundedSender<(Slot, u64, News)>;

/// A question out of its moment; the word for it.
#[derive(Debug, PartialEq, Eq)]
pub struct Violation(pub &'static str);

#[derive(Debug)]
enum Moment {
    Ready,
    /// Dropped when nobody waits for the answer any more.
    Checking(#[allow(dead_code, reason = "it says what it says by its end")] oneshot::Sender<()>),
    /// The same, of SCRAM: the way of the client's next message to who decides.
    Answering(mpsc::Sender<Secret<Vec<u8>>>),
    Challenged(mpsc::Sender<Secret<Vec<u8>>>),
    Envelope(Box<Transaction>),
    Content(Box<Transaction>),
    /// What became of mail is looked up. By its end, or without it, nobody waits for what may still become of it.
    Inquiring(Option<oneshot::Sender<()>>),
    /// Something is posted to a hook; and it is looked at.
    Hook(Box<Coming>),
    Hooked,
    /// Of a live message, what its task sees that nobody waits any more by.
    Committing(MessageId, #[allow(dead_code, reason = "it says what it says by its end")] Option<Held>),
}

pub struct Session {
    slot: Slot,
    number: u64,
    pub introduction: Introduction,
    listener: Rc<Counter>,
    /// Held until the session is gone.
    _stay: Stay,
    principal: Option<Known>,
    /// By whose configuration it was granted what it may.
    granted_in: Generation,
    /// Why what was granted holds no more.
    revoked: Option<Refusal>,
    moment: Moment,
    /// Room for messages of a batch that weren't asked for yet.
    ahead: Option<Ahead>,
    traced: Traced,
    vault: Rc<Vault>,
    answers: channel::Sender<Answer>,
    post: Post,
}

impl Session {
    pub fn new(
        slot: Slot,
        number: u64,
        Visitor { introduction, listener, stay: _stay }: Visitor,
        vault: Rc<Vault>,
        answers: channel::Sender<Answer>,
        post: Post,
    ) -> Self {
        let listener = Rc::new(listener);
        let principal = match listener.identify_by_network {
            true => vault.authority.borrow().credentials.of_network(introduction.peer.ip(), now_us()).cloned(),
            false => None,
        };
        let principal = principal.map(|credential| Known::by(credential, None));
        let (revoked, moment, ahead, traced) = (None, Moment::Ready, None, Traced::default());
        let granted_in = vault.authority.borrow().generation();
        Self {
            slot,
            number,
            introduction,
            listener,
            _stay,
            principal,
            granted_in,
            revoked,
            moment,
            ahead,
            traced,
            vault,
            answers,
            post,
        }
    }

    /// The answer to the first question, once the capsule was believed.
    pub async fn welcome(&mut self) {
        let grant =
            self.principal.as_ref().map(|known| Box::new(self.vault.authority.borrow().grant(&known.credential)));
        let traced = self.begins();
        self.say(Answer::Opened { slot: self.slot, network: grant, traced }).await;
    }

    pub async fn hear(&mut self, ask: Ask) -> Result<(), Violation> {
        match (&mut self.moment, ask) {
            (Moment::Ready, Ask::Login { mechanism, user, password, tls, .. }) => {
                self.claims(mechanism, &user, &password).await;
                self.check(mechanism, user, password, tls).await;
                Ok(())
            }
            (Moment::Ready, Ask::Scram { mechanism, message, exported, tls, .. }) => {
                self.begin(mechanism, message, exported, tls).await
            }
            (Moment::Challenged(_), Ask::Respond { message, .. }) => self.respond(message),
            (Moment::Ready, Ask::Mail { sender, size, manner, helo, tls, once, .. }) => {
                self.mail(sender, size, manner, (helo, tls), once).await
            }
            (Moment::Envelope(_), Ask::Recipient { addressee, .. }) => self.recipient(addressee),
            (Moment::Envelope(transaction), Ask::Recipients { batch, .. }) if transaction.live.is_none() => {
                let authority = self.vault.authority.borrow();
                let most = self.principal.as_ref().map_or(0, |known| authority.most_recipients(&known.credential));
                transaction.add(batch, most);
                Ok(())
            }
            (Moment::Envelope(_), Ask::Label { label, .. }) => self.label(label),
            (Moment::Envelope(_), Ask::Prove { token, .. }) => self.proof(token),
            (Moment::Envelope(_), Ask::Content { .. }) => self.content().await,
            (Moment::Content(_), Ask::Chunk { octets, .. }) => self.chunk(octets.0).await,
            (Moment::Content(_), Ask::Commit { facts, .. }) => self.commit(facts).await,
            (Moment::Ready, Ask::Inquire { inquiry, .. }) => self.inquire(inquiry).await,
            (Moment::Ready, Ask::Hook { posted, .. }) => self.hook(*posted).await,
            (Moment::Hook(_), Ask::Body { octets, .. }) => self.body(octets.0).await,
            (_, Ask::Abort { .. }) => {
                self.leave();
                self.abort();
                Ok(())
            }
            (_, Ask::Turned { sender, recipient, further, refusal, flaw, .. }) => {
                self.turned(&sender, recipient, further, (refusal, flaw)).await;
                Ok(())
            }
            (_, Ask::Told { told, .. }) => self.told(told),
            (_, Ask::Respond { .. }) => Err(Violation("response-out-of-order")),
            (_, Ask::Login { .. } | Ask::Scram { .. }) => Err(Violation("login-out-of-order")),
            (_, Ask::Mail { .. }) => Err(Violation("mail-out-of-order")),
            (_, Ask::Recipients { .. } | Ask::Recipient { .. }) => Err(Violation("recipients-out-of-order")),
            (_, Ask::Label { .. }) => Err(Violation("label-out-of-order")),
            (_, Ask::Prove { .. }) => Err(Violation("proof-out-of-order")),
            (_, Ask::Content { .. } | Ask::Chunk { .. }) => Err(Violation("content-out-of-order")),
            (_, Ask::Commit { .. }) => Err(Violation("commit-out-of-order")),
            (_, Ask::Inquire { .. }) => Err(Violation("inquiry-out-of-order")),
            (_, Ask::Hook { .. } | Ask::Body { .. }) => Err(Violation("hook-out-of-order")),
            (_, Ask::Open { .. } | Ask::Close { .. } | Ask::Was { .. } | Ask::Shown { .. } | Ask::Counted(_)) => {
                Err(Violation("open-twice"))
            }
        }
    }

    /// What was waited for has come.
    pub async fn learn(&mut self, number: u64, news: News) {
        if number != self.number {
            return;
        }
        let slot = self.slot;
        match (&mut self.moment, news) {
            (Moment::Checking(_) | Moment::Answering(_), News::Checked(result)) => self.checked(result).await,
            (Moment::Answering(_), News::Challenge(message)) => self.challenge(message).await,
            (Moment::Content(transaction), News::Written(message, Ok(octets))) if transaction.message == message => {
                let octets = transaction.written(octets);
                transaction.give(octets);
                self.give(octets).await;
            }
            (Moment::Content(transaction), News::Written(message, Err(refusal))) if transaction.message == message => {
                transaction.fail(refusal);
                // The edge may send the rest, which is thrown away, and learns of it at the dot.
                let octets = transaction.lost(WINDOW);
                transaction.give(octets);
                self.give(octets).await;
            }
            (Moment::Committing(message, _), News::Kept(result)) => {
                let message = *message;
                self.moment = Moment::Ready;
                match result {
                    Ok(suppressed) => self.say(Answer::Kept { slot, message, suppressed }).await,
                    Err(refusal) => self.say(Answer::Refused { slot, refusal }).await,
                }
            }
            (Moment::Inquiring(_), News::Found(found)) => self.found(found).await,
            (Moment::Hooked, News::Hooked(verdict)) => self.hooked(verdict).await,
            (_, News::Live(message, word)) => self.heard(message, word).await,
            // News of a transaction that was given up.
            _ => {}
        }
    }

    /// Looks whether what was granted still holds: when it hears that credentials have changed, and before anything is
    /// decided by it, because a question may come sooner than that news.
    pub async fn review(&mut self) {
        let Some(known) = self.principal.as_ref().filter(|_| self.revoked.is_none()) else { return };
        self.revoked = self.vault.authority.borrow().credentials.review(known, now_us()).err();
        if self.revoked.is_some() {
            self.say(Answer::Revoked { slot: self.slot }).await;
        }
    }

    /// The session is over, whatever it was doing. A message that is being kept is kept.
    pub fn end(mut self) {
        self.over(None);
        self.leave();
        self.abort();
    }

    /// MAIL: whether this sender may send one more message now. A refusal takes nothing.
    async fn mail(
        &mut self,
        sender: ReversePath,
        size: Option<u64>,
        manner: Manner,
        (helo, tls): (String, Option<Tls>),
        once: Option<Box<Once>>,
    ) -> Result<(), Violation> {
        let Some(principal) = self.principal.clone() else { return Err(Violation("mail-without-login")) };
        self.review().await;
        let from = self.sender(&principal);
        let mut holding = None;
        let known = match once.filter(|_| self.revoked.is_none()) {
            None => None,
            Some(once) => match self.known(&principal.credential.id, &once) {
                once::Verdict::New(new) => {
                    holding = Some(new);
                    None
                }
                once::Verdict::Repeated(message) => {
                    self.say(Answer::Repeated { slot: self.slot, message }).await;
                    return Ok(());
                }
                once::Verdict::UnderWay => Some(Refusal::UnderWay),
                once::Verdict::Reused => Some(Refusal::KeyReused),
            },
        };
        let admitted = match self.revoked.or(known) {
            Some(refusal) => Err(refusal.into()),
            None => self.admit(&from, &sender, &manner, tls.is_some(), size),
        };
        match admitted {
            Ok(reservation) => {
                let share = self.vault.incoming.share(&principal.credential.id);
                let mut transaction = Transaction::new(sender, manner, helo, tls, (reservation, share));
                transaction.once = holding;
                let delivery = from.delivery(&transaction.manner);
                let (live, keeps) = (delivery != Delivery::Spool, delivery == Delivery::Fallback);
                transaction.live = live.then(|| self.begin_live(&from, &transaction, size, keeps));
                let message = transaction.message;
                self.moment = Moment::Envelope(Box::new(transaction));
                let known = self.vault.authority.borrow().generation() == self.granted_in;
                // An edge knows upstreams by the numbers of the configuration that its grant was made in.
                let backed_up = if known { congestion::routes(&self.vault, &from.credential) } else { Vec::new() };
                self.say(Answer::Reserved { slot: self.slot, message, backed_up, live }).await;
            }
            Err(denied) => {
                let event = Event { upstream: denied.upstream.clone(), ..Event::refusal(denied.refusal) };
                let event = from.describe(event, tls.as_ref()).sender(&sender);
                self.refuse(event, denied).await;
            }
        }
        Ok(())
    }

    fn abort(&mut self) {
        if let Moment::Inquiring(waits) = &mut self.moment {
            drop(waits.take());
        }
        if !matches!(self.moment, Moment::Challenged(_) | Moment::Envelope(_) | Moment::Content(_)) {
            return;
        }
        if let Moment::Envelope(transaction) | Moment::Content(transaction) =
            std::mem::replace(&mut self.moment, Moment::Ready)
        {
            transaction.give_up(&self.vault);
        }
    }

    async fn say(&self, answer: Answer) {
        self.say_beside(answer, None).await;
    }

    /// With the limit that was in the way, where it was one.
    async fn say_beside(&self, answer: Answer, violated: Option<Violated>) {
        if let Some(mut allowance) = self.allowance_before(&answer) {
            allowance.violated = violated;
            let _ = self.answers.send(Answer::Allowance { slot: self.slot, allowance }).await;
        }
        // An edge that is gone is noticed where its questions are read.
        let _ = self.answers.send(answer).await;
    }
}
