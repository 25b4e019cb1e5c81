//! The log as far as it was read: leaf by leaf the tree anew, and against every signed head on the way.

use std::fmt;
use std::iter::Peekable;

use rusqlite::{Connection, OptionalExtension, Result as Sql};

use super::acks::Acknowledged;
use super::erased::Erased;
use super::gap::Gaps;
use super::hole::{Hole, Holes};
use super::known::KnownHead;
use super::reader::Batches;
use super::silence::Silence;
use super::{Fault, Known, Summary, Verdict, altered, beside, sql, value};
use crate::mail::unseen::is_unseen;
use crate::merkle::gap::Gap;
use crate::merkle::note::{Checkpoint, NoteError, Verifier};
use crate::merkle::tree::{WIDTH, WIDTH_BITS, hashes};
use crate::merkle::{Frontier, Hash};
use crate::vault::audit::month_file::unhex;
use crate::vault::audit::row::{Row, octets, unsigned};

/// Size, root and note of a stored head.
type StoredNote = (u64, Option<Hash>, String);

/// The log as far as it was read.
pub struct Log<'k> {
    /// The oldest first; and the one that heads are signed with where the log was read to, once that is known.
    keys: Vec<&'k Verifier>,
    era: Option<usize>,
    known: &'k Known,
    pub frontier: Frontier,
    /// For each level of tiles: hashes since the last full tile, and whether they began with the tile.
    rows: Vec<(Vec<Hash>, bool)>,
    pub erased: Erased,
    pub first_us: Option<u64>,
    pub last_us: u64,
    pub silence: Silence,
    pub gaps: Gaps,
    pub holes: Holes,
    pub acks: Acknowledged,
    /// Heads that contradict what was read: a gap that is declared later may say why.
    pub against: Vec<&'k KnownHead>,
    /// When the first event was that is under no signed head yet.
    pub unsealed_us: Option<u64>,
    pub summary: Summary,
    /// Memory for the leaf at hand.
    leaf: Vec<u8>,
}

impl<'k> Log<'k> {
    pub fn new(key: &'k Verifier, known: &'k Known, erased: Erased) -> Self {
        let (frontier, summary) = (Frontier::default(), Summary::default());
        let keys = known.older.iter().chain([key]).collect();
        Self {
            keys,
            era: None,
            known,
            frontier,
            rows: Vec::new(),
            erased,
            first_us: None,
            last_us: 0,
            silence: Silence::default(),
            gaps: Gaps::default(),
            holes: Holes::default(),
            acks: Acknowledged::new(&known.accepted),
            against: Vec::new(),
            unsealed_us: None,
            summary,
            leaf: Vec::new(),
        }
    }

    /// The head of a file: which leaves it begins with must follow from the files before it. Gives the events that are missing
    /// before it: the log goes on behind them, and must say so.
    pub fn begin(&mut self, connection: &Connection, first: bool) -> Result<Option<Hole>, Fault> {
        let info = |key: &str| -> Sql<Option<String>> {
            connection.query_row("SELECT value FROM info WHERE key = ?", [key], |row| row.get(0)).optional()
        };
        let wrong = || altered("`info` doesn't say which leaves this file begins with");
        let size = info("first_seq").map_err(sql)?.and_then(|text| text.parse().ok()).ok_or_else(wrong)?;
        let peaks = info("base").map_err(sql)?.ok_or_else(wrong)?;
        let peaks = peaks.split_whitespace().map(unhex).collect::<Option<Vec<Hash>>>().ok_or_else(wrong)?;
        let base = Frontier { size, peaks };
        if !base.is_sound() {
            return Err(wrong());
        }
        let (size, mut hole) = (base.size, None);
        if first {
            let pruned = self.erased.begins(&base)?;
            match self.known.begins(size, pruned) {
                Err(fault) if fault.verdict == Verdict::Erased => hole = Some(self.hole(0, size, fault)),
                begins => begins?,
            }
            self.against.extend(self.known.against(&base));
            self.era = (base.size == 0).then_some(0);
            self.summary.first = base.size;
            self.summary.sealed = base.size;
            self.rows = starts(base.size);
            self.frontier = base;
        } else if base != self.frontier {
            let needs = self.frontier.size;
            let fault = altered(format!("it begins with event {size}, but the files before it end at {needs}"));
            if size <= needs {
                return Err(fault);
            }
            hole = Some(self.hole(needs, size, fault));
            (self.rows, self.frontier, self.silence) = (starts(size), base, Silence::default());
            self.against.extend(self.known.against(&self.frontier));
        }
        Ok(hole)
    }

