//! Each tier, all tiers together, and the model: whatever happens to clock and process, never more than the burst and the
//! rate allow, and nobody waits longer than they say.

use super::*;
use crate::policy::limits::{Action, Anomaly, Limits as Rules, Rates, Tiers};

mod batch;
mod model;

pub(super) const SECOND: u64 = 1_000_000;
pub(super) const DAY: u64 = 86_400 * SECOND;
/// Noon of a day.
pub(super) const NOON: u64 = 20_000 * DAY + DAY / 2;

const NO_ANOMALY: Anomaly = Anomaly { factor: 5, minimum: 100, action: Action::Off };

/// Who sends, and a vault's memory of it.
pub(super) struct Desk {
    pub limits: Limits,
    pub rules: Rules,
    pub tiers: Tiers,
    pub anomaly: Anomaly,
    pub address: &'static str,
    pub credential: &'static str,
}

impl Desk {
    fn new(rules: Rules) -> Self {
        Self {
            limits: limits(Consumed::default(), Now::at(NOON)),
            rules,
            tiers: Tiers::default(),
            anomaly: NO_ANOMALY,
            address: "192.0.2.1",
            credential: "shop",
        }
    }

    fn origin(&self) -> (Rules, Tiers, Anomaly, std::net::IpAddr, &'static str) {
        (self.rules, self.tiers, self.anomaly, self.address.parse().unwrap(), self.credential)
    }

    pub fn reserve(&mut self, now: Now) -> Result<Reservation, Denied> {
        let (rules, tiers, anomaly, address, credential) = self.origin();
        let origin = Origin { credential, rules: &rules, tiers: &tiers, anomaly, address: Some(address) };
        self.limits.reserve(&origin, now)
    }

    pub fn accept(&mut self, place: &mut Reservation, to: &[&str], bytes: u64, now: Now) -> Result<(), Denied> {
        let (rules, tiers, anomaly, address, credential) = self.origin();
        let origin = Origin { credential, rules: &rules, tiers: &tiers, anomaly, address: Some(address) };
        let to: Vec<Address> = to.iter().map(|to| Address::parse(to).unwrap()).collect();
        self.limits.accept(place, &origin, &to, bytes, now)
    }

    /// MAIL to the dot at once.
    pub fn send(&mut self, to: &[&str], now: Now) -> Result<Use, Denied> {
        let mut place = self.reserve(now)?;
        match self.accept(&mut place, to, 1000, now) {
            Ok(()) => Ok(self.limits.used(&place)),
            Err(denied) => {
                self.limits.release(place, now);
                Err(denied)
            }
        }
    }
}

pub(super) fn limits(kept: Consumed, now: Now) -> Limits {
    Limits::new(kept, Hasher::new([9; 32]), now)
}

fn at(seconds: u64) -> Now {
    Now::at(NOON + seconds * SECOND)
}

const ONE: &[&str] = &["x@example.org"];

fn why(denied: Denied) -> (Refusal, Tier, &'static str) {
    let by = denied.by.unwrap();
    (denied.refusal, by.key.tier, by.limit)
}

