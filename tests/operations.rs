//! Claims: whoever watches the service is told whether it takes mail, by what the vault has found by itself and not by a question to
//! it; and only from where it may be watched.

mod support;

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};

use serde_json::Value;
use support::{PATIENCE, Service, Setting, await_that};

/// The status and the body of what is asked at a path.
fn ask(service: &Service, path: &str) -> (u16, String) {
    let response = service.http(&format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"));
    let (head, body) = response.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{path}: {response}"));
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

/// What it says of being ready: the status, the word, the reasons.
fn ready(service: &Service) -> (u16, String, Vec<String>) {
    let (status, body) = ask(service, "/readyz");
    let body: Value = serde_json::from_str(&body).unwrap();
    let reasons = body["reasons"].as_array().into_iter().flatten();
    (status, body["status"].as_str().unwrap().to_owned(), reasons.map(|one| one.as_str().unwrap().to_owned()).collect())
}

fn await_ready(service: &Service, status: u16, word: &str, reasons: &[&str]) {
    let wanted = (status, word.to_owned(), reasons.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>());
    let mut last = None;
    let deadline = std::time::Instant::now() + PATIENCE;
    while last.as_ref() != Some(&wanted) {
        assert!(std::time::Instant::now() < deadline, "it is {last:?} and not {wanted:?}\n{}", service.log());
        std::thread::sleep(std::time::Duration::from_millis(50));
        last = Some(ready(service));
    }
}

#[test]
fn rule_o1_readiness_follows_the_service_through_its_states() {
    let more = "[spool]\nretry = [\"1s\"]\nshed_messages = [2, 2]".into();
    let closed = support::free_port();
    let mut service =
        Service::start_with(&Setting { more, host: Some(format!("127.0.0.1:{closed}")), ..Setting::default() });
    await_ready(&service, 200, "ready", &[]);
    assert_eq!(ask(&service, "/livez"), (200, r#"{"status":"ok"}"#.to_owned()));

    // An upstream that can't be reached: mail is taken and waits. With more than may wait: none is.
    let secret = service.add_credential();
    let mut session = service.log_in(&secret);
    assert_eq!(session.send("one"), 250);
    await_ready(&service, 200, "degraded", &["upstream"]);
    assert_eq!(session.send("two"), 250);
    await_ready(&service, 503, "unavailable", &["load", "upstream"]);
    drop(session);

    // More than a disk of these tests has.
    service.end();
    let text = fs::read_to_string(service.config()).unwrap();
    let full = text.replace("[spool]", "[spool]\nreserve = 1_099_511_627_776\nballast = 0");
    fs::write(service.config(), full.replace("shed_messages = [2, 2]", "")).unwrap();
    service.start_again();
    await_that("room is short", || ready(&service).2.iter().any(|reason| reason == "room"));
    assert_eq!(ready(&service).0, 503);
    assert_eq!(ask(&service, "/livez").0, 200, "the process lives");
    service.stop();
}

#[test]
fn rule_o1_without_its_vault_it_is_not_ready_and_with_the_next_one_it_is() {
    let service = Service::start();
    await_ready(&service, 200, "ready", &[]);
    let vault = support::processes::children(service.pid())["vault"];
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(vault as i32), nix::sys::signal::Signal::SIGSTOP).unwrap();
    await_ready(&service, 503, "unavailable", &["vault"]);
    assert_eq!(ask(&service, "/livez").0, 200);
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(vault as i32), nix::sys::signal::Signal::SIGKILL).unwrap();
    await_ready(&service, 200, "ready", &[]);
    service.stop();
}

#[test]
fn rule_o2_from_elsewhere_nothing_is_told_but_that_the_process_answers() {
    let port = support::free_port();
    let more = format!(
        "[[listener]]\nname = \"far\"\naddress = [\"127.0.0.1:{port}\"]\nprotocol = \"http\"\nserve = [\"ops\"]\n\
         ops_networks = [\"192.0.2.0/24\"]\n"
    );
    let mut service = Service::start_with(&Setting { more, ..Setting::default() });
    await_ready(&service, 200, "ready", &[]);
    let near = std::mem::replace(&mut service.http, port);
    assert_eq!(SocketAddr::from((Ipv4Addr::LOCALHOST, port)).port(), service.http);
    let (status, body) = ask(&service, "/readyz");
    assert_eq!(status, 403, "{body}");
    assert!(body.contains("ops_networks") && !body.contains("ready\""), "{body}");
    assert_eq!((ask(&service, "/livez").0, ask(&service, "/healthz").0, ask(&service, "/v1/send").0), (200, 200, 404));
    service.http = near;
    assert_eq!(ready(&service).0, 200);
    service.stop();
}
