//! What another log says of recipients who wait here.

use super::*;
use crate::ipc::admin::queue::{Alike, End, Reconciled, Told};
use crate::vault::queue::reconcile::{self as reconciling, Done};
use crate::vault::store::transfer::Was;

fn one(address: &str, end: Option<End>, doubt: bool) -> Told {
    Told::One { address: address.into(), end, doubt }
}

/// All of those in all have an end there: so many were delivered, failed, or went into an archive since.
fn alike(shown: &str, ended: u64, [delivered, failed, exported]: [u64; 3]) -> Told {
    Told::Alike(Alike { shown: shown.into(), ended, delivered, failed, exported, doubt: false })
}

fn doubted(shown: &str) -> Told {
    Told::Alike(Alike { shown: shown.into(), doubt: true, ..Alike::default() })
}

fn reconciled(store: &mut Store<'_>, message: MessageId, told: &[Told]) -> Reconciled {
    let mut done = Done::default();
    store.transaction(|store| reconciling::reconcile(store, message, told, "uid 0", &mut done)).unwrap();
    done.reconciled
}

fn held(store: &mut Store<'_>, recipients: &[&str], on_unknown: OnUnknown) -> MessageId {
    let accepted = Accepted { on_unknown, ..accepted("shop", recipients) };
    store.keys.adopt(vec![Master::new(Secret::new([1; 32]))]);
    store.transaction(|store| store.accept(&accepted, 0)).unwrap();
    all(store, &order(Deed::Hold, Which::All));
    accepted.message
}

fn drops(store: &mut Store<'_>) -> Vec<String> {
    let drops = events(store).into_iter().filter(|(name, ..)| name == "queue.drop");
    drops.map(|(_, data, _)| data.unwrap_or_default()).collect()
}

/// How many may have got it, in a store that is closed.
fn doubts(home: &tempfile::TempDir) -> i64 {
    let file = rusqlite::Connection::open(home.path().join("db/vault.db")).unwrap();
    file.query_row("SELECT sum(doubt) FROM spool_rcpt", [], |row| row.get(0)).unwrap()
}

