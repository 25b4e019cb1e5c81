//! `gatepost audit`: read and prove the audit log, from the auditors' files, as any auditor can.

mod format;
mod place;
mod query;
mod verify;

use std::process::ExitCode;

use clap::Subcommand;

use super::fail;

#[derive(Debug, Subcommand)]
pub enum Audit {
    /// Show events, the oldest first
    Query(query::Query),
    /// Compute the whole log anew and check it against the log key
    Verify(verify::Verify),
}

impl Audit {
    pub fn run(&self) -> ExitCode {
        match self {
            Self::Query(query) => query.run().map_or_else(|reason| fail(&reason), |()| ExitCode::SUCCESS),
            Self::Verify(verify) => verify.run(),
        }
    }
}
