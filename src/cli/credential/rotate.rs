//! `gatepost credential rotate`: a second secret beside the first, and the end of one of them.

use std::process::ExitCode;

use clap::Args;

use super::state::Queue;
use super::{Place, show};
use crate::cli::confirm::confirm;
use crate::config;
use crate::ipc::admin::credential::Command;

#[derive(Debug, Args)]
pub struct Rotate {
    /// Which credential
    id: String,
    /// The secrets there are end by themselves after this time, such as 7d
    #[arg(long, value_name = "TIME", conflicts_with_all = ["finish", "retire"])]
    overlap: Option<String>,
    /// Also keep keys derived from the new secret, by which a client can log in with SCRAM-SHA-256
    #[arg(long, conflicts_with_all = ["finish", "retire"])]
    scram: bool,
    /// End the old secret: all but the newest
    #[arg(long, conflicts_with = "retire")]
    finish: bool,
    /// End the secret with this key id now, because it leaked
    #[arg(long, value_name = "KEYID")]
    retire: Option<String>,
    /// With --finish and --retire, what becomes of the credential's mail in the queue: by default --finish delivers it and
    /// --retire holds it
    #[arg(long, value_name = "WHAT")]
    queue: Option<Queue>,
    /// Ask nothing: before a secret ends (--finish, --retire), and before mail is given up (--queue drop)
    #[arg(long)]
    yes: bool,
    /// Print an object instead
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

impl Rotate {
    pub fn run(&self) -> Result<ExitCode, String> {
        let id = self.id.clone();
        if self.finish || self.retire.is_some() {
            // Whoever finishes a rotation suspects nobody; whoever retires one key does.
            let usual = if self.finish { Queue::Deliver } else { Queue::Hold };
            let queue = self.queue.unwrap_or(usual);
            confirm(self.yes, &self.what(queue))?;
            let command = Command::Retire { id, key: self.retire.clone(), queue: queue.into() };
            return show::done(&self.place.change(&self.id, command)?, self.json, "has one secret less");
        }
        if self.queue.is_some() {
            return Err("--queue goes with --finish or --retire: a new secret ends nothing".to_owned());
        }
        let overlap = match &self.overlap {
            None => None,
            Some(text) => Some(
                config::duration(text)
                    .ok_or_else(|| format!("--overlap: {text:?} is not a length of time: write \"7d\" or \"12h\""))?,
            ),
        };
        let command = Command::Rotate { id, overlap, scram: self.scram };
        show::secret(&self.place.change(&self.id, command)?, self.json, "has a second secret")
    }

    /// What can't be undone about it.
    fn what(&self, queue: Queue) -> String {
        let secret = match &self.retire {
            Some(key) => format!("the secret {key:?} of credential {:?}", self.id),
            None => format!("every secret of credential {:?} but the newest", self.id),
        };
        let mail = match queue {
            Queue::Hold => "its mail is held",
            Queue::Drop => "all that waits of it is given up: nobody gets it any more",
            Queue::Deliver => "its mail goes on",
        };
        format!("ends {secret}, for good: whoever has no other is refused; {mail}")
    }
}
