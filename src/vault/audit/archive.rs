//! All of the auditors' files as one log: its leaves in order, its signed heads, and what proofs are made from.
//!
//! Nothing stays locked between two reads, so that a slow reader never keeps the vault from writing. A file that gets its
//! month's name, or is removed, meanwhile stays readable here.

mod copy;
mod subtrees;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension, Result as Sql, params};

use super::month_file::unhex;
use super::query::{explain, files, open};
use super::row::{self, PERSONAL, PersonalRow, Row, integer, octets, unsigned};
#[cfg(test)]
use super::verify;
use super::verify::{Fault, Verdict};
use crate::merkle::prover::Prover;
use crate::merkle::{Frontier, Hash};
pub use copy::copy;
pub use subtrees::{Subtrees, rest};

/// Events read at once.
const PAGE: u64 = 1000;
/// A month may end between listing the files and opening them: looking again finds it.
const LOOKS: u32 = 3;

/// The files, the oldest first.
pub struct Archive {
    months: Vec<Month>,
    /// The roots of perfect subtrees that the files begin behind, by height and index.
    peaks: HashMap<(u32, u64), Hash>,
    pub origin: Option<String>,
}

struct Month {
    path: PathBuf,
    connection: Connection,
    /// The leaves in it: from the first, before the last.
    first: u64,
    end: u64,
}

/// A signed head as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    pub size: u64,
    pub time_us: u64,
    pub root: Hash,
    pub note: String,
}

impl Archive {
    /// Opens a file, or the files of a directory.
    ///
    /// Errors: one of them can't be read, or isn't what it should be.
    pub fn open(path: &Path) -> Result<Self, Fault> {
        let mut look = 1;
        loop {
            match Self::look(path) {
                Ok(archive) if archive.gap().is_none() || look == LOOKS => return Ok(archive),
                Err(fault) if look == LOOKS => return Err(fault),
                _ => look += 1,
            }
        }
    }

    fn look(path: &Path) -> Result<Self, Fault> {
        let mut archive = Self { months: Vec::new(), peaks: HashMap::new(), origin: None };
        for path in files(path).map_err(unreadable)? {
            // The vault has only just made it.
            if fs::metadata(&path).is_ok_and(|found| found.len() == 0) {
                continue;
            }
            archive.add(path)?;
        }
        match archive.months.is_empty() {
            true => Err(unreadable(format!("{}: there is no event yet", path.display()))),
            false => Ok(archive),
        }
    }

    fn add(&mut self, path: PathBuf) -> Result<(), Fault> {
        let connection = open(&path).map_err(unreadable)?;
        let info = |key: &str| -> Sql<Option<String>> {
            connection.query_row("SELECT value FROM info WHERE key = ?", [key], |row| row.get(0)).optional()
        };
        let read = || Ok((info("first_seq")?, info("base")?, info("published_size")?, info("origin")?));
        let (first, base, end, origin) = read().map_err(|error: rusqlite::Error| unreadable(explain(&path, &error)))?;
        // The vault has made its tables and nothing else yet.
        if first.is_none() && base.is_none() && end.is_none() {
            return Ok(());
        }
        let number = |text: Option<String>| text.and_then(|text| text.parse::<u64>().ok());
        let peaks = base.and_then(|base| base.split_whitespace().map(unhex).collect::<Option<Vec<Hash>>>());
        let (Some(first), Some(end), Some(peaks)) = (number(first), number(end), peaks) else {
            return Err(altered(format!("{}: `info` doesn't say which events are in it", path.display())));
        };
        let base = Frontier { size: first, peaks };
        if !base.is_sound() {
            return Err(altered(format!("{}: `info` doesn't say what comes before its first event", path.display())));
        }
        self.peaks.extend(subtrees::places(&base));
        self.origin = origin.or(self.origin.take());
        self.months.push(Month { path, connection, first, end });
        Ok(())
    }

    /// The first place that is in no file although later ones are.
    fn gap(&self) -> Option<u64> {
        let pairs = self.months.iter().zip(self.months.iter().skip(1));
        pairs.filter(|(earlier, later)| earlier.end != later.first).map(|(earlier, _)| earlier.end).next()
    }

    /// The first leaf that is here.
    pub fn first(&self) -> u64 {
        self.months.first().map_or(0, |month| month.first)
    }

    /// Leaves up to here.
    pub fn size(&self) -> u64 {
        self.months.last().map_or(0, |month| month.end)
    }

