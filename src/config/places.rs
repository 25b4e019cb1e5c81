//! Where the service keeps what it keeps, as a file says it that may have mistakes by now. They are the next start's and the
//! next reload's; the service that runs must be reachable all the same, when a leaked key is to be ended at night.

use std::path::{Path, PathBuf};

use super::file::{self, At};
use super::name;
use super::plan::{MASTER, Plan, RUNTIME, STATE};

/// What a command needs to find the service and its files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    pub state_directory: PathBuf,
    pub runtime_directory: PathBuf,
    pub master_directory: PathBuf,
    /// What the service calls itself; empty where that can't be read.
    pub hostname: String,
}

impl Places {
    /// As far as the file can be read; what can't be has its default. None when there is no such file.
    pub fn salvage(path: &Path) -> Option<Self> {
        let (text, _) = super::open(path).ok()?;
        let config = file::salvage(&text);
        let or = |written: Option<At<PathBuf>>, default: &Path| {
            let written = written.map(At::into_inner).filter(|path| path.is_absolute());
            written.unwrap_or_else(|| default.to_owned())
        };
        let state_directory = or(config.state_directory, STATE.as_ref());
        let hostname = config.hostname.map(At::into_inner).filter(|written| name::is_host(written));
        Some(Self {
            runtime_directory: or(config.runtime_directory, RUNTIME.as_ref()),
            master_directory: or(config.spool.master_key_directory, &state_directory.join(MASTER)),
            state_directory,
            hostname: hostname.unwrap_or_default().to_ascii_lowercase(),
        })
    }
}

impl From<&Plan> for Places {
    fn from(plan: &Plan) -> Self {
        Self {
            state_directory: plan.state_directory.clone(),
            runtime_directory: plan.runtime_directory.clone(),
            master_directory: plan.master_directory.clone(),
            hostname: plan.hostname.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_elsewhere_in_the_file_hides_no_directory() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("f");
        let good = "version = 1\nhostname = \"Gate.example.net\"\nstate_directory = \"/srv/g\"\nruntime_directory = \"/run/g\"\n";
        for mistake in
            ["", "sesions = 4\n", "[limits]\nsessions = \"many\"\n", "[[credential]]\nid = \"a\nenabled = no\n", "["]
        {
            std::fs::write(&path, format!("{good}{mistake}")).unwrap();
            let places = Places::salvage(&path).unwrap();
            assert_eq!(places.runtime_directory, Path::new("/run/g"), "{mistake}");
            assert_eq!(places.state_directory, Path::new("/srv/g"), "{mistake}");
            assert_eq!(places.master_directory, Path::new("/srv/g/master"), "{mistake}");
            assert_eq!(places.hostname, "gate.example.net", "{mistake}");
        }
        let elsewhere = "[spool]\nmaster_key_directory = \"/srv/key\"\nreserv = 4\n";
        std::fs::write(&path, format!("{good}{elsewhere}")).unwrap();
        assert_eq!(Places::salvage(&path).unwrap().master_directory, Path::new("/srv/key"));
        std::fs::write(&path, "runtime_directory = 7\nstate_directory = \"here\"\n").unwrap();
        let places = Places::salvage(&path).unwrap();
        assert_eq!((places.state_directory.to_str(), places.runtime_directory.to_str()), (Some(STATE), Some(RUNTIME)));
        assert_eq!(Places::salvage(&directory.path().join("none")), None);
    }
}
