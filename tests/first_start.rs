//! Claims: a part of the state that is missing is not taken for a first start. The start is refused, says what to do, and
//! touches nothing, be it the database, the log's key or the master key that is gone; what is put back goes on as if nothing
//! had been; what is lost for good has a way on that loses no more. And a first start that is killed is followed by another.

mod support;

use std::fs;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;
use support::auditor::said;
use support::dice::Dice;
use support::{Service, Setting, await_that, configuration, free_port, gatepost, processes};

/// First starts that are killed.
const KILLS: usize = 12;
/// A first start takes about this long.
const START_MS: u64 = 900;

fn state(service: &Service, name: &str) -> PathBuf {
    service.folder.path().join("state").join(name)
}

fn away(service: &Service, name: &str) -> PathBuf {
    service.folder.path().join(format!("away-{}", name.replace('/', "-")))
}

fn done(output: &Output) -> String {
    assert!(output.status.success(), "{}", said(output));
    said(output)
}

/// A service that is stopped, with a small and a large message waiting for an upstream that isn't there; its configuration
/// names the one that is.
fn with_mail() -> (Service, Vec<String>) {
    let mut service = Service::start();
    let secret = service.add_credential();
    service.end();
    let right = fs::read_to_string(service.config()).unwrap();
    let hosts = right.lines().find(|line| line.starts_with("hosts")).unwrap();
    fs::write(service.config(), right.replace(hosts, &format!("hosts = [\"127.0.0.1:{}\"]", free_port()))).unwrap();
    service.start_again();
    let lines = format!("{}\r\n", "x".repeat(800)).repeat(120);
    for subject in ["small".to_owned(), format!("large\r\n\r\n{lines}")] {
        assert_eq!(service.log_in(&secret).send(&subject), 250);
    }
    service.end();
    fs::write(service.config(), right).unwrap();
    (service, vec!["small".to_owned(), "large".to_owned()])
}

/// The start is refused with these words, and nothing in `db/` is another than before.
fn assert_refused(service: &Service, words: &str) {
    let list = || {
        let entries = fs::read_dir(state(service, "db")).map(|entries| entries.map(|entry| entry.unwrap().path()));
        let mut all: Vec<_> =
            entries.into_iter().flatten().map(|path| (path.clone(), fs::read(path).unwrap())).collect();
        all.sort();
        all
    };
    let before = list();
    let mut command = gatepost();
    let output = command.args(["serve", "--fallback-ids", "--config"]).arg(service.config()).output().unwrap();
    assert!(!output.status.success() && said(&output).contains(words), "{words:?}: {}", said(&output));
    assert!(list() == before, "{words:?}: db/ was touched");
}

fn set_aside(service: &Service, names: &[&str]) {
    names.iter().for_each(|name| fs::rename(state(service, name), away(service, name)).unwrap());
}

fn put_back(service: &Service, names: &[&str]) {
    for name in names {
        let path = state(service, name);
        let _ = fs::remove_dir_all(&path).or_else(|_| fs::remove_file(&path));
        fs::rename(away(service, name), path).unwrap();
    }
}

fn assert_verifies(service: &Service, keys: &[&Path], code: i32) {
    let keys = keys.iter().flat_map(|key| ["--key", key.to_str().unwrap()]);
    let words: Vec<&str> = ["audit", "verify"].into_iter().chain(keys).collect();
    let mut told = String::new();
    await_that("the log is sealed", || {
        let output = service.command(&words);
        told = said(&output);
        assert!([Some(code), Some(2), Some(14)].contains(&output.status.code()), "{:?}: {told}", output.status);
        output.status.code() == Some(code)
    });
}

#[test]
fn a_database_that_is_gone_is_no_first_start_and_its_mail_is_delivered_when_it_is_back() {
    let (mut service, subjects) = with_mail();
    const GONE: &str = "this is no first start";
    for names in [&["db/vault.db"][..], &["db"], &["db", "audit"]] {
        set_aside(&service, names);
        assert_refused(&service, GONE);
        put_back(&service, names);
    }
    set_aside(&service, &["db/vault.db"]);
    fs::write(state(&service, "db/vault.db"), b"").unwrap();
    assert_refused(&service, GONE);
    let offline = service.command(&["credential", "list", "--fallback-ids"]);
    assert!(!offline.status.success() && said(&offline).contains(GONE), "{}", said(&offline));
    put_back(&service, &["db/vault.db"]);
    // A header that was overwritten: the file is of use as it is, with what lies beside it.
    let file = fs::File::options().write(true).open(state(&service, "db/vault.db")).unwrap();
    let header = fs::read(state(&service, "db/vault.db")).unwrap()[..16].to_vec();
    file.write_all_at(&[0xff; 16], 0).unwrap();
    assert_refused(&service, "keep db/ whole as it is");
    file.write_all_at(&header, 0).unwrap();
    service.start_again();
    service.await_arrival(subjects);
    assert_verifies(&service, &[], 0);

    // The way to begin anew.
    service.end();
    set_aside(&service, &["db", "audit", "seal"]);
    service.start_again();
    assert!(!done(&service.command(&["credential", "list"])).contains(support::CREDENTIAL));
    let secret = service.add_credential();
    assert_eq!(service.log_in(&secret).send("anew"), 250);
    service.await_arrival(vec!["anew".to_owned()]);
    assert_verifies(&service, &[], 0);
    service.stop();
}

