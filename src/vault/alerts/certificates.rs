//! When the certificates end that edges show, as they say: an edge that was taken over can lie about that, and about nothing else
//! that is told. What it calls listeners are none unless the configuration has them.

use std::collections::BTreeMap;

use crate::ipc::session::MAX_SHOWN;
use crate::role::{Generation, Instance};

/// Octets of a listener's name that are kept: more than any has.
const NAME: usize = 200;

#[derive(Debug, Default)]
pub struct Certificates(BTreeMap<(Generation, Instance), BTreeMap<String, u64>>);

impl Certificates {
    /// An edge shows one, at this listener, that ends then (Unix seconds).
    pub fn shown(&mut self, edge: (Generation, Instance), listener: &str, ends: u64) {
        let own = self.0.entry(edge).or_default();
        let listener: String = listener.chars().take(NAME).collect();
        if own.len() < MAX_SHOWN || own.contains_key(&listener) {
            let known = own.entry(listener).or_insert(ends);
            *known = ends.min(*known);
        }
    }

    /// That edge is gone.
    pub fn gone(&mut self, edge: (Generation, Instance)) {
        self.0.remove(&edge);
    }

    /// When the first one ends of each of these listeners, by the edges of the configuration that is in force. Those before it may
    /// live on for sessions that they had.
    pub fn of(&self, generation: Generation, listeners: &[&str]) -> BTreeMap<String, u64> {
        let mut first: BTreeMap<&str, u64> = BTreeMap::new();
        let own = self.0.iter().filter(move |((of, _), _)| *of == generation);
        for (name, ends) in own.flat_map(|(_, shown)| shown) {
            first.entry(name).and_modify(|known| *known = (*known).min(*ends)).or_insert(*ends);
        }
        listeners.iter().filter_map(|name| Some(((*name).to_owned(), *first.get(name)?))).collect()
    }
}
