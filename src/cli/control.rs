//! Commands for the running service, over its control socket.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::config::Plan;
use crate::ipc::admin::{Command, Request, Response};
use crate::ipc::frame::{Inbox, Outbox};
use crate::parent;
use crate::sys::peer;
use crate::vault::store::lock;

/// That it was an answer to another question than ours, in words.
pub fn strange() -> String {
    "the service answered something else: is it another version?".to_owned()
}

/// How long the vault may be silent in the middle of an answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Why a command was not done, in words.
#[derive(Debug, PartialEq, Eq)]
pub enum Undone {
    /// The service says why not.
    Refused(String),
    /// It can't be asked.
    Unreachable(String),
}

impl From<Undone> for String {
    fn from(undone: Undone) -> Self {
        match undone {
            Undone::Refused(reason) | Undone::Unreachable(reason) => reason,
        }
    }
}

/// Insists that no process has the database of this service open, for a command that needs it stopped: one whose socket is
/// gone runs all the same.
///
/// Errors: which process has it.
pub fn demand_unheld(plan: &Plan) -> Result<(), String> {
    match holder(&plan.state_directory)? {
        None => Ok(()),
        Some(pid) => Err(format!(
            "process {pid} has {} open, and no service answers in {}: stop it first",
            database(&plan.state_directory).display(),
            plan.runtime_directory.display()
        )),
    }
}

/// The vault's database in this state, of which an administrator may not see whether it is there.
pub fn database(state: &Path) -> PathBuf {
    state.join("db").join("vault.db")
}

/// The process that has the database in this state open, if one has.
///
/// Errors: it can't be looked at, in words.
pub fn holder(state: &Path) -> Result<Option<i32>, String> {
    let database = database(state);
    lock::holder(&database).map_err(|error| format!("{}: {error}", database.display()))
}

/// Where a service listens for commands.
pub fn socket(runtime: &Path) -> PathBuf {
    runtime.join(parent::CONTROL_SOCKET)
}

/// That there is no service, in words.
pub fn nobody(runtime: &Path) -> String {
    format!("nobody answers at {}", socket(runtime).display())
}

/// That no answer came, in words. Where it was waited for so long and no longer (`patience`), that is what there is to say.
fn silent(runtime: &Path, patience: Option<Duration>, error: &io::Error) -> String {
    let why = match (error.kind(), patience) {
        (io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut, Some(patience)) => {
            format!("said nothing for {} s", patience.as_secs_f32())
        }
        _ => format!("did not answer ({error})"),
    };
    format!("the service at {} {why}: look at its log, and try again", socket(runtime).display())
}

/// Asks the running service for one thing. None when there is no service.
pub fn ask(runtime: &Path, command: Command) -> Result<Option<Response>, Undone> {
    let mut first = None;
    let asked = ask_for_parts(runtime, command, |part| {
        first = Some(part);
        false
    })?;
    Ok(asked.then_some(first.unwrap_or(Response::Done)))
}

/// As `ask`, for somebody who has no more time than that.
pub fn ask_within(runtime: &Path, command: Command, patience: Duration) -> Result<Option<Response>, Undone> {
    let mut first = None;
    let asked = parts_within(runtime, command, Some(patience), |part| {
        first = Some(part);
        false
    })?;
    Ok(asked.then_some(first.unwrap_or(Response::Done)))
}

/// As `ask`, for what takes as long as it takes.
pub fn ask_at_length(runtime: &Path, command: Command) -> Result<Option<Response>, Undone> {
    let mut first = None;
    let asked = parts_within(runtime, command, None, |part| {
        first = Some(part);
        false
    })?;
    Ok(asked.then_some(first.unwrap_or(Response::Done)))
}

