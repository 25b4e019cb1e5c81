//! Credentials that may send no more, until what waits of theirs is held: nothing of it is offered. Several ends of one can be at
//! that at a time, by the file and by the clock, and it is over with the last of them.

use std::collections::HashMap;

#[derive(Clone, Debug, Default)]
pub struct Barred(HashMap<String, u32>);

impl Barred {
    pub fn bar<'a>(&mut self, ids: impl IntoIterator<Item = &'a String>) {
        for id in ids {
            let count = self.0.entry(id.clone()).or_default();
            *count = count.saturating_add(1);
        }
    }

    /// The reverse of barring each of them once.
    pub fn free<'a>(&mut self, ids: impl IntoIterator<Item = &'a String>) {
        for id in ids {
            if let Some(count) = self.0.get_mut(id) {
                *count = count.saturating_sub(1);
            }
        }
        self.0.retain(|_, count| *count > 0);
    }

    pub fn contains(&self, id: &str) -> bool {
        self.0.contains_key(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_barred_twice_is_free_when_both_are_done() {
        let (shop, till) = ("shop".to_owned(), "till".to_owned());
        let mut barred = Barred::default();
        barred.bar([&shop, &till]);
        barred.bar([&shop]);
        barred.free([&shop, &till]);
        assert!(barred.contains("shop") && !barred.contains("till"));
        barred.free([&shop]);
        assert!(!barred.contains("shop"));
    }
}
