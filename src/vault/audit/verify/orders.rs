//! Orders of erasures that are not carried out yet, and excuse what is still there: the running service's word, or those in the
//! database of a stopped one, of which each must be what an event says. Whoever can write there could order anything.

use std::cell::Cell;
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
    /// Why nobody knows which there are.
    unknown: Option<String>,
    /// The event of one that was taken for granted then.
    granted: Cell<Option<u64>>,
}

impl Orders {
    /// As the service says, or its database where none answers. Where neither can, what an event names may still be there.
    ///
    /// Errors: `Altered` when a row of it is none of the vault's.
    pub fn of(known: &Known, stopped: Option<&Result<Stopped, Fault>>) -> Result<Self, Fault> {
        let unknown = |why: String| Self { unknown: Some(why), ..Self::default() };
        let stopped = match (stopped, &known.erasing_unknown) {
            (Some(Ok(stopped)), _) => stopped,
            (Some(Err(fault)), _) => return Ok(unknown(known.in_database(fault).what)),
            (None, Some(why)) => return Ok(unknown(why.clone())),
            (None, None) => return Ok(Self { open: known.erasing.iter().copied().collect(), ..Self::default() }),
        };
        match stopped.erasing() {
            Ok(unsaid) => {
                let unsaid = unsaid.into_iter().map(|order| (order.seq, order)).collect();
                Ok(Self { unsaid, ..Self::default() })
            }
            Err(fault) if fault.verdict == Verdict::Altered => Err(stopped.is_still().err().unwrap_or(fault)),
            Err(fault) => Ok(unknown(known.in_database(&fault).what)),
        }
    }

    /// An erasing event of the auditors' files: what it says was ordered.
    pub fn event(&mut self, seq: u64, event: &str, data: &str) {
        let is_said = |order: &Order| (order.event.as_str(), order.data.as_str()) == (event, data);
        if self.unsaid.get(&seq).is_some_and(is_said) {
            self.unsaid.remove(&seq);
            self.open.insert(seq);
        }
    }

    /// Whether what that event names, and is still there, may be.
    pub fn has(&self, event: u64) -> bool {
        if self.unknown.is_some() {
            self.granted.set(Some(self.granted.get().map_or(event, |granted| granted.min(event))));
        }
        self.unknown.is_some() || self.open.contains(&event)
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

    /// The first of all, and why it isn't known whether there is one.
    pub fn first(&self) -> Option<(u64, Option<&str>)> {
        let known = self.open.first().into_iter().chain(self.unsaid.keys().next()).min().copied();
        known.or(self.granted.get()).map(|first| (first, self.unknown.as_deref()))
    }
}

#[cfg(test)]
mod tests;
