//! Certificates of TLS, our own and those of strangers: what can be told of one that was read. Whom to believe is decided elsewhere.

pub mod facts;
pub mod validity;
