//! Who is locked out by whom, and what a restart knows of it.

use super::*;
use crate::vault::limits::table::KEYS;

const NOON: u64 = 1_700_000_000_000_000;
const SECOND: u64 = 1_000_000;
const RULES: FailedLogins = FailedLogins {
    windows: [300, 86_400],
    address: [20, 100],
    prefix: [60, 300],
    wide_prefix: [200, 1000],
    credential: [20, 100],
};

fn at(seconds: u64) -> Now {
    Now::at(NOON + seconds * SECOND)
}

fn failures() -> Failures {
    Failures::new(Hasher::new([5; 32]))
}

fn begin(failures: &mut Failures, address: &str, name: &str, now: Now) -> Result<Attempt, Locked> {
    failures.begin(From { address: Some(address.parse().unwrap()), name }, &RULES, now)
}

/// A login that fails, with what is written of it.
fn guess(failures: &mut Failures, address: &str, name: &str, now: Now) -> Result<Vec<Bucket>, Locked> {
    begin(failures, address, name, now).map(|attempt| failures.fail(&attempt))
}

fn why(locked: Locked) -> (u32, Tier, &'static str) {
    (locked.wait, locked.by.key.tier, locked.by.limit)
}

#[test]
fn rule_a11_an_address_a_prefix_and_a_wide_prefix_each_have_their_number() {
    for (tier, most, address) in [
        (Tier::Address, 20, (|_| "192.0.2.1".to_owned()) as fn(u32) -> String),
        (Tier::Prefix, 60, |n| format!("192.0.2.{n}")),
        (Tier::WidePrefix, 200, |n| format!("192.0.{}.{n}", n % 16)),
        (Tier::Address, 20, |n| format!("2001:db8::{n:x}")),
        (Tier::Prefix, 60, |n| format!("2001:db8:0:{n:x}::1")),
        (Tier::WidePrefix, 200, |n| format!("2001:db8:0:{n:x}00::1")),
    ] {
        let mut failures = failures();
        for n in 0..most {
            guess(&mut failures, &address(n), &format!("name{n}"), at(0)).unwrap();
        }
        let (wait, by, window) = why(guess(&mut failures, &address(201), "another", at(0)).unwrap_err());
        assert_eq!((by, window), (tier, "short"));
        assert_eq!(wait, 300u32.div_ceil(most));
        assert!(guess(&mut failures, "198.51.100.1", "name1", at(0)).is_ok(), "nobody elsewhere");
    }
}

#[test]
fn rule_a11_the_long_window_stops_who_has_the_patience_for_the_short_one() {
    let mut failures = failures();
    let admitted = (0..86_400 / 15).filter(|n| guess(&mut failures, "192.0.2.1", "shop", at(n * 15)).is_ok()).count();
    assert!((150..=201).contains(&admitted), "{admitted}");
    let (_, _, window) = why(guess(&mut failures, "192.0.2.1", "shop", at(86_400 - 1)).unwrap_err());
    assert_eq!(window, "long");
}

#[test]
fn the_told_second_is_enough_and_one_less_is_not_and_a_denial_takes_nothing() {
    let mut failures = failures();
    while guess(&mut failures, "192.0.2.1", "shop", at(0)).is_ok() {}
    for _ in 0..1000 {
        assert_eq!(guess(&mut failures, "192.0.2.1", "shop", at(0)).unwrap_err().wait, 15);
    }
    assert!(guess(&mut failures, "192.0.2.1", "shop", at(14)).is_err());
    assert!(guess(&mut failures, "192.0.2.1", "shop", at(15)).is_ok());
}

#[test]
fn rule_a12_the_owner_comes_in_from_a_good_place_while_strangers_guess() {
    let mut failures = failures();
    for n in 0..5000u32 {
        // From everywhere, at the owner's name, far more than is let in.
        let address = format!("{}.{}.{}.7", 11 + n % 80, n / 256 % 256, n % 256);
        let _ = guess(&mut failures, &address, "shop", at(u64::from(n) / 100));
        let _ = guess(&mut failures, "203.0.113.66", "shop", at(u64::from(n) / 100));
    }
    for n in 0..200 {
        let attempt = begin(&mut failures, "198.51.100.1", "shop", at(60 + n)).unwrap();
        failures.forgive(&attempt, at(60 + n));
    }
}

