//! What is shown of a queue.

use super::*;
use crate::config::slice::Declared;
use crate::ipc::admin::queue::listing::{By, Entry, Standing, Stop, Sum, View};
use crate::ipc::admin::queue::{Command, Response};
use crate::mail::outcome::UNANSWERED;
use crate::policy::Policy;
use crate::policy::rule::RecipientRule;
use crate::vault::audit::masks::Masks;
use crate::vault::queue::listing::look;

/// Asks until there is no more.
fn walk(store: &mut Store<'_>, command: impl Fn(i64) -> Command) -> Vec<Response> {
    let (mut all, mut next) = (Vec::new(), Some(0));
    while let Some(after) = next {
        let mut found = store.transaction(|store| look(store, &command(after), "uid 0", now_us())).unwrap();
        let Some(Response::Next(there)) = found.pop() else { panic!("no end") };
        all.extend(found);
        next = there;
    }
    all
}

fn list(store: &mut Store<'_>, view: View) -> Vec<Entry> {
    let entry = |part| match part {
        Response::Entry(entry) => *entry,
        other => panic!("{other:?}"),
    };
    walk(store, |after| Command::View { view: view.clone(), after }).into_iter().map(entry).collect()
}

fn ids(entries: &[Entry]) -> Vec<MessageId> {
    entries.iter().map(|entry| entry.message).collect()
}

fn put_off(store: &mut Store<'_>, (job, row): (u64, i64), number: u32, until_us: u64) {
    let said = Said { code: Some(451), text: "ask rosa@example.org".into(), ..Said::default() };
    let settled = Settled {
        state: State::Waiting(until_us),
        said,
        owed: false,
        tried: true,
        unknown: false,
        verdict: Verdict::Other,
    };
    store.transaction(|store| store.spool.settle(job, row, number, &settled)).unwrap();
}

#[test]
fn rule_q17_a_list_shows_where_everybody_stands_and_only_what_was_asked_for() {
    let home = home();
    let database = Database::open(home.path()).unwrap();
    let mut store = Store::prepare(&database).unwrap();
    let shop = accept(&mut store, "shop", &["a@one.example", "b@two.example"]);
    let row = lease(&mut store, 1).unwrap().0;
    put_off(&mut store, (1, row), 0, now_us() + 3_600_000_000);
    let other = accept(&mut store, "other", &["c@two.example"]);
    let held = accept(&mut store, "other", &["d@sub.two.example"]);
    all(&mut store, &order(Deed::Hold, Which::Message(held)));

    let entries = list(&mut store, View::default());
    assert_eq!(ids(&entries), [shop, other, held], "the oldest first");
    assert_eq!(entries[0].standings, [(Standing::Leased, 1), (Standing::Deferred, 1)]);
    assert_eq!((entries[0].attempts, entries[0].code), (1, Some(451)));
    assert_eq!((entries[1].standings[0].0, entries[2].standings[0].0), (Standing::Ready, Standing::Held));
    let rule = |text: &str| Some(text.parse::<RecipientRule>().unwrap());
    let mut by = |view| ids(&list(&mut store, view));
    assert_eq!(by(View { credential: Some("shop".into()), ..View::default() }), [shop]);
    assert_eq!(by(View { recipient: rule("@two.example"), ..View::default() }), [shop, other]);
    assert_eq!(by(View { recipient: rule(".two.example"), ..View::default() }), [held]);
    assert_eq!(by(View { standing: Some(Standing::Deferred), ..View::default() }), [shop]);
    let both = View { standing: Some(Standing::Deferred), recipient: rule("@two.example"), ..View::default() };
    assert!(by(both).is_empty(), "one and the same recipient");

    store.transaction(|store| store.spool.release(1, 0)).unwrap();
    let mut leases = (2..9).map(|job| (job, lease(&mut store, job).unwrap()));
    let (job, _) = leases.find(|(_, (_, message))| *message == shop).expect("its turn comes");
    let done = came_to(State::Delivered);
    store.transaction(|store| store.spool.settle(job, row, 1, &done)).unwrap();
    assert_eq!(list(&mut store, View::default())[0].standings, [(Standing::Deferred, 1), (Standing::Delivered, 1)]);
    assert_eq!(all(&mut store, &order(Deed::Drop, Which::Message(shop))).recipients, 1);
    assert_eq!(ids(&list(&mut store, View::default())), [other, held]);
    let shown = store.transaction(|store| look(store, &Command::Show { message: shop, clear: false }, "uid 0", 0));
    let shown = shown.unwrap();
    let standings = shown.iter().filter_map(|part| match part {
        Response::Stop(stop) => Some(stop.standing),
        _ => None,
    });
    let standings: Vec<_> = standings.collect();
    assert_eq!(standings, [Standing::Failed, Standing::Delivered], "what is done is shown by its id");
}

