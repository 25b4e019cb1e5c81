//! The courier over real sockets: the test plays parent, vault and dialer, and the sink plays the upstream.

mod alone;
mod believed;
mod by_token;
mod chunks;
mod ends;
mod extensions;
mod hostile;
mod limits;
mod live;
mod neighbours;
mod phases;
mod protected;
mod provider;
mod rehearsals;
mod scram;
mod sessions;
mod turns;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};

use super::*;
use crate::ipc::bytes::Octets;
use crate::ipc::control::Report;
use crate::ipc::delivery::{Job, Offer, Progress};
use crate::ipc::dialing::{Dial, Dialed, Whom};
use crate::ipc::frame::{Inbox, MAX_CONTENT, Outbox};
use crate::ipc::packet::Blocking;
use crate::mail::address::Address;
use crate::mail::envelope::{Addressee, MAX_ADDRESSEE, Manner};
use crate::mail::id::MessageId;
use crate::mail::outcome::{Outcome, Said};
use crate::role::link::End;
use crate::role::{Generation, Instance, Role};
use crate::sink::{Options, Sink};

/// Nothing in these tests takes this long unless it is broken.
const PATIENCE: Duration = Duration::from_secs(20);

type ParentEnd = Blocking<Order, Report>;
type DialerEnd = Blocking<Dialed, Dial>;

/// A courier on a thread of its own, which plays the process, and its neighbours.
struct Bench {
    control: Option<ParentEnd>,
    thread: thread::JoinHandle<Result<(), String>>,
    vault: Vault,
    /// The host that each dial began with.
    dials: Arc<Mutex<Vec<u16>>>,
}

/// Names and ports of the upstream's hosts, all of them on loopback.
type Where = Vec<(String, u16)>;

fn one(port: u16) -> Where {
    vec![("mx.test".to_owned(), port)]
}

fn settings_for(hosts: &Where) -> Settings {
    Settings {
        helo: "gate.test".into(),
        tls: TlsMode::None,
        connector: None,
        tls_name: None,
        verified: true,
        login: None,
        hosts: Hosts::new(hosts.iter().map(|(host, _)| host.clone()).collect()),
        connections: 1,
        messages: 100,
        patience: Patience::default(),
    }
}

fn packets() -> (OwnedFd, OwnedFd) {
    socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC).unwrap()
}

fn peer(talk: Talk) -> Peer {
    let (role, end) = match talk {
        Talk::Dialing => (Role::Dialer, End::Asks),
        _ => (Role::Vault, End::Answers),
    };
    Peer { talk, end, role, instance: Instance(1), generation: Generation(1), label: String::new() }
}

impl Bench {
    fn start(hosts: &Where, settings: Settings) -> Self {
        let mut bench = Self::without_dialer(settings);
        bench.attach_dialer(hosts, Ipv4Addr::LOCALHOST);
        bench
    }

    fn without_dialer(settings: Settings) -> Self {
        Self::with(Business::Smtp(Box::new(settings)))
    }

    fn with(business: Business) -> Self {
        let (parent, child) = packets();
        let thread = thread::spawn(move || {
            let sealed = Sealed::for_tests();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async { serve(ChildPackets::new(child).unwrap(), vec![], business, &sealed).await })
        });
        let control = ParentEnd::new(parent);
        let vault = Vault::attach(&control);
        Self { control: Some(control), thread, vault, dials: Arc::default() }
    }

    fn control(&self) -> &ParentEnd {
        self.control.as_ref().unwrap()
    }

    /// A dialer that goes through the hosts in order as the real one does, and says that it connected to `claimed`.
    fn attach_dialer(&mut self, hosts: &Where, claimed: Ipv4Addr) {
        self.attach_dialer_with(hosts, claimed, None);
    }

    /// With the port of a token endpoint on loopback.
    fn attach_dialer_with(&mut self, hosts: &Where, claimed: Ipv4Addr, endpoint: Option<u16>) {
        let dialer = self.dialer_end();
        let (hosts, dials) = (hosts.clone(), Arc::clone(&self.dials));
        thread::spawn(move || {
            while let Ok(Arrival::Packet(packet)) = dialer.receive() {
                let Dial { ticket, whom, first } = packet.message;
                if whom == Whom::TokenEndpoint {
                    let sent = by_token::connect(&dialer, ticket, claimed, endpoint.expect("this upstream has one"));
                    sent.unwrap();
                    continue;
                }
                dials.lock().unwrap().push(first);
                let order = (0..hosts.len()).map(|step| (usize::from(first) + step) % hosts.len());
                let reached = order.clone().find_map(|at| {
                    TcpStream::connect((Ipv4Addr::LOCALHOST, hosts[at].1)).ok().map(|socket| (at, socket))
                });
                let sent = match reached {
                    Some((at, socket)) => {
                        socket.set_nodelay(true).unwrap();
                        let address = SocketAddr::from((claimed, hosts[at].1));
                        let (index, host) = (u16::try_from(at).unwrap(), hosts[at].0.clone());
                        dialer.send(&Dialed::Connected { ticket, index, host, address }, Some(socket.as_fd()))
                    }
                    None => dialer.send(&Dialed::Failed { ticket, reasons: vec!["refused".into()] }, None),
                };
                if sent.is_err() {
                    return;
                }
            }
        });
    }

    /// The dialer's end of a new channel, for tests that play it themselves.
    fn dialer_end(&self) -> DialerEnd {
        let (ours, theirs) = packets();
        self.control().send(&Order::Peer(peer(Talk::Dialing)), Some(theirs.as_fd())).unwrap();
        DialerEnd::new(ours)
    }

    /// Delivers a short message to these recipients.
    fn deliver(&mut self, recipients: &[&str]) -> Ending {
        self.vault.deliver(recipients, b"Subject: test\r\n\r\nhello\r\n")
    }

    fn dials(&self) -> Vec<u16> {
        self.dials.lock().unwrap().clone()
    }

    /// Waits for the courier to end as after its drain.
    fn join(self) -> Result<(), String> {
        self.thread.join().unwrap()
    }
}

