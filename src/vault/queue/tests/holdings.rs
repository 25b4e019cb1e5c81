//! Whatever becomes of mail, what is counted of it is what looking through the spool would give.

use std::collections::BTreeMap;

use rusqlite::Statement;

use super::transfer::{from, part, taken, whole};
use super::*;
use crate::ipc::admin::queue::listing::Standing;
use crate::vault::store::holdings::{Came, Held};

/// What must be counted, by looking through the spool: each message as often as it is offered.
const TRUTH: &str = "SELECT principal, sum((SELECT (count(*) + 99) / 100 FROM spool_rcpt AS r WHERE r.msg = id)), sum(bytes) \
                     FROM spool_msg JOIN spool_body ON spool_body.msg = id GROUP BY principal";

#[derive(Default)]
struct Counted {
    now: BTreeMap<String, Held>,
    recipients: u64,
    octets: u64,
}

impl Counted {
    /// Compares, and gives the messages and octets of all.
    fn look(&mut self, truth: &mut Statement<'_>, store: &mut Store<'_>) -> (u64, u64) {
        for (who, held, came) in store.holdings.changed() {
            self.recipients += came.recipients;
            self.octets += came.octets;
            if held.messages == 0 {
                assert_eq!(held.octets, 0);
                self.now.remove(&who);
            } else {
                self.now.insert(who, held);
            }
        }
        let rows = truth.query_map([], |row| {
            let [messages, octets] = [row.get::<_, u32>(1)?, row.get::<_, u32>(2)?].map(u64::from);
            Ok((row.get::<_, String>(0)?, Held { messages, octets }))
        });
        let truth: BTreeMap<_, _> = rows.unwrap().map(rusqlite::Result::unwrap).collect();
        assert_eq!(self.now, truth);
        truth.values().fold((0, 0), |(messages, octets), held| (messages + held.messages, octets + held.octets))
    }
}

#[test]
fn rule_q16_a_message_to_many_weighs_as_much_as_it_is_offered_and_nothing_when_it_is_gone() {
    let home = home();
    let first = Database::open(home.path()).unwrap();
    let mut truth = first.connection.prepare(TRUTH).unwrap();
    let mut store = Store::prepare(&first).unwrap();
    let mut counted = Counted::default();
    let names: Vec<String> = (0..250).map(|n| format!("r{n}@example.org")).collect();
    let many: Vec<&str> = names.iter().map(String::as_str).collect();
    accept(&mut store, "shop", &many);
    assert_eq!(counted.look(&mut truth, &mut store), (3, 3));
    let hundred = accept(&mut store, "shop", &many[..100]);
    let till = accept(&mut store, "till", &many[..101]);
    assert_eq!((counted.look(&mut truth, &mut store), counted.recipients, counted.octets), ((6, 9), 451, 9));
    // One is delivered, in as many offers; another is dropped by order; a third leaves for another gate and comes back.
    let mut job = 0;
    while let Some(leased) = {
        job += 1;
        store.transaction(|store| store.lease(LANE, LANE, job, now_us(), &|who| who == "till")).unwrap()
    } {
        let settle = |store: &mut Store<'_>| {
            for (n, ..) in &leased.recipients {
                assert!(store.spool.settle(job, leased.row, *n, &came_to(State::Delivered))?);
            }
            store.spool.release(job, 0)?;
            store.finish(leased.row, now_us())
        };
        store.transaction(settle).unwrap();
        counted.look(&mut truth, &mut store);
    }
    assert_eq!((job, store.hold.find(till).unwrap()), (3, None));
    assert_eq!(counted.look(&mut truth, &mut store), (4, 6));
    let out = from(whole(&mut store, hundred, true), Standing::Ready);
    part(&mut store, hundred);
    assert_eq!(counted.look(&mut truth, &mut store), (3, 3));
    assert_eq!(taken(&mut store, out, true), Ok(true));
    assert_eq!((counted.look(&mut truth, &mut store), counted.recipients), ((4, 6), 551));
    drop((store, truth));
    drop(first);
    let again = Database::open(home.path()).unwrap();
    let mut truth = again.connection.prepare(TRUTH).unwrap();
    let mut forget = again.connection.prepare("DELETE FROM spool_msg").unwrap();
    let mut store = Store::prepare(&again).unwrap();
    let mut counted = Counted::default();
    assert_eq!((counted.look(&mut truth, &mut store), counted.recipients), ((4, 6), 0), "after a restart");
    all(&mut store, &order(Deed::Drop, Which::All));
    assert_eq!(counted.look(&mut truth, &mut store), (0, 0));
    // One that goes with its body.
    accept(&mut store, "shop", &many);
    assert_eq!(counted.look(&mut truth, &mut store), (3, 3));
    forget.execute([]).unwrap();
    assert_eq!(counted.look(&mut truth, &mut store), (0, 0));
}

