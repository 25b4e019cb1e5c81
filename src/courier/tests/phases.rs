//! Each phase of a delivery, each thing that can happen in it, and the outcome (the table in `smtp/transaction.rs`).

mod faults;
mod refusals;
mod resets;

use super::*;
use crate::sink::{Act, Fault, Phase};

fn keywords(pipelining: bool) -> Vec<String> {
    let all = ["PIPELINING", "SIZE 1000000", "8BITMIME"];
    all.iter().skip(usize::from(!pipelining)).map(|word| (*word).to_owned()).collect()
}

#[test]
fn rule_u10_every_phase_has_the_outcome_of_the_table() {
    let table = [
        (Phase::Greeting, "421 4.3.2 busy", "route"),
        (Phase::Greeting, "554 5.7.1 go away", "route"),
        (Phase::Greeting, "SSH-2.0-OpenSSH", "route"),
        (Phase::Ehlo, "550 no", "route"),
        (Phase::Ehlo, "421 no", "route"),
        (Phase::Mail, "451 4.3.0 later", "deferred 451"),
        (Phase::Mail, "452 4.3.1 disk full", "deferred 452"),
        (Phase::Mail, "550 5.1.8 no such sender", "failed 550"),
        (Phase::Mail, "550 5.7.1 not you", "route"),
        (Phase::Mail, "554 5.7.1 Client host rejected", "route"),
        (Phase::Mail, "550 access denied", "route"),
        (Phase::Mail, "552 5.3.4 too big", "failed 552"),
        (Phase::Mail, "421 4.3.2 closing", "broken off"),
        (Phase::Mail, "454 4.7.0 no", "route"),
        (Phase::Mail, "503 5.5.1 EHLO first", "broken off"),
        (Phase::Mail, "530 5.7.0 log in", "route"),
        (Phase::Mail, "534 5.7.9 too weak", "route"),
        (Phase::Mail, "535 5.7.8 who", "route"),
        (Phase::Mail, "538 5.7.11 not in clear", "route"),
        (Phase::Mail, "354 what", "broken off"),
        (Phase::Rcpt, "450 4.2.1 later", "deferred 450"),
        (Phase::Rcpt, "454 4.7.1 relay access denied", "deferred 454"),
        (Phase::Rcpt, "550 5.1.1 unknown", "failed 550"),
        (Phase::Rcpt, "551 5.7.1 try <other@evil.example>", "failed 551"),
        (Phase::Rcpt, "554 5.7.1 <a@b.test>: Relay access denied", "route"),
        (Phase::Rcpt, "550 5.7.54 Unable to relay", "route"),
        (Phase::Rcpt, "421 4.3.2 closing", "broken off"),
        (Phase::Rcpt, "530 5.7.0 log in", "broken off"),
        (Phase::Rcpt, "354 what", "broken off"),
        (Phase::Data, "451 4.3.0 later", "deferred 451"),
        (Phase::Data, "554 5.7.1 no", "failed 554"),
        (Phase::Data, "421 4.3.2 closing", "broken off"),
        (Phase::Data, "530 5.7.0 log in", "broken off"),
        (Phase::Data, "250 what", "broken off"),
        (Phase::Content, "552 5.3.4 too big", "failed 552"),
        (Phase::Dot, "250 2.0.0 kept", "delivered 250"),
        (Phase::Dot, "451 4.3.0 later", "deferred 451"),
        (Phase::Dot, "554 5.6.0 spam", "failed 554"),
        (Phase::Dot, "421 4.3.2 closing", "broken off"),
        (Phase::Dot, "530 5.7.0 log in", "broken off"),
        (Phase::Dot, "535 5.7.8 who", "broken off"),
        (Phase::Dot, "503 5.5.1 DATA first", "broken off"),
        (Phase::Dot, "354 what", "unknown"),
        (Phase::Dot, "garbled", "unknown"),
    ];
    for pipelining in [true, false] {
        for (phase, reply, expected) in table {
            let faults = vec![Fault::say(phase, reply)];
            let (mut bench, sink) = bench(Options { keywords: keywords(pipelining), faults, ..Options::default() });
            let ending = bench.deliver(&["a@b.test", "c@d.test"]);
            assert_eq!(ending.word(), expected, "{phase:?} {reply} pipelining {pipelining}: {ending:?}");
            nothing_arrives(&sink);
        }
    }
}

