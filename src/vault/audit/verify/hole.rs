//! Holes: events that are in no file any more. Each is a fault, unless a declared gap names exactly it.

use super::{DeclaredGap, Fault, KnownHead};

/// Events that no file has: from the first, before the end.
#[derive(Debug)]
pub struct Hole {
    pub first: u64,
    pub end: u64,
    /// When the event before it was, and the one behind it, as soon as that is known.
    pub after_us: u64,
    pub until_us: Option<u64>,
    /// What is said of it when nobody declared it.
    pub fault: Fault,
}

#[derive(Debug, Default)]
pub struct Holes(pub Vec<Hole>);

impl Holes {
    /// The first event behind the last one.
    pub fn event(&mut self, time_us: u64) {
        if let Some(hole) = self.0.last_mut() {
            hole.until_us.get_or_insert(time_us);
        }
    }

    /// Errors: one that nobody declared.
    pub fn judge(&self, declared: &[DeclaredGap]) -> Result<(), Fault> {
        let is_declared = |hole: &Hole| declared.iter().any(|gap| gap.missing.contains(&(hole.first, hole.end)));
        match self.0.iter().find(|hole| !is_declared(hole)) {
            Some(hole) => Err(hole.fault.clone()),
            None => Ok(()),
        }
    }

    /// Whether the log of that time is in no file.
    pub fn has(&self, time_us: u64) -> bool {
        self.0.iter().any(|hole| (hole.after_us..=hole.until_us.unwrap_or(u64::MAX)).contains(&time_us))
    }

    /// Whether that event is in one of them.
    pub fn has_event(&self, seq: u64) -> bool {
        self.0.iter().any(|hole| (hole.first..hole.end).contains(&seq))
    }

    /// How many of the heads end in one of them: they can't be compared with anything.
    pub fn heads(&self, heads: &[KnownHead]) -> usize {
        let is_in = |head: &&KnownHead| self.0.iter().any(|hole| hole.first < head.size && head.size < hole.end);
        heads.iter().filter(is_in).count()
    }
}
