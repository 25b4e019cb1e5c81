//! What the log says of a message that is accepted, and of one that would be if anything were sent to whom it names.

use super::Vault;
use super::audit::event::{Event, Field, MAX_RECIPIENTS, Name, Outcome};
use super::sender::Sender;
use super::store::spool::Leased;
use super::telling;
use super::transaction::{self, Transaction};
use super::turnstile::Unproven;
use crate::mail::address::Address;
use crate::mail::envelope::Addressee;
use crate::mail::facts::Changes;
use crate::policy::refusal::Refusal;

/// Why recipients are in the log whom a message does not go to.
const REDIRECTED: &str = "redirected";

/// The event of the acceptance, or of the intent, with those whom the message goes to, and further ones for recipients beyond what one leaf may
/// hold; then those whom it named, where it goes to another.
pub fn events(name: Name, sender: &Sender, transaction: &Transaction, destinations: &[Addressee]) -> Vec<Event> {
    let to: Vec<&Address> = destinations.iter().map(|one| &one.address).collect();
    let mut batches = to.chunks(MAX_RECIPIENTS);
    let is_redirected = sender.credential.policy.redirect.is_some();
    let copies = if is_redirected { 0 } else { to.len().saturating_sub(transaction.recipients.len()) };
    let first = Event {
        message: Some(transaction.message),
        bytes: Some(transaction.size()),
        rcpt_count: u64::try_from(to.len()).ok(),
        data: rarities(sender, transaction, copies),
        ..Event::new(name, if name == Name::MsgAccept { Outcome::Success } else { Outcome::Info })
    };
    let first = sender.describe(first, transaction.tls.as_ref()).sender(&transaction.sender);
    let given = transaction.changes.sender.as_ref().or(transaction.changes.author.as_ref());
    let first = given.into_iter().fold(first, |event, given| event.with(Field::SenderGiven, given.to_string()));
    let first = first
        .with(Field::Helo, transaction.helo.clone())
        .recipients(batches.next().unwrap_or_default().iter().copied());
    let further = |batch: &[&Address], reason: Option<&str>| {
        let reason = reason.map(str::to_owned);
        let event =
            Event { message: Some(transaction.message), reason, ..Event::new(Name::MsgRecipients, Outcome::Info) };
        sender.describe(event, None).recipients(batch.iter().copied())
    };
    let named: Vec<&Address> = if is_redirected { transaction.recipients.iter().collect() } else { Vec::new() };
    let more = batches.map(|batch| further(batch, None));
    let named = named.chunks(MAX_RECIPIENTS).map(|batch| further(batch, Some(REDIRECTED)));
    std::iter::once(first).chain(more).chain(named).collect()
}

/// The same of a message whose intent alone is known, and that is kept because the gate ended before the outcome. All else is said
/// by the event of the intent.
pub fn interrupted(leased: &Leased) -> Vec<Event> {
    let to: Vec<&Address> = leased.recipients.iter().map(|(_, one, _)| &one.address).collect();
    let of = |event: Event| {
        let event = Event { message: Some(leased.message), session: Some(leased.session), ..event };
        event.with(Field::Account, leased.principal.clone())
    };
    let mut batches = to.chunks(MAX_RECIPIENTS);
    let first = of(Event {
        bytes: Some(leased.bytes),
        rcpt_count: u64::try_from(to.len()).ok(),
        data: Some(serde_json::json!({ "interrupted": true }).to_string()),
        ..Event::new(Name::MsgAccept, Outcome::Success)
    });
    let first = first.sender(&leased.sender).recipients(batches.next().unwrap_or_default().iter().copied());
    let further =
        |batch: &[&Address]| of(Event::new(Name::MsgRecipients, Outcome::Info)).recipients(batch.iter().copied());
    std::iter::once(first).chain(batches.map(further)).collect()
}

/// Keeps a message: see `transaction::keep`. What became of it is counted, whether anybody waits for that or not.
pub async fn keep(vault: &Vault, sender: &Sender, transaction: Transaction) -> Result<Vec<u32>, Refusal> {
    let (octets, recipients) = (transaction.size(), transaction.recipients.len());
    let kept = transaction::keep(vault, sender, transaction).await;
    match &kept {
        Ok(_) => vault.writer.tally().accepted(sender, octets, recipients),
        Err(refusal) => vault.writer.tally().refused(sender, *refusal),
    }
    kept
}

/// Writes down that nothing is sent to any of those whom a message names. Gives the refusal.
pub async fn suppressed(vault: &Vault, sender: &Sender, transaction: &Transaction) -> Refusal {
    refused(vault, sender, transaction, Refusal::Suppressed).await;
    Refusal::Suppressed
}

/// Writes down that a message was refused when it was to be written.
pub async fn refused(vault: &Vault, sender: &Sender, transaction: &Transaction, refusal: Refusal) {
    unproven(vault, sender, transaction, refusal.into()).await;
}

/// The same of one that nothing proves a person to have written, with what was said of that.
pub async fn unproven(vault: &Vault, sender: &Sender, transaction: &Transaction, unproven: Unproven) {
    let Unproven { refusal, said, by } = unproven;
    let (message, bytes) = (Some(transaction.message), Some(transaction.size()));
    let data = said.map(|said| serde_json::json!({ "turnstile": said }).to_string());
    let event = Event { message, bytes, data, ..Event::refusal(refusal) };
    let event = sender.describe(event, transaction.tls.as_ref()).sender(&transaction.sender);
    let event = event.recipients(transaction.recipients.iter().take(MAX_RECIPIENTS));
    let by = by.unwrap_or_else(|| telling::refused(Some(&sender.credential.id), refusal));
    telling::tell(vault, event, Some(by)).await;
}

/// What was asked for and taken: whoever looks for what became of it finds where it was promised. And what was changed in it:
/// where, by names that the operator chose; whose it was is personal.
fn rarities(sender: &Sender, transaction: &Transaction, copies: usize) -> Option<String> {
    let key = sender.passed.as_ref().map(|passed| ("key".to_owned(), format!("{:04x}", passed.tag).into()));
    let (manner, Changes { sender, author, removed }) = (&transaction.manner, &transaction.changes);
    let places = [("envelope", sender.is_some()), ("header", author.is_some())];
    let rewritten: Vec<&str> = places.into_iter().filter(|(_, is)| *is).map(|(place, _)| place).collect();
    let rewritten = (!rewritten.is_empty()).then(|| ("rewritten".to_owned(), rewritten.into()));
    let counted = removed.iter().map(|(name, times)| (name.clone(), (*times).into()));
    let removed = (!removed.is_empty()).then(|| ("removed".to_owned(), serde_json::Value::Object(counted.collect())));
    let tls = manner.require_tls.then(|| ("requiretls".to_owned(), true.into()));
    let held = manner.release_us.map(|release| ("held_until_us".to_owned(), release.into()));
    let test = manner.test.then(|| ("test".to_owned(), true.into()));
    let proven = transaction.proven.as_ref().map(|host| ("turnstile".to_owned(), host.clone().into()));
    let copies = (copies > 0).then(|| ("copies".to_owned(), copies.into()));
    let all: serde_json::Map<_, serde_json::Value> = key
        .into_iter()
        .chain(proven)
        .chain(test)
        .chain(tls)
        .chain(held)
        .chain(copies)
        .chain(rewritten)
        .chain(removed)
        .collect();
    (!all.is_empty()).then(|| serde_json::Value::Object(all).to_string())
}
