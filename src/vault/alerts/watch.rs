//! What is told when: each thing once, again at intervals as long as it goes on, and its end. No I/O: the times are given.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::time::Instant;

use super::sign::{Kind, Sign};
use crate::config::slice::Alerts;
use crate::vault::store::alerts::Told;
use crate::vault::transaction::microseconds;

/// Things of one kind that are watched at once: of credentials there may be any number, and whoever is told of two hundred learns
/// nothing by the next one. None of them keeps out what is wrong otherwise.
pub const MOST: usize = 200;
/// Changes that are told in one round. The rest is due at the next one.
pub const ROUND: usize = 50;

/// What is told of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    Begins,
    GoesOn,
    Over,
}

impl Turn {
    pub const fn word(self) -> &'static str {
        match self {
            Self::Begins => "begins",
            Self::GoesOn => "goes-on",
            Self::Over => "over",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub turn: Turn,
    pub kind: Kind,
    pub subject: String,
    pub text: String,
    pub since_us: u64,
}

#[derive(Debug)]
struct Watch {
    text: String,
    since_us: u64,
    /// Of those looks that saw it in a row, and the last that did.
    first: Instant,
    last: Instant,
    /// The last time; none: nobody knows of it yet.
    told_us: Option<u64>,
    /// It went on for long enough to be told, so it is, even if it is gone by then.
    is_due: bool,
}

#[derive(Debug, Default)]
pub struct Watches(BTreeMap<(Kind, String), Watch>);

impl Watches {
    /// As they were told of before a restart. Words of a newer version are left out.
    pub fn load(told: Vec<Told>, now: Instant) -> Self {
        let watch = |Told { kind, subject, since_us, told_us, text }: Told| {
            let watch = Watch { text, since_us, first: now, last: now, told_us: Some(told_us), is_due: false };
            Some(((Kind::of(&kind)?, subject), watch))
        };
        Self(told.into_iter().filter_map(watch).collect())
    }

    /// Takes what was seen now, and gives what is to be told in this round: of each kind some before more of any. It is due until
    /// `told` is called.
    pub fn look(&mut self, signs: Vec<Sign>, alerts: &Alerts, now_us: u64, now: Instant) -> Vec<Change> {
        let mut counts = BTreeMap::new();
        for Sign { kind, subject, text } in signs {
            let count = counts.entry(kind).or_insert_with(|| self.count(kind));
            match self.0.entry((kind, subject)) {
                Entry::Occupied(mut known) => {
                    let watch = known.get_mut();
                    (watch.text, watch.last) = (text, now);
                }
                Entry::Vacant(place) if *count < MOST => {
                    *count += 1;
                    let (first, last) = (now, now);
                    place.insert(Watch { text, since_us: now_us, first, last, told_us: None, is_due: false });
                }
                Entry::Vacant(_) => {}
            }
        }
        // What nobody was told of and is not there any more was none.
        self.0.retain(|_, watch| watch.told_us.is_some() || watch.is_due || watch.last == now);
        let due = self.0.iter_mut().filter_map(|((kind, subject), watch)| {
            let turn = watch.turn(*kind, alerts, now_us, now)?;
            Some(Change {
                turn,
                kind: *kind,
                subject: subject.clone(),
                text: watch.text.clone(),
                since_us: watch.since_us,
            })
        });
        fair(due.collect())
    }

    /// How many of that kind are watched.
    fn count(&self, kind: Kind) -> usize {
        self.0.range((kind, String::new())..).take_while(|((of, _), _)| *of == kind).count()
    }

