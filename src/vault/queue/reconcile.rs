//! After a restore: recipients whose end is recorded in a log that is newer than the backup are final here too, so that
//! nobody who got a message gets it again.

use rusqlite::Result as Sql;

use super::Counts;
use crate::ipc::admin::queue::{Ended, Reconciled};
use crate::ipc::happening::Kind;
use crate::mail::address::Address;
use crate::mail::id::MessageId;
use crate::vault::audit::event::{Event, Field, MAX_RECIPIENTS, Name, Outcome};
use crate::vault::audit::ledger::now_us;
use crate::vault::audit::mask;
use crate::vault::store::Store;
use crate::vault::store::feed::Entry;
use crate::vault::store::hold::Recipient;

/// What was done, and the segments that nobody needs any more.
#[derive(Debug, Default)]
pub struct Done {
    pub reconciled: Reconciled,
    pub segments: Vec<String>,
}

/// Makes final what another log says of one message. Where it shows too little of an address to tell two recipients apart,
/// and not all of them have ended, nobody is touched, and they are counted as unclear.
pub fn reconcile(store: &mut Store<'_>, message: MessageId, ended: &[Ended], actor: &str, done: &mut Done) -> Sql<()> {
    let Some(open) = store.hold.find(message)? else { return Ok(()) };
    let everybody = store.hold.recipients(open.row)?;
    let mut settled: Vec<(&Recipient, bool)> = Vec::new();
    let mut unclear = 0;
    for one in everybody.iter().filter(|one| one.waits) {
        let address = one.recipient.to_string();
        let exact = ended.iter().find(|end| end.clear.as_deref() == Some(&address) || end.shown == address);
        if let Some(end) = exact {
            settled.push((one, end.delivered));
            continue;
        }
        let could_be = |end: &&Ended| {
            end.clear.is_none()
                && end.shown != address
                && (end.shown == mask::mailbox(&address) || end.shown == mask::HIDDEN)
        };
        let Some(end) = ended.iter().find(could_be) else { continue };
        let alike = everybody.iter().filter(|other| is_shown_as(&other.recipient, &end.shown)).count();
        if ended.iter().filter(|other| other.clear.is_none() && other.shown == end.shown).count() >= alike {
            settled.push((one, end.delivered));
        } else {
            unclear += 1;
        }
    }
    done.reconciled.unclear += unclear;
    if settled.is_empty() {
        return Ok(());
    }
    for (one, delivered) in &settled {
        store.hold.end(open.row, one.number, *delivered)?;
        let kind = if *delivered { Kind::Sent } else { Kind::Failed };
        store.feed.put(open.row, one.number, kind, &Entry::default())?;
    }
    for batch in settled.chunks(MAX_RECIPIENTS) {
        let delivered = batch.iter().filter(|(_, delivered)| *delivered).count();
        let data = serde_json::json!({ "delivered": delivered, "failed": batch.len() - delivered }).to_string();
        let event = Event {
            message: Some(message),
            actor: Some(actor.to_owned()),
            severity: 5,
            rcpt_count: u64::try_from(batch.len()).ok(),
            reason: Some("reconciled".into()),
            data: Some(data),
            ..Event::new(Name::QueueDrop, Outcome::Info)
        };
        let event = event.with(Field::Account, open.principal.clone());
        store.record(vec![event.recipients(batch.iter().map(|(one, _)| &one.recipient))])?;
    }
    let recipients = u64::try_from(settled.len()).unwrap_or(u64::MAX);
    super::add(&mut done.reconciled.done, Counts { messages: 1, recipients, under_way: 0 });
    done.segments.extend(store.finish(open.row, now_us())?);
    Ok(())
}

fn is_shown_as(address: &Address, shown: &str) -> bool {
    shown == mask::HIDDEN || shown == mask::mailbox(&address.to_string())
}
