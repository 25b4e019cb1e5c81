//! The configuration: as written (`file`), as meant (`plan`), and what each role is told of it (`slice`).
//!
//! It is read as root, so nothing but our own file is parsed here. Whatever is wrong is reported at once, with its place;
//! a file with one mistake is not used at all.

pub mod audit;
mod bounces;
mod certificates;
mod client_certificates;
pub mod file;
pub mod findings;
pub mod hooks;
pub mod name;
pub mod plan;
pub mod shown;
pub mod programs;
mod protection;
mod providers;
pub mod slice;
pub mod source;

mod alerts;
mod anchors;
mod credentials;
mod dialect;
mod extensions;
mod limits;
mod listeners;
mod log;
mod mechanisms;
mod oauth2;
mod odd;
mod pace;
mod pass_through;
mod places;
mod rates;
mod reach;
mod rehearsal;
mod routes;
mod salvage;
pub mod sendmail;
mod shedding;
mod slices;
mod suppression;
mod upstreams;
mod url;
mod ways;
pub mod turnstile;
mod webhooks;

use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use zeroize::Zeroizing;

pub use credentials::instant;
pub use credentials::networks::network;
pub use dialect::{Dialect, Optional};
pub use file::Config;
pub use findings::Errors;
pub use limits::parse as duration;
pub use places::Places;
pub use plan::Plan;
pub use reach::{ForwardedBy, Reach};

use findings::Findings;
use shown::change::Written;

/// The longest file: far above what thousands of credentials need; what is longer was named by mistake.
const MAX_FILE: u64 = 8 << 20;

/// The file's mode, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mode(u32);

impl Mode {
    /// Nobody but its owner can read it.
    pub fn is_private(self) -> bool {
        self.0 & 0o077 == 0
    }

    pub fn is_world_readable(self) -> bool {
        self.0 & 0o004 != 0
    }
}

impl Config {
    /// Reads a configuration and works out what it means.
    ///
    /// Errors: everything that is wrong with it, not only the first thing.
    pub fn load(path: &Path) -> Result<Plan, Errors> {
        let (text, mode) = open(path)?;
        Self::understand(path, &text, mode)
    }

    /// What a text would mean in a file of that name which only its owner can read.
    ///
    /// Errors: as of a file.
    pub fn foresee(path: &Path, text: &str) -> Result<Plan, Errors> {
        Self::understand(path, text, Mode(0o600))
    }

    fn understand(path: &Path, text: &str, mode: Mode) -> Result<Plan, Errors> {
        let mut findings = Findings::new(path, text);
        let plan = file::read(text, &mut findings).map(|config| Plan::make(config, text, mode, &mut findings));
        let warnings = findings.finish()?;
        let plan = plan.ok_or_else(|| Errors(vec![format!("{}: can't be read", path.display())]))?;
        Ok(Plan { warnings, written: Written::of(text), ..plan })
    }
}

fn open(path: &Path) -> Result<(Zeroizing<String>, Mode), Errors> {
    let said = |why: String| Errors(vec![format!("{}: {why}", path.display())]);
    let failed = |error: std::io::Error| said(format!("the configuration can't be read: {error}"));
    let file = source::regular(path).map_err(failed)?;
    let found = file.metadata().map_err(failed)?;
    if found.len() > MAX_FILE {
        return Err(said(format!("is longer than {} MiB: not a configuration of ours", MAX_FILE >> 20)));
    }
    let mut text = Zeroizing::new(String::new());
    file.take(MAX_FILE).read_to_string(&mut text).map_err(failed)?;
    Ok((text, Mode(found.mode())))
}

/// The least that is a configuration, for tests that need one: one listener, on loopback. `more` are tables.
#[cfg(test)]
pub fn least(state: &Path, more: &str) -> String {
    format!(
        "version = 1\nhostname = \"gate.example.net\"\nstate_directory = {state:?}\n[[listener]]\nname = \"local\"\n\
         address = [\"127.0.0.1:2587\"]\nprotocol = \"smtp\"\ntls = \"none\"\n{more}"
    )
}

#[cfg(test)]
mod tests;
