//! What a message becomes by the APIs that take fields, for fuzzing: without a route, a token that means something, or a network.

use super::bytesend::Bytesend;
use super::cloudflare::Cloudflare;
use super::{Api, Letter, is_same};
use crate::config::slice::{Endpoint, OnUnsupported};
use crate::mail::address::Address;
use crate::mail::id::MessageId;
use crate::secret::Secret;

/// A request that would be made: for whom, and what is in it.
#[derive(Debug)]
pub struct Trial {
    pub recipients: Vec<Address>,
    pub body: Result<Vec<u8>, String>,
}

/// The requests that a message to these recipients is made into by each API, in order.
pub fn of(content: &[u8], recipients: &[Address], on_unsupported: OnUnsupported) -> [Vec<Trial>; 2] {
    let token = Secret::new("bs_sesame".into());
    let bytesend = Bytesend::new(&token, on_unsupported, u64::MAX).expect("a token");
    let cloudflare = Cloudflare::new(&token, Vec::new(), Endpoint::Send(on_unsupported)).expect("a token");
    [Api::Bytesend(bytesend), Api::Cloudflare(cloudflare)].map(|api| by(&api, content, recipients))
}

fn by(api: &Api, content: &[u8], recipients: &[Address]) -> Vec<Trial> {
    let numbered: Vec<(u32, Address)> = (1..).zip(recipients.iter().cloned()).collect();
    let (mut rest, mut trials) = (&numbered[..], Vec::new());
    let id: MessageId = "01890000-0000-7000-8000-000000000000".parse().expect("an id");
    while !rest.is_empty() {
        let (part, others) = rest.split_at(api.part(rest, content));
        assert!(!part.is_empty(), "a request for nobody: it would never end");
        let letter = Letter { message: id, sender: &None, recipients: part, content };
        let body = api.request(&letter).map(|request| request.body.expose().clone()).map_err(|said| said.text);
        trials.push(Trial { recipients: part.iter().map(|(_, address)| address.clone()).collect(), body });
        rest = others;
    }
    trials
}

/// Whether both are one mailbox for the gate.
pub fn are_one(one: &Address, other: &Address) -> bool {
    is_same(one, other)
}
