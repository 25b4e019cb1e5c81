//! A courier that never comes to the end of a message: its own patience with an upstream has an end long before, so it hangs, and what it
//! has would wait as long.

use std::time::{Duration, Instant};

use super::{Active, Courier};

/// How long a courier may have a message, whichever hosts it tries one after the other: each has ten minutes to the login and fifteen to
/// the dot, with the two below. Nobody finds out earlier that it hangs, and nobody who only has slow upstreams is taken for one who does.
const LONGEST: Duration = Duration::from_secs(if cfg!(test) { 20 } else { 4 * 3600 });
const EACH_RECIPIENT: Duration = Duration::from_secs(10);
const OCTETS_A_SECOND: u64 = 4096;

fn longest(active: &Active) -> Duration {
    if cfg!(test) {
        return LONGEST;
    }
    let recipients = EACH_RECIPIENT.saturating_mul(u32::try_from(active.leased.recipients.len()).unwrap_or(u32::MAX));
    LONGEST.saturating_add(recipients).saturating_add(Duration::from_secs(active.leased.bytes / OCTETS_A_SECOND))
}

impl Courier {
    /// When the first of its messages should have come to an end, if it has any.
    pub(super) fn last_word(&self) -> Option<Instant> {
        self.active.values().map(|active| active.begun + longest(active)).min()
    }

    /// Comes at that time; where there is none, never.
    pub(super) async fn silence(until: Option<Instant>) {
        match until {
            Some(at) => tokio::time::sleep_until(at.into()).await,
            None => std::future::pending().await,
        }
    }

    pub(super) fn tell_of_silence(&self) {
        let messages = self.active.len();
        tracing::error!(
            upstream = self.peer.label,
            messages,
            "a courier comes to no end with a message: it is replaced, and what it has waits for its successor"
        );
    }
}
