//! What leaves: which message is offered to which courier when, and what becomes of it.

pub mod attempt;
pub mod backlog;
pub mod breaker;
pub mod congestion;
pub mod courier;
pub mod delay;
pub mod expiry;
pub mod interrupted;
pub mod outcome;
pub mod pace;
pub mod poison;
pub mod rehearsal;
pub mod release;
pub mod report;
pub mod reroute;
pub mod revoked;
pub mod schedule;
pub mod settlement;
pub mod simulated;
pub mod suppression;
pub mod upstream;
pub mod verification;
pub mod way_back;
