//! Parent: binds, spawns, replaces, reloads.
//!
//! **Does.** Reads our own configuration, binds the ports, opens key and secret files and passes them on as descriptors,
//! starts one process per post and replaces those that fall.
//! **Trusts.** The configuration and the files it names. From children it believes only the few words of `ipc::control`.
//! **Holds.** Root, where it was started as root; the listening sockets; the capsule key.
//! **If it falls**, everything falls: so it reads no byte of a stranger, and none of a peer but those few words.

mod asked;
mod beginning;
mod bind;
mod borrower;
mod change;
mod child;
pub mod foreseen;
mod hearing;
mod household;
mod launched;
pub mod launcher;
mod lender;
mod offline;
mod opened;
mod outfit;
mod owners;
mod people;
mod post;
mod replace;
mod run;
mod state;
mod stop;
mod syslog;
mod tap;
mod watch;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Instant;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::Signal;

use crate::config::{Config, Plan};
use crate::ipc::control::{File, Happening, Order};
use crate::mail::unseen::is_unseen;
use crate::role::{Generation, Instance, Role};
use crate::sandbox;
use crate::sys::service::{self, Notifier};
use crate::sys::signal;
use asked::Asked;
use bind::Sockets;
use change::Change;
use household::Household;
use lender::Door;
use outfit::Kept;
use people::People;
use post::Post;
use replace::Vacancy;
use watch::Watch;

/// Missing properties that are remembered and told, and characters of each. A kernel lacks a handful.
const PROPERTIES: usize = 64;
const PROPERTY: usize = 200;

pub use bind::foresee as foresee_addresses;
pub use offline::become_vault;
pub use outfit::{folders, posts};
pub use owners::{Owners, owner, owners};
pub use people::needed;
pub use post::{Family, TITLE, family};
pub use state::{CONTROL_SOCKET, SEAL, has_room};

/// How far the service as a whole has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Opening,
    Serving,
    Closing { stage: usize },
    Closed,
}

struct Parent {
    config: PathBuf,
    /// Only the upstreams are tried, in this folder.
    rehearsal: Option<PathBuf>,
    people: People,
    kept: Kept,
    notifier: Notifier,
    signals: OwnedFd,
    /// Where commands come in; closed when nobody is left who could be asked.
    control: Option<UnixListener>,
    door: Door,
    phase: Phase,
    household: Household,
    sockets: Sockets,
    plans: BTreeMap<Generation, Rc<Plan>>,
    /// The generation that serves.
    generation: Generation,
    last_generation: Generation,
    change: Option<Change>,
    asked: Asked,
    watch: Watch,
    vacancies: Vec<Vacancy>,
    /// How often in a row a post's process fell soon after it was ready.
    falls: HashMap<Post, u32>,
    vault_deaths: VecDeque<Instant>,
    missing: BTreeSet<String>,
    /// The ports that may be connected to, as the sandbox was told at the start.
    ports: BTreeSet<u16>,
    /// The folders that may be read, as well.
    folders: Vec<PathBuf>,
    /// Some upstream had a source address then.
    sources: bool,
    /// When vault and sealer were last known to answer, and when the watchdog was last told so.
    alive: Instant,
    fed: Instant,
}

/// Runs the service until it is told to stop.
///
/// `fallback` allows made-up user ids where the system users are missing (demonstrations and tests).
/// Errors: the one line an operator reads; nothing was left half-started.
pub fn serve(config: &Path, fallback: bool) -> Result<(), String> {
    let config = std::path::absolute(config).map_err(|error| format!("finding {}: {error}", config.display()))?;
    serve_as(&config, None, fallback)
}

/// The same with nothing but the upstreams of a configuration, to try them: what is kept is kept in that folder.
pub fn rehearse(config: &Path, folder: &Path, fallback: bool) -> Result<(), String> {
    let absolute =
        |path: &Path| std::path::absolute(path).map_err(|error| format!("finding {}: {error}", path.display()));
    serve_as(&absolute(config)?, Some(absolute(folder)?), fallback)
}

fn serve_as(config: &Path, rehearsal: Option<PathBuf>, fallback: bool) -> Result<(), String> {
    let mut parent = Parent::prepare(config, rehearsal, fallback)?;
    let outcome = parent.open().and_then(|()| run::run(&mut parent));
    for child in parent.household.iter() {
        child.kill();
    }
    outcome
}

