//! After a restore: recipients whose end is recorded in a log that is newer than the backup are final here too, so that
//! nobody who got a message gets it again. Who may have got it is quarantined.

use rusqlite::Result as Sql;
use serde_json::{Map, Value, json};

use super::{Counts, EXPORTED};
use crate::ipc::admin::queue::{Alike, End, Reconciled, Told};
use crate::ipc::happening::Kind;
use crate::mail::address::Address;
use crate::mail::id::MessageId;
use crate::policy::OnUnknown;
use crate::vault::audit::event::{Event, Field, MAX_RECIPIENTS, Name, Outcome};
use crate::vault::audit::ledger::now_us;
use crate::vault::audit::mask;
use crate::vault::store::Store;
use crate::vault::store::feed::Entry;
use crate::vault::store::hold::{Open, Recipient};

/// Why those were dropped who ended in a log of before.
const RECONCILED: &str = "reconciled";

/// What was done, and the segments that nobody needs any more.
#[derive(Debug, Default)]
pub struct Done {
    pub reconciled: Reconciled,
    pub segments: Vec<String>,
}

/// Recipients who end here, alike as their event has it.
struct Ending<'a> {
    recipients: Vec<&'a Recipient>,
    end: End,
    /// An attempt may have delivered to them.
    doubt: bool,
    /// How many of them were delivered and how many given up, where it isn't known who.
    among: Option<[u64; 2]>,
}

/// Makes final what another log says of one message. Where it shows too little of an address to tell two recipients apart,
/// and not all of them have ended, nobody is given up: who is held is quarantined, and they are counted as unclear.
pub fn reconcile(store: &mut Store<'_>, message: MessageId, told: &[Told], actor: &str, done: &mut Done) -> Sql<()> {
    let Some(open) = store.hold.find(message)? else { return Ok(()) };
    let everybody = store.hold.recipients(open.row)?;
    let mut left: Vec<&Recipient> = everybody.iter().filter(|one| one.waits).collect();
    let (mut endings, mut doubtful, mut unclear) = (Vec::new(), Vec::new(), Vec::new());
    for one in told {
        let Told::One { address, end, doubt } = one else { continue };
        let named = taken(&mut left, |one| one.recipient.to_string() == *address);
        match end {
            Some(end) => add(&mut endings, named, *end, *doubt),
            None if *doubt => doubtful.extend(named),
            None => left.extend(named),
        }
    }
    for one in told {
        let Told::Alike(alike) = one else { continue };
        let all = everybody.iter().filter(|one| is_shown_as(&one.recipient, &alike.shown)).count();
        let is_all = u64::try_from(all).is_ok_and(|all| alike.ended >= all);
        let group = taken(&mut left, |one| is_shown_as(&one.recipient, &alike.shown));
        match fate(alike) {
            Some((end, true)) if is_all => add(&mut endings, group, end, alike.doubt),
            Some((end, false)) if is_all => {
                let among = Some([alike.delivered, alike.failed + alike.exported]);
                endings.push(Ending { recipients: group, end, doubt: true, among });
            }
            Some(_) => unclear.extend(group),
            None if alike.doubt => doubtful.extend(group),
            None => left.extend(group),
        }
    }
    quarantine(store, &open, &unclear, true)?;
    let strict = store.hold.on_unknown(open.row)? != OnUnknown::Retry;
    quarantine(store, &open, &doubtful, strict)?;
    let count = |all: &[&Recipient]| u64::try_from(all.len()).unwrap_or(u64::MAX);
    done.reconciled.unclear += count(&unclear);
    done.reconciled.doubtful += if strict { count(&doubtful) } else { 0 };
    endings.retain(|ending| !ending.recipients.is_empty());
    if endings.is_empty() {
        return Ok(());
    }
    let recipients = endings.iter().map(|ending| count(&ending.recipients)).sum();
    for ending in &endings {
        finish(store, &open, ending, actor)?;
    }
    super::add(&mut done.reconciled.done, Counts { messages: 1, recipients, under_way: 0 });
    done.segments.extend(store.finish(open.row, now_us())?);
    Ok(())
}

