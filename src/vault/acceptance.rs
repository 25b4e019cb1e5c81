//! What the log says of a message that is accepted.

use super::audit::event::{Event, Field, MAX_RECIPIENTS, Name, Outcome};
use super::transaction::{Sender, Transaction};
use crate::mail::envelope::Manner;
use crate::mail::facts::Changes;

/// The event of the acceptance, and further ones for recipients beyond what one leaf may hold.
pub fn events(sender: &Sender, transaction: &Transaction) -> Vec<Event> {
    let mut batches = transaction.recipients.chunks(MAX_RECIPIENTS);
    let first = Event {
        message: Some(transaction.message),
        bytes: Some(transaction.size()),
        rcpt_count: u64::try_from(transaction.recipients.len()).ok(),
        data: rarities(&transaction.manner, &transaction.changes),
        ..Event::new(Name::MsgAccept, Outcome::Success)
    };
    let first = sender.describe(first, transaction.tls.as_ref()).sender(&transaction.sender);
    let given = transaction.changes.sender.as_ref().or(transaction.changes.author.as_ref());
    let first = given.into_iter().fold(first, |event, given| event.with(Field::SenderGiven, given.to_string()));
    let first = first.with(Field::Helo, transaction.helo.clone()).recipients(batches.next().unwrap_or_default());
    let more = batches.map(|batch| {
        let event = Event { message: Some(transaction.message), ..Event::new(Name::MsgRecipients, Outcome::Info) };
        sender.describe(event, None).recipients(batch)
    });
    std::iter::once(first).chain(more).collect()
}

/// What was asked for and taken: whoever looks for what became of it finds where it was promised. And what was changed in it:
/// where, by names that the operator chose; whose it was is personal.
fn rarities(manner: &Manner, changes: &Changes) -> Option<String> {
    let Changes { sender, author, removed } = changes;
    let places = [("envelope", sender.is_some()), ("header", author.is_some())];
    let rewritten: Vec<&str> = places.into_iter().filter(|(_, is)| *is).map(|(place, _)| place).collect();
    let rewritten = (!rewritten.is_empty()).then(|| ("rewritten".to_owned(), rewritten.into()));
    let counted = removed.iter().map(|(name, times)| (name.clone(), (*times).into()));
    let removed = (!removed.is_empty()).then(|| ("removed".to_owned(), serde_json::Value::Object(counted.collect())));
    let tls = manner.require_tls.then(|| ("requiretls".to_owned(), true.into()));
    let held = manner.release_us.map(|release| ("held_until_us".to_owned(), release.into()));
    let all: serde_json::Map<_, serde_json::Value> =
        tls.into_iter().chain(held).chain(rewritten).chain(removed).collect();
    (!all.is_empty()).then(|| serde_json::Value::Object(all).to_string())
}
