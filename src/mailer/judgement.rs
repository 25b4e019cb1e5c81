//! What a run of a program means for the message, and whose fault it is.
//!
//! | how it ended | meaning |
//! |---|---|
//! | it could not be started | route failed: no message passes |
//! | 0, and it had read the whole message | Delivered |
//! | 0, and it had not, as far as can be seen | Unknown: it may have had it in another way |
//! | 65, 67 (data, no user) | Failed; with several recipients it names none, so that each is tried alone |
//! | any other number | the message is put off: it may be for what is in it, and a route that is broken shows by others |
//! | a signal, 129 to 159 (a shell's word for one), or its time was over | the message is put off; if it had read the whole of it, Unknown: it may have taken it |
//!
//! The numbers are those of sysexits.h. A program that says by a number that it failed is believed, also when it had the whole message:
//! who takes one says 0. 68 (no host) is none of the message's: msmtp ends so when the name of its own server can't be resolved.

use std::ops::RangeInclusive;
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

/// How a shell ends whose last program was ended by a signal: 128 and its number.
const OF_SHELLS: RangeInclusive<i32> = 129..=159;

fn unknown(said: Said) -> Judgement {
    Judgement::All(Outcome::Unknown(said))
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
        How::Exit(0) => unknown(said("4.3.0", &format!("{UNANSWERED}: exit 0 {}", unread()))),
        How::Exit(code @ 65) => Judgement::OneOf(Outcome::Failed(said("5.6.0", &meaning(code)))),
        How::Exit(code @ 67) => Judgement::OneOf(Outcome::Failed(said("5.1.1", &meaning(code)))),
        How::Exit(code) if is_whole && OF_SHELLS.contains(&code) => {
            unknown(said("4.3.0", &format!("{UNANSWERED}: {}", meaning(code))))
        }
        How::Exit(code) => Judgement::PutOff(said("4.3.0", &meaning(code))),
        How::Signal(signal) if is_whole => unknown(said("4.3.0", &format!("{UNANSWERED}: ended by signal {signal}"))),
        How::Signal(signal) => Judgement::PutOff(said("4.3.0", &format!("ended by signal {signal}"))),
        How::Late if is_whole => {
            let late = format!("{UNANSWERED}: it was ended, not done within {} s", limit.as_secs());
            unknown(said("4.4.7", &late))
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