/// Asks the running service and gives each part of its answer to `each`, which says whether it knows it. Waits as long as it takes.
///
/// Errors: there is no service, or it answered something else.
pub fn hear(runtime: &Path, command: Command, mut each: impl FnMut(Response) -> bool) -> Result<(), String> {
    let mut is_known = true;
    let asked = ask_for_parts_at_length(runtime, command, |part| {
        is_known = each(part);
        is_known
    })?;
    match (asked, is_known) {
        (true, true) => Ok(()),
        (true, false) => Err(strange()),
        (false, _) => Err(not_running(runtime)),
    }
}

/// That it must be started, in words.
pub fn not_running(runtime: &Path) -> String {
    format!("the service does not run ({}): start it first", nobody(runtime))
}

/// Asks the running service and gives each part of its answer to `part`, which says whether it wants more. False when there
/// is no service.
pub fn ask_for_parts(runtime: &Path, command: Command, part: impl FnMut(Response) -> bool) -> Result<bool, Undone> {
    parts_within(runtime, command, Some(PATIENCE), part)
}

/// As `ask_for_parts`, for what takes as long as it takes.
pub fn ask_for_parts_at_length(
    runtime: &Path,
    command: Command,
    part: impl FnMut(Response) -> bool,
) -> Result<bool, Undone> {
    parts_within(runtime, command, None, part)
}

/// As `ask_for_parts`, with another patience; none is without end.
pub fn parts_within(
    runtime: &Path,
    command: Command,
    patience: Option<Duration>,
    mut part: impl FnMut(Response) -> bool,
) -> Result<bool, Undone> {
    let Some(mut socket) = connect(runtime)? else { return Ok(false) };
    let silent = |error: io::Error| Undone::Unreachable(silent(runtime, patience, &error));
    send(&mut socket, command, patience).map_err(silent)?;
    let mut inbox = Inbox::default();
    loop {
        match receive(&mut socket, &mut inbox).map_err(silent)? {
            Response::Refused { reason } => return Err(Undone::Refused(reason)),
            Response::Done => return Ok(true),
            response => {
                if !part(response) {
                    return Ok(true);
                }
            }
        }
    }
}

/// A connection for several commands, one after the other.
pub struct Line {
    runtime: PathBuf,
    socket: UnixStream,
    inbox: Inbox,
}

impl Line {
    /// None when there is no service.
    pub fn open(runtime: &Path) -> Result<Option<Self>, Undone> {
        let Some(socket) = connect(runtime)? else { return Ok(None) };
        let set = socket.set_read_timeout(Some(PATIENCE));
        set.map_err(|error| Undone::Unreachable(silent(runtime, Some(PATIENCE), &error)))?;
        Ok(Some(Self { runtime: runtime.to_owned(), socket, inbox: Inbox::default() }))
    }

    /// Asks for one thing, and gives each part of the answer to `part`.
    pub fn ask(
        &mut self,
        command: Command,
        mut part: impl FnMut(Response) -> Result<(), String>,
    ) -> Result<(), String> {
        self.tell(command)?;
        loop {
            match self.hear()? {
                Response::Done => return Ok(()),
                response => part(response)?,
            }
        }
    }

    /// Asks for what is answered at once: by one part, or by nothing but that it is done.
    pub fn ask_one(&mut self, command: Command) -> Result<Response, String> {
        self.tell(command)?;
        self.hear()
    }

    fn tell(&mut self, command: Command) -> Result<(), String> {
        let mut out = Outbox::default();
        let pushed = out.push(&Request { behalf: behalf(), command });
        let told = pushed.map_err(io::Error::from).and_then(|()| self.socket.write_all(&out.bytes));
        told.map_err(|error| silent(&self.runtime, Some(PATIENCE), &error))
    }

    fn hear(&mut self) -> Result<Response, String> {
        let heard = receive(&mut self.socket, &mut self.inbox);
        match heard.map_err(|error| silent(&self.runtime, Some(PATIENCE), &error))? {
            Response::Refused { reason } => Err(reason),
            response => Ok(response),
        }
    }
}

