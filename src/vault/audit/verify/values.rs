//! The personal values of one file, read beside its events.

use rusqlite::Rows;

use super::{Fault, altered, sql};
use crate::vault::audit::row::{PersonalRow, Row};

/// Values by the places of their events. What is read is read into memory that was used before: there are several for each
/// event.
pub struct Values<'r> {
    rows: Rows<'r>,
    /// The next one, and the event that it belongs to.
    next: PersonalRow,
    seq: Option<u64>,
    /// Memory that isn't used.
    spare: Vec<PersonalRow>,
}

impl<'r> Values<'r> {
    /// `rows` are of `PERSONAL`, in the order of events.
    pub fn new(rows: Rows<'r>) -> Result<Self, Fault> {
        let mut values = Self { rows, next: PersonalRow::default(), seq: None, spare: Vec::new() };
        values.read()?;
        Ok(values)
    }

    /// Gives an event its values, in place of those that it had.
    ///
    /// Errors: the next value belongs to an event before it, which isn't there.
    pub fn of(&mut self, row: &mut Row) -> Result<(), Fault> {
        self.spare.append(&mut row.personal);
        while let Some(seq) = self.seq.filter(|seq| *seq <= row.seq) {
            if seq != row.seq {
                return Err(stray(seq));
            }
            let empty = self.spare.pop().unwrap_or_default();
            let value = std::mem::replace(&mut self.next, empty);
            self.read()?;
            if self.seq == Some(seq) && (&self.next.field, self.next.n) <= (&value.field, value.n) {
                return Err(altered(format!(
                    "the values of event {seq} are not in order: SQLite doesn't find all of them"
                )));
            }
            row.personal.push(value);
        }
        Ok(())
    }

    /// The end of the file: there must be none left.
    pub fn end(&self) -> Result<(), Fault> {
        self.seq.map_or(Ok(()), |seq| Err(stray(seq)))
    }

    fn read(&mut self) -> Result<(), Fault> {
        let row = self.rows.next().map_err(sql)?;
        self.seq = row.map(|row| self.next.refill(row)).transpose().map_err(sql)?;
        Ok(())
    }
}

fn stray(seq: u64) -> Fault {
    altered(format!("a personal value belongs to event {seq}, which isn't there"))
}
