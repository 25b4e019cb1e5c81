//! Commands about messages that leave for another gate, or come from one.

use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;

use crate::config::slice::Bounce;
use crate::ipc::admin::Response;
use crate::ipc::admin::queue::transfer::{Command, Response as Part};
use crate::ipc::admin::queue::{Response as Queue, transfer};
use crate::ipc::bytes::Octets;
use crate::ipc::channel::Sender;
use crate::ipc::frame::MAX_CONTENT;
use crate::mail::address::Address;
use crate::policy::simulation::LANE;
use crate::vault::Vault;
use crate::vault::audit::ledger::now_us;
use crate::vault::delivery::courier::open;
use crate::vault::delivery::schedule::persist;
use crate::vault::delivery::way_back;
use crate::vault::queue::export::{Given, Taking, give, part_with};
use crate::vault::queue::import::{Arrived, Incoming, Keeping, keep};
use crate::vault::queue::leaving::{self, Leaving, Portion};
use crate::vault::store::keys::Lock;
use crate::vault::store::segment::Part as Wanted;
use crate::vault::store::spool::Body;
use crate::vault::store::transfer::Whole;

/// Octets of a segment read at once.
const READ: usize = 64 * 1024;

/// What has come and gone by one connection, and is not settled yet.
#[derive(Default)]
pub struct Moving {
    pub incoming: Option<Incoming>,
    pub leaving: Leaving,
}

/// Does one step of an export or an import.
///
/// Errors: nothing more can be done, in words. What is wrong with one message is a part of the answer.
pub async fn perform(
    vault: &Rc<Vault>,
    command: Command,
    actor: &str,
    Moving { incoming, leaving }: &mut Moving,
    parts: &Sender<Response>,
) -> Result<Response, String> {
    match command {
        Command::Give { message, credential, hold } => {
            // Until it was given out, its segment stays, whatever becomes of it.
            let _kept = vault.segments.keep();
            let taking = Taking { message, credential, hold };
            let begin = leaving.begin(actor);
            match vault.writer.run(move |store| give(store, &taking, begin)).await.map_err(|error| failed(&error))? {
                Given::Whole(whole) => {
                    leaving.add(Portion::of(&whole, hold));
                    give_out(vault, *whole, parts).await
                }
                Given::Passed => say(parts, Part::Passed).await,
                Given::Left(reason) => left(parts, reason).await,
            }
        }
        Command::Written { messages, note } => {
            let (portions, own) = (leaving.of(&messages), actor.to_owned());
            let done = vault.writer.run(move |store| leaving::write(store, &portions, &own, note.as_ref())).await;
            done.map_err(|error| failed(&error))?;
            leaving.note(&messages);
            Ok(Response::Done)
        }
        Command::Drop { messages, note } => {
            let messages = leaving.written(messages);
            let own = actor.to_owned();
            let done = vault.writer.run(move |store| part_with(store, &messages, &own, note.as_ref())).await;
            let done = done.map_err(|error| failed(&error))?;
            for segment in done.segments {
                vault.segments.remove(segment).await;
            }
            say(parts, Part::Dropped(done.counts)).await
        }
        Command::Begin { envelope, credential } => {
            forget(vault, incoming).await;
            if vault.writer.is_short() {
                return Err(SHORT.to_owned());
            }
            if envelope.bytes > vault.authority.borrow().slice.max_size {
                return left(parts, TOO_LARGE).await;
            }
            let begun = match Incoming::new(*envelope, credential) {
                Ok(begun) => begun,
                Err(reason) => return left(parts, reason).await,
            };
            if vault.authority.borrow().credentials.get(begun.credential()).is_none() {
                return left(parts, &unknown(begun.credential())).await;
            }
            *incoming = Some(begun);
            Ok(Response::Done)
        }
        Command::Recipient(recipient) => {
            let begun = incoming.as_mut().ok_or(NONE)?;
            match begun.add(*recipient) {
                Ok(()) => Ok(Response::Done),
                Err(reason) => {
                    forget(vault, incoming).await;
                    left(parts, reason).await
                }
            }
        }
        Command::Content(Octets(octets)) => {
            if vault.writer.is_short() {
                forget(vault, incoming).await;
                return Err(SHORT.to_owned());
            }
            let begun = incoming.as_mut().ok_or(NONE)?;
            let reason = match begun.take(&octets) {
                Ok(None) => return Ok(Response::Done),
                Ok(Some(piece)) => match vault.segments.append(piece).await.await.map_err(io::Error::other) {
                    Ok(Ok(())) => return Ok(Response::Done),
                    Ok(Err(error)) | Err(error) => unwritten(&error),
                },
                Err(reason) => reason.to_owned(),
            };
            forget(vault, incoming).await;
            left(parts, &reason).await
        }
        Command::End { release, regardless, note } => {
            let begun = incoming.as_mut().ok_or(NONE)?;
            let ended = write_end(vault, begun).await;
            let kept = match ended {
                Ok(()) => {
                    let whole = incoming.take().ok_or(NONE)?;
                    let actor = actor.to_owned();
                    let keeping = Keeping { release, regardless, is_over: false, note, actor, webhook: None };
                    take_in(vault, whole, keeping).await?
                }
                Err(reason) => Err(reason),
            };
            forget(vault, incoming).await;
            match kept {
                Ok(released) => say(parts, Part::Kept { released }).await,
                Err(reason) => left(parts, &reason).await,
            }
        }
    }
}

