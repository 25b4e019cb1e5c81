//! Refusals that are the message's own, and those that a relay which is set up wrongly says to every message.

use super::*;
use crate::mail::dsn::Report;

/// The outcome of that reply, for an upstream that offers this.
fn word(offers: &[&str], phase: Phase, reply: &str) -> String {
    let keywords = offers.iter().map(|word| (*word).to_owned()).collect();
    let (mut bench, sink) = bench(Options { keywords, faults: vec![Fault::say(phase, reply)], ..Options::default() });
    let ending = bench.deliver(&["a@b.test", "c@d.test"]);
    nothing_arrives(&sink);
    ending.word()
}

const FORMS: [&[&str]; 3] = [&["PIPELINING"], &["X-NONE"], &["PIPELINING", "CHUNKING"]];

#[test]
fn rule_q15_a_5yz_at_mail_is_the_messages_fate_only_where_it_speaks_of_this_message() {
    let table = [
        ("554 5.4.0 our relay is misconfigured", "route"),
        ("554 no", "route"),
        ("501 what", "route"),
        ("501 5.5.4 what", "route"),
        ("555 what", "route"),
        ("555 5.5.4 what", "route"),
        ("550 5.1.0 odd", "route"),
        ("550 5.3.0 not today", "route"),
        ("554 5.3.5 misconfigured", "route"),
        ("550 5.5.0 what", "route"),
        ("550 5.7.0 log in", "route"),
        ("550 5.7.3 log in", "route"),
        ("550 5.7.8 who", "route"),
        ("553 5.1.7 no such sender", "failed 553"),
        ("550 5.1.8 no such domain", "failed 550"),
        ("552 5.2.3 too long", "failed 552"),
        ("552 5.3.4 too big", "failed 552"),
        ("550 5.6.0 no", "failed 550"),
        ("554 5.7.1 not you", "route"),
        ("550 not you", "route"),
        ("552 too big", "failed 552"),
        ("553 not you", "failed 553"),
    ];
    for offers in FORMS {
        for (reply, expected) in table {
            assert_eq!(word(offers, Phase::Mail, reply), expected, "{offers:?} {reply}");
        }
    }
}

/// The same for a message with a parameter of its own, which the upstream takes.
fn tagged(reply: &str) -> String {
    let keywords = ["PIPELINING", "DSN"].map(str::to_owned).to_vec();
    let faults = vec![Fault::say(Phase::Mail, reply)];
    let (mut bench, sink) = bench(Options { keywords, faults, ..Options::default() });
    let report = Report { ret: None, envid: "QQ".to_owned().try_into().ok() };
    let recipient = Address::parse("a@b.test").unwrap().into();
    let job = bench.vault.offer_with(Manner { report, ..Manner::default() }, vec![recipient], 3);
    let word = bench.vault.follow(job, b"x\r\n").word();
    nothing_arrives(&sink);
    word
}

#[test]
fn rule_q15_a_parameter_that_is_refused_is_the_messages_where_not_all_have_one_and_the_routes_else() {
    let table = [
        ("555 what", "failed 555"),
        ("555 5.5.4 unsupported option: ENVID", "failed 555"),
        ("501 5.5.4 bad ENVID parameter", "failed 501"),
        // Said of senders and logins, too.
        ("501 what", "route"),
        ("501 5.5.2 what", "route"),
        ("550 5.5.4 what", "route"),
    ];
    for (reply, expected) in table {
        assert_eq!(tagged(reply), expected, "{reply}");
    }
}

#[test]
fn rule_q15_what_a_relay_says_to_one_sender_alone_is_that_ones_and_bounces_nothing() {
    let misconfigured = |connection| Fault {
        connection: Some(connection),
        ..Fault::say(Phase::Mail, "554 5.4.0 our relay is misconfigured")
    };
    // Others pass: it waits by itself.
    let (_sink, port) = sink(Options { faults: vec![misconfigured(1)], ..Options::default() });
    let mut bench = Bench::start(&one(port), Settings { messages: 1, ..settings_for(&one(port)) });
    let words: Vec<String> = (0..3).map(|_| bench.deliver(&["a@b.test"]).word()).collect();
    assert_eq!(words, ["delivered 250", "broken off", "delivered 250"]);
    // Nobody passes: it is the route's, and of one who has it twice his.
    let (_sink, port) = sink(Options { faults: vec![misconfigured(0), misconfigured(1)], ..Options::default() });
    let mut bench = Bench::start(&one(port), settings_for(&one(port)));
    let words: Vec<String> = (0..3).map(|_| bench.deliver(&["a@b.test"]).word()).collect();
    assert_eq!(words, ["route", "broken off", "delivered 250"]);
}

#[test]
fn rule_q15_routing_and_protocol_are_no_messages_fate_from_rcpt_on() {
    let table = [
        (Phase::Rcpt, "550 5.4.4 no route to it", "deferred 550"),
        (Phase::Rcpt, "554 5.5.0 what", "deferred 554"),
        (Phase::Rcpt, "550 5.4.1 Recipient address rejected: Access denied", "failed 550"),
        (Phase::Rcpt, "554 5.3.0 no", "failed 554"),
        (Phase::Rcpt, "550 5.7.1 no", "route"),
        (Phase::Rcpt, "550 no", "failed 550"),
        (Phase::Dot, "554 5.4.6 a loop", "deferred 554"),
        (Phase::Dot, "554 5.5.0 what", "deferred 554"),
        (Phase::Dot, "554 5.3.0 no", "failed 554"),
        (Phase::Dot, "554 5.6.0 spam", "failed 554"),
        (Phase::Dot, "554 no", "failed 554"),
    ];
    let data = [(Phase::Data, "554 5.4.0 no route", "deferred 554"), (Phase::Data, "554 5.7.1 no", "failed 554")];
    for offers in FORMS {
        let has_data = !offers.contains(&"CHUNKING");
        for (phase, reply, expected) in table.into_iter().chain(data.into_iter().filter(|_| has_data)) {
            assert_eq!(word(offers, phase, reply), expected, "{offers:?} {phase:?} {reply}");
        }
    }
}

#[test]
fn rule_q15_put_off_for_routing_another_host_is_asked_once() {
    let (_first, one) =
        sink(Options { faults: vec![Fault::say(Phase::Dot, "554 5.4.0 no route")], ..Options::default() });
    let (second, two) = sink(Options::default());
    let hosts = vec![("mx1.test".to_owned(), one), ("mx2.test".to_owned(), two)];
    let mut bench = Bench::start(&hosts, settings_for(&hosts));
    assert_eq!(bench.deliver(&["a@b.test"]).word(), "delivered 250");
    assert!(second.next(PATIENCE).is_some());
}
