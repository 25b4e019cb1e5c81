//! MAIL: whether a sender may begin a message. At the dot the same is asked again, with authority (`transaction.rs`).

use super::Vault;
use super::audit::ledger::now_us;
use super::authority::Authority;
use super::delivery::congestion;
use super::limits::Reservation;
use super::limits::ahead::Ahead;
use super::limits::denial::Denied;
use super::limits::incoming;
use super::load;
use super::login::credentials::Way;
use super::sender::Sender;
use super::transaction::microseconds;
use crate::config::slice::{Counter, Protocol};
use crate::ipc::inquiry::Batch;
use crate::mail::address::{Address, ReversePath};
use crate::mail::envelope::{Manner, Utf8};
use crate::policy::Delivery;
use crate::policy::refusal::Refusal;

/// MAIL, with authority: whether this sender may send one more message now. Takes a place for it.
pub fn admit(
    vault: &Vault,
    from: &Sender,
    way: Way,
    sender: &ReversePath,
    manner: &Manner,
    is_protected: bool,
    size: Option<u64>,
) -> Result<Reservation, Denied> {
    may_begin(vault, from, way, sender, manner, is_protected, size)?;
    place(vault, from)
}

/// The same of a whole batch, as far as that is no matter of each message: keeps room for all of it.
pub fn admit_all(vault: &Vault, from: &Sender, batch: &Batch) -> Result<Ahead, Denied> {
    is_open(vault)?;
    room(vault, &from.credential.id)?;
    let mut authority = vault.authority.borrow_mut();
    let Authority { limits, slice, clock, .. } = &mut *authority;
    let origin = Authority::origin(slice, &from.credential, &from.listener, from.address);
    limits.reserve_all(&origin, batch, clock.now())
}

/// The last of it: the limits.
pub fn place(vault: &Vault, from: &Sender) -> Result<Reservation, Denied> {
    let mut authority = vault.authority.borrow_mut();
    let Authority { limits, slice, clock, .. } = &mut *authority;
    limits.reserve(&Authority::origin(slice, &from.credential, &from.listener, from.address), clock.now())
}

/// All of it but the limits.
pub fn may_begin(
    vault: &Vault,
    from: &Sender,
    way: Way,
    sender: &ReversePath,
    manner: &Manner,
    is_protected: bool,
    size: Option<u64>,
) -> Result<(), Denied> {
    if let Some(unfit) = unfit(from, sender, manner, is_protected) {
        return Err(unfit.into());
    }
    is_open(vault)?;
    let authority = vault.authority.borrow();
    let policy = &from.credential.policy;
    if way.scopes.is_some_and(|scopes| !policy.scopes.has_one_of(scopes)) {
        return Err(Refusal::Scope.into());
    }
    if way.address.is_some_and(|address| !policy.is_reachable_from(address)) {
        return Err(Refusal::Revoked.into());
    }
    authority.grant(&from.credential).sender(sender)?;
    if size.is_some_and(|size| size > authority.max_size(policy)) {
        return Err(Refusal::TooBig.into());
    }
    let most = incoming::most(policy.limits.bytes_per_day, authority.max_size(policy));
    if size.is_some_and(|size| !vault.incoming.admits(&from.credential.id, size, most)) {
        return Err(incoming::beyond(&from.credential.id));
    }
    drop(authority);
    // What is no matter of time was told before: nobody is to come again for that.
    room(vault, &from.credential.id)?;
    congestion::copies(vault, &from.credential, sender)
}

/// Whether anything is taken now.
fn is_open(vault: &Vault) -> Result<(), Refusal> {
    if vault.authority.borrow().draining {
        return Err(Refusal::StoreUnavailable);
    }
    // The audit log is as large as it may be, and mail is what yields.
    if vault.retention.is_full() {
        return Err(Refusal::StoreFull);
    }
    Ok(())
}

/// Whether one more message of a credential can be carried. It is asked at MAIL, so that nobody sends what will be refused, and at
/// the dot.
///
/// Errors: there is no room: it would take that which the outcomes of what was accepted need; or too much load.
pub fn room(vault: &Vault, who: &str) -> Result<(), Refusal> {
    if vault.writer.is_short() {
        return Err(Refusal::StoreFull);
    }
    if vault.writer.load().sheds(who) {
        return Err(Refusal::Overloaded(load::AGAIN));
    }
    Ok(())
}

/// Until when a listener holds a message that comes now; 0 where it holds none.
pub fn latest_release(listener: &Counter) -> u64 {
    listener.future_release.map_or(0, |longest| now_us().saturating_add(microseconds(longest)))
}

/// What an edge must not have taken: nobody could keep to it. The edge's clock is ours, a moment earlier.
fn unfit(from: &Sender, sender: &ReversePath, manner: &Manner, is_protected: bool) -> Option<Refusal> {
    let is_direct = from.delivery(manner) == Delivery::Direct;
    let latest = latest_release(&from.listener);
    match () {
        () if manner.utf8 == Utf8::None && sender.as_ref().is_some_and(Address::is_international) => {
            Some(Refusal::Utf8)
        }
        () if manner.require_tls && !is_protected => Some(Refusal::RequireTls),
        () if manner.release_us.is_some_and(|release| release > latest) => Some(Refusal::HeldTooLong),
        () if is_direct && from.listener.protocol != Protocol::Smtp => Some(Refusal::OnlySmtp),
        // What is to be held is kept, and is no affair of whoever waits.
        () if manner.release_us.is_some() && is_direct => Some(Refusal::HeldTooLong),
        () => None,
    }
}
