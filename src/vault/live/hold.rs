//! How long one sender may hold a place: others wait for it, and so does the queue.

use std::time::Duration;

use tokio::time::Instant;

/// A sender that says nothing for so long within the envelope gives its place to others.
const IDLE: Duration = Duration::from_secs(if cfg!(test) { 2 } else { 30 });
/// One that has not come to its content within this does so whatever it says.
const ENVELOPE: Duration = Duration::from_secs(300);
/// Within the content it has so long for free, and gets more of that back with what it sends: so many a second keep the place.
/// Only the time counts in which it could send.
const FREE: Duration = Duration::from_secs(60);
const RATE: u64 = 8 * 1024;

#[derive(Debug)]
pub struct Hold {
    begun: Instant,
    /// When it was heard of last.
    heard: Instant,
    content: Option<Content>,
}

#[derive(Debug)]
struct Content {
    /// Octets that it may send at once.
    credit: u32,
    /// For how much longer it may be waited for, as it was at that moment.
    left: Duration,
    at: Instant,
}

impl Hold {
    pub const fn new(now: Instant) -> Self {
        Self { begun: now, heard: now, content: None }
    }

    /// It was answered: from now on it is waited for.
    pub const fn answered(&mut self, now: Instant) {
        self.heard = now;
    }

    /// Its content begins, and it may send so many octets.
    pub const fn content(&mut self, now: Instant, credit: u32) {
        self.content = Some(Content { credit, left: FREE, at: now });
    }

    /// It may send so many more.
    pub fn give(&mut self, now: Instant, octets: u32) {
        if let Some(content) = &mut self.content {
            content.count(now);
            content.credit = content.credit.saturating_add(octets);
        }
    }

    /// It has sent so many.
    pub fn take(&mut self, now: Instant, octets: usize) {
        if let Some(content) = &mut self.content {
            content.count(now);
            let octets = u32::try_from(octets).unwrap_or(u32::MAX);
            content.credit = content.credit.saturating_sub(octets);
            let earned = Duration::from_millis(u64::from(octets).saturating_mul(1000) / RATE);
            content.left = content.left.saturating_add(earned).min(FREE);
        }
    }

    /// When it has held its place for too long, unless something comes before; none while it waits itself.
    pub fn until(&self) -> Option<Instant> {
        match &self.content {
            None => Some((self.heard + IDLE).min(self.begun + ENVELOPE)),
            Some(content) if content.credit > 0 => Some(content.at + content.left),
            Some(_) => None,
        }
    }
}

impl Content {
    fn count(&mut self, now: Instant) {
        if self.credit > 0 {
            self.left = self.left.saturating_sub(now.saturating_duration_since(self.at));
        }
        self.at = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn within_the_envelope_a_sender_is_heard_of_now_and_then_and_comes_to_its_end() {
        let begun = Instant::now();
        let mut hold = Hold::new(begun);
        assert_eq!(hold.until(), Some(begun + IDLE));
        for seconds in 1..400 {
            hold.answered(begun + SECOND * seconds);
        }
        assert_eq!(hold.until(), Some(begun + ENVELOPE));
    }

    #[test]
    fn within_the_content_a_sender_is_waited_for_as_long_as_it_sends_enough_and_only_while_it_could() {
        let begun = Instant::now();
        let at = |seconds: u32| begun + SECOND * seconds;
        let mut hold = Hold::new(begun);
        hold.content(at(0), 0);
        assert_eq!(hold.until(), None, "it waits itself");
        hold.give(at(1000), 128 * 1024);
        assert_eq!(hold.until(), Some(at(1060)));
        // As much as is wanted, for ever.
        for second in 1..1000 {
            hold.take(at(1000 + second), 8 * 1024);
            hold.give(at(1000 + second), 8 * 1024);
        }
        assert!(hold.until().unwrap() >= at(2050), "{:?}", hold.until().unwrap() - begun);
        // Half of it, for two minutes.
        let (mut slow, mut over) = (Hold::new(begun), None);
        slow.content(at(0), u32::MAX);
        for second in 1..200 {
            if slow.until().unwrap() < at(second) {
                over = Some(second);
                break;
            }
            slow.take(at(second), 4 * 1024);
        }
        assert!(over.is_some_and(|second| (110..130).contains(&second)), "{over:?}");
        // What it has sent in time before doesn't let it stand still later.
        hold.take(at(2000), usize::MAX);
        assert_eq!(hold.until(), None);
        hold.give(at(2000), 1);
        assert_eq!(hold.until(), Some(at(2060)));
    }
}
