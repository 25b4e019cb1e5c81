//! The two neighbours of the HTTP gate in tests: a client that speaks raw octets, and a vault that remembers.

mod client;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub use client::{Client, Response, post, post_with};

use crate::config::slice::{Desk, EdgeSlice, Serve, TlsMode};
use crate::edge::conversation::Vault;
use crate::edge::front::{Front, Phase};
use crate::ipc::channel::{self, Receiver, Sender};
use crate::ipc::figures::Figures;
use crate::ipc::hook::{Posted, Verdict};
use crate::ipc::inquiry::{Batch, Inquiry, Over, Page};
use crate::ipc::label::Label;
use crate::ipc::once::Once;
use crate::ipc::session::{Answer, Ask, Denial, Slot, Via};
use crate::mail::facts::Facts;
use crate::mail::flaw::Flaw;
use crate::mail::id::MessageId;
use crate::policy::refusal::Refusal;
use crate::policy::route::Route;
use crate::policy::rule::SenderRule;
use crate::policy::{Grant, Policy, Recipients};
use crate::sandbox::Sealed;

pub const KEY: &str = "gp_live_7fQ2mKx9_secret";
/// Octets that the vault takes ahead: fewer than a large message has.
const CREDIT: u32 = 32 * 1024;

/// How this vault behaves.
#[derive(Clone, Default)]
pub struct Ways {
    pub denial: Option<Denial>,
    pub at_mail: Option<Refusal>,
    /// Messages that it takes before it refuses one so.
    pub mails: usize,
    pub at_commit: Option<Refusal>,
    pub slow_commit: Duration,
    /// What it says to every inquiry.
    pub at_inquiry: Option<Refusal>,
    /// Why it doesn't wait for a message any more; none: it goes on, until it hears that nobody waits.
    pub over: Option<Over>,
    /// What it says to what is posted to a hook.
    pub at_hook: Option<Verdict>,
    /// The room of a batch: what it says to that.
    pub at_room: Option<Refusal>,
    /// The numbers of the recipients of each message to whom it sends nothing.
    pub suppressed: Vec<u32>,
    /// What every credential may send from; none: the domain of the grant below.
    pub senders: Vec<SenderRule>,
    /// What else is other than in the grant below.
    pub grants: Option<fn(&mut Grant)>,
    pub falls_at_commit: bool,
    /// There is none.
    pub away: bool,
    /// The credential is changed while a message is on its way.
    pub revokes: bool,
    /// How it says that the service is.
    pub figures: Option<Figures>,
    /// What came of requests that are done once; kept together by all that share it, as on a disk.
    pub known: Known,
}

/// Keys of requests, with what was asked for and what came of it.
pub type Known = Arc<Mutex<HashMap<[u8; 32], ([u8; 32], MessageId)>>>;

/// What this vault kept.
#[derive(Clone, Debug)]
pub struct Message {
    pub id: MessageId,
    pub sender: String,
    pub recipients: Vec<String>,
    pub content: String,
    pub facts: Facts,
    pub size: u64,
    /// When it is to leave, in microseconds since 1970.
    pub release_us: Option<u64>,
    pub label: Option<Box<Label>>,
}

#[derive(Clone, Debug, Default)]
pub struct Seen {
    pub kept: Vec<Message>,
    pub logins: usize,
    /// Sender, recipient, how many further ones, and why.
    pub turned: Vec<(Option<String>, Option<String>, u32, Refusal)>,
    pub asks: usize,
    /// Messages that it was asked to take, and those of them that were taken back.
    pub mails: usize,
    pub aborts: usize,
    /// Messages whose form was wrong, and their senders.
    pub unfit: Vec<(Option<String>, Flaw)>,
    /// What was said of each message beside it.
    pub labels: Vec<Label>,
    /// Tokens that came with messages.
    pub proofs: Vec<String>,
    /// What is waited for.
    pub waiting: Option<(Slot, Inquiry)>,
    /// Pages that it was asked for.
    pub pages: Vec<Page>,
    /// When messages were to leave instead, in microseconds since 1970.
    pub times: Vec<u64>,
    /// Batches that it was asked to have room for.
    pub rooms: Vec<Batch>,
    /// What was posted to hooks.
    pub posted: Vec<(Posted, Vec<u8>)>,
    /// How each session was introduced.
    pub via: Vec<Via>,
    pub closed: bool,
}

