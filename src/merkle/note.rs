//! Tree heads as text: C2SP tlog-checkpoint, signed as C2SP signed-note. Go's `sumdb/note` and any witness read them.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{ED25519, UnparsedPublicKey};
use sha2::{Digest, Sha256};

use super::Hash;

/// Signature type of a plain Ed25519 key (C2SP signed-note, "Signature types").
const ED25519_TYPE: u8 = 1;
/// The longest note that is read: far above any with cosignatures.
const MAX_NOTE: usize = 64 * 1024;
/// How a signature line begins: an em dash and a space.
pub const SIGNATURE: &str = "\u{2014} ";

/// What a checkpoint says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    pub origin: String,
    pub size: u64,
    pub root: Hash,
}

impl Checkpoint {
    /// The text that is signed.
    pub fn text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, STANDARD.encode(self.root))
    }

    /// What a note says, unproven: for those who go on to check it, or have nothing to check it with.
    pub fn of(note: &str) -> Option<Self> {
        Self::parse(note.get(..=note.rfind("\n\n")?)?)
    }

    /// Lines behind the third are extensions and ignored, as C2SP tlog-checkpoint demands.
    pub fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let (origin, digits, root) = (lines.next()?, lines.next()?, lines.next()?);
        let canonical = digits == "0" || !digits.starts_with('0');
        if origin.is_empty() || !canonical || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let root = STANDARD.decode(root).ok()?.try_into().ok()?;
        Some(Self { origin: origin.to_owned(), size: digits.parse().ok()?, root })
    }
}

/// The public half of a log key, and the name it signs under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verifier {
    pub name: String,
    key: [u8; 32],
}

/// Why a note isn't believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoteError {
    Malformed,
    /// No signature of this key: a missing signature is a failure, never "nothing to check".
    Unsigned,
    /// A signature that claims to be this key's and isn't.
    Forged,
    /// Signed, but another log's.
    Origin,
}

impl fmt::Display for NoteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "not a signed note",
            Self::Unsigned => "no signature of the log's key",
            Self::Forged => "the signature is not the log key's",
            Self::Origin => "it is another log's",
        })
    }
}

impl Verifier {
    pub fn new(name: &str, key: [u8; 32]) -> Self {
        Self { name: name.to_owned(), key }
    }

    fn id(&self) -> [u8; 4] {
        key_id(&self.name, ED25519_TYPE, &self.key)
    }

    /// The whole note: text, blank line, signature line.
    pub fn signed(&self, text: &str, signature: &[u8]) -> String {
        let line = STANDARD.encode([self.id().as_slice(), signature].concat());
        format!("{text}\n{SIGNATURE}{} {line}\n", self.name)
    }

    /// The text of a note that this key signed.
    pub fn text<'a>(&self, note: &'a str) -> Result<&'a str, NoteError> {
        let border = note.rfind("\n\n").ok_or(NoteError::Malformed)?;
        let (text, signatures) = (note.get(..=border), note.get(border + 2..));
        let (Some(text), Some(signatures)) = (text, signatures) else { return Err(NoteError::Malformed) };
        if note.len() > MAX_NOTE || !note.ends_with('\n') || note.bytes().any(|b| b < 0x20 && b != b'\n') {
            return Err(NoteError::Malformed);
        }
        let mut verdict = Err(NoteError::Unsigned);
        for line in signatures.lines() {
            let (name, encoded) =
                line.strip_prefix(SIGNATURE).and_then(|rest| rest.split_once(' ')).ok_or(NoteError::Malformed)?;
            let bytes = STANDARD.decode(encoded).map_err(|_| NoteError::Malformed)?;
            let (id, signature) = bytes.split_first_chunk::<4>().ok_or(NoteError::Malformed)?;
            if name == self.name && *id == self.id() && verdict.is_err() {
                let key = UnparsedPublicKey::new(&ED25519, self.key);
                key.verify(text.as_bytes(), signature).map_err(|_| NoteError::Forged)?;
                verdict = Ok(text);
            }
        }
        verdict
    }

    /// The checkpoint in a note that this key signed under its own name as origin.
    pub fn checkpoint(&self, note: &str) -> Result<Checkpoint, NoteError> {
        let checkpoint = Checkpoint::parse(self.text(note)?).ok_or(NoteError::Malformed)?;
        if checkpoint.origin == self.name { Ok(checkpoint) } else { Err(NoteError::Origin) }
    }
}

