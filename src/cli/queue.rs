//! `gatepost queue`: look at what waits to be delivered, hold, release or drop it, or have it tried now; while the service runs
//! and while it is stopped.

mod archive;
mod before;
mod ended;
mod entries;
mod export;
mod import;
pub mod lines;
mod list;
mod lost;
mod news;
mod pairs;
mod reconcile;
mod record;
mod rekey;
mod retry;
mod source;
mod stats;
mod tar;
mod told;
mod whose;

pub use list::time;
pub use source::{over, walk};
use std::path::Path;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::confirm::confirm;
use super::{Config, control, fail, places};
use crate::cli::out::say;
use crate::config;
use crate::ipc::admin::queue::{Command, Counts, Deed, Response, Which};
use crate::ipc::admin::{Command as Any, Response as Answer};
use crate::mail::id::MessageId;
use crate::vault::queue;
use crate::{parent, vault};

#[derive(Debug, Subcommand)]
pub enum Queue {
    /// List the messages that wait, the oldest first
    List(list::List),
    /// Show one message and where each of its recipients stands
    Show(list::Show),
    /// Count what waits, by credential, route, state and age
    Stats(stats::Stats),
    /// Make messages due now that wait for a later time
    Retry(retry::Retry),
    /// Offer messages to nobody until they are released
    Hold(Messages),
    /// Offer held messages again
    Release(Messages),
    /// Give messages up: nobody gets them any more, and their bodies are destroyed
    Drop(Drop),
    /// After a restore, end what a newer log shows as delivered or given up
    Reconcile(reconcile::Reconcile),
    /// Write messages that wait into an archive, for another gate or to keep them
    Export(export::Export),
    /// Take the messages of an archive in; they are held
    Import(import::Import),
    /// Change the master key that opens the bodies of messages on disk
    Rekey(rekey::Rekey),
}

#[derive(Debug, Args)]
pub struct Messages {
    #[command(flatten)]
    which: Choice,
    #[command(flatten)]
    order: Order,
}

#[derive(Debug, Args)]
pub struct Drop {
    #[command(flatten)]
    messages: Messages,
    /// Only who is held, by an order or because nobody knows whether he has it
    #[arg(long)]
    held: bool,
    /// With --all or --credential: don't ask on the terminal, where it is asked otherwise; needed where there is none
    #[arg(long)]
    yes: bool,
}

/// What every order over the queue takes.
#[derive(Debug, Args)]
pub struct Order {
    /// Why, for the audit log
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Print {"messages": ..., "recipients": ..., "under_way": ...} instead
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: Config,
    /// As root, when the system users are missing: use the made-up user ids the service was started with
    #[arg(long, hide = true)]
    fallback_ids: bool,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Choice {
    /// Those that this credential sent
    #[arg(long, value_name = "ID")]
    credential: Option<String>,
    /// This one, by its id in either form
    #[arg(value_name = "MESSAGE")]
    id: Option<MessageId>,
    /// The same
    #[arg(long, value_name = "ID")]
    message: Option<MessageId>,
    /// Everything that waits
    #[arg(long)]
    all: bool,
}

impl Queue {
    pub fn run(&self) -> ExitCode {
        let (deed, messages) = match self {
            Self::List(list) => return list.run(),
            Self::Show(show) => return show.run(),
            Self::Stats(stats) => return stats.run(),
            Self::Retry(retry) => return retry.run(),
            Self::Hold(messages) => (Deed::Hold, messages),
            Self::Release(messages) => (Deed::Release, messages),
            Self::Drop(drop) => return drop.run(),
            Self::Reconcile(reconcile) => return reconcile.run(),
            Self::Export(export) => return export.run(),
            Self::Import(import) => return import.run(),
            Self::Rekey(rekey) => return rekey.run(),
        };
        messages.order.run(deed, messages.which.which())
    }
}

impl Drop {
    fn run(&self) -> ExitCode {
        let which = self.messages.which.which();
        // One that is named by its id is meant.
        if let Some(what) = self.takes(&which)
            && let Err(reason) = confirm(self.yes, &what)
        {
            return fail(&reason);
        }
        self.messages.order.run(if self.held { Deed::DropHeld } else { Deed::Drop }, which)
    }

