//! What a run of a program means for the message, and whose fault it is.
//!
//! | how it ended | meaning |
//! |---|---|
//! | it could not be started | route failed: no message passes |
//! | 0, and it had read the whole message | Delivered |
//! | 0, and it had not | route failed: it can't have taken it, nor will it the next one |
//! | 64, 71, 72, 73, 74, 77, 78 (usage, system, file, create, I/O, permission, configuration) | route failed |
//! | 65 (data) | Failed |
//! | 67, 68 (no user, no host) | Failed; with several recipients it names none, so that each is tried alone |
//! | 69, 70, 75, 76 (unavailable, software, temporary, protocol), any other, and a signal | the message is put off: it may be for what is in it |
//! | its time was over | the message is put off; if it had read the whole of it, Unknown: it may have taken it |
//!
//! The numbers are those of sysexits.h. A program that says by a signal or a number that it failed is believed, also when it had the
//! whole message: who takes one says 0.

use std::time::Duration;

use crate::mail::outcome::{MAX_TEXT, Outcome, Said, UNANSWERED};

use super::run::{Ended, How};

/// Who says it, for reports and the log: a program here.
const HOST: &str = "localhost";

/// What becomes of those who went with the run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// The same for all of them.
    All(Outcome),
    /// The same, if it is one; none of several is named.
    OneOf(Outcome),
    /// It may pass later.
    PutOff(Said),
    /// No message passes.
    Route(String),
}

/// `size`: octets that there were to read.
pub fn judge(ended: &Ended, size: u64, limit: Duration) -> Judgement {
    let is_whole = ended.read >= size;
    let told = |what: &str| words(&format!("{what}: {}", ended.output));
    let said = |enhanced: &str, what: &str| Said {
        enhanced: Some(enhanced.to_owned()),
        text: told(what),
        host: HOST.to_owned(),
        ..Said::default()
    };
    let unread = || format!("with {} of {size} octets of the message read", ended.read);
    match ended.how {
        How::NotStarted => Judgement::Route(told("it could not be started")),
        How::Exit(0) if is_whole => Judgement::All(Outcome::Delivered(said("2.0.0", "exit 0"))),
        How::Exit(0) => Judgement::Route(told(&format!("exit 0 {}: it can't have taken it", unread()))),
        How::Exit(code @ (64 | 71..=74 | 77 | 78)) => Judgement::Route(told(&meaning(code))),
        How::Exit(code @ 65) => Judgement::All(Outcome::Failed(said("5.6.0", &meaning(code)))),
        How::Exit(code @ 67) => Judgement::OneOf(Outcome::Failed(said("5.1.1", &meaning(code)))),
        How::Exit(code @ 68) => Judgement::OneOf(Outcome::Failed(said("5.1.2", &meaning(code)))),
        How::Exit(code) => Judgement::PutOff(said("4.3.0", &meaning(code))),
        How::Signal(signal) => Judgement::PutOff(said("4.3.0", &format!("ended by signal {signal}"))),
        How::Late if is_whole => {
            let late = format!("{UNANSWERED}: it was ended, not done within {} s", limit.as_secs());
            Judgement::All(Outcome::Unknown(Said { host: HOST.to_owned(), ..said("4.4.7", &late) }))
        }
        How::Late => {
            let late = format!("not done within {} s, {}: it was ended", limit.as_secs(), unread());
            Judgement::PutOff(said("4.4.7", &late))
        }
    }
}

fn meaning(code: i32) -> String {
    let word = match code {
        64 => " (usage: see arguments and options)",
        65 => " (bad data)",
        66 => " (no input)",
        67 => " (no such user)",
        68 => " (no such host)",
        69 => " (unavailable)",
        70 => " (software)",
        71 => " (system)",
        72 => " (a file of the system's)",
        73 => " (can't create)",
        74 => " (input or output)",
        75 => " (temporary failure)",
        76 => " (protocol)",
        77 => " (permission)",
        78 => " (configuration)",
        _ => "",
    };
    format!("exit {code}{word}")
}

/// Ours and a program's words as one line of text, cut to what is kept.
pub fn words(text: &str) -> String {
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    let mut text: String = text.chars().map(plain).collect();
    text.truncate(text.floor_char_boundary(MAX_TEXT));
    text.truncate(text.trim_end_matches([' ', ':']).len());
    text
}

#[cfg(test)]
#[path = "tests/judgement.rs"]
mod tests;
