//! `gatepost serve`: the service in the foreground, under whatever starts it.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::{Config, last_words};
use crate::parent;

#[derive(Debug, Args)]
pub struct Serve {
    #[command(flatten)]
    config: Config,
    /// As root, when the system users are missing: use made-up user ids instead of refusing to start
    #[arg(long, hide = true)]
    fallback_ids: bool,
    /// Only the upstreams, for somebody who tries them: what is kept is kept in this folder
    #[arg(long, hide = true, value_name = "DIRECTORY")]
    rehearsal: Option<PathBuf>,
}

impl Serve {
    pub fn run(&self) -> ExitCode {
        crate::log::to_stderr();
        let done = match &self.rehearsal {
            Some(folder) => parent::rehearse(&self.config.path, folder, self.fallback_ids),
            None => parent::serve(&self.config.path, self.fallback_ids),
        };
        match done {
            Ok(()) => ExitCode::SUCCESS,
            Err(reason) => {
                // Whoever reads the log may have stopped; that must not keep the service manager from starting another.
                crate::log::last(&last_words(&reason));
                ExitCode::FAILURE
            }
        }
    }
}
