//! Messages that leave for another gate, or come from one, while the service is stopped.

use std::io;
use std::path::PathBuf;

use super::Stopped;
use crate::ipc::admin::queue::transfer::{Command, Response as Part};
use crate::ipc::admin::queue::{Command as Question, Response as Seen};
use crate::ipc::bytes::Octets;
use crate::ipc::frame::MAX_CONTENT;
use crate::mail::address::Address;
use crate::policy::FIX_UPS;
use crate::policy::route::Route;
use crate::vault::admin::transfer::{Moving, TOO_LARGE, no_route, offending, unknown, unread, unwritten};
use crate::vault::audit::ledger::now_us;
use crate::vault::delivery::courier::open;
use crate::vault::login::credentials::Credentials;
use crate::vault::master::Master;
use crate::vault::queue::export::{Given, Taking, give, part_with};
use crate::vault::queue::import::{Arrived, Incoming, Keeping, keep};
use crate::vault::queue::leaving::{self, Portion};
use crate::vault::store::keys::Lock;
use crate::vault::store::segment::{Files, Part as Wanted};
use crate::vault::store::spool::Body;
use crate::vault::store::transfer::Whole;
use crate::vault::store::{Failure, Store};

/// Octets of a segment read at once.
const READ: usize = 64 * 1024;
/// Messages named in one answer.
const LISTED: u32 = 400;

/// What hears each part of an answer.
pub type Hear<'a> = dyn FnMut(Seen) -> Result<(), String> + 'a;
/// Has one command carried out.
pub type Converse<'a> = dyn FnMut(Question, &mut Hear<'_>) -> Result<(), String> + 'a;

impl Stopped<'_> {
    /// Carries out commands about messages that leave or come, one after the other, as `work` gives them. Without one of the
    /// `masters` no body can be read or kept.
    pub fn transfer(
        &self,
        actor: &str,
        masters: Vec<Master>,
        ways: Ways,
        work: impl FnOnce(&mut Converse<'_>) -> Result<(), String>,
    ) -> Result<(), String> {
        self.open(|store, database| {
            let explain = |error: Failure| format!("{}: {error}", database.path.display());
            let credentials = store.transaction(|store| store.credentials.all()).map_err(explain)?;
            let credentials = Credentials::new(self.declared, &credentials);
            store.keys.adopt(masters);
            // Of an export that was killed. Where there is no room to write that, what there is can be read all the same.
            let _ = store.transaction(leaving::give_back_all);
            let mut desk =
                Desk { actor, credentials, ways, directory: self.home.join("db"), moving: Moving::default() };
            let mut files = Files::new(desk.directory.clone());
            let done = work(&mut |question, hear| desk.perform(store, &mut files, question, hear).map_err(explain)?);
            desk.forget(&mut files);
            // Where it can't be written, the next start does it.
            done.and(desk.give_back(store).map_err(explain))
        })
    }
}

/// What of a configuration says how mail may leave.
#[derive(Debug)]
pub struct Ways {
    pub routes: Vec<Route>,
    /// Octets of one message.
    pub max_size: u64,
    /// Whom reports are from, beside nobody.
    pub reporters: Vec<Address>,
}

struct Desk<'a> {
    actor: &'a str,
    credentials: Credentials,
    ways: Ways,
    directory: PathBuf,
    moving: Moving,
}

/// What became of a command: nothing more can be done after an error.
type Done = Result<Result<(), String>, Failure>;

