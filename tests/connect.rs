//! Claim: `gatepost check --connect` tries each upstream as the service would, beside a service that runs and without one, tells what
//! is said without secrets, and leaves nothing behind.

mod support;

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Output, Stdio};

use gatepost::sink::{Act, Fault, Options, Phase, Sink};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use support::{Pair, Service, Setting, await_that, processes};

/// In a folder for temporary files of its own, in which it leaves nothing.
fn check(service: &Service, words: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = support::gatepost();
    command.args(["check", "--connect", "--fallback-ids"]).args(words).arg("--config").arg(service.config());
    let output = command.env("TMPDIR", folder.path()).output().unwrap();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    output
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
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
}

#[test]
fn what_is_wrong_with_the_configuration_is_objects_for_scripts() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("gatepost.toml");
    let checked = |text: &str| {
        fs::write(&config, text).unwrap();
        let output = support::gatepost().args(["check", "--json", "--config"]).arg(&config).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
        let lines = String::from_utf8(output.stdout).unwrap();
        let objects: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        (output.status.success(), objects)
    };
    let (is_sound, objects) = checked("version = 1\nhostnam = \"gate.example.net\"\n");
    assert!(!is_sound && objects[0]["severity"] == "error", "{objects:?}");
    assert!(objects[0]["text"].as_str().unwrap().contains("did you mean"), "{objects:?}");
    assert_eq!(objects.last().unwrap(), &json!({ "sound": false, "summary": null }));
    let shipped = std::env::var_os("CARGO_MANIFEST_DIR").unwrap();
    let shipped = fs::read_to_string(std::path::Path::new(&shipped).join("etc/gatepost.toml")).unwrap();
    let (is_sound, objects) = checked(&shipped);
    assert!(is_sound && objects.iter().any(|one| one["severity"] == "warning"), "{objects:?}");
    assert_eq!(objects.last().unwrap()["sound"], true);
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

#[test]
fn a_chain_that_is_not_believed_is_shown_and_its_key_is_believed_once_it_is_pinned_as_shown() {
    let sink = || Options { tls: Some(Pair::named("mx.example.net").server()), implicit: true, ..Options::default() };
    let other = format!("sha256:{}=", "A".repeat(43));
    let upstream = format!("tls = \"implicit\"\nverify = \"pin\"\npin = [\"{other}\"]");
    let service = Service::start_with(&Setting { sink, upstream, ..Setting::default() });
    let told = |tried: &Output| {
        let lines = String::from_utf8(tried.stdout.clone()).unwrap();
        let all: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        all.iter().find(|line| !line["tls"].is_null()).unwrap_or_else(|| panic!("{}", said(tried))).clone()
    };
    let refused = check(&service, &["--json"]);
    let shown = told(&refused);
    assert!(
        !refused.status.success() && shown["text"] == "no TLS handshake, the certificate is NOT believed",
        "{shown}"
    );
    assert!(shown["tls"]["believed"] == "refused" && shown["tls"]["version"].is_null(), "{shown}");
    let key = shown["tls"]["chain"][0]["key"].as_str().unwrap().to_owned();
    let first = json!({ "ends": "4096-01-01T00:00:00Z", "key": key, "names": ["mx.example.net"], "names_left_out": 0 });
    assert_eq!(shown["tls"]["chain"], json!([first]));
    let line = format!("*   certificate 1: ends 4096-01-01T00:00:00Z, key {key}, names mx.example.net\n");
    let refused = check(&service, &[]);
    assert!(!refused.status.success() && said(&refused).contains(&line), "{line} in {}", said(&refused));
    let file = fs::read_to_string(service.config()).unwrap();
    fs::write(service.config(), file.replace(&other, &key)).unwrap();
    let believed = check(&service, &["--json"]);
    let shown = told(&believed);
    assert!(believed.status.success() && shown["tls"]["believed"] == "pinned", "{}", said(&believed));
    assert!(shown["tls"]["version"] == "TLSv1.3" && shown["tls"]["chain"] == json!([first]), "{shown}");
    assert!(said(&check(&service, &[])).contains(&line));
    service.stop();
}

/// Whether a process has that folder among its words.
fn is_at_work(folder: &std::path::Path) -> bool {
    let name = folder.to_string_lossy().into_owned();
    let all = fs::read_dir("/proc").unwrap().flatten();
    all.filter_map(|process| fs::read(process.path().join("cmdline")).ok())
        .any(|words| String::from_utf8_lossy(&words).contains(&format!("{name}/gatepost-check-")))
}

#[test]
fn whatever_ends_the_command_ends_the_processes_that_try() {
    let hang = || Options { faults: vec![Fault::at(Phase::Ehlo, Act::Hang)], ..Options::default() };
    let service = Service::start_with(&Setting { sink: hang, ..Setting::default() });
    for kills in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let mut command = support::gatepost();
        command.args(["check", "--connect", "--fallback-ids", "--config"]).arg(service.config());
        command.env("TMPDIR", folder.path()).stderr(Stdio::null()).stdin(Stdio::null());
        let out = if kills {
            Stdio::null()
        } else {
            Stdio::from(fs::OpenOptions::new().write(true).open("/dev/full").unwrap())
        };
        let mut running = command.stdout(out).spawn().unwrap();
        if kills {
            await_that("it tries", || is_at_work(folder.path()) && service.sink.tally().connections > 0);
            running.kill().unwrap();
        }
        // What can't be written ends it by itself.
        assert!(!running.wait().unwrap().success());
        await_that("nothing of it is left", || !is_at_work(folder.path()));
    }
    service.stop();
}

#[test]
fn an_upstream_that_can_not_be_asked_keeps_no_other_from_being_tried() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let more = format!(
        "\n[[upstream]]\nname = \"other\"\nkind = \"smtp\"\nhosts = [\"{}\"]\ntls = \"none\"",
        listener.local_addr().unwrap()
    );
    let _other = Sink::start(listener, Options::default());
    let hang = || Options { faults: vec![Fault::at(Phase::Ehlo, Act::Hang)], ..Options::default() };
    let service = Service::start_with(&Setting { sink: hang, more, ..Setting::default() });
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = support::gatepost();
    command.args(["check", "--connect", "--json", "--fallback-ids", "--config"]).arg(service.config());
    let running = command.env("TMPDIR", folder.path()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    await_that("it tries", || service.sink.tally().connections > 0);
    let trying = processes::all(running.id()).pop().expect("the processes that try");
    let courier = processes::child(trying, "courier sink");
    processes::signal(courier, Signal::SIGKILL);
    let ended = running.wait_with_output().unwrap();
    assert!(!ended.status.success(), "{}", said(&ended));
    let lines = String::from_utf8(ended.stdout.clone()).unwrap();
    let verdicts: Vec<serde_json::Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |name: &str| {
        verdicts
            .iter()
            .find(|one| one["upstream"] == name && !one["passed"].is_null())
            .unwrap_or_else(|| panic!("{}", said(&ended)))
    };
    assert!(of("sink")["passed"] == false && of("sink")["reason"].as_str().unwrap().contains("went away"), "{lines}");
    assert_eq!(of("other")["passed"], true, "{lines}");
    service.stop();
}
