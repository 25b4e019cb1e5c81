//! What an answer means for an event and for its webhook, and how long is waited before the next try.

use std::time::Duration;

use crate::ipc::feedback::Answer;
use crate::vault::delivery::outcome::jitter;

/// Waits after each attempt, as Standard Webhooks recommends; the last one repeats until the event's time is over.
const WAITS: [u64; 9] = [5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400];
/// So long before its time is over an event is tried for the last time, if its last try was as long before that.
const LAST_US: u64 = 60_000_000;
/// Statuses with a meaning of their own: 410 says that nobody wants events there any more, 429 and 503 that it has too many.
const GONE: u16 = 410;
const TOO_MANY: u16 = 429;
const AWAY: u16 = 503;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The receiver has it.
    Taken,
    /// The receiver wants no events.
    Gone,
    /// This event was not taken; another one may be.
    Refused(String),
    /// No event would be taken now, at least for so long if it said that. No try of this one's.
    Away(String, Option<Duration>),
}

impl Verdict {
    pub const ALL: [&'static str; 4] = ["taken", "gone", "refused", "away"];

    /// The word for it, where it is counted.
    pub const fn word(&self) -> &'static str {
        let [taken, gone, refused, away] = Self::ALL;
        match self {
            Self::Taken => taken,
            Self::Gone => gone,
            Self::Refused(_) => refused,
            Self::Away(..) => away,
        }
    }
}

pub fn judge(answer: Answer) -> Verdict {
    match answer {
        Answer::Status { code: 200..=299, .. } => Verdict::Taken,
        Answer::Status { code: GONE, .. } => Verdict::Gone,
        Answer::Status { code: TOO_MANY, wait } => Verdict::Away(status(TOO_MANY), wait),
        Answer::Status { code: AWAY, wait: Some(wait) } => Verdict::Away(status(AWAY), Some(wait)),
        Answer::Status { code, .. } => Verdict::Refused(status(code)),
        Answer::Failed { sent: true, reason } => Verdict::Refused(reason),
        Answer::Failed { sent: false, reason } => Verdict::Away(reason, None),
    }
}

fn status(code: u16) -> String {
    format!("HTTP {code}")
}

/// In microseconds, after so many attempts before this one.
pub fn wait_us(attempts: u32) -> u64 {
    let at = usize::try_from(attempts).unwrap_or(usize::MAX).min(WAITS.len() - 1);
    let base = WAITS.get(at).copied().unwrap_or_default() * 1_000_000;
    base.saturating_mul(u64::from(jitter())) / 100
}

/// When it is tried again: once more shortly before its time is over, if the list has nothing before that.
pub fn next_us(now_us: u64, attempts: u32, expires_us: u64) -> u64 {
    let (next, last) = (now_us.saturating_add(wait_us(attempts)), expires_us.saturating_sub(LAST_US));
    if next > last && last > now_us.saturating_add(LAST_US) { last } else { next }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_answer_means_what_the_page_on_webhooks_says() {
        let status = |code| judge(Answer::Status { code, wait: None });
        for code in [200, 201, 204, 299] {
            assert_eq!(status(code), Verdict::Taken);
        }
        assert_eq!(status(410), Verdict::Gone);
        for code in [100, 301, 302, 400, 401, 403, 404, 408, 413, 500, 502, 503, 504, 999] {
            assert_eq!(status(code), Verdict::Refused(format!("HTTP {code}")));
        }
        let wait = Some(Duration::from_secs(17));
        for code in [429, 503] {
            assert_eq!(judge(Answer::Status { code, wait }), Verdict::Away(format!("HTTP {code}"), wait));
        }
        let failed = |sent| judge(Answer::Failed { sent, reason: "reset".into() });
        assert_eq!(
            (failed(true), failed(false)),
            (Verdict::Refused("reset".into()), Verdict::Away("reset".into(), None))
        );
    }

    #[test]
    fn the_last_try_is_shortly_before_the_time_is_over() {
        let second = 1_000_000;
        for (attempts, expires, expected) in [
            (3, 3600, 3540..=3540),
            (3, 121, 61..=61),
            (3, 120, 5760..=8640),
            (1, 3600, 240..=360),
            (3, 0, 5760..=8640),
        ] {
            let next = next_us(second, attempts, second + expires * second) / second - 1;
            assert!(expected.contains(&next), "{attempts} {expires}: {next}");
        }
    }

    #[test]
    fn waits_follow_the_list_and_the_last_repeats() {
        for (attempts, seconds) in [(0, 5), (1, 300), (8, 86_400), (9, 86_400), (u32::MAX, 86_400)] {
            let base = seconds * 1_000_000;
            for _ in 0..20 {
                assert!((base * 80 / 100..=base * 120 / 100).contains(&wait_us(attempts)), "{attempts}");
            }
        }
    }
}
