//! Claims: what the next start would refuse is known before the service is stopped, and nothing is done then; a terminal that is lost in
//! the middle of an upgrade, or Ctrl-C, leaves nobody without a service; and a credential that is in both places stops no reload.

#[path = "upgrade/manager.rs"]
mod manager;
mod support;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicI32, Ordering};

use manager::{Manager, done, failed, said, upgrade};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use support::{CREDENTIAL, Service, await_that, gatepost, is_root};

/// For a restart that comes: more than it takes on a busy machine.
const LONG: &str = "60s";
/// An address for documents (RFC 5737), which no machine has.
const NOWHERE: &str = "192.0.2.77:2525";
/// Where the header of a database of SQLite has the number of its form.
const USER_VERSION: u64 = 60;

#[test]
fn what_the_next_start_would_refuse_ends_nothing() {
    let mut service = Service::start();
    let (config, marker) = (service.config(), service.folder.path().join("touched"));
    let line = format!("touch {}; exit 3", marker.display());
    let sound = fs::read_to_string(&config).unwrap();
    let refused = |words: &str| {
        let text = failed(&upgrade(&config, &[], &line).output().unwrap());
        assert!(text.contains(words) && text.to_lowercase().contains("nothing was done"), "{words}: {text}");
        assert!(!marker.exists(), "{words}: it was restarted: {text}");
    };
    let at = format!("\"127.0.0.1:{}\"", service.smtp);
    let with = |from: &str, to: &str| fs::write(&config, sound.replacen(from, to, 1)).unwrap();

    with("gate.test.example", "other.test.example");
    refused("hostname was changed");
    let text = failed(&service.command(&["reload"]));
    assert!(
        text.contains("no start on this state takes another one") && !text.contains("restart the service"),
        "{text}"
    );
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    with(&at, &format!("{at}, \"{}\"", taken.local_addr().unwrap()));
    refused("another process has this port");
    with(&at, &format!("{at}, \"{NOWHERE}\""));
    refused("this machine has no such address");
    with("/state\"", "/empty\"");
    refused("state_directory was changed");
    assert!(!service.folder.path().join("empty").exists());
    fs::write(&config, &sound).unwrap();

    let heads = service.folder.path().join("heads");
    let anchor = |path: &Path| {
        let path = path.display();
        fs::write(&config, format!("{sound}\n[[anchor]]\nname = \"file\"\nkind = \"file\"\npath = \"{path}\"\n"))
            .unwrap();
    };
    anchor(&heads.join("none"));
    refused("the file of an anchor");
    fs::write(&heads, "").unwrap();
    fs::set_permissions(&heads, fs::Permissions::from_mode(0o666)).unwrap();
    anchor(&heads);
    refused("lets others write: chmod go-w");
    assert!(
        said(&service.command(&["doctor", "--offline", "--fallback-ids"])).contains("lets others write: chmod go-w")
    );
    fs::write(&config, &sound).unwrap();

    let state = service.folder.path().join("state");
    let doctor = |path: &Path| {
        let mut command = gatepost();
        command.args(["doctor", "--offline", "--fallback-ids", "--config"]).arg(&config);
        let text = said(&command.output().unwrap());
        let name = path.display().to_string();
        let lines: Vec<&str> = text.lines().filter(|line| line.contains("permissions.state")).collect();
        assert!(matches!(lines.as_slice(), [line] if line.starts_with("fail") && line.contains(&name)), "{text}");
    };
    for (name, mode) in
        [("master/master.key", 0o644), ("seal/log.key", 0o640), ("audit", 0o2755), ("db/vault.db", 0o400)]
    {
        let path = state.join(name);
        let before = fs::metadata(&path).unwrap().permissions();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        refused("chmod it");
        doctor(if mode & 0o040 != 0 && path.is_file() { path.parent().unwrap() } else { &path });
        fs::set_permissions(&path, before).unwrap();
    }
    let database = state.join("db/vault.db");
    let version = |number: &[u8; 4]| {
        let file = fs::OpenOptions::new().read(true).write(true).open(&database).unwrap();
        let mut before = [0; 4];
        file.read_exact_at(&mut before, USER_VERSION).unwrap();
        file.write_all_at(number, USER_VERSION).unwrap();
        before
    };
    let before = version(&u32::MAX.to_be_bytes());
    refused("was written by a newer Gatepost");
    doctor(&database);
    version(&before);
    damaged_while_it_serves(&state, &refused, &doctor);
    if is_root() {
        closed_to_the_service(&service, &refused);
    }
    let next = state.join("master/next.key");
    nix::unistd::mkfifo(&next, nix::sys::stat::Mode::S_IRWXU).unwrap();
    refused("it is no file");
    fs::remove_file(&next).unwrap();
    let (slot, aside) = (state.join("seal/head.0"), state.join("seal/aside"));
    fs::rename(&slot, &aside).unwrap();
    fs::create_dir(&slot).unwrap();
    refused("head.0: Is a directory");
    fs::remove_dir(&slot).unwrap();
    fs::rename(&aside, &slot).unwrap();
    let long = format!("/run/{}", "x".repeat(90));
    with("/run\"", &format!("{long}\""));
    let text = failed(&service.command(&["check"]));
    assert!(text.contains("choose a shorter runtime_directory"), "{text}");
    fs::write(&config, &sound).unwrap();
    // Too open, and no reason not to start.
    let audit = state.join("audit/audit.db");
    fs::set_permissions(&audit, fs::Permissions::from_mode(0o646)).unwrap();
    doctor(&audit);
    fs::set_permissions(&audit, fs::Permissions::from_mode(0o640)).unwrap();
    if is_root() {
        for name in ["db/vault.db", "audit/audit.db"] {
            let path = state.join(name);
            let user = fs::metadata(&path).unwrap().uid();
            chown(&path, Some(0), None).unwrap();
            refused("belongs to user 0");
            doctor(&path);
            chown(&path, Some(user), None).unwrap();
        }
        let group = fs::metadata(state.join("audit")).unwrap().gid();
        chown(state.join("audit"), None, Some(group + 1)).unwrap();
        refused("chgrp it");
        chown(state.join("audit"), None, Some(group)).unwrap();
    }

    if is_root() {
        // Whom nothing stands in for, also where made-up users do for others.
        let program = fs::canonicalize("/bin/cat").unwrap();
        let upstream = format!(
            "[[upstream]]\nname = \"local\"\nkind = \"sendmail\"\ncommand = {program:?}\nuser = \"_gatepost-nosuch\"\n"
        );
        fs::write(
            &config,
            format!("{sound}\n{upstream}").replacen("via = [\"sink\"]", "via = [\"sink\", \"local\"]", 1),
        )
        .unwrap();
        refused("the user _gatepost-nosuch, which an upstream names, does not exist");
        fs::write(&config, &sound).unwrap();
    }
    // Where it listens now and will not any more is in nobody's way.
    with(&at, &at.replace("127.0.0.1", "0.0.0.0"));
    let text = failed(&upgrade(&config, &[], &line).output().unwrap());
    assert!(marker.exists() && text.contains("exit status: 3"), "{text}");
    fs::write(&config, &sound).unwrap();
    assert!(service.is_running());
    service.stop();
}

