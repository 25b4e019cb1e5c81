//! Verification: the whole log computed anew from the auditors' files, against a key that doesn't come from them, and
//! against what else is known of it: where it ends is told by others.

pub mod acks;
mod aside;
mod beside;
mod erased;
mod file;
mod gap;
mod hole;
mod index;
mod known;
mod log;
mod orders;
mod reader;
mod silence;
mod stopped;
mod taken;
mod unpublished;
mod value;
mod values;

use std::fmt;
use std::fs;
use std::io;
use std::path::Path;

use super::query;
use crate::merkle::note::Verifier;
pub use aside::plain;
use erased::Erased;
pub use gap::{DeclaredGap, declared};
pub use known::{Known, KnownHead};
use log::Log;
use orders::Orders;
pub use silence::time;
use stopped::Stopped;

/// A leaf that is older than this and under no signed head means that sealing has stopped.
const UNSEALED_US: u64 = 15_000_000;

/// The result, as the exit code of `gatepost audit verify`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Sound = 0,
    /// The question was wrong.
    Usage = 1,
    /// Something could not be read.
    Unreadable = 2,
    /// An event, a value, a tile or the order of things is not what was signed, or events are missing.
    Altered = 10,
    /// Something was erased and no event says so.
    Erased = 11,
    /// A signature is missing, wrong, or another key's.
    Signature = 12,
    /// Two histories: this one contradicts a head that was kept elsewhere, or ends before it.
    Fork = 13,
    /// The end of the log is not proven: it is under no signature although it is old enough, or not in the files yet, or
    /// there is no end although nothing came for long.
    Unsealed = 14,
    /// Sound but for what an administrator declared lost.
    Gap = 15,
}

impl Verdict {
    pub const fn code(self) -> u8 {
        self as u8
    }
}

/// What was found wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub verdict: Verdict,
    pub what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

/// What a sound log amounts to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// The first leaf that was given; not 0 when earlier months were not.
    pub first: u64,
    /// Leaves up to here.
    pub size: u64,
    /// Signed up to here.
    pub sealed: u64,
    pub checkpoints: u64,
    pub files: u64,
    /// When the last event was, in microseconds.
    pub last_us: u64,
    /// Whether the log ends with the end of the service.
    pub ended: bool,
    /// What was given up, and said so.
    pub gaps: Vec<DeclaredGap>,
    /// How many of the known heads are of a history that was given up.
    pub given_up: usize,
}

/// What is said when not one of the files is there.
const GONE: &str = "None of the auditors' files is there: put copies of them back from a backup, or declare with `gatepost audit \
                    resume` what is lost";

/// The longest that lies between a message's id and its event: the largest message at the least rate takes fourteen hours.
const TRANSACTION_US: u64 = 24 * 3_600_000_000;

/// Verifies a file, or the files of a directory as one log. `progress` is told the leaves done, now and then.
///
/// Errors: the first fault.
pub fn verify(path: &Path, key: &Verifier, known: &Known, mut progress: impl FnMut(u64)) -> Result<Summary, Fault> {
    let (files, nothing) = match query::files(path) {
        Ok(files) => (files, None),
        // What others know of the log says whether there ever was a file.
        Err(reason) if known.state.is_some() && is_empty(path) => (Vec::new(), Some(unreadable(reason))),
        Err(reason) => return Err(unreadable(reason)),
    };
    // Before anything in them is asked for.
    files.iter().try_for_each(|file| {
        let connection = query::open_unchecked(file).map_err(unreadable)?;
        file::schema(&connection).map_err(|fault| in_file(file, fault))
    })?;
    // Before the files: whatever is published meanwhile is in one of the two.
    let database = known.state.as_ref().filter(|_| known.asks_database()).map(|state| Stopped::open(state));
    let stopped = database.as_ref().filter(|_| known.is_unasked());
    if let Some(nothing) = nothing
        && known.heads.is_empty()
        && known.published.is_none_or(|published| published == 0)
        && database.as_ref().is_none_or(|database| database.as_ref().is_ok_and(|database| database.size == 0))
    {
        return Err(nothing);
    }
    let orders = Orders::of(known, stopped)?;
    let mut log = Log::new(key, known, Erased::collect(&files, known.as_of_us, orders)?);
    let read = files.iter().enumerate().try_for_each(|(at, file)| {
        let done = file::verify(file, at == 0, &mut log, &mut progress);
        log.summary.files += 1;
        done.map_err(|fault| in_file(file, fault))
    });
    // It may be why something else doesn't fit.
    log.holes.judge(&log.gaps.declared)?;
    read?;
    log.silence.end()?;
    let unjudged = log.erased.end()?;
    let gaps = log.gaps.all();
    let given_up = Known::judge(&log.against, &gaps)? + log.holes.heads(&known.heads);
    let waits = match known.ends(log.summary.first, &log.frontier, &gaps, database.as_ref()) {
        // A reader, or a stop, makes the end wait: that hides nothing of what else is wrong.
        Err(fault) if fault.verdict == Verdict::Unsealed => Err(fault),
        Err(fault) if files.is_empty() => return Err(Fault { what: format!("{}. {GONE}", fault.what), ..fault }),
        ends => Ok(ends?),
    };
    log.erased.hashes(known.hashes)?;
    let is_elsewhere = |seq| seq < known.from || log.holes.has_event(seq);
    log.erased.orders.judge(stopped, log.frontier.size, is_elsewhere)?;
    let is_whole = match stopped {
        Some(stopped) => stopped.as_ref().is_ok_and(|stopped| log.acks.waiting(stopped)),
        None => known.published.is_some() && waits.is_ok(),
    };
    // A message has its id at MAIL and its event at the dot: it may be behind the end, if that isn't where the log ended when
    // whoever knows it was asked.
    let known_us = if is_whole { log.last_us } else { log.last_us.saturating_sub(TRANSACTION_US) };
    log.acks.judge(log.first_us.unwrap_or(0), known_us, &log.holes)?;
    waits?;
    tail(&log, known)?;
    known.erased(log.erased.orders.first())?;
    if let Some(fault) = unjudged {
        return Err(fault);
    }
    let (size, last_us, ended) = (log.frontier.size, log.last_us, !log.silence.serves());
    Ok(Summary { size, last_us, ended, given_up, gaps: log.gaps.declared, ..log.summary })
}

