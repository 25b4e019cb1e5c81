//! Whose mail is put off, by what is held and by how long it takes.

use super::*;

const FAST: Thresholds<Duration> = Thresholds { heavy: Duration::from_secs(1), all: Duration::from_secs(5) };

fn rules(messages: Thresholds<u64>, octets: Thresholds<u64>) -> Shedding {
    Shedding { messages, octets, latency: FAST }
}

fn load(rules: Shedding) -> Load {
    let load = Load::default();
    load.set(rules);
    load
}

fn few(messages: u64) -> Held {
    Held { messages, octets: messages }
}

fn hold(load: &Load, who: &str, held: Held) -> Option<(Stage, Stage)> {
    load.changed(vec![(who.to_owned(), held, Came::default())]);
    load.look(Instant::now()).map(|change| (change.before, change.stage()))
}

const MESSAGES: Thresholds<u64> = Thresholds { heavy: 100, all: 200 };
const MANY: Thresholds<u64> = Thresholds { heavy: 1_000_000, all: 2_000_000 };

#[test]
fn rule_q16_at_the_first_threshold_those_with_more_than_their_share_wait_at_the_second_all() {
    let load = load(rules(MESSAGES, MANY));
    assert_eq!(hold(&load, "till", few(4)), None);
    assert_eq!(hold(&load, "shop", few(95)), None);
    assert!(!load.sheds("shop"));
    assert_eq!(hold(&load, "shop", few(96)), Some((Stage::Calm, Stage::Heavy)));
    assert_eq!((load.sheds("shop"), load.sheds("till"), load.sheds("nobody")), (true, false, false));
    let told = load.told();
    assert_eq!((told.credentials, told.put_off), (2, 1));
    assert_eq!(told.reasons().map(|figure| figure.measure).collect::<Vec<_>>(), [Measure::Messages]);
    // Whoever grows past the share waits, too.
    assert_eq!(hold(&load, "till", few(60)), None);
    assert!(load.sheds("till") && !load.sheds("nobody") && !load.is_beyond());
    assert_eq!(hold(&load, "billing", few(44)), Some((Stage::Heavy, Stage::All)));
    assert!(load.is_beyond());
    assert!(["shop", "till", "billing", "nobody"].iter().all(|who| load.sheds(who)));
    assert_eq!(hold(&load, "shop", few(0)), Some((Stage::All, Stage::Heavy)));
    assert!(load.sheds("till") && !load.sheds("shop"));
    assert_eq!(hold(&load, "till", few(30)), Some((Stage::Heavy, Stage::Calm)));
    assert!(!load.sheds("till") && load.told().put_off == 0);
}

#[test]
fn rule_q16_octets_are_shared_by_themselves_and_one_who_is_alone_waits_as_well() {
    let load = load(rules(MANY, Thresholds { heavy: 1000, all: 2000 }));
    hold(&load, "many", Held { messages: 300, octets: 300 });
    let large = Held { messages: 1, octets: 800 };
    assert_eq!(hold(&load, "large", large), Some((Stage::Calm, Stage::Heavy)));
    assert_eq!((load.sheds("many"), load.sheds("large")), (false, true));
    assert_eq!(hold(&load, "many", Held::default()), None);
    assert!(load.sheds("large"), "as long as the stage goes on, somebody is heavy");
    assert_eq!(hold(&load, "large", Held { messages: 1, octets: 749 }), Some((Stage::Heavy, Stage::Calm)));
}

/// Those have gone already, or go on at once: nothing of it is held.
fn send(load: &Load, who: &str, recipients: u64) {
    load.changed(vec![(who.to_owned(), Held::default(), Came { recipients, octets: 0 })]);
}

#[test]
fn rule_q16_a_slow_store_puts_off_those_who_made_it_slow_and_thresholds_can_change() {
    let load = load(rules(MANY, MANY));
    hold(&load, "devices", few(90));
    send(&load, "till", 2);
    send(&load, "shop", 3000);
    let now = Instant::now();
    (0..9).for_each(|_| load.committed(Duration::from_secs(2), 0));
    let begun = load.look(now).unwrap();
    assert_eq!(begun.stage(), Stage::Heavy);
    let event = begun.event();
    assert_eq!((event.name, event.reason.as_deref(), event.severity), (Name::ShedBegin, Some("latency"), 4));
    let put_off = ["shop", "till", "devices", "nobody"].map(|who| load.sheds(who));
    assert_eq!(put_off, [true, false, false, false], "what waits there costs nothing now");
    let told = load.told();
    assert_eq!((told.credentials, told.put_off), (3, 1));
    (0..20).for_each(|_| load.committed(Duration::from_secs(20), 0));
    assert_eq!(load.look(now).unwrap().stage(), Stage::All);
    // What it is measured by may be what is kept away by it.
    (0..20).for_each(|_| load.second());
    assert!(load.look(now).is_none(), "not at once");
    let over = load.look(now + STEADY).unwrap();
    assert_eq!((over.stage(), over.event().name), (Stage::Calm, Name::ShedEnd));
    load.set(rules(Thresholds { heavy: 1, all: 10 }, MANY));
    assert_eq!(load.look(now).unwrap().stage(), Stage::All);
    load.set(rules(MANY, MANY));
    assert_eq!(load.look(now).unwrap().stage(), Stage::Calm);
    (0..300).for_each(|_| load.second());
    assert_eq!(load.told().credentials, 1, "who sends nothing any more is forgotten");
}

