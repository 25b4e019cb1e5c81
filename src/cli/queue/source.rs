//! Where the queue is looked at: in the running service, or in the database of one that is stopped.

use std::fs::File;
use std::io;
use std::path::Path;

use clap::Args;

use super::whose;
use crate::cli::control::strange;
use crate::cli::{Config, control, places};
use crate::config::{self, Places};
use crate::ipc::admin::queue::{Command, Response};
use crate::ipc::admin::{Command as Any, Response as Answer};
use crate::mail::id::MessageId;
use crate::policy::FIX_UPS;
use crate::vault::admin::transfer::reporters;
use crate::vault::master::{self, Master};
use crate::vault::offline::transfer::{Converse, Ways};
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
    /// Where the service is, and its files.
    pub fn places(&self) -> Result<Places, String> {
        places(&self.config.path)
    }

    /// Gives `work` a way to have commands about messages that leave or come carried out; it says whether it found anything.
    ///
    /// Errors: those of `work`; nobody can be asked, with what to do; nothing was found of this credential, for it is none.
    pub fn converse(
        &self,
        credential: Option<&str>,
        work: impl FnOnce(&mut Converse<'_>) -> Result<bool, String>,
    ) -> Result<(), String> {
        let plan = config::Config::load(&self.config.path);
        let runtime = match &plan {
            Ok(plan) => plan.runtime_directory.clone(),
            Err(_) => self.places()?.runtime_directory,
        };
        if let Some(mut line) = control::Line::open(&runtime)? {
            let is_found = work(&mut |command, hear| {
                line.ask(Any::Queue(command), |part| match part {
                    Answer::Queue(response) => hear(response),
                    _ => Err(strange()),
                })
            })?;
            return credential.filter(|_| !is_found).map_or(Ok(()), |id| whose::demand_running(&mut line, id));
        }
        let plan = plan.map_err(|mistakes| mistakes.to_string())?;
        let user = nix::unistd::getuid().as_raw();
        // Out of reach for what this process becomes.
        let masters = masters(&plan.master_directory)?;
        let _sealed = parent::become_vault(&plan, self.fallback_ids)?;
        let actor = vault::admin::actor(user, control::behalf().as_deref());
        let stopped =
            vault::offline::Stopped { home: Path::new(""), mask: plan.audit.mask, declared: &plan.credentials };
        let reporters = reporters(&plan.bounces);
        let ways = Ways { routes: plan.routes.clone(), max_size: plan.limits.max_size + FIX_UPS, reporters };
        let mut is_found = false;
        stopped.transfer(&actor, masters, ways, |ask| {
            is_found = work(ask)?;
            Ok(())
        })?;
        credential.filter(|_| !is_found).map_or(Ok(()), |id| whose::demand_stopped(&stopped, &actor, id))
    }

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

/// The master keys of a stopped service: the one in force first, and the next one where a change of keys was broken off.
fn masters(directory: &Path) -> Result<Vec<Master>, String> {
    let mut found = Vec::new();
    for path in [master::CURRENT, master::NEXT].map(|name| directory.join(name)) {
        match File::open(&path).and_then(Master::read) {
            Ok(key) => found.push(key),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(format!("{}: {error}", path.display())),
        }
    }
    Ok(found)
}

/// Every message that somebody waits for.
pub fn messages(ask: &mut Converse<'_>) -> Result<Vec<MessageId>, String> {
    let (mut all, mut next) = (Vec::new(), Some(0));
    while let Some(after) = next {
        next = None;
        ask(Command::List { after }, &mut |part| {
            if let Response::Listed { messages, next: there } = part {
                all.extend(messages);
                // Never backwards, whatever is said: it would be without end.
                next = there.filter(|there| *there > after);
            }
            Ok(())
        })?;
    }
    Ok(all)
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
            _ => Err(strange()),
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
