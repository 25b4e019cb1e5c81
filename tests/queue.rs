//! Claims: what waits can be listed, counted and tried now by commands, whether the service runs or not; addresses are shown as
//! auditors see them, unless they are asked for.

mod support;

use std::process::Output;
use std::time::Duration;

use gatepost::sink::{Act, Fault, Options, Phase};
use nix::sys::signal::Signal;
use serde_json::Value;
use support::{CREDENTIAL, Service, Setting, await_that, processes};

fn queue(service: &Service, words: &[&str]) -> Output {
    let mut command = support::gatepost();
    command.arg("queue").args(words).args(["--fallback-ids", "--config"]).arg(service.config());
    command.output().unwrap()
}

/// What a command prints, an object a line.
fn lines(service: &Service, words: &[&str]) -> Vec<Value> {
    let output = queue(service, &[words, &["--json"]].concat());
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// An upstream that takes nothing at first.
fn reluctant() -> Options {
    Options { faults: vec![Fault::say(Phase::Rcpt, "451 4.2.0 ask rosa@example.org")], ..Options::default() }
}

#[test]
fn rule_q17_the_queue_is_listed_counted_and_tried_now_while_the_service_runs_and_while_it_is_stopped() {
    let more = "[spool]\nretry = [\"1h\"]".into();
    let mut service = Service::start_with(&Setting { sink: reluctant, more, ..Setting::default() });
    assert!(service.command(&["credential", "add", "idle", "--sender", "@example.net"]).status.success());
    let secret = service.add_credential();
    let mut session = service.log_in(&secret);
    for subject in ["one", "two"] {
        assert_eq!(session.send(subject), 250);
    }
    await_that("both were put off", || lines(&service, &["list", "--state", "deferred"]).len() == 2);
    let first = &lines(&service, &["list", "--limit", "1"])[0];
    let id = first["message"].as_str().unwrap().to_owned();
    assert_eq!((first["states"]["deferred"].as_u64(), first["code"].as_u64()), (Some(1), Some(451)), "{first}");
    assert!(first["to"][0].as_str().unwrap().starts_with("***@"), "{first}");
    assert_eq!(first["routes"][0], "sink");
    let text = String::from_utf8(queue(&service, &["list"]).stdout).unwrap();
    assert!(text.contains("deferred") && text.contains("answer=451 4.2.0") && !text.contains("rosa"), "{text}");
    assert!(lines(&service, &["list", "--state", "held"]).is_empty());
    assert!(lines(&service, &["list", "--recipient", "nowhere.example"]).is_empty());

    let check = |service: &Service| {
        let shown = &lines(service, &["show", &id])[0];
        let one = &shown["recipients"][0];
        assert_eq!((one["state"].as_str(), one["attempts"].as_u64()), (Some("deferred"), Some(1)), "{shown}");
        assert!(one["said"].is_null(), "{shown}");
        let clear = &lines(service, &["show", &id, "--clear"])[0];
        assert_eq!(clear["recipients"][0]["said"], "ask rosa@example.org", "{clear}");
        let stats = &lines(service, &["stats"])[0];
        assert_eq!(stats["all"]["messages"].as_u64(), Some(2), "{stats}");
        assert_eq!(stats["state"]["deferred"]["recipients"].as_u64(), Some(2), "{stats}");
        assert_eq!(stats["route"]["sink"]["messages"].as_u64(), Some(2), "{stats}");
        assert!(stats["all"]["oldest"].as_str().unwrap().ends_with('Z'), "{stats}");
        assert_eq!(lines(service, &["list"]).len(), 2);
        // A slip of the hand is no empty queue, and a credential without mail is no slip.
        for words in [&["list"][..], &["list", "--json"], &["hold"], &["release"], &["drop", "--yes"], &["retry"]] {
            let of = |id| queue(service, &[words, &["--credential", id]].concat());
            let wrong = of("tesster");
            let said = String::from_utf8_lossy(&wrong.stderr).into_owned();
            assert!(!wrong.status.success() && wrong.stdout.is_empty(), "{words:?}");
            assert!(said.contains("there is no credential \"tesster\": did you mean \"tester\"?"), "{words:?}: {said}");
            let idle = of("idle");
            assert!(idle.status.success(), "{words:?}: {}", String::from_utf8_lossy(&idle.stderr));
        }
        for state in ["held", "quarantined"] {
            assert!(lines(service, &["list", "--credential", CREDENTIAL, "--state", state]).is_empty());
        }
        assert!(queue(service, &["release", "--credential", CREDENTIAL]).status.success());
    };
    check(&service);
    service.end();
    check(&service);
    let done = &lines(&service, &["retry", &id])[0];
    assert_eq!(done["messages"].as_u64(), Some(1), "while it is stopped");
    assert!(!queue(&service, &["retry", &id]).status.success(), "it is due already");
    service.restart();
    await_that("it was tried again", || {
        lines(&service, &["show", &id])[0]["recipients"][0]["attempts"].as_u64() == Some(2)
    });
    let wrong = queue(&service, &["retry", "--route", "sinc"]);
    let said = String::from_utf8_lossy(&wrong.stderr).into_owned();
    assert!(!wrong.status.success() && said.contains("sink"), "{said}");
    assert_eq!(lines(&service, &["retry", "--route", "sink"])[0]["messages"].as_u64(), Some(2));
    assert!(!queue(&service, &["show", "0199e2a4-6c1d-7e2b-9c55-3f2f4a1b7d10"]).status.success());
    let log = service.command(&["audit", "query", "--json"]);
    let log = String::from_utf8(log.stdout).unwrap();
    for (event, count) in [("\"queue.view\"", 2), ("\"queue.retry\"", 2)] {
        assert_eq!(log.matches(event).count(), count, "{event}: {log}");
    }

    // What a removed credential sent, and is held with that, is its own to the end.
    assert!(service.command(&["credential", "remove", CREDENTIAL, "--yes", "--fallback-ids"]).status.success());
    assert_eq!(lines(&service, &["list", "--credential", CREDENTIAL]).len(), 2);
    assert_eq!(lines(&service, &["hold", "--credential", CREDENTIAL])[0]["messages"].as_u64(), Some(0), "it is held");
    assert_eq!(lines(&service, &["drop", "--credential", CREDENTIAL, "--yes"])[0]["messages"].as_u64(), Some(2));
    await_that("nothing of it is left", || !queue(&service, &["list", "--credential", CREDENTIAL]).status.success());
    service.stop();
}

#[test]
fn rule_q2_an_upstream_that_fails_is_seen_and_a_pause_outlives_a_restart() {
    let sink = || Options { faults: vec![Fault::say(Phase::Greeting, "554 5.3.2 not today")], ..Options::default() };
    let mut service = Service::start_with(&Setting { sink, ..Setting::default() });
    let route = |service: &Service, words: &[&str]| {
        let mut command = support::gatepost();
        command.arg("route").args(words).arg("--config").arg(service.config());
        command.output().unwrap()
    };
    let state = |service: &Service| {
        let output = route(service, &["status", "--json"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    await_that("its courier is there", || state(&service)["state"] == "up");
    let secret = service.add_credential();
    assert_eq!(service.log_in(&secret).send("one"), 250);
    await_that("it rests", || state(&service)["state"] == "resting");
    let seen = state(&service);
    assert_eq!((seen["fault"].as_str(), seen["failures"].as_u64()), (Some("route-failed"), Some(1)), "{seen}");
    assert!(seen["said"].as_str().unwrap().contains("not today"), "{seen}");
    let text = String::from_utf8(route(&service, &["status"]).stdout).unwrap();
    assert!(text.starts_with("sink resting") && text.contains("not today"), "{text}");

    assert!(route(&service, &["pause", "sink", "--reason", "ticket 7"]).status.success());
    assert!(!route(&service, &["pause", "sink"]).status.success(), "it is paused already");
    let wrong = route(&service, &["pause", "sinc"]);
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("sink"), "{wrong:?}");
    service.end();
    service.restart();
    await_that("it is paused after the restart", || state(&service)["state"] == "paused");
    assert!(state(&service)["paused_by"].as_str().unwrap().starts_with("uid"));
    assert!(route(&service, &["resume", "sink"]).status.success());
    await_that("it is tried again", || state(&service)["failures"].as_u64() >= Some(1));
    let log = String::from_utf8(service.command(&["audit", "query", "--json"]).stdout).unwrap();
    let ordered: Vec<_> = log.lines().filter(|line| line.contains("\"ordered\"")).collect();
    assert!(ordered.len() == 2 && ordered[0].contains("route.pause") && ordered[0].contains("ticket 7"), "{log}");
    assert!(ordered[1].contains("route.resume"), "{log}");
    service.end();
    let stopped = route(&service, &["status"]);
    assert!(String::from_utf8_lossy(&stopped.stderr).contains("does not run"), "{stopped:?}");
}

/// An upstream that doesn't answer the first three messages.
fn stalling() -> Options {
    let fault = |connection| Fault { connection: Some(connection), ..Fault::at(Phase::Dot, Act::Hang) };
    Options { faults: (0..3).map(fault).collect(), ..Options::default() }
}

#[test]
fn rule_q18_a_message_whose_courier_was_killed_twice_is_quarantined_and_its_neighbour_is_delivered() {
    let more = "[spool]\nretry = [\"1s\"]".into();
    let mut service = Service::start_with(&Setting { sink: stalling, more, ..Setting::default() });
    let secret = service.add_credential();
    let mut session = service.log_in(&secret);
    for subject in ["one", "two"] {
        assert_eq!(session.send(subject), 250);
    }
    let under_way = |service: &Service, connections: usize, count: usize| {
        await_that("it is at the dot", || {
            service.sink.tally().connections == connections
                && lines(service, &["list", "--state", "leased"]).len() == count
        });
        let pid = processes::child(service.pid(), "courier sink");
        processes::signal(pid, Signal::SIGKILL);
    };
    under_way(&service, 2, 2);
    // Alone, the second time.
    under_way(&service, 3, 1);
    await_that("the other one is delivered", || service.sink.next(Duration::from_millis(50)).is_some());
    await_that("it is set aside", || lines(&service, &["list", "--state", "quarantined"]).len() == 1);
    assert_eq!(lines(&service, &["list"]).len(), 1);
    let log =
        String::from_utf8(service.command(&["audit", "query", "--event", "queue.hold", "--json"]).stdout).unwrap();
    assert!(log.lines().count() == 1 && log.contains("courier-ended"), "{log}");
    service.end();
}

#[test]
fn rule_q10_messages_of_several_sessions_go_by_one_connection_one_after_the_other() {
    let service = Service::start();
    let secret = service.add_credential();
    for subject in ["one", "two", "three", "four", "five"] {
        assert_eq!(service.log_in(&secret).send(subject), 250);
        service.await_arrival(vec![subject.to_owned()]);
    }
    let tally = service.sink.tally();
    let said = |command: &str| tally.commands.iter().filter(|line| line.starts_with(command)).count();
    assert_eq!((tally.connections, said("EHLO"), said("MAIL")), (1, 1, 5), "{:?}", tally.commands);
    service.stop();
}
