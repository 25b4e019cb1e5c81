//! `gatepost downgrade`: the database goes back to the form of the version before, which can then be installed again.

use std::path::Path;
use std::process::ExitCode;

use clap::Args;

use super::confirm::confirm;
use super::control::strange;
use super::{Config, control, fail, places};
use crate::cli::out::say;
use crate::ipc::admin::{Command, Response};
use crate::vault::offline::Stopped;
use crate::vault::store::schema::{BEFORE, VERSION};
use crate::{config, parent, vault};

const TAKES: &str = "takes the database back to the form of the version before, which is to be installed then; operators may be told \
                     once more what they know, and a digest may come twice";

#[derive(Debug, Args)]
pub struct Downgrade {
    /// Print {"from": ..., "to": ..., "done": ...} instead, with the numbers of the forms; done is false where it waits for the stop
    #[arg(long)]
    json: bool,
    /// The number of the form that the program to be installed has: where it is the one of today nothing is done, nor asked
    #[arg(long, value_name = "NUMBER")]
    to: Option<usize>,
    /// Ask nothing: where nobody can be asked, it does nothing without this
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    config: Config,
    /// As root, when the system users are missing: use the made-up user ids the service is started with
    #[arg(long, hide = true)]
    fallback_ids: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// There was nothing to take back.
    Nothing,
    /// The program to be installed opens the database as it is.
    Same,
    Done,
    /// The running service does it when it ends.
    Ordered,
}

impl Downgrade {
    pub fn run(&self) -> ExitCode {
        let done = match self.to {
            Some(VERSION) => Ok(End::Same),
            Some(to) if to != BEFORE => Err(format!(
                "this version takes a database of form {VERSION} back to form {BEFORE}, and not to {to}: restore a backup of that version, \
                 or install the versions between"
            )),
            _ => confirm(self.yes, TAKES).and_then(|()| self.go_back()),
        };
        match done {
            Ok(end) => {
                say!("{}", self.told(end));
                ExitCode::SUCCESS
            }
            Err(reason) => fail(&reason),
        }
    }

    fn go_back(&self) -> Result<End, String> {
        let places = places(&self.config.path)?;
        match control::ask(&places.runtime_directory, Command::Downgrade)? {
            Some(Response::Done) => Ok(End::Ordered),
            Some(_) => Err(strange()),
            None if !self.has_database(&places.state_directory)? => Ok(End::Nothing),
            None => {
                let plan = config::Config::load(&self.config.path).map_err(|mistakes| mistakes.to_string())?;
                control::demand_unheld(&plan)?;
                let actor = vault::admin::actor(nix::unistd::getuid().as_raw(), control::behalf().as_deref());
                let _sealed = parent::become_vault(&plan, self.fallback_ids)?;
                let (home, mask, declared) = (Path::new(""), plan.audit.mask, plan.credentials.as_slice());
                Stopped { home, mask, declared }.downgrade(&actor).map(|()| End::Done)
            }
        }
    }

    /// Errors: it can't be seen.
    fn has_database(&self, state: &Path) -> Result<bool, String> {
        let database = control::database(state);
        database.try_exists().map_err(|error| format!("{}: {error}: run it as root", database.display()))
    }

    fn told(&self, end: End) -> String {
        if self.json {
            let to = if end == End::Same { VERSION } else { BEFORE };
            return serde_json::json!({ "from": VERSION, "to": to, "done": end != End::Ordered }).to_string();
        }
        match end {
            End::Nothing => "there is no database yet: install the version before".to_owned(),
            End::Same => format!("that version opens a database of form {VERSION}, too: nothing is to be done"),
            End::Done => format!(
                "the database has form {BEFORE} now, which the version before opens: install that, and start it"
            ),
            End::Ordered => format!(
                "when the service stops, its database gets form {BEFORE}, which the version before opens: install that, and restart it"
            ),
        }
    }
}
