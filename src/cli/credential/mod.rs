//! `gatepost credential`: who may send. While the service runs the vault does it; otherwise this process becomes the
//! vault's user, enters the vault's sandbox and opens the database itself.

mod add;
mod hash;
mod import;
mod list;
mod rates;
mod rotate;
mod rules;
mod set;
mod show;
mod source;
mod state;
mod test;

use std::path::Path;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::{Config, control, fail, places};
use crate::config::{self, Plan};
use crate::ipc::admin::credential::{Command, Response};
use crate::ipc::admin::{Command as Any, Response as Answer};
use crate::policy::Policy;
use crate::vault::audit::visible::visible;
use crate::{parent, vault};

#[derive(Debug, Subcommand)]
pub enum Credential {
    /// Make a credential and print its secret, once, alone on the last line
    Add(add::Add),
    /// Make a credential with a secret that was made elsewhere
    Import(import::Import),
    /// Print what the configuration file keeps of a secret
    Hash(hash::Hash),
    /// Show all credentials: of the configuration and of the vault
    List(list::List),
    /// Show one credential: what it may, its secrets and their dates; never a hash
    Show(list::Show),
    /// Change what a credential may
    Set(set::Set),
    /// Let nobody be it until it is enabled again, and end what its open sessions may
    Disable(state::End),
    /// Take back `disable`
    Enable(state::Enable),
    /// Make a second secret while the first one still works; --finish ends the first
    Rotate(rotate::Rotate),
    /// Remove a credential and its secrets
    Remove(state::End),
    /// Would this secret log in? Says why not, and leaves no trace
    Test(test::Test),
}

impl Credential {
    pub fn run(&self) -> ExitCode {
        let done = match self {
            Self::Add(add) => add.run(),
            Self::Import(import) => import.run(),
            Self::Hash(hash) => hash.run(),
            Self::List(list) => list.run(),
            Self::Show(show) => show.run(),
            Self::Set(set) => set.run(),
            Self::Disable(end) => end.disable(),
            Self::Enable(enable) => enable.run(),
            Self::Rotate(rotate) => rotate.run(),
            Self::Remove(end) => end.remove(),
            Self::Test(test) => test.run(),
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
    /// Has one of the vault's credentials changed. Those of the configuration file are the operator's to change.
    fn change(&self, id: &str, command: Command) -> Result<Response, String> {
        let Ok(plan) = self.plan() else { return only(self.ask_all(command)?) };
        // One that is in both places by now can go from the vault, which knows whether it is.
        let goes = matches!(command, Command::Remove { .. });
        if !goes && plan.credentials.iter().any(|declared| declared.id == id) {
            let path = self.config.path.display();
            return Err(format!("credential {id:?} stands in {path}: change it there, and reload"));
        }
        only(self.ask_by(&plan, command)?)
    }

    /// Asks for one answer.
    fn ask(&self, command: Command) -> Result<Response, String> {
        only(self.ask_all(command)?)
    }

    fn ask_all(&self, command: Command) -> Result<Vec<Response>, String> {
        match self.plan() {
            Ok(plan) => self.ask_by(&plan, command),
            Err(mistakes) => self.running(&places(&self.config.path)?.runtime_directory, command)?.ok_or(mistakes),
        }
    }

    /// What is odd about the ways of a credential's mail by this configuration, which may not be in force yet. To be asked before
    /// a command that may make this process the vault's.
    fn astray(&self, id: &str, policy: &Policy) -> Vec<String> {
        self.plan().map(|plan| plan.astray(id, policy)).unwrap_or_default()
    }

    /// What the running service has of a credential. None when it has none of that name, or there is no service.
    fn policy(&self, id: &str) -> Option<Policy> {
        let runtime = self.plan().ok()?.runtime_directory;
        let answers = self.running(&runtime, Command::Show { id: id.to_owned() }).ok()??;
        answers.into_iter().find_map(|answer| match answer {
            Response::Entry(entry) => Some(entry.policy),
            _ => None,
        })
    }

    fn plan(&self) -> Result<Plan, String> {
        config::Config::load(&self.config.path).map_err(|errors| errors.to_string())
    }

    /// Has the running service do it, or does it here when there is none, as the vault would.
    fn ask_by(&self, plan: &Plan, command: Command) -> Result<Vec<Response>, String> {
        if let Some(answers) = self.running(&plan.runtime_directory, command.clone())? {
            return Ok(answers);
        }
        let user = nix::unistd::getuid().as_raw();
        let _sealed = parent::become_vault(plan, self.fallback_ids)?;
        // The vault's home is where this process is now.
        let actor = vault::admin::actor(user, control::behalf().as_deref());
        let stopped =
            vault::offline::Stopped { home: Path::new(""), mask: plan.audit.mask, declared: &plan.credentials };
        stopped.credential(command, &actor)
    }

    /// Has the running service do it. None when there is none.
    fn running(&self, runtime: &Path, command: Command) -> Result<Option<Vec<Response>>, String> {
        let is_list = matches!(command, Command::List);
        let mut answers = Vec::new();
        let mut strange = false;
        let asked = control::ask_for_parts(runtime, Any::Credential(command), |part| {
            match part {
                Answer::Credential(response) => answers.push(response),
                _ => strange = true,
            }
            is_list && !strange
        })?;
        if strange {
            return Err(control::strange());
        }
        Ok(asked.then_some(answers))
    }
}

/// Warns of what is odd, below what was done.
fn warn(oddities: &[String]) {
    oddities.iter().for_each(|oddity| eprintln!("gatepost: warning: {}", visible(oddity)));
}

fn only(answers: Vec<Response>) -> Result<Response, String> {
    answers.into_iter().next().ok_or_else(|| "the service did not say what became of it: look at its log".to_owned())
}
