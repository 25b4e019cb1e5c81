//! What an auditor has: another user, sqlite3, Python, and the commands of the program.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Output};

pub use super::programs::said;
use super::{Service, is_root};

/// A user of no name. Root's tests read as this one, in the auditors' group; without root there is nobody else to be.
const SOMEBODY: u32 = 64_999;

pub fn audit(service: &Service) -> PathBuf {
    service.folder.path().join("state/audit")
}

/// A program run as an auditor: another user, in the group of the auditors' files.
pub fn as_auditor(service: &Service, program: &str, words: &[&str]) -> Output {
    let mut command = Command::new(program);
    command.args(words).current_dir("/");
    if is_root() {
        command.uid(SOMEBODY).gid(fs::metadata(audit(service)).unwrap().gid());
    } else {
        eprintln!("not root: read as the service's own user; another one can't be tried");
    }
    command.output().unwrap_or_else(|error| panic!("{program}: {error}"))
}

pub fn select(service: &Service, sql: &str) -> Output {
    let file = audit(service).join("audit.db");
    as_auditor(service, "sqlite3", &["-readonly", "-cmd", ".timeout 5000", file.to_str().unwrap(), sql])
}

pub fn count(service: &Service) -> Option<u64> {
    let output = select(service, "SELECT count(*) FROM audit_v1");
    output.status.success().then(|| said(&output).trim().parse().unwrap())
}

pub fn python(words: &[&str]) -> Output {
    Command::new("python3").args(words).output().expect("python3 is needed (Debian: python3)")
}

pub fn verifier() -> String {
    let root: PathBuf = std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it").into();
    root.join("tools/verify_audit.py").to_str().unwrap().to_owned()
}

pub fn run(service: &Service, words: &[&str]) -> String {
    let output = service.command(&[&["audit"], words].concat());
    assert!(output.status.success(), "{words:?}: {}", said(&output));
    String::from_utf8(output.stdout).unwrap()
}
