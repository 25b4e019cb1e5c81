//! Claim: a log that was tampered with does not verify, also when what was taken away is its end, its beginning or all.

mod support;

use std::ffi::OsStr;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use support::auditor::verifier;
use support::programs::said;
use support::smtp::trusting;
use support::{Service, await_that, gatepost};

const ARRIVAL: Duration = Duration::from_secs(30);
/// Exit codes of `audit verify`.
const UNREADABLE: i32 = 2;
const ALTERED: i32 = 10;
const ERASED: i32 = 11;
const FORK: i32 = 13;
const UNSEALED: i32 = 14;

/// A service whose log tells of one delivery and is at rest.
fn grown() -> Service {
    let service = Service::start();
    let secret = service.add_credential();
    // This makes a signed head that is not the last.
    assert_verdict(&service, &[], 0, "sound");
    let mut session = service.connect().secure(&trusting(&service.pair));
    assert_eq!(session.log_in(&secret), 235);
    assert_eq!(session.send("a message"), 250);
    service.sink.next(ARRIVAL).expect("it arrives");
    assert_eq!(session.say("QUIT"), 221);
    await_that("the delivery is in the log", || {
        said(&service.command(&["audit", "query", "--event", "deliver.success"])).contains(" deliver.success ")
    });
    service
}

fn verify(service: &Service, words: &[&str]) -> (Option<i32>, String) {
    let output = service.command(&[&["audit", "verify"], words].concat());
    (output.status.code(), said(&output))
}

/// Insists on the code, and on a word of why.
fn assert_verdict(service: &Service, words: &[&str], code: i32, why: &str) {
    let (found, said) = verify(service, words);
    assert!(found == Some(code) && said.contains(why), "{words:?}: {found:?}: {said}");
}

fn file(service: &Service) -> PathBuf {
    service.folder.path().join("state/audit/audit.db")
}

fn sqlite(service: &Service, sql: &str) -> String {
    let mut command = Command::new("sqlite3");
    command.args(["-cmd", ".timeout 5000"]).arg(file(service)).arg(sql);
    let output = command.output().expect("sqlite3 is needed (Debian: sqlite3)");
    assert!(output.status.success(), "{}", said(&output));
    String::from_utf8(output.stdout).unwrap()
}

fn cut(service: &Service, size: u64) {
    sqlite(
        service,
        &format!(
            "DELETE FROM event WHERE seq>={size}; DELETE FROM personal WHERE seq>={size}; \
             DELETE FROM checkpoint WHERE size>{size}; UPDATE info SET value={size} WHERE key='published_size';"
        ),
    );
}

/// The size of the first signed head, so that a log that is cut there ends under a signature.
fn first_head(service: &Service) -> u64 {
    sqlite(service, "SELECT min(size) FROM checkpoint").trim().parse().unwrap()
}

#[test]
fn an_end_that_was_cut_off_under_the_running_service_is_noticed() {
    let service = grown();
    assert_verdict(&service, &[], 0, "against the running service and the sealer's last head");
    let first = first_head(&service);
    let note = service.folder.path().join("kept.note");
    std::fs::write(&note, sqlite(&service, "SELECT note FROM checkpoint ORDER BY size DESC LIMIT 1")).unwrap();
    let head = ["--head", note.to_str().unwrap()];
    assert_verdict(&service, &head, 0, "kept.note");
    cut(&service, first);
    assert_verdict(&service, &[], ALTERED, "the service has put");
    assert_verdict(&service, &["--json"], ALTERED, "\"sound\":false");
    assert_verdict(&service, &head, FORK, "kept.note");
    service.stop();
}

#[test]
fn an_end_that_was_cut_off_while_the_service_is_stopped_is_noticed() {
    let mut service = grown();
    service.end();
    assert_verdict(&service, &[], 0, "against the sealer's last head");
    let first = first_head(&service);
    cut(&service, first);
    assert_verdict(&service, &[], ALTERED, "the sealer's last head");
    cut(&service, 0);
    assert_verdict(&service, &[], ALTERED, "the sealer's last head");
    // The slots were set back, too, and then the vault's database: a log without any event is none.
    for slot in ["head.0", "head.1"] {
        std::fs::write(service.folder.path().join("state/seal").join(slot), b"").unwrap();
    }
    assert_verdict(&service, &[], ALTERED, "the vault has written");
    std::fs::remove_file(service.folder.path().join("state/db/vault.db")).unwrap();
    assert_verdict(&service, &[], ALTERED, "no event at all");
}

