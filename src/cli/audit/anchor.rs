//! `gatepost audit anchor`: seals the log and keeps its head elsewhere, now.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use crate::cli::control::{ask, nobody};
use crate::cli::out::say;
use crate::cli::places;
use crate::cli::{DEFAULT_CONFIG, fail};
use crate::ipc::admin::audit::{Anchoring, Command, Made, Response};
use crate::ipc::admin::{Command as Any, Response as Answer};
use crate::vault::audit::verify::Verdict;
use crate::vault::audit::visible::{visible, visible_json};

/// Some are under way and nothing is known of them yet.
const PENDING: u8 = 3;

#[derive(Debug, Args)]
pub struct Anchor {
    /// The configuration file, to find the running service
    #[arg(long = "config", value_name = "FILE", default_value = DEFAULT_CONFIG)]
    config: PathBuf,
    /// At this anchor only
    #[arg(long, value_name = "NAME")]
    to: Option<String>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

impl Anchor {
    pub fn run(&self) -> ExitCode {
        match self.order() {
            Ok(made) => {
                match self.json {
                    true => say!("{}", visible_json(&Value::from_iter(made.iter().map(as_json)).to_string())),
                    false => made.iter().for_each(print),
                }
                ExitCode::from(made.iter().map(|anchoring| code(&anchoring.made)).fold(0, worse))
            }
            Err(reason) => fail(&reason),
        }
    }

    fn order(&self) -> Result<Vec<Anchoring>, String> {
        let places = places(&self.config)?;
        match ask(&places.runtime_directory, Any::Audit(Command::Anchor { name: self.to.clone() }))? {
            Some(Answer::Audit(Response::Anchors(made))) => Ok(made),
            Some(_) => Err("the service gave another answer: is it of another version?".to_owned()),
            None => Err(format!(
                "the service is not running ({}): what it signed last is where it was anchored last",
                nobody(&places.runtime_directory)
            )),
        }
    }
}

fn code(made: &Made) -> u8 {
    match made {
        Made::Kept { .. } => 0,
        Made::Pending => PENDING,
        Made::Failed { .. } => 1,
        Made::Contradicted { .. } => Verdict::Fork.code(),
    }
}

/// A contradiction is worse than a failure, and that is worse than not knowing.
fn worse(one: u8, other: u8) -> u8 {
    let order = [0, PENDING, 1, Verdict::Fork.code()];
    order.into_iter().rev().find(|code| *code == one || *code == other).unwrap_or(1)
}

fn print(Anchoring { name, kind, made }: &Anchoring) {
    let said = match made {
        Made::Kept { size } => format!("keeps the head of {size} events"),
        Made::Pending => "under way: nothing is known yet".to_owned(),
        Made::Failed { reason } => format!("FAILED: {reason}"),
        Made::Contradicted { reason, .. } => format!("CONTRADICTS THE LOG: {reason}"),
    };
    say!("{name} ({kind}): {}", visible(&said));
}

fn as_json(Anchoring { name, kind, made }: &Anchoring) -> Value {
    let (outcome, size, reason) = match made {
        Made::Kept { size } => ("kept", Some(size), None),
        Made::Pending => ("pending", None, None),
        Made::Failed { reason } => ("failed", None, Some(reason)),
        Made::Contradicted { holds, reason } => ("contradicted", Some(holds), Some(reason)),
    };
    json!({ "anchor": name, "kind": kind, "outcome": outcome, "size": size, "reason": reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_anchor_is_the_exit_code() {
        let fork = Verdict::Fork.code();
        for (codes, expected) in [
            (vec![0, 0], 0),
            (vec![0, PENDING], PENDING),
            (vec![1, PENDING, 0], 1),
            (vec![fork, 1], fork),
            (vec![1, fork, PENDING], fork),
        ] {
            assert_eq!(codes.iter().copied().fold(0, worse), expected, "{codes:?}");
        }
    }
}
