//! Who has the database open, for a command that must not touch it then.

use std::fs::File;
use std::io;
use std::path::Path;

use crate::sys::lock;

/// Where SQLite's locks on a file are, and how many octets they take: a process that has it open to itself holds some of them
/// as long as it lives. https://www.sqlite.org/fileformat2.html section 1.4.
const LOCKS: (i64, i64) = (0x4000_0000, 512);

/// The process that has a database open, if any; none where there is no such file.
pub fn holder(path: &Path) -> io::Result<Option<i32>> {
    match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        file => lock::holder(&file?, LOCKS.0, LOCKS.1),
    }
}
