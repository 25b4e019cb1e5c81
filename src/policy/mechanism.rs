//! How a client shows who it is.

use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mechanism {
    Plain,
    Login,
    Bearer,
}

impl Mechanism {
    /// Those of SMTP. Which of them a listener offers, its configuration says.
    pub const SASL: [Self; 2] = [Self::Plain, Self::Login];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::Login => "LOGIN",
            Self::Bearer => "bearer",
        }
    }
}
