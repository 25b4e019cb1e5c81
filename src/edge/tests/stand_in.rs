//! A vault for tests: it answers over a real channel, remembers what it was told, and counts what was out of its moment.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use tokio::sync::RwLock;
use tokio::task::JoinHandle;
use uuid::Uuid;

pub use super::seen::{Kept, Seen};
use super::talk::{self, Talk, Turn};
use crate::edge::conversation::{Vault, Visit};
use crate::ipc::bytes::Octets;
use crate::ipc::capsule::{Capsule, Introduction, KEY};
use crate::ipc::channel::{self, Receiver, Sender};
use crate::ipc::session::{Answer, Ask, Denial, Exported, Slot, Word};
use crate::mail::facts::Facts;
use crate::mail::id::MessageId;
use crate::mail::spoken::Spoken;
use crate::policy::mechanism::Mechanism;
use crate::policy::refusal::Refusal;
use crate::policy::route::{BackedUp, Route};
use crate::policy::{Grant, Policy, Recipients};
use crate::role::Instance;
use crate::sandbox::Sealed;
use crate::secret::Secret;

/// How it behaves.
#[derive(Clone, Debug)]
pub struct Ways {
    /// User, password and grant.
    pub login: (String, String, Grant),
    pub network: Option<Grant>,
    pub denial: Option<Denial>,
    /// How it talks with who logs in by SCRAM.
    pub scram: fn(Mechanism, Option<Exported>) -> Talk,
    /// Somebody follows every session.
    pub traced: bool,
    /// There are enough sessions of whoever a proxy names.
    pub crowded: bool,
    pub at_mail: Option<Refusal>,
    pub backed_up: Vec<BackedUp>,
    pub at_commit: Option<Refusal>,
    /// Octets that it takes ahead.
    pub credit: u32,
    /// It says that it keeps what it forgets at once.
    pub forgets: bool,
    /// It falls when it is asked to commit; its successor says that it was, or wasn't.
    pub falls_at_commit: Option<bool>,
    /// It falls when content comes.
    pub falls_at_chunk: bool,
    /// It takes so long for each question.
    pub slow: Duration,
    /// The same, for each that has to do with content.
    pub slow_content: Duration,
    /// It stands still as long as somebody writes here.
    pub still: Arc<RwLock<()>>,
    pub committed: HashMap<MessageId, bool>,
    /// Mail is delivered while its client waits, and this is said to the dot.
    pub passed: Option<Spoken>,
}

pub fn grant(senders: &[&str], recipients: Recipients, max_recipients: u32) -> Grant {
    let policy = Policy {
        senders: senders.iter().map(|rule| rule.parse().unwrap()).collect(),
        recipients,
        max_recipients: Some(max_recipients),
        ..Policy::default()
    };
    policy.grant(
        "billing",
        &[Route { credential: None, from: None, to: "*".parse().unwrap(), via: vec![0], requiretls: false }],
    )
}

impl Default for Ways {
    fn default() -> Self {
        let deny = Recipients { allow: vec![], deny: vec!["@denied.example".parse().unwrap()] };
        let grant = grant(&["@example.net", "\"o'x\\\"; --\"@c.net"], deny, 100);
        Self {
            login: ("billing".into(), "s3cret".into(), grant),
            network: None,
            denial: None,
            scram: talk::usual,
            traced: false,
            crowded: false,
            at_mail: None,
            backed_up: Vec::new(),
            at_commit: None,
            credit: 32 * 1024,
            forgets: false,
            falls_at_commit: None,
            falls_at_chunk: false,
            slow: Duration::ZERO,
            slow_content: Duration::ZERO,
            still: Arc::default(),
            committed: HashMap::new(),
            passed: None,
        }
    }
}

/// The vault and the edge's way to it.
pub struct StandIn {
    pub vault: Vault,
    pub seen: Arc<Mutex<Seen>>,
    answers: Sender<Answer>,
    task: JoinHandle<()>,
}

