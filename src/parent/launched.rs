//! The parent's side of the launcher: mailers that it started, by their instances.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

use nix::sys::socket::{setsockopt, sockopt};
use nix::sys::time::TimeVal;

use super::child::packet_pair;
use super::launcher::LAUNCHER;
use super::post::TITLE;
use crate::ipc::launching::{Ask, ParentEnd, Word};
use crate::ipc::packet::Arrival;
use crate::role::Instance;
use crate::sys::program;

/// How long it may take to start a process, which takes milliseconds.
const PATIENCE: i64 = 10;

#[derive(Debug)]
pub struct Launcher {
    channel: ParentEnd,
    process: RefCell<std::process::Child>,
    ended: RefCell<HashMap<Instance, ExitStatus>>,
    gone: Cell<bool>,
    /// What it starts may become its file's user or group.
    pub lets_change: bool,
}

impl Launcher {
    /// Before the parent confines itself: what is made behind that has its rules. `lets_change`: nothing keeps programs from becoming
    /// their file's user or group, as far as this process knows then.
    pub fn start(lets_change: bool) -> io::Result<Self> {
        let (ours, theirs) = packet_pair()?;
        setsockopt(&ours, sockopt::ReceiveTimeout, &TimeVal::new(PATIENCE, 0))?;
        setsockopt(&ours, sockopt::SendTimeout, &TimeVal::new(PATIENCE, 0))?;
        let path = program::itself()?;
        let mut command = Command::new(&path);
        // Elsewhere the program finds its own path by this word.
        if path.starts_with(Path::new("/proc")) {
            command.arg0(format!("{TITLE}{LAUNCHER}"));
        }
        let process = command
            .args(["role", LAUNCHER])
            .args(crate::log::words())
            .env_clear()
            .stdin(Stdio::from(theirs))
            .stdout(Stdio::null())
            .spawn()?;
        let (channel, process) = (ParentEnd::new(ours), RefCell::new(process));
        Ok(Self { channel, process, ended: RefCell::default(), gone: Cell::new(false), lets_change })
    }

    /// Starts a mailer. Gives its number.
    pub fn launch(&self, instance: Instance, upstream: &str, control: OwnedFd, log: OwnedFd) -> io::Result<u32> {
        if self.gone.get() {
            return Err(io::Error::other("what starts mailers is gone: restart the service"));
        }
        self.channel.send(&Ask::Log, Some(log.as_fd()))?;
        let ask = Ask::Launch { instance, upstream: upstream.to_owned() };
        self.channel.send(&ask, Some(control.as_fd()))?;
        loop {
            let heard = match self.channel.receive() {
                // A signal came meanwhile: the answer is still to come, and a mailer that was started mustn't be forgotten.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                heard => heard?,
            };
            match heard {
                Arrival::Packet(packet) => match packet.message {
                    Word::Started { instance: started, pid } if started == instance => return Ok(pid),
                    Word::Failed { instance: failed, reason } if failed == instance => {
                        return Err(io::Error::other(reason));
                    }
                    other => self.learn(other),
                },
                Arrival::Dropped => {}
                Arrival::Closed => {
                    self.fell();
                    return Err(io::ErrorKind::BrokenPipe.into());
                }
            }
        }
    }

    pub fn kill(&self, instance: Instance) {
        // When it is gone, nobody can, and the mailer's end shows at its control channel.
        let _ = self.channel.send(&Ask::Kill(instance), None);
    }

    /// Takes what it said meanwhile.
    pub fn hear(&self) {
        loop {
            match self.channel.receive_now() {
                Ok(Arrival::Packet(packet)) => self.learn(packet.message),
                Ok(Arrival::Dropped) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Ok(Arrival::Closed) | Err(_) => return self.fell(),
            }
        }
    }

    fn learn(&self, word: Word) {
        if let Word::Ended { instance, status } = word {
            self.ended.borrow_mut().insert(instance, ExitStatus::from_raw(status));
        }
    }

    fn fell(&self) {
        if !self.gone.replace(true) {
            let status = self.process.borrow_mut().try_wait();
            tracing::error!(
                ?status,
                "the launcher fell: mailers that fall are not replaced, and a reload that needs one is refused, until the service is \
                 restarted"
            );
        }
    }

    /// How one ended, if it has.
    pub fn end_of(&self, instance: Instance) -> Option<ExitStatus> {
        self.ended.borrow_mut().remove(&instance)
    }

    pub fn is_gone(&self) -> bool {
        self.gone.get()
    }

    pub fn pid(&self) -> u32 {
        self.process.borrow().id()
    }

    /// Where it speaks, as long as it does.
    pub fn channel(&self) -> Option<BorrowedFd<'_>> {
        (!self.is_gone()).then(|| self.channel.as_fd())
    }
}