#[test]
fn a_list_shows_addresses_as_auditors_see_them_and_who_asks_for_more_is_written_down() {
    let home = home();
    let database = Database::open(home.path()).unwrap();
    let mut store = Store::prepare(&database).unwrap();
    let message = accept(&mut store, "shop", &["rosa@example.org"]);
    let row = lease(&mut store, 1).unwrap().0;
    put_off(&mut store, (1, row), 0, u64::MAX / 4);
    let own =
        Declared { id: "shop".into(), secrets: vec![], policy: Policy::default(), certificates: vec![], enabled: true };
    store.ledger.masks = Masks::new(Mask::LocalPart, &[], &[]);
    let mut show = |clear| {
        let parts = store.transaction(|store| look(store, &Command::Show { message, clear }, "uid 0 (ann)", now_us()));
        let stop = parts.unwrap().into_iter().find_map(|part| match part {
            Response::Stop(stop) => Some(*stop),
            _ => None,
        });
        let Stop { recipient, said, .. } = stop.unwrap();
        (recipient, said)
    };
    // Of a credential that is gone least is shown.
    assert_eq!(show(false), ("***".to_owned(), None));
    assert_eq!(show(true), ("rosa@example.org".to_owned(), Some("ask rosa@example.org".to_owned())));
    store.ledger.masks = Masks::new(Mask::LocalPart, &[own], &[]);
    let entry = &list(&mut store, View::default())[0];
    assert_eq!((entry.recipients.as_slice(), entry.sender.as_str()), (["***@example.org".to_owned()].as_slice(), "<>"));
    let clear = View { clear: true, ..View::default() };
    assert_eq!(list(&mut store, clear)[0].recipients, ["rosa@example.org"]);
    let events = events(&mut store);
    assert_eq!(events.iter().filter(|(name, ..)| name == "queue.view").count(), 2, "{events:?}");
}

#[test]
fn a_long_queue_is_shown_in_parts_and_counted_once() {
    let home = home();
    let database = Database::open(home.path()).unwrap();
    let mut store = Store::prepare(&database).unwrap();
    for n in 0..1100 {
        accept(&mut store, if n % 11 == 0 { "rare" } else { "shop" }, &["a@example.org", "b@example.org"]);
    }
    let first = Command::View { view: View::default(), after: 0 };
    let part = store.transaction(|store| look(store, &first, "uid 0", now_us())).unwrap();
    assert!(part.len() < 1100, "{}", part.len());
    assert_eq!(list(&mut store, View::default()).len(), 1100);
    assert_eq!(list(&mut store, View { credential: Some("rare".into()), ..View::default() }).len(), 100);
    let mut sums = std::collections::BTreeMap::<By, Sum>::new();
    for part in walk(&mut store, |after| Command::Tally { after }) {
        let Response::Tallied(by, sum) = part else { panic!("{part:?}") };
        sums.entry(by).or_default().add(sum);
    }
    let counted = |by: By| sums.get(&by).map(|sum| (sum.messages, sum.recipients, sum.bytes));
    assert_eq!(counted(By::All), Some((1100, 2200, 3300)));
    assert_eq!(counted(By::Credential("rare".into())), Some((100, 200, 300)));
    assert_eq!(counted(By::Route(LANE.into())), Some((1100, 2200, 3300)));
    assert_eq!(counted(By::Standing(Standing::Ready)), Some((1100, 2200, 3300)));
    assert_eq!(counted(By::Age(Some(60))), Some((1100, 2200, 3300)));
    assert!(sums[&By::All].oldest_us.is_some());
}

