//! What is said inside AUTH, read strictly and without I/O: mechanisms of SASL that are more than a name and a password. Most of it is
//! what clients say to us; `client` is what we say to an upstream.

pub mod bearer;
pub mod client;
pub mod gs2;
pub mod proof;
pub mod scram;
