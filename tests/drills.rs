//! Claim: the drills of docs/runbook.md can be done from that page alone. What it says to type is typed, with the paths and ids of
//! the test in the place of its own; none of it fails, and what the page says is shown is shown. Each is done in under five
//! minutes, and how long it took is printed (`-- --nocapture`).
//!
//! The backlog has 3,000 messages; `GATEPOST_LONG=1` makes it 100,000.

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use gatepost::sink::{Options, Sink};
use support::dice::Dice;
use support::drill::{Drill, attempt, done};
use support::senders::{Senders, Target};
use support::{PATIENCE, Pair, Service, Setting, await_that, free_port, small_disk, smtp};

/// A gate whose upstream listens at no port yet.
fn cut_off() -> (Service, u16) {
    cut_off_with("")
}

/// As `cut_off`, with more of a configuration.
fn cut_off_with(more: &str) -> (Service, u16) {
    let port = free_port();
    let (host, more) = (Some(format!("127.0.0.1:{port}")), more.to_owned());
    (Service::start_with(&Setting { host, more, ..Setting::default() }), port)
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
    let said = drill.timed(|| done(service.folder.path(), &typed, ""));
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
    assert!(sink.next(Duration::from_millis(500)).is_none(), "the bad one was dropped");
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
    let typed = drill.typed(&[("/etc/gatepost/sink.secret", &path)]);
    let said = drill.timed(|| {
        let said = done(service.folder.path(), &typed, "new\n");
        service.await_arrival(vec!["waits".into()]);
        await_that("the route is up", || route().contains("sink up under_way=0/4"));
        said
    });
    for shown in ["127.0.0.1: would take a message", "sink up under_way=0/4"] {
        drill.says(shown);
    }
    assert!(said.contains("127.0.0.1: would take a message"), "{said}");
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
    let typed = drill.typed(&[
        ("gate.example.net:587", &format!("127.0.0.1:{}", service.smtp)),
        ("/etc/gatepost/tls/key.pem", &at("key.pem")),
        ("/etc/gatepost/tls/fullchain.pem", &at("certificate.pem")),
    ]);
    let shown = ["certificate files changed: taking them into use", "reload done"];
    let said = drill.timed(|| {
        let said = done(folder, &typed, "");
        for words in shown {
            service.await_log(from, words);
        }
        said
    });
    for words in shown {
        drill.says(words);
    }
    assert!(said.contains("notAfter=") && said.contains("subject="), "{said}");
    service.connect().secure(&smtp::trusting(&fresh));
}

#[test]
fn what_waits_for_an_upstream_that_is_back_leaves() {
    let drill = Drill::of("A backlog");
    let most = if std::env::var_os("GATEPOST_LONG").is_some() { 100_000 } else { 3000 };
    let (service, port) = cut_off_with("[spool]\nshed_messages = [200_000, 300_000]");
    let secret = service.add_credential();
    let begun = Instant::now();
    let usual = Target::of(&service, &secret);
    let target = Target { most, large_one_in: 100_000, pace: Duration::ZERO, ..usual };
    let senders = Senders::start(&target, "backlog", 24, 0, &mut Dice::for_test("backlog"));
    while senders.acknowledged() < most {
        std::thread::sleep(Duration::from_millis(100));
        // None may be late for ever: whoever sends asks for nothing but what is usual.
        assert!(begun.elapsed() < PATIENCE * 60, "only {} were taken\n{}", senders.acknowledged(), service.log());
    }
    // As many more as clients had one under way.
    let book = senders.stop();
    println!("backlog: {} were taken in {:.0} s", book.len(), begun.elapsed().as_secs_f64());
    let folder = service.folder.path();
    let route = || done(folder, "gatepost route status", "");
    await_that("the route rests", || route().contains("resting for "));
    let sink = Sink::start(TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap(), Options::default());
    drill.says("gatepost queue stats | head -1");
    let waits = || {
        let line = done(folder, "gatepost queue stats | head -1", "");
        let count = line.split_once("messages=").and_then(|(_, rest)| rest.split(' ').next()?.parse::<usize>().ok());
        count.unwrap_or_else(|| panic!("{line}"))
    };
    let begun = Instant::now();
    let said = drill.timed(|| {
        let said = done(folder, &drill.typed(&[]), "");
        await_that("it falls", || waits() < book.len());
        said
    });
    assert!(said.contains(&format!("messages={} ", book.len())) && said.contains("due now: "), "{said}");
    drill.says("due now: 0 messages");
    let mut arrived = BTreeSet::new();
    while arrived.len() < book.len() {
        let received = sink.next(PATIENCE).unwrap_or_else(|| panic!("they don't leave\n{}", service.log()));
        let text = String::from_utf8_lossy(&received.content).into_owned();
        let subject = text.lines().find_map(|line| line.strip_prefix("Subject: ")).unwrap_or_default().to_owned();
        assert!(book.contains_key(&subject) && arrived.insert(subject), "never sent, or twice: {text}");
    }
    let took = begun.elapsed().as_secs_f64();
    println!(
        "backlog: all have left in {took:.0} s, {:.0} a second",
        f64::from(u32::try_from(book.len()).unwrap()) / took
    );
    await_that("it falls to nothing", || waits() == 0);
}

#[test]
fn a_disk_that_is_full_is_found_and_room_is_all_it_needs() {
    let drill = Drill::of("The disk is full");
    let folder = tempfile::tempdir().unwrap();
    support::open_folder(folder.path());
    let Some((service, disk, _)) = small_disk::begin(folder.path()) else { return };
    let secret = service.add_credential();
    assert_eq!(service.log_in(&secret).send("waits"), 250);
    disk.fill();
    let home = service.folder.path();
    await_that("it is not ready", || attempt(home, "gatepost status", "").1 == Some(3));
    let state = disk.0.join("state").display().to_string();
    // Its exit code is 3, as the page's beginning says, and a shell that is typed into goes on.
    let typed = drill.blocks(&[
        ("gatepost status      ", "gatepost status || [ $? = 3 ]"),
        ("/var/lib/gatepost", &state),
        ("gatepost status # ready", "until gatepost status; do sleep 0.2; done"),
    ]);
    let [look, after] = typed.as_slice() else { panic!("two blocks: {typed:?}") };
    let said = drill.timed(|| {
        let mut said = done(home, look, "");
        // "Something that isn't Gatepost's: remove it. That is all."
        disk.empty();
        said += &done(home, after, "");
        said
    });
    for (page, shown) in [
        ("not ready: room", "not ready: room"),
        ("free= and reserve=", "free="),
        ("free= and reserve=", "reserve="),
        ("`db/`", "state/db\n"),
        ("store.recovered", "store.recovered"),
    ] {
        drill.says(page);
        assert!(said.contains(shown), "{shown}\n{said}");
    }
    // What `df` has in use and `du` doesn't count: 41 MiB of 48 beside less than one.
    assert!(said.contains("Filesystem") && said.contains(&format!("K\t{state}\n")), "{said}");
    assert_eq!(service.log_in(&secret).send("after"), 250);
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
    let (said, code) = drill.timed(|| attempt(&folder, &typed, ""));
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
    assert!(sink.next(Duration::from_secs(2)).is_none(), "it was delivered again\n{log}");
}
