//! Connections kept for the next message, and left when they have done enough.

use super::*;
use crate::sink::{Act, Fault, Phase};

#[test]
fn rule_u11_messages_share_a_connection_and_it_is_left_politely_when_none_comes() {
    let (sink, port) = sink(Options::default());
    let patience = Patience { idle: Duration::from_millis(300), ..Patience::default() };
    let mut bench = Bench::start(&one(port), Settings { patience, ..settings_for(&one(port)) });
    for _ in 0..5 {
        assert_eq!(bench.deliver(&["a@b.test"]).word(), "delivered 250");
    }
    assert_eq!(sink.tally().connections, 1);
    assert_eq!(sink.tally().commands.iter().filter(|command| command.starts_with("EHLO")).count(), 1);
    eventually("QUIT is said", || sink.tally().commands.last().is_some_and(|last| last == "QUIT"));
    assert_eq!(bench.deliver(&["a@b.test"]).word(), "delivered 250");
    assert_eq!(sink.tally().connections, 2);
}

#[test]
fn rule_u11_a_connection_is_left_when_it_is_too_old_or_has_carried_what_it_may() {
    let young = Patience { age: Duration::ZERO, ..Patience::default() };
    for (messages, patience) in [(1, Patience::default()), (100, young)] {
        let (sink, port) = sink(Options::default());
        let mut bench = Bench::start(&one(port), Settings { messages, patience, ..settings_for(&one(port)) });
        for _ in 0..3 {
            assert_eq!(bench.deliver(&["a@b.test"]).word(), "delivered 250");
        }
        assert_eq!(sink.tally().connections, 3);
        eventually("QUIT is said on each", || {
            sink.tally().commands.iter().filter(|command| *command == "QUIT").count() == 3
        });
    }
}

#[test]
fn rule_u11_a_connection_carries_a_hundred_messages_and_no_more() {
    let (mut bench, sink) = bench(Options::default());
    for _ in 0..101 {
        assert_eq!(bench.deliver(&["a@b.test"]).word(), "delivered 250");
    }
    assert_eq!(sink.tally().connections, 2);
}

#[test]
fn rule_u11_a_kept_connection_that_was_closed_costs_one_silent_try_on_a_fresh_one() {
    let closings = [
        Fault::at(Phase::Mail, Act::Close),
        Fault::at(Phase::Mail, Act::Reset),
        Fault::say(Phase::Mail, "421 4.4.2 idle for too long"),
        Fault::at(Phase::Mail, Act::Say(b"\x80\r\n".to_vec())),
    ];
    for closing in closings {
        let fault = Fault { connection: Some(0), after: 1, ..closing };
        let (mut bench, sink) = bench(Options { faults: vec![fault], ..Options::default() });
        for _ in 0..2 {
            assert_eq!(bench.deliver(&["a@b.test"]).word(), "delivered 250");
            assert!(sink.next(PATIENCE).is_some());
        }
        assert_eq!(sink.tally().connections, 2);
        assert_eq!(bench.dials(), [0, 0]);
        nothing_arrives(&sink);
    }
}

#[test]
fn rule_u11_after_mail_was_answered_a_kept_connection_has_no_second_try() {
    let fault = Fault { after: 1, ..Fault::at(Phase::Rcpt, Act::Close) };
    let (mut bench, sink) = bench(Options { faults: vec![fault], ..Options::default() });
    assert_eq!(bench.deliver(&["a@b.test"]).word(), "delivered 250");
    // The session's host counts as tried, and there is no other.
    assert_eq!(bench.deliver(&["a@b.test"]).word(), "broken off");
    assert_eq!(sink.tally().connections, 1);
}