pub fn grant() -> Grant {
    let policy = Policy {
        senders: vec!["@example.net".parse().unwrap()],
        recipients: Recipients { allow: vec![], deny: vec!["@competitor.example".parse().unwrap()] },
        max_recipients: Some(5),
        ..Policy::default()
    };
    policy.grant(
        "billing",
        &[Route { credential: None, from: None, to: "*".parse().unwrap(), via: vec![0], requiretls: false }],
    )
}

fn granted(ways: &Ways) -> Grant {
    let mut grant = grant();
    if !ways.senders.is_empty() {
        grant.senders.clone_from(&ways.senders);
    }
    ways.grants.iter().for_each(|change| change(&mut grant));
    grant
}

/// A gate with one connection to it.
pub struct House {
    pub client: Client,
    pub seen: Arc<Mutex<Seen>>,
    pub phase: watch::Sender<Phase>,
    pub front: Arc<Front>,
    pub gate: JoinHandle<()>,
    /// The way to the vault.
    pub vault: Vault,
}

impl House {
    pub fn new(ways: Ways) -> Self {
        Self::with_desk(ways, |_| {})
    }

    pub fn with_desk(ways: Ways, change: impl FnOnce(&mut Desk)) -> Self {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let (edge, vault) = socketpair(AddressFamily::Unix, SockType::Stream, None, SockFlag::SOCK_CLOEXEC).unwrap();
        let (replies, questions) = channel::open(vault, &Sealed::for_tests()).unwrap();
        let (asks, answers) = channel::open(edge, &Sealed::for_tests()).unwrap();
        let away = ways.away;
        tokio::spawn(serve_vault(ways, questions, replies, Arc::clone(&seen)));
        let vault = Vault::default();
        if !away {
            vault.plug(asks, answers);
        }
        let (near, far) = tokio::io::duplex(64 * 1024);
        let (front, phase) = front(change);
        let front = Arc::new(front);
        let peer = "192.0.2.7:40000".parse().unwrap();
        let gate =
            tokio::spawn(super::super::serve(far, vault.enter(client::capsule()), Arc::clone(&front), peer, None));
        Self { client: Client { stream: near }, seen, phase, front, gate, vault }
    }

    pub fn seen(&self) -> Seen {
        self.seen.lock().unwrap().clone()
    }

