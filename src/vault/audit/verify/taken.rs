//! The log's part of the vault's database, in memory.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::limits::Limit;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::aside::Aside;
use super::{Fault, altered, sql, unreadable};
use crate::vault::audit::row::{PERSONAL, columns};
use crate::vault::audit::schema;
use crate::vault::store::schema::APPLICATION;

/// What every vault's database has. A view of that name could be anything, and go on for ever.
const TABLES: &str = "SELECT count(*) FROM vault.sqlite_schema WHERE type = 'table' \
                      AND name IN ('audit_event', 'audit_personal', 'audit_edge')";
const ERASURES: &str = "SELECT coalesce(max(CASE type WHEN 'table' THEN 1 ELSE 2 END), 0) FROM vault.sqlite_schema \
                        WHERE name = 'audit_erasure'";
/// The version from which on it has orders of erasures.
const ERASES: i64 = 2;
/// The largest row, as the vault has it, and pages of four KiB: a gigabyte.
const MAX_ROW: i32 = 8 * 1024 * 1024;
const MAX_PAGES: i64 = 262_144;

/// Takes what the log has there, and how many events it has. `parameters`: how SQLite is to open it; `aside`: what may go as soon
/// as that is done.
///
/// Errors: `Altered` when it isn't a database of the vault.
pub fn take(path: &Path, parameters: &str, aside: Option<Aside>) -> Result<(Connection, u64), Fault> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_URI
        | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let database = Connection::open_with_flags(":memory:", flags).map_err(sql)?;
    schema::distrust(&database).map_err(sql)?;
    database.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map_err(sql)?;
    database.set_limit(Limit::SQLITE_LIMIT_LENGTH, MAX_ROW).map_err(sql)?;
    let settings = format!(
        "PRAGMA temp_store = MEMORY; PRAGMA page_size = 4096; PRAGMA max_page_count = {MAX_PAGES}; \
         PRAGMA locking_mode = EXCLUSIVE;"
    );
    database.execute_batch(&settings).map_err(sql)?;
    database.execute("ATTACH ? AS vault", [uri(path, parameters)]).map_err(sql)?;
    let number = |text: &str| database.query_row(text, [], |row| row.get::<_, i64>(0)).map_err(sql);
    let none = || altered("it is no database of Gatepost's vault");
    let owner = number("PRAGMA vault.application_id")?;
    // What is open stays readable; its names are not needed any more.
    drop(aside);
    if owner != APPLICATION || number(TABLES)? != 3 {
        return Err(none());
    }
    let erasures = match (number(ERASURES)?, number("PRAGMA vault.user_version")?) {
        (1, _) => "SELECT seq, event, data FROM vault.audit_erasure WHERE done = 0",
        // Of an older Gatepost, which erased nothing.
        (0, ..ERASES) => "SELECT 0 AS seq, '' AS event, '' AS data WHERE false",
        _ => return Err(none()),
    };
    let copy = format!(
        "CREATE TABLE audit_event AS SELECT {} FROM vault.audit_event;
         CREATE UNIQUE INDEX by_seq ON audit_event(seq);
         CREATE TABLE audit_personal AS SELECT {PERSONAL} FROM vault.audit_personal;
         CREATE TABLE audit_erasure AS {erasures};",
        columns()
    );
    database.execute_batch(&copy).map_err(|error| match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => unreadable("more waits in it than is read here: start the service"),
        _ => sql(error),
    })?;
    let size = number("SELECT coalesce(max(seq) + 1, 0) FROM vault.audit_edge")?;
    database.execute_batch("DETACH vault; PRAGMA query_only = ON").map_err(sql)?;
    Ok((database, u64::try_from(size).map_err(|_| none())?))
}

/// A path as SQLite takes it with parameters (https://www.sqlite.org/uri.html), to be read and never written.
fn uri(path: &Path, parameters: &str) -> String {
    let mut name = String::from("file:");
    for octet in path.as_os_str().as_bytes() {
        match octet {
            b'/' | b'.' | b'-' | b'_' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => name.push(char::from(*octet)),
            other => name += &format!("%{other:02x}"),
        }
    }
    name + "?mode=ro&" + parameters
}
