//! Claim: what the operator got wrong is one clear line (what, why, what to do), an exit code, and nothing half-started.

mod support;

use std::fs::{self, Permissions};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use support::{Pair, Setting, await_that, configuration, free_port, gatepost, is_root};
use tempfile::TempDir;

/// A place with a configuration that would start, to be spoilt.
struct Place {
    folder: TempDir,
    smtp: u16,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("gatepost-bad-").tempdir().unwrap();
        let (smtp, http) = (free_port(), free_port());
        let setting = Setting::default();
        setting.pair.write(folder.path());
        fs::write(folder.path().join("gatepost.toml"), configuration(folder.path(), smtp, http, 1, &setting)).unwrap();
        Self { folder, smtp }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn edit(&self, from: &str, to: &str) {
        let text = fs::read_to_string(self.path("gatepost.toml")).unwrap();
        assert!(text.contains(from), "{from:?} is not in the configuration");
        fs::write(self.path("gatepost.toml"), text.replace(from, to)).unwrap();
    }

    /// Starts it, insists that it refuses, and gives its last line, which is the reason.
    fn refusal(&self, flags: &[&str]) -> String {
        let output =
            gatepost().arg("serve").args(flags).arg("--config").arg(self.path("gatepost.toml")).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success(), "it started:\n{said}");
        assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, self.smtp)).is_err(), "something listens:\n{said}");
        let reason = said.lines().last().unwrap_or_default().to_owned();
        assert!(reason.starts_with("gatepost: "), "{said}");
        assert!(!said.contains("panicked"), "{said}");
        reason
    }
}

fn names(reason: &str, parts: &[&str]) {
    for part in parts {
        assert!(reason.contains(part), "{part:?} is missing in: {reason}");
    }
}

#[test]
fn who_types_update_is_told_where_it_stands_how_that_goes() {
    let output = gatepost().arg("update").output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    names(&said, &["unrecognized subcommand", "gatepost upgrade", "docs/runbook.md, \"By plan: upgrade\""]);
    let root = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let page = fs::read_to_string(root.join("docs/runbook.md")).unwrap();
    assert!(page.contains("\n## By plan: upgrade\n"), "the page has no such heading");
    let other = String::from_utf8(gatepost().arg("upgraed").output().unwrap().stderr).unwrap();
    assert!(!other.contains("runbook"), "{other}");
}

#[test]
fn what_is_no_command_line_is_shown_as_a_terminal_may_have_it() {
    for words in [&["queue", "show", "\u{1b}[2Jx"][..], &["\u{1b}]0;owned\u{7}"], &["status", "--\u{1b}[31m"]] {
        let output = gatepost().args(words).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said:?}");
        assert!(said.starts_with("error: ") && said.lines().count() > 2, "{said:?}");
        assert!(!said.chars().any(|c| c.is_control() && c != '\n'), "{said:?}");
    }
}

const FALLBACK: &[&str] = &["--fallback-ids"];

#[test]
fn a_command_that_has_a_secret_leaves_no_core() {
    let program = gatepost().get_program().to_owned();
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -c unlimited; exec \"$@\"", "sh"]).arg(program).args(["credential", "hash"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    await_that("it lets no core be written", || {
        let of = |name: &str| fs::read_to_string(format!("/proc/{}/{name}", child.id())).unwrap();
        // The shell has a limit of its own until it has set ours.
        if of("comm").trim() != "gatepost" {
            return false;
        }
        let limits = of("limits");
        let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        limits.lines().any(|line| line.starts_with("Max core file size") && words(line)[4] == "0")
    });
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_port_in_use() {
    let place = Place::new();
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, place.smtp)).unwrap();
    let output =
        gatepost().args(["serve", "--fallback-ids", "--config"]).arg(place.path("gatepost.toml")).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    names(said.lines().last().unwrap(), &["submission", &place.smtp.to_string(), "another process has this port"]);
    drop(taken);
}