#[test]
fn rule_a11_one_name_is_guessed_at_from_a_prefix_no_more_often_than_from_an_address() {
    let mut failures = failures();
    for n in 0..20 {
        guess(&mut failures, &format!("192.0.2.{n}"), "shop", at(0)).unwrap();
    }
    let locked = guess(&mut failures, "192.0.2.99", "shop", at(0)).unwrap_err();
    assert_eq!(why(locked), (15, Tier::CredentialPrefix, "short"));
    assert!(guess(&mut failures, "192.0.2.99", "billing", at(0)).is_ok());
    assert!(guess(&mut failures, "192.0.3.99", "shop", at(0)).is_ok());
}

#[test]
fn behind_a_proxy_a_name_is_counted_and_no_address() {
    let mut failures = failures();
    let mut guess = |name| failures.begin(From { address: None, name }, &RULES, at(0));
    for _ in 0..20 {
        guess("shop").unwrap();
    }
    assert_eq!(why(guess("shop").unwrap_err()).1, Tier::CredentialPrefix);
    assert!(guess("billing").is_ok());
}

#[test]
fn names_are_not_written_down() {
    let mut failures = failures();
    let attempt = begin(&mut failures, "192.0.2.1", "hunter2", at(0)).unwrap();
    let ahead = failures.fail(&attempt);
    assert_eq!(ahead.len(), 8, "four tiers in two windows");
    assert!(ahead.iter().all(|bucket| !bucket.name.contains("hunter2")));
}

#[test]
fn rule_a11_a_kill_forgets_nothing_and_costs_at_most_what_was_told_ahead() {
    let mut failures = failures();
    let mut disk: Vec<Bucket> = Vec::new();
    let mut write = |buckets: Vec<Bucket>| {
        for bucket in buckets {
            disk.retain(|kept| (kept.tier, kept.series, &kept.name) != (bucket.tier, bucket.series, &bucket.name));
            disk.push(bucket);
        }
        disk.clone()
    };
    for _ in 0..12 {
        write(guess(&mut failures, "192.0.2.1", "shop", at(0)).unwrap());
    }
    let kept = write(vec![]);
    let left = |kept: &[Bucket]| {
        let mut after = self::failures();
        after.load(kept, vec![], at(0));
        (0..100).take_while(|_| guess(&mut after, "192.0.2.1", "shop", at(0)).is_ok()).count()
    };
    assert!((3..=8).contains(&left(&kept)), "{}", left(&kept));
    // An orderly stop costs nothing.
    assert_eq!(left(&write(failures.settle())), 8);
}

#[test]
fn successes_cost_nothing_however_often_it_is_killed() {
    let mut disk: Vec<Bucket> = Vec::new();
    for n in 0..50 {
        let mut failures = failures();
        failures.load(&disk, vec![], at(n));
        let attempt = begin(&mut failures, "192.0.2.1", "shop", at(n)).unwrap();
        disk.extend(failures.forgive(&attempt, at(n)).exact);
        // And who is killed in the middle of it hasn't failed.
        begin(&mut failures, "192.0.2.1", "shop", at(n)).unwrap();
    }
    assert_eq!(disk, []);
}

#[test]
fn what_was_told_ahead_does_not_add_up_over_kills_and_a_right_login_clears_it() {
    let mut disk: Vec<Bucket> = Vec::new();
    fn write(disk: &mut Vec<Bucket>, buckets: Vec<Bucket>) {
        for bucket in buckets {
            disk.retain(|kept| (kept.tier, kept.series, &kept.name) != (bucket.tier, bucket.series, &bucket.name));
            disk.push(bucket);
        }
    }
    let left = |disk: &[Bucket]| {
        let mut after = failures();
        after.load(disk, vec![], at(0));
        (0..100).take_while(|_| guess(&mut after, "192.0.2.1", "shop", at(0)).is_ok()).count()
    };
    for _ in 0..5 {
        let mut failures = failures();
        failures.load(&disk, vec![], at(0));
        write(&mut disk, guess(&mut failures, "192.0.2.1", "shop", at(0)).unwrap());
    }
    assert_eq!(left(&disk), 10, "five that failed are ten at most");
    let mut failures = failures();
    failures.load(&disk, vec![], at(0));
    for _ in 0..4 {
        write(&mut disk, guess(&mut failures, "192.0.2.1", "shop", at(0)).unwrap());
    }
    assert_eq!(left(&disk), 4, "two more are told ahead");
    let attempt = begin(&mut failures, "192.0.2.1", "shop", at(0)).unwrap();
    write(&mut disk, failures.forgive(&attempt, at(0)).exact);
    assert_eq!(left(&disk), 6);
}

