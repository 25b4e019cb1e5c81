//! Claim: a month that is over goes when it is anchored, the log says so and stays sound without it; one that goes silently is
//! missed.
//!
//! The month is a real one: its event was written with a clock that stood in it, by a command before the first start. That
//! command is one process, in which a library of this test answers for the system's clock.

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use rusqlite::Connection;
use support::auditor::{python, said, verifier};
use support::{Service, Setting, await_that, configuration, gatepost};

/// Exit code of `audit verify`.
const ERASED: i32 = 11;
/// An instant in January 2024.
const THEN: u64 = 1_705_000_000;
/// All of the system's clocks but the time of day.
const CLOCK: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <time.h>
static int (*ask)(clockid_t, struct timespec *);
__attribute__((constructor)) static void find(void) { ask = dlsym(RTLD_NEXT, "clock_gettime"); }
int clock_gettime(clockid_t id, struct timespec *now) {
    if (!ask) find();
    int failed = ask(id, now);
    if (!failed && id == CLOCK_REALTIME) now->tv_sec = NOW;
    return failed;
}
"#;

/// A library with which it is then.
fn clock(folder: &Path) -> PathBuf {
    let (source, library) = (folder.join("clock.c"), folder.join("clock.so"));
    fs::write(&source, CLOCK).unwrap();
    let mut command = Command::new("cc");
    command.args(["-shared", "-fPIC", &format!("-DNOW={THEN}"), "-o"]).arg(&library).arg(&source).arg("-ldl");
    let output = command.output().expect("a C compiler is needed");
    assert!(output.status.success(), "{}", said(&output));
    library
}

/// A service that mails its heads to an auditor, and whose log begins in a month of long ago.
fn aged() -> Service {
    let more =
        "[[anchor]]\nname = \"auditor\"\nkind = \"mail\"\nto = \"auditor@example.org\"\nfrom = \"gate@example.net\"\n";
    let setting = Setting { more: more.into(), ..Setting::default() };
    let folder = tempfile::Builder::new().prefix("gatepost-test-").tempdir().unwrap();
    setting.pair.write(folder.path());
    let config = folder.path().join("gatepost.toml");
    fs::write(&config, configuration(folder.path(), 2525, 8080, 25, &setting)).unwrap();
    let mut command = gatepost();
    command.args(["credential", "add", "of-then", "--sender", "@example.net", "--fallback-ids", "--config"]);
    let output = command.arg(&config).env("LD_PRELOAD", clock(folder.path())).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    Service::start_in(folder, &setting)
}

fn state(service: &Service) -> PathBuf {
    service.folder.path().join("state")
}

/// The verdict, which is the second opinion's, too.
fn verdict(service: &Service) -> (Option<i32>, String) {
    let output = service.command(&["audit", "verify"]);
    let (key, audit) = (state(service).join("seal/log.vkey"), state(service).join("audit"));
    let second = python(&[&verifier(), "--key", key.to_str().unwrap(), audit.to_str().unwrap()]);
    assert_eq!(second.status.code(), output.status.code(), "{}\n{}", said(&second), said(&output));
    (output.status.code(), said(&output))
}

fn prune(service: &Service, words: &[&str]) -> Output {
    service.command(&[&["audit", "prune"], words].concat())
}

#[test]
fn a_month_goes_when_it_is_anchored_and_is_missed_when_it_goes_silently() {
    let service = aged();
    let state = state(&service);
    let (month, personal) = (state.join("audit/audit-2024-01.db"), state.join("db/personal-2024-01.db"));
    await_that("the month is closed", || month.exists());
    assert_eq!(verdict(&service).0, Some(0));
    // It goes without a word.
    let elsewhere = state.join("elsewhere");
    fs::rename(&month, &elsewhere).unwrap();
    let (code, words) = verdict(&service);
    assert!(code == Some(ERASED) && words.contains("no event says that those before it were removed"), "{words}");
    fs::rename(&elsewhere, &month).unwrap();

    let anchored = service.command(&["audit", "anchor", "--to", "auditor"]);
    assert!(anchored.status.success(), "{}\n{}", said(&anchored), service.log());
    assert!(Command::new("cp").arg("-a").args([&month, &elsewhere]).status().unwrap().success());
    for turn in 1..=2 {
        let dry = prune(&service, &["--dry-run"]);
        assert!(said(&dry).contains("would be removed") && month.exists(), "{}", said(&dry));
        let pruned = prune(&service, &["--yes"]);
        assert!(pruned.status.success() && !month.exists() && !personal.exists(), "{}", said(&pruned));
        let (code, words) = verdict(&service);
        assert!(code == Some(0) && words.contains("events 1 to"), "{code:?} {words}");
        let current = Connection::open(state.join("audit/audit.db")).unwrap();
        let told = "SELECT count(*) || ' ' || json_extract(data, '$.sha256') FROM event WHERE event = 'audit.prune'";
        let told: String = current.query_row(told, [], |row| row.get(0)).unwrap();
        assert_eq!(told, format!("{turn} {}", hex(&fs::read(&elsewhere).unwrap())));
        // It is put back, and goes again.
        assert!(Command::new("cp").arg("-a").args([&elsewhere, &month]).status().unwrap().success());
    }
    service.stop();
}

fn hex(file: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    Sha256::digest(file).iter().map(|octet| format!("{octet:02x}")).collect()
}
