//! `gatepost credential add`: a new credential with a secret of the vault's making.

use std::process::ExitCode;

use clap::Args;

use super::rules::{Rules, Unset};
use super::{Place, show, warn};
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
    /// For tests: what it sends is checked, kept and told of as all mail is, and never leaves; its key begins with gp_test_
    #[arg(long)]
    test: bool,
    /// Also keep keys derived from the secret, by which a client can log in with SCRAM-SHA-256
    #[arg(long)]
    scram: bool,
    /// Print {"id": ..., "key": ..., "secret": ...} instead
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

impl Add {
    pub fn run(&self) -> Result<ExitCode, String> {
        let policy = Box::new(Policy { test: self.test, ..policy(&self.rules, &self.senders)? });
        let astray = self.place.astray(&self.id, &policy);
        let command = Command::Add { id: self.id.clone(), policy, scram: self.scram };
        let done = show::secret(&self.place.ask(command)?, self.json, "was added")?;
        warn(&astray);
        Ok(done)
    }
}

/// The policy of a new credential.
pub fn policy(rules: &Rules, senders: &[String]) -> Result<Policy, String> {
    patched(&Policy::default(), &rules.patch(senders, &Unset::default())?.to_string())
}
