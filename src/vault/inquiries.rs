//! Inquiries under way: looked up in the database, so many at a time and so often, and of one credential so few that the others
//! get theirs.

mod waiting;

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, oneshot};

use super::Vault;
use super::audit::event::Event;
use super::audit::ledger::now_us;
use super::audit::row::is_damage;
use super::queue::cancel::{self, Taken};
use super::queue::reschedule::{self, Moved, Wish};
use super::shares::Shares;
use super::store::Store;
use super::store::submissions::Owner;
use crate::ipc::inquiry::{Canceled, Finding, Inquiry, Rescheduled, Submission};
use crate::mail::id::MessageId;
use crate::policy::refusal::Refusal;
use waiting::Places;

/// In all, and of one credential. Each is a look by an index, so that few do much.
const MOST: usize = 64;
const OWN: u64 = 16;
/// Seconds until a credential may have room for another.
const AGAIN: u32 = 1;
/// One credential may ask again after that time, and so often at once when it hasn't for a while: everybody's commits wait for a
/// look.
const EACH: Duration = Duration::from_millis(50);
const BURST: u32 = 100;
/// Questions that a page counts as: it looks at so much more.
const PAGE: u32 = 5;
/// Credentials that are remembered before those are forgotten that have all their questions again.
const KNOWN: usize = 256;

/// Who asks.
#[derive(Clone, Debug)]
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
    waiting: Places,
}

impl Default for Inquiries {
    fn default() -> Self {
        Self {
            all: Arc::new(Semaphore::new(MOST)),
            own: Rc::default(),
            paid: RefCell::default(),
            waiting: Places::default(),
        }
    }
}

impl Inquiries {
    /// One more question of that credential, now.
    pub fn pays(&self, principal: &str) -> Result<(), Refusal> {
        self.pay(principal, 1, Instant::now()).map_err(Refusal::RateLimited)
    }

    /// One more question of that credential, which counts as so many.
    ///
    /// Errors: it has asked too often; the seconds until it may again.
    fn pay(&self, principal: &str, cost: u32, now: Instant) -> Result<(), u32> {
        let mut paid = self.paid.borrow_mut();
        if paid.len() >= KNOWN {
            paid.retain(|_, full| *full > now);
        }
        let full = paid.get(principal).copied().unwrap_or(now).max(now);
        if full.saturating_duration_since(now) > EACH * BURST.saturating_sub(cost) {
            return Err(AGAIN);
        }
        paid.insert(principal.to_owned(), full + EACH * cost);
        Ok(())
    }
}

/// Looks up what a credential asks, or does it. `event` is what the log says of what is done by it; `left` says when nobody waits
/// for an answer that is waited for.
///
/// Errors: it has too many under way or asks too often, or the store gives none.
pub async fn answer(
    vault: &Vault,
    asker: Asker,
    inquiry: Inquiry,
    event: Event,
    left: oneshot::Receiver<()>,
) -> Result<Finding, Refusal> {
    let cost = if matches!(inquiry, Inquiry::List(_) | Inquiry::Events(_)) { PAGE } else { 1 };
    vault.inquiries.pay(&asker.principal, cost, Instant::now()).map_err(Refusal::RateLimited)?;
    let mut share = vault.inquiries.own.share(&asker.principal);
    share.grow(1, OWN).map_err(|_| Refusal::RateLimited(AGAIN))?;
    match inquiry {
        Inquiry::Submission { message } => Ok(Finding::Submission(look(vault, &asker, message).await?)),
        Inquiry::Wait { message, within_ms } => waiting::wait(vault, &asker, message, within_ms, (left, share)).await,
        Inquiry::List(page) => {
            let ask = move |store: &mut Store<'_>, owner: Owner<'_>, now| {
                let masks = |message| store.ledger.masks.of_mail(owner.principal, Some(message));
                store.submissions.list(owner, &page, masks, now)
            };
            Ok(Finding::Listed(ask_store(vault, &asker, None, ask).await?))
        }
        Inquiry::Events(span) => {
            let ask = move |store: &mut Store<'_>, owner: Owner<'_>, now| {
                let masks = |message| store.ledger.masks.of_mail(owner.principal, Some(message));
                store.feed.of(owner, &span, masks, now)
            };
            Ok(Finding::Happened(ask_store(vault, &asker, None, ask).await?))
        }
        Inquiry::Cancel { message } => Ok(Finding::Canceled(cancel(vault, &asker, message, event).await?)),
        Inquiry::Reschedule { message, release_us } => {
            let once = vault.onces.of(&asker.principal, message);
            let wish = Wish { message, release_us, once };
            Ok(Finding::Rescheduled(reschedule(vault, &asker, wish, event).await?))
        }
        // The session answers these itself, from memory.
        Inquiry::Allowance | Inquiry::Card | Inquiry::Cards(_) | Inquiry::Room(_) => Err(Refusal::StoreUnavailable),
    }
}

