//! Where credentials are at home: an address that one has logged in from. There the failures of others don't count against
//! it, so that one stale password on a machine doesn't lock out everybody else who lives there.

use std::collections::HashMap;

/// Days that a home is remembered after a login from there.
pub const DAYS: i64 = 30;
/// Homes at most; beyond it nobody new has one.
const HOMES: usize = 65_536;

/// One home as it is kept: an alias of name and address, and the day of the last login from there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Home {
    pub alias: String,
    pub day: i64,
}

#[derive(Debug, Default)]
pub struct Homes(HashMap<String, i64>);

impl Homes {
    pub fn load(&mut self, homes: Vec<Home>) {
        self.0.extend(homes.into_iter().take(HOMES).map(|home| (home.alias, home.day)));
    }

    pub fn knows(&self, alias: &str, day: i64) -> bool {
        self.0.get(alias).is_some_and(|last| day - last <= DAYS)
    }

    /// A login from there was right. Gives what is to be written, once a day.
    pub fn remember(&mut self, alias: String, day: i64) -> Option<Home> {
        let room = self.0.len() < HOMES || self.0.contains_key(&alias);
        if !room || self.0.get(&alias) == Some(&day) {
            return None;
        }
        self.0.insert(alias.clone(), day);
        Some(Home { alias, day })
    }

    pub fn sweep(&mut self, day: i64) {
        self.0.retain(|_, last| day - *last <= DAYS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_home_is_written_once_a_day_and_forgotten_after_a_month() {
        let mut homes = Homes::default();
        let home = Home { alias: "a".into(), day: 100 };
        assert_eq!(homes.remember("a".into(), 100), Some(home.clone()));
        assert_eq!(homes.remember("a".into(), 100), None);
        assert!(homes.remember("a".into(), 101).is_some());
        let mut homes = Homes::default();
        homes.load(vec![home]);
        assert!(homes.knows("a", 130) && !homes.knows("a", 131) && !homes.knows("b", 100));
        homes.sweep(131);
        assert!(homes.0.is_empty());
    }

    #[test]
    fn beyond_the_bound_nobody_new_has_one() {
        let mut homes = Homes::default();
        (0..HOMES + 10).for_each(|n| drop(homes.remember(n.to_string(), 1)));
        assert_eq!((homes.0.len(), homes.remember("0".into(), 2).is_some()), (HOMES, true));
    }
}
