//! What edges count: added up here as they tell it. An edge that was taken over can count what never was, within bounds that keep the
//! counters going, and under the words of its own protocol alone; listeners are those of the configuration.

use std::collections::BTreeMap;

use super::tally::Tally;
use crate::config::slice::Protocol;
use crate::ipc::counted::{Count, Counted};
use crate::ipc::figures::family::Family;
use crate::ipc::figures::metric::Metric;
use crate::role::{Generation, Instance};

type Edge = (Generation, Instance);

/// More than an edge counts of anything between two of its reports, and than it ever has open: beyond it, it lies. A counter that one
/// edge has filled would stand still for all.
const MOST: u64 = 1_000_000;
/// Microseconds that a request may take, and some more.
const LONGEST_US: u64 = 120_000_000;

/// Octets that a body may have, and some more.
const LARGEST: u64 = 1 << 25;

/// How much each edge has under way at each listener, as it said last. Gone with the edge.
#[derive(Debug, Default)]
pub struct Edges(BTreeMap<Edge, BTreeMap<String, (u64, u64)>>);

impl Edges {
    /// What an edge has told of a listener that there is.
    pub fn counted(&mut self, edge: Edge, protocol: Protocol, counted: Counted, tally: &Tally) {
        let Counted { listener, open, under_way, counts, took, bodies } = counted;
        let is_http = protocol == Protocol::Http;
        for (what, much) in counts {
            let much = much.min(MOST);
            match what {
                Count::Connection(met) => {
                    tally.add(Metric::Connections, [listener.clone(), met.word().to_owned()], much);
                }
                Count::Fell => tally.add(Metric::Panics, [super::tally::spoken(protocol), ""], much),
                Count::Answered(api, status) if is_http => {
                    tally.add(Metric::HttpRequests, [api.word(), status.word()], much);
                }
                Count::Malformed(why) if is_http => tally.add(Metric::HttpProtocolErrors, [why.word(), ""], much),
                Count::Answered(..) | Count::Malformed(_) => {}
            }
        }
        for (metric, longest, spreads) in
            [(Metric::HttpDuration, LONGEST_US, took), (Metric::HttpBody, LARGEST, bodies)]
        {
            for (api, mut spread) in spreads.into_iter().filter(|_| is_http) {
                spread.counts.iter_mut().for_each(|count| *count = MOST.min(*count));
                spread.sum = spread.sum.min(MOST.saturating_mul(longest));
                tally.merge(metric, [api.word(), ""], &spread);
            }
        }
        let under_way = if is_http { under_way.min(MOST) } else { 0 };
        self.0.entry(edge).or_default().insert(listener, (open.min(MOST), under_way));
    }

    pub fn gone(&mut self, edge: Edge) {
        self.0.remove(&edge);
    }

    /// Of each of these listeners, by all edges together: those that retire still have connections.
    pub fn open(&self, listeners: &[String]) -> Family {
        let of = |name: &String| {
            self.0.values().filter_map(|own| own.get(name)).map(|(open, _)| *open).fold(0, u64::saturating_add)
        };
        Family::by(Metric::ConnectionsOpen, listeners.iter().map(|name| (name.as_str(), of(name))))
    }

    pub fn under_way(&self) -> Family {
        let all = self.0.values().flat_map(BTreeMap::values).map(|(_, under_way)| *under_way);
        Family::plain(Metric::HttpInFlight, all.fold(0, u64::saturating_add))
    }
}
