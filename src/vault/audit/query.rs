//! Questions to the auditors' files, read-only: for the command line, and for the thread that counts a day (`vault::digest`).

mod cursor;

use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, Result, Row, params_from_iter};

use super::mask;
use super::month_file::{self, AUDIT};
use super::row;
use super::schema::{self, NEWEST};
use super::visible::visible;
use crate::mail::address::Address;
use crate::sys::sqlite::beginning;
pub use cursor::Cursor;

/// What to look for; what is absent matches everything.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Places in the log: from this on and before that.
    pub from: Option<u64>,
    pub to: Option<u64>,
    /// Unix microseconds, from this on and before that.
    pub since_us: Option<u64>,
    pub until_us: Option<u64>,
    pub account: Option<String>,
    pub message: Option<String>,
    pub session: Option<String>,
    pub event: Option<String>,
    pub outcome: Option<String>,
    /// A recipient's address; what auditors see of it is compared.
    pub recipient: Option<String>,
    /// At most so many, the newest.
    pub limit: Option<u64>,
}

/// The columns of an answer: those of `audit_v1`, in its order.
pub const COLUMNS: [&str; 30] = [
    "seq",
    "time",
    "time_us",
    "event",
    "outcome",
    "severity",
    "component",
    "session_id",
    "msg_id",
    "account",
    "actor",
    "client_ip",
    "mail_from",
    "rcpt_to",
    "rcpt_domain",
    "smtp_code",
    "enhanced",
    "reason",
    "upstream",
    "mx",
    "tls",
    "bytes",
    "rcpt_count",
    "attempt",
    "duration_us",
    "data",
    "leaf_hash",
    "delivery_id",
    "listener",
    "auth_user",
];

/// What is wrong with a file whose views, tables or indices are not those that the vault makes.
pub const FOREIGN: &str = "its tables, views and indices are not the ones that Gatepost made: somebody changed it";

/// What stands in a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cell {
    Empty,
    /// In decimal.
    Integer(String),
    Text(String),
}

/// One event: a cell for each of `COLUMNS`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found(pub Vec<Cell>);

impl Found {
    /// The columns that aren't empty.
    pub fn filled(&self) -> impl Iterator<Item = (&'static str, &Cell)> {
        COLUMNS.into_iter().zip(&self.0).filter(|(_, cell)| **cell != Cell::Empty)
    }

    pub fn cell(&self, column: &str) -> &Cell {
        let at = COLUMNS.iter().position(|name| *name == column);
        at.and_then(|at| self.0.get(at)).unwrap_or(&Cell::Empty)
    }

    pub fn get(&self, column: &str) -> Option<&str> {
        match self.cell(column) {
            Cell::Empty => None,
            Cell::Integer(text) | Cell::Text(text) => Some(text),
        }
    }

    /// Its place in the log.
    pub fn seq(&self) -> u64 {
        self.get("seq").and_then(|seq| seq.parse().ok()).unwrap_or(0)
    }

    fn read(row: &Row<'_>) -> Result<Self> {
        let cells = (0..COLUMNS.len()).map(|at| {
            Ok(match row.get_ref(at)? {
                ValueRef::Null => Cell::Empty,
                ValueRef::Integer(n) => Cell::Integer(n.to_string()),
                // We write neither of these; what somebody else wrote must be seen, and break nothing.
                ValueRef::Real(n) => Cell::Text(n.to_string()),
                ValueRef::Text(octets) | ValueRef::Blob(octets) => {
                    Cell::Text(String::from_utf8_lossy(octets).into_owned())
                }
            })
        });
        cells.collect::<Result<_>>().map(Self)
    }
}

/// The files at a path in the order of their months: the file itself, or a directory's.
///
/// Errors: it can't be read, or there is none.
pub fn files(path: &Path) -> Result<Vec<PathBuf>, String> {
    let explain = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    if !fs::metadata(path).map_err(|error| explain(&error))?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut closed = Vec::new();
    for entry in fs::read_dir(path).map_err(|error| explain(&error))? {
        let entry = entry.map_err(|error| explain(&error))?;
        if entry.file_name().to_str().is_some_and(|name| name.starts_with("audit-") && name.ends_with(".db")) {
            closed.push(entry.path());
        }
    }
    // Months sort as text; the current one comes last.
    closed.sort();
    closed.extend(Some(path.join("audit.db")).filter(|current| current.exists()));
    if closed.is_empty() {
        Err(explain(&"there is no audit.db here; the vault makes it with its first events"))
    } else {
        Ok(closed)
    }
}

