//! `gatepost check`: reads the configuration and the files it names, and starts nothing.

mod chosen;
pub mod connect;
pub mod doubled;
mod files;

use std::path::Path;
use std::time::Duration;

use nix::unistd::geteuid;
use serde_json::json;

use crate::cli::out::say;
use crate::cli::{by_line, control};
use crate::config::Config;
use crate::config::plan::{NO_CREDENTIAL, Plan};
use crate::ipc::admin::credential::{Command as Credentials, Entry, Response as Listed};
use crate::ipc::admin::{Command, Response};
use crate::mail::unseen::is_unseen;
use crate::parent;
use crate::sandbox;
use crate::vault::audit::visible::visible_json;
pub use files::certificates;
use files::contents;

/// How long a service that runs may take to say which credentials it has: without its word there is a line more, or less.
const PATIENCE: Duration = Duration::from_secs(5);

/// Says what is wrong or odd, one line or object each, and a summary. Whether nothing is wrong.
fn check(path: &Path, as_json: bool) -> bool {
    let report = examine(path, false);
    if as_json { tell_scripts(&report) } else { tell(&report, true) }
}

/// The same of a file whose first credential is made next; without the summary where a program reads what is said.
pub fn check_new(path: &Path, has_credential: bool, is_brief: bool) -> bool {
    let report = examine(path, has_credential);
    tell(&report, !is_brief)
}

fn tell(report: &Report, has_summary: bool) -> bool {
    // The path is as it was typed.
    let shown = |line: &str| if line.contains(is_unseen) { by_line(line) } else { line.to_owned() };
    for line in report.errors.iter().chain(&report.warnings) {
        eprintln!("{}", shown(line));
    }
    let is_sound = report.errors.is_empty();
    if is_sound && has_summary {
        say!("{}", shown(&report.summary));
    }
    is_sound
}

fn tell_scripts(report: &Report) -> bool {
    let say = |object: serde_json::Value| say!("{}", visible_json(&object.to_string()));
    let each = |severity: &str, lines: &[String]| {
        lines.iter().for_each(|text| say(json!({ "severity": severity, "text": text })));
    };
    each("error", &report.errors);
    each("warning", &report.warnings);
    let is_sound = report.errors.is_empty();
    let summary = is_sound.then_some(report.summary.as_str());
    say(json!({ "sound": is_sound, "summary": summary }));
    is_sound
}

#[derive(Debug, Default)]
struct Report {
    summary: String,
    warnings: Vec<String>,
    errors: Vec<String>,
}

/// `peopled`: the vault has credentials, whoever else might say so.
fn examine(path: &Path, peopled: bool) -> Report {
    let mut plan = match Config::load(path) {
        Ok(plan) => plan,
        Err(errors) => return Report { errors: errors.0, ..Report::default() },
    };
    let (mut errors, mut warnings) = contents(path, &plan, false);
    errors.extend(closed(&plan).into_iter().map(|line| format!("{}: {line}", path.display())));
    let listed = if peopled { Vec::new() } else { listed(&plan) };
    if plan.credentials.is_empty() && (peopled || !listed.is_empty()) {
        plan.warnings.retain(|warning| !warning.ends_with(NO_CREDENTIAL));
    }
    let kept = listed.iter().filter(|entry| !entry.declared).map(|entry| (entry.id.as_str(), entry.keys.as_slice()));
    let doubled = doubled::doubled(&plan.credentials, kept);
    warnings.extend(doubled.iter().map(|text| format!("{}: warning: {text}", path.display())));
    Report { summary: summary(path, &plan), warnings: [plan.warnings, warnings].concat(), errors }
}

/// What root can open and the service can't, whose it is: as it runs, or else as its state shows.
fn closed(plan: &Plan) -> Vec<String> {
    if !geteuid().is_root() {
        return Vec::new();
    }
    let running = control::listener(&plan.runtime_directory).ok().flatten().flatten().and_then(parent::family);
    let running = running.as_ref().map(|(parent, _)| parent);
    let user = running.map(|parent| parent.user).or_else(|| parent::owner(&plan.state_directory)).unwrap_or(0);
    parent::foreseen::files(plan, &sandbox::parents_rights(user, running))
}

/// The credentials of the running service, as far as it can be asked.
fn listed(plan: &Plan) -> Vec<Entry> {
    let mut all = Vec::new();
    let list = Command::Credential(Credentials::List);
    // What came before it fell silent is worth a line, too.
    let _ = control::parts_within(&plan.runtime_directory, list, Some(PATIENCE), |part| {
        if let Response::Credential(Listed::Entry(entry)) = part {
            all.push(*entry);
        }
        true
    });
    all
}

/// What is wrong and what is odd with the files that a configuration names, but for their age and who may read them: for
/// `doctor`, which says more of these.
pub fn files(path: &Path, plan: &Plan) -> (Vec<String>, Vec<String>) {
    contents(path, plan, true)
}

fn summary(path: &Path, plan: &Plan) -> String {
    let count = |number: usize, what: &str| format!("{number} {what}{}", if number == 1 { "" } else { "s" });
    let parts = [
        count(plan.listeners.len(), "listener"),
        count(plan.credentials.len(), "credential"),
        count(plan.upstreams.len(), "upstream"),
        count(plan.routes.len(), "route"),
    ];
    format!("{}: ok, {}", path.display(), parts.join(", "))
}

#[cfg(test)]
mod tests;
