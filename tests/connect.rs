//! Claim: `gatepost check --connect` tries each upstream as the service would, beside a service that runs and without one, tells what
//! is said without secrets, and leaves nothing behind.

mod support;

use std::fs;
use std::process::Output;

use gatepost::sink::{Fault, Options, Phase};
use support::{Service, Setting};

fn check(service: &Service, words: &[&str]) -> Output {
    service.command(&[&["check", "--connect", "--fallback-ids"], words].concat())
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Folders of the command that are still there.
fn left() -> Vec<String> {
    let all = fs::read_dir(std::env::temp_dir()).unwrap().flatten();
    all.filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.starts_with("gatepost-check-"))
        .collect()
}

#[test]
fn an_upstream_is_tried_without_a_message_whether_the_service_runs_or_not() {
    let mut service = Service::start();
    for running in [true, false] {
        if !running {
            service.end();
        }
        let state = service.folder.path().join("state/db/vault.db");
        let before = fs::metadata(&state).unwrap().modified().unwrap();
        let tried = check(&service, &["--sender", "a@example.net"]);
        assert!(tried.status.success(), "{}", said(&tried));
        for part in ["* upstream sink\n", "< 220", "> EHLO ", "> MAIL FROM:<a@example.net>", "> RSET"] {
            assert!(said(&tried).contains(part), "{part} in {}", said(&tried));
        }
        assert!(running || before == fs::metadata(&state).unwrap().modified().unwrap(), "the state was touched");
    }
    let objects = String::from_utf8(check(&service, &["--json"]).stdout).unwrap();
    let last: serde_json::Value = serde_json::from_str(objects.lines().last().unwrap()).unwrap();
    assert_eq!(last, serde_json::json!({ "upstream": "sink", "passed": true }));
    assert_eq!(left(), Vec::<String>::new());
}

#[test]
fn an_upstream_that_takes_nothing_fails_the_check() {
    let sink = || Options { faults: vec![Fault::say(Phase::Mail, "550 5.7.1 not from you")], ..Options::default() };
    let service = Service::start_with(&Setting { sink, ..Setting::default() });
    let tried = check(&service, &[]);
    assert!(!tried.status.success() && said(&tried).contains("< 550 5.7.1 not from you"), "{}", said(&tried));
    assert!(service.command(&["check"]).status.success(), "without it nothing is tried");
    service.stop();
}