impl Parent {
    /// Everything that needs the whole of root or can fail for a reason the operator must mend: before any child exists.
    fn prepare(config: &Path, rehearsal: Option<PathBuf>, fallback: bool) -> Result<Self, String> {
        nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o027));
        let mut inherited =
            service::sockets().map_err(|error| format!("taking the sockets of $LISTEN_FDS: {error}"))?;
        let notifier =
            Notifier::from_environment().map_err(|error| format!("connecting to $NOTIFY_SOCKET: {error}"))?;
        let plan = read(config)?;
        // Before anything is said, or anybody else is there, and while a socket can be made.
        if plan.log.json {
            crate::log::as_json();
        }
        if let Some(socket) = &plan.log.syslog {
            crate::log::to_syslog(socket)?;
        }
        let plan = Rc::new(told(plan, config, rehearsal.as_deref()));
        let people = People::find(&plan, fallback)?;
        raise_descriptor_limit(outfit::descriptors(&plan))?;
        state::prepare(&plan, &people)?;
        borrower::borrow(&plan, &mut inherited);
        let sockets = Sockets::bind(&plan, inherited, &notifier)?;
        let control = state::control_socket(&plan.runtime_directory)?;
        let door = Door::open(&plan.runtime_directory)?;
        let kept = Kept::new(&plan, people.auditors)?;
        let signals = signal::catch(&[Signal::SIGCHLD, Signal::SIGHUP, Signal::SIGTERM, Signal::SIGINT])
            .map_err(|error| format!("catching signals: {error}"))?;
        let launcher = outfit::launcher(&plan)?;
        sandbox::abort_on_panic();
        let grounds = outfit::parent_grounds(&plan, config)?;
        let missing = sandbox::confine_parent(&grounds)?;
        // With the rights that the parent has from here on: what opens now opens for every successor, too.
        let (generation, ports, sources) = (Generation(1), plan.ports(), plan.has_sources());
        outfit::try_files((generation, &plan), &kept)?;
        let mut watch = Watch::default();
        watch.learn(&plan);
        let now = Instant::now();
        let mut parent = Self {
            config: config.to_owned(),
            rehearsal,
            people,
            kept,
            notifier,
            signals,
            control: Some(control),
            door,
            phase: Phase::Opening,
            household: Household::with(launcher),
            sockets,
            plans: BTreeMap::from([(generation, plan)]),
            generation,
            last_generation: generation,
            change: None,
            asked: Asked::default(),
            watch,
            vacancies: Vec::new(),
            falls: HashMap::new(),
            vault_deaths: VecDeque::new(),
            missing: BTreeSet::new(),
            ports,
            folders: grounds.read,
            sources,
            alive: now,
            fed: now,
        };
        parent.name_missing(missing);
        Ok(parent)
    }

    /// Fills every post of the first generation. The doors open when all are ready.
    fn open(&mut self) -> Result<(), String> {
        for post in outfit::posts(self.plan()) {
            self.hire(post, self.generation)?;
        }
        Ok(())
    }

    /// The configuration that serves.
    fn plan(&self) -> &Rc<Plan> {
        // The serving generation's plan is put in before the generation is switched to, and never taken out.
        &self.plans[&self.generation]
    }

    fn load(&self) -> Result<Plan, String> {
        load(&self.config, self.rehearsal.as_deref())
    }

    fn hire(&mut self, post: Post, generation: Generation) -> Result<Instance, String> {
        let plan = self.plans.get(&generation).ok_or("its configuration is gone")?;
        self.kept.opened.retain(|generation| self.plans.contains_key(&generation));
        let outfit = outfit::Outfit::assemble((generation, plan), &post, &self.people, &self.kept)?;
        let hired = self.household.hire(post.clone(), generation, &outfit);
        let instance = hired.map_err(|error| format!("starting {post}: {error}"))?;
        if let (Role::Sealer, Some(child)) = (post.role, self.household.get_mut(instance)) {
            child.syslog.clone_from(&self.kept.syslog);
        }
        Ok(instance)
    }

    /// A child has entered its sandbox.
    fn on_ready(&mut self, instance: Instance) -> Result<(), String> {
        let Some(child) = self.household.get(instance) else { return Ok(()) };
        let listener = child.post.role == Role::Listener;
        if self.phase == Phase::Serving && self.change.is_none() {
            tracing::info!(role = %child.post, instance = instance.0, pid = child.pid(), "a fallen process is replaced");
        }
        match self.phase {
            Phase::Opening if self.household.all_ready(self.generation) => {
                self.open_doors(self.generation)?;
                self.phase = Phase::Serving;
                self.notifier.tell("READY=1");
                self.notifier.keep(self.sockets.own());
                tracing::info!(processes = self.household.iter().count() + 1, at = self.plan().addresses(), "serving");
                self.record(Happening::Started {
                    version: env!("CARGO_PKG_VERSION").to_owned(),
                    digest: self.plan().digest.clone(),
                    separate: self.people.are_separate(),
                    missing: self.missing.iter().cloned().collect(),
                });
            }
            Phase::Serving if listener => {
                // One that comes back in the middle of a reload may be just what the reload waits for.
                let generation = self.change.as_ref().and_then(Change::at_the_door).unwrap_or(self.generation);
                if let Err(reason) = self.open_doors(generation) {
                    self.condemn(instance, &reason);
                }
            }
            _ => {}
        }
        change::advance(self);
        Ok(())
    }

    /// Hands the listener the sockets of a generation and lets it accept for that generation's edges.
    fn open_doors(&self, generation: Generation) -> Result<(), String> {
        let plan = self.plans.get(&generation).ok_or("the plan is gone")?;
        let changing = self.change.as_ref().filter(|change| change.generation == generation);
        let sockets = changing.map_or(&self.sockets, Change::sockets);
        let Some(listener) = self.household.the(Role::Listener) else { return Ok(()) };
        let slice = outfit::slice(plan, &Post::new(Role::Listener, ""), &self.kept)?;
        let tell = || {
            listener.tell_slice(&slice)?;
            for (number, socket) in sockets.iter() {
                listener.tell(&Order::File(File::Listening(number)), Some(socket.as_fd()))?;
            }
            listener.tell(&Order::Switch(generation), None)
        };
        tell().map_err(|error| format!("telling the listener: {error}"))
    }

    /// Says once, in the log, what this kernel can't give.
    fn name_missing(&mut self, missing: Vec<String>) {
        for property in fit(missing) {
            if self.missing.len() < PROPERTIES && self.missing.insert(property.clone()) {
                tracing::warn!(%property, "the sandbox lacks a property on this kernel");
            }
        }
    }

    /// Tells the vault what the audit log should hold. Without a vault it is in the parent's log alone.
    pub fn record(&self, happening: Happening) {
        if let Some(vault) = self.household.the(Role::Vault)
            && let Err(error) = vault.tell(&Order::Record(happening.cut()), None)
        {
            tracing::warn!(%error, "an event could not be told to the vault");
        }
    }
}

