//! What an operator is shown of a session that is followed: lines that the edge made of what it understood and of what it
//! said itself. No octet of a client's is among them that it did not understand, and no secret.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// Characters of a line: a path with its parameters fits.
pub const LONGEST: usize = 1000;
/// Lines of one session in a second. A session that says more goes on as fast as it likes, and the rest is a number.
pub const PACE: u32 = 2000;

const SECOND: Duration = Duration::from_secs(1);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Told {
    /// What the client said.
    Client(String),
    /// What was said to it.
    Server(String),
    /// What came about otherwise.
    Stage(String),
    /// So many lines were not told, because there were too many.
    LeftOut(u32),
}

impl Told {
    /// The same, with a text that is cut to the longest that there is.
    #[must_use]
    pub fn cut(mut self) -> Self {
        if let Self::Client(text) | Self::Server(text) | Self::Stage(text) = &mut self
            && let Some((end, _)) = text.char_indices().nth(LONGEST)
        {
            text.truncate(end);
            text.push_str("...");
        }
        self
    }
}

/// How much was told of a session in this second.
#[derive(Debug)]
pub struct Pace {
    since: Instant,
    lines: u32,
    /// Lines that were left out since the last one that was told.
    pub left_out: u32,
}

impl Default for Pace {
    fn default() -> Self {
        Self { since: Instant::now(), lines: 0, left_out: 0 }
    }
}

impl Pace {
    /// Whether another line may be told now, where there are at most so many in a second.
    pub fn admits(&mut self, most: u32, now: Instant) -> bool {
        if now.saturating_duration_since(self.since) >= SECOND {
            (self.since, self.lines) = (now, 0);
        }
        let admits = self.lines < most;
        self.lines += u32::from(admits);
        admits
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipc::frame;

    #[test]
    fn of_a_session_so_many_lines_are_told_in_a_second_and_no_more() {
        let mut pace = Pace::default();
        let begun = pace.since;
        assert!((0..PACE).all(|_| pace.admits(PACE, begun)));
        assert!(!pace.admits(PACE, begun + SECOND / 2));
        assert!(pace.admits(PACE, begun + SECOND));
    }

    #[test]
    fn whatever_it_says_a_line_fits_into_a_frame() {
        let cut = Told::Client("\u{1f4a3}".repeat(9000)).cut();
        assert!(frame::encode(&cut).is_ok());
        let Told::Client(text) = cut else { panic!("{cut:?}") };
        assert_eq!(text.chars().count(), LONGEST + 3);
        assert_eq!(Told::Server("250 ok".into()).cut(), Told::Server("250 ok".into()));
    }
}
