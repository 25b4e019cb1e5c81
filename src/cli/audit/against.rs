//! What others keep of the log: signed heads in files of any kind, and what the service said it had accepted.

use std::fs;
use std::path::Path;

use crate::mail::id::MessageId;
use crate::merkle::heads::Heads;
use crate::merkle::note::{NoteError, Verifier};
use crate::vault::audit::archive::usage;
use crate::vault::audit::verify::{Fault, KnownHead, Verdict, acks};

/// The heads of the log in a note, an mbox or a system's log: each must be extended by the log.
///
/// Errors: there is none, or one that claims to be of this log and isn't.
pub fn heads(path: &Path, keys: &[&Verifier]) -> Result<Vec<KnownHead>, Fault> {
    let name = path.display();
    let Heads { signed, wrong, cut } = Heads::find(&read(path)?, keys);
    match wrong.first() {
        // Somebody changed what was kept.
        Some(error @ NoteError::Forged) => {
            return Err(Fault { verdict: Verdict::Signature, what: format!("a signed head in {name}: {error}") });
        }
        // The log was signed with another key: that is another history.
        Some(error) => return Err(Fault { verdict: Verdict::Fork, what: format!("a signed head in {name}: {error}") }),
        None => {}
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
    let octets = fs::read(path).map_err(|error| usage(format!("reading {}: {error}", path.display())))?;
    Ok(String::from_utf8_lossy(&octets).into_owned())
}
