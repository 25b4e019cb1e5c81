//! Messages whose senders wait: each recipient is answered as it comes, the dot is the last that is said, and whatever ends before it
//! has delivered nothing.

mod passed;
mod provider;
mod worn;

use super::*;
use crate::sink::{Act, Fault, Phase};

/// The vault's side of one live message.
struct Sender<'a> {
    vault: &'a mut Vault,
    job: Job,
    number: u32,
    credit: usize,
}

/// What the courier said of it.
#[derive(Debug, PartialEq, Eq)]
enum Heard {
    Accepted(u32),
    /// With its code.
    Outcome(u32, String),
    Ended(String),
}

impl<'a> Sender<'a> {
    fn begin(vault: &'a mut Vault, manner: Manner, size: Option<u64>) -> Self {
        Self::begin_as(vault, manner, size, None)
    }

    /// With a provider's key of its own.
    fn begin_as(vault: &'a mut Vault, manner: Manner, size: Option<u64>, key: Option<&str>) -> Self {
        vault.job += 1;
        let job = Job(vault.job);
        let sender = Some(Address::parse("sender@gate.test").unwrap());
        let key = key.map(|key| Secret::new(key.to_owned()));
        vault.say(&Offer::Live { job, message: MessageId::now(), sender, manner, size, key });
        Self { vault, job, number: 0, credit: 0 }
    }

    fn name(&mut self, recipients: &[&str]) {
        let all = recipients.iter().map(|text| {
            self.number += 1;
            (self.number, Address::parse_international(text).unwrap().into())
        });
        let batch = all.collect();
        self.vault.say(&Offer::Recipients { job: self.job, batch });
    }

    fn hear(&mut self) -> Heard {
        loop {
            match self.vault.hear() {
                Some(Progress::Slots(_)) => {}
                Some(Progress::Want { octets, .. }) => self.credit += octets as usize,
                Some(Progress::Accepted { number, .. }) => return Heard::Accepted(number),
                Some(Progress::Recipient { number, outcome, .. }) => {
                    return Heard::Outcome(number, Ending::Settled(vec![(number, outcome)]).word());
                }
                Some(Progress::Settled { .. }) => return Heard::Ended("settled".into()),
                Some(Progress::RouteFailed { .. } | Progress::LoginRefused { .. }) => {
                    return Heard::Ended("route".into());
                }
                Some(Progress::BrokenOff { said, .. }) => return Heard::Ended(Ending::BrokenOff(said).word()),
                Some(Progress::GivenUp { .. }) => return Heard::Ended("given up".into()),
                other => panic!("{other:?}"),
            }
        }
    }

    /// The next answers.
    fn answers(&mut self, count: usize) -> Vec<Heard> {
        (0..count).map(|_| self.hear()).collect()
    }

    fn content(&mut self, octets: &[u8]) {
        self.vault.say(&Offer::Content { job: self.job, octets: Octets(octets.to_vec()) });
    }

    fn end(&mut self) {
        self.vault.say(&Offer::End { job: self.job, turn: 0 });
    }

    fn withdraw(&mut self) {
        self.vault.say(&Offer::Withdraw { job: self.job });
    }

    /// All that is said until the last word.
    fn rest(&mut self) -> Vec<Heard> {
        let mut all = Vec::new();
        loop {
            let heard = self.hear();
            let is_last = matches!(heard, Heard::Ended(_));
            all.push(heard);
            if is_last {
                return all;
            }
        }
    }
}

fn ended(word: &str) -> Heard {
    Heard::Ended(word.into())
}

fn outcome(number: u32, word: &str) -> Heard {
    Heard::Outcome(number, word.into())
}

fn keywords(chunking: bool) -> Vec<String> {
    let all = ["CHUNKING", "PIPELINING", "SIZE 1000000", "8BITMIME"];
    all.iter().skip(usize::from(!chunking)).map(|word| (*word).to_owned()).collect()
}

const LETTER: &[u8] = b"Subject: test\r\n\r\n.hello\r\n";

