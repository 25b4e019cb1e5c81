//! Whether the configuration and what it names can be used at all: what `gatepost check` says.

use std::path::Path;

use super::finding::Sheet;
use crate::cli::check;
use crate::config::Errors;
use crate::config::plan::Plan;

/// It isn't one: nothing else can be looked at.
pub fn refused(mistakes: &Errors, sheet: &mut Sheet) {
    for mistake in &mistakes.0 {
        sheet.fail(
            "configuration.loads",
            mistake.clone(),
            "a file with a mistake is not used: the service does not start, and a reload is refused; nothing else was looked at",
            "mend the line, and run this again",
        );
    }
}

pub fn look(path: &Path, plan: &Plan, sheet: &mut Sheet) {
    sheet.pass("configuration.loads", format!("{} loads", path.display()));
    let (errors, warnings) = check::files(path, plan);
    for error in errors {
        sheet.fail(
            "configuration.files",
            error,
            "the service would not start with it, or could not use this file",
            "put the right file there; as another user than the service's, run this as root",
        );
    }
    sheet.pass_unless_told("configuration.files", "every file that it names can be used");
    for warning in plan.warnings.iter().cloned().chain(warnings) {
        sheet.warn(
            "configuration.odd",
            warning,
            "it is no mistake, and seldom meant",
            "change it, unless you mean it: gatepost.toml(5) explains each key",
        );
    }
    sheet.pass_unless_told("configuration.odd", "nothing in it is odd");
}
