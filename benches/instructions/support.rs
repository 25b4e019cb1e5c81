//! What it shares with the benchmarks.

#![allow(dead_code, reason = "each benchmark uses its part")]

#[path = "../support/ledger.rs"]
pub mod ledger;
#[path = "../support/machine.rs"]
pub mod machine;
#[path = "../support/units.rs"]
pub mod units;
