//! Which lane moves to which upstream.

use super::*;
use crate::ipc::admin::route::Standing;

#[test]
fn a_route_that_is_resumed_does_not_rest_and_begins_with_the_shortest_pause() {
    let (mut schedule, now) = (Schedule::new(vec!["a".into()]), Instant::now());
    let (offers, _kept) = tokio::sync::mpsc::unbounded_channel();
    schedule.join("a", Instance(1), Generation(1), offers.clone());
    schedule.join("b", Instance(2), Generation(1), offers);
    schedule.room("a", Instance(1), 1);
    let pause = schedule.failed("a", Fault::Route, "gone", now).unwrap();
    schedule.failed("a", Fault::Route, "gone", now + pause);
    assert!(schedule.next(now + pause, 1).is_none());
    assert_eq!(schedule.resume(), ["a"]);
    assert_eq!(schedule.next(now + pause, 1).unwrap().upstream, "a");
    assert!(schedule.failed("a", Fault::Route, "gone", now + pause).unwrap() <= Duration::from_secs(6));
    assert!(schedule.works("a") && schedule.resume().is_empty());
}

#[test]
fn an_upstream_is_tried_when_it_answered_failed_or_was_tested_and_after_a_reload_it_is_not() {
    let (mut schedule, now) = (Schedule::new(vec!["a".into()]), Instant::now());
    let (offers, _kept) = tokio::sync::mpsc::unbounded_channel();
    schedule.join("a", Instance(1), Generation(1), offers);
    let said: [fn(&mut Schedule, Instant); 3] = [
        |schedule, _| assert!(!schedule.works("a"), "it never rested"),
        |schedule, now| assert!(schedule.failed("a", Fault::Login, "no", now).is_some()),
        |schedule, _| schedule.tested("a"),
    ];
    for told in said {
        assert!(!schedule.state("a", now).tried);
        told(&mut schedule, now);
        assert!(schedule.state("a", now).tried);
        schedule.resume();
    }
    assert!(!schedule.state("b", now).tried, "there is none");
}

#[test]
fn rule_q5_a_lane_is_stranded_when_each_of_its_upstreams_is_paused_or_served_by_nobody() {
    let mut schedule = Schedule::new(vec!["a".into(), "a,b".into(), "c".into()]);
    let (offers, _kept) = tokio::sync::mpsc::unbounded_channel();
    let stranded = |schedule: &Schedule| schedule.stranded().into_iter().collect::<Vec<_>>();
    assert_eq!(stranded(&schedule), ["a", "a,b", "c"]);
    schedule.join("a", Instance(1), Generation(1), offers.clone());
    assert_eq!(stranded(&schedule), ["c"]);
    // One that rests is tried again by itself, and soon or not.
    schedule.failed("a", Fault::Route, "gone", Instant::now());
    assert_eq!(stranded(&schedule), ["c"]);
    schedule.join("c", Instance(3), Generation(1), offers.clone());
    assert!(stranded(&schedule).is_empty());
    schedule.failed("c", Fault::Login, "no", Instant::now());
    assert_eq!(stranded(&schedule), ["c"]);
    schedule.pause("a", Some(Pause { since_us: 1, actor: "uid 0".into() }));
    assert_eq!(stranded(&schedule), ["a", "a,b", "c"]);
    schedule.join("b", Instance(2), Generation(1), offers);
    assert_eq!(stranded(&schedule), ["a", "c"]);
    schedule.suspect("d", Some(1));
    assert_eq!(stranded(&schedule), ["a", "c", "d"]);
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
    schedule.failed("first", Fault::Route, "gone", now);
    assert_eq!(schedule.next(now, 1).unwrap().upstream, "second");
    schedule.leave("second", Instance(2));
    assert!(schedule.next(now, 1).is_none());
}

