//! Why a login failed, for the audit log alone: outside, all but busy and locked are one answer.

use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reason {
    WrongListener,
    NoTls,
    Mechanism,
    NotAKey,
    Wrong,
    Changed,
    Busy,
    /// Too many logins by SCRAM began there after it, while it had not proven anything.
    Exchanges,
    /// The password was right, and yet:
    Disabled,
    Expired,
    KeyExpired,
    Network,
    Scope,
    /// It is not the credential's certificate, or there is none.
    Certificate,
    /// The login is not bound to this TLS session, or somebody took the offer to do it away.
    Binding,
    /// The client didn't wait for the answer.
    Gone,
    /// By SCRAM, of a credential none of whose secrets has keys for it: the secret may be right.
    NoKeys,
    /// Whose key it would be can't be asked now.
    ProviderAway,
}

impl Reason {
    pub const fn word(self) -> &'static str {
        match self {
            Self::WrongListener => "listener-identifies-by-network",
            Self::NoTls => "no-tls",
            Self::Mechanism => "mechanism-not-offered",
            Self::NotAKey => "not-a-key",
            Self::Wrong => "wrong-name-or-password",
            Self::Changed => "credential-changed",
            Self::Busy => "busy",
            Self::Exchanges => "too-many-exchanges",
            Self::Disabled => "disabled",
            Self::Expired => "expired",
            Self::KeyExpired => "key-expired",
            Self::Network => "network",
            Self::Scope => "scope",
            Self::Certificate => "certificate",
            Self::Binding => "channel-binding",
            Self::Gone => "client-left",
            Self::NoKeys => "no-scram-keys",
            Self::ProviderAway => "provider-away",
        }
    }
}
