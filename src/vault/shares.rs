//! Octets of messages that have not come whole. They are charged to their credential at the dot; until then it may have so many of
//! them and no more, because clients that never come to the dot would fill the disk for everybody.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use crate::policy::limits::Limits;
use crate::policy::refusal::Refusal;

/// Messages of the largest size that a credential may have on their way: more than a busy web server has at once.
const LARGEST: u64 = 64;
/// When a message that found no room beside them may be tried again, in seconds: those of before have come, or been given up.
const AGAIN: u32 = 60;

/// By credential.
#[derive(Debug, Default)]
pub struct Incoming(RefCell<HashMap<String, u64>>);

impl Incoming {
    /// For a message of this credential that begins.
    pub fn share(self: &Rc<Self>, principal: &str) -> Share {
        Share { all: Rc::clone(self), principal: principal.to_owned(), octets: 0 }
    }
}

/// What one message has of it, until it is dropped.
#[derive(Debug)]
pub struct Share {
    all: Rc<Incoming>,
    principal: String,
    octets: u64,
}

impl Share {
    /// Takes so many octets more.
    ///
    /// Errors: the credential would have more than `most` on their way.
    pub fn grow(&mut self, octets: u64, most: u64) -> Result<(), Refusal> {
        let mut all = self.all.0.borrow_mut();
        let own = all.entry(self.principal.clone()).or_default();
        let grown = own.saturating_add(octets);
        if grown > most {
            return Err(Refusal::RateLimited(AGAIN));
        }
        *own = grown;
        self.octets = self.octets.saturating_add(octets);
        Ok(())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut all = self.all.0.borrow_mut();
        if let Some(own) = all.get_mut(&self.principal) {
            *own = own.saturating_sub(self.octets);
            if *own == 0 {
                all.remove(&self.principal);
            }
        }
    }
}

/// What a credential with these limits may have on their way: no more than it may send in a day.
pub fn most(limits: &Limits, max_size: u64) -> u64 {
    max_size.saturating_mul(LARGEST).min(limits.bytes_per_day.unwrap_or(u64::MAX).max(max_size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_credential_has_its_own_and_what_is_over_is_given_back() {
        let all = Rc::new(Incoming::default());
        let (mut one, mut two, mut other) = (all.share("shop"), all.share("shop"), all.share("billing"));
        assert_eq!(one.grow(60, 100), Ok(()));
        assert_eq!(two.grow(50, 100), Err(Refusal::RateLimited(AGAIN)));
        assert_eq!((two.grow(40, 100), other.grow(100, 100)), (Ok(()), Ok(())));
        drop(one);
        assert_eq!(two.grow(60, 100), Ok(()));
        drop((two, other));
        assert!(all.0.borrow().is_empty());
    }

    #[test]
    fn it_is_no_more_than_a_day_has_and_never_less_than_one_message() {
        let day = |bytes_per_day| Limits { bytes_per_day, ..Limits::default() };
        for (limits, expected) in [(day(None), 6_400), (day(Some(700)), 700), (day(Some(1)), 100)] {
            assert_eq!(most(&limits, 100), expected);
        }
    }
}
