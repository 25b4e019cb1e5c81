//! The parent's loop: one `poll` over signals, children, the control socket and the one for upgrades. It never reads a stranger's byte.

use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;

use super::child::{self, Standing};
use super::hearing::{self, Hearing};
use super::{Parent, Phase, change, lender, state, stop, watch};
use crate::ipc::control::{File, Order, Report};
use crate::ipc::packet::Arrival;
use crate::role::start::BUILD;
use crate::role::{Instance, Role};

/// The longest sleep: deadlines are looked at this often at least.
const TICK: Duration = Duration::from_millis(500);
/// Vault and sealer say that they are alive every five seconds; after three silent ones the watchdog isn't fed.
const SILENCE: Duration = Duration::from_secs(15);

/// What `poll` can wake us for.
#[derive(Clone, Copy, Debug)]
enum Wake {
    Signals,
    Administrator,
    Borrower,
    Control(Instance),
    Log(Instance),
    Launcher,
    /// Whoever has upstreams tried is gone.
    Alone,
}

/// Runs until the service was told to stop and everyone is gone, or until it can't go on.
pub fn run(parent: &mut Parent) -> Result<(), String> {
    loop {
        for wake in wait(parent)? {
            match wake {
                Wake::Signals => signals(parent)?,
                Wake::Administrator => administrator(parent),
                Wake::Borrower => lender::lend(parent),
                Wake::Alone => stop::begin(parent),
                Wake::Launcher => {
                    if let Some(launcher) = &parent.household.launcher {
                        launcher.hear();
                    }
                    reap(parent)?;
                }
                Wake::Control(instance) => hear(parent, instance)?,
                Wake::Log(instance) => {
                    if let Some(child) = parent.household.get_mut(instance) {
                        child.copy_log();
                    }
                }
            }
        }
        time(parent)?;
        if let Phase::Closed = parent.phase {
            return Ok(());
        }
    }
}

fn wait(parent: &Parent) -> Result<Vec<Wake>, String> {
    let mut wakes = vec![Wake::Signals, Wake::Borrower];
    let mut sources: Vec<BorrowedFd<'_>> = vec![parent.signals.as_fd(), parent.door.as_fd()];
    // Nothing is ever said there: it is readable when its other end is closed.
    let input = std::io::stdin();
    if parent.rehearsal.is_some() && !matches!(parent.phase, Phase::Closing { .. } | Phase::Closed) {
        wakes.push(Wake::Alone);
        sources.push(input.as_fd());
    }
    if let Some(control) = &parent.control {
        wakes.push(Wake::Administrator);
        sources.push(control.as_fd());
    }
    if let Some(channel) = parent.household.launcher.as_ref().and_then(|launcher| launcher.channel()) {
        wakes.push(Wake::Launcher);
        sources.push(channel);
    }
    for child in parent.household.iter() {
        wakes.push(Wake::Control(child.instance));
        sources.push(child.control.as_fd());
        if let Some(log) = child.log() {
            wakes.push(Wake::Log(child.instance));
            sources.push(log);
        }
    }
    let mut polled: Vec<PollFd<'_>> = sources.iter().map(|fd| PollFd::new(*fd, PollFlags::POLLIN)).collect();
    let next = parent.vacancies.iter().map(|vacancy| vacancy.due).min();
    let nap = next.map_or(TICK, |due| due.saturating_duration_since(Instant::now()).min(TICK));
    match poll(&mut polled, PollTimeout::try_from(nap).unwrap_or(PollTimeout::ZERO)) {
        Ok(_) | Err(nix::errno::Errno::EINTR) => {}
        Err(error) => return Err(format!("waiting for children: {error}")),
    }
    // What a child said last is heard before it is reaped, and what it logged last is copied before that.
    let mut ready: Vec<Wake> =
        wakes.iter().zip(&polled).filter(|(_, fd)| fd.any() == Some(true)).map(|(w, _)| *w).collect();
    ready.sort_by_key(|wake| match wake {
        Wake::Log(_) => 0,
        Wake::Control(_) => 1,
        Wake::Administrator | Wake::Borrower | Wake::Alone => 2,
        Wake::Signals | Wake::Launcher => 3,
    });
    Ok(ready)
}

fn signals(parent: &mut Parent) -> Result<(), String> {
    let mut numbers = [0; 64];
    let count = nix::unistd::read(&parent.signals, &mut numbers).unwrap_or(0);
    for number in numbers.iter().take(count) {
        match Signal::try_from(i32::from(*number)) {
            Ok(Signal::SIGCHLD) => reap(parent)?,
            Ok(Signal::SIGHUP) => change::begin(parent),
            Ok(Signal::SIGTERM | Signal::SIGINT) => stop::begin(parent),
            _ => {}
        }
    }
    Ok(())
}

/// Hands a connection to the control socket to the vault, unread, when it comes from root or from the user we run as.
fn administrator(parent: &Parent) {
    let Some(Ok((connection, _))) = parent.control.as_ref().map(UnixListener::accept) else { return };
    let user = crate::sys::peer::user(connection.as_fd());
    let allowed = |user: &u32| *user == 0 || *user == nix::unistd::geteuid().as_raw();
    let Some(allowed) = user.as_ref().ok().copied().filter(allowed) else {
        return tracing::warn!(?user, "a connection to the control socket was refused: not root");
    };
    match parent.household.the(Role::Vault) {
        None => tracing::warn!("a command came while no vault was ready; it will say so and can be given again"),
        Some(vault) => {
            let _ = vault.tell(&Order::File(File::Administrator(allowed)), Some(connection.as_fd()));
        }
    }
}

