//! The schema of an auditors' file: what makes it, version by version, and whether a file has exactly that.
//!
//! Auditors read views and their queries use indices, none of which any hash covers. So they are worth what this comparison is.

use rusqlite::config::DbConfig;
use rusqlite::{Connection, Result};

/// Step by step: a new file takes them all, the current one of an older Gatepost those it lacks.
pub const STEPS: [&str; 2] = [include_str!("schema/1.sql"), include_str!("schema/2.sql")];
/// The newest schema that this program knows.
pub const NEWEST: usize = STEPS.len();

/// Everything that a schema is made of, as it was written. The columns: kind, name, table, SQL.
const LISTING: &str = "SELECT type, name, tbl_name, coalesce(sql, '') FROM sqlite_master ORDER BY type, name, tbl_name";

/// The encoding of every file of ours. In another one SQLite compares octets that it doesn't show: texts that read the same are
/// not found.
const ENCODING: &str = "UTF-8";

/// Whether a file has what its version says, and nothing else: no other view, no trigger, no index more or less.
pub fn is_whole(connection: &Connection) -> Result<bool> {
    let encoding: String = connection.query_row("PRAGMA encoding", [], |row| row.get(0))?;
    if encoding != ENCODING {
        return Ok(false);
    }
    let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let steps = usize::try_from(version).ok().and_then(|version| STEPS.get(..version));
    let Some(steps) = steps.filter(|steps| !steps.is_empty()) else { return Ok(false) };
    let ours = Connection::open_in_memory()?;
    ours.execute_batch(&steps.concat())?;
    Ok(listing(connection)? == listing(&ours)?)
}

fn listing(connection: &Connection) -> Result<Vec<[String; 4]>> {
    let mut statement = connection.prepare(LISTING)?;
    statement.query_map([], |row| Ok([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?]))?.collect()
}

/// Lets nothing that stands in a file act on who opens it.
pub fn distrust(connection: &Connection) -> Result<()> {
    for (setting, on) in [
        (DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true),
        (DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false),
    ] {
        connection.set_db_config(setting, on)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;
    use crate::vault::audit::month_file::hex;

    fn made(version: usize) -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(&STEPS[..version].concat()).unwrap();
        connection.pragma_update(None, "user_version", i64::try_from(version).unwrap()).unwrap();
        connection
    }

    #[test]
    fn each_version_is_whole_and_none_with_anything_more_or_less() {
        for version in 1..=NEWEST {
            assert!(is_whole(&made(version)).unwrap(), "{version}");
            for change in [
                "DROP VIEW daily_v1",
                "DROP VIEW daily_v1; CREATE VIEW daily_v1 AS SELECT 1 AS day",
                "CREATE TRIGGER t AFTER INSERT ON event BEGIN DELETE FROM event; END",
                "CREATE INDEX more ON event(reason)",
                "DROP INDEX p_value",
                "CREATE TABLE more(a)",
                "PRAGMA user_version = 0",
                "PRAGMA user_version = 99",
                "PRAGMA user_version = -1",
            ] {
                let connection = made(version);
                connection.execute_batch(change).unwrap();
                assert!(!is_whole(&connection).unwrap(), "{version}: {change}");
            }
        }
        for encoding in ["UTF-16le", "UTF-16be"] {
            let connection = Connection::open_in_memory().unwrap();
            connection.pragma_update(None, "encoding", encoding).unwrap();
            connection.execute_batch(&STEPS.concat()).unwrap();
            connection.pragma_update(None, "user_version", i64::try_from(NEWEST).unwrap()).unwrap();
            assert_eq!(listing(&connection).unwrap(), listing(&made(NEWEST)).unwrap());
            assert!(!is_whole(&connection).unwrap(), "{encoding}");
        }
        let older = made(NEWEST);
        older.pragma_update(None, "user_version", 1).unwrap();
        assert!(!is_whole(&older).unwrap());
    }

    #[test]
    fn the_second_opinion_knows_the_same_schemas() {
        let root = std::path::PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap());
        let program = std::fs::read_to_string(root.join("tools/verify_audit.py")).unwrap();
        for version in 1..=NEWEST {
            let listing: Vec<String> = listing(&made(version)).unwrap().concat();
            let digest = hex(&Sha256::digest(listing.join("\0")));
            assert!(program.contains(&format!("{version}: \"{digest}\"")), "{version}: {digest}");
        }
    }
}
