//! `gatepost audit redact`: erases personal values, and says so in the log.

use std::str::FromStr;

use clap::Args;
use serde_json::json;

use super::running::{Running, field};
use crate::cli::confirm::confirm;
use crate::cli::control::strange;
use crate::cli::out::say;
use crate::ipc::admin::audit::{Command, Response, Target};
use crate::mail::id::MessageId;

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("which").required(true).args(["message", "seq", "address"]))]
pub struct Redact {
    /// Of all events about this message
    #[arg(long, value_name = "ID")]
    message: Option<MessageId>,
    /// Of these events, by their places in the log
    #[arg(long, value_name = "FIRST[-LAST]")]
    seq: Option<Range>,
    /// Wherever this mail address stands
    #[arg(long, value_name = "ADDRESS")]
    address: Option<String>,
    /// This field alone, such as mail_from or rcpt_to[0] (may be given several times)
    #[arg(long = "field", value_name = "FIELD")]
    fields: Vec<String>,
    /// Why: it stays in the log for ever, so name no person in it
    #[arg(long, value_name = "TEXT")]
    ground: String,
    /// Ask nothing: where nobody can be asked, it does nothing without this
    #[arg(long)]
    yes: bool,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    running: Running,
}

/// Events, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    first: u64,
    last: u64,
}

impl FromStr for Range {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| text.parse::<u64>().map_err(|_| format!("{text:?} is no place in the log"));
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let range = Self { first: number(first)?, last: number(last)? };
        if range.first > range.last { Err("it ends before it begins".to_owned()) } else { Ok(range) }
    }
}

impl Redact {
    pub fn run(&self) -> Result<(), String> {
        let target = match (self.message, self.seq, &self.address) {
            (Some(message), ..) => Target::Message(message),
            (_, Some(range), _) => Target::Events(range.first, range.last),
            (.., Some(address)) => Target::Address(address.clone()),
            _ => return Err("say which events: --message, --seq or --address".to_owned()),
        };
        confirm(self.yes, &self.takes(&target))?;
        let command = Command::Redact {
            target,
            fields: self.fields.iter().map(|text| field(text)).collect(),
            ground: self.ground.clone(),
        };
        let Response::Redacted { event, events, gone } = self.running.ask(command)? else { return Err(strange()) };
        if self.json {
            say!("{}", json!({ "event": event, "events": events, "gone": gone }));
        } else if gone {
            say!("what {events} events had of these values is erased; event {event} says so");
        }
        match gone {
            true => Ok(()),
            false => Err(format!(
                "event {event} says that what {events} events had of these values is erased, but a reader holds one of the files: the \
                 service tries again every second, and goes on after a restart"
            )),
        }
    }

    /// What goes.
    fn takes(&self, target: &Target) -> String {
        let what = match self.fields.is_empty() {
            true => "personal values".to_owned(),
            false => self.fields.join(", "),
        };
        let place = match target {
            Target::Message(message) => format!("in all events about message {message}"),
            Target::Events(first, last) if first == last => format!("in event {first}"),
            Target::Events(first, last) => {
                format!("in the {} events {first} to {last}", last.saturating_sub(*first).saturating_add(1))
            }
            Target::Address(address) => format!("wherever the address {address:?} stands"),
        };
        format!("erases {what} {place} from the audit log, for good")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_one_event_or_two_ends() {
        assert_eq!("7".parse(), Ok(Range { first: 7, last: 7 }));
        assert_eq!("7-9".parse(), Ok(Range { first: 7, last: 9 }));
        for wrong in ["", "-", "7-", "-7", "9-7", "x", "1-2-3"] {
            assert!(wrong.parse::<Range>().is_err(), "{wrong}");
        }
    }
}
