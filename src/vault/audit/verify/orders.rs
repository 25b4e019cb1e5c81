//! Orders of erasures that are not carried out yet, and excuse what is still there: the running service's word, or those in the
//! database of a stopped one, of which each must be what an event says. Whoever can write there could order anything.

use std::collections::{BTreeMap, BTreeSet};

use super::stopped::Stopped;
use super::{Fault, Known, Verdict, altered};
use crate::vault::store::erasures::Order;

#[derive(Debug, Default)]
pub struct Orders {
    /// By their events.
    open: BTreeSet<u64>,
    /// Those of a stopped service's database of which no event was found yet.
    unsaid: BTreeMap<u64, Order>,
}

impl Orders {
    /// As the service says, or its database where none answers. A database that can't be read orders nothing.
    ///
    /// Errors: `Altered` when a row of it is none of the vault's.
    pub fn of(known: &Known, stopped: Option<&Result<Stopped, Fault>>) -> Result<Self, Fault> {
        let Some(Ok(stopped)) = stopped else {
            return Ok(Self { open: known.erasing.iter().copied().collect(), ..Self::default() });
        };
        let unsaid = match stopped.erasing() {
            Err(fault) if fault.verdict == Verdict::Altered => return Err(stopped.is_still().err().unwrap_or(fault)),
            found => found.unwrap_or_default(),
        };
        Ok(Self { open: BTreeSet::new(), unsaid: unsaid.into_iter().map(|order| (order.seq, order)).collect() })
    }

    /// An erasing event of the auditors' files: what it says was ordered.
    pub fn event(&mut self, seq: u64, event: &str, data: &str) {
        let is_said = |order: &Order| (order.event.as_str(), order.data.as_str()) == (event, data);
        if self.unsaid.get(&seq).is_some_and(is_said) {
            self.unsaid.remove(&seq);
            self.open.insert(seq);
        }
    }

    /// Whether what that event names may still be there.
    pub fn has(&self, event: u64) -> bool {
        self.open.contains(&event)
    }

    /// Insists on an event for each order: one in the files, which end before `end`, or one behind them that was not published
    /// before the service ended. What such an event names nobody was told is gone. `is_elsewhere`: events that are in no file,
    /// as is known.
    pub fn judge(
        &self,
        stopped: Option<&Result<Stopped, Fault>>,
        end: u64,
        is_elsewhere: impl Fn(u64) -> bool,
    ) -> Result<(), Fault> {
        let Some(Ok(stopped)) = stopped else { return Ok(()) };
        for order in self.unsaid.values().filter(|order| !is_elsewhere(order.seq)) {
            if order.seq < end || !stopped.waits(order)? {
                let fault = altered(format!(
                    "the vault's database orders an erasure that no event says: event {} isn't that {}. Somebody put it \
                     there; don't start the service with that database, it may carry it out",
                    order.seq, order.event
                ));
                // What looks wrong because it was being written proves nothing.
                return stopped.is_still().and(Err(fault));
            }
        }
        Ok(())
    }

    /// The first of all.
    pub fn first(&self) -> Option<u64> {
        self.open.first().into_iter().chain(self.unsaid.keys().next()).min().copied()
    }
}

#[cfg(test)]
mod tests;