#[test]
fn a_key_that_cannot_be_read() {
    let place = Place::new();
    fs::remove_file(place.path("key.pem")).unwrap();
    names(&place.refusal(FALLBACK), &["key.pem", "keyholder"]);
    fs::write(place.path("key.pem"), "this is no key\n").unwrap();
    names(&place.refusal(FALLBACK), &["key.pem"]);
}

#[test]
fn a_key_that_is_not_the_certificates() {
    let place = Place::new();
    fs::write(place.path("key.pem"), Pair::ecdsa().key).unwrap();
    names(&place.refusal(FALLBACK), &["key.pem", "certificate.pem", "does not match"]);
}

#[test]
fn a_missing_user() {
    if !is_root() {
        println!("NOT RUN: only root changes users; the run as root does it");
        return;
    }
    if nix::unistd::User::from_name("_gatepost").unwrap().is_some() {
        println!("NOT RUN: this machine has the users of an installed gatepost");
        return;
    }
    names(&Place::new().refusal(&[]), &["_gatepost-vault", "sysusers", "useradd"]);
}

#[test]
fn a_state_directory_that_others_can_write() {
    let place = Place::new();
    fs::create_dir(place.path("state")).unwrap();
    fs::set_permissions(place.path("state"), Permissions::from_mode(0o777)).unwrap();
    names(&place.refusal(FALLBACK), &["state", "0777", "0755", "chmod"]);
}

#[test]
fn a_vault_directory_with_the_wrong_mode_or_owner() {
    let place = Place::new();
    fs::create_dir(place.path("state")).unwrap();
    fs::set_permissions(place.path("state"), Permissions::from_mode(0o755)).unwrap();
    fs::create_dir(place.path("state/db")).unwrap();
    fs::set_permissions(place.path("state/db"), Permissions::from_mode(0o755)).unwrap();
    names(&place.refusal(FALLBACK), &["state/db"]);
}

#[test]
fn a_mistake_in_the_configuration_is_said_with_its_place() {
    let place = Place::new();
    place.edit("hostname =", "hostnam =");
    let output = gatepost().args(["serve", "--config"]).arg(place.path("gatepost.toml")).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    names(&said, &["gatepost.toml:4:1", "hostnam", "hostname"]);
}

#[test]
fn a_second_service_in_the_same_place() {
    let service = support::Service::start();
    let output = gatepost().args(["serve", "--fallback-ids", "--config"]).arg(service.config()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success());
    names(said.lines().last().unwrap(), &["another"]);
    assert_eq!(service.connect().code(), 220, "the first one serves on");
    service.stop();
}

#[test]
fn a_child_that_dies_at_the_start_stops_the_start_with_its_reason() {
    let place = Place::new();
    // A database that isn't one: the vault must refuse it and leave it alone.
    let made = gatepost()
        .args(["credential", "add", "x", "--sender", "*", "--fallback-ids", "--config"])
        .arg(place.path("gatepost.toml"))
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    for name in ["state/db/vault.db-wal", "state/db/vault.db-shm"] {
        let _ = fs::remove_file(place.path(name));
    }
    fs::write(place.path("state/db/vault.db"), vec![0x55; 8192]).unwrap();
    names(&place.refusal(FALLBACK), &["vault"]);
    assert_eq!(fs::read(place.path("state/db/vault.db")).unwrap(), vec![0x55; 8192], "the file is untouched");
    std::thread::sleep(Duration::from_millis(200));
    assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, place.smtp)).is_err(), "nothing is left behind");
}

#[test]
fn doctor_waits_for_no_pipe_and_shows_no_control_character_of_a_path() {
    let folder = TempDir::new().unwrap();
    let fifo = folder.path().join("pipe\u{1b}[2J\n");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    for more in [&["--offline"][..], &["--offline", "--json"]] {
        let output = gatepost().arg("doctor").args(more).arg("--config").arg(&fifo).output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        names(&said, &["configuration.loads", "it is no file"]);
        assert!(!said.trim_end().chars().any(|c| c.is_control() && c != '\n'), "{said:?}");
        assert!(!said.contains("[2J\n:"), "{said:?}");
    }
}
