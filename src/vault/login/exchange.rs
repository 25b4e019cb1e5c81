//! What is said in one login by SCRAM, and whether it proves a secret (RFC 5802 sections 5 and 6): without anything that waits.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use subtle::ConstantTimeEq;

use super::credentials::Offer;
use super::proof;
use super::reason::Reason;
use crate::ipc::session::Exported;
use crate::policy::mechanism::Mechanism;
use crate::sasl::gs2::Binding;
use crate::sasl::scram::{self, First};

/// The only kind of channel binding there is here (RFC 9266).
const TLS_EXPORTER: &str = "tls-exporter";
/// Random octets of our part of the nonce.
const NONCE: usize = 18;

/// What the client speaks over.
#[derive(Clone, Copy, Debug)]
pub struct Channel<'a> {
    /// By which it logs in.
    pub mechanism: Mechanism,
    /// What its TLS session is bound by; none where it has none that can be bound by.
    pub exported: Option<&'a Exported>,
    /// The listener offers binding where there is something to bind by.
    pub offers_binding: bool,
}

impl Channel<'_> {
    /// Whether the client says of binding what it should (RFC 5802 section 6).
    fn is_meant(&self, said: &Binding) -> bool {
        let was_offered = self.exported.is_some() && self.offers_binding;
        match (self.mechanism, said) {
            (Mechanism::ScramSha256Plus, Binding::Named(name)) => name == TLS_EXPORTER && self.exported.is_some(),
            (Mechanism::ScramSha256, Binding::None) => true,
            // It would have bound itself if it had seen the offer: somebody in between took that away.
            (Mechanism::ScramSha256, Binding::Missed) => !was_offered,
            _ => false,
        }
    }
}

/// Whether the first message is one that this login may begin with.
pub fn suits(first: &First<'_>, channel: &Channel<'_>, user: &str) -> Result<(), Reason> {
    if !channel.is_meant(&first.header.binding) {
        return Err(Reason::Binding);
    }
    // To act for another is not offered.
    let own = first.user == user.as_bytes() && (first.header.behalf.is_empty() || first.header.behalf == first.user);
    if own { Ok(()) } else { Err(Reason::Wrong) }
}

/// Our part of the nonce. None: the kernel gives no random octets.
pub fn nonce() -> Option<String> {
    let mut octets = [0; NONCE];
    getrandom::fill(&mut octets).ok()?;
    Some(STANDARD_NO_PAD.encode(octets))
}

/// A login that has begun.
pub struct Exchange {
    challenge: String,
    /// Both parts.
    nonce: String,
    /// All that the client must say again: its header, and what its channel is bound by.
    binding: Vec<u8>,
    bare: String,
    offer: Offer,
}

impl Exchange {
    /// With our part of the nonce, and what the proof is to be compared with.
    pub fn new(first: &First<'_>, channel: &Channel<'_>, ours: &str, offer: Offer) -> Self {
        let challenge = scram::challenge(first.nonce, ours, &offer.salt, offer.iterations);
        let mut binding = first.header_text.as_bytes().to_vec();
        if let (Mechanism::ScramSha256Plus, Some(exported)) = (channel.mechanism, channel.exported) {
            binding.extend_from_slice(exported);
        }
        let (nonce, bare) = (format!("{}{ours}", first.nonce), first.bare.to_owned());
        Self { challenge, nonce, binding, bare, offer }
    }

    /// What the client is asked.
    pub fn challenge(&self) -> &str {
        &self.challenge
    }

    /// There is something that a proof could fit.
    pub fn has_keys(&self) -> bool {
        self.offer.keys.iter().any(|(mark, _)| mark.is_some())
    }

    /// Which of the secrets the client's answer proves, and the verdict that proves us.
    ///
    /// Errors: it proves none, or is bound to another session.
    pub fn judge(&self, reply: &[u8]) -> Result<(u64, String), Reason> {
        let last = scram::last(reply).ok_or(Reason::Wrong)?;
        let words = format!("{},{},{}", self.bare, self.challenge, last.unproven);
        // All are computed, whichever it is.
        let mut found = None;
        for (mark, keys) in &self.offer.keys {
            let fits = proof::fits(keys, words.as_bytes(), &last.proof);
            let signature = proof::signature(keys, words.as_bytes());
            found = found.or(mark.filter(|_| fits).map(|mark| (mark, signature)));
        }
        if !bool::from(last.binding.ct_eq(&self.binding)) {
            return Err(Reason::Binding);
        }
        if last.nonce != self.nonce {
            return Err(Reason::Wrong);
        }
        let (mark, signature) = found.ok_or(Reason::Wrong)?;
        Ok((mark, scram::verdict(&signature)))
    }
}