    fn hole(&self, first: u64, end: u64, fault: Fault) -> Hole {
        Hole { first, end, after_us: self.last_us, until_us: None, fault }
    }

    /// Judges the events of a file, and what else is in it.
    pub fn walk(
        &mut self,
        connection: &Connection,
        events: &Batches,
        progress: &mut impl FnMut(u64),
    ) -> Result<(), Fault> {
        let mut notes = connection.prepare("SELECT size, root, note FROM checkpoint ORDER BY size").map_err(sql)?;
        let notes = notes.query_map([], |row| Ok((unsigned(row, 0)?, octets(row, 1)?, row.get::<_, String>(2)?)));
        let mut notes = notes.map_err(sql)?.peekable();
        let mut tile = connection.prepare("SELECT hashes FROM tile WHERE level = ? AND number = ?").map_err(sql)?;
        let mut stored = |level: usize, number: u64| -> Result<Option<Vec<Hash>>, Fault> {
            let number = i64::try_from(number).unwrap_or(i64::MAX);
            let level = i64::try_from(level).unwrap_or(i64::MAX);
            let found = tile.query_row([level, number], |row| row.get::<_, Vec<u8>>(0)).optional().map_err(sql)?;
            Ok(found.as_deref().and_then(hashes))
        };
        // A head over the leaves before this file may have come too late for the file before it.
        self.checkpoints(&mut notes)?;
        loop {
            let batch = events.next()?;
            for row in &batch {
                self.event(row)?;
                for (level, number, hashes) in self.push(row.leaf_hash) {
                    if stored(level, number)? != Some(hashes) {
                        return Err(altered(format!("tile {number} of level {level} isn't what its leaves make it")));
                    }
                }
                self.against.extend(self.known.against(&self.frontier));
                self.checkpoints(&mut notes)?;
                if row.seq.is_multiple_of(4096) {
                    progress(row.seq);
                }
            }
            if batch.is_empty() {
                break;
            }
            events.give_back(batch);
        }
        for note in notes {
            let (size, root, note) = note.map_err(sql)?;
            self.checkpoint(size, root, &note)?;
        }
        self.erased.end_of_file(connection)?;
        self.anchors(connection)?;
        beside::check(connection, self.frontier.size, &self.keys)
    }

    /// Where heads were kept is the vault's word; but never more than there is.
    fn anchors(&self, connection: &Connection) -> Result<(), Fault> {
        let has = "SELECT EXISTS(SELECT 1 FROM sqlite_master WHERE name = 'anchor')";
        if !connection.query_row(has, [], |row| row.get::<_, bool>(0)).map_err(sql)? {
            return Ok(());
        }
        let largest: Option<i64> =
            connection.query_row("SELECT max(size) FROM anchor", [], |row| row.get(0)).map_err(sql)?;
        match largest.and_then(|size| u64::try_from(size).ok()) {
            Some(size) if size > self.frontier.size => {
                Err(altered(format!("a head of {size} events was anchored, but there are {}", self.frontier.size)))
            }
            _ => Ok(()),
        }
    }

    fn event(&mut self, row: &Row) -> Result<(), Fault> {
        let seq = row.seq;
        if seq != self.frontier.size {
            return Err(altered(format!("event {} is missing: the next one is {seq}", self.frontier.size)));
        }
        if row.time_us < self.last_us {
            return Err(altered(format!("event {seq} is older than the one before it")));
        }
        self.first_us.get_or_insert(row.time_us);
        self.last_us = row.time_us;
        self.unsealed_us.get_or_insert(row.time_us);
        self.silence.event(row)?;
        self.gaps.event(row)?;
        self.acks.event(row);
        self.holes.event(row.time_us);
        if !self.known.quick && row.hash_in(&mut self.leaf) != Some(row.leaf_hash) {
            return Err(altered(format!("event {seq} isn't what its hash was made from")));
        }
        // Also of a quick look: the table of erasures is made from it.
        self.erased.event(row);
        if self.known.quick {
            return Ok(());
        }
        row.personal.iter().try_for_each(|value| {
            let state = value::check(seq, value)?;
            self.erased.value(seq, value, state)
        })
    }

