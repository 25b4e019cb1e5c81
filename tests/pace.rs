//! Claims: an upstream is given no more messages than its pace says, over restarts and reloads; what is left of it is shown; and
//! whoever sends more than would leave in time is told so at RCPT.

mod support;

use nix::sys::signal::Signal;
use serde_json::Value;
use support::{Service, Setting, await_that};

/// How the upstream stands.
fn state(service: &Service) -> Value {
    let output = service.command(&["route", "status", "--json"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn rule_q12_no_more_leaves_in_a_day_than_the_pace_says_over_a_restart_and_a_reload() {
    let upstream = "tls = \"none\"\npace = { per_day = 1 }".into();
    let mut service = Service::start_with(&Setting { upstream, ..Setting::default() });
    let secret = service.add_credential();
    let mut session = service.log_in(&secret);
    assert_eq!(session.send("one"), 250);
    service.await_arrival(vec!["one".into()]);
    assert_eq!(session.send("two"), 250);
    await_that("the second waits", || state(&service)["waiting"].as_u64() == Some(1));
    let check = |service: &Service| {
        let seen = state(service);
        assert_eq!((seen["per_day"].as_u64(), seen["day_left"].as_u64()), (Some(1), Some(0)), "{seen}");
        assert!(seen["paced_seconds"].as_u64() > Some(86_000) && seen["rests_seconds"].is_null(), "{seen}");
        let text = String::from_utf8(service.command(&["route", "status"]).stdout).unwrap();
        assert!(text.starts_with("sink paced for 8") && text.contains(" pace=1/day(0 left) waiting=1"), "{text}");
    };
    check(&service);
    service.end();
    service.restart();
    await_that("its courier is there", || state(&service)["state"] == "paced");
    check(&service);
    let before = std::fs::read_to_string(service.config()).unwrap();
    std::fs::write(service.config(), before.replace("per_day = 1", "per_day = 2")).unwrap();
    service.signal(Signal::SIGHUP);
    service.await_arrival(vec!["two".into()]);
    await_that("it was counted on", || state(&service)["day_left"].as_u64() == Some(0));
    service.stop();
}

#[test]
fn rule_q12_more_than_leaves_in_time_is_refused_at_rcpt_and_written_down() {
    let upstream = "tls = \"none\"\npace = { per_minute = 1 }".into();
    let more = "[spool]\nlifetime = \"1m\"\nretry = [\"1m\"]".into();
    let service = Service::start_with(&Setting { upstream, more, ..Setting::default() });
    let secret = service.add_credential();
    let mut session = service.log_in(&secret);
    assert_eq!(session.send("one"), 250);
    service.await_arrival(vec!["one".into()]);
    await_that("nothing waits", || state(&service)["waiting"].as_u64() == Some(0));
    assert_eq!(session.send("two"), 250, "it leaves within the minute");
    assert_eq!(session.say("MAIL FROM:<a@example.net>"), 250);
    assert_eq!(session.say("RCPT TO:<b@example.org>"), 452);
    await_that("it is in the log", || {
        let log = service.command(&["audit", "query", "--event", "msg.reject", "--json"]);
        String::from_utf8(log.stdout).unwrap().matches("\"backed-up\"").count() == 1
    });
    service.stop();
}
