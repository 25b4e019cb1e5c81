//! Where credentials are at home: an address that one has logged in from. There the failures of others don't count against
//! it, so that one stale password on a machine doesn't lock out everybody else who lives there.

use std::collections::HashMap;

/// Days that a home is remembered after a login from there.
pub const DAYS: i64 = 30;
/// Homes of one credential: more than it has machines, and a part of all so small that nobody with one key and addresses
/// without number leaves none to others.
pub const OWN: usize = 256;
/// Homes at most.
const HOMES: usize = 65_536;

/// One home as it is kept: an alias of the name and one of name and address, and the day of the last login from there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Home {
    pub alias: String,
    pub day: i64,
}

#[derive(Debug, Default)]
pub struct Homes {
    /// Of each owner.
    owned: HashMap<Box<str>, HashMap<String, i64>>,
    count: usize,
    /// Those that made room and are on the disk still.
    left: Vec<String>,
}

/// Whose home it is.
fn owner(alias: &str) -> &str {
    alias.split_once(' ').map_or("", |(owner, _)| owner)
}

impl Homes {
    /// Takes what was kept, the newest first.
    pub fn load(&mut self, homes: Vec<Home>) {
        for Home { alias, day } in homes {
            let own = self.owned.entry(owner(&alias).into()).or_default();
            if self.count < HOMES && own.len() < OWN && own.insert(alias, day).is_none() {
                self.count += 1;
            }
        }
    }

    pub fn knows(&self, alias: &str, day: i64) -> bool {
        self.last(alias).is_some_and(|last| day - last <= DAYS)
    }

    fn last(&self, alias: &str) -> Option<i64> {
        self.owned.get(owner(alias))?.get(alias).copied()
    }

    /// A login from there was right. Gives what is to be written, once a day. The oldest of the same credential makes room,
    /// and where there are too many of all, the oldest of whoever has most.
    pub fn remember(&mut self, alias: String, day: i64) -> Option<Home> {
        let last = self.last(&alias);
        if last == Some(day) {
            return None;
        }
        if last.is_none() {
            let whose = owner(&alias);
            if self.owned.get(whose).is_some_and(|own| own.len() >= OWN) {
                let whose = Box::from(whose);
                self.make_room(&whose);
            } else if self.count >= HOMES {
                let most = self.owned.iter().max_by_key(|(_, own)| own.len()).map(|(owner, _)| owner.clone());
                most.into_iter().for_each(|most| self.make_room(&most));
            }
            self.count += 1;
        }
        self.owned.entry(owner(&alias).into()).or_default().insert(alias.clone(), day);
        Some(Home { alias, day })
    }

    fn make_room(&mut self, owner: &str) {
        let Some(own) = self.owned.get_mut(owner) else { return };
        let Some(oldest) = own.iter().min_by_key(|(_, day)| **day).map(|(alias, _)| alias.clone()) else { return };
        own.remove(&oldest);
        self.count = self.count.saturating_sub(1);
        self.left.push(oldest);
    }

    /// Those that made room: to be removed from the disk.
    pub fn left(&mut self) -> Vec<String> {
        std::mem::take(&mut self.left)
    }

    pub fn sweep(&mut self, day: i64) {
        self.owned.values_mut().for_each(|own| own.retain(|_, last| day - *last <= DAYS));
        self.owned.retain(|_, own| !own.is_empty());
        self.count = self.owned.values().map(HashMap::len).sum();
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
        assert!(homes.owned.is_empty());
    }

    #[test]
    fn one_credential_with_addresses_without_number_takes_no_home_of_another() {
        let mut homes = Homes::default();
        homes.remember("shop 1".into(), 1).unwrap();
        let kept: Vec<Home> = (0..70_000).filter_map(|n| homes.remember(format!("bulk {n}"), 2 + n / 1000)).collect();
        assert_eq!((homes.count, homes.left().len(), kept.len()), (OWN + 1, 70_000 - OWN, 70_000));
        assert!(homes.knows("shop 1", 31) && homes.knows("bulk 69999", 72) && !homes.knows("bulk 0", 2));
        let mut after = Homes::default();
        after.load(kept.into_iter().rev().chain([Home { alias: "shop 1".into(), day: 1 }]).collect());
        assert_eq!(after.count, OWN + 1, "and a start remembers the same");
        assert!(after.knows("shop 1", 31) && after.knows("bulk 69999", 72));
    }

    #[test]
    fn when_there_are_too_many_of_all_whoever_has_most_makes_room() {
        let mut homes = Homes::default();
        (0..OWN).for_each(|n| drop(homes.remember(format!("bulk {n}"), 1)));
        (0..HOMES - OWN).for_each(|n| drop(homes.remember(format!("{n} a"), 1)));
        assert_eq!((homes.count, homes.left().len()), (HOMES, 0));
        assert!(homes.remember("new a".into(), 1).is_some() && homes.knows("new a", 1));
        assert_eq!((homes.count, homes.left().iter().all(|left| left.starts_with("bulk "))), (HOMES, true));
    }
}
