//! Which lane moves to which upstream.

use super::*;

#[test]
fn rule_q2_a_route_rests_longer_after_each_failure_and_not_at_all_after_a_success() {
    let (mut schedule, now) = (Schedule::default(), Instant::now());
    let mut at = now;
    let mut pauses = Vec::new();
    for _ in 0..8 {
        let pause = schedule.failed("smarthost", at).unwrap();
        assert_eq!(schedule.failed("smarthost", at), None, "several jobs fail at once");
        pauses.push(pause.as_secs());
        at += pause;
    }
    assert_eq!(pauses, [5, 10, 20, 40, 80, 160, 300, 300]);
    assert!(schedule.works("smarthost"));
    assert!(!schedule.works("smarthost"));
    assert_eq!(schedule.failed("smarthost", at), Some(PAUSE));
}

#[test]
fn a_route_that_is_resumed_does_not_rest_and_begins_with_the_shortest_pause() {
    let (mut schedule, now) = (Schedule::new(vec!["a".into()]), Instant::now());
    let (offers, _kept) = tokio::sync::mpsc::unbounded_channel();
    schedule.join("a", Instance(1), Generation(1), offers.clone());
    schedule.join("b", Instance(2), Generation(1), offers);
    schedule.room("a", Instance(1), 1);
    schedule.failed("a", now);
    schedule.failed("a", now + PAUSE);
    assert!(schedule.next(now + PAUSE, 1).is_none());
    assert_eq!(schedule.resume(), ["a"]);
    assert_eq!(schedule.next(now + PAUSE, 1).unwrap().upstream, "a");
    assert_eq!(schedule.failed("a", now + PAUSE), Some(PAUSE));
    assert!(schedule.works("a") && schedule.resume().is_empty());
}

#[test]
fn rule_q11_routes_that_share_an_upstream_take_turns() {
    let (mut schedule, now) = (Schedule::new(vec!["a".into(), "a,b".into()]), Instant::now());
    let (offers, _kept) = tokio::sync::mpsc::unbounded_channel();
    schedule.join("a", Instance(1), Generation(1), offers);
    let served: Vec<String> = (0..4)
        .map(|_| {
            schedule.room("a", Instance(1), 1);
            schedule.next(now, 1).unwrap().lane
        })
        .collect();
    assert_eq!(served, ["a", "a,b", "a", "a,b"]);
}

#[test]
fn the_second_upstream_is_for_when_the_first_fails_not_for_when_it_is_busy() {
    let (mut schedule, now) = (Schedule::new(vec!["first,second".into()]), Instant::now());
    let (offers, _kept) = tokio::sync::mpsc::unbounded_channel();
    schedule.join("first", Instance(1), Generation(1), offers.clone());
    schedule.join("second", Instance(2), Generation(1), offers.clone());
    schedule.room("second", Instance(2), 4);
    assert!(schedule.next(now, 1).is_none(), "the first has no room");
    schedule.room("first", Instance(1), 1);
    assert_eq!(schedule.next(now, 1).unwrap().upstream, "first");
    schedule.failed("first", now);
    assert_eq!(schedule.next(now, 1).unwrap().upstream, "second");
    schedule.leave("second", Instance(2));
    assert!(schedule.next(now, 1).is_none());
}

#[test]
fn rule_u10_one_credentials_messages_make_no_route_rest_and_two_in_a_row_do() {
    let (mut schedule, now) = (Schedule::default(), Instant::now());
    for _ in 0..20 {
        assert_eq!(schedule.broke_off("a", "a", "low", now), None);
    }
    assert!(!schedule.works("a"), "it never rested");
    assert_eq!(schedule.broke_off("a", "a", "good", now), None, "one passed between");
    assert_eq!(schedule.broke_off("a", "a", "low", now), Some(PAUSE));
    assert!(schedule.works("a"));
    assert_eq!(schedule.broke_off("a", "a", "low", now), None);
}

#[test]
fn a_lane_goes_round_an_upstream_that_broke_off_as_long_as_another_can_be_used() {
    let (mut schedule, now) = (Schedule::new(vec!["first,second".into()]), Instant::now());
    let (offers, _kept) = tokio::sync::mpsc::unbounded_channel();
    for (n, name) in [(1, "first"), (2, "second")] {
        schedule.join(name, Instance(n), Generation(1), offers.clone());
    }
    let next = |schedule: &mut Schedule, at| {
        schedule.room("first", Instance(1), 1);
        schedule.room("second", Instance(2), 1);
        schedule.next(at, 1).unwrap().upstream
    };
    schedule.broke_off("first", "first,second", "low", now);
    assert_eq!(next(&mut schedule, now), "second");
    assert_eq!(next(&mut schedule, now + LONGEST_PAUSE), "first");
    schedule.failed("second", now);
    assert_eq!(next(&mut schedule, now), "first", "the other one rests");
    schedule.works("second");
    schedule.works("first");
    assert_eq!(next(&mut schedule, now), "first", "one passed there");
}

#[test]
fn a_courier_of_a_newer_configuration_gets_the_work() {
    let (mut schedule, now) = (Schedule::new(vec!["a".into()]), Instant::now());
    let (offers, _kept) = tokio::sync::mpsc::unbounded_channel();
    for n in [1, 2] {
        schedule.join("a", Instance(n), Generation(n), offers.clone());
        schedule.room("a", Instance(n), 1);
    }
    assert_eq!(schedule.next(now, 1).unwrap().instance, Instance(2));
    assert!(schedule.next(now, 1).is_none());
}
