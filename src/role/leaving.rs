//! How long an edge may take to leave: it must have said its last words before the parent's patience with it ends.

use std::time::Duration;

/// At a stop a transaction that is open may go on for so long; then its client reads 421 (rule C17).
pub const DRAIN: Duration = Duration::from_secs(25);
/// How long these words may take to be written.
pub const LAST_WORDS: Duration = Duration::from_secs(2);
/// How long the parent waits for edges that it told to drain.
pub const PATIENCE: Duration = DRAIN.saturating_add(LAST_WORDS).saturating_add(Duration::from_secs(3));