#[test]
fn rule_u11_a_refused_message_is_followed_by_rset_and_the_connection_serves_the_next() {
    let refuse = vec![("unknown@".to_owned(), "550 5.1.1 unknown".to_owned())];
    let (mut bench, sink) = bench(Options { refuse, ..Options::default() });
    assert_eq!(bench.deliver(&["unknown@b.test"]).word(), "failed 550");
    assert_eq!(bench.deliver(&["a@b.test"]).word(), "delivered 250");
    assert_eq!(sink.tally().connections, 1);
    assert!(sink.tally().commands.contains(&"RSET".to_owned()));
}

#[test]
fn several_slots_deliver_side_by_side_over_no_more_connections_than_configured() {
    let (sink, port) = sink(Options::default());
    let mut bench = Bench::start(&one(port), Settings { connections: 4, ..settings_for(&one(port)) });
    assert_eq!(bench.vault.slots(), 4);
    for _ in 0..5 {
        let jobs: Vec<Job> = (0..4).map(|_| bench.vault.offer(&["a@b.test"], 3)).collect();
        let mut left = jobs.len();
        while left > 0 {
            match bench.vault.hear().unwrap() {
                Progress::Want { job, .. } => {
                    bench.vault.say(&Offer::Content { job, octets: Octets(b"x\r\n".to_vec()) });
                }
                Progress::Ending { job, turn, .. } => bench.vault.say(&Offer::End { job, turn }),
                Progress::Recipient { outcome: Outcome::Delivered(_), .. } => {}
                Progress::Settled { job } if jobs.contains(&job) => left -= 1,
                other => panic!("{other:?}"),
            }
        }
    }
    for _ in 0..20 {
        assert_eq!(sink.next(PATIENCE).unwrap().content, b"x\r\n");
    }
    assert!((1..=4).contains(&sink.tally().connections));
}

#[test]
fn rule_u11_who_counts_by_session_is_asked_anew_on_a_fresh_one_and_nobody_is_put_off() {
    for keywords in [&["PIPELINING"][..], &["X-NONE"], &["PIPELINING", "CHUNKING"]] {
        for (phase, reply) in [
            (Phase::Rcpt, "452 4.5.3 too many recipients in this session"),
            (Phase::Mail, "451 4.7.1 too many messages in this session"),
            (Phase::Mail, "554 5.5.0 too many messages in this session"),
        ] {
            let keywords = keywords.iter().map(|word| (*word).to_owned()).collect();
            let fault = Fault { after: 5, ..Fault::say(phase, reply) };
            let (mut bench, sink) = bench(Options { keywords, faults: vec![fault], ..Options::default() });
            for _ in 0..12 {
                assert_eq!(bench.deliver(&["a@b.test"]).word(), "delivered 250", "{reply}");
            }
            let tally = sink.tally();
            assert_eq!(tally.connections, 3, "{reply}");
            assert_eq!(tally.commands.iter().filter(|line| *line == "QUIT").count(), 2, "{reply}");
        }
    }
}

#[test]
fn rule_u11_what_is_put_off_on_a_fresh_session_too_is_put_off_and_no_session_is_begun_for_long() {
    // What is said of a mailbox is said of it anywhere: that costs no login.
    for (reply, connections) in [("452 4.5.3 too many", [1, 2, 3]), ("450 4.2.1 later", [1, 1, 1])] {
        let (mut bench, sink) = bench(Options { faults: vec![Fault::say(Phase::Rcpt, reply)], ..Options::default() });
        for connections in connections {
            assert_eq!(bench.deliver(&["a@b.test"]).word(), format!("deferred {}", &reply[..3]));
            assert_eq!(sink.tally().connections, connections, "{reply}");
        }
    }
    // What was refused is counted as what was carried is.
    let refuse = vec![("no@".to_owned(), "550 5.1.1 unknown".to_owned())];
    let (sink, port) = self::sink(Options { refuse, ..Options::default() });
    let mut bench = Bench::start(&one(port), Settings { messages: 2, ..settings_for(&one(port)) });
    for _ in 0..5 {
        assert_eq!(bench.deliver(&["no@b.test"]).word(), "failed 550");
    }
    assert_eq!(sink.tally().connections, 3);
}
