//! A login by SCRAM (RFC 5802, RFC 7677): from the client's first message to its word that it believes us. The edge relays
//! what is said, and sees neither the keys nor anything that they could be found by.
//!
//! It counts as failed from the first message on, before anything is looked at. Nothing tells a name that nobody has, or one
//! without keys, from a wrong secret: not what is asked, nor how long it takes.

use std::rc::Rc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use subtle::ConstantTimeEq;
use tokio::sync::mpsc;

use super::credentials::{Credential, Known};
use super::reason::Reason;
use super::{Login, admit, fail, guard, proof, succeed, unfit};
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
    let attempt = match guard::begin(vault, &login, owner.as_deref()).await {
        Ok(attempt) => attempt,
        Err(denial) => return Some(Err(denial)),
    };
    let judged = match (unfit(&login), scram::first(first.expose())) {
        (Some(reason), _) => Err(reason),
        (None, None) => Err(Reason::Wrong),
        (None, Some(first)) => converse(vault, &login, &first, exported.as_ref(), &mut replies, say).await,
    };
    match judged {
        Ok(known) => {
            guard::welcome(vault, &login, &attempt).await;
            succeed(vault, &login, &known.credential, None).await;
            Some(Ok(known))
        }
        Err(reason) => {
            let denial = fail(vault, &login, &attempt, owner.as_deref(), reason).await;
            (reason != Reason::Gone).then_some(Err(denial))
        }
    }
}

async fn converse(
    vault: &Vault,
    login: &Login,
    first: &First<'_>,
    exported: Option<&Exported>,
    replies: &mut Replies,
    say: impl Fn(Octets),
) -> Result<Known, Reason> {
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
    let reply = replies.recv().await.ok_or(Reason::Gone)?;
    let last = scram::last(reply.expose()).ok_or(Reason::Wrong)?;
    let mut binding = first.header_text.as_bytes().to_vec();
    if let (Mechanism::ScramSha256Plus, Some(exported)) = (login.mechanism, exported) {
        binding.extend_from_slice(exported);
    }
    let words = format!("{},{challenge},{}", first.bare, last.unproven);
    // All are computed, whichever it is.
    let mut found = None;
    for (mark, keys) in &offer.keys {
        let fits = proof::fits(keys, words.as_bytes(), &last.proof);
        let signature = proof::signature(keys, words.as_bytes());
        found = found.or(mark.filter(|_| fits).map(|mark| (mark, signature)));
    }
    if !bool::from(last.binding.ct_eq(&binding)) {
        return Err(Reason::Binding);
    }
    if last.nonce != format!("{}{ours}", first.nonce) {
        return Err(Reason::Wrong);
    }
    let (Some((key, signature)), Some(owner)) = (found, owner) else { return Err(Reason::Wrong) };
    admit(vault, login, &owner, key)?;
    say(Octets(scram::verdict(&signature).into_bytes()));
    let reply = replies.recv().await.ok_or(Reason::Gone)?;
    if !reply.expose().is_empty() {
        return Err(Reason::Wrong);
    }
    // Much may have changed while the client thought about it.
    let credential: Rc<Credential> = admit(vault, login, &owner, key)?;
    Ok(Known { credential, key: Some(key) })
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
