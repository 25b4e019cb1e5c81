//! A signed head on one line: what the sealer writes into the service's log, and what is read back out of any log it came
//! into. All of it is ASCII, so that no syslog changes it on the way.
//!
//! `audit-anchor/1 ORIGIN SIZE ROOT SIGNATURE`, the last two as they stand in the signed note (C2SP tlog-checkpoint). A log
//! puts what it likes before it, and after a blank behind it. A head with extension lines, which declares a gap, has them
//! behind its root: a comma, then all of them in base64.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::note::{Checkpoint, SIGNATURE};

/// How the line is known, with the version of its form.
pub const MARK: &str = "audit-anchor/1 ";
/// Octets of a signature in a note: the key's id, then Ed25519's.
const SIGNED: usize = 4 + 64;

/// The line of a note: its head and the signature of the log's own key. None when there is no such signature in it.
pub fn line(note: &str) -> Option<String> {
    let (text, signatures) = note.split_once("\n\n")?;
    let checkpoint = Checkpoint::parse(text)?;
    let extensions: String = text.lines().skip(3).flat_map(|line| [line, "\n"]).collect();
    let Checkpoint { origin, size, root } = &checkpoint;
    let own = format!("{SIGNATURE}{origin} ");
    let signature = signatures.lines().find_map(|line| line.strip_prefix(&own))?;
    let mut root = STANDARD.encode(root);
    if !extensions.is_empty() {
        root = format!("{root},{}", STANDARD.encode(extensions));
    }
    Some(format!("{MARK}{origin} {size} {root} {signature}"))
}

/// What a line of some log holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// The note that the line was made from, to be verified.
    Note(String),
    /// The beginning of such a line, and not all of it: it was cut on its way.
    Cut,
}

/// Looks for a head of the log with that origin. None when there is none; those of other logs are theirs.
pub fn find(line: &str, origin: &str) -> Option<Found> {
    let (_, rest) = line.split_once(MARK)?;
    let mut words = rest.split_ascii_whitespace();
    if words.next()? != origin {
        return None;
    }
    let (Some(size), Some(root), Some(signature)) = (words.next(), words.next(), words.next()) else {
        return Some(Found::Cut);
    };
    let whole = |text: &str, octets: usize| STANDARD.decode(text).is_ok_and(|decoded| decoded.len() == octets);
    let (root, extensions) = root.split_once(',').unwrap_or((root, ""));
    let extensions = STANDARD.decode(extensions).ok().and_then(|octets| String::from_utf8(octets).ok());
    let Some(extensions) = extensions else { return Some(Found::Cut) };
    if !whole(root, 32) || !whole(signature, SIGNED) || !size.bytes().all(|octet| octet.is_ascii_digit()) {
        return Some(Found::Cut);
    }
    Some(Found::Note(format!("{origin}\n{size}\n{root}\n{extensions}\n{SIGNATURE}{origin} {signature}\n")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTE: &str = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n\
        \u{2014} witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n\
        \u{2014} example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n";
    const ORIGIN: &str = "example.com/behind-the-sofa";

    #[test]
    fn a_head_comes_back_out_of_a_log_line_with_its_own_signature_alone() {
        let line = line(NOTE).unwrap();
        assert!(line.is_ascii() && line.len() < 256, "{line}");
        let logged = format!("Nov 20 22:00:00 gate gatepost[9]: 2026-11-20T22:00:00Z sealer 12: INFO {line} #011");
        let Some(Found::Note(note)) = find(&logged, ORIGIN) else { panic!("{logged}") };
        let (text, signature) = NOTE.split_once("\n\n").unwrap();
        assert_eq!(note, format!("{text}\n\n{}\n", signature.lines().nth(1).unwrap()));
        assert_eq!(find(&logged, "example.com/another"), None);
        assert_eq!(find("nothing of the kind", ORIGIN), None);
    }

    #[test]
    fn extension_lines_come_back_as_they_were() {
        let extended = NOTE.replacen("\n\n", "\naudit-resume/1 1 2 3 4\nand more\n\n", 1);
        let line = line(&extended).unwrap();
        let Some(Found::Note(note)) = find(&format!("{line} #011"), ORIGIN) else { panic!("{line}") };
        assert_eq!(note.split_once("\n\n").unwrap().0, extended.split_once("\n\n").unwrap().0);
        let root = line.split(' ').nth(3).unwrap();
        assert_eq!(find(&line.replace(root, &root[..root.len() - 3]), ORIGIN), Some(Found::Cut));
    }

    #[test]
    fn a_line_that_was_cut_is_told_from_one_that_is_whole() {
        let line = line(NOTE).unwrap();
        for end in MARK.len() + ORIGIN.len()..line.len() {
            assert_eq!(find(&line[..end], ORIGIN), Some(Found::Cut), "{end}");
        }
        assert_eq!(find(&line[..MARK.len() + 3], ORIGIN), None);
    }

    #[test]
    fn a_note_without_the_logs_own_signature_has_no_line() {
        let (text, signatures) = NOTE.split_once("\n\n").unwrap();
        assert_eq!(line(&format!("{text}\n\n{}\n", signatures.lines().next().unwrap())), None);
        assert_eq!(line("no note"), None);
    }
}