/// The verifier key as text: `name+id+key`.
impl fmt::Display for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&write_vkey(&self.name, ED25519_TYPE, &self.key))
    }
}

impl FromStr for Verifier {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match read_vkey(text) {
            Some((name, ED25519_TYPE, key)) => Ok(Self { name, key }),
            _ => Err(format!(
                "{text:?} is not a verifier key: it looks like name+0123abcd+AbC... and stands in log.vkey"
            )),
        }
    }
}

/// Whether a note has the form of one, whoever signed it.
pub fn is_note(note: &str) -> bool {
    Verifier::new("", [0; 32]).text(note) != Err(NoteError::Malformed) && Checkpoint::of(note).is_some()
}

/// A note with that signature line: behind the others, and in place of any by the same key.
pub fn with_line(note: &str, line: &str) -> String {
    let Some((text, lines)) = note.rfind("\n\n").and_then(|at| note.split_at_checked(at + 2)) else {
        return note.to_owned();
    };
    let signer = signer(line);
    let others = lines.lines().filter(|other| *other != line && (signer.is_none() || self::signer(other) != signer));
    let lines: String = others.chain([line]).flat_map(|line| [line, "\n"]).collect();
    text.to_owned() + &lines
}

/// Name and id of the key of a signature line.
fn signer(line: &str) -> Option<(&str, [u8; 4])> {
    let (name, encoded) = line.strip_prefix(SIGNATURE)?.split_once(' ')?;
    let octets = STANDARD.decode(encoded).ok()?;
    Some((name, *octets.first_chunk::<4>()?))
}

/// The first four octets of SHA-256 over name, newline, type and key (C2SP signed-note, "Signatures").
pub fn key_id(name: &str, kind: u8, key: &[u8; 32]) -> [u8; 4] {
    let digest = Sha256::new().chain_update(name).chain_update([b'\n', kind]).chain_update(key);
    let [a, b, c, d, ..]: [u8; 32] = digest.finalize().into();
    [a, b, c, d]
}

pub fn write_vkey(name: &str, kind: u8, key: &[u8; 32]) -> String {
    let id = u32::from_be_bytes(key_id(name, kind, key));
    format!("{name}+{id:08x}+{}", STANDARD.encode([&[kind], key.as_slice()].concat()))
}

