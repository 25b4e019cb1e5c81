//! Lines of a head or of trailers as they come in: each ends with CR LF, and an empty one ends them all.

/// Why they can't be lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bad {
    /// An octet that stands in no line, by its name.
    Octet(&'static str),
    /// They are longer than they may be.
    Long,
}

/// What has come of them. Every octet is looked at once, so that what is wrong is known before the end.
#[derive(Debug)]
pub struct Lines {
    octets: Vec<u8>,
    most: usize,
}

impl Lines {
    /// Of so many octets at most, ends included.
    pub const fn new(most: usize) -> Self {
        Self { octets: Vec::new(), most }
    }

    /// Takes octets up to the end of the lines, if it is among them. Tells how many.
    pub fn take(&mut self, input: &[u8]) -> Result<usize, Bad> {
        for (taken, octet) in input.iter().enumerate() {
            if self.is_whole() {
                return Ok(taken);
            }
            self.push(*octet)?;
        }
        Ok(input.len())
    }

    fn push(&mut self, octet: u8) -> Result<(), Bad> {
        match (self.octets.last(), octet) {
            (Some(b'\r'), b'\n') => {}
            (Some(b'\r'), _) => return Err(Bad::Octet("carriage return without a line feed")),
            (_, b'\n') => return Err(Bad::Octet("line feed without a carriage return")),
            (_, b'\r' | b'\t') => {}
            (_, 0) => return Err(Bad::Octet("NUL")),
            (_, control) if control.is_ascii_control() => return Err(Bad::Octet("control character")),
            _ => {}
        }
        if self.octets.len() == self.most {
            return Err(Bad::Long);
        }
        self.octets.push(octet);
        Ok(())
    }

    /// The empty line is there.
    pub fn is_whole(&self) -> bool {
        self.octets.ends_with(b"\r\n\r\n") || self.is_blank()
    }

    /// The empty line is all there is.
    pub fn is_blank(&self) -> bool {
        self.octets == b"\r\n"
    }

    pub fn is_empty(&self) -> bool {
        self.octets.is_empty()
    }

    pub fn begin_with(&self, octets: &[u8]) -> bool {
        self.octets.starts_with(octets)
    }

    /// Octets that they hold in memory.
    #[cfg(test)]
    pub const fn held(&self) -> usize {
        self.octets.capacity()
    }

    /// Whether the first line has an end.
    pub fn has_one(&self) -> bool {
        self.octets.contains(&b'\n')
    }

    /// What has come of the first line, without its end.
    pub fn first(&self) -> &[u8] {
        let line = self.octets.split(|octet| *octet == b'\n').next().unwrap_or_default();
        line.strip_suffix(b"\r").unwrap_or(line)
    }

    /// All but the empty one, without their ends.
    pub fn each(&self) -> impl Iterator<Item = &[u8]> {
        self.octets
            .split(|octet| *octet == b'\n')
            .filter_map(|line| line.strip_suffix(b"\r"))
            .filter(|line| !line.is_empty())
    }
}
