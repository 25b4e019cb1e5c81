//! One child process as the parent sees it: started, spoken with, reaped.

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitStatus, Stdio};
use std::rc::Rc;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, setsockopt, socketpair, sockopt};
use nix::sys::time::TimeVal;
use nix::unistd::Pid;

use super::hearing::Talk;
use super::launched::Launcher;
use super::post::{Post, TITLE};
use super::syslog::Syslog;
use super::tap::Tap;
use crate::ipc::bytes::Octets;
use crate::ipc::control::{Order, PART, ParentEnd};
use crate::role::{Generation, Instance, Role};
use crate::sys::program;

/// How long the parent waits for a child that doesn't take its orders. A healthy one takes them in microseconds.
const PATIENCE: i64 = 5;

/// How far a child has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Told to enter its sandbox; must report before the deadline.
    Starting {
        until: Instant,
    },
    Ready {
        since: Instant,
    },
    /// Told to finish; is killed at the deadline.
    Draining {
        until: Instant,
    },
}

#[derive(Debug)]
pub struct Child {
    pub instance: Instance,
    pub generation: Generation,
    pub post: Post,
    pub standing: Standing,
    pub control: ParentEnd,
    /// Why it can't serve, by its own word or ours.
    pub reason: Option<String>,
    /// How much it says.
    pub talk: Talk,
    /// Where its lines go as well.
    pub syslog: Option<Rc<RefCell<Syslog>>>,
    log: Tap,
    process: Process,
    /// It closed its control channel, or is to be taken for one that did.
    pub hung_up: Cell<bool>,
}

#[derive(Debug)]
enum Process {
    Own(std::process::Child),
    /// Its parent is the launcher.
    Launched {
        launcher: Rc<Launcher>,
        pid: u32,
    },
}

impl Child {
    /// Executes our own program again in that role. The child has nothing but its control channel as standard input,
    /// /dev/null, and a pipe for its log; its environment is empty.
    ///
    /// A mailer is started by the launcher, without which there is none.
    pub fn spawn(
        post: Post,
        instance: Instance,
        generation: Generation,
        ready_within: Duration,
        launcher: Option<&Rc<Launcher>>,
    ) -> io::Result<Self> {
        let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?;
        setsockopt(&ours, sockopt::SendTimeout, &TimeVal::new(PATIENCE, 0))?;
        let (log, write) = Tap::new()?;
        let process = match (post.role, launcher) {
            (Role::Mailer, Some(launcher)) => {
                let pid = launcher.launch(instance, &post.label, theirs, write)?;
                Process::Launched { launcher: Rc::clone(launcher), pid }
            }
            (Role::Mailer, None) => {
                return Err(io::Error::other("nothing here can start a mailer: restart the service"));
            }
            _ => Process::Own(
                Command::new(program::itself()?)
                    .arg0(format!("{TITLE}{post}"))
                    .args(["role", post.role.name()])
                    // The sealer's lines go to syslog as they are, where its heads are looked for: always text.
                    .args(crate::log::words().filter(|_| post.role != Role::Sealer))
                    .env_clear()
                    .stdin(Stdio::from(theirs))
                    .stdout(Stdio::null())
                    .stderr(Stdio::from(write))
                    .spawn()?,
            ),
        };
        Ok(Self {
            instance,
            generation,
            post,
            standing: Standing::Starting { until: Instant::now() + ready_within },
            control: ParentEnd::new(ours),
            reason: None,
            talk: Talk::new(Instant::now()),
            syslog: None,
            log,
            process,
            hung_up: Cell::new(false),
        })
    }

    pub fn pid(&self) -> u32 {
        match &self.process {
            Process::Own(process) => process.id(),
            Process::Launched { pid, .. } => *pid,
        }
    }

    pub fn is_ready(&self) -> bool {
        matches!(self.standing, Standing::Ready { .. })
    }

    /// The pipe it logs to, as long as it may say something.
    pub fn log(&self) -> Option<BorrowedFd<'_>> {
        self.log.open()
    }

    pub fn tell(&self, order: &Order, descriptor: Option<BorrowedFd<'_>>) -> io::Result<()> {
        self.control.send(order, descriptor)
    }

    /// Tells it its slice of configuration, in parts.
    pub fn tell_slice(&self, slice: &[u8]) -> io::Result<()> {
        let mut parts = slice.chunks(PART).peekable();
        while let Some(part) = parts.next() {
            let last = parts.peek().is_none();
            self.tell(&Order::Slice { part: Octets(part.to_vec()), last }, None)?;
        }
        Ok(())
    }

    /// Ends it. It may be gone already, which is what is wanted.
    pub fn kill(&self) {
        match &self.process {
            Process::Own(process) => {
                if let Ok(pid) = i32::try_from(process.id()) {
                    let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
                }
            }
            // It is no child of ours, and landlock keeps our signals among those. Without a launcher nobody ends it, but it ends when
            // we let go of its channel.
            Process::Launched { launcher, .. } if launcher.is_gone() => self.hung_up.set(true),
            Process::Launched { launcher, .. } => launcher.kill(self.instance),
        }
    }

    /// How it ended, if it has.
    pub fn reap(&mut self) -> Option<ExitStatus> {
        match &mut self.process {
            Process::Own(process) => process.try_wait().ok().flatten(),
            Process::Launched { launcher, .. } => launcher
                .end_of(self.instance)
                // Without a launcher nobody learns how it ended.
                .or_else(|| (launcher.is_gone() && self.hung_up.get()).then(ExitStatus::default)),
        }
    }

    /// Copies what it logged, up to a turn's worth; whether there was anything.
    pub fn copy_log(&mut self) -> bool {
        let lines = self.log.lines();
        if lines.is_empty() {
            return false;
        }
        crate::log::hand_on(&self.post.to_string(), self.pid(), &lines);
        if let Some(syslog) = &self.syslog {
            lines.iter().for_each(|line| syslog.borrow_mut().send(self.post.role.name(), self.pid(), line));
        }
        true
    }

    /// Ends and buries one that never came into the household.
    pub fn end(&mut self) {
        self.kill();
        if let Process::Own(process) = &mut self.process {
            let _ = process.wait();
        }
    }
}

/// Whether its system call filter killed it.
pub fn is_violation(status: ExitStatus) -> bool {
    status.signal() == Some(Signal::SIGSYS as i32)
}

/// The words for an exit: what an operator reads, and the audit log.
pub fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        _ if is_violation(status) => "killed by its system call filter (SIGSYS)".to_owned(),
        (_, Some(signal)) => {
            format!("killed by {}", Signal::try_from(signal).map_or_else(|_| signal.to_string(), |s| s.to_string()))
        }
        (Some(code), _) => format!("exit code {code}"),
        _ => "unknown".to_owned(),
    }
}

/// A pair of connected stream sockets for a data channel.
pub fn stream_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let (left, right) = UnixStream::pair()?;
    Ok((left.into(), right.into()))
}

/// A pair of connected packet sockets for hand-overs.
pub fn packet_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?)
}
