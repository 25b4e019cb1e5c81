//! What an upstream says of its limits (RFC 9422) is kept to.

use super::*;
use crate::sink::{Act, Fault, Phase};

fn limited(limits: &str, faults: Vec<Fault>) -> Options {
    Options { keywords: vec!["PIPELINING".into(), format!("LIMITS {limits}")], faults, ..Options::default() }
}

#[test]
fn a_message_for_more_than_an_upstream_takes_at_once_goes_out_in_parts() {
    let (mut bench, sink) = bench(limited("MAILMAX=3 RCPTMAX=2 RCPTDOMAINMAX=1", vec![]));
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
    // Three parts are all that a connection is good for.
    assert_eq!(bench.deliver(&["a@b.test"]).word(), "delivered 250");
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
    let (mut bench, _sink) = bench(limited("RCPTMAX=1", vec![]));
    let ending = bench.vault.deliver(&["a@b.test", "c@b.test"], &b"0123456789\r\n".repeat(20_000));
    assert_eq!(word(&ending), (1, 1, 1), "{ending:?}");
    let away = Fault { connection: Some(1), ..Fault::at(Phase::Greeting, Act::Close) };
    let (mut bench, _sink) = super::bench(limited("MAILMAX=1 RCPTMAX=1", vec![away]));
    let ending = bench.deliver(&["a@b.test", "c@b.test", "d@b.test"]);
    // That is the route's failure, and nobody's who has no outcome.
    assert!(matches!(ending, Ending::RouteFailed(_)), "{ending:?}");
    assert!(matches!(bench.vault.told[..], [(10, Outcome::Delivered(_))]), "{:?}", bench.vault.told);
}

#[test]
fn each_host_gets_as_many_as_it_takes_and_nobody_has_two_outcomes() {
    let deliver = |first: Options, second: &str, names: &[&str]| {
        let ((_one, one), (other, other_port)) = (sink(first), sink(limited(second, vec![])));
        let hosts = vec![("mx1.test".to_owned(), one), ("mx2.test".to_owned(), other_port)];
        let mut bench = Bench::start(&hosts, settings_for(&hosts));
        let ending = bench.deliver(names);
        let Ending::Settled(mut outcomes) = ending else { panic!("{ending:?}") };
        outcomes.sort_by_key(|(number, _)| *number);
        (
            outcomes
                .into_iter()
                .map(|(number, outcome)| (number, matches!(outcome, Outcome::Delivered(_))))
                .collect::<Vec<_>>(),
            other,
        )
    };
    let names = ["a@b.test", "c@b.test", "d@b.test"];
    // The first host has heard nothing of the message when the other is asked.
    let (outcomes, other) =
        deliver(limited("RCPTMAX=3", vec![Fault::say(Phase::Mail, "530 5.7.0 log in")]), "RCPTMAX=2", &names);
    assert_eq!(outcomes, [(10, true), (11, true), (12, true)]);
    assert_eq!(other.next(PATIENCE).unwrap().recipients, &names[..2]);
    assert_eq!(other.next(PATIENCE).unwrap().recipients, &names[2..]);
    // It has put off more than the other takes: that takes them in parts.
    let (outcomes, _other) =
        deliver(limited("RCPTMAX=3", vec![Fault::say(Phase::Dot, "451 4.3.0 later")]), "RCPTMAX=2", &names);
    assert_eq!(outcomes, [(10, true), (11, true), (12, true)]);
    // No more than that: the other takes over, and the third is next.
    let (outcomes, other) =
        deliver(limited("RCPTMAX=2", vec![Fault::say(Phase::Dot, "451 4.3.0 later")]), "RCPTMAX=2", &names);
    assert_eq!(outcomes, [(10, true), (11, true), (12, true)]);
    assert_eq!(other.next(PATIENCE).unwrap().recipients, &names[..2]);
}
