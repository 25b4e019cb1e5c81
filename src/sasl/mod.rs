//! What clients say inside AUTH, read strictly and without I/O: mechanisms of SASL that are more than a name and a password.

pub mod bearer;
pub mod gs2;
pub mod scram;
