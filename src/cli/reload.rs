//! `gatepost reload`: the service takes the configuration as it is now, and this says what that changed, or why it didn't.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::{Value, json};

use super::control::Undone;
use super::{Config, control, fail, places};
use crate::cli::control::strange;
use crate::cli::out::say;
use crate::ipc::admin::reload::Response;
use crate::ipc::admin::{Command, Response as Answer};
use crate::ipc::reload::Change;
use crate::vault::audit::visible::{visible, visible_json};

/// Longer than the vault waits for the parent.
const PATIENCE: Duration = Duration::from_secs(180);

#[derive(Debug, Args)]
pub struct Reload {
    /// Print an object instead
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: Config,
}

/// What serves now.
#[derive(Debug, Default)]
struct Done {
    generation: u64,
    changes: Vec<Change>,
    more: u64,
}

impl Reload {
    pub fn run(&self) -> ExitCode {
        let begun = Instant::now();
        match (self.ask(), self.json) {
            (Ok(done), true) => say!("{}", visible_json(&done.object().to_string())),
            (Ok(done), false) => done.lines().iter().for_each(|line| say!("{}", visible(line))),
            (Err(Undone::Refused(reason)), json) => {
                if json {
                    say!("{}", visible_json(&json!({ "reloaded": false, "reason": reason }).to_string()));
                }
                return fail(&format!("reload refused, nothing was changed: {reason}"));
            }
            // Who was silent has heard it.
            (Err(Undone::Unreachable(reason)), _) if begun.elapsed() >= PATIENCE => {
                return fail(&format!("{reason}: the reload may be carried out yet, and its log says so then"));
            }
            (Err(Undone::Unreachable(reason)), _) => return fail(&reason),
        }
        ExitCode::SUCCESS
    }

    fn ask(&self) -> Result<Done, Undone> {
        let places = places(&self.config.path).map_err(Undone::Unreachable)?;
        let runtime = &places.runtime_directory;
        let mut done = Done::default();
        let mut ended = false;
        let asked = control::parts_within(runtime, Command::Reload, Some(PATIENCE), |part| match part {
            Answer::Reload(Response::Changed(change)) => {
                done.changes.push(change);
                true
            }
            Answer::Reload(Response::Done { generation, more }) => {
                (done.generation, done.more, ended) = (generation, more, true);
                false
            }
            _ => false,
        })?;
        match (asked, ended) {
            (true, true) => Ok(done),
            (true, false) => Err(Undone::Unreachable(strange())),
            (false, _) => Err(match control::holder(&places.state_directory).map_err(Undone::Unreachable)? {
                // Where it listens for this it has from its start.
                Some(pid) => Undone::Refused(format!(
                    "process {pid} serves from {}, and {}: runtime_directory was changed to what needs a restart. Restart the \
                     service, or put runtime_directory back and reload",
                    places.state_directory.display(),
                    control::nobody(runtime)
                )),
                None => Undone::Unreachable(format!(
                    "the service does not run ({}): it reads its configuration when it is started",
                    control::nobody(runtime)
                )),
            }),
        }
    }
}

impl Done {
    fn lines(&self) -> Vec<String> {
        let first = format!("reloaded: generation {} serves new sessions", self.generation);
        let mut lines = vec![first];
        lines.extend(self.changes.iter().map(line));
        match (self.changes.is_empty(), self.more) {
            (true, 0) => lines.push("no setting is another one; the files that they name were read anew".to_owned()),
            (_, 0) => {}
            (_, more) => lines.push(format!("and {more} more: see `gatepost config show`")),
        }
        lines
    }

    fn object(&self) -> Value {
        let change = |Change { key, before, after }: &Change| json!({ "key": key, "before": before, "after": after });
        let changed: Vec<Value> = self.changes.iter().map(change).collect();
        json!({ "reloaded": true, "generation": self.generation, "changed": changed, "more": self.more })
    }
}

fn line(Change { key, before, after }: &Change) -> String {
    match (before, after) {
        (Some(before), Some(after)) if before == after => format!("changed  {key} = {after} (another one)"),
        (Some(before), Some(after)) => format!("changed  {key} = {after} (was {before})"),
        (None, Some(after)) => format!("added    {key} = {after}"),
        (before, None) => format!("removed  {key} (was {})", before.as_deref().unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_change_is_a_line_and_none_is_said_too() {
        let some = |text: &str| Some(text.to_owned());
        let change = |key: &str, before, after| Change { key: key.into(), before, after };
        let mut done = Done { generation: 3, changes: vec![], more: 0 };
        assert_eq!(
            done.lines(),
            [
                "reloaded: generation 3 serves new sessions",
                "no setting is another one; the files that they name were read anew"
            ]
        );
        done.changes = vec![
            change("limits.idle", some("\"5m\""), some("\"9m\"")),
            change("upstream[u].password", some("(set, 9 characters)"), some("(set, 9 characters)")),
            change("listener[a].hosts", None, some("[]")),
            change("listener[b].tls", some("\"none\""), None),
        ];
        done.more = 2;
        assert_eq!(
            done.lines()[1..],
            [
                "changed  limits.idle = \"9m\" (was \"5m\")",
                "changed  upstream[u].password = (set, 9 characters) (another one)",
                "added    listener[a].hosts = []",
                "removed  listener[b].tls (was \"none\")",
                "and 2 more: see `gatepost config show`",
            ]
        );
        assert_eq!(done.object()["changed"][3]["after"], Value::Null);
    }
}
