//! Parent: binds, spawns, replaces, reloads.
//!
//! **Does.** Reads our own configuration, binds the ports, opens key and secret files and passes them on as descriptors,
//! starts one process per post and replaces those that fall.
//! **Trusts.** The configuration and the files it names. From children it believes only the few words of `ipc::control`.
//! **Holds.** Root, where it was started as root; the listening sockets; the capsule key.
//! **If it falls**, everything falls: so it reads no byte of a stranger, and none of a peer but those few words.

mod bind;
mod change;
mod child;
mod household;
mod offline;
mod outfit;
mod people;
mod post;
mod run;
mod state;
mod stop;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::Signal;

use crate::config::{Config, Plan};
use crate::ipc::control::{File, Happening, Order};
use crate::role::{Generation, Instance, Life, Role};
use crate::sandbox;
use crate::sys::service::{self, Notifier};
use crate::sys::signal;
use bind::Sockets;
use change::Change;
use child::{Child, Standing};
use household::Household;
use outfit::Secrets;
use people::People;
use post::Post;

pub use offline::become_vault;
pub use state::CONTROL_SOCKET;

/// A process that fell within this time of being ready is replaced ever more slowly.
const SHORT_LIFE: Duration = Duration::from_secs(1);
/// The first and the longest wait before a process that keeps falling is started again.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// Vault deaths are counted over this time; beyond `limits.vault_deaths` of them it stays down, because a vault that
/// can't stand may be harming what it keeps.
const VAULT_WINDOW: Duration = Duration::from_secs(600);

/// How far the service as a whole has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Opening,
    Serving,
    Closing { stage: usize },
    Closed,
}

/// A post whose process fell and that is to be filled again.
#[derive(Debug)]
struct Vacancy {
    due: Instant,
    post: Post,
    generation: Generation,
}

struct Parent {
    config: PathBuf,
    people: People,
    secrets: Secrets,
    notifier: Notifier,
    signals: OwnedFd,
    control: UnixListener,
    phase: Phase,
    household: Household,
    sockets: Sockets,
    plans: BTreeMap<Generation, Rc<Plan>>,
    /// The generation that serves.
    generation: Generation,
    last_generation: Generation,
    change: Option<Change>,
    vacancies: Vec<Vacancy>,
    /// How often in a row a post's process fell soon after it was ready.
    falls: HashMap<Post, u32>,
    vault_deaths: VecDeque<Instant>,
    missing: BTreeSet<String>,
    /// When vault and sealer were last known to answer, and when the watchdog was last told so.
    alive: Instant,
    fed: Instant,
}

/// Runs the service until it is told to stop.
///
/// `fallback` allows made-up user ids where the system users are missing (demonstrations and tests).
/// Errors: the one line an operator reads; nothing was left half-started.
pub fn serve(config: &Path, fallback: bool) -> Result<(), String> {
    let mut parent = Parent::prepare(config, fallback)?;
    let outcome = parent.open().and_then(|()| run::run(&mut parent));
    for child in parent.household.iter() {
        child.kill();
    }
    state::remove_control_socket(&parent.plan().runtime_directory);
    outcome
}

