//! `gatepost audit`: read and prove the audit log, from the auditors' files, as any auditor can.

mod verify;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde_json::{Map, Value};

use super::control::{Undone, ask};
use super::{DEFAULT_CONFIG, fail};
use crate::config::{self, Plan};
use crate::ipc::admin::audit::{Command, Response};
use crate::ipc::admin::{Command as Any, Response as Answer};
use crate::vault::audit::event::{Name, Outcome};
use crate::vault::audit::query::{self, COLUMNS, Filter, Found};
use verify::Verify;

/// The columns of the table for people; `--json` has them all.
const TABLE: [&str; 9] = ["seq", "time", "event", "outcome", "account", "reason", "mail_from", "rcpt_to", "msg_id"];
/// The service publishes between two readers of the file: so often, and after so long, it is asked to try once more.
const TRIES: u32 = 8;
const PAUSE: Duration = Duration::from_millis(500);

#[derive(Debug, Subcommand)]
pub enum Audit {
    /// Show events, the oldest first
    Query(Query),
    /// Compute the whole log anew and check it against the log key
    Verify(Verify),
}

/// Where the auditors' files are: by the configuration, or directly.
#[derive(Debug, Args)]
struct Place {
    /// The configuration file, to find the auditors' files and the running service
    #[arg(long = "config", value_name = "FILE", default_value = DEFAULT_CONFIG)]
    config: PathBuf,
    /// The auditors' files themselves: a directory, or one file of it (no configuration is read then)
    #[arg(long, value_name = "PATH")]
    directory: Option<PathBuf>,
}

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

impl Audit {
    pub fn run(&self) -> ExitCode {
        match self {
            Self::Query(query) => query.run().map_or_else(|reason| fail(&reason), |()| ExitCode::SUCCESS),
            Self::Verify(verify) => verify.run(),
        }
    }
}

impl Place {
    fn plan(&self) -> Result<Plan, String> {
        config::Config::load(&self.config).map_err(|errors| errors.to_string())
    }

    /// The files, brought up to date by the running service if there is one and we may ask it.
    fn files(&self) -> Result<PathBuf, String> {
        if let Some(path) = &self.directory {
            return Ok(path.clone());
        }
        let plan = self.plan()?;
        if let Some(waiting) = Latest::of(&plan).waiting {
            eprintln!("gatepost: {waiting}");
        }
        Ok(audit_directory(&plan.state_directory))
    }
}

fn audit_directory(state: &Path) -> PathBuf {
    state.join("audit")
}

/// What the running service tells of the files when it is asked to put its newest events there.
#[derive(Debug, Default)]
struct Latest {
    /// How many events are there.
    published: Option<u64>,
    /// Why some are not.
    waiting: Option<String>,
}

impl Latest {
    fn of(plan: &Plan) -> Self {
        let mut latest = Self::default();
        for attempt in 0..TRIES {
            if attempt > 0 {
                std::thread::sleep(PAUSE);
            }
            match ask(&plan.runtime_directory, Any::Audit(Command::Publish)) {
                Ok(None) => return Self::default(),
                Ok(Some(Answer::Audit(Response::Published { size, events }))) => {
                    let left = events.saturating_sub(size);
                    let waiting = format!(
                        "the newest {left} events are not in the auditors' files yet: a reader holds the file, or the \
                         sealer is away at the end of a month"
                    );
                    latest = Self { published: Some(size), waiting: Some(waiting).filter(|_| left > 0) };
                    if left == 0 {
                        break;
                    }
                }
                Err(Undone::Refused(reason)) => {
                    let waiting = format!("the newest events can't be put into the auditors' files: {reason}");
                    return Self { published: None, waiting: Some(waiting) };
                }
                // An auditor may read the files and not speak with the service: the last second is missing then.
                Ok(Some(_)) | Err(Undone::Unreachable(_)) => {
                    eprintln!("gatepost: the service could not be asked for its latest events");
                    break;
                }
            }
        }
        latest
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

impl Query {
    fn run(&self) -> Result<(), String> {
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