    /// Waits until the vault has seen that.
    pub async fn until(&self, is_so: impl Fn(&Seen) -> bool) {
        while !is_so(&self.seen()) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Ends the connection from the client's side and waits until the gate is done with it and the vault knows.
    pub async fn hang_up(self) -> Seen {
        drop(self.client);
        self.gate.await.unwrap();
        loop {
            let seen = self.seen.lock().unwrap().clone();
            if seen.closed || seen.asks == 0 {
                return seen;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

/// A listener on loopback, without TLS.
pub fn front(change: impl FnOnce(&mut Desk)) -> (Front, watch::Sender<Phase>) {
    let mut desk = Desk {
        number: 0,
        name: "api".into(),
        tls: TlsMode::None,
        certificates: Vec::new(),
        client_certificates: None,
        plain_login: true,
        identify_by_network: false,
        proxied: false,
        serve: vec![Serve::V1, Serve::Ops],
        mechanisms: vec![crate::policy::mechanism::Mechanism::Bearer],
        extensions_off: vec![],
        future_release: None,
        dialect: Default::default(),
        reach: Default::default(),
    };
    change(&mut desk);
    let (say, phase) = watch::channel(Phase::Serving);
    let slice = EdgeSlice {
        hostname: "gate.example.net".into(),
        listeners: vec![],
        sessions: 10,
        strangers: 10,
        max_size: 1024 * 1024,
        requiretls: false,
        signing: Duration::from_secs(2),
        handshake: Duration::from_secs(10),
        idle_strange: Duration::from_secs(60),
        idle: Duration::from_secs(300),
    };
    (Front::new(&slice, desk, None, phase), say)
}

async fn serve_vault(ways: Ways, mut asks: Receiver<Ask>, tell: Sender<Answer>, seen: Arc<Mutex<Seen>>) {
    let (mut open, mut once): (Option<Message>, Option<Box<Once>>) = (None, None);
    let parts = ways.figures.iter().flat_map(|figures| figures.parts().unwrap()).collect::<Vec<_>>();
    for (at, part) in parts.iter().enumerate() {
        tell.send(Answer::Figures { part: part.clone(), first: at == 0, last: at + 1 == parts.len() }).await.unwrap();
    }
    while let Ok(Some(ask)) = asks.receive().await {
        seen.lock().unwrap().asks += 1;
        let answer = match ask {
            Ask::Open { slot, via, .. } => {
                seen.lock().unwrap().via.push(via);
                Answer::Opened { slot, network: None, traced: false }
            }
            Ask::Login { slot, password, .. } => {
                seen.lock().unwrap().logins += 1;
                match ways.denial {
                    None if password.expose() == KEY => Answer::Granted { slot, grant: Box::new(granted(&ways)) },
                    None => Answer::Denied { slot, denial: Denial::Invalid },
                    Some(denial) => Answer::Denied { slot, denial },
                }
            }
            Ask::Scram { .. } | Ask::Respond { .. } => panic!("over HTTP there is no SCRAM"),
            Ask::Mail { slot, once: Some(once), .. } if ways.known.lock().unwrap().contains_key(&once.key) => {
                seen.lock().unwrap().mails += 1;
                match ways.known.lock().unwrap()[&once.key] {
                    (print, message) if print == once.fingerprint => Answer::Repeated { slot, message },
                    _ => Answer::Refused { slot, refusal: Refusal::KeyReused },
                }
            }
            Ask::Mail { slot, sender, size, manner, once: new, .. } => {
                seen.lock().unwrap().mails += 1;
                once = new;
                match ways.at_mail.filter(|_| seen.lock().unwrap().kept.len() >= ways.mails) {
                    Some(refusal) => Answer::Refused { slot, refusal },
                    None => {
                        let id = MessageId::now();
                        open = Some(Message {
                            id,
                            sender: sender.unwrap().to_string(),
                            recipients: vec![],
                            content: String::new(),
                            facts: Facts::default(),
                            size: size.unwrap(),
                            release_us: manner.release_us,
                            label: None,
                        });
                        Answer::Reserved { slot, message: id, backed_up: Vec::new(), live: false }
                    }
                }
            }
            Ask::Recipient { .. } => panic!("it is for SMTP"),
            Ask::Recipients { batch, .. } => {
                open.as_mut().unwrap().recipients.extend(batch.iter().map(|to| to.address.to_string()));
                continue;
            }
            Ask::Label { label, .. } => {
                assert!(label.is_sound(), "{label:?}");
                open.as_mut().unwrap().label = Some(label.clone());
                seen.lock().unwrap().labels.push(*label);
                continue;
            }
            Ask::Prove { token, .. } => {
                seen.lock().unwrap().proofs.push(token.expose().to_owned());
                continue;
            }
            Ask::Content { slot } => Answer::Credit { slot, octets: CREDIT },
            Ask::Chunk { slot, octets } => {
                open.as_mut().unwrap().content.push_str(std::str::from_utf8(&octets.0).unwrap());
                Answer::Credit { slot, octets: u32::try_from(octets.0.len()).unwrap() }
            }
            Ask::Commit { facts, .. } if ways.falls_at_commit => return drop(facts),
            Ask::Commit { slot, facts } => {
                tokio::time::sleep(ways.slow_commit).await;
                let mut message = open.take().unwrap();
                message.facts = facts;
                if ways.revokes {
                    tell.send(Answer::Revoked { slot }).await.unwrap();
                }
                match ways.at_commit.filter(|_| seen.lock().unwrap().kept.len() >= ways.mails) {
                    Some(refusal) => Answer::Refused { slot, refusal },
                    None => {
                        let id = message.id;
                        let done = once.take().map(|once| (once.key, (once.fingerprint, id)));
                        ways.known.lock().unwrap().extend(done);
                        seen.lock().unwrap().kept.push(message);
                        Answer::Kept { slot, message: id, suppressed: ways.suppressed.clone() }
                    }
                }
            }
            Ask::Turned { sender, flaw: Some(flaw), .. } => {
                seen.lock().unwrap().unfit.push((sender.map(String::from), flaw));
                continue;
            }
            Ask::Inquire { slot, inquiry } => {
                if let Inquiry::List(page) = &inquiry {
                    seen.lock().unwrap().pages.push(page.clone());
                }
                if let Inquiry::Reschedule { release_us, .. } = &inquiry {
                    seen.lock().unwrap().times.push(*release_us);
                }
                let finding = super::submissions::finding(&ways, &seen.lock().unwrap().kept, &inquiry);
                if finding.is_none() {
                    // It is waited for.
                    seen.lock().unwrap().waiting = Some((slot, inquiry));
                    continue;
                }
                let mut refused = ways.at_inquiry;
                if let Inquiry::Room(batch) = inquiry {
                    seen.lock().unwrap().rooms.push(*batch);
                    refused = ways.at_room;
                }
                match (refused, finding) {
                    (None, Some(finding)) => Answer::Found { slot, finding },
                    (refusal, _) => Answer::Refused { slot, refusal: refusal.unwrap() },
                }
            }
            Ask::Turned { sender, recipient, further, refusal, .. } => {
                let told = (sender.map(String::from), recipient.map(String::from), further, refusal);
                seen.lock().unwrap().turned.push(told);
                continue;
            }
            Ask::Close { .. } => {
                seen.lock().unwrap().closed = true;
                continue;
            }
            Ask::Abort { slot } => {
                seen.lock().unwrap().aborts += 1;
                let waiting = seen.lock().unwrap().waiting.take();
                let Some((_, inquiry)) = waiting else { continue };
                let finding = super::submissions::left(&seen.lock().unwrap().kept, &inquiry);
                Answer::Found { slot, finding }
            }
            Ask::Hook { slot, posted } => {
                seen.lock().unwrap().posted.push((*posted, Vec::new()));
                match seen.lock().unwrap().posted.last() {
                    Some((posted, _)) if posted.length == 0 => {
                        Answer::Hooked { slot, verdict: ways.at_hook.unwrap_or(Verdict::Taken) }
                    }
                    _ => continue,
                }
            }
            Ask::Body { slot, octets } => {
                let mut seen = seen.lock().unwrap();
                let (posted, body) = seen.posted.last_mut().unwrap();
                body.extend_from_slice(&octets.0);
                if body.len() < posted.length as usize {
                    continue;
                }
                Answer::Hooked { slot, verdict: ways.at_hook.unwrap_or(Verdict::Taken) }
            }
            Ask::Told { .. } | Ask::Was { .. } | Ask::Shown { .. } | Ask::Counted(_) => continue,
        };
        if let Answer::Kept { slot, .. } | Answer::Refused { slot, .. } | Answer::Repeated { slot, .. } = &answer {
            let used = u64::try_from(seen.lock().unwrap().kept.len()).unwrap();
            let allowance = Box::new(super::keys::allowance(used));
            let _ = tell.send(Answer::Allowance { slot: *slot, allowance }).await;
        }
        // The gate may have left meanwhile.
        let _ = tell.send(answer).await;
    }
}