#[test]
fn recipients_are_answered_as_they_come_and_the_dot_is_the_last() {
    for chunking in [false, true] {
        let refuse = vec![("no@".to_owned(), "550 5.1.1 unknown".to_owned())];
        let (mut bench, sink) = bench(Options { keywords: keywords(chunking), refuse, ..Options::default() });
        for round in 1..=2 {
            let mut sender = Sender::begin(&mut bench.vault, Manner::default(), Some(777));
            sender.name(&["a@b.test"]);
            assert_eq!(sender.answers(1), [Heard::Accepted(1)]);
            sender.name(&["no@b.test", "c@d.test"]);
            assert_eq!(sender.answers(2), [outcome(2, "failed 550"), Heard::Accepted(3)]);
            sender.content(LETTER);
            // All of it is there, and it is not known yet that it may go.
            thread::sleep(Duration::from_millis(100));
            nothing_arrives(&sink);
            sender.end();
            assert_eq!(sender.rest(), [outcome(1, "delivered 250"), outcome(3, "delivered 250"), ended("settled")]);
            let received = sink.next(PATIENCE).unwrap();
            assert_eq!(
                (received.recipients, received.content),
                (vec!["a@b.test".into(), "c@d.test".into()], LETTER.to_vec())
            );
            let tally = sink.tally();
            assert_eq!(tally.connections, 1, "round {round}: it is kept for the next");
            assert_eq!(tally.commands.iter().filter(|line| line.contains("SIZE=777")).count(), round);
        }
    }
}

#[test]
fn a_sender_that_gives_up_within_the_envelope_leaves_a_session_that_is_used_again() {
    let (mut bench, sink) = bench(Options::default());
    let mut sender = Sender::begin(&mut bench.vault, Manner::default(), None);
    sender.name(&["a@b.test"]);
    assert_eq!(sender.answers(1), [Heard::Accepted(1)]);
    sender.withdraw();
    assert_eq!(sender.rest(), [ended("given up")]);
    assert_eq!(bench.deliver(&["c@d.test"]).word(), "delivered 250");
    assert_eq!(sink.next(PATIENCE).unwrap().recipients, ["c@d.test"]);
    let tally = sink.tally();
    assert_eq!((tally.connections, tally.broken_off), (1, 0), "{:?}", tally.commands);
    assert!(tally.commands.iter().any(|line| line.starts_with("RSET")), "{:?}", tally.commands);
}

#[test]
fn a_sender_that_gives_up_within_the_content_has_delivered_nothing() {
    for chunking in [false, true] {
        let (mut bench, sink) = bench(Options { keywords: keywords(chunking), ..Options::default() });
        let mut sender = Sender::begin(&mut bench.vault, Manner::default(), None);
        sender.name(&["a@b.test"]);
        assert_eq!(sender.answers(1), [Heard::Accepted(1)]);
        // More than a block, so that some of it is on its way.
        (0..6).for_each(|_| sender.content(&b"0123456789\r\n".repeat(1000)));
        sender.withdraw();
        assert_eq!(sender.rest(), [ended("given up")]);
        nothing_arrives(&sink);
        assert_eq!(bench.deliver(&["c@d.test"]).word(), "delivered 250");
        assert_eq!(sink.next(PATIENCE).unwrap().recipients, ["c@d.test"]);
        assert_eq!(sink.tally().connections, 2, "the first was in the middle of it");
    }
}

