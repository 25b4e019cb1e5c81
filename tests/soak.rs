//! Claims: with upstreams that fail three times in ten, at any phase of a conversation, and with each of the processes killed
//! now and then, everything that was acknowledged is delivered to each of its recipients, whole; a recipient has a message
//! twice only where the upstream took it without a word or somebody was killed meanwhile; store, log and arrivals agree, and
//! the log verifies.
//!
//! The seed is printed. 1,000 messages; `GATEPOST_LONG=1` makes it 100,000.

mod support;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use support::dice::Dice;
use support::evidence::Evidence;
use support::senders::{Book, Senders, Target, now_us, text};
use support::weather::{Arrival, Upstream, await_empty};
use support::{PATIENCE, Service, Setting, await_that, processes};

/// What was on its way out at a kill arrives this much later, at most, than its successor is there.
const SLACK_US: u64 = 500_000;

/// A service in this weather.
struct Soak {
    service: Service,
    senders: Senders,
    upstream: Upstream,
    /// From when to when somebody was away who had mail in hand.
    away: Vec<(u64, u64)>,
    killed: BTreeMap<String, u32>,
}

impl Soak {
    fn begin(most: usize, dice: &mut Dice) -> Self {
        let upstream = Upstream::start(dice);
        let hosts: Vec<String> = upstream.addresses.iter().map(|address| format!("\"{address}\"")).collect();
        let service = Service::start_with(&Setting {
            limits: "vault_deaths = 1000".into(),
            way: Some(format!("kind = \"smtp\"\nhosts = [{}]", hosts.join(", "))),
            more: "[spool]\nretry = [\"1s\", \"2s\", \"3s\"]".into(),
            ..Setting::default()
        });
        let secret = service.add_credential();
        let recipients = ["b@example.org", "b@example.org c@example.org", "b@example.org c@example.com d@example.org"];
        let recipients = recipients.map(str::to_owned).to_vec();
        let usual = Target::of(&service, &secret);
        let target = Target { recipients, large_one_in: 50, most, pace: Duration::from_millis(5), ..usual };
        let senders = Senders::start(&target, "soak", 4, 2, dice);
        Self { service, senders, upstream, away: Vec::new(), killed: BTreeMap::new() }
    }

    /// One of all that run, the parent included: then all fall, and are started again. First one of each role.
    fn kill(&mut self, dice: &mut Dice) {
        let children: Vec<(String, u32)> = processes::children(self.service.pid()).into_iter().collect();
        let all = || children.iter().map(Some).chain([None]);
        let is_spared =
            |one: &Option<&(String, u32)>| !self.killed.contains_key(one.map_or(EVERYBODY, |(title, _)| role(title)));
        let mut candidates: Vec<_> = all().filter(is_spared).collect();
        if candidates.is_empty() {
            candidates = all().collect();
        }
        let chosen = usize::try_from(dice.below(candidates.len() as u64)).unwrap();
        let since = now_us();
        let title = if let Some((title, pid)) = candidates[chosen] {
            processes::signal(*pid, Signal::SIGKILL);
            await_that("it is replaced", || {
                processes::children(self.service.pid()).get(title).is_some_and(|now| now != pid)
            });
            role(title)
        } else {
            self.service.kill_all();
            self.service.start_again();
            EVERYBODY
        };
        if ["vault", "courier", "dialer", EVERYBODY].iter().any(|role| title.starts_with(role)) {
            self.away.push((since, now_us()));
        }
        *self.killed.entry(title.to_owned()).or_default() += 1;
    }

    /// Waits until more has been acknowledged, or all.
    fn await_acknowledged(&self, count: usize) {
        let (mut last, mut since) = (self.senders.acknowledged(), Instant::now());
        while last < count {
            std::thread::sleep(Duration::from_millis(20));
            let now = self.senders.acknowledged();
            if now > last {
                (last, since) = (now, Instant::now());
            }
            assert!(since.elapsed() < PATIENCE, "nothing is accepted any more\n{}", self.service.log());
        }
    }
}

/// In the list of those who were killed.
const EVERYBODY: &str = "everybody";

fn role(title: &str) -> &str {
    title.split(' ').next().unwrap()
}

/// Everything that was acknowledged came to all whom it was for, and no copy is without its reason.
fn assert_delivered(book: &Book, arrived: &BTreeMap<String, Vec<Arrival>>, away: &[(u64, u64)]) -> usize {
    let mut twice = 0;
    for (subject, sent) in book {
        let arrivals = arrived.get(subject).unwrap_or_else(|| panic!("{subject} is lost"));
        let size = text(subject, sent.size).len();
        assert!(arrivals.iter().all(|arrival| arrival.whole == size), "{subject}: {size} octets, {arrivals:?}");
        let number: usize = subject.rsplit('-').next().unwrap().parse().unwrap();
        let recipients = number % 3 + 1;
        for recipient in ["b@example.org", "c@example.", "d@example.org"].iter().take(recipients) {
            let its = |arrival: &&Arrival| arrival.recipients.iter().any(|one| one.starts_with(recipient));
            let mut copies: Vec<&Arrival> = arrivals.iter().filter(its).collect();
            copies.sort_by_key(|arrival| arrival.at_us);
            assert!(!copies.is_empty(), "{subject} never came to {recipient}");
            for pair in copies.windows(2) {
                twice += 1;
                let (first, second) = (pair[0].at_us - SLACK_US, pair[1].at_us);
                let fell = away.iter().any(|(killed, well)| *well > first && *killed < second);
                assert!(!pair[0].answered || fell, "{subject} came to {recipient} twice: {copies:?}");
            }
        }
    }
    twice
}

#[test]
fn everything_comes_through_failing_upstreams_and_kills_of_every_role() {
    let is_long = std::env::var_os("GATEPOST_LONG").is_some();
    let (most, kills) = if is_long { (100_000, 200) } else { (1000, 12) };
    let mut dice = Dice::for_test("soak");
    let begun = Instant::now();
    let mut soak = Soak::begin(most, &mut dice);
    for kill in 1..=kills {
        soak.await_acknowledged(most * kill / (kills + 1));
        soak.kill(&mut dice);
    }
    soak.await_acknowledged(most);
    let spared = processes::children(soak.service.pid());
    let spared = spared.keys().map(|title| role(title)).chain([EVERYBODY]);
    let spared: Vec<_> = spared.filter(|role| !soak.killed.contains_key(*role)).collect();
    assert!(spared.is_empty(), "nobody killed {spared:?}");
    let Soak { mut service, senders, upstream, away, killed } = soak;
    let book = senders.stop();
    let released = await_empty(&service);
    service.await_sound("at the end");
    let log = service.end();
    assert!(!log.contains("SIGSYS"), "a system call filter killed somebody:\n{log}");

    let evidence = Evidence::of(&service.folder.path().join("state"));
    evidence.assert_whole("at the end");
    let waiting = evidence.stored.values().filter(|stored| !stored.done).count();
    let kept = book.values().filter(|sent| evidence.stored.contains_key(&sent.id)).count();
    assert_eq!((waiting, kept), (0, book.len()), "of what was acknowledged, what waits and what is kept");
    let twice = assert_delivered(&book, &upstream.end(), &away);
    let delivered: usize = evidence.delivered.values().sum();
    println!(
        "{} acknowledged, {} kept, {delivered} deliveries, {twice} of them twice, {released} released, {} events, {:?}; {killed:?}",
        book.len(),
        evidence.stored.len(),
        evidence.events.len(),
        begun.elapsed()
    );
}
