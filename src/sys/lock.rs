//! Record locks: who holds one.

use std::fs::File;
use std::io;

use nix::fcntl::{FcntlArg, fcntl};
use nix::libc::{F_UNLCK, F_WRLCK, SEEK_SET, c_short, flock, off_t};

/// The process that holds a lock on any of these octets of a file, if one does: by its number.
pub fn holder(file: &File, start: off_t, length: off_t) -> io::Result<Option<i32>> {
    // Their types differ between systems; their values fit into all of them.
    let (kind, whence) = (F_WRLCK as c_short, SEEK_SET as c_short);
    let mut asked = flock { l_type: kind, l_whence: whence, l_start: start, l_len: length, l_pid: 0 };
    fcntl(file, FcntlArg::F_GETLK(&mut asked))?;
    Ok((asked.l_type != F_UNLCK as c_short).then_some(asked.l_pid))
}