#[test]
fn every_phase_has_its_answer_while_the_sender_waits() {
    // What RCPT hears, and what the content does.
    let at_rcpt = [
        (Phase::Mail, "451 4.3.0 later", "deferred 451"),
        (Phase::Mail, "550 5.7.1 not you", "failed 550"),
        // Its sender decides.
        (Phase::Mail, "554 5.4.0 our relay is misconfigured", "failed 554"),
        (Phase::Rcpt, "550 5.4.4 no route", "failed 550"),
        (Phase::Rcpt, "450 4.2.1 later", "deferred 450"),
        (Phase::Rcpt, "550 5.1.1 unknown", "failed 550"),
    ];
    for (phase, reply, expected) in at_rcpt {
        let (mut bench, sink) = bench(Options { faults: vec![Fault::say(phase, reply)], ..Options::default() });
        let mut sender = Sender::begin(&mut bench.vault, Manner::default(), None);
        sender.name(&["a@b.test"]);
        assert_eq!(sender.answers(1), [outcome(1, expected)], "{phase:?} {reply}");
        nothing_arrives(&sink);
    }
    for (phase, reply, expected) in [
        (Phase::Greeting, "554 5.7.1 go away", "route"),
        (Phase::Ehlo, "421 no", "route"),
        (Phase::Mail, "421 4.3.2 closing", "broken off"),
        (Phase::Mail, "530 5.7.0 log in", "route"),
        (Phase::Rcpt, "421 4.3.2 closing", "broken off"),
    ] {
        let (mut bench, _sink) = bench(Options { faults: vec![Fault::say(phase, reply)], ..Options::default() });
        let mut sender = Sender::begin(&mut bench.vault, Manner::default(), None);
        sender.name(&["a@b.test"]);
        assert_eq!(sender.rest(), [ended(expected)], "{phase:?} {reply}");
    }
    for chunking in [false, true] {
        for (phase, act, expected) in [
            (Phase::Data, Fault::say(Phase::Data, "451 4.3.0 later"), "deferred 451"),
            (Phase::Data, Fault::say(Phase::Data, "554 5.7.1 no"), "failed 554"),
            (Phase::Dot, Fault::say(Phase::Dot, "451 4.3.0 later"), "deferred 451"),
            (Phase::Dot, Fault::say(Phase::Dot, "554 5.6.0 spam"), "failed 554"),
            (Phase::Dot, Fault::at(Phase::Dot, Act::Close), "unknown"),
            (Phase::Dot, Fault::say(Phase::Dot, "garbled"), "unknown"),
        ] {
            if chunking && phase == Phase::Data {
                continue;
            }
            let (mut bench, sink) =
                bench(Options { keywords: keywords(chunking), faults: vec![act], ..Options::default() });
            let mut sender = Sender::begin(&mut bench.vault, Manner::default(), None);
            sender.name(&["a@b.test"]);
            assert_eq!(sender.answers(1), [Heard::Accepted(1)]);
            sender.content(LETTER);
            sender.end();
            assert_eq!(sender.rest(), [outcome(1, expected), ended("settled")], "{phase:?} {expected} {chunking}");
            nothing_arrives(&sink);
        }
    }
}

#[test]
fn an_upstream_that_is_lost_between_recipients_or_before_the_dot_has_delivered_nothing() {
    let fault = Fault { after: 1, ..Fault::at(Phase::Rcpt, Act::Close) };
    let (mut one, sink) = bench(Options { faults: vec![fault], ..Options::default() });
    let mut sender = Sender::begin(&mut one.vault, Manner::default(), None);
    sender.name(&["a@b.test"]);
    assert_eq!(sender.answers(1), [Heard::Accepted(1)]);
    sender.name(&["c@d.test"]);
    assert_eq!(sender.rest(), [ended("broken off")]);
    nothing_arrives(&sink);
    let (mut other, sink) =
        bench(Options { faults: vec![Fault::at(Phase::Content, Act::Close)], ..Options::default() });
    let mut sender = Sender::begin(&mut other.vault, Manner::default(), None);
    sender.name(&["a@b.test"]);
    assert_eq!(sender.answers(1), [Heard::Accepted(1)]);
    let piece = b"0123456789\r\n".repeat(1000);
    sender.content(&piece);
    // The dot could be on its way before the connection is gone, and then nobody would know.
    let deadline = Instant::now() + Duration::from_secs(60);
    while sink.tally().over == 0 {
        assert!(Instant::now() < deadline, "the sink keeps the connection");
        thread::sleep(Duration::from_millis(5));
    }
    (0..9).for_each(|_| sender.content(&piece));
    sender.end();
    assert_eq!(sender.rest(), [ended("broken off")]);
    nothing_arrives(&sink);
}

