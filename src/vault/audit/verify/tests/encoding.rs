//! A file in another encoding: SQLite finds texts by octets that it doesn't show.

use rusqlite::types::Value;
use rusqlite::{Row, params_from_iter};

use super::*;
use crate::vault::audit::month_file::AUDIT;
use crate::vault::audit::schema::{NEWEST, STEPS};

/// A copy of an auditors' file in that encoding, row by row.
fn copy(file: &Path, encoding: &str) -> tempfile::NamedTempFile {
    let to = tempfile::NamedTempFile::new().unwrap();
    let (from, copy) = (Connection::open(file).unwrap(), Connection::open(to.path()).unwrap());
    copy.pragma_update(None, "encoding", encoding).unwrap();
    copy.execute_batch(&STEPS.concat()).unwrap();
    copy.pragma_update(None, "application_id", AUDIT).unwrap();
    copy.pragma_update(None, "user_version", i64::try_from(NEWEST).unwrap()).unwrap();
    copy.execute_batch("BEGIN").unwrap();
    for table in ["info", "event", "personal", "tile", "checkpoint", "anchor", "erasure"] {
        let mut rows = from.prepare(&format!("SELECT * FROM {table}")).unwrap();
        let count = rows.column_count();
        let sql = format!("INSERT INTO {table} VALUES({})", vec!["?"; count].join(", "));
        let read = |row: &Row<'_>| (0..count).map(|at| row.get(at)).collect::<rusqlite::Result<Vec<Value>>>();
        for row in rows.query_map([], read).unwrap() {
            copy.execute(&sql, params_from_iter(row.unwrap())).unwrap();
        }
    }
    copy.execute_batch("COMMIT").unwrap();
    to
}

#[test]
fn a_file_that_is_not_in_utf_8_is_none_of_ours_whatever_it_reads() {
    let bench = Bench::grown();
    for (encoding, verdict) in
        [("UTF-8", Verdict::Sound), ("UTF-16le", Verdict::Altered), ("UTF-16be", Verdict::Altered)]
    {
        let copy = copy(&bench.audit().join("audit.db"), encoding);
        let found = verify(copy.path(), key(1).verifier(), &Known::default(), |_| {});
        assert_eq!(found.map_or_else(|fault| fault.verdict, |_| Verdict::Sound), verdict, "{encoding}");
        assert_eq!(second_opinion(copy.path(), key(1).verifier(), &[]), verdict.code(), "{encoding}");
    }
}
