//! Claim: certificate files that change are taken into use without a signal and without ending a session; a pair that is only
//! half there changes nothing, is told once, and settles by itself.

mod support;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use nix::sys::signal::Signal;
use support::authority::Authority;
use support::smtp::trusting;
use support::{Pair, Service, Setting, await_that, processes};

/// Puts another link in the place of one, as certbot does.
fn lead(folder: &Path, name: &str, target: &str) {
    let next = folder.join("next");
    symlink(target, &next).unwrap();
    fs::rename(next, folder.join(name)).unwrap();
}

#[test]
fn rule_t11_a_renewed_certificate_is_taken_into_use_by_itself() {
    let folder = tempfile::Builder::new().prefix("gatepost-test-").tempdir().unwrap();
    let at = folder.path().to_owned();
    symlink("chain1.pem", at.join("certificate.pem")).unwrap();
    symlink("key1.pem", at.join("key.pem")).unwrap();
    let before = Pair::ecdsa();
    let service = Service::start_in(folder, &Setting { pair: before.clone(), ..Setting::default() });
    let secret = service.add_credential();
    let mut session = service.log_in(&secret);
    assert_eq!(session.send("before"), 250);

    // What is in the configuration's file by now is none of it: nobody has asked for that.
    let good = fs::read_to_string(service.config()).unwrap();
    fs::write(service.config(), format!("{good}\nhostnam = \"typo\"\n")).unwrap();

    let next = Pair::ecdsa();
    next.write_as(&at.join("chain2.pem"), &at.join("key2.pem"));
    lead(&at, "certificate.pem", "chain2.pem");
    let refused = "the changed certificate files can't be used";
    let seen = service.await_log(0, refused);
    assert!(service.log().contains("does not match"), "{}", service.log());
    drop(service.connect().secure(&trusting(&before)));
    // Nothing that served has ended, and nobody is told so.
    let (log, events) = (service.log(), service.command(&["audit", "query"]));
    assert_eq!(log.lines().filter(|line| line.contains(" ERROR ") || line.contains("is gone")).count(), 1, "{log}");
    assert!(!String::from_utf8(events.stdout).unwrap().contains("proc.exit"), "{log}");

    lead(&at, "key.pem", "key2.pem");
    let seen = service.await_log(seen, "reload done");
    drop(service.connect().secure(&trusting(&next)));
    assert_eq!(service.log().matches(refused).count(), 1, "{}", service.log());

    // Written in place, as by `install` or `cat`.
    let third = Pair::ecdsa();
    third.write(&at);
    let seen = service.await_log(seen, "reload done");
    drop(service.connect().secure(&trusting(&third)));
    assert_eq!(session.send("after"), 250, "the session of before goes on");

    // A signal still means the whole configuration.
    service.signal(Signal::SIGHUP);
    let seen = service.await_log(seen, "reload refused");
    assert!(service.log().contains("hostnam"), "{}", service.log());
    fs::write(service.config(), good).unwrap();
    service.signal(Signal::SIGHUP);
    service.await_log(seen, "reload done");
    service.await_arrival(vec!["before".to_owned(), "after".to_owned()]);
    let told = |event: &str| {
        let events = service.command(&["audit", "query", "--json", "--event", event]);
        String::from_utf8(events.stdout).unwrap()
    };
    await_that("each reload is an event, with what it was made for", || {
        let count = |event: &str, occasion: &str| told(event).matches(occasion).count();
        let counts = |event| (count(event, "certificate-files"), count(event, "asked"));
        (counts("config.load"), counts("config.reject")) == ((2, 1), (1, 1))
    });
    service.stop();
}

#[test]
fn rule_t11_who_falls_meanwhile_comes_back_with_what_was_in_use() {
    let authorities = r#"client_certificates = "request"
client_authorities_file = "FOLDER/authorities.pem""#;
    let folder = tempfile::Builder::new().prefix("gatepost-test-").tempdir().unwrap();
    let at = folder.path().to_owned();
    let pair = Pair::ecdsa();
    Authority::new("our devices").write(&at.join("authorities.pem"));
    let listener = authorities.replace("FOLDER", at.to_str().unwrap());
    let service = Service::start_in(folder, &Setting { pair: pair.clone(), listener, ..Setting::default() });

    // Those of the change that is refused bear the same titles, and may be ending still when that is told.
    let victims = ["keyholder", "edge-smtp main"].map(|title| processes::child(service.pid(), title));
    let half = Pair::ecdsa();
    half.write_as(&at.join("chain2.pem"), &at.join("key2.pem"));
    fs::rename(at.join("chain2.pem"), at.join("certificate.pem")).unwrap();
    fs::remove_file(at.join("authorities.pem")).unwrap();
    let mut seen = service.await_log(0, "reload refused");
    for victim in victims {
        processes::signal(victim, Signal::SIGKILL);
        seen = service.await_log(seen, "a fallen process is replaced");
        drop(service.connect().secure(&trusting(&pair)));
    }
    service.stop();
}

/// The parent may open no more than it has open: the change fails before any of it is there to be undone.
#[test]
fn a_change_that_can_not_even_begin_is_told_as_one_of_files_and_nobody_has_asked_for_it() {
    let folder = tempfile::Builder::new().prefix("gatepost-test-").tempdir().unwrap();
    let at = folder.path().to_owned();
    let service = Service::start_in(folder, &Setting::default());
    let parent = service.pid().to_string();
    let open = Path::new("/proc").join(&parent).join("fd");
    if fs::read_dir(&open).is_err() {
        println!("NOT RUN: which descriptors the parent has open is root's to see here");
        return;
    }
    let prlimit = |words: &[&str]| {
        let output = Command::new("prlimit").args(["--pid", &parent]).args(words).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let before = prlimit(&["--nofile", "--raw", "--noheadings", "-o", "SOFT"]);
    let free = (0..).find(|number| open.join(number.to_string()).symlink_metadata().is_err()).unwrap();
    prlimit(&[&format!("--nofile={free}:")]);
    Pair::ecdsa().write(&at);
    service.await_log(0, "the changed certificate files can't be used");
    prlimit(&[&format!("--nofile={before}:")]);
    assert!(service.log().contains("keeping a listening socket"), "{}", service.log());
    let rejected = service.command(&["audit", "query", "--event", "config.reject", "--json"]);
    let rejected = String::from_utf8(rejected.stdout).unwrap();
    assert!(!rejected.is_empty() && rejected.lines().all(|line| line.contains("certificate-files")), "{rejected}");
    service.stop();
}
