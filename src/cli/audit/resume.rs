//! `gatepost audit resume`: say that something of the log was lost, and go on.

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;

use crate::cli::{Config, control};
use crate::config;
use crate::ipc::admin::audit::{Command, Response};
use crate::ipc::admin::{Command as Any, Response as Answer};
use crate::merkle::note::Checkpoint;

#[derive(Debug, Args)]
pub struct Resume {
    /// What was lost and why, for whoever reads the log: it stays there
    #[arg(long, value_name = "REASON", required = true)]
    accept_loss: String,
    /// The newest signed head from before that was kept elsewhere; for a sealer that has lost its state
    #[arg(long, value_name = "FILE")]
    head: Option<PathBuf>,
    /// Print {"old": ..., "kept": ..., "event": ...} instead
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: Config,
}

impl Resume {
    pub fn run(&self) -> Result<(), String> {
        let reason = self.accept_loss.trim();
        if reason.is_empty() {
            return Err("--accept-loss needs a reason: what was lost, and why".to_owned());
        }
        let head = self.head.as_deref().map(|path| {
            let text = fs::read_to_string(path).map_err(|error| format!("reading {}: {error}", path.display()))?;
            let head = Checkpoint::of(&format!("{}\n", text.trim_end()));
            head.map(|head| (head.size, head.root)).ok_or_else(|| format!("{} is not a signed head", path.display()))
        });
        let plan = config::Config::load(&self.config.path).map_err(|errors| errors.to_string())?;
        let command = Command::Resume { reason: reason.to_owned(), head: head.transpose()? };
        match control::ask(&plan.runtime_directory, Any::Audit(command))? {
            Some(Answer::Audit(Response::Resumed { old, kept, resumed })) => self.print(old, kept, resumed),
            Some(_) => Err("the service answered something else: is it another version?".to_owned()),
            None => Err("the service is not running: start it first, the sealer must sign what is declared".to_owned()),
        }
    }

    fn print(&self, old: u64, kept: u64, event: u64) -> Result<(), String> {
        let text = if self.json {
            serde_json::json!({ "old": old, "kept": kept, "event": event }).to_string()
        } else {
            let lost = match old - kept.min(old) {
                0 => format!("nothing of the {old} events that were signed before is lost"),
                lost => format!(
                    "of the {old} events that were signed before, {kept} are kept for certain and {lost} are not"
                ),
            };
            format!(
                "the log goes on with event {event}, which says so, and is sealed again\n{lost}\n`gatepost audit verify` says \
                 \"declared gap\" from now on (exit code 15), and --known-gap {event} that you know of it"
            )
        };
        writeln!(io::stdout(), "{text}").map_err(|error| format!("writing the answer: {error}"))
    }
}
