//! One figure of the load, and the stage that it asks for. A stage begins at its threshold and ends when a quarter of that is
//! free again, so that it isn't crossed to and fro.

use std::time::{Duration, Instant};

use crate::ipc::admin::load::Stage;
use crate::policy::thresholds::Thresholds;

#[derive(Debug, Default)]
pub struct Gauge {
    stage: Stage,
    /// How long the figure must have been below before a stage ends.
    linger: Duration,
    below: Option<Instant>,
}

impl Gauge {
    /// For a figure that goes up and down by itself.
    pub fn lingering(linger: Duration) -> Self {
        Self { linger, ..Self::default() }
    }

    pub const fn stage(&self) -> Stage {
        self.stage
    }

    /// The stage by the figure as it is now.
    pub fn look(&mut self, figure: u64, thresholds: &Thresholds<u64>, now: Instant) -> Stage {
        let asked = [(Stage::All, thresholds.all), (Stage::Heavy, thresholds.heavy)];
        let begun = asked.iter().find(|(_, from)| figure >= *from).map_or(Stage::Calm, |(stage, _)| *stage);
        let kept = asked.iter().find(|(stage, from)| *stage <= self.stage && figure >= end(*from));
        let kept = kept.map_or(Stage::Calm, |(stage, _)| *stage).max(begun);
        if kept >= self.stage {
            (self.stage, self.below) = (kept, None);
            return kept;
        }
        let since = *self.below.get_or_insert(now);
        if now.saturating_duration_since(since) >= self.linger {
            (self.stage, self.below) = (kept, None);
        }
        self.stage
    }
}

/// Below this a stage ends that begins at that threshold.
pub const fn end(from: u64) -> u64 {
    from - from / 4
}

#[cfg(test)]
mod tests {
    use super::*;

    const OF: Thresholds<u64> = Thresholds { heavy: 100, all: 200 };

    #[test]
    fn rule_q16_a_stage_begins_at_its_threshold_and_ends_when_a_quarter_is_free_again() {
        let (mut gauge, now) = (Gauge::default(), Instant::now());
        let mut stages =
            |figures: &[u64]| figures.iter().map(|figure| gauge.look(*figure, &OF, now)).collect::<Vec<_>>();
        use Stage::{All, Calm, Heavy};
        assert_eq!(stages(&[0, 99, 100, 76, 75, 74, 99]), [Calm, Calm, Heavy, Heavy, Heavy, Calm, Calm]);
        assert_eq!(stages(&[199, 200, 150, 149, 199, 200, 10]), [Heavy, All, All, Heavy, Heavy, All, Calm]);
        assert_eq!(stages(&[u64::MAX, 0]), [All, Calm]);
        // Close together, the second ends before the first.
        let (mut gauge, of) = (Gauge::default(), Thresholds { heavy: 100, all: 101 });
        let mut stages =
            |figures: &[u64]| figures.iter().map(|figure| gauge.look(*figure, &of, now)).collect::<Vec<_>>();
        assert_eq!(stages(&[101, 80, 76, 75, 74]), [All, All, All, Heavy, Calm]);
    }

    #[test]
    fn a_figure_that_jumps_keeps_its_stage_until_it_was_below_for_a_while() {
        let (mut gauge, begun) = (Gauge::lingering(Duration::from_secs(10)), Instant::now());
        let mut at = |seconds, figure| gauge.look(figure, &OF, begun + Duration::from_secs(seconds));
        assert_eq!((at(0, 250), at(1, 10), at(10, 10), at(10, 220)), (Stage::All, Stage::All, Stage::All, Stage::All));
        assert_eq!((at(11, 10), at(20, 90), at(21, 90)), (Stage::All, Stage::All, Stage::Heavy));
        assert_eq!((at(22, 10), at(31, 10), at(32, 10)), (Stage::Heavy, Stage::Heavy, Stage::Calm));
        assert_eq!(at(32, 200), Stage::All, "it begins at once");
    }
}
