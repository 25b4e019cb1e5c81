//! Which host comes next: each once per message, in order, beginning with the first that is not avoided; and what was learned of each.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// After a failure new connections begin at another host for this long; then it gets its chance again.
const AVOID: Duration = Duration::from_secs(60);
/// Each time that it fails that chance, twice as long, and at most this: one that takes connections and never greets costs a message its
/// five minutes each time, and one that is back is of use within a quarter of an hour.
const AVOID_AT_MOST: Duration = Duration::from_secs(900);
/// A host that said that BDAT is no command is sent DATA for this long: what stands between may be mended, or gone, and one odd answer
/// costs chunking no longer.
const SHUN_CHUNKS: Duration = Duration::from_secs(3600);

/// The hosts of an upstream, in the order of the configuration, which is the dialer's, too.
#[derive(Debug)]
pub struct Hosts {
    names: Vec<String>,
    standings: Mutex<Vec<Standing>>,
}

/// What was learned of a host.
#[derive(Clone, Debug, Default)]
struct Standing {
    /// Times in a row that it let nobody in.
    failures: u32,
    /// Others come first until then.
    avoided: Option<Instant>,
    /// Somebody tries whether it is back; the others leave it alone meanwhile.
    is_tried: bool,
    shuns_chunks: Option<Instant>,
}

impl Standing {
    fn avoided(&self, now: Instant) -> Option<Instant> {
        self.avoided.filter(|until| now < *until)
    }

    fn avoid(&mut self, times: u32, now: Instant) {
        let wait = AVOID.saturating_mul(2_u32.saturating_pow(times.saturating_sub(1))).min(AVOID_AT_MOST);
        self.avoided = Some(now + wait);
    }

    /// Sessions that fail together fail once.
    fn failed(&mut self, now: Instant) {
        if std::mem::take(&mut self.is_tried) || self.avoided(now).is_none() {
            self.failures = self.failures.saturating_add(1);
            self.avoid(self.failures, now);
        }
    }

    fn works(&mut self) {
        (self.failures, self.avoided, self.is_tried) = (0, None, false);
    }
}

impl Hosts {
    pub fn new(names: Vec<String>) -> Self {
        let standings = Mutex::new(vec![Standing::default(); names.len()]);
        Self { names, standings }
    }

    pub fn name(&self, index: u16) -> Option<&str> {
        self.names.get(usize::from(index)).map(String::as_str)
    }

    /// Whether the dialer's word about a host is what the configuration says. The name goes into the check of the certificate,
    /// and a dialer in wrong hands must not choose it.
    pub fn has(&self, index: u16, name: &str) -> bool {
        self.names.get(usize::from(index)).is_some_and(|ours| ours == name)
    }

    /// It let nobody in, or ended a session.
    pub fn failed(&self, index: u16) {
        if let Some(standing) = self.standings().get_mut(usize::from(index)) {
            standing.failed(Instant::now());
        }
    }

    /// Asked for host `first`, the dialer came to host `index`: those before it in the order don't answer.
    pub fn skipped(&self, first: u16, index: u16) {
        let (mut standings, now) = (self.standings(), Instant::now());
        for at in between(first, index, self.names.len()) {
            if let Some(standing) = standings.get_mut(at) {
                standing.failed(now);
            }
        }
    }

    /// It let somebody in.
    pub fn works(&self, index: u16) {
        if let Some(standing) = self.standings().get_mut(usize::from(index)) {
            standing.works();
        }
    }

    /// It was told, or not, that BDAT is no command: whether it is sent chunks from now on.
    pub fn takes_chunks(&self, index: u16, shuns: bool) -> bool {
        let (mut standings, now) = (self.standings(), Instant::now());
        let Some(standing) = standings.get_mut(usize::from(index)) else { return !shuns };
        if shuns {
            standing.shuns_chunks = Some(now + SHUN_CHUNKS);
        }
        standing.shuns_chunks.is_none_or(|until| until <= now)
    }

    /// The host that a message tries next; none when it has tried all.
    pub fn next(&self, tour: &mut Tour) -> Option<u16> {
        if tour.next.is_none() {
            tour.next = Some(self.first());
        }
        let next = tour.untried();
        tour.trying = next;
        next
    }

    /// Where somebody begins who has no connection yet: the first that is not avoided, or else that which is avoided no longer the soonest. One that
    /// failed before is tried by him alone.
    fn first(&self) -> usize {
        let (mut standings, now) = (self.standings(), Instant::now());
        let best = standings.iter_mut().enumerate().min_by_key(|(at, standing)| (standing.avoided(now), *at));
        let Some((at, standing)) = best else { return 0 };
        if standing.failures > 0 && standing.avoided(now).is_none() {
            standing.is_tried = true;
            standing.avoid(standing.failures.saturating_add(1), now);
        }
        at
    }

    /// The lock is never held while something is awaited or can panic.
    fn standings(&self) -> MutexGuard<'_, Vec<Standing>> {
        self.standings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A message's way through the hosts.
    pub fn tour(&self) -> Tour {
        Tour { tried: vec![false; self.names.len()], next: None, trying: None, misses: false }
    }
}

