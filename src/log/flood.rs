//! How many lines the log has of one thing that strangers can bring about without end.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ipnet::IpNet;
use tokio::time::{Instant, sleep_until};

/// Lines in a window, of one thing in one process; then the number of those that had none.
const LINES: u32 = 100;
/// Of these, those that one neighbourhood has: whoever knocks without end doesn't hide the others.
const OF_ONE: u32 = 10;
const WINDOW: Duration = Duration::from_secs(60);

/// What happened of it lately. With the last one goes what it had not told: it tells that.
#[derive(Clone, Debug, Default)]
pub struct Flood(Arc<Mutex<Lately>>);

#[derive(Default)]
struct Lately {
    since: Option<Instant>,
    told: u32,
    /// The same by neighbourhood; as many of them at most as there are lines.
    of: BTreeMap<IpNet, u32>,
    untold: u64,
    /// Who is given that number.
    tell: Option<Box<dyn FnOnce(u64) + Send>>,
}

impl Flood {
    /// Whether another one gets a line of its own. Of those that don't, `tell` is given the number at the end of the window.
    pub fn has_line(&self, tell: impl FnOnce(u64) + Send + 'static) -> bool {
        self.admits(None, tell)
    }

    /// The same for what somebody of this neighbourhood has brought about: a tenth of the lines is for that.
    pub fn has_line_for(&self, neighbourhood: IpNet, tell: impl FnOnce(u64) + Send + 'static) -> bool {
        self.admits(Some(neighbourhood), tell)
    }

    fn admits(&self, of: Option<IpNet>, tell: impl FnOnce(u64) + Send + 'static) -> bool {
        let now = Instant::now();
        let mut lately = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lately.untold == 0 && lately.since.is_none_or(|since| now.saturating_duration_since(since) >= WINDOW) {
            (lately.since, lately.told) = (Some(now), 0);
            lately.of.clear();
        }
        let had = of.and_then(|of| lately.of.get(&of).copied()).unwrap_or(0);
        if lately.told < LINES && had < OF_ONE {
            lately.told += 1;
            if let Some(of) = of {
                lately.of.insert(of, had + 1);
            }
            return true;
        }
        lately.untold += 1;
        if lately.untold == 1 {
            lately.tell = Some(Box::new(tell));
            // A process that ends doesn't wait for the end of the window.
            let (flood, end) = (Arc::downgrade(&self.0), lately.since.unwrap_or(now) + WINDOW);
            tokio::spawn(async move {
                sleep_until(end).await;
                if let Some(flood) = flood.upgrade() {
                    *flood.lock().unwrap_or_else(PoisonError::into_inner) = Lately::default();
                }
            });
        }
        false
    }
}

impl Drop for Lately {
    fn drop(&mut self) {
        if let Some(tell) = self.tell.take() {
            tell(self.untold);
        }
    }
}

impl fmt::Debug for Lately {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lately").field("told", &self.told).field("untold", &self.untold).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_flood_is_a_hundred_lines_a_minute_and_a_number() {
        let (flood, number) = (Flood::default(), Arc::new(AtomicU64::new(0)));
        let has_line = || {
            let number = number.clone();
            flood.has_line(move |untold| _ = number.fetch_add(untold, Ordering::Relaxed))
        };
        let lines = |count: usize| (0..count).filter(|_| has_line()).count();
        assert_eq!(lines(5000), 100);
        tokio::time::sleep(WINDOW - Duration::from_millis(1)).await;
        assert_eq!(lines(1), 0);
        assert_eq!(number.load(Ordering::Relaxed), 0);
        tokio::time::sleep(Duration::from_millis(2)).await;
        assert_eq!(number.load(Ordering::Relaxed), 4901, "they were told");
        assert_eq!(lines(100), 100);
        tokio::time::sleep(WINDOW).await;
        assert_eq!(lines(200), 100);
    }

    #[tokio::test(start_paused = true)]
    async fn rule_s9_who_knocks_without_end_hides_nobody_else() {
        let (flood, number) = (Flood::default(), Arc::new(AtomicU64::new(0)));
        let lines = |address: &str, count: usize| {
            let has_line = |_: &usize| {
                let number = number.clone();
                flood.has_line_for(address.parse().unwrap(), move |untold| {
                    _ = number.fetch_add(untold, Ordering::Relaxed)
                })
            };
            (0..count).filter(has_line).count()
        };
        assert_eq!((lines("192.0.2.0/24", 5000), lines("192.0.2.0/24", 50)), (10, 0));
        assert_eq!((lines("2001:db8::/56", 3), lines("198.51.100.0/24", 50)), (3, 10));
        let others: usize = (0..100).map(|n| lines(&format!("203.0.{n}.0/24"), 2)).sum();
        assert_eq!(others, 100 - 23, "a hundred in all");
        tokio::time::sleep(WINDOW + Duration::from_millis(1)).await;
        assert_eq!(number.load(Ordering::Relaxed), 4990 + 50 + 40 + 200 - 77);
        assert_eq!(lines("192.0.2.0/24", 50), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_not_told_when_it_ends_is_told_then_and_once() {
        let told = Arc::new(Mutex::new(Vec::new()));
        let flood = Flood::default();
        for _ in 0..150 {
            let told = told.clone();
            flood.clone().has_line(move |untold| told.lock().unwrap().push(untold));
        }
        drop(flood);
        assert_eq!(*told.lock().unwrap(), [50]);
        tokio::time::sleep(2 * WINDOW).await;
        assert_eq!(*told.lock().unwrap(), [50]);
    }
}
