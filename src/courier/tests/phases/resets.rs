//! Connections that end by RST, in every phase: the outcome is that of the table in `smtp/transaction.rs`, as for any other end.

use super::*;
use crate::courier::tests::protected::{certified, credential, login, protected};

fn keywords(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn reset(phase: Phase) -> Vec<Fault> {
    vec![Fault::at(phase, Act::Reset)]
}

/// More than a window takes, so that it can't be on its way before the connection is lost.
fn long() -> Vec<u8> {
    b"0123456789\r\n".repeat(1_000_000)
}

/// What is told of the end.
fn words(ending: &Ending) -> &str {
    match ending {
        Ending::Settled(_) => &ending.outcome().said().text,
        other => other.reason(),
    }
}

#[test]
fn rule_u10_rule_u13_a_reset_has_the_outcome_of_the_table_in_every_phase() {
    let table = [
        (Phase::Connect, "route"),
        (Phase::Greeting, "route"),
        (Phase::Ehlo, "route"),
        (Phase::Auth, "route"),
        (Phase::Mail, "broken off"),
        (Phase::Rcpt, "broken off"),
        (Phase::Data, "broken off"),
        (Phase::Content, "broken off"),
        (Phase::Dot, "unknown"),
    ];
    for offers in [&["PIPELINING", "8BITMIME"][..], &["8BITMIME"]] {
        for (phase, expected) in table {
            let options =
                Options { keywords: keywords(offers), faults: reset(phase), login: login(), ..Options::default() };
            let (sink, port) = sink(options);
            let mut bench =
                Bench::start(&one(port), Settings { login: credential("sesame"), ..settings_for(&one(port)) });
            let content = if phase == Phase::Content { long() } else { b"Subject: x\r\n\r\nx\r\n".to_vec() };
            let ending = bench.vault.deliver(&["a@b.test", "c@d.test"], &content);
            assert_eq!(ending.word(), expected, "{phase:?} {offers:?}: {ending:?}");
            // It is no polite end that was tested. What is being written may meet it as a broken pipe.
            let words = words(&ending);
            assert!(words.contains("reset by peer") || phase == Phase::Content && words.contains("pipe"), "{words}");
            nothing_arrives(&sink);
        }
    }
}

#[test]
fn rule_u10_rule_u13_a_reset_between_chunks_and_behind_the_last_one_has_the_outcome_of_the_table() {
    for offers in [&["PIPELINING", "CHUNKING", "8BITMIME"][..], &["CHUNKING", "8BITMIME"]] {
        for (phase, expected) in [(Phase::Chunk, "broken off"), (Phase::Dot, "unknown")] {
            let (mut bench, sink) =
                bench(Options { keywords: keywords(offers), faults: reset(phase), ..Options::default() });
            let ending = bench.vault.deliver(&["a@b.test"], &long());
            assert_eq!(ending.word(), expected, "{phase:?} {offers:?}: {ending:?}");
            nothing_arrives(&sink);
        }
    }
}

#[test]
fn rule_u3_rule_u10_a_reset_before_or_within_tls_is_the_routes_and_nothing_is_said_in_clear() {
    let table = [
        (TlsMode::Starttls, Phase::Starttls),
        (TlsMode::Starttls, Phase::Handshake),
        (TlsMode::Starttls, Phase::Auth),
        (TlsMode::Implicit, Phase::Connect),
        (TlsMode::Implicit, Phase::Handshake),
        (TlsMode::Implicit, Phase::Ehlo),
    ];
    for (tls, phase) in table {
        let (bundle, config) = certified(&["mx.test"]);
        let implicit = tls == TlsMode::Implicit;
        let faults = reset(phase);
        let (sink, port) = sink(Options { tls: Some(config), implicit, login: login(), faults, ..Options::default() });
        let mut bench = protected(port, tls, &bundle, Some("sesame"));
        let ending = bench.deliver(&["a@b.test"]);
        assert_eq!(ending.word(), "route", "{tls:?} {phase:?}: {ending:?}");
        assert!(ending.reason().contains("reset by peer"), "{tls:?} {phase:?}: {ending:?}");
        let tally = sink.tally();
        assert_eq!(tally.connections, 1, "it is not tried anew in clear");
        assert!(!tally.commands.iter().any(|line| line.starts_with("MAIL")), "{:?}", tally.commands);
        assert_eq!(tally.commands.iter().any(|line| line == "AUTH"), phase == Phase::Auth, "{:?}", tally.commands);
    }
}

#[test]
fn rule_u11_what_was_answered_stands_when_a_reset_follows_and_the_next_message_has_a_connection_of_its_own() {
    // At RSET, behind a refusal.
    let refuse = vec![("no@".to_owned(), "550 5.1.1 unknown".to_owned())];
    let (mut bench, sink) = bench(Options { faults: reset(Phase::Rset), refuse, ..Options::default() });
    assert_eq!(bench.deliver(&["no@b.test"]).word(), "failed 550");
    assert_eq!(bench.deliver(&["a@b.test"]).word(), "delivered 250");
    assert_eq!(sink.tally().connections, 2);
    assert!(sink.next(PATIENCE).is_some());
    nothing_arrives(&sink);

    // At QUIT, behind a delivery.
    let (sink, port) = self::sink(Options { faults: reset(Phase::Quit), ..Options::default() });
    let mut bench = Bench::start(&one(port), Settings { messages: 1, ..settings_for(&one(port)) });
    for round in 1..=2 {
        assert_eq!(bench.deliver(&["a@b.test"]).word(), "delivered 250");
        assert!(sink.next(PATIENCE).is_some());
        eventually("it is left", || sink.tally().commands.iter().filter(|line| *line == "QUIT").count() == round);
    }
    assert_eq!(sink.tally().connections, 2);
    nothing_arrives(&sink);
}

#[test]
fn rule_u14_a_reset_before_the_dot_leads_to_the_next_host_and_one_behind_it_does_not() {
    let before = [Phase::Connect, Phase::Greeting, Phase::Ehlo, Phase::Mail, Phase::Rcpt, Phase::Data];
    for phase in before.into_iter().chain([Phase::Dot]) {
        let (first, one) = sink(Options { faults: reset(phase), ..Options::default() });
        let (second, two) = sink(Options::default());
        let hosts = vec![("mx1.test".to_owned(), one), ("mx2.test".to_owned(), two)];
        let mut bench = Bench::start(&hosts, settings_for(&hosts));
        let ending = bench.deliver(&["a@b.test"]);
        nothing_arrives(&first);
        if phase == Phase::Dot {
            assert_eq!((ending.word().as_str(), second.tally().connections), ("unknown", 0));
            continue;
        }
        assert_eq!(ending.word(), "delivered 250", "{phase:?}: {ending:?}");
        assert!(second.next(PATIENCE).is_some());
        nothing_arrives(&second);
    }
}
