//! `gatepost alert`: what operators are told is wrong with the gate itself, and a test of how they are told, by the running service.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::json;

use super::queue::time;
use super::{Config, control, fail, places};
use crate::cli::out::say;
use crate::ipc::admin::alert::{Command, Entry, Response};
use crate::ipc::admin::{Command as Any, Response as Answer};
use crate::vault::audit::visible::{visible, visible_json};

/// Something is wrong. 1 is that nobody can tell.
const WRONG: u8 = 3;

#[derive(Debug, Subcommand)]
pub enum Alert {
    /// Show what is wrong: what operators were told of and is not over
    ///
    /// Also since when something could not be told, and why. Exit status: 0 nothing is wrong; 3 something is; 1 nobody can tell.
    Status(Options),
    /// Tell everybody who is told of alerts that this is a test
    Test(Options),
}

#[derive(Debug, Args)]
pub struct Options {
    /// Print an object for each alert, or of the test, instead
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: Config,
}

impl Alert {
    pub fn run(&self) -> ExitCode {
        let done = match self {
            Self::Status(options) => options.status(),
            Self::Test(options) => options.test(),
        };
        done.unwrap_or_else(|reason| fail(&reason))
    }
}

impl Options {
    fn status(&self) -> Result<ExitCode, String> {
        let mut known = Known::default();
        self.hear(Command::Status, |response| known.hear(response))?;
        let objects = known.entries.iter().map(object).chain(
            known.silence.iter().map(|(since, reason)| json!({ "untold_since": time(*since), "reason": reason })),
        );
        match self.json {
            true => objects.for_each(|object| say!("{}", visible_json(&object.to_string()))),
            false if known.is_well() => say!("nothing is wrong that anybody is told of"),
            false => {
                let untold = known.silence.as_ref().map(|(since, reason)| untold(*since, reason));
                known.entries.iter().flat_map(lines).chain(untold).for_each(|line| say!("{}", visible(&line)));
            }
        }
        Ok(if known.is_well() { ExitCode::SUCCESS } else { WRONG.into() })
    }

    fn test(&self) -> Result<ExitCode, String> {
        let mut sent = None;
        self.hear(Command::Test, |response| match response {
            Response::Sent { mail, webhook } => {
                sent = Some((mail, webhook));
                true
            }
            Response::Entry(_) | Response::Silence { .. } => false,
        })?;
        let (mail, webhook) = sent.ok_or("the service did not say what it did")?;
        if self.json {
            let (message, to) = mail.map(|(message, to)| (message.to_string(), to)).unzip();
            let sent = json!({ "message": message, "to": to, "webhook": webhook });
            say!("{}", visible_json(&sent.to_string()));
            return Ok(ExitCode::SUCCESS);
        }
        if let Some((message, to)) = &mail {
            say!("{}", visible(&format!("mail {message} is on its way to {}", to.join(", "))));
            say!("what becomes of it: gatepost queue show {message}");
        }
        if let Some(webhook) = &webhook {
            say!("{}", visible(&format!("an event waits for webhook {webhook}: gatepost webhook status")));
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Asks the running service; `each` takes the parts of its answer, as long as it knows them.
    fn hear(&self, command: Command, mut each: impl FnMut(Response) -> bool) -> Result<(), String> {
        let runtime = places(&self.config.path)?.runtime_directory;
        control::hear(&runtime, Any::Alert(command), |part| match part {
            Answer::Alert(response) => each(response),
            _ => false,
        })
    }
}

/// What is wrong by the running service's word.
#[derive(Debug, Default)]
pub struct Known {
    pub entries: Vec<Entry>,
    /// Since when something could not be told, in Unix microseconds, and why.
    pub silence: Option<(u64, String)>,
}

impl Known {
    /// Takes a part of the answer. False: it is none that is known.
    pub fn hear(&mut self, response: Response) -> bool {
        match response {
            Response::Entry(entry) => self.entries.push(*entry),
            Response::Silence { since_us, reason } => self.silence = Some((since_us, reason)),
            Response::Sent { .. } => return false,
        }
        true
    }

    fn is_well(&self) -> bool {
        self.entries.is_empty() && self.silence.is_none()
    }
}

/// That something could not be told.
fn untold(since_us: u64, reason: &str) -> String {
    format!("since {} something is wrong that could not be told: {reason}", time(since_us))
}

fn lines(entry: &Entry) -> [String; 3] {
    let Entry { kind, subject, text, advice, since_us, told_us } = entry;
    let name = format!("{kind} {subject}");
    [
        format!("{}: {text}", name.trim_end()),
        format!("  since {}, told {}", time(*since_us), time(*told_us)),
        format!("  do: {advice}"),
    ]
}

fn object(entry: &Entry) -> serde_json::Value {
    let Entry { kind, subject, text, advice, since_us, told_us } = entry;
    json!({
        "alert": kind, "subject": subject, "text": text, "advice": advice, "since": time(*since_us), "told": time(*told_us),
    })
}