impl StandIn {
    pub fn new(ways: Ways) -> Self {
        let vault = Vault::default();
        let seen = Arc::default();
        let (answers, task) = Self::plug(&vault, ways, &seen);
        Self { vault, seen, answers, task }
    }

    fn plug(vault: &Vault, ways: Ways, seen: &Arc<Mutex<Seen>>) -> (Sender<Answer>, JoinHandle<()>) {
        let sealed = Sealed::for_tests();
        let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::Stream, None, SockFlag::SOCK_CLOEXEC).unwrap();
        let (asks, answers) = channel::open(ours, &sealed).unwrap();
        vault.plug(asks, answers);
        let (answers, asks) = channel::open::<Answer, Ask>(theirs, &sealed).unwrap();
        let places = Places { ways, seen: seen.clone(), answers: answers.clone(), places: HashMap::new() };
        (answers, tokio::spawn(places.serve(asks)))
    }

    /// Falls, as when it is killed.
    pub async fn fall(&mut self) {
        self.task.abort();
        self.fallen().await;
    }

    /// Waits until it has fallen by itself.
    pub async fn fallen(&mut self) {
        let _ = (&mut self.task).await;
        // Its sending half is what keeps the channel open.
        let sealed = Sealed::for_tests();
        let (stray, _) = socketpair(AddressFamily::Unix, SockType::Stream, None, SockFlag::SOCK_CLOEXEC).unwrap();
        self.answers = channel::open::<Answer, Ask>(stray, &sealed).unwrap().0;
        while self.vault.current().is_some() {
            tokio::task::yield_now().await;
        }
    }

    /// Its successor.
    pub fn replace(&mut self, ways: Ways) {
        (self.answers, self.task) = Self::plug(&self.vault, ways, &self.seen);
    }

    pub async fn say(&self, answer: Answer) {
        self.answers.send(answer).await.unwrap();
    }

    pub fn visit(&self) -> Visit {
        self.vault.enter(capsule())
    }

    /// Everything that was asked came in its moment.
    pub fn seen(&self) -> Seen {
        let seen = self.seen.lock().unwrap().clone();
        assert!(seen.out_of_turn.is_empty(), "{:?}", seen.out_of_turn);
        seen
    }

    /// Waits until it has seen this.
    pub async fn until(&self, wanted: impl Fn(&Seen) -> bool) -> Seen {
        for _ in 0..10_000 {
            let seen = self.seen();
            if wanted(&seen) {
                return seen;
            }
            tokio::task::yield_now().await;
        }
        panic!("never seen: {:?}", self.seen());
    }
}

pub fn capsule() -> Capsule {
    let introduction = Introduction {
        session: Uuid::now_v7(),
        peer: "192.0.2.7:40000".parse().unwrap(),
        listener: 1,
        edge: Instance(4),
        accepted_us: 1,
    };
    Capsule::seal(introduction, &Secret::new([7; KEY]))
}

struct Places {
    ways: Ways,
    seen: Arc<Mutex<Seen>>,
    answers: Sender<Answer>,
    places: HashMap<Slot, Place>,
}

#[derive(Default)]
struct Place {
    message: Option<MessageId>,
    draft: Option<Kept>,
    content: bool,
    credit: u64,
    /// A login by SCRAM that has begun.
    talk: Option<Talk>,
}

impl Place {
    fn turn(&mut self, slot: Slot, message: &[u8], grant: Grant) -> Answer {
        let Some(mut talk) = self.talk.take() else { return Answer::Denied { slot, denial: Denial::Invalid } };
        match talk(message) {
            Turn::Challenge(message) => {
                self.talk = Some(talk);
                Answer::Challenge { slot, message: Octets(message) }
            }
            Turn::Over(true) => Answer::Granted { slot, grant: Box::new(grant) },
            Turn::Over(false) => Answer::Denied { slot, denial: Denial::Invalid },
        }
    }
}

