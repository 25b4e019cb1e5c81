//! How long whoever sends a live message is waited for, and waits: from the upstream outwards each waits somewhat longer than the
//! one before, so that what is known there in time is heard in time everywhere.

use std::time::Duration;

/// What each adds for its own part: commits on a slow disk, and a machine that is busy.
const PART: Duration = Duration::from_secs(15);

/// From the question about a recipient to its answer, with all that comes before it, in the vault. Clients wait five minutes (RFC
/// 5321 section 4.5.3.2.3).
pub const ANSWER: Duration = Duration::from_secs(60);
/// The same in the edge.
pub const ANSWER_AT_EDGE: Duration = ANSWER.saturating_add(PART);

/// From the word that a message may be ended to what the upstream says of it, in the courier: for what is left of its content, its
/// dot and the answer, together.
pub const END: Duration = Duration::from_secs(if cfg!(test) { 5 } else { 75 });
/// The same in the vault.
pub const END_AT_VAULT: Duration = Duration::from_secs(75).saturating_add(PART);
/// The same in the edge, with two commits: of the intent, and of the outcome.
pub const END_AT_EDGE: Duration = END_AT_VAULT.saturating_add(PART).saturating_add(PART);

/// A courier leaves an upstream politely within this when a message is taken back. The place is not free before.
pub const LEAVING: Duration = Duration::from_secs(5);