/// Databases that no start would open, each put back.
fn damaged_while_it_serves(state: &Path, refused: &dyn Fn(&str), doctor: &dyn Fn(&Path)) {
    let told = |path: &Path, words: &str| {
        refused(words);
        doctor(path);
    };
    let (vault, audit, aside) = (state.join("db/vault.db"), state.join("audit/audit.db"), state.join("aside"));
    let file = fs::OpenOptions::new().read(true).write(true).open(&vault).unwrap();
    let mut magic = [0; 16];
    file.read_exact_at(&mut magic, 0).unwrap();
    file.write_all_at(b"sixteen of text!", 0).unwrap();
    told(&vault, "its header is damaged");
    file.write_all_at(&magic, 0).unwrap();
    fs::rename(&vault, &aside).unwrap();
    refused("does not have its database in");
    doctor(&vault);
    fs::rename(&aside, &vault).unwrap();
    let whole = fs::read(&audit).unwrap();
    for octets in [&whole[..20_000], &b"a text in its place. ".repeat(50)] {
        fs::write(&audit, octets).unwrap();
        told(&audit, "with the service stopped, move this one file away");
    }
    fs::write(&audit, whole).unwrap();
    fs::rename(&audit, &aside).unwrap();
    fs::create_dir(&audit).unwrap();
    told(&audit, "is a directory, and must be a file");
    fs::remove_dir(&audit).unwrap();
    fs::rename(&aside, &audit).unwrap();
}

/// What root may open that calls a command, and the parent of root's service no more once it is confined.
fn closed_to_the_service(service: &Service, refused: &dyn Fn(&str)) {
    /// Nobody's here.
    const OTHER: u32 = 61_999;
    let told = |path: &Path| {
        let name = path.display().to_string();
        refused(&name);
        let text = said(&service.command(&["doctor", "--offline", "--fallback-ids"]));
        let is_told =
            |line: &str| line.starts_with("fail") && line.contains("configuration.files") && line.contains(&name);
        assert!(text.lines().any(is_told), "{text}");
    };
    let tls = service.folder.path().join("tls");
    fs::create_dir(&tls).unwrap();
    let (config, state) = (service.config(), service.folder.path().join("state"));
    let sound = fs::read_to_string(&config).unwrap();
    for name in ["certificate.pem", "key.pem"] {
        fs::copy(service.folder.path().join(name), tls.join(name)).unwrap();
    }
    let password = service.folder.path().join("password");
    fs::write(&password, "kV7xpQ2mZx9Lr4Tn8Wb3Yc6H\n").unwrap();
    let moved = sound.replace("/certificate.pem", "/tls/certificate.pem").replace("/key.pem", "/tls/key.pem");
    let login = format!("kind = \"smtp\"\nusername = \"gate\"\npassword_file = \"{}\"", password.display());
    fs::write(&config, moved.replacen("kind = \"smtp\"", &login, 1).replace("tls = \"none\"", "tls = \"starttls\""))
        .unwrap();
    let files = [
        tls.join("key.pem"),
        tls.join("certificate.pem"),
        password,
        state.join("seal/log.key"),
        state.join("master/master.key"),
    ];
    for path in &files {
        let before = fs::metadata(path).unwrap();
        for (owner, mode) in [(OTHER, 0o600), (0, 0o000)] {
            chown(path, Some(owner), None).unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
            told(path);
        }
        chown(path, Some(0), None).unwrap();
        fs::set_permissions(path, before.permissions()).unwrap();
    }
    chown(&tls, Some(OTHER), None).unwrap();
    fs::set_permissions(&tls, fs::Permissions::from_mode(0o700)).unwrap();
    told(&tls.join("key.pem"));
    fs::write(&config, &sound).unwrap();
}