#[test]
fn what_waits_is_due_now_by_order_and_what_is_held_stays_held() {
    let home = home();
    let database = Database::open(home.path()).unwrap();
    let mut store = Store::prepare(&database).unwrap();
    let later = accept(&mut store, "shop", &["a@example.org"]);
    let row = lease(&mut store, 1).unwrap().0;
    put_off(&mut store, (1, row), 0, u64::MAX / 4);
    store.transaction(|store| store.spool.release(1, 0)).unwrap();
    let held = accept(&mut store, "shop", &["b@example.org"]);
    all(&mut store, &order(Deed::Hold, Which::Message(held)));
    assert_eq!(lease(&mut store, 2), None);
    assert_eq!(all(&mut store, &order(Deed::Retry, Which::Upstream("smart".into()))), counts(0, 0, 0));
    let done = store.transaction(|store| slice(store, &order(Deed::Retry, Which::Upstream(LANE.into())), 0)).unwrap();
    assert_eq!((done.counts, done.lanes), (counts(1, 1, 0), BTreeSet::from([LANE.to_owned()])));
    assert_eq!(lease(&mut store, 3).unwrap().1, later);
    assert_eq!(lease(&mut store, 4), None);
    let data = Some(r#"{"messages":1,"note":"anote"}"#.to_owned());
    assert!(events(&mut store).iter().any(|(name, said, _)| name == "queue.retry" && *said == data));
}

#[test]
fn row_24b_what_its_sender_wants_later_is_scheduled_and_no_order_for_many_sends_it_early() {
    let home = home();
    let database = Database::open(home.path()).unwrap();
    let mut store = Store::prepare(&database).unwrap();
    let tried = accept(&mut store, "shop", &["a@example.org"]);
    let later = Accepted { due_us: now_us() + 86_400_000_000, ..accepted("shop", &["b@example.org"]) };
    store.transaction(|store| store.accept(&later, 0)).unwrap();
    let later = later.message;
    let row = lease(&mut store, 1).unwrap().0;
    put_off(&mut store, (1, row), 0, now_us() + 3_600_000_000);
    store.transaction(|store| store.spool.release(1, 0)).unwrap();
    let by = |store: &mut Store<'_>, standing| ids(&list(store, View { standing: Some(standing), ..View::default() }));
    assert_eq!((by(&mut store, Standing::Deferred), by(&mut store, Standing::Scheduled)), (vec![tried], vec![later]));
    for which in [Which::Upstream(LANE.into()), Which::Credential("shop".into()), Which::All] {
        all(&mut store, &order(Deed::Retry, which));
        assert_eq!((by(&mut store, Standing::Ready), by(&mut store, Standing::Scheduled)), (vec![tried], vec![later]));
    }
    assert_eq!(all(&mut store, &order(Deed::Retry, Which::Message(later))), counts(1, 1, 0));
    assert_eq!(by(&mut store, Standing::Ready), [tried, later]);
}

#[test]
fn no_more_of_an_address_is_compared_than_may_be_seen() {
    let home = home();
    let database = Database::open(home.path()).unwrap();
    let mut store = Store::prepare(&database).unwrap();
    accept(&mut store, "shop", &["rosa@example.org"]);
    let found = |store: &mut Store<'_>, mask, rule: &str, clear| {
        let own = Declared {
            id: "shop".into(),
            secrets: vec![],
            policy: Policy::default(),
            certificates: vec![],
            enabled: true,
        };
        store.ledger.masks = Masks::new(mask, &[own], &[]);
        !list(store, View { recipient: Some(rule.parse().unwrap()), clear, ..View::default() }).is_empty()
    };
    for (mask, rule, seen) in [
        (Mask::LocalPart, "rosa@example.org", true),
        (Mask::LocalPart, "eve@example.org", true),
        (Mask::LocalPart, "rosa@example.net", false),
        (Mask::LocalPart, "@example.org", true),
        (Mask::Full, "rosa@example.org", false),
        (Mask::Full, "@example.org", false),
        (Mask::None, "rosa@example.org", true),
        (Mask::None, "eve@example.org", false),
    ] {
        assert_eq!(found(&mut store, mask, rule, false), seen, "{mask:?} {rule}");
    }
    assert!(found(&mut store, Mask::Full, "rosa@example.org", true));
    assert!(!found(&mut store, Mask::Full, "eve@example.org", true));
}

