//! Whether the configuration and what it names can be used at all: what `gatepost check` says.

use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::Look;
use super::finding::Sheet;
use super::permissions::user;
use super::service::Service;
use crate::cli::check;
use crate::config::Errors;
use crate::config::plan::{NO_ANCHOR, NO_CREDENTIAL};
use crate::parent::foreseen;
use crate::sandbox;

/// It isn't one: nothing else can be looked at.
pub fn refused(path: &Path, mistakes: &Errors, sheet: &mut Sheet) {
    // A pipe would be waited for.
    let open = |path: &Path| OpenOptions::new().read(true).custom_flags(nix::libc::O_NONBLOCK).open(path);
    let fix = match open(path).map_err(|error| error.kind()) {
        Ok(_) => "mend the line, and run this again",
        Err(ErrorKind::NotFound) => "say where it is (--config), or let gatepost init make one",
        Err(_) => "run this as root, or as the service's user",
    };
    for mistake in &mistakes.0 {
        sheet.fail(
            "configuration.loads",
            mistake.clone(),
            "a file with a mistake is not used: the service does not start, and a reload is refused; nothing else was looked at",
            fix,
        );
    }
}

pub fn look(look: &Look<'_>, sheet: &mut Sheet) {
    let (path, plan) = (&look.doctor.config.path, look.plan);
    sheet.pass("configuration.loads", format!("{} loads", path.display()));
    let (errors, warnings) = check::files(path, plan);
    // What another user than the service's can't read is no mistake.
    if let (Service::Closed(why), false) = (&look.service, errors.is_empty()) {
        sheet.skip("configuration.files", "the files that it names", why.clone());
    }
    let is_ours = !matches!(look.service, Service::Closed(_));
    let closed = user(look).map(|user| {
        let rights = sandbox::parents_rights(user, look.service.family().map(|(parent, _)| parent));
        foreseen::files(plan, &rights)
    });
    for error in errors.into_iter().filter(|_| is_ours).chain(closed.unwrap_or_default()) {
        sheet.fail(
            "configuration.files",
            error,
            "the service would not start with it, or could not use this file",
            "put the right file there; as another user than the service's, run this as root",
        );
    }
    sheet.pass_unless_told("configuration.files", "every file that it names can be used");
    // What is said of anchors is said with the log, and credentials may be in the vault alone.
    let is_news = |warning: &&String| {
        !warning.ends_with(NO_ANCHOR) && (!warning.ends_with(NO_CREDENTIAL) || look.accounts.is_empty())
    };
    for warning in plan.warnings.iter().filter(is_news).cloned().chain(warnings) {
        sheet.warn(
            "configuration.odd",
            warning,
            "it is no mistake, and seldom meant",
            "change it, unless you mean it: gatepost.toml(5) explains each key",
        );
    }
    sheet.pass_unless_told("configuration.odd", "nothing in it is odd");
    in_force(look, sheet);
}

/// All else here is of the file, which the service may not have read yet.
fn in_force(look: &Look<'_>, sheet: &mut Sheet) {
    let id = "configuration.in_force";
    match &look.overview {
        Err(why) => sheet.skip(id, "whether the service runs by this file", why.clone()),
        Ok(overview) if overview.written == look.plan.written.digest() => {
            sheet.pass(id, "the service runs by what the file says");
        }
        Ok(_) => sheet.warn(
            id,
            "the file says something else than what the service runs by: it was changed and not loaded, or is another one",
            "what is said here of the configuration is not what holds; at the next start it is",
            "gatepost reload, which says what that changes",
        ),
    }
}