impl Desk<'_> {
    fn perform(&mut self, store: &mut Store<'_>, files: &mut Files, question: Question, hear: &mut Hear<'_>) -> Done {
        match question {
            Question::List { after } => {
                let open = store.hold.open(after, LISTED)?;
                let is_full = u32::try_from(open.len()).is_ok_and(|length| length == LISTED);
                let next = open.last().map(|last| last.row).filter(|_| is_full);
                let messages = open.into_iter().map(|open| open.message).collect();
                Ok(hear(Seen::Listed { messages, next }))
            }
            Question::Transfer(command) => {
                let mut say = |part| hear(Seen::Transfer(part));
                self.carry_out(store, files, command, &mut say)
            }
            _ => Ok(Err("that is no command about messages that leave or come".to_owned())),
        }
    }

    fn carry_out(
        &mut self,
        store: &mut Store<'_>,
        files: &mut Files,
        command: Command,
        say: &mut dyn FnMut(Part) -> Result<(), String>,
    ) -> Done {
        match command {
            Command::Give { message, credential, hold } => {
                let taking = Taking { message, credential, hold };
                let begin = self.moving.leaving.begin(self.actor);
                let given = store.transaction(|store| {
                    store.tell_unclean_stop()?;
                    give(store, &taking, begin)
                });
                Ok(match given? {
                    Given::Whole(whole) => {
                        self.moving.leaving.add(Portion::of(&whole, hold));
                        give_out(files, *whole, say)
                    }
                    Given::Passed => say(Part::Passed),
                    Given::Left(reason) => say(Part::Left(reason.to_owned())),
                })
            }
            Command::Written { messages, note } => {
                let portions = self.moving.leaving.of(&messages);
                store.transaction(|store| {
                    store.tell_unclean_stop()?;
                    leaving::write(store, &portions, self.actor, note.as_ref())
                })?;
                self.moving.leaving.note(&messages);
                Ok(Ok(()))
            }
            Command::Drop { messages, note } => {
                let messages = self.moving.leaving.written(messages);
                // Segments that nobody needs are removed at the next start.
                let done = store.transaction(|store| {
                    store.tell_unclean_stop()?;
                    part_with(store, &messages, self.actor, note.as_ref())
                });
                Ok(say(Part::Dropped(done?.counts)))
            }
            Command::Begin { envelope, credential } => {
                self.forget(files);
                if store.keys.masters().is_empty() {
                    return Ok(Err("there is no master key here yet: start the service once".to_owned()));
                }
                if envelope.bytes > self.ways.max_size {
                    return Ok(say(Part::Left(TOO_LARGE.to_owned())));
                }
                let begun = match Incoming::new(*envelope, credential) {
                    Ok(begun) => begun,
                    Err(reason) => return Ok(say(Part::Left(reason.to_owned()))),
                };
                if self.credentials.get(begun.credential()).is_none() {
                    return Ok(say(Part::Left(unknown(begun.credential()))));
                }
                self.moving.incoming = Some(begun);
                Ok(Ok(()))
            }
            Command::Recipient(recipient) => {
                let added = self.begun(|begun| begun.add(*recipient).map_err(str::to_owned));
                Ok(self.go_on(files, added, say))
            }
            Command::Content(Octets(octets)) => {
                let taken = self.begun(|begun| match begun.take(&octets) {
                    Ok(None) => Ok(()),
                    Ok(Some(piece)) => files.append(piece).map_err(|error| unwritten(&error)),
                    Err(reason) => Err(reason.to_owned()),
                });
                Ok(self.go_on(files, taken, say))
            }
            Command::End { release, regardless, note } => {
                let ended = self.begun(|begun| write_end(files, begun));
                if !matches!(ended, Ok(Ok(()))) {
                    return Ok(self.go_on(files, ended, say));
                }
                let Some(whole) = self.moving.incoming.take() else { return Ok(Err(NONE.to_owned())) };
                let segment = whole.segment();
                let mut arrived = match whole.arrived() {
                    Ok(arrived) => arrived,
                    Err(error) => return Ok(say(Part::Left(unwritten(&error)))),
                };
                let credential = self.credentials.get(arrived.credential()).cloned();
                credential.iter().for_each(|found| arrived.is_of(&found.policy));
                let is_over = match self.admits(&arrived, regardless) {
                    Ok(is_live) => !is_live,
                    Err(reason) => {
                        segment.iter().for_each(|name| files.remove(name));
                        return Ok(say(Part::Left(reason)));
                    }
                };
                let webhook = credential.and_then(|found| found.policy.webhook.clone());
                let actor = self.actor.to_owned();
                let keeping = Keeping { release, regardless, is_over, note, actor, webhook };
                let kept = store.transaction(|store| {
                    store.tell_unclean_stop()?;
                    // The start gives everybody a route.
                    keep(store, arrived, &|_| String::new(), &keeping)
                });
                Ok(match kept? {
                    Ok(kept) => say(Part::Kept { released: kept.released }),
                    Err(reason) => {
                        segment.iter().for_each(|name| files.remove(name));
                        say(Part::Left(reason.to_owned()))
                    }
                })
            }
        }
    }

    /// Whether its credential is in force. Errors: why it is not taken in.
    fn admits(&self, arrived: &Arrived, regardless: bool) -> Result<bool, String> {
        let credential = self.credentials.get(arrived.credential());
        let credential = credential.ok_or_else(|| unknown(arrived.credential()))?;
        let (policy, grant) = (&credential.policy, credential.policy.grant(&credential.id, &self.ways.routes));
        let most =
            policy.max_size.map_or(self.ways.max_size, |own| own.saturating_add(FIX_UPS).min(self.ways.max_size));
        let offence = arrived.offence(policy, &grant, most, &self.ways.reporters).filter(|_| !regardless);
        let sender = &arrived.envelope().sender;
        let grant = if arrived.envelope().manner.test { grant.testing() } else { grant };
        let no_way = arrived.waiting().find(|to| grant.way(sender, to).is_err());
        match (offence, no_way) {
            (Some(offence), _) => Err(offending(offence)),
            (None, Some(to)) => Err(no_route(&to.to_string())),
            (None, None) => Ok(credential.is_live(now_us())),
        }
    }

    /// Works on the message that was begun. Errors: none was.
    fn begun(&mut self, work: impl FnOnce(&mut Incoming) -> Result<(), String>) -> Result<Result<(), String>, String> {
        self.moving.incoming.as_mut().map(work).ok_or_else(|| NONE.to_owned())
    }

    /// After a step: a message with which something is wrong is forgotten.
    fn go_on(
        &mut self,
        files: &mut Files,
        step: Result<Result<(), String>, String>,
        say: &mut dyn FnMut(Part) -> Result<(), String>,
    ) -> Result<(), String> {
        match step? {
            Ok(()) => Ok(()),
            Err(reason) => {
                self.forget(files);
                say(Part::Left(reason))
            }
        }
    }

    /// What has left by nothing that is known of waits again.
    fn give_back(&mut self, store: &mut Store<'_>) -> Result<(), Failure> {
        self.moving.leaving.lost().into_iter().try_for_each(|portions| {
            store.transaction(|store| leaving::give_back(store, &portions, self.actor)).map(drop)
        })
    }

    fn forget(&mut self, files: &mut Files) {
        if let Some(segment) = self.moving.incoming.take().and_then(|begun| begun.segment()) {
            files.remove(&segment);
        }
    }
}