#[test]
fn rule_a10_many_who_log_in_at_once_are_told_that_it_is_busy_and_not_of_failures() {
    let mut failures = failures();
    let attempts: Vec<_> = (0..20).map(|_| begin(&mut failures, "192.0.2.1", "shop", at(0)).unwrap()).collect();
    assert!(begin(&mut failures, "192.0.2.1", "shop", at(0)).unwrap_err().is_crowd);
    for attempt in &attempts {
        failures.fail(attempt);
    }
    let locked = begin(&mut failures, "192.0.2.1", "shop", at(0)).unwrap_err();
    assert_eq!((locked.is_crowd, locked.wait), (false, 15), "now they have failed");
}

/// Full tables of places and of names, by strangers from everywhere.
fn crowded(failures: &mut Failures) {
    for n in 0..40_000u32 {
        let address = std::net::Ipv4Addr::from(0x0b00_0000 + n * 4096 + 7).to_string();
        let _ = guess(failures, &address, &format!("name{n}"), at(1));
    }
}

#[test]
fn a_full_table_makes_strangers_share_and_frees_no_guesser() {
    let mut failures = failures();
    while guess(&mut failures, "203.0.113.66", "shop", at(0)).is_ok() {}
    crowded(&mut failures);
    for table in failures.tables.iter_mut() {
        assert!((KEYS..=KEYS + 4096).contains(&table.keys()), "{}", table.keys());
    }
    assert!(guess(&mut failures, "203.0.113.66", "shop", at(2)).is_err());
}

#[test]
fn strangers_without_number_lock_nobody_out_at_home() {
    let mut failures = failures();
    let from = From { address: Some("198.51.100.1".parse().unwrap()), name: "shop" };
    failures.remember(from, at(0)).unwrap();
    crowded(&mut failures);
    // Every shared bucket of every tier is as full as it can be.
    for key in (0..4096).flat_map(|n| {
        let tiers = [Tier::Address, Tier::Prefix, Tier::WidePrefix, Tier::CredentialPrefix];
        tiers.map(|tier| Key::new(tier, format!("#{n}")))
    }) {
        let guesses = failures.table(&key).entry(&key);
        (guesses.tats_us, guesses.failed_us) = ([at(300).us, at(86_400).us], [at(300).us, at(86_400).us]);
    }
    assert!(guess(&mut failures, "198.51.100.9", "billing", at(2)).is_err(), "who is new shares");
    for n in 0..200 {
        let attempt = begin(&mut failures, "198.51.100.1", "shop", at(2 + n)).unwrap();
        failures.forgive(&attempt, at(2 + n));
    }
    // A password that is wrong for a while costs its owner what it always did.
    let own = (0..100).take_while(|_| guess(&mut failures, "198.51.100.1", "shop", at(300)).is_ok()).count();
    assert_eq!(own, 20);
}

#[test]
fn names_that_are_made_up_push_no_address_out_and_who_is_refused_makes_no_entry() {
    let mut failures = failures();
    for n in 0..40_000 {
        failures.begin(From { address: None, name: &format!("name{n}") }, &RULES, at(0)).unwrap();
    }
    let attempt = begin(&mut failures, "198.51.100.1", "", at(0)).unwrap();
    assert!(attempt.taken.iter().all(|taken| !taken.key.name.starts_with('#')), "{attempt:?}");

    let mut failures = self::failures();
    while guess(&mut failures, "192.0.2.1", "shop", at(0)).is_ok() {}
    let names = |failures: &mut Failures| failures.tables.of(Tier::CredentialPrefix).keys();
    let before = names(&mut failures);
    for n in 0..1000 {
        assert!(guess(&mut failures, "192.0.2.1", &format!("name{n}"), at(0)).is_err());
    }
    assert_eq!(names(&mut failures), before);
    let from = From { address: Some("192.0.2.1".parse().unwrap()), name: "name1" };
    assert!(!failures.may_recall(from, at(0)), "what is not counted is not compared");
}

