//! What became of one recipient, named by what the queue should do about it.

use serde::{Deserialize, Serialize};

/// The longest text of an upstream that is kept, in octets. An SMTP reply line has 512 (RFC 5321 section 4.5.3.1.5).
pub const MAX_TEXT: usize = 512;

/// The longest name that a provider may have for what it took. Theirs have some thirty.
pub const MAX_REFERENCE: usize = 128;

/// Whether a provider's name can be kept as one.
pub fn is_reference(text: &str) -> bool {
    (1..=MAX_REFERENCE).contains(&text.len()) && text.bytes().all(|octet| octet.is_ascii_graphic())
}

/// Why nobody knows whether it was delivered. What follows it may be an upstream's words.
pub const UNANSWERED: &str = "the whole message was sent, and then no answer could be had";

/// An upstream's answer, as data: its text has been cut and stripped of control characters and is still a stranger's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    /// The SMTP reply code; none when no reply came.
    pub code: Option<u16>,
    /// The enhanced status code (RFC 3463), as text.
    pub enhanced: Option<String>,
    pub text: String,
    /// The host that said it.
    pub host: String,
    /// TLS version of the connection, none when it was plain.
    pub tls: Option<String>,
    /// That host was told what its sender wants to know of the delivery, and tells it (DSN, RFC 3461).
    pub reports: bool,
    /// It is what that host says to the name of this recipient, and to nothing else of the message.
    pub of_recipient: bool,
    /// How a provider calls what it took, by which it tells later what became of that.
    pub reference: Option<Box<str>>,
}

impl Said {
    /// Whether its enhanced code begins so.
    pub fn is_about(&self, subject: &str) -> bool {
        self.enhanced.as_deref().is_some_and(|own| own.starts_with(subject))
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// The upstream took responsibility.
    Delivered(Said),
    /// Try again.
    Deferred(Said),
    /// Never try again.
    Failed(Said),
    /// The same, for what the gate itself found out before it was sent: it is no answer of anybody's.
    Unsendable(Said),
    /// The final dot was sent and no answer came: it may have been delivered.
    Unknown(Said),
}

impl Outcome {
    /// Whether a host has said it: what is said in the place of one, or found out before one was asked, has none.
    pub fn is_answer(&self) -> bool {
        !matches!(self, Self::Unsendable(_) | Self::Unknown(_)) && !self.said().host.is_empty()
    }

    /// The same outcome, with other words.
    #[must_use]
    pub fn map(self, change: impl FnOnce(Said) -> Said) -> Self {
        match self {
            Self::Delivered(said) => Self::Delivered(change(said)),
            Self::Deferred(said) => Self::Deferred(change(said)),
            Self::Failed(said) => Self::Failed(change(said)),
            Self::Unsendable(said) => Self::Unsendable(change(said)),
            Self::Unknown(said) => Self::Unknown(change(said)),
        }
    }

    pub const fn said(&self) -> &Said {
        match self {
            Self::Delivered(said)
            | Self::Deferred(said)
            | Self::Failed(said)
            | Self::Unsendable(said)
            | Self::Unknown(said) => said,
        }
    }
}
