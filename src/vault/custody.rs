//! A message is kept, or nothing is left of it.

use std::rc::Rc;

use super::Vault;
use super::acceptance;
use super::live::charge;
use super::sender::Sender;
use super::transaction::Transaction;
use crate::mail::address::Address;
use crate::policy::refusal::Refusal;

/// Keeps a message that was decided on. Where it can't be, its place in the limits and its segment are given back: but it is
/// counted when an upstream was asked for somebody (`asked`). Gives the numbers of recipients to whom nothing is sent, as
/// `transaction::keep` does.
pub async fn take(
    vault: &Rc<Vault>,
    sender: &Sender,
    transaction: Transaction,
    asked: &[Address],
) -> Result<Vec<u32>, Refusal> {
    let (message, bytes) = (transaction.message, transaction.size());
    let (reservation, segment) = (transaction.reservation.clone(), transaction.segment_name());
    let kept = acceptance::keep(vault, sender, transaction).await;
    match &kept {
        Ok(_) => tracing::info!(%message, session = %sender.session, bytes, "a message was accepted"),
        Err(refusal) => {
            if refusal.is_temporary() {
                tracing::error!(%message, reason = refusal.word(), "a message could not be kept");
            }
            charge(vault, sender, reservation, asked);
            if let Some(segment) = segment {
                vault.segments.remove(segment).await;
            }
        }
    }
    kept
}
