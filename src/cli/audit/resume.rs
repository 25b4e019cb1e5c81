//! `gatepost audit resume`: say that something of the log was lost, and go on.

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;

use crate::cli::control::strange;
use crate::cli::places;
use crate::cli::{Config, control};
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
    /// Print {"old": ..., "kept": ..., "event": ..., "missing": [[first, last], ...]} instead
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
        let places = places(&self.config.path)?;
        let command = Command::Resume { reason: reason.to_owned(), head: head.transpose()? };
        match control::ask(&places.runtime_directory, Any::Audit(command))? {
            Some(Answer::Audit(Response::Resumed { old, kept, resumed, missing })) => {
                self.print(old, kept, resumed, &missing)
            }
            Some(_) => Err(strange()),
            None => Err(format!(
                "the service is not running ({}): start it first, the sealer must sign what is declared",
                control::nobody(&places.runtime_directory)
            )),
        }
    }

    fn print(&self, old: u64, kept: u64, event: u64, missing: &[(u64, u64)]) -> Result<(), String> {
        let text = if self.json {
            let missing: Vec<_> = missing.iter().map(|(first, end)| [*first, end - 1]).collect();
            serde_json::json!({ "old": old, "kept": kept, "event": event, "missing": missing }).to_string()
        } else {
            let lost = match old - kept.min(old) {
                0 if missing.is_empty() && self.head.is_some() => {
                    format!("nothing of the {old} events that were signed before is lost")
                }
                0 if missing.is_empty() => format!(
                    "nothing of the {old} events that this machine knows to have been signed is lost; what was signed after a \
                     backup only a head kept elsewhere tells (--head)"
                ),
                0 => "the tree over all events is whole".to_owned(),
                lost => format!(
                    "of the {old} events that were signed before, {kept} are kept for certain and {lost} are not"
                ),
            };
            let lost: String = [lost].into_iter().chain(missing.iter().map(in_no_file)).collect::<Vec<_>>().join("\n");
            format!(
                "the log goes on with event {event}, which says so, and is sealed again\n{lost}\n`gatepost audit verify` says \
                 \"declared gap\" from now on (exit code 15), and --known-gap {event} that you know of it"
            )
        };
        writeln!(io::stdout(), "{text}").map_err(|error| format!("writing the answer: {error}"))
    }
}

/// A hole in words.
pub fn in_no_file((first, end): &(u64, u64)) -> String {
    format!("events {first} to {} are in no file any more", end.saturating_sub(1))
}
