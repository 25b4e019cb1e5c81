//! What one message costs the store doesn't grow with what else waits: counted in the steps of SQLite's machine, and not in time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::*;

/// Counted in portions of so many.
const PORTION: i32 = 10;

/// The steps of the whole life of one message of a credential, from its acceptance to the end of its lease.
fn steps_beside(waiting: usize) -> u64 {
    let home = home();
    let mut database = Database::open(home.path()).unwrap();
    let portions = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&portions);
    let count = move || {
        counter.fetch_add(1, Ordering::Relaxed);
        false
    };
    database.connection.progress_handler(PORTION, Some(count)).unwrap();
    let mut store = Store::prepare(&database).unwrap();
    store.keys.adopt(vec![Master::new(Secret::new([1; 32]))]);
    let others: Vec<Accepted> = (0..waiting).map(|_| accepted("flood", &["a@example.org"])).collect();
    store.transaction(|store| others.iter().try_for_each(|one| store.accept(one, 0))).unwrap();
    let before = portions.load(Ordering::Relaxed);
    let one = accepted("one", &["b@example.org", "c@example.org"]);
    store.transaction(|store| store.accept(&one, 0)).unwrap();
    let leased = store.transaction(|store| store.lease(LANE, LANE, 1, now_us(), &|who| who == "one")).unwrap().unwrap();
    for number in 0..2 {
        assert!(store.transaction(|store| store.settle(1, leased.row, number, &came_to(State::Delivered))).unwrap());
    }
    store.transaction(|store| store.finish(leased.row, now_us())).unwrap();
    store.transaction(|store| store.spool.release(1, now_us())).unwrap();
    assert_eq!(store.transaction(|store| store.owed()).unwrap().map(|owed| owed.row), None);
    store.spool.next_due(LANE).unwrap();
    portions.load(Ordering::Relaxed) - before
}

#[test]
fn a_message_costs_the_store_no_more_beside_thousands_that_wait() {
    let [few, many] = [10, 3000].map(steps_beside);
    assert!(few > 50, "{few} portions: nothing was counted");
    assert!(many < few * 3 / 2, "{few} portions beside ten, {many} beside thousands");
}
