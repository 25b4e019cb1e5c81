//! `gatepost audit`: read and prove the audit log, from the auditors' files, as any auditor can.

use std::fs;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::credential::ask;
use super::{DEFAULT_CONFIG, fail};
use crate::config::{self, Plan};
use crate::ipc::admin::{Command, Response};
use crate::merkle::note::Verifier;
use crate::vault::audit::query::{self, COLUMNS, Filter, Found};
use crate::vault::audit::verify::{self, Fault, Summary, Verdict};

/// The columns of the table for people; `--json` has them all.
const TABLE: [&str; 9] = ["seq", "time", "event", "outcome", "account", "reason", "mail_from", "rcpt_to", "msg_id"];
/// How often `verify` shows on a terminal how far it is, in events.
const PROGRESS: u64 = 50_000;

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
    #[arg(long, value_name = "EVENT")]
    event: Option<String>,
    /// success, failure, deferred, denied or info
    #[arg(long, value_name = "OUTCOME")]
    outcome: Option<String>,
    /// To this recipient (compared as far as auditors may see it)
    #[arg(long, value_name = "ADDRESS")]
    recipient: Option<String>,
    /// At most so many, the newest
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// One JSON object per line, with every column
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub struct Verify {
    #[command(flatten)]
    place: Place,
    /// The log's verifier key, or a file that holds it; by default seal/log.vkey of the state directory
    #[arg(long, value_name = "VKEY")]
    key: Option<String>,
    /// Print the result as JSON
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
        match ask(&plan.runtime_directory, &Command::Publish) {
            Ok(None | Some(Response::Published { .. })) => {}
            // An auditor may read the files and not speak with the service: the last second is missing then.
            Ok(Some(_)) | Err(_) => eprintln!("gatepost: the service could not be asked for its latest events"),
        }
        Ok(plan.state_directory.join("audit"))
    }
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

impl Verify {
    fn run(&self) -> ExitCode {
        let outcome = self.key().and_then(|key| {
            let files = self.place.files().map_err(usage)?;
            let shows = io::stderr().is_terminal();
            verify::verify(&files, &key, |done| {
                if shows && done % PROGRESS == 0 {
                    eprint!("\r{done} events");
                }
            })
        });
        let code = outcome.as_ref().map_or_else(|fault| fault.verdict.code(), |_| Verdict::Sound.code());
        match (&outcome, self.json) {
            (outcome, true) => println!("{}", as_json(outcome)),
            (Ok(summary), false) => println!(
                "the log is sound: events {} to {}, {} of them under {} signed heads",
                summary.first,
                summary.size,
                summary.sealed.saturating_sub(summary.first),
                summary.checkpoints
            ),
            (Err(fault), false) => eprintln!("gatepost: the log does not verify: {fault}"),
        }
        ExitCode::from(code)
    }

    /// The key that the log is checked against. It never comes from the files that are checked.
    fn key(&self) -> Result<Verifier, Fault> {
        let read = |path: &Path| {
            fs::read_to_string(path).map_err(|error| usage(format!("reading the log key {}: {error}", path.display())))
        };
        let text = match &self.key {
            Some(key) if key.contains('+') && !Path::new(key).exists() => key.clone(),
            Some(path) => read(Path::new(path))?,
            None if self.place.directory.is_some() => {
                return Err(usage(
                    "--directory needs --key: the log's verifier key, kept apart from the files".to_owned(),
                ));
            }
            None => read(&self.place.plan().map_err(usage)?.state_directory.join("seal").join("log.vkey"))?,
        };
        text.trim().parse().map_err(|error| usage(format!("the log key can't be read: {error}")))
    }
}

fn usage(what: String) -> Fault {
    Fault { verdict: Verdict::Usage, what }
}

fn as_json(outcome: &Result<Summary, Fault>) -> Value {
    match outcome {
        Ok(summary) => json!({
            "sound": true, "first": summary.first, "size": summary.size, "sealed": summary.sealed,
            "checkpoints": summary.checkpoints, "files": summary.files,
        }),
        Err(fault) => json!({ "sound": false, "code": fault.verdict.code(), "fault": fault.what }),
    }
}
