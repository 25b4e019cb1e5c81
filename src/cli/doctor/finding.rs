//! What the checklist says of one thing: how it stands, why that matters, and what to do.

use super::pages::{PAGE, located};

/// Everything that is looked at, by its family and its own name. `docs/checklist.md` has each of them.
pub const CHECKS: [&str; 53] = [
    "configuration.loads",
    "configuration.files",
    "configuration.odd",
    "configuration.in_force",
    "permissions.configuration",
    "permissions.secrets",
    "permissions.state",
    "secrets.strength",
    "secrets.placeholder",
    "secrets.age",
    "secrets.inline",
    "secrets.keys",
    "policy.credentials",
    "policy.senders",
    "policy.recipients",
    "limits.credentials",
    "limits.sane",
    "limits.anomaly",
    "exposure.tls",
    "exposure.proxies",
    "exposure.ops",
    "exposure.networks",
    "tls.expiry",
    "tls.order",
    "tls.names",
    "tls.shown",
    "tls.upstreams",
    "users.exist",
    "users.separate",
    "users.auditors",
    "sandbox.running",
    "sandbox.roles",
    "sandbox.users",
    "sandbox.privileges",
    "sandbox.seccomp",
    "sandbox.capabilities",
    "disk.space",
    "disk.inodes",
    "disk.flush",
    "backups.age",
    "audit.anchors",
    "audit.anchored",
    "audit.mask",
    "alerts.configured",
    "alerts.told",
    "machine.clock",
    "machine.version",
    "upstreams.standing",
    "upstreams.turnstile",
    "domains.mx",
    "domains.spf",
    "domains.dkim",
    "domains.dmarc",
];

/// How something stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// It was looked at, and is as it should be.
    Pass,
    /// It could not be looked at, or was not to be.
    Skip,
    Warn,
    Fail,
}

impl Level {
    /// The worst first.
    pub const ALL: [Self; 4] = [Self::Fail, Self::Warn, Self::Skip, Self::Pass];

    pub const fn word(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Skip => "skip",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

#[derive(Clone, Debug)]
pub struct Finding {
    /// One of `CHECKS`.
    pub id: &'static str,
    pub level: Level,
    /// What was found.
    pub what: String,
    /// Why that matters, or why it was not looked at; empty where all is well.
    pub why: String,
    /// What to do; empty where there is nothing to be done.
    pub fix: String,
}

impl Finding {
    pub fn family(&self) -> &'static str {
        self.id.split('.').next().unwrap_or_default()
    }

    /// Where it is explained, on this machine if the pages are installed here.
    pub fn doc(&self) -> String {
        located(&format!("{PAGE}#{}", self.family()))
    }
}

/// What was found so far.
#[derive(Debug, Default)]
pub struct Sheet(pub Vec<Finding>);

impl Sheet {
    pub fn pass(&mut self, id: &'static str, what: impl Into<String>) {
        self.put(id, Level::Pass, what.into(), String::new(), String::new());
    }

    /// Not looked at, and why not.
    pub fn skip(&mut self, id: &'static str, what: impl Into<String>, why: impl Into<String>) {
        self.put(id, Level::Skip, what.into(), why.into(), String::new());
    }

    pub fn warn(&mut self, id: &'static str, what: impl Into<String>, why: impl Into<String>, fix: impl Into<String>) {
        self.put(id, Level::Warn, what.into(), why.into(), fix.into());
    }

    pub fn fail(&mut self, id: &'static str, what: impl Into<String>, why: impl Into<String>, fix: impl Into<String>) {
        self.put(id, Level::Fail, what.into(), why.into(), fix.into());
    }

    /// That all is well, unless something else was said of it.
    pub fn pass_unless_told(&mut self, id: &'static str, what: impl Into<String>) {
        if !self.0.iter().any(|finding| finding.id == id) {
            self.pass(id, what);
        }
    }

    fn put(&mut self, id: &'static str, level: Level, what: String, why: String, fix: String) {
        debug_assert!(CHECKS.contains(&id), "{id} is not in the catalogue");
        self.0.push(Finding { id, level, what, why, fix });
    }

    pub fn worst(&self) -> Level {
        self.0.iter().map(|finding| finding.level).max().unwrap_or(Level::Pass)
    }

    pub fn count(&self, level: Level) -> usize {
        self.0.iter().filter(|finding| finding.level == level).count()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use super::*;

    #[test]
    fn the_page_has_every_check_and_no_other() {
        let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE)).unwrap();
        let told: BTreeSet<&str> =
            page.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
        assert_eq!(told, CHECKS.into_iter().collect());
        for check in CHECKS {
            let family = check.split('.').next().unwrap();
            assert!(page.contains(&format!("\n## {family}\n")), "{family}");
        }
    }
}
