//! Which host comes next: each once per message, in order, beginning with the one that worked last.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// After a failure new connections begin at the next host for this long; then the first of the list gets its chance again.
const AVOID: Duration = Duration::from_secs(60);

/// The hosts of an upstream, in the order of the configuration, which is the dialer's, too.
#[derive(Debug)]
pub struct Hosts {
    names: Vec<String>,
    favourite: Mutex<Option<(u16, Instant)>>,
}

impl Hosts {
    pub fn new(names: Vec<String>) -> Self {
        Self { names, favourite: Mutex::new(None) }
    }

    pub fn name(&self, index: u16) -> Option<&str> {
        self.names.get(usize::from(index)).map(String::as_str)
    }

    /// Whether the dialer's word about a host is what the configuration says. The name goes into the check of the certificate,
    /// and a dialer in wrong hands must not choose it.
    pub fn has(&self, index: u16, name: &str) -> bool {
        self.names.get(usize::from(index)).is_some_and(|ours| ours == name)
    }

    /// Remembers that hosts before this one don't answer, or that the one before it failed.
    pub fn begin_with(&self, index: u16) {
        let index = usize::from(index).checked_rem(self.names.len()).and_then(|index| u16::try_from(index).ok());
        let now = Instant::now();
        let mut favourite = self.favourite.lock().unwrap_or_else(PoisonError::into_inner);
        // Its time is not extended, or a busy upstream would never go back to the first.
        if !favourite.is_some_and(|(old, until)| Some(old) == index && now < until) {
            *favourite = index.filter(|index| *index > 0).map(|index| (index, now + AVOID));
        }
    }

    fn first(&self) -> u16 {
        let favourite = *self.favourite.lock().unwrap_or_else(PoisonError::into_inner);
        favourite.filter(|(_, until)| Instant::now() < *until).map_or(0, |(index, _)| index)
    }

    /// A message's way through the hosts.
    pub fn tour(&self) -> Tour {
        Tour { tried: vec![false; self.names.len()], next: usize::from(self.first()) }
    }
}

/// The hosts that one message has tried.
#[derive(Debug)]
pub struct Tour {
    tried: Vec<bool>,
    next: usize,
}

impl Tour {
    /// The next host that was not tried; none when all were.
    pub fn next(&self) -> Option<u16> {
        let count = self.tried.len();
        let order = (0..count).map(|step| (self.next + step) % count);
        order.filter(|at| !self.is_tried(*at)).find_map(|at| u16::try_from(at).ok())
    }

    /// Asked for host `first`, the dialer came to host `index`: those before it in the order don't answer. True when `index`
    /// itself is new to this message.
    pub fn reached(&mut self, first: u16, index: u16) -> bool {
        let (count, index) = (self.tried.len(), usize::from(index));
        let skipped = (0..count).map(|step| (usize::from(first) + step) % count).take_while(|at| *at != index);
        for at in skipped {
            self.mark(at);
        }
        let new = !self.is_tried(index);
        self.mark(index);
        self.next = index + 1;
        new
    }

    fn is_tried(&self, at: usize) -> bool {
        self.tried.get(at).copied().unwrap_or(true)
    }

    fn mark(&mut self, at: usize) {
        if let Some(tried) = self.tried.get_mut(at) {
            *tried = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(count: usize) -> Hosts {
        Hosts::new((0..count).map(|n| format!("mx{n}")).collect())
    }

    #[test]
    fn each_host_is_tried_once_and_those_that_the_dialer_skipped_count() {
        let hosts = hosts(4);
        let mut tour = hosts.tour();
        assert_eq!(tour.next(), Some(0));
        assert!(tour.reached(0, 2));
        assert_eq!(tour.next(), Some(3));
        assert!(!tour.reached(3, 2));
        assert_eq!(tour.next(), None);
    }

    #[test]
    fn the_host_that_worked_is_the_first_for_a_while() {
        let hosts = hosts(3);
        hosts.begin_with(2);
        assert_eq!(hosts.tour().next(), Some(2));
        hosts.begin_with(3);
        assert_eq!(hosts.tour().next(), Some(0));
    }

    #[test]
    fn a_name_of_the_dialers_own_making_is_not_ours() {
        let hosts = hosts(2);
        assert!(hosts.has(1, "mx1"));
        assert!(!hosts.has(0, "mx1") && !hosts.has(1, "evil.example") && !hosts.has(7, "mx1"));
    }
}