impl Places {
    async fn serve(mut self, mut asks: Receiver<Ask>) {
        while let Ok(Some(ask)) = asks.receive().await {
            drop(self.ways.still.read().await);
            if !self.ways.slow.is_zero() {
                tokio::time::sleep(self.ways.slow).await;
            }
            if matches!(ask, Ask::Content { .. } | Ask::Chunk { .. } | Ask::Commit { .. })
                && !self.ways.slow_content.is_zero()
            {
                tokio::time::sleep(self.ways.slow_content).await;
            }
            self.seen.lock().unwrap().frames += 1;
            let word = format!("{ask:?}");
            match self.take(ask) {
                Ok(Some(answer)) => self.answers.send(answer).await.unwrap(),
                Ok(None) => (),
                Err(true) => return,
                Err(false) => self.seen.lock().unwrap().out_of_turn.push(word),
            }
        }
    }

    /// The answer; or an error: true to fall, false for a question out of its moment.
    fn take(&mut self, ask: Ask) -> Result<Option<Answer>, bool> {
        let ways = self.ways.clone();
        let mut seen = self.seen.lock().unwrap();
        match ask {
            Ask::Open { slot, via, .. } => {
                seen.opened += 1;
                seen.ways.push(via);
                if self.places.insert(slot, Place::default()).is_some() {
                    return Err(false);
                }
                if ways.crowded {
                    return Ok(Some(Answer::Crowded { slot }));
                }
                Ok(Some(Answer::Opened { slot, network: ways.network.map(Box::new), traced: ways.traced }))
            }
            Ask::Close { slot } => {
                seen.closed += 1;
                self.places.remove(&slot).map(|_| None).ok_or(false)
            }
            Ask::Was { message } => {
                seen.asked.push(message);
                let committed = ways.committed.get(&message).copied().unwrap_or(true);
                Ok(Some(Answer::Was { message, committed }))
            }
            Ask::Turned { sender, recipient, refusal, flaw, .. } => {
                seen.flaws.extend(flaw.map(|flaw| flaw.to_string()));
                seen.turned.push((sender.map(String::from), recipient.map(String::from), refusal));
                Ok(None)
            }
            Ask::Shown { .. } | Ask::Counted(_) => Ok(None),
            // SMTP has no way to say it.
            Ask::Label { .. } | Ask::Prove { .. } => Err(false),
            Ask::Told { slot, told } => {
                seen.told.push(told);
                self.places.contains_key(&slot).then_some(None).ok_or(false)
            }
            Ask::Login { slot, user, password, tls, .. } => {
                seen.certificates.extend(tls.and_then(|tls| tls.client));
                let password = password.expose().clone();
                seen.logins.push((user.clone(), password.clone()));
                let grant = (user == ways.login.0 && password == ways.login.1).then_some(ways.login.2);
                Ok(Some(match (ways.denial, grant) {
                    (None, Some(grant)) => Answer::Granted { slot, grant: Box::new(grant) },
                    (denial, _) => Answer::Denied { slot, denial: denial.unwrap_or(Denial::Invalid) },
                }))
            }
            Ask::Scram { slot, mechanism, message, exported, .. } => {
                let said = String::from_utf8_lossy(message.expose()).into_owned();
                seen.logins.push((mechanism.name().to_owned(), format!("{said} {exported:?}")));
                let place = self.places.get_mut(&slot).filter(|place| place.talk.is_none()).ok_or(false)?;
                if let Some(denial) = ways.denial {
                    return Ok(Some(Answer::Denied { slot, denial }));
                }
                place.talk = Some((ways.scram)(mechanism, exported));
                Ok(Some(place.turn(slot, message.expose(), ways.login.2)))
            }
            Ask::Respond { slot, message } => {
                let place = self.places.get_mut(&slot).filter(|place| place.talk.is_some()).ok_or(false)?;
                Ok(Some(place.turn(slot, message.expose(), ways.login.2)))
            }
            Ask::Mail { slot, sender, manner, helo, .. } => {
                let place = self.places.get_mut(&slot).filter(|place| place.message.is_none()).ok_or(false)?;
                if let Some(refusal) = ways.at_mail {
                    return Ok(Some(Answer::Refused { slot, refusal }));
                }
                let message = MessageId::now();
                place.message = Some(message);
                place.draft = Some(Kept {
                    sender: sender.map(String::from).unwrap_or_default(),
                    recipients: vec![],
                    wishes: vec![],
                    manner,
                    content: String::new(),
                    octets: Vec::new(),
                    facts: Facts::default(),
                    helo,
                });
                Ok(Some(Answer::Reserved { slot, message, backed_up: ways.backed_up, live: ways.passed.is_some() }))
            }
            Ask::Recipient { slot, addressee } => {
                let draft = self.places.get_mut(&slot).and_then(|place| place.draft.as_mut()).ok_or(false)?;
                ways.passed.as_ref().ok_or(false)?;
                let address = String::from(addressee.address);
                let word = match address.split('@').next() {
                    Some("no") => Word::Said(Spoken::new(550, [5, 1, 1], "refused: nobody \u{2603}\r\n250 ok")),
                    Some("elsewhere") => Word::Refused(Refusal::TooManyRecipients),
                    _ => {
                        draft.recipients.push(address.clone());
                        draft.wishes.push(addressee.wish);
                        Word::Taken
                    }
                };
                seen.asked_for.push(address);
                Ok(Some(Answer::Recipient { slot, word }))
            }
            Ask::Recipients { slot, batch } => {
                let draft = self.places.get_mut(&slot).and_then(|place| place.draft.as_mut()).ok_or(false)?;
                for to in batch {
                    draft.recipients.push(to.address.into());
                    draft.wishes.push(to.wish);
                }
                Ok(None)
            }
            Ask::Content { slot } => {
                let place = self.places.get_mut(&slot).filter(|place| place.message.is_some()).ok_or(false)?;
                (place.content, place.credit) = (true, ways.credit.into());
                Ok(Some(Answer::Credit { slot, octets: ways.credit }))
            }
            Ask::Chunk { slot, octets } => {
                if ways.falls_at_chunk {
                    return Err(true);
                }
                let place = self.places.get_mut(&slot).filter(|place| place.content).ok_or(false)?;
                let length = octets.0.len() as u64;
                place.credit = place.credit.checked_sub(length).ok_or(false)? + length;
                if ways.forgets {
                    return Ok(Some(Answer::Credit { slot, octets: length as u32 }));
                }
                let draft = place.draft.as_mut().ok_or(false)?;
                draft.content.push_str(&String::from_utf8_lossy(&octets.0));
                draft.octets.extend_from_slice(&octets.0);
                Ok(Some(Answer::Credit { slot, octets: length as u32 }))
            }
            Ask::Commit { slot, facts } => {
                let place = self.places.get_mut(&slot).filter(|place| place.content).ok_or(false)?;
                let (message, draft) = (place.message.take().ok_or(false)?, place.draft.take());
                place.content = false;
                if ways.falls_at_commit.is_some() {
                    return Err(true);
                }
                if let Some(refusal) = ways.at_commit {
                    return Ok(Some(Answer::Refused { slot, refusal }));
                }
                seen.kept.push(Kept { facts, ..draft.ok_or(false)? });
                Ok(Some(match ways.passed {
                    Some(spoken) => Answer::Passed { slot, spoken },
                    None => Answer::Kept { slot, message, suppressed: Vec::new() },
                }))
            }
            // SMTP has no word for it.
            Ask::Inquire { .. } | Ask::Hook { .. } | Ask::Body { .. } => Err(false),
            Ask::Abort { slot } => {
                seen.aborted += 1;
                let begun = |place: &&mut Place| place.message.is_some() || place.talk.is_some();
                let place = self.places.get_mut(&slot).filter(begun).ok_or(false)?;
                *place = Place::default();
                Ok(None)
            }
        }
    }
}