#[test]
fn rule_q16_a_store_is_as_slow_as_what_it_is_slowest_at() {
    let large = 9 * BODY;
    let slow: [&dyn Fn(&Load); 2] =
        [&|load| load.copied_back(Duration::from_secs(10)), &|load| load.synced(large, Duration::from_secs(90))];
    for slow in slow {
        let (load, now) = (load(rules(MANY, MANY)), Instant::now());
        // Many commits, and for seconds none, between any two of them.
        let round = |slow: &dyn Fn(&Load)| {
            slow(&load);
            (0..100).for_each(|_| load.committed(Duration::from_millis(20), 0));
            (0..9).for_each(|_| load.second());
            load.look(now).map(|change| change.stage())
        };
        let stages = [(); 12].map(|()| round(slow));
        assert_eq!(stages.into_iter().flatten().collect::<Vec<_>>(), [Stage::Heavy, Stage::All]);
        (0..200).for_each(|_| load.second());
        load.look(now);
        assert_eq!(load.look(now + STEADY).unwrap().stage(), Stage::Calm, "of none for minutes nothing is known");
    }
    let load = load(rules(MANY, MANY));
    (0..9).for_each(|_| load.synced(large, Duration::from_secs(5)));
    assert!(load.look(Instant::now()).is_none(), "so large a body may take longer than one commit");
}

#[test]
fn rule_q16_what_was_shed_before_a_restart_is_told_of_when_it_is_over() {
    let load = Load::default();
    load.go_on(Stage::All);
    assert!(load.look(Instant::now()).is_none() && !load.sheds("shop"), "not before there is a configuration");
    load.set(rules(MESSAGES, MANY));
    let change = load.look(Instant::now()).unwrap();
    let event = change.event();
    assert_eq!((event.name, event.reason), (Name::ShedEnd, None));
    let data: serde_json::Value = serde_json::from_str(event.data.as_deref().unwrap()).unwrap();
    assert_eq!((data["before"].as_str(), data["stage"].as_str()), (Some("all"), Some("none")));
}

#[test]
fn rule_q16_a_commit_that_does_not_end_keeps_all_mail_away_for_as_long() {
    let (load, now) = (Load::default(), Instant::now());
    let hour = now + Duration::from_secs(3600);
    load.begin(now);
    assert!(!load.sheds_at("till", hour), "not before there is a configuration");
    load.set(rules(MANY, MANY));
    hold(&load, "shop", few(1));
    let just = now + Duration::from_secs(4);
    assert!(!load.sheds_at("till", just) && load.told_at(just).stage == Stage::Calm);
    assert!(load.sheds_at("till", hour));
    let told = load.told_at(hour);
    assert_eq!((told.stage, told.put_off, told.reasons().count()), (Stage::All, 1, 1));
    assert!(told.figures[2].now > 3_590_000_000, "{told:?}");
    load.end(hour);
    assert!(!load.sheds_at("till", hour) && load.told_at(hour).stage == Stage::Calm);
}

#[test]
fn rule_q16_all_that_wait_make_a_store_slow_and_one_that_stood_still_says_nothing_of_the_next() {
    let shop = vec![("shop".to_owned(), few(1), Came { recipients: 9, octets: 9 })];
    // It stood still once, for whatever reason, and all that had come meanwhile went fast.
    let load = load(rules(MANY, MANY));
    load.changed(shop.clone());
    load.committed(Duration::from_secs(60), 16);
    (0..16).rev().for_each(|behind| load.committed(Duration::from_millis(20), behind));
    assert!(load.look(Instant::now()).is_none() && !load.sheds("shop"));
    // Each takes a fifth of the first threshold, and ten wait.
    (0..20).for_each(|_| load.committed(Duration::from_millis(200), 9));
    assert_eq!(load.look(Instant::now()).map(|change| change.stage()), Some(Stage::Heavy));
    assert!(load.sheds("shop") && !load.is_beyond());
}