#[test]
fn rule_u13_rule_u10_a_lost_connection_is_the_routes_the_messages_or_unknown_after_the_dot() {
    let before = [Phase::Greeting, Phase::Ehlo].map(|phase| (phase, "route"));
    let within = [Phase::Mail, Phase::Rcpt, Phase::Data, Phase::Content].map(|phase| (phase, "broken off"));
    let phases = before.into_iter().chain(within).chain([(Phase::Dot, "unknown")]);
    for (phase, expected) in phases {
        for pipelining in [true, false] {
            let faults = vec![Fault::at(phase, Act::Close)];
            let (mut bench, _sink) = bench(Options { keywords: keywords(pipelining), faults, ..Options::default() });
            // More than a window, so that the content can't be on its way before the connection is lost.
            let content = b"0123456789\r\n".repeat(if phase == Phase::Content { 1_000_000 } else { 1 });
            let ending = bench.vault.deliver(&["a@b.test"], &content);
            assert_eq!(ending.word(), expected, "{phase:?}: {ending:?}");
        }
    }
}

#[test]
fn rule_u13_silence_ends_at_a_deadline_in_every_phase() {
    let before = [Phase::Greeting, Phase::Ehlo].map(|phase| (phase, "route"));
    let within = [Phase::Mail, Phase::Rcpt, Phase::Data].map(|phase| (phase, "broken off"));
    let phases = before.into_iter().chain(within).chain([(Phase::Dot, "unknown")]);
    for (phase, expected) in phases {
        let (_sink, port) = sink(Options { faults: vec![Fault::at(phase, Act::Hang)], ..Options::default() });
        let short = Duration::from_millis(700);
        let patience = Patience { greeting: short, command: short, data: short, dot: short, ..Patience::default() };
        let mut bench = Bench::start(&one(port), Settings { patience, ..settings_for(&one(port)) });
        let ending = bench.deliver(&["a@b.test"]);
        assert_eq!(ending.word(), expected, "{phase:?}: {ending:?}");
    }
}

/// An upstream that takes that long for each of its answers.
fn slow(replies: &'static [&'static str], each: Duration) -> (u16, thread::JoinHandle<()>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let upstream = thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        let mut octets = [0; 512];
        for reply in replies {
            thread::sleep(each);
            if socket.write_all(reply.as_bytes()).is_err() || socket.read(&mut octets).is_err() {
                return;
            }
        }
    });
    (port, upstream)
}

#[test]
fn rule_u13_who_is_just_in_time_for_each_step_meets_a_deadline_for_all_of_them() {
    let each = Duration::from_millis(300);
    let brief = Patience { message: each * 2, recipient: Duration::ZERO, ..Patience::default() };
    let for_each = Patience { recipient: PATIENCE, ..brief };
    let everyone = ["a@b.test", "c@b.test", "d@b.test"];
    let replies =
        &["220 x\r\n", "250 x\r\n", "250 x\r\n", "250 x\r\n", "250 x\r\n", "250 x\r\n", "354 x\r\n", "250 x\r\n", ""];
    for (patience, expected) in [(brief, "broken off"), (for_each, "delivered 250")] {
        let (port, upstream) = slow(replies, each);
        let mut bench = Bench::start(&one(port), Settings { patience, ..settings_for(&one(port)) });
        let ending = bench.deliver(&everyone);
        assert_eq!(ending.word(), expected, "{ending:?}");
        drop(bench);
        upstream.join().unwrap();
    }
    let patience = Patience { opening: each, ..Patience::default() };
    let (port, upstream) = slow(replies, each);
    let mut bench = Bench::start(&one(port), Settings { patience, ..settings_for(&one(port)) });
    let ending = bench.deliver(&everyone);
    assert_eq!(ending.word(), "route");
    assert!(ending.reason().contains("it took longer in all"), "{ending:?}");
    drop(bench);
    upstream.join().unwrap();
}

#[test]
fn rule_u13_an_upstream_that_stops_reading_content_meets_a_deadline() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let upstream = thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        socket.write_all(b"220 x\r\n250 x\r\n").unwrap();
        socket
    });
    // The second reply came before EHLO was said: also a case of speaking out of turn.
    let patience = Patience { block: Duration::from_millis(500), ..Patience::default() };
    let mut bench = Bench::start(&one(port), Settings { patience, ..settings_for(&one(port)) });
    assert_eq!(bench.deliver(&["a@b.test"]).word(), "route");
    drop(upstream.join().unwrap());

    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let upstream = thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        let mut octets = [0; 512];
        for reply in ["220 x\r\n", "250 x\r\n", "250 x\r\n", "250 x\r\n", "354 x\r\n"] {
            socket.write_all(reply.as_bytes()).unwrap();
            let _ = socket.read(&mut octets).unwrap();
        }
        socket
    });
    let mut bench = Bench::start(&one(port), Settings { patience, ..settings_for(&one(port)) });
    let ending = bench.vault.deliver(&["a@b.test"], &b"0123456789\r\n".repeat(2_000_000));
    assert!(ending.reason().contains("content: it took longer"), "{ending:?}");
    drop(upstream.join().unwrap());
}

