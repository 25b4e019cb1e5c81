//! What an attempt leaves a recipient in.

/// What a recipient's state becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// To be tried again at that time.
    Waiting(u64),
    /// To be offered to nobody until it is released.
    Held(u64),
    Delivered,
    Failed,
    Expired,
}

impl State {
    /// As it stands in the database.
    pub(super) const fn number(self) -> i64 {
        match self {
            Self::Waiting(_) | Self::Held(_) => 0,
            Self::Delivered => 2,
            Self::Failed => 3,
            Self::Expired => 4,
        }
    }
}
