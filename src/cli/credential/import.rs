//! `gatepost credential import`: a new credential whose secret was made elsewhere.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::add::policy;
use super::rules::Rules;
use super::{Place, show, source, warn};
use crate::ipc::admin::credential::{Command, Material};
use crate::policy::Policy;

#[derive(Debug, Args)]
pub struct Import {
    /// Its name: what an SMTP client gives as user name
    id: String,
    /// A sender it may use: user@domain, @domain or "*" (may be given several times)
    #[arg(long = "sender", value_name = "RULE", required = true)]
    senders: Vec<String>,
    /// A file with the secret in its only line, or "-" for standard input
    #[arg(long, value_name = "FILE", required_unless_present = "hash_file", conflicts_with = "hash_file")]
    secret_file: Option<PathBuf>,
    /// A file with the argon2id hash of it (a PHC string) in its only line, or "-"
    #[arg(long, value_name = "FILE")]
    hash_file: Option<PathBuf>,
    /// The secret's public name: 4 to 32 letters and digits; made up when it is not given
    #[arg(long, value_name = "KEYID")]
    key: Option<String>,
    /// For tests: what it sends is checked, kept and told of as all mail is, and never leaves
    #[arg(long)]
    test: bool,
    /// Also keep keys derived from the secret, by which a client can log in with SCRAM-SHA-256
    #[arg(long, conflicts_with = "hash_file")]
    scram: bool,
    #[command(flatten)]
    rules: Rules,
    /// Print an object instead
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

impl Import {
    pub fn run(&self) -> Result<ExitCode, String> {
        let policy = Box::new(Policy { test: self.test, ..policy(&self.rules, &self.senders)? });
        let astray = self.place.astray(&self.id, &policy);
        let material = match (&self.secret_file, &self.hash_file) {
            (Some(file), _) => Material::Secret(source::line(file)?),
            (None, Some(file)) => Material::Hash(source::line(file)?),
            (None, None) => return Err("give --secret-file or --hash-file".to_owned()),
        };
        let command =
            Command::Import { id: self.id.clone(), policy, key: self.key.clone(), material, scram: self.scram };
        let done = show::done(&self.place.ask(command)?, self.json, "was imported")?;
        warn(&astray);
        Ok(done)
    }
}
