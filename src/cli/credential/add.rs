//! `gatepost credential add`: a new credential with a secret of the vault's making.

use std::process::ExitCode;

use clap::Args;

use super::Place;
use super::rules::Rules;
use crate::ipc::admin::credential::Command;
use crate::policy::Policy;
use crate::vault::admin::credential::patched;

#[derive(Debug, Args)]
pub struct Add {
    /// Its name: what an SMTP client gives as user name
    id: String,
    /// A sender it may use: user@domain, @domain or "*" (may be given several times; without one it can't send)
    #[arg(long = "sender", value_name = "RULE", required = true)]
    senders: Vec<String>,
    #[command(flatten)]
    rules: Rules,
    /// Print {"id": ..., "secret": ...} instead
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

impl Add {
    pub fn run(&self) -> Result<ExitCode, String> {
        let patch = self.rules.patch(&self.senders).to_string();
        let command = Command::Add { id: self.id.clone(), policy: patched(&Policy::default(), &patch)? };
        super::show_secret(&self.place.ask(command)?, self.json, "was added")
    }
}
