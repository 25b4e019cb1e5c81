//! Opening the database: what it must be, how it is set, and what it is refused for.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use rusqlite::config::DbConfig;
use rusqlite::hooks::{AuthContext, Authorization};
use rusqlite::limits::Limit;
use rusqlite::{Connection, ErrorCode};

use super::counts::Counts;
use super::schema::{self, APPLICATION, VERSION};
use super::{room, suppressions};
use crate::vault::audit::row;
use crate::vault::beginning;

/// Below this size every start checks the whole file (about a tenth of a second); above it only after an unclean stop.
const CHECK_ALWAYS: u64 = 64 * 1024 * 1024;
/// A file beside it in which the last vault says, if it could, why it had to end. Until the next one has taken it into the
/// log, every start looks through the whole database.
pub const FAILED: &str = "failed";
/// What is told for a file system that takes no writes.
const READ_ONLY: &str = "its file system is read-only, and nothing is known to be lost: find out why (dmesg), mount it for \
                         writing again, and start";
/// What becomes of a damaged database. Alone or away from its log it is worth less.
pub const KEEP: &str = "keep db/ whole as it is, vault.db and vault.db-wal together";
/// What is told of a file that is no whole header.
pub const SHORT: &str = "is shorter than a header: it is damaged; keep db/ whole as it is, vault.db and vault.db-wal together, and \
                         restore a backup";
/// Memory for pages, in KiB. With SQLite's own 2 MiB a busy writer read one page again for every three that it wrote.
const CACHE: i64 = 8 * 1024;
/// What every database of SQLite begins with.
pub const MAGIC: &[u8] = b"SQLite format 3\0";
/// No row is larger: a body is at most 64 KiB. What would be is a bug or an attack.
const MAX_ROW: i32 = 8 * 1024 * 1024;

/// The database, open for this process alone, and the switch that closes its compiler.
#[derive(Debug)]
pub struct Database {
    pub connection: Connection,
    pub path: PathBuf,
    /// The disk was full: the ballast was thrown off to open it.
    pub needs_ballast: bool,
    /// What is counted beside it.
    pub counts: Counts,
    /// Pages in the write-ahead log when something was written last.
    pub log: Arc<AtomicU32>,
    closed: Arc<AtomicBool>,
}

impl Database {
    /// Opens `db/vault.db` under a directory, or makes it at a first start.
    ///
    /// Errors: in words, with what to do. The file was not changed.
    pub fn open(home: &Path) -> Result<Self, String> {
        let path = home.join("db").join("vault.db");
        let opened = beginning::check(home).and_then(|()| {
            let needs_ballast = room::make_way(&home.join("db"));
            Self::open_file(&path).map(|database| Self { needs_ballast, ..database })
        });
        opened.map_err(|error| format!("{}: {error}", path.display()))
    }

    fn open_file(path: &Path) -> Result<Self, String> {
        let (length, has_log) = inspect(path)?;
        let say = |error: rusqlite::Error| explain(&error);
        let mut connection = Connection::open(path).map_err(say)?;
        // Until it is known to be sound, closing it must not copy anything back into it.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map_err(say)?;
        settings(&connection, length == 0).map_err(say)?;
        belongs_to_us(&connection)?;
        verify(&connection, length, has_log, path)?;
        schema::upgrade(&connection).map_err(say)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false).map_err(say)?;
        // Recovered pages become ordinary ones, written and synced anew, before anything is built on them.
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).map_err(say)?;
        let log = Arc::new(AtomicU32::new(0));
        let pages = Arc::clone(&log);
        let counts = Counts::begin(&mut connection, move |now| pages.store(now, Ordering::Relaxed)).map_err(say)?;
        suppressions::begin(&connection).map_err(say)?;
        let closed = Arc::new(AtomicBool::new(false));
        let switch = Arc::clone(&closed);
        // Installed before the statements are prepared: installing it later would have them all compiled again.
        let authorizer = move |_: AuthContext<'_>| {
            if switch.load(Ordering::Relaxed) { Authorization::Deny } else { Authorization::Allow }
        };
        connection.authorizer(Some(authorizer)).map_err(say)?;
        Ok(Self { connection, path: path.to_owned(), needs_ballast: false, counts, log, closed })
    }

    /// From here on no SQL can be compiled, only what was prepared can run.
    pub fn close_compiler(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }
}