    /// What the tree was before that leaf, and proofs about any of its states that the files tell of.
    pub fn prover(&self) -> Prover<Subtrees<'_>> {
        Prover(Subtrees::new(self))
    }

    /// The newest signed head.
    pub fn newest(&self) -> Result<Option<Head>, Fault> {
        self.head("size >= ? ORDER BY size DESC", 0, true)
    }

    /// The signed head of exactly that size.
    pub fn head_of(&self, size: u64) -> Result<Option<Head>, Fault> {
        self.head("size = ?", size, true)
    }

    /// The smallest signed head of at least that size.
    pub fn head_from(&self, size: u64) -> Result<Option<Head>, Fault> {
        self.head("size >= ? ORDER BY size", size, false)
    }

    /// `condition` is ours and has one parameter.
    fn head(&self, condition: &str, parameter: u64, newest_first: bool) -> Result<Option<Head>, Fault> {
        let sql = format!("SELECT size, time_us, root, note FROM checkpoint WHERE {condition} LIMIT 1");
        let find = |month: &Month| {
            month.ask(|connection| connection.query_row(&sql, [integer(parameter)], Head::read).optional()).transpose()
        };
        match newest_first {
            true => self.months.iter().rev().find_map(find).transpose(),
            false => self.months.iter().find_map(find).transpose(),
        }
    }

    /// The newest signed head that was stored before a time. That time is the vault's word, which nobody signed.
    pub fn head_before(&self, time_us: u64) -> Result<Option<Head>, Fault> {
        self.head("time_us < ? ORDER BY size DESC", time_us, true)
    }

    /// The signed heads that are larger than `from` and not larger than `to`, in order.
    pub fn heads(&self, from: u64, to: u64) -> Result<Vec<Head>, Fault> {
        let sql = "SELECT size, time_us, root, note FROM checkpoint WHERE size > ? AND size <= ? ORDER BY size";
        let mut heads = Vec::new();
        for month in self.months.iter().filter(|month| month.first <= to && month.end >= from) {
            heads.extend(month.ask(|connection| {
                let mut statement = connection.prepare(sql)?;
                statement.query_map(params![integer(from), integer(to)], Head::read)?.collect::<Sql<Vec<_>>>()
            })?);
        }
        // A head over a month's last leaf may stand in the next one's file, too.
        heads.dedup_by_key(|head| head.size);
        Ok(heads)
    }

    /// Some of the events from `from` on, before `to`, in order and without a gap. None when there are none.
    pub fn page(&self, from: u64, to: u64) -> Result<Vec<Row>, Fault> {
        let Some(month) = self.month_of(from).filter(|_| from < to) else { return Ok(Vec::new()) };
        let to = to.min(month.end).min(from.saturating_add(PAGE));
        let rows = month.ask(|connection| rows(connection, from, to))?;
        match (from..to).zip(&rows).all(|(seq, row)| row.seq == seq) && rows.len() as u64 == to - from {
            true => Ok(rows),
            false => Err(altered(format!("{}: an event of {from} to {} is missing", month.path.display(), to - 1))),
        }
    }

    /// The event at that place.
    ///
    /// Errors: it isn't here, and why.
    pub fn event(&self, seq: u64) -> Result<Row, Fault> {
        let row = self.page(seq, seq.saturating_add(1))?.pop();
        row.ok_or_else(|| self.missing(seq))
    }

    fn month_of(&self, seq: u64) -> Option<&Month> {
        self.months.iter().find(|month| month.first <= seq && seq < month.end)
    }

    /// Gives each the events from one place up to another, some at a time.
    ///
    /// Errors: one is missing or can't be read, or whom they were given to wants no more.
    pub fn each(&self, from: u64, to: u64, mut each: impl FnMut(&[Row]) -> Result<(), Fault>) -> Result<(), Fault> {
        let mut at = from;
        while at < to {
            let page = self.page(at, to)?;
            if page.is_empty() {
                return Err(self.missing(at));
            }
            at += page.len() as u64;
            each(&page)?;
        }
        Ok(())
    }

    fn missing(&self, seq: u64) -> Fault {
        usage(match seq < self.size() {
            true => format!("event {seq} is in the file of a month that isn't here"),
            false => format!("there is no event {seq}: the log ends before event {}", self.size()),
        })
    }
}

impl Month {
    fn ask<T>(&self, ask: impl FnOnce(&Connection) -> Sql<T>) -> Result<T, Fault> {
        ask(&self.connection).map_err(|error| match &error {
            // A row that isn't what is written there.
            rusqlite::Error::InvalidColumnType(..) | rusqlite::Error::FromSqlConversionFailure(..) => {
                altered(format!("{}: {}: run `gatepost audit verify`", self.path.display(), row::words(&error)))
            }
            _ => unreadable(explain(&self.path, &error)),
        })
    }
}

impl Head {
    fn read(row: &rusqlite::Row<'_>) -> Sql<Self> {
        let root = octets(row, 2)?.ok_or_else(|| row::damaged("a head has no root"))?;
        Ok(Self { size: unsigned(row, 0)?, time_us: unsigned(row, 1)?, root, note: row.get(3)? })
    }
}

/// Events with their personal values, from one file.
fn rows(connection: &Connection, from: u64, to: u64) -> Sql<Vec<Row>> {
    let range = params![integer(from), integer(to)];
    let sql = format!("SELECT {} FROM event WHERE seq >= ? AND seq < ? ORDER BY seq", row::columns());
    let mut rows: Vec<Row> = connection.prepare(&sql)?.query_map(range, Row::read)?.collect::<Sql<_>>()?;
    let sql = format!("SELECT {PERSONAL} FROM personal WHERE seq >= ? AND seq < ? ORDER BY seq, field, n");
    let mut statement = connection.prepare(&sql)?;
    let mut values = statement.query_map(range, PersonalRow::read)?.collect::<Sql<Vec<_>>>()?.into_iter().peekable();
    for row in &mut rows {
        while let Some((_, value)) = values.next_if(|(seq, _)| *seq <= row.seq) {
            row.personal.push(value);
        }
    }
    Ok(rows)
}

pub fn unreadable(what: String) -> Fault {
    Fault { verdict: Verdict::Unreadable, what }
}

pub fn altered(what: String) -> Fault {
    Fault { verdict: Verdict::Altered, what }
}

pub fn usage(what: String) -> Fault {
    Fault { verdict: Verdict::Usage, what }
}
