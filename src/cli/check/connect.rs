//! `gatepost check --connect`: tries each upstream as the service would, with processes of its own in their sandboxes and a folder
//! of its own, beside a service that runs or without one.

use std::cell::Cell;
use std::fs::{self, DirBuilder, File};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use clap::Args;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use super::check;
use crate::cli::interrupt::Interrupt;
use crate::cli::out::say;
use crate::cli::{Config, fail, route, turnstile};
use crate::config::Config as Configuration;
use crate::mail::address::{Address, ReversePath};
use crate::sys::program;
use crate::vault::audit::visible::{visible, visible_json};

/// It must be ready by then, and gone by then; both take well under a second.
const START: Duration = Duration::from_secs(60);
const STOP: Duration = Duration::from_secs(60);
/// How often it is looked whether Ctrl-C was pressed.
const GLANCE: Duration = Duration::from_millis(100);

#[derive(Debug, Args)]
pub struct Check {
    /// Try each upstream too: connect to each host, log in, begin a message that is taken back, and show what is said; and ask
    /// Turnstile whether it knows the secret
    #[arg(long)]
    connect: bool,
    /// Whom a message would be from, too; one is from whom reports are from: nobody (<>), or as bounce says
    #[arg(long, value_name = "ADDRESS", requires = "connect")]
    sender: Option<String>,
    /// Print an object for each line instead: what is wrong or odd with the configuration, whether it is sound, and what was tried
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: Config,
    /// As root, when the system users are missing: use made-up user ids
    #[arg(long, hide = true)]
    fallback_ids: bool,
}

impl Check {
    pub fn run(&self) -> ExitCode {
        if !check(&self.config.path, self.json) {
            return ExitCode::FAILURE;
        }
        if !self.connect {
            return ExitCode::SUCCESS;
        }
        match self.connect() {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::FAILURE,
            Err(reason) => fail(&reason),
        }
    }

    /// Whether each host of each upstream would have taken the message.
    fn connect(&self) -> Result<bool, String> {
        let sender = self.sender.as_deref().map(Address::parse_international).transpose();
        let sender = sender.map_err(|error| format!("--sender is no address: {error}"))?;
        let plan = Configuration::load(&self.config.path).map_err(|mistakes| mistakes.to_string())?;
        let interrupt = Interrupt::catch()?;
        let mut house = House::open(&self.config.path, self.fallback_ids, &interrupt)?;
        let mut passed = true;
        for upstream in &plan.upstreams {
            let ended = Cell::new(false);
            let goes_on = || {
                ended.set(ended.get() || interrupt.came());
                !ended.get()
            };
            let tried = if goes_on() { self.one(&house, &upstream.name, sender.clone(), &goes_on) } else { Ok(false) };
            if ended.get() {
                return Err("interrupted: not all upstreams were tried".to_owned());
            }
            // Those behind it are tried all the same.
            passed &= tried.unwrap_or_else(|reason| self.untried(&upstream.name, &reason));
        }
        if plan.turnstile.is_some() && !interrupt.came() {
            passed &= self.turnstile(&house);
        }
        house.close()?;
        Ok(passed)
    }

    fn one(
        &self,
        house: &House,
        upstream: &str,
        sender: ReversePath,
        goes_on: &dyn Fn() -> bool,
    ) -> Result<bool, String> {
        if !self.json {
            say!("* upstream {upstream}");
        }
        route::rehearse(&house.folder.join("run"), upstream, sender, self.json, goes_on)
    }

    /// Whether Turnstile knows the site's secret.
    fn turnstile(&self, house: &House) -> bool {
        let asked = turnstile::ask(&house.folder.join("run"));
        let (passed, said) = (asked.is_ok(), asked.unwrap_or_else(|why| why));
        match self.json {
            true => say!("{}", visible_json(&json!({ "turnstile": said, "passed": passed }).to_string())),
            false => say!("{}", visible(&format!("* turnstile: {said}"))),
        }
        passed
    }