/// Looks at the file before SQLite does. Makes an empty one when there is none. Returns its length, and whether there is something in
/// the write-ahead log beside it.
fn inspect(path: &Path) -> Result<(u64, bool), String> {
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    match made {
        Ok(_) => {
            // Its name before anything that is built on it: what is there without it is no first start.
            let synced = path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all());
            return synced.map(|()| (0, false)).map_err(|error| format!("its name can't be made durable: {error}"));
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => return Err(READ_ONLY.into()),
        Err(error) => return Err(format!("can't be made: {error}")),
    }
    let length = fs::metadata(path).map_err(|error| format!("can't be looked at: {error}"))?.len();
    let has_log = fs::metadata(path.with_extension("db-wal")).is_ok_and(|log| log.len() > 0);
    if length == 0 {
        return Ok((0, has_log));
    }
    let mut header = [0u8; HEADER];
    let read = OpenOptions::new().read(true).write(true).open(path).and_then(|mut file| file.read_exact(&mut header));
    read.map_err(|error| match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "this user may not read and write it: chown it to the vault's user, mode 0600".to_owned()
        }
        io::ErrorKind::ReadOnlyFilesystem => READ_ONLY.to_owned(),
        io::ErrorKind::UnexpectedEof => SHORT.to_owned(),
        _ => format!("can't be read ({error}): look at the disk (dmesg) before anything else; {KEEP}"),
    })?;
    judge(&header, length, has_log)?;
    Ok((length, has_log))
}

/// Whether a file of that length that begins so can be our database. `has_log`: there is something in the write-ahead log beside it.
///
/// Errors: in words, with what to do.
pub fn judge(header: &[u8; HEADER], length: u64, has_log: bool) -> Result<(), String> {
    // All of it may still stand in that log: the power failed while it was copied back for the first time.
    if has_log && header.iter().all(|octet| *octet == 0) {
        return Ok(());
    }
    if !header.starts_with(MAGIC) {
        return Err(format!("is not a database, or its header is damaged: {KEEP}, and restore a backup"));
    }
    let (application, version) = numbers(header);
    // No owner: its creation was interrupted before there was a table, or what came then stands in the log.
    if application == 0 && version == 0 && (length <= 4096 || has_log) {
        return Ok(());
    }
    if application != APPLICATION {
        return Err("is another program's database: move it away".into());
    }
    newer(header).map_or(Ok(()), Err)
}

/// Octets of a header.
pub const HEADER: usize = 100;

/// Why this program can't open a database with that header: a newer one has written it, and its tables are others. None when it is
/// no newer, or none of ours.
fn newer(header: &[u8; HEADER]) -> Option<String> {
    let (application, version) = numbers(header);
    let is_newer = application == APPLICATION && usize::try_from(version).unwrap_or(usize::MAX) > VERSION;
    is_newer.then(|| {
        format!(
            "was written by a newer Gatepost (schema {version}, this one knows {VERSION}): install that version, whose \
             `gatepost downgrade` takes its database back, or restore a backup from before the upgrade"
        )
    })
}

/// Whose it is (application_id), and the form of its tables (user_version).
fn numbers(header: &[u8; HEADER]) -> (i64, i64) {
    let field = |at: usize| {
        let octets = header.get(at..at + 4).and_then(|octets| octets.try_into().ok());
        octets.map_or(0, |octets| i64::from(u32::from_be_bytes(octets)))
    };
    (field(68), field(60))
}

