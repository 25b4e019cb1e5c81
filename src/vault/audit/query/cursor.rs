//! A place in the log from which to read on, page by page, across the months.
//!
//! Between two pages nothing is locked: whoever reads slowly, or leaves a pager open, never keeps the vault from writing.

use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension, Result};

use super::{Filter, Found, explain, files, open};

/// Events in a page: some milliseconds of reading.
const PAGE: usize = 1000;

#[derive(Debug)]
pub struct Cursor {
    path: PathBuf,
    filter: Filter,
    /// The first event that was not looked at yet.
    next: u64,
    month: Option<OpenMonth>,
}

#[derive(Debug)]
struct OpenMonth {
    file: PathBuf,
    connection: Connection,
}

impl OpenMonth {
    /// None when the vault has only just made it.
    fn open(file: PathBuf) -> Result<Option<Self>, String> {
        if fs::metadata(&file).is_ok_and(|found| found.len() == 0) {
            return Ok(None);
        }
        let connection = open(&file)?;
        Ok(Some(Self { file, connection }))
    }

    /// The events in it: from the first, before the last. None when it is empty yet.
    fn range(&self) -> Result<Option<(u64, u64)>, String> {
        let number = |key: &str| {
            let text: Option<String> = self
                .connection
                .query_row("SELECT value FROM info WHERE key = ?", [key], |row| row.get(0))
                .optional()
                .map_err(|error| explain(&self.file, &error))?;
            let parsed = text.map(|text| text.parse::<u64>()).transpose();
            parsed.map_err(|_| {
                format!("{}: `info` has no number as {key}: run `gatepost audit verify`", self.file.display())
            })
        };
        Ok(number("first_seq")?.zip(number("published_size")?))
    }
}

impl Cursor {
    /// Before the first event that matches; with a limit, before the first of the newest so many.
    pub fn start(path: &Path, filter: &Filter) -> Result<Self, String> {
        let mut next = filter.from.unwrap_or(0);
        if let Some(mut left) = filter.limit {
            // Beyond everything, when nothing matches: what comes later may.
            let mut first = None;
            for file in files(path)?.into_iter().rev() {
                let Some(month) = OpenMonth::open(file)? else { continue };
                let Some((begin, end)) = month.range()? else { continue };
                first = first.or(Some(end));
                let newest = filter.newest(&month.connection, left);
                let (count, seq) = newest.map_err(|error| explain(&month.file, &error))?;
                first = seq.or(first);
                left -= count.min(left);
                if left == 0 || begin <= next {
                    break;
                }
            }
            next = next.max(first.unwrap_or(0));
        }
        Ok(Self { path: path.to_owned(), filter: filter.clone(), next, month: None })
    }

    /// The next events that match, the oldest first; none when there are no more by now.
    pub fn page(&mut self) -> Result<Vec<Found>, String> {
        while let Some((month, end)) = self.month()? {
            let page = self.filter.page(&month.connection, self.next, PAGE);
            let page = page.map_err(|error| explain(&month.file, &error))?;
            let seen = page.last().map_or(0, |last| last.seq() + 1);
            // Less than a page: the file has been looked through, beyond `end` if it has grown meanwhile.
            self.next = if page.len() < PAGE { seen.max(end) } else { seen };
            self.month = Some(month);
            if !page.is_empty() {
                return Ok(page);
            }
        }
        Ok(Vec::new())
    }

    /// The file that has the next event, and where it ends. None at the end of the log. The file that had the event before
    /// may have been renamed by now: a month is found by what is in it.
    fn month(&mut self) -> Result<Option<(OpenMonth, u64)>, String> {
        if let Some(month) = self.month.take()
            && let Some((_, end)) = month.range()?.filter(|(_, end)| self.next < *end)
        {
            return Ok(Some((month, end)));
        }
        let mut found = None;
        for file in files(&self.path)?.into_iter().rev() {
            let Some(month) = OpenMonth::open(file)? else { continue };
            let Some((begin, end)) = month.range()? else { continue };
            if end <= self.next {
                break;
            }
            found = Some((month, begin, end));
            if begin <= self.next {
                break;
            }
        }
        Ok(found.map(|(month, begin, end)| {
            self.next = self.next.max(begin);
            (month, end)
        }))
    }
}
