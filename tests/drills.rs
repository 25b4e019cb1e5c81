//! Claim: the drills of docs/runbook.md can be done from that page alone. What it says to type is typed, with the paths and ids of
//! the test in the place of its own; none of it fails, and what the page says is shown is shown. (A full disk is disk_full.rs's.)

mod support;

use std::fs;
use std::io::Write;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use gatepost::sink::{Options, Sink};
use support::{PATIENCE, Pair, Service, Setting, await_that, free_port, gatepost, smtp};

/// What stands below a heading of the page.
struct Drill(String);

impl Drill {
    fn of(heading: &str) -> Self {
        let page = Path::new(&std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it")).join("docs/runbook.md");
        let page = fs::read_to_string(page).unwrap();
        let (_, below) = page.split_once(&format!("\n## {heading}\n")).unwrap_or_else(|| panic!("no {heading}"));
        // The test's upstream has another name than the page's.
        Self(below.split("\n## ").next().unwrap().replace("smarthost", "sink"))
    }

    /// What is to be typed, with these words in the place of others, each of which is there.
    fn typed(&self, words: &[(&str, &str)]) -> String {
        let blocks = self.0.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap());
        words.iter().fold(blocks.collect(), |text: String, (page, test)| {
            assert!(text.contains(page), "the page has no {page} any more:\n{text}");
            text.replace(page, test)
        })
    }

    /// Insists that the page says it, and not the test alone.
    fn says(&self, words: &str) {
        let flat = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(flat(&self.0).contains(&flat(words)), "the page doesn't say {words}");
    }
}

/// Somebody at the gate: in the service's folder, with a `gatepost` that finds this one's configuration where the page finds that
/// of the machine.
fn shell(folder: &Path) -> Command {
    let bin = folder.join("bin");
    if !bin.exists() {
        fs::create_dir(&bin).unwrap();
        let program = PathBuf::from(gatepost().get_program());
        let (program, config) = (program.display(), folder.join("gatepost.toml"));
        let text = format!(
            "#!/bin/sh\ncase \"$1\" in serve | restore | check) set -- \"$@\" --fallback-ids;; esac\nexec {program} \"$@\" --config {}\n",
            config.display()
        );
        fs::write(bin.join("gatepost"), text).unwrap();
        fs::set_permissions(bin.join("gatepost"), fs::Permissions::from_mode(0o755)).unwrap();
    }
    let mut bash = Command::new("bash");
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    bash.args(["-e", "-o", "pipefail"]).env("PATH", path).current_dir(folder);
    bash
}

/// Types it, answers what asks, and gives what is printed and how it ended.
fn attempt(folder: &Path, typed: &str, answers: &str) -> (String, Option<i32>) {
    let file = folder.join("typed");
    fs::write(&file, format!("exec 2>&1\n{typed}")).unwrap();
    let mut bash = shell(folder).arg(file).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    bash.stdin.take().unwrap().write_all(answers.as_bytes()).unwrap();
    let output = bash.wait_with_output().unwrap();
    (String::from_utf8(output.stdout).unwrap(), output.status.code())
}

fn done(folder: &Path, typed: &str, answers: &str) -> String {
    let (said, code) = attempt(folder, typed, answers);
    assert_eq!(code, Some(0), "{typed}\n{said}");
    said
}

/// A gate whose upstream listens at no port yet.
fn cut_off() -> (Service, u16) {
    let port = free_port();
    (Service::start_with(&Setting { host: Some(format!("127.0.0.1:{port}")), ..Setting::default() }), port)
}

fn id_of(service: &Service, secret: &str, subject: &str) -> String {
    assert_eq!(service.log_in(secret).send(subject), 250);
    let listed = String::from_utf8(service.command(&["queue", "list", "--json"]).stdout).unwrap();
    let newest = listed.lines().last().unwrap();
    let row: serde_json::Value = serde_json::from_str(newest).unwrap_or_else(|error| panic!("{error}: {listed}"));
    row["message"].as_str().or(row["id"].as_str()).unwrap_or_else(|| panic!("{row}")).to_owned()
}

