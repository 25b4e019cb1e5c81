//! What is fuzzed: one function a target, which takes any octets and panics where they break a promise. `fuzz/` feeds them
//! what a fuzzer makes up; their tests feed them what is kept of that in `fuzz/corpus`. See docs/fuzzing.md.

pub mod bdat;
pub mod command;
pub mod data;
pub mod forwarded;
pub mod framing;
pub mod header;
pub mod letter;
pub mod mime;
pub mod proxy;
pub mod sasl;
pub mod session;

mod differences;
mod heard;
mod plain;
mod reference;
mod scram;
mod script;
mod segments;
mod upstream;

#[cfg(test)]
mod tests;

/// Takes an input.
pub type Target = fn(&[u8]);

/// Every target by its name, which is also that of its corpus.
pub const TARGETS: [(&str, Target); 11] = [
    ("command", command::run),
    ("data", data::run),
    ("bdat", bdat::run),
    ("sasl", sasl::run),
    ("proxy", proxy::run),
    ("header", header::run),
    ("mime", mime::run),
    ("framing", framing::run),
    ("forwarded", forwarded::run),
    ("letter", letter::run),
    ("session", session::run),
];