/// How a job ended.
#[derive(Debug, PartialEq, Eq)]
enum Ending {
    Settled(Vec<(u32, Outcome)>),
    RouteFailed(String),
    LoginRefused(String),
    BrokenOff(Said),
    GivenUp,
    /// The courier closed the channel.
    Closed,
}

impl Ending {
    /// In one word, with the code: the same for all recipients, or one after the other.
    fn word(&self) -> String {
        let outcomes = match self {
            Self::Settled(outcomes) => outcomes,
            Self::BrokenOff(_) => return "broken off".into(),
            Self::GivenUp => return "given up".into(),
            Self::RouteFailed(_) | Self::LoginRefused(_) | Self::Closed => return "route".into(),
        };
        let mut words: Vec<String> = outcomes
            .iter()
            .map(|(_, outcome)| {
                let word = match outcome {
                    Outcome::Delivered(_) => "delivered",
                    Outcome::Deferred(_) => "deferred",
                    Outcome::Failed(_) => "failed",
                    Outcome::Unsendable(_) => "unsendable",
                    Outcome::Unknown(_) => "unknown",
                };
                outcome.said().code.map_or_else(|| word.to_owned(), |code| format!("{word} {code}"))
            })
            .collect();
        words.dedup();
        words.join(", ")
    }

    fn reason(&self) -> &str {
        match self {
            Self::RouteFailed(reason) | Self::LoginRefused(reason) => reason,
            Self::BrokenOff(said) => &said.text,
            other => panic!("not a route failure: {other:?}"),
        }
    }

    fn outcome(&self) -> &Outcome {
        match self {
            Self::Settled(outcomes) => &outcomes[0].1,
            other => panic!("not settled: {other:?}"),
        }
    }
}

struct Vault {
    stream: UnixStream,
    inbox: Inbox,
    job: u64,
    /// The most content that was ever under way.
    widest: usize,
    /// How long the upstream asked to be left alone, when it failed.
    rest: Option<Duration>,
    sender: Address,
    /// What was told of recipients in the last job, however that ended.
    told: Vec<(u32, Outcome)>,
    /// Whom each word about the end of that job named, and how many had been told of by then.
    endings: Vec<(Vec<u32>, usize)>,
}

impl Vault {
    fn attach(control: &ParentEnd) -> Self {
        let (ours, theirs) = UnixStream::pair().unwrap();
        control.send(&Order::Peer(peer(Talk::Delivery)), Some(theirs.as_fd())).unwrap();
        ours.set_read_timeout(Some(PATIENCE)).unwrap();
        Self {
            stream: ours,
            inbox: Inbox::default(),
            job: 0,
            widest: 0,
            rest: None,
            sender: Address::parse("sender@gate.test").unwrap(),
            told: Vec::new(),
            endings: Vec::new(),
        }
    }

    fn say(&mut self, offer: &Offer) {
        let mut out = Outbox::default();
        out.push(offer).unwrap();
        // The courier may have closed; that shows at the next read.
        let _ = self.stream.write_all(&out.bytes);
    }

