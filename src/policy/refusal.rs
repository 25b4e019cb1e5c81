//! Why something is not done, in a closed list: the edge turns it into a reply, the vault into an audit row.

use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    SenderNotAllowed,
    /// A mailbox of the header's From or Sender is not the credential's.
    AuthorNotAllowed,
    RecipientNotAllowed,
    NoRoute,
    /// A mailbox of `always_bcc` has no route: its sender can't mend that, and the message is no worse for it.
    CopyNoRoute,
    /// Nothing is sent to any of its recipients.
    Suppressed,
    TooManyRecipients,
    TooBig,
    /// The header can't be trusted to mean one thing: no From, two of them, a line without a colon.
    Header,
    /// A bare CR or LF, or NUL.
    Framing,
    Loop,
    /// Over the rate; carries the seconds to wait.
    RateLimited(u32),
    /// The day's quota is used up; carries the seconds to wait.
    QuotaExceeded(u32),
    /// More waits for this route than would leave in time; carries the seconds to wait.
    BackedUp(u32),
    /// The gate has more on its hands than it can carry well, and this credential more than its share of it, or everybody is
    /// refused; carries the seconds to wait.
    Overloaded(u32),
    /// The disk is full.
    StoreFull,
    /// The store can't be written, or the vault is being replaced.
    StoreUnavailable,
    /// The credential was changed or revoked since the login.
    Revoked,
    /// The credential sent far beyond its history and is suspended; carries the seconds to wait.
    Suspended(u32),
    /// What the credential may was changed since the login: a new login brings what holds now.
    Changed,
    /// The key is not for this.
    Scope,
    /// An address or the header has octets above 127, and SMTPUTF8 was not asked for.
    Utf8,
    /// The sender asks for TLS from server to server, and there is no such way.
    RequireTls,
    /// The sender asks to have it held for longer than it may.
    HeldTooLong,
    /// Of an address on a listener that identifies by network: no credential is identified by it.
    UnknownNetwork,
    /// It is delivered while its sender waits, which is done by SMTP alone.
    OnlySmtp,
    /// The same request is under way: what comes of it is known in a moment.
    UnderWay,
    /// The key of its request was used for something else.
    KeyReused,
    /// An address for tests, which is for test keys alone; or none of those there are.
    TestAddress,
    /// An address for tests asks to be refused.
    TestRejected,
    /// No token of Turnstile came with it, and its credential demands one.
    TurnstileMissing,
    /// The token is none, is too old, or was shown before.
    TurnstileRefused,
    /// It was solved on a page that is none of the credential's.
    TurnstileHostname,
    /// It was solved for something else.
    TurnstileAction,
    /// Nobody can say now whether the token is one.
    TurnstileUnavailable,
    /// A form's key came from a page of another origin, or from no page.
    FormOrigin,
}

impl Refusal {
    /// One of each kind; what one carries is no part of it.
    pub const ALL: [Self; 36] = [
        Self::SenderNotAllowed,
        Self::AuthorNotAllowed,
        Self::RecipientNotAllowed,
        Self::NoRoute,
        Self::CopyNoRoute,
        Self::Suppressed,
        Self::TooManyRecipients,
        Self::TooBig,
        Self::Header,
        Self::Framing,
        Self::Loop,
        Self::RateLimited(0),
        Self::QuotaExceeded(0),
        Self::BackedUp(0),
        Self::Overloaded(0),
        Self::StoreFull,
        Self::StoreUnavailable,
        Self::Revoked,
        Self::Suspended(0),
        Self::Changed,
        Self::Scope,
        Self::Utf8,
        Self::RequireTls,
        Self::HeldTooLong,
        Self::UnknownNetwork,
        Self::OnlySmtp,
        Self::UnderWay,
        Self::KeyReused,
        Self::TestAddress,
        Self::TestRejected,
        Self::TurnstileMissing,
        Self::TurnstileRefused,
        Self::TurnstileHostname,
        Self::TurnstileAction,
        Self::TurnstileUnavailable,
        Self::FormOrigin,
    ];

    /// The word for it in logs and in the audit log's `reason`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::SenderNotAllowed => "sender-not-allowed",
            Self::AuthorNotAllowed => "author-not-allowed",
            Self::RecipientNotAllowed => "recipient-not-allowed",
            Self::NoRoute => "no-route",
            Self::CopyNoRoute => "copy-no-route",
            Self::Suppressed => "suppressed",
            Self::TooManyRecipients => "too-many-recipients",
            Self::TooBig => "size",
            Self::Header => "header",
            Self::Framing => "framing",
            Self::Loop => "loop",
            Self::RateLimited(_) => "rate-limited",
            Self::QuotaExceeded(_) => "quota-exceeded",
            Self::BackedUp(_) => "backed-up",
            Self::Overloaded(_) => "overloaded",
            Self::StoreFull => "store-full",
            Self::StoreUnavailable => "store-unavailable",
            Self::Revoked => "revoked",
            Self::Suspended(_) => "suspended",
            Self::Changed => "credential-changed",
            Self::Scope => "scope",
            Self::Utf8 => "utf8",
            Self::RequireTls => "requiretls",
            Self::HeldTooLong => "held-too-long",
            Self::UnknownNetwork => "unknown-network",
            Self::OnlySmtp => "only-smtp",
            Self::UnderWay => "request-under-way",
            Self::KeyReused => "idempotency-key-reused",
            Self::TestAddress => "test-address",
            Self::TestRejected => "test-rejected",
            Self::TurnstileMissing => "turnstile-missing",
            Self::TurnstileRefused => "turnstile-refused",
            Self::TurnstileHostname => "turnstile-hostname",
            Self::TurnstileAction => "turnstile-action",
            Self::TurnstileUnavailable => "turnstile-unavailable",
            Self::FormOrigin => "form-origin",
        }
    }

    /// Whether the same message may be taken later.
    pub const fn is_temporary(self) -> bool {
        matches!(
            self,
            Self::RateLimited(_)
                | Self::QuotaExceeded(_)
                | Self::Suspended(_)
                | Self::BackedUp(_)
                | Self::Overloaded(_)
                | Self::StoreFull
                | Self::StoreUnavailable
                | Self::CopyNoRoute
                | Self::TooManyRecipients
                | Self::Changed
                | Self::UnderWay
                | Self::TurnstileUnavailable
        )
    }

    /// The seconds to wait, where they are known.
    pub const fn wait(self) -> Option<u32> {
        match self {
            Self::RateLimited(seconds)
            | Self::QuotaExceeded(seconds)
            | Self::Suspended(seconds)
            | Self::BackedUp(seconds)
            | Self::Overloaded(seconds) => Some(seconds),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_kind_is_among_all_and_has_its_own_word() {
        let kinds = include_str!("refusal.rs").split("match self {").nth(1).unwrap().split("}\n").next().unwrap();
        let words: BTreeSet<_> = Refusal::ALL.iter().map(|refusal| refusal.word()).collect();
        assert_eq!((words.len(), kinds.matches("=> \"").count()), (Refusal::ALL.len(), Refusal::ALL.len()));
    }
}
