//! What an answer means for the message, and whose fault it is.
//!
//! | status | meaning |
//! |---|---|
//! | 2xx | Delivered |
//! | 401, 407 | it does not know us: as a login that is refused |
//! | 403 | it does not know us, or not for this sender: the same, unless others pass; then the message is put off |
//! | 402 | the account isn't paid for: as a login that is refused, until somebody mends it |
//! | 3xx, 404, 405, 410, 411, 421, 426, 428, 431 | it isn't there, or isn't what the configuration says: route failed, with the same exception |
//! | 429; 503 with Retry-After | it wants to be left alone: route failed, for as long as it says |
//! | 408, 409, 423, 424, 425 | Deferred |
//! | 413 | Failed: too large |
//! | other 4xx | Failed |
//! | other 5xx | the message is put off: it may be for what is in it |
//! | any other | Unknown |

use std::time::Duration;

use super::{Letter, everybody};
use crate::courier::http::Reply;
use crate::mail::outcome::{MAX_TEXT, Outcome, Said, UNANSWERED};

/// How long a provider that was asked too often is left alone when it doesn't say: most count by the minute.
pub const TOO_OFTEN: Duration = Duration::from_secs(60);
/// How long one is whose account there isn't: somebody has to mend that.
pub const NOWHERE: Duration = Duration::from_secs(60);

/// What becomes of the message.
#[derive(Debug)]
pub enum Judgement {
    /// Each recipient has its outcome.
    Settled(Vec<(u32, Outcome)>),
    /// It may pass later, or elsewhere.
    PutOff(Said),
    /// No message passes. Without a rest it may be for this sender alone.
    Route { reason: String, rest: Option<Duration> },
    /// The same, until somebody mends what the provider knows us by.
    Login(String),
    /// The same, or it is for this sender alone.
    Unwelcome(String),
}

/// By the status alone.
pub fn by_status(reply: &Reply, letter: &Letter<'_>) -> Judgement {
    let text = told(reply);
    let said = |enhanced: &str| Said { enhanced: Some(enhanced.to_owned()), text: text.clone(), ..Said::default() };
    let all = |outcome: Outcome| Judgement::Settled(everybody(letter.recipients, &outcome));
    match reply.status {
        200..=299 => all(Outcome::Delivered(said("2.0.0"))),
        401 | 402 | 407 => Judgement::Login(text),
        403 => Judgement::Unwelcome(text),
        429 => Judgement::Route { reason: text, rest: Some(reply.wait.unwrap_or(TOO_OFTEN)) },
        503 if reply.wait.is_some() => Judgement::Route { reason: text, rest: reply.wait },
        300..=399 | 404 | 405 | 410 | 411 | 421 | 426 | 428 | 431 => Judgement::Route { reason: text, rest: None },
        408 | 409 | 423..=425 => all(Outcome::Deferred(said("4.3.0"))),
        413 => all(Outcome::Failed(said("5.3.4"))),
        400..=499 => all(Outcome::Failed(said("5.0.0"))),
        500..=599 => Judgement::PutOff(said("4.3.0")),
        _ => all(unknown(reply)),
    }
}

/// It answered, and not whether it has the message.
pub fn unknown(reply: &Reply) -> Outcome {
    let text = words(format!("{UNANSWERED}: {}", told(reply)).as_bytes());
    Outcome::Unknown(Said { enhanced: Some("4.4.2".to_owned()), text, ..Said::default() })
}

/// Status and body as one line of text.
pub fn told(reply: &Reply) -> String {
    let body = words(&reply.body);
    words(format!("HTTP {} {body}", reply.status).as_bytes())
}

/// A stranger's octets as one line of text, cut to what is kept.
pub fn words(octets: &[u8]) -> String {
    let octets = octets.get(..2 * MAX_TEXT).unwrap_or(octets);
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    let mut text: String = String::from_utf8_lossy(octets).trim().chars().map(plain).collect();
    text.truncate(text.floor_char_boundary(MAX_TEXT));
    text.truncate(text.trim_end().len());
    text
}