#[test]
fn rule_q7_who_may_have_it_keeps_no_other_recipient_of_the_message_held() {
    let home = home();
    let database = Database::open(home.path()).unwrap();
    let mut store = Store::prepare(&database).unwrap();
    let message = accept(&mut store, "shop", &["a@example.org", "b@example.org"]);
    let row = lease(&mut store, 1).unwrap().0;
    let held = Settled { unknown: true, ..came_to(State::Held(now_us())) };
    store.transaction(|store| store.spool.settle(1, row, 0, &held)).unwrap();
    store.transaction(|store| store.hold.quarantine(row)).unwrap();
    store.transaction(|store| store.spool.release(1, 0)).unwrap();
    let standings = |store: &mut Store<'_>| {
        let command = Command::Show { message, clear: false };
        let shown = store.transaction(|store| look(store, &command, "uid 0", now_us())).unwrap();
        let standing = |shown: Response| if let Response::Stop(stop) = shown { Some(stop.standing) } else { None };
        shown.into_iter().filter_map(standing).collect::<Vec<_>>()
    };
    assert_eq!(standings(&mut store), [Standing::Quarantined, Standing::Ready]);
    for which in [Which::Credential("shop".into()), Which::All] {
        assert_eq!(all(&mut store, &order(Deed::Hold, which.clone())), counts(1, 1, 0));
        assert_eq!(standings(&mut store), [Standing::Quarantined, Standing::Held]);
        assert_eq!(all(&mut store, &order(Deed::Release, which)), counts(1, 1, 0));
        assert_eq!(standings(&mut store), [Standing::Quarantined, Standing::Ready]);
    }
    let found = lease(&mut store, 2).unwrap();
    assert_eq!(found.1, message);
    assert_eq!(standings(&mut store), [Standing::Quarantined, Standing::Leased]);
}

#[test]
fn rule_q7_who_may_have_it_is_quarantined_with_the_reason_and_no_order_for_many_releases_it() {
    let home = home();
    let database = Database::open(home.path()).unwrap();
    let mut store = Store::prepare(&database).unwrap();
    let message = accept(&mut store, "shop", &["a@example.org"]);
    let row = lease(&mut store, 1).unwrap().0;
    let said = Said { text: format!("{UNANSWERED}: 299 rosa@example.org"), ..Said::default() };
    let settled = Settled {
        state: State::Held(now_us()),
        said,
        owed: false,
        tried: true,
        unknown: true,
        verdict: Verdict::Other,
    };
    store.transaction(|store| store.spool.settle(1, row, 0, &settled)).unwrap();
    store.transaction(|store| store.hold.quarantine(row)).unwrap();
    store.transaction(|store| store.spool.release(1, 0)).unwrap();
    for deed in [Deed::Hold, Deed::Release] {
        for which in [Which::Credential("shop".into()), Which::All] {
            assert_eq!(all(&mut store, &order(deed, which)), counts(0, 0, 0));
            let command = Command::Show { message, clear: false };
            let mut shown = store.transaction(|store| look(store, &command, "uid 0", now_us())).unwrap();
            let Some(Response::Stop(stop)) = shown.pop() else { panic!("no recipient") };
            assert_eq!((stop.standing, stop.said.as_deref()), (Standing::Quarantined, Some(UNANSWERED)));
        }
    }
    assert_eq!(lease(&mut store, 2), None);
    assert_eq!(all(&mut store, &order(Deed::Release, Which::Message(message))), counts(1, 1, 0));
    assert_eq!(lease(&mut store, 3).unwrap().1, message);
    let delivered = came_to(State::Delivered);
    store.transaction(|store| store.spool.settle(3, row, 0, &delivered)).unwrap();
    let command = Command::Show { message, clear: false };
    let shown = store.transaction(|store| look(store, &command, "uid 0", now_us())).unwrap();
    let Some(Response::Entry(entry)) = shown.first() else { panic!("no entry") };
    assert_eq!((entry.recipients.len(), entry.routes.clone()), (1, vec![LANE.to_owned()]), "also of what is done");
}
