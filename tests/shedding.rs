//! Claims: when more waits than the gate is to hold, those with more than their share are told to come again, then all; nothing that
//! was accepted is lost; and whoever asks whether the service takes mail is told, with the reason.

mod support;

use std::fs;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use nix::sys::signal::Signal;
use serde_json::Value;
use support::{Service, Setting, await_that};

/// What `status` says, and its exit status.
fn status(service: &Service) -> (Value, i32) {
    let output = service.command(&["status", "--json"]);
    let code = output.status.code().unwrap();
    assert!(code != 1, "{}", String::from_utf8_lossy(&output.stderr));
    (serde_json::from_slice(&output.stdout).unwrap(), code)
}

fn events(service: &Service, name: &str) -> Vec<Value> {
    let output = service.command(&["audit", "query", "--event", name, "--json"]);
    let lines = String::from_utf8(output.stdout).unwrap();
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The status of a message that comes over HTTP, and its body.
fn post(service: &Service, secret: &str) -> (u16, Value) {
    let body = r#"{"from":"a@example.net","to":"b@example.org","subject":"s","text":"hi"}"#;
    let response = service.http(&format!(
        "POST /v1/send HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {secret}\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    ));
    let status = response.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(response.split("\r\n\r\n").nth(1).unwrap()).unwrap())
}

#[test]
fn rule_q16_the_heaviest_wait_first_then_all_a_balancer_is_told_and_nothing_that_was_accepted_is_lost() {
    let more = "[spool]\nretry = [\"1s\"]\nshed_messages = [2, 3]".into();
    let mut service = Service::start_with(&Setting { more, ..Setting::default() });
    let secret = service.add_credential();
    let output = service.command(&["credential", "add", "till", "--sender", "@example.net"]);
    let till = String::from_utf8(output.stdout).unwrap().lines().last().unwrap().to_owned();
    assert!(service.command(&["route", "pause", "sink"]).status.success());
    await_that("it is ready", || status(&service).1 == 0);

    let mut session = service.log_in(&secret);
    assert_eq!((session.send("one"), session.send("two")), (250, 250));
    let (seen, code) = status(&service);
    assert_eq!((&seen["shedding"]["stage"], &seen["shedding"]["for"][0]), (&"heavy".into(), &"messages".into()));
    assert_eq!((&seen["ready"], code), (&true.into(), 0), "others are taken");
    let (code, text) = session.try_ask("MAIL FROM:<a@example.net>").unwrap();
    assert!(code == 452 && text.contains("4.3.1") && text.contains("60 seconds"), "{code} {text}");

    let mut other = service.connect().secure(&support::smtp::trusting(&service.pair));
    assert_eq!(other.say(&format!("AUTH PLAIN {}", STANDARD.encode(format!("\0till\0{till}")))), 235);
    assert_eq!(other.send("three"), 250);
    assert_eq!(other.say("MAIL FROM:<a@example.net>"), 452);
    let (status_code, body) = post(&service, &till);
    assert_eq!(
        (status_code, body["code"].as_str().or(body["error"]["code"].as_str())),
        (503, Some("queue_full")),
        "{body}"
    );
    let (seen, code) = status(&service);
    assert_eq!((&seen["ready"], &seen["obstacles"][0], code), (&false.into(), &"load".into(), 3), "{seen}");
    let text = |words: &[&str]| String::from_utf8(service.command(words).stdout).unwrap();
    assert!(text(&["status"]).starts_with("not ready: load\n"), "{}", text(&["status"]));
    let stats = text(&["queue", "stats"]);
    assert!(stats.contains("\nshedding   all for=messages put_off=2/2\n"), "{stats}");
    assert!(stats.contains("messages                 now=3 heavy=2 all=3"), "{stats}");

    assert!(service.command(&["route", "resume", "sink"]).status.success());
    service.await_arrival(["one", "two", "three"].map(str::to_owned).to_vec());
    await_that("it is over", || status(&service).0["shedding"]["stage"] == "none");
    assert_eq!(session.send("four"), 250);
    let before = fs::read_to_string(service.config()).unwrap();
    fs::write(service.config(), before.replace("[2, 3]", "[1000, 2000]")).unwrap();
    service.signal(Signal::SIGHUP);
    await_that("the new thresholds hold", || status(&service).0["shedding"]["messages"]["all"] == 2000);
    await_that("all of it is in the log", || {
        events(&service, "shed.end").last().is_some_and(|event| {
            event["data"]["stage"] == "none"
                || event["data"].as_str().is_some_and(|data| data.contains("\"stage\":\"none\""))
        })
    });
    assert_eq!(events(&service, "shed.begin").len(), 2, "a stage is told once, whatever it refuses");
    await_that("so are the refusals", || {
        events(&service, "msg.reject").iter().filter(|event| event["reason"] == "overloaded").count() == 3
    });
    service.end();
    let output = service.command(&["status"]);
    assert_eq!(output.status.code(), Some(1), "it can't be asked");
}
