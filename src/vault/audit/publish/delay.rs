//! An erasure that waits: whoever reads a file without end holds it up, and must be found.

use std::time::{Duration, Instant};

use crate::vault::store::writer::{NotStored, Writer};

/// How long one may wait before the service's log says so; and again after so long.
const LONG: Duration = Duration::from_secs(60);
const AGAIN: Duration = Duration::from_secs(3600);

/// The oldest order that is not done, since when that is so, and when it is to be told.
#[derive(Debug, Default)]
pub struct Delay(Option<(u64, Instant, Instant)>);

impl Delay {
    /// Looks whether one waits, also one whose event is not published yet, and says so in time.
    pub fn tell(&mut self, writer: &Writer) -> Result<(), NotStored> {
        let oldest = writer.run_blocking(|store| store.erasures.open())?.first().copied();
        if let (Some(event), Some(waits)) = (oldest, self.look(oldest, Instant::now())) {
            tracing::warn!(
                event,
                seconds = waits.as_secs(),
                "an erasure waits, and so may new events: somebody reads one of the audit log's files without end"
            );
        }
        Ok(())
    }

    /// How long that order has waited, when it is time to say so.
    pub fn look(&mut self, oldest: Option<u64>, now: Instant) -> Option<Duration> {
        let Some(order) = oldest else {
            self.0 = None;
            return None;
        };
        match &mut self.0 {
            Some((known, since, due)) if *known == order => {
                if now < *due {
                    return None;
                }
                *due = now + AGAIN;
                Some(now.saturating_duration_since(*since))
            }
            other => {
                *other = Some((order, now, now + LONG));
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_that_waits_is_told_after_a_minute_and_then_by_the_hour() {
        let (mut delay, start) = (Delay::default(), Instant::now());
        let after = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(delay.look(Some(7), start), None);
        assert_eq!(delay.look(Some(7), after(59)), None);
        assert_eq!(delay.look(Some(7), after(60)), Some(LONG));
        assert_eq!(delay.look(Some(7), after(3000)), None);
        assert_eq!(delay.look(Some(7), after(3660)), Some(Duration::from_secs(3660)));
        assert_eq!(delay.look(Some(8), after(3670)), None, "another one");
        assert_eq!(delay.look(None, after(3700)), None);
        assert_eq!(delay.look(Some(8), after(3740)), None, "it was done");
    }
}
