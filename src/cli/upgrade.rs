//! `gatepost upgrade`: restarts the service, as another program by now, and holds its listening sockets meanwhile, so that who connects
//! waits and is not refused.

mod beforehand;
mod held;
mod restart;
mod state;

use std::collections::HashSet;
use std::ffi::OsString;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::confirm::confirm;
use super::interrupt::Interrupt;
use super::{Config, check, control, fail};
use crate::cli::out::say;
use crate::config::plan::{Bind, Plan};
use crate::config::{self, Config as Configuration};
use crate::ipc::loan::{Borrower, LENDER, Lender, Stage};
use crate::sys::descriptor::listens_at;
use crate::sys::peer;
use crate::vault::audit::visible::{visible, visible_json};
use held::Held;
use restart::{Restart, Running};
use state::{State, Undone};

/// An orderly stop takes up to a minute and a half and a start up to a minute; the rest is for a start that takes a large database forward.
const TIMEOUT: &str = "5m";
/// How often it is looked how far the service has come.
const GLANCE: Duration = Duration::from_millis(200);
/// A parent that runs answers at once. It may wait for somebody else for a second, and a machine be slow.
const PATIENCE: Duration = Duration::from_secs(3);
/// What restarts it may fail and the service come all the same: `sv restart` doesn't wait for more than 7 seconds. So long after a failure
/// nothing is expected any more where the one before serves on, or nothing is held for the next one.
const SETTLED: Duration = Duration::from_secs(5);

/// A command that only asks somebody else for the restart ends at once, and that one begins within this. Then it is no restart.
const UNTOUCHED: Duration = Duration::from_secs(30);

const UNHELD: &str = "restarts a service of a version that lends its listening sockets to nobody: connections are refused until it \
                      serves again, unless systemd keeps the sockets (FileDescriptorStoreMax= in its unit)";

#[derive(Debug, Args)]
pub struct Upgrade {
    /// How long the sockets are held at most, until the service serves again
    #[arg(long, value_name = "TIME", default_value = TIMEOUT, value_parser = length)]
    timeout: Duration,
    /// Print an object instead of the last line
    #[arg(long)]
    json: bool,
    /// Ask nothing where the running service is of a version whose sockets can't be held; without this and where nobody can be asked it
    /// is not restarted
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    config: Config,
    /// What restarts the service, behind -- [default: rcctl restart gatepost on OpenBSD, systemctl restart gatepost under systemd]
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// Who serves before anything is done.
struct Before {
    /// None of a version that lends nothing.
    lender: Option<Lender>,
    /// Whose service it is.
    user: u32,
    /// Those that are configured.
    sockets: Vec<(SocketAddr, OwnedFd)>,
    /// Where it listens besides: nobody will, once it has ended.
    others: Vec<SocketAddr>,
}

struct Done {
    before: Option<Lender>,
    now: Lender,
    held: Vec<SocketAddr>,
}

impl Upgrade {
    pub fn run(&self) -> ExitCode {
        match self.perform() {
            Ok(done) if self.json => say!("{}", visible_json(&done.object().to_string())),
            Ok(done) => say!("{}", visible(&done.line())),
            Err(Undone { state, reason }) => {
                if self.json {
                    let object = json!({ "upgraded": false, "state": state.word(), "reason": reason });
                    say!("{}", visible_json(&object.to_string()));
                }
                return fail(&reason);
            }
        }
        ExitCode::SUCCESS
    }

    fn perform(&self) -> Result<Done, Undone> {
        let unchanged = |reason| Undone { state: State::Unchanged, reason };
        let restart = Restart::choose(&self.command).map_err(unchanged)?;
        if !check::check_new(&self.config.path, false, true) {
            return Err(unchanged(
                "the configuration is refused by this version, see above: nothing was done".to_owned(),
            ));
        }
        let plan = Configuration::load(&self.config.path).map_err(|mistakes| unchanged(mistakes.to_string()))?;
        let interrupt = Interrupt::catch().map_err(unchanged)?;
        let before = before(&plan).map_err(unchanged)?;
        beforehand::demand(&plan, &before).map_err(unchanged)?;
        if before.lender.is_none() {
            confirm(self.yes, UNHELD).map_err(unchanged)?;
        }
        let Before { lender, user, sockets, .. } = before;
        let held = Held::open(&plan.runtime_directory, user, sockets).map_err(unchanged)?;
        tell_held(lender.as_ref(), &held, &plan);
        tell(&format!("runs {restart}"));
        if interrupt.came() {
            return Err(unchanged("interrupted: nothing was done".to_owned()));
        }
        let running = restart.begin().map_err(unchanged)?;
        let now = self.wait(&plan.runtime_directory, lender.as_ref(), &held, running, &interrupt)?;
        Ok(Done { before: lender, now, held: held.addresses().collect() })
    }

