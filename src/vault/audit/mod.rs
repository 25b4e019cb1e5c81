//! The audit log: what happened, in a tree that can't be rewritten quietly, and in files that auditors can read.

pub mod adopt;
pub mod anchor;
pub mod archive;
pub mod clock;
pub mod erasure;
pub mod event;
pub mod holes;
pub mod json;
pub mod leaf;
pub mod ledger;
pub mod mask;
pub mod masks;
pub mod month;
pub mod month_file;
pub mod publish;
pub mod query;
pub mod resume;
pub mod retention;
pub mod row;
pub mod schema;
pub mod seal;
mod stored_tiles;
pub mod survey;
pub mod values;
pub mod verify;
pub mod visible;

#[cfg(test)]
#[path = "tests/specimen.rs"]
pub mod specimen;
#[cfg(test)]
#[path = "tests/second_opinion.rs"]
pub mod second_opinion;
