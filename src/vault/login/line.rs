//! Those who wait for a thread that hashes, in the order in which they are served.
//!
//! Guesses come without number and each takes as much work as an honest login, so in one queue the honest stand behind all
//! of them. Who has a better claim is served first, whatever the name is and whether anybody has it: an answer that is
//! late must not tell that. And so that no claim is hopeless, each has places that the others can't take, and now and then
//! whoever has waited longest is next.

use std::collections::VecDeque;

/// Of so many that are served one is whoever has waited longest, whatever the claim.
const OLDEST: u32 = 4;
/// The part of the places that is kept for each claim.
const KEPT: usize = 8;

/// What is known of somebody before anything is hashed, the best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Claim {
    /// At home: the name has logged in from this address lately, and nobody has failed as it there since. Or an
    /// administrator.
    Known,
    /// The key has the right tag, and whose it is may come in.
    Tagged,
    /// Nobody near has failed lately.
    New,
    /// Somebody near has.
    Failed,
}

impl Claim {
    const ALL: [Self; 4] = [Self::Known, Self::Tagged, Self::New, Self::Failed];
}

/// A bounded line.
#[derive(Debug)]
pub struct Line<T> {
    /// By claim; each with the number it came under.
    rows: [VecDeque<(u64, T)>; Claim::ALL.len()],
    places: usize,
    came: u64,
    served: u32,
}

impl<T> Line<T> {
    pub fn new(places: usize) -> Self {
        Self { rows: Default::default(), places, came: 0, served: 0 }
    }

    /// Puts somebody at the end of those with the same claim.
    ///
    /// Errors: there is no place left for that claim.
    pub fn join(&mut self, claim: Claim, who: T) -> Result<(), T> {
        let kept = self.places / KEPT;
        let others = Claim::ALL.iter().zip(&self.rows).filter(|(other, _)| **other != claim);
        let taken: usize = others.map(|(_, row)| row.len().max(kept)).sum();
        let places = self.places.saturating_sub(taken);
        match self.rows.get_mut(claim as usize) {
            Some(row) if row.len() < places => {
                row.push_back((self.came, who));
                self.came += 1;
                Ok(())
            }
            _ => Err(who),
        }
    }

    /// Lets go of those who need not be served any more.
    pub fn retain(&mut self, mut waits: impl FnMut(&T) -> bool) {
        self.rows.iter_mut().for_each(|row| row.retain(|(_, who)| waits(who)));
    }

    /// Takes who is next.
    pub fn serve(&mut self) -> Option<T> {
        let mut waiting = self.rows.iter_mut().filter(|row| !row.is_empty());
        let row = match self.served % OLDEST == OLDEST - 1 {
            true => waiting.min_by_key(|row| row.front().map(|(came, _)| *came)),
            false => waiting.next(),
        };
        let (_, who) = row?.pop_front()?;
        self.served = self.served.wrapping_add(1);
        Some(who)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn served<T>(line: &mut Line<T>) -> Vec<T> {
        std::iter::from_fn(|| line.serve()).collect()
    }

    #[test]
    fn the_better_claim_goes_first_and_equal_ones_as_they_came() {
        let mut line = Line::new(64);
        for (claim, who) in
            [(Claim::Failed, "f1"), (Claim::New, "n1"), (Claim::Known, "k1"), (Claim::New, "n2"), (Claim::Known, "k2")]
        {
            line.join(claim, who).unwrap();
        }
        // The fourth is whoever has waited longest.
        assert_eq!(served(&mut line), ["k1", "k2", "n1", "f1", "n2"]);
        assert_eq!(line.serve(), None);
    }

    #[test]
    fn no_flood_takes_the_places_of_another_claim() {
        for flood in Claim::ALL {
            let mut line = Line::new(64);
            let taken = (0..1000).filter(|n| line.join(flood, *n).is_ok()).count();
            assert_eq!(taken, 40);
            for other in Claim::ALL.into_iter().filter(|other| *other != flood) {
                assert_eq!((0..1000).filter(|n| line.join(other, *n).is_ok()).count(), 8, "{other:?} beside {flood:?}");
            }
            assert_eq!(served(&mut line).len(), 64);
        }
        let mut small = Line::new(1);
        assert_eq!((small.join(Claim::Failed, 1), small.join(Claim::Known, 2)), (Ok(()), Err(2)));
    }

    /// A flood fills the line again after each that is served. Gives how many are served until the one who came into the
    /// full line is.
    fn ahead(flood: Claim, own: Claim) -> usize {
        let mut line = Line::new(64);
        while line.join(flood, false).is_ok() {}
        line.join(own, true).unwrap();
        let ahead = std::iter::from_fn(|| {
            let own = line.serve()?;
            while line.join(flood, false).is_ok() {}
            Some(own)
        });
        ahead.take(10_000).take_while(|own| !own).count()
    }

    #[test]
    fn under_a_flood_a_better_claim_waits_for_nobody_and_no_other_starves() {
        assert_eq!(ahead(Claim::Failed, Claim::New), 0);
        assert_eq!(ahead(Claim::Failed, Claim::Known), 0);
        assert_eq!(ahead(Claim::New, Claim::Known), 0);
        assert_eq!(ahead(Claim::Tagged, Claim::Known), 0);
        assert_eq!(ahead(Claim::New, Claim::Tagged), 0);
        // Those who were there before, of whom one in four is taken for having waited longest.
        for (flood, own) in [(Claim::Known, Claim::Failed), (Claim::Known, Claim::New), (Claim::New, Claim::Failed)] {
            let ahead = ahead(flood, own);
            assert!(ahead <= 64 * OLDEST as usize, "{own:?} under {flood:?}: {ahead}");
        }
    }

    #[test]
    fn whoever_is_gone_holds_no_place() {
        let mut line = Line::new(8);
        while line.join(Claim::New, 0).is_ok() {}
        line.retain(|who| *who != 0);
        assert_eq!(line.join(Claim::New, 1), Ok(()));
        assert_eq!(served(&mut line), [1]);
    }
}