/// Nothing comes of what has come so far.
pub async fn forget(vault: &Vault, incoming: &mut Option<Incoming>) {
    if let Some(segment) = incoming.take().and_then(|begun| begun.segment()) {
        vault.segments.remove(segment).await;
    }
}

/// What has left by nothing that is known of is offered again, as soon as the disk has room for that.
pub async fn give_back(vault: &Vault, leaving: &mut Leaving, actor: &str) {
    for portions in leaving.lost() {
        let own = actor.to_owned();
        match persist(vault, move |store| leaving::give_back(store, &portions, &own)).await {
            Some(lanes) if lanes.is_empty() => {}
            Some(lanes) => {
                vault.schedule.borrow_mut().arrived(lanes);
                vault.poke.notify_one();
            }
            None => tracing::error!("what an export that failed held can't be released: the next start will"),
        }
    }
}

const NONE: &str = "no message was begun";
const SHORT: &str = "there is too little room on the disk for more mail";
pub const TOO_LARGE: &str = "it is larger than what this gate takes: raise limits.max_size for it";

async fn give_out(vault: &Vault, whole: Whole, parts: &Sender<Response>) -> Result<Response, String> {
    let Whole { envelope, recipients, body, lock, .. } = whole;
    let octets = envelope.bytes;
    let mut opened = match open(&lock, &body, octets) {
        Ok(opened) => Opened { body: opened, key: if let Lock::Key(key) = lock { Some(key) } else { None }, octets },
        Err(error) => return left(parts, &unread(&error)).await,
    };
    say(parts, Part::Envelope(Box::new(envelope))).await?;
    for recipient in recipients {
        say(parts, Part::Recipient(Box::new(recipient))).await?;
    }
    let mut sent = 0;
    while sent < octets {
        let piece = match opened.piece(vault, sent).await {
            Ok(piece) if piece.is_empty() => return left(parts, &unread(&io::ErrorKind::UnexpectedEof.into())).await,
            Ok(piece) => piece,
            Err(error) => return left(parts, &unread(&error)).await,
        };
        sent += u64::try_from(piece.len()).unwrap_or(u64::MAX);
        for octets in piece.chunks(MAX_CONTENT) {
            say(parts, Part::Content(Octets(octets.to_vec()))).await?;
        }
    }
    Ok(Response::Done)
}

/// A body that can be read.
struct Opened {
    body: Body,
    key: Option<crate::vault::cipher::BodyKey>,
    octets: u64,
}

impl Opened {
    async fn piece(&mut self, vault: &Vault, offset: u64) -> io::Result<Vec<u8>> {
        match &mut self.body {
            Body::Inline(content) if offset == 0 => Ok(std::mem::take(content)),
            Body::Inline(_) => Ok(Vec::new()),
            Body::Segment(name) => {
                let (name, key, octets) = (name.clone(), self.key.clone(), self.octets);
                vault.segments.read(Wanted { name, key, octets, offset, length: READ }).await
            }
        }
    }
}

/// Writes what is left of it. Otherwise the reason why it is not kept.
async fn write_end(vault: &Vault, begun: &mut Incoming) -> Result<(), String> {
    let Some((piece, octets)) = begun.end().map_err(str::to_owned)? else { return Ok(()) };
    let name = piece.name.clone();
    let written = async {
        vault.segments.append(piece).await.await.map_err(io::Error::other)??;
        vault.segments.sync(name, octets).await.await.map_err(io::Error::other)?.map(drop)
    };
    written.await.map_err(|error| unwritten(&error))
}

