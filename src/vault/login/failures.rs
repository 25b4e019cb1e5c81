//! Failed logins by where they come from: an address and the network around it.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use ipnet::IpNet;

/// So many within the window, and whoever comes from there must wait until it ends.
const FAILURES: u32 = 20;
const WINDOW: Duration = Duration::from_secs(300);
/// Places remembered at most; beyond it the one that has been there longest makes room.
const PLACES: usize = 65_536;

#[derive(Default)]
pub struct Failures {
    places: HashMap<IpNet, (u32, Instant)>,
    order: VecDeque<IpNet>,
}

/// The address and its /24; for IPv6 only the /64, since whoever has one address there has them all.
fn places(address: IpAddr) -> impl Iterator<Item = IpNet> {
    let widths: &[u8] = if address.is_ipv4() { &[32, 24] } else { &[64] };
    widths.iter().filter_map(move |width| IpNet::new(address, *width).ok()).map(|place| place.trunc())
}

/// There were too many failures from there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Locked {
    /// Seconds until it may be tried again.
    pub wait: u32,
    /// Nobody was told yet: once in a window is enough for the log.
    pub first: bool,
}

impl Failures {
    /// Counts a login as failed until `forgive` says otherwise, so that many at once can't slip through together.
    ///
    /// Errors: there were too many.
    pub fn begin(&mut self, address: IpAddr, now: Instant) -> Result<(), Locked> {
        let address = address.to_canonical();
        let mut locked: Option<Locked> = None;
        for place in places(address) {
            let Some((count, since)) = self.places.get_mut(&place) else { continue };
            let Some(left) = WINDOW.checked_sub(now.saturating_duration_since(*since)) else { continue };
            if *count < FAILURES {
                continue;
            }
            let wait = u32::try_from(left.as_secs()).unwrap_or(u32::MAX).saturating_add(1);
            let before = locked.unwrap_or(Locked { wait: 0, first: true });
            locked = Some(Locked { wait: wait.max(before.wait), first: before.first && *count == FAILURES });
            *count = FAILURES + 1;
        }
        if let Some(locked) = locked {
            return Err(locked);
        }
        for place in places(address) {
            self.make_room(place);
            let (count, since) = self.places.entry(place).or_insert((0, now));
            if now.saturating_duration_since(*since) >= WINDOW {
                (*count, *since) = (0, now);
            }
            *count += 1;
        }
        Ok(())
    }

    /// It was no failure after all.
    pub fn forgive(&mut self, address: IpAddr) {
        for place in places(address.to_canonical()) {
            if let Some((count, _)) = self.places.get_mut(&place) {
                *count = count.saturating_sub(1);
            }
        }
    }

    fn make_room(&mut self, place: IpNet) {
        if self.places.contains_key(&place) {
            return;
        }
        self.order.push_back(place);
        while self.order.len() > PLACES {
            if let Some(oldest) = self.order.pop_front() {
                self.places.remove(&oldest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn after_twenty_failures_the_address_and_its_network_wait_until_the_window_ends() {
        let (mut failures, now) = (Failures::default(), Instant::now());
        for _ in 0..FAILURES {
            failures.begin(ip("192.0.2.1"), now).unwrap();
        }
        let later = now + Duration::from_secs(60);
        assert_eq!(failures.begin(ip("192.0.2.1"), later), Err(Locked { wait: 241, first: true }));
        assert_eq!(failures.begin(ip("192.0.2.1"), later), Err(Locked { wait: 241, first: false }));
        assert!(failures.begin(ip("::ffff:192.0.2.9"), now).is_err());
        assert_eq!(failures.begin(ip("192.0.3.1"), now), Ok(()));
        assert_eq!(failures.begin(ip("192.0.2.1"), now + WINDOW + Duration::from_secs(1)), Ok(()));
    }

    #[test]
    fn successes_are_not_counted() {
        let (mut failures, now) = (Failures::default(), Instant::now());
        for _ in 0..100 {
            failures.begin(ip("2001:db8::1"), now).unwrap();
            failures.forgive(ip("2001:db8::2"));
        }
    }

    #[test]
    fn it_never_grows_beyond_its_bound() {
        let (mut failures, now) = (Failures::default(), Instant::now());
        for n in 0..70_000u32 {
            let _ = failures.begin(IpAddr::V4(n.wrapping_mul(257).into()), now);
        }
        assert_eq!((failures.places.len(), failures.order.len()), (PLACES, PLACES));
    }
}
