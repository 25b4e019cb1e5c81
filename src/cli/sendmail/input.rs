//! A message from standard input, to its end: the end of input, or a line with a dot alone where that is one.

use std::io::{BufRead, Read as _};

use super::exit::{self, Failure};

/// Octets that are read at most: the gate takes 25 MiB unless it was told otherwise, and more than this is no mail. All of it is held in
/// memory, because the gate doesn't wait for whoever writes it.
pub const MOST: usize = 128 << 20;

/// Errors: it can't be read, or has no end.
pub fn read(input: &mut impl BufRead, dots: bool) -> Result<Vec<u8>, Failure> {
    read_at_most(input, dots, MOST)
}

fn read_at_most(input: &mut impl BufRead, dots: bool, most: usize) -> Result<Vec<u8>, Failure> {
    let mut octets = Vec::new();
    let mut input = input.take(u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1));
    loop {
        let from = octets.len();
        let read = input.read_until(b'\n', &mut octets);
        let read = read.map_err(|error| Failure::new(exit::IOERR, format!("the message can't be read: {error}")))?;
        if octets.len() > most {
            return Err(Failure::new(exit::DATAERR, format!("the message has more than {most} octets")));
        }
        if read == 0 {
            return Ok(octets);
        }
        if !dots && matches!(octets.get(from..), Some(b".\n" | b".\r\n" | b".")) {
            octets.truncate(from);
            return Ok(octets);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dot_alone_is_the_end_unless_it_is_a_line() {
        let read =
            |text: &str, dots| String::from_utf8(read_at_most(&mut text.as_bytes(), dots, 100).unwrap()).unwrap();
        for text in ["a\n.\nb\n", "a\n.\r\nb\n", "a\n."] {
            assert_eq!(read(text, false), "a\n", "{text:?}");
            assert_eq!(read(text, true), text);
        }
        assert_eq!(read("a\n..\n.b\n", false), "a\n..\n.b\n");
        assert_eq!(read("", false), "");
    }

    #[test]
    fn what_has_no_end_is_not_read_to_it() {
        let mut endless = std::io::BufReader::new(std::io::repeat(b'x'));
        assert_eq!(read_at_most(&mut endless, true, 1000).unwrap_err().code, exit::DATAERR);
        assert_eq!(read_at_most(&mut "x\n".repeat(500).as_bytes(), true, 1000).unwrap().len(), 1000);
    }
}
