//! Claims: a backup that is taken under load holds everything that was acknowledged before it began; restored, it overwrites
//! nothing, waits until it is released, and what another log shows as delivered is not delivered again; and what is no whole
//! backup of ours is refused before anything is touched.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use gatepost::sink::{Options, Sink};
use nix::sys::signal::Signal;
use support::dice::Dice;
use support::programs::said;
use support::senders::{Senders, Target};
use support::{PATIENCE, Service, await_that, free_port, gatepost};

/// A service whose upstream listens at no port yet.
fn begin() -> (Service, String, u16) {
    let mut service = Service::start();
    let secret = service.add_credential();
    service.end();
    let closed = free_port();
    let text = fs::read_to_string(service.config()).unwrap();
    let hosts = text.lines().find(|line| line.starts_with("hosts")).unwrap();
    fs::write(service.config(), text.replace(hosts, &format!("hosts = [\"127.0.0.1:{closed}\"]"))).unwrap();
    service.start_again();
    (service, secret, closed)
}

fn done(output: &Output) -> String {
    assert!(output.status.success(), "{}", said(output));
    said(output)
}

fn restore(service: &Service, backup: &Path, more: &[&str]) -> Output {
    let mut command = gatepost();
    command.arg("restore").arg(backup).args(more).args(["--fallback-ids", "--config"]).arg(service.config());
    command.output().unwrap()
}

/// Everything that arrives until so many have, and then nothing for a moment.
fn collect(sink: &Sink, count: usize, log: impl Fn() -> String) -> BTreeMap<String, usize> {
    let (mut arrived, deadline) = (BTreeMap::new(), Instant::now() + PATIENCE + PATIENCE);
    while arrived.len() < count {
        assert!(Instant::now() < deadline, "{} of {count} arrived\n{}", arrived.len(), log());
        take(sink, Duration::from_millis(200), &mut arrived);
    }
    while take(sink, Duration::from_millis(1500), &mut arrived) {}
    arrived
}

fn take(sink: &Sink, wait: Duration, arrived: &mut BTreeMap<String, usize>) -> bool {
    let Some(received) = sink.next(wait) else { return false };
    let text = String::from_utf8_lossy(&received.content).into_owned();
    let subject = text.lines().find_map(|line| line.strip_prefix("Subject: ")).unwrap().to_owned();
    *arrived.entry(subject).or_default() += 1;
    true
}

