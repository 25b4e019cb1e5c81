//! What the upstream is told beside addresses, and what it is not told.

use super::protected::certified;
use super::*;
use crate::mail::dsn::{Notify, Report, Ret, Wish};
use crate::mail::envelope::Utf8;
use crate::sink::{Fault, Phase};

fn offering(keywords: &[&str]) -> Options {
    Options { keywords: keywords.iter().map(|word| (*word).to_owned()).collect(), ..Options::default() }
}

/// A recipient, and the occasions on which its sender is to be told.
fn addressee(text: &str, notify: &str, orcpt: &str) -> Addressee {
    let (notify, orcpt) = (Some(Notify::parse(notify).unwrap()), Some(orcpt.to_owned().try_into().unwrap()));
    Addressee { address: Address::parse(text).unwrap(), wish: Wish { notify, orcpt } }
}

fn commands(sink: &Sink) -> Vec<String> {
    sink.tally().commands.into_iter().filter(|line| line.starts_with("MAIL") || line.starts_with("RCPT")).collect()
}

#[test]
fn rule_x6_rule_u12_what_was_asked_of_reports_goes_where_dsn_is_offered_and_nowhere_else() {
    let manner = Manner {
        report: Report { ret: Some(Ret::Headers), envid: "QQ+2B1".to_owned().try_into().ok() },
        ..Manner::default()
    };
    let recipients = || {
        let plain = Address::parse("b@b.test").unwrap().into();
        vec![addressee("a@b.test", "SUCCESS,DELAY", "rfc822;x+2By@c.test"), plain]
    };
    let with = [
        "MAIL FROM:<sender@gate.test> RET=HDRS ENVID=QQ+2B1",
        "RCPT TO:<a@b.test> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;x+2By@c.test",
        "RCPT TO:<b@b.test>",
    ];
    let without = ["MAIL FROM:<sender@gate.test>", "RCPT TO:<a@b.test>", "RCPT TO:<b@b.test>"];
    for (keywords, expected) in [(["PIPELINING", "DSN"].as_slice(), with), (&["PIPELINING"], without)] {
        let (mut bench, sink) = bench(offering(keywords));
        let job = bench.vault.offer_with(manner.clone(), recipients(), 3);
        assert_eq!(bench.vault.follow(job, b"x\r\n").word(), "delivered 250");
        assert_eq!(commands(&sink), expected);
    }
}

const UTF8: [&str; 3] = ["PIPELINING", "8BITMIME", "SMTPUTF8"];
const WITHOUT: [&str; 2] = ["PIPELINING", "8BITMIME"];

fn asked(utf8: Utf8) -> Manner {
    Manner { utf8, ..Manner::default() }
}

fn international(text: &str) -> Addressee {
    Address::parse_international(text).unwrap().into()
}

