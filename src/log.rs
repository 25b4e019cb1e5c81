//! Log lines. Nobody ever waits for whoever reads them: a child writes whole lines to a pipe that takes them or doesn't, and
//! the parent copies them, unread, to its stderr in the same way.

pub mod flood;
#[cfg(test)]
pub mod heard;
mod stderr;

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};

use tracing_subscriber::fmt::MakeWriter;

pub use stderr::copy;

/// Lines that a full pipe did not take. The next line that goes through says how many.
static LOST: AtomicU64 = AtomicU64::new(0);

/// Lines of the parent: to stderr, with the time unless the journal adds its own.
pub fn to_stderr() {
    // Nobody may read our stderr any more: the complaint about that would go there too, and panic.
    let builder = tracing_subscriber::fmt().log_internal_errors(false);
    let builder = builder.with_target(false).with_ansi(false).with_writer(|| stderr::Stderr);
    if std::env::var_os("JOURNAL_STREAM").is_some() {
        builder.without_time().init();
    } else {
        builder.with_timer(Utc).init();
    }
}

/// Lines of a child: to its stderr, which is a pipe that never blocks. The parent adds the time and who said it.
pub fn to_parent() {
    tracing_subscriber::fmt().with_target(false).with_ansi(false).without_time().with_writer(Pipe).init();
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

impl Write for Pipe {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let cut = match line.get(..LONGEST - 1) {
            Some(start) if line.len() > LONGEST => [start, b"\n"].concat(),
            _ => line.to_vec(),
        };
        let lost = LOST.swap(0, Ordering::Relaxed);
        if lost > 0 && io::stderr().write_all(format!("WARN {lost} log lines were lost\n").as_bytes()).is_err() {
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
