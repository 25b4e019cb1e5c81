//! `Prefer: wait=N` (RFC 7240): whoever sends a message may wait for what becomes of it.
//!
//! What is kept is kept: nothing that is seen here is an error, since a client that gets one sends its message again.

use std::time::Duration;

use hyper::header::{HeaderMap, HeaderName, HeaderValue};

use super::reply::Reply;
use super::submissions::{LONGEST_WAIT, Waited};
use crate::ipc::inquiry::{Over, Submission};

const PREFER: &str = "prefer";
const APPLIED: HeaderName = HeaderName::from_static("preference-applied");
const WAIT: &str = "wait";

/// Whole seconds, `LONGEST_WAIT` at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait(u32);

impl Wait {
    /// The first one that the fields name; none where it says nothing, or nothing that can be done: a preference is no condition.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let values = headers.get_all(PREFER).iter().filter_map(|value| value.to_str().ok());
        let mut named = values.flat_map(|list| list.split(',')).filter_map(|preference| {
            // What stands behind a semicolon are parameters of it.
            let (name, value) = preference.split(';').next()?.split_once('=')?;
            name.trim().eq_ignore_ascii_case(WAIT).then_some(value.trim())
        });
        let value = named.next()?;
        let value = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(value);
        let is_digits = !value.is_empty() && value.bytes().all(|octet| octet.is_ascii_digit());
        // Many digits are a long time.
        let seconds = is_digits.then(|| value.parse().unwrap_or(u32::MAX).min(LONGEST_WAIT))?;
        (seconds > 0).then_some(Self(seconds))
    }

    pub fn within(self) -> Duration {
        Duration::from_secs(self.0.into())
    }

    /// Says what was waited for.
    pub fn applied(self, mut reply: Reply) -> Reply {
        if let Ok(value) = HeaderValue::from_str(&format!("{WAIT}={}", self.0)) {
            reply.headers_mut().insert(APPLIED, value);
        }
        reply
    }
}

/// What is told of a message that was waited for: as it stands when that is its end, and nothing otherwise; and whether it was
/// waited for as it was asked.
pub fn told(waited: Option<Waited>) -> (Option<Box<Submission>>, bool) {
    match waited {
        Some(Waited { found: Some(found), over: Over::Ended }) => (Some(found), true),
        Some(Waited { over: Over::Elapsed, .. }) => (None, true),
        _ => (None, false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_preference_for_a_wait_counts_and_what_is_none_is_passed_over() {
        let of = |values: &[&str]| {
            let fields = values.iter().map(|value| (HeaderName::from_static(PREFER), value.parse().unwrap()));
            Wait::of(&fields.collect()).map(|wait| wait.0)
        };
        for (values, seconds) in [
            (&["wait=10"][..], Some(10)),
            (&["respond-async, WAIT = \"7\"; x=wait=9"], Some(7)),
            (&["return=minimal", "wait=3, wait=4"], Some(3)),
            (&["wait=31"], Some(LONGEST_WAIT)),
            (&["wait=99999999999999999999"], Some(LONGEST_WAIT)),
            (&["wait=0"], None),
            (&["wait", "x;wait=3"], None),
            (&["wait=-1"], None),
            (&["wait=+1"], None),
            (&["wait=\"\""], None),
            (&[], None),
        ] {
            assert_eq!(of(values), seconds, "{values:?}");
        }
    }
}
