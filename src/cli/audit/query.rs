//! `gatepost audit query`: the events that fit, the oldest first.

use std::fs;
use std::io::{self, BufWriter};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use clap::builder::PossibleValuesParser;
use jiff::Timestamp;
use uuid::Uuid;

use super::format::{Choice, Sheet};
use super::moment::moment;
use super::place::Place;
use crate::mail::id::MessageId;
use crate::vault::audit::event::{Name, Outcome};
use crate::vault::audit::query::{Cursor, Filter, files};

#[derive(Debug, Args)]
pub struct Query {
    #[command(flatten)]
    place: Place,
    /// From this time on, for example 2026-11-20T08:00:00Z, or 2026-11-20 for midnight UTC
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<Timestamp>,
    /// Before this time
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<Timestamp>,
    /// Of this credential
    #[arg(long, value_name = "ID")]
    account: Option<String>,
    /// About this message: its UUID, or req_ and 26 letters
    #[arg(long, value_name = "ID")]
    message: Option<MessageId>,
    /// About this session: its UUID
    #[arg(long, value_name = "ID", value_parser = session)]
    session: Option<Uuid>,
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
    #[command(flatten)]
    choice: Choice,
}

impl Query {
    pub fn run(&self) -> Result<ExitCode, String> {
        let micros = |time: Timestamp| u64::try_from(time.as_microsecond()).unwrap_or(0);
        let filter = Filter {
            since_us: self.since.map(micros),
            until_us: self.until.map(micros),
            account: self.account.clone(),
            message: self.message.map(|id| id.to_string()),
            session: self.session.map(|id| id.to_string()),
            event: self.event.clone(),
            outcome: self.outcome.clone(),
            recipient: self.recipient.clone(),
            limit: self.limit,
            ..Filter::default()
        };
        let seen = self.place.look()?;
        let path = &seen.files;
        let is_empty = |file: &PathBuf| fs::metadata(file).is_ok_and(|found| found.len() == 0);
        if self.place.directory.is_some() && files(path)?.iter().all(is_empty) {
            return Err(format!("{}: is not an auditors' file: it is empty", path.display()));
        }
        let out = BufWriter::new(io::stdout().lock());
        let mut sheet = Sheet::new(out, self.choice.format(), false);
        let mut cursor = Cursor::start(path, &filter)?;
        let mut goes_on = sheet.header()?;
        while goes_on {
            let page = cursor.page()?;
            goes_on = !page.is_empty() && sheet.events(&page)?;
        }
        sheet.flush().map(|_| seen.end())
    }
}

/// Reads the name of a session.
///
/// Errors: it is none, with an example.
pub fn session(text: &str) -> Result<Uuid, String> {
    text.parse().map_err(|_| "not the id of a session: write it as 01a1f866-0d7b-7d39-bc3d-1f2a8b5c6d7e".to_owned())
}

/// The closed list of events: an auditor's typing mistake must not look like "nothing happened".
fn events() -> PossibleValuesParser {
    PossibleValuesParser::new(Name::ALL.iter().map(|name| name.word()))
}

fn outcomes() -> PossibleValuesParser {
    use Outcome::{Deferred, Denied, Failure, Info, Success};
    PossibleValuesParser::new([Success, Failure, Deferred, Denied, Info].map(Outcome::word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_session_is_told_what_one_looks_like() {
        let id = "01a1f866-0d7b-7d39-bc3d-1f2a8b5c6d7e";
        assert_eq!(session(id).unwrap().to_string(), id);
        for text in ["notanid", "", "req_01M7W6C3BXFMWVRF9Z58NNRTBY"] {
            assert!(session(text).unwrap_err().contains(id), "{text}");
        }
    }
}
