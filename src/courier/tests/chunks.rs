//! Content in chunks, to an upstream that offers them.

use super::*;
use crate::sink::{Act, Fault, Phase};

fn chunking(pipelining: bool, faults: Vec<Fault>) -> Options {
    let all = ["PIPELINING", "CHUNKING", "8BITMIME"];
    let keywords = all.iter().skip(usize::from(!pipelining)).map(|word| (*word).to_owned()).collect();
    Options { keywords, faults, ..Options::default() }
}

/// Three chunks and something.
fn long() -> Vec<u8> {
    b".a line of it, which begins with a dot\r\n".repeat(6000)
}

#[test]
fn rule_u7_chunks_carry_the_content_as_it_is_and_a_short_one_goes_out_at_once() {
    for pipelining in [true, false] {
        let (mut bench, sink) = bench(chunking(pipelining, vec![]));
        for content in [b".x\r\n.\r\n".to_vec(), long(), Vec::new(), b"no end".to_vec()] {
            assert_eq!(bench.vault.deliver(&["a@b.test"], &content).word(), "delivered 250");
            let received = sink.next(PATIENCE).unwrap();
            let ended = if content.ends_with(b"end") { [&content[..], b"\r\n"].concat() } else { content };
            assert!(received.content == ended, "{} octets for {}", received.content.len(), ended.len());
        }
        let tally = sink.tally();
        assert_eq!(tally.connections, 1);
        assert!(tally.commands.contains(&"BDAT 7 LAST".to_owned()), "{:?}", tally.commands);
        assert!(!tally.commands.contains(&"DATA".to_owned()));
        let chunks = tally.commands.iter().filter(|line| line.starts_with("BDAT") && !line.ends_with("LAST"));
        assert_eq!(chunks.count(), 3);
    }
}

#[test]
fn rule_u10_rule_u13_every_phase_of_chunks_has_the_outcome_of_the_table() {
    let say = Fault::say;
    let table = [
        (say(Phase::Chunk, "452 4.3.1 disk full"), "deferred 452"),
        (say(Phase::Chunk, "552 5.3.4 too big"), "failed 552"),
        (say(Phase::Chunk, "421 4.3.2 closing"), "broken off"),
        (say(Phase::Chunk, "354 what"), "broken off"),
        (Fault::at(Phase::Chunk, Act::Close), "broken off"),
        (Fault::at(Phase::Chunk, Act::Hang), "broken off"),
        (say(Phase::Dot, "451 4.3.0 later"), "deferred 451"),
        (say(Phase::Dot, "554 5.6.0 spam"), "failed 554"),
        (say(Phase::Dot, "530 5.7.0 log in"), "broken off"),
        (say(Phase::Dot, "535 5.7.8 who"), "broken off"),
        (say(Phase::Dot, "454 4.7.0 later"), "broken off"),
        (say(Phase::Dot, "503 5.5.1 not now"), "broken off"),
        (say(Phase::Dot, "502 5.5.1 unknown"), "broken off"),
        (say(Phase::Chunk, "530 5.7.0 log in"), "broken off"),
        (say(Phase::Chunk, "500 5.5.2 unknown"), "broken off"),
        (say(Phase::Dot, "354 what"), "unknown"),
        (Fault::at(Phase::Dot, Act::Close), "unknown"),
        (Fault::at(Phase::Dot, Act::Hang), "unknown"),
        (say(Phase::Rcpt, "550 5.1.1 unknown"), "failed 550"),
    ];
    for (fault, expected) in table {
        let (sink, port) = sink(chunking(true, vec![fault.clone()]));
        let second = Duration::from_secs(1);
        let patience = Patience { block: second, dot: second, ..Patience::default() };
        let mut bench = Bench::start(&one(port), Settings { patience, ..settings_for(&one(port)) });
        let ending = bench.vault.deliver(&["a@b.test"], &long());
        assert_eq!(ending.word(), expected, "{fault:?}: {ending:?}");
        nothing_arrives(&sink);
    }
}

#[test]
fn rule_u7_who_turns_out_not_to_know_chunks_is_sent_data_from_then_on() {
    for phase in [Phase::Chunk, Phase::Dot] {
        let once = Fault { connection: Some(0), ..Fault::say(phase, "500 5.5.2 unknown command") };
        let (mut bench, sink) = bench(chunking(true, vec![once]));
        assert_eq!(bench.vault.deliver(&["a@b.test"], &long()).word(), "broken off");
        assert_eq!(bench.vault.deliver(&["a@b.test"], &long()).word(), "delivered 250");
        assert!(sink.next(PATIENCE).is_some_and(|received| received.content == long()));
        assert!(sink.tally().commands.contains(&"DATA".to_owned()), "{:?}", sink.tally().commands);
    }
}

#[test]
fn rule_u7_content_that_must_not_go_out_ends_between_chunks_and_the_session_serves_the_next() {
    let (mut bench, sink) = bench(chunking(true, vec![]));
    for content in [b"a\nb\r\n".to_vec(), [&long()[..], b"a\rb\r\n"].concat(), [&long()[..], b"a\r"].concat()] {
        assert_eq!(bench.vault.deliver(&["a@b.test"], &content).word(), "unsendable");
        nothing_arrives(&sink);
    }
    assert_eq!(bench.deliver(&["a@b.test"]).word(), "delivered 250");
    let tally = sink.tally();
    assert_eq!((tally.connections, tally.commands.iter().filter(|line| *line == "RSET").count()), (1, 4));
    assert_eq!(tally.commands.iter().filter(|line| line.ends_with("LAST")).count(), 1);
}
