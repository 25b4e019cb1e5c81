//! A login by SCRAM, as a vault that stands in leads it.

use crate::ipc::session::Exported;
use crate::policy::mechanism::Mechanism;

/// What a message of the client's leads to.
pub enum Turn {
    Challenge(Vec<u8>),
    /// It is over; whether it was right.
    Over(bool),
}

/// Hears one message after the other.
pub type Talk = Box<dyn FnMut(&[u8]) -> Turn + Send>;

/// Three words that nobody has to compute.
pub fn usual(_: Mechanism, _: Option<Exported>) -> Talk {
    let mut round = 0;
    Box::new(move |message| {
        round += 1;
        match (round, message) {
            (1, _) => Turn::Challenge(b"challenge".to_vec()),
            (2, b"proof") => Turn::Challenge(b"verdict".to_vec()),
            (3, b"") => Turn::Over(true),
            _ => Turn::Over(false),
        }
    })
}
