//! Signed heads of a log wherever somebody kept them: a note in a file, mails in an mbox, the lines of a system log.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::anchor;
use super::gap::Gap;
use super::note::{Checkpoint, NoteError, SIGNATURE, Verifier};

/// A line of this length is base64 of a mail's body at least: 72 or 76 is what mailers write.
const BASE64_LINE: usize = 60;

/// What was found of one log.
#[derive(Debug, Default)]
pub struct Heads {
    /// Signed by one of the keys, each once, the smallest first.
    pub signed: Vec<(Checkpoint, Option<Gap>)>,
    /// Those that claim to be of this log, and why they aren't believed.
    pub wrong: Vec<NoteError>,
    /// Lines that hold a part of a head.
    pub cut: usize,
}

impl Heads {
    /// Looks through a text for heads of the logs that the keys are of.
    pub fn find(text: &str, keys: &[&Verifier]) -> Self {
        let mut heads = Self::default();
        let text = text.replace("\r\n", "\n");
        // As it stands, and what mailers make of it.
        heads.look(&text, keys);
        if text.contains("=E2=80=94") {
            heads.look(&quoted_printable(&text), keys);
        }
        for part in base64_parts(&text) {
            heads.look(&part, keys);
        }
        heads.signed.sort_by_key(|(head, _)| (head.size, head.root));
        heads.signed.dedup();
        heads
    }

    fn look(&mut self, text: &str, keys: &[&Verifier]) {
        let mut origins: Vec<&str> = keys.iter().map(|key| key.name.as_str()).collect();
        origins.sort_unstable();
        origins.dedup();
        let lines: Vec<&str> = text.split('\n').collect();
        for (at, line) in lines.iter().enumerate() {
            for origin in &origins {
                match anchor::find(line, origin) {
                    Some(anchor::Found::Note(note)) => self.take(&note, keys),
                    Some(anchor::Found::Cut) => self.cut += 1,
                    None if line == origin => {
                        if let Some(note) = note(lines.get(at..).unwrap_or_default()) {
                            self.take(&note, keys);
                        }
                    }
                    None => {}
                }
            }
        }
    }

    fn take(&mut self, note: &str, keys: &[&Verifier]) {
        let mut why = NoteError::Unsigned;
        for key in keys {
            match key.checkpoint(note) {
                Ok(head) => {
                    let gap = key.text(note).ok().and_then(Gap::of);
                    return self.signed.push((head, gap));
                }
                Err(NoteError::Forged) => why = NoteError::Forged,
                Err(_) => {}
            }
        }
        self.wrong.push(why);
    }
}

/// The note that begins with these lines, without what follows it. None when it is no head.
fn note(lines: &[&str]) -> Option<String> {
    let border = lines.iter().position(|line| line.is_empty())?;
    let text = lines.get(..border)?;
    let signatures: Vec<&str> =
        lines.get(border + 1..)?.iter().take_while(|line| line.starts_with(SIGNATURE)).copied().collect();
    let note = format!("{}\n\n{}\n", text.join("\n"), signatures.join("\n"));
    (!signatures.is_empty() && Checkpoint::of(&note).is_some()).then_some(note)
}

