//! A declared gap: the line in a signed head with which a log says that it goes on from another place than it had come to.
//!
//! `audit-resume/1 KEPT OLD_SIZE OLD_ROOT RESUMED`, an extension line of the checkpoint (C2SP tlog-checkpoint): the log had
//! `OLD_SIZE` events under `OLD_ROOT` (base64); of them it kept the first `KEPT` for certain; and the head of the first
//! `RESUMED` events of the new history is the first to say so. Heads go on to say it until they are past the old one, so
//! that no two of one size can be mistaken for each other.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::Hash;

const MARK: &str = "audit-resume/1 ";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    pub kept: u64,
    pub old_size: u64,
    pub old_root: Hash,
    pub resumed: u64,
}

impl Gap {
    /// The extension line, with its end.
    pub fn line(&self) -> String {
        let Self { kept, old_size, old_root, resumed } = self;
        format!("{MARK}{kept} {old_size} {} {resumed}\n", STANDARD.encode(old_root))
    }

    /// The gap that the text of a checkpoint declares.
    pub fn of(text: &str) -> Option<Self> {
        text.lines().skip(3).find_map(Self::parse)
    }

    fn parse(line: &str) -> Option<Self> {
        let mut words = line.strip_prefix(MARK)?.split(' ');
        let number = |word: &str| {
            let canonical = word == "0" || !word.starts_with('0');
            word.parse::<u64>().ok().filter(|_| canonical && word.bytes().all(|octet| octet.is_ascii_digit()))
        };
        let (kept, old_size) = (number(words.next()?)?, number(words.next()?)?);
        let old_root = STANDARD.decode(words.next()?).ok()?.try_into().ok()?;
        let resumed = number(words.next()?)?;
        let gap = Self { kept, old_size, old_root, resumed };
        (words.next().is_none() && gap.is_possible()).then_some(gap)
    }

    /// What was kept is a part of both histories.
    pub fn is_possible(&self) -> bool {
        self.kept <= self.old_size && self.kept < self.resumed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_has_one_spelling_and_stands_behind_the_three_lines_of_a_checkpoint() {
        let gap = Gap { kept: 18, old_size: 40, old_root: [7; 32], resumed: 19 };
        let head = "gate.example.net/audit\n19\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";
        assert_eq!(Gap::of(&format!("{head}{}", gap.line())), Some(gap));
        assert_eq!(Gap::of(&format!("{head}something else\n{}", gap.line())), Some(gap));
        assert_eq!(Gap::of(&gap.line()), None);
        for (from, to) in
            [("18", "018"), ("18", "+18"), ("18", "41"), (" 19", " 18"), ("BwcH", "BwcHBwcH"), (" 19", " 19 1")]
        {
            let wrong = gap.line().replacen(from, to, 1);
            assert_ne!(wrong, gap.line());
            assert_eq!(Gap::of(&format!("{head}{wrong}")), None, "{wrong}");
        }
    }
}
