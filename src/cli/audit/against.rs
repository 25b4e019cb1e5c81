//! What others keep of the log: signed heads in files of any kind, and what the service said it had accepted.

use std::fs;
use std::path::Path;

use crate::mail::id::MessageId;
use crate::merkle::heads::Heads;
use crate::merkle::note::{NoteError, Verifier};
use crate::vault::audit::archive::{unreadable, usage};
use crate::vault::audit::verify::{Fault, KnownHead, Verdict, acks};

/// The heads of the log in a note, an mbox or a system's log: each must be extended by the log.
///
/// Errors: there is none, or one that claims to be of this log and isn't. `strict`: also when others are there that are. Into a
/// system's log or a mailbox anybody can put a line with this log's name, which must not be an alarm beside the true ones.
pub fn heads(path: &Path, keys: &[&Verifier], strict: bool) -> Result<Vec<KnownHead>, Fault> {
    let name = path.display();
    let Heads { signed, wrong, cut } = Heads::find(&read(path)?, keys);
    if let Some(error) = wrong.first().filter(|_| strict || signed.is_empty()) {
        let verdict = match error {
            // Somebody changed what was kept.
            NoteError::Forged => Verdict::Signature,
            // The log was signed with another key: that is another history.
            _ => Verdict::Fork,
        };
        return Err(Fault { verdict, what: format!("a signed head in {name}: {error}") });
    }
    if !wrong.is_empty() {
        eprintln!(
            "gatepost: {name}: {} heads that claim to be of this log are not signed with its key and were left out: whoever \
             can write there can add such a line",
            wrong.len()
        );
    }
    if cut > 0 {
        eprintln!("gatepost: {name}: {cut} lines hold a part of a signed head only and were left out");
    }
    if signed.is_empty() {
        return Err(usage(format!("{name}: there is no signed head of this log in it")));
    }
    let known = |(head, gap): (crate::merkle::note::Checkpoint, _)| KnownHead {
        what: format!("a signed head in {name}"),
        size: head.size,
        root: head.root,
        verdict: Verdict::Fork,
        gap,
    };
    Ok(signed.into_iter().map(known).collect())
}

/// The messages of which a log of the service says that they were accepted.
///
/// Errors: it says so of none.
pub fn acceptances(path: &Path) -> Result<Vec<MessageId>, Fault> {
    let messages = acks::acceptances(&read(path)?);
    if messages.is_empty() {
        return Err(usage(format!("{}: it says of no message that it was accepted", path.display())));
    }
    Ok(messages)
}

