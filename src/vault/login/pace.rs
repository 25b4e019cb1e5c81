//! How long checking one password takes these days, so that a refusal without any work can take as long.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Answers remembered: enough to look like them, few enough to follow the load.
const REMEMBERED: usize = 32;

#[derive(Debug, Default)]
pub struct Pace {
    latest: Mutex<Latest>,
}

#[derive(Debug, Default)]
struct Latest {
    times: Vec<Duration>,
    next: usize,
}

impl Pace {
    /// An answer took so long, from the question on.
    pub fn note(&self, took: Duration) {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let at = latest.next;
        match latest.times.get_mut(at) {
            Some(time) => *time = took,
            None => latest.times.push(took),
        }
        latest.next = (at + 1) % REMEMBERED;
    }

    /// What one of the last answers took, by chance: from outside such a wait has the same distribution as the work.
    pub fn draw(&self) -> Duration {
        let latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let chance = getrandom::u32().unwrap_or_default();
        let at = usize::try_from(chance).unwrap_or_default().checked_rem(latest.times.len()).unwrap_or_default();
        latest.times.get(at).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_what_one_of_the_latest_answers_took() {
        let pace = Pace::default();
        assert_eq!(pace.draw(), Duration::ZERO);
        (1..=100).for_each(|n| pace.note(Duration::from_millis(n)));
        for _ in 0..200 {
            assert!((69..=100).contains(&pace.draw().as_millis()), "{:?}", pace.draw());
        }
        assert_eq!(pace.latest.lock().unwrap().times.len(), REMEMBERED);
    }
}