/// What a child says is missing, as far as it may be remembered and told: it says so before anybody knows whether it is what
/// it should be.
fn fit(missing: Vec<String>) -> impl Iterator<Item = String> {
    let fit = |text: String| text.chars().filter(|c| !is_unseen(*c)).take(PROPERTY).collect();
    missing.into_iter().take(PROPERTIES).map(fit)
}

/// The parent's own limit is its children's upper bound, and that of the descriptors in flight between them.
fn raise_descriptor_limit(needed: u64) -> Result<(), String> {
    let (_, hard) =
        getrlimit(Resource::RLIMIT_NOFILE).map_err(|error| format!("reading the limit of descriptors: {error}"))?;
    if hard < needed {
        return Err(format!(
            "the limit of open files is {hard} and {needed} are needed: \
             raise it (ulimit -n, LimitNOFILE=, login.conf), or lower limits.sessions and the connections of upstreams"
        ));
    }
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).map_err(|error| format!("raising the limit of descriptors: {error}"))
}

/// Reads the configuration; warnings go to the log.
fn load(path: &Path, rehearsal: Option<&Path>) -> Result<Plan, String> {
    read(path).map(|plan| told(plan, path, rehearsal))
}

fn read(path: &Path) -> Result<Plan, String> {
    Config::load(path).map_err(|errors| errors.to_string())
}

/// What is odd about it is said, and what it means for a rehearsal is worked out.
fn told(plan: Plan, path: &Path, rehearsal: Option<&Path>) -> Plan {
    for warning in &plan.warnings {
        tracing::warn!(config = %path.display(), warning, "something in the configuration is odd");
    }
    match rehearsal {
        Some(folder) => plan.rehearsed(folder),
        None => plan,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_child_says_is_missing_is_bounded_and_steers_no_terminal() {
        let said: Vec<String> =
            (0..10_000).map(|n| format!("{n}\u{1b}[31m\n\u{202e}\u{2028}\u{200b}{}", "x".repeat(5000))).collect();
        let told: Vec<String> = fit(said).collect();
        assert_eq!(told.len(), PROPERTIES);
        assert!(told.iter().all(|text| text.len() <= PROPERTY && !text.contains(is_unseen)));
        assert_eq!(
            fit(vec!["landlock: no network rules".to_owned()]).collect::<Vec<_>>(),
            ["landlock: no network rules"]
        );
    }
}
