//! Claims: a reload loses no session, what is new holds for new sessions, and a bad one changes nothing and says why.

mod support;

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::sys::signal::Signal;
use support::smtp::trusting;
use support::{Pair, Service, await_that, processes};

#[test]
fn rule_t11_a_reload_loses_no_session_and_a_bad_one_changes_nothing() {
    let service = Service::start();
    let secret = service.add_credential();
    let stop = Arc::new(AtomicBool::new(false));
    let workers: Vec<_> = (0..8)
        .map(|worker| {
            let mut session = service.log_in(&secret);
            let ended = Arc::clone(&stop);
            std::thread::spawn(move || {
                let mut sent = Vec::new();
                while !ended.load(Ordering::Relaxed) {
                    let name = format!("worker {worker} message {}", sent.len());
                    assert_eq!(session.send(&name), 250, "{name}");
                    sent.push(name);
                    std::thread::sleep(Duration::from_millis(20));
                }
                assert_eq!(session.say("QUIT"), 221);
                sent
            })
        })
        .collect();
    let mut seen = service.log().len();
    for _ in 0..3 {
        service.signal(Signal::SIGHUP);
        seen = service.await_log(seen, "reload done");
    }

    // A new pair is in use for new sessions once the reload is done.
    let next = Pair::ecdsa();
    next.write(service.folder.path());
    service.signal(Signal::SIGHUP);
    seen = service.await_log(seen, "reload done");
    drop(service.connect().secure(&trusting(&next)));

    // A key that isn't the certificate's: refused, the reason said, the pair of before still in use.
    std::fs::write(service.folder.path().join("key.pem"), Pair::ecdsa().key).unwrap();
    service.signal(Signal::SIGHUP);
    seen = service.await_log(seen, "reload refused");
    // The child's own line may come behind the parent's.
    service.await_log(0, "does not match");
    drop(service.connect().secure(&trusting(&next)));
    next.write(service.folder.path());

    // A configuration with a mistake: the same.
    let good = std::fs::read_to_string(service.config()).unwrap();
    std::fs::write(service.config(), format!("{good}\nhostnam = \"typo\"\n")).unwrap();
    service.signal(Signal::SIGHUP);
    // Meanwhile the gate may have refused, by itself, the key that was no pair.
    let said = service.await_log(seen, "hostnam");
    assert!(service.log()[seen..said].contains("reload refused"), "{}", service.log());
    drop(service.connect().secure(&trusting(&next)));
    std::fs::write(service.config(), good).unwrap();

    stop.store(true, Ordering::Relaxed);
    let ended: Vec<_> = workers.into_iter().map(std::thread::JoinHandle::join).collect();
    assert!(ended.iter().all(Result::is_ok), "a session was lost:\n{}", service.log());
    let sent: Vec<String> = ended.into_iter().flatten().flatten().collect();
    println!("{} messages on 8 sessions over 6 reloads", sent.len());
    service.await_arrival(sent);
    // Those of older generations have nobody left and are gone.
    await_that("old generations end", || processes::all(service.pid()).len() == 8);
    service.stop();
}

#[test]
fn who_falls_after_a_reload_or_in_the_middle_of_one_is_replaced_as_ever() {
    let service = Service::start();
    let secret = service.add_credential();
    let mut seen = service.log().len();
    let mut sent = Vec::new();
    for role in ["vault", "listener", "sealer", "vault", "listener"] {
        service.signal(Signal::SIGHUP);
        // The first three fall when it is done, the others while it is under way: then it is refused or done, not stuck.
        if sent.len() < 3 {
            seen = service.await_log(seen, "reload done");
        }
        let fallen = processes::child(service.pid(), role);
        processes::signal(fallen, Signal::SIGKILL);
        await_that("it is replaced", || processes::children(service.pid()).get(role).is_some_and(|pid| *pid != fallen));
        if sent.len() >= 3 {
            let ended = || ["reload done", "reload refused"].iter().any(|end| service.log()[seen..].contains(end));
            let deadline = std::time::Instant::now() + support::PATIENCE;
            while !ended() {
                assert!(std::time::Instant::now() < deadline, "the reload is stuck:\n{}", service.log());
                std::thread::sleep(Duration::from_millis(20));
            }
            seen = service.log().len();
        }
        let name = format!("after {role} fell, {}", sent.len());
        await_that("mail goes on", || {
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| service.log_in(&secret).send(&name)))
                .is_ok_and(|code| code == 250)
        });
        sent.push(name);
    }
    service.await_arrival(sent);
    service.stop();
}

