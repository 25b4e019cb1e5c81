//! Personal values of a log that auditors see masked, from the files beside it, for a command whose user may read them.

use std::fs;
use std::path::Path;

use rusqlite::{Connection, OpenFlags, params};

use super::query::Found;

/// The personal files of a directory, open to be read. One that can't be read is as if it weren't there.
pub struct Values(Vec<Connection>);

impl Values {
    pub fn of(directory: impl AsRef<Path>) -> Self {
        let entries = fs::read_dir(directory).into_iter().flatten().flatten();
        let personal = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with("personal-"));
        let open = |path| Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).ok();
        Self(personal.filter_map(|entry| open(entry.path())).collect())
    }

    /// The value of a field of an event, the n-th where there are several; none when it was erased or is not here.
    pub fn get(&mut self, event: &Found, field: &str, n: u32) -> Option<String> {
        let seq = i64::try_from(event.seq()).ok()?;
        let find = |file: &Connection| {
            let sql = "SELECT value FROM personal WHERE seq = ? AND field = ? AND n = ?";
            file.query_row(sql, params![seq, field, n], |row| row.get::<_, Option<String>>(0))
        };
        self.0.iter().find_map(|file| find(file).ok().flatten())
    }
}
