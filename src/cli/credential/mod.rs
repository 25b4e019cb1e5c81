//! `gatepost credential`: who may send. While the service runs the vault does it; otherwise this process becomes the
//! vault's user, enters the vault's sandbox and opens the database itself.

mod add;
mod rules;

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::{Config, control, fail};
use crate::config;
use crate::ipc::admin::credential::{Command, Response};
use crate::ipc::admin::{Command as Any, Response as Answer};
use crate::{parent, vault};

#[derive(Debug, Subcommand)]
pub enum Credential {
    /// Make a credential and print its secret, once, alone on the last line
    Add(add::Add),
}

impl Credential {
    pub fn run(&self) -> ExitCode {
        let done = match self {
            Self::Add(add) => add.run(),
        };
        done.unwrap_or_else(|reason| fail(&reason))
    }
}

/// Whose credentials.
#[derive(Debug, Args)]
pub struct Place {
    #[command(flatten)]
    config: Config,
    /// As root, when the system users are missing: use the made-up user ids the service was started with
    #[arg(long, hide = true)]
    fallback_ids: bool,
}

impl Place {
    /// Has the running service do it, or does it here when there is none, as the vault would.
    pub fn ask(&self, command: Command) -> Result<Response, String> {
        let plan = config::Config::load(&self.config.path).map_err(|errors| errors.to_string())?;
        match control::ask(&plan.runtime_directory, Any::Credential(command.clone()))? {
            Some(Answer::Credential(response)) => Ok(response),
            Some(_) => Err("the service answered something else: is it another version?".to_owned()),
            None => {
                let user = nix::unistd::getuid().as_raw();
                let _sealed = parent::become_vault(&plan, self.fallback_ids)?;
                // The vault's home is where this process is now.
                let actor = vault::admin::actor(user, control::behalf().as_deref());
                vault::offline::credential(Path::new(""), command, &plan.credentials, &actor)
            }
        }
    }
}

/// Prints a new secret, which nobody can ever show again.
fn show_secret(response: &Response, json: bool, done: &str) -> Result<ExitCode, String> {
    let Response::Secret { id, secret } = response;
    let text = match json {
        true => format!("{}\n", serde_json::json!({ "id": id, "secret": secret.expose() })),
        false => format!("credential {id:?} {done}; its secret is shown only now:\n{}\n", secret.expose()),
    };
    let shown = io::stdout().write_all(text.as_bytes()).and_then(|()| io::stdout().flush());
    shown.map(|()| ExitCode::SUCCESS).map_err(|error| {
        format!("credential {id:?} {done}, but its secret could not be written ({error}) and is lost: make another")
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        add: add::Add,
    }

    #[test]
    fn limits_that_would_mean_nothing_are_wrong_usage() {
        for bad in ["--per-minute 0", "--per-day 0", "--per-minute 6 --burst 0"] {
            let line = format!("add shop --sender @example.net {bad}");
            let error = Line::try_parse_from(line.split_whitespace()).map(drop).unwrap_err().to_string();
            assert!(error.contains("not in 1.."), "{bad}: {error}");
        }
    }
}
