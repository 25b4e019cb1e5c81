//! Whether this is a first start. A database that is missing beside what only an earlier one can have left was lost, or its
//! disk isn't there: making a new one would destroy what waits.
//!
//! The vault's first commit is on the disk, its name included, before there can be a body, an auditors' file, a personal
//! file or a signed head: a first start that is broken off anywhere leaves none of them alone.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::audit::event::{Event, Name, Outcome};
use super::store::open::FAILED;
use super::store::segment;

/// Whether the vault in a state directory has ever kept anything.
pub fn has_begun(home: &Path) -> io::Result<bool> {
    Ok(has_database(home)? || trace(home)?.is_some())
}

/// Whether there is a database with anything in it.
pub fn has_database(home: &Path) -> io::Result<bool> {
    length(&home.join("db").join("vault.db")).map(|octets| octets > 0)
}

/// Whether bodies are sealed there: always, but by the first form of the database, before it was opened by this one.
pub fn seals_bodies(home: &Path) -> io::Result<bool> {
    /// Where the header has the number of the form.
    const VERSION: usize = 60;
    let mut header = [0; VERSION + 4];
    let read = fs::File::open(home.join("db").join("vault.db")).and_then(|mut file| file.read_exact(&mut header));
    match read {
        Ok(()) => Ok(!header.ends_with(&1u32.to_be_bytes())),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof) => Ok(true),
        Err(error) => Err(error),
    }
}

/// Whether a new database may be made, when there is none.
///
/// Errors: in words, what shows that there was one, and what to do.
pub fn check(home: &Path) -> Result<(), String> {
    let failed = |error: io::Error| format!("{}: {error}", home.display());
    if has_database(home).map_err(failed)? {
        return Ok(());
    }
    match trace(home).map_err(failed)? {
        Some(trace) => Err(lost(&format!("{} is of before", trace.display()))),
        None => Ok(()),
    }
}

/// What to say when the database is missing, and why that can't be a first start.
pub fn lost(why: &str) -> String {
    format!(
        "is missing or empty, but this is no first start: {why}. Nothing was touched. Is a disk not mounted? Put vault.db \
         back, with its vault.db-wal, or restore a backup (gatepost restore DIR --aside). To begin anew, move db/, audit/ \
         and seal/ away, all three, and keep them"
    )
}

/// The first thing found that a vault leaves besides its database.
fn trace(home: &Path) -> io::Result<Option<PathBuf>> {
    let db = home.join("db");
    let log = db.join("vault.db-wal");
    if length(&log)? > 0 {
        return Ok(Some(log));
    }
    let is_db = |name: &str| {
        name.starts_with(segment::PREFIX)
            || name.starts_with(segment::ASIDE)
            || name.starts_with("personal-") && name.ends_with(".db")
    };
    let is_audit = |name: &str| name.starts_with("audit") && name.ends_with(".db");
    Ok(first(&db, is_db)?.or(first(&home.join("audit"), is_audit)?))
}

/// The first file with a name like that and something in it.
fn first(folder: &Path, named: impl Fn(&str) -> bool) -> io::Result<Option<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_name().to_str().is_some_and(&named) && length(&entry.path())? > 0 {
            return Ok(Some(entry.path()));
        }
    }
    Ok(None)
}

/// Octets of a file; none when it isn't there.
fn length(path: &Path) -> io::Result<u64> {
    match fs::symlink_metadata(path) {
        Ok(found) => Ok(found.len()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error),
    }
}

/// The event of a store that could not be written, if the last vault left word of it.
pub fn failure(db: &Path) -> Option<Event> {
    /// SQLite's own words are a line.
    const SAID: usize = 400;
    let said = fs::read_to_string(db.join(FAILED)).ok()?;
    let said: String = said.chars().filter(|c| !c.is_control()).take(SAID).collect();
    let data = Some(serde_json::json!({ "said": said }).to_string());
    Some(Event { severity: 2, data, ..Event::new(Name::StoreIoerror, Outcome::Failure) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vault::store::open::Database;

    #[test]
    fn a_missing_or_empty_database_beside_what_it_left_is_not_made_anew() {
        for trace in ["db/body-x", "db/aside-body-x", "db/personal-2026-11.db", "db/vault.db-wal", "audit/audit.db"] {
            let home = tempfile::tempdir().unwrap();
            let at = |name: &str| home.path().join(name);
            crate::vault::prepare(home.path(), None, None).unwrap();
            // What a first start that was broken off can leave.
            for empty in ["db/vault.db-wal", "audit/audit.db", "db/personal-2026-10.db"] {
                fs::write(at(empty), b"").unwrap();
            }
            assert!(!has_begun(home.path()).unwrap());
            fs::write(at(trace), b"x").unwrap();
            for is_there in [false, true] {
                if is_there {
                    fs::write(at("db/vault.db"), b"").unwrap();
                }
                let refused = Database::open(home.path()).unwrap_err();
                assert!(refused.contains("no first start") && refused.contains("begin anew"), "{refused}");
                assert_eq!(at("db/vault.db").exists(), is_there, "{trace}");
                assert_eq!(fs::read(at(trace)).unwrap(), b"x");
            }
            fs::remove_file(at(trace)).unwrap();
            drop(Database::open(home.path()).unwrap());
            assert!(has_begun(home.path()).unwrap() && seals_bodies(home.path()).unwrap());
            fs::write(at(trace), b"").unwrap();
            drop(Database::open(home.path()).unwrap());
        }
    }
}