#[test]
fn a_log_key_that_is_gone_is_not_made_anew_unasked_and_there_is_a_way_with_and_without_it() {
    let (mut service, subjects) = with_mail();
    let old = away(&service, "seal").join("log.vkey");
    set_aside(&service, &["seal"]);
    assert_refused(&service, "there is a log, but neither its key");
    put_back(&service, &["seal"]);
    service.start_again();
    service.await_arrival(subjects);
    assert_verifies(&service, &[], 0);
    service.end();

    // The keys from where they are kept apart, without the heads.
    let (seal, declare) = (state(&service, "seal"), ["audit", "resume", "--accept-loss", "the disk of seal/ was lost"]);
    let empty = |service: &Service| {
        set_aside(service, &["seal"]);
        fs::create_dir(&seal).unwrap();
        fs::set_permissions(&seal, fs::Permissions::from_mode(0o700)).unwrap();
    };
    empty(&service);
    for name in ["log.key", "log.vkey"] {
        fs::copy(away(&service, "seal").join(name), seal.join(name)).unwrap();
    }
    let from = service.log().len();
    service.start_again();
    service.await_log(from, "the sealer has lost what it signed");
    done(&service.command(&declare));
    assert_verifies(&service, &[], 15);
    service.end();

    // Without them.
    fs::rename(away(&service, "seal"), service.folder.path().join("away-first")).unwrap();
    empty(&service);
    assert_refused(&service, "make an empty file head.0");
    fs::write(seal.join("head.0"), b"").unwrap();
    let from = service.log().len();
    service.start_again();
    service.await_log(from, "the sealer has lost what it signed");
    done(&service.command(&declare));
    assert_verifies(&service, &[&old, &seal.join("log.vkey")], 15);
    service.stop();
}

#[test]
fn another_host_name_is_refused_untouched_and_there_is_a_way_to_one() {
    let (mut service, subjects) = with_mail();
    let text = fs::read_to_string(service.config()).unwrap();
    fs::write(service.config(), text.replacen("gate.test.example", "new.test.example", 1)).unwrap();
    assert_refused(&service, "hostname was changed");
    let vkey = state(&service, "seal/log.vkey");
    let old = away(&service, "seal/log.vkey");
    set_aside(&service, &["seal/log.vkey"]);
    let from = service.log().len();
    service.start_again();
    service.await_log(from, "the last head was signed with another key, or under another name");
    service.await_arrival(subjects);
    done(&service.command(&["audit", "resume", "--accept-loss", "the host name was changed"]));
    assert_verifies(&service, &[&old, &vkey], 15);
    service.stop();
}

#[test]
fn a_master_key_that_is_gone_is_not_made_anew_unasked_and_a_newer_one_and_it_can_both_be_used() {
    let (mut service, subjects) = with_mail();
    let master = state(&service, "master");
    set_aside(&service, &["master"]);
    assert_refused(&service, "bodies were sealed with one");
    // Lost for good, it seems: what waits is held.
    done(&service.command(&["queue", "rekey", "--lost", "--yes"]));
    let from = service.log().len();
    service.start_again();
    service.await_log(from, "messages wait whose master key is not here");
    let refused = service.command(&["queue", "rekey", "--lost", "--yes"]);
    assert!(!refused.status.success() && said(&refused).contains("the service runs"), "{}", said(&refused));
    // A service that no command finds any more goes on with its key all the same.
    let (socket, key) = (service.folder.path().join("run/control.sock"), fs::read(master.join("master.key")).unwrap());
    fs::rename(&socket, socket.with_extension("away")).unwrap();
    let refused = service.command(&["queue", "rekey", "--lost", "--yes"]);
    assert!(!refused.status.success() && said(&refused).contains("vault.db open"), "{}", said(&refused));
    assert!(fs::read(master.join("master.key")).unwrap() == key, "the key in use is where it was");
    fs::rename(socket.with_extension("away"), &socket).unwrap();
    service.end();
    // The old one is found: the newer one becomes the next one, and every key is wrapped with it.
    for name in ["key", "id"] {
        fs::rename(master.join(format!("master.{name}")), master.join(format!("next.{name}"))).unwrap();
        fs::copy(away(&service, "master").join(format!("master.{name}")), master.join(format!("master.{name}")))
            .unwrap();
    }
    service.start_again();
    done(&service.command(&["queue", "release", "--all"]));
    service.await_arrival(subjects);
    done(&service.command(&["queue", "rekey", "--yes"]));
    assert!(!master.join("next.key").exists());
    service.stop();
}

#[test]
fn a_first_start_that_is_killed_is_followed_by_one_that_serves() {
    let mut dice = Dice::for_test("first_start");
    let setting = Setting::default();
    for round in 0..KILLS {
        let folder = tempfile::Builder::new().prefix("gatepost-test-").tempdir().unwrap();
        setting.pair.write(folder.path());
        let text = configuration(folder.path(), free_port(), free_port(), free_port(), &setting);
        fs::write(folder.path().join("gatepost.toml"), text).unwrap();
        let mut command: Command = gatepost();
        command.args(["serve", "--fallback-ids", "--config"]).arg(folder.path().join("gatepost.toml"));
        let mut first = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(dice.below(START_MS)));
        let children = processes::all(first.id());
        first.kill().unwrap();
        children.iter().for_each(|child| processes::signal(*child, Signal::SIGKILL));
        first.wait().unwrap();
        await_that("all its processes are gone", || {
            children.iter().all(|child| processes::title(*child).is_none_or(|title| title.is_empty()))
        });
        let service = Service::start_in(folder, &setting);
        let secret = service.add_credential();
        assert_eq!(service.log_in(&secret).send("first"), 250, "round {round}");
        service.await_arrival(vec!["first".to_owned()]);
        assert_verifies(&service, &[], 0);
        service.stop();
    }
}