fn settings(connection: &Connection, is_new: bool) -> rusqlite::Result<()> {
    // Before the first access: then the index of the write-ahead log is kept on the heap, and no second process gets in.
    connection.query_row("PRAGMA locking_mode=EXCLUSIVE", [], |_| Ok(()))?;
    if is_new {
        // Of one that is there the second would write the header anew, each time.
        connection.execute_batch("PRAGMA page_size=4096; PRAGMA auto_vacuum=INCREMENTAL;")?;
    }
    let mode: String = connection.query_row("PRAGMA journal_mode=WAL", [], |row| row.get(0))?;
    connection.execute_batch(
        "PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=0; PRAGMA secure_delete=ON; PRAGMA foreign_keys=ON;
         PRAGMA cell_size_check=ON; PRAGMA temp_store=MEMORY; PRAGMA mmap_size=0; PRAGMA busy_timeout=0;",
    )?;
    connection.pragma_update(None, "cache_size", -CACHE)?;
    // Builds differ in their defaults, and with less than FULL acknowledged mail is lost with the power: read it back.
    let synchronous: i64 = connection.query_row("PRAGMA synchronous", [], |row| row.get(0))?;
    if mode != "wal" || synchronous != 2 {
        return Err(row::damaged("this SQLite doesn't take journal_mode=WAL and synchronous=FULL"));
    }
    for (option, value) in [
        (DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true),
        (DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false),
        (DbConfig::SQLITE_DBCONFIG_DQS_DML, false),
        (DbConfig::SQLITE_DBCONFIG_DQS_DDL, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false),
        // A prepared statement is never compiled again because of a value that was bound to it.
        (DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true),
    ] {
        connection.set_db_config(option, value)?;
    }
    connection.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 0)?;
    connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, MAX_ROW)?;
    Ok(())
}

/// Whether it is ours by what SQLite has recovered, when its first page alone could not tell.
fn belongs_to_us(connection: &Connection) -> Result<(), String> {
    let number = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
    let found = number("PRAGMA application_id")
        .and_then(|owner| Ok((owner, number("SELECT count(*) FROM sqlite_master")?)))
        .map_err(|error| explain(&error))?;
    match found {
        (APPLICATION, _) | (0, 0) => Ok(()),
        _ => Err("is another program's database: move it away".into()),
    }
}

/// Whether it is whole. `length` is the file's before it was opened, and `has_log` tells what was beside it then: the last vault didn't come
/// to its end.
fn verify(connection: &Connection, length: u64, has_log: bool, path: &Path) -> Result<(), String> {
    let unclean = has_log || path.with_file_name(FAILED).exists();
    if length == 0 || (!unclean && length > CHECK_ALWAYS) {
        return Ok(());
    }
    let verdict: String =
        connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(|error| explain(&error))?;
    if verdict == "ok" {
        return Ok(());
    }
    Err(format!("is damaged ({verdict}): {KEEP}, and restore a backup; nothing was changed"))
}

/// An error of SQLite's at opening, with what to do.
fn explain(error: &rusqlite::Error) -> String {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            "is in use by another process: stop the other vault first".into()
        }
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            format!("is damaged ({error}): {KEEP}, and restore a backup")
        }
        Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied | ErrorCode::ReadOnly) => format!(
            "can't be opened for writing ({error}): its directory must belong to the vault's user, on a file system that \
             is mounted for writing"
        ),
        Some(ErrorCode::DiskFull) => {
            format!("{error}: make room on its disk; what was accepted is delivered as soon as there is some")
        }
        _ => error.to_string(),
    }
}

