//! What edges count: added up here as they tell it. An edge that was taken over can count what never was, and not under words that
//! nobody else counts under; listeners are those of the configuration alone.

use std::collections::BTreeMap;

use super::tally::Tally;
use crate::config::slice::Protocol;
use crate::ipc::counted::{Count, Counted};
use crate::ipc::figures::family::Family;
use crate::ipc::figures::metric::Metric;
use crate::role::{Generation, Instance};

type Edge = (Generation, Instance);

/// How much each edge has under way at each listener, as it said last. Gone with the edge.
#[derive(Debug, Default)]
pub struct Edges(BTreeMap<Edge, BTreeMap<String, (u64, u64)>>);

impl Edges {
    /// What an edge has told of a listener that there is.
    pub fn counted(&mut self, edge: Edge, protocol: Protocol, counted: Counted, tally: &Tally) {
        let Counted { listener, open, under_way, counts, took } = counted;
        for (what, much) in counts {
            match what {
                Count::Connection(met) => {
                    tally.add(Metric::Connections, [listener.clone(), met.word().to_owned()], much);
                }
                Count::Answered(api, status) => tally.add(Metric::HttpRequests, [api.word(), status.word()], much),
                Count::Malformed(why) => tally.add(Metric::HttpProtocolErrors, [why.word(), ""], much),
                Count::Fell => tally.add(Metric::Panics, [super::tally::spoken(protocol), ""], much),
            }
        }
        for (api, spread) in took {
            tally.merge(Metric::HttpDuration, [api.word(), ""], &spread);
        }
        self.0.entry(edge).or_default().insert(listener, (open, under_way));
    }

    pub fn gone(&mut self, edge: Edge) {
        self.0.remove(&edge);
    }

    /// Of each of these listeners, by all edges together: those that retire still have connections.
    pub fn open(&self, listeners: &[String]) -> Family {
        let of = |name: &String| self.0.values().filter_map(|own| own.get(name)).map(|(open, _)| open).sum();
        Family::by(Metric::ConnectionsOpen, listeners.iter().map(|name| (name.as_str(), of(name))))
    }

    pub fn under_way(&self) -> Family {
        let all = self.0.values().flat_map(BTreeMap::values).map(|(_, under_way)| under_way);
        Family::plain(Metric::HttpInFlight, all.sum())
    }
}