#[test]
fn what_needs_a_restart_is_refused_whole() {
    let service = Service::start();
    let good = std::fs::read_to_string(service.config()).unwrap();
    let upstream = good.lines().find(|line| line.starts_with("hosts = ")).unwrap();
    let from_elsewhere = format!("{upstream}\nsource_address = [\"127.0.0.66\"]");
    let elsewhere = tempfile::tempdir().unwrap();
    service.pair.write(elsewhere.path());
    let folder = elsewhere.path().display().to_string();
    let (certificate, moved) =
        (format!("{}/certificate.pem", service.folder.path().display()), format!("{folder}/certificate.pem"));
    let of_folder = format!("{folder} held no such file at the start, and a new folder needs a restart");
    let mut seen = service.log().len();
    for (from, to, reason) in [
        (certificate.as_str(), moved.as_str(), of_folder.as_str()),
        (upstream, &*from_elsewhere, "the first source_address of an upstream was changed"),
        (
            "gate.test.example",
            "gate2.test.example",
            "hostname was changed, which names the audit log, and no start on this state takes another one",
        ),
        (upstream, "hosts = [\"127.0.0.1:9\"]", "port 9 of upstream \"sink\" is new, and a new port needs a restart"),
        ("/state\"", "/state2\"", "state_directory was changed to what needs a restart"),
    ] {
        assert!(good.contains(from), "{from}");
        std::fs::write(service.config(), good.replacen(from, to, 1)).unwrap();
        service.signal(Signal::SIGHUP);
        seen = service.await_log(seen, "reload refused");
        assert!(service.log().replace('\\', "").contains(reason), "{}", service.log());
    }
    std::fs::write(service.config(), good).unwrap();
    service.signal(Signal::SIGHUP);
    service.await_log(seen, "reload done");
    service.stop();
}

#[test]
fn a_listener_that_is_removed_is_closed_and_one_that_swaps_places_keeps_its_rules() {
    let service = Service::start();
    let good = std::fs::read_to_string(service.config()).unwrap();
    let mut seen = service.log().len();
    // SMTP and HTTP change ports: whoever connects afterwards meets the new protocol, the very first one included.
    let (smtp, http) = (service.smtp.to_string(), service.http.to_string());
    let swapped = good.replace(&smtp, "PORT").replace(&http, &smtp).replace("PORT", &http);
    std::fs::write(service.config(), swapped).unwrap();
    service.signal(Signal::SIGHUP);
    seen = service.await_log(seen, "reload done");
    for _ in 0..50 {
        assert_eq!(support::Smtp::connect(service.http).code(), 220);
    }
    let (head, rest) = good.split_once("[[listener]]\nname = \"api\"").unwrap();
    let (_, tail) = rest.split_once("[tls]").unwrap();
    std::fs::write(service.config(), format!("{head}[tls]{tail}")).unwrap();
    service.signal(Signal::SIGHUP);
    service.await_log(seen, "reload done");
    await_that("the removed listener's port is closed", || {
        std::net::TcpStream::connect((std::net::Ipv4Addr::LOCALHOST, service.http)).is_err()
    });
    assert_eq!(service.connect().code(), 220);
    service.stop();
}

/// What `gatepost reload` says on standard output and standard error, and whether it says that it was done.
fn reload(service: &Service, more: &[&str]) -> (bool, String, String) {
    let output = service.command(&[&["reload"], more].concat());
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.success(), text(output.stdout), text(output.stderr))
}

