//! Entries and counts, by the statements that keep them.

use super::*;
use crate::vault::store::Store;
use crate::vault::store::open::Database;

fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

fn terms(scope: Option<&str>, expires_us: Option<u64>) -> Terms {
    Terms { scope: scope.map(str::to_owned), now_us: 10, expires_us, note: Some("why".into()), replace: false }
}

fn with(work: impl FnOnce(&mut Suppressions<'_>)) {
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir(home.path().join("db")).unwrap();
    let database = Database::open(home.path()).unwrap();
    let mut store = Store::prepare(&database).unwrap();
    store.transaction(|store| store.credentials.tagger()).unwrap();
    work(&mut store.suppressions);
}

#[test]
fn an_entry_holds_for_whom_and_as_long_as_it_says_and_is_found_whatever_its_case() {
    with(|list| {
        let ann = address("ann@example.org");
        assert_eq!(list.covers("shop", &ann, 0).unwrap(), None);
        assert_eq!(
            list.put(&address("Ann@Example.org"), Reason::Complaint, &terms(Some("shop"), Some(100))),
            Ok(Put::Added)
        );
        assert_eq!(list.covers("shop", &ann, 99).unwrap(), Some(Reason::Complaint));
        assert_eq!(list.covers("shop", &ann, 100).unwrap(), None, "its time is over");
        assert_eq!(list.covers("other", &ann, 99).unwrap(), None, "it is another's");
        assert_eq!(list.put(&ann, Reason::Manual, &terms(None, None)), Ok(Put::Added));
        assert_eq!(list.covers("other", &ann, 1000).unwrap(), Some(Reason::Manual));
        assert_eq!(list.covers("", &address("anna@example.org"), 0).unwrap(), None);
        assert_eq!(list.of(&ann).unwrap().len(), 2);
        let (first, rest) = (list.list(None, 1).unwrap(), |place: &Place, list: &mut Suppressions<'_>| {
            list.list(Some(place), 9).unwrap().len()
        });
        assert_eq!((first.len(), rest(&first[0].0, list)), (1, 1));
        list.sweep(100, 9).unwrap();
        assert_eq!(list.of(&ann).unwrap().len(), 1);
        assert!(list.remove(&ann, None).unwrap() && !list.remove(&ann, None).unwrap());
        list.put(&ann, Reason::Manual, &terms(Some("shop"), None)).unwrap();
        list.forget("shop").unwrap();
        assert_eq!(list.covers("shop", &ann, 50).unwrap(), None);
    });
}

#[test]
fn bounces_in_a_row_count_until_one_is_delivered_and_do_not_touch_what_stands_there() {
    with(|list| {
        let ann = address("ann@example.org");
        let bounced = |list: &mut Suppressions<'_>, now: u64| list.bounced("shop", &ann, 2, now, now + 100).unwrap();
        assert!(!bounced(list, 10));
        assert_eq!((list.covers("shop", &ann, 10).unwrap(), list.of(&ann).unwrap().len()), (None, 0));
        list.delivered("shop", &ann).unwrap();
        assert!(!bounced(list, 20) && bounced(list, 30), "the second in a row");
        assert_eq!(list.covers("shop", &ann, 30).unwrap(), Some(Reason::Bounce));
        assert_eq!(list.covers("other", &ann, 30).unwrap(), None);
        assert!(!bounced(list, 40), "what stands there is told once");
        list.delivered("shop", &ann).unwrap();
        assert_eq!(list.covers("shop", &ann, 129).unwrap(), Some(Reason::Bounce), "only an order takes it away");
        assert!(!bounced(list, 131), "its time was over, and it is counted anew");
        list.put(&ann, Reason::Manual, &terms(Some("shop"), None)).unwrap();
        assert!(!bounced(list, 140));
        assert_eq!(list.of(&ann).unwrap()[0].1.reason, Reason::Manual);
    });
}

#[test]
fn what_is_erased_is_found_by_its_hash_alone() {
    with(|list| {
        let ann = address("ann@example.org");
        list.put(&ann, Reason::Manual, &terms(None, None)).unwrap();
        list.put(&ann, Reason::Bounce, &terms(Some("shop"), None)).unwrap();
        assert_eq!(list.erase(&address("ANN@example.org")).unwrap(), 2);
        let left = list.list(None, 9).unwrap();
        assert!(left.iter().all(|(_, one)| one.address.is_none() && one.note.is_none()), "{left:?}");
        assert_eq!(list.covers("any", &ann, 50).unwrap(), Some(Reason::Manual));
        assert!(list.remove(&ann, None).unwrap(), "who knows it can take it away");
    });
}