#[test]
fn until_somebody_is_answered_the_next_host_is_tried() {
    let (first, port) =
        sink(Options { faults: vec![Fault::say(Phase::Mail, "451 4.3.0 later")], ..Options::default() });
    let (second, other) = sink(Options::default());
    let hosts: Where = vec![("mx1.test".into(), port), ("mx2.test".into(), other)];
    let mut bench = Bench::start(&hosts, settings_for(&hosts));
    let mut sender = Sender::begin(&mut bench.vault, Manner::default(), None);
    sender.name(&["a@b.test"]);
    assert_eq!(sender.answers(1), [Heard::Accepted(1)]);
    sender.content(LETTER);
    sender.end();
    assert_eq!(sender.rest(), [outcome(1, "delivered 250"), ended("settled")]);
    assert!(second.next(PATIENCE).is_some() && first.next(Duration::ZERO).is_none());
}

#[test]
fn rule_x3_what_may_need_smtputf8_is_refused_at_rcpt_where_the_upstream_lacks_it() {
    let (mut bench, sink) = bench(Options::default());
    let manner = Manner { utf8: crate::mail::envelope::Utf8::Allowed, ..Manner::default() };
    let mut sender = Sender::begin(&mut bench.vault, manner, None);
    sender.name(&["a@b.test"]);
    assert_eq!(sender.rest(), [outcome(1, "unsendable"), ended("settled")]);
    assert!(!sink.tally().commands.iter().any(|line| line.starts_with("MAIL")));
}

#[test]
fn a_vault_that_is_gone_before_the_end_has_delivered_nothing() {
    let (mut bench, sink) = bench(Options::default());
    let mut sender = Sender::begin(&mut bench.vault, Manner::default(), None);
    sender.name(&["a@b.test"]);
    assert_eq!(sender.answers(1), [Heard::Accepted(1)]);
    sender.content(LETTER);
    bench.vault.stream.shutdown(std::net::Shutdown::Both).unwrap();
    eventually("the upstream sees it go", || {
        sink.tally().broken_off > 0 || sink.tally().commands.iter().any(|line| line == "RSET")
    });
    nothing_arrives(&sink);
}

#[test]
fn an_upstream_that_stands_still_keeps_no_place_that_was_taken_back() {
    for phase in [Phase::Greeting, Phase::Mail, Phase::Rcpt] {
        let (mut bench, _sink) = bench(Options { faults: vec![Fault::at(phase, Act::Hang)], ..Options::default() });
        let mut sender = Sender::begin(&mut bench.vault, Manner::default(), None);
        sender.name(&["a@b.test"]);
        sender.withdraw();
        assert_eq!(sender.rest(), [ended("given up")], "{phase:?}");
    }
}

#[test]
fn a_sender_hears_in_time_that_nobody_knows_of_an_upstream_that_says_nothing_to_the_dot() {
    for chunking in [false, true] {
        let hangs = vec![Fault::at(Phase::Dot, Act::Hang)];
        let (mut bench, _sink) = bench(Options { keywords: keywords(chunking), faults: hangs, ..Options::default() });
        let mut sender = Sender::begin(&mut bench.vault, Manner::default(), None);
        sender.name(&["a@b.test"]);
        assert_eq!(sender.answers(1), [Heard::Accepted(1)]);
        sender.content(LETTER);
        sender.end();
        assert_eq!(sender.rest(), [outcome(1, "unknown"), ended("settled")]);
    }
}

#[test]
fn an_upstream_that_leaves_while_the_sender_has_it_wait_is_not_charged_with_that() {
    let fault = Fault { after: 1, ..Fault::at(Phase::Rcpt, Act::Close) };
    let (mut bench, _sink) = bench(Options { faults: vec![fault], ..Options::default() });
    let mut sender = Sender::begin(&mut bench.vault, Manner::default(), None);
    sender.name(&["a@b.test"]);
    assert_eq!(sender.answers(1), [Heard::Accepted(1)]);
    thread::sleep(Duration::from_millis(1100));
    sender.name(&["c@d.test"]);
    assert_eq!(sender.rest(), [ended("given up")]);
}

