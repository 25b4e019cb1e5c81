//! A message that an administrator submits for a credential: policy, limits and the log are as for every other of its.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;

use uuid::Uuid;

use crate::config::slice::{Clients, Counter, Protocol};
use crate::ipc::admin::Response;
use crate::ipc::admin::submit::{Command, MOST, Response as Part};
use crate::ipc::bytes::Octets;
use crate::ipc::channel;
use crate::mail::address::Address;
use crate::mail::envelope::{Addressee, Manner};
use crate::mail::facts::Facts;
use crate::mail::id::MessageId;
use crate::policy::presence::Caps;
use crate::policy::refusal::Refusal;
use crate::vault::Vault;
use crate::vault::acceptance::keep;
use crate::vault::admin::unknown;
use crate::vault::admission::admit;
use crate::vault::audit::event::Event;
use crate::vault::audit::ledger::now_us;
use crate::vault::figures::tally;
use crate::vault::limits::denial::Denied;
use crate::vault::limits::incoming;
use crate::vault::login::credentials::{Known, Way};
use crate::vault::sender::Sender;
use crate::vault::telling;
use crate::vault::transaction::{Transaction, refusal};

/// What stands for a listener in the log, and in the Received field.
const LISTENER: &str = "control";

/// A message that comes.
pub struct Submission {
    transaction: Transaction,
    sender: Sender,
}

/// `under_way` is what has come of a message by this connection.
///
/// Errors: nothing more can be done, in words. What the gate refuses is a part of the answer.
pub async fn perform(
    vault: &Rc<Vault>,
    command: Command,
    actor: &str,
    under_way: &mut Option<Submission>,
    parts: &channel::Sender<Response>,
) -> Result<Response, String> {
    match command {
        Command::Begin { credential, sender, recipients } => {
            forget(vault, under_way);
            if recipients.is_empty() || recipients.len() > MOST {
                return Err(format!("from one to {MOST} recipients"));
            }
            match begin(vault, &credential, sender, recipients, actor).await? {
                Ok(submission) => {
                    let message = submission.transaction.message;
                    let hostname = vault.authority.borrow().slice.hostname.clone();
                    *under_way = Some(submission);
                    say(parts, Part::Begun { message, hostname }).await
                }
                Err(refusal) => refused(parts, refusal).await,
            }
        }
        Command::Content(Octets(octets)) => {
            let submission = under_way.as_mut().ok_or(NONE)?;
            take(vault, submission, octets).await?;
            Ok(Response::Done)
        }
        Command::Commit { facts } => {
            let submission = under_way.take().ok_or(NONE)?;
            match commit(vault, submission, facts).await? {
                Ok(()) => say(parts, Part::Kept).await,
                Err(refusal) => refused(parts, refusal).await,
            }
        }
    }
}

/// Nothing comes of what has come so far.
pub fn forget(vault: &Rc<Vault>, under_way: &mut Option<Submission>) {
    if let Some(submission) = under_way.take() {
        submission.transaction.give_up(vault);
    }
}

const NONE: &str = "no message was begun";

/// Takes a place in the limits for it. Errors: there is nobody whom it could be of; within: it is refused.
async fn begin(
    vault: &Rc<Vault>,
    id: &str,
    sender: Address,
    recipients: Vec<Address>,
    actor: &str,
) -> Result<Result<Submission, Refusal>, String> {
    let (credential, most) = {
        let authority = vault.authority.borrow();
        let found = authority.credentials.get(id).cloned();
        let credential = found.ok_or_else(|| unknown::in_force(id, &authority))?;
        let known = Known::by(Rc::clone(&credential), None);
        if authority.credentials.review(&known, now_us()).is_err() {
            return Err(format!("credential {id:?} is disabled or expired: nobody can be it"));
        }
        if credential.policy.pass_through.is_some() {
            return Err(format!(
                "credential {id:?} sends with keys of its clients, and here is none: log in as one of them"
            ));
        }
        let most = authority.most_recipients(&credential);
        (credential, most)
    };
    let from = Sender {
        session: Uuid::now_v7(),
        address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        listener: Rc::new(nowhere()),
        credential,
        passed: None,
        actor: Some(actor.to_owned()),
    };
    // Neither where from nor how: an administrator asks, by no protocol of a client's.
    let way = Way { address: None, scopes: None };
    let (sender, manner) = (Some(sender), Manner::default());
    match admit(vault, &from, way, &sender, &manner, true, None) {
        Ok(reservation) => {
            let share = vault.incoming.share(&from.credential.id);
            let mut transaction = Transaction::new(sender, manner, "localhost".to_owned(), None, (reservation, share));
            let mut once: Vec<Address> = Vec::with_capacity(recipients.len());
            recipients.into_iter().for_each(|to| {
                if !once.contains(&to) {
                    once.push(to)
                }
            });
            transaction.add(once.into_iter().map(Addressee::from).collect(), most);
            Ok(Ok(Submission { transaction, sender: from }))
        }
        Err(denied) => {
            let event = from.describe(Event::refusal(denied.refusal), None).sender(&sender);
            let refusal = denied.refusal;
            tell(vault, &from, event, denied).await;
            Ok(Err(refusal))
        }
    }
}

