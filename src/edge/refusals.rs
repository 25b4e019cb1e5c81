//! How many refused requests the service's log tells of: whoever can connect can be refused without end.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// Lines about refused requests in a window, of one listener in one process; then their number. What was decided about mail and
/// logins is in the audit log besides.
const LINES: u32 = 100;
const WINDOW: Duration = Duration::from_secs(60);

/// What was refused lately.
#[derive(Clone, Debug, Default)]
pub struct Refusals(Arc<Mutex<Lately>>);

#[derive(Debug, Default)]
struct Lately {
    since: Option<Instant>,
    told: u32,
    untold: u64,
}

impl Refusals {
    /// Whether another one gets a line of its own. Of those that don't, their number is told at the end of the window.
    pub fn has_line(&self, listener: &str) -> bool {
        let now = Instant::now();
        let mut lately = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lately.untold == 0 && lately.since.is_none_or(|since| now.saturating_duration_since(since) >= WINDOW) {
            *lately = Lately { since: Some(now), ..Lately::default() };
        }
        if lately.told < LINES {
            lately.told += 1;
            return true;
        }
        lately.untold += 1;
        if lately.untold == 1 {
            let (refusals, listener, end) = (self.clone(), listener.to_owned(), lately.since.unwrap_or(now) + WINDOW);
            tokio::spawn(async move {
                sleep_until(end).await;
                let requests = refusals.take();
                tracing::info!(listener, requests, "further requests were refused, not told one by one");
            });
        }
        false
    }

    /// The number of those that got no line; a new window begins.
    fn take(&self) -> u64 {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner)).untold
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_refusals_is_a_hundred_lines_a_minute_and_a_number() {
        let refusals = Refusals::default();
        let lines = |count: usize| (0..count).filter(|_| refusals.has_line("api")).count();
        assert_eq!(lines(5000), 100);
        assert_eq!(refusals.0.lock().unwrap().untold, 4900);
        tokio::time::sleep(WINDOW - Duration::from_millis(1)).await;
        assert_eq!(lines(1), 0);
        tokio::time::sleep(Duration::from_millis(2)).await;
        assert_eq!(refusals.0.lock().unwrap().untold, 0, "they were told");
        assert_eq!(lines(100), 100);
        tokio::time::sleep(WINDOW).await;
        assert_eq!(lines(200), 100);
    }
}
