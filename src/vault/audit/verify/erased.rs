//! Erasures against the events that say so: nothing is gone without one, and nothing is there that one names.
//!
//! An erasing event comes after what it names, in a later file even, so these events are collected before the log is walked.
//! They are believed as far as the walk finds them unaltered; what it finds that was not there before counts at the end.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension, Result as Sql};

use super::orders::Orders;
use super::value::State;
use super::{Fault, Verdict, altered, sql, unreadable};
use crate::merkle::Frontier;
use crate::vault::audit::erasure::pruning::Pruning;
use crate::vault::audit::erasure::{Line, Part, hash_pruning, lines, parts, pruning};
use crate::vault::audit::event::Name;
use crate::vault::audit::month_file::hex;
use crate::vault::audit::query;
use crate::vault::audit::row::{PersonalRow, Row, unsigned};

/// How long what an event names may still be there: a reader may hold a file, and a large one takes its time.
const GRACE_US: u64 = 600_000_000;
/// Values that are gone and that no event named so far; an erasure that is under way names them later.
const MOST_OPEN: usize = 100_000;

/// What a log's own events say of its erasures.
#[derive(Debug, Default)]
pub struct Erased {
    now_us: u64,
    /// By their first event.
    spans: Vec<Span>,
    /// Those that may name the event at hand, and the first that comes later.
    active: Vec<usize>,
    next: usize,
    /// The events that were collected.
    known: BTreeSet<u64>,
    late: Vec<Span>,
    /// Months that were removed: up to which event, with which root, and what says so since when.
    pruned: Vec<Pruned>,
    /// The first event whose leaf hash is kept, as the newest event says that tells of it.
    hashes: u64,
    /// The files are those of the service, not a copy that may have months which it no longer has.
    is_live: bool,
    /// They go on to where the log was when they were read or copied: whatever was erased by then is named in them.
    is_whole: bool,
    /// What is not carried out yet.
    pub orders: Orders,
    /// Values that are gone: event, field and key.
    open: Vec<(u64, String, String)>,
    /// Lines that the file at hand must have in its table.
    lines: Vec<(u64, Line)>,
}

/// Events of which an erasing event names values.
#[derive(Debug)]
struct Span {
    first: u64,
    last: u64,
    part: Part,
    /// The erasing event, and when it was.
    by: u64,
    time_us: u64,
}

/// A month that an event says was removed.
#[derive(Debug)]
struct Pruned {
    size: u64,
    root: String,
    by: u64,
    time_us: u64,
}

impl Span {
    fn names(&self, seq: u64, field: &str, key: &str) -> bool {
        self.first <= seq && seq <= self.last && seq < self.by && self.part.names(field, key)
    }
}

impl Erased {
    /// Collects the erasing events of all files. They are looked at as at that time, or as at their last event. `orders`:
    /// those that the service has not carried out yet.
    pub fn collect(files: &[PathBuf], as_of_us: Option<u64>, orders: Orders) -> Result<Self, Fault> {
        let mut erased = Self { is_live: as_of_us.is_some(), is_whole: as_of_us.is_some(), orders, ..Self::default() };
        erased.is_whole |= files.last().is_none_or(|last| !is_month(last));
        for file in files {
            let connection = query::open(file).map_err(unreadable)?;
            erased.now_us = as_of_us.map_or_else(|| last_us(&connection), Ok).map_err(sql)?.max(erased.now_us);
            for (seq, time_us, event, data) in events(&connection).map_err(sql)? {
                erased.known.insert(seq);
                erased.spans.extend(spans(seq, time_us, &event, data.as_deref()));
                let data = data.as_deref().unwrap_or_default();
                erased.orders.event(seq, &event, data);
                let pruning = pruning(&event, data);
                let kept_from = pruning.as_ref().map(|pruning| pruning.hashes);
                let kept_from = kept_from.or_else(|| hash_pruning(&event, data).map(|pruning| pruning.hashes));
                erased.hashes = kept_from.unwrap_or(erased.hashes);
                erased.pruned.extend(pruning.map(|Pruning { size, root, .. }| Pruned { size, root, by: seq, time_us }));
            }
        }
        erased.spans.sort_by_key(|span| span.first);
        Ok(erased)
    }

    /// The tree before the first event that is there. True when the events before it were removed as an event says.
    pub fn begins(&self, base: &Frontier) -> Result<bool, Fault> {
        let overdue = |pruned: &&Pruned| {
            self.is_live
                && pruned.size > base.size
                && pruned.time_us.saturating_add(GRACE_US) < self.now_us
                && !self.orders.has(pruned.by)
        };
        if let Some(Pruned { size, by, .. }) = self.pruned.iter().find(overdue) {
            return Err(fault(format!(
                "event {by} says that the events before {size} were removed, but they are still there"
            )));
        }
        let root = hex(&base.root());
        Ok(self.pruned.iter().any(|pruned| (pruned.size, &pruned.root) == (base.size, &root)))
    }

    /// The next event of the log, which is what its hash was made from.
    pub fn event(&mut self, row: &Row) {
        let seq = row.seq;
        self.active.retain(|at| self.spans.get(*at).is_some_and(|span| span.last >= seq));
        while let Some(span) = self.spans.get(self.next).filter(|span| span.first <= seq) {
            if span.last >= seq {
                self.active.push(self.next);
            }
            self.next += 1;
        }
        if row.event != Name::AuditRedact.word() && row.event != Name::AuditPrune.word() {
            return;
        }
        self.lines.extend(lines(&row.event, row.text("data")).into_iter().map(|line| (seq, line)));
        if !self.known.contains(&seq) {
            self.orders.event(seq, &row.event, row.text("data").unwrap_or_default());
            self.late.extend(spans(seq, row.time_us, &row.event, row.text("data")));
        }
    }

