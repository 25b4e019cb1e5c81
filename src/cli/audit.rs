//! `gatepost audit`: read and prove the audit log, from the auditors' files, as any auditor can; and keep it elsewhere.

mod check_proof;
mod checkpoint;
mod export;
mod against;
mod anchor;
mod disclose;
pub mod format;
mod handed;
pub mod key;
pub mod moment;
pub mod place;
mod progress;
mod prove;
mod prune;
pub mod query;
mod show;
mod tail;
mod target;
mod redact;
mod running;
mod resume;
mod verify;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Subcommand;

use super::fail;
use crate::vault::audit::archive::unreadable;
use crate::vault::audit::verify::Fault;
use crate::vault::audit::visible::visible;

#[derive(Debug, Subcommand)]
pub enum Audit {
    /// Show events, the oldest first
    Query(query::Query),
    /// Show what became of a message, or one event in full
    Show(show::Show),
    /// Show the newest events, and those that come
    Tail(tail::Tail),
    /// Sign the log and keep its head elsewhere, now
    Anchor(anchor::Anchor),
    /// Erase personal values, and say so in the log
    Redact(redact::Redact),
    /// Remove months of events that are over, and say so in the log
    Prune(prune::Prune),
    /// Show one personal value in clear, with what proves it, and say so in the log
    Disclose(disclose::Disclose),
    /// Compute the whole log anew and check it against the log key
    Verify(verify::Verify),
    /// Make a proof that an event is in the log (C2SP tlog-proof)
    Prove(prove::Prove),
    /// Check such a proof, with the log's key alone
    CheckProof(check_proof::CheckProof),
    /// Print a signed head of the log, to be kept elsewhere
    Checkpoint(checkpoint::Checkpoint),
    /// Write the log, or a part of it, in another form
    Export(export::Export),
    /// Say that something of the log was lost, and go on: the log and its signed heads tell of it for ever
    Resume(resume::Resume),
}

impl Audit {
    pub fn run(&self) -> ExitCode {
        match self {
            Self::Query(query) => query.run().unwrap_or_else(|reason| fail(&reason)),
            Self::Show(show) => finish(show.run()),
            Self::Tail(tail) => tail.run().map_or_else(|reason| fail(&reason), |()| ExitCode::SUCCESS),
            Self::Anchor(anchor) => anchor.run(),
            Self::Redact(redact) => redact.run().map_or_else(|reason| fail(&reason), |()| ExitCode::SUCCESS),
            Self::Prune(prune) => prune.run().map_or_else(|reason| fail(&reason), |()| ExitCode::SUCCESS),
            Self::Disclose(disclose) => disclose.run().map_or_else(|reason| fail(&reason), |()| ExitCode::SUCCESS),
            Self::Verify(verify) => verify.run(),
            Self::Prove(prove) => finish(prove.run()),
            Self::CheckProof(check) => finish(check.run()),
            Self::Checkpoint(checkpoint) => finish(checkpoint.run()),
            Self::Export(export) => finish(export.run()),
            Self::Resume(resume) => resume.run().map_or_else(|reason| fail(&reason), |()| ExitCode::SUCCESS),
        }
    }
}

/// The codes of `verify`: what is wrong is the same thing, whoever finds it.
fn finish(done: Result<(), Fault>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            // The words may quote what stands in the files.
            eprintln!("gatepost: {}", visible(&fault.what));
            ExitCode::from(fault.verdict.code())
        }
    }
}

/// Standard output; a reader that is gone is no failure.
fn print(text: &str) -> Result<(), Fault> {
    let written = io::stdout().write_all(text.as_bytes());
    format::goes_on(written).map(drop).map_err(unreadable)
}
