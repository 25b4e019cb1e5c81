//! Months that are removed by hand, and how far that is.

use std::collections::VecDeque;

use tokio::sync::oneshot;

use crate::vault::audit::erasure::places::Place;
use crate::vault::audit::month::Month;
use crate::vault::audit::retention::Looked;

/// Months to be removed by hand.
#[derive(Clone, Debug)]
pub struct Prune {
    /// Those before this one; without it, those past their retention.
    pub before: Option<Month>,
    pub actor: String,
    /// Only say what would be done.
    pub dry: bool,
}

/// Months that are removed by hand, one after the other.
pub struct Turns {
    pub months: VecDeque<Place>,
    pub ground: String,
    pub prune: Prune,
    pub looked: Vec<Looked>,
    pub answer: oneshot::Sender<Result<Vec<Looked>, String>>,
}
