//! The wall in front of hyper: every request is read here first, and hyper gets what was understood, written anew.
//!
//! Two readers of one run of octets can find two different requests in it, and that is how requests are smuggled. So there is
//! one reader: a head is parsed once, its body followed to its end, and what goes on to hyper has one meaning. `framer` is
//! that reader and touches no socket; `stream` stands between a socket and hyper. Whatever could be read otherwise is a
//! `Flaw`: it is answered, and nothing behind it is read (RFC 9112 section 6.3).

mod chunk;
mod field;
mod flaw;
mod framer;
mod head;
mod host;
mod length;
mod lines;
mod patience;
mod stream;
mod target;

pub use field::Field;
pub use flaw::Flaw;
pub use framer::{Framer, Part};
pub use head::Head;
pub use host::Host;
pub use stream::Wall;

/// Octets of a head, with the empty line that ends it.
pub const HEAD: usize = 16 * 1024;
/// Fields of a head.
pub const FIELDS: usize = 64;
/// Octets of a head as hyper gets it: a blank behind each colon may be ours, and the slash of an empty path.
pub const CANONICAL: usize = HEAD + 1024;

#[cfg(test)]
mod tests;
