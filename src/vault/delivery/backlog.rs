//! What waits for upstreams that have a pace, and whether one more message would leave in its time.
//!
//! It is an estimate. Counted are messages, whatever their turns cost (a large one has several) and whoever else comes later;
//! what waits for a route is counted to the first upstream of it. The counts are a second old; what arrived since is added, and what left
//! is taken away.

use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use crate::vault::Vault;
use crate::vault::audit::ledger::now_us;
use crate::vault::store::census::Waiting;
use crate::vault::store::spool::turns::IN_A_ROW;

/// How often it is counted: what comes by other ways than a sender (a release, an import, a report) is known then.
const EVERY: Duration = Duration::from_secs(1);

/// Messages of one credential: those that live shortly, and the others.
#[derive(Clone, Copy, Debug, Default)]
struct Own {
    urgent: u64,
    other: u64,
}

impl Own {
    /// Those that go before one of its kind.
    const fn before(self, urgent: bool) -> u64 {
        if urgent { self.urgent } else { self.urgent.saturating_add(self.other) }
    }
}

#[derive(Debug, Default)]
pub struct Backlog {
    /// By the first upstream of their routes, and by credential.
    upstreams: HashMap<String, HashMap<String, Own>>,
}

impl Backlog {
    /// Takes what was counted.
    pub fn count(&mut self, waiting: Vec<Waiting>) {
        self.upstreams.clear();
        for Waiting { lane, urgent, principal, messages } in waiting {
            self.add(&lane, principal, urgent, messages);
        }
    }

    /// A message has come, for these lanes.
    pub fn arrived(&mut self, lanes: &[String], who: &str, urgent: bool) {
        for (at, lane) in lanes.iter().enumerate() {
            if !lanes.iter().take(at).any(|before| before == lane) {
                self.add(lane, who.to_owned(), urgent, 1);
            }
        }
    }

    /// A message of this lane is on its way: what its upstream has had is counted elsewhere.
    pub fn left(&mut self, lane: &str, who: &str, urgent: bool) {
        let first = lane.split(',').next().unwrap_or_default();
        if let Some(own) = self.upstreams.get_mut(first).and_then(|all| all.get_mut(who)) {
            let sum = if urgent { &mut own.urgent } else { &mut own.other };
            *sum = sum.saturating_sub(1);
        }
    }

    fn add(&mut self, lane: &str, who: String, urgent: bool, messages: u64) {
        let first = lane.split(',').next().unwrap_or_default();
        let own = self.upstreams.entry(first.to_owned()).or_default().entry(who).or_default();
        let sum = if urgent { &mut own.urgent } else { &mut own.other };
        *sum = sum.saturating_add(messages);
    }

    /// All that wait for an upstream.
    pub fn waiting(&self, upstream: &str) -> u64 {
        let all = self.upstreams.get(upstream).into_iter().flat_map(HashMap::values);
        all.fold(0, |sum, own| sum.saturating_add(own.before(false)))
    }

    /// Which one a further message of a credential would be. Credentials take turns, so that whoever has few doesn't wait behind
    /// all of somebody's many; and of what lives shortly some go before each of the others.
    pub fn place(&self, upstream: &str, who: &str, urgent: bool) -> u64 {
        let Some(all) = self.upstreams.get(upstream) else { return 1 };
        let own = all.get(who).copied().unwrap_or_default().before(urgent);
        let (mut total, mut credentials) = (0u64, u64::from(own == 0));
        for before in all.values().map(|own| own.before(urgent)).filter(|before| *before > 0) {
            total = total.saturating_add(before);
            credentials += 1;
        }
        let place = total.saturating_add(1).min(own.saturating_add(1).saturating_mul(credentials));
        if urgent { place.saturating_add(place / u64::from(IN_A_ROW)) } else { place }
    }
}

/// Keeps it, for ever, where upstreams have a pace.
pub async fn watch(vault: Rc<Vault>) {
    loop {
        let is_wanted = vault.schedule.borrow().has_paces();
        if is_wanted && let Ok(waiting) = vault.writer.run(|store| Ok(store.census.waiting(now_us()))).await {
            vault.schedule.borrow_mut().backlog.count(waiting);
        }
        tokio::time::sleep(EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting(lane: &str, principal: &str, urgent: bool, messages: u64) -> Waiting {
        Waiting { lane: lane.into(), urgent, principal: principal.into(), messages }
    }

    #[test]
    fn rule_q11_rule_q12_who_has_few_does_not_wait_behind_all_of_somebodys_many() {
        let mut backlog = Backlog::default();
        assert_eq!(backlog.place("a", "shop", false), 1);
        backlog.count(vec![
            waiting("a", "shop", false, 900),
            waiting("a,b", "shop", false, 100),
            waiting("b", "x", false, 7),
        ]);
        assert_eq!((backlog.waiting("a"), backlog.place("a", "shop", false)), (1000, 1001));
        assert_eq!(backlog.place("a", "till", false), 2, "one of the other's goes before it");
        backlog.arrived(&["a".into(), "a".into(), "a,b".into()], "till", false);
        assert_eq!(backlog.place("a", "till", false), 6);
        assert_eq!(backlog.place("a", "shop", false), 1003, "never more than all");
        for _ in 0..3 {
            backlog.left("a,b", "till", false);
        }
        assert_eq!(backlog.place("a", "till", false), 2, "it is on its way, and there are no fewer than none");
    }

    #[test]
    fn what_lives_shortly_is_before_the_others_and_lets_some_of_them_go_between() {
        let mut backlog = Backlog::default();
        backlog.count(vec![waiting("a", "shop", false, 1000), waiting("a", "shop", true, 7)]);
        assert_eq!(backlog.place("a", "shop", true), 10);
        assert_eq!(backlog.place("a", "shop", false), 1008);
        assert_eq!(backlog.place("a", "till", true), 2);
    }
}