#[test]
fn a_stolen_key_is_ended_and_only_good_mail_goes() {
    let drill = Drill::of("A key is stolen");
    let (service, port) = cut_off();
    let added = service.command(&["credential", "add", support::CREDENTIAL, "--sender", "@example.net"]);
    let secret = String::from_utf8(added.stdout).unwrap().lines().last().unwrap().to_owned();
    let good = id_of(&service, &secret, "good");
    assert_eq!(service.log_in(&secret).send("bad"), 250);
    let typed = drill.typed(&[
        ("billing", support::CREDENTIAL),
        ("0199e2a4-6c1d-7e2b-9c55-3f2f4a1b7d10", &good),
        ("7fQ2mKx9", secret.split('_').nth(2).unwrap()),
        ("2026-11-27T18:00:00Z", "2026-01-01T00:00:00Z"),
        // As the page says of scripts.
        ("--held --reason", "--held --yes --reason"),
    ]);
    let said = done(service.folder.path(), &typed, "");
    for (page, shown) in [
        ("disabled    billing; its open sessions can do no more", "; its open sessions can do no more"),
        ("held        2 messages to 2 recipients", "held        2 messages to 2 recipients"),
    ] {
        drill.says(page);
        assert!(said.contains(shown), "{said}");
    }
    let report = fs::read_to_string(service.folder.path().join("incident.json")).unwrap();
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    assert_eq!((&report["accepted"]["messages"], &report["delivered"]), (&2.into(), &serde_json::json!([])));
    // The new secret is printed by itself.
    let fresh = said.lines().find(|line| line.starts_with("gp_live_")).unwrap_or_else(|| panic!("{said}"));
    drill.says("whoever has the old key reads 535");
    let log_in = |secret: &str| service.connect().secure(&smtp::trusting(&service.pair)).log_in(secret);
    assert_eq!((log_in(&secret), log_in(fresh)), (535, 235));
    let sink = Sink::start(TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap(), Options::default());
    done(service.folder.path(), "gatepost queue retry --route sink\n", "");
    let arrived = sink.next(PATIENCE).expect("the good one goes");
    assert!(String::from_utf8_lossy(&arrived.content).contains("Subject: good"));
    await_that("the queue is empty", || {
        done(service.folder.path(), "gatepost queue stats", "").lines().next().unwrap().contains("messages=0 ")
    });
    assert!(sink.next(std::time::Duration::from_millis(500)).is_none(), "the bad one was dropped");
}

#[test]
fn a_new_password_at_the_upstream_is_taken_and_mail_leaves_at_once() {
    let drill = Drill::of("The upstream's password changed");
    let folder = tempfile::Builder::new().prefix("gatepost-test-").tempdir().unwrap();
    let secret = folder.path().join("sink.secret");
    fs::write(&secret, "old\n").unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    let upstream = format!("tls = \"none\"\nusername = \"gate\"\npassword_file = \"{}\"", secret.display());
    let sink = || Options { login: Some(("gate".into(), "new".into())), ..Options::default() };
    let service = Service::start_in(folder, &Setting { upstream, sink, ..Setting::default() });
    let key = service.add_credential();
    assert_eq!(service.log_in(&key).send("waits"), 250);
    let route = || done(service.folder.path(), "gatepost route status", "");
    await_that("the route rests", || route().contains("resting for ") && route().contains("login-refused"));
    drill.says("sink resting for");
    drill.says("login-refused");

    let path = secret.display().to_string();
    let said = done(service.folder.path(), &drill.typed(&[("/etc/gatepost/sink.secret", &path)]), "new\n");
    for shown in ["127.0.0.1: would take a message", "sink up under_way=0/4"] {
        drill.says(shown);
    }
    assert!(said.contains("127.0.0.1: would take a message"), "{said}");
    service.await_arrival(vec!["waits".into()]);
    await_that("the route is up", || route().contains("sink up under_way=0/4"));
}