/// Name, type and key of a verifier key of 32 octets whose id is its own.
pub fn read_vkey(text: &str) -> Option<(String, u8, [u8; 32])> {
    let mut parts = text.trim().splitn(3, '+');
    let (name, id, key) = (parts.next()?, parts.next()?, parts.next()?);
    let octets = STANDARD.decode(key).ok()?;
    let (kind, key) = octets.split_first()?;
    let key: [u8; 32] = key.try_into().ok()?;
    let same = u32::from_str_radix(id, 16).ok() == Some(u32::from_be_bytes(key_id(name, *kind, &key)));
    (same && !name.is_empty() && !name.contains(char::is_whitespace)).then(|| (name.to_owned(), *kind, key))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of Go's golang.org/x/mod/sumdb/note.
    const GO_KEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    const GO_NOTE: &str = "If you think cryptography is the answer to your problem,\n\
        then you don't know what your problem is.\n\n\
        \u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

    #[test]
    fn the_example_of_go_verifies() {
        let verifier: Verifier = GO_KEY.parse().unwrap();
        assert_eq!(verifier.to_string(), GO_KEY);
        assert!(verifier.text(GO_NOTE).unwrap().ends_with("problem is.\n"));
    }

    /// A log of Sigsum, from the tests of the witness `litewitness`: its key, two heads, and that one extends the other.
    const LOG: &str = "sigsum.org/v1/tree/4d6d8825a6bb689d459628312889dfbb0bcd41b5211d9e1ce768b0ff0309e562";
    const LOG_KEY: [u8; 32] = [
        0xff, 0xdc, 0x2d, 0x4d, 0x98, 0xe4, 0x12, 0x4d, 0x3f, 0xea, 0xf7, 0x88, 0xc0, 0xc2, 0xf9, 0xab, 0xfd, 0x79,
        0x60, 0x83, 0xd1, 0xf0, 0x49, 0x54, 0x37, 0xf3, 0x02, 0xec, 0x79, 0xcf, 0x10, 0x0f,
    ];
    const HEADS: [(&str, &str); 2] = [
        (
            "1\nKgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
            "UgIom7fPZTqpxWWhyjWduBvTvGVqsokMbqTArsQilegKoFBJQjUFAmQ0+YeSPM3wfUQMFSzVnnNuWRTYrajXpNUbIQY=",
        ),
        (
            "3\nRcCI1Nk56ZcSmIEfIn0SleqtV7uvrlXNccFx595Iwl0=",
            "UgIom2VbtIcdFbwFAy1n7s6IkAxIY6J/GQOTuZF2ORV39d75cbAj2aQYwyJre36kezNobZs4SUUdrcawfAB8WVrx6go=",
        ),
    ];

    #[test]
    fn the_heads_of_a_log_of_others_verify_and_extend_each_other() {
        let key = Verifier::new(LOG, LOG_KEY);
        let note = |(head, signature): (&str, &str)| format!("{LOG}\n{head}\n\n\u{2014} {LOG} {signature}\n");
        let [first, second] = HEADS.map(|head| key.checkpoint(&note(head)).unwrap());
        assert_eq!((first.size, second.size), (1, 3));
        let step = |octet: u8| std::array::from_fn(|at| if at < 2 { [0x2a, octet][at] } else { 0 });
        let proof = [step(1), step(2)];
        assert!(super::super::proof::is_consistent(1, &first.root, 3, &second.root, &proof));
        assert_eq!(key.checkpoint(&note((HEADS[0].0, HEADS[1].1))), Err(NoteError::Forged));
        assert_eq!(Checkpoint::of(&note(HEADS[1])), Some(second));
    }

    #[test]
    fn the_checksum_database_of_go_verifies_as_a_note_and_is_another_logs_head() {
        let key: Verifier = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8".parse().unwrap();
        let note = "go.sum database tree\n35225469\nvt5T6GaLCXvyHFl9VUvvItR43XZxfLgftEcTyO3eJCQ=\n\n\u{2014} sum.golang.org \
            Az3grpukl5AXaVfYkLiDGORx/DN2nlcS5kZHR5uYOBV2KA2HgXpD+gu9HHONebHLAyaKbbTM75QTtPydhKCExixSfwQ=\n";
        assert!(key.text(note).is_ok());
        assert_eq!(key.checkpoint(note), Err(NoteError::Origin));
    }

    #[test]
    fn a_changed_text_a_stripped_signature_and_another_key_are_told_apart() {
        let verifier: Verifier = GO_KEY.parse().unwrap();
        assert_eq!(verifier.text(&GO_NOTE.replace("answer", "solution")), Err(NoteError::Forged));
        let (text, _) = GO_NOTE.rsplit_once("\n\n").unwrap();
        assert_eq!(verifier.text(&format!("{text}\n\n")), Err(NoteError::Unsigned));
        assert_eq!(Verifier::new("PeterNeumann", [7; 32]).text(GO_NOTE), Err(NoteError::Unsigned));
        assert_eq!(verifier.text("nothing"), Err(NoteError::Malformed));
    }

    #[test]
    fn signatures_of_others_on_a_note_change_nothing() {
        let verifier: Verifier = GO_KEY.parse().unwrap();
        let (_, signature) = GO_NOTE.rsplit_once("\n\n").unwrap();
        let witness = "\u{2014} witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n";
        for order in [[signature, witness], [witness, signature]] {
            let note = GO_NOTE.replace(signature, &order.concat());
            assert!(verifier.text(&note).is_ok(), "{note}");
        }
        assert_eq!(verifier.text(&GO_NOTE.replace(signature, witness)), Err(NoteError::Unsigned));
    }

    #[test]
    fn a_checkpoint_has_one_spelling() {
        let checkpoint = Checkpoint { origin: "gate.example.net/audit".into(), size: 120, root: [7; 32] };
        assert_eq!(Checkpoint::parse(&checkpoint.text()), Some(checkpoint.clone()));
        assert_eq!(Checkpoint::parse(&checkpoint.text().replace("120", "0120")), None);
        assert_eq!(Checkpoint::parse(&checkpoint.text().replace("120", "+120")), None);
    }

    #[test]
    fn a_verifier_key_whose_id_does_not_fit_is_refused() {
        assert!(GO_KEY.replace("c74f", "c74e").parse::<Verifier>().is_err());
        assert!("nonsense".parse::<Verifier>().is_err());
    }
}
