//! Another time for a message, beside leases: both are made by the thread of the store, one after the other.

use super::*;
use crate::vault::queue::reschedule::{self, Moved, Wish};
use crate::vault::store::submissions::Owner;

const HOUR_US: u64 = 3_600_000_000;

/// A message that is due then.
fn due_at(store: &mut Store<'_>, due_us: u64) -> MessageId {
    let accepted = Accepted { due_us, ..accepted("shop", &["a@example.org", "b@example.org"]) };
    store.keys.adopt(vec![Master::new(Secret::new([1; 32]))]);
    store.transaction(|store| store.accept(&accepted, 0)).unwrap();
    accepted.message
}

fn move_to(store: &mut Store<'_>, message: MessageId, release_us: u64, now_us: u64) -> Moved {
    let owner = Owner { principal: "shop", since_us: 0, is_heir: true };
    let (wish, event) = (Wish { message, release_us, once: None }, reschedule::event());
    store.transaction(|store| reschedule::reschedule(store, owner, &wish, &event, now_us)).unwrap().expect("its own")
}

#[test]
fn of_another_time_and_a_lease_the_first_has_the_message_also_where_it_was_asked_for_before_it_was_due() {
    let home = home();
    let database = Database::open(home.path()).unwrap();
    let mut store = Store::prepare(&database).unwrap();
    // Asked for when it was not due yet, and done when it was.
    let due_us = now_us();
    let asked_us = due_us - 1;
    let first = due_at(&mut store, due_us);
    assert_eq!(lease(&mut store, 1).map(|(_, message)| message), Some(first));
    assert_eq!(move_to(&mut store, first, due_us + HOUR_US, asked_us), Moved::TooLate);
    let second = due_at(&mut store, due_us);
    let moved = move_to(&mut store, second, due_us + HOUR_US, asked_us);
    assert_eq!(moved, Moved::Done(BTreeSet::from([LANE.to_owned()]), None));
    assert_eq!(lease(&mut store, 2), None, "it has another time");
    // A time that is over is now.
    assert!(matches!(move_to(&mut store, second, 1, now_us()), Moved::Done(..)));
    assert_eq!(lease(&mut store, 3).map(|(_, message)| message), Some(second));
    let names: Vec<_> = events(&mut store).into_iter().map(|(name, ..)| name).collect();
    assert_eq!(names, ["queue.reschedule", "queue.reschedule"], "what was too late is no event");
}

#[test]
fn a_message_is_given_another_time_so_often_and_the_same_one_is_none() {
    let home = home();
    let database = Database::open(home.path()).unwrap();
    let due_us = now_us() + HOUR_US;
    let mut store = Store::prepare(&database).unwrap();
    let message = due_at(&mut store, due_us);
    let time = |n: u32| due_us + u64::from(n) * 1_000_000;
    for n in 1..=reschedule::MOST {
        assert!(matches!(move_to(&mut store, message, time(n), now_us()), Moved::Done(..)), "{n}");
        assert_eq!(move_to(&mut store, message, time(n), now_us()), Moved::Same, "{n}");
    }
    drop(store);
    drop(database);
    // Over a restart, too.
    let database = Database::open(home.path()).unwrap();
    let mut store = Store::prepare(&database).unwrap();
    store.keys.adopt(vec![Master::new(Secret::new([1; 32]))]);
    assert_eq!(move_to(&mut store, message, due_us, now_us()), Moved::TooOften);
    assert_eq!(move_to(&mut store, message, time(reschedule::MOST), now_us()), Moved::Same);
    let told = events(&mut store).len();
    assert_eq!(told, usize::try_from(reschedule::MOST).unwrap(), "what did nothing is no event");
    drop(store);
    drop(database);
    // It leaves as what it was.
    let database = Database::open(home.path()).unwrap();
    let at: i64 = database.connection.query_row("SELECT min(next_us) FROM spool_rcpt", [], |row| row.get(0)).unwrap();
    assert_eq!(u64::try_from(at), Ok(time(reschedule::MOST)));
    database.connection.execute("UPDATE spool_rcpt SET next_us = 1", []).unwrap();
    let mut store = Store::prepare(&database).unwrap();
    store.keys.adopt(vec![Master::new(Secret::new([1; 32]))]);
    assert_eq!(lease(&mut store, 1).map(|(_, message)| message), Some(message));
}
