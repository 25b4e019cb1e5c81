//! The nouns of mail, without I/O: addresses, ids, outcomes, what a header says.

pub mod address;
pub mod dsn;
pub mod envelope;
pub mod facts;
pub mod fixup;
pub mod flaw;
pub mod header;
pub mod hold;
pub mod id;
pub mod international;
pub mod mailbox;
pub mod notification;
pub mod outcome;
pub mod removal;
pub mod signed;
pub mod spoken;
pub mod unseen;
pub mod verdict;
pub mod xtext;
