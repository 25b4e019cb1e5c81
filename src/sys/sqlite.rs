//! What SQLite has no safe call for.

use std::ffi::c_int;
use std::ptr::null_mut;

use rusqlite::{Connection, Error, Result, ffi};

/// The first octets of a database as they are on the disk, without a lock and without a look at what lies beside it; zeroes
/// behind its end. They are read through the descriptor that SQLite has: a process that opens a database by itself and closes
/// it again loses every lock that it has on it, those of its other connections among them (fcntl(2), "Advisory record locking";
/// https://www.sqlite.org/howtocorrupt.html, 2.2).
pub fn beginning<const N: usize>(connection: &Connection) -> Result<[u8; N]> {
    let mut octets = [0; N];
    let length = c_int::try_from(N).map_err(|_| failure(ffi::SQLITE_TOOBIG))?;
    let mut file: *mut ffi::sqlite3_file = null_mut();
    // SAFETY: the connection is open for as long as it is borrowed, and is used by one thread at a time, for it isn't `Sync`. This
    // operation writes one pointer.
    let code = unsafe {
        let to = (&raw mut file).cast();
        ffi::sqlite3_file_control(connection.handle(), c"main".as_ptr(), ffi::SQLITE_FCNTL_FILE_POINTER, to)
    };
    succeeded(code)?;
    // SAFETY: the file is the connection's, and lives as long; one that isn't open has no methods. `xRead` writes at most as
    // many octets as it is told, which `octets` has.
    let code = unsafe {
        let methods = file.as_ref().and_then(|file| file.pMethods.as_ref());
        let read = methods.and_then(|methods| methods.xRead).ok_or_else(|| failure(ffi::SQLITE_CANTOPEN))?;
        read(file, octets.as_mut_ptr().cast(), length, 0)
    };
    // It fills up with zeroes what the file has not.
    if code == ffi::SQLITE_IOERR_SHORT_READ {
        return Ok(octets);
    }
    succeeded(code).map(|()| octets)
}

fn succeeded(code: c_int) -> Result<()> {
    if code == ffi::SQLITE_OK { Ok(()) } else { Err(failure(code)) }
}

fn failure(code: c_int) -> Error {
    Error::SqliteFailure(ffi::Error::new(code), None)
}
