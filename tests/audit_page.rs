//! Claim: every query on the page about the audit log answers what stands above it, typed into sqlite3 as it is there.

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use nix::sys::signal::Signal;
use support::auditor::{audit, run, said};
use support::smtp::trusting;
use support::{Service, Setting, await_that, open_folder};

/// Questions by how they begin on the page, and what the answer has in it. `{message}` is the message that was sent.
const ANSWERS: [(&str, &[&str]); 14] = [
    ("All about one message", &["msg.accept", "deliver.success", "***@example.org"]),
    ("What was sent as an account", &["***@example.net", "{message}"]),
    ("Failed logins by account", &["billing", "127.0.0.0/24"]),
    ("What administrators did", &["credential.create", "config.load", "uid ", "daemon.start"]),
    ("Mail that was refused", &["sender-not-allowed", "***@evil.example"]),
    ("What was limited", &["rate.limited", "billing"]),
    ("Deliveries without TLS", &["sink", "example.org", "{message}"]),
    ("What was shown in clear or taken away", &["audit.export", "uid ", "\"format\":\"csv\""]),
    ("Silence of more than", &["daemon.start", "sandbox.applied"]),
    ("Days without any record", &["LATER"]),
    ("The first signed head", &["gate.test.example/audit"]),
    ("What was erased", &["audit.redact", "uid ", "client_ip", "case 7"]),
    ("An anchor that has not succeeded", &["audit.anchor", "disk"]),
    ("Every success is a row", &["disk"]),
];

/// The page's own examples, and what they stand for here.
const EXAMPLES: [(&str, &str); 2] =
    [("2026-11-20T08:00:00Z", "2020-01-01T00:00:00Z"), ("2026-11-20T18:00:00Z", "2200-01-01T00:00:00Z")];
const MESSAGE: &str = "01a1f866-0d7b-7d39-bc3d-1f2a8b5c6d7e";

fn page() -> String {
    let root: PathBuf = std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it").into();
    fs::read_to_string(root.join("docs/audit-log.md")).unwrap()
}

/// Each block of SQL with the paragraph above it.
fn queries(page: &str) -> Vec<(String, String)> {
    let mut parts = page.split("```sql\n");
    let mut before = parts.next().unwrap().to_owned();
    let mut found = Vec::new();
    for part in parts {
        let (sql, after) = part.split_once("```").expect("a block ends");
        let question = before.trim_end().rsplit("\n\n").next().unwrap_or_default().to_owned();
        found.push((question, sql.to_owned()));
        before = after.to_owned();
    }
    found
}

/// A service that has something to say to every question. Gives a message that was delivered.
fn eventful() -> (Service, String) {
    let anchors = tempfile::tempdir().unwrap();
    open_folder(anchors.path());
    let place = anchors.path().join("heads").display().to_string();
    let more = format!("[[anchor]]\nname = \"disk\"\nkind = \"file\"\npath = \"{place}\"\n");
    let service = Service::start_with(&Setting { more, ..Setting::default() });
    let rules = ["--sender", "@example.net", "--per-minute", "1", "--burst", "1"];
    let output = service.command(&[&["credential", "add", "billing"][..], &rules].concat());
    let secret = said(&output).lines().last().unwrap().to_owned();
    let log_in = |secret: &str| {
        let mut session = service.connect().secure(&trusting(&service.pair));
        let code = session.say(&format!("AUTH PLAIN {}", STANDARD.encode(format!("\0billing\0{secret}"))));
        (session, code)
    };
    assert_eq!(log_in("a wrong password").1, 535);
    let (mut session, code) = log_in(&secret);
    assert_eq!(code, 235);
    assert_eq!(session.send("kept"), 250);
    assert_eq!(session.say("MAIL FROM:<a@evil.example>"), 550);
    assert_eq!(session.say("MAIL FROM:<a@example.net>"), 451, "one in a minute");
    service.sink.next(Duration::from_secs(30)).expect("it arrives");
    service.signal(Signal::SIGHUP);
    service.await_log(0, "reload done");
    await_that("all of it is in the log", || {
        let names = run(&service, &["query", "--json"]);
        ["deliver.success", "config.load", "msg.reject", "rate.limited"].iter().all(|name| names.contains(name))
    });
    run(&service, &["export", "--format", "csv"]);
    run(&service, &["anchor"]);
    let accept = run(&service, &["query", "--event", "msg.accept", "--json"]);
    let accept: serde_json::Value = serde_json::from_str(&accept).unwrap();
    // The one address that no question above asks for: the failed login keeps its own, wherever it stands in the log.
    run(
        &service,
        &["redact", "--seq", &accept["seq"].to_string(), "--field", "client_ip", "--ground", "case 7", "--yes"],
    );
    run(&service, &["verify"]);
    (service, accept["msg_id"].as_str().unwrap().to_owned())
}

fn sqlite(file: &Path, sql: &str) -> String {
    let output = Command::new("sqlite3").arg("-readonly").arg(file).arg(sql).output().expect("sqlite3 is needed");
    assert!(output.status.success(), "{sql}: {}", said(&output));
    said(&output)
}

#[test]
fn every_query_on_the_page_answers_its_question() {
    let (service, message) = eventful();
    let file = audit(&service).join("audit.db");
    // A copy whose second event came three days late: what is silent in a log that is otherwise a real one.
    let late = service.folder.path().join("late.db");
    let shift = format!("VACUUM INTO '{}'", late.display());
    assert!(Command::new("sqlite3").arg(&file).arg(shift).status().unwrap().success());
    let shift = "UPDATE event SET time_us = time_us + 3 * 86400000000 WHERE seq >= 1";
    assert!(Command::new("sqlite3").arg(&late).arg(shift).status().unwrap().success());
    let tomorrow = sqlite(&file, "SELECT date(min(time_us) / 1000000, 'unixepoch', '+1 day') FROM event");

    let queries = queries(&page());
    assert_eq!(queries.len(), ANSWERS.len(), "{queries:#?}");
    for ((question, sql), (begin, expected)) in queries.iter().zip(ANSWERS) {
        assert!(question.starts_with(begin), "{question} instead of {begin}");
        let mut sql = sql.replace(MESSAGE, &message);
        for (example, here) in EXAMPLES {
            sql = sql.replace(example, here);
        }
        let silent = begin.starts_with("Silence") || begin.starts_with("Days");
        let answer = sqlite(if silent { &late } else { &file }, &sql);
        for word in expected {
            let word = word.replace("{message}", &message).replace("LATER", tomorrow.trim());
            assert!(answer.contains(&word), "{question}: no {word} in:\n{answer}");
        }
    }
    service.stop();
}