#[cfg(test)]
pub mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;

    /// Where a database can be.
    pub fn home() -> tempfile::TempDir {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir(home.path().join("db")).unwrap();
        home
    }

    fn refused(home: &Path, why: &str) {
        let path = home.join("db/vault.db");
        let before = fs::read(&path).unwrap();
        let error = Database::open(home).unwrap_err();
        assert!(error.contains(why), "{error}");
        assert_eq!(fs::read(&path).unwrap(), before, "the file was touched");
    }

    #[test]
    fn it_is_made_once_and_opened_again() {
        let home = home();
        drop(Database::open(home.path()).unwrap());
        let database = Database::open(home.path()).unwrap();
        let version: i64 = database.connection.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
        assert_eq!(usize::try_from(version), Ok(VERSION));
        assert!(Database::open(home.path()).unwrap_err().contains("another process"));
    }

    #[test]
    fn a_file_that_was_cut_off_from_its_log_while_that_was_first_copied_back_is_recovered() {
        // The state before the first checkpoint: a page without an owner, and everything else in the log.
        let (home, other) = (home(), self::home());
        let path = home.path().join("db/vault.db");
        let connection = Connection::open(&path).unwrap();
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).unwrap();
        settings(&connection, true).unwrap();
        schema::upgrade(&connection).unwrap();
        drop(connection);
        let (page, log) = (fs::read(&path).unwrap(), fs::read(path.with_extension("db-wal")).unwrap());
        assert!(page.len() <= 4096 && log.len() > 4096);
        let torn = [[page, vec![0; 4096]].concat(), vec![0; 8192]];
        for file in torn {
            let place = other.path().join("db/vault.db");
            fs::write(&place, file).unwrap();
            fs::write(place.with_extension("db-wal"), &log).unwrap();
            drop(Database::open(other.path()).unwrap());
            // Without its log it is nothing of ours.
            fs::write(&place, vec![0; 8192]).unwrap();
            refused(other.path(), "is not a database");
        }
    }

    #[test]
    fn a_large_file_is_looked_through_after_an_unclean_stop_and_after_no_other() {
        let home = home();
        let path = home.path().join("db/vault.db");
        let database = Database::open(home.path()).unwrap();
        let fill = "CREATE TABLE much(x); INSERT INTO much WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n \
                    WHERE i < 70) SELECT zeroblob(1000000) FROM n;";
        database.connection.execute_batch(fill).unwrap();
        drop(database);
        assert!(fs::metadata(&path).unwrap().len() > CHECK_ALWAYS && !path.with_extension("db-wal").exists());
        // In the middle a page says that it goes on where there is none.
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        file.write_all_at(&[0xff; 4], 40 * 1024 * 1024).unwrap();
        for _ in 0..2 {
            drop(Database::open(home.path()).unwrap());
        }
        fs::write(path.with_file_name(FAILED), "").unwrap();
        refused(home.path(), "damaged");
        fs::remove_file(path.with_file_name(FAILED)).unwrap();
        fs::write(path.with_extension("db-wal"), "x").unwrap();
        refused(home.path(), "damaged");
    }

    #[test]
    fn a_closed_compiler_takes_no_sql_and_prepared_statements_go_on() {
        let home = home();
        let database = Database::open(home.path()).unwrap();
        let mut prepared = database.connection.prepare("SELECT count(*) FROM meta").unwrap();
        database.close_compiler();
        assert_eq!(prepared.query_row([], |row| row.get::<_, i64>(0)).unwrap(), 0);
        assert!(database.connection.prepare("SELECT * FROM meta").is_err());
        assert!(database.connection.execute_batch("ATTACH '/tmp/x' AS x").is_err());
    }

    #[test]
    fn what_is_not_ours_or_newer_or_damaged_is_refused_and_left_alone() {
        let home = home();
        let path = home.path().join("db/vault.db");
        fs::write(&path, vec![b'x'; 9000]).unwrap();
        refused(home.path(), "not a database");
        fs::write(&path, b"short").unwrap();
        refused(home.path(), "shorter than a header");

        fs::remove_file(&path).unwrap();
        Connection::open(&path).unwrap().execute_batch("CREATE TABLE t(x); PRAGMA application_id=7;").unwrap();
        refused(home.path(), "another program");

        fs::remove_file(&path).unwrap();
        drop(Database::open(home.path()).unwrap());
        Connection::open(&path).unwrap().execute_batch("PRAGMA journal_mode=DELETE; PRAGMA user_version=99;").unwrap();
        refused(home.path(), "newer");

        fs::remove_file(&path).unwrap();
        drop(Database::open(home.path()).unwrap());
        let mut bytes = fs::read(&path).unwrap();
        bytes[4096 + 8..4096 * 3].fill(0xa5);
        fs::write(&path, bytes).unwrap();
        refused(home.path(), "damaged");
    }
}
