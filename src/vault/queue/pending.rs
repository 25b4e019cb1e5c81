//! Messages that were decided and are not on the disk yet: whoever gives an order over the queue waits for them.

use std::cell::RefCell;
use std::rc::{Rc, Weak};
use std::time::Duration;

use tokio::time::{Instant, sleep};

/// How long an order waits for them: the disk has a minute for each.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often it is looked whether they are there.
const LOOK: Duration = Duration::from_millis(10);

#[derive(Debug, Default)]
pub struct Pending {
    now: RefCell<Rc<()>>,
    /// Those before the orders that were given, as long as there are any: orders soon after one another wait for the same.
    before: RefCell<Vec<Weak<()>>>,
}

impl Pending {
    /// Held by a message from its decision to its commit.
    pub fn begin(&self) -> Rc<()> {
        Rc::clone(&self.now.borrow())
    }

    /// Waits for all that began before this. False when there was none.
    pub async fn settled(&self) -> bool {
        let (mut before, until) = (self.turn(), Instant::now() + PATIENCE);
        let is_any = !before.is_empty();
        while !before.is_empty() && Instant::now() < until {
            sleep(LOOK).await;
            before.retain(|one| one.strong_count() > 0);
        }
        is_any
    }

    /// What begins from here on is of no order before it. Gives what began before.
    fn turn(&self) -> Vec<Weak<()>> {
        let last = Rc::downgrade(&self.now.replace(Rc::default()));
        let mut before = self.before.borrow_mut();
        before.push(last);
        before.retain(|one| one.strong_count() > 0);
        before.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_order_waits_for_what_began_before_it_and_for_nothing_that_came_since() {
        let pending = Pending::default();
        assert!(!pending.settled().await);
        let first = pending.begin();
        let (one, two) = (pending.turn(), pending.turn());
        assert_eq!((one.len(), two.len()), (1, 1), "the second one waits for it, too");
        let later = pending.begin();
        assert_eq!(pending.turn().len(), 2);
        drop(first);
        assert_eq!(pending.turn().len(), 1);
        drop(later);
        assert!(!pending.settled().await);
    }
}
