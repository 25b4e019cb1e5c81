//! What nothing brings back is done by who means it: asked on a terminal, and told by `--yes` where nobody can be asked. Mail of many,
//! credentials, values and months of the audit log, the master key.

mod support;

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Output, Stdio};

use gatepost::sink::{Fault, Options, Phase};
use nix::pty::openpty;
use support::{CREDENTIAL, PATIENCE, Service, Setting, await_that};

fn reluctant() -> Options {
    Options { faults: vec![Fault::say(Phase::Rcpt, "451 4.2.0 later")], ..Options::default() }
}

/// Nobody at a terminal.
fn queue(service: &Service, words: &[&str]) -> Output {
    service.command(&[&["queue"], words, &["--fallback-ids"]].concat())
}

fn waiting(service: &Service) -> u64 {
    let stats = queue(service, &["stats", "--json"]);
    let stats: serde_json::Value = serde_json::from_slice(&stats.stdout).unwrap();
    stats["all"]["messages"].as_u64().unwrap()
}

/// What somebody at a terminal sees who answers so, and what the command prints.
fn queue_at_a_terminal(service: &Service, words: &[&str], answer: &str) -> (Output, String) {
    at_a_terminal(service, &[&["queue"], words, &["--fallback-ids"]].concat(), answer)
}

fn at_a_terminal(service: &Service, words: &[&str], answer: &str) -> (Output, String) {
    let pty = openpty(None, None).unwrap();
    let mut command = support::gatepost();
    command.args(words).arg("--config").arg(service.config());
    command.stdin(Stdio::from(pty.slave.try_clone().unwrap())).stderr(Stdio::from(pty.slave)).stdout(Stdio::piped());
    let child = command.spawn().unwrap();
    // The command has the only other ends of the terminal from here on.
    drop(command);
    let mut terminal = File::from(pty.master);
    terminal.write_all(answer.as_bytes()).unwrap();
    let (mut seen, mut octets) = (Vec::new(), [0; 4096]);
    // The end is an error there (EIO), or 0.
    while let Ok(n @ 1..) = terminal.read(&mut octets) {
        seen.extend_from_slice(&octets[..n]);
    }
    (child.wait_with_output().unwrap(), String::from_utf8_lossy(&seen).into_owned())
}

fn with_four_that_wait() -> Service {
    let more = "[spool]\nretry = [\"1h\"]".into();
    let service = Service::start_with(&Setting { sink: reluctant, more, ..Setting::default() });
    let secret = service.add_credential();
    let mut session = service.log_in(&secret);
    for subject in ["one", "two", "three", "four"] {
        assert_eq!(session.send(subject), 250);
    }
    await_that("all wait", || waiting(&service) == 4);
    service
}

