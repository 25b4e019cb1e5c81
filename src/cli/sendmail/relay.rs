//! `-bs`: a program that speaks SMTP on standard input and output speaks with the gate, where we have logged in for it.

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
        let _ = copy(&mut io::stdin(), &mut there);
        let _ = there.shutdown(Shutdown::Write);
    });
    copy(&mut gate, &mut stdout).map_err(failed)
}

/// Octets as they come, each piece at once.
fn copy(from: &mut impl Read, to: &mut impl Write) -> io::Result<()> {
    let mut piece = vec![0; PIECE];
    loop {
        let read = match from.read(&mut piece) {
            Ok(0) => return Ok(()),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        to.write_all(piece.get(..read).unwrap_or_default())?;
        to.flush()?;
    }
}
