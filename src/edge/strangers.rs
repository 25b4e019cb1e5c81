//! Strangers: the sessions in which nobody has logged in. They have a pool of their own, which is smaller than the whole, so
//! that they can't take the places of those who have.
//!
//! A full pool turns nobody away who may be about to log in: the neighbourhood (a /24, or a /56 of IPv6) with the most strangers
//! gives up the one that has been there longest. An honest client logs in within a moment; who would fill the pool against it
//! needs as many connections in that moment as there are places, from as many neighbourhoods. Who makes room is gone at once,
//! unless the vault is about to say who it is: whoever could stay for a moment longer would keep newcomers out for as long.

use std::collections::{BTreeMap, HashMap};
use std::future::pending;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ipnet::IpNet;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::log::flood::Flood;
use crate::policy::presence::neighbourhood;

/// How long one that must leave may take for a login that is under way.
const GRACE: Duration = Duration::from_secs(2);

/// All strangers of this process.
#[derive(Clone, Debug)]
pub struct Strangers(Arc<Mutex<Crowd>>);

#[derive(Debug)]
struct Crowd {
    /// All places, and how many of them are for those that are leaving.
    most: usize,
    exits: usize,
    next: u64,
    /// By their number, the oldest first. No neighbourhood is empty.
    staying: HashMap<IpNet, BTreeMap<u64, watch::Sender<bool>>>,
    leaving: HashMap<u64, watch::Sender<bool>>,
    told: Flood,
}

/// A stranger's place: free again when it is dropped, and not needed any more when somebody has logged in.
#[derive(Debug)]
pub struct Place {
    strangers: Strangers,
    neighbourhood: IpNet,
    number: u64,
    notice: Notice,
}

/// Word that a place must be left.
#[derive(Clone, Debug)]
pub struct Notice {
    must_leave: watch::Receiver<bool>,
    /// The vault was asked, and has not answered yet.
    asking: Arc<AtomicBool>,
}

/// The vault is being asked, until this is dropped.
#[derive(Debug)]
pub struct Asking(Arc<AtomicBool>);

impl Drop for Asking {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

impl Strangers {
    pub fn new(most: u32) -> Self {
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let (staying, leaving) = (HashMap::new(), HashMap::new());
        Self(Arc::new(Mutex::new(Crowd { most, exits: most / 8, next: 0, staying, leaving, told: Flood::default() })))
    }

    /// None: all places are taken, and so many of them are being left that no further one can be freed now.
    pub fn enter(&self, address: IpAddr) -> Option<Place> {
        let mut crowd = self.lock();
        let staying: usize = crowd.staying.values().map(BTreeMap::len).sum();
        let must_leave = staying >= crowd.most - crowd.exits;
        if must_leave && crowd.leaving.len() >= crowd.exits {
            return None;
        }
        let (say, notice) = watch::channel(false);
        let (number, neighbourhood) = (crowd.next, neighbourhood(address));
        crowd.next += 1;
        crowd.staying.entry(neighbourhood).or_default().insert(number, say);
        if must_leave {
            crowd.dismiss();
        }
        let notice = Notice { must_leave: notice, asking: Arc::default() };
        Some(Place { strangers: self.clone(), neighbourhood, number, notice })
    }

    fn lock(&self) -> MutexGuard<'_, Crowd> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Crowd {
    /// Tells the oldest of the largest neighbourhood to leave; of two equal ones, that of the older stranger.
    fn dismiss(&mut self) {
        let oldest = |group: &BTreeMap<u64, _>| group.keys().next().copied().unwrap_or(u64::MAX);
        let largest = self.staying.iter().max_by_key(|(_, group)| (group.len(), std::cmp::Reverse(oldest(group))));
        if let Some((neighbourhood, number)) = largest.map(|(at, group)| (*at, oldest(group)))
            && let Some(say) = self.take(neighbourhood, number)
        {
            say.send_replace(true);
            self.leaving.insert(number, say);
            let further = |strangers| tracing::info!(strangers, "further strangers made room, not told one by one");
            if self.told.has_line(further) {
                tracing::info!(%neighbourhood, "a stranger makes room: the places before login are taken");
            }
        }
    }

    /// Takes one that is staying from its neighbourhood.
    fn take(&mut self, neighbourhood: IpNet, number: u64) -> Option<watch::Sender<bool>> {
        let group = self.staying.get_mut(&neighbourhood)?;
        let taken = group.remove(&number);
        if group.is_empty() {
            self.staying.remove(&neighbourhood);
        }
        taken
    }
}

impl Place {
    /// Its client turns out to have another address than the connection.
    pub fn moves(&mut self, address: IpAddr) {
        let mut crowd = self.strangers.lock();
        let neighbourhood = neighbourhood(address);
        if let Some(say) = crowd.take(self.neighbourhood, self.number) {
            crowd.staying.entry(neighbourhood).or_default().insert(self.number, say);
            self.neighbourhood = neighbourhood;
        }
    }

    /// Somebody has logged in: this is no stranger any more, and whoever was told to leave may stay.
    pub fn known(&self) {
        let mut crowd = self.strangers.lock();
        let say = crowd.take(self.neighbourhood, self.number).or_else(|| crowd.leaving.remove(&self.number));
        if let Some(say) = say {
            say.send_replace(false);
        }
    }

    pub fn notice(&self) -> Notice {
        self.notice.clone()
    }

    /// The vault is asked about it now.
    pub fn asks(&self) -> Asking {
        self.notice.asking.store(true, Ordering::Relaxed);
        Asking(self.notice.asking.clone())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.known();
    }
}

impl Notice {
    /// Of one who has no place that it could be asked to leave.
    pub fn never() -> Self {
        Self { must_leave: watch::channel(false).1, asking: Arc::default() }
    }

