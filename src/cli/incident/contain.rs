//! What is done about a credential that is misused: the log is told, it is disabled, its mail is held and, where that is wanted, given up.

use std::path::Path;

use serde_json::{Value, json};

use crate::cli::control::{Line, nobody, strange};
use crate::ipc::admin::credential::{Command as About, Queue, Response as Told};
use crate::ipc::admin::queue::{Command as Over, Counts, Deed, Response as Done, Which};
use crate::ipc::admin::{Command, Response};

/// What came of it.
#[derive(Debug, Default)]
pub struct Contained {
    credential: String,
    /// It stands in the configuration file.
    pub is_declared: bool,
    /// Why it could not be disabled, and what to do instead.
    standing: Option<String>,
    held: Counts,
    purged: Option<Counts>,
}

/// Errors: there is no such credential, or no service that could be asked; nothing was done then but what the log says.
pub fn contain(runtime: &Path, id: &str, note: Option<&str>, purge: bool) -> Result<Contained, String> {
    let mut line = Line::open(runtime)?.ok_or_else(|| {
        let nobody = nobody(runtime);
        format!("the service does not run ({nobody}), so nobody can use {id:?} now: gatepost credential disable {id}, and then --look")
    })?;
    let note = note.map(str::to_owned);
    line.ask(Command::Incident { credential: id.to_owned(), note: note.clone() }, |_| Err(strange()))?;
    let mut contained = Contained { credential: id.to_owned(), ..Contained::default() };
    let show = About::Show { id: id.to_owned() };
    let Response::Credential(Told::Entry(entry)) = line.ask_one(Command::Credential(show))? else {
        return Err(strange());
    };
    contained.is_declared = entry.declared;
    if entry.enabled && !entry.declared {
        let disable = About::Disable { id: id.to_owned(), queue: Queue::Hold };
        match line.ask_one(Command::Credential(disable))? {
            Response::Credential(Told::Changed { queue, .. }) => {
                contained.held = queue.map(|(_, counts)| counts).unwrap_or_default();
            }
            _ => return Err(strange()),
        }
    } else {
        // It was disabled before, or can't be here: its mail is held all the same.
        contained.held = over(&mut line, Deed::Hold, id, note.clone())?;
        contained.standing = entry.enabled.then(|| {
            format!("{id:?} stands in the configuration file: write enabled = false there, and gatepost reload")
        });
    }
    if purge {
        let purged = over(&mut line, Deed::DropHeld, id, note);
        let so_far = || contained.lines().join("; ");
        contained.purged = Some(purged.map_err(|reason| format!("{}; but nothing was given up: {reason}", so_far()))?);
    }
    Ok(contained)
}

fn over(line: &mut Line, deed: Deed, id: &str, note: Option<String>) -> Result<Counts, String> {
    let mut counts = Counts::default();
    let which = Which::Credential(id.to_owned());
    line.ask(Command::Queue(Over::Do { deed, which, note }), |part| match part {
        Response::Queue(Done::Counted(sum)) => {
            counts = sum;
            Ok(())
        }
        _ => Err(strange()),
    })?;
    Ok(counts)
}

impl Contained {
    /// Whether all of it was done.
    pub fn is_whole(&self) -> bool {
        self.standing.is_none()
    }

    pub fn lines(&self) -> Vec<String> {
        let Self { credential, standing, held, purged, .. } = self;
        let mut lines = vec![match standing {
            None => format!("disabled    {credential}; its open sessions can do no more"),
            Some(reason) => format!("NOT DISABLED  {reason}"),
        }];
        let counted = |word: &str, counts: &Counts| {
            let late = match counts.under_way {
                0 => String::new(),
                n => format!("; {n} on the way to an upstream at this moment"),
            };
            format!("{word:<11} {} messages to {} recipients{late}", counts.messages, counts.recipients)
        };
        lines.push(counted("held", held));
        lines.extend(purged.iter().map(|counts| counted("given up", counts)));
        lines
    }

    pub fn object(&self) -> Value {
        let counts = |counts: &Counts| json!({ "messages": counts.messages, "recipients": counts.recipients, "under_way": counts.under_way });
        json!({
            "disabled": self.standing.is_none(),
            "reason": self.standing,
            "held": counts(&self.held),
            "purged": self.purged.as_ref().map(counts),
        })
    }
}
