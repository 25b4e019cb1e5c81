//! `gatepost audit query`: the events that fit, the oldest first.

use std::io::{self, Write};

use clap::Args;
use clap::builder::PossibleValuesParser;
use jiff::Timestamp;
use serde_json::{Map, Value};

use super::place::Place;
use crate::vault::audit::event::{Name, Outcome};
use crate::vault::audit::query::{self, COLUMNS, Filter, Found};

/// The columns of the table for people; `--json` has them all.
const TABLE: [&str; 9] = ["seq", "time", "event", "outcome", "account", "reason", "mail_from", "rcpt_to", "msg_id"];

#[derive(Debug, Args)]
pub struct Query {
    #[command(flatten)]
    place: Place,
    /// From this time on, for example 2026-11-20T08:00:00Z
    #[arg(long, value_name = "TIME")]
    since: Option<Timestamp>,
    /// Before this time
    #[arg(long, value_name = "TIME")]
    until: Option<Timestamp>,
    /// Of this credential
    #[arg(long, value_name = "ID")]
    account: Option<String>,
    /// About this message
    #[arg(long, value_name = "ID")]
    message: Option<String>,
    /// About this session
    #[arg(long, value_name = "ID")]
    session: Option<String>,
    /// Of this kind, for example deliver.success
    #[arg(long, value_name = "EVENT", value_parser = events(), hide_possible_values = true)]
    event: Option<String>,
    /// success, failure, deferred, denied or info
    #[arg(long, value_name = "OUTCOME", value_parser = outcomes(), hide_possible_values = true)]
    outcome: Option<String>,
    /// To this recipient (compared as far as auditors may see it)
    #[arg(long, value_name = "ADDRESS")]
    recipient: Option<String>,
    /// At most so many, the newest
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// One JSON object per line, with more columns than the table has
    #[arg(long)]
    json: bool,
}

impl Query {
    pub fn run(&self) -> Result<(), String> {
        let micros = |time: Timestamp| u64::try_from(time.as_microsecond()).unwrap_or(0);
        let filter = Filter {
            since_us: self.since.map(micros),
            until_us: self.until.map(micros),
            account: self.account.clone(),
            message: self.message.clone(),
            session: self.session.clone(),
            event: self.event.clone(),
            outcome: self.outcome.clone(),
            recipient: self.recipient.clone(),
            limit: self.limit,
        };
        let mut out = io::stdout().lock();
        let mut broken = false;
        if !self.json {
            broken = writeln!(out, "{}", TABLE.join("  ")).is_err();
        }
        query::query(&self.place.files()?, &filter, |found| {
            let line = if self.json { object(&found) } else { row(&found) };
            // A reader that has seen enough closes the pipe: `| head` is no failure.
            broken = broken || writeln!(out, "{line}").is_err();
        })
    }
}

/// The closed list of events: an auditor's typing mistake must not look like "nothing happened".
fn events() -> PossibleValuesParser {
    PossibleValuesParser::new(Name::ALL.iter().map(|name| name.word()))
}

fn outcomes() -> PossibleValuesParser {
    use Outcome::{Deferred, Denied, Failure, Info, Success};
    PossibleValuesParser::new([Success, Failure, Deferred, Denied, Info].map(Outcome::word))
}

/// One event for people: the columns of the table, a dash for what it doesn't have.
fn row(found: &Found) -> String {
    TABLE.map(|column| found.get(column).unwrap_or("-").to_owned()).join("  ")
}

/// One event as JSON. Numbers are numbers, `data` is what it is.
fn object(found: &Found) -> String {
    let value = |column: &str, text: &str| match column {
        "data" => serde_json::from_str(text).unwrap_or_else(|_| Value::from(text)),
        "seq" | "severity" | "smtp_code" | "bytes" | "rcpt_count" | "attempt" | "duration_us" => {
            text.parse::<i64>().map_or_else(|_| Value::from(text), Value::from)
        }
        _ => Value::from(text),
    };
    let members = COLUMNS.iter().filter_map(|column| Some(((*column).to_owned(), value(column, found.get(column)?))));
    Value::Object(members.collect::<Map<_, _>>()).to_string()
}
