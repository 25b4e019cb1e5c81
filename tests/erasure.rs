//! Claim: a personal value that is erased is gone from every file, the log says so and stays sound; without an event it is
//! tampering.

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;
use support::programs::{run, said};
use support::{Service, Setting, await_that, processes};

const ARRIVAL: Duration = Duration::from_secs(30);
/// Exit code of `audit verify`.
const ERASED: i32 = 11;
/// Whose values are erased.
const RECIPIENT: &str = "rosa@example.org";

fn done(service: &Service, words: &[&str]) -> String {
    let output = service.command(words);
    assert!(output.status.success(), "{words:?}: {}", said(&output));
    said(&output)
}

fn sqlite(service: &Service, sql: &str) -> String {
    let mut command = Command::new("sqlite3");
    command.args(["-cmd", ".timeout 5000"]).arg(service.folder.path().join("state/audit/audit.db")).arg(sql);
    let output = command.output().expect("sqlite3 is needed (Debian: sqlite3)");
    assert!(output.status.success(), "{}", said(&output));
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

/// The files of the vault that have these octets anywhere.
fn files_with(service: &Service, octets: &str) -> Vec<PathBuf> {
    let state = service.folder.path().join("state");
    let files = ["db", "audit"].iter().flat_map(|folder| fs::read_dir(state.join(folder)).unwrap());
    let has = |path: &PathBuf| memchr::memmem::find(&fs::read(path).unwrap(), octets.as_bytes()).is_some();
    files.map(|entry| entry.unwrap().path()).filter(has).collect()
}

/// A service whose log tells of one delivery; and the message.
fn grown() -> (Service, String) {
    let service = Service::start();
    let secret = service.add_credential();
    let mut session = service.log_in(&secret);
    assert_eq!(session.say("MAIL FROM:<a@example.net>"), 250);
    assert_eq!(session.say(&format!("RCPT TO:<{RECIPIENT}>")), 250);
    assert_eq!(session.say("DATA"), 354);
    assert_eq!(session.say("From: a@example.net\r\nSubject: a message\r\n\r\nHello.\r\n."), 250);
    service.sink.next(ARRIVAL).expect("it arrives");
    assert_eq!(session.say("QUIT"), 221);
    await_that("the delivery is in the log", || done(&service, &["audit", "query"]).contains(" deliver.success "));
    let message = sqlite(&service, "SELECT msg_id FROM event WHERE event = 'msg.accept'");
    (service, message)
}

fn verdict(service: &Service) -> (Option<i32>, String) {
    let output = service.command(&["audit", "verify"]);
    (output.status.code(), said(&output))
}

#[test]
fn an_address_is_erased_on_request_and_the_log_stays_sound() {
    let (mut service, message) = grown();
    assert!(!files_with(&service, RECIPIENT).is_empty());
    let root = sqlite(&service, "SELECT hex(root) FROM checkpoint ORDER BY size LIMIT 1");
    let seq = sqlite(&service, "SELECT seq FROM event WHERE event = 'msg.accept'");

    let shown = done(&service, &["audit", "disclose", "--seq", &seq, "--field", "rcpt_to:0", "--json"]);
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    assert_eq!((&shown["value"], &shown["field"]), (&RECIPIENT.into(), &"rcpt_to[0]".into()));
    let committed = sqlite(
        &service,
        &format!("SELECT lower(hex(commitment)) FROM personal WHERE seq = {seq} AND field = 'rcpt_to'"),
    );
    assert_eq!(shown["commitment"], committed.as_str());
    // The page's own lines, about this value.
    let page =
        fs::read_to_string(Path::new(&std::env::var_os("CARGO_MANIFEST_DIR").unwrap()).join("docs/audit-log.md"));
    let lines =
        page.unwrap().split("```python\n").nth(1).and_then(|rest| Some(rest.split_once("```")?.0.to_owned())).unwrap();
    let salt = shown["salt"].as_str().unwrap();
    let lines = lines.replace("= 15,", &format!("= {seq},")).replace("\"...\"", &format!("\"{salt}\""));
    let made = run(Command::new("python3").args(["-c", &lines.replace("rosa@example.org", RECIPIENT)]), "");
    assert_eq!(said(&made).trim(), committed);

    let ground = ["--ground", "request 2026-118", "--yes"];
    let redacted = done(&service, &[&["audit", "redact", "--address", RECIPIENT], &ground[..]].concat());
    assert!(redacted.contains(" is erased; event "), "{redacted}");
    assert_eq!(files_with(&service, RECIPIENT), Vec::<PathBuf>::new());
    let recipients = sqlite(&service, &format!("SELECT DISTINCT rcpt_to FROM audit_v1 WHERE msg_id = '{message}'"));
    assert_eq!(recipients, "[erased]");
    assert_eq!(sqlite(&service, "SELECT what || ' ' || ground FROM erasure_v1"), "rcpt_to[0] request 2026-118");
    let kept = sqlite(&service, "SELECT DISTINCT account FROM audit_v1 WHERE rcpt_to = '[erased]'");
    assert_eq!(kept, support::CREDENTIAL);
    let (code, words) = verdict(&service);
    assert_eq!(code, Some(0), "{words}");
    assert_eq!(sqlite(&service, "SELECT hex(root) FROM checkpoint ORDER BY size LIMIT 1"), root, "proofs stay");

    let again = service.command(&[&["audit", "redact", "--address", RECIPIENT], &ground[..]].concat());
    assert!(!again.status.success() && said(&again).contains("nothing was found"), "{}", said(&again));
    let gone = service.command(&["audit", "disclose", "--seq", &seq, "--field", "rcpt_to"]);
    assert!(!gone.status.success() && said(&gone).contains("was erased"), "{}", said(&gone));
    assert!(done(&service, &["audit", "query", "--event", "audit.disclose"]).contains("audit.disclose"));

    service.end();
    let stopped = service.command(&[&["audit", "redact", "--message", &message], &ground[..]].concat());
    assert!(!stopped.status.success() && said(&stopped).contains("is not running"), "{}", said(&stopped));
    assert_eq!(verdict(&service).0, Some(0));
}

#[test]
fn an_erasure_by_hand_is_tampering() {
    let (service, message) = grown();
    assert_eq!(verdict(&service).0, Some(0));
    sqlite(
        &service,
        &format!(
            "UPDATE personal SET shown = NULL, shown_salt = NULL \
             WHERE field = 'rcpt_to' AND seq IN (SELECT seq FROM event WHERE msg_id = '{message}')"
        ),
    );
    let (code, words) = verdict(&service);
    assert!(code == Some(ERASED) && words.contains("no event says so"), "{code:?} {words}");
    service.stop();
}

#[test]
fn an_erasure_that_a_reader_delays_is_done_even_if_the_vault_is_killed_meanwhile() {
    let (service, message) = grown();
    // It can be read, and so not be written to.
    let reader = rusqlite::Connection::open(service.folder.path().join("state/audit/audit.db")).unwrap();
    done(&service, &["audit", "verify"]);
    let mut statement = reader.prepare("SELECT seq FROM event").unwrap();
    let redact = ["audit", "redact", "--message", &message, "--ground", "request 2026-119", "--yes"];
    let mut rows = statement.query([]).unwrap();
    rows.next().unwrap();
    // Either there is news that waits for the file, or the erasure waits for it: both are told.
    let delayed = service.command(&redact);
    assert!(!delayed.status.success() && said(&delayed).contains("a reader holds"), "{}", said(&delayed));
    if said(&delayed).contains("says that what") {
        let (code, words) = verdict(&service);
        assert_eq!(code, Some(14), "{words}");
    }
    let vault = processes::child(service.pid(), "vault");
    processes::signal(vault, Signal::SIGKILL);
    drop(rows);
    drop(statement);
    drop(reader);
    await_that("its successor", || processes::children(service.pid()).get("vault").is_some_and(|pid| *pid != vault));
    if said(&delayed).contains("says that what") {
        await_that("the erasure is done", || {
            sqlite(&service, &format!("SELECT DISTINCT rcpt_to FROM audit_v1 WHERE msg_id = '{message}'")) == "[erased]"
        });
    } else {
        await_that("it can be erased", || service.command(&redact).status.success());
    }
    assert_eq!(files_with(&service, RECIPIENT), Vec::<PathBuf>::new());
    let (code, words) = verdict(&service);
    assert_eq!(code, Some(0), "{words}");
    service.stop();
}

#[test]
fn a_month_stays_without_an_anchor_and_is_missed_when_it_goes_without_an_event() {
    let (mut service, _) = grown();
    service.end();
    // The month is over.
    let state = service.folder.path().join("state");
    let month = sqlite(&service, "SELECT value FROM info WHERE key = 'month'");
    let closed = state.join(format!("audit/audit-{month}.db"));
    fs::rename(state.join("audit/audit.db"), &closed).unwrap();
    service.start_again();
    let dry = done(&service, &["audit", "prune", "--before", "9999-12", "--dry-run"]);
    assert!(
        dry.starts_with(&format!("{month}  events 0 to "))
            && dry.contains("stays: no head of the log was ever anchored"),
        "{dry}"
    );
    let refused = service.command(&["audit", "prune", "--before", "9999-12", "--yes"]);
    assert!(!refused.status.success() && closed.exists(), "{}", said(&refused));
    assert_eq!(verdict(&service).0, Some(0));
    fs::rename(&closed, state.join("elsewhere")).unwrap();
    let (code, words) = verdict(&service);
    assert!(
        code == Some(ERASED) && words.contains("no event says that those before it were removed"),
        "{code:?} {words}"
    );
    service.stop();
}

#[test]
fn a_log_as_large_as_it_may_be_keeps_mail_out_until_there_is_room() {
    let setting = Setting { more: "[audit]\nmax_bytes = 2_000_000\n".into(), ..Setting::default() };
    let service = Service::start_with(&setting);
    let secret = service.add_credential();
    let mut session = service.log_in(&secret);
    assert_eq!(session.send("a message"), 250);
    let large = service.folder.path().join("state/db/personal-2000-01.db");
    fs::write(&large, vec![0; 3_000_000]).unwrap();
    await_that("mail is refused", || service.log_in(&secret).say("MAIL FROM:<a@example.net>") == 452);
    fs::remove_file(&large).unwrap();
    await_that("mail is taken", || service.log_in(&secret).say("MAIL FROM:<a@example.net>") == 250);
    let events = done(&service, &["audit", "query"]);
    assert_eq!(
        (events.matches(" store.full ").count(), events.matches(" store.recovered ").count()),
        (1, 1),
        "{events}"
    );
    service.stop();
}
