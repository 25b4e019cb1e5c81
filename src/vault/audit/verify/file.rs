//! A file as a database: what auditors and their queries see of it must be what stands in its tables.

use std::path::Path;

use rusqlite::Connection;

use super::{Fault, altered, sql, unreadable};
use crate::vault::audit::month_file;
use crate::vault::audit::query::{FOREIGN, open_unchecked};
use crate::vault::audit::schema;

/// Pages that are kept in memory meanwhile, in KiB: an index is looked up for every row.
const CACHE: i64 = 64 * 1024;

/// That each index has every row, and each page its place. It reads by itself, so that it needs a thread and nothing else.
pub fn check(path: &Path) -> Result<(), Fault> {
    let connection = open_unchecked(path).map_err(unreadable)?;
    connection.pragma_update(None, "cache_size", -CACHE).map_err(sql)?;
    // It stops at the first fault.
    let said: String = connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0)).map_err(sql)?;
    let advice = month_file::for_readers(path);
    if said == "ok" { Ok(()) } else { Err(altered(format!("the file is not a whole database: {said}: {advice}"))) }
}

/// A view that leaves out events would hide them from everybody who doesn't read the tables.
pub fn schema(connection: &Connection) -> Result<(), Fault> {
    if schema::is_whole(connection).map_err(sql)? { Ok(()) } else { Err(altered(FOREIGN)) }
}