#[test]
fn rule_u9_each_recipient_has_its_own_outcome_and_552_at_rcpt_is_temporary() {
    let refuse = [
        ("unknown@", "550 5.1.1 no such user"),
        ("full@", "552 5.2.2 too many"),
        ("many@", "452 4.5.3 too many"),
        ("grey@", "451 4.7.1 greylisted"),
    ];
    let refuse = refuse.map(|(which, reply)| (which.to_owned(), reply.to_owned())).to_vec();
    for pipelining in [true, false] {
        let options = Options { keywords: keywords(pipelining), refuse: refuse.clone(), ..Options::default() };
        let (mut bench, sink) = bench(options);
        let ending = bench.deliver(&[
            "good@x.test",
            "unknown@x.test",
            "full@x.test",
            "many@x.test",
            "grey@x.test",
            "fine@x.test",
        ]);
        let expected = "delivered 250, failed 550, deferred 552, deferred 452, deferred 451, delivered 250";
        assert_eq!(ending.word(), expected);
        let Ending::Settled(outcomes) = ending else { panic!() };
        assert_eq!(outcomes.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [10, 11, 12, 13, 14, 15]);
        assert_eq!(sink.next(PATIENCE).unwrap().recipients, ["good@x.test", "fine@x.test"]);
    }
}

#[test]
fn rule_u14_a_failing_host_leads_to_the_next_at_once_and_the_message_arrives_once() {
    let faults = [
        Fault::say(Phase::Greeting, "421 4.3.2 busy"),
        Fault::at(Phase::Ehlo, Act::Close),
        Fault::say(Phase::Mail, "451 4.3.0 later"),
        Fault::say(Phase::Mail, "421 4.3.0 later"),
        Fault::say(Phase::Rcpt, "421 4.3.0 later"),
        Fault::say(Phase::Data, "451 4.3.0 later"),
        Fault::say(Phase::Dot, "451 4.3.0 later"),
        Fault::say(Phase::Dot, "421 4.3.0 later"),
    ];
    for fault in faults {
        let (first, one) = sink(Options { faults: vec![fault.clone()], ..Options::default() });
        let (second, two) = sink(Options::default());
        let hosts = vec![("mx1.test".to_owned(), one), ("mx2.test".to_owned(), two)];
        let mut bench = Bench::start(&hosts, settings_for(&hosts));
        let ending = bench.deliver(&["a@b.test"]);
        assert_eq!(ending.word(), "delivered 250", "{fault:?}: {ending:?}");
        assert_eq!(ending.outcome().said().host, "mx2.test");
        assert_eq!(second.next(PATIENCE).unwrap().content, b"Subject: test\r\n\r\nhello\r\n");
        nothing_arrives(&first);
        nothing_arrives(&second);
    }
}

#[test]
fn what_a_host_has_decided_or_may_have_taken_is_not_shown_to_another() {
    let faults = [
        (Fault::say(Phase::Mail, "550 5.1.8 no"), "failed 550"),
        (Fault::say(Phase::Rcpt, "450 4.2.1 later"), "deferred 450"),
        (Fault::say(Phase::Data, "554 5.7.1 no"), "failed 554"),
        (Fault::say(Phase::Dot, "554 5.7.1 no"), "failed 554"),
        (Fault::at(Phase::Dot, Act::Close), "unknown"),
    ];
    for (fault, expected) in faults {
        let (_first, one) = sink(Options { faults: vec![fault], ..Options::default() });
        let (second, two) = sink(Options::default());
        let hosts = vec![("mx1.test".to_owned(), one), ("mx2.test".to_owned(), two)];
        let mut bench = Bench::start(&hosts, settings_for(&hosts));
        assert_eq!(bench.deliver(&["a@b.test"]).word(), expected);
        assert_eq!(second.tally().connections, 0);
    }
}

