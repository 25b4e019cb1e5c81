//! Log lines. Nobody ever waits for whoever reads them: a child writes whole lines to a pipe that takes them or doesn't, and
//! the parent copies them, unread, to its stderr in the same way.

pub mod flood;
#[cfg(test)]
pub mod heard;
mod json;
mod lines;
pub mod names;
mod stderr;

use std::io::{self, Write};
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tracing_subscriber::fmt::MakeWriter;

use crate::sys::syslog::Local;
use lines::Lines;

/// Lines that a full pipe did not take. The next line that goes through says how many.
static LOST: AtomicU64 = AtomicU64::new(0);

/// Whether lines are JSON; text otherwise.
static JSON: AtomicBool = AtomicBool::new(false);
/// Where lines go in the place of stderr.
static SYSLOG: OnceLock<Local> = OnceLock::new();
/// The facility daemon (RFC 5424 section 6.2.1).
const DAEMON: u8 = 3 * 8;
/// What a child is told on its command line.
pub const AS_JSON: &str = "json";

/// Lines of this process, and of those that it hands on, are JSON from here on.
pub fn as_json() {
    JSON.store(true, Ordering::Relaxed);
}

/// The words for a child's command line that make its lines like ours.
pub fn words() -> Option<&'static str> {
    JSON.load(Ordering::Relaxed).then_some(AS_JSON)
}

/// The parent's lines, and those that it hands on, go to the syslog of this socket from here on.
pub fn to_syslog(socket: &Path) -> Result<(), String> {
    let local = Local::new(socket).map_err(|error| format!("making a socket for syslog: {error}"))?;
    // A second one would be the same.
    let _ = SYSLOG.set(local);
    Ok(())
}

/// Whole lines with their ends: to stderr, or to syslog. What that doesn't take goes to stderr all the same.
fn out(lines: &[impl AsRef<[u8]>]) {
    match SYSLOG.get() {
        Some(syslog) => lines.iter().filter(|line| !told(syslog, line.as_ref())).for_each(|line| stderr::copy(&[line])),
        None => stderr::copy(lines),
    }
}

/// Whether syslog has taken that line.
fn told(syslog: &Local, line: &[u8]) -> bool {
    let text = String::from_utf8_lossy(line);
    let text = text.trim_end();
    let severity = match level(text) {
        Some("ERROR") => 3,
        Some("WARN") => 4,
        _ => 6,
    };
    let whole = format!("<{}>gatepost[{}]: {text}", DAEMON + severity, std::process::id());
    syslog.send(whole.as_bytes()).is_ok()
}

/// The level of a line, of either form, by a word that stands before anything that was said.
fn level(line: &str) -> Option<&'static str> {
    const LEVELS: [&str; 3] = ["ERROR", "WARN", "INFO"];
    if line.starts_with('{') {
        let said = line.split_once("\"level\":\"")?.1;
        return LEVELS.into_iter().find(|level| said.starts_with(level));
    }
    line.split_whitespace().take(5).find_map(|word| LEVELS.into_iter().find(|level| *level == word))
}

/// Lines of a child's, with who said them and when.
pub fn hand_on(post: &str, pid: u32, lines: &[String]) {
    let (json, now) = (JSON.load(Ordering::Relaxed), now());
    let whole = |line: &String| match json {
        true => format!("{}\n", json::adopt(post, pid, line)),
        false => format!("{now} {post} {pid}: {line}\n"),
    };
    out(&lines.iter().map(whole).collect::<Vec<_>>());
}

/// The last words of a service that can't serve.
pub fn last(text: &str) {
    match JSON.load(Ordering::Relaxed) {
        true => out(&[format!("{}\n", json::own("ERROR", names::DEAD, text))]),
        false => out(&[format!("{text}\n")]),
    }
}

/// Lines of the parent: to stderr, with the time unless the journal adds its own.
pub fn to_stderr() {
    // Nobody may read our stderr any more: the complaint about that would go there too, and panic.
    let builder = tracing_subscriber::fmt().log_internal_errors(false).with_ansi(false).with_writer(|| Parents);
    let text = tracing_subscriber::fmt::format().with_target(false).with_ansi(false);
    if std::env::var_os("JOURNAL_STREAM").is_some() {
        builder.event_format(Lines { text: text.without_time(), process: Some("parent"), most: LONGEST_OWN }).init();
    } else {
        builder.event_format(Lines { text: text.with_timer(Utc), process: Some("parent"), most: LONGEST_OWN }).init();
    }
}

/// Lines of a child: to its stderr, which is a pipe that never blocks. The parent adds the time and who said it.
pub fn to_parent() {
    let text = tracing_subscriber::fmt::format().with_target(false).with_ansi(false).without_time();
    // One octet is the line's end.
    let lines = Lines { text, process: None, most: LONGEST - 1 };
    tracing_subscriber::fmt().with_ansi(false).event_format(lines).with_writer(Pipe).init();
}

/// The time now as the log shows it: RFC 3339, UTC, whole seconds.
pub fn now() -> String {
    jiff::Timestamp::now().round(jiff::Unit::Second).map(|now| now.to_string()).unwrap_or_default()
}

struct Utc;

impl tracing_subscriber::fmt::time::FormatTime for Utc {
    fn format_time(&self, line: &mut tracing_subscriber::fmt::format::Writer<'_>) -> std::fmt::Result {
        line.write_str(&now())
    }
}

/// Standard error of a child. One event is one write of at most PIPE_BUF octets, so lines never mix.
#[derive(Clone, Copy)]
struct Pipe;

/// The longest line a pipe takes whole (POSIX demands 512, Linux and OpenBSD have this or more).
const LONGEST: usize = 512;
/// The longest line of the parent's own as JSON.
const LONGEST_OWN: usize = 4 * 1024;

/// Whole lines of the parent.
#[derive(Clone, Copy)]
struct Parents;

impl Write for Parents {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        out(&[line]);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Write for Pipe {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let cut = match line.get(..LONGEST - 1) {
            Some(start) if line.len() > LONGEST => [start, b"\n"].concat(),
            _ => line.to_vec(),
        };
        let lost = LOST.swap(0, Ordering::Relaxed);
        if lost > 0 && io::stderr().write_all(format!("WARN log lines were lost: {lost}\n").as_bytes()).is_err() {
            LOST.fetch_add(lost, Ordering::Relaxed);
        }
        if io::stderr().write_all(&cut).is_err() {
            LOST.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Pipe {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        *self
    }
}
