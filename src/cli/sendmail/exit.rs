//! How `gatepost sendmail` ends: the codes of sysexits(3), of which its callers know what they mean.

use super::super::last_words;

pub const OK: u8 = 0;
/// Options that there are not, or nobody to send to.
pub const USAGE: u8 = 64;
/// A message that no server would take.
pub const DATAERR: u8 = 65;
/// The gate said no, for good.
pub const UNAVAILABLE: u8 = 69;
/// Standard input or output failed.
pub const IOERR: u8 = 74;
/// Not now: the gate can't be reached, or said so.
pub const TEMPFAIL: u8 = 75;
/// The gate doesn't take the login.
pub const NOPERM: u8 = 77;
/// The settings are missing or wrong.
pub const CONFIG: u8 = 78;

/// Nothing was sent to anybody, unless it says so.
#[derive(Debug, PartialEq, Eq)]
pub struct Failure {
    pub code: u8,
    /// For whoever called; it may quote the message and its recipients.
    pub text: String,
}

impl Failure {
    pub fn new(code: u8, text: impl Into<String>) -> Self {
        Self { code, text: text.into() }
    }

    /// The lines for standard error.
    pub fn said(&self) -> String {
        last_words(&format!("sendmail: {}", self.text))
    }

    /// The same for the system's log, which others read: the kind, and nothing of the message.
    pub const fn kind(&self) -> &'static str {
        match self.code {
            USAGE => "wrong usage",
            DATAERR => "the message can't be sent as it is",
            UNAVAILABLE => "the gate refused it",
            IOERR => "its input or output failed",
            NOPERM => "the gate refused the login",
            CONFIG => "the settings are missing or wrong",
            _ => "the gate can't be reached, or can't take it now",
        }
    }
}
