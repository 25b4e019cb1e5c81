//! What credentials sent lately, by what it cost the store: whoever makes it slow is known by this, also where nothing of it
//! stays in the spool.

use std::collections::HashMap;

use super::share;
use crate::vault::store::holdings::Came;

/// What one recipient costs: a row with its indexes, written twice or more.
const RECIPIENT: u64 = 1000;
/// So many octets cost as much as a recipient.
const OCTETS: u64 = 16 * 1024;
/// An eighth of it is forgotten each second, and one: what was sent a minute ago is nothing.
const GAIN: u64 = 8;

/// By credential. Whoever sends nothing is gone within minutes, so there are no more of them than there are credentials.
#[derive(Debug, Default)]
pub struct Lately {
    costs: HashMap<String, u64>,
}

impl Lately {
    pub fn came(&mut self, who: &str, came: Came) {
        let octets = came.octets.saturating_mul(RECIPIENT) / OCTETS;
        let more = came.recipients.saturating_mul(RECIPIENT).saturating_add(octets);
        if more == 0 {
            return;
        }
        match self.costs.get_mut(who) {
            Some(cost) => *cost = cost.saturating_add(more),
            None => drop(self.costs.insert(who.to_owned(), more)),
        }
    }

    pub fn second(&mut self) {
        self.costs.retain(|_, cost| {
            *cost -= (*cost / GAIN + 1).min(*cost);
            *cost > 0
        });
    }

    pub fn cost(&self, who: &str) -> u64 {
        self.costs.get(who).copied().unwrap_or_default()
    }

    pub fn credentials(&self) -> impl Iterator<Item = &str> {
        self.costs.keys().map(String::as_str)
    }

    /// How much each may have cost so that all of it would be that part of what it was (`of` parts of `whole`), and less in any
    /// case: as long as the store is slow, whoever sent most sends too much.
    pub fn fair(&self, of: u64, whole: u64) -> u64 {
        let sum = self.costs.values().fold(0u64, |sum, cost| sum.saturating_add(*cost));
        let part = u128::from(sum) * u128::from(of) / u128::from(whole.max(1));
        let most = u64::try_from(part).unwrap_or(u64::MAX).min(sum.saturating_sub(1));
        share::fair(self.costs.values().copied().collect(), most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn came(recipients: u64, octets: u64) -> Came {
        Came { recipients, octets }
    }

    #[test]
    fn rule_q16_who_sent_lately_is_counted_by_recipients_and_octets_and_forgotten() {
        let mut lately = Lately::default();
        lately.came("none", came(0, 0));
        lately.came("many", came(1000, 0));
        lately.came("large", came(1, 1_600_000_000));
        lately.came("one", came(1, 300));
        assert_eq!(lately.credentials().count(), 3);
        assert!(lately.cost("large") > lately.cost("many") && lately.cost("many") > 900 * lately.cost("one"));
        let share = lately.fair(1, 2);
        assert!(lately.cost("one") < share && lately.cost("many") < share && lately.cost("large") > share, "{share}");
        assert!(lately.fair(9, 8) < lately.cost("large"), "somebody is heavy in any case");
        (0..8).for_each(|_| lately.second());
        assert!((300..450).contains(&(lately.cost("many") / 1000)), "{}", lately.cost("many"));
        (0..200).for_each(|_| lately.second());
        assert_eq!((lately.credentials().count(), lately.fair(1, 2)), (0, u64::MAX));
        lately.came("most", came(u64::MAX, u64::MAX));
        lately.came("most", came(1, 1));
        assert_eq!((lately.cost("most"), lately.fair(1, 1)), (u64::MAX, u64::MAX - 1));
    }
}