#[test]
fn what_another_log_shows_as_ended_is_final_and_who_cannot_be_told_apart_is_released_by_id_alone() {
    let home = home();
    let database = Database::open(home.path()).unwrap();
    let mut store = Store::prepare(&database).unwrap();
    let message = held(&mut store, &["a@x.example", "b@x.example", "c@y.example"], OnUnknown::Retry);
    let ended = |sum: Reconciled| (sum.done.recipients, sum.unclear);
    assert_eq!(ended(reconciled(&mut store, message, &[])), (0, 0));
    // One of two at x.example: which of them, nobody can tell. The one at y.example is meant without doubt.
    let told = [alike("***@x.example", 1, [1, 0, 0]), alike("***@y.example", 1, [1, 0, 0])];
    assert_eq!(ended(reconciled(&mut store, message, &told)), (1, 2));
    assert_eq!(all(&mut store, &order(Deed::Release, Which::All)).recipients, 0);
    assert_eq!(all(&mut store, &order(Deed::Release, Which::Message(message))).recipients, 2);
    // Whom somebody let go since stays so.
    assert_eq!(ended(reconciled(&mut store, message, &told)), (0, 2));
    assert_eq!(lease(&mut store, 1).map(|(_, leased)| leased), Some(message));
    store.transaction(|store| store.spool.release(1, 0).map(drop)).unwrap();
    assert_eq!(ended(reconciled(&mut store, message, &[one("b@x.example", Some(End::Delivered), false)])), (1, 0));
    assert_eq!(ended(reconciled(&mut store, message, &[alike("***@z.example", 1, [1, 0, 0])])), (0, 0));
    assert_eq!(ended(reconciled(&mut store, message, &[alike("***@x.example", 2, [1, 0, 0])])), (1, 0));
    assert_eq!(store.hold.open(0, 9).unwrap(), [], "the body is gone with the last of them");
    assert_eq!(drops(&mut store), vec![r#"{"delivered":1,"failed":0}"#; 3]);
}

#[test]
fn where_those_who_look_alike_ended_in_several_ways_each_may_have_got_it_and_the_event_has_how_many_did() {
    for (ends, was, data) in [
        ([1, 1, 0], Was::Failed, r#"{"delivered":1,"failed":1,"may_be_delivered":true}"#),
        ([1, 0, 1], Was::Exported { doubt: true }, r#"{"delivered":1,"failed":1,"may_be_delivered":true}"#),
        ([0, 2, 0], Was::Failed, r#"{"delivered":0,"failed":2}"#),
        ([0, 0, 2], Was::Exported { doubt: false }, r#"{"reconciled":true}"#),
        ([2, 0, 0], Was::Delivered, r#"{"delivered":2,"failed":0}"#),
    ] {
        let home = home();
        let database = Database::open(home.path()).unwrap();
        let mut store = Store::prepare(&database).unwrap();
        let message = held(&mut store, &["a@x.example", "b@x.example"], OnUnknown::Hold);
        let sum = reconciled(&mut store, message, &[alike("***@x.example", 2, ends)]);
        assert_eq!((sum.done.recipients, sum.unclear), (2, 0), "{ends:?}");
        assert_eq!(drops(&mut store), [data]);
        assert!(store.transfer.was(message).unwrap().iter().all(|(_, own)| *own == was), "{ends:?}");
        drop(store);
        drop(database);
        assert_eq!(doubts(&home) > 0, data.contains("may_be_delivered"), "{ends:?}");
    }
}

#[test]
fn who_may_have_got_it_is_quarantined_unless_his_credential_has_such_mail_tried_again() {
    for (on_unknown, told, doubtful) in [
        (OnUnknown::Hold, one("a@x.example", None, true), 1),
        (OnUnknown::Drop, doubted("***@x.example"), 1),
        (OnUnknown::Retry, doubted("***"), 0),
    ] {
        let home = home();
        let database = Database::open(home.path()).unwrap();
        let mut store = Store::prepare(&database).unwrap();
        let message = held(&mut store, &["a@x.example"], on_unknown);
        let sum = reconciled(&mut store, message, &[told]);
        assert_eq!((sum.done.recipients, sum.unclear, sum.doubtful), (0, 0, doubtful), "{on_unknown:?}");
        assert_eq!(all(&mut store, &order(Deed::Release, Which::All)).recipients, 1 - doubtful, "{on_unknown:?}");
        assert_eq!(drops(&mut store), Vec::<String>::new());
        drop(store);
        drop(database);
        assert_eq!(doubts(&home), 1, "{on_unknown:?}");
    }
}

#[test]
fn what_an_event_newer_than_the_database_has_as_ended_is_quarantined_also_while_a_courier_had_it() {
    for is_leased in [false, true] {
        let home = home();
        let database = Database::open(home.path()).unwrap();
        let mut store = Store::prepare(&database).unwrap();
        let [message, other] = ["a@x.example", "b@x.example"].map(|to| accept(&mut store, "shop", &[to]));
        if is_leased {
            assert_eq!(lease(&mut store, 1).map(|(_, leased)| leased), Some(message));
        }
        assert_eq!(store.transaction(|store| store.hold.overtake(message)).unwrap(), 1, "{is_leased}");
        assert_eq!(store.transaction(|store| store.hold.overtake(message)).unwrap(), 0, "{is_leased}");
        // As at a start.
        store.transaction(|store| store.spool.release_all()).unwrap();
        assert_eq!(all(&mut store, &order(Deed::Release, Which::All)).recipients, 0, "{is_leased}");
        assert_eq!(lease(&mut store, 2).map(|(_, leased)| leased), Some(other), "{is_leased}");
        assert_eq!(lease(&mut store, 3), None, "{is_leased}");
        assert_eq!(all(&mut store, &order(Deed::Release, Which::Message(message))).recipients, 1, "{is_leased}");
        assert_eq!(lease(&mut store, 4).map(|(_, leased)| leased), Some(message), "{is_leased}");
    }
}