/// What became of one message.
async fn look(vault: &Vault, asker: &Asker, message: MessageId) -> Result<Option<Box<Submission>>, Refusal> {
    let ask = move |store: &mut Store<'_>, owner: Owner<'_>, now| {
        let mask = store.ledger.masks.of_mail(owner.principal, Some(message));
        store.submissions.find(owner, message, mask, now)
    };
    Ok(ask_store(vault, asker, Some(message), ask).await?.map(Box::new))
}

/// Takes a message back, and tells how it stands then.
async fn cancel(vault: &Vault, asker: &Asker, message: MessageId, event: Event) -> Result<Option<Canceled>, Refusal> {
    let ask = move |store: &mut Store<'_>, owner: Owner<'_>, now| {
        let Some(taken) = cancel::cancel(store, owner, message, &event, now)? else { return Ok(None) };
        let mask = store.ledger.masks.of_mail(owner.principal, Some(message));
        Ok(store.submissions.find(owner, message, mask, now)?.map(|found| (taken, Box::new(found))))
    };
    let Some((taken, found)) = ask_store(vault, asker, Some(message), ask).await? else { return Ok(None) };
    if let Taken::Back(Some(segment)) = &taken {
        vault.segments.remove(segment.clone()).await;
    }
    if let Taken::Back(_) = taken {
        tracing::info!(%message, credential = asker.principal, "its sender has taken a message back");
    }
    Ok(Some(if taken == Taken::TooLate { Canceled::Not(found) } else { Canceled::Done(found) }))
}

/// Gives a message another time, and tells how it stands then.
async fn reschedule(vault: &Vault, asker: &Asker, wish: Wish, event: Event) -> Result<Option<Rescheduled>, Refusal> {
    let message = wish.message;
    let ask = move |store: &mut Store<'_>, owner: Owner<'_>, now| {
        let Some(moved) = reschedule::reschedule(store, owner, &wish, &event, now)? else { return Ok(None) };
        let mask = store.ledger.masks.of_mail(owner.principal, Some(message));
        Ok(store.submissions.find(owner, message, mask, now)?.map(|found| (moved, Box::new(found))))
    };
    let Some((moved, found)) = ask_store(vault, asker, Some(message), ask).await? else { return Ok(None) };
    let (lanes, once) = match moved {
        Moved::Done(lanes, once) => (lanes, once),
        Moved::Same => return Ok(Some(Rescheduled::Done(found))),
        Moved::TooLate => return Ok(Some(Rescheduled::Not(found))),
        Moved::TooOften => return Ok(Some(Rescheduled::TooOften(found))),
    };
    once.into_iter().for_each(|row| vault.onces.extend(row));
    // It may be due before all that is known of there.
    vault.schedule.borrow_mut().arrived(lanes);
    vault.poke.notify_one();
    tracing::info!(%message, credential = asker.principal, due_us = found.scheduled_us, "its sender has given a message another time");
    Ok(Some(Rescheduled::Done(found)))
}

/// Asks the store. A row that can't be read is no reason for the store to end: whoever asks again
/// would end it again.
async fn ask_store<T: Send + 'static>(
    vault: &Vault,
    asker: &Asker,
    message: Option<MessageId>,
    ask: impl FnOnce(&mut Store<'_>, Owner<'_>, u64) -> rusqlite::Result<T> + Send + 'static,
) -> Result<T, Refusal> {
    // It is never closed.
    let _permit = Arc::clone(&vault.inquiries.all).acquire_owned().await;
    let (now, Asker { principal, since_us }) = (now_us(), asker.clone());
    let asked = vault.writer.run(move |store| {
        let is_heir = message.is_some_and(|message| store.ledger.masks.is_own(&principal, message));
        let changes = store.changes();
        match ask(store, Owner { principal: &principal, since_us, is_heir }, now) {
            Ok(found) => Ok(Ok(found)),
            // One that was changed half is undone with all of its transaction, and ends it.
            Err(error) if is_damage(&error) && store.changes() == changes => {
                tracing::error!(?message, %error, "what became of mail can't be read");
                Ok(Err(Refusal::StoreUnavailable))
            }
            Err(error) => Err(error),
        }
    });
    asked.await.map_err(|_| Refusal::StoreUnavailable)?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_asks_so_often_at_once_and_then_in_turn_and_others_have_theirs() {
        let (inquiries, now) = (Inquiries::default(), Instant::now());
        assert!((0..BURST).all(|_| inquiries.pay("shop", 1, now).is_ok()));
        assert_eq!(inquiries.pay("shop", 1, now), Err(AGAIN));
        assert_eq!(inquiries.pay("board", 1, now), Ok(()));
        assert_eq!((inquiries.pay("shop", 1, now + EACH), inquiries.pay("shop", 1, now + EACH)), (Ok(()), Err(AGAIN)));
        let later = now + EACH * (2 * BURST);
        assert!((0..BURST).all(|_| inquiries.pay("shop", 1, later).is_ok()));
        for n in 0..=KNOWN {
            assert_eq!(inquiries.pay(&n.to_string(), 1, later), Ok(()));
        }
        let long = later + EACH * (2 * BURST);
        assert_eq!(inquiries.pay("shop", 1, long), Ok(()));
        assert_eq!(inquiries.paid.borrow().len(), 1, "nobody is remembered without need");
    }
}