#[test]
fn rule_p18_every_limit_of_every_tier_holds_and_says_which_it_was() {
    let rates = |key: &str, n: u32| {
        let some = |own: &str| (own == key).then_some(n);
        Rates {
            per_minute: some("per_minute"),
            per_hour: some("per_hour"),
            per_day: some("per_day"),
            burst: None,
            recipients_per_minute: some("recipients_per_minute"),
            recipients_per_hour: some("recipients_per_hour"),
            recipients_per_day: some("recipients_per_day"),
            recipients_burst: None,
            bytes_per_day: (key == "bytes_per_day").then_some(u64::from(n) * 1000),
        }
    };
    let keys = [
        ("per_minute", Refusal::RateLimited(5)),
        ("per_hour", Refusal::RateLimited(300)),
        ("per_day", Refusal::QuotaExceeded(43_200)),
        ("recipients_per_minute", Refusal::RateLimited(5)),
        ("recipients_per_hour", Refusal::RateLimited(300)),
        ("recipients_per_day", Refusal::QuotaExceeded(43_200)),
        ("bytes_per_day", Refusal::QuotaExceeded(43_200)),
    ];
    let tiers = [Tier::Credential, Tier::RecipientDomain, Tier::Global, Tier::Address, Tier::Prefix, Tier::WidePrefix];
    for tier in tiers {
        for (key, expected) in keys {
            // A rate of twelve has a burst of ten.
            let rates = rates(key, 12);
            let mut desk = Desk::new(Rules::default());
            match tier {
                Tier::Credential => desk.rules = serde_json::from_value(serde_json::to_value(rates).unwrap()).unwrap(),
                Tier::RecipientDomain => desk.rules.per_recipient_domain = Some(rates),
                Tier::Global => desk.tiers.global = rates,
                Tier::Address => desk.tiers.address = rates,
                Tier::Prefix => desk.tiers.prefix = rates,
                _ => desk.tiers.wide_prefix = rates,
            }
            let most = if key.ends_with("day") { 12 } else { 10 };
            for n in 0..most {
                assert!(desk.send(ONE, at(0)).is_ok(), "{tier:?} {key} {n}");
            }
            for _ in 0..3 {
                assert_eq!(why(desk.send(ONE, at(0)).unwrap_err()), (expected, tier, key));
            }
            // What isn't in the same bucket has its own.
            match tier {
                Tier::Credential => desk.credential = "other",
                Tier::RecipientDomain => assert!(desk.send(&["x@example.com"], at(0)).is_ok(), "{key}"),
                Tier::Address => desk.address = "192.0.2.2",
                Tier::Prefix => desk.address = "192.0.3.1",
                _ => desk.address = "192.0.16.1",
            }
            let free = !matches!(tier, Tier::RecipientDomain | Tier::Global);
            assert_eq!(desk.send(ONE, at(0)).is_ok(), free, "{tier:?} {key}");
        }
    }
}