const NONE: &str = "no message was begun";

fn give_out(files: &Files, whole: Whole, say: &mut dyn FnMut(Part) -> Result<(), String>) -> Result<(), String> {
    let Whole { envelope, recipients, body, lock, .. } = whole;
    let octets = envelope.bytes;
    let mut opened = match open(&lock, &body, octets) {
        Ok(opened) => opened,
        Err(error) => return say(Part::Left(unread(&error))),
    };
    let key = if let Lock::Key(key) = lock { Some(key) } else { None };
    say(Part::Envelope(Box::new(envelope)))?;
    recipients.into_iter().try_for_each(|one| say(Part::Recipient(Box::new(one))))?;
    let mut sent = 0;
    while sent < octets {
        let piece = match &mut opened {
            Body::Inline(content) if sent == 0 => Ok(std::mem::take(content)),
            Body::Inline(_) => Ok(Vec::new()),
            Body::Segment(name) => {
                files.read(&Wanted { name: name.clone(), key: key.clone(), octets, offset: sent, length: READ })
            }
        };
        let piece = match piece {
            Ok(piece) if piece.is_empty() => return say(Part::Left(unread(&io::ErrorKind::UnexpectedEof.into()))),
            Ok(piece) => piece,
            Err(error) => return say(Part::Left(unread(&error))),
        };
        sent += u64::try_from(piece.len()).unwrap_or(u64::MAX);
        piece.chunks(MAX_CONTENT).try_for_each(|octets| say(Part::Content(Octets(octets.to_vec()))))?;
    }
    Ok(())
}

/// Writes what is left of it. Errors: why it is not kept.
fn write_end(files: &mut Files, begun: &mut Incoming) -> Result<(), String> {
    let Some((piece, octets)) = begun.end().map_err(str::to_owned)? else { return Ok(()) };
    let name = piece.name.clone();
    let written = files.append(piece).and_then(|()| files.sync(&name, octets));
    written.map(drop).map_err(|error| unwritten(&error))
}
