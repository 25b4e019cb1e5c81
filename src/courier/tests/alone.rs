//! What an upstream has against one sender or one recipient is no other's affair.

use std::collections::BTreeMap;

use super::*;
use crate::sink::{Act, Fault, Phase};

/// What became of each, by place.
fn each(ending: &Ending) -> BTreeMap<u32, &'static str> {
    let Ending::Settled(outcomes) = ending else { panic!("{ending:?}") };
    let word = |outcome: &Outcome| match outcome {
        Outcome::Delivered(_) => "delivered",
        Outcome::Deferred(said) if said.code == Some(421) => "deferred by 421",
        Outcome::Deferred(_) => "deferred",
        Outcome::Failed(_) | Outcome::Unsendable(_) => "failed",
        Outcome::Unknown(_) => "unknown",
    };
    outcomes.iter().map(|(number, outcome)| (number - 10, word(outcome))).collect()
}

fn options(pipelining: bool) -> Options {
    let keywords = if pipelining { vec!["PIPELINING".to_owned()] } else { vec!["X-NONE".to_owned()] };
    let refuse = [("bad", "421 4.7.0 not to this one"), ("nobody", "550 5.1.1 unknown")];
    let refuse = refuse.map(|(which, reply)| (which.to_owned(), reply.to_owned())).to_vec();
    Options { keywords, refuse, ..Options::default() }
}

#[test]
fn rule_u10_a_recipient_that_ends_sessions_keeps_no_other_of_its_message_from_being_tried() {
    let cases: [(&[&str], &[&str]); 6] = [
        (&["good1@y.test", "good2@y.test", "bad@y.test"], &["delivered", "delivered", "deferred by 421"]),
        (&["bad@y.test", "good1@y.test", "good2@y.test"], &["deferred by 421", "delivered", "delivered"]),
        (&["good1@y.test", "bad@y.test", "good2@y.test"], &["delivered", "deferred by 421", "delivered"]),
        (&["nobody@y.test", "bad@y.test", "good2@y.test"], &["failed", "deferred by 421", "delivered"]),
        (
            &["bad1@y.test", "bad2@y.test", "bad3@y.test", "bad4@y.test", "good@y.test"],
            &["deferred by 421", "deferred", "deferred", "deferred by 421", "delivered"],
        ),
        (
            &["a@y.test", "bad1@y.test", "b@y.test", "bad2@y.test", "c@y.test", "bad3@y.test", "d@y.test"],
            &[
                "delivered",
                "deferred by 421",
                "delivered",
                "deferred by 421",
                "delivered",
                "deferred by 421",
                "delivered",
            ],
        ),
    ];
    for pipelining in [true, false] {
        for (recipients, expected) in cases {
            let (mut bench, sink) = bench(options(pipelining));
            let ending = bench.deliver(recipients);
            let became: Vec<&str> = each(&ending).into_values().collect();
            let alike = became.iter().zip(expected).all(|(one, other)| one.starts_with(other));
            assert!(alike && became.len() == expected.len(), "{recipients:?}: {became:?}");
            let mut arrived: Vec<String> = Vec::new();
            while let Some(message) = sink.next(Duration::from_millis(50)) {
                arrived.extend(message.recipients);
            }
            arrived.sort();
            let mut wanted: Vec<_> =
                recipients.iter().zip(expected).filter(|(_, word)| **word == "delivered").collect();
            wanted.sort();
            assert!(arrived.iter().eq(wanted.iter().map(|(to, _)| **to)), "each once: {arrived:?}");
        }
    }
}

#[test]
fn rule_u10_an_upstream_that_ends_every_session_at_rcpt_is_left_alone_after_a_few() {
    let faults = vec![Fault::say(Phase::Rcpt, "421 4.3.2 too busy")];
    let recipients: Vec<String> = (0..40).map(|n| format!("r{n}@y.test")).collect();
    let recipients: Vec<&str> = recipients.iter().map(String::as_str).collect();
    let (mut bench, sink) = bench(Options { faults, ..options(true) });
    assert_eq!(bench.deliver(&recipients).word(), "broken off");
    assert_eq!(sink.tally().connections, 3);
}

#[test]
fn rule_q1_a_530_to_one_sender_behind_messages_that_passed_is_that_ones_and_of_the_first_the_routes() {
    for reply in ["530 5.7.57 not authenticated to send as this", "454 4.7.0 later", "535 5.7.8 who"] {
        let fault = Fault { connection: Some(0), after: 1, ..Fault::say(Phase::Mail, reply) };
        let (mut bench, sink) = bench(Options { faults: vec![fault], ..options(true) });
        assert_eq!(bench.deliver(&["a@y.test"]).word(), "delivered 250");
        let ending = bench.deliver(&["a@y.test"]);
        assert_eq!(ending.word(), "broken off", "{reply}");
        assert!(ending.reason().contains(&reply[..3]), "{ending:?}");
        assert_eq!(bench.deliver(&["a@y.test"]).word(), "delivered 250");
        assert_eq!(sink.tally().connections, 2);
    }
    let (mut bench, _sink) =
        bench(Options { faults: vec![Fault::say(Phase::Mail, "530 5.7.0 log in")], ..options(true) });
    assert_eq!(bench.deliver(&["a@y.test"]).word(), "route");
    assert_eq!(bench.deliver(&["a@y.test"]).word(), "broken off", "the same sender once more: others come first");
}

#[test]
fn rule_q1_after_the_route_has_failed_a_530_is_its_again() {
    let faults = vec![
        Fault { connection: Some(1), ..Fault::say(Phase::Greeting, "554 5.3.2 not now") },
        Fault { connection: Some(2), ..Fault::say(Phase::Mail, "530 5.7.0 log in") },
        Fault { connection: Some(0), after: 1, ..Fault::at(Phase::Mail, Act::Close) },
    ];
    let (mut bench, _sink) = bench(Options { faults, ..options(true) });
    let words: Vec<String> = (0..3).map(|_| bench.deliver(&["a@y.test"]).word()).collect();
    assert_eq!(words, ["delivered 250", "route", "route"]);
}
