//! Credentials that end together.

use super::*;
use crate::vault::queue::ended::{self, Ended, Until};

#[test]
fn one_pass_holds_what_all_of_them_have_and_nothing_that_came_after_their_end_or_is_another_s() {
    let home = home();
    let first = Database::open(home.path()).unwrap();
    let mut store = Store::prepare(&first).unwrap();
    let one = accept(&mut store, "shop", &["a@example.org", "b@example.org"]);
    let two = accept(&mut store, "till", &["c@example.org"]);
    let other = accept(&mut store, "cron", &["d@example.org"]);
    let until = Until { message: MessageId::now(), events: 0 };
    let back = accept(&mut store, "shop", &["e@example.org"]);
    let ids = ["shop", "till", "gone"].map(|id| (id.to_owned(), "expired", "its credential is over"));
    let ended = Ended::new(ids, until);
    let pass = |store: &mut Store<'_>| {
        let (mut counts, next) = store.transaction(|store| ended::slice(store, &ended, 0)).unwrap();
        counts.sort_by(|one, other| one.0.cmp(&other.0));
        (counts, next)
    };
    let count = |recipients| Counts { messages: 1, recipients, under_way: 0 };
    assert_eq!(pass(&mut store), (vec![("shop".to_owned(), count(2)), ("till".to_owned(), count(1))], None));
    let is_held = |store: &mut Store<'_>, message| {
        let row = store.hold.find(message).unwrap().unwrap().row;
        store.hold.hold(row).unwrap() == 0
    };
    assert_eq!([one, two, other, back].map(|one| is_held(&mut store, one)), [true, true, false, false]);
    assert_eq!(events(&mut store).iter().filter(|(event, ..)| event == "queue.hold").count(), 2);
    assert_eq!(pass(&mut store), (Vec::new(), None));
}

#[test]
fn who_may_send_no_more_keeps_no_report_of_the_gates_own_here_and_any_other_order_takes_it_too() {
    let home = home();
    let first = Database::open(home.path()).unwrap();
    let mut store = Store::prepare(&first).unwrap();
    accept(&mut store, "shop", &["a@example.org"]);
    let report = Accepted { is_report: true, session: Uuid::nil(), ..accepted("shop", &["sender@example.net"]) };
    store.transaction(|store| store.accept(&report, 0)).unwrap();
    let own = || Which::Credential("shop".into());
    let revoked = |deed| Order { reason: REVOKED, ..order(deed, own()) };
    assert_eq!(all(&mut store, &revoked(Deed::Hold)), counts(1, 1, 0));
    assert_eq!(lease(&mut store, 1).map(|(_, message)| message), Some(report.message));
    // By its name, an administrator means all that is listed under it.
    assert_eq!(all(&mut store, &order(Deed::Hold, own())).under_way, 1);
    assert_eq!(all(&mut store, &revoked(Deed::Drop)).messages, 2);
}

#[test]
fn mail_that_was_taken_while_the_clock_was_ahead_is_held_as_what_it_is_by_its_event() {
    let home = home();
    let first = Database::open(home.path()).unwrap();
    let mut store = Store::prepare(&first).unwrap();
    let until = Until { message: MessageId::now(), events: 7 };
    store.keys.adopt(vec![Master::new(Secret::new([1; 32]))]);
    // Both have a later id; one has an event that was there.
    let [before, behind] = [6, 7].map(|seq| {
        let accepted = accepted("shop", &["a@example.org"]);
        store.transaction(|store| store.accept(&accepted, seq)).unwrap();
        accepted.message
    });
    let ended = Ended::new([("shop".to_owned(), "expired", "its credential is over")], until);
    let (counts, _) = store.transaction(|store| ended::slice(store, &ended, 0)).unwrap();
    assert_eq!(counts.iter().map(|(_, counts)| counts.messages).sum::<u64>(), 1);
    let mut holds = |message| store.hold.find(message).unwrap().map(|open| store.hold.hold(open.row).unwrap() == 0);
    assert_eq!((holds(before), holds(behind)), (Some(true), Some(false)));
}
