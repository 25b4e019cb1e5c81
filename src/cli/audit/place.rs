//! Where the auditors' files are, and the running service that brings them up to date.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use crate::cli::DEFAULT_CONFIG;
use crate::cli::control::{Undone, ask, nobody, socket};
use crate::cli::places;
use crate::config::Places;
use crate::ipc::admin::audit::{Command, Form, Response};
use crate::ipc::admin::{Command as Any, Response as Answer};
use crate::vault::audit::archive::Archive;
use crate::vault::audit::verify;
use crate::vault::audit::visible::visible;

/// The service publishes between two readers of the file: so often, and after so long, it is asked to try once more.
const TRIES: u32 = 8;
const PAUSE: Duration = Duration::from_millis(500);

/// Where the auditors' files are: by the configuration, or directly.
#[derive(Debug, Args)]
pub struct Place {
    /// The configuration file, to find the auditors' files and the running service
    #[arg(long = "config", value_name = "FILE", default_value = DEFAULT_CONFIG)]
    pub config: PathBuf,
    /// The auditors' files themselves: a directory, or one file of it (no configuration is read then)
    #[arg(long, value_name = "PATH")]
    pub directory: Option<PathBuf>,
}

impl Place {
    pub fn places(&self) -> Result<Places, String> {
        places(&self.config)
    }

    /// The files, brought up to date by the running service if there is one and we may ask it.
    pub fn files(&self) -> Result<PathBuf, String> {
        self.look().map(|seen| seen.files)
    }

    /// The same, and whether they have all that the service knows of.
    pub fn look(&self) -> Result<Seen, String> {
        if let Some(path) = &self.directory {
            return Ok(Seen { files: path.clone(), unseen: None });
        }
        let places = self.places()?;
        let (audit, latest) = (audit_directory(&places.state_directory), Latest::of(&places));
        if audit.exists() && !audit.is_dir() {
            return Err(format!("{}: is no directory: no log of a service is there", audit.display()));
        }
        let mut unseen = None;
        if let Some(waiting) = latest.waiting {
            eprintln!("gatepost: {}", visible(&waiting));
            // An erasure that is stuck hides no event.
            let is_all = latest.published.is_some() && latest.published >= latest.events;
            unseen = Some(waiting).filter(|_| !is_all);
        } else if latest.published.is_none() {
            // Nobody answers for them: what the service left behind is known to who may read its database.
            let end = Archive::open(&audit).map_or(0, |archive| archive.size());
            match verify::left_behind(&places.state_directory, end) {
                0 => {}
                left => {
                    let left = format!(
                        "the newest {left} events are not in the auditors' files, because the service was stopped or ended before \
                         it could put them there: start it, and it does"
                    );
                    eprintln!("gatepost: {left}");
                    unseen = Some(left);
                }
            }
        }
        Ok(Seen { files: audit, unseen })
    }
}

/// What can be read of the log.
#[derive(Debug)]
pub struct Seen {
    pub files: PathBuf,
    /// Why the newest events are not in these, which standard error was told already.
    pub unseen: Option<String>,
}

impl Seen {
    /// How a command ends that has shown all that can be read.
    pub fn end(&self) -> ExitCode {
        if self.unseen.is_some() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
    }
}

/// Whether the log tells of an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorded {
    InTheLog,
    /// Nobody could be asked to, which is said on standard error.
    Nowhere,
}

impl Place {
    /// Has the running service record that somebody takes these events away.
    pub fn record_export(&self, form: Form, from: u64, to: u64) -> Result<Recorded, String> {
        let untold = |why: &str| {
            eprintln!("gatepost: this export is not recorded in the log: {}", visible(why));
            Recorded::Nowhere
        };
        if self.directory.is_some() {
            return Ok(untold("only the files were read (--directory)"));
        }
        let places = self.places()?;
        Ok(match ask(&places.runtime_directory, Any::Audit(Command::Export { form, from, to })) {
            Ok(Some(_)) => Recorded::InTheLog,
            Ok(None) => untold(&format!("no service runs: {}", nobody(&places.runtime_directory))),
            Err(undone) => untold(&String::from(undone)),
        })
    }
}

pub fn audit_directory(state: &Path) -> PathBuf {
    state.join("audit")
}

/// What the running service tells of the files when it is asked to put its newest events there.
#[derive(Debug, Default)]
pub struct Latest {
    /// How many events are there.
    pub published: Option<u64>,
    /// How many the service has.
    pub events: Option<u64>,
    /// Why some are not.
    pub waiting: Option<String>,
    /// The first event whose leaf hash the vault has.
    pub hashes: Option<u64>,
    /// The events that order an erasure which is not carried out yet.
    pub erasing: Vec<u64>,
    /// Why the service can't say which these are.
    pub erasing_unknown: Option<String>,
}

impl Latest {
    pub fn of(places: &Places) -> Self {
        let mut latest = Self::default();
        for attempt in 0..TRIES {
            if attempt > 0 {
                std::thread::sleep(PAUSE);
            }
            match ask(&places.runtime_directory, Any::Audit(Command::Publish)) {
                Ok(None) => return Self::default(),
                Ok(Some(Answer::Audit(Response::Published { size, events, hashes, erasing, problem }))) => {
                    let left = events.saturating_sub(size);
                    let (stuck, unknown) = (problem.is_some(), erasing.is_none());
                    let waiting = match problem {
                        Some(reason) => format!("the newest events can't be put into the auditors' files: {reason}"),
                        None => format!(
                            "the newest {left} events are not in the auditors' files yet: a reader holds the file, or the \
                             sealer is away at the end of a month"
                        ),
                    };
                    latest = Self {
                        published: Some(size),
                        events: Some(events),
                        hashes,
                        erasing: erasing.unwrap_or_default(),
                        erasing_unknown: Some(waiting.clone()).filter(|_| unknown),
                        waiting: Some(waiting).filter(|_| left > 0 || stuck),
                    };
                    if stuck || (left == 0 && latest.erasing.is_empty()) {
                        break;
                    }
                }
                Err(Undone::Refused(reason)) => {
                    let waiting = format!("the newest events can't be put into the auditors' files: {reason}");
                    return Self { erasing_unknown: Some(waiting.clone()), waiting: Some(waiting), ..Self::default() };
                }
                // An auditor may read the files and not speak with the service: the last second is missing then.
                Ok(Some(_)) | Err(Undone::Unreachable(_)) => {
                    let socket = socket(&places.runtime_directory);
                    eprintln!(
                        "gatepost: the service could not be asked for its latest events, at {}",
                        socket.display()
                    );
                    break;
                }
            }
        }
        latest
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::least;

    #[test]
    fn what_is_no_directory_is_no_log_without_events() {
        let home = tempfile::tempdir().unwrap();
        let config = home.path().join("gatepost.toml");
        let text = format!("runtime_directory = {:?}\n{}", home.path().join("run"), least(home.path(), ""));
        std::fs::write(&config, text).unwrap();
        std::fs::write(home.path().join("audit"), "").unwrap();
        let why = Place { config, directory: None }.files().unwrap_err();
        assert!(why.ends_with("/audit: is no directory: no log of a service is there"), "{why}");
    }
}
