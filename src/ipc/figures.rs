//! Vault to edge: how the service is, for the edges that answer those who watch it. Nothing of a message, a credential or a
//! client is in it: an edge that was taken over learns no more from it than what it would show.

pub mod family;
pub mod metric;

use serde::{Deserialize, Serialize};

use super::admin::load::Obstacle;
use super::bytes::Octets;
use super::frame::{self, MAX_CONTENT, Malformed};
use family::Family;

/// More than all figures of the largest configuration take.
pub const LONGEST: usize = 1024 * 1024;

/// What isn't as it should be while mail is taken all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ailment {
    /// An upstream fails, or nobody serves it: what is for it waits.
    Upstream,
    /// The sealer doesn't answer: what is written down can't be signed.
    Sealer,
}

impl Ailment {
    pub const ALL: [Self; 2] = [Self::Upstream, Self::Sealer];

    pub const fn word(self) -> &'static str {
        match self {
            Self::Upstream => "upstream",
            Self::Sealer => "sealer",
        }
    }
}

/// Every word that `Figures` can have for what isn't as it should be, each once.
pub fn reasons() -> Vec<&'static str> {
    let obstacles = Obstacle::ALL.into_iter().filter(|obstacle| *obstacle != Obstacle::Sealer).map(Obstacle::word);
    obstacles.chain(Ailment::ALL.map(Ailment::word)).collect()
}

/// How the service is at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Figures {
    /// Why no mail is taken; it is when there are none.
    pub obstacles: Vec<Obstacle>,
    pub ailments: Vec<Ailment>,
    /// What is counted and measured.
    pub families: Vec<Family>,
}

impl Figures {
    /// As it goes over a channel: in parts that fit into frames.
    ///
    /// Errors: there is more of it than there may be.
    pub fn parts(&self) -> Result<Vec<Octets>, Malformed> {
        let whole = postcard::to_stdvec(self).map_err(|_| Malformed("figures that can't be encoded"))?;
        match whole.len() > LONGEST {
            true => Err(Malformed("more figures than there may be")),
            false => Ok(whole.chunks(MAX_CONTENT).map(|part| Octets(part.to_vec())).collect()),
        }
    }
}

/// The parts that have come so far.
#[derive(Debug, Default)]
pub struct Parts(Vec<u8>);

impl Parts {
    /// Adds one. The whole, once it is there; what can't be read is dropped with an error. The first drops what came of others
    /// before, which may have been broken off.
    pub fn add(&mut self, part: &Octets, (first, last): (bool, bool)) -> Option<Result<Figures, Malformed>> {
        if first {
            self.0.clear();
        }
        if self.0.len().saturating_add(part.0.len()) > LONGEST {
            self.0 = Vec::new();
            return Some(Err(Malformed("more figures than there may be")));
        }
        self.0.extend_from_slice(&part.0);
        last.then(|| frame::decode(&std::mem::take(&mut self.0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_arrive_whole_in_as_many_parts_as_they_take() {
        let many = Figures { obstacles: vec![Obstacle::Room; 2 * MAX_CONTENT], ..Figures::default() };
        for figures in [Figures::default(), many] {
            let parts = figures.parts().unwrap();
            let (mut came, mut whole) = (Parts::default(), None);
            for (at, part) in parts.iter().enumerate() {
                assert!(whole.is_none());
                whole = came.add(part, (at == 0, at + 1 == parts.len()));
            }
            assert_eq!(whole, Some(Ok(figures)));
        }
    }

    #[test]
    fn figures_that_were_broken_off_spoil_nothing_of_the_next() {
        let mut came = Parts::default();
        assert!(came.add(&Octets(vec![7; 9]), (true, false)).is_none());
        let [part] = <[Octets; 1]>::try_from(Figures::default().parts().unwrap()).unwrap();
        assert_eq!(came.add(&part, (true, true)), Some(Ok(Figures::default())));
    }

    #[test]
    fn more_than_there_may_be_is_neither_sent_nor_kept() {
        let endless = Figures { obstacles: vec![Obstacle::Room; LONGEST + 1], ..Figures::default() };
        assert!(endless.parts().is_err());
        let (mut came, part) = (Parts::default(), Octets(vec![0; MAX_CONTENT]));
        let heard = (0..2 * LONGEST / MAX_CONTENT).find_map(|_| came.add(&part, (false, false)));
        assert!(matches!(heard, Some(Err(_))));
        assert!(came.0.len() <= LONGEST);
    }
}
