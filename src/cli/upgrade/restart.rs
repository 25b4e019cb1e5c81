//! What restarts the service: the service manager's own command, or what the operator names.

use std::env::consts::OS;
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// It is there where systemd is the service manager (sd_booted(3)).
const SYSTEMD: &str = "/run/systemd/system";

#[derive(Debug)]
pub struct Restart(Vec<OsString>);

impl Restart {
    /// Errors: nothing is named, and it can't be told what would do.
    pub fn choose(named: &[OsString]) -> Result<Self, String> {
        Self::chosen(named, OS, Path::new(SYSTEMD).exists())
    }

    fn chosen(named: &[OsString], system: &str, systemd: bool) -> Result<Self, String> {
        let words = match (named, system) {
            ([], "openbsd") => ["rcctl", "restart", "gatepost"].map(OsString::from).to_vec(),
            ([], _) if systemd => ["systemctl", "restart", "gatepost"].map(OsString::from).to_vec(),
            ([], _) => {
                return Err("say what restarts the service here, behind --: gatepost upgrade -- sv restart gatepost. Nothing was \
                            done"
                    .to_owned());
            }
            (named, _) => named.to_vec(),
        };
        Ok(Self(words))
    }

    /// Starts it. What it prints goes to standard error, because our own output says what became of all of it. It is a process group of
    /// its own: a terminal that is lost, or Ctrl-C, must not end it between stop and start. So it can't read from there either.
    pub fn begin(&self) -> Result<Running, String> {
        let failed = |error: io::Error| format!("running {self}: {error}: nothing was done");
        let (program, words) = self.0.split_first().ok_or("there is nothing to run: nothing was done")?;
        let output = io::stderr().as_fd().try_clone_to_owned().map_err(failed)?;
        let mut command = Command::new(program);
        command.args(words).stdin(Stdio::null()).stdout(Stdio::from(output)).process_group(0);
        let child = command.spawn().map_err(failed)?;
        Ok(Running { name: self.to_string(), child: Some(child) })
    }
}

impl fmt::Display for Restart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<_> = self.0.iter().map(|word| word.to_string_lossy()).collect();
        f.write_str(&words.join(" "))
    }
}

pub struct Running {
    name: String,
    child: Option<Child>,
}

impl Running {
    pub fn name(&self) -> &str {
        &self.name
    }

    /// It has not ended, as far as we looked.
    pub fn is_there(&self) -> bool {
        self.child.is_some()
    }

    /// How it has failed, told once.
    pub fn failure(&mut self) -> Result<Option<String>, String> {
        let Some(child) = &mut self.child else { return Ok(None) };
        let Some(status) = child.try_wait().map_err(|error| format!("waiting for {}: {error}", self.name))? else {
            return Ok(None);
        };
        self.child = None;
        Ok((!status.success()).then(|| format!("{} failed ({status})", self.name)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_named_is_run_and_else_what_the_system_has() {
        let named = ["sv", "restart", "gate"].map(OsString::from);
        let chosen = |named: &[OsString], system, systemd| {
            Restart::chosen(named, system, systemd).map(|restart| restart.to_string())
        };
        for (system, systemd) in [("linux", true), ("linux", false), ("openbsd", false)] {
            assert_eq!(chosen(&named, system, systemd).unwrap(), "sv restart gate");
        }
        assert_eq!(chosen(&[], "openbsd", false).unwrap(), "rcctl restart gatepost");
        assert_eq!(chosen(&[], "linux", true).unwrap(), "systemctl restart gatepost");
        let refused = chosen(&[], "linux", false).unwrap_err();
        assert!(refused.contains("gatepost upgrade -- sv restart gatepost"), "{refused}");
    }

    #[test]
    fn how_it_failed_is_told_once() {
        let run = |line: &str| Restart(["sh", "-c", line].map(OsString::from).to_vec()).begin().unwrap();
        for (line, expected) in [("exit 3", Some("exit status: 3")), ("exit 0", None)] {
            let mut running = run(line);
            let mut told = None;
            while running.is_there() {
                told = running.failure().unwrap();
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
            assert_eq!(told.is_some(), expected.is_some(), "{told:?}");
            assert!(told.unwrap_or_default().contains(expected.unwrap_or_default()));
            assert_eq!(running.failure().unwrap(), None);
        }
        let refused = Restart(vec!["/nonexistent/rc".into()]).begin().err().unwrap();
        assert!(refused.contains("nothing was done"), "{refused}");
    }
}