    /// Adds a leaf; gives the tiles it fills, of those that began in what was given.
    fn push(&mut self, hash: Hash) -> Vec<(usize, u64, Vec<Hash>)> {
        let rows = &mut self.rows;
        self.frontier.push_with(hash, |height, root| {
            if height.is_multiple_of(WIDTH_BITS) {
                let level = usize::try_from(height / WIDTH_BITS).unwrap_or(usize::MAX);
                if rows.len() == level {
                    rows.push((Vec::with_capacity(WIDTH), true));
                }
                if let Some((row, _)) = rows.get_mut(level) {
                    row.push(*root);
                }
            }
        });
        let (mut filled, mut count) = (Vec::new(), self.frontier.size);
        for (level, (row, whole)) in rows.iter_mut().enumerate() {
            if !count.is_multiple_of(WIDTH as u64) {
                break;
            }
            count /= WIDTH as u64;
            let full = std::mem::replace(row, Vec::with_capacity(WIDTH));
            if std::mem::replace(whole, true) && full.len() == WIDTH {
                filled.push((level, count - 1, full));
            }
        }
        filled
    }

    /// The heads of the log as it is now.
    fn checkpoints(&mut self, notes: &mut Peekable<impl Iterator<Item = Sql<StoredNote>>>) -> Result<(), Fault> {
        let size = self.frontier.size;
        while let Some(note) = notes.next_if(|note| note.as_ref().map_or(true, |(signed, ..)| *signed <= size)) {
            let (size, root, note) = note.map_err(sql)?;
            self.checkpoint(size, root, &note)?;
        }
        Ok(())
    }

    /// The checkpoint in a note, and which key signed it: the one of that time and no other. Another key comes with a declared
    /// gap, so that nobody can sign old events with a key of today, nor go on with one of before.
    fn signed(&self, note: &str) -> Result<(usize, Checkpoint), NoteError> {
        let by = |at: usize| self.keys.get(at).map_or(Err(NoteError::Unsigned), |key| key.checkpoint(note));
        let Some(era) = self.era else {
            // The files begin somewhere in the middle.
            let found = (0..self.keys.len()).find_map(|at| by(at).ok().map(|signed| (at, signed)));
            return found.map_or_else(|| by(self.keys.len().saturating_sub(1)).map(|signed| (0, signed)), Ok);
        };
        let signed = by(era);
        let begins = |signed: &Checkpoint| gap(note).is_some_and(|gap| gap.resumed == signed.size);
        match (&signed, by(era + 1)) {
            (Err(_), Ok(next)) if begins(&next) => Ok((era + 1, next)),
            _ => signed.map(|signed| (era, signed)),
        }
    }

    fn checkpoint(&mut self, size: u64, root: Option<Hash>, note: &str) -> Result<(), Fault> {
        let signature = |error: &dyn fmt::Display| Fault {
            verdict: Verdict::Signature,
            what: format!("the head of {size} events: {error}"),
        };
        if note.chars().any(|c| c != '\n' && is_unseen(c)) {
            return Err(signature(&"a line in it holds what no terminal shows"));
        }
        let (key, signed) = self.signed(note).map_err(|error| signature(&error))?;
        if signed.size != size || Some(signed.root) != root {
            return Err(altered(format!("the head of {size} events stands beside another one's note")));
        }
        if size > self.frontier.size {
            return Err(altered(format!("a head of {size} events was signed, but there are {}", self.frontier.size)));
        }
        if size < self.frontier.size || signed.root != self.frontier.root() {
            return Err(altered(format!("the log up to event {size} isn't the one that was signed")));
        }
        if let Some(gap) = gap(note) {
            self.gaps.head(size, gap, self.summary.first)?;
        }
        self.era = Some(key);
        self.unsealed_us = None;
        self.summary.sealed = size;
        self.summary.checkpoints += 1;
        Ok(())
    }
}

/// The gap that a note declares.
fn gap(note: &str) -> Option<Gap> {
    Gap::of(note.get(..note.rfind("\n\n")?)?)
}

/// Which tiles can be known when the log is given from a leaf on.
fn starts(size: u64) -> Vec<(Vec<Hash>, bool)> {
    let mut rows = Vec::new();
    let (mut below, mut exact) = (size, true);
    while below > 0 {
        exact &= below.is_multiple_of(WIDTH as u64);
        rows.push((Vec::new(), exact));
        below /= WIDTH as u64;
    }
    rows
}
