//! A message as a program reads it: lines end in LF, and all of it is there before the program is started.
//!
//! It is a file without a name and not a pipe. Who reads from a pipe takes its end for the message's: if this process fell while it
//! wrote, half a message would be queued as a whole one. How far the file was read shows what the program can know.

use crate::jobs::parcel::{Content, Withdrawn};

/// Makes CRLF LF, and nothing else other than it was.
#[derive(Debug, Default)]
struct Lines {
    octets: Vec<u8>,
    /// A CR came, and what is behind it has not.
    open: bool,
}

impl Lines {
    fn take(&mut self, chunk: &[u8]) {
        let mut rest = chunk;
        if self.open && !rest.is_empty() {
            self.open = false;
            if rest.first() != Some(&b'\n') {
                self.octets.push(b'\r');
            }
        }
        while let Some(at) = memchr::memchr(b'\r', rest) {
            let (line, behind) = rest.split_at(at);
            self.octets.extend_from_slice(line);
            rest = behind.get(1..).unwrap_or_default();
            match rest.first() {
                Some(b'\n') => {}
                Some(_) => self.octets.push(b'\r'),
                None => self.open = true,
            }
        }
        self.octets.extend_from_slice(rest);
    }

    fn end(mut self) -> Vec<u8> {
        if self.open {
            self.octets.push(b'\r');
        }
        self.octets
    }
}

/// The whole of it.
pub async fn gather(content: &mut Content) -> Result<Vec<u8>, Withdrawn> {
    let mut lines = Lines::default();
    while let Some(octets) = content.next().await? {
        lines.take(&octets.0);
    }
    Ok(lines.end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_ends_become_line_feeds_wherever_chunks_end_and_all_else_stays() {
        let (given, read) = (b"a\r\n.\r\n\r\r\nb\rc\n\0\xff\r\n\r", b"a\n.\n\r\nb\rc\n\0\xff\n\r");
        for size in 1..=given.len() {
            let mut lines = Lines::default();
            given.chunks(size).for_each(|chunk| lines.take(chunk));
            assert_eq!(lines.end(), read, "{size}");
        }
    }
}