#[test]
fn when_no_host_takes_it_each_was_tried_once_and_the_reason_names_them() {
    let busy = || sink(Options { faults: vec![Fault::say(Phase::Greeting, "421 4.3.2 busy")], ..Options::default() });
    let ((first, one), (second, two)) = (busy(), busy());
    let hosts = vec![("mx1.test".to_owned(), one), ("mx2.test".to_owned(), two)];
    let mut bench = Bench::start(&hosts, settings_for(&hosts));
    let ending = bench.deliver(&["a@b.test"]);
    let reason = ending.reason();
    assert!(reason.contains("mx1.test: greeting: 421 4.3.2 busy; mx2.test: greeting: 421"), "{reason}");
    assert_eq!((first.tally().connections, second.tally().connections), (1, 1));
}

#[test]
fn put_off_by_all_hosts_is_deferred_and_put_off_then_unreachable_too() {
    let (_first, one) =
        sink(Options { faults: vec![Fault::say(Phase::Mail, "451 4.3.0 later")], ..Options::default() });
    for fault in [Fault::say(Phase::Mail, "451 4.3.0 later"), Fault::say(Phase::Greeting, "421 busy")] {
        let (_second, two) = sink(Options { faults: vec![fault], ..Options::default() });
        let hosts = vec![("mx1.test".to_owned(), one), ("mx2.test".to_owned(), two)];
        let mut bench = Bench::start(&hosts, settings_for(&hosts));
        assert_eq!(bench.deliver(&["a@b.test"]).word(), "deferred 451");
    }
}

#[test]
fn a_failed_host_is_left_aside_and_long_content_is_not_begun_again_within_a_job() {
    let (_first, one) =
        sink(Options { faults: vec![Fault::say(Phase::Dot, "421 4.3.2 closing")], ..Options::default() });
    let (second, two) = sink(Options::default());
    let hosts = vec![("mx1.test".to_owned(), one), ("mx2.test".to_owned(), two)];
    let mut bench = Bench::start(&hosts, settings_for(&hosts));
    let content = b"0123456789\r\n".repeat(500_000);
    assert_eq!(bench.vault.deliver(&["a@b.test"], &content).word(), "broken off");
    assert_eq!(bench.vault.deliver(&["a@b.test"], &content).word(), "delivered 250");
    assert_eq!(second.next(PATIENCE).unwrap().content.len(), content.len());
    assert_eq!(bench.dials(), [0, 1]);
}

#[test]
fn rule_u9_rule_u10_a_session_that_ends_over_bad_recipients_is_the_messages_affair() {
    for pipelining in [true, false] {
        for (phase, after) in [(Phase::Rcpt, 3), (Phase::Data, 0), (Phase::Dot, 0)] {
            let fault = Fault { after, ..Fault::say(phase, "421 4.7.0 too many errors") };
            let refuse = vec![("unknown@".to_owned(), "550 5.1.1 no such user".to_owned())];
            let options = Options { keywords: keywords(pipelining), faults: vec![fault], refuse, ..Options::default() };
            let (mut bench, sink) = bench(options);
            let ending = bench.deliver(&["good@x.test", "unknown@x.test", "unknown@y.test", "fine@x.test"]);
            if phase == Phase::Rcpt {
                // It was at the last of them, so the first is tried without it.
                assert_eq!(sink.next(PATIENCE).unwrap().recipients, ["good@x.test"]);
                continue;
            }
            let expected = "deferred, failed 550, deferred";
            assert_eq!(ending.word(), expected, "{phase:?} pipelining {pipelining}: {ending:?}");
            nothing_arrives(&sink);
        }
    }
}

#[test]
fn rule_u14_rule_u10_a_host_that_refuses_some_and_then_leaves_leads_to_the_next() {
    let refuse = vec![("grey@".to_owned(), "450 4.2.0 greylisted".to_owned())];
    let faults = vec![Fault::at(Phase::Data, Act::Close)];
    let (first, one) = sink(Options { faults, refuse, ..Options::default() });
    let (second, two) = sink(Options::default());
    let hosts = vec![("mx1.test".to_owned(), one), ("mx2.test".to_owned(), two)];
    let mut bench = Bench::start(&hosts, settings_for(&hosts));
    let ending = bench.deliver(&["grey@b.test", "fine@b.test"]);
    assert_eq!(ending.word(), "delivered 250", "{ending:?}");
    assert_eq!(second.next(PATIENCE).unwrap().recipients, ["grey@b.test", "fine@b.test"]);
    nothing_arrives(&first);
}

