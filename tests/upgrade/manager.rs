//! The command, what it says, and who does what it asks for: a restart of the service.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::support::{Service, gatepost};

/// The command with what is to restart the service, as a shell runs it.
pub fn upgrade(config: &Path, options: &[&str], line: &str) -> Command {
    let mut command = gatepost();
    command.arg("upgrade").args(options).arg("--config").arg(config).args(["--", "sh", "-c", line]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

pub fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Insists that it failed, and gives all that it said.
pub fn failed(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{}", said(output));
    said(output)
}

pub fn done(output: &Output) -> String {
    assert!(output.status.success(), "{}", said(output));
    said(output)
}

/// What asks for a restart and waits for it, and who does it, as a service manager would.
pub struct Manager {
    pub asked: PathBuf,
    pub over: AtomicBool,
}

impl Manager {
    pub fn new(service: &Service) -> Self {
        Self { asked: service.folder.path().join("restart"), over: AtomicBool::new(false) }
    }

    pub fn line(&self) -> String {
        let asked = self.asked.display();
        format!("touch {asked}; while [ -e {asked} ]; do sleep 0.05; done")
    }

    pub fn end(&self) {
        self.over.store(true, Ordering::Relaxed);
    }

    /// Restarts the service whenever it is asked to, until it is over. Between stop and start something can be done. How often it was.
    pub fn run(&self, service: &mut Service, mut between: impl FnMut()) -> usize {
        let mut times = 0;
        let _asked = Asked(&self.asked);
        while !self.over.load(Ordering::Relaxed) {
            if self.asked.exists() {
                service.end();
                between();
                service.restart();
                fs::remove_file(&self.asked).unwrap();
                times += 1;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        times
    }
}

/// Whoever waits for a restart does so no longer when it can't come any more.
struct Asked<'a>(&'a Path);

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        let _ = fs::remove_file(self.0);
    }
}
