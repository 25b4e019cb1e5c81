//! What is wrong with a request's octets: the connection ends over it.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;

use crate::edge::http::reply::{Code, Fault};
use crate::ipc::counted::Malformed;

/// Why no further octet of a connection is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flaw {
    pub code: Code,
    /// What is wrong and how to mend it; holds nothing of what was sent.
    pub message: Cow<'static, str>,
    /// It is in the head of a HEAD, whose answer ends with the head whatever it says (RFC 9112 section 6.3).
    pub bodiless: bool,
    /// The client has left, as many do: it is no line in the log.
    pub left: bool,
    /// The path that the head asks for, as far as that could be read: its API's clients are answered in its words.
    pub path: String,
}

impl Flaw {
    pub fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into(), bodiless: false, left: false, path: String::new() }
    }

    /// The octets have no meaning, or two.
    pub const fn framing(message: &'static str) -> Self {
        Self {
            code: Code::BadRequest,
            message: Cow::Borrowed(message),
            bodiless: false,
            left: false,
            path: String::new(),
        }
    }
}

impl Flaw {
    /// What it is counted as.
    pub const fn kind(&self) -> Malformed {
        match self.code {
            _ if self.left => Malformed::Left,
            Code::HeadersTooLarge => Malformed::HeaderSize,
            Code::UriTooLong => Malformed::TargetSize,
            Code::MethodNotAllowed => Malformed::Method,
            Code::RequestTimeout => Malformed::HeaderTimeout,
            _ => Malformed::Framing,
        }
    }
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for Flaw {}

impl From<Flaw> for Fault {
    fn from(flaw: Flaw) -> Self {
        let allow = (flaw.code == Code::MethodNotAllowed).then_some("");
        Self { allow, ..Self::new(flaw.code, flaw.message).closing() }
    }
}