/// RFC 2045 section 6.7, as far as a note needs it.
fn quoted_printable(text: &str) -> String {
    let text = text.replace("=\n", "");
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let escaped = after.first_chunk::<2>().filter(|_| *first == b'=').and_then(|digits| {
            let digits = std::str::from_utf8(digits).ok()?;
            u8::from_str_radix(digits, 16).ok()
        });
        match escaped {
            Some(octet) => {
                octets.push(octet);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                octets.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&octets).into_owned()
}

/// What the longer runs of base64 in a mail say.
fn base64_parts(text: &str) -> Vec<String> {
    let is_base64 = |line: &str| line.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'='));
    let (mut parts, mut run) = (Vec::new(), String::new());
    for line in text.split('\n').chain([""]) {
        if !line.is_empty() && is_base64(line) && (!run.is_empty() || line.len() >= BASE64_LINE) {
            run.push_str(line);
            continue;
        }
        let decoded = STANDARD.decode(std::mem::take(&mut run)).ok();
        parts.extend(decoded.and_then(|octets| String::from_utf8(octets).ok()).map(|part| part.replace("\r\n", "\n")));
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "example.com/behind-the-sofa";

    /// Two heads of one log, signed here.
    fn notes() -> (Verifier, [String; 2]) {
        use ring::signature::{Ed25519KeyPair, KeyPair};
        let pair = Ed25519KeyPair::from_seed_unchecked(&[5; 32]).unwrap();
        let key = Verifier::new(KEY, pair.public_key().as_ref().try_into().unwrap());
        let gap = Gap { kept: 4, old_size: 9, old_root: [1; 32], resumed: 7 };
        let sign = |size, extension: &str| {
            let text = Checkpoint { origin: KEY.into(), size, root: [2; 32] }.text() + extension;
            key.signed(&text, pair.sign(text.as_bytes()).as_ref())
        };
        let notes = [sign(5, ""), sign(7, &gap.line())];
        (key, notes)
    }

    fn sizes(text: &str) -> Vec<u64> {
        let (key, _) = notes();
        let heads = Heads::find(text, &[&key]);
        assert!(heads.wrong.is_empty(), "{:?}", heads.wrong);
        heads.signed.iter().map(|(head, gap)| head.size + if gap.is_some() { 100 } else { 0 }).collect()
    }

    #[test]
    fn heads_are_found_in_notes_mails_and_logs() {
        let (_, [first, second]) = notes();
        assert_eq!(sizes(&first), [5]);
        assert_eq!(
            sizes(&format!("From gate\nSubject: head\n\nToday:\n\n{first}\n\n-- \nfoot\n\nFrom gate\n\n{second}")),
            [5, 107]
        );
        assert_eq!(sizes(&format!("{first}{second}{first}").replace('\n', "\r\n")), [5, 107]);
        let line = |note: &str| format!("Nov 25 gate gatepost[1]: INFO {}\n", anchor::line(note).unwrap());
        assert_eq!(sizes(&[line(&second), line(&first), "another line\n".into()].concat()), [5, 107]);
        let quoted = format!(
            "Content-Transfer-Encoding: quoted-printable\n\n{}",
            second.replace('=', "=3D").replace('\u{2014}', "=E2=80=94").replace("GpQ", "GpQ=\n")
        );
        assert_eq!(sizes(&quoted), [107]);
        let encoded: Vec<char> = STANDARD.encode(&first).chars().collect();
        let encoded: Vec<String> = encoded.chunks(76).map(|line| line.iter().collect()).collect();
        assert_eq!(sizes(&format!("Content-Transfer-Encoding: base64\n\n{}\n\n--x--\n", encoded.join("\n"))), [5]);
        assert_eq!(sizes("nothing"), [0; 0]);
    }

    #[test]
    fn heads_of_others_are_theirs_and_those_that_claim_to_be_ours_are_told() {
        let (key, [first, _]) = notes();
        let other = first.replace(KEY, "example.com/another");
        assert!(Heads::find(&other, &[&key]).wrong.is_empty());
        let forged = Heads::find(&first.replacen("\n5\n", "\n6\n", 1), &[&key]);
        assert_eq!((forged.signed.len(), forged.wrong), (0, vec![NoteError::Forged]));
        let stranger = Verifier::new(KEY, [7; 32]);
        assert_eq!(Heads::find(&first, &[&stranger]).wrong, [NoteError::Unsigned]);
        assert_eq!(Heads::find(&first, &[&stranger, &key]).signed.len(), 1);
        let line = anchor::line(&first).unwrap();
        assert_eq!(Heads::find(&line[..line.len() - 5], &[&key]).cut, 1);
    }
}