#[test]
fn a_beginning_that_was_cut_off_is_noticed_unless_it_is_meant() {
    let mut service = grown();
    service.end();
    // Four leaves are one perfect subtree: its root is the base of what follows.
    let leaves = sqlite(&service, "SELECT hex(leaf_hash) FROM event WHERE seq<4 ORDER BY seq");
    let leaves: Vec<gatepost::merkle::Hash> = leaves.lines().map(hash).collect();
    let node = gatepost::merkle::node_hash;
    let base = node(&node(&leaves[0], &leaves[1]), &node(&leaves[2], &leaves[3]));
    let base: String = base.iter().map(|octet| format!("{octet:02x}")).collect();
    sqlite(
        &service,
        &format!(
            "DELETE FROM event WHERE seq<4; DELETE FROM personal WHERE seq<4; DELETE FROM checkpoint WHERE size<4; \
             UPDATE info SET value='4' WHERE key='first_seq'; UPDATE info SET value='{base}' WHERE key='base';"
        ),
    );
    assert_verdict(&service, &[], ERASED, "begins with event 4");
    assert_verdict(&service, &["--from", "3"], ALTERED, "begins with event 4");
    assert_verdict(&service, &["--from", "4"], 0, "events 4 to");
}

fn hash(hex: &str) -> gatepost::merkle::Hash {
    let octet = |at: usize| u8::from_str_radix(&hex[at * 2..at * 2 + 2], 16).unwrap();
    std::array::from_fn(octet)
}

#[test]
fn what_is_no_regular_file_is_not_waited_for() {
    let mut service = grown();
    service.end();
    let state = service.folder.path().join("state");
    let patient = |program: &OsStr| {
        let mut command = Command::new("timeout");
        command.arg("60").arg(program);
        command
    };
    for place in ["audit/audit.db", "audit/audit.db-journal", "seal/head.0", "seal/log.vkey"] {
        let (place, aside) = (state.join(place), state.join("aside"));
        let was_there = std::fs::rename(&place, &aside).is_ok();
        mkfifo(&place, Mode::S_IRWXU).unwrap();
        let mut verify = patient(gatepost().get_program());
        let output = verify.args(["audit", "verify", "--config"]).arg(service.config()).output().unwrap();
        let told = said(&output);
        assert!(output.status.code() == Some(UNREADABLE) && told.contains("no regular file"), "{place:?}: {told}");
        if place.starts_with(state.join("audit")) {
            let mut second = patient(OsStr::new("python3"));
            second.arg(verifier()).arg("--key").arg(state.join("seal/log.vkey")).arg(file(&service));
            let output = second.output().unwrap();
            let told = said(&output);
            assert!(output.status.code() == Some(UNREADABLE) && told.contains("no regular file"), "{place:?}: {told}");
        }
        std::fs::remove_file(&place).unwrap();
        if was_there {
            std::fs::rename(&aside, &place).unwrap();
        }
    }
    assert_verdict(&service, &[], 0, "sound");
}

#[test]
fn a_signed_head_of_another_log_is_refused() {
    let (service, other) = (grown(), grown());
    let note = service.folder.path().join("other.note");
    std::fs::write(&note, sqlite(&other, "SELECT note FROM checkpoint ORDER BY size LIMIT 1")).unwrap();
    assert_verdict(&service, &["--head", note.to_str().unwrap()], FORK, "signature");
    other.stop();
    service.stop();
}

#[test]
fn events_that_a_reader_keeps_out_of_the_files_are_not_called_sound() {
    let service = Service::start();
    let secret = service.add_credential();
    assert_verdict(&service, &[], 0, "sound");
    let mut reader = Command::new("sqlite3")
        .arg(file(&service))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("sqlite3 is needed (Debian: sqlite3)");
    let mut input = reader.stdin.take().unwrap();
    input.write_all(b"BEGIN; SELECT 'held' FROM event LIMIT 1;\n").unwrap();
    let mut answer = [0; 5];
    std::io::Read::read_exact(reader.stdout.as_mut().unwrap(), &mut answer).unwrap();
    assert_eq!(&answer, b"held\n");
    let mut session = service.connect().secure(&trusting(&service.pair));
    assert_eq!(session.log_in(&secret), 235);
    assert_eq!(session.send("unseen"), 250);
    service.sink.next(ARRIVAL).expect("mail goes on");
    assert_verdict(&service, &[], UNSEALED, "not in the auditors' files yet");
    drop(input);
    reader.wait().unwrap();
    assert_verdict(&service, &[], 0, "sound");
    service.stop();
}