    /// Waits until another process serves, and lends it the sockets on its way.
    fn wait(
        &self,
        runtime: &Path,
        before: Option<&Lender>,
        held: &Held,
        mut running: Running,
        interrupt: &Interrupt,
    ) -> Result<Lender, Undone> {
        let began = Instant::now();
        let mut failed: Option<(String, Instant)> = None;
        let mut ended: Option<Instant> = None;
        loop {
            held.lend_for(GLANCE);
            let state = State::look(runtime, before);
            if let State::Serves(now) = state {
                return Ok(now);
            }
            if let Some(how) = running.failure().map_err(|reason| Undone { state: state.clone(), reason })? {
                tell(&format!("{how}: it is looked whether the service comes all the same"));
                failed = Some((how, Instant::now()));
            }
            if !running.is_there() {
                ended.get_or_insert_with(Instant::now);
            }
            // Whoever lost the terminal is not there to start the service.
            let why = if interrupt.came_but(Signal::SIGHUP) {
                "interrupted".to_owned()
            } else if let Some((how, at)) = &failed
                && (matches!(state, State::Unchanged) || held.is_empty())
                && at.elapsed() >= SETTLED
            {
                how.clone()
            } else if matches!(state, State::Unchanged) && ended.is_some_and(|at| at.elapsed() >= UNTOUCHED) {
                format!("{} ended, and nothing was restarted", running.name())
            } else if began.elapsed() >= self.timeout {
                let how = failed.as_ref().map(|(how, _)| format!(" ({how})")).unwrap_or_default();
                format!("the service did not come back within {} s{how}", self.timeout.as_secs_f32())
            } else {
                continue;
            };
            let still = if running.is_there() { format!("; {} goes on", running.name()) } else { String::new() };
            return Err(Undone { reason: format!("{why}{still}: {}", state.told(before, held.is_empty())), state });
        }
    }
}

/// Asks the running service for its sockets; those that are configured, too, are held.
///
/// Errors: there is none, or it doesn't serve, or says nothing to us.
fn before(plan: &Plan) -> Result<Before, String> {
    let runtime = &plan.runtime_directory;
    let path = runtime.join(LENDER);
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::PermissionDenied => {
            format!("connecting to {}: {error}: run this as root, or as the service's user", path.display())
        }
        io::ErrorKind::UnexpectedEof => {
            format!("{}: the service lends its sockets to root and to its own user alone", path.display())
        }
        _ => format!("the service at {} does not answer ({error}): look at its log, and try again", path.display()),
    };
    let Some(borrower) = Borrower::connect(&path, PATIENCE).map_err(failed)? else { return unable(plan) };
    let user = peer::user(borrower.as_fd()).map_err(failed)?;
    let lender = borrower.lender().map_err(failed)?;
    match lender.stage {
        Stage::Serving => {}
        Stage::Starting => return Err(format!("process {} is just starting: try again once it serves", lender.pid)),
        Stage::Stopping => return Err(format!("process {} is just stopping: start it when it has ended", lender.pid)),
    }
    let mut wanted: HashSet<SocketAddr> = addresses(plan).collect();
    let lent = borrower.sockets().map_err(failed)?;
    let each = lent.into_iter().filter_map(|socket| Some((listens_at(&socket)?, socket)));
    // An address that is configured no more would be in the way of others of its port.
    let (sockets, others): (Vec<_>, Vec<_>) = each.partition(|(at, _)| wanted.remove(at));
    let others = others.into_iter().map(|(at, _)| at).collect();
    Ok(Before { lender: Some(lender), user, sockets, others })
}

/// Nobody lends anything: a service of a version that doesn't, or none.
fn unable(plan: &Plan) -> Result<Before, String> {
    let runtime = &plan.runtime_directory;
    if control::is_there(runtime)? {
        let user = nix::unistd::geteuid().as_raw();
        return Ok(Before { lender: None, user, sockets: Vec::new(), others: Vec::new() });
    }
    Err(match control::holder(&plan.state_directory)? {
        Some(pid) => format!(
            "process {pid} serves from {}, and {}: runtime_directory was changed. Put it back, upgrade, and change it then",
            plan.state_directory.display(),
            control::nobody(runtime)
        ),
        None => control::not_running(runtime),
    })
}

/// The addresses that the service binds by itself.
fn addresses(plan: &Plan) -> impl Iterator<Item = SocketAddr> {
    plan.listeners.iter().flat_map(|listener| &listener.addresses).filter_map(|bind| match bind {
        Bind::Address(address) => Some(*address),
        Bind::Systemd(_) => None,
    })
}

fn tell_held(lender: Option<&Lender>, held: &Held, plan: &Plan) {
    let listed = |all: Vec<SocketAddr>| all.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let Some(lender) = lender else { return };
    let at: Vec<SocketAddr> = held.addresses().collect();
    let new: Vec<SocketAddr> = addresses(plan).filter(|address| !at.contains(address)).collect();
    let who = format!("version {} serves as process {}", lender.version, lender.pid);
    match at.is_empty() {
        true => tell(&format!("{who} and has no listening socket of its own that could be held")),
        false => tell(&format!("{who}; its listening sockets are held: {}", listed(at))),
    }
    if !new.is_empty() {
        tell(&format!("it does not listen there, so that these are opened by the next one: {}", listed(new)));
    }
}

/// Says how far it is. The terminal may be lost by then, and that ends nothing.
fn tell(text: &str) {
    let _ = writeln!(io::stderr(), "gatepost: {}", visible(text));
}

impl Done {
    fn line(&self) -> String {
        let now = format!("version {} serves as process {}", self.now.version, self.now.pid);
        match &self.before {
            Some(before) => format!("{now}, in the place of version {} (process {})", before.version, before.pid),
            None => format!("{now}; the sockets of the one before were not held"),
        }
    }

    fn object(&self) -> Value {
        let one = |lender: &Lender| json!({ "version": lender.version, "pid": lender.pid });
        let held: Vec<String> = self.held.iter().map(ToString::to_string).collect();
        json!({ "upgraded": true, "before": self.before.as_ref().map(one), "now": one(&self.now), "held": held })
    }
}

fn length(text: &str) -> Result<Duration, String> {
    config::duration(text).ok_or_else(|| "write a length of time such as 90s or 5m".to_owned())
}
