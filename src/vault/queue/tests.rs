//! Orders over a queue, in transactions as the writer makes them.

use std::time::Duration;

use uuid::Uuid;

use super::*;
use crate::ipc::admin::queue::listing::Ordered;
use crate::mail::address::Address;
use crate::mail::envelope::Manner;
use crate::mail::id::MessageId;
use crate::mail::outcome::Said;
use crate::policy::OnUnknown;
use crate::policy::mask::Mask;
use crate::policy::reports::{Delays, Reports};
use crate::secret::Secret;
use crate::vault::audit::row;
use crate::vault::cipher::BodyKey;
use crate::vault::master::Master;
use crate::vault::offline::Stopped;
use crate::vault::store::open::Database;
use crate::vault::store::spool::{Accepted, Body, Settled, State, Verdict};

mod back;
mod cost;
mod ended;
mod holdings;
mod leaving;
mod listing;
mod reconcile;
mod rescheduling;
mod transfer;
mod turns;

const LANE: &str = "smarthost";

fn home() -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir(home.path().join("db")).unwrap();
    home
}

fn came_to(state: State) -> Settled {
    Settled { state, said: Said::default(), owed: false, tried: true, unknown: false, verdict: Verdict::Other }
}

fn accept(store: &mut Store<'_>, principal: &str, recipients: &[&str]) -> MessageId {
    let accepted = accepted(principal, recipients);
    store.keys.adopt(vec![Master::new(Secret::new([1; 32]))]);
    store.transaction(|store| store.accept(&accepted, 0)).unwrap();
    accepted.message
}

fn accepted(principal: &str, recipients: &[&str]) -> Accepted {
    let message = MessageId::now();
    Accepted {
        message,
        session: Uuid::now_v7(),
        principal: principal.into(),
        sender: None,
        manner: Manner::default(),
        recipients: recipients.iter().map(|to| (Address::parse(to).unwrap().into(), LANE.into())).collect(),
        body: Body::Inline(b"x\r\n".to_vec()),
        key: BodyKey::generate(),
        bytes: 3,
        sha256: [0; 32],
        accepted_us: now_us(),
        due_us: 0,
        expires_us: now_us() + u64::try_from(Duration::from_secs(60).as_micros()).unwrap(),
        on_unknown: OnUnknown::Retry,
        reports: Reports::Mail,
        webhook: None,
        delays: Delays::Never,
        is_report: false,
        named: u32::try_from(recipients.len()).ok(),
        owner: None,
        label: None,
    }
}

fn order(deed: Deed, which: Which) -> Order {
    Order { deed, which, actor: Some("uid 0".into()), reason: "ordered", note: Some("a\nnote".into()) }
}

fn all(store: &mut Store<'_>, order: &Order) -> Counts {
    let (mut counts, mut next) = (Counts::default(), Some(0));
    while let Some(after) = next {
        let done = store.transaction(|store| slice(store, order, after)).unwrap();
        add(&mut counts, done.counts);
        next = done.next;
    }
    counts
}

fn counts(messages: u64, recipients: u64, under_way: u64) -> Counts {
    Counts { messages, recipients, under_way }
}

fn lease(store: &mut Store<'_>, job: u64) -> Option<(i64, MessageId)> {
    let leased = store.transaction(|store| store.lease(LANE, LANE, job, now_us(), &|_| true)).unwrap();
    leased.map(|leased| (leased.row, leased.message))
}

fn events(store: &mut Store<'_>) -> Vec<(String, Option<String>, usize)> {
    let rows = store.ledger.batch(5000).unwrap().rows;
    let data = row::COLUMNS.iter().position(|column| *column == "data").unwrap();
    let data = |row: &row::Row| match &row.clear[data] {
        rusqlite::types::Value::Text(text) => Some(text.clone()),
        _ => None,
    };
    rows.into_iter().map(|row| (row.event.clone(), data(&row), row.personal.len())).collect()
}

