//! A login by SCRAM (RFC 5802, RFC 7677): from the client's first message to its word that it believes us. The edge relays
//! what is said, and sees neither the keys nor anything that they could be found by.
//!
//! It counts as failed from the proof on, before anything of it is looked at, or from where it is given up; until then it takes as
//! long as a client's key derivation and a round trip, so it is bounded by itself. Nothing tells a name that nobody has, or one
//! without keys, from a wrong secret: not what is asked, nor how long it takes.

use std::rc::Rc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use subtle::ConstantTimeEq;
use tokio::sync::mpsc;

use super::credentials::{Credential, Known, Offer};
use super::reason::Reason;
use super::{Login, admit, fail, guard, proof, succeed, tell_failure, unfit};
use crate::ipc::bytes::Octets;
use crate::ipc::session::{Denial, Exported};
use crate::policy::mechanism::Mechanism;
use crate::sasl::gs2::Binding;
use crate::sasl::scram::{self, First};
use crate::secret::Secret;
use crate::vault::Vault;
use crate::vault::audit::ledger::now_us;

/// The only kind of channel binding there is here (RFC 9266).
const TLS_EXPORTER: &str = "tls-exporter";
/// Random octets of our part of the nonce.
const NONCE: usize = 18;

/// What the client says after its first message, one at a time. It ends when nobody is there any more.
pub type Replies = mpsc::Receiver<Secret<Vec<u8>>>;

/// How a login by SCRAM begins.
pub struct Opening {
    /// Without a password.
    pub login: Login,
    pub first: Secret<Vec<u8>>,
    /// What the edge says that its TLS session is bound by; none where it has none that can be bound by.
    pub exported: Option<Exported>,
}

/// Decides it; `say` gives the client a challenge, which it answers. None: it was given up, and nobody waits for an answer.
pub async fn decide(
    vault: &Vault,
    opening: Opening,
    mut replies: Replies,
    say: impl Fn(Octets),
) -> Option<Result<Known, Denial>> {
    let Opening { login, first, exported } = opening;
    let owner = vault.authority.borrow().credentials.get(&login.user).cloned();
    if let Err(denial) = guard::look(vault, &login, owner.as_deref()).await {
        return Some(Err(denial));
    }
    let (place, most) = guard::exchanges(vault, &login);
    let mut exchange = vault.logins.share(&format!("scram {place}"));
    if exchange.grow(1, most).is_err() {
        tell_failure(vault, &login, owner.as_deref(), Reason::Exchanges).await;
        return Some(Err(Denial::Busy));
    }
    let heard = match (unfit(&login), scram::first(first.expose())) {
        (Some(reason), _) => Err(reason),
        (None, None) => Err(Reason::Wrong),
        (None, Some(first)) => hear(vault, &login, &first, exported.as_ref(), &mut replies, &say).await,
    };
    // Now there is something to look at, or it has failed already. Nobody else comes in between.
    let attempt = match guard::begin(vault, &login, owner.as_deref()).await {
        Ok(attempt) => attempt,
        Err(denial) => return (!matches!(heard, Err(Reason::Gone))).then_some(Err(denial)),
    };
    let proven = heard.and_then(|heard| judge(vault, &login, &heard));
    let Proven { owner, key, signature } = match proven {
        Ok(proven) => proven,
        Err(reason) => {
            let denial = fail(vault, &login, &attempt, owner.as_deref(), reason).await;
            return (reason != Reason::Gone).then_some(Err(denial));
        }
    };
    // What the client still has to say is no guess.
    guard::welcome(vault, &login, &attempt).await;
    say(Octets(scram::verdict(&signature).into_bytes()));
    let accepted = match replies.recv().await {
        None => Err(Reason::Gone),
        Some(reply) if !reply.expose().is_empty() => Err(Reason::Wrong),
        // Much may have changed while the client thought about it.
        Some(_) => admit(vault, &login, &owner, key),
    };
    match accepted {
        Ok(credential) => {
            succeed(vault, &login, &credential, None).await;
            Some(Ok(Known { credential, key: Some(key) }))
        }
        Err(reason) => {
            tell_failure(vault, &login, Some(&owner), reason).await;
            (reason != Reason::Gone).then_some(Err(Denial::Invalid))
        }
    }
}

