//! How long checking one password takes these days, so that a refusal without any work can take as long.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::line::Claim;

/// Answers remembered: enough to look like them, few enough to follow the load.
const REMEMBERED: usize = 32;

#[derive(Debug, Default)]
pub struct Pace {
    latest: Mutex<Latest>,
}

#[derive(Debug, Default)]
struct Latest {
    times: Vec<(Claim, Duration)>,
    /// Since the start.
    answers: usize,
}

impl Pace {
    /// An answer to somebody with that claim took so long, from the question on.
    pub fn note(&self, claim: Claim, took: Duration) {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let at = latest.answers % REMEMBERED;
        match latest.times.get_mut(at) {
            Some(time) => *time = (claim, took),
            None => latest.times.push((claim, took)),
        }
        latest.answers = latest.answers.wrapping_add(1);
    }

    /// How many passwords were checked by work.
    #[cfg(test)]
    pub fn answers(&self) -> usize {
        self.latest.lock().unwrap().answers
    }

    /// What one of the last answers took that somebody with that claim got, by chance: from outside such a wait has the same
    /// distribution as the work. Where nobody had that claim, what any of them took.
    pub fn draw(&self, claim: Claim) -> Duration {
        let latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let own = latest.times.iter().filter(|(noted, _)| *noted == claim).count();
        let alike = latest.times.iter().filter(|(noted, _)| own == 0 || *noted == claim);
        let chance = usize::try_from(getrandom::u32().unwrap_or_default()).unwrap_or_default();
        let at = chance.checked_rem(if own == 0 { latest.times.len() } else { own }).unwrap_or_default();
        alike.map(|(_, time)| *time).nth(at).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rule_a9_a_wait_without_work_is_what_one_of_the_latest_answers_took() {
        let pace = Pace::default();
        assert_eq!(pace.draw(Claim::New), Duration::ZERO);
        (1..=100).for_each(|n| pace.note(Claim::New, Duration::from_millis(n)));
        for _ in 0..200 {
            let drawn = pace.draw(Claim::New);
            assert!((69..=100).contains(&drawn.as_millis()), "{drawn:?}");
        }
        assert_eq!(pace.latest.lock().unwrap().times.len(), REMEMBERED);
    }

    #[test]
    fn rule_a9_it_is_one_of_those_with_the_same_claim() {
        let pace = Pace::default();
        (1..=9).for_each(|n| pace.note(Claim::Failed, Duration::from_secs(n)));
        (1..=9).for_each(|n| pace.note(Claim::New, Duration::from_millis(n)));
        for _ in 0..200 {
            assert!((1..=9).contains(&pace.draw(Claim::Failed).as_secs()));
            assert!((1..=9).contains(&pace.draw(Claim::New).as_millis()));
            // Nobody was known: then it is as for anybody.
            assert!(pace.draw(Claim::Known) > Duration::ZERO);
        }
    }
}
