//! `gatepost credential disable`, `enable` and `remove`.

use std::process::ExitCode;

use clap::{Args, ValueEnum};

use super::{Place, show};
use crate::cli::confirm::confirm;
use crate::ipc::admin::credential::{self, Command};

/// What becomes of the credential's mail in the queue.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Queue {
    /// It waits until it is released or dropped
    Hold,
    /// It is thrown away
    Drop,
    /// It goes on
    Deliver,
}

impl Queue {
    /// Asks before mail is given up.
    ///
    /// Errors: nobody says so, and nothing may be done.
    pub fn demand(self, yes: bool, id: &str) -> Result<(), String> {
        let what = || format!("gives up all that waits of credential {id:?}, for good: nobody gets it any more");
        match self {
            Self::Drop => confirm(yes, &what()),
            Self::Hold | Self::Deliver => Ok(()),
        }
    }
}

impl From<Queue> for credential::Queue {
    fn from(queue: Queue) -> Self {
        match queue {
            Queue::Hold => Self::Hold,
            Queue::Drop => Self::Drop,
            Queue::Deliver => Self::Deliver,
        }
    }
}

/// `disable` and `remove`.
#[derive(Debug, Args)]
pub struct End {
    /// Which credential
    id: String,
    /// What becomes of its mail in the queue
    #[arg(long, value_name = "WHAT", default_value = "hold")]
    queue: Queue,
    /// Ask nothing: before a credential is removed, and before mail is given up (--queue drop)
    #[arg(long)]
    yes: bool,
    /// Print an object instead
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

impl End {
    pub fn disable(&self) -> Result<ExitCode, String> {
        self.queue.demand(self.yes, &self.id)?;
        let command = Command::Disable { id: self.id.clone(), queue: self.queue.into() };
        show::done(&self.place.change(&self.id, command)?, self.json, "was disabled; its open sessions can do no more")
    }

    pub fn remove(&self) -> Result<ExitCode, String> {
        let mail = match self.queue {
            Queue::Hold => "holds its mail",
            Queue::Drop => "gives up all that waits of it: nobody gets it any more",
            Queue::Deliver => "lets its mail go on",
        };
        let id = &self.id;
        confirm(self.yes, &format!("removes credential {id:?} and its secrets, for good, and {mail}"))?;
        let command = Command::Remove { id: self.id.clone(), queue: self.queue.into() };
        let done = self.place.change(&self.id, command)?;
        // One that was not in force had no mail.
        let words = match &done {
            credential::Response::Changed { queue: None, .. } => {
                "was removed from the vault; the one of the configuration is in force as before, and its mail was not touched"
            }
            _ => "was removed; its open sessions can do no more",
        };
        show::done(&done, self.json, words)
    }
}

#[derive(Debug, Args)]
pub struct Enable {
    /// Which credential
    id: String,
    /// Print an object instead
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

impl Enable {
    pub fn run(&self) -> Result<ExitCode, String> {
        let command = Command::Enable { id: self.id.clone() };
        let done = format!(
            "was enabled; what is held of its mail waits for `gatepost queue release --credential {}`",
            self.id
        );
        // A credential of the file can be suspended too, and the vault knows.
        show::done(&self.place.ask(command)?, self.json, &done)
    }
}