/// What was said until the client's proof, and what it is judged by.
struct Heard {
    /// What the client must have been bound by.
    binding: Vec<u8>,
    nonce: String,
    /// All that was said, except the proof.
    words: String,
    last: Secret<Vec<u8>>,
    offer: Offer,
    owner: Option<Rc<Credential>>,
}

/// Whose proof it is, by which of its keys, and ours.
struct Proven {
    owner: Rc<Credential>,
    key: u64,
    signature: [u8; 32],
}

/// Asks for the proof.
async fn hear(
    vault: &Vault,
    login: &Login,
    first: &First<'_>,
    exported: Option<&Exported>,
    replies: &mut Replies,
    say: &impl Fn(Octets),
) -> Result<Heard, Reason> {
    bound(login, &first.header.binding, exported)?;
    // To act for another is not offered.
    if first.user != login.user.as_bytes() || !first.header.behalf.is_empty() && first.header.behalf != first.user {
        return Err(Reason::Wrong);
    }
    let (owner, offer) = {
        let credentials = &vault.authority.borrow().credentials;
        (credentials.get(&login.user).cloned(), credentials.offer(&login.user, &vault.tagger, now_us()))
    };
    let ours = nonce().ok_or(Reason::Busy)?;
    let challenge = scram::challenge(first.nonce, &ours, &offer.salt, offer.iterations);
    say(Octets(challenge.clone().into_bytes()));
    let last = replies.recv().await.ok_or(Reason::Gone)?;
    let mut binding = first.header_text.as_bytes().to_vec();
    if let (Mechanism::ScramSha256Plus, Some(exported)) = (login.mechanism, exported) {
        binding.extend_from_slice(exported);
    }
    let words = format!("{},{challenge}", first.bare);
    Ok(Heard { binding, nonce: format!("{}{ours}", first.nonce), words, last, offer, owner })
}

/// Whether the proof is right, and whose it is may come in.
fn judge(vault: &Vault, login: &Login, heard: &Heard) -> Result<Proven, Reason> {
    let last = scram::last(heard.last.expose()).ok_or(Reason::Wrong)?;
    let words = format!("{},{}", heard.words, last.unproven);
    // All are computed, whichever it is.
    let mut found = None;
    for (mark, keys) in &heard.offer.keys {
        let fits = proof::fits(keys, words.as_bytes(), &last.proof);
        let signature = proof::signature(keys, words.as_bytes());
        found = found.or(mark.filter(|_| fits).map(|mark| (mark, signature)));
    }
    if !bool::from(last.binding.ct_eq(&heard.binding)) {
        return Err(Reason::Binding);
    }
    if last.nonce != heard.nonce {
        return Err(Reason::Wrong);
    }
    let (Some((key, signature)), Some(owner)) = (found, &heard.owner) else { return Err(Reason::Wrong) };
    admit(vault, login, owner, key)?;
    Ok(Proven { owner: Rc::clone(owner), key, signature })
}

/// Whether the client says of channel binding what it should (RFC 5802 section 6).
fn bound(login: &Login, said: &Binding, exported: Option<&Exported>) -> Result<(), Reason> {
    let was_offered = exported.is_some() && login.listener.mechanisms.contains(&Mechanism::ScramSha256Plus);
    match (login.mechanism, said) {
        (Mechanism::ScramSha256Plus, Binding::Named(name)) if name == TLS_EXPORTER && exported.is_some() => Ok(()),
        (Mechanism::ScramSha256, Binding::None) => Ok(()),
        // It would have bound itself if it had seen the offer: somebody in between took that away.
        (Mechanism::ScramSha256, Binding::Missed) if !was_offered => Ok(()),
        _ => Err(Reason::Binding),
    }
}

/// Our part of the nonce. None: the kernel gives no random octets.
fn nonce() -> Option<String> {
    let mut octets = [0; NONCE];
    getrandom::fill(&mut octets).ok()?;
    Some(STANDARD_NO_PAD.encode(octets))
}
