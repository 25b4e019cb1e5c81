//! What a message is taken in spite of, and what may yet not be what was meant.

use std::collections::HashSet;

use super::letter::{Letter, Mailbox};
use super::parcel::Kept;
use super::reply::{Issue, MAX_ISSUES};
use super::submit::SUPPRESSED;
use crate::mail::address::Address;

/// What shows in the letter itself.
pub fn of(letter: &Letter) -> Vec<Issue> {
    let mut warnings = Vec::new();
    if letter.subject.is_none() {
        let message = "is missing: the message goes out without a subject".to_owned();
        warnings.push(Issue { code: "no_subject", pointer: "/subject".to_owned(), message });
    }
    let mut known = HashSet::new();
    for mailbox in letter.recipients() {
        if !known.insert(mailbox.address.to_string()) {
            let message = "stands twice: it gets one copy".to_owned();
            warnings.push(Issue { code: "duplicate_recipient", pointer: mailbox.pointer.clone(), message });
        }
    }
    warnings.truncate(MAX_ISSUES);
    warnings
}

/// The recipients of a message that is kept to whom nothing is sent, where they stand first among those that were named. All of them
/// are told: whoever reads none of them takes it for sent.
pub fn suppressed(kept: &Kept, named: &[Mailbox]) -> Vec<Issue> {
    let warning = |address: &Address| {
        let mailbox = named.iter().find(|mailbox| mailbox.address == *address)?;
        let message = "is on the list of suppressed addresses: nothing is sent to it".to_owned();
        Some(Issue { code: SUPPRESSED, pointer: mailbox.pointer.clone(), message })
    };
    kept.suppressed.iter().filter_map(warning).collect()
}
