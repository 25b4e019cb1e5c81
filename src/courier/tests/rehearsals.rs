//! What comes before a message, told line by line.

mod shown;

use super::protected::{credential, login};
use super::*;
use crate::ipc::delivery::{Heard, Line, MAX_LINES, Who};
use crate::mail::address::ReversePath;
use crate::sink::{Act, Fault, Phase};

/// What was said, each line behind a sign for who said it, and whether it passed.
pub(super) fn rehearse(bench: &mut Bench, sender: &str) -> (Vec<String>, bool) {
    let own = Address::parse(sender).ok().map(Some);
    rehearse_as(bench, own.into_iter().chain([None]).collect())
}

/// The same with a message from each of these.
fn rehearse_as(bench: &mut Bench, senders: Vec<ReversePath>) -> (Vec<String>, bool) {
    let (lines, passed) = heard(bench, senders);
    let sign = |line: &Line| match line.who {
        Who::Gate => '>',
        Who::Upstream => '<',
        Who::Note => '*',
    };
    (lines.iter().map(|line| format!("{} {}", sign(line), line.text)).collect(), passed)
}

/// The lines themselves.
pub(super) fn heard(bench: &mut Bench, senders: Vec<ReversePath>) -> (Vec<Line>, bool) {
    let job = Job(7);
    bench.vault.say(&Offer::Rehearse { job, senders });
    let mut lines = Vec::new();
    loop {
        match bench.vault.hear().expect("the courier is there") {
            Progress::Slots(_) => {}
            Progress::Rehearsal { job: of, heard: Heard::Line(line) } if of == job => lines.push(line),
            Progress::Rehearsal { job: of, heard: Heard::End(passed) } if of == job => return (lines, passed),
            other => panic!("something else: {other:?}"),
        }
    }
}

fn with_login(options: Options, password: &str) -> (Bench, Sink) {
    let (sink, port) = sink(Options { login: login(), ..options });
    let settings = Settings { login: credential(password), ..settings_for(&one(port)) };
    (Bench::start(&one(port), settings), sink)
}

#[test]
fn everything_but_a_message_is_said_and_shown_without_the_login() {
    let (mut bench, sink) = with_login(Options::default(), "sesame");
    let (lines, passed) = rehearse(&mut bench, "sender@gate.test");
    assert!(passed, "{lines:?}");
    for line in ["> EHLO gate.test", "> MAIL FROM:<sender@gate.test>", "> MAIL FROM:<>", "> RSET", "> QUIT"] {
        assert!(lines.iter().any(|one| one == line), "{line} in {lines:?}");
    }
    assert!(lines.iter().any(|line| line.starts_with("> AUTH ") && line.ends_with("[hidden]")), "{lines:?}");
    assert!(lines.iter().any(|line| line.starts_with("< 235 ")), "{lines:?}");
    assert_eq!(lines.last().unwrap(), "* mx.test: would take a message");
    nothing_arrives(&sink);
    // Nothing of it is left for a message.
    assert_eq!(bench.deliver(&["a@b.test"]).word(), "delivered 250");
}

#[test]
fn an_upstream_that_says_our_login_back_is_not_quoted() {
    let echo = b"535 5.7.8 you said AGdhdGUAc2VzYW1l, and sesame is wrong\r\n".to_vec();
    let fault = || Fault::at(Phase::Auth, Act::Say(echo.clone()));
    let options = || Options { mechanisms: "PLAIN".into(), faults: vec![fault()], ..Options::default() };
    let (mut bench, _sink) = with_login(options(), "sesame");
    let (lines, passed) = rehearse(&mut bench, "");
    assert!(!passed && lines.iter().any(|line| line.starts_with("< 535 5.7.8 you said [hidden]")), "{lines:?}");
    assert!(!lines.iter().any(|line| line.contains("sesame") || line.contains("c2VzYW1l")), "{lines:?}");
    let (mut bench, _sink) = with_login(options(), "sesame");
    let ending = bench.deliver(&["a@b.test"]);
    assert!(matches!(ending, Ending::LoginRefused(_)), "{ending:?}");
    assert!(ending.reason().contains("you said [hidden], and [hidden] is wrong"), "{ending:?}");
}

#[test]
fn who_takes_nothing_from_nobody_has_not_passed() {
    let fault = Fault { after: 1, ..Fault::say(Phase::Mail, "550 5.1.7 no sender") };
    let (mut bench, _sink) = bench(Options { faults: vec![fault], ..Options::default() });
    let (lines, passed) = rehearse(&mut bench, "sender@gate.test");
    assert!(!passed && lines.iter().any(|line| line.contains("takes nothing from <>")), "{lines:?}");
}

#[test]
fn each_host_is_gone_through_and_one_that_is_away_is_named() {
    let (_first, port) = sink(Options::default());
    let closed = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    let hosts: Where = vec![("mx1.test".into(), port), ("mx2.test".into(), closed), ("mx3.test".into(), port)];
    let mut bench = Bench::start(&hosts, settings_for(&hosts));
    let (lines, passed) = rehearse(&mut bench, "");
    assert!(!passed, "{lines:?}");
    let notes: Vec<&str> = lines.iter().filter_map(|line| line.strip_prefix("* ")).collect();
    for (host, end) in [("mx1", "would take a message"), ("mx2", "the log says why"), ("mx3", "would take a message")] {
        assert!(notes.iter().any(|note| note.starts_with(host) && note.ends_with(end)), "{host}: {notes:?}");
    }
}

#[test]
fn a_flood_of_words_is_cut_and_ends() {
    let flood = [b"250-x\r\n".repeat(100), b"250 x\r\n".to_vec()].concat();
    let (_sink, port) = sink(Options { faults: vec![Fault::at(Phase::Ehlo, Act::Say(flood))], ..Options::default() });
    let hosts: Where = (0..32).map(|n| (format!("mx{n}.test"), port)).collect();
    let mut bench = Bench::start(&hosts, settings_for(&hosts));
    let (lines, _) = rehearse(&mut bench, "");
    assert_eq!(lines.len(), MAX_LINES);
}

#[test]
fn nobody_is_tried_only_where_reports_are_from_nobody() {
    let fault = || Fault::say(Phase::Mail, "550 5.1.7 no sender");
    let (mut bench, _sink) = bench(Options { faults: vec![Fault { after: 1, ..fault() }], ..Options::default() });
    let (lines, passed) = rehearse_as(&mut bench, vec![Address::parse("reports@gate.test").ok()]);
    assert!(passed && !lines.iter().any(|line| line.contains("FROM:<>")), "{lines:?}");
    let (mut bench, _sink) = super::bench(Options { faults: vec![fault()], ..Options::default() });
    let (lines, passed) = rehearse_as(&mut bench, Vec::new());
    assert!(passed && lines.iter().any(|line| line.contains("leave by another upstream")), "{lines:?}");
}
