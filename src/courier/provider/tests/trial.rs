//! What a message becomes by the API that takes fields, for fuzzing: without a route, a token that means something, or a network.

use super::bytesend::Bytesend;
use super::{Letter, is_same};
use crate::config::slice::OnUnsupported;
use crate::mail::address::Address;
use crate::mail::id::MessageId;
use crate::secret::Secret;

/// A request that would be made: for whom, and what is in it.
#[derive(Debug)]
pub struct Trial {
    pub recipients: Vec<Address>,
    pub body: Result<Vec<u8>, String>,
}

/// The requests that a message to these recipients is made into, in order.
pub fn of(content: &[u8], recipients: &[Address], on_unsupported: OnUnsupported) -> Vec<Trial> {
    let bytesend = Bytesend::new(&Secret::new("bs_sesame".into()), on_unsupported, u64::MAX).expect("a token");
    let numbered: Vec<(u32, Address)> = (1..).zip(recipients.iter().cloned()).collect();
    let (mut rest, mut trials) = (&numbered[..], Vec::new());
    let id: MessageId = "01890000-0000-7000-8000-000000000000".parse().expect("an id");
    while !rest.is_empty() {
        let (part, others) = rest.split_at(Bytesend::part(rest, content));
        assert!(!part.is_empty(), "a request for nobody: it would never end");
        let letter = Letter { message: id, sender: &None, recipients: part, content };
        let body = bytesend.request(&letter).map(|request| request.body.expose().clone()).map_err(|said| said.text);
        trials.push(Trial { recipients: part.iter().map(|(_, address)| address.clone()).collect(), body });
        rest = others;
    }
    trials
}

/// Whether both are one mailbox for the gate.
pub fn are_one(one: &Address, other: &Address) -> bool {
    is_same(one, other)
}