    /// These were told.
    pub fn told(&mut self, changes: &[Change], now_us: u64) {
        for Change { turn, kind, subject, .. } in changes {
            let key = (*kind, subject.clone());
            match turn {
                Turn::Over => drop(self.0.remove(&key)),
                Turn::Begins | Turn::GoesOn => {
                    let _ = self.0.get_mut(&key).map(|watch| watch.told_us = Some(now_us));
                }
            }
        }
    }
}

/// As many as fit in one round: the first of each kind, then the second of each, and so on.
fn fair(due: Vec<Change>) -> Vec<Change> {
    let mut of_kind = BTreeMap::new();
    let mut ranked: Vec<(usize, Change)> = Vec::with_capacity(due.len());
    for change in due {
        let rank = of_kind.entry(change.kind).and_modify(|rank| *rank += 1).or_insert(0_usize);
        ranked.push((*rank, change));
    }
    // Stable: those of one rank stay in the order of their kinds.
    ranked.sort_by_key(|(rank, _)| *rank);
    ranked.into_iter().take(ROUND).map(|(_, change)| change).collect()
}

impl Watch {
    fn turn(&mut self, kind: Kind, alerts: &Alerts, now_us: u64, now: Instant) -> Option<Turn> {
        let Some(told_us) = self.told_us else {
            self.is_due |= now.duration_since(self.first) >= kind.hold(alerts);
            return self.is_due.then_some(Turn::Begins);
        };
        if now.duration_since(self.last) >= kind.calm() {
            return Some(Turn::Over);
        }
        if now_us < told_us {
            // A clock that was set back begins the interval anew.
            self.told_us = Some(now_us);
            return None;
        }
        let is_due = alerts.repeat.is_some_and(|repeat| now_us - told_us >= microseconds(repeat));
        (is_due && self.last == now).then_some(Turn::GoesOn)
    }
}

#[cfg(test)]
pub mod tests {
    use std::time::Duration;

    use super::*;

    const MINUTE_US: u64 = 60_000_000;

    pub fn alerts() -> Alerts {
        let (minute, day) = (Duration::from_secs(60), Duration::from_secs(86_400));
        Alerts {
            mail: Vec::new(),
            from: None,
            webhook: None,
            repeat: Some(day),
            queue_age: 15 * minute,
            queue_messages: 10_000,
            upstream_down: 5 * minute,
            bounce_rate: 20,
            failed_logins: 100,
            falls: 3,
            certificate: 14 * day,
            digest: None,
        }
    }

    /// Looks, `minute` minutes after the beginning, and has told what is due.
    struct Bench {
        watches: Watches,
        begun: Instant,
    }

    impl Bench {
        fn new() -> Self {
            Self { watches: Watches::default(), begun: Instant::now() }
        }

        fn look(&mut self, minute: u64, signs: &[Sign]) -> Vec<(Turn, Kind)> {
            let (us, now) = (minute * MINUTE_US, self.begun + Duration::from_secs(60 * minute));
            let changes = self.watches.look(signs.to_vec(), &alerts(), us, now);
            self.watches.told(&changes, us);
            changes.iter().map(|change| (change.turn, change.kind)).collect()
        }
    }

    fn down() -> Vec<Sign> {
        vec![Sign::new(Kind::Upstream, "smarthost", "it rests")]
    }

    #[test]
    fn rule_o4_what_goes_on_is_told_once_then_daily_and_so_is_its_end() {
        let mut bench = Bench::new();
        assert_eq!(bench.look(0, &down()), []);
        assert_eq!(bench.look(4, &down()), []);
        assert_eq!(bench.look(5, &down()), [(Turn::Begins, Kind::Upstream)]);
        for minute in 6..5 + 1440 {
            assert_eq!(bench.look(minute, &down()), [], "{minute}");
        }
        assert_eq!(bench.look(5 + 1440, &down()), [(Turn::GoesOn, Kind::Upstream)]);
        assert_eq!(bench.look(5 + 1444, &[]), []);
        assert_eq!(bench.look(5 + 1445, &[]), [(Turn::Over, Kind::Upstream)]);
        assert_eq!(bench.look(5 + 1446, &[]), []);
    }

    #[test]
    fn what_comes_and_goes_is_one_alert_and_what_was_short_is_none() {
        let mut bench = Bench::new();
        for minute in [0, 4] {
            assert_eq!(bench.look(minute, &down()), []);
            assert_eq!(bench.look(minute + 1, &[]), [], "it was not down for five minutes in a row");
        }
        for minute in 10..15 {
            assert_eq!(bench.look(minute, &down()), []);
        }
        assert_eq!(bench.look(15, &down()).len(), 1);
        for minute in (16..60).step_by(4) {
            assert_eq!(bench.look(minute, &[]), []);
            assert_eq!(bench.look(minute + 2, &down()), []);
        }
    }

