//! Logins, through the channel that an edge speaks with a real vault: how many that were verified lately it answers in a
//! second, and what bounds it; how much memory password hashing takes; how long an honest login waits while strangers guess
//! from 5,000 networks.

mod support;

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use gatepost::ipc::session::{Answer, Ask, Denial, Slot, Via};
use gatepost::policy::mechanism::Mechanism;
use gatepost::secret::Secret;
use gatepost::vault::login::{hashing, key};
use support::vault::{Vault, capsule};
use support::{introduce, listed, median, memory, quick};

/// Logins on their way at a time.
const IN_FLIGHT: u32 = 256;
const ROUNDS: usize = 5;
/// Strangers, and how many guess at a time.
const PREFIXES: u32 = 5_000;
const GUESSING: u32 = 32;
/// Where the honest are: 198.51.100.0/24 and 203.0.113.0/24.
const OFFICE: u32 = 0xc633_6400;
const CAFE: u32 = 0xcb00_7100;

struct Account {
    id: String,
    password: Secret<String>,
}

fn main() {
    introduce("logins, asked of a vault in its sandbox over its channel to an edge");
    let honest = if quick() { 3 } else { 200 };
    let home = tempfile::Builder::new().prefix("gatepost-bench-").tempdir().unwrap();
    let mut config = String::new();
    let accounts: Vec<Account> = (0..honest)
        .map(|n| {
            let (key_id, password) = key::generate().unwrap();
            let hash = hashing::hash_here(&password).unwrap();
            let (id, hash) = (format!("account-{n}"), hash.expose());
            config += &format!(
                "[[credential]]\nid = \"{id}\"\nsecrets = [{{ key = \"{key_id}\", hash = \"{hash}\" }}]\n\
                 senders = [\"@example.net\"]\n"
            );
            Account { id, password }
        })
        .collect();
    let mut vault = Vault::start(home.path(), &config);
    let at_rest = memory(&vault.pid(), "VmRSS");
    sessions(&mut vault);
    cached(&mut vault, &accounts);

    println!("{GUESSING} guesses from {PREFIXES} networks are always on their way:");
    let mut strangers = Strangers::default();
    strangers.begin(&mut vault);
    guessed(&mut vault, &accounts, OFFICE, &mut strangers, "from a new place while nobody has failed yet");
    strangers.fail(&mut vault, if quick() { GUESSING } else { PREFIXES });
    guessed(&mut vault, &accounts, CAFE, &mut strangers, "from a new place while all strangers have failed before");
    let most = memory(&vault.pid(), "VmHWM");
    println!(
        "memory of the vault: {at_rest} KiB at rest, {most} KiB at most, with what it remembers of a million sessions"
    );
    // What was right lately is forgotten by that, where somebody is at home is not.
    drop(vault);
    let mut vault = Vault::start(home.path(), &config);
    strangers.begin(&mut vault);
    guessed(&mut vault, &accounts, OFFICE, &mut strangers, "at home");
    println!("guesses were refused: {:?}", strangers.refused);
    let most = memory(&vault.pid(), "VmHWM");
    println!("memory of a vault that did nothing but hash: {most} KiB at most; a hash takes 19,456 KiB");
}

fn login(slot: u32, user: &str, password: &Secret<String>) -> Ask {
    let (mechanism, user, password) = (Mechanism::Plain, user.to_owned(), password.clone());
    Ask::Login { slot: Slot(slot), mechanism, user, password, tls: None }
}

fn rounds() -> (usize, Duration) {
    if quick() { (1, Duration::from_millis(100)) } else { (ROUNDS, Duration::from_secs(2)) }
}

/// The channel itself: a session is opened, which checks its capsule, and closed. No event is written.
fn sessions(vault: &mut Vault) {
    let (rounds, time) = rounds();
    let mut rates = Vec::new();
    for _ in 0..rounds {
        let (started, mut done) = (Instant::now(), 0u32);
        (0..IN_FLIGHT).for_each(|slot| vault.ask(&open(slot)));
        while started.elapsed() < time {
            for answer in vault.answers() {
                let Answer::Opened { slot: Slot(slot), .. } = answer else { panic!("{answer:?}") };
                done += 1;
                vault.ask(&Ask::Close { slot: Slot(slot) });
                vault.ask(&open(slot));
            }
        }
        rates.push(f64::from(done) / started.elapsed().as_secs_f64());
        settle(vault, IN_FLIGHT);
        (0..IN_FLIGHT).for_each(|slot| vault.ask(&Ask::Close { slot: Slot(slot) }));
    }
    println!("sessions opened: {:.0} a second (rounds: {})", median(&rates), listed(&rates));
}

fn open(slot: u32) -> Ask {
    Ask::Open { slot: Slot(slot), capsule: capsule(Ipv4Addr::new(198, 51, 100, 1)), via: Via::Direct }
}

