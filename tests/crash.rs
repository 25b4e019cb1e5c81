//! Claims: kill -9 at any instant, under load, of the vault, the sealer or the whole service: no acknowledged message is
//! lost, there is no message without its event and no event without its message, a message comes twice only when it was on
//! its way out at that instant, the log verifies, nobody cries wolf, and mail goes on.
//!
//! Clients send small and large messages by SMTP and HTTP all the while, and write down what was acknowledged. The seed is
//! printed. 50 kills; `GATEPOST_LONG=1` makes it 1,000.

mod support;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use support::arrivals::Arrivals;
use support::dice::Dice;
use support::evidence::Evidence;
use support::senders::{Book, Senders, Target, now_us, text};
use support::{PATIENCE, Service, Setting, await_that, processes};

/// Kills that one service and its state live through.
const PER_LIFE: u32 = 10;
/// A kill falls within this time after the service is well again.
const CALM_MS: u64 = 600;
/// Between two messages of one client: some hundred are under way in each round, and looking through all that a life has
/// kept stays short on a slow machine, too.
const PACE: Duration = Duration::from_millis(40);
/// What was on its way out at a kill arrives this much later, at most, than somebody is there again who hands out more.
const SLACK_US: u64 = 500_000;

#[derive(Clone, Copy, Debug)]
enum Victim {
    Vault,
    Sealer,
    Everybody,
}

#[test]
fn rule_d5_killed_at_any_instant_it_loses_nothing_and_doubles_nothing_that_was_settled() {
    let mut rounds = if std::env::var_os("GATEPOST_LONG").is_some() { 1000 } else { 50 };
    let mut dice = Dice::for_test("crash");
    let (mut kills, mut sums) = (BTreeMap::<String, u32>::new(), Sums::default());
    for life in 0.. {
        let now = rounds.min(PER_LIFE);
        let mut life = Life::begin(life, &mut dice);
        for _ in 0..now {
            let victim = life.round(&mut dice);
            *kills.entry(format!("{victim:?}")).or_default() += 1;
        }
        sums.add(life.end());
        rounds -= now;
        if rounds == 0 {
            break;
        }
    }
    println!("kills: {kills:?}; {sums:?}");
    assert!(sums.acknowledged > 100, "there was no load: {sums:?}");
}

#[derive(Debug, Default)]
struct Sums {
    acknowledged: usize,
    large: usize,
    kept_without_a_word: usize,
    twice: usize,
    events: usize,
}

impl Sums {
    fn add(&mut self, other: Self) {
        self.acknowledged += other.acknowledged;
        self.large += other.large;
        self.kept_without_a_word += other.kept_without_a_word;
        self.twice += other.twice;
        self.events += other.events;
    }
}

/// One service, from its first start to its orderly end.
struct Life {
    name: String,
    service: Service,
    senders: Senders,
    arrivals: Arrivals,
    /// From when to when nothing was handed out to be delivered, because who does that was killed.
    kills: Vec<(u64, u64)>,
    rounds: u32,
}

impl Life {
    fn begin(number: u32, dice: &mut Dice) -> Self {
        let limits = "vault_deaths = 1000".to_owned();
        // Who may have had his message at a kill has it again after that.
        let more = "[spool]\nretry = [\"1s\"]".to_owned();
        let mut service = Service::start_with(&Setting { limits, more, ..Setting::default() });
        let secret = service.add_credential();
        let arrivals = Arrivals::collect(service.take_sink());
        let target = Target { pace: PACE, ..Target::of(&service, &secret) };
        let senders = Senders::start(&target, &format!("life-{number}"), 4, 2, dice);
        Self { name: format!("life {number}"), service, senders, arrivals, kills: Vec::new(), rounds: 0 }
    }

    fn round(&mut self, dice: &mut Dice) -> Victim {
        self.rounds += 1;
        std::thread::sleep(Duration::from_millis(dice.below(CALM_MS)));
        let victim = [Victim::Vault, Victim::Sealer, Victim::Everybody][usize::try_from(dice.below(3)).unwrap()];
        let context = format!("{}, round {} ({victim:?})", self.name, self.rounds);
        match victim {
            Victim::Vault => self.kill("vault"),
            Victim::Sealer => self.kill("sealer"),
            Victim::Everybody => {
                self.kills.push((now_us(), u64::MAX));
                self.service.kill_all();
                let evidence = Evidence::of(&self.service.folder.path().join("state"));
                evidence.assert_whole(&context);
                // What was acknowledged by now is in the copy that was read a moment ago.
                self.assert_kept(&context, &self.senders.book(), &evidence);
                self.service.start_again();
            }
        }
        let (before, deadline) = (self.senders.acknowledged(), Instant::now() + PATIENCE);
        while self.senders.acknowledged() == before {
            assert!(Instant::now() < deadline, "{context}: nothing is accepted any more\n{}", self.service.log());
            std::thread::sleep(Duration::from_millis(5));
        }
        if let Some((_, until)) = self.kills.last_mut()
            && *until == u64::MAX
        {
            *until = now_us();
        }
        self.service.await_sound(&context);
        victim
    }