/// How a message to these recipients ends, each in its word.
fn ends(bench: &mut Bench, manner: Manner, to: &[&str]) -> Vec<(String, Option<String>)> {
    let job = bench.vault.offer_with(manner, to.iter().map(|text| international(text)).collect(), 3);
    match bench.vault.follow(job, b"x\r\n") {
        Ending::Settled(mut outcomes) => {
            outcomes.sort_by_key(|(number, _)| *number);
            let word = |outcome: Outcome| Ending::Settled(vec![(0, outcome.clone())]).word();
            outcomes.into_iter().map(|(_, outcome)| (word(outcome.clone()), outcome.said().enhanced.clone())).collect()
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn rule_x3_rule_u12_smtputf8_is_said_where_it_is_offered_and_asked_for() {
    let (mut bench, sink) = bench(offering(&UTF8));
    ends(&mut bench, asked(Utf8::Allowed), &["jörg@bücher.example"]);
    ends(&mut bench, asked(Utf8::None), &["joerg@bücher.example"]);
    let expected = [
        "MAIL FROM:<sender@gate.test> BODY=8BITMIME SMTPUTF8",
        "RCPT TO:<jörg@xn--bcher-kva.example>",
        "MAIL FROM:<sender@gate.test> BODY=8BITMIME",
        "RCPT TO:<joerg@xn--bcher-kva.example>",
    ];
    assert_eq!(commands(&sink), expected);
}

#[test]
fn rule_x3_without_smtputf8_nothing_goes_out_that_needs_it_and_all_else_does() {
    let (mut bench, sink) = bench(offering(&WITHOUT));
    let failed = ("unsendable".to_owned(), Some("5.6.7".to_owned()));
    // The address of one recipient needs it: that one fails, and a domain alone never does.
    let all = ends(&mut bench, asked(Utf8::Allowed), &["jörg@b.test", "joerg@bücher.example"]);
    assert_eq!(all[0], failed);
    assert!(all[1].0.starts_with("delivered"), "{all:?}");
    assert_eq!(
        commands(&sink),
        ["MAIL FROM:<sender@gate.test> BODY=8BITMIME", "RCPT TO:<joerg@xn--bcher-kva.example>"]
    );
    // Its header, or everybody's address: nothing is said at all, and the connection serves the next message.
    assert_eq!(ends(&mut bench, asked(Utf8::Needed), &["a@b.test", "jörg@b.test"]), [failed.clone(), failed.clone()]);
    assert_eq!(ends(&mut bench, asked(Utf8::Allowed), &["jörg@b.test"]), [failed]);
    assert_eq!(bench.deliver(&["a@b.test"]).word(), "delivered 250");
    assert_eq!((commands(&sink).len(), sink.tally().connections), (4, 1));
}

/// A courier with these hosts, all of them with the same certificate.
fn under_tls(hosts: &Where, bundle: &str) -> Bench {
    let connector = Some(tls::connector(bundle.as_bytes()).unwrap());
    Bench::start(hosts, Settings { tls: TlsMode::Starttls, connector, ..settings_for(hosts) })
}

fn tagged() -> Manner {
    Manner { require_tls: true, ..Manner::default() }
}

#[test]
fn rule_x8_rule_u12_requiretls_goes_to_the_host_that_offers_it_and_to_no_other() {
    let (bundle, config) = certified(&["mx1.test", "mx2.test"]);
    let sinks = [&["PIPELINING"][..], &["PIPELINING", "REQUIRETLS"]]
        .map(|keywords| sink(Options { tls: Some(Arc::clone(&config)), ..offering(keywords) }));
    let hosts = vec![("mx1.test".to_owned(), sinks[0].1), ("mx2.test".to_owned(), sinks[1].1)];
    let mut bench = under_tls(&hosts, &bundle);
    // A session with the first host is at hand.
    assert_eq!(bench.deliver(&["a@b.test"]).word(), "delivered 250");
    let ended = ends(&mut bench, tagged(), &["c@b.test"]);
    assert!(ended[0].0.starts_with("delivered"), "{ended:?}");
    assert_eq!(commands(&sinks[0].0), ["MAIL FROM:<sender@gate.test>", "RCPT TO:<a@b.test>"]);
    assert_eq!(commands(&sinks[1].0), ["MAIL FROM:<sender@gate.test> REQUIRETLS", "RCPT TO:<c@b.test>"]);
    // Nobody is told of it who was not asked.
    assert_eq!(bench.deliver(&["d@b.test"]).word(), "delivered 250");
    let both: Vec<String> = sinks.iter().flat_map(|(sink, _)| commands(sink)).collect();
    assert_eq!(both.iter().filter(|line| line.contains("REQUIRETLS")).count(), 1);
}

#[test]
fn rule_x8_without_requiretls_or_tls_nothing_is_said_and_it_has_failed() {
    let (bundle, config) = certified(&["mx1.test", "mx2.test"]);
    let without = |tls| sink(Options { tls, ..offering(&["PIPELINING"]) });
    let (sink, port) = without(Some(Arc::clone(&config)));
    let hosts = vec![("mx1.test".to_owned(), port)];
    let mut bench = under_tls(&hosts, &bundle);
    let failed = |status: &str| [("unsendable".to_owned(), Some(status.to_owned()))];
    for _ in 0..2 {
        assert_eq!(ends(&mut bench, tagged(), &["a@b.test"]), failed("5.7.30"));
    }
    assert!(commands(&sink).is_empty());
    // The session serves what it can.
    assert_eq!(bench.deliver(&["a@b.test"]).word(), "delivered 250");
    assert_eq!(sink.tally().connections, 1);

    // In clear an offer is none.
    let (mut bench, sink) = super::bench(offering(&["REQUIRETLS"]));
    assert_eq!(ends(&mut bench, tagged(), &["a@b.test"]), failed("5.7.10"));
    assert!(commands(&sink).is_empty());
}

#[test]
fn rule_x8_a_host_that_is_away_may_have_what_the_others_lack() {
    let (bundle, config) = certified(&["mx1.test", "mx2.test"]);
    let (_lacking, one) = sink(Options { tls: Some(Arc::clone(&config)), ..offering(&["PIPELINING"]) });
    // No TLS there now: that host lets nobody in.
    let (_away, two) = sink(offering(&["REQUIRETLS"]));
    let hosts = vec![("mx1.test".to_owned(), one), ("mx2.test".to_owned(), two)];
    let mut bench = under_tls(&hosts, &bundle);
    let job = bench.vault.offer_with(tagged(), vec![international("a@b.test")], 3);
    let ending = bench.vault.follow(job, b"x\r\n");
    assert!(ending.reason().contains("mx2.test: STARTTLS"), "{ending:?}");
}

/// Two hosts in clear.
fn two(first: Options, second: Options) -> (Bench, [Sink; 2]) {
    let (sinks, ports): (Vec<_>, Vec<_>) = [first, second].into_iter().map(sink).unzip();
    let hosts = vec![("mx1.test".to_owned(), ports[0]), ("mx2.test".to_owned(), ports[1])];
    (Bench::start(&hosts, settings_for(&hosts)), sinks.try_into().ok().unwrap())
}

#[test]
fn rule_x2_rule_x3_what_one_host_lacks_another_may_offer_and_nothing_has_failed_before_it_was_asked() {
    const UMLAUT: &[u8] = "Subject: x\r\n\r\nü\r\n".as_bytes();
    let without = || offering(&["PIPELINING"]);
    let utf8 = || vec![international("jörg@b.test")];
    for (manner, to, content, lack) in [
        (asked(Utf8::Allowed), utf8(), &b"x\r\n"[..], "5.6.7"),
        (Manner::default(), vec![international("a@b.test")], UMLAUT, "5.6.3"),
    ] {
        let (mut bench, [_, offers]) = two(without(), offering(&UTF8));
        let job = bench.vault.offer_with(manner.clone(), to.clone(), 3);
        assert_eq!(bench.vault.follow(job, content).word(), "delivered 250", "{lack}");
        assert_eq!(
            offers.next(PATIENCE).unwrap().content.windows(2).any(|two| two == "ü".as_bytes()),
            content == UMLAUT
        );

        let (mut bench, _) = two(without(), without());
        let job = bench.vault.offer_with(manner.clone(), to.clone(), 3);
        assert_eq!(bench.vault.follow(job, content).outcome().said().enhanced.as_deref(), Some(lack));

        // The other one is away for now: this message waits, and the route is there for the others.
        let closed = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let (_lacking, port) = sink(without());
        let hosts = vec![("mx1.test".to_owned(), port), ("mx2.test".to_owned(), closed)];
        let mut bench = Bench::start(&hosts, settings_for(&hosts));
        let job = bench.vault.offer_with(manner, to, 3);
        let ending = bench.vault.follow(job, content);
        assert!(matches!(ending, Ending::BrokenOff { .. }), "{lack}: {ending:?}");
    }
}

#[test]
fn rule_x3_one_recipient_who_needs_smtputf8_goes_to_the_host_that_offers_it_and_the_others_to_the_first() {
    let to = ["jörg@b.test", "a@b.test", "c@b.test"];
    let utf8 = || offering(&UTF8);
    let without = || offering(&WITHOUT);
    let delivered = |ended: &[(String, Option<String>)], count: usize| {
        assert_eq!(ended.iter().filter(|(word, _)| word.starts_with("delivered")).count(), count, "{ended:?}");
    };
    let (mut bench, [first, second]) = two(without(), utf8());
    delivered(&ends(&mut bench, asked(Utf8::Allowed), &to), 3);
    assert_eq!(first.next(PATIENCE).unwrap().recipients, ["a@b.test", "c@b.test"]);
    assert_eq!(second.next(PATIENCE).unwrap().recipients, ["jörg@b.test"]);
    // A session with the second host is at hand, and takes all of them.
    delivered(&ends(&mut bench, asked(Utf8::Allowed), &to), 3);
    assert_eq!(second.next(PATIENCE).unwrap().recipients.len(), 3);

    // No host offers it: that one alone has failed.
    let (mut bench, _sinks) = two(without(), without());
    let ended = ends(&mut bench, asked(Utf8::Allowed), &to);
    delivered(&ended, 2);
    assert_eq!(ended[0], ("unsendable".to_owned(), Some("5.6.7".to_owned())));

    // The one that may offer it is away: that one waits.
    let closed = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    let (_first, port) = sink(without());
    let hosts = vec![("mx1.test".to_owned(), port), ("mx2.test".to_owned(), closed)];
    let ended = ends(&mut Bench::start(&hosts, settings_for(&hosts)), asked(Utf8::Allowed), &to);
    delivered(&ended, 2);
    assert!(ended[0].0.starts_with("deferred"), "{ended:?}");

    // The host that offers it puts all off, and the other one takes those whom it can be told of.
    let later = Fault::say(Phase::Mail, "451 4.3.0 later");
    let (mut bench, _sinks) = two(Options { faults: vec![later], ..utf8() }, without());
    let ended = ends(&mut bench, asked(Utf8::Allowed), &to);
    delivered(&ended, 2);
    assert!(ended[0].0.starts_with("deferred"), "{ended:?}");
}

/// Who ended the session at the first host is known by his place among all of them, and the second host can't be told of all.
#[test]
fn rule_x3_whom_a_session_ended_over_is_blamed_although_the_next_host_lacks_smtputf8() {
    let refuse = vec![("bad@".to_owned(), "421 4.7.0 not that one".to_owned())];
    let leaves = vec![Fault::say(Phase::Mail, "421 4.3.2 shutting down")];
    let (mut bench, [first, _second]) =
        two(Options { refuse, ..offering(&UTF8) }, Options { faults: leaves, ..offering(&WITHOUT) });
    let ended = ends(&mut bench, asked(Utf8::Allowed), &["jörg@b.test", "bad@b.test", "c@b.test"]);
    let words: Vec<&str> = ended.iter().map(|(word, _)| word.split(' ').next().unwrap()).collect();
    assert_eq!(words, ["delivered", "deferred", "delivered"], "{ended:?}");
    assert_eq!(ended[1].1.as_deref(), Some("4.7.0"), "{ended:?}");
    let served = [first.next(PATIENCE).unwrap().recipients, first.next(PATIENCE).unwrap().recipients].concat();
    assert_eq!(served.len(), 2, "{served:?}");
}
