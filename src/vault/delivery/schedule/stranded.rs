//! Messages that nothing moves: where every upstream of their lane is paused, or has no courier, none is ever leased, and so none
//! would be given up at its turn; and where all rest for long, it would be late. They are looked through now and then, and whose time is over is given up.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::{Duration, Instant};

use rusqlite::Result;

use super::Schedule;
use crate::vault::Vault;
use crate::vault::delivery::{expiry, report};
use crate::vault::limits::clock::{Clock, queue_us};
use crate::vault::store::Store;

/// How often. Nobody waits for it who has waited for days.
const PERIOD: Duration = Duration::from_secs(if cfg!(test) { 1 } else { 60 });
/// A rest that ends before a minute is over makes nobody's report late.
const LONG: Duration = Duration::from_secs(60);
/// Messages looked at, and given up, in one transaction: others' go on between two.
const SLICE: u32 = 500;
const GIVEN_UP: u32 = if cfg!(test) { 2 } else { 32 };

impl Schedule {
    /// The lanes in which somebody waits and nothing moves, until somebody does something about it or for longer than until the next look.
    pub fn stranded(&self) -> BTreeSet<String> {
        let now = Instant::now();
        let is_stuck = |name: &str| {
            self.upstreams.get(name).is_none_or(|upstream| {
                let rests_long = upstream.breaker.rest(now).is_some_and(|rest| rest > LONG);
                upstream.paused.is_some() || upstream.couriers.is_empty() || rests_long
            })
        };
        let lanes = self.lanes.keys().chain(self.suspects.keys());
        lanes.filter(|lane| lane.split(',').all(is_stuck)).cloned().collect()
    }
}

/// Looks for them for ever.
pub async fn run(vault: Rc<Vault>) {
    loop {
        tokio::time::sleep(PERIOD).await;
        let lanes = vault.schedule.borrow().stranded();
        let mut has_expired = false;
        for lane in lanes {
            has_expired |= look_through(&vault, lane).await;
        }
        if has_expired {
            report::make_all(&vault).await;
        }
    }
}

/// One lane, slice by slice. Whether somebody was given up.
async fn look_through(vault: &Rc<Vault>, lane: String) -> bool {
    let (mut next, mut has_expired) = (Some((0, 0)), false);
    while let Some(after) = next {
        let (clock, is_draining) = {
            let authority = vault.authority.borrow();
            (authority.clock, authority.draining)
        };
        // A courier that came meanwhile has it now.
        if is_draining || !vault.schedule.borrow().stranded().contains(&lane) {
            break;
        }
        let (own, first) = (lane.clone(), vault.schedule.borrow_mut().numbers(GIVEN_UP));
        let slice = vault.writer.run(move |store| slice(store, &own, first, clock, after)).await;
        let Ok(slice) = slice else { break };
        for segment in slice.segments {
            vault.segments.remove(segment).await;
        }
        has_expired |= slice.expired > 0;
        next = slice.next;
    }
    has_expired
}

/// What one transaction did.
struct Slice {
    expired: u32,
    /// Segments nobody needs any more.
    segments: Vec<String>,
    /// Where to go on; none at the end of the lane.
    next: Option<(u64, i64)>,
}

/// The part of a lane that begins behind that place, under the job numbers from `first` on.
fn slice(store: &mut Store<'_>, lane: &str, first: u64, clock: Clock, after: (u64, i64)) -> Result<Slice> {
    let now = queue_us();
    let due = store.spool.due(lane, after, now, SLICE)?;
    let is_full = u32::try_from(due.len()).is_ok_and(|length| length == SLICE);
    let mut slice =
        Slice { expired: 0, segments: Vec::new(), next: due.last().map(|last| last.place).filter(|_| is_full) };
    // The first of its upstreams stands for the route.
    let upstream = lane.split(',').next().unwrap_or_default();
    for one in due.into_iter().filter(|one| clock.has_come(one.expires_us)) {
        if slice.expired == GIVEN_UP {
            // It is looked at again, with those before it gone.
            slice.next = Some((one.place.0, one.place.1 - 1));
            break;
        }
        let (job, (_, row)) = (first + u64::from(slice.expired), one.place);
        let late = store.spool.lease_row(row, lane, upstream, job, now, &mut store.keys)?;
        slice.segments.extend(expiry::give_up(store, &late, upstream)?);
        slice.expired += 1;
    }
    Ok(slice)
}