#[test]
fn who_is_more_than_the_upstream_takes_is_for_another_message() {
    let limits = |word: &str| vec!["PIPELINING".to_owned(), format!("LIMITS {word}")];
    let (mut bench_of, sink) = bench(Options { keywords: limits("RCPTMAX=2"), ..Options::default() });
    let mut sender = Sender::begin(&mut bench_of.vault, Manner::default(), None);
    sender.name(&["a@b.test", "c@d.test", "e@f.test"]);
    assert_eq!(sender.answers(3), [Heard::Accepted(1), Heard::Accepted(2), outcome(3, "deferred 452")]);
    sender.name(&["g@h.test"]);
    assert_eq!(sender.answers(1), [outcome(4, "deferred 452")]);
    sender.content(LETTER);
    sender.end();
    assert_eq!(sender.rest(), [outcome(1, "delivered 250"), outcome(2, "delivered 250"), ended("settled")]);
    assert_eq!(sink.tally().commands.iter().filter(|line| line.starts_with("RCPT")).count(), 2);
    let (mut bench_of, _sink) = bench(Options { keywords: limits("RCPTDOMAINMAX=1"), ..Options::default() });
    let mut sender = Sender::begin(&mut bench_of.vault, Manner::default(), None);
    sender.name(&["a@b.test", "c@d.test", "e@b.test"]);
    assert_eq!(sender.answers(3), [Heard::Accepted(1), Heard::Accepted(3), outcome(2, "deferred 452")]);
    // Where MAIL is refused all are told that.
    let faults = vec![Fault::say(Phase::Mail, "550 5.7.1 not you")];
    let (mut bench_of, _sink) = bench(Options { keywords: limits("RCPTMAX=1"), faults, ..Options::default() });
    let mut sender = Sender::begin(&mut bench_of.vault, Manner::default(), None);
    sender.name(&["a@b.test", "c@d.test"]);
    assert_eq!(sender.rest(), [outcome(1, "failed 550"), outcome(2, "deferred 452"), ended("settled")]);
}

#[test]
fn who_was_answered_before_a_session_ended_over_another_is_told_that_answer() {
    let refuse =
        vec![("no@".to_owned(), "550 5.1.1 unknown".to_owned()), ("end@".to_owned(), "421 4.3.2 closing".to_owned())];
    let (mut bench, _sink) = bench(Options { keywords: keywords(false), refuse, ..Options::default() });
    let mut sender = Sender::begin(&mut bench.vault, Manner::default(), None);
    sender.name(&["a@b.test", "no@b.test", "end@b.test"]);
    assert_eq!(sender.rest(), [outcome(2, "failed 550"), outcome(3, "deferred 421"), ended("broken off")]);
}

#[test]
fn a_host_that_never_greets_makes_one_sender_wait_and_the_next_goes_elsewhere() {
    let (_first, one) = sink(Options { faults: vec![Fault::at(Phase::Greeting, Act::Hang)], ..Options::default() });
    let (second, two) = sink(Options::default());
    let hosts = vec![("mx1.test".to_owned(), one), ("mx2.test".to_owned(), two)];
    let mut bench = Bench::start(&hosts, settings_for(&hosts));
    // Longer than somebody's session is waited for.
    bench.vault.stream.set_read_timeout(Some(3 * PATIENCE)).unwrap();
    let mut sender = Sender::begin(&mut bench.vault, Manner::default(), None);
    sender.name(&["a@b.test"]);
    assert_eq!(sender.rest(), [ended("route")]);
    let mut sender = Sender::begin(&mut bench.vault, Manner::default(), None);
    sender.name(&["a@b.test"]);
    assert_eq!(sender.answers(1), [Heard::Accepted(1)]);
    sender.content(LETTER);
    sender.end();
    assert_eq!(sender.rest(), [outcome(1, "delivered 250"), ended("settled")]);
    assert!(second.next(PATIENCE).is_some());
}