#[test]
fn many_messages_are_dropped_by_a_yes_alone_and_one_by_its_id() {
    let mut service = with_four_that_wait();
    for is_running in [true, false] {
        if !is_running {
            service.end();
        }
        for which in [&["--all"][..], &["--credential", CREDENTIAL], &["--all", "--held"]] {
            let words = [&["drop"], which].concat();
            let unasked = queue(&service, &words);
            let said = String::from_utf8_lossy(&unasked.stderr).into_owned();
            assert!(!unasked.status.success() && unasked.stdout.is_empty(), "{words:?}: {said}");
            assert!(said.contains("nothing was done") && said.contains("--yes"), "{words:?}: {said}");
            for answer in ["\n", "n\n", "y\n", "\u{4}"] {
                let (output, seen) = queue_at_a_terminal(&service, &words, answer);
                assert!(!output.status.success() && output.stdout.is_empty(), "{words:?} {answer:?}: {seen}");
                assert!(seen.contains("Type yes") && seen.contains("nothing was done"), "{words:?} {answer:?}: {seen}");
            }
        }
        assert_eq!(waiting(&service), 4);
    }
    let list = queue(&service, &["list", "--json", "--limit", "1"]);
    let first: serde_json::Value = serde_json::from_slice(&list.stdout).unwrap();
    let one = queue(&service, &["drop", first["message"].as_str().unwrap()]);
    assert!(one.status.success(), "{}", String::from_utf8_lossy(&one.stderr));
    assert_eq!(waiting(&service), 3);
    assert!(queue(&service, &["drop", "--all", "--held", "--yes"]).status.success());
    assert_eq!(waiting(&service), 3);
    let (output, seen) = queue_at_a_terminal(&service, &["drop", "--credential", CREDENTIAL], "yes\n");
    assert!(output.status.success() && seen.contains(CREDENTIAL), "{seen}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("dropped: 3 messages"), "{output:?}");
    assert_eq!(waiting(&service), 0);
}

#[test]
fn messages_leave_for_an_archive_by_a_yes_alone_and_one_by_its_id() {
    let mut service = with_four_that_wait();
    let folder = tempfile::tempdir().unwrap();
    let archive = |name: &str| folder.path().join(name).display().to_string();
    let refused = archive("refused.tar");
    for is_running in [true, false] {
        if !is_running {
            service.end();
        }
        for whose in [&[][..], &["--credential", CREDENTIAL]] {
            let words = [&["export", "--drop", "--out", &refused], whose].concat();
            let unasked = queue(&service, &words);
            let said = String::from_utf8_lossy(&unasked.stderr).into_owned();
            assert!(!unasked.status.success() && said.contains("nothing was done") && said.contains("--yes"), "{said}");
            let (output, seen) = queue_at_a_terminal(&service, &words, "y\n");
            assert!(
                !output.status.success() && seen.contains("Type yes") && seen.contains("nothing was done"),
                "{seen}"
            );
        }
        assert!(!std::path::Path::new(&refused).exists());
        assert_eq!(waiting(&service), 4);
    }
    let list = queue(&service, &["list", "--json", "--limit", "1"]);
    let first: serde_json::Value = serde_json::from_slice(&list.stdout).unwrap();
    let words = ["export", "--drop", "--out", &archive("one.tar"), "--message", first["message"].as_str().unwrap()];
    assert!(queue(&service, &words).status.success());
    assert_eq!(waiting(&service), 3);
    // A copy takes nothing away.
    assert!(queue(&service, &["export", "--out", &archive("copy.tar")]).status.success());
    let (output, seen) = queue_at_a_terminal(&service, &["export", "--drop", "--out", &archive("all.tar")], "yes\n");
    assert!(output.status.success(), "{seen}");
    assert_eq!(waiting(&service), 0);
}

#[test]
fn what_nothing_brings_back_is_done_by_a_yes_alone() {
    let service = Service::start();
    let secret = service.add_credential();
    for id in ["other", "third"] {
        assert!(service.command(&["credential", "add", id, "--sender", "@example.net"]).status.success());
    }
    assert_eq!(service.log_in(&secret).send("one"), 250);
    service.sink.next(PATIENCE).expect("it arrives");
    let told = |event: &str| {
        let output = service.command(&["audit", "query", "--event", event, "--json"]);
        String::from_utf8_lossy(&output.stdout).lines().count()
    };
    await_that("the log has its outcome", || told("deliver.success") == 1);
    let accept = service.command(&["audit", "query", "--event", "msg.accept", "--json"]);
    let accept: serde_json::Value = serde_json::from_slice(&accept.stdout).unwrap();
    let ids = |id: &str| -> Vec<String> {
        let shown = service.command(&["credential", "show", id, "--json"]);
        let shown: serde_json::Value = serde_json::from_slice(&shown.stdout).unwrap();
        shown["keys"].as_array().unwrap().iter().map(|key| key["key"].as_str().unwrap().to_owned()).collect()
    };
    for id in ["other", "third"] {
        assert!(service.command(&["credential", "rotate", id]).status.success());
    }
    let key = ids("third").remove(0);
    let list = service.folder.path().join("list.csv");
    std::fs::write(&list, "x@example.org\ny@example.org\n").unwrap();
    let list = list.to_str().unwrap();
    assert!(service.command(&["suppress", "import", list]).status.success());
    let (range, named) = (format!("0-{}", accept["seq"]), format!("events 0 to {}", accept["seq"]));
    // Each of them, the event that tells that it was done, and what is asked about it. In this order each can be done.
    let for_good: [(&[&str], &str, &str); 11] = [
        (&["audit", "redact", "--address", "b@example.org", "--ground", "case 7"], "audit.redact", "b@example.org"),
        (&["audit", "redact", "--seq", &range, "--ground", "case 8"], "audit.redact", &named),
        (&["audit", "prune", "--before", "9999-12"], "audit.prune", "before 9999-12"),
        (&["queue", "rekey"], "store.rekey", "overwrites the master key"),
        (&["credential", "rotate", "other", "--finish"], "credential.rotate", "every secret of credential \"other\""),
        (&["credential", "rotate", "third", "--retire", &key], "credential.rotate", &key),
        (&["suppress", "remove", "--file", list], "suppress.remove", "2 addresses"),
        (&["credential", "disable", CREDENTIAL, "--queue", "drop"], "credential.disable", CREDENTIAL),
        (&["credential", "remove", CREDENTIAL], "credential.revoke", CREDENTIAL),
        (&["credential", "remove", "other", "--queue", "drop"], "credential.revoke", "gives up all that waits"),
        (&["incident", "third"], "credential.disable", "third"),
    ];
    for (words, event, what) in for_good {
        let before = told(event);
        let unasked = service.command(words);
        let said = String::from_utf8_lossy(&unasked.stderr).into_owned();
        assert!(!unasked.status.success() && unasked.stdout.is_empty(), "{words:?}: {said}");
        assert!(
            said.contains("nothing was done") && said.contains("--yes") && said.contains(what),
            "{words:?}: {said}"
        );
        let (output, seen) = at_a_terminal(&service, words, "n\n");
        assert!(!output.status.success() && output.stdout.is_empty(), "{words:?}: {seen}");
        assert!(seen.contains("Type yes") && seen.contains("nothing was done"), "{words:?}: {seen}");
        assert_eq!(told(event), before, "{words:?}");
        let done = service.command(&[words, &["--yes"]].concat());
        // Without an anchor no month goes, and that is the reason given then.
        if event != "audit.prune" {
            assert!(done.status.success(), "{words:?}: {}", String::from_utf8_lossy(&done.stderr));
            await_that("the log tells of it", || told(event) == before + 1);
        }
    }
    let dry = service.command(&["audit", "prune", "--before", "9999-12", "--dry-run"]);
    assert!(!String::from_utf8_lossy(&dry.stderr).contains("--yes"), "{dry:?}");
    service.stop();
}
