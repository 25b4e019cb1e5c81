//! Logins that have begun and are not decided yet, bounded by where they come from.
//!
//! By SCRAM anybody may begin one and say no more. So whoever comes is taken, and where a place is full its oldest ends: a client
//! that means it has proven itself long before as many others have come.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

use tokio::sync::oneshot;

use crate::log::flood::Flood;
use crate::vault::shares::Shares;

/// What is under way.
#[derive(Default)]
pub struct UnderWay {
    /// With the right tag, by credential.
    pub tagged: Rc<Shares>,
    /// Keys that their provider is asked about, by credential, by credential and network, and by "" for all.
    pub verified: Rc<Shares>,
    /// Those of which it didn't say whether they are any: the log tells of so many.
    pub unverified: Flood,
    /// By SCRAM.
    pub exchanges: Rc<Exchanges>,
}

/// The number of one, and how it is told that it is over.
type Begun = (u64, oneshot::Sender<()>);

/// By place, the oldest first.
#[derive(Default)]
pub struct Exchanges {
    places: RefCell<HashMap<String, VecDeque<Begun>>>,
    last: Cell<u64>,
}

impl Exchanges {
    /// One more of a place that has room for so many, which is at least one.
    pub fn begin(self: &Rc<Self>, place: String, most: usize) -> Running {
        let (end, ended) = oneshot::channel();
        let number = self.last.get() + 1;
        self.last.set(number);
        let mut places = self.places.borrow_mut();
        let own = places.entry(place.clone()).or_default();
        while own.len() >= most
            && let Some((_, oldest)) = own.pop_front()
        {
            // It may have ended by itself.
            let _ = oldest.send(());
        }
        own.push_back((number, end));
        Running { all: Rc::clone(self), place, number, ended }
    }
}

/// One of them, until it is dropped.
pub struct Running {
    all: Rc<Exchanges>,
    place: String,
    number: u64,
    /// Has something when a later one took its place.
    pub ended: oneshot::Receiver<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut places = self.all.places.borrow_mut();
        if let Some(own) = places.get_mut(&self.place) {
            own.retain(|(number, _)| *number != self.number);
            if own.is_empty() {
                places.remove(&self.place);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_place_ends_its_oldest_and_no_other_place_does() {
        let all = Rc::new(Exchanges::default());
        let begin = |place: &str| all.begin(place.to_owned(), 2);
        let (mut one, mut two, mut other) = (begin("a"), begin("a"), begin("b"));
        let mut three = begin("a");
        assert!(one.ended.try_recv().is_ok() && two.ended.try_recv().is_err());
        drop(one);
        drop(two);
        let mut four = begin("a");
        assert!(three.ended.try_recv().is_err(), "there was room");
        drop(begin("a"));
        assert!(three.ended.try_recv().is_ok() && four.ended.try_recv().is_err() && other.ended.try_recv().is_err());
        drop((three, four, other));
        assert!(all.places.borrow().is_empty());
    }
}
