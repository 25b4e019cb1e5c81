//! `-bs`: a program that speaks SMTP on standard input and output speaks with the gate, where we have logged in for it. Its lines may
//! end as lines of this system do.

use std::borrow::Cow;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::thread;

use super::exit::{self, Failure};
use super::talk::Talk;

/// Octets that are on their way in one direction.
const PIECE: usize = 16 << 10;

/// Until the gate closes the connection, which it does after QUIT, and once nothing more can come.
pub fn run(talk: Talk) -> Result<(), Failure> {
    let failed = |error: io::Error| Failure::new(exit::IOERR, format!("speaking for somebody else: {error}"));
    let (greeting, mut gate) = talk.into_greeting_and_stream();
    let mut stdout = io::stdout();
    stdout.write_all(format!("{greeting}\r\n").as_bytes()).and_then(|()| stdout.flush()).map_err(failed)?;
    let mut there = gate.try_clone().map_err(failed)?;
    // It ends with the process, whatever it waits for.
    thread::spawn(move || {
        let mut ends = Ends::Open(false);
        let _ = copy(&mut io::stdin(), &mut there, |piece| ends.apply(piece));
        let _ = there.shutdown(Shutdown::Write);
    });
    copy(&mut gate, &mut stdout, |piece| Cow::Borrowed(piece)).map_err(failed)
}

/// How a program's lines end, which its first one tells. Each of the other lines is held to it: where they end in CR LF, a LF alone is
/// content, and the gate's to judge.
#[derive(Clone, Copy)]
enum Ends {
    /// Whether the last octet was CR.
    Open(bool),
    Feed,
    Both,
}

impl Ends {
    /// A piece as it is sent on.
    fn apply<'p>(&mut self, piece: &'p [u8]) -> Cow<'p, [u8]> {
        if matches!(self, Self::Both) {
            return Cow::Borrowed(piece);
        }
        let mut sent = Vec::with_capacity(piece.len());
        for octet in piece {
            *self = match (*self, octet) {
                (Self::Open(true), b'\n') => Self::Both,
                (Self::Open(false), b'\n') => Self::Feed,
                (Self::Open(_), octet) => Self::Open(*octet == b'\r'),
                (told, _) => told,
            };
            if matches!((*self, octet), (Self::Feed, b'\n')) {
                sent.push(b'\r');
            }
            sent.push(*octet);
        }
        Cow::Owned(sent)
    }
}

/// Octets as they come, each piece at once.
fn copy(from: &mut impl Read, to: &mut impl Write, mut change: impl FnMut(&[u8]) -> Cow<'_, [u8]>) -> io::Result<()> {
    let mut piece = vec![0; PIECE];
    loop {
        let read = match from.read(&mut piece) {
            Ok(0) => return Ok(()),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        to.write_all(&change(piece.get(..read).unwrap_or_default()))?;
        to.flush()?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_tells_how_all_lines_end() {
        let sent = |pieces: &[&str]| {
            let mut ends = Ends::Open(false);
            let sent: Vec<u8> = pieces.iter().flat_map(|piece| ends.apply(piece.as_bytes()).into_owned()).collect();
            String::from_utf8(sent).unwrap()
        };
        assert_eq!(sent(&["EHLO a\nDA", "TA\n", "x\n.\n"]), "EHLO a\r\nDATA\r\nx\r\n.\r\n");
        assert_eq!(
            sent(&["EHLO a\r", "\nDATA\r\nx\n.\nMAIL\r\n"]),
            "EHLO a\r\nDATA\r\nx\n.\nMAIL\r\n",
            "nothing is ended early"
        );
        assert_eq!(sent(&["a\rb\nc\r\n"]), "a\rb\r\nc\r\r\n", "CR was content before, and is now");
    }
}
