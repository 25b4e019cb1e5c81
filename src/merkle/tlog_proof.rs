//! A leaf's place in the tree as one text file, checkable anywhere: C2SP tlog-proof.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::note::{Checkpoint, NoteError, Verifier};
use super::{Hash, proof};

const FIRST_LINE: &str = "c2sp.org/tlog-proof@v1";
/// The longest path in a tree whose size is 64 bits.
const MAX_PATH: usize = 64;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlogProof {
    /// Which leaf, counted from 0.
    pub index: u64,
    /// From the leaf's sibling up to the root's child.
    pub path: Vec<Hash>,
    /// The signed note, as the log made it.
    pub note: String,
}

/// Why a proof proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProofError {
    /// The head isn't one of the log's.
    Note(NoteError),
    /// The leaf isn't where the proof says.
    NotIncluded,
}

impl fmt::Display for ProofError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Note(error) => write!(f, "the signed head in the proof: {error}"),
            Self::NotIncluded => f.write_str("the leaf is not in the tree that was signed, or not at that place"),
        }
    }
}

impl TlogProof {
    /// The signed head that has the leaf in it, when key and path say so.
    pub fn check(&self, leaf: &Hash, key: &Verifier) -> Result<Checkpoint, ProofError> {
        let head = key.checkpoint(&self.note).map_err(ProofError::Note)?;
        if proof::is_included(self.index, leaf, head.size, &head.root, &self.path) {
            Ok(head)
        } else {
            Err(ProofError::NotIncluded)
        }
    }
}

impl fmt::Display for TlogProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{FIRST_LINE}\nindex {}", self.index)?;
        for hash in &self.path {
            writeln!(f, "{}", STANDARD.encode(hash))?;
        }
        write!(f, "\n{}", self.note)
    }
}

impl FromStr for TlogProof {
    type Err = String;

    /// The opaque `extra` line is stepped over: nothing authenticates it.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |what: &str| Err(format!("it is no C2SP tlog-proof: {what}"));
        let Some((head, note)) = text.split_once("\n\n") else { return wrong("it has no signed head") };
        let mut lines = head.lines().peekable();
        if lines.next() != Some(FIRST_LINE) {
            return wrong("its first line is another one");
        }
        let _ = lines.next_if(|line| line.starts_with("extra "));
        let Some(index) = lines.next().and_then(|line| line.strip_prefix("index ")).and_then(decimal) else {
            return wrong("the line with the index is missing or not a number");
        };
        let hash = |line: &str| STANDARD.decode(line).ok().and_then(|octets| Hash::try_from(octets).ok());
        let Some(path) = lines.map(hash).collect::<Option<Vec<Hash>>>() else {
            return wrong("a line of the path is not a hash");
        };
        if path.len() > MAX_PATH {
            return wrong("the path is longer than any tree is high");
        }
        Ok(Self { index, path, note: note.to_owned() })
    }
}

/// A number in its one spelling.
fn decimal(text: &str) -> Option<u64> {
    let canonical = text == "0" || !text.starts_with('0');
    let digits = canonical && text.bytes().all(|octet| octet.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification, as far as it is whole: its signatures are shortened there.
    const EXAMPLE: &str = "c2sp.org/tlog-proof@v1\n\
        extra YWdlLXYxLjIuMS1kYXJ3aW4tYXJtNjQudGFyLmd6kYXJ3aW4tYXJ\n\
        index 73894\n\
        gSKyXoYZUgZ6jduWYrkDOARinOMGJveXjgMkBTcdPlQ=\n\
        B95lDa8R83lS8n0eG+o0buTxRKQTYFi//1U8anccXmA=\n\
        EKNzoDWG8LGC0Yp9o+sv3qllpMP9uHQ9B20KNL+Q1zs=\n\
        RoopEkOdqkYqMB4MJXrbt/hMjOxsVn0IrWjpz1ZMMes=\n\
        AHCioX9nLjsrse6YhjRRmk1WUEirVOLLRoOQ6vfO5vk=\n\
        \n\
        example.com/fancylog\n109482\nsFodV/vSp5O8n9a8QpW6PRY97tfOSW5bsc2Xl/EQi08=\n\n\
        \u{2014} example.com/fancylog hI2DJw==\n";

    #[test]
    fn the_example_of_the_specification_is_read_and_written_again() {
        let proof: TlogProof = EXAMPLE.parse().unwrap();
        assert_eq!((proof.index, proof.path.len()), (73_894, 5));
        assert!(proof.note.starts_with("example.com/fancylog\n109482\n"));
        let head = Checkpoint::of(&proof.note).unwrap();
        assert_eq!((head.origin.as_str(), head.size), ("example.com/fancylog", 109_482));
        let (before, rest) = EXAMPLE.split_once("extra ").unwrap();
        assert_eq!(proof.to_string(), [before, rest.split_once('\n').unwrap().1].concat());
    }

    #[test]
    fn a_leaf_alone_has_an_empty_path() {
        let proof = TlogProof { index: 0, path: Vec::new(), note: "x\n1\ny\n\nz\n".into() };
        assert_eq!(proof.to_string(), "c2sp.org/tlog-proof@v1\nindex 0\n\nx\n1\ny\n\nz\n");
        assert_eq!(proof.to_string().parse(), Ok(proof));
    }

    #[test]
    fn what_is_no_proof_is_refused() {
        let hash = "gSKyXoYZUgZ6jduWYrkDOARinOMGJveXjgMkBTcdPlQ=\n";
        let long = format!("index 0\n{}", hash.repeat(MAX_PATH + 1));
        for body in ["", "index\n", "index 01\n", "index +1\n", "index -5\n", "index x\n", "index 0\n!!\n", &long] {
            assert!(format!("{FIRST_LINE}\n{body}\nnote\n").parse::<TlogProof>().is_err(), "{body:?}");
        }
        assert!(format!("{FIRST_LINE}\nindex 18446744073709551616\n\nnote\n").parse::<TlogProof>().is_err());
        assert!(format!("{FIRST_LINE}\nindex 0\nAAAA\n\nnote\n").parse::<TlogProof>().is_err());
        assert!(format!("{FIRST_LINE}\nindex 0\n").parse::<TlogProof>().is_err(), "no signed head");
        assert!(EXAMPLE.replace("@v1", "@v2").parse::<TlogProof>().is_err());
    }
}