#[test]
fn what_is_held_is_dropped_without_what_came_since() {
    let home = home();
    let database = Database::open(home.path()).unwrap();
    let mut store = Store::prepare(&database).unwrap();
    let stolen = accept(&mut store, "shop", &["a@example.org", "b@example.org"]);
    let of_shop = |deed| order(deed, Which::Credential("shop".into()));
    assert_eq!(all(&mut store, &of_shop(Deed::DropHeld)), counts(0, 0, 0), "nothing of it is held");
    // One that its courier has meanwhile is held, and given up, when he comes back.
    assert_eq!(lease(&mut store, 1).unwrap().1, stolen);
    let other = accept(&mut store, "other", &["c@example.org"]);
    all(&mut store, &order(Deed::Hold, Which::All));
    let good = accept(&mut store, "shop", &["d@example.org"]);
    assert_eq!(all(&mut store, &of_shop(Deed::DropHeld)), counts(1, 0, 2));
    store
        .transaction(|store| {
            let row = store.spool.release(1, now_us())?;
            row.map_or(Ok(None), |row| bury(store, row))
        })
        .unwrap();
    assert_eq!(store.hold.find(stolen).unwrap(), None, "both are given up");
    assert_eq!(store.hold.held().unwrap(), (1, 1), "of another credential's nothing is");
    assert!(store.hold.find(other).unwrap().is_some());
    assert_eq!(lease(&mut store, 2).unwrap().1, good, "what came with the new key goes out");
}

