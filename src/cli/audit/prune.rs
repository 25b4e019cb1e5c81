//! `gatepost audit prune`: removes months of events that are over, and says so in the log.

use clap::Args;
use serde_json::json;

use super::running::Running;
use crate::cli::confirm::confirm;
use crate::cli::control::strange;
use crate::cli::out::say;
use crate::ipc::admin::audit::{Command, LookedAt, Response};

#[derive(Debug, Args)]
pub struct Prune {
    /// The months before this one, for example 2026-01; without it those that are past retain_events
    #[arg(long, value_name = "MONTH")]
    before: Option<String>,
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
    /// Ask nothing: where nobody can be asked, it does nothing without this
    #[arg(long)]
    yes: bool,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    running: Running,
}

impl Prune {
    pub fn run(&self) -> Result<(), String> {
        if !self.dry_run {
            confirm(self.yes, &self.takes())?;
        }
        let command = Command::Prune { before: self.before.clone(), dry: self.dry_run };
        let Response::Pruned(months) = self.running.ask(command)? else { return Err(strange()) };
        if self.json {
            let month = |looked: &LookedAt| {
                json!({
                    "month": looked.month, "first": looked.first, "size": looked.end, "bytes": looked.octets,
                    "stays": looked.obstacle,
                })
            };
            say!("{}", json!({ "dry_run": self.dry_run, "months": months.iter().map(month).collect::<Vec<_>>() }));
        } else {
            months.iter().for_each(|looked| say!("{}", self.line(looked)));
            if months.is_empty() {
                say!("no month is old enough");
            }
        }
        match months.iter().find(|looked| looked.obstacle.is_some()) {
            Some(looked) if !self.dry_run => Err(format!("{} and what follows it stays", looked.month)),
            _ => Ok(()),
        }
    }

    /// What goes.
    fn takes(&self) -> String {
        let which = match &self.before {
            Some(month) => format!("before {month}"),
            None => "that are past retain_events".to_owned(),
        };
        format!("removes the months of the audit log {which} that an anchor has taken, for good (--dry-run shows them)")
    }

    fn line(&self, looked: &LookedAt) -> String {
        let LookedAt { month, first, end, octets, obstacle } = looked;
        let what = match (obstacle, self.dry_run) {
            (Some(reason), _) => format!("stays: {reason}"),
            (None, true) => "would be removed".to_owned(),
            (None, false) => "removed".to_owned(),
        };
        format!("{month}  events {first} to {}  {octets} octets  {what}", end.saturating_sub(1))
    }
}
