//! How often Turnstile is asked: for the visitors of one network, by three widths of it, and for all of one credential. Its key stands in a page, so one who
//! makes tokens up must not be all that is asked for.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use ipnet::IpNet;

use crate::vault::limits::key::Tier;

/// So many at once, and then one in each such time.
struct Rate {
    burst: u32,
    each: Duration,
}

/// As each of `Tier::PLACES` has it. A whole office is behind one address, and one customer may have 256 subnets of IPv6.
const FROM_ONE: [Rate; 3] = [
    Rate { burst: 20, each: Duration::from_millis(500) },
    Rate { burst: 40, each: Duration::from_millis(250) },
    Rate { burst: 80, each: Duration::from_millis(125) },
];
const OF_ONE: Rate = Rate { burst: 250, each: Duration::from_millis(20) };
/// Those who are remembered before those are forgotten that have all their questions again.
const KNOWN: usize = 4096;

/// When a credential, and each network with it, has all its questions again. There are no more of them than `OF_ONE` lets in.
#[derive(Debug, Default)]
pub struct Pace(RefCell<HashMap<(String, Option<IpNet>), Instant>>);

impl Pace {
    /// One more question, now. What one of them refuses costs the others nothing. Errors: the tier that has asked too often.
    pub fn pay(&self, credential: &str, address: Option<IpAddr>, now: Instant) -> Result<(), Tier> {
        let mut paid = self.0.borrow_mut();
        if paid.len() >= KNOWN {
            paid.retain(|_, full| *full > now);
        }
        let near = address.into_iter().flat_map(|address| {
            let networks = Tier::PLACES.into_iter().zip(&FROM_ONE);
            networks.filter_map(move |(tier, rate)| Some((Some(tier.network(address)?), rate, tier)))
        });
        let afforded = near.chain([(None, &OF_ONE, Tier::Credential)]).map(|(network, rate, tier)| {
            let who = (credential.to_owned(), network);
            let full = paid.get(&who).copied().unwrap_or(now).max(now);
            let is_left = full.saturating_duration_since(now) <= rate.each * (rate.burst - 1);
            if is_left { Ok((who, full + rate.each)) } else { Err(tier) }
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
        // Each in a wide network of its own.
        let address = |n: u32| Some(IpAddr::from(std::net::Ipv4Addr::from(n << 12)));
        let pay = |n, now| pace.pay("form", address(n), now);
        let [alone, ..] = &FROM_ONE;
        assert!((0..alone.burst).all(|_| pay(1, now).is_ok()));
        for _ in 0..10_000 {
            assert_eq!(pay(1, now), Err(Tier::Address));
        }
        assert_eq!((pay(2, now), pace.pay("other", address(1), now)), (Ok(()), Ok(())));
        let next = now + alone.each;
        assert_eq!((pay(1, next), pay(1, next)), (Ok(()), Err(Tier::Address)));
        // Many networks, and a proxy that names nobody.
        let later = now + Duration::from_secs(60);
        assert!((0..OF_ONE.burst).all(|n| pay(n, later).is_ok()));
        assert_eq!((pay(7777, later), pace.pay("form", None, later)), (Err(Tier::Credential), Err(Tier::Credential)));
        let known = pace.0.borrow().len();
        assert_eq!((pay(7778, later), pace.0.borrow().len()), (Err(Tier::Credential), known), "it isn't remembered");
        for n in 0..KNOWN {
            assert_eq!(pace.pay(&n.to_string(), None, later), Ok(()));
        }
        assert_eq!(pay(1, later + Duration::from_secs(60)), Ok(()));
        assert_eq!(pace.0.borrow().len(), 4, "nobody is remembered without need");
    }

    #[test]
    fn who_has_many_subnets_pays_as_one_customer() {
        let (pace, now) = (Pace::default(), Instant::now());
        let pay = |subnet: u32, now| pace.pay("form", Some(format!("2001:db8:0:{subnet:x}::1").parse().unwrap()), now);
        let paid = |subnets: std::ops::Range<u32>| subnets.cycle().take(1000).filter(|n| pay(*n, now).is_ok()).count();
        assert_eq!((paid(0..28), pay(0xff, now)), (40, Err(Tier::Prefix)));
        // With all 256 of those that a provider gave out, no more than twice that.
        assert_eq!((paid(0x100..0x10000), pay(0xff00, now)), (40, Err(Tier::WidePrefix)));
        assert_eq!(pace.pay("form", Some("2001:db8:1::1".parse().unwrap()), now), Ok(()));
    }
}
