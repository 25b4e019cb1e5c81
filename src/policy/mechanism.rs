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
    /// The secret is proven and never said (RFC 7677).
    ScramSha256,
    /// The same, bound to the client's TLS session (RFC 9266).
    ScramSha256Plus,
    /// Of HTTP.
    Bearer,
}

impl Mechanism {
    /// Those of SMTP. Which of them a listener offers, its configuration says.
    pub const SASL: [Self; 7] = [
        Self::Plain,
        Self::Login,
        Self::OauthBearer,
        Self::Xoauth2,
        Self::External,
        Self::ScramSha256,
        Self::ScramSha256Plus,
    ];

    /// Whether the secret says whose it is; in every other a name does.
    pub const fn is_bearer(self) -> bool {
        matches!(self, Self::OauthBearer | Self::Xoauth2 | Self::Bearer)
    }

    /// Whether keys that were derived from the secret stand for it.
    pub const fn is_scram(self) -> bool {
        matches!(self, Self::ScramSha256 | Self::ScramSha256Plus)
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::Login => "LOGIN",
            Self::OauthBearer => "OAUTHBEARER",
            Self::Xoauth2 => "XOAUTH2",
            Self::External => "EXTERNAL",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha256Plus => "SCRAM-SHA-256-PLUS",
            Self::Bearer => "bearer",
        }
    }
}
