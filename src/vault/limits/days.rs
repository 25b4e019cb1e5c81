//! What was sent on each day, and in its busiest hour: quotas are counted by it, and what is usual is read off it.

/// Days that are kept: for reports, and for what is usual.
pub const KEPT: i64 = 35;

/// One UTC day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Day {
    /// Days since 1970.
    pub day: i64,
    pub messages: u64,
    pub recipients: u64,
    pub bytes: u64,
    /// The last hour with mail, in hours since 1970, and its recipients.
    pub hour: i64,
    pub hour_recipients: u64,
    /// The recipients of the busiest hour.
    pub peak: u64,
}

impl Day {
    /// The recipients of an hour of this day, as far as it is the last one.
    pub const fn in_hour(&self, hour: i64) -> u64 {
        if self.hour == hour { self.hour_recipients } else { 0 }
    }
}

/// The days of one key, the last one last.
#[derive(Clone, Debug, Default)]
pub struct Days(Vec<Day>);

impl Days {
    pub fn load(&mut self, day: Day) {
        self.0.push(day);
        self.0.sort_unstable_by_key(|day| day.day);
    }

    /// A day, also one that a clock which was set back has brought again.
    pub fn on(&self, day: i64) -> Day {
        self.0.iter().rev().find(|known| known.day == day).copied().unwrap_or(Day { day, ..Day::default() })
    }

    /// One more message.
    pub fn add(&mut self, day: i64, hour: i64, recipients: u64, bytes: u64) {
        let today = self.entry(day);
        if today.hour != hour {
            (today.hour, today.hour_recipients) = (hour, 0);
        }
        today.messages = today.messages.saturating_add(1);
        today.recipients = today.recipients.saturating_add(recipients);
        today.bytes = today.bytes.saturating_add(bytes);
        today.hour_recipients = today.hour_recipients.saturating_add(recipients);
        today.peak = today.peak.max(today.hour_recipients);
    }

    /// A message of that day and hour came to nothing. The busiest hour stays as it was.
    pub fn give_back(&mut self, day: i64, hour: i64, recipients: u64, bytes: u64) {
        if let Some(day) = self.0.iter_mut().find(|known| known.day == day) {
            day.messages = day.messages.saturating_sub(1);
            day.recipients = day.recipients.saturating_sub(recipients);
            day.bytes = day.bytes.saturating_sub(bytes);
            if day.hour == hour {
                day.hour_recipients = day.hour_recipients.saturating_sub(recipients);
            }
        }
    }

    fn entry(&mut self, day: i64) -> &mut Day {
        let at = match self.0.iter().position(|known| known.day >= day) {
            Some(at) if self.0.get(at).is_some_and(|known| known.day == day) => at,
            Some(at) => {
                self.0.insert(at, Day { day, ..Day::default() });
                at
            }
            None => {
                self.0.push(Day { day, ..Day::default() });
                self.0.len() - 1
            }
        };
        // One more than is kept makes the oldest one go, unless it is the one that was asked for.
        let excess = self.0.len().saturating_sub(usize::try_from(KEPT).unwrap_or(usize::MAX)).min(at);
        self.0.drain(..excess);
        #[allow(clippy::indexing_slicing)] // It was found or put there, and only what stands before it went.
        &mut self.0[at - excess]
    }

    /// The last one with mail.
    pub fn last(&self) -> Option<i64> {
        self.0.iter().rev().find(|day| day.messages > 0).map(|day| day.day)
    }

    /// Whether there is nothing of a day or of a later one.
    pub fn are_before(&self, day: i64) -> bool {
        self.0.last().is_none_or(|last| last.day < day)
    }

