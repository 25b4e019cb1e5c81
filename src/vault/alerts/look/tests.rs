//! Each sign has its condition, and its absence has none.

use super::*;
use crate::ipc::admin::load::{Figure, Load, Stage};
use crate::ipc::allowance::Left;
use crate::policy::thresholds::Thresholds;
use crate::role::{Generation, Instance};
use crate::vault::alerts::certificates::Certificates;
use crate::vault::alerts::rates::Counts;
use crate::vault::alerts::watch::tests::alerts;

fn words(signs: &[Sign]) -> Vec<(&str, &str)> {
    signs.iter().map(|sign| (sign.kind.word(), sign.subject.as_str())).collect()
}

fn readiness(free: u64, messages: u64, obstacles: Vec<Obstacle>) -> Readiness {
    let thresholds = Thresholds { heavy: 100_000, all: 200_000 };
    let figure = Figure { measure: Measure::Messages, now: messages, thresholds, stage: Stage::Calm };
    let load = Load { stage: Stage::Calm, figures: vec![figure], credentials: 0, put_off: 0 };
    Readiness { obstacles, load, free: Some(free), reserve: 100, programs: Vec::new() }
}

#[test]
fn room_and_load_are_told_before_and_when_mail_is_kept_out() {
    for (readiness, expected) in [
        (readiness(200, 10_000, vec![]), vec![]),
        (readiness(199, 10_000, vec![]), vec![("disk", "")]),
        (readiness(500, 10_000, vec![Obstacle::Room]), vec![("disk", "")]),
        (readiness(500, 10_001, vec![Obstacle::Load]), vec![("not-ready", "load"), ("queue-messages", "")]),
        (readiness(500, 0, vec![Obstacle::AuditMaxBytes]), vec![("not-ready", "audit-max-bytes")]),
    ] {
        assert_eq!(words(&of_readiness(&readiness, &alerts())), expected);
    }
}

fn state(standing: Standing, word: &str, paused: bool) -> State {
    State {
        upstream: "smarthost".into(),
        standing,
        failures: 3,
        seconds: None,
        fault: Some((word.into(), "535 no".into())),
        under_way: 0,
        slots: 4,
        window: None,
        paced: None,
        paused: paused.then(|| (1, "uid 0".into())),
        tried: true,
    }
}

#[test]
fn an_upstream_that_is_down_is_told_and_by_its_word_when_it_refuses_our_login() {
    for (standing, word, paused, expected) in [
        (Standing::Up, "unreachable", false, vec![]),
        (Standing::Recovering, "unreachable", false, vec![]),
        (Standing::Paused, "unreachable", true, vec![]),
        (Standing::Absent, "unreachable", true, vec![]),
        (Standing::Resting, "unreachable", false, vec![("upstream", "smarthost")]),
        (Standing::Absent, "unreachable", false, vec![("upstream", "smarthost")]),
        (Standing::Probed, "login-refused", false, vec![("upstream-login", "smarthost")]),
    ] {
        assert_eq!(words(&of_upstreams(&[state(standing, word, paused)])), expected, "{standing:?} {word}");
    }
}

#[test]
fn rates_are_told_from_their_thresholds_on() {
    let none = Counts::default();
    for (counts, expected) in [
        (Counts { accepted: 16, failed: 3, ..none }, vec![]),
        (Counts { accepted: 81, failed: 19, ..none }, vec![]),
        (Counts { accepted: 80, failed: 20, ..none }, vec![("bounce-rate", "")]),
        (Counts { failed_logins: 99, ..none }, vec![]),
        (Counts { failed_logins: 100, ..none }, vec![("failed-logins", "")]),
        (Counts { fallen: 2, ..none }, vec![]),
        (Counts { fallen: 3, ..none }, vec![("processes", "")]),
        (Counts { fallen: 1, crashes: 1, ..none }, vec![("processes", "")]),
        (Counts { integrity: 1, ..none }, vec![("integrity", "")]),
        (Counts { steps: 1, ..none }, vec![("clock", "")]),
    ] {
        let mut rates = Rates::default();
        rates.note(counts, Instant::now());
        assert_eq!(words(&of_rates(&rates, &alerts())), expected, "{counts:?}");
    }
}

#[test]
fn a_certificate_is_told_by_the_edges_that_are_in_force_and_of_them_alone() {
    let mut known = Certificates::default();
    let (now, day) = (1_800_000_000, 86_400);
    let edge = |generation, instance| (Generation(generation), Instance(instance));
    known.shown(edge(1, 1), "submission", now + day);
    known.shown(edge(2, 2), "submission", now + 90 * day);
    known.shown(edge(2, 3), "api", now - 1);
    let told = |known: &Certificates| {
        let signs = of_certificates(&known.of(Generation(2), &["submission", "api"]), &alerts(), now);
        signs.iter().map(|sign| (sign.subject.clone(), sign.text.clone())).collect::<Vec<_>>()
    };
    assert_eq!(told(&known), [("api".to_owned(), "it has expired: clients refuse it".to_owned())]);
    known.shown(edge(2, 2), "submission", now + 13 * day);
    assert_eq!(told(&known)[1].1, "it expires in 13 days");
    known.gone(edge(2, 2));
    assert_eq!(told(&known).len(), 1);
    // Nobody learns by an edge that was taken over of listeners that there are not, and others keep their room.
    (0..2 * MAX).for_each(|n| known.shown(edge(2, 9), &format!("l{n}\u{202e}\n"), now));
    assert_eq!(told(&known), [("api".to_owned(), "it has expired: clients refuse it".to_owned())]);
    known.shown(edge(2, 10), "submission", now - 1);
    assert_eq!(told(&known).len(), 2);
}

const MAX: usize = crate::ipc::session::MAX_SHOWN;

#[test]
fn a_credential_is_told_that_is_suspended_or_has_nothing_left_of_a_day_or_an_hour() {
    let left = |limit, left| Left { limit, quota: 10, left, seconds: 0 };
    let allowance = |own, suspended| Allowance { own, suspended, ..Allowance::default() };
    for (allowance, expected) in [
        (allowance(vec![left(Limit::PerMinute, 0), left(Limit::PerDay, 1)], None), None),
        (allowance(vec![left(Limit::PerDay, 0)], None), Some((Kind::Limit, "nothing is left of per_day=10"))),
        (
            allowance(vec![left(Limit::BytesPerDay, 0)], None),
            Some((Kind::Limit, "nothing is left of bytes_per_day=10")),
        ),
        (
            allowance(vec![left(Limit::PerDay, 0)], Some(7200)),
            Some((Kind::Suspended, "far beyond its history; suspended for another 2 hours")),
        ),
    ] {
        let sign = of_credential("shop", &allowance);
        assert_eq!(sign.as_ref().map(|sign| (sign.kind, sign.text.as_str())), expected);
    }
}
