//! What strangers make the vault write: told whole as long as that is little, then once in a window and with the number.

use super::Vault;
use super::audit::event::Event;
use super::limits::denial::By;
use super::limits::key::{Key, Tier};
use super::limits::notices::POLICY;
use super::limits::rate::HOUR_US;
use crate::policy::refusal::Refusal;

/// How a refusal is told that no limit is the reason of: by whom, and why. Without a credential, only why.
pub fn refused(principal: Option<&str>, refusal: Refusal) -> By {
    let key = match principal {
        Some(principal) => Key::new(Tier::Credential, format!("{principal} {}", refusal.word())),
        None => Key::new(Tier::Global, refusal.word()),
    };
    By { key, limit: POLICY, window_us: HOUR_US }
}

/// Writes an event; with `by`, the first of its kind in a window, and when that is over how many more there were. While the
/// disk is short of room everything is told so: that room is for the outcomes of what was accepted. Says whether it was
/// written.
pub async fn tell(vault: &Vault, event: Event, by: Option<By>) -> bool {
    let room = || By { key: Key::new(Tier::Global, event.name.word()), limit: "room", window_us: HOUR_US };
    let by = if vault.writer.is_short() { Some(room()) } else { by };
    let events: Vec<Event> = match by {
        Some(by) => {
            let mut authority = vault.authority.borrow_mut();
            let now = authority.clock.now();
            let (before, event) = authority.limits.tell(&by, event, now);
            before.into_iter().chain(event).collect()
        }
        None => vec![event],
    };
    let told = !events.is_empty();
    if told {
        vault.writer.record(events).await;
    }
    told
}

/// As `tell`, where there is nothing to be written: it was told in this window, and one more is a number. False when there is.
pub fn count(vault: &Vault, by: &By) -> bool {
    let mut authority = vault.authority.borrow_mut();
    let now = authority.clock.now();
    !vault.writer.is_short() && authority.limits.count(by, now)
}