/// Opens a file as an auditor may: to read. Nothing of it is changed, whatever it is.
///
/// Errors: it isn't one of ours, is newer than this program, has another schema than ours, is damaged, or may not be read;
/// and what to do.
pub fn open(path: &Path) -> Result<Connection, String> {
    let connection = open_unchecked(path)?;
    match schema::is_whole(&connection) {
        Ok(true) => Ok(connection),
        Ok(false) => Err(format!("{}: {}: keep it, and take a copy of it from a backup", path.display(), FOREIGN)),
        Err(error) => Err(explain(path, &error)),
    }
}

/// As `open`, for those that look at the schema themselves.
pub fn open_unchecked(path: &Path) -> Result<Connection, String> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    // SQLite would wait for who writes into a pipe, also where its journals are.
    for end in ["", "-journal", "-wal"] {
        let mut name = path.as_os_str().to_owned();
        name.push(end);
        let path = Path::new(&name);
        if fs::metadata(path).is_ok_and(|about| !about.is_file()) {
            return Err(format!("{}: is no regular file", path.display()));
        }
    }
    let connection = Connection::open_with_flags(path, flags).map_err(|error| explain(path, &error))?;
    // Before SQLite reads anything.
    if is_of_two(&connection) {
        return Err(format!(
            "{}: is read together with a write-ahead log (-wal), which no file that Gatepost makes is: what it says depends on \
             what lies beside it. Keep both, and take a copy of it from a backup",
            path.display()
        ));
    }
    let open = || {
        schema::distrust(&connection)?;
        connection.busy_timeout(std::time::Duration::from_secs(5))?;
        let pragma = |name: &str| connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i64>(0));
        let application = pragma("application_id")?;
        let is_known = usize::try_from(pragma("user_version")?).is_ok_and(|version| version <= NEWEST);
        Ok::<_, rusqlite::Error>((application, is_known))
    };
    match open() {
        Ok((AUDIT, true)) => Ok(connection),
        Ok((AUDIT, false)) => {
            Err(format!("{}: was written by a newer Gatepost: read it with that version", path.display()))
        }
        Ok(_) => Err(format!("{}: is not an auditors' file", path.display())),
        Err(error) => Err(explain(path, &error)),
    }
}

/// Whether SQLite would read a write-ahead log as part of the file: octet 19 of its header says so
/// (https://www.sqlite.org/fileformat2.html, 1.3.3). What can't be read is SQLite's to tell.
fn is_of_two(connection: &Connection) -> bool {
    beginning::<20>(connection).is_ok_and(|header| header.ends_with(&[2]))
}

/// What SQLite says of a file, and what to do about it.
pub fn explain(path: &Path, error: &rusqlite::Error) -> String {
    let advice = match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            &format!("it is damaged, or no database: {}", month_file::for_readers(path))
        }
        Some(ErrorCode::ReadOnly) => {
            "its last write was cut short by a kill or a crash: start the service, which mends it"
        }
        Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
            "root, the service's user and the group _gatepost-audit may read it"
        }
        Some(ErrorCode::DatabaseBusy) => "it is being written to: try again",
        _ => return format!("{}: {}", path.display(), visible(&row::words(error))),
    };
    // The words may quote what stands in the file.
    format!("{}: {}: {advice}", path.display(), visible(&error.to_string()))
}

/// Calls `each` for every event that matches, the oldest first.
///
/// Errors: a file can't be read, in words.
pub fn query(path: &Path, filter: &Filter, mut each: impl FnMut(Found)) -> Result<(), String> {
    let mut cursor = Cursor::start(path, filter)?;
    loop {
        let page = cursor.page()?;
        if page.is_empty() {
            return Ok(());
        }
        page.into_iter().for_each(&mut each);
    }
}

