//! What the running service knows of a credential beside what it did: whether something of its mail is held, and whether it is one.

use std::path::Path;

use crate::cli::control::Line;
use crate::cli::queue::{over, walk};
use crate::ipc::admin::Command as Any;
use crate::ipc::admin::credential::Command as About;
use crate::ipc::admin::queue::listing::{Standing, View};
use crate::ipc::admin::queue::{Command, Response};

/// What it says; nothing where none can be asked.
#[derive(Debug, Default)]
pub struct Now {
    /// Something of its mail waits to be released or dropped.
    pub holds: Option<bool>,
    /// That there is no such credential, in words.
    pub unknown: Option<String>,
}

impl Now {
    /// Errors stay untold: the report is of what the log has.
    pub fn ask(runtime: &Path, id: &str) -> Self {
        let Ok(Some(mut line)) = Line::open(runtime) else { return Self::default() };
        let unknown = line.ask_one(Any::Credential(About::Show { id: id.to_owned() })).err();
        Self { holds: holds(&mut line, id).ok(), unknown }
    }
}

fn holds(line: &mut Line, id: &str) -> Result<bool, String> {
    let (view, mut found) = (View { credential: Some(id.to_owned()), ..View::default() }, false);
    walk(
        &mut over(line),
        |after| Command::View { view: view.clone(), after },
        |part| {
            let is_held = |standing| matches!(standing, Standing::Held | Standing::Quarantined);
            found |= matches!(&part, Response::Entry(entry)
                if entry.standings.iter().any(|(standing, count)| is_held(*standing) && *count > 0));
            !found
        },
    )?;
    Ok(found)
}