/// How many events the database of a stopped service has behind the end of the files: none where it can't be read.
pub fn left_behind(state: &Path, end: u64) -> u64 {
    Stopped::open(state).and_then(|stopped| stopped.events(end)).unwrap_or(0)
}

/// Whether there is no file, where there could be some.
fn is_empty(audit: &Path) -> bool {
    fs::read_dir(audit).map_or_else(|error| error.kind() == io::ErrorKind::NotFound, |_| true)
}

fn in_file(file: &Path, fault: Fault) -> Fault {
    Fault { what: format!("{}: {}", file.display(), fault.what), ..fault }
}

/// Whether the end of the log is one: under a signed head, and not silent for long.
fn tail(log: &Log<'_>, known: &Known) -> Result<(), Fault> {
    let tail = log.frontier.size - log.summary.sealed;
    // Of a copy nobody knows when it was made: it must be sealed by its own time.
    let until = known.as_of_us.unwrap_or(log.last_us);
    let fault = |what: String| Err(Fault { verdict: Verdict::Unsealed, what });
    if log.summary.checkpoints == 0 && known.as_of_us.is_none() {
        return fault("there is no signed head in the files: nothing shows that they are the log".to_owned());
    }
    if log.unsealed_us.is_some_and(|since| since.saturating_add(UNSEALED_US) < until) {
        return fault(format!(
            "the last {tail} events are under no signed head: is the service stopped, or the sealer? Look for \
             `sealer.refused`"
        ));
    }
    let silent = until.saturating_sub(log.last_us) > silence::LONGEST_US;
    // The sealer's own last head shows that a service which fell had not gone on.
    let is_last = |head: &KnownHead| head.verdict == Verdict::Altered && head.size == log.frontier.size;
    let shown = known.published.is_none() && known.heads.iter().any(is_last);
    if silent && log.silence.serves() && !shown {
        return fault(format!(
            "the last event is of {}, and the service had not stopped: it fell, or no longer writes, or the end was cut off",
            silence::time(log.last_us)
        ));
    }
    Ok(())
}

fn unreadable(error: impl fmt::Display) -> Fault {
    Fault { verdict: Verdict::Unreadable, what: error.to_string() }
}

fn altered(what: impl Into<String>) -> Fault {
    Fault { verdict: Verdict::Altered, what: what.into() }
}

/// How it is told that a file isn't a whole database.
const NOT_WHOLE: &str = "the file is not a whole database";

fn not_whole(what: impl fmt::Display) -> Fault {
    altered(format!("{NOT_WHOLE}: {what}"))
}

/// An error of SQLite's: a row that isn't what we write is an alteration, and so is a page; the rest is an obstacle.
fn sql(error: rusqlite::Error) -> Fault {
    match error {
        error if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseCorrupt) => not_whole(error),
        rusqlite::Error::InvalidColumnType(..)
        | rusqlite::Error::FromSqlConversionFailure(..)
        | rusqlite::Error::Utf8Error(..) => altered(format!("a row isn't what is written there: {error}")),
        error => unreadable(error),
    }
}

#[cfg(test)]
mod tests;