/// Whoever floods the store with what is passed on costs it as much as with what stays.
#[test]
fn rule_q16_what_is_passed_on_while_its_sender_waits_came_and_is_not_held() {
    let home = home();
    let database = Database::open(home.path()).unwrap();
    let mut store = Store::prepare(&database).unwrap();
    store.keys.adopt(vec![Master::new(Secret::new([1; 32]))]);
    let to = ["a@example.org", "b@example.org"];
    for (job, keeps) in [(1, false), (2, true)] {
        let accepted = accepted(if keeps { "kept" } else { "passed" }, &to);
        let intend = |store: &mut Store<'_>| store.intend(&accepted, 0, job, LANE, Uuid::now_v7(), keeps);
        store.transaction(intend).unwrap();
    }
    let changed: BTreeMap<_, _> =
        store.holdings.changed().into_iter().map(|(who, held, came)| (who, (held.messages, came))).collect();
    let came = |octets| Came { recipients: 2, octets };
    assert_eq!(changed["passed"], (0, came(0)));
    assert_eq!(changed["kept"], (1, came(3)));
}

/// What the spool takes in tells of itself, and no trigger: what is undone is as if it had never come, and what is passed on waits nowhere.
#[test]
fn rule_q12_what_is_taken_in_waits_until_a_courier_has_it() {
    let home = home();
    let database = Database::open(home.path()).unwrap();
    let mut store = Store::prepare(&database).unwrap();
    let waiting = |store: &Store<'_>| -> BTreeMap<String, u64> {
        store.census.waiting(now_us()).into_iter().map(|one| (one.principal, one.messages)).collect()
    };
    let of = |all: &[(&str, u64)]| all.iter().map(|(who, messages)| ((*who).to_owned(), *messages)).collect();
    accept(&mut store, "shop", &["a@example.org", "b@example.org"]);
    accept(&mut store, "till", &["a@example.org"]);
    assert_eq!(waiting(&store), of(&[("shop", 1), ("till", 1)]));
    store.holdings.changed();
    let undone = store.transaction(|store| {
        store.accept(&accepted("shop", &["c@example.org"]), 0)?;
        store.accept(&accepted("new", &["c@example.org"]), 0)?;
        Err::<(), _>(rusqlite::Error::InvalidQuery)
    });
    undone.unwrap_err();
    assert_eq!(waiting(&store), of(&[("shop", 1), ("till", 1)]));
    let told: BTreeMap<_, _> =
        store.holdings.changed().into_iter().map(|(who, held, came)| (who, (held, came))).collect();
    let held = |messages| Held { messages, octets: 3 * messages };
    assert_eq!(told["shop"], (held(1), Came::default()));
    assert_eq!(told["new"], (held(0), Came::default()));
    let live = accepted("shop", &["d@example.org"]);
    store.transaction(|store| store.intend(&live, 0, 9, LANE, Uuid::now_v7(), true)).unwrap();
    assert_eq!(waiting(&store), of(&[("shop", 1), ("till", 1)]), "a courier has it");
    let leased = lease(&mut store, 1).unwrap();
    assert_eq!(waiting(&store).values().sum::<u64>(), 1);
    store.transaction(|store| store.spool.release(1, 0).map(|row| assert_eq!(row, Some(leased.0)))).unwrap();
    assert_eq!(waiting(&store), of(&[("shop", 1), ("till", 1)]));
    // Its sender has gone: it is tried as any other.
    store.transaction(|store| store.spool.release(9, 0)).unwrap();
    assert_eq!(waiting(&store), of(&[("shop", 2), ("till", 1)]));
}
