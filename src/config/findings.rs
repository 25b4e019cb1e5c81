//! What is wrong with a configuration file, and what is only odd: all of it, in the order of the file.

use std::fmt;
use std::ops::Range;
use std::path::Path;

pub use crate::policy::spelling::suggestion;

/// Why a configuration is refused: one line each, `FILE:LINE:COLUMN: what is wrong and what to do`.
#[derive(Debug, PartialEq, Eq)]
pub struct Errors(pub Vec<String>);

impl fmt::Display for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl std::error::Error for Errors {}

/// Collects findings while a file is read.
pub struct Findings<'a> {
    file: &'a Path,
    text: &'a str,
    errors: Vec<Finding>,
    warnings: Vec<Finding>,
}

struct Finding {
    /// Offset in the file; none for what is said of the file as a whole.
    at: Option<usize>,
    text: String,
}

impl<'a> Findings<'a> {
    pub fn new(file: &'a Path, text: &'a str) -> Self {
        Self { file, text, errors: Vec::new(), warnings: Vec::new() }
    }

    /// Something is wrong at this place: the file will not be used.
    pub fn refuse(&mut self, at: Range<usize>, text: impl Into<String>) {
        self.errors.push(Finding { at: Some(at.start), text: text.into() });
    }

    /// Something is wrong with the file as a whole.
    pub fn refuse_whole(&mut self, text: impl Into<String>) {
        self.errors.push(Finding { at: None, text: text.into() });
    }

    /// Something is odd at this place, or, without a place, about the file.
    pub fn warn(&mut self, at: Option<Range<usize>>, text: impl Into<String>) {
        self.warnings.push(Finding { at: at.map(|at| at.start), text: format!("warning: {}", text.into()) });
    }

    /// The line of that place, for what is said of another.
    pub fn line(&self, at: &Range<usize>) -> usize {
        self.place(at.start).0
    }

    pub fn is_refused(&self) -> bool {
        !self.errors.is_empty()
    }

    /// The warnings, if nothing was refused.
    pub fn finish(mut self) -> Result<Vec<String>, Errors> {
        let (errors, warnings) = (std::mem::take(&mut self.errors), std::mem::take(&mut self.warnings));
        if errors.is_empty() { Ok(self.lines(warnings)) } else { Err(Errors(self.lines(errors))) }
    }

    fn lines(&self, mut findings: Vec<Finding>) -> Vec<String> {
        findings.sort_by_key(|finding| finding.at);
        let file = self.file.display();
        let line = |Finding { at, text }: Finding| match at.map(|at| self.place(at)) {
            Some((line, column)) => format!("{file}:{line}:{column}: {text}"),
            None => format!("{file}: {text}"),
        };
        findings.into_iter().map(line).collect()
    }

    /// Line and column of an offset, both from 1; a column is a character.
    fn place(&self, at: usize) -> (usize, usize) {
        let before = self.text.get(..at).unwrap_or(self.text);
        let line = before.rsplit('\n').next().unwrap_or_default();
        (before.matches('\n').count() + 1, line.chars().count() + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_come_in_the_order_of_the_file_with_line_and_column() {
        let mut findings = Findings::new(Path::new("f"), "één = 1\ntwo = 2\n");
        findings.refuse(10..13, "second");
        findings.refuse(8..9, "first");
        findings.refuse_whole("whole");
        assert_eq!(findings.finish().unwrap_err().0, ["f: whole", "f:1:7: first", "f:2:1: second"]);
    }
}
