//! `gatepost credential list` and `show`: what there is, without hashes.

use std::process::ExitCode;

use clap::Args;

use super::{Place, show};
use crate::ipc::admin::credential::Command;

#[derive(Debug, Args)]
pub struct List {
    /// Print an array of objects instead
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

impl List {
    pub fn run(&self) -> Result<ExitCode, String> {
        show::list(&self.place.ask_all(Command::List)?, self.json)
    }
}

#[derive(Debug, Args)]
pub struct Show {
    /// Which credential
    id: String,
    /// Print an object instead
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

impl Show {
    pub fn run(&self) -> Result<ExitCode, String> {
        show::entry(&self.place.ask(Command::Show { id: self.id.clone() })?, self.json)
    }
}