#[test]
fn what_comes_by_itself_takes_no_room_of_what_is_ordered_and_of_what_is_counted_the_oldest_goes() {
    with(|list| {
        let bounced = |list: &mut Suppressions<'_>, n: u32, after: u32, now: u64| {
            list.bounced("shop", &address(&format!("user{n}@example.org")), after, now, now + 1000).unwrap()
        };
        list.bounces.bound(Share { all: 5, own: 3 });
        list.alone = Share { all: 5, own: 2 };
        for n in 0..10 {
            assert!(!bounced(list, n, 2, 10 + u64::from(n)));
        }
        assert_eq!((list.sizes(2, "shop").unwrap().own, list.list(None, 9).unwrap().len()), (3, 0));
        assert!(!bounced(list, 0, 2, 30), "it was forgotten for newer ones");
        assert!(bounced(list, 9, 2, 31) && bounced(list, 8, 2, 32));
        assert!(!bounced(list, 0, 2, 33), "the share of the credential is used up");
        assert_eq!((list.sizes(1, "shop").unwrap().own, list.sizes(0, "shop").unwrap().all), (2, 0));
        // An order makes an entry of a bounce its own.
        let order = terms(Some("shop"), None);
        assert_eq!(list.put(&address("user9@example.org"), Reason::Manual, &order), Ok(Put::Changed));
        assert_eq!((list.sizes(1, "shop").unwrap().own, list.sizes(0, "shop").unwrap().all), (1, 1));
        assert!(bounced(list, 0, 2, 34), "there is room again");
        list.forget("shop").unwrap();
        assert_eq!([0, 1, 2].map(|kind| list.sizes(kind, "shop").unwrap().all), [0; 3]);
    });
}

#[test]
fn what_is_counted_is_no_address_and_is_forgotten_with_its_time_a_batch_at_a_time() {
    with(|list| {
        for n in 0..5 {
            list.bounced("shop", &address(&format!("user{n}@example.org")), 3, 10, 100).unwrap();
            list.put(&address(&format!("{n}@example.net")), Reason::Manual, &terms(None, Some(100))).unwrap();
        }
        let left = |list: &mut Suppressions<'_>| (list.sizes(2, "shop").unwrap().all, list.sizes(0, "").unwrap().all);
        list.sweep(99, 2).unwrap();
        assert_eq!(left(list), (5, 5));
        list.sweep(100, 2).unwrap();
        assert_eq!(left(list), (3, 3));
        list.sweep(100, 9).unwrap();
        assert_eq!(left(list), (0, 0));
    });
}

#[test]
fn what_is_there_for_longer_or_by_hand_stays_unless_it_is_to_be_replaced() {
    with(|list| {
        let ann = address("ann@example.org");
        assert_eq!(list.put(&ann, Reason::Complaint, &terms(None, None)), Ok(Put::Added));
        for (reason, end) in [(Reason::Bounce, None), (Reason::Manual, Some(100)), (Reason::Bounce, Some(100))] {
            assert_eq!(list.put(&ann, reason, &terms(None, end)), Ok(Put::Kept), "{reason:?} {end:?}");
        }
        let one = list.of(&ann).unwrap().remove(0).1;
        assert_eq!((one.reason, one.expires_us), (Reason::Complaint, None));
        assert_eq!(
            list.put(&ann, Reason::Bounce, &Terms { replace: true, ..terms(None, Some(100)) }),
            Ok(Put::Changed)
        );
        assert_eq!(list.put(&ann, Reason::Manual, &terms(None, Some(200))), Ok(Put::Changed), "it is for longer");
        let late = Terms { now_us: 200, ..terms(None, Some(250)) };
        assert_eq!(list.put(&ann, Reason::Bounce, &late), Ok(Put::Added), "what was there was over");
    });
}

#[test]
fn a_look_costs_one_step_of_an_index() {
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir(home.path().join("db")).unwrap();
    let database = Database::open(home.path()).unwrap();
    let sql = "EXPLAIN QUERY PLAN SELECT reason FROM suppression WHERE tag = x'00' AND scope IN ('', 'shop')";
    let plan: String = database.connection.query_row(sql, [], |row| row.get(3)).unwrap();
    assert!(plan.contains("USING PRIMARY KEY (tag=? AND scope=?)"), "{plan}");
}
