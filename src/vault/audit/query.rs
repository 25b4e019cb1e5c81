//! Questions to the auditors' files, read-only: for the command line, and for nobody inside the vault.

use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags, Result, params_from_iter};

use super::mask;

/// What to look for; what is absent matches everything.
#[derive(Clone, Debug, Default)]
pub struct Filter {
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

/// The columns of an answer, as in `audit_v1`.
pub const COLUMNS: [&str; 26] = [
    "seq",
    "time",
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
];

/// One event: a value for each of `COLUMNS`, as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found(pub Vec<Option<String>>);

impl Found {
    pub fn get(&self, column: &str) -> Option<&str> {
        let at = COLUMNS.iter().position(|name| *name == column)?;
        self.0.get(at)?.as_deref()
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

/// Opens a file as an auditor may: to read.
pub fn open(path: &Path) -> Result<Connection, String> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let open = || {
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(std::time::Duration::from_secs(5))?;
        let application: i64 = connection.query_row("PRAGMA application_id", [], |row| row.get(0))?;
        Ok((application, connection))
    };
    match open() {
        Ok((0x4754_5041, connection)) => Ok(connection),
        Ok(_) => Err(format!("{}: is not an auditors' file", path.display())),
        Err(error) => Err(format!("{}: {}", path.display(), explain(&error))),
    }
}

fn explain(error: &rusqlite::Error) -> String {
    error.to_string()
}

/// Calls `each` for every event that matches, the oldest first.
///
/// Errors: a file can't be read, in words.
pub fn query(path: &Path, filter: &Filter, mut each: impl FnMut(Found)) -> Result<(), String> {
    let mut newest = Vec::new();
    for file in files(path)?.iter().rev() {
        let left = filter.limit.map(|limit| limit.saturating_sub(u64::try_from(newest.len()).unwrap_or(u64::MAX)));
        if left == Some(0) {
            break;
        }
        let connection = open(file)?;
        let found = ask(&connection, filter, left).map_err(|error| format!("{}: {error}", file.display()))?;
        newest.extend(found);
    }
    newest.into_iter().rev().for_each(&mut each);
    Ok(())
}

/// The matching events of one file, the newest first. Every value is a parameter; the text of the question is ours.
fn ask(connection: &Connection, filter: &Filter, limit: Option<u64>) -> Result<Vec<Found>> {
    let mut sql = format!("SELECT {} FROM audit_v1 WHERE 1", COLUMNS.join(", "));
    let mut values: Vec<Value> = Vec::new();
    let integer = |n: u64| Value::Integer(i64::try_from(n).unwrap_or(i64::MAX));
    let text = |text: &String| Value::Text(text.clone());
    let conditions = [
        (" AND time_us >= ?", filter.since_us.map(integer)),
        (" AND time_us < ?", filter.until_us.map(integer)),
        (
            " AND seq IN (SELECT seq FROM personal WHERE field = 'account' AND value = ?)",
            filter.account.as_ref().map(text),
        ),
        (" AND msg_id = ?", filter.message.as_ref().map(text)),
        (" AND session_id = ?", filter.session.as_ref().map(text)),
        (" AND event = ?", filter.event.as_ref().map(text)),
        (" AND outcome = ?", filter.outcome.as_ref().map(text)),
        (
            " AND seq IN (SELECT seq FROM personal WHERE field = 'rcpt_to' AND shown = ?)",
            filter.recipient.as_ref().map(|address| Value::Text(mask::mailbox(address))),
        ),
    ];
    for (condition, value) in conditions {
        if let Some(value) = value {
            sql.push_str(condition);
            values.push(value);
        }
    }
    sql.push_str(" ORDER BY seq DESC");
    if let Some(limit) = limit {
        sql.push_str(" LIMIT ?");
        values.push(integer(limit));
    }
    let mut statement = connection.prepare(&sql)?;
    let rows = statement.query_map(params_from_iter(values), |row| {
        let columns = (0..COLUMNS.len()).map(|at| {
            Ok(match row.get(at)? {
                Value::Null | Value::Blob(_) => None,
                Value::Integer(n) => Some(n.to_string()),
                Value::Real(n) => Some(n.to_string()),
                Value::Text(text) => Some(text),
            })
        });
        columns.collect::<Result<_>>().map(Found)
    })?;
    rows.collect()
}
