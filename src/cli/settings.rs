//! `gatepost config show`: every setting with where it comes from.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{Config, fail};
use crate::cli::out::say;
use crate::config::shown::{Origin, Setting, settings};
use crate::vault::audit::visible::{visible, visible_json};

#[derive(Debug, Subcommand)]
pub enum Settings {
    /// Show every setting that is written, with its line; secrets are counted, not shown
    Show(Show),
}

#[derive(Debug, Args)]
pub struct Show {
    /// Also what holds without being written, and which keys are left out
    #[arg(long)]
    effective: bool,
    /// Print an array of objects instead
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: Config,
}

impl Settings {
    pub fn run(&self) -> ExitCode {
        let Self::Show(show) = self;
        let all = match settings(&show.config.path, show.effective) {
            Ok(all) => all,
            Err(mistakes) => {
                return fail(&mistakes.0.join("\n"));
            }
        };
        match show.json {
            true => {
                let all: Vec<Value> = all.iter().map(|one| show.object(one)).collect();
                say!("{}", visible_json(&Value::from(all).to_string()));
            }
            false => all.iter().for_each(|one| say!("{}", visible(&show.line(one)))),
        }
        ExitCode::SUCCESS
    }
}

impl Show {
    fn line(&self, Setting { path, value, origin }: &Setting) -> String {
        let place = self.config.path.display();
        match origin {
            Origin::Line(line) => format!("{path} = {value}    # {place}:{line}"),
            Origin::Default => format!("{path} = {value}    # default"),
            Origin::Unset => format!("{path}    # not set"),
        }
    }

    fn object(&self, Setting { path, value, origin }: &Setting) -> Value {
        let (word, line) = match origin {
            Origin::Line(line) => ("file", Some(*line)),
            Origin::Default => ("default", None),
            Origin::Unset => ("unset", None),
        };
        let value = Some(value).filter(|_| *origin != Origin::Unset);
        json!({ "key": path, "value": value, "origin": word, "line": line })
    }
}