    /// What goes with an order for many.
    fn takes(&self, which: &Which) -> Option<String> {
        let what = if self.held { "that is held" } else { "that waits" };
        let whose = match which {
            Which::All => String::new(),
            Which::Credential(id) => format!(" of credential {id:?}"),
            Which::Message(_) | Which::Upstream(_) => return None,
        };
        Some(format!("gives up all{whose} {what}, for good: nobody gets it any more, and its content is destroyed"))
    }
}

impl Order {
    fn run(&self, deed: Deed, which: Which) -> ExitCode {
        match self.carry_out(deed, &which) {
            Ok(counts) => {
                say!("{}", self.told(deed, &which, counts));
                ExitCode::SUCCESS
            }
            Err(reason) => fail(&reason),
        }
    }

    fn carry_out(&self, deed: Deed, which: &Which) -> Result<Counts, String> {
        let plan = config::Config::load(&self.config.path);
        let runtime = match &plan {
            Ok(plan) => plan.runtime_directory.clone(),
            Err(_) => places(&self.config.path)?.runtime_directory,
        };
        let command = Any::Queue(Command::Do { deed, which: which.clone(), note: self.reason.clone() });
        let (mut counts, mut strange) = (None, false);
        let asked = control::ask_for_parts(&runtime, command, |part| {
            match part {
                Answer::Queue(Response::Counted(sum)) => counts = Some(sum),
                _ => strange = true,
            }
            !strange
        })?;
        if strange {
            return Err(control::strange());
        }
        let counts = match asked {
            true => {
                let counts = counts.unwrap_or_default();
                if let (Which::Credential(id), 0) = (which, counts.messages)
                    && let Some(mut line) = control::Line::open(&runtime)?
                {
                    whose::demand_running(&mut line, id)?;
                }
                counts
            }
            false => {
                let plan = plan.map_err(|mistakes| mistakes.to_string())?;
                let user = nix::unistd::getuid().as_raw();
                let _sealed = parent::become_vault(&plan, self.fallback_ids)?;
                let actor = vault::admin::actor(user, control::behalf().as_deref());
                let (reason, note) = ("ordered", self.reason.clone());
                let order = queue::Order { deed, which: which.clone(), actor: Some(actor.clone()), reason, note };
                let stopped =
                    vault::offline::Stopped { home: Path::new(""), mask: plan.audit.mask, declared: &plan.credentials };
                let counts = stopped.queue(&order)?;
                if let (Which::Credential(id), 0) = (which, counts.messages) {
                    whose::demand_stopped(&stopped, &actor, id)?;
                }
                counts
            }
        };
        match which {
            Which::Message(message) if counts == Counts::default() => Err(format!(
                "nothing was done: nobody waits for message {message}, or it is {} already",
                match deed {
                    Deed::Release => "released",
                    Deed::Retry => "due or held",
                    Deed::Hold | Deed::Drop => "held",
                    Deed::DropHeld => "not held",
                }
            )),
            _ => Ok(counts),
        }
    }

    fn told(&self, deed: Deed, which: &Which, counts: Counts) -> String {
        let Counts { messages, recipients, under_way } = counts;
        if self.json {
            return serde_json::json!({ "messages": messages, "recipients": recipients, "under_way": under_way })
                .to_string();
        }
        let done = match deed {
            Deed::Hold => "held",
            Deed::Release => "released",
            Deed::Drop | Deed::DropHeld => "dropped",
            Deed::Retry => "due now",
        };
        let mut text = format!("{done}: {messages} messages, {recipients} recipients");
        if deed == Deed::Release && !matches!(which, Which::Message(_)) {
            text += "; what may have been delivered stays (`gatepost queue list --state quarantined`): it is released by its id alone";
        }
        if let (Deed::Retry, Which::Upstream(name)) = (deed, which) {
            text += &format!("; {name} is tried now, also for what had its turn before");
        }
        if let (Which::Credential(id), 0) = (which, messages) {
            text += &format!("; none of {id:?} is there to be {done}");
        }
        if under_way > 0 && matches!(deed, Deed::Hold | Deed::Drop | Deed::DropHeld) {
            text += &format!("; an upstream is being told of {under_way} recipients now: they may still get it");
        }
        text
    }
}

impl Choice {
    fn which(&self) -> Which {
        match (&self.credential, self.id.or(self.message)) {
            (Some(id), _) => Which::Credential(id.clone()),
            (None, Some(message)) => Which::Message(message),
            // Exactly one of them is given.
            (None, None) => Which::All,
        }
    }
}