#[test]
fn rule_u10_two_credentials_messages_make_a_route_rest_and_of_one_many_in_a_row_do_briefly() {
    let (mut schedule, now) = (Schedule::default(), Instant::now());
    for _ in 0..5 {
        for _ in 1..IN_A_ROW {
            assert_eq!(schedule.broke_off("a", "low", now), None);
        }
        assert!(!schedule.works("a"), "it never rested");
    }
    assert_eq!(schedule.broke_off("a", "good", now), None, "one passed between");
    assert!(schedule.broke_off("a", "low", now).is_some());
    assert!(schedule.works("a"));
    let mut now = now;
    for count in 1..50 {
        let pause = schedule.broke_off("a", "low", now);
        assert_eq!(pause.is_some(), count >= IN_A_ROW, "{count}");
        assert!(pause.is_none_or(|pause| pause <= Duration::from_secs(6)), "{count}: {pause:?}");
        now += pause.unwrap_or_default();
    }
    assert!(schedule.works("a"));
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

/// What a lane is given, with a courier that can take eight.
fn given(schedule: &mut Schedule, now: Instant) -> u32 {
    std::iter::from_fn(|| schedule.next(now, 1)).map(|plan| plan.count).sum()
}

#[test]
fn rule_q2_an_upstream_that_failed_is_probed_by_one_message_and_comes_back_step_by_step() {
    let (mut schedule, now) = (Schedule::new(vec!["a".into()]), Instant::now());
    let (offers, _kept) = tokio::sync::mpsc::unbounded_channel();
    schedule.join("a", Instance(1), Generation(1), offers);
    schedule.room("a", Instance(1), 8);
    assert_eq!(given(&mut schedule, now), 8);
    let pause = schedule.failed("a", Fault::Route, "gone", now).unwrap();
    schedule.back("a", Instance(1), 1, 8);
    assert_eq!(given(&mut schedule, now), 0, "it rests");
    assert_eq!(schedule.state("a", now).standing, Standing::Resting);
    let later = now + pause;
    assert_eq!(given(&mut schedule, later), 1);
    assert_eq!(schedule.state("a", later).standing, Standing::Probed);
    let mut steps = Vec::new();
    let mut under_way = 1;
    for _ in 0..4 {
        for _ in 0..under_way {
            schedule.works("a");
            schedule.passed("a");
            schedule.back("a", Instance(1), 1, 1);
        }
        under_way = given(&mut schedule, later);
        steps.push((under_way, schedule.state("a", later).standing));
    }
    let recovering = Standing::Recovering;
    assert_eq!(steps, [(2, recovering), (4, recovering), (8, Standing::Up), (8, Standing::Up)]);
}

#[test]
fn rule_q2_the_others_go_to_the_next_upstream_while_one_message_probes_the_first() {
    let (mut schedule, now) = (Schedule::new(vec!["first,second".into()]), Instant::now());
    let (offers, _kept) = tokio::sync::mpsc::unbounded_channel();
    for (n, name) in [(1, "first"), (2, "second")] {
        schedule.join(name, Instance(n), Generation(1), offers.clone());
        schedule.room(name, Instance(n), 4);
    }
    let later = now + schedule.failed("first", Fault::Route, "gone", now).unwrap();
    let plans: Vec<_> =
        std::iter::from_fn(|| schedule.next(later, 1)).map(|plan| (plan.upstream, plan.count)).collect();
    assert_eq!(plans, [("first".to_owned(), 1), ("second".to_owned(), 4)]);
}

#[test]
fn a_paused_upstream_is_offered_nothing_until_it_is_resumed() {
    let (mut schedule, now) = (Schedule::new(vec!["a".into()]), Instant::now());
    let (offers, _kept) = tokio::sync::mpsc::unbounded_channel();
    schedule.join("a", Instance(1), Generation(1), offers);
    schedule.room("a", Instance(1), 1);
    schedule.pause("a", Some(Pause { since_us: 1, actor: "uid 0".into() }));
    schedule.works("a");
    schedule.resume();
    assert!(schedule.next(now, 1).is_none(), "neither an answer nor a new configuration ends it");
    assert_eq!((schedule.state("a", now).standing, schedule.paused().count()), (Standing::Paused, 1));
    schedule.pause("a", None);
    assert!(schedule.next(now, 1).is_some());
}

/// A message of that credential, as far as the schedule looks at it.
fn leased(credential: &str) -> Leased {
    Leased {
        day_slot: None,
        job: 0,
        delivery: uuid::Uuid::nil(),
        lane: "a".into(),
        row: 0,
        message: crate::mail::id::MessageId::now(),
        session: uuid::Uuid::nil(),
        principal: credential.into(),
        sender: None,
        manner: crate::mail::envelope::Manner::default(),
        bytes: 0,
        sha256: [0; 32],
        expires_us: 0,
        on_unknown: crate::policy::OnUnknown::Retry,
        reports: crate::policy::reports::Reports::Mail,
        webhook: None,
        is_report: false,
        ended: 0,
        body: crate::vault::store::spool::Body::Inline(Vec::new()),
        lock: crate::vault::store::keys::Lock::None,
        recipients: Vec::new(),
        doubtful: Vec::new(),
    }
}

/// Who gets something, of these who want it in this order, and how many are left then.
fn shared(plan: &Plan, wanting: &[&str]) -> Vec<String> {
    let (mut share, mut got) = (plan.share.clone(), Vec::new());
    for who in wanting.iter().filter(|_| plan.count > 0) {
        if got.len() < plan.count as usize && share.may(who) {
            share.take(who);
            got.push((*who).to_owned());
        }
    }
    got
}

#[test]
fn rule_q11_the_last_connection_is_for_whoever_has_none() {
    let (mut schedule, now) = (Schedule::new(vec!["a".into(), "a,b".into()]), Instant::now());
    let (offers, _kept) = tokio::sync::mpsc::unbounded_channel();
    schedule.join("a", Instance(1), Generation(1), offers.clone());
    schedule.room("a", Instance(1), 3);
    let plan = schedule.next(now, 1).unwrap();
    assert_eq!(shared(&plan, &["flood"; 4]), ["flood"; 3], "it is alone in the world");
    schedule.back("a", Instance(1), 1, 3);
    schedule.is_shared = true;
    let plan = schedule.next(now, 1).unwrap();
    assert_eq!(shared(&plan, &["flood", "flood", "flood", "alarm"]), ["flood", "flood", "alarm"]);
    schedule.took(&plan, &[leased("flood"), leased("flood")], true);
    schedule.back("a", Instance(1), 1, 1);
    schedule.lanes.clear();
    schedule.arrived(["a".to_owned()]);
    let plan = schedule.next(now, 1).unwrap();
    assert_eq!(shared(&plan, &["flood", "alarm"]), ["alarm"]);
    schedule.back("a", Instance(1), 1, 1);
    // When one of its own comes back it is looked at again, in whatever lane it waits.
    schedule.lanes.clear();
    schedule.returned("a", Instance(1), 1, "flood");
    let plan = schedule.next(now, 1).unwrap();
    assert_eq!(shared(&plan, &["flood", "flood", "alarm"]), ["flood", "alarm"]);
    // Of a single connection nothing can be kept.
    schedule.join("b", Instance(2), Generation(1), offers);
    schedule.room("b", Instance(2), 1);
    schedule.lanes.clear();
    schedule.arrived(["b".to_owned()]);
    assert_eq!(shared(&schedule.next(now, 1).unwrap(), &["flood"]), ["flood"]);
}

#[test]
fn rule_q2_an_upstream_that_failed_is_probed_although_one_from_before_is_still_on_its_way() {
    let (mut schedule, now) = (Schedule::new(vec!["a".into()]), Instant::now());
    let (offers, _kept) = tokio::sync::mpsc::unbounded_channel();
    schedule.join("a", Instance(1), Generation(1), offers);
    schedule.room("a", Instance(1), 4);
    // Four are on their way; three fail and come back, and the first waits for the answer to its dot.
    let plan = schedule.next(now, 1).unwrap();
    assert_eq!(plan.count, 4);
    let pause = schedule.failed("a", Fault::Route, "gone", now).unwrap();
    for job in plan.first + 1..plan.first + 4 {
        schedule.returned("a", Instance(1), job, "shop");
    }
    schedule.arrived(["a".to_owned()]);
    assert!(schedule.next(now, 1).is_none(), "it rests");
    let later = now + pause;
    let probe = schedule.next(later, 1).unwrap();
    assert_eq!((probe.count, schedule.state("a", later).standing), (1, Standing::Probed));
    schedule.arrived(["a".to_owned()]);
    assert!(schedule.next(later, 1).is_none(), "one probe at a time");
    schedule.returned("a", Instance(1), plan.first, "shop");
    assert!(schedule.next(later, 1).is_none(), "the end of the old one is not that of the probe");
    schedule.returned("a", Instance(1), probe.first, "shop");
    assert_eq!(schedule.next(later, 1).map(|plan| plan.count), Some(1));
}