#[test]
fn another_pair_in_the_place_of_an_expired_one_is_served_without_a_signal() {
    let drill = Drill::of("The certificate expired");
    let service = Service::start();
    let folder = service.folder.path();
    let fresh = Pair::ecdsa();
    let new = folder.join("new");
    fs::create_dir(&new).unwrap();
    fresh.write(&new);
    fs::rename(new.join("key.pem"), folder.join("new-key.pem")).unwrap();
    fs::rename(new.join("certificate.pem"), folder.join("new-chain.pem")).unwrap();
    let at = |name: &str| folder.join(name).display().to_string();
    let from = service.log().len();
    let said = done(
        folder,
        &drill.typed(&[
            ("gate.example.net:587", &format!("127.0.0.1:{}", service.smtp)),
            ("/etc/gatepost/tls/key.pem", &at("key.pem")),
            ("/etc/gatepost/tls/fullchain.pem", &at("certificate.pem")),
        ]),
        "",
    );
    assert!(said.contains("notAfter=") && said.contains("subject="), "{said}");
    for shown in ["certificate files changed: taking them into use", "reload done"] {
        drill.says(shown);
        service.await_log(from, shown);
    }
    service.connect().secure(&smtp::trusting(&fresh));
}

#[test]
fn what_waits_for_an_upstream_that_is_back_leaves() {
    let drill = Drill::of("A backlog");
    let (service, port) = cut_off();
    let secret = service.add_credential();
    let subjects: Vec<String> = (0..30).map(|at| format!("message {at}")).collect();
    let mut session = service.log_in(&secret);
    for subject in &subjects {
        assert_eq!(session.send(subject), 250);
    }
    let route = || done(service.folder.path(), "gatepost route status", "");
    await_that("the route rests", || route().contains("resting for "));
    let sink = Sink::start(TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap(), Options::default());
    let said = done(service.folder.path(), &drill.typed(&[]), "");
    assert!(said.contains("messages=30 ") && said.contains("due now: "), "{said}");
    drill.says("due now: 0 messages");
    for _ in &subjects {
        sink.next(PATIENCE).unwrap_or_else(|| panic!("they don't leave\n{}", service.log()));
    }
    drill.says("gatepost queue stats | head -1");
    await_that("it falls to nothing", || {
        done(service.folder.path(), "gatepost queue stats | head -1", "").contains("messages=0 ")
    });
}

#[test]
fn a_lost_host_comes_back_from_its_backup_and_says_what_is_lost() {
    let drill = Drill::of("The host is lost");
    let (mut service, port) = cut_off();
    let secret = service.add_credential();
    for subject in ["first", "second"] {
        assert_eq!(service.log_in(&secret).send(subject), 250);
    }
    let folder = service.folder.path().to_owned();
    done(&folder, "gatepost backup kept && mkdir keys && cp -p state/master/master.* state/seal/log.* keys", "");
    // Both leave before the host is lost, and the newer copy of the log has it.
    let sink = Sink::start(TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap(), Options::default());
    done(&folder, "gatepost queue retry --route sink", "");
    for _ in 0..2 {
        sink.next(PATIENCE).expect("it arrives");
    }
    await_that("the log has it", || done(&folder, "gatepost audit query", "").matches("deliver.success").count() == 2);
    service.end();
    done(&folder, "cp -rp state/audit copied && rm -r state", "");

    let state = folder.join("state").display().to_string();
    let typed = drill.typed(&[
        ("/srv/gatepost-2026-11-20", "kept"),
        ("/var/lib/gatepost", &state),
        ("/srv/copy-of-audit", "copied"),
        (
            "gatepost serve ",
            "gatepost serve < /dev/null > serves 2>&1 & for n in $(seq 300); do ! grep -q serving serves || break; sleep 0.2; done ",
        ),
    ]);
    let (said, code) = attempt(&folder, &typed, "");
    let log = fs::read_to_string(folder.join("serves")).unwrap_or_default();
    done(&folder, "pkill -TERM -f \"serve --fallback-ids --config $PWD/gatepost.toml\" || true", "");
    drill.says("`declared gap` with exit code 15");
    assert_eq!(code, Some(15), "{said}\n{log}");
    for (page, shown) in [
        ("restored to ...", "restored to "),
        ("2 recipients of 2 messages had got theirs", "2 recipients of 2 messages had got theirs"),
        ("are kept for certain and 7 are not", " are kept for certain and "),
        ("declared gap", "declared gap"),
    ] {
        drill.says(page);
        assert!(said.contains(shown), "{shown}\n{said}");
    }
    for shown in ["this was restored from a backup: what waits is held", "the sealer has lost what it signed"] {
        drill.says(shown);
        assert!(log.contains(shown), "{shown}\n{log}");
    }
    // Nobody gets a message a second time.
    assert!(sink.next(std::time::Duration::from_secs(2)).is_none(), "it was delivered again\n{log}");
}