    fn kill(&mut self, title: &str) {
        await_that("there is one to kill", || processes::children(self.service.pid()).contains_key(title));
        let pid = processes::child(self.service.pid(), title);
        if title == "vault" {
            self.kills.push((now_us(), u64::MAX));
        }
        processes::signal(pid, Signal::SIGKILL);
        await_that("it is replaced", || {
            processes::children(self.service.pid()).get(title).is_some_and(|now| *now != pid)
        });
    }

    fn assert_kept(&self, context: &str, book: &Book, evidence: &Evidence) {
        for (subject, acknowledged) in book {
            let kept = evidence.stored.contains_key(&acknowledged.id);
            assert!(kept, "{context}: {subject} was acknowledged as {} and is lost", acknowledged.id);
        }
    }

    /// Everything that was acknowledged arrives; then store, log and arrivals are compared.
    fn end(mut self) -> Sums {
        let book = self.senders.stop();
        let expected: Vec<&String> = book.keys().collect();
        self.arrivals.await_all(&expected, &self.service);
        await_that("nobody waits any more", || {
            let stats = self.service.command(&["queue", "stats", "--json"]);
            let stats: Option<serde_json::Value> = serde_json::from_slice(&stats.stdout).ok();
            stats.is_some_and(|stats| stats["all"]["messages"] == 0)
        });
        self.service.await_sound(&self.name);
        let log = self.service.end();
        assert!(!log.contains("SIGSYS"), "a system call filter killed somebody:\n{log}");
        let verified = self.service.command(&["audit", "verify"]);
        let said = String::from_utf8_lossy(&verified.stderr).into_owned();
        assert_eq!(verified.status.code(), Some(0), "{}: {said}", self.name);

        let evidence = Evidence::of(&self.service.folder.path().join("state"));
        evidence.assert_whole(&self.name);
        let lost = book.values().find(|sent| !evidence.stored.contains_key(&sent.id));
        assert!(lost.is_none(), "{}: acknowledged and not in the store: {lost:?}", self.name);
        let waiting: Vec<_> = evidence.stored.iter().filter(|(_, stored)| !stored.done).collect();
        assert!(waiting.is_empty(), "{}: not delivered: {waiting:?}", self.name);
        let arrived = self.arrivals.stop();
        let mut twice = 0;
        for (subject, arrivals) in &arrived {
            if let Some(sent) = book.get(subject) {
                let whole = arrivals.iter().all(|(_, content)| is_whole(subject, sent.size, content));
                assert!(whole, "{}: {subject} did not arrive as it was sent", self.name);
            }
            for pair in arrivals.windows(2) {
                twice += 1;
                let (first, second) = (pair[0].0 - SLACK_US, pair[1].0);
                let reason = self.kills.iter().any(|(killed, well)| *well > first && *killed < second);
                assert!(reason, "{}: {subject} came twice, and nobody had been killed meanwhile", self.name);
            }
            if let Some(sent) = book.get(subject).filter(|_| arrivals.len() > 1) {
                let is_told = |(name, message, _): &_| name == "deliver.unknown" && *message == Some(sent.id.clone());
                assert!(evidence.events.values().any(is_told), "{}: {subject} came twice without a word", self.name);
            }
        }
        Sums {
            acknowledged: book.len(),
            large: book.values().filter(|sent| sent.size > 64 * 1024).count(),
            kept_without_a_word: evidence.stored.len() - book.len(),
            twice,
            events: evidence.events.len(),
        }
    }
}

/// The text is there as it was sent, to the last octet: a client of HTTP has it wrapped into MIME.
fn is_whole(subject: &str, size: usize, content: &[u8]) -> bool {
    let text = text(subject, size);
    memchr::memmem::find(content, text.as_bytes()).is_some()
}
