//! Claims: whoever is in the middle of something when the service stops is told so, however long it takes; and what the service
//! counted until then is told.

mod support;

use std::io::{Read, Write};

use gatepost::sink::{Act, Fault, Options, Phase};
use nix::sys::signal::Signal;
use support::{Service, Setting, await_that};

/// An upstream whose first session never gets beyond EHLO.
fn stuck() -> Options {
    Options { faults: vec![Fault { connection: Some(0), ..Fault::at(Phase::Ehlo, Act::Hang) }], ..Options::default() }
}

#[test]
fn rule_q20_a_stop_gives_back_what_waits_at_ehlo_uncharged_and_the_next_start_delivers_it() {
    let mut service = Service::start_with(&Setting { sink: stuck, ..Setting::default() });
    let secret = service.add_credential();
    assert_eq!(service.log_in(&secret).send("not yet"), 250);
    await_that("it is at EHLO", || service.sink.tally().commands.iter().any(|line| line.starts_with("EHLO")));
    let log = service.end();
    assert!(log.contains("stopped") && !log.contains("killed"), "{log}");
    let database = rusqlite::Connection::open(service.folder.path().join("state/db/vault.db")).unwrap();
    let number = |sql: &str| database.query_row::<i64, _, _>(sql, [], |row| row.get(0)).unwrap();
    assert_eq!(number("SELECT count(*) FROM spool_lease"), 0);
    assert_eq!(number("SELECT count(*) FROM spool_rcpt WHERE state = 0 AND attempts = 0 AND job IS NULL"), 1);
    drop(database);
    service.restart();
    service.await_arrival(vec!["not yet".into()]);
    assert_eq!(service.sink.tally().connections, 2);
    service.stop();
}

#[test]
fn rule_c17_whose_transaction_outlasts_a_stop_reads_421() {
    let mut service = Service::start();
    let secret = service.add_credential();
    let open = || {
        let mut session = service.log_in(&secret);
        assert_eq!(session.say("MAIL FROM:<a@example.net>"), 250);
        assert_eq!(session.say("RCPT TO:<b@example.org>"), 250);
        session
    };
    let (between, mut within) = (open(), open());
    assert_eq!(within.say("DATA"), 354);
    within.stream().write_all(b"From: a@example.net\r\n\r\nto be gone on with\r\n").unwrap();
    service.signal(Signal::SIGTERM);
    for mut session in [between, within] {
        assert_eq!(session.try_code(), Some(421), "{}", service.log());
        let mut rest = Vec::new();
        session.stream().read_to_end(&mut rest).unwrap();
        assert_eq!(rest, b"");
    }
    let log = service.await_end();
    assert!(log.contains("stopped") && !log.contains("killed"), "{log}");
}

#[test]
fn refusals_of_the_last_minute_before_a_stop_are_told_by_number() {
    let mut service = Service::start();
    for _ in 0..130 {
        let answer = service.http("GET /none HTTP/1.1\r\nHost: gate.test.example\r\nConnection: close\r\n\r\n");
        assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    }
    let log = service.end();
    let told = log.lines().find(|line| line.contains("further requests were refused"));
    assert!(told.is_some_and(|line| line.contains("requests=30")), "{told:?}");
}
