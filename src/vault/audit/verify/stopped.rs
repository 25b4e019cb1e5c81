//! The vault's database while no service answers: read without a lock, a write or a file beside it. Of its events nothing is
//! believed that no signed head bears out; of its orders of erasures none that no event says.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, Row, params};

use super::{Fault, altered, sql, unreadable};
use crate::mail::id::MessageId;
use crate::vault::audit::event::Name;
use crate::vault::audit::row::{integer, unsigned};
use crate::vault::audit::schema;
use crate::vault::store::erasures::Order;
use crate::vault::store::open::APPLICATION;

/// What is read of it. A view of that name could be anything, and go on for ever.
const TABLES: &str = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' \
                      AND name IN ('audit_event', 'audit_personal', 'audit_erasure')";

pub struct Stopped {
    pub database: Connection,
    state: PathBuf,
    stamp: Stamp,
}

/// Length and time of the database and of its write-ahead log: a service that runs, and can't be asked, changes them.
type Stamp = [Option<(u64, i64, i64)>; 2];

/// Times that a copy is made anew because the files changed meanwhile.
const TRIES: u32 = 5;

const CHANGES: &str = "the vault's database changes while it is read: a service runs that can't be asked, or a backup is made; \
                       verify again";

/// Where it is.
pub fn path(state: &Path) -> PathBuf {
    state.join("db").join("vault.db")
}

impl Stopped {
    /// Opens it, with what its write-ahead log has: a copy, where there is one, because reading it in place takes locks and
    /// makes an index beside it.
    ///
    /// Errors, in words: `Altered` when it isn't there, may not be read, or isn't a database of the vault; `Unreadable` when it
    /// can't be copied.
    pub fn open(state: &Path) -> Result<Self, Fault> {
        let unfit = |error: io::Error| altered(format!("it can't be read: {error}"));
        let folder = fs::canonicalize(state.join("db")).map_err(unfit)?;
        let path = folder.join("vault.db");
        for _ in 0..TRIES {
            let stamp = stamp(&path);
            let file = plain(&path).map_err(unfit)?;
            let log = match plain(&path.with_extension("db-wal")) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                log => Some(log.map_err(unfit)?).filter(|log| log.metadata().is_ok_and(|log| log.len() > 0)),
            };
            let copy = log.map(|log| Copy::make(file, log)).transpose();
            let copy = copy.map_err(|error| unreadable(format!("the vault's database can't be copied: {error}")))?;
            if copy.is_some() && self::stamp(&path) != stamp {
                continue;
            }
            let database = match &copy {
                Some(copy) => connect(&copy.0.join("vault.db"), "mode=rw", OpenFlags::SQLITE_OPEN_READ_WRITE),
                None => connect(&path, "immutable=1", OpenFlags::SQLITE_OPEN_READ_ONLY),
            }?;
            // What is open stays readable; nothing of it is left when this process ends, however it does.
            drop(copy);
            return Ok(Self { database, state: state.to_owned(), stamp });
        }
        Err(unreadable(CHANGES))
    }

    /// Insists that nobody has written to the database since it was opened.
    pub fn is_still(&self) -> Result<(), Fault> {
        if stamp(&path(&self.state)) == self.stamp { Ok(()) } else { Err(unreadable(CHANGES)) }
    }

    /// The orders of erasures that were not carried out yet.
    pub fn erasing(&self) -> Result<Vec<Order>, Fault> {
        let orders = "SELECT seq, event, data FROM audit_erasure WHERE done = 0 ORDER BY seq LIMIT 1000";
        let mut orders = self.database.prepare(orders).map_err(sql)?;
        let read = |row: &Row<'_>| Ok(Order { seq: unsigned(row, 0)?, event: row.get(1)?, data: row.get(2)? });
        orders.query_map([], read).map_err(sql)?.collect::<Result<_, _>>().map_err(sql)
    }

    /// The messages whose acceptance was not published yet.
    pub fn accepted(&self) -> Result<HashSet<MessageId>, Fault> {
        let accepted = "SELECT msg_id FROM audit_event WHERE event = ? AND msg_id IS NOT NULL";
        let mut accepted = self.database.prepare(accepted).map_err(sql)?;
        let ids = accepted.query_map([Name::MsgAccept.word()], |row| row.get::<_, String>(0)).map_err(sql)?;
        ids.filter_map(|id| id.map(|id| id.parse().ok()).transpose()).collect::<Result<_, _>>().map_err(sql)
    }

    /// How many events it has from that one on.
    pub fn events(&self, from: u64) -> Result<u64, Fault> {
        let count = "SELECT count(*) FROM audit_event WHERE seq >= ?";
        self.database.query_row(count, [integer(from)], |row| unsigned(row, 0)).map_err(sql)
    }

    /// Whether the event of that order was not published yet.
    pub fn waits(&self, order: &Order) -> Result<bool, Fault> {
        let event = "SELECT EXISTS(SELECT 1 FROM audit_event WHERE seq = ? AND event = ? AND data = ?)";
        let of = params![integer(order.seq), order.event, order.data];
        self.database.query_row(event, of, |row| row.get(0)).map_err(sql)
    }
}

fn stamp(path: &Path) -> Stamp {
    [path.to_owned(), path.with_extension("db-wal")].map(|path| {
        let about = fs::symlink_metadata(path).ok()?;
        Some((about.len(), about.mtime(), about.mtime_nsec()))
    })
}

fn connect(path: &Path, parameter: &str, access: OpenFlags) -> Result<Connection, Fault> {
    let flags = access | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let database = Connection::open_with_flags(uri(path, parameter), flags).map_err(sql)?;
    schema::distrust(&database).map_err(sql)?;
    // With the index of the log in memory, and a copy that stays as it was made.
    database.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map_err(sql)?;
    database.execute_batch("PRAGMA locking_mode = EXCLUSIVE; PRAGMA query_only = ON").map_err(sql)?;
    let number = |text: &str| database.query_row(text, [], |row| row.get::<_, i64>(0)).map_err(sql);
    if number("PRAGMA application_id")? != APPLICATION || number(TABLES)? != 3 {
        return Err(altered("it is no database of Gatepost's vault"));
    }
    Ok(database)
}

/// Opens what is a file, and no way to another one, a pipe or a device: nobody waits for who may write into that.
pub fn plain(path: &Path) -> io::Result<File> {
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits()).open(path)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::other("it is no regular file")),
    }
}

/// A folder of our own with a copy of both files.
struct Copy(PathBuf);

impl Copy {
    fn make(mut file: File, mut log: File) -> io::Result<Self> {
        // Made for its owner alone, as mkdtemp(3) has it.
        let template = std::env::temp_dir().join(format!("gatepost-verify-{}", "X".repeat(6)));
        let copy = Self(fs::canonicalize(nix::unistd::mkdtemp(&template)?)?);
        for (from, name) in [(&mut file, "vault.db"), (&mut log, "vault.db-wal")] {
            io::copy(from, &mut File::create_new(copy.0.join(name))?)?;
        }
        Ok(copy)
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            eprintln!("gatepost: remove {} yourself, it has a copy of the vault's database: {error}", self.0.display());
        }
    }
}

/// A path as SQLite takes it with parameters (https://www.sqlite.org/uri.html).
fn uri(path: &Path, parameter: &str) -> String {
    let mut name = String::from("file:");
    for octet in path.as_os_str().as_bytes() {
        match octet {
            b'/' | b'.' | b'-' | b'_' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => name.push(char::from(*octet)),
            other => name += &format!("%{other:02x}"),
        }
    }
    name + "?" + parameter
}
