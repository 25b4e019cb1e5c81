//! What left this gate and comes back to it.

use super::transfer::{from, part, taken, whole};
use super::*;
use crate::ipc::admin::queue::listing::Standing;

/// One recipient whose attempt came to this, and nobody knows whether it delivered it.
fn unknown(store: &mut Store<'_>, state: State) -> MessageId {
    let message = accept(store, "shop", &["a@example.org"]);
    let row = lease(store, 1).unwrap().0;
    let settled = Settled { unknown: true, ..came_to(state) };
    store
        .transaction(|store| {
            store.spool.settle(1, row, 0, &settled)?;
            store.spool.release(1, 0).map(|own| assert_eq!(own, Some(row)))
        })
        .unwrap();
    message
}

#[test]
fn what_may_have_been_delivered_before_it_was_exported_comes_back_and_is_released_by_its_id_alone() {
    // Also by an archive of before that attempt.
    for standing in [Standing::Ready, Standing::Deferred, Standing::Quarantined] {
        let home = home();
        let database = Database::open(home.path()).unwrap();
        let mut store = Store::prepare(&database).unwrap();
        let message = unknown(&mut store, State::Waiting(0));
        let (envelope, mut recipients) = from(whole(&mut store, message, true), standing);
        recipients[0].unknown = standing != Standing::Ready;
        part(&mut store, message);
        assert_eq!(taken(&mut store, (envelope, recipients), true), Ok(false), "{standing:?}");
        assert_eq!(whole(&mut store, message, false).recipients[0].standing, Standing::Quarantined, "{standing:?}");
        assert_eq!(all(&mut store, &order(Deed::Release, Which::All)).messages, 0, "{standing:?}");
        assert_eq!(all(&mut store, &order(Deed::Release, Which::Message(message))).messages, 1, "{standing:?}");
        assert_eq!(lease(&mut store, 2).map(|(_, leased)| leased), Some(message), "{standing:?}");
    }
}

#[test]
fn a_message_that_cannot_come_back_is_told_why() {
    let home = home();
    let database = Database::open(home.path()).unwrap();
    let mut store = Store::prepare(&database).unwrap();
    let message = unknown(&mut store, State::Waiting(0));
    let doubtful = from(whole(&mut store, message, false), Standing::Ready);
    all(&mut store, &order(Deed::Drop, Which::All));
    assert!(taken(&mut store, doubtful, false).unwrap_err().contains("nobody knows whether it delivered it"));

    for (state, why) in [(State::Delivered, "was delivered to here"), (State::Failed, "given up here as failed")] {
        let message = accept(&mut store, "shop", &["a@example.org"]);
        let ended = from(whole(&mut store, message, false), Standing::Ready);
        let row = lease(&mut store, 1).unwrap().0;
        let done = store.transaction(|store| {
            store.spool.settle(1, row, 0, &came_to(state))?;
            store.spool.release(1, 0)?;
            store.finish(row, now_us())
        });
        done.unwrap();
        assert!(taken(&mut store, ended.clone(), false).unwrap_err().contains(why), "{why}");
        let (envelope, mut recipients) = ended;
        recipients[0].addressee = Address::parse("other@example.org").unwrap().into();
        assert!(taken(&mut store, (envelope, recipients), false).unwrap_err().contains("no recipient of it here"));
    }
}
