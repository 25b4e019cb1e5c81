//! What `audit verify` says of a service's log, as the exit codes that gatepost-audit(8) promises.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::auditor::said;
use super::{Service, await_that};

pub const SOUND: i32 = 0;
pub const UNREADABLE: i32 = 2;
pub const ALTERED: i32 = 10;
pub const ERASED: i32 = 11;
pub const FORK: i32 = 13;
pub const UNSEALED: i32 = 14;
pub const GAP: i32 = 15;

/// One service at a time: each hashes passwords, and a machine has few cores.
static ALONE: Mutex<()> = Mutex::new(());

pub fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

pub fn state(service: &Service) -> PathBuf {
    service.folder.path().join("state")
}

/// Verifies until the log is sealed to its end, insists on the code, and gives what was said.
pub fn verify(service: &Service, words: &[&str], code: i32) -> String {
    let words = [&["audit", "verify"], words].concat();
    let mut told = String::new();
    await_that("the log is sealed", || {
        let output = service.command(&words);
        told = said(&output);
        assert!([code, UNSEALED].map(Some).contains(&output.status.code()), "{words:?}: {:?}: {told}", output.status);
        output.status.code() == Some(code)
    });
    told
}

pub fn assert_mail_flows(service: &Service, secret: &str, subject: &str) {
    assert_eq!(service.log_in(secret).send(subject), 250);
    service.await_arrival(vec![subject.to_owned()]);
}