    /// A value of that event.
    pub fn value(&mut self, seq: u64, value: &PersonalRow, state: State) -> Result<(), Fault> {
        if state == State::Hidden || state == State::There && self.active.is_empty() {
            return Ok(());
        }
        let key = value.key();
        let spans = || self.active.iter().filter_map(|at| self.spans.get(*at));
        let span = spans().find(|span| span.names(seq, &value.field, &key));
        let overdue = |span: &Span| span.time_us.saturating_add(GRACE_US) < self.now_us && !self.orders.has(span.by);
        match (state, span) {
            (State::There, Some(span)) if overdue(span) => Err(fault(format!(
                "event {} says that {key} of event {seq} was erased, but it is still there: is the service running? a \
                 copy that was made before must be replaced",
                span.by
            ))),
            (State::Gone, None) if self.open.len() >= MOST_OPEN && self.is_whole => Err(silent(seq, &key)),
            (State::Gone, None) if self.open.len() >= MOST_OPEN => Ok(()),
            (State::Gone, None) => {
                self.open.push((seq, value.field.clone(), key.into_owned()));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// The end of a file: its table says what its events say.
    pub fn end_of_file(&mut self, connection: &Connection) -> Result<(), Fault> {
        let said = std::mem::take(&mut self.lines);
        if table(connection).map_err(sql)? == said {
            Ok(())
        } else {
            Err(altered("the table `erasure` isn't what its events say"))
        }
    }

    /// Leaf hashes are in the vault alone: which is the first one there, if that is known.
    pub fn hashes(&self, first: Option<u64>) -> Result<(), Fault> {
        match first.filter(|first| *first > self.hashes) {
            Some(first) => Err(fault(format!(
                "the vault has leaf hashes from event {first} on, and no event says that those from {} on were removed",
                self.hashes
            ))),
            None => Ok(()),
        }
    }

    /// The end of the log: everything that is gone was named. Gives what can't be judged, because the log goes on elsewhere.
    pub fn end(&self) -> Result<Option<Fault>, Fault> {
        let named =
            |(seq, field, key): &&(u64, String, String)| !self.late.iter().any(|span| span.names(*seq, field, key));
        match self.open.iter().find(named) {
            None => Ok(None),
            Some((seq, _, key)) if self.is_whole => Err(silent(*seq, key)),
            Some((seq, _, key)) => Ok(Some(Fault {
                verdict: Verdict::Usage,
                what: format!(
                    "{key} of event {seq} was erased, and no event in these files says so; one that comes later may, which \
                     can't be judged without the files that follow: everything else is sound"
                ),
            })),
        }
    }
}

/// Whether a file is of a month that is over: the log goes on in another one.
fn is_month(file: &Path) -> bool {
    file.file_name().and_then(OsStr::to_str).is_some_and(|name| name.starts_with("audit-"))
}

fn fault(what: String) -> Fault {
    Fault { verdict: Verdict::Erased, what }
}

fn silent(seq: u64, key: &str) -> Fault {
    fault(format!("{key} of event {seq} was erased, and no event says so"))
}

fn spans(by: u64, time_us: u64, event: &str, data: Option<&str>) -> Vec<Span> {
    let all = parts(event, data.unwrap_or_default()).unwrap_or_default();
    let of = |part: Part| {
        let fields = part.fields;
        part.events.into_iter().map(move |(first, last)| {
            let part = Part { events: Vec::new(), fields: fields.clone() };
            Span { first, last, part, by, time_us }
        })
    };
    all.into_iter().flat_map(of).collect()
}

fn last_us(connection: &Connection) -> Sql<u64> {
    let last = "SELECT time_us FROM event ORDER BY seq DESC LIMIT 1";
    connection.query_row(last, [], |row| unsigned(row, 0)).optional().map(Option::unwrap_or_default)
}

type Event = (u64, u64, String, Option<String>);

fn events(connection: &Connection) -> Sql<Vec<Event>> {
    let sql = "SELECT seq, time_us, event, data FROM event WHERE event IN (?, ?) ORDER BY seq";
    let mut statement = connection.prepare(sql)?;
    let names = [Name::AuditRedact.word(), Name::AuditPrune.word()];
    statement.query_map(names, |row| Ok((unsigned(row, 0)?, unsigned(row, 1)?, row.get(2)?, row.get(3)?)))?.collect()
}

fn table(connection: &Connection) -> Sql<Vec<(u64, Line)>> {
    let there = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'erasure'";
    // A month that an older Gatepost closed has none.
    if connection.query_row(there, [], |_| Ok(())).optional()?.is_none() {
        return Ok(Vec::new());
    }
    let sql = "SELECT seq, first_seq, last_seq, what, ground FROM erasure ORDER BY seq, n";
    let mut statement = connection.prepare(sql)?;
    let read = |row: &rusqlite::Row<'_>| {
        let line = Line { first: unsigned(row, 1)?, last: unsigned(row, 2)?, what: row.get(3)?, ground: row.get(4)? };
        Ok((unsigned(row, 0)?, line))
    };
    statement.query_map([], read)?.collect()
}

#[cfg(test)]
mod tests;
