//! A file without a name, to be read once from its beginning by whoever is handed it.

use std::fs::File;
use std::io::{self, Seek, Write};
use std::os::fd::AsRawFd;

/// What is in it can't be changed any more, and it can't be opened anew: how far it was read is what this descriptor says.
pub fn sealed(content: &[u8]) -> io::Result<File> {
    let mut file = nameless()?;
    file.write_all(content)?;
    file.rewind()?;
    // SAFETY: fchmod takes a descriptor, which is open, and a number.
    if unsafe { libc::fchmod(file.as_raw_fd(), 0) } != 0 {
        return Err(io::Error::last_os_error());
    }
    close(&file)?;
    Ok(file)
}

#[cfg(target_os = "linux")]
fn nameless() -> io::Result<File> {
    use std::os::fd::FromRawFd;
    let make = |flags| {
        // SAFETY: the name is a C string that outlives the call.
        let number = unsafe { libc::memfd_create(c"letter".as_ptr(), flags) };
        // SAFETY: the kernel has just installed this descriptor for us and nobody else knows its number.
        if number < 0 { Err(io::Error::last_os_error()) } else { Ok(unsafe { File::from_raw_fd(number) }) }
    };
    let flags = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING;
    // Some systems refuse those that could be executed; kernels before 6.3 don't know the word for the others.
    make(flags | libc::MFD_NOEXEC_SEAL).or_else(|_| make(flags))
}

#[cfg(target_os = "linux")]
fn close(file: &File) -> io::Result<()> {
    let seals = libc::F_SEAL_SEAL | libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_WRITE;
    // SAFETY: the descriptor is open, and this command takes a number.
    if unsafe { libc::fcntl(file.as_raw_fd(), libc::F_ADD_SEALS, seals) } == 0 {
        return Ok(());
    }
    Err(io::Error::last_os_error())
}

/// In the one folder that the sandbox lets it be made in, and its name is taken away at once.
#[cfg(not(target_os = "linux"))]
fn nameless() -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut name = [0; 16];
    getrandom::fill(&mut name).map_err(io::Error::other)?;
    let name: String = name.iter().map(|octet| format!("{octet:02x}")).collect();
    let path = std::path::Path::new("/tmp").join(format!("gatepost-letter-{name}"));
    let file = std::fs::OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}

/// Its mode is what there is.
#[cfg(not(target_os = "linux"))]
fn close(_: &File) -> io::Result<()> {
    Ok(())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn it_is_read_from_the_beginning_and_written_to_by_nobody() {
        let mut file = sealed(b"Subject: x\n\nhi\n").unwrap();
        assert!(file.write_all(b"other").is_err());
        assert!(file.set_len(3).is_err());
        file.rewind().unwrap();
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        assert_eq!(text, "Subject: x\n\nhi\n");
        assert_eq!(file.stream_position().unwrap(), 15);
        let again = File::open(format!("/proc/self/fd/{}", file.as_raw_fd()));
        assert_eq!(again.is_err(), !nix::unistd::geteuid().is_root(), "only root may open what has no mode");
    }
}