/// The positions from one to the other, of so many, the last one left out.
fn between(first: u16, index: u16, count: usize) -> impl Iterator<Item = usize> {
    let steps = (0..count).map(move |step| (usize::from(first) + step) % count);
    steps.take_while(move |at| *at != usize::from(index))
}

/// The hosts that one message has tried.
#[derive(Debug)]
pub struct Tour {
    tried: Vec<bool>,
    /// None until it needs a connection.
    next: Option<usize>,
    /// That which it waits for.
    trying: Option<u16>,
    /// One of them could not be connected to.
    misses: bool,
}

impl Tour {
    /// Whether one of the hosts could not be connected to, and may be there later.
    pub fn misses_one(&self) -> bool {
        self.misses
    }

    /// The next host that was not tried; none when all were.
    pub fn untried(&self) -> Option<u16> {
        let count = self.tried.len();
        let order = (0..count).map(|step| (self.next.unwrap_or_default() + step) % count);
        order.filter(|at| !self.is_tried(*at)).find_map(|at| u16::try_from(at).ok())
    }

    /// The host that it was waiting for last.
    pub fn trying(&self) -> Option<u16> {
        self.trying
    }

    /// Asked for host `first`, the dialer came to host `index`: those before it in the order don't answer. True when `index`
    /// itself is new to this message.
    pub fn reached(&mut self, first: u16, index: u16) -> bool {
        for at in between(first, index, self.tried.len()) {
            self.mark(at);
        }
        let at = usize::from(index);
        let new = !self.is_tried(at);
        self.mark(at);
        (self.next, self.trying) = (Some(at + 1), Some(index));
        self.misses |= first != index;
        new
    }

    fn is_tried(&self, at: usize) -> bool {
        self.tried.get(at).copied().unwrap_or(true)
    }

    fn mark(&mut self, at: usize) {
        if let Some(tried) = self.tried.get_mut(at) {
            *tried = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    fn hosts(count: usize) -> Hosts {
        Hosts::new((0..count).map(|n| format!("mx{n}")).collect())
    }

    /// Where a message begins.
    fn first(hosts: &Hosts) -> Option<u16> {
        hosts.next(&mut hosts.tour())
    }

    #[tokio::test(start_paused = true)]
    async fn each_host_is_tried_once_and_those_that_the_dialer_skipped_count() {
        let hosts = hosts(4);
        let mut tour = hosts.tour();
        assert_eq!(hosts.next(&mut tour), Some(0));
        assert!(tour.reached(0, 2));
        assert_eq!(hosts.next(&mut tour), Some(3));
        assert!(!tour.reached(3, 2));
        assert_eq!(hosts.next(&mut tour), None);
        hosts.skipped(0, 2);
        assert_eq!(first(&hosts), Some(2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_that_failed_is_avoided_for_a_while_and_the_list_begins_anew_when_all_did() {
        let hosts = hosts(3);
        for index in [0, 1] {
            hosts.failed(index);
        }
        assert_eq!(first(&hosts), Some(2));
        advance(Duration::from_secs(1)).await;
        hosts.failed(2);
        assert_eq!(first(&hosts), Some(0));
        advance(AVOID).await;
        hosts.works(0);
        assert_eq!(first(&hosts), Some(0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_that_never_lets_anybody_in_costs_one_message_at_a_time_and_ever_more_seldom() {
        let hosts = hosts(2);
        let mut waits = Vec::new();
        for _ in 0..7 {
            hosts.failed(0);
            // Others who were waiting at the same time make it no longer.
            hosts.failed(0);
            let since = Instant::now();
            while first(&hosts) == Some(1) {
                advance(Duration::from_secs(1)).await;
            }
            waits.push(since.elapsed().as_secs());
            // Who is asked next while that one tries goes elsewhere.
            assert_eq!(first(&hosts), Some(1));
        }
        assert_eq!(waits, [60, 120, 240, 480, 900, 900, 900]);
        hosts.works(0);
        hosts.failed(0);
        advance(AVOID).await;
        assert_eq!(first(&hosts), Some(0), "what it did before it worked is forgotten");
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_that_knows_no_chunks_is_sent_some_again_in_an_hour_and_the_others_all_the_time() {
        let hosts = hosts(2);
        assert!(!hosts.takes_chunks(0, true));
        advance(SHUN_CHUNKS - Duration::from_secs(1)).await;
        assert!(!hosts.takes_chunks(0, false) && hosts.takes_chunks(1, false));
        advance(Duration::from_secs(1)).await;
        assert!(hosts.takes_chunks(0, false));
    }

    #[test]
    fn a_name_of_the_dialers_own_making_is_not_ours() {
        let hosts = hosts(2);
        assert!(hosts.has(1, "mx1"));
        assert!(!hosts.has(0, "mx1") && !hosts.has(1, "evil.example") && !hosts.has(7, "mx1"));
    }
}
