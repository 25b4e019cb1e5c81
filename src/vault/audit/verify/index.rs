//! The index of personal values against their table: the same values, each in its place.
//!
//! `PRAGMA integrity_check` seeks every row's entry. Reading both in order and comparing what they have costs a fifth of that.

use std::hash::{BuildHasher, RandomState};

use rusqlite::Connection;

use super::{Fault, not_whole, sql};
use crate::vault::audit::row::{PersonalRow, unsigned};

/// Drawn for one verification, so that nobody can make two sets of values that look the same.
pub type Seed = RandomState;

/// Entries of the index, in its order.
const ENTRIES: &str = "SELECT field, value, seq, n FROM personal INDEXED BY p_value WHERE value IS NOT NULL \
                       ORDER BY field, value, seq, n";

/// A set of values, in whatever order they came: how many, and the sum of what a keyed hash makes of each (SipHash).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fingerprint {
    count: u64,
    sum: u64,
}

impl Fingerprint {
    /// Adds a value of an event, if there is one.
    pub fn add(&mut self, seed: &Seed, seq: u64, value: &PersonalRow) {
        if let Some(text) = &value.value {
            self.entry(seed, &value.field, text, seq, value.n);
        }
    }

    fn entry(&mut self, seed: &Seed, field: &str, value: &str, seq: u64, n: u32) {
        self.count += 1;
        self.sum = self.sum.wrapping_add(seed.hash_one((field, value, seq, n)));
    }
}

/// Reads the index.
///
/// Errors: it isn't in order, so that SQLite would not find what is in it.
pub fn read(connection: &Connection, seed: &Seed) -> Result<Fingerprint, Fault> {
    let mut fingerprint = Fingerprint::default();
    let mut entries = connection.prepare(ENTRIES).map_err(sql)?;
    let mut entries = entries.query([]).map_err(sql)?;
    let mut last: Option<(String, String, u64, u32)> = None;
    while let Some(row) = entries.next().map_err(sql)? {
        let entry = (|| Ok((row.get(0)?, row.get(1)?, unsigned(row, 2)?, row.get(3)?)))().map_err(sql)?;
        if last.as_ref().is_some_and(|last| *last >= entry) {
            return Err(not_whole("the index p_value is not in order"));
        }
        let (field, value, seq, n) = last.insert(entry);
        fingerprint.entry(seed, field, value, *seq, *n);
    }
    Ok(fingerprint)
}

/// Insists that the index has what the table has.
pub fn same(table: Option<Fingerprint>, index: Fingerprint) -> Result<(), Fault> {
    if table == Some(index) {
        return Ok(());
    }
    Err(not_whole("the index p_value has other entries than the table `personal`"))
}
