//! Which file has which events, for those that change files that are published already.

use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags, OptionalExtension, Result as Sql};

use crate::vault::audit::month::Month;
use crate::vault::audit::month_file;

/// How long a reader of an auditors' file is waited for; then the next second tries again.
const PATIENCE: std::time::Duration = std::time::Duration::from_millis(500);

/// One of the auditors' files.
#[derive(Clone, Debug)]
pub struct Place {
    pub path: PathBuf,
    pub month: Month,
    /// Its events: from the first, before the end.
    pub first: u64,
    pub end: u64,
    /// It is being written to.
    pub is_current: bool,
}

impl Place {
    pub fn has(&self, (first, last): (u64, u64)) -> bool {
        first < self.end && last >= self.first
    }
}

/// The auditors' files in the order of their months.
pub fn audit(home: &Path) -> Result<Vec<Place>, String> {
    let folder = home.join("audit");
    let mut paths = list(&folder, "audit-")?;
    let current = folder.join("audit.db");
    paths.extend(Some(current.clone()).filter(|path| fs::metadata(path).is_ok_and(|found| found.len() > 0)));
    let mut places = Vec::new();
    for path in paths {
        let connection = open(&path)?;
        let found = range(&connection).map_err(|error| month_file::said(&path, &error))?;
        let is_current = path == current;
        // Made and never written to.
        let Some((month, first, end)) = found else { continue };
        places.push(Place { path, month, first, end, is_current });
    }
    Ok(places)
}

/// The files of personal values, in the order of their months.
pub fn personal(home: &Path) -> Result<Vec<PathBuf>, String> {
    list(&home.join("db"), "personal-")
}

/// All files that the log takes, whatever is in them.
pub fn all(home: &Path) -> Result<Vec<PathBuf>, String> {
    let mut all = personal(home)?;
    all.extend(list(&home.join("audit"), "audit")?);
    Ok(all)
}

/// Opens a file that is there, to change it. Its schema stays as it is.
pub fn open(path: &Path) -> Result<Connection, String> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let open = || {
        let connection = Connection::open_with_flags(path, flags)?;
        month_file::settle(&connection)?;
        connection.busy_timeout(PATIENCE)?;
        Ok(connection)
    };
    open().map_err(|error: rusqlite::Error| month_file::said(path, &error))
}

pub fn explain(path: &Path, error: &dyn std::fmt::Display) -> String {
    format!("{}: {error}", path.display())
}

/// The month of a file, its first event and the end of it. None when it was made and never written to.
pub fn range(connection: &Connection) -> Sql<Option<(Month, u64, u64)>> {
    let info = |key: &str| {
        connection.query_row("SELECT value FROM info WHERE key = ?", [key], |row| row.get::<_, String>(0)).optional()
    };
    let (month, first) = (info("month")?, info("first_seq")?);
    let month: Option<Month> = month.and_then(|month| month.parse().ok());
    let first: Option<u64> = first.and_then(|first| first.parse().ok());
    let said: Option<u64> = info("published_size")?.and_then(|end| end.parse().ok());
    // Neither alone: what `info` leaves out could never be erased, and a file that was cut could pass for a shorter one.
    let last: Option<i64> = connection.query_row("SELECT max(seq) FROM event", [], |row| row.get(0))?;
    let last = last.and_then(|last| u64::try_from(last).ok());
    let end = |first| last.map_or(first, |last| last + 1).max(said.unwrap_or(first));
    Ok(month.zip(first).map(|(month, first)| (month, first, end(first))))
}

fn list(folder: &Path, start: &str) -> Result<Vec<PathBuf>, String> {
    let failed = |error: std::io::Error| explain(folder, &error);
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if entry.file_name().to_str().is_some_and(|name| name.starts_with(start) && name.ends_with(".db")) {
            found.push(entry.path());
        }
    }
    // Months sort as text.
    found.sort();
    Ok(found)
}