#[test]
fn the_command_waits_for_the_verdict_and_says_what_changed() {
    let service = Service::start();
    let good = std::fs::read_to_string(service.config()).unwrap();
    let (done, said, _) = reload(&service, &[]);
    assert!(done && said.contains("generation 2") && said.contains("no setting is another one"), "{said}");

    let other = good.replace("per_address = 8192", "per_address = 4096").replace("[limits]", "[limits]\nidle = \"4m\"");
    std::fs::write(service.config(), &other).unwrap();
    let (done, said, wrong) = reload(&service, &[]);
    assert!(done, "{said}{wrong}");
    assert!(said.contains("changed  listener[submission].per_address = 4096 (was 8192)"), "{said}");
    assert!(said.contains("added    limits.idle = \"4m\""), "{said}");
    // It serves before the command ends: no waiting for a log line.
    assert!(service.log().contains("reload done"), "{}", service.log());

    std::fs::write(service.config(), &good).unwrap();
    let (done, said, _) = reload(&service, &["--json"]);
    let object: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert!(done && object["reloaded"] == true && object["generation"] == 4, "{said}");
    let keys: Vec<&str> =
        object["changed"].as_array().unwrap().iter().map(|one| one["key"].as_str().unwrap()).collect();
    assert_eq!(keys, ["limits.idle", "listener[submission].per_address"]);

    // The log has it with who asked.
    let output = service.command(&["audit", "query", "--event", "config.load", "--json"]);
    let events = String::from_utf8(output.stdout).unwrap();
    let user = format!("uid {}", nix::unistd::geteuid());
    let line = events.lines().find(|line| line.contains("listener[submission].per_address"));
    assert!(line.is_some_and(|line| line.contains(&user)), "{events}");
    service.stop();
}

#[test]
fn the_command_fails_with_the_reason_when_nothing_was_changed() {
    let mut service = Service::start();
    let good = std::fs::read_to_string(service.config()).unwrap();
    std::fs::write(service.config(), format!("{good}\nhostnam = \"typo\"\n")).unwrap();
    let (done, said, wrong) = reload(&service, &[]);
    assert!(
        !done && said.is_empty() && wrong.contains("nothing was changed") && wrong.contains("hostnam"),
        "{said}{wrong}"
    );

    // All that needs a restart, at once.
    let fixed = good.replace("gate.test.example", "gate2.test.example").replace("/state\"", "/state2\"");
    std::fs::write(service.config(), fixed).unwrap();
    let (done, said, _) = reload(&service, &["--json"]);
    let object: serde_json::Value = serde_json::from_str(&said).unwrap();
    let reason = object["reason"].as_str().unwrap();
    assert!(!done && object["reloaded"] == false, "{said}");
    for wrong in
        ["hostname was changed, which names the audit log", "state_directory was changed to what needs a restart"]
    {
        assert!(reason.contains(wrong), "{reason}");
    }

    // Where the command would find the service: it listens where it did, and the command says so.
    let elsewhere = good.replace("/run\"", "/run2\"");
    assert_ne!(good, elsewhere);
    std::fs::write(service.config(), elsewhere).unwrap();
    let (done, said, wrong) = reload(&service, &["--json"]);
    let object: serde_json::Value = serde_json::from_str(&said).unwrap_or_else(|_| panic!("{said}{wrong}"));
    let reason = object["reason"].as_str().unwrap();
    assert!(!done && reason.contains("runtime_directory was changed to what needs a restart"), "{reason}");
    assert!(reason.contains("put runtime_directory back"), "{reason}");

    // A key that isn't the certificate's: the reason is a child's.
    std::fs::write(service.config(), &good).unwrap();
    std::fs::write(service.folder.path().join("key.pem"), Pair::ecdsa().key).unwrap();
    let (done, _, wrong) = reload(&service, &[]);
    assert!(!done && wrong.contains("nothing was changed"), "{wrong}");
    service.pair.write(service.folder.path());

    // Many at once: each has a verdict on a reload that began after it was asked for.
    let ask = |_| {
        let mut command = support::gatepost();
        command.args(["reload", "--config"]).arg(service.config()).stdout(Stdio::null()).spawn().unwrap()
    };
    let all: Vec<_> = (0..5).map(ask).collect();
    assert!(all.into_iter().all(|mut one| one.wait().unwrap().success()), "{}", service.log());

    service.end();
    let (done, _, wrong) = reload(&service, &[]);
    assert!(!done && wrong.contains("the service does not run"), "{wrong}");
}