async fn take(vault: &Rc<Vault>, submission: &mut Submission, octets: Vec<u8>) -> Result<(), String> {
    let Submission { transaction, sender } = submission;
    let policy = &sender.credential.policy;
    let max_size = vault.authority.borrow().max_size(policy);
    let most = incoming::most(policy.limits.bytes_per_day, max_size);
    // Each piece is waited for, so as much is under way as comes at once.
    transaction.give(u32::try_from(octets.len()).unwrap_or(u32::MAX));
    let (piece, _) = transaction.take(octets, max_size, most).ok_or("more came than was asked for")?;
    let Some(piece) = piece else { return Ok(()) };
    let written = vault.segments.append(piece).await.await.map_err(io::Error::other);
    if let Ok(Err(error)) | Err(error) = written {
        tracing::error!(%error, "a piece of a body could not be written");
        transaction.fail(refusal(&error));
    }
    Ok(())
}

async fn commit(vault: &Rc<Vault>, submission: Submission, facts: Facts) -> Result<Result<(), Refusal>, String> {
    let Submission { mut transaction, sender } = submission;
    // It may have begun long ago: as a session does, it asks anew.
    let known = Known::by(Rc::clone(&sender.credential), None);
    let review = vault.authority.borrow().credentials.review(&known, now_us());
    if let Err(refusal) = review {
        let event = Event { message: Some(transaction.message), ..Event::refusal(refusal) };
        let event = sender.describe(event, None).sender(&transaction.sender).recipients(&transaction.recipients);
        transaction.give_up(vault);
        tell(vault, &sender, event, refusal.into()).await;
        return Ok(Err(refusal));
    }
    if let Err(denied) = transaction.decide(vault, &sender, &facts) {
        let (message, bytes) = (Some(transaction.message), Some(transaction.size()));
        let event = Event { message, bytes, ..Event::refusal(denied.refusal) };
        let event = sender.describe(event, None).sender(&transaction.sender).recipients(&transaction.recipients);
        transaction.give_up(vault);
        let refusal = denied.refusal;
        tell(vault, &sender, event, denied).await;
        return Ok(Err(refusal));
    }
    let keeping = vault.pending.begin();
    let own = Rc::clone(vault);
    let kept = vault.finish(async move {
        let _keeping = keeping;
        let (message, bytes): (MessageId, u64) = (transaction.message, transaction.size());
        let (reservation, segment) = (transaction.reservation.clone(), transaction.segment_name());
        let kept = keep(&own, &sender, transaction).await.map(drop);
        match kept {
            Ok(()) => tracing::info!(%message, session = %sender.session, bytes, "a message was accepted"),
            Err(refusal) => {
                if refusal.is_temporary() {
                    tracing::error!(%message, reason = refusal.word(), "a message could not be kept");
                }
                own.authority.borrow_mut().release(reservation);
                if let Some(segment) = segment {
                    own.segments.remove(segment).await;
                }
            }
        }
        kept
    });
    kept.await.map_err(|_| "the service ends: nobody knows whether it was kept".to_owned())
}

/// Writes a refusal down as those of its sessions are: once in a window with the number of the others, and nothing of a disk that
/// is short of room, which is for the outcomes of what was accepted.
async fn tell(vault: &Vault, sender: &Sender, event: Event, denied: Denied) {
    vault.writer.tally().denied(tally::protocol(sender), &denied);
    if denied.by.is_some() || denied.refusal != Refusal::StoreFull {
        let by = denied.by.unwrap_or_else(|| telling::refused(Some(&sender.credential.id), denied.refusal));
        telling::tell(vault, event, Some(by)).await;
    }
}

/// The listener that there is not: nobody's address is charged.
pub fn nowhere() -> Counter {
    Counter {
        number: u16::MAX,
        name: LISTENER.to_owned(),
        protocol: Protocol::Smtp,
        identify_by_network: false,
        client_certificates: None,
        plain_login: false,
        mechanisms: Vec::new(),
        future_release: None,
        delivery: crate::policy::Delivery::Spool,
        clients: Clients::Unnamed,
        proxy_from: Vec::new(),
        xclient_from: Vec::new(),
        caps: Caps { address: 1, prefix: 1 },
    }
}

async fn refused(parts: &channel::Sender<Response>, refusal: Refusal) -> Result<Response, String> {
    say(parts, Part::Refused { word: refusal.word().to_owned(), wait: refusal.wait() }).await
}

async fn say(parts: &channel::Sender<Response>, part: Part) -> Result<Response, String> {
    parts.send(Response::Submit(part)).await.map(|()| Response::Done).map_err(|_| "whoever asked is gone".to_owned())
}
