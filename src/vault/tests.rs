//! The whole vault over real channels: the test is parent, edge and courier; the sealer is the real one.

use std::fs::{self, OpenOptions};
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use uuid::Uuid;

use self::edge::Edge;
use super::*;
use crate::config::slice::{Audit, Clients, Counter, Declared, DeclaredSecret, Protocol, VaultLimits};
use crate::ipc::admin::{Command, Request, Response, audit, credential};
use crate::ipc::bytes::Octets;
use crate::ipc::capsule::{Capsule, Introduction};
use crate::ipc::channel::{self, Receiver, Sender};
use crate::ipc::control::{File as Handed, Happening, Occasion, Order, ParentEnd, Report};
use crate::ipc::delivery::{Job, MAX_SLOTS, Offer, Progress};
use crate::ipc::frame;
use crate::ipc::packet::{Arrival, Packet};
use crate::ipc::session::{Answer, Ask, Denial, Slot, Tls, Via};
use crate::mail::address::Address;
use crate::mail::envelope::{Addressee, Manner};
use crate::mail::facts::Facts;
use crate::mail::id::MessageId;
use crate::mail::outcome::{Outcome, Said};
use crate::merkle::note::Verifier;
use crate::policy::limits::{Action, Anomaly, FailedLogins, Tiers};
use crate::policy::mechanism::Mechanism;
use crate::policy::presence::Caps;
use crate::policy::refusal::Refusal;
use crate::policy::route::Route;
use crate::policy::thresholds::{Shedding, Thresholds};
use crate::policy::{Limits as Rules, Policy};
use crate::role::link::{End, Talk};
use crate::role::{Instance, Role};
use crate::sys::clock::running_us;
use crate::vault::audit::query::{Filter, Found, query};
use crate::vault::audit::verify::{Known, verify};
use crate::vault::limits::clock::AHEAD_US;
use crate::vault::login::pace::Pace;
use courier::Courier;
use std::time::Duration;

mod alerts;
mod at_rest;
mod cards;
mod courier;
mod credentials;
mod decision;
mod delays;
mod edge;
mod ended;
mod envelope;
mod fairness;
mod feedback;
mod figures;
mod flood;
mod hooks;
mod interrupted;
mod lifetime;
mod limits;
mod live;
mod logins;
mod loss;
mod once;
mod pace;
mod poison;
mod proxied;
mod queue;
mod reports;
mod restart;
mod scram;
mod rerouted;
mod resume;
mod retry;
mod revoked;
mod sessions;
mod shedding;
mod submission;
mod submissions;
mod suppression;
mod trace;
mod turnstile;
mod ways_back;

const KEY: [u8; 32] = [3; 32];
/// Loads that no test comes to unless it means to.
const NEVER: Thresholds<u64> = Thresholds { heavy: u64::MAX, all: u64::MAX };
const HOUR: Duration = Duration::from_secs(3600);

/// A vault's directory, its configuration, and the sealer's slots.
struct Bench {
    home: tempfile::TempDir,
    slice: VaultSlice,
    password: Secret<String>,
}

/// A vault that runs.
struct Running {
    parent: ParentEnd,
    verifier: Verifier,
    thread: std::thread::JoinHandle<Result<(), String>>,
    /// The way to its store, which a test may hold up.
    writer: Writer,
    /// How often it has hashed, and how long that takes it.
    pace: Arc<Pace>,
    peers: u32,
}

fn stream() -> (OwnedFd, OwnedFd) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    (ours.into(), theirs.into())
}

/// One of several master keys.
fn master(n: u8) -> Master {
    Master::new(Secret::new([n; 32]))
}

fn address(text: &str) -> Address {
    Address::parse_international(text).unwrap()
}