impl Parent {
    /// Everything that needs the whole of root or can fail for a reason the operator must mend: before any child exists.
    fn prepare(config: &Path, fallback: bool) -> Result<Self, String> {
        nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o027));
        let inherited = service::sockets().map_err(|error| format!("taking the sockets of $LISTEN_FDS: {error}"))?;
        let notifier =
            Notifier::from_environment().map_err(|error| format!("connecting to $NOTIFY_SOCKET: {error}"))?;
        let plan = Rc::new(load(config)?);
        let people = People::find(fallback)?;
        raise_descriptor_limit(outfit::descriptors(&plan))?;
        state::prepare(&plan, &people)?;
        let sockets = Sockets::bind(&plan, inherited)?;
        let control = state::control_socket(&plan.runtime_directory)?;
        outfit::try_files(&plan)?;
        let signals = signal::catch(&[Signal::SIGCHLD, Signal::SIGHUP, Signal::SIGTERM, Signal::SIGINT])
            .map_err(|error| format!("catching signals: {error}"))?;
        sandbox::abort_on_panic();
        let missing = sandbox::confine_parent(&outfit::parent_grounds(&plan, config)?)?;
        let generation = Generation(1);
        let now = Instant::now();
        let mut parent = Self {
            config: config.to_owned(),
            people,
            secrets: Secrets::new()?,
            notifier,
            signals,
            control,
            phase: Phase::Opening,
            household: Household::default(),
            sockets,
            plans: BTreeMap::from([(generation, plan)]),
            generation,
            last_generation: generation,
            change: None,
            vacancies: Vec::new(),
            falls: HashMap::new(),
            vault_deaths: VecDeque::new(),
            missing: BTreeSet::new(),
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
        load(&self.config)
    }

    fn hire(&mut self, post: Post, generation: Generation) -> Result<Instance, String> {
        let plan = self.plans.get(&generation).ok_or("its configuration is gone")?;
        let outfit = outfit::Outfit::assemble(plan, &post, &self.people, &self.secrets)?;
        self.household.hire(post.clone(), generation, &outfit).map_err(|error| format!("starting {post}: {error}"))
    }

    /// A child has entered its sandbox.
    fn on_ready(&mut self, instance: Instance) -> Result<(), String> {
        let listener = self.household.get(instance).is_some_and(|child| child.post.role == Role::Listener);
        match self.phase {
            Phase::Opening if self.household.all_ready(self.generation) => {
                self.open_doors(self.generation)?;
                self.phase = Phase::Serving;
                self.notifier.tell("READY=1");
                tracing::info!(processes = self.household.iter().count() + 1, "serving");
                self.record(Happening::Started { version: env!("CARGO_PKG_VERSION").to_owned() });
            }
            Phase::Serving if listener => self.open_doors(self.generation)?,
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
        let slice = outfit::slice(plan, &Post::new(Role::Listener, ""), &self.secrets)?;
        let tell = || {
            listener.tell_slice(&slice)?;
            for (number, socket) in sockets.iter() {
                listener.tell(&Order::File(File::Listening(number)), Some(socket.as_fd()))?;
            }
            listener.tell(&Order::Switch(generation), None)
        };
        tell().map_err(|error| format!("telling the listener: {error}"))
    }

    /// A child is gone, expected or not.
    fn fell(&mut self, child: &Child, how: &str) -> Result<(), String> {
        let expected =
            matches!(child.standing, Standing::Draining { .. }) || matches!(self.phase, Phase::Closing { .. });
        if expected {
            return Ok(());
        }
        if self.phase == Phase::Opening {
            return Err(format!("{}: {how}", child.post));
        }
        tracing::error!(role = %child.post, instance = child.instance.0, how, "a process fell");
        self.record(Happening::Fell { role: child.post.role, instance: child.instance, how: how.to_owned() });
        if self.change.as_ref().is_some_and(|change| change.generation == child.generation) {
            change::give_up(self, &format!("{}: {how}", child.post));
            return Ok(());
        }
        if child.post.role == Role::Vault && self.vault_is_beyond_help() {
            return Ok(());
        }
        let life = match child.standing {
            Standing::Ready { since } => since.elapsed(),
            _ => Duration::ZERO,
        };
        let falls = self.falls.entry(child.post.clone()).or_default();
        *falls = if life < SHORT_LIFE { falls.saturating_add(1) } else { 0 };
        let wait = match *falls {
            0 | 1 => Duration::ZERO,
            n => FIRST_WAIT.saturating_mul(1 << n.min(16)).min(LONGEST_WAIT),
        };
        self.vacancies.push(Vacancy {
            due: Instant::now() + wait,
            post: child.post.clone(),
            generation: child.generation,
        });
        Ok(())
    }

    /// Counts a death of the vault; true when it should stay down.
    fn vault_is_beyond_help(&mut self) -> bool {
        let now = Instant::now();
        self.vault_deaths.push_back(now);
        self.vault_deaths.retain(|death| now.duration_since(*death) < VAULT_WINDOW);
        let most = self.plan().limits.vault_deaths;
        let beyond = self.vault_deaths.len() > usize::try_from(most).unwrap_or(usize::MAX);
        if beyond {
            tracing::error!(
                deaths = self.vault_deaths.len(),
                "the vault fell too often in ten minutes and stays down; clients are told 421. \
                 Look for the reason above (disk, memory, damaged database), mend it, and restart the service"
            );
            self.notifier.tell("STATUS=the vault stays down: see the log");
        }
        beyond
    }

    /// Starts those whose time has come. One that can't be started is tried again.
    fn fill_vacancies(&mut self, now: Instant) {
        let (due, later) = std::mem::take(&mut self.vacancies).into_iter().partition(|vacancy| vacancy.due <= now);
        self.vacancies = later;
        for Vacancy { post, generation, .. } in due {
            // A process of the service that fell while a reload went through comes back with the new configuration.
            let generation = if post.role.row().life == Life::Service { self.generation } else { generation };
            if let Err(reason) = self.hire(post.clone(), generation) {
                tracing::error!(role = %post, reason, "a fallen process could not be replaced; trying again");
                self.vacancies.push(Vacancy { due: now + LONGEST_WAIT, post, generation });
            }
        }
    }

    /// Says once, in the log, what this kernel can't give.
    fn name_missing(&mut self, missing: Vec<String>) {
        for property in missing {
            if self.missing.insert(property.clone()) {
                tracing::warn!(%property, "the sandbox lacks a property on this kernel");
            }
        }
    }

    /// Tells the vault what the audit log should hold. Without a vault it is in the parent's log alone.
    pub fn record(&self, happening: Happening) {
        if let Some(vault) = self.household.the(Role::Vault)
            && let Err(error) = vault.tell(&Order::Record(happening), None)
        {
            tracing::warn!(%error, "an event could not be told to the vault");
        }
    }
}

/// The parent's own limit is its children's upper bound, and that of the descriptors in flight between them.
fn raise_descriptor_limit(needed: u64) -> Result<(), String> {
    let (_, hard) =
        getrlimit(Resource::RLIMIT_NOFILE).map_err(|error| format!("reading the limit of descriptors: {error}"))?;
    if hard < needed {
        return Err(format!(
            "the limit of open files is {hard} and {needed} are needed: \
             raise it (ulimit -n, LimitNOFILE=, login.conf), or lower limits.sessions"
        ));
    }
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).map_err(|error| format!("raising the limit of descriptors: {error}"))
}

/// Reads the configuration; warnings go to the log.
fn load(path: &Path) -> Result<Plan, String> {
    let plan = Config::load(path).map_err(|errors| errors.to_string())?;
    for warning in &plan.warnings {
        tracing::warn!(config = %path.display(), "{warning}");
    }
    Ok(plan)
}
