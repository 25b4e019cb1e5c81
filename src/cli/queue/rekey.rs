//! `gatepost queue rekey`: makes the next master key, lets the service wrap every key with it, and puts it in the place of
//! the old one. Broken off anywhere, it goes on when it is given again.

use std::io;
use std::path::Path;
use std::process::ExitCode;

use clap::Args;

use crate::cli::confirm::confirm;
use crate::cli::control::strange;
use crate::cli::out::say;
use crate::cli::{Config, control, fail, places};
use crate::config;
use crate::ipc::admin::queue::{Command, Response};
use crate::ipc::admin::{Command as Any, Response as Answer};
use crate::vault::master;

const TAKES: &str = "overwrites the master key with a new one: what is sealed in older backups can be read with a copy of the old \
                     one alone";
const TAKES_LOST: &str =
    "puts a new master key in the place of the old one: nobody can read the mail that waits under that";

#[derive(Debug, Args)]
pub struct Rekey {
    /// Print {"keys": ..., "master": ...} instead
    #[arg(long)]
    json: bool,
    /// With the service stopped: make a new key in the place of one that is lost for good
    #[arg(long)]
    lost: bool,
    /// Ask nothing: where nobody can be asked, it does nothing without this
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    config: Config,
}

impl Rekey {
    pub fn run(&self) -> ExitCode {
        match self.change() {
            Ok((keys, id)) if self.json => {
                say!("{}", serde_json::json!({ "keys": keys, "master": id }));
                ExitCode::SUCCESS
            }
            Ok((_, id)) if self.lost => {
                say!(
                    "the master key is {id} now. Keep a copy of it apart. Start the service: mail that waits under the lost \
                     key is held; gatepost queue drop gives it up"
                );
                ExitCode::SUCCESS
            }
            Ok((keys, id)) => {
                say!(
                    "the master key is {id} now, and {keys} keys were wrapped anew. Keep a copy of it apart; backups of \
                     before need the old one, if you have kept that"
                );
                ExitCode::SUCCESS
            }
            Err(reason) => fail(&reason),
        }
    }

    /// Gives how many keys were wrapped, and the name of the new master key.
    fn change(&self) -> Result<(u64, String), String> {
        confirm(self.yes, if self.lost { TAKES_LOST } else { TAKES })?;
        if self.lost {
            return self.replace().map(|id| (0, id));
        }
        let places = places(&self.config.path)?;
        let directory = places.master_directory?;
        let said = |doing, error| failed(doing, &directory, &error);
        if !control::is_there(&places.runtime_directory)? {
            return Err(format!(
                "the service does not run ({}), and it is the one that wraps the keys: start it first",
                control::nobody(&places.runtime_directory)
            ));
        }
        // The service runs, so its key is where it was told: a folder without one is not that folder.
        master::demand(&directory).map_err(|error| said("looking for the master key", error))?;
        // Held to the end of the command.
        let change = master::Change::begin(&directory).map_err(|error| said("making the next master key", error))?;
        let id = master::name(&change.next.id);
        let command = Any::Queue(Command::Rekey { next: id.clone() });
        let keys = match control::ask(&places.runtime_directory, command)? {
            Some(Answer::Queue(Response::Wrapped { keys, master })) if master == id => keys,
            Some(Answer::Queue(Response::NotThatKey { handed })) => {
                change.withdraw().map_err(|error| said("taking back the next master key", error))?;
                return Err(elsewhere(&directory, &id, handed));
            }
            Some(_) => return Err(strange()),
            None => return Err("the service has stopped: start it and give the command again".to_owned()),
        };
        change.end().map_err(|error| said("putting the next master key in place", error))?;
        Ok((keys, id))
    }

    /// While the service is stopped. Gives the name of the new master key.
    fn replace(&self) -> Result<String, String> {
        let plan = config::Config::load(&self.config.path).map_err(|errors| errors.to_string())?;
        if control::is_there(&plan.runtime_directory)? {
            return Err("the service runs, so its key is not lost: leave out --lost, or stop it first".to_owned());
        }
        // What it acknowledges from now on would be under the key that goes.
        control::demand_unheld(&plan)?;
        let made = master::replace_lost(&plan.master_directory);
        let made = made.map_err(|error| failed("making a new master key", &plan.master_directory, &error))?;
        Ok(master::name(&made))
    }
}

/// The service has its master key in another folder.
fn elsewhere(directory: &Path, id: &str, handed: Option<String>) -> String {
    let handed = match handed {
        Some(handed) => format!("the next key {handed} lies in its own"),
        None => "no next key lies in its own, see its log".to_owned(),
    };
    format!(
        "the service does not keep its master key in {}: {handed}, and not {id}, which was made here. Nothing was wrapped or \
         replaced. Give the master_key_directory that the service was started with",
        directory.display()
    )
}

fn failed(doing: &str, directory: &Path, error: &io::Error) -> String {
    format!("{doing} in {}: {error}", directory.display())
}