/// A connection for one command whose answer goes on as long as it is open.
pub struct Stream {
    socket: UnixStream,
    inbox: Inbox,
}

impl Stream {
    /// None when there is no service. Nothing is waited for longer than `patience` at a time.
    pub fn open(runtime: &Path, command: Command, patience: Duration) -> Result<Option<Self>, Undone> {
        let Some(mut socket) = connect(runtime)? else { return Ok(None) };
        let mut out = Outbox::default();
        let pushed = out.push(&Request { behalf: behalf(), command }).map_err(io::Error::from);
        let given =
            pushed.and_then(|()| socket.write_all(&out.bytes)).and_then(|()| socket.set_read_timeout(Some(patience)));
        given.map_err(|error| Undone::Unreachable(silent(runtime, Some(patience), &error)))?;
        Ok(Some(Self { socket, inbox: Inbox::default() }))
    }

    /// The next part; none when none came meanwhile.
    ///
    /// Errors: the service is gone, or says what can't be read.
    pub fn next(&mut self) -> io::Result<Option<Response>> {
        match receive(&mut self.socket, &mut self.inbox) {
            Ok(part) => Ok(Some(part)),
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted => Ok(None),
                _ => Err(error),
            },
        }
    }
}

/// Whether there is a service to ask.
pub fn is_there(runtime: &Path) -> Result<bool, Undone> {
    connect(runtime).map(|socket| socket.is_some())
}

/// Who listens for commands: the parent of the service, by its number where the system tells that. None when there is no
/// service.
pub fn listener(runtime: &Path) -> Result<Option<Option<i32>>, Undone> {
    let Some(socket) = connect(runtime)? else { return Ok(None) };
    peer::process(socket.as_fd()).map(Some).map_err(|error| Undone::Unreachable(silent(runtime, None, &error)))
}

fn connect(runtime: &Path) -> Result<Option<UnixStream>, Undone> {
    let path = socket(runtime);
    match UnixStream::connect(&path) {
        Ok(socket) => Ok(Some(socket)),
        // At a path that is too long for a socket nobody can listen.
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused | io::ErrorKind::InvalidInput
            ) =>
        {
            Ok(None)
        }
        Err(error) => {
            let path = path.display();
            let reason = format!("connecting to {path}: {error}: run this as root, or as the service's user");
            Err(Undone::Unreachable(reason))
        }
    }
}

fn send(socket: &mut UnixStream, command: Command, patience: Option<Duration>) -> io::Result<()> {
    socket.set_read_timeout(patience)?;
    let mut out = Outbox::default();
    out.push(&Request { behalf: behalf(), command })?;
    socket.write_all(&out.bytes)?;
    socket.shutdown(Shutdown::Write)
}

fn receive(socket: &mut UnixStream, inbox: &mut Inbox) -> io::Result<Response> {
    let mut buffer = [0; 4096];
    loop {
        if let Some(response) = inbox.take()? {
            return Ok(response);
        }
        match socket.read(&mut buffer)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            n => inbox.feed(buffer.get(..n).unwrap_or_default()),
        }
    }
}

/// The login name behind `sudo` or `doas`, for the audit log.
pub fn behalf() -> Option<String> {
    ["SUDO_USER", "DOAS_USER"].iter().find_map(|name| std::env::var(name).ok()).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn a_service_that_hangs_is_told_by_how_long_it_was_silent() {
        let runtime = tempfile::tempdir().unwrap();
        // It takes connections, and nobody answers.
        let _listener = UnixListener::bind(socket(runtime.path())).unwrap();
        let asked = ask_within(runtime.path(), Command::Ready, Duration::from_secs(1));
        let Err(Undone::Unreachable(reason)) = asked else { panic!("{asked:?}") };
        assert!(reason.contains("said nothing for 1 s") && !reason.contains("os error"), "{reason}");
        assert!(!is_there(&runtime.path().join("a".repeat(200))).unwrap());
    }
}