impl Bench {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        prepare(home.path(), None, None).unwrap();
        crate::sealer::key::create_slots(home.path()).unwrap();
        let (key, password) = login::key::generate().unwrap();
        let policy = Policy {
            senders: vec!["@example.net".parse().unwrap()],
            limits: Rules { per_minute: Some(600), per_day: Some(5), burst: Some(600), ..Rules::default() },
            ..Policy::default()
        };
        let device = Policy {
            senders: vec!["printer@example.net".parse().unwrap()],
            identified_by: vec!["10.1.0.0/16".parse().unwrap()],
            ..Policy::default()
        };
        let counter = |(number, name): (u16, &str)| Counter {
            number,
            name: name.into(),
            protocol: if number == 4 { Protocol::Http } else { Protocol::Smtp },
            identify_by_network: number == 2,
            client_certificates: None,
            plain_login: matches!(number, 1 | 4),
            mechanisms: match number {
                2 => Vec::new(),
                4 => vec![Mechanism::Bearer],
                _ => vec![Mechanism::Plain, Mechanism::Login],
            },
            future_release: None,
            delivery: crate::policy::Delivery::Spool,
            clients: Clients::Known,
            proxy_from: Vec::new(),
            xclient_from: Vec::new(),
            caps: Caps { address: 100, prefix: 400 },
        };
        let hash = hashing::hash_here(&password).unwrap();
        let secrets = vec![DeclaredSecret { key, hash, scram: None }];
        let slice = VaultSlice {
            hostname: "gate.example.net".into(),
            capsule_key: Secret::new(KEY),
            listeners: [(1, "submission"), (2, "devices"), (3, "tls"), (4, "api")].map(counter).to_vec(),
            credentials: vec![
                Declared { id: "shop".into(), secrets, policy, certificates: vec![], enabled: true },
                Declared { id: "printer".into(), secrets: vec![], policy: device, certificates: vec![], enabled: true },
            ],
            upstreams: vec!["smarthost".into()],
            programs: vec![],
            ops_zones: vec![],
            paces: Vec::new(),
            bounces: Vec::new(),
            routes: vec![Route {
                credential: None,
                from: None,
                to: "*".parse().unwrap(),
                via: vec![0],
                requiretls: false,
            }],
            max_size: 1024 * 1024,
            retry: vec![Duration::from_millis(10)],
            lifetime: Duration::from_secs(3600),
            delay_report: None,
            suppression: None,
            reserve: 1,
            ballast: 4096,
            shedding: Shedding { messages: NEVER, octets: NEVER, latency: Thresholds { heavy: HOUR, all: HOUR } },
            hashers: 1,
            hash_queue: 8,
            anchors: Vec::new(),
            webhooks: Vec::new(),
            turnstile: false,
            hooks: Vec::new(),
            alerts: None,
            written: [0; 32],
            hash_deadline: Duration::from_secs(20),
            audit: Audit::default(),
            limits: VaultLimits {
                tiers: Tiers::default(),
                failed_logins: FailedLogins {
                    windows: [300, 86_400],
                    address: [20, 100],
                    prefix: [60, 300],
                    wide_prefix: [200, 1000],
                    credential: [20, 100],
                },
                anomaly: Anomaly { factor: 5, minimum: 100, action: Action::Event },
            },
        };
        Self { home, slice, password }
    }

    fn run(&self) -> Running {
        self.run_with(vec![master(1)])
    }

    fn run_with(&self, masters: Vec<Master>) -> Running {
        let (ours, theirs) =
            socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC).unwrap();
        let (home, slice) = (self.home.path().to_owned(), self.slice.clone());
        let (opened, house) = std::sync::mpsc::channel();
        let ahead_us = AHEAD_US.get();
        let thread = std::thread::spawn(move || {
            AHEAD_US.set(ahead_us);
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let house = House::open(&home, slice, Generation(1), masters)?;
            opened.send((house.vault.writer.clone(), Arc::clone(&house.vault.hashers.pace))).unwrap();
            house.serve(&runtime, ChildEnd::new(theirs), Vec::new(), Sealed::for_tests())
        });
        let slot = |n: u8| {
            let path = self.home.path().join(crate::sealer::state::SLOTS[usize::from(n)]);
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).unwrap()
        };
        let (vault, sealer) = stream();
        let verifier = crate::sealer::start_for_tests([slot(0), slot(1)], sealer, Vec::new());
        let (writer, pace) = house.recv().unwrap();
        let mut running = Running { parent: ParentEnd::new(ours), verifier, thread, writer, pace, peers: 0 };
        running.introduce(Talk::Sealing, End::Asks, Role::Sealer, "", vault);
        running
    }

    fn capsule(&self, edge: Instance, listener: u16, peer: &str) -> Capsule {
        let peer = SocketAddr::new(peer.parse().unwrap(), 40_000);
        let introduction = Introduction { session: Uuid::now_v7(), peer, listener, edge, accepted_us: running_us() };
        Capsule::seal(introduction, &Secret::new(KEY))
    }

    fn events(&self, filter: &Filter) -> Vec<Found> {
        let mut found = Vec::new();
        query(&self.home.path().join("audit"), filter, |event| found.push(event)).unwrap();
        found
    }

    fn names(&self) -> Vec<String> {
        self.events(&Filter::default()).iter().map(|event| event.get("event").unwrap().to_owned()).collect()
    }

    /// How many events have that name.
    fn told(&self, name: &str) -> usize {
        self.names().iter().filter(|event| *event == name).count()
    }

    /// Messages of clients whose bodies are there; reports of ours are others.
    fn bodies(&self) -> i64 {
        self.count("SELECT count(*) FROM spool_body JOIN spool_msg ON id = msg WHERE mail_from IS NOT NULL")
    }

    fn count(&self, sql: &str) -> i64 {
        let database = Database::open(self.home.path()).unwrap();
        database.connection.query_row(sql, [], |row| row.get(0)).unwrap()
    }
}

