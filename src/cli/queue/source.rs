//! Where the queue is looked at: in the running service, or in the database of one that is stopped.

use std::path::Path;

use clap::Args;

use super::whose;
use crate::cli::{Config, control, places};
use crate::config;
use crate::ipc::admin::queue::{Command, Response};
use crate::ipc::admin::{Command as Any, Response as Answer};
use crate::{parent, vault};

#[derive(Debug, Args)]
pub struct Source {
    #[command(flatten)]
    config: Config,
    /// As root, when the system users are missing: use the made-up user ids the service was started with
    #[arg(long, hide = true)]
    fallback_ids: bool,
}

/// Has one command answered.
pub type Ask<'a> = dyn FnMut(Command) -> Result<Vec<Response>, String> + 'a;

impl Source {
    /// Gives `work` a way to ask.
    ///
    /// Errors: those of `work`; nobody can be asked, with what to do.
    pub fn ask(&self, work: impl FnOnce(&mut Ask<'_>) -> Result<(), String>) -> Result<(), String> {
        self.ask_of(None, |ask| work(ask).map(|()| true))
    }

    /// As `ask`, where `work` says whether it found anything.
    ///
    /// Errors: also nothing was found of this credential, for it is none.
    pub fn ask_of(
        &self,
        credential: Option<&str>,
        work: impl FnOnce(&mut Ask<'_>) -> Result<bool, String>,
    ) -> Result<(), String> {
        let plan = config::Config::load(&self.config.path);
        let runtime = match &plan {
            Ok(plan) => plan.runtime_directory.clone(),
            Err(_) => places(&self.config.path)?.runtime_directory,
        };
        if let Some(mut line) = control::Line::open(&runtime)? {
            let is_found = work(&mut over(&mut line))?;
            return credential.filter(|_| !is_found).map_or(Ok(()), |id| whose::demand_running(&mut line, id));
        }
        let plan = plan.map_err(|mistakes| mistakes.to_string())?;
        let user = nix::unistd::getuid().as_raw();
        let _sealed = parent::become_vault(&plan, self.fallback_ids)?;
        let actor = vault::admin::actor(user, control::behalf().as_deref());
        // The vault's home is where this process is now.
        let stopped =
            vault::offline::Stopped { home: Path::new(""), mask: plan.audit.mask, declared: &plan.credentials };
        let mut is_found = false;
        stopped.look(&actor, |ask| {
            is_found = work(ask)?;
            Ok(())
        })?;
        credential.filter(|_| !is_found).map_or(Ok(()), |id| whose::demand_stopped(&stopped, &actor, id))
    }
}

/// Asks over this connection.
pub fn over(line: &mut control::Line) -> impl FnMut(Command) -> Result<Vec<Response>, String> {
    |command| {
        let mut answers = Vec::new();
        line.ask(Any::Queue(command), |part| match part {
            Answer::Queue(response) => {
                answers.push(response);
                Ok(())
            }
            _ => Err("the service answered something else: is it another version?".to_owned()),
        })?;
        Ok(answers)
    }
}

/// Asks for parts of the queue until its end, or until `each` wants no more of them.
pub fn walk(
    ask: &mut Ask<'_>,
    command: impl Fn(i64) -> Command,
    mut each: impl FnMut(Response) -> bool,
) -> Result<(), String> {
    let mut next = Some(0);
    while let Some(after) = next {
        next = None;
        for part in ask(command(after))? {
            match part {
                // Never backwards, whatever is said: it would be without end.
                Response::Next(there) => next = there.filter(|there| *there > after),
                part => {
                    if !each(part) {
                        return Ok(());
                    }
                }
            }
        }
    }
    Ok(())
}
