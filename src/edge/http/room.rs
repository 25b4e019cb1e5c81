//! Room: the memory of all bodies that are read or worked on at a time, and each holder's share of it.
//!
//! A holder may have no more than is left for everybody else: one alone gets half of it, and whoever comes next finds half of the
//! rest. What every holder may have in any case makes sure that nobody can have the small ones of others refused.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// In octets.
pub struct Room {
    total: usize,
    /// What a holder may have although the others have the rest: until all of them together have `most`.
    floor: usize,
    most: usize,
    held: Mutex<Held>,
}

struct Held {
    all: usize,
    /// By each holder that has something.
    by: BTreeMap<String, usize>,
}

/// Room that is had until it is dropped.
pub struct Place {
    room: &'static Room,
    holder: String,
    octets: usize,
}

impl Room {
    /// One whose holders are bounded elsewhere.
    pub const fn new(total: usize, floor: usize) -> Self {
        Self::within(total, floor, usize::MAX)
    }

    /// One of which anybody may be a holder, many times over.
    pub const fn within(total: usize, floor: usize, most: usize) -> Self {
        Self { total, floor, most, held: Mutex::new(Held { all: 0, by: BTreeMap::new() }) }
    }

    /// A place of a holder, with nothing in it yet.
    pub fn place(&'static self, holder: &str) -> Place {
        Place { room: self, holder: holder.to_owned(), octets: 0 }
    }

    /// What a holder has.
    #[cfg(test)]
    pub fn held(&self, holder: &str) -> usize {
        self.held.lock().unwrap().by.get(holder).copied().unwrap_or_default()
    }

    /// Whether a holder got so much more.
    fn take(&self, holder: &str, more: usize) -> bool {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let own = held.by.get(holder).copied().unwrap_or_default().saturating_add(more);
        let all = held.all.saturating_add(more);
        let fits = own <= self.floor && all <= self.most || all.saturating_add(own) <= self.total;
        if fits {
            held.all = all;
            held.by.insert(holder.to_owned(), own);
        }
        fits
    }

    fn give_back(&self, holder: &str, octets: usize) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.all = held.all.saturating_sub(octets);
        if let Some(own) = held.by.get_mut(holder) {
            *own = own.saturating_sub(octets);
            if *own == 0 {
                held.by.remove(holder);
            }
        }
    }
}

impl Place {
    /// Makes it as large as this, if it is smaller. False: there is no room for that now, and it stays as it is.
    #[must_use]
    pub fn grow(&mut self, to: usize) -> bool {
        let more = to.saturating_sub(self.octets);
        let has_grown = more == 0 || self.room.take(&self.holder, more);
        if has_grown {
            self.octets = self.octets.max(to);
        }
        has_grown
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.room.give_back(&self.holder, self.octets);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rule_w11_without_room_a_body_is_put_off_and_room_is_given_back() {
        static ROOM: Room = Room::new(100, 0);
        let (mut first, mut second) = (ROOM.place("a"), ROOM.place("a"));
        assert!(first.grow(30) && second.grow(20));
        assert!(!second.grow(21), "one alone has half of it");
        assert!(second.grow(20) && second.grow(1), "it is no larger than it was");
        drop(first);
        assert!(second.grow(50) && !second.grow(51));
        drop(second);
        let held = ROOM.held.lock().unwrap();
        assert!(held.all == 0 && held.by.is_empty(), "nobody who has nothing is remembered");
    }

    #[test]
    fn rule_w11_however_many_have_what_each_may_have_in_any_case_there_is_an_end() {
        static ROOM: Room = Room::within(1 << 20, 16 * 1024, 2 << 20);
        let mut all: Vec<Place> = (0..1000).map(|n| ROOM.place(&format!("visitor {n}"))).collect();
        let fed = all.iter_mut().filter_map(|visitor| visitor.grow(16 * 1024).then_some(())).count();
        assert_eq!(fed, 128, "twice the room, and not sixteen times");
        assert_eq!(ROOM.held.lock().unwrap().all, 2 << 20);
        all.truncate(100);
        assert!(ROOM.place("late").grow(16 * 1024), "who is done leaves his");
    }

    #[test]
    fn rule_w11_whoever_takes_all_it_can_leaves_room_to_the_others() {
        static ROOM: Room = Room::new(1 << 20, 4 * 1024);
        let mut hogs: Vec<Place> = (0..50).map(|n| ROOM.place(&format!("hog {n}"))).collect();
        // Each takes until nothing more is given, again and again.
        for _ in 0..3 {
            for hog in &mut hogs {
                while hog.grow(hog.octets + 1024) {}
            }
        }
        let mut honest = ROOM.place("honest");
        assert!(
            honest.grow(4 * 1024) && !honest.grow(4 * 1024 + 1),
            "fifty of them leave it what it may have in any case"
        );
        let all: usize = hogs.iter().map(|hog| hog.octets).sum();
        assert!(all <= ROOM.total + 50 * ROOM.floor, "{all}");
        hogs.truncate(1);
        assert!(honest.grow(256 * 1024), "one of them leaves it half of the rest");
    }
}