#[test]
fn what_was_acknowledged_before_a_backup_is_in_it_and_is_delivered_once_after_a_restore() {
    let (mut service, secret, port) = begin();
    let mut dice = Dice::for_test("backup");
    let senders = Senders::start(&Target::of(&service, &secret), "load", 2, 1, &mut dice);
    await_that("mail flows", || senders.acknowledged() > 60);
    let before = senders.book();
    let backup = service.folder.path().join("backup");
    let mut command = gatepost();
    let told = done(&command.arg("backup").arg(&backup).arg("--config").arg(service.config()).output().unwrap());
    assert!(told.contains("The keys are not in it"), "{told}");
    await_that("mail flows on", || senders.acknowledged() > before.len() + 20);
    let all = senders.stop();
    assert_eq!(fs::metadata(&backup).unwrap().permissions().mode() & 0o777, 0o700);
    let names: Vec<String> =
        fs::read_dir(&backup).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert!(names.iter().any(|name| name.starts_with("body-")) && names.contains(&"audit.db".to_owned()), "{names:?}");
    assert!(!names.iter().any(|name| name.contains("key")), "{names:?}");
    let left = |folder: &str| {
        let entries = fs::read_dir(service.folder.path().join("state").join(folder)).unwrap().flatten();
        entries.filter(|entry| entry.file_name().to_string_lossy().starts_with("copy-")).count()
    };
    await_that("the copies are removed", || left("db") == 0);

    // Two of those before the backup must not leave before the disaster; all others do.
    let held: Vec<(&String, &support::senders::Acknowledged)> = before.iter().take(2).collect();
    // The last of those after it never leaves, and no database knows it then.
    let gone = all.iter().max_by_key(|(_, message)| message.at_us).expect("one after the backup");
    let kept_back: Vec<&String> = held.iter().map(|(subject, _)| *subject).chain([gone.0]).collect();
    for message in held.iter().map(|(_, message)| message).chain([&gone.1]) {
        done(&service.command(&["queue", "hold", "--message", &message.id]));
    }
    let sink = Sink::start(TcpListener::bind(("127.0.0.1", port)).unwrap(), Options::default());
    service.signal(Signal::SIGHUP);
    let arrived = collect(&sink, all.len() - kept_back.len(), || service.log());
    assert!(kept_back.iter().all(|subject| !arrived.contains_key(*subject)));
    assert_eq!(arrived.len(), all.len() - kept_back.len());
    service.await_sound("before the disaster");
    // A service that no command finds any more has its database open all the same.
    let socket = service.folder.path().join("run/control.sock");
    fs::rename(&socket, socket.with_extension("away")).unwrap();
    let refused = restore(&service, &backup, &["--aside"]);
    assert!(!refused.status.success() && said(&refused).contains("vault.db open"), "{}", said(&refused));
    fs::rename(socket.with_extension("away"), &socket).unwrap();
    service.end();

    let refused = restore(&service, &backup, &[]);
    assert!(!refused.status.success() && said(&refused).contains("nothing is overwritten"), "{}", said(&refused));
    let told = done(&restore(&service, &backup, &["--aside"]));
    assert!(told.contains("audit.before-") && told.contains("held"), "{told}");
    let state = service.folder.path().join("state");
    let (db, audit) = (fs::metadata(state.join("db")).unwrap(), fs::metadata(state.join("audit")).unwrap());
    assert_eq!((db.mode() & 0o7777, audit.mode() & 0o7777), (0o700, 0o2750));
    let from = service.log().len();
    service.start_again();
    assert!(
        service.log()[from.min(service.log().len())..].contains("what waits is held")
            || service.log().contains("what waits is held")
    );
    assert!(sink.next(Duration::from_secs(3)).is_none(), "what was restored waits");
    let log = said(&service.command(&["audit", "query", "--json"]));
    assert!(log.contains("from-backup") && !log.contains("daemon.crash"), "nothing has crashed: {log}");
    // And once more: then two logs were moved aside, and what was delivered stands in the first.
    service.end();
    let object = restore(&service, &backup, &["--aside", "--json"]);
    let object: serde_json::Value = serde_json::from_slice(&object.stdout).unwrap();
    assert_eq!(object["state_directory"], service.folder.path().join("state").to_str().unwrap());
    assert!(object["files"].as_u64() > Some(1) && object["events"].as_u64() > Some(1), "{object}");
    let aside: Vec<&str> = object["set_aside"].as_array().unwrap().iter().map(|path| path.as_str().unwrap()).collect();
    assert!(aside.len() == 2 && aside.iter().all(|path| Path::new(path).is_dir()), "{object}");
    assert!(object["lacks_master_key"] == false && object["lacks_log_key"] == false, "{object}");
    service.start_again();

    // One who can write to that log makes it say that everything was delivered.
    let aside = fs::read_dir(&state).unwrap().map(|entry| entry.unwrap().path());
    let mut aside = aside.filter(|path| path.to_string_lossy().contains("/audit.before-")).collect::<Vec<_>>();
    aside.sort();
    assert_eq!(aside.len(), 2);
    let forged = service.folder.path().join("forged");
    fs::create_dir(&forged).unwrap();
    for entry in fs::read_dir(&aside[0]).unwrap().map(Result::unwrap) {
        fs::copy(entry.path(), forged.join(entry.file_name())).unwrap();
    }
    let log = rusqlite::Connection::open(forged.join("audit.db")).unwrap();
    log.execute("UPDATE event SET event = 'deliver.success' WHERE event = 'msg.accept'", []).unwrap();
    log.close().unwrap();
    let refused = service.command(&["queue", "reconcile", "--audit", forged.to_str().unwrap()]);
    assert!(!refused.status.success() && said(&refused).contains("does not verify"), "{}", said(&refused));

    let sum = service.command(&["queue", "reconcile", "--json"]);
    let sum: serde_json::Value = serde_json::from_slice(&sum.stdout).unwrap_or_else(|_| panic!("{}", said(&sum)));
    assert_eq!(sum["left"]["messages"], held.len(), "{sum}");
    assert_eq!(sum["unclear"], 0, "{sum}");
    let lost: Vec<_> = sum["lost"].as_array().unwrap().iter().map(|one| one["message"].as_str().unwrap()).collect();
    assert_eq!(lost, [gone.1.id.as_str()], "{sum}");
    let ended = sum["ended"]["messages"].as_u64().unwrap();
    assert!(ended >= u64::try_from(before.len() - held.len()).unwrap(), "{sum}");
    done(&service.command(&["queue", "release", "--all"]));
    let arrived = collect(&sink, held.len(), || service.log());
    assert_eq!(arrived, held.iter().map(|(subject, _)| ((*subject).clone(), 1)).collect(), "these, and each once");
    service.stop();
}

