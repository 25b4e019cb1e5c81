//! Claim: `gatepost status` shows on one screen what a look at the service is for: its processes, sessions, limits that are almost
//! used up, routes, the days of certificates, the last signed head and what the anchors have; the same as an object.

mod support;

use nix::sys::signal::Signal;
use support::certificate::Pair;
use support::{CREDENTIAL, Service, Setting, await_that, processes};

fn screen(service: &Service) -> String {
    let output = service.command(&["status"]);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn object(service: &Service) -> serde_json::Value {
    serde_json::from_slice(&service.command(&["status", "--json"]).stdout).unwrap()
}

#[test]
fn one_screen_has_all_that_a_look_is_for() {
    let folder = tempfile::tempdir().unwrap();
    let more =
        format!("[[anchor]]\nname = \"disk\"\nkind = \"file\"\npath = \"{}\"\n", folder.path().join("heads").display());
    let service = Service::start_with(&Setting { more, ..Setting::default() });
    let secret = service.add_credential();
    let seen = screen(&service);
    for line in ["processes  there=9 missing=-", "sessions   0", "route      sink up under_way=0/"] {
        assert!(seen.contains(line), "{line}\n{seen}");
    }
    let chain = service.folder.path().join("certificate.pem");
    let days = object(&service)["certificates"][0]["days"].as_i64().unwrap();
    assert!(days > 0 && seen.contains(&format!("tls        {} days={days}", chain.display())), "{seen}");
    assert!(seen.contains(&format!("shown      submission days={days}")), "{seen}");
    assert!(!seen.contains("limit "), "{seen}");
    assert!(seen.contains("alerts     nobody is told of alerts: see [alerts] in gatepost.toml(5)\n"), "{seen}");
    assert_eq!(object(&service)["alerts"], serde_json::json!({ "configured": false }));

    // Of five a day four are gone.
    let set = service.command(&["credential", "set", CREDENTIAL, "--per-day", "5"]);
    assert!(set.status.success(), "{set:?}");
    let mut session = service.log_in(&secret);
    for number in 0..4 {
        assert_eq!(session.send(&format!("message {number}")), 250);
    }
    let seen = screen(&service);
    assert!(seen.contains("sessions   1\n") && seen.contains("limit      tester per_day left=1/5\n"), "{seen}");
    assert_eq!(session.say("QUIT"), 221);
    await_that("the session is gone", || object(&service)["sessions"] == 0);
    let told = object(&service);
    assert_eq!(
        told["limits"],
        serde_json::json!([{ "credential": "tester", "limit": "per_day", "quota": 5, "left": 1, "suspended": false }])
    );
    assert_eq!((&told["processes"]["there"], &told["routes"][0]["upstream"]), (&9.into(), &"sink".into()));

    // What was signed, and who has it.
    let anchored = service.command(&["audit", "anchor"]);
    assert!(anchored.status.success(), "{anchored:?}");
    await_that("a head is shown", || object(&service)["head"]["events"].as_u64().is_some_and(|events| events > 4));
    await_that("the anchor has one", || object(&service)["anchors"][0]["seconds"].is_u64());
    let seen = screen(&service);
    assert!(seen.contains("log        signed=20") && seen.contains("anchor     disk minutes_ago=0"), "{seen}");

    let paused = service.command(&["route", "pause", "sink"]);
    assert!(paused.status.success(), "{paused:?}");
    assert!(screen(&service).contains("route      sink paused since "), "{}", screen(&service));
    service.stop();
}

#[test]
fn a_renewal_that_was_not_taken_is_told_by_the_days_of_what_is_shown() {
    let service = Service::start();
    let found = |id: &str| {
        let output = service.command(&["doctor", "--json", "--offline", "--fallback-ids"]);
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let findings = report["findings"].as_array().unwrap().clone();
        let found = findings.iter().find(|finding| finding["id"] == id).unwrap();
        format!("{}: {}", found["level"].as_str().unwrap(), found["what"].as_str().unwrap())
    };
    let doctor = || found("tls.shown");
    // For two days.
    Pair::rsa().write(service.folder.path());
    let reloaded = service.command(&["reload"]);
    assert!(reloaded.status.success(), "{reloaded:?}");
    await_that("it is shown", || object(&service)["shown"][0]["days"] == 1);
    assert_eq!(doctor(), "pass: 1 listeners show what their files have");

    // Renewed under another name, and nobody has said so.
    let (chain, key) = (service.folder.path().join("renewed.pem"), service.folder.path().join("renewed.key"));
    Pair::ecdsa().write_as(&chain, &key);
    let text = std::fs::read_to_string(service.config()).unwrap();
    let text = text.replace("/certificate.pem", "/renewed.pem").replace("/key.pem", "/renewed.key");
    std::fs::write(service.config(), text).unwrap();
    let told = object(&service);
    assert!(told["certificates"][0]["days"].as_i64().unwrap() > 1, "{told}");
    assert_eq!(told["in_force"], false);
    let file = "file       says something else than what the service runs by: gatepost reload\n";
    assert!(screen(&service).contains(file));
    assert!(found("configuration.in_force").starts_with("warn: the file says something else than what the service"));
    assert_eq!(told["shown"], serde_json::json!([{ "listener": "submission", "days": 1 }]));
    let seen = doctor();
    let late = "warn: listener \"submission\" shows a certificate that has 1 days left, and that in its file has ";
    assert!(seen.starts_with(late), "{seen}");
    let reloaded = service.command(&["reload"]);
    assert!(reloaded.status.success(), "{reloaded:?}");
    assert_eq!(object(&service)["in_force"], true);
    assert!(!screen(&service).contains("file  ") && found("configuration.in_force").starts_with("pass: "));
    await_that("the new one is shown", || object(&service)["shown"][0]["days"] == told["certificates"][0]["days"]);
    assert_eq!(doctor(), "pass: 1 listeners show what their files have");
    service.stop();
}

#[test]
fn a_process_that_somebody_stopped_is_there_and_is_named() {
    let service = Service::start();
    assert_eq!(object(&service)["processes"]["stopped"], serde_json::json!([]));
    let listener = processes::child(service.pid(), "listener");
    processes::signal(listener, Signal::SIGSTOP);
    await_that("it is named", || object(&service)["processes"]["stopped"] == serde_json::json!(["listener"]));
    let seen = service.command(&["status"]);
    let said = String::from_utf8_lossy(&seen.stdout);
    assert!(said.starts_with("not ready: stopped\n") && seen.status.code() == Some(3), "{said}");
    assert!(said.contains("processes  there=9 missing=- stopped=listener\n"), "{said}");
    let told = object(&service);
    assert_eq!((&told["ready"], &told["obstacles"]), (&false.into(), &serde_json::json!(["stopped"])));
    let output = service.command(&["doctor", "--json", "--offline", "--fallback-ids"]);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let what = format!("listener ({listener}) is stopped: a signal, or a debugger");
    let told = report["findings"].as_array().unwrap().iter().any(|finding| finding["what"] == what.as_str());
    assert!(told && output.status.code() == Some(1), "{report}");
    processes::signal(listener, Signal::SIGCONT);
    await_that("it goes on", || object(&service)["processes"]["stopped"] == serde_json::json!([]));
    assert!(screen(&service).starts_with("ready\n"));
    let courier = processes::child(service.pid(), "courier sink");
    processes::signal(courier, Signal::SIGSTOP);
    await_that("it is named", || object(&service)["processes"]["stopped"] == serde_json::json!(["courier sink"]));
    assert!(screen(&service).starts_with("ready\n"), "mail is taken without it");
    processes::signal(courier, Signal::SIGCONT);
    service.stop();
}

#[test]
fn a_file_with_a_mistake_hides_what_it_names_and_nothing_else() {
    let service = Service::start();
    let good = std::fs::read_to_string(service.config()).unwrap();
    std::fs::write(service.config(), format!("{good}\n[[upstream]]\nnmae = \"typo\"\n")).unwrap();
    let told = object(&service);
    for member in ["processes", "certificates", "head", "anchors"] {
        assert!(told[member].is_null(), "{member} can't be known: {told}");
    }
    assert_eq!((&told["ready"], &told["routes"][0]["state"]), (&true.into(), &"up".into()));
    std::fs::write(service.config(), good).unwrap();
    // There is none, and that is known.
    assert_eq!(object(&service)["anchors"], serde_json::json!([]));
    service.stop();
}