#[test]
fn a_denial_by_one_tier_takes_nothing_from_any() {
    let mut desk = Desk::new(Rules {
        per_minute: Some(60),
        recipients_per_minute: Some(60),
        per_day: Some(100),
        per_recipient_domain: Some(Rates { recipients_per_hour: Some(60), ..Rates::default() }),
        ..Rules::default()
    });
    desk.tiers.address = Rates { per_minute: Some(600), ..Rates::default() };
    desk.tiers.global = Rates { per_minute: Some(6), burst: Some(1), ..Rates::default() };
    let first = desk.send(ONE, at(0)).unwrap();
    for _ in 0..1000 {
        assert_eq!(why(desk.send(ONE, at(0)).unwrap_err()), (Refusal::RateLimited(10), Tier::Global, "per_minute"));
    }
    desk.tiers.global = Rates::default();
    let second = desk.send(ONE, at(0)).unwrap();
    let tat = |used: &Use, tier, series| {
        let found = used.buckets.iter().find(|bucket| bucket.tier == tier && bucket.series == series);
        found.unwrap_or_else(|| panic!("{tier:?} {series:?}")).tat_us
    };
    for (tier, series, step) in [
        (Tier::Credential, Series::PerMinute, 1),
        (Tier::Credential, Series::RecipientsPerMinute, 1),
        (Tier::RecipientDomain, Series::RecipientsPerHour, 60),
    ] {
        assert_eq!(tat(&second, tier, series), tat(&first, tier, series) + step * SECOND, "{tier:?} {series:?}");
    }
    // The one that was refused at the dot by the domain's rate took nothing of the credential's.
    let many: Vec<String> = (0..9).map(|n| format!("u{n}@example.org")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let denied = desk.send(&many, at(0)).unwrap_err();
    assert_eq!(why(denied), (Refusal::RateLimited(60), Tier::RecipientDomain, "recipients_per_hour"));
    let third = desk.send(&["x@example.com"], at(0)).unwrap();
    assert_eq!(
        tat(&third, Tier::Credential, Series::PerMinute),
        tat(&second, Tier::Credential, Series::PerMinute) + SECOND
    );
    assert_eq!(third.days.iter().map(|row| row.day.recipients).collect::<Vec<_>>(), [1]);
}

#[test]
fn rule_p18_recipients_weigh_and_more_than_could_ever_fit_is_no_matter_of_waiting() {
    let rules = Rules { recipients_per_minute: Some(60), recipients_burst: Some(5), ..Rules::default() };
    let mut desk = Desk::new(rules);
    let to = ["a@a.example", "b@b.example", "c@c.example"];
    assert!(desk.send(&to, at(0)).is_ok());
    assert_eq!(desk.send(&to, at(0)).unwrap_err().refusal, Refusal::RateLimited(1));
    assert!(desk.send(&to[..2], at(0)).is_ok());
    let six = ["a@a.example"; 6];
    assert_eq!(desk.send(&six, at(600)).unwrap_err().refusal, Refusal::TooManyRecipients);
    assert!(desk.send(&six[..5], at(600)).is_ok());
}

#[test]
fn a_place_is_held_from_mail_to_the_dot_and_given_back_without_one() {
    let mut desk = Desk::new(Rules { per_minute: Some(6), burst: Some(2), per_day: Some(3), ..Rules::default() });
    for _ in 0..5 {
        let (one, two) = (desk.reserve(at(0)).unwrap(), desk.reserve(at(0)).unwrap());
        assert_eq!(desk.reserve(at(0)).unwrap_err().refusal, Refusal::RateLimited(10));
        desk.limits.release(one, at(0));
        desk.limits.release(two, at(0));
    }
    // However long a place is held, it is one: those that were taken one by one are not used at once.
    let mut held: Vec<Reservation> = (0..10).filter_map(|n| desk.reserve(at(n * 10)).ok()).collect();
    assert_eq!(held.len(), 2);
    for place in &mut held {
        assert_eq!(desk.accept(place, ONE, 10, at(100)), Ok(()));
    }
    assert!(desk.reserve(at(100)).is_err());
}

#[test]
fn what_was_not_kept_is_given_back_and_no_more_than_that() {
    let mut desk = Desk::new(Rules { per_minute: Some(60), burst: Some(1), per_day: Some(2), ..Rules::default() });
    let mut lost = desk.reserve(at(0)).unwrap();
    desk.accept(&mut lost, ONE, 10, at(0)).unwrap();
    // What it took has drained away; another has taken the next place.
    desk.send(ONE, at(5)).unwrap();
    desk.limits.release(lost, at(5));
    assert_eq!(desk.reserve(at(5)).unwrap_err().refusal, Refusal::RateLimited(1));
    assert!(desk.send(ONE, at(6)).is_ok(), "and the day has one left");
    assert!(matches!(desk.reserve(at(9)).unwrap_err().refusal, Refusal::QuotaExceeded(_)));
}

#[test]
fn the_quota_is_the_utc_days_and_a_clock_that_goes_back_finds_it_as_it_was() {
    let mut desk = Desk::new(Rules { per_day: Some(3), ..Rules::default() });
    for _ in 0..3 {
        desk.send(ONE, at(0)).unwrap();
    }
    assert_eq!(desk.reserve(at(0)).unwrap_err().refusal, Refusal::QuotaExceeded(43_200));
    let tomorrow = Now { us: NOON + SECOND, wall_us: NOON + DAY };
    assert!(desk.send(ONE, tomorrow).is_ok(), "the calendar says that it is another day");
    assert_eq!(desk.reserve(at(2)).unwrap_err().refusal, Refusal::QuotaExceeded(43_198));
}

#[test]
fn no_address_is_counted_behind_a_proxy() {
    let mut desk = Desk::new(Rules::default());
    desk.tiers.address = Rates { per_minute: Some(1), burst: Some(1), ..Rates::default() };
    let origin =
        Origin { credential: "shop", rules: &desk.rules, tiers: &desk.tiers, anomaly: NO_ANOMALY, address: None };
    for _ in 0..5 {
        assert!(desk.limits.reserve(&origin, at(0)).is_ok());
    }
}

fn history(desk: &mut Desk, recipients: u64) {
    let day = |day: i64| Day { day, recipients, messages: recipients, peak: recipients / 4, ..Day::default() };
    let days = (1..20).map(|n| DayRow { tier: Tier::Credential, name: "shop".into(), day: day(20_000 - n) }).collect();
    desk.limits = limits(Consumed { days, ..Consumed::default() }, at(0));
}

#[test]
fn a_volume_beyond_all_history_is_told_once_for_the_hour_and_once_for_the_day() {
    let mut desk = Desk::new(Rules::default());
    desk.anomaly = Anomaly { factor: 5, minimum: 100, action: Action::Event };
    history(&mut desk, 40);
    let to: Vec<String> = (0..10).map(|n| format!("u{n}@example.org")).collect();
    let to: Vec<&str> = to.iter().map(String::as_str).collect();
    let mut told = Vec::new();
    for n in 0..60 {
        let mut place = desk.reserve(at(n)).unwrap();
        desk.accept(&mut place, &to, 10, at(n)).unwrap();
        told.extend(place.events().into_iter().map(|event| event.data.unwrap()));
    }
    let hour = r#"{"action":"event","factor":5,"of":"hour","recipients":110,"usual":10}"#;
    let day = r#"{"action":"event","factor":5,"of":"day","recipients":210,"usual":40}"#;
    assert_eq!(told, [hour, day]);
    // And none of it for who has no history, or is small.
    history(&mut desk, 40);
    desk.credential = "new";
    assert!((0..60).all(|n| desk.send(&to, at(n)).is_ok()));
    assert!(desk.limits.own.iter_mut().count() == 2);
}

#[test]
fn who_is_suspended_by_rule_sends_no_more_until_the_day_ends_or_somebody_lifts_it() {
    let mut desk = Desk::new(Rules::default());
    desk.rules.anomaly = Some(Anomaly { factor: 2, minimum: 3, action: Action::Suspend });
    desk.anomaly = Anomaly { factor: 2, minimum: 3, action: Action::Suspend };
    history(&mut desk, 1);
    let mut kept = None;
    for n in 0..4 {
        let mut place = desk.reserve(at(n)).unwrap();
        desk.accept(&mut place, ONE, 10, at(n)).unwrap();
        kept = desk.limits.used(&place).suspension;
        assert_eq!(kept.is_some(), n == 3, "{n}");
    }
    let denied = why(desk.reserve(at(4)).unwrap_err());
    assert_eq!(denied, (Refusal::Suspended(43_196), Tier::Credential, "anomaly"));
    let mut place = Reservation {
        credential: Key::new(Tier::Credential, "shop"),
        held: Held::ONE,
        taken: vec![],
        alarms: vec![],
        suspension: None,
    };
    assert!(desk.accept(&mut place, ONE, 10, at(4)).is_err(), "also what was begun before");
    let restarted = Consumed { suspensions: kept.into_iter().collect(), ..Consumed::default() };
    desk.limits = limits(restarted, at(5));
    assert_eq!(desk.reserve(at(5)).unwrap_err().refusal, Refusal::Suspended(43_195));
    assert!(desk.limits.suspensions.lift("shop", at(6)).is_some());
    assert!(desk.reserve(at(6)).is_ok());
}

#[test]
fn a_message_that_was_not_kept_suspends_nobody_and_an_alarm_that_it_took_along_is_told() {
    let mut desk = Desk::new(Rules::default());
    desk.anomaly = Anomaly { factor: 2, minimum: 3, action: Action::Suspend };
    history(&mut desk, 1);
    let passing = |desk: &mut Desk, second| {
        let mut place = desk.reserve(at(second)).unwrap();
        desk.accept(&mut place, ONE, 10, at(second)).unwrap();
        place
    };
    (0..3).for_each(|n| drop(passing(&mut desk, n)));
    let lost = passing(&mut desk, 3);
    assert!(desk.reserve(at(4)).is_err());
    desk.limits.release(lost, at(4));
    assert!(desk.limits.untold(0).is_empty(), "it is not beyond the mark any more");
    let kept = passing(&mut desk, 5);
    assert!(desk.limits.used(&kept).suspension.is_some(), "the next one suspends, with its event");

    desk.anomaly.action = Action::Event;
    history(&mut desk, 1);
    (0..3).for_each(|n| drop(passing(&mut desk, n)));
    let lost = passing(&mut desk, 3);
    assert!(!lost.events().is_empty());
    assert!(passing(&mut desk, 4).events().is_empty(), "told by the one before");
    desk.limits.release(lost, at(5));
    let told = desk.limits.untold(0);
    let data = told.iter().filter_map(|event| event.data.as_deref()).find(|data| data.contains(r#""of":"day""#));
    assert_eq!(data, Some(r#"{"action":"event","factor":2,"of":"day","recipients":4,"usual":1}"#));
    assert!(desk.limits.untold(0).is_empty(), "once");
}
