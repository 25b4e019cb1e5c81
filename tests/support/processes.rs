//! The processes of a service, as the kernel shows them.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// The children of the parent by their title: `edge-smtp main` and so on.
pub fn children(parent: u32) -> BTreeMap<String, u32> {
    all(parent).into_iter().filter_map(|pid| Some((title(pid)?, pid))).collect()
}

/// The child with this title, as soon as the kernel lists it: a child that ends meanwhile can hide others from the list.
pub fn child(parent: u32, title: &str) -> u32 {
    let mut found = None;
    super::await_that(&format!("{parent} has a child {title}"), || {
        found = children(parent).remove(title);
        found.is_some()
    });
    found.unwrap()
}

/// Every child, also where two have the same title (an old generation beside the new one).
pub fn all(parent: u32) -> Vec<u32> {
    let list = || fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap_or_default();
    let mut listed = list();
    // While one of them ends, others can be missing.
    for _ in 0..100 {
        let again = list();
        if again == listed {
            break;
        }
        listed = again;
    }
    listed.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

/// What `ps` shows behind `gatepost: `.
pub fn title(pid: u32) -> Option<String> {
    let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let first = line.split(|octet| *octet == 0).next()?;
    String::from_utf8_lossy(first).strip_prefix("gatepost: ").map(str::to_owned)
}

/// The thread of a process that bears this name.
pub fn thread(pid: u32, name: &str) -> u32 {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap().map(|entry| entry.unwrap().path());
    let mut named = tasks.filter(|task| fs::read_to_string(task.join("comm")).is_ok_and(|comm| comm.trim() == name));
    let task = named.next().unwrap_or_else(|| panic!("process {pid} has no thread {name}"));
    task.file_name().unwrap().to_str().unwrap().parse().unwrap()
}

pub fn signal(pid: u32, signal: Signal) {
    // It may have gone by itself; then there is nothing to signal.
    let _ = kill(Pid::from_raw(i32::try_from(pid).unwrap()), signal);
}

/// Has strace do something to a process, or with `-f` to all its threads. It does from here on: whatever begins a call later
/// begins it under its eyes. A process that is gone by then is no error.
pub fn traced(pid: u32, words: &[&str]) -> Child {
    let said = tempfile::NamedTempFile::new().unwrap();
    let mut strace = Command::new("strace")
        .args(["-o", "/dev/null", "-p", &pid.to_string()])
        .args(words)
        .stdin(Stdio::null())
        .stderr(File::create(said.path()).unwrap())
        .spawn()
        .expect("strace is needed (Debian: strace)");
    // /proc names the tracer before the process was stopped once, and of one thread before the others.
    super::await_that("strace has attached", || {
        fs::read_to_string(said.path()).unwrap().contains(" attached") || strace.try_wait().unwrap().is_some()
    });
    strace
}

/// How many descriptors a process has open; none when it is gone or may not be looked at (only root may).
pub fn descriptors(pid: u32) -> Option<usize> {
    fs::read_dir(format!("/proc/{pid}/fd")).ok().map(Iterator::count)
}

/// One field of /proc/PID/status.
pub fn status(pid: u32, field: &str) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    Some(line.trim().to_owned())
}
