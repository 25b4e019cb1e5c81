//! A file that was handed over, read from its beginning.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;

/// Reads from the beginning of a file, wherever others who were handed the same one are in it.
pub struct Beginning {
    file: File,
    at: u64,
}

impl Beginning {
    pub fn of(descriptor: OwnedFd) -> Self {
        Self { file: descriptor.into(), at: 0 }
    }
}

impl Read for Beginning {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(buffer, self.at)?;
        self.at = self.at.saturating_add(u64::try_from(read).unwrap_or(u64::MAX));
        Ok(read)
    }
}
