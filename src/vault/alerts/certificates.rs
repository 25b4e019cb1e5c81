//! When the certificates end that edges show, as they say: an edge that was taken over can lie about that, and about nothing else
//! that is told.

use std::collections::BTreeMap;

use crate::ipc::session::MAX_SHOWN;
use crate::role::{Generation, Instance};

/// Listeners in one name, in octets: what is longer is cut.
const NAME: usize = 200;

#[derive(Debug, Default)]
pub struct Certificates(BTreeMap<(Generation, Instance), BTreeMap<String, u64>>);

impl Certificates {
    /// An edge shows one, at these listeners, that ends then (Unix seconds).
    pub fn shown(&mut self, edge: (Generation, Instance), listeners: &str, ends: u64) {
        let own = self.0.entry(edge).or_default();
        let listeners: String = listeners.chars().filter(|c| c.is_ascii_graphic() || *c == ' ').take(NAME).collect();
        if own.len() < MAX_SHOWN || own.contains_key(&listeners) {
            let known = own.entry(listeners).or_insert(ends);
            *known = ends.min(*known);
        }
    }

    /// That edge is gone.
    pub fn gone(&mut self, edge: (Generation, Instance)) {
        self.0.remove(&edge);
    }

    /// By its listeners: those of the configuration that is in force. Those before it may live on for sessions that they had.
    pub fn of(&self, generation: Generation) -> impl Iterator<Item = (&String, u64)> {
        let own = self.0.iter().filter(move |((of, _), _)| *of == generation);
        own.flat_map(|(_, shown)| shown.iter().map(|(listeners, ends)| (listeners, *ends)))
    }
}