/// Takes one report of a child.
fn hear(parent: &mut Parent, instance: Instance) -> Result<(), String> {
    let Some(child) = parent.household.get_mut(instance) else { return Ok(()) };
    let arrival = child.control.receive();
    // A closed end says nothing, however often it is looked at until its process can be buried.
    if !matches!(arrival, Ok(Arrival::Closed) | Err(_)) && child.talk.is_too_much(Instant::now()) {
        tracing::error!(role = %child.post, "a child talks without end");
        parent.condemn(instance, "it said more than it can have to say");
        return Ok(());
    }
    let report = match arrival {
        Ok(Arrival::Packet(packet)) => packet.message,
        Ok(Arrival::Dropped) => {
            tracing::warn!(role = %child.post, "a report did not arrive whole and was dropped");
            return Ok(());
        }
        // It closes its end by dying, and SIGCHLD tells how. One that closes it and lives on is ended.
        Ok(Arrival::Closed) | Err(_) => {
            child.hung_up.set(true);
            child.kill();
            return reap(parent);
        }
    };
    match hearing::hear(child.post.role, child.standing, &report) {
        Hearing::Heed => heed(parent, instance, report),
        Hearing::Ignore => Ok(()),
        Hearing::Condemn => {
            tracing::error!(role = %child.post, ?report, "a word out of its moment");
            parent.condemn(instance, "it said what it has no say in");
            Ok(())
        }
    }
}

/// Does what a report asks for that was found to be in order.
fn heed(parent: &mut Parent, instance: Instance, report: Report) -> Result<(), String> {
    let Some(child) = parent.household.get_mut(instance) else { return Ok(()) };
    match report {
        Report::Hello { build, .. } if build != BUILD => {
            let replaced =
                format!("it is build {build:?} and we are {BUILD:?}: the program file was replaced, restart");
            parent.condemn(instance, &replaced);
        }
        Report::Hello { .. } => {}
        Report::Ready { missing } => {
            child.standing = Standing::Ready { since: Instant::now() };
            tracing::debug!(role = %child.post, instance = instance.0, pid = child.pid(), "ready");
            parent.name_missing(missing);
            parent.on_ready(instance)?;
        }
        Report::Failed { reason } if child.is_ready() => change::refused(parent, &reason),
        Report::Failed { reason } => child.reason = Some(reason),
        Report::Switched(generation) => change::switched(parent, instance, generation),
        Report::Reload { ticket, by } => {
            parent.asked.note(instance, ticket, &by);
            change::begin(parent);
        }
        Report::NextMasterKey => hand_over_next_master(parent, instance),
        Report::Alive => parent.alive = Instant::now(),
        Report::LetGo(neighbour) => let_go(parent, neighbour),
    }
    Ok(())
}

/// The vault ended the channel of one that said what it may not. Left alone it would turn everybody away.
fn let_go(parent: &mut Parent, neighbour: Instance) {
    match parent.household.get(neighbour).map(|child| child.post.role) {
        Some(role) if hearing::may_be_let_go(role) => {
            parent.condemn(neighbour, "the vault let it go: it asked for what it may not");
        }
        Some(role) => tracing::error!(%role, "the vault may not have this process replaced"),
        // It is gone already.
        None => {}
    }
}

/// The vault asked for the key that is to take the place of its master key.
fn hand_over_next_master(parent: &Parent, instance: Instance) {
    let Some(vault) = parent.household.get(instance) else { return };
    let told = match state::next_master_key(&parent.plan().master_directory) {
        Ok(Some(key)) => vault.tell(&Order::File(File::MasterKey { next: true }), Some(key.as_fd())),
        Ok(None) => return tracing::error!("the vault asked for the next master key, and there is none"),
        Err(error) => return tracing::error!(error, "the next master key can't be handed over"),
    };
    if let Err(error) = told {
        tracing::error!(%error, "the next master key can't be handed over");
    }
}

/// Buries the dead and decides who replaces them.
fn reap(parent: &mut Parent) -> Result<(), String> {
    let mut fallen = Vec::new();
    for child in parent.household.iter_mut() {
        if let Some(status) = child.reap() {
            while child.copy_log() {}
            // A reason it gave with its last breath may still wait in the channel.
            while child.reason.is_none() {
                match child.control.receive_now() {
                    Ok(Arrival::Packet(packet)) => {
                        child.reason = hearing::last_words(child.post.role, child.standing, packet.message);
                    }
                    // What came before it doesn't hide it.
                    Ok(Arrival::Dropped) => {}
                    _ => break,
                }
            }
            fallen.push((child.instance, status));
        }
    }
    for (instance, status) in fallen {
        if let Some(child) = parent.household.remove(instance) {
            let how = child.reason.clone().unwrap_or_else(|| child::describe(status));
            parent.fell(&child, &how, child::is_violation(status))?;
        }
    }
    Ok(())
}

/// Everything that is due by the clock.
fn time(parent: &mut Parent) -> Result<(), String> {
    let now = Instant::now();
    for child in parent.household.iter_mut() {
        match child.standing {
            Standing::Starting { until } if until <= now => {
                child.reason = Some("it did not report in time and was killed".to_owned());
                child.kill();
            }
            Standing::Draining { until } if until <= now => child.kill(),
            _ => {}
        }
    }
    if parent.household.launcher.as_ref().is_some_and(|launcher| launcher.is_gone()) {
        // Nobody tells how its mailers end.
        reap(parent)?;
    }
    parent.fill_vacancies(now);
    parent.tell_of_syslog();
    change::expire(parent, now);
    watch::look(parent, now);
    stop::advance(parent);
    if parent.notifier.watchdog.is_some_and(|every| parent.fed.elapsed() >= every) && parent.alive.elapsed() < SILENCE {
        parent.notifier.tell("WATCHDOG=1");
        parent.fed = now;
    }
    Ok(())
}