    fn hear(&mut self) -> Option<Progress> {
        let mut buffer = [0; 16 * 1024];
        loop {
            if let Some(progress) = self.inbox.take().unwrap() {
                return Some(progress);
            }
            match self.stream.read(&mut buffer) {
                Ok(0) => return None,
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return None,
                read => self.inbox.feed(&buffer[..read.unwrap()]),
            }
        }
    }

    fn slots(&mut self) -> u16 {
        match self.hear() {
            Some(Progress::Slots(slots)) => slots,
            other => panic!("no slots: {other:?}"),
        }
    }

    /// Offers a message without its content.
    fn offer(&mut self, recipients: &[&str], size: usize) -> Job {
        let recipients = recipients.iter().map(|text| Address::parse(text).unwrap().into()).collect();
        self.offer_with(Manner::default(), recipients, size)
    }

    fn offer_with(&mut self, manner: Manner, recipients: Vec<Addressee>, size: usize) -> Job {
        self.job += 1;
        let (job, sender) = (Job(self.job), Some(self.sender.clone()));
        let (message, size) = (MessageId::now(), u64::try_from(size).unwrap());
        let numbered: Vec<(u32, Addressee)> = (10..).zip(recipients).collect();
        let recipients = u32::try_from(numbered.len()).unwrap();
        self.say(&Offer::Message { job, message, sender, manner, size, recipients });
        let batches = numbered.chunks(MAX_CONTENT / MAX_ADDRESSEE).map(<[_]>::to_vec);
        batches.for_each(|batch| self.say(&Offer::Recipients { job, batch }));
        job
    }

    fn deliver(&mut self, recipients: &[&str], content: &[u8]) -> Ending {
        let job = self.offer(recipients, content.len());
        self.follow(job, content)
    }

    /// Sends the content as it is asked for, until the job has ended.
    fn follow(&mut self, job: Job, content: &[u8]) -> Ending {
        let (mut rest, mut credit, mut asked) = (content, 0usize, None);
        self.told.clear();
        self.endings.clear();
        loop {
            match self.hear() {
                Some(Progress::Slots(_)) => {}
                Some(Progress::Want { job: of, octets }) if of == job => credit += octets as usize,
                Some(Progress::Ending { job: of, turn, numbers }) if of == job => {
                    self.endings.push((numbers, self.told.len()));
                    asked = Some(turn);
                }
                Some(Progress::Recipient { job: of, number, outcome }) if of == job => {
                    self.told.push((number, outcome))
                }
                Some(Progress::Settled { job: of }) if of == job => return Ending::Settled(self.told.clone()),
                Some(Progress::GivenUp { job: of }) if of == job => return Ending::GivenUp,
                Some(Progress::RouteFailed { job: of, reason, rest }) if of == job => {
                    self.rest = rest;
                    return Ending::RouteFailed(reason);
                }
                Some(Progress::LoginRefused { job: of, reason }) if of == job => return Ending::LoginRefused(reason),
                Some(Progress::BrokenOff { job: of, said }) if of == job => return Ending::BrokenOff(said),
                Some(other) => panic!("about another job: {other:?}"),
                None => return Ending::Closed,
            }
            self.widest = self.widest.max(credit);
            while credit > 0 && !rest.is_empty() {
                let (octets, left) = rest.split_at(rest.len().min(credit).min(MAX_CONTENT));
                self.say(&Offer::Content { job, octets: Octets(octets.to_vec()) });
                credit -= octets.len();
                rest = left;
            }
            if rest.is_empty()
                && let Some(turn) = asked.take()
            {
                self.say(&Offer::End { job, turn });
            }
        }
    }

    /// Waits until the courier asks for the end of a job's content, and grants it. Gives whom it named.
    fn end(&mut self, job: Job) -> Vec<u32> {
        loop {
            match self.hear().unwrap() {
                Progress::Ending { job: of, turn, numbers } if of == job => {
                    self.say(&Offer::End { job, turn });
                    return numbers;
                }
                Progress::Want { .. } | Progress::Slots(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }
}

/// A sink and its port.
fn sink(options: Options) -> (Sink, u16) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    (Sink::start(listener, options), port)
}

/// A bench with one sink as its upstream.
fn bench(options: Options) -> (Bench, Sink) {
    let (sink, port) = sink(options);
    (Bench::start(&one(port), settings_for(&one(port))), sink)
}

/// Waits for something that another thread is about to do.
fn eventually(what: &str, mut happened: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !happened() {
        assert!(begun.elapsed() < PATIENCE, "{what}");
        thread::sleep(Duration::from_millis(5));
    }
}

fn nothing_arrives(sink: &Sink) {
    assert_eq!(sink.next(Duration::from_millis(50)), None);
}