/// Takes the answers that are still on their way.
fn settle(vault: &mut Vault, mut left: u32) {
    while left > 0 {
        left = left.saturating_sub(u32::try_from(vault.answers().len()).unwrap_or(u32::MAX));
    }
}

/// The same few passwords again and again; each success is an event in the log.
fn cached(vault: &mut Vault, accounts: &[Account]) {
    let (rounds, time) = rounds();
    let account = &accounts[0];
    (0..IN_FLIGHT).for_each(|slot| vault.ask(&open(slot)));
    settle(vault, IN_FLIGHT);
    vault.ask(&login(0, &account.id, &account.password));
    settle(vault, 1);
    let mut rates = Vec::new();
    for _ in 0..rounds {
        let (started, mut done) = (Instant::now(), 0u32);
        (0..IN_FLIGHT).for_each(|slot| vault.ask(&login(slot, &account.id, &account.password)));
        while started.elapsed() < time {
            for answer in vault.answers() {
                let Answer::Granted { slot: Slot(slot), .. } = answer else { panic!("{answer:?}") };
                done += 1;
                vault.ask(&login(slot, &account.id, &account.password));
            }
        }
        rates.push(f64::from(done) / started.elapsed().as_secs_f64());
        settle(vault, IN_FLIGHT);
    }
    (0..IN_FLIGHT).for_each(|slot| vault.ask(&Ask::Close { slot: Slot(slot) }));
    println!("cached logins: {:.0} a second (rounds: {}; aim 100000)", median(&rates), listed(&rates));
}

/// Strangers who guess names and passwords without end, each from a network of its own: 10.a.b.0/24.
#[derive(Default)]
struct Strangers {
    guesses: u32,
    refused: HashMap<String, u32>,
}

impl Strangers {
    fn guess(&mut self, vault: &mut Vault, slot: u32) {
        let prefix = self.guesses % PREFIXES;
        self.guesses += 1;
        let address = Ipv4Addr::from(0x0a00_0000 + prefix * 256 + 1);
        vault.ask(&Ask::Open { slot: Slot(slot), capsule: capsule(address), via: Via::Direct });
        vault.ask(&login(slot, &format!("name{prefix}"), &Secret::new(format!("guess {prefix}"))));
    }

    fn begin(&mut self, vault: &mut Vault) {
        (1..=GUESSING).for_each(|slot| self.guess(vault, slot));
    }

    /// Goes on with another guess when one was refused.
    fn hear(&mut self, vault: &mut Vault, answer: &Answer) {
        if let Answer::Denied { slot: Slot(slot), denial } = answer {
            let word = match denial {
                Denial::Wait(_) => "wait".to_owned(),
                other => format!("{other:?}").to_lowercase(),
            };
            *self.refused.entry(word).or_default() += 1;
            vault.ask(&Ask::Close { slot: Slot(*slot) });
            self.guess(vault, *slot);
        }
    }

    /// Until each has failed.
    fn fail(&mut self, vault: &mut Vault, least: u32) {
        while self.guesses < least + GUESSING {
            for answer in vault.answers() {
                self.hear(vault, &answer);
            }
        }
    }
}

/// Every account logs in once while strangers guess. `network` is where they are.
fn guessed(vault: &mut Vault, accounts: &[Account], network: u32, strangers: &mut Strangers, who: &str) {
    let (mut waits, mut busy): (Vec<f64>, u32) = (Vec::new(), 0);
    for (account, host) in accounts.iter().zip(1u32..) {
        let began = Instant::now();
        vault.ask(&Ask::Open {
            slot: Slot(0),
            capsule: capsule(Ipv4Addr::from(network + host % 250)),
            via: Via::Direct,
        });
        vault.ask(&login(0, &account.id, &account.password));
        let mut open = true;
        while open {
            for answer in vault.answers() {
                match answer {
                    Answer::Granted { slot: Slot(0), .. } => {
                        waits.push(began.elapsed().as_secs_f64() * 1000.0);
                        vault.ask(&Ask::Close { slot: Slot(0) });
                        open = false;
                    }
                    // As a client does that is told 454.
                    Answer::Denied { slot: Slot(0), denial: Denial::Busy } => {
                        busy += 1;
                        vault.ask(&login(0, &account.id, &account.password));
                    }
                    Answer::Denied { slot: Slot(0), denial } => panic!("an honest login: {denial:?}"),
                    answer => strangers.hear(vault, &answer),
                }
            }
        }
    }
    waits.sort_by(f64::total_cmp);
    let at = |share: usize| waits[(waits.len() * share / 100).min(waits.len() - 1)];
    println!(
        "honest uncached logins, {who}: median {:.0} ms, p99 {:.0} ms, slowest {:.0} ms of {} (aim: p99 under 1000 ms); {busy} \
         times told to come again",
        at(50),
        at(99),
        waits[waits.len() - 1],
        waits.len()
    );
}
