//! How a client shows who it is.

use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mechanism {
    Plain,
    Login,
    /// The secret is the token (RFC 7628), and names its credential itself.
    OauthBearer,
    Xoauth2,
    /// The certificate of the client's TLS (RFC 4422 appendix A).
    External,
    /// Of HTTP.
    Bearer,
}

impl Mechanism {
    /// Those of SMTP. Which of them a listener offers, its configuration says.
    pub const SASL: [Self; 5] = [Self::Plain, Self::Login, Self::OauthBearer, Self::Xoauth2, Self::External];

    /// Whether the secret says whose it is; in every other a name does.
    pub const fn is_bearer(self) -> bool {
        matches!(self, Self::OauthBearer | Self::Xoauth2 | Self::Bearer)
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::Login => "LOGIN",
            Self::OauthBearer => "OAUTHBEARER",
            Self::Xoauth2 => "XOAUTH2",
            Self::External => "EXTERNAL",
            Self::Bearer => "bearer",
        }
    }
}