    #[test]
    fn a_limit_that_is_used_up_again_and_again_is_one_alert() {
        let mut bench = Bench::new();
        let used_up = [Sign::new(Kind::Limit, "shop", "nothing is left of per_hour=60")];
        let mut told = Vec::new();
        for minute in 0..240 {
            let signs = if minute < 180 && minute % 20 == 0 { &used_up[..] } else { &[] };
            told.extend(bench.look(minute, signs).into_iter().map(|(turn, _)| (minute, turn)));
        }
        // The last time is minute 160.
        assert_eq!(told, [(0, Turn::Begins), (220, Turn::Over)]);
    }

    #[test]
    fn a_restart_tells_nobody_again_and_still_tells_the_end() {
        let mut bench = Bench::new();
        bench.look(0, &down());
        assert_eq!(bench.look(5, &down()).len(), 1);
        let told = |kind: &str| Told {
            kind: kind.into(),
            subject: "smarthost".into(),
            since_us: 0,
            told_us: 5 * MINUTE_US,
            text: "it rests".into(),
        };
        let all = vec![told("upstream"), told("of-a-newer-version")];
        bench.watches = Watches::load(all, bench.begun + Duration::from_secs(600));
        assert_eq!(bench.look(11, &down()), []);
        assert_eq!(bench.look(12, &[]), []);
        assert_eq!(bench.look(16, &[]), [(Turn::Over, Kind::Upstream)]);
    }

    #[test]
    fn what_could_not_be_told_is_due_still_and_there_is_an_end_to_what_is_watched() {
        let (mut watches, now) = (Watches::default(), Instant::now());
        let sign = |n: usize| Sign::new(Kind::Limit, format!("c{n}"), "nothing is left");
        let mut signs: Vec<Sign> = (0..MOST + 9).map(sign).collect();
        for _ in 0..3 {
            assert_eq!(watches.look(signs.clone(), &alerts(), 1, now).len(), ROUND);
        }
        signs.push(Sign::new(Kind::Clock, "", "something else"));
        let mut all = Vec::new();
        for round in 0..=MOST / ROUND {
            let changes = watches.look(signs.clone(), &alerts(), 1, now);
            assert_eq!(
                round == 0,
                changes.iter().any(|change| change.kind == Kind::Clock),
                "it waits behind no other kind"
            );
            watches.told(&changes, 1);
            all.extend(changes);
        }
        assert_eq!(all.len(), MOST + 1, "each is told once, and what is wrong otherwise has room");
        assert_eq!(watches.look(signs, &alerts(), 1, now), []);
    }

    #[test]
    fn what_nobody_could_be_told_of_in_time_is_told_all_the_same() {
        let mut bench = Bench::new();
        let falls = vec![Sign::new(Kind::Processes, "", "the edge fell")];
        let first = bench.watches.look(falls, &alerts(), 0, bench.begun);
        assert_eq!(first.len(), 1, "it could not be told then");
        assert_eq!(bench.look(20, &[]), [(Turn::Begins, Kind::Processes)]);
        assert_eq!(bench.look(21, &[]), [(Turn::Over, Kind::Processes)]);
    }

    #[test]
    fn a_clock_that_was_set_back_repeats_nothing() {
        let (mut watches, begun) = (Watches::default(), Instant::now());
        let sign = vec![Sign::new(Kind::Clock, "", "it was stepped")];
        let day_us = 1440 * MINUTE_US;
        let changes = watches.look(sign.clone(), &alerts(), 9 * day_us, begun);
        watches.told(&changes, 9 * day_us);
        let later = begun + Duration::from_secs(60);
        assert_eq!(watches.look(sign.clone(), &alerts(), 2 * day_us, later), []);
        assert_eq!(watches.look(sign.clone(), &alerts(), 3 * day_us - 1, later), []);
        assert_eq!(watches.look(sign, &alerts(), 3 * day_us, later).len(), 1);
    }
}
