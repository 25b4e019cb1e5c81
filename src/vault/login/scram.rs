//! A login by SCRAM (RFC 5802, RFC 7677): from the client's first message to its word that it believes us. The edge relays
//! what is said, and sees neither the keys nor anything that they could be found by.
//!
//! It counts as failed from the proof on, before anything of it is looked at, or from where it is given up; until then it takes as
//! long as a client's key derivation and a round trip, so it is bounded by itself: where too many have begun the oldest ends, and
//! its client is told so when it speaks. Nothing tells a name that nobody has, or one
//! without keys, from a wrong secret: not what is asked, nor how long it takes.

use std::rc::Rc;

use tokio::sync::mpsc;

use super::credentials::{Credential, Known};
use super::exchange::{self, Channel, Exchange};
use super::reason::Reason;
use super::{Login, admit, fail, guard, succeed, tell_failure, unfit};
use crate::ipc::bytes::Octets;
use crate::ipc::session::{Denial, Exported};
use crate::policy::mechanism::Mechanism;
use crate::sasl::scram::{self, First};
use crate::secret::Secret;
use crate::vault::Vault;
use crate::vault::audit::ledger::now_us;

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
    let mut running = vault.logins.exchanges.begin(place, most);
    let heard = match (unfit(&login), scram::first(first.expose())) {
        (Some(reason), _) => Err(reason),
        (None, None) => Err(Reason::Wrong),
        (None, Some(first)) => tokio::select! {
            biased;
            heard = hear(vault, &login, &first, exported.as_ref(), &mut replies, &say) => heard,
            _ = &mut running.ended => Err(Reason::Exchanges),
        },
    };
    drop(running);
    let is_ended = matches!(heard, Err(Reason::Exchanges));
    // Now there is something to look at, or it has failed already. Nobody else comes in between.
    let attempt = match guard::begin(vault, &login, owner.as_deref()).await {
        Ok(attempt) => attempt,
        Err(denial) => {
            if is_ended {
                replies.recv().await?;
            }
            return (!matches!(heard, Err(Reason::Gone))).then_some(Err(denial));
        }
    };
    let proven = heard.and_then(|heard| judge(vault, &login, &heard));
    let Proven { owner, key, verdict } = match proven {
        Ok(proven) => proven,
        Err(reason) => {
            let denial = fail(vault, &login, &attempt, owner.as_deref(), reason).await;
            if is_ended {
                // It was asked for a proof, and hears of it instead of what that would have come to. Nobody looks at it.
                replies.recv().await?;
                return Some(Err(Denial::Busy));
            }
            return (reason != Reason::Gone).then_some(Err(denial));
        }
    };
    // What the client still has to say is no guess.
    guard::welcome(vault, &login, &attempt).await;
    say(Octets(verdict.into_bytes()));
    let accepted = match replies.recv().await {
        None => Err(Reason::Gone),
        Some(reply) if !reply.expose().is_empty() => Err(Reason::Wrong),
        // Much may have changed while the client thought about it.
        Some(_) => admit(vault, &login, &owner, key),
    };
    match accepted {
        Ok(credential) => {
            succeed(vault, &login, &credential, None).await;
            Some(Ok(Known::by(credential, Some(key))))
        }
        Err(reason) => {
            tell_failure(vault, &login, Some(&owner), reason).await;
            (reason != Reason::Gone).then_some(Err(Denial::Invalid))
        }
    }
}

/// What was said until the client's proof, and the proof.
struct Heard {
    exchange: Exchange,
    last: Secret<Vec<u8>>,
    owner: Option<Rc<Credential>>,
}

/// Whose proof it is, by which of its keys, and the verdict that proves us.
struct Proven {
    owner: Rc<Credential>,
    key: u64,
    verdict: String,
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
    let offers_binding = login.listener.mechanisms.contains(&Mechanism::ScramSha256Plus);
    let channel = Channel { mechanism: login.mechanism, exported, offers_binding };
    exchange::suits(first, &channel, &login.user)?;
    let (owner, offer) = {
        let credentials = &vault.authority.borrow().credentials;
        (credentials.get(&login.user).cloned(), credentials.offer(&login.user, &vault.tagger, now_us()))
    };
    let ours = exchange::nonce().ok_or(Reason::Busy)?;
    let exchange = Exchange::new(first, &channel, &ours, offer);
    say(Octets(exchange.challenge().as_bytes().to_vec()));
    let last = replies.recv().await.ok_or(Reason::Gone)?;
    Ok(Heard { exchange, last, owner })
}

/// Whether the proof is right, and whose it is may come in.
fn judge(vault: &Vault, login: &Login, heard: &Heard) -> Result<Proven, Reason> {
    let owner = heard.owner.as_ref();
    // Outside it is the same answer, after the same work.
    let (key, verdict) = heard.exchange.judge(heard.last.expose()).map_err(|reason| match reason {
        Reason::Wrong if owner.is_some() && !heard.exchange.has_keys() => Reason::NoKeys,
        other => other,
    })?;
    let owner = owner.ok_or(Reason::Wrong)?;
    admit(vault, login, owner, key)?;
    Ok(Proven { owner: Rc::clone(owner), key, verdict })
}