impl Running {
    /// Until the other configuration is in force.
    fn await_switch(&self) {
        let is_switch =
            |arrival| matches!(arrival, Arrival::Packet(packet) if matches!(packet.message, Report::Switched(_)));
        while !is_switch(self.parent.receive().unwrap()) {}
    }

    fn introduce(&mut self, talk: Talk, end: End, role: Role, label: &str, socket: OwnedFd) -> Instance {
        self.peers += 1;
        let instance = Instance(self.peers);
        let peer = Peer { talk, end, role, instance, generation: Generation(1), label: label.into() };
        self.parent.send(&Order::Peer(peer), Some(socket.as_fd())).unwrap();
        instance
    }

    fn edge(&mut self) -> Edge {
        let (ours, theirs) = stream();
        let instance = self.introduce(Talk::Session, End::Answers, Role::EdgeSmtp, "", theirs);
        let (asks, answers) = channel::open(ours, &Sealed::for_tests()).unwrap();
        Edge { instance, asks, answers }
    }

    async fn courier(&mut self) -> Courier {
        self.courier_of("smarthost").await
    }

    async fn courier_of(&mut self, upstream: &str) -> Courier {
        let mut courier = self.silent_courier(upstream);
        courier.tell(Progress::Slots(4)).await;
        courier
    }

    /// One that is there and has not said how many it takes.
    fn silent_courier(&mut self, upstream: &str) -> Courier {
        let (ours, theirs) = stream();
        self.introduce(Talk::Delivery, End::Asks, Role::Courier, upstream, theirs);
        let (progress, offers) = channel::open(ours, &Sealed::for_tests()).unwrap();
        Courier {
            progress,
            offers,
            numbers: std::collections::HashMap::new(),
            ahead: std::collections::VecDeque::new(),
        }
    }

    /// A connection to the control socket.
    fn administrator(&mut self) -> (Sender<Request>, Receiver<Response>) {
        let (ours, theirs) = stream();
        self.parent.send(&Order::File(Handed::Administrator(0)), Some(theirs.as_fd())).unwrap();
        channel::open(ours, &Sealed::for_tests()).unwrap()
    }

    /// Hands over another configuration, in parts.
    fn switch(&self, slice: &VaultSlice, generation: Generation) {
        let encoded = frame::encode(slice).unwrap();
        let (one, two) = encoded.split_at(encoded.len() / 2);
        for (part, last) in [(one, false), (two, true)] {
            self.parent.send(&Order::Slice { part: Octets(part.to_vec()), last }, None).unwrap();
        }
        self.parent.send(&Order::Switch(generation), None).unwrap();
    }

    /// Records so many events and ends it in order.
    fn drain_after(self, events: u32) {
        for _ in 0..events {
            let rejected = Happening::Rejected { reason: "one event".into(), occasion: Occasion::Asked, by: None };
            self.parent.send(&Order::Record(rejected), None).unwrap();
        }
        self.drain();
    }

    /// Ends it in order.
    fn drain(self) {
        self.parent.send(&Order::Drain, None).unwrap();
        self.end();
    }

    /// Waits for an end that it was told of.
    fn end(self) {
        drop(self.writer);
        self.thread.join().unwrap().unwrap();
    }

    /// Ends it as the parent's death does.
    fn abandon(self) {
        drop((self.parent, self.writer));
        self.thread.join().unwrap().unwrap();
    }
}

fn said(code: u16) -> Said {
    Said {
        code: Some(code),
        text: "words of rosa@example.org".into(),
        host: "mx.example.org".into(),
        ..Said::default()
    }
}

fn test<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// The service's start, as the parent tells of it.
fn started() -> Happening {
    Happening::Started { version: "0.1.0".into(), digest: "0".repeat(64), separate: false, missing: vec![] }
}
