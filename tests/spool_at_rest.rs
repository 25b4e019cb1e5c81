//! Claims: no file of the vault holds a word of a message; without its master key a start is refused, with what to do; and
//! the master key is changed under load, over kills, without a message lost or one that can't be read any more.

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::Signal;
use support::dice::Dice;
use support::senders::{Senders, Target};
use support::{Service, await_that, free_port, gatepost, processes};

/// What a message here says over and over.
const WORDS: &str = "words that only their reader may see";

fn master(service: &Service) -> PathBuf {
    service.folder.path().join("state/master")
}

/// Puts another port in the place of the upstream's, for the next start.
fn point(service: &Service, from: u16, to: u16) {
    let text = fs::read_to_string(service.config()).unwrap();
    let changed = text.replace(&format!("hosts = [\"127.0.0.1:{from}\"]"), &format!("hosts = [\"127.0.0.1:{to}\"]"));
    assert_ne!(text, changed);
    fs::write(service.config(), changed).unwrap();
}

fn upstream(service: &Service) -> u16 {
    let text = fs::read_to_string(service.config()).unwrap();
    text.split("hosts = [\"127.0.0.1:").nth(1).unwrap().split('"').next().unwrap().parse().unwrap()
}

fn send(service: &Service, secret: &str, subject: &str, octets: usize) {
    let mut session = service.log_in(secret);
    assert_eq!(session.say("MAIL FROM:<a@example.net>"), 250);
    assert_eq!(session.say("RCPT TO:<b@example.org>"), 250);
    assert_eq!(session.say("DATA"), 354);
    let text = format!("{WORDS}\r\n").repeat(octets / WORDS.len());
    assert_eq!(session.say(&format!("From: a@example.net\r\nSubject: {subject}\r\n\r\n{text}.")), 250);
}

/// Whether a file below that directory has these words; those that come and go are looked at as they are met.
fn is_anywhere(directory: &Path, words: &str) -> bool {
    fs::read_dir(directory).unwrap().flatten().any(|entry| match entry.path() {
        path if path.is_dir() => is_anywhere(&path, words),
        path => fs::read(path).is_ok_and(|octets| octets.windows(words.len()).any(|part| part == words.as_bytes())),
    })
}

#[test]
fn no_file_holds_a_word_of_a_message_that_waits_and_it_arrives_as_it_was_sent() {
    let mut service = Service::start();
    let secret = service.add_credential();
    let (open, closed) = (upstream(&service), free_port());
    service.end();
    point(&service, open, closed);
    service.start_again();
    send(&service, &secret, "small", 2000);
    send(&service, &secret, "large", 300_000);
    let state = service.folder.path().join("state");
    let segments = || {
        fs::read_dir(state.join("db"))
            .unwrap()
            .flatten()
            .filter(|entry| entry.file_name().to_string_lossy().starts_with("body-"))
            .count()
    };
    assert_eq!(segments(), 1);
    assert!(is_anywhere(&state, "b@example.org"), "the search finds what is there");
    assert!(!is_anywhere(&state, WORDS));
    service.kill_all();
    assert!(!is_anywhere(&state, WORDS), "in what a kill leaves");
    point(&service, closed, open);
    service.start_again();
    for _ in 0..2 {
        let received = service.sink.next(Duration::from_secs(60)).expect("it arrives");
        let text = String::from_utf8(received.content).unwrap();
        assert!(text.matches(WORDS).count() >= 2000 / WORDS.len() && text.ends_with(&format!("{WORDS}\r\n")));
    }
    await_that("the body is removed", || segments() == 0);
    service.stop();
}

#[test]
fn a_master_key_that_is_away_readable_or_another_is_a_start_refused_with_what_to_do() {
    let mut service = Service::start();
    service.end();
    let key = master(&service).join("master.key");
    let mode = |mode| fs::set_permissions(&key, fs::Permissions::from_mode(mode)).unwrap();
    assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o7777, 0o600);
    let right = fs::read(&key).unwrap();
    let refused = |why: &str| {
        let mut command = gatepost();
        let output = command.args(["serve", "--fallback-ids", "--config"]).arg(service.config()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(why), "{why:?} is not in: {said}");
        assert!(!right.is_empty() && !said.contains(&format!("{right:?}")));
    };
    mode(0o644);
    refused("chmod it to 0600");
    mode(0o600);
    fs::write(&key, [7; 32]).unwrap();
    refused("put the right one back");
    fs::write(&key, [7; 31]).unwrap();
    refused("exactly 32 octets");
    fs::remove_file(&key).unwrap();
    refused("put it back from where a copy is kept");
    assert!(!key.exists(), "no other key is made in its place");
    fs::write(&key, &right).unwrap();
    mode(0o600);
    service.start_again();
    service.stop();
}

#[test]
fn the_master_key_is_changed_under_load_and_over_kills_and_all_mail_can_be_read() {
    let mut service = Service::start();
    let secret = service.add_credential();
    let mut dice = Dice::for_test("rekey");
    let key = master(&service).join("master.key");
    let name = || fs::read_to_string(master(&service).join("master.id")).unwrap();
    let mut names = vec![name()];
    let senders = Senders::start(&Target::of(&service, &secret), "load", 2, 1, &mut dice);
    for round in 0..4 {
        let before = senders.acknowledged();
        await_that("mail flows", || senders.acknowledged() > before + 20);
        let first = fs::read(&key).unwrap();
        if round % 2 == 1 {
            // The vault dies with the next key already made: both are handed to its successor.
            let vault = processes::child(service.pid(), "vault");
            let mut command = gatepost();
            command.args(["queue", "rekey", "--yes", "--config"]).arg(service.config());
            let command = std::thread::spawn(move || command.output().unwrap());
            std::thread::sleep(Duration::from_millis(dice.below(30)));
            processes::signal(vault, Signal::SIGKILL);
            let command = command.join().unwrap();
            if !command.status.success() {
                assert_eq!(fs::read(&key).unwrap(), first, "until it is done the old one is in its place");
            }
        }
        await_that("the key is changed", || service.command(&["queue", "rekey", "--yes"]).status.success());
        assert_ne!(fs::read(&key).unwrap(), first);
        assert!(!master(&service).join("next.key").exists());
        names.push(name());
    }
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 5, "{names:?}");
    let book = senders.stop();
    service.kill_all();
    service.start_again();
    service.await_arrival(book.into_keys().collect());
    let found = service.command(&["audit", "query", "--event", "integrity.failure", "--json"]);
    assert_eq!(String::from_utf8_lossy(&found.stdout), "");
    let found = service.command(&["audit", "query", "--event", "store.rekey", "--json"]);
    assert!(String::from_utf8_lossy(&found.stdout).lines().count() >= 4);
    service.stop();
}
