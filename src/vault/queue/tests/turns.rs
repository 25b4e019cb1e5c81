//! Whose turn it is.

use super::*;

/// A message that has days.
fn patient(principal: &str, bytes: u64) -> Accepted {
    let one = accepted(principal, &["a@example.org"]);
    Accepted { bytes, expires_us: one.accepted_us + 4 * 86_400_000_000, ..one }
}

/// Accepts them all at once.
fn fill(store: &mut Store<'_>, messages: impl Iterator<Item = Accepted>) {
    store.keys.adopt(vec![Master::new(Secret::new([1; 32]))]);
    let all: Vec<Accepted> = messages.collect();
    store.transaction(|store| all.iter().try_for_each(|one| store.accept(one, 0))).unwrap();
}

/// Who is served, so many times.
fn served(store: &mut Store<'_>, jobs: std::ops::Range<u64>) -> Vec<String> {
    let leased = jobs.map(|job| store.transaction(|store| store.lease(LANE, LANE, job, now_us(), &|_| true)).unwrap());
    leased.map(|leased| leased.expect("somebody is due").principal).collect()
}

#[test]
fn rule_q11_who_has_one_message_waits_one_turn_behind_whoever_has_thousands() {
    let home = home();
    let database = Database::open(home.path()).unwrap();
    let mut store = Store::prepare(&database).unwrap();
    fill(&mut store, (0..3000).map(|_| patient("flood", 3)));
    assert_eq!(served(&mut store, 0..3), ["flood"; 3]);
    fill(&mut store, [patient("alarm", 3), patient("zeal", 3)].into_iter());
    assert_eq!(served(&mut store, 3..7), ["zeal", "alarm", "flood", "flood"]);
    fill(&mut store, (0..3).map(|_| patient("mail", 3)));
    assert_eq!(served(&mut store, 7..13), ["mail", "flood", "mail", "flood", "mail", "flood"]);
}

#[test]
fn rule_q11_a_large_message_and_one_to_many_cost_more_than_a_turn() {
    let home = home();
    let database = Database::open(home.path()).unwrap();
    let mut store = Store::prepare(&database).unwrap();
    // One MiB: four turns more.
    fill(&mut store, (0..3).map(|_| patient("large", 1 << 20)).chain((0..6).map(|_| patient("small", 3))));
    let order = served(&mut store, 0..9);
    assert_eq!(order, ["large", "small", "small", "small", "small", "small", "large", "small", "large"]);
    let names: Vec<String> = (0..60).map(|n| format!("r{n}@example.org")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let many = || Accepted { expires_us: u64::MAX / 4, ..accepted("many", &names) };
    fill(&mut store, [many(), many()].into_iter().chain((0..4).map(|_| patient("one", 3))));
    assert_eq!(served(&mut store, 9..15), ["many", "one", "one", "one", "one", "many"]);
}

#[test]
fn rule_q11_what_lives_shortly_goes_first_and_starves_nobody() {
    let home = home();
    let database = Database::open(home.path()).unwrap();
    let mut store = Store::prepare(&database).unwrap();
    fill(&mut store, (0..3).map(|_| patient("news", 3)));
    fill(&mut store, (0..9).map(|_| accepted("codes", &["a@example.org"])));
    let order = served(&mut store, 0..12);
    let (codes, news) = ("codes", "news");
    assert_eq!(order, [codes, codes, codes, codes, news, codes, codes, codes, codes, news, codes, news]);
}

#[test]
fn rule_q11_a_report_of_the_gates_own_does_not_wait_behind_all_mail_of_its_credential() {
    let home = home();
    let database = Database::open(home.path()).unwrap();
    let mut store = Store::prepare(&database).unwrap();
    fill(&mut store, (0..3000).map(|_| patient("shop", 3)));
    // A client's message that says of itself that it is one waits like the rest.
    let sent = Accepted { is_report: true, ..patient("shop", 3) };
    let own = [(); 3].map(|()| Accepted { session: Uuid::nil(), is_report: true, ..patient("shop", 3) });
    let expected = own.each_ref().map(|own| own.message);
    fill(&mut store, [sent.clone()].into_iter().chain(own));
    let order: Vec<_> = (0..20).map(|job| lease(&mut store, job).unwrap().1).collect();
    let places = expected.map(|own| order.iter().position(|leased| *leased == own));
    assert!(places.iter().all(|place| place.is_some_and(|place| place < 6)), "{places:?}");
    assert!(!order.contains(&sent.message));
}

#[test]
fn who_is_not_due_or_held_is_passed_over() {
    let home = home();
    let database = Database::open(home.path()).unwrap();
    let mut store = Store::prepare(&database).unwrap();
    fill(&mut store, ["a", "b", "c"].into_iter().map(|who| patient(who, 3)));
    fill(&mut store, [Accepted { due_us: u64::MAX / 4, ..patient("later", 3) }].into_iter());
    all(&mut store, &order(Deed::Hold, Which::Credential("b".into())));
    assert_eq!(served(&mut store, 0..2), ["a", "c"]);
    assert_eq!(lease(&mut store, 2), None);
}