/// Keeps it, where each of those who wait has a route. Otherwise the reason why not, and its segment is gone.
async fn take_in(vault: &Vault, whole: Incoming, keeping: Keeping) -> Result<Result<bool, String>, String> {
    let segment = whole.segment();
    let kept = match whole.arrived() {
        Ok(arrived) => store(vault, arrived, keeping).await,
        Err(error) => Ok(Err(unwritten(&error))),
    };
    if !matches!(kept, Ok(Ok(_)))
        && let Some(segment) = segment
    {
        vault.segments.remove(segment).await;
    }
    kept
}

async fn store(vault: &Vault, mut arrived: Arrived, mut keeping: Keeping) -> Result<Result<bool, String>, String> {
    // It may have gone since the message was begun.
    let credential = vault.authority.borrow().credentials.get(arrived.credential()).cloned();
    let Some(credential) = credential else { return Ok(Err(unknown(arrived.credential()))) };
    arrived.is_of(&credential.policy);
    keeping.is_over = !credential.is_live(now_us());
    keeping.webhook = credential.policy.webhook.clone();
    if !keeping.regardless {
        let authority = vault.authority.borrow();
        let (grant, most) = (authority.grant(&credential), authority.max_size(&credential.policy));
        let reporters = reporters(&authority.slice.bounces);
        if let Some(offence) = arrived.offence(&credential.policy, &grant, most, &reporters) {
            return Ok(Err(offending(offence)));
        }
    }
    let lanes: BTreeMap<String, String> = {
        let authority = vault.authority.borrow();
        let (who, envelope) = (arrived.credential(), arrived.envelope());
        let lane = |to: &Address| match envelope.manner.test {
            true => LANE.to_owned(),
            false => way_back::lane(&authority, who, envelope.is_report, &envelope.sender, to),
        };
        arrived.waiting().map(|to| (to.to_string(), lane(to))).collect()
    };
    if let Some((to, _)) = lanes.iter().find(|(_, lane)| lane.is_empty()) {
        return Ok(Err(no_route(to)));
    }
    let arriving: Vec<String> = lanes.values().cloned().collect();
    let work = move |store: &mut crate::vault::store::Store<'_>| {
        // Those who don't wait have no way any more.
        keep(store, arrived, &|to| lanes.get(&to.to_string()).cloned().unwrap_or_default(), &keeping)
    };
    let kept = vault.writer.run(work).await.map_err(|error| failed(&error))?;
    Ok(match kept {
        Ok(kept) => {
            if kept.released {
                vault.schedule.borrow_mut().arrived(arriving);
                vault.poke.notify_one();
            }
            Ok(kept.released)
        }
        Err(reason) => Err(reason.to_owned()),
    })
}

/// Whom reports are from here, beside nobody.
pub fn reporters(bounces: &[Bounce]) -> Vec<Address> {
    bounces.iter().filter_map(|bounce| bounce.from.clone()).collect()
}

/// No more of an address than auditors see.
fn domain(address: &str) -> &str {
    address.rsplit_once('@').map_or("", |(_, domain)| domain)
}

/// Why mail is not taken in that the rules of its credential forbid.
pub fn offending(offence: &str) -> String {
    format!("{offence}: change its rules, or give --regardless")
}

pub fn no_route(to: &str) -> String {
    format!("there is no route here for a recipient in {}", domain(to))
}

/// Why mail of a credential that is none is not taken in.
pub fn unknown(id: &str) -> String {
    format!("there is no credential {id:?} here: add it, or name one with --as")
}

pub fn unread(error: &io::Error) -> String {
    format!("its body can't be read: {error}")
}

pub fn unwritten(error: &io::Error) -> String {
    format!("its body can't be written: {error}")
}

fn failed(error: &crate::vault::store::writer::NotStored) -> String {
    error.to_string()
}

async fn left(parts: &Sender<Response>, reason: &str) -> Result<Response, String> {
    say(parts, Part::Left(reason.to_owned())).await
}

async fn say(parts: &Sender<Response>, part: transfer::Response) -> Result<Response, String> {
    let part = Response::Queue(Queue::Transfer(part));
    parts.send(part).await.map(|()| Response::Done).map_err(|_| "whoever asked is gone".to_owned())
}
