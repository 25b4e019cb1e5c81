//! What the auditors' files say was erased.

use std::path::PathBuf;

use rusqlite::Result as Sql;

use crate::vault::audit::event::Field;
use crate::vault::audit::query;
use crate::vault::audit::row::unsigned;

/// What a removed month is called in place of fields.
pub const EVENTS: &str = "events";

/// Ranges of events and what was taken out of them, by every file that can be read.
#[derive(Debug, Default)]
pub struct Erased(Vec<(u64, u64, String)>);

impl Erased {
    pub fn read(files: &[PathBuf]) -> Self {
        let mut all = Vec::new();
        for file in files {
            // One that can't be read, or that was closed before there were erasures, says nothing.
            let Ok(connection) = query::open(file) else { continue };
            let mut read = || -> Sql<()> {
                let mut lines = connection.prepare("SELECT first_seq, last_seq, what FROM erasure")?;
                for line in lines.query_map([], |row| Ok((unsigned(row, 0)?, unsigned(row, 1)?, row.get(2)?)))? {
                    all.push(line?);
                }
                Ok(())
            };
            let _ = read();
        }
        Self(all)
    }

    /// Whether a value was erased: its field, or it alone (`rcpt_to[3]`).
    pub fn names(&self, seq: u64, field: &str, key: &str) -> bool {
        let named = |what: &str| what.split(' ').any(|word| word == field || word == key);
        self.0.iter().any(|(first, last, what)| (*first..=*last).contains(&seq) && named(what))
    }

    /// The last event up to which nothing is left of all that auditors don't see, from this one on.
    pub fn emptied(&self, seq: u64) -> Option<u64> {
        let hidden = |what: &str| {
            let words: Vec<&str> = what.split(' ').collect();
            Field::ALL.iter().filter(|field| !field.is_open()).all(|field| words.contains(&field.word()))
        };
        let covering = self.0.iter().filter(|(first, last, what)| (*first..=*last).contains(&seq) && hidden(what));
        covering.map(|(_, last, _)| *last).max()
    }

    /// Whether the months before this event were removed.
    pub fn removed_before(&self, first: u64) -> bool {
        self.0.iter().any(|(_, last, what)| what == EVENTS && last + 1 == first)
    }
}
