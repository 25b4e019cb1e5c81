//! The launcher: a process of its own that starts mailers, and is not confined as the parent is.
//!
//! What is started below the parent has its rules for ever, no_new_privs among them; a program that queues mail must be able to become
//! its file's group. So this process is made before the parent confines itself, only where an upstream has a program, and starts our
//! own program as a mailer whenever the parent says so. It reads the parent's few words and nothing of anybody else's.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, Stdio};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;

use super::post::{Post, TITLE};
use crate::ipc::launching::{Ask, LauncherEnd, Word};
use crate::ipc::packet::Arrival;
use crate::role::{Instance, Role};
use crate::sandbox;
use crate::sys::{descriptor, program, signal, title};

/// Its name, for the hidden `role` command. It is no role: nobody but the parent talks with it.
pub const LAUNCHER: &str = "launcher";

/// Serves the parent until it is gone. Mailers see by themselves that it is.
pub fn main() -> Result<(), String> {
    title::set(LAUNCHER);
    let failed = |what: &'static str| move |error: io::Error| format!("{LAUNCHER}: {what}: {error}");
    descriptor::close_from(3).map_err(failed("closing what was left open"))?;
    signal::leave_to_parent().map_err(failed("leaving signals to the parent"))?;
    let deaths = signal::catch(&[Signal::SIGCHLD]).map_err(failed("catching signals"))?;
    sandbox::confine_launcher()?;
    let parent = LauncherEnd::new(descriptor::adopt(0).map_err(failed("taking the parent's channel"))?);
    let (mut mailers, mut log) = (HashMap::new(), None);
    loop {
        let mut polled =
            [PollFd::new(deaths.as_fd(), PollFlags::POLLIN), PollFd::new(parent.as_fd(), PollFlags::POLLIN)];
        match poll(&mut polled, PollTimeout::NONE) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(error) => return Err(failed("waiting")(error.into())),
        }
        let [died, asked] = polled.map(|fd| fd.any() == Some(true));
        if died {
            let _ = nix::unistd::read(&deaths, &mut [0; 64]);
            bury(&mut mailers, &parent).map_err(failed("telling the parent"))?;
        }
        if asked {
            match parent.receive().map_err(failed("reading the parent's channel"))? {
                Arrival::Packet(packet) => {
                    let word = heed(packet.message, packet.descriptor, &mut mailers, &mut log);
                    word.map_or(Ok(()), |word| parent.send(&word, None)).map_err(failed("telling the parent"))?;
                }
                Arrival::Dropped => {}
                Arrival::Closed => return Ok(()),
            }
        }
    }
}

fn heed(
    ask: Ask,
    gift: Option<OwnedFd>,
    mailers: &mut HashMap<Instance, Child>,
    log: &mut Option<OwnedFd>,
) -> Option<Word> {
    match (ask, gift) {
        (Ask::Log, gift) => *log = gift,
        (Ask::Launch { instance, upstream }, control) => {
            let both = control.zip(log.take()).ok_or_else(|| io::Error::other("its channel or its log did not arrive"));
            return Some(match both.and_then(|(control, log)| start(&upstream, control, log)) {
                Ok(mailer) => {
                    let pid = mailer.id();
                    mailers.insert(instance, mailer);
                    Word::Started { instance, pid }
                }
                Err(error) => Word::Failed { instance, reason: error.to_string() },
            });
        }
        (Ask::Kill(instance), _) => {
            // One that has ended was buried, or will be: its number is not another's before that.
            if let Some(mailer) = mailers.get_mut(&instance) {
                let _ = mailer.kill();
            }
        }
    }
    None
}

/// As the parent starts all others: its control channel, its log, and nothing else.
fn start(upstream: &str, control: OwnedFd, log: OwnedFd) -> io::Result<Child> {
    Command::new(program::itself()?)
        .arg0(format!("{TITLE}{}", Post::new(Role::Mailer, upstream)))
        .args(["role", Role::Mailer.name()])
        .args(crate::log::words())
        .env_clear()
        .stdin(Stdio::from(control))
        .stdout(Stdio::null())
        .stderr(Stdio::from(log))
        .spawn()
}

/// Tells how those ended who have.
fn bury(mailers: &mut HashMap<Instance, Child>, parent: &LauncherEnd) -> io::Result<()> {
    let mut ended = Vec::new();
    for (instance, mailer) in mailers.iter_mut() {
        if let Ok(Some(status)) = mailer.try_wait() {
            ended.push((*instance, status.into_raw()));
        }
    }
    for (instance, status) in ended {
        mailers.remove(&instance);
        parent.send(&Word::Ended { instance, status }, None)?;
    }
    Ok(())
}
