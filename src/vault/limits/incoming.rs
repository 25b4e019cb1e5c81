//! What a credential may have on its way: octets of messages that have not come whole, which are charged to nobody yet.

use super::denial::{By, Denied};
use super::key::{Key, Tier};
use crate::policy::refusal::Refusal;

/// Messages of the largest size that a credential may have on their way: more than a busy web server has at once.
const LARGEST: u64 = 64;
/// When a message that found no room beside them may be tried again, in seconds: those of before have come, or been given up.
pub const AGAIN: u32 = 60;

/// Octets that it may have: no more than it may send in a day, and never less than one message.
pub fn most(bytes_per_day: Option<u64>, max_size: u64) -> u64 {
    max_size.saturating_mul(LARGEST).min(bytes_per_day.unwrap_or(u64::MAX).max(max_size))
}

/// It would have more.
pub fn beyond(credential: &str) -> Denied {
    let key = Key::new(Tier::Credential, credential);
    let by = By { key, limit: "incoming", window_us: u64::from(AGAIN) * 1_000_000 };
    Denied { refusal: Refusal::RateLimited(AGAIN), by: Some(by), upstream: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_on_the_way_is_no_more_than_a_day_has_and_never_less_than_one_message() {
        for (bytes_per_day, expected) in [(None, 6_400), (Some(700), 700), (Some(1), 100)] {
            assert_eq!(most(bytes_per_day, 100), expected);
        }
    }
}