    /// One that could not be asked.
    fn untried(&self, upstream: &str, reason: &str) -> bool {
        match self.json {
            true => say!("{}", json!({ "upstream": upstream, "passed": false, "reason": visible(reason) })),
            false => say!("{}", visible(&format!("* {reason}"))),
        }
        false
    }
}

/// The processes that try, and their folder.
struct House {
    folder: PathBuf,
    service: Option<Child>,
}

impl House {
    fn open(config: &Path, fallback: bool, interrupt: &Interrupt) -> Result<Self, String> {
        // Short: the address of a socket has 107 octets (unix(7)), and folders for temporary files can be deep. It is made anew, so
        // that a name which is there already is refused.
        let name = format!("gatepost-check-{:08x}", uuid::Uuid::now_v7().as_u128() & 0xffff_ffff);
        let folder = std::env::temp_dir().join(name);
        let said = |error: std::io::Error| format!("{}: {error}", folder.display());
        DirBuilder::new().mode(0o700).create(&folder).map_err(said)?;
        let mut house = Self { folder: folder.clone(), service: None };
        let folder = Path::canonicalize(&folder).map_err(said)?;
        house.folder.clone_from(&folder);
        let notify = folder.join("notify");
        let told = UnixDatagram::bind(&notify).and_then(|told| told.set_read_timeout(Some(GLANCE)).map(|()| told));
        let told = told.map_err(said)?;
        let log = File::create(house.log()).map_err(said)?;
        let mut command =
            program::itself().map(Command::new).map_err(|error| format!("finding our own program: {error}"))?;
        // A group of its own: Ctrl-C in the terminal is for this command, which then stops the others in order.
        command.arg0("gatepost").arg("serve").arg("--rehearsal").arg(&folder).arg("--config").arg(config);
        command.args(fallback.then_some("--fallback-ids"));
        command.env("NOTIFY_SOCKET", &notify).env_remove("LISTEN_FDS").env_remove("WATCHDOG_USEC").process_group(0);
        // They end with this command, however it ends: it holds the other end.
        let started = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(log).spawn();
        let service =
            house.service.insert(started.map_err(|error| format!("starting the processes that try: {error}"))?);
        let deadline = Instant::now() + START;
        let mut word = [0; 256];
        while Instant::now() < deadline && !interrupt.came() {
            if told.recv(&mut word).is_ok_and(|n| word.get(..n).is_some_and(|word| word.starts_with(b"READY=1"))) {
                return Ok(house);
            }
            if let Ok(Some(status)) = service.try_wait() {
                house.service = None;
                return Err(format!("the processes that try did not start ({status}):\n{}", house.last_words()));
            }
        }
        Err(format!("the processes that try were not ready in time:\n{}", house.last_words()))
    }

    fn log(&self) -> PathBuf {
        self.folder.join("log")
    }

    /// The end of their log.
    fn last_words(&self) -> String {
        let log = fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines.get(lines.len().saturating_sub(3)..).unwrap_or_default().join("\n")
    }

    /// Ends them in order.
    fn close(&mut self) -> Result<(), String> {
        let Some(mut service) = self.service.take() else { return Ok(()) };
        if let Ok(pid) = i32::try_from(service.id()) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
        let deadline = Instant::now() + STOP;
        while Instant::now() < deadline {
            match service.try_wait() {
                Ok(Some(status)) if status.success() => return Ok(()),
                Ok(Some(status)) => return Err(format!("the processes that tried did not stop cleanly: {status}")),
                _ => std::thread::sleep(GLANCE),
            }
        }
        let _ = service.kill();
        Err("the processes that tried did not stop in time".to_owned())
    }
}

impl Drop for House {
    fn drop(&mut self) {
        // After a failed step: there is no better place to say that it can't be tidied up.
        let _ = self.close();
        let _ = fs::remove_dir_all(&self.folder);
    }
}