/// What an upstream answers in that phase on its connections, in their order: on some it takes one message before.
fn denied(phase: Phase, at: &[(usize, usize)]) -> Options {
    let say = || Fault::say(phase, "554 5.7.1 Client host rejected: Access denied");
    let faults = at.iter().map(|(connection, after)| Fault { connection: Some(*connection), after: *after, ..say() });
    Options { faults: faults.collect(), ..Options::default() }
}

fn from(bench: &mut Bench, sender: &str) -> String {
    between(bench, sender, "a@b.test")
}

fn between(bench: &mut Bench, sender: &str, recipient: &str) -> String {
    let to = vec![Address::parse(recipient).unwrap().into()];
    bench.vault.sender = Address::parse(sender).unwrap();
    let job = bench.vault.offer_with(Manner::default(), to, 3);
    bench.vault.follow(job, b"x\r\n").word()
}

/// A relay that has forgotten us says to everybody what it says to one who may not send.
#[test]
fn rule_q15_a_policy_at_mail_bounces_nothing_before_it_is_known_to_be_against_one_sender() {
    let all: Vec<(usize, usize)> = [(0, 1)].into_iter().chain((1..20).map(|connection| (connection, 0))).collect();
    let (mut bench, _sink) = bench(denied(Phase::Mail, &all));
    assert_eq!(from(&mut bench, "good@gate.test"), "delivered 250");
    for sender in ["one@gate.test", "two@gate.test", "one@gate.test", "three@gate.test"] {
        let word = from(&mut bench, sender);
        assert!(["broken off", "route"].contains(&word.as_str()), "{sender}: {word}");
    }
}

#[test]
fn rule_q15_a_policy_at_mail_is_the_messages_fate_when_others_have_passed_beside_its_sender() {
    let (mut bench, _sink) = bench(denied(Phase::Mail, &[(0, 1), (1, 0), (2, 1), (3, 0)]));
    assert_eq!(from(&mut bench, "good@gate.test"), "delivered 250");
    assert_eq!(from(&mut bench, "bad@gate.test"), "broken off");
    assert_eq!(from(&mut bench, "good@gate.test"), "delivered 250");
    assert_eq!(from(&mut bench, "bad@gate.test"), "failed 554");
}

/// The same at RCPT, where Postfix says it.
#[test]
fn rule_q15_a_policy_at_rcpt_bounces_nothing_before_it_is_known_to_be_against_one_recipient() {
    let all: Vec<(usize, usize)> = [(0, 1)].into_iter().chain((1..20).map(|connection| (connection, 0))).collect();
    let (mut bench, _sink) = bench(denied(Phase::Rcpt, &all));
    let sender = "app@gate.test";
    assert_eq!(between(&mut bench, sender, "good@b.test"), "delivered 250");
    for recipient in ["one@b.test", "two@b.test", "one@b.test", "one@b.test", "three@b.test"] {
        let word = between(&mut bench, sender, recipient);
        assert!(["broken off", "route"].contains(&word.as_str()), "{recipient}: {word}");
    }
}

#[test]
fn rule_q15_a_policy_at_rcpt_is_the_messages_fate_when_others_have_passed_beside_its_recipient() {
    let (mut bench, _sink) = bench(denied(Phase::Rcpt, &[(0, 1), (1, 0), (2, 1), (3, 0)]));
    let sender = "app@gate.test";
    assert_eq!(between(&mut bench, sender, "good@b.test"), "delivered 250");
    assert_eq!(between(&mut bench, sender, "bad@b.test"), "broken off");
    assert_eq!(between(&mut bench, sender, "good@b.test"), "delivered 250");
    assert_eq!(between(&mut bench, sender, "bad@b.test"), "failed 554");
}

/// Who is taken shows that we are known there.
#[test]
fn rule_q15_a_policy_at_rcpt_against_some_of_a_message_is_theirs() {
    let refuse = vec![("bad@".to_owned(), "554 5.7.1 not him".to_owned())];
    let (mut bench, _sink) = bench(Options { refuse, ..Options::default() });
    let ending = bench.deliver(&["bad@b.test", "fine@b.test"]);
    let Ending::Settled(outcomes) = &ending else { panic!("{ending:?}") };
    assert!(
        matches!(outcomes[0].1, Outcome::Failed(_)) && matches!(outcomes[1].1, Outcome::Delivered(_)),
        "{ending:?}"
    );
}
