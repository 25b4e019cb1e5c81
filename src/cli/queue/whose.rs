//! Whether a credential of which nothing was found is one at all: a slip of the hand must not look like an empty queue.

use super::source::{Ask, over, walk};
use crate::cli::control::Line;
use crate::ipc::admin::Command as Any;
use crate::ipc::admin::credential::Command as About;
use crate::ipc::admin::queue::listing::View;
use crate::ipc::admin::queue::{Command, Response};
use crate::vault::offline::Stopped;

/// While the service runs.
///
/// Errors: there is no such credential, and nothing waits of one that was; or nobody can say.
pub fn demand_running(line: &mut Line, id: &str) -> Result<(), String> {
    if owns_mail(&mut over(line), id)? {
        return Ok(());
    }
    line.ask_one(Any::Credential(About::Show { id: id.to_owned() })).map(drop)
}

/// The same while it is stopped.
pub fn demand_stopped(stopped: &Stopped<'_>, actor: &str, id: &str) -> Result<(), String> {
    let mut has_mail = false;
    stopped.look(actor, |ask| {
        has_mail = owns_mail(ask, id)?;
        Ok(())
    })?;
    match has_mail {
        true => Ok(()),
        false => stopped.credential(About::Show { id: id.to_owned() }, actor).map(drop),
    }
}

/// Mail of a credential that was removed may wait still.
fn owns_mail(ask: &mut Ask<'_>, id: &str) -> Result<bool, String> {
    let (view, mut found) = (View { credential: Some(id.to_owned()), ..View::default() }, false);
    walk(
        ask,
        |after| Command::View { view: view.clone(), after },
        |part| {
            found |= matches!(part, Response::Entry(_));
            !found
        },
    )?;
    Ok(found)
}
