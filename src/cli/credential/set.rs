//! `gatepost credential set`: another policy for a credential of the vault.

use std::process::ExitCode;

use clap::Args;

use super::rules::{Rules, Unset};
use super::{Place, show, warn};
use crate::ipc::admin::credential::Command;
use crate::vault::admin::credential::patched;

#[derive(Debug, Args)]
pub struct Set {
    /// Which credential
    id: String,
    /// The senders it may use from now on, instead of those it has
    #[arg(long = "sender", value_name = "RULE")]
    senders: Vec<String>,
    #[command(flatten)]
    rules: Rules,
    #[command(flatten)]
    unset: Unset,
    /// Print an object instead
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

impl Set {
    pub fn run(&self) -> Result<ExitCode, String> {
        let patch = self.rules.patch(&self.senders, &self.unset)?;
        if patch.as_object().is_none_or(serde_json::Map::is_empty) {
            return Err("nothing to change: give an option, such as --per-day".to_owned());
        }
        // With all that it has besides, which the service tells; without one what is changed is looked at on its own.
        let has = self.place.policy(&self.id).unwrap_or_default();
        let changed = patched(&has, &patch.to_string()).unwrap_or_default();
        let astray = self.place.astray(&self.id, &changed);
        let command = Command::Set { id: self.id.clone(), patch: patch.to_string() };
        let done = show::done(
            &self.place.change(&self.id, command)?,
            self.json,
            "was changed; open sessions must log in again",
        )?;
        warn(&astray);
        Ok(done)
    }
}
