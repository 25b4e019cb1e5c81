//! CSV by RFC 4180: the columns of the view, a record for each event, and one for the signed head at the end.

use std::io::{self, Write};
use std::path::Path;

use super::super::format::{Format, Sheet};
use super::{Range, Way};
use crate::vault::audit::archive::{altered, unreadable};
use crate::vault::audit::event::Name;
use crate::vault::audit::query::{COLUMNS, Cell, Cursor, Filter, Found};
use crate::vault::audit::verify::Fault;

pub fn write(
    out: impl Write,
    path: &Path,
    range: &Range,
    spreadsheet: bool,
    way: &mut Way,
) -> Result<io::Result<()>, Fault> {
    let filter = Filter { from: Some(range.from), to: Some(range.to), ..Filter::default() };
    let mut cursor = Cursor::start(path, &filter).map_err(unreadable)?;
    let mut sheet = Sheet::new(out, Format::Csv, spreadsheet);
    let mut next = range.from;
    let mut reads_on = sheet.header().map_err(unreadable)?;
    while reads_on && next < range.to {
        let page = cursor.page().map_err(unreadable)?;
        let gap = (next..).zip(&page).find(|(seq, found)| found.seq() != *seq).map(|(seq, _)| seq);
        if let Some(missing) = gap.or_else(|| page.is_empty().then_some(next)) {
            return Err(altered(format!("event {missing} is missing: run `gatepost audit verify`")));
        }
        next += page.len() as u64;
        reads_on = sheet.events(&page).map_err(unreadable)?;
        way.at(next)?;
    }
    if reads_on {
        reads_on = sheet.events(&[checkpoint(&range.head.note)]).map_err(unreadable)?;
    }
    let flushed = sheet.flush().map_err(unreadable)?;
    // To a pipe that somebody closed, which is no failure; a file is never one.
    Ok(if reads_on && flushed { Ok(()) } else { Err(io::ErrorKind::BrokenPipe.into()) })
}

/// A record without a place in the log, whose `data` is the head.
fn checkpoint(note: &str) -> Found {
    let cell = |column| match column {
        "event" => Cell::Text(Name::AuditCheckpoint.word().to_owned()),
        "data" => Cell::Text(note.to_owned()),
        _ => Cell::Empty,
    };
    Found(COLUMNS.map(cell).to_vec())
}