/// Mails and logs may hold anything.
fn read(path: &Path) -> Result<String, Fault> {
    let octets = fs::read(path).map_err(|error| unreadable(format!("reading {}: {error}", path.display())))?;
    Ok(String::from_utf8_lossy(&octets).into_owned())
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    use super::super::key;
    use super::*;
    use crate::merkle::anchor;
    use crate::sealer::key::LogKey;
    use crate::secret::Secret;
    use crate::vault::audit::archive::Archive;
    use crate::vault::audit::second_opinion::second_opinion;
    use crate::vault::audit::specimen::{ORIGIN, Specimen};

    /// How many heads are found, or the verdict; which the second opinion shares.
    fn found(log: &Specimen, text: &str, strict: bool) -> Result<usize, Verdict> {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        let found = heads(file.path(), &[log.key()], strict).map(|heads| heads.len()).map_err(|fault| fault.verdict);
        let words = [if strict { "--head" } else { "--against" }, file.path().to_str().unwrap()];
        let code = found.map_or_else(Verdict::code, |_| 0);
        assert_eq!(second_opinion(&log.audit(), log.key(), &words), code, "{strict} {text}");
        found
    }

    #[test]
    fn lines_that_anybody_can_add_are_no_verdict_beside_good_heads_and_one_where_nothing_else_is() {
        let log = Specimen::grown(&[5]);
        let good = Archive::open(&log.audit()).unwrap().newest().unwrap().unwrap().note;
        let other = LogKey::new(ORIGIN, &Secret::new([2; 32])).unwrap().sign(5, [3; 32]);
        let forged = anchor::line(&good).unwrap().replacen(" 5 ", " 6 ", 1);
        let other = anchor::line(&other).unwrap();
        for strict in [false, true] {
            assert_eq!(found(&log, &good, strict), Ok(1));
            assert_eq!(found(&log, &forged, strict), Err(Verdict::Signature));
            assert_eq!(found(&log, &other, strict), Err(Verdict::Fork));
            assert_eq!(found(&log, "noise\n", strict), Err(Verdict::Usage));
            assert_eq!(found(&log, &forged[..forged.len() - 5], strict), Err(Verdict::Usage));
        }
        for (line, verdict) in [(&forged, Verdict::Signature), (&other, Verdict::Fork)] {
            let both = format!("{line}\n{good}");
            assert_eq!(found(&log, &both, false), Ok(1));
            assert_eq!(found(&log, &both, true), Err(verdict));
        }
    }

    #[test]
    fn the_second_opinion_finds_heads_wherever_they_stand() {
        let log = Specimen::grown(&[3, 2]);
        let archive = Archive::open(&log.audit()).unwrap();
        let [first, second] = [3, 5].map(|size| archive.head_of(size).unwrap().unwrap().note);
        let line = |note: &str| format!("Nov 25 gate gatepost[1]: INFO {} #011\n", anchor::line(note).unwrap());
        let encoded: Vec<char> = STANDARD.encode(&first).chars().collect();
        let encoded: Vec<String> = encoded.chunks(76).map(|line| line.iter().collect()).collect();
        let quoted =
            second.replace('=', "=3D").replace('\u{2014}', "=E2=80=94").replace(ORIGIN, "gate.exa=\nmple.net/audit");
        for (text, count) in [
            (format!("From gate\nSubject: head\n\nToday:\n\n{first}\n\n-- \nfoot\n\nFrom gate\n\n{second}"), 2),
            (format!("{first}{second}{first}").replace('\n', "\r\n"), 2),
            ([line(&second), line(&first), "another line\n".into()].concat(), 2),
            (format!("Content-Transfer-Encoding: quoted-printable\n\n{quoted}"), 1),
            (format!("Content-Transfer-Encoding: base64\n\n{}\n\n--x--\n", encoded.join("\r\n")), 1),
        ] {
            assert_eq!(found(&log, &text, true), Ok(count), "{text}");
            // The same, and none of a history that was.
            let file = tempfile::NamedTempFile::new().unwrap();
            fs::write(file.path(), &text).unwrap();
            let another = Specimen::grown(&[3, 2]);
            let words = ["--against", file.path().to_str().unwrap()];
            assert_eq!(second_opinion(&another.audit(), log.key(), &words), Verdict::Fork.code(), "{text}");
        }
        assert_eq!(second_opinion(&log.audit(), log.key(), &["--nonsense"]), Verdict::Unreadable.code(), "as clap's");
    }

    #[test]
    fn what_can_not_be_read_is_no_wrong_question() {
        let (log, nowhere) = (Specimen::grown(&[1]), Path::new("/nowhere"));
        let verdicts = [
            heads(nowhere, &[log.key()], true).unwrap_err().verdict,
            acceptances(nowhere).unwrap_err().verdict,
            key::read("/nowhere").unwrap_err().verdict,
            key::read_own(nowhere).unwrap_err().verdict,
        ];
        assert_eq!(verdicts, [Verdict::Unreadable; 4]);
        for option in ["--against", "--head", "--acks", "--key"] {
            let code = second_opinion(&log.audit(), log.key(), &[option, "/nowhere"]);
            assert_eq!(code, Verdict::Unreadable.code(), "{option}");
        }
        assert_eq!(key::read("name+00000000+AAAA").unwrap_err().verdict, Verdict::Usage);
    }
}