#[test]
fn a_backup_that_is_not_whole_or_not_ours_is_refused_and_nothing_is_touched() {
    let (mut service, secret, _) = begin();
    let mut session = service.log_in(&secret);
    assert_eq!(session.send("waits"), 250);
    let backup = service.folder.path().join("backup");
    let take = |to: &PathBuf| gatepost().arg("backup").arg(to).arg("--config").arg(service.config()).output().unwrap();
    done(&take(&backup));
    assert!(said(&take(&backup)).contains("exists already"));
    let within = take(&service.folder.path().join("state/db/body-2026"));
    assert!(!within.status.success() && said(&within).contains("is within the state_directory"), "{}", said(&within));
    let nowhere = take(&service.folder.path().join("none/backup"));
    assert!(!nowhere.status.success() && said(&nowhere).contains("make it first"), "{}", said(&nowhere));
    assert!(said(&restore(&service, &backup, &[])).contains("the service runs"));
    service.end();
    assert!(
        said(
            &gatepost()
                .arg("backup")
                .arg(service.folder.path().join("other"))
                .arg("--config")
                .arg(service.config())
                .output()
                .unwrap()
        )
        .contains("does not run")
    );
    fs::rename(service.folder.path().join("state"), service.folder.path().join("gone")).unwrap();
    let state = service.folder.path().join("state");
    let refused = |why: &str| {
        let output = restore(&service, &backup, &[]);
        assert!(!output.status.success() && said(&output).contains(why), "{why:?}: {}", said(&output));
        assert!(!state.join("db").exists() && !state.join("audit").exists());
    };
    let path = backup.join("vault.db");
    let whole = fs::read(&path).unwrap();
    let mut changed = whole.clone();
    changed[5000] ^= 1;
    fs::write(&path, &changed).unwrap();
    refused("not what the manifest says");
    fs::write(&path, &whole[..whole.len() - 1]).unwrap();
    refused("not what the manifest says");
    fs::remove_file(&path).unwrap();
    refused("vault.db");
    fs::write(&path, &whole).unwrap();
    fs::write(backup.join("more"), b"x").unwrap();
    refused("not in its manifest");
    fs::remove_file(backup.join("more")).unwrap();
    let path = backup.join("manifest.json");
    let manifest = fs::read_to_string(&path).unwrap();
    for (from, to, why) in [
        ("gatepost-backup/1", "gatepost-backup/2", "reads"),
        ("\"vault.db\"", "\"../vault.db\"", "belongs to no backup"),
        ("\"schema\": ", "\"schema\": 9", "newer Gatepost"),
        ("{", "[", "no manifest"),
    ] {
        fs::write(&path, manifest.replacen(from, to, 1)).unwrap();
        refused(why);
    }
    fs::write(&path, &manifest).unwrap();
    // No room for it: files of a few KiB at most.
    let program = gatepost().get_program().to_owned();
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' XFSZ; ulimit -f 8; exec \"$@\"", "sh"]).arg(program).arg("restore").arg(&backup);
    let output = command.args(["--fallback-ids", "--config"]).arg(service.config()).output().unwrap();
    assert!(!output.status.success() && said(&output).contains("nothing of it stays"), "{}", said(&output));
    let left: Vec<_> = fs::read_dir(&state).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.is_empty(), "{left:?}");
    // A restore that a power cut broke off between the two folders: what is there is not served, and it goes on.
    let unfinished = state.join("restore-unfinished");
    fs::create_dir_all(state.join("audit")).unwrap();
    fs::write(&unfinished, "20261120T000000Z db audit\n").unwrap();
    fs::write(state.join("audit/audit.db"), b"of before").unwrap();
    let started = gatepost().args(["serve", "--fallback-ids", "--config"]).arg(service.config()).output().unwrap();
    assert!(!started.status.success() && said(&started).contains("give gatepost restore again"), "{}", said(&started));
    let manifest = manifest.replacen("\"version\": \"", "\"version\": \"\\u001b[2J", 1);
    fs::write(&path, &manifest).unwrap();
    // Elsewhere, with a master key of its own: it is said, and the mail is held and not lost.
    let told = done(&restore(&service, &backup, &[]));
    assert!(told.contains("put master.key and master.id"), "{told}");
    assert!(told.contains("\\u{1b}[2J") && !told.contains('\u{1b}'), "a backup's words steer no terminal: {told}");
    let before = fs::read(state.join("audit.before-20261120T000000Z/audit.db")).unwrap();
    assert!(!unfinished.exists() && before == b"of before");
    fs::create_dir(state.join("master")).unwrap();
    fs::set_permissions(state.join("master"), fs::Permissions::from_mode(0o700)).unwrap();
    for name in ["master.key", "master.id"] {
        fs::copy(service.folder.path().join("gone/master").join(name), state.join("master").join(name)).unwrap();
    }
    assert!(told.contains("Put your copy of log.key and log.vkey"), "{told}");
    let started = gatepost().args(["serve", "--fallback-ids", "--config"]).arg(service.config()).output().unwrap();
    assert!(!started.status.success() && said(&started).contains("neither its key"), "{}", said(&started));
    fs::create_dir(state.join("seal")).unwrap();
    fs::set_permissions(state.join("seal"), fs::Permissions::from_mode(0o700)).unwrap();
    for name in ["log.key", "log.vkey"] {
        fs::copy(service.folder.path().join("gone/seal").join(name), state.join("seal").join(name)).unwrap();
    }
    // It is called as a body is, and stops no start.
    fs::create_dir(state.join("db/body-2026")).unwrap();
    service.start_again();
    let listed = done(&service.command(&["queue", "release", "--all", "--json"]));
    assert!(listed.contains("\"messages\":1"), "{listed}");
    service.stop();
}
