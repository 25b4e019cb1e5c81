//! What credentials have under way, counted and bounded, because what is charged to nobody yet could be anything: octets of
//! messages that have not come whole, which would fill the disk for everybody, and logins that wait before others.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

/// By credential.
#[derive(Debug, Default)]
pub struct Shares(RefCell<HashMap<String, u64>>);

impl Shares {
    /// For something of this credential that begins.
    pub fn share(self: &Rc<Self>, principal: &str) -> Share {
        Share { all: Rc::clone(self), principal: principal.to_owned(), own: 0 }
    }

    /// Whether a credential that may have `most` under way could have so many more. Takes nothing.
    pub fn admits(&self, principal: &str, more: u64, most: u64) -> bool {
        let sum = self.0.borrow().get(principal).copied().unwrap_or_default();
        sum.saturating_add(more) <= most
    }
}

/// What one of them has of it, until it is dropped.
#[derive(Debug)]
pub struct Share {
    all: Rc<Shares>,
    principal: String,
    own: u64,
}

impl Share {
    /// Takes so many more.
    ///
    /// Errors: the credential would have more than `most` under way.
    pub fn grow(&mut self, more: u64, most: u64) -> Result<(), Beyond> {
        let mut all = self.all.0.borrow_mut();
        let sum = all.entry(self.principal.clone()).or_default();
        let grown = sum.saturating_add(more);
        if grown > most {
            return Err(Beyond);
        }
        *sum = grown;
        self.own = self.own.saturating_add(more);
        Ok(())
    }
}

/// More than it may have.
#[derive(Debug, PartialEq, Eq)]
pub struct Beyond;

impl Drop for Share {
    fn drop(&mut self) {
        let mut all = self.all.0.borrow_mut();
        if let Some(sum) = all.get_mut(&self.principal) {
            *sum = sum.saturating_sub(self.own);
            if *sum == 0 {
                all.remove(&self.principal);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_credential_has_its_own_and_what_is_over_is_given_back() {
        let all = Rc::new(Shares::default());
        let (mut one, mut two, mut other) = (all.share("shop"), all.share("shop"), all.share("billing"));
        assert_eq!(one.grow(60, 100), Ok(()));
        assert_eq!(two.grow(50, 100), Err(Beyond));
        assert!(all.admits("shop", 40, 100) && !all.admits("shop", 41, 100) && all.admits("nobody", 100, 100));
        assert_eq!((two.grow(40, 100), other.grow(100, 100)), (Ok(()), Ok(())));
        drop(one);
        assert_eq!(two.grow(60, 100), Ok(()));
        drop((two, other));
        assert!(all.0.borrow().is_empty());
    }
}
