//! How often Turnstile is asked: for the visitors of one network, and for all of one credential. Its key stands in a page, so one who
//! makes tokens up must not be all that is asked for.

use std::cell::RefCell;
use std::collections::HashMap;
use std::time::{Duration, Instant};

use ipnet::IpNet;

/// So many at once, and then one in each such time.
struct Rate {
    burst: u32,
    each: Duration,
}

/// A whole office is behind one address.
const FROM_ONE: Rate = Rate { burst: 20, each: Duration::from_millis(500) };
const OF_ONE: Rate = Rate { burst: 250, each: Duration::from_millis(20) };
/// Those who are remembered before those are forgotten that have all their questions again.
const KNOWN: usize = 1024;

/// Who has asked too often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    Network,
    Credential,
}

/// When a credential, and a network with it, has all its questions again. There are no more of them than `OF_ONE` lets in.
#[derive(Debug, Default)]
pub struct Pace(RefCell<HashMap<(String, Option<IpNet>), Instant>>);

impl Pace {
    /// One more question, now. What one of both refuses costs the other nothing.
    pub fn pay(&self, credential: &str, network: Option<IpNet>, now: Instant) -> Result<(), Over> {
        let mut paid = self.0.borrow_mut();
        if paid.len() >= KNOWN {
            paid.retain(|_, full| *full > now);
        }
        let near = network.map(|network| ((credential.to_owned(), Some(network)), FROM_ONE, Over::Network));
        let all = near.into_iter().chain([((credential.to_owned(), None), OF_ONE, Over::Credential)]);
        let afforded = all.map(|(who, rate, over)| {
            let full = paid.get(&who).copied().unwrap_or(now).max(now);
            let is_left = full.saturating_duration_since(now) <= rate.each * (rate.burst - 1);
            if is_left { Ok((who, full + rate.each)) } else { Err(over) }
        });
        let afforded: Vec<_> = afforded.collect::<Result<_, _>>()?;
        paid.extend(afforded);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_makes_tokens_up_in_one_network_leaves_the_others_theirs_and_all_of_them_have_an_end() {
        let (pace, now) = (Pace::default(), Instant::now());
        let network = |n: u32| Some(IpNet::from(std::net::IpAddr::from(std::net::Ipv4Addr::from(n))));
        let pay = |n, now| pace.pay("form", network(n), now);
        assert!((0..FROM_ONE.burst).all(|_| pay(1, now).is_ok()));
        for _ in 0..10_000 {
            assert_eq!(pay(1, now), Err(Over::Network));
        }
        assert_eq!((pay(2, now), pace.pay("other", network(1), now)), (Ok(()), Ok(())));
        let next = now + FROM_ONE.each;
        assert_eq!((pay(1, next), pay(1, next)), (Ok(()), Err(Over::Network)));
        // Many networks, and a proxy that names nobody.
        let later = now + Duration::from_secs(60);
        assert!((0..OF_ONE.burst).all(|n| pay(n, later).is_ok()));
        assert_eq!((pay(7777, later), pace.pay("form", None, later)), (Err(Over::Credential), Err(Over::Credential)));
        let known = pace.0.borrow().len();
        assert_eq!((pay(7778, later), pace.0.borrow().len()), (Err(Over::Credential), known), "it isn't remembered");
        for n in 0..KNOWN {
            assert_eq!(pace.pay(&n.to_string(), None, later), Ok(()));
        }
        assert_eq!(pay(1, later + Duration::from_secs(60)), Ok(()));
        assert_eq!(pace.0.borrow().len(), 2, "nobody is remembered without need");
    }
}