    /// What is usual: recipients of a day, and of its busiest hour. It is what only two days of the last four weeks had more
    /// than: one bad day, or two, don't make themselves usual, and a letter once a week is. None without a history: mail on
    /// three days at least, the first of them a week ago.
    pub fn usual(&self, today: i64) -> Option<(u64, u64)> {
        const WEEKS: i64 = 28;
        const WEEK: i64 = 7;
        const RANK: usize = 2;
        let past: Vec<&Day> =
            self.0.iter().filter(|day| day.recipients > 0 && (today - WEEKS..today).contains(&day.day)).collect();
        past.first().filter(|first| first.day <= today - WEEK)?;
        let third = |of: fn(&Day) -> u64| {
            let mut all: Vec<u64> = past.iter().map(|day| of(day)).collect();
            all.sort_unstable_by(|a, b| b.cmp(a));
            all.get(RANK).copied()
        };
        Some((third(|day| day.recipients)?, third(|day| day.peak)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn days(recipients: &[(i64, u64)]) -> Days {
        let mut days = Days::default();
        for (day, recipients) in recipients {
            days.add(*day, day * 24, *recipients, 10);
        }
        days
    }

    #[test]
    fn a_day_that_comes_again_is_found_as_it_was() {
        let mut days = days(&[(100, 5), (105, 7)]);
        days.add(100, 2400, 1, 10);
        assert_eq!((days.on(100).messages, days.on(100).recipients, days.on(100).hour_recipients), (2, 6, 6));
        assert_eq!(days.on(105).recipients, 7);
        assert_eq!(days.on(103), Day { day: 103, ..Day::default() });
        days.give_back(100, 2400, 1, 10);
        assert_eq!((days.on(100).messages, days.on(100).recipients), (1, 5));
        assert!(days.are_before(106) && !days.are_before(105));
    }

    #[test]
    fn rule_p16_what_is_counted_stops_at_the_end_of_its_number() {
        let full = Day {
            day: 100,
            hour: 2400,
            messages: u64::MAX,
            recipients: u64::MAX,
            bytes: u64::MAX,
            hour_recipients: u64::MAX,
            peak: u64::MAX,
        };
        let mut days = Days::default();
        days.load(full);
        for more in [1, u64::MAX] {
            days.add(100, 2400, more, more);
            assert_eq!(days.on(100), full);
        }
        days.give_back(100, 2400, u64::MAX, u64::MAX);
        days.give_back(100, 2400, u64::MAX, u64::MAX);
        assert_eq!((days.on(100).recipients, days.on(100).bytes, days.on(100).hour_recipients), (0, 0, 0));
    }

    #[test]
    fn the_busiest_hour_of_a_day_is_remembered() {
        let mut days = Days::default();
        for (hour, recipients) in [(10, 5), (10, 6), (11, 3)] {
            days.add(0, hour, recipients, 0);
        }
        let day = days.on(0);
        assert_eq!((day.peak, day.in_hour(11), day.in_hour(10), day.recipients), (11, 3, 0, 14));
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut days = Days::default();
        (0..1000).for_each(|day| days.add(day, day * 24, 1, 1));
        assert_eq!(days.0.len(), 35);
        days.add(1, 24, 1, 1);
        assert_eq!((days.on(1).messages, days.on(999).messages), (1, 1), "also an old day");
    }

    #[test]
    fn usual_is_what_few_days_exceed_and_takes_a_history() {
        assert_eq!(days(&[(100, 50), (101, 50)]).usual(110), None, "two days");
        assert_eq!(days(&[(104, 50), (105, 50), (106, 50)]).usual(110), None, "less than a week");
        let weekly = days(&[(80, 9000), (87, 9100), (94, 9200), (101, 9300)]);
        assert_eq!(weekly.usual(108), Some((9100, 9100)), "a letter every week");
        let mut spiked: Vec<(i64, u64)> = (80..108).map(|day| (day, 100)).collect();
        (spiked[20].1, spiked[21].1) = (90_000, 90_000);
        assert_eq!(days(&spiked).usual(108), Some((100, 100)), "two bad days");
        assert_eq!(days(&[(10, 50), (11, 50), (12, 50)]).usual(108), None, "long ago");
    }
}
