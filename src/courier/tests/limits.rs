//! What an upstream says of its limits (RFC 9422) is kept to.

use super::*;
use crate::sink::{Act, Fault, Phase};

fn limited(limits: &str, faults: Vec<Fault>) -> Options {
    Options { keywords: vec!["PIPELINING".into(), format!("LIMITS {limits}")], faults, ..Options::default() }
}

/// A bench whose courier has met the upstream.
fn acquainted(options: Options) -> (Bench, Sink) {
    let (mut bench, sink) = bench(options);
    assert_eq!(bench.deliver(&["first@b.test"]).word(), "delivered 250");
    assert!(sink.next(PATIENCE).is_some());
    (bench, sink)
}

#[test]
fn a_message_for_more_than_an_upstream_takes_at_once_goes_out_in_parts() {
    let (mut bench, sink) = acquainted(limited("MAILMAX=3 RCPTMAX=2 RCPTDOMAINMAX=1", vec![]));
    let ending = bench.deliver(&["a@b.test", "c@b.test", "d@b.test", "e@f.test", "g@f.test"]);
    assert_eq!(ending.word(), "delivered 250", "{ending:?}");
    let Ending::Settled(mut outcomes) = ending else { panic!() };
    outcomes.sort_by_key(|(number, _)| *number);
    assert_eq!(outcomes.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [10, 11, 12, 13, 14]);
    for expected in [&["a@b.test", "c@b.test"][..], &["d@b.test"], &["e@f.test", "g@f.test"]] {
        let received = sink.next(PATIENCE).unwrap();
        assert_eq!(received.recipients, expected);
        assert_eq!(received.content, b"Subject: test\r\n\r\nhello\r\n");
    }
    // Three messages were all that the first connection was good for.
    assert_eq!(sink.tally().connections, 2);
    assert_eq!(bench.dials(), [0, 0]);
}

#[test]
fn who_is_too_many_waits_when_the_content_is_gone_or_the_upstream_is() {
    let word = |ending: &Ending| match ending {
        Ending::Settled(outcomes) => {
            let is =
                |delivered| outcomes.iter().filter(|(_, o)| matches!(o, Outcome::Delivered(_)) == delivered).count();
            let deferred = outcomes.iter().filter(|(_, o)| matches!(o, Outcome::Deferred(_))).count();
            (is(true), is(false), deferred)
        }
        other => panic!("{other:?}"),
    };
    let (mut bench, _sink) = acquainted(limited("RCPTMAX=1", vec![]));
    let ending = bench.vault.deliver(&["a@b.test", "c@b.test"], &b"0123456789\r\n".repeat(20_000));
    assert_eq!(word(&ending), (1, 1, 1), "{ending:?}");
    let away = Fault { connection: Some(1), ..Fault::at(Phase::Greeting, Act::Close) };
    let (mut bench, _sink) = acquainted(limited("MAILMAX=2 RCPTMAX=1", vec![away]));
    let ending = bench.deliver(&["a@b.test", "c@b.test", "d@b.test"]);
    // That is the route's failure, and nobody's who has no outcome.
    assert!(matches!(ending, Ending::RouteFailed(_)), "{ending:?}");
    assert!(matches!(bench.vault.told[..], [(10, Outcome::Delivered(_))]), "{:?}", bench.vault.told);
}
