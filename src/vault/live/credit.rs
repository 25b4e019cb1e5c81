//! Credit for content that goes two ways at once: no more than both take.

/// What the disk and the upstream have room for, and what the edge was told of it.
#[derive(Debug, Default)]
pub struct Credit {
    disk: u64,
    upstream: u64,
    /// Nothing goes to the upstream any more.
    is_alone: bool,
    given: u64,
}

impl Credit {
    /// The disk takes so many more. Gives what the edge may send for that.
    pub fn disk(&mut self, octets: u32) -> u32 {
        self.disk = self.disk.saturating_add(octets.into());
        self.more()
    }

    pub fn upstream(&mut self, octets: u32) -> u32 {
        self.upstream = self.upstream.saturating_add(octets.into());
        self.more()
    }

    /// From now on the disk alone counts.
    pub fn alone(&mut self) -> u32 {
        self.is_alone = true;
        self.more()
    }

    fn more(&mut self) -> u32 {
        let most = if self.is_alone { self.disk } else { self.disk.min(self.upstream) };
        let more = u32::try_from(most.saturating_sub(self.given)).unwrap_or(u32::MAX);
        self.given = self.given.saturating_add(more.into());
        more
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slower_of_both_counts_until_there_is_one() {
        let mut credit = Credit::default();
        assert_eq!([credit.upstream(50), credit.disk(100), credit.upstream(20)], [0, 50, 20]);
        assert_eq!([credit.upstream(1000), credit.disk(5)], [30, 5]);
        assert_eq!([credit.disk(u32::MAX), credit.alone(), credit.alone()], [965, u32::MAX - 965, 0]);
        assert_eq!([credit.upstream(7), credit.disk(7)], [0, 7]);
    }
}