    /// Resolves when the place must be left; never for who has logged in. Cancel-safe.
    pub async fn given(&mut self) {
        if self.must_leave.wait_for(|must_leave| *must_leave).await.is_err() {
            pending().await
        }
    }

    /// Resolves then, or some time after it when the vault is being asked, and the place is still taken by a stranger.
    pub async fn over(&mut self) {
        loop {
            self.given().await;
            if self.asking.load(Ordering::Relaxed) {
                sleep(GRACE).await;
            }
            if *self.must_leave.borrow() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enter(strangers: &Strangers, address: &str) -> Option<Place> {
        strangers.enter(address.parse().unwrap())
    }

    fn must_leave(place: &Place) -> bool {
        *place.notice.must_leave.borrow()
    }

    /// Sixteen places, two of them for those that leave.
    fn filled(addresses: impl Fn(usize) -> String) -> (Strangers, Vec<Place>) {
        let strangers = Strangers::new(16);
        let places: Vec<_> = (0..14).map(|n| enter(&strangers, &addresses(n)).unwrap()).collect();
        assert!(!places.iter().any(must_leave));
        (strangers, places)
    }

    #[tokio::test]
    async fn rule_s4_the_oldest_stranger_makes_room_for_a_newcomer() {
        let (strangers, mut places) = filled(|n| format!("192.0.{n}.1"));
        let newcomers = [enter(&strangers, "198.51.100.1").unwrap(), enter(&strangers, "198.51.101.1").unwrap()];
        let leaving: Vec<_> = places.iter().map(must_leave).collect();
        assert_eq!(leaving, [[true; 2].to_vec(), [false; 12].to_vec()].concat());
        assert!(enter(&strangers, "198.51.102.1").is_none(), "all sixteen are taken, until one has left");
        drop(places.remove(0));
        let last = enter(&strangers, "198.51.102.1").unwrap();
        assert!(
            must_leave(&places[1])
                && !must_leave(&places[2])
                && !newcomers.iter().any(must_leave)
                && !must_leave(&last)
        );
    }

    #[tokio::test]
    async fn rule_s4_a_neighbourhood_that_fills_the_pool_makes_room_in_it_for_others() {
        let (strangers, places) = filled(|n| if n < 4 { format!("192.0.{n}.1") } else { format!("203.0.113.{n}") });
        let _newcomer = enter(&strangers, "198.51.100.1").unwrap();
        let _another = enter(&strangers, "203.0.113.200").unwrap();
        let leaving: Vec<_> = (0..14).filter(|n| must_leave(&places[*n])).collect();
        assert_eq!(leaving, [4, 5], "the oldest of the largest neighbourhood, and not the oldest of all");
    }

    #[tokio::test]
    async fn rule_s4_who_has_logged_in_takes_no_strangers_place_and_never_makes_room() {
        let (strangers, places) = filled(|n| format!("192.0.{n}.1"));
        places.iter().for_each(Place::known);
        let others: Vec<_> = (0..14).map(|n| enter(&strangers, &format!("198.51.{n}.1")).unwrap()).collect();
        let _newcomer = enter(&strangers, "203.0.113.1").unwrap();
        assert!(!places.iter().any(must_leave) && must_leave(&others[0]));
        // A login that was under way in time counts.
        others[0].known();
        assert!(!must_leave(&others[0]));
        drop((places, others));
        assert!(strangers.lock().leaving.is_empty() && strangers.lock().staying.len() == 1);
    }

    #[tokio::test]
    async fn rule_s4_a_stranger_counts_where_its_proxy_says_that_it_is() {
        let (strangers, mut places) = filled(|_| "10.0.0.1".to_owned());
        for (place, n) in places.iter_mut().skip(1).zip(1..) {
            place.moves(format!("198.51.{}.1", n / 4).parse().unwrap());
        }
        let _newcomer = enter(&strangers, "203.0.113.1").unwrap();
        let leaving: Vec<_> = (0..14).filter(|n| must_leave(&places[*n])).collect();
        assert_eq!(leaving, [4], "of the largest of the neighbourhoods, of four each");
        drop(places);
        assert_eq!(strangers.lock().staying.len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn rule_s4_who_does_not_leave_is_put_out_unless_it_logs_in() {
        let (strangers, places) = filled(|n| format!("192.0.{n}.1"));
        let _newcomers = [enter(&strangers, "198.51.100.1").unwrap(), enter(&strangers, "198.51.101.1").unwrap()];
        let begun = tokio::time::Instant::now();
        let asking = [places[0].asks(), places[1].asks()];
        places[0].notice().over().await;
        assert_eq!(begun.elapsed(), GRACE);
        let mut notice = places[1].notice();
        tokio::select! {
            () = notice.over() => panic!("it has logged in"),
            () = async { sleep(GRACE / 2).await; places[1].known(); sleep(GRACE * 3).await } => {}
        }
        drop(asking);
    }

    #[tokio::test(start_paused = true)]
    async fn rule_s4_who_asks_nothing_is_put_out_at_once() {
        let (strangers, places) = filled(|n| format!("192.0.{n}.1"));
        let _newcomers = [enter(&strangers, "198.51.100.1").unwrap(), enter(&strangers, "198.51.101.1").unwrap()];
        let begun = tokio::time::Instant::now();
        places[0].notice().over().await;
        // It has had its answer.
        drop(places[1].asks());
        places[1].notice().over().await;
        assert_eq!(begun.elapsed(), Duration::ZERO);
    }
}
