//! A body in chunks (RFC 9112 section 7.1): where each ends, and where all end. Extensions and trailers are read past.

use super::field::Field;
use super::flaw::Flaw;
use super::lines::{Bad, Lines};

/// Hexadecimal digits of a chunk's size: a chunk of 4 GiB is longer than any body taken.
const DIGITS: u32 = 8;
/// Octets of all extensions of a body: nobody sends any, and each could be as long as it likes.
const EXTENSIONS: usize = 4096;
/// Octets of the trailers: they are forgotten, whatever they say.
const TRAILERS: usize = 4096;

/// Where in it a reader stands.
#[derive(Debug)]
enum At {
    /// In a size of which so many digits have come.
    Size(u64, u32),
    Extension(u64),
    /// Behind the CR of a size's line.
    SizeEnd(u64),
    /// So many octets are to come.
    Data(u64),
    /// Before the CR, then before the LF, that end a chunk.
    DataCr,
    DataLf,
    Trailers(Lines),
}

#[derive(Debug)]
pub struct Chunks {
    at: At,
    /// Octets of extensions so far.
    extended: usize,
}

/// What stands next in them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next<'a> {
    /// Nothing that is whole.
    Nothing,
    /// Octets of the body.
    Octets(&'a [u8]),
    /// The end of the body, and of the request.
    End,
}

impl Chunks {
    pub const fn new() -> Self {
        Self { at: At::Size(0, 0), extended: 0 }
    }

    /// Reads on. Tells how many octets it took.
    pub fn next<'a>(&mut self, input: &'a [u8]) -> Result<(usize, Next<'a>), Flaw> {
        let mut taken = 0;
        while let Some((octet, rest)) = input.get(taken..).and_then(<[u8]>::split_first) {
            match &mut self.at {
                At::Data(left) => {
                    let here = usize::try_from(*left).unwrap_or(usize::MAX).min(rest.len() + 1);
                    *left -= u64::try_from(here).unwrap_or_default();
                    if *left == 0 {
                        self.at = At::DataCr;
                    }
                    let end = taken + here;
                    return Ok((end, Next::Octets(input.get(taken..end).unwrap_or_default())));
                }
                At::Trailers(lines) => {
                    taken += lines.take(input.get(taken..).unwrap_or_default()).map_err(trailer)?;
                    if lines.is_whole() {
                        lines.each().try_for_each(|line| Field::read(line).map(drop))?;
                        return Ok((taken, Next::End));
                    }
                }
                _ => {
                    self.step(*octet)?;
                    taken += 1;
                }
            }
        }
        Ok((taken, Next::Nothing))
    }

    /// One octet of what stands around the data.
    fn step(&mut self, octet: u8) -> Result<(), Flaw> {
        self.at = match (&self.at, octet) {
            (At::Size(size, digits), _) if octet.is_ascii_hexdigit() => {
                if *digits == DIGITS {
                    return Err(Flaw::framing("a chunk's size has more digits than any body needs"));
                }
                let digit = char::from(octet).to_digit(16).unwrap_or_default();
                At::Size(size * 16 + u64::from(digit), digits + 1)
            }
            (At::Size(size, 1..) | At::Extension(size), b'\r') => At::SizeEnd(*size),
            (At::Size(size, 1..), b';') => At::Extension(*size),
            (At::Size(..), _) => return Err(Flaw::framing("a chunk's size is not a hexadecimal number alone")),
            (At::Extension(size), b'\t' | b' '..=b'~') => {
                self.extended += 1;
                if self.extended > EXTENSIONS {
                    return Err(Flaw::framing("the extensions of the chunks are too long; send none"));
                }
                At::Extension(*size)
            }
            (At::Extension(_), _) => return Err(Flaw::framing("an octet can't stand in a chunk's extension")),
            (At::SizeEnd(0), b'\n') => At::Trailers(Lines::new(TRAILERS)),
            (At::SizeEnd(size), b'\n') => At::Data(*size),
            (At::DataCr, b'\r') => At::DataLf,
            (At::DataLf, b'\n') => At::Size(0, 0),
            _ => return Err(Flaw::framing("a chunk is longer than its size says, or its line ends without CR LF")),
        };
        Ok(())
    }
}

fn trailer(bad: Bad) -> Flaw {
    Flaw::framing(match bad {
        Bad::Octet(_) => "an octet can't stand in a trailer, or a line of it ends without CR LF",
        Bad::Long => "the trailers are too long; send none",
    })
}