#[test]
fn a_stale_password_locks_out_nobody_else_who_is_at_home_there() {
    let mut failures = failures();
    let from = From { address: Some("192.0.2.1".parse().unwrap()), name: "shop" };
    let home = failures.remember(from, at(0)).unwrap();
    assert!(!home.alias.contains("shop") && !home.alias.contains("192"), "nothing of it is written down");
    // Another application on that machine, and a neighbour, fail without end, also at the owner's name.
    while guess(&mut failures, "192.0.2.1", "stale", at(0)).is_ok() {}
    while guess(&mut failures, "192.0.2.9", "shop", at(0)).is_ok() {}
    assert!(guess(&mut failures, "192.0.2.1", "new", at(0)).is_err());
    let mut failures = {
        // Also after a restart.
        let kept = failures.settle();
        let mut after = self::failures();
        after.load(&kept, vec![home], at(0));
        after
    };
    for n in 0..100 {
        let attempt = begin(&mut failures, "192.0.2.1", "shop", at(n)).unwrap();
        failures.forgive(&attempt, at(n));
    }
    // At home one's own failures count: as many as of one name from a prefix.
    let own = (0..100).take_while(|_| guess(&mut failures, "192.0.2.1", "shop", at(200)).is_ok()).count();
    assert_eq!(own, 20);
}

#[test]
fn who_is_refused_without_end_is_not_compared_with_what_was_right_lately() {
    let mut failures = failures();
    let (home, other) = ("192.0.2.1", "198.51.100.1");
    for address in [home, other] {
        failures.remember(From { address: Some(address.parse().unwrap()), name: "shop" }, at(0));
    }
    let may = |failures: &mut Failures, address: &str| {
        failures.may_recall(From { address: Some(address.parse().unwrap()), name: "shop" }, at(0))
    };
    for n in 0..10_100 {
        let _ = guess(&mut failures, home, "shop", at(0));
        assert_eq!(may(&mut failures, home), n < 10_020 - 1, "{n}");
    }
    assert!(may(&mut failures, other), "elsewhere");
}

#[test]
fn what_a_login_may_claim_follows_from_what_failed_near_and_from_no_name() {
    let mut failures = failures();
    let claim = |failures: &mut Failures, address: &str, name: &str| {
        let attempt = begin(failures, address, name, at(0)).unwrap();
        let claim = attempt.claim;
        failures.take_back(&attempt, at(0));
        claim
    };
    assert_eq!(claim(&mut failures, "192.0.2.1", "shop"), Claim::New);
    // Many at once, of which none is known to have failed.
    let under_way: Vec<Attempt> = (0..5).map(|_| begin(&mut failures, "192.0.2.1", "shop", at(0)).unwrap()).collect();
    assert_eq!(claim(&mut failures, "192.0.2.1", "shop"), Claim::New);
    for attempt in &under_way {
        failures.forgive(attempt, at(0));
    }
    assert_eq!(claim(&mut failures, "192.0.2.1", "shop"), Claim::New);
    let wrong = begin(&mut failures, "192.0.2.1", "shop", at(0)).unwrap();
    failures.fail(&wrong);
    for (address, name, expected) in [
        ("192.0.2.1", "shop", Claim::Failed),
        ("192.0.2.1", "billing", Claim::Failed),
        ("192.0.2.9", "billing", Claim::Failed),
        ("192.0.3.1", "billing", Claim::Failed),
        ("198.51.100.1", "shop", Claim::New),
    ] {
        assert_eq!(claim(&mut failures, address, name), expected, "{name} from {address}");
    }
    // It is over when the count of it is.
    let later = begin(&mut failures, "192.0.2.1", "shop", at(86_400)).unwrap();
    assert_eq!(later.claim, Claim::New);
}

#[test]
fn who_is_at_home_goes_first_until_somebody_fails_as_it_there_and_again_when_it_was_right() {
    let mut failures = failures();
    let (address, name) = ("192.0.2.1", "shop");
    let begin = |failures: &mut Failures| begin(failures, address, name, at(0)).unwrap();
    let home = failures.remember(From { address: Some(address.parse().unwrap()), name }, at(0)).unwrap();
    // Strangers who fail around it don't matter.
    let stranger = self::begin(&mut failures, address, "stranger", at(0)).unwrap();
    failures.fail(&stranger);
    let wrong = begin(&mut failures);
    assert_eq!(wrong.claim, Claim::Known);
    let buckets = failures.fail(&wrong);
    let right = begin(&mut failures);
    assert_eq!(right.claim, Claim::Failed);
    failures.forgive(&right, at(0));
    assert_eq!(begin(&mut failures).claim, Claim::Known);
    // A restart forgets no failure.
    let mut after = self::failures();
    after.load(&buckets, vec![home], at(0));
    assert_eq!(begin(&mut after).claim, Claim::Failed);
}
