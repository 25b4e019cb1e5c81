//! The one reader of a connection's requests: head, body, head, body, in whatever portions they come.

use super::HEAD;
use super::chunk::{Chunks, Next};
use super::flaw::Flaw;
use super::head::Head;
use super::length::Length;
use super::lines::{Bad, Lines};
use super::target;
use crate::edge::http::reply::Code;

/// Where in a request it stands.
#[derive(Debug)]
enum Stage {
    /// In a head, or before it; whether the empty line that may stand there was passed over.
    Head {
        passed: bool,
    },
    /// So many octets of the body are to come.
    Body(u64),
    Chunks(Chunks),
    /// Something was wrong: there is no place to read on from.
    Over(Flaw),
}

#[derive(Debug)]
pub struct Framer {
    stage: Stage,
    lines: Lines,
    /// The lines were given away as a head.
    given: bool,
}

/// A piece of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part<'a> {
    Head(Head<'a>),
    /// Octets of a body of known length.
    Octets(&'a [u8]),
    /// Octets of a body in chunks, and its end.
    Chunk(&'a [u8]),
    Last,
}

impl Part<'_> {
    /// As hyper is to read it. No longer than what it was read from, but for eight octets around a chunk and what `CANONICAL` has
    /// of a head.
    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Head(head) => head.write(out),
            Self::Octets(octets) => out.extend_from_slice(octets),
            Self::Chunk(octets) => {
                out.extend_from_slice(format!("{:x}\r\n", octets.len()).as_bytes());
                out.extend_from_slice(octets);
                out.extend_from_slice(b"\r\n");
            }
            Self::Last => out.extend_from_slice(b"0\r\n\r\n"),
        }
    }
}

impl Default for Framer {
    fn default() -> Self {
        Self { stage: Stage::Head { passed: false }, lines: Lines::new(HEAD), given: false }
    }
}

impl Framer {
    /// Reads on, up to the end of the next part. Tells how many octets it took; without a part it took them all.
    ///
    /// Errors: these octets have no meaning, or more than one. Nothing behind them has any either.
    pub fn next<'a>(&'a mut self, input: &'a [u8]) -> Result<(usize, Option<Part<'a>>), Flaw> {
        self.forget();
        match &mut self.stage {
            Stage::Head { .. } => self.head(input),
            Stage::Body(left) => {
                let here = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len());
                *left -= u64::try_from(here).unwrap_or_default();
                if *left == 0 {
                    self.stage = Stage::Head { passed: false };
                }
                let octets = input.get(..here).unwrap_or_default();
                Ok((here, (here > 0).then_some(Part::Octets(octets))))
            }
            Stage::Chunks(chunks) => match chunks.next(input) {
                Ok((taken, Next::Nothing)) => Ok((taken, None)),
                Ok((taken, Next::Octets(octets))) => Ok((taken, Some(Part::Chunk(octets)))),
                Ok((taken, Next::End)) => {
                    self.stage = Stage::Head { passed: false };
                    Ok((taken, Some(Part::Last)))
                }
                Err(flaw) => Err(over(&mut self.stage, flaw)),
            },
            Stage::Over(flaw) => Err(flaw.clone()),
        }
    }

    fn head<'a>(&'a mut self, input: &[u8]) -> Result<(usize, Option<Part<'a>>), Flaw> {
        let mut taken = 0;
        loop {
            match self.lines.take(input.get(taken..).unwrap_or_default()) {
                Ok(more) => taken += more,
                Err(bad) => {
                    let flaw = self.of_head(self.bad(bad));
                    return Err(over(&mut self.stage, flaw));
                }
            }
            if !self.lines.is_whole() {
                return Ok((taken, None));
            }
            // RFC 9112 section 2.2: some clients end a body with an empty line more than they announced.
            if !self.lines.is_blank() {
                break;
            }
            if matches!(self.stage, Stage::Head { passed: true }) {
                return Err(over(&mut self.stage, Flaw::framing("empty lines stand where a request should begin")));
            }
            self.stage = Stage::Head { passed: true };
            self.lines = Lines::new(HEAD);
        }
        self.given = true;
        match Head::read(&self.lines) {
            Ok(head) => {
                self.stage = match head.length {
                    Length::Known(0) => Stage::Head { passed: false },
                    Length::Known(octets) => Stage::Body(octets),
                    Length::Chunked => Stage::Chunks(Chunks::new()),
                };
                Ok((taken, Some(Part::Head(head))))
            }
            Err(flaw) => Err(over(&mut self.stage, of_head(&self.lines, flaw))),
        }
    }

    /// Lets go of a head that was given away: the next one may be long in coming.
    pub fn forget(&mut self) {
        if std::mem::take(&mut self.given) {
            self.lines = Lines::new(HEAD);
        }
    }

    /// Octets that it holds of a head.
    #[cfg(test)]
    pub const fn held(&self) -> usize {
        self.lines.held()
    }

    /// A flaw of the head that is coming in, as it is to be answered.
    pub fn of_head(&self, flaw: Flaw) -> Flaw {
        of_head(&self.lines, flaw)
    }

    fn bad(&self, bad: Bad) -> Flaw {
        match bad {
            Bad::Octet(what) => Flaw::new(Code::BadRequest, format!("the head holds what no head may hold: {what}")),
            // All of it is one line: what is so long in it is the target.
            Bad::Long if !self.lines.has_one() => target::long(),
            Bad::Long => Flaw::new(Code::HeadersTooLarge, format!("the head is longer than {HEAD} octets")),
        }
    }

    /// Whether one request has ended and nothing of the next has come.
    pub fn is_between(&self) -> bool {
        matches!(self.stage, Stage::Head { .. }) && (self.given || self.lines.is_empty())
    }

    /// Whether what comes next belongs to a head.
    pub const fn is_in_head(&self) -> bool {
        matches!(self.stage, Stage::Head { .. })
    }
}

fn of_head(lines: &Lines, flaw: Flaw) -> Flaw {
    Flaw { bodiless: lines.begin_with(b"HEAD "), path: target::path(lines), ..flaw }
}

fn over(stage: &mut Stage, flaw: Flaw) -> Flaw {
    *stage = Stage::Over(flaw.clone());
    flaw
}
