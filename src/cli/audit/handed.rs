//! A signed head before it is handed out: what a file of the auditors' says may have been written by anybody.

use super::key;
use super::place::Place;
use crate::mail::unseen::is_unseen;
use crate::merkle::note::{NoteError, Verifier, is_note};
use crate::vault::audit::archive::Head;
use crate::vault::audit::verify::{Fault, Verdict};

/// Gives the head back when it is a note that steers no terminal; and, where the log's key is at hand, signed with it. `newest`:
/// it must be; an older one may be by a key of before.
///
/// Errors: it is neither.
pub fn handed(head: Head, place: &Place, newest: bool) -> Result<Head, Fault> {
    let key = match &place.directory {
        // The key of another log, for all we know.
        Some(_) => None,
        // Who may not read it takes the head as a copy would have it.
        None => {
            place.places().ok().and_then(|places| key::read_own(&places.state_directory.join("seal/log.vkey")).ok())
        }
    };
    check(&head, key.as_ref(), newest)?;
    Ok(head)
}

fn check(head: &Head, key: Option<&Verifier>, newest: bool) -> Result<(), Fault> {
    let fault = |why: &str| {
        let what = format!("the head of {} events: {why}: run `gatepost audit verify`", head.size);
        Err(Fault { verdict: Verdict::Signature, what })
    };
    if !is_note(&head.note) || head.note.chars().any(|c| c != '\n' && is_unseen(c)) {
        return fault("not a signed note as the sealer writes it");
    }
    match key.map(|key| key.checkpoint(&head.note)) {
        Some(Err(NoteError::Unsigned)) if !newest => {
            eprintln!("gatepost: the head of {} events is not signed with the log's present key", head.size);
            Ok(())
        }
        Some(Err(error)) => fault(&error.to_string()),
        Some(Ok(signed)) if (signed.size, signed.root) != (head.size, head.root) => {
            fault("it stands beside another one's note")
        }
        Some(Ok(_)) | None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sealer::key::LogKey;
    use crate::secret::Secret;

    #[test]
    fn a_head_is_shown_when_it_is_a_note_that_steers_nothing_and_the_key_at_hand_signed_it() {
        let key = |seed| LogKey::new("gate.example.net/audit", &Secret::new([seed; 32])).unwrap();
        let head = |note: String| Head { size: 5, time_us: 1, root: [2; 32], note };
        let good = key(1).sign(5, [2; 32]);
        let own = key(1);
        let own = Some(own.verifier());
        assert_eq!(check(&head(good.clone()), own, true), Ok(()));
        assert_eq!(check(&head(good.clone()), None, true), Ok(()));
        for name in ["\u{202e}evil", "evil\u{1b}[31m", "evil\u{9b}31m", "evil\u{7f}"] {
            let note = format!("{good}\u{2014} {name} AAAAAAAAAA==\n");
            assert!(check(&head(note), None, true).is_err(), "{name:?}");
        }
        assert!(check(&head(good.trim_end().to_owned()), None, true).is_err());
        assert!(check(&head("\u{1b}]0;x\u{7}".into()), None, true).is_err());
        // By another key, changed, or another head's.
        assert!(check(&head(key(2).sign(5, [2; 32])), own, true).is_err());
        assert_eq!(check(&head(key(2).sign(5, [2; 32])), own, false), Ok(()));
        assert!(check(&head(good.replacen("\n5\n", "\n6\n", 1)), own, false).is_err());
        assert!(check(&head(key(1).sign(4, [2; 32])), own, false).is_err());
    }
}
