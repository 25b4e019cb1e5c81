//! How many there were in a stretch of time that ends now, counted by slots of it.
//!
//! A slot counts as a whole, so more is counted than there was in exactly that time, and never less: whoever keeps to it keeps to
//! the limit in every stretch of that length, wherever a provider begins to count.

use std::collections::VecDeque;

#[derive(Debug)]
pub struct Window {
    slot_us: u64,
    /// Slots in its length.
    slots: u64,
    /// Number of a slot and how many there were in it, the oldest first. No slot without any.
    counts: VecDeque<(u64, u32)>,
}

impl Window {
    /// So many slots of so many microseconds.
    pub const fn new(slot_us: u64, slots: u64) -> Self {
        Self { slot_us, slots, counts: VecDeque::new() }
    }

    /// How many there were.
    pub fn count(&self, now_us: u64) -> u32 {
        let oldest = self.oldest(now_us);
        let counted = self.counts.iter().filter(|(slot, _)| *slot >= oldest);
        counted.fold(0, |sum, (_, count)| sum.saturating_add(*count))
    }

    /// Lets go of what is over.
    pub fn let_go(&mut self, now_us: u64) {
        let oldest = self.oldest(now_us);
        while self.counts.front().is_some_and(|(slot, _)| *slot < oldest) {
            self.counts.pop_front();
        }
    }

    /// So many more.
    pub fn add(&mut self, count: u32, now_us: u64) {
        self.add_to(self.slot(now_us), count);
    }

    /// So many in a slot that was remembered. One that is yet to come was written by a clock that was ahead: it is now.
    pub fn load(&mut self, slot: u64, count: u32, now_us: u64) {
        self.add_to(slot.min(self.slot(now_us)), count);
    }

    /// So many of the last ones were none.
    pub fn take_back(&mut self, mut count: u32) {
        while let Some((_, last)) = self.counts.back_mut().filter(|_| count > 0) {
            let less = count.min(*last);
            *last -= less;
            count -= less;
            if *last == 0 {
                self.counts.pop_back();
            }
        }
    }

    /// So many of those of a slot were none.
    pub fn take_back_of(&mut self, slot: u64, count: u32) {
        if let Some((_, had)) = self.counts.iter_mut().find(|(of, _)| *of == slot) {
            *had = had.saturating_sub(count);
        }
        self.counts.retain(|(_, had)| *had > 0);
    }

    /// When there is room for one more under a limit.
    pub fn free_at(&self, limit: u32, now_us: u64) -> u64 {
        let (mut left, oldest) = (self.count(now_us), self.oldest(now_us));
        for (slot, count) in self.counts.iter().filter(|(slot, _)| *slot >= oldest) {
            if left < limit {
                break;
            }
            left -= count;
            if left < limit {
                return slot.saturating_add(self.slots).saturating_add(1).saturating_mul(self.slot_us);
            }
        }
        now_us
    }

    /// The oldest slot that counts.
    pub fn oldest(&self, now_us: u64) -> u64 {
        self.slot(now_us).saturating_sub(self.slots)
    }

    const fn slot(&self, now_us: u64) -> u64 {
        now_us / self.slot_us
    }

    fn add_to(&mut self, slot: u64, count: u32) {
        if count == 0 {
            return;
        }
        match self.counts.back_mut() {
            // Time doesn't go back; what is loaded comes in its order.
            Some((last, sum)) if *last >= slot => *sum = sum.saturating_add(count),
            _ => self.counts.push_back((slot, count)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_stretch_of_its_length_has_more_than_the_limit_and_room_comes_when_it_says() {
        let (slot, slots, limit) = (10, 6, 5);
        let mut window = Window::new(slot, slots);
        let (mut times, mut now) = (Vec::new(), 3);
        for step in 0..400u64 {
            while window.count(now) < limit {
                window.add(1, now);
                times.push(now);
            }
            let free = window.free_at(limit, now);
            assert!(window.count(free - 1) >= limit && window.count(free) < limit, "{now}: {free}");
            now = free + step % 7;
        }
        for (at, first) in times.iter().enumerate() {
            let in_it = times[at..].iter().take_while(|time| **time < first + slot * slots).count();
            assert!(in_it <= 5, "{first}: {in_it}");
        }
        let length = times[times.len() - 1] - times[0];
        assert!(u64::try_from(times.len()).unwrap() * slot * (slots + 2) > length * 5, "and not much less");
    }

    #[test]
    fn what_was_none_is_taken_back_from_the_end_and_a_time_to_come_is_now() {
        let mut window = Window::new(10, 6);
        window.add(3, 5);
        window.add(2, 15);
        window.take_back(4);
        assert_eq!((window.count(15), window.count(69), window.count(70)), (1, 1, 0), "of the first slot");
        window.take_back(9);
        assert_eq!(window.count(15), 0);
        window.load(99, 4, 20);
        assert_eq!((window.count(20), window.count(89), window.count(90)), (4, 4, 0));
        window.add(2, 30);
        window.take_back_of(2, 3);
        assert_eq!((window.count(89), window.count(90)), (3, 2), "of the slot that they were taken in");
        window.take_back_of(2, 9);
        window.take_back_of(1, 9);
        assert_eq!(window.count(89), 2);
    }
}