/// How all of them ended, and whether that is so of each: else nobody can say who is who, and they were given up, or are in an
/// archive that can bring them back.
fn fate(alike: &Alike) -> Option<(End, bool)> {
    match [alike.delivered, alike.failed, alike.exported] {
        [0, 0, 0] => None,
        [_, 0, 0] => Some((End::Delivered, true)),
        [0, _, 0] => Some((End::Failed, true)),
        [0, 0, _] => Some((End::Exported, true)),
        [_, _, 0] => Some((End::Failed, false)),
        _ => Some((End::Exported, false)),
    }
}

/// Those of them who are meant.
fn taken<'a>(left: &mut Vec<&'a Recipient>, is_meant: impl Fn(&Recipient) -> bool) -> Vec<&'a Recipient> {
    left.extract_if(.., |one| is_meant(one)).collect()
}

/// Those who ended alike have their events together.
fn add<'a>(endings: &mut Vec<Ending<'a>>, recipients: Vec<&'a Recipient>, end: End, doubt: bool) {
    // Whoever got it is in no doubt.
    let doubt = doubt && end != End::Delivered;
    let is_same = |ending: &&mut Ending<'_>| ending.among.is_none() && ending.doubt == doubt && ending.end == end;
    match endings.iter_mut().find(is_same) {
        Some(ending) => ending.recipients.extend(recipients),
        None => endings.push(Ending { recipients, end, doubt, among: None }),
    }
}

/// Who may have it gets it again only when somebody means that very message. Whoever was let go since is on his way.
fn quarantine(store: &mut Store<'_>, open: &Open, all: &[&Recipient], strict: bool) -> Sql<()> {
    for one in all {
        store.hold.doubt(open.row, one.number, strict && one.held)?;
    }
    if strict && all.iter().any(|one| one.held) {
        store.hold.quarantine(open.row)?;
    }
    Ok(())
}

fn finish(store: &mut Store<'_>, open: &Open, ending: &Ending<'_>, actor: &str) -> Sql<()> {
    let Ending { recipients, end, doubt, among } = ending;
    let (kind, reason) = match end {
        End::Delivered => (Kind::Sent, RECONCILED),
        End::Failed => (Kind::Failed, RECONCILED),
        End::Exported => (Kind::Moved, EXPORTED),
    };
    for one in recipients {
        if *doubt {
            store.hold.doubt(open.row, one.number, false)?;
        }
        store.hold.end(open.row, one.number, *end)?;
        store.feed.put(open.row, one.number, kind, &Entry::default())?;
    }
    for batch in recipients.chunks(MAX_RECIPIENTS) {
        let count = batch.len();
        let mut data = Map::new();
        match (among, end) {
            (Some([delivered, failed]), _) => {
                data.extend([("delivered".into(), json!(delivered)), ("failed".into(), json!(failed))]);
            }
            (None, End::Delivered) => data.extend([("delivered".into(), json!(count)), ("failed".into(), json!(0))]),
            (None, End::Failed) => data.extend([("delivered".into(), json!(0)), ("failed".into(), json!(count))]),
            (None, End::Exported) => data.extend([("reconciled".into(), json!(true))]),
        }
        if *doubt {
            data.insert("may_be_delivered".into(), json!(true));
        }
        let event = Event {
            message: Some(open.message),
            actor: Some(actor.to_owned()),
            severity: 5,
            rcpt_count: u64::try_from(count).ok(),
            reason: Some(reason.into()),
            data: Some(Value::Object(data).to_string()),
            ..Event::new(Name::QueueDrop, Outcome::Info)
        };
        let event = event.with(Field::Account, open.principal.clone());
        store.record(vec![event.recipients(batch.iter().map(|one| &one.recipient))])?;
    }
    Ok(())
}

fn is_shown_as(address: &Address, shown: &str) -> bool {
    let address = address.to_string();
    shown == mask::HIDDEN || shown == address || shown == mask::mailbox(&address)
}
