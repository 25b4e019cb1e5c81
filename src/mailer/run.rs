//! One run of the program: started, read, waited for, and ended when its time is over.
//!
//! Nothing waits for what the program leaves behind: only its own end counts, whoever still holds its output then.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Seek};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::{AccessFlags, Pid, access, pipe2};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::{Instant, sleep, sleep_until};

use crate::sys::{descriptor, letter, program};

/// The whole environment of the program: where the programs are that it runs in its turn.
const PATH: (&str, &str) = ("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
/// What is kept of its output: a line of it is told. The rest is read and forgotten, so that it never waits for us.
const MAX_OUTPUT: usize = 4096;
/// Between two looks whether it has ended. It doubles: most are done within some milliseconds.
const FIRST_GLANCE: Duration = Duration::from_millis(1);
const LAST_GLANCE: Duration = Duration::from_millis(50);
/// Between asking it to end and ending it: to take back what it has half queued.
const GRACE: Duration = Duration::from_secs(2);
/// For the system to end what was killed. One that hangs in the kernel takes longer; it is left there.
const BURIAL: Duration = Duration::from_secs(10);

/// What is to be run.
#[derive(Debug)]
pub struct Run {
    pub command: PathBuf,
    pub words: Vec<OsString>,
    /// Shared with the runs for others, so that a message is in memory twice and not three times: here, and as the program's input.
    pub letter: Arc<Vec<u8>>,
    pub limit: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    NotStarted,
    Exit(i32),
    Signal(i32),
    /// It was ended, because its time was over.
    Late,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    pub how: How,
    /// How far its input was read, by whomever.
    pub read: u64,
    /// What it wrote, or why it could not be started.
    pub output: String,
}

/// Whether this user may run it.
pub fn may_be_run(command: &Path) -> Result<(), String> {
    access(command, AccessFlags::X_OK).map_err(|error| {
        format!("command: {}: this user may not run it: {error}: look at its mode and its folders'", command.display())
    })
}

impl Run {
    /// Whatever becomes of who waits for it, it has to be waited for here to its end.
    pub async fn finish(self) -> Ended {
        let failed = |error: io::Error| Ended { how: How::NotStarted, read: 0, output: error.to_string() };
        let started = letter::sealed(&self.letter).and_then(|letter| Ok((self.start(&letter)?, letter)));
        let ((mut child, output), mut letter) = match started {
            Ok(started) => started,
            Err(error) => return failed(error),
        };
        let mut output = Output { pipe: Some(output), kept: Vec::new() };
        let how = match until_it_ends(&mut child, &mut output, Instant::now() + self.limit).await {
            Some(status) => status.code().map_or_else(|| How::Signal(status.signal().unwrap_or_default()), How::Exit),
            None => {
                end(&mut child, &mut output).await;
                How::Late
            }
        };
        output.take_what_is_there();
        let read = letter.stream_position().unwrap_or(0);
        Ended { how, read, output: output.line() }
    }

    fn start(&self, letter: &File) -> io::Result<(Child, AsyncFd<OwnedFd>)> {
        let (read, write) = pipe2(OFlag::O_CLOEXEC)?;
        // The end of ours alone: the program is to wait when it writes faster than is read.
        fcntl(&read, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        let mut command = Command::new(&self.command);
        command.args(&self.words).env_clear().env(PATH.0, PATH.1).current_dir("/");
        // The same open file as ours, so that its place in it is the program's.
        command.stdin(Stdio::from(letter.try_clone()?)).stdout(Stdio::from(write.try_clone()?)).stderr(write);
        program::as_usual(&mut command);
        Ok((command.spawn()?, descriptor::watch(read)?))
    }
}

/// How it ended; none when its time was over before.
async fn until_it_ends(child: &mut Child, output: &mut Output, deadline: Instant) -> Option<ExitStatus> {
    let mut glance = FIRST_GLANCE;
    loop {
        // Before the clock is asked: one that is done is done.
        if let Ok(Some(status)) = child.try_wait() {
            return Some(status);
        }
        if Instant::now() >= deadline {
            return None;
        }
        tokio::select! {
            () = output.read() => {}
            () = sleep_until(deadline.min(Instant::now() + glance)) => glance = (glance * 2).min(LAST_GLANCE),
        }
    }
}

/// Ends it and all of its group. It is not looked whether it has ended before the last signal, because its number is not another's as
/// long as nobody has.
async fn end(child: &mut Child, output: &mut Output) {
    let Ok(group) = i32::try_from(child.id()).map(Pid::from_raw) else { return };
    let grace = sleep(GRACE);
    tokio::pin!(grace);
    // One that has ended has a group until it is looked at.
    let _ = killpg(group, Signal::SIGTERM);
    loop {
        tokio::select! {
            () = &mut grace => break,
            () = output.read() => {}
        }
    }
    let _ = killpg(group, Signal::SIGKILL);
    if until_it_ends(child, output, Instant::now() + BURIAL).await.is_none() {
        tracing::error!(pid = group.as_raw(), "a program that was killed does not end; it is left there");
    }
}

/// What a program writes.
struct Output {
    /// None at its end.
    pipe: Option<AsyncFd<OwnedFd>>,
    kept: Vec<u8>,
}

impl Output {
    /// Waits for some of it; at its end for ever.
    async fn read(&mut self) {
        let Some(pipe) = &self.pipe else { return std::future::pending().await };
        let mut buffer = [0; MAX_OUTPUT];
        let read = pipe.async_io(Interest::READABLE, |pipe| Ok(nix::unistd::read(pipe.as_fd(), &mut buffer)?)).await;
        self.keep(read.ok().and_then(|n| buffer.get(..n)).unwrap_or_default());
    }

    /// Takes what was written before the end, and waits for nothing.
    fn take_what_is_there(&mut self) {
        while let Some(pipe) = self.pipe.as_ref().filter(|_| self.kept.len() < MAX_OUTPUT) {
            let mut buffer = [0; MAX_OUTPUT];
            let read = nix::unistd::read(pipe.get_ref().as_fd(), &mut buffer);
            self.keep(read.ok().and_then(|n| buffer.get(..n)).unwrap_or_default());
        }
    }

    /// Nothing is the end, or a failure.
    fn keep(&mut self, octets: &[u8]) {
        if octets.is_empty() {
            self.pipe = None;
        }
        let room = MAX_OUTPUT.saturating_sub(self.kept.len());
        self.kept.extend_from_slice(octets.get(..room.min(octets.len())).unwrap_or_default());
    }

    /// Its lines as one.
    fn line(&self) -> String {
        let text = String::from_utf8_lossy(&self.kept);
        let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        lines.join("; ")
    }
}

#[cfg(test)]
#[path = "tests/run.rs"]
mod tests;
