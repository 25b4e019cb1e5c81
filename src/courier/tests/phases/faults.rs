//! Faults at login, at STARTTLS, at a chunk and at RSET: stalls, ends, floods, and answers that are none.

use super::*;
use crate::courier::tests::protected::{certified, credential, login};

/// Nothing of it is waited for longer than this.
fn short() -> Patience {
    let short = Duration::from_millis(700);
    Patience { command: short, block: short, quit: short, handshake: short, ..Patience::default() }
}

fn flood() -> Act {
    Act::Say("250-x\r\n".repeat(10_000).into_bytes())
}

fn say(reply: &str) -> Act {
    Act::Say(format!("{reply}\r\n").into_bytes())
}

/// All that can go wrong without an answer of its own.
fn odd() -> Vec<Act> {
    vec![Act::Hang, Act::Close, Act::Reset, say("garbled"), flood(), say("421 4.3.2 closing")]
}

#[test]
fn rule_u10_rule_u13_whatever_happens_at_a_login_is_the_routes() {
    for act in odd().into_iter().chain([say("454 4.7.0 later"), say("354 what")]) {
        let faults = vec![Fault { connection: Some(0), ..Fault::at(Phase::Auth, act.clone()) }];
        let (sink, port) = sink(Options { faults, login: login(), ..Options::default() });
        let settings = Settings { login: credential("sesame"), patience: short(), ..settings_for(&one(port)) };
        let mut bench = Bench::start(&one(port), settings);
        let ending = bench.deliver(&["a@b.test"]);
        assert!(matches!(ending, Ending::RouteFailed(_)), "{act:?}: {ending:?}");
        assert!(!sink.tally().commands.iter().any(|line| line.starts_with("MAIL")), "{act:?}");
        assert_eq!(bench.deliver(&["a@b.test"]).word(), "delivered 250", "{act:?}: the courier lives on");
    }
}

#[test]
fn rule_u3_rule_u13_whatever_happens_at_starttls_is_the_routes_and_nothing_goes_out_in_clear() {
    let before = odd().into_iter().map(|act| (Phase::Starttls, act));
    let behind = [Act::Hang, Act::Close, say("250 ok")].into_iter().map(|act| (Phase::Handshake, act));
    for (phase, act) in before.chain(behind) {
        let (bundle, config) = certified(&["mx.test"]);
        let faults = vec![Fault { connection: Some(0), ..Fault::at(phase, act.clone()) }];
        let (sink, port) = sink(Options { tls: Some(config), faults, login: login(), ..Options::default() });
        let connector = Some(tls::connector(bundle.as_bytes()).unwrap());
        let settings = Settings { tls: TlsMode::Starttls, connector, patience: short(), ..settings_for(&one(port)) };
        let mut bench = Bench::start(&one(port), Settings { login: credential("sesame"), ..settings });
        let ending = bench.deliver(&["a@b.test"]);
        assert!(matches!(ending, Ending::RouteFailed(_)), "{phase:?} {act:?}: {ending:?}");
        let heard = sink.tally().commands;
        assert!(!heard.iter().any(|line| line == "AUTH" || line.starts_with("MAIL")), "{phase:?} {act:?}: {heard:?}");
        assert_eq!(bench.deliver(&["a@b.test"]).word(), "delivered 250", "{phase:?} {act:?}: the courier lives on");
    }
}

#[test]
fn rule_u10_rule_u13_a_chunk_that_meets_anything_but_its_answer_has_delivered_nothing() {
    let content = b"0123456789\r\n".repeat(20_000);
    for keywords in [&["PIPELINING", "CHUNKING"][..], &["CHUNKING"]] {
        for act in odd() {
            let keywords = keywords.iter().map(|word| (*word).to_owned()).collect();
            let faults = vec![Fault { connection: Some(0), ..Fault::at(Phase::Chunk, act.clone()) }];
            let (sink, port) = sink(Options { keywords, faults, ..Options::default() });
            let mut bench = Bench::start(&one(port), Settings { patience: short(), ..settings_for(&one(port)) });
            let ending = bench.vault.deliver(&["a@b.test"], &content);
            assert_eq!(ending.word(), "broken off", "{act:?}: {ending:?}");
            nothing_arrives(&sink);
            assert_eq!(bench.vault.deliver(&["a@b.test"], &content).word(), "delivered 250", "{act:?}");
            assert_eq!(sink.next(PATIENCE).unwrap().content.len(), content.len(), "{act:?}");
        }
    }
}

#[test]
fn rule_u11_whatever_happens_at_rset_what_was_answered_stands_and_that_session_serves_nobody_else() {
    for act in odd().into_iter().chain([say("500 5.5.1 what")]) {
        let refuse = vec![("no@".to_owned(), "550 5.1.1 unknown".to_owned())];
        let faults = vec![Fault::at(Phase::Rset, act.clone())];
        let (sink, port) = sink(Options { refuse, faults, ..Options::default() });
        let mut bench = Bench::start(&one(port), Settings { patience: short(), ..settings_for(&one(port)) });
        assert_eq!(bench.deliver(&["no@b.test"]).word(), "failed 550", "{act:?}");
        assert_eq!(bench.deliver(&["a@b.test"]).word(), "delivered 250", "{act:?}");
        assert_eq!(sink.tally().connections, 2, "{act:?}");
    }
}
