//! Where the service keeps what it keeps, as a file says it that may have mistakes by now. They are the next start's and the
//! next reload's; the service that runs must be reachable all the same, when a leaked key is to be ended at night. It must be
//! that service and no other: there may be several on a machine, and the defaults are one's own.

use std::path::{Path, PathBuf};

use super::file::{At, Config};
use super::findings::Errors;
use super::name;
use super::plan::{MASTER, Plan, RUNTIME, STATE, VERSION};
use super::salvage::{self, Cut, Salvaged};

const MASTER_KEY: &str = "master_key_directory";

/// What a command needs to find the service and its files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    pub state_directory: PathBuf,
    pub runtime_directory: PathBuf,
    /// Where the master key is, or why that can't be told.
    pub master_directory: Result<PathBuf, String>,
    /// What the service calls itself; empty where that can't be read.
    pub hostname: String,
}

impl Places {
    /// By a file as it is. The mistakes come with it, if it has some.
    ///
    /// Errors: it can't be read; or it has mistakes, and where the service is would be a guess: each with its line.
    pub fn find(path: &Path) -> Result<(Self, Option<Errors>), String> {
        let (text, mode) = super::open(path).map_err(|errors| errors.to_string())?;
        match Config::understand(path, &text, mode) {
            Ok(plan) => Ok((Self::from(&plan), None)),
            Err(mistakes) => Ok((Self::salvage(path, &text, &mistakes)?, Some(mistakes))),
        }
    }

    /// A directory that isn't plainly written has its default only if no mistake may be that directory.
    fn salvage(path: &Path, text: &str, mistakes: &Errors) -> Result<Self, String> {
        let salvaged = salvage::salvage(text);
        let config = &salvaged.config;
        let guess = |key: &str| {
            format!(
                "{mistakes}\n{key} is not plainly written in {}, so it may stand in what is wrong there; its default may be \
                 another service's, and nothing was done. Mend the file, or write {key} {}",
                path.display(),
                if key == MASTER_KEY { "in [spool]" } else { "at its top" }
            )
        };
        let understood = salvaged.is_understood();
        let directory = |written: &Option<At<PathBuf>>, key: &str, default: Option<PathBuf>| match written {
            Some(written) if written.get_ref().is_absolute() && salvaged.is_plain(written, key, text) => {
                Ok(written.get_ref().clone())
            }
            Some(_) => Err(guess(key)),
            None => default.ok_or_else(|| guess(key)),
        };
        let default = |path: &Path| understood.then(|| path.to_owned());
        let state_directory = directory(&config.state_directory, "state_directory", default(STATE.as_ref()))?;
        let runtime_directory = directory(&config.runtime_directory, "runtime_directory", default(RUNTIME.as_ref()))?;
        if state_directory == runtime_directory {
            return Err(guess("runtime_directory"));
        }
        let of_spool = |cut: &Cut| cut.table.as_deref() == Some("spool");
        let beside = state_directory.join(MASTER);
        let beside = (understood && !salvaged.cuts.iter().any(of_spool)).then_some(beside);
        let hostname = config.hostname.as_ref().filter(|written| salvaged.is_plain(written, "hostname", text));
        let hostname = hostname.map(At::get_ref).filter(|written| name::is_host(written));
        Ok(Self {
            master_directory: directory(&config.spool.master_key_directory, MASTER_KEY, beside),
            state_directory,
            runtime_directory,
            hostname: hostname.map(|name| name.to_ascii_lowercase()).unwrap_or_default(),
        })
    }
}

impl Salvaged {
    /// Whether nothing that was left out may be a directory.
    fn is_understood(&self) -> bool {
        let is_ours = self.config.version.as_ref().is_none_or(|version| *version.get_ref() == VERSION);
        is_ours && self.broken.is_none() && !self.given_up && !self.cuts.iter().any(Cut::may_be_a_directory)
    }

    /// Whether a value is what the file says beyond doubt: it stands before all that is no TOML, and no other line names the
    /// key.
    fn is_plain<T>(&self, written: &At<T>, key: &str, text: &str) -> bool {
        let Some(broken) = self.broken else { return true };
        let names = |line: &&str| {
            !line.trim_start().starts_with('#') && line.split('=').next().is_some_and(|name| name.contains(key))
        };
        written.span().end <= broken && text.lines().filter(names).count() == 1
    }
}

impl From<&Plan> for Places {
    fn from(plan: &Plan) -> Self {
        Self {
            state_directory: plan.state_directory.clone(),
            runtime_directory: plan.runtime_directory.clone(),
            master_directory: Ok(plan.master_directory.clone()),
            hostname: plan.hostname.clone(),
        }
    }
}

#[cfg(test)]
mod tests;
