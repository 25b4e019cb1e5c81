//! Vault and courier of Turnstile: tokens that visitors of web pages have shown, and what Cloudflare says of each.
//!
//! Several may be under way. The courier has the secret and says what it heard; whether that is enough the vault decides.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::token::Token;

/// The label of the courier that asks. No upstream has such a name.
pub const POST: &str = "turnstile/siteverify";

/// Characters of what is passed on of an answer: a host's name, an action (32 of them) and a line for the log.
pub const MAX_WORDS: usize = 255;
/// Questions under way at once, in all: each is a connection of its own.
pub const MAX_ASKS: usize = 32;

pub fn is_post(label: &str) -> bool {
    label == POST
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Ask {
    /// `ticket` comes back with the answer. `address` is whose token it is, where that is known.
    Verify { ticket: u64, token: Token, address: Option<IpAddr> },
}

/// What is said of one, by its ticket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    pub ticket: u64,
    pub answer: Answer,
}

/// The words in it are a stranger's, cut to `MAX_WORDS` by the courier and again by the vault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// It was solved: on a page of that host, for that action; both are empty where nothing is said of it.
    Solved { hostname: String, action: String },
    /// It is none, is too old, or was shown before; the codes that say which.
    Refused { codes: String },
    /// Our own secret is none of theirs.
    Unknown { codes: String },
    /// Nobody can say now, and why.
    Failed { reason: String },
}

/// Words as they may stand in a log and in a frame.
pub fn cut(text: &str) -> String {
    text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_WORDS).collect()
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Solved { hostname, action } => write!(f, "solved on {hostname:?} for {action:?}"),
            Self::Refused { codes } => write!(f, "refused ({codes})"),
            Self::Unknown { codes } => write!(f, "our secret is refused ({codes})"),
            Self::Failed { reason } => f.write_str(reason),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_passed_on_is_one_short_line() {
        let long = cut(&format!(" a\r\nb{}", "x".repeat(2 * MAX_WORDS)));
        assert!(long.starts_with("a  b") && long.chars().count() == MAX_WORDS);
    }
}
