//! The running service, for what only it may do to the log.

use std::path::PathBuf;

use clap::Args;

use crate::cli::DEFAULT_CONFIG;
use crate::cli::control::strange;
use crate::cli::control::{ask_at_length, nobody};
use crate::cli::places;
use crate::ipc::admin::audit::{Command, Response};
use crate::ipc::admin::{Command as Any, Response as Answer};

#[derive(Debug, Args)]
pub struct Running {
    /// The configuration file, to find the running service
    #[arg(long = "config", value_name = "FILE", default_value = DEFAULT_CONFIG)]
    config: PathBuf,
}

impl Running {
    /// Asks, and waits as long as it takes: a search goes through all files.
    pub fn ask(&self, command: Command) -> Result<Response, String> {
        let places = places(&self.config)?;
        match ask_at_length(&places.runtime_directory, Any::Audit(command))? {
            Some(Answer::Audit(answer)) => Ok(answer),
            Some(_) => Err(strange()),
            None => Err(format!(
                "the service is not running ({}), and only it may do this: its log must say so, and be sealed; start it, \
                 and give the command again",
                nobody(&places.runtime_directory)
            )),
        }
    }
}

/// A field as it stands in the log; `rcpt_to:0` is easier on a shell than `rcpt_to[0]`.
pub fn field(text: &str) -> String {
    match text.split_once(':') {
        Some((name, n)) => format!("{name}[{n}]"),
        None => text.to_owned(),
    }
}