/// Starts it in a process group of its own, as a shell does.
fn spawn(config: &Path, line: &str) -> (Child, Pid) {
    let child = upgrade(config, &["--timeout", LONG], line).process_group(0).spawn().unwrap();
    let group = Pid::from_raw(i32::try_from(child.id()).unwrap());
    (child, group)
}

#[test]
fn a_lost_terminal_or_ctrl_c_ends_no_restart_that_has_begun() {
    let mut service = Service::start();
    let (config, manager) = (service.config(), Manager::new(&service));
    let over = service.folder.path().join("over");
    let line = format!("{}; touch {}", manager.line(), over.display());
    let group = AtomicI32::new(0);
    let (times, output) = std::thread::scope(|scope| {
        let service = &mut service;
        let keeper = scope.spawn(|| {
            manager.run(service, || {
                await_that("the command is known", || group.load(Ordering::Relaxed) != 0);
                killpg(Pid::from_raw(group.load(Ordering::Relaxed)), Signal::SIGHUP).unwrap();
            })
        });
        let (child, its) = spawn(&config, &line);
        group.store(its.as_raw(), Ordering::Relaxed);
        let output = child.wait_with_output().unwrap();
        manager.end();
        (keeper.join().unwrap(), output)
    });
    let text = done(&output);
    assert!(times == 1 && text.contains("in the place of"), "{text}");
    assert!(over.exists(), "what restarts it came to its end");

    let [begun, go, over] = ["begun", "go", "late"].map(|name| service.folder.path().join(name));
    let line = format!(
        "touch {}; while [ ! -e {} ]; do sleep 0.05; done; touch {}",
        begun.display(),
        go.display(),
        over.display()
    );
    let (mut child, group) = spawn(&config, &line);
    await_that("it is under way", || begun.exists());
    killpg(group, Signal::SIGINT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1));
    fs::write(&go, "").unwrap();
    let mut text = String::new();
    child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
    assert!(text.contains("interrupted; sh -c") && text.contains("goes on: the service"), "{text}");
    await_that("what restarts it comes to its end", || over.exists());
    service.stop();
}

/// What the file has of a secret.
fn declared(secret: &str) -> String {
    let mut hash = gatepost();
    let mut hash =
        hash.args(["credential", "hash", "--json"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    writeln!(hash.stdin.take().unwrap(), "{secret}").unwrap();
    let object: serde_json::Value = serde_json::from_slice(&hash.wait_with_output().unwrap().stdout).unwrap();
    let (key, hash) = (&object["key"], &object["hash"]);
    format!(
        "\n[[credential]]\nid = \"{CREDENTIAL}\"\nsenders = [\"@example.net\"]\nsecrets = [{{ key = {key}, hash = {hash} }}]\n"
    )
}

#[test]
fn a_credential_that_a_start_took_beside_the_vaults_stops_no_reload_and_the_vaults_takes_no_mail_with_it() {
    let mut service = Service::start();
    let secret = service.add_credential();
    let (config, more) = (service.config(), declared(&secret));
    let sound = fs::read_to_string(&config).unwrap();
    fs::write(&config, format!("{sound}{more}")).unwrap();
    let text = failed(&service.command(&["reload"]));
    assert!(text.contains("is in the vault already"), "{text}");
    let both = |service: &Service, is_told: bool| {
        for words in [&["check"][..], &["doctor", "--offline"]] {
            let text = said(&service.command(words));
            assert_eq!(text.contains("is in the vault, too"), is_told, "{words:?}: {text}");
        }
    };
    // No reload can take it in; a start does.
    both(&service, true);
    service.end();
    service.restart();
    both(&service, true);
    let from = service.log().len();
    done(&service.command(&["reload"]));
    service.await_log(from, "reload done");
    done(&service.command(&["route", "pause", "sink"]));
    assert_eq!(service.log_in(&secret).send("waits"), 250);
    let text = done(&service.command(&["credential", "remove", CREDENTIAL, "--yes"]));
    assert!(text.contains("its mail was not touched"), "{text}");
    done(&service.command(&["route", "resume", "sink"]));
    service.await_arrival(vec!["waits".to_owned()]);
    assert_eq!(service.log_in(&secret).send("after"), 250);
    both(&service, false);
    done(&service.command(&["reload"]));
    service.stop();
}
