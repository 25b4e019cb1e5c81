//! Inquiries under way: looked up in the database, so many at a time and so often, and of one credential so few that the others
//! get theirs.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

use super::Vault;
use super::audit::ledger::now_us;
use super::audit::row::is_damage;
use super::shares::Shares;
use super::store::submissions::Owner;
use crate::ipc::inquiry::{Finding, Inquiry};
use crate::policy::refusal::Refusal;

/// In all, and of one credential. Each is a look by an index, so that few do much.
const MOST: usize = 64;
const OWN: u64 = 16;
/// Seconds until a credential may have room for another.
const AGAIN: u32 = 1;
/// One credential may ask again after that time, and so often at once when it hasn't for a while: everybody's commits wait for a
/// look.
const EACH: Duration = Duration::from_millis(50);
const BURST: u32 = 100;
/// Credentials that are remembered before those are forgotten that have all their questions again.
const KNOWN: usize = 256;

/// Who asks.
#[derive(Debug)]
pub struct Asker {
    pub principal: String,
    /// When that credential was made.
    pub since_us: u64,
}

pub struct Inquiries {
    all: Arc<Semaphore>,
    own: Rc<Shares>,
    /// When a credential has all its questions again.
    paid: RefCell<HashMap<String, Instant>>,
}

impl Default for Inquiries {
    fn default() -> Self {
        Self { all: Arc::new(Semaphore::new(MOST)), own: Rc::default(), paid: RefCell::default() }
    }
}

impl Inquiries {
    /// As below, now.
    pub fn pays(&self, principal: &str) -> Result<(), Refusal> {
        self.pay(principal, Instant::now()).map_err(Refusal::RateLimited)
    }

    /// One more question of that credential.
    ///
    /// Errors: it has asked too often; the seconds until it may again.
    fn pay(&self, principal: &str, now: Instant) -> Result<(), u32> {
        let mut paid = self.paid.borrow_mut();
        if paid.len() >= KNOWN {
            paid.retain(|_, full| *full > now);
        }
        let full = paid.get(principal).copied().unwrap_or(now).max(now);
        if full.saturating_duration_since(now) > EACH * (BURST - 1) {
            return Err(AGAIN);
        }
        paid.insert(principal.to_owned(), full + EACH);
        Ok(())
    }
}

/// Looks up what a credential asks.
///
/// Errors: it has too many under way or asks too often, or the store gives none.
pub async fn answer(vault: &Vault, asker: Asker, inquiry: Inquiry) -> Result<Finding, Refusal> {
    let Asker { principal, since_us } = asker;
    vault.inquiries.pays(&principal)?;
    let mut share = vault.inquiries.own.share(&principal);
    share.grow(1, OWN).map_err(|_| Refusal::RateLimited(AGAIN))?;
    // It is never closed.
    let _permit = Arc::clone(&vault.inquiries.all).acquire_owned().await;
    let now = now_us();
    let found = vault.writer.run(move |store| match inquiry {
        Inquiry::Submission { message } => {
            let is_heir = store.ledger.masks.is_own(&principal, message);
            let mask = store.ledger.masks.of_mail(&principal, Some(message));
            let owner = Owner { principal: &principal, since_us, is_heir };
            match store.submissions.find(owner, message, mask, now) {
                Ok(found) => Ok(Ok(Finding::Submission(found.map(Box::new)))),
                // A row that can't be read is no reason for the store to end: whoever asks again would end it again.
                Err(error) if is_damage(&error) => {
                    tracing::error!(%message, %error, "what became of a message can't be read");
                    Ok(Err(Refusal::StoreUnavailable))
                }
                Err(error) => Err(error),
            }
        }
        // The session answers these itself, from memory.
        Inquiry::Allowance | Inquiry::Card | Inquiry::Cards(_) => Ok(Err(Refusal::StoreUnavailable)),
    });
    found.await.map_err(|_| Refusal::StoreUnavailable)?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_asks_so_often_at_once_and_then_in_turn_and_others_have_theirs() {
        let (inquiries, now) = (Inquiries::default(), Instant::now());
        assert!((0..BURST).all(|_| inquiries.pay("shop", now).is_ok()));
        assert_eq!(inquiries.pay("shop", now), Err(AGAIN));
        assert_eq!(inquiries.pay("board", now), Ok(()));
        assert_eq!((inquiries.pay("shop", now + EACH), inquiries.pay("shop", now + EACH)), (Ok(()), Err(AGAIN)));
        let later = now + EACH * (2 * BURST);
        assert!((0..BURST).all(|_| inquiries.pay("shop", later).is_ok()));
        for n in 0..=KNOWN {
            assert_eq!(inquiries.pay(&n.to_string(), later), Ok(()));
        }
        let long = later + EACH * (2 * BURST);
        assert_eq!(inquiries.pay("shop", long), Ok(()));
        assert_eq!(inquiries.paid.borrow().len(), 1, "nobody is remembered without need");
    }
}