/// The place of the first event of that time or later; none when there is no such event yet.
///
/// Errors: a file can't be read, in words.
pub fn first_since(path: &Path, since_us: u64) -> Result<Option<u64>, String> {
    for file in files(path)? {
        // The vault has only just made it.
        if fs::metadata(&file).is_ok_and(|found| found.len() == 0) {
            continue;
        }
        let connection = open(&file)?;
        let first = connection
            .query_row(
                "SELECT seq FROM event WHERE time_us >= ? ORDER BY time_us, seq LIMIT 1",
                [row::integer(since_us)],
                |columns| row::unsigned(columns, 0),
            )
            .optional();
        if let Some(first) = first.map_err(|error| explain(&file, &error))? {
            return Ok(Some(first));
        }
    }
    Ok(None)
}

/// `COLUMNS` as a file can answer them: a month that was closed by an older Gatepost lacks those that came later.
fn columns(connection: &Connection) -> Result<Vec<&'static str>> {
    let view = connection.prepare("SELECT * FROM audit_v1 LIMIT 0")?;
    let has: Vec<&str> = view.column_names().collect();
    Ok(COLUMNS.into_iter().map(|name| if has.contains(&name) { name } else { "NULL" }).collect())
}

impl Filter {
    /// Conditions in SQL, and their values. Every value is a parameter; the text is ours.
    fn conditions(&self) -> (String, Vec<Value>) {
        let (mut sql, mut values) = (String::from("1"), Vec::new());
        let integer = |n: u64| Value::Integer(i64::try_from(n).unwrap_or(i64::MAX));
        let text = |text: &String| Value::Text(text.clone());
        let conditions = [
            (" AND seq >= ?", self.from.map(integer)),
            (" AND seq < ?", self.to.map(integer)),
            (" AND time_us >= ?", self.since_us.map(integer)),
            (" AND time_us < ?", self.until_us.map(integer)),
            (
                " AND seq IN (SELECT seq FROM personal WHERE field = 'account' AND value = ?)",
                self.account.as_ref().map(text),
            ),
            (" AND msg_id = ?", self.message.as_ref().map(text)),
            (" AND session_id = ?", self.session.as_ref().map(text)),
            (" AND event = ?", self.event.as_ref().map(text)),
            (" AND outcome = ?", self.outcome.as_ref().map(text)),
        ];
        for (condition, value) in conditions {
            if let Some(value) = value {
                sql.push_str(condition);
                values.push(value);
            }
        }
        if let Some(recipient) = &self.recipient {
            // As it is shown under either mask that shows something of it.
            sql.push_str(" AND seq IN (SELECT seq FROM personal WHERE field = 'rcpt_to' AND shown IN (?, ?))");
            let recipient = Address::canonical(recipient);
            values.extend([mask::mailbox(&recipient), recipient].map(Value::Text));
        }
        (sql, values)
    }

    /// The matching events of a file from that place on, the oldest first, at most so many.
    fn page(&self, connection: &Connection, from: u64, limit: usize) -> Result<Vec<Found>> {
        let (conditions, mut values) = self.conditions();
        let columns = columns(connection)?.join(", ");
        let sql = format!("SELECT {columns} FROM audit_v1 WHERE {conditions} AND seq >= ? ORDER BY seq LIMIT ?");
        values.push(Value::Integer(i64::try_from(from).unwrap_or(i64::MAX)));
        values.push(Value::Integer(i64::try_from(limit).unwrap_or(i64::MAX)));
        let mut statement = connection.prepare(&sql)?;
        statement.query_map(params_from_iter(values), Found::read)?.collect()
    }

    /// How many events of a file match, at most so many, and the place of the first of these, counted from the newest.
    fn newest(&self, connection: &Connection, limit: u64) -> Result<(u64, Option<u64>)> {
        let (conditions, mut values) = self.conditions();
        let sql = format!(
            "SELECT count(*), min(seq) FROM (SELECT seq FROM event WHERE {conditions} ORDER BY seq DESC LIMIT ?)"
        );
        values.push(Value::Integer(i64::try_from(limit).unwrap_or(i64::MAX)));
        connection.query_row(&sql, params_from_iter(values), |row| {
            let count = row::unsigned(row, 0)?;
            Ok((count, row.get::<_, Option<i64>>(1)?.and_then(|seq| u64::try_from(seq).ok())))
        })
    }
}

#[cfg(test)]
mod tests;
