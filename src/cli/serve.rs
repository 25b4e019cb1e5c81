//! `gatepost serve`: the service in the foreground, under whatever starts it.

use std::process::ExitCode;

use clap::Args;

use super::{Config, fail};
use crate::parent;

#[derive(Debug, Args)]
pub struct Serve {
    #[command(flatten)]
    config: Config,
    /// As root, when the system users are missing: use made-up user ids instead of refusing to start
    #[arg(long, hide = true)]
    fallback_ids: bool,
}

impl Serve {
    pub fn run(&self) -> ExitCode {
        crate::log::to_stderr();
        match parent::serve(&self.config.path, self.fallback_ids) {
            Ok(()) => ExitCode::SUCCESS,
            Err(reason) => fail(&reason),
        }
    }
}