#[test]
fn rule_q17_what_is_held_is_offered_to_nobody_until_it_is_released() {
    let home = home();
    let database = Database::open(home.path()).unwrap();
    let mut store = Store::prepare(&database).unwrap();
    let shop = accept(&mut store, "shop", &["a@example.org", "b@example.org"]);
    let other = accept(&mut store, "other", &["c@example.org"]);
    let of_shop = |deed| order(deed, Which::Credential("shop".into()));
    assert_eq!(all(&mut store, &of_shop(Deed::Hold)), counts(1, 2, 0));
    assert_eq!(all(&mut store, &of_shop(Deed::Hold)), counts(0, 0, 0), "it was held already");
    assert_eq!(lease(&mut store, 1).unwrap().1, other);
    assert_eq!(lease(&mut store, 2), None);
    assert_eq!(store.spool.next_due(LANE).unwrap(), None);
    let released = store.transaction(|store| slice(store, &of_shop(Deed::Release), 0)).unwrap();
    assert_eq!((released.counts, released.lanes), (counts(1, 2, 0), BTreeSet::from([LANE.to_owned()])));
    assert_eq!(lease(&mut store, 3).unwrap().1, shop);
    let data = Some(r#"{"messages":1,"note":"anote"}"#.to_owned());
    assert_eq!(
        events(&mut store),
        [("queue.hold".into(), data.clone(), 1), ("queue.release".into(), data, 1)],
        "one event for what was done, none for what was not"
    );
}

#[test]
fn what_comes_back_from_a_courier_is_as_held_or_dropped_as_it_was_made_meanwhile() {
    for (deed, settled) in [(Deed::Hold, false), (Deed::Drop, false), (Deed::Drop, true)] {
        let home = home();
        let database = Database::open(home.path()).unwrap();
        let mut store = Store::prepare(&database).unwrap();
        let message = accept(&mut store, "shop", &["a@example.org"]);
        let (row, _) = lease(&mut store, 1).unwrap();
        let done = all(&mut store, &order(deed, Which::Message(message)));
        let expected = if deed == Deed::Hold { counts(1, 1, 1) } else { counts(1, 0, 1) };
        assert_eq!(done, expected);
        let seen = store.listing.find(message, now_us()).unwrap().unwrap();
        let word = if deed == Deed::Hold { "hold" } else { "drop" };
        assert_eq!(seen.recipients[0].order.map(Ordered::word), Some(word), "who looks is told");
        assert_eq!(store.hold.open(0, 9).unwrap().len(), 1, "the courier still needs the body");
        store
            .transaction(|store| {
                if settled {
                    store.spool.settle(1, row, 0, &came_to(State::Delivered))?;
                } else {
                    store.spool.settle(1, row, 0, &came_to(State::Waiting(0)))?;
                }
                store.finish(row, now_us())?;
                let row = store.spool.release(1, 0)?.expect("a lease");
                bury(store, row)
            })
            .unwrap();
        assert_eq!(lease(&mut store, 2), None);
        let is_open = !store.hold.open(0, 9).unwrap().is_empty();
        assert_eq!(is_open, deed == Deed::Hold, "{deed:?}");
        let drops = events(&mut store).into_iter().filter(|(name, ..)| name == "queue.drop").count();
        assert_eq!(drops, usize::from(deed == Deed::Drop && !settled), "one final state, and the event of it");
    }
}

#[test]
fn an_order_goes_through_a_queue_longer_than_a_slice() {
    let home = home();
    let database = Database::open(home.path()).unwrap();
    let mut store = Store::prepare(&database).unwrap();
    let many = usize::try_from(SLICE).unwrap() + 1;
    let recipients: Vec<String> = (0..=MAX_RECIPIENTS).map(|n| format!("r{n}@example.org")).collect();
    accept(&mut store, "shop", &recipients.iter().map(String::as_str).collect::<Vec<_>>());
    for _ in 1..many {
        accept(&mut store, "shop", &["a@example.org"]);
    }
    let (messages, people) = (u64::from(SLICE) + 1, u64::from(SLICE) + 1 + 100);
    assert_eq!(all(&mut store, &order(Deed::Hold, Which::All)), counts(messages, people, 0));
    assert_eq!(all(&mut store, &order(Deed::Drop, Which::All)), counts(messages, people, 0));
    assert_eq!(store.hold.open(0, 9).unwrap(), []);
    let events = events(&mut store);
    let of = |name: &str| events.iter().filter(|(event, ..)| event == name).count();
    // One for each slice; one for each message, and two where one leaf can't hold all.
    assert_eq!((of("queue.hold"), of("queue.drop")), (2, many + 1));
}

#[test]
fn dropped_while_a_courier_had_it_and_then_a_crash() {
    let home = home();
    {
        let database = Database::open(home.path()).unwrap();
        let mut store = Store::prepare(&database).unwrap();
        accept(&mut store, "shop", &["a@example.org"]);
        lease(&mut store, 1).unwrap();
        all(&mut store, &order(Deed::Drop, Which::All));
    }
    let database = Database::open(home.path()).unwrap();
    let mut store = Store::prepare(&database).unwrap();
    store
        .transaction(|store| {
            store.spool.release_all()?;
            bury_all(store)
        })
        .unwrap();
    assert_eq!(store.hold.open(0, 9).unwrap(), []);
    assert_eq!(events(&mut store).last().unwrap().0, "queue.drop");
}

#[test]
fn a_stopped_service_takes_orders_too_and_shows_auditors_what_the_mask_lets_them_see() {
    let home = home();
    {
        let database = Database::open(home.path()).unwrap();
        let mut store = Store::prepare(&database).unwrap();
        accept(&mut store, "shop", &["a@example.org"]);
        // It serves, and is killed.
        store.transaction(|store| store.marker.begin(now_us(), store.ledger.last())).unwrap();
    }
    let stopped = Stopped { home: home.path(), mask: Mask::Full, declared: &[] };
    assert_eq!(stopped.queue(&order(Deed::Hold, Which::All)), Ok(counts(1, 1, 0)));
    assert_eq!(stopped.queue(&order(Deed::Drop, Which::All)), Ok(counts(1, 1, 0)));
    assert_eq!(stopped.queue(&order(Deed::Drop, Which::All)), Ok(counts(0, 0, 0)));
    let database = Database::open(home.path()).unwrap();
    let mut store = Store::prepare(&database).unwrap();
    let names: Vec<_> = events(&mut store).into_iter().map(|event| event.0).collect();
    assert_eq!(names, ["daemon.crash", "queue.hold", "queue.drop"], "the crash comes first, and once");
    let rows = store.ledger.batch(10).unwrap().rows;
    let shown: Vec<_> = rows[2].personal.iter().map(|personal| personal.shown.clone()).collect();
    assert!(!shown.is_empty() && !format!("{shown:?}").contains("example.org"), "{shown:?}");
}
