//! `gatepost queue export`: writes messages that wait, whole, into an archive that another gate can take in.

use std::fs::{self, File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use sha2::{Digest, Sha256};

use super::source::{Source, messages};
use super::{record, tar};
use crate::cli::fail;
use crate::ipc::admin::queue::transfer::{Command as Transfer, Envelope, Recipient, Response as Part};
use crate::ipc::admin::queue::{Command, Response};
use crate::mail::id::MessageId;
use crate::vault::offline::transfer::Converse;

/// Messages written down or given up in one command.
const BATCH: usize = 100;

#[derive(Debug, Args)]
pub struct Export {
    /// The archive: a file that does not exist yet; - is standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Only what this credential sent
    #[arg(long, value_name = "ID", conflicts_with = "message")]
    credential: Option<String>,
    /// Only this message: its id, in either form
    #[arg(long, value_name = "ID")]
    message: Option<MessageId>,
    /// Give up here what is in the archive, once that is whole and on the disk; it is held meanwhile
    #[arg(long, requires = "out")]
    drop: bool,
    /// Why, for the audit log
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Print {"messages": ..., "recipients": ..., "octets": ..., "dropped": ..., "left": [...]} instead
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    source: Source,
}

/// What has come of it.
#[derive(Default)]
struct Sum {
    /// What is in the archive.
    messages: Vec<MessageId>,
    recipients: usize,
    octets: u64,
    /// What the log has as exported, and what of it was given up then.
    logged: usize,
    dropped: u64,
    /// What is not, and why.
    left: Vec<(MessageId, String)>,
}

impl Export {
    pub fn run(&self) -> ExitCode {
        let mut sum = Sum::default();
        match self.export(&mut sum) {
            Ok(()) => {
                self.tell(&sum);
                if sum.left.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
            }
            Err(reason) if sum.logged > 0 => fail(&format!("{reason}\n{}", sum.broken_off(self.drop))),
            Err(reason) if self.drop && !sum.messages.is_empty() => fail(&format!(
                "{reason}\nNothing has left: what was held to leave is offered again, by the next start at the latest"
            )),
            Err(reason) => fail(&reason),
        }
    }

    fn export(&self, sum: &mut Sum) -> Result<(), String> {
        let file = self.out.as_deref().filter(|path| *path != Path::new("-"));
        if self.drop && file.is_none() {
            return Err("--drop needs --out with a file: what goes elsewhere is not known to be kept".to_owned());
        }
        let mut archive = Archive::create(file)?;
        let done = self.source.converse(self.credential.as_deref(), |ask| {
            let wanted = match self.message {
                Some(message) => vec![message],
                None => messages(ask)?,
            };
            for message in wanted {
                self.one(ask, message, &mut archive, sum)?;
            }
            archive.finish()?;
            self.log(ask, sum)?;
            if self.drop {
                self.give_up(ask, sum)?;
            }
            Ok(!sum.messages.is_empty() || !sum.left.is_empty())
        });
        if !archive.finished || (done.is_err() && sum.logged == 0) {
            archive.remove();
        }
        done?;
        match self.message {
            Some(message) if sum.messages.is_empty() && sum.left.is_empty() => {
                archive.remove();
                Err(format!("nobody waits for message {message}"))
            }
            _ => Ok(()),
        }
    }

    fn one(
        &self,
        ask: &mut Converse<'_>,
        message: MessageId,
        archive: &mut Archive,
        sum: &mut Sum,
    ) -> Result<(), String> {
        let command = Transfer::Give { message, credential: self.credential.clone(), hold: self.drop };
        let mut coming = Coming { begin: archive.length, ..Coming::default() };
        ask(Command::Transfer(command), &mut |part| match part {
            Response::Transfer(part) => coming.take(part, archive),
            _ => Err("the service answered something else: is it another version?".to_owned()),
        })?;
        match coming.end(archive)? {
            Fate::Passed => {}
            Fate::Left(reason) => sum.left.push((message, reason)),
            Fate::Written { waiting, octets } => {
                sum.messages.push(message);
                sum.recipients += waiting;
                sum.octets += octets;
            }
        }
        Ok(())
    }

    /// All of the archive is on the disk: the log is told what is in it.
    fn log(&self, ask: &mut Converse<'_>, sum: &mut Sum) -> Result<(), String> {
        for messages in sum.messages.chunks(BATCH) {
            let command = Transfer::Written { messages: messages.to_vec(), note: self.reason.clone() };
            ask(Command::Transfer(command), &mut |_| Ok(()))?;
            sum.logged += messages.len();
        }
        Ok(())
    }

    /// What is in it is given up here.
    fn give_up(&self, ask: &mut Converse<'_>, sum: &mut Sum) -> Result<(), String> {
        for messages in sum.messages.chunks(BATCH) {
            let command = Transfer::Drop { messages: messages.to_vec(), note: self.reason.clone() };
            ask(Command::Transfer(command), &mut |part| {
                if let Response::Transfer(Part::Dropped(counts)) = part {
                    sum.dropped += counts.messages;
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    /// On standard error where the archive itself is on standard output.
    fn tell(&self, sum: &Sum) {
        let text = if self.json { sum.json() } else { sum.told(self.drop) };
        match self.out.as_deref() {
            Some(path) if path != Path::new("-") => crate::cli::out::say!("{text}"),
            _ => eprintln!("{text}"),
        }
    }
}

impl Sum {
    fn json(&self) -> String {
        let left =
            self.left.iter().map(|(message, reason)| serde_json::json!({ "message": message, "reason": reason }));
        serde_json::json!({
            "messages": self.messages.len(),
            "recipients": self.recipients,
            "octets": self.octets,
            "dropped": self.dropped,
            "left": left.collect::<Vec<_>>(),
        })
        .to_string()
    }

    /// Where things stand when it ended in the middle of its end.
    fn broken_off(&self, drop: bool) -> String {
        let written = self.messages.len();
        let mut text =
            format!("The archive is whole, with {written} messages; the log here has {} of them", self.logged);
        if drop {
            text += &format!(
                ". {} of those were dropped, and the others are held; what the log doesn't have is offered again, and whoever gets \
                 it from the archive too gets it twice: see gatepost queue list, and drop here what you take in elsewhere",
                self.dropped
            );
        }
        text
    }

    fn told(&self, drop: bool) -> String {
        let written = self.messages.len();
        let mut text = format!("written: {written} messages, {} recipients, {} octets", self.recipients, self.octets);
        match u64::try_from(written).unwrap_or(u64::MAX).checked_sub(self.dropped) {
            _ if !drop => text += "; they wait here still, and are delivered here unless they are held or dropped",
            Some(0) => text += "; none of them waits here any more",
            kept => {
                let kept = kept.unwrap_or_default();
                text += &format!(
                    "; {kept} of them wait here still, because somebody released or dropped them meanwhile: whoever gets \
                     them from the archive may get them twice"
                );
            }
        }
        for (message, reason) in &self.left {
            text += &format!("\nleft out: {message}: {reason}");
        }
        text
    }
}

/// A message as it comes.
#[derive(Default)]
struct Coming {
    /// Where it begins in the archive.
    begin: u64,
    envelope: Option<Envelope>,
    recipients: Vec<Recipient>,
    /// Its header is written, and so much of its content.
    begun: bool,
    written: u64,
    digest: Sha256,
    passed: bool,
    trouble: Option<String>,
}

enum Fate {
    Written {
        waiting: usize,
        octets: u64,
    },
    /// It is not meant, or waits no more.
    Passed,
    Left(String),
}

impl Coming {
    fn take(&mut self, part: Part, archive: &mut Archive) -> Result<(), String> {
        match part {
            Part::Envelope(envelope) => self.envelope = Some(*envelope),
            Part::Recipient(recipient) => self.recipients.push(*recipient),
            Part::Content(octets) => {
                self.begin_content(archive)?;
                self.digest.update(&octets.0);
                self.written += u64::try_from(octets.0.len()).unwrap_or(u64::MAX);
                archive.write(&octets.0)?;
            }
            Part::Passed => self.passed = true,
            Part::Left(reason) => self.trouble = Some(reason),
            Part::Dropped(_) | Part::Kept { .. } => {}
        }
        Ok(())
    }

    fn begin_content(&mut self, archive: &mut Archive) -> Result<(), String> {
        let Some(envelope) = self.envelope.as_ref().filter(|_| !self.begun) else { return Ok(()) };
        let (id, seconds) = (envelope.message, envelope.accepted_us / 1_000_000);
        let text = record::text(envelope, &self.recipients)?;
        archive.file(&record::envelope_of(id), text.as_bytes(), seconds)?;
        archive.write(&header(&record::content_of(id), envelope.bytes, seconds)?)?;
        self.begun = true;
        Ok(())
    }

    fn end(mut self, archive: &mut Archive) -> Result<Fate, String> {
        if self.passed {
            return Ok(Fate::Passed);
        }
        if self.trouble.is_none() {
            self.begin_content(archive)?;
        }
        let trouble = match (self.trouble, &self.envelope) {
            (Some(reason), _) => Some(reason),
            (None, Some(envelope)) => {
                let is_whole = self.written == envelope.bytes && self.digest.finalize().as_slice() == envelope.sha256;
                (!is_whole).then(|| "its content is not what was accepted".to_owned())
            }
            (None, None) => return Err("the service answered something else: is it another version?".to_owned()),
        };
        if let Some(reason) = trouble {
            archive.take_back(self.begin)?;
            return Ok(Fate::Left(reason));
        }
        archive.write(&tar::padding(self.written))?;
        let waiting = self.recipients.iter().filter(|one| one.standing.is_open()).count();
        Ok(Fate::Written { waiting, octets: self.written })
    }
}

fn header(name: &str, size: u64, seconds: u64) -> Result<Vec<u8>, String> {
    tar::header(name, size, seconds).map_err(|error| error.to_string())
}

/// What an export that failed left where it could not remove it: an empty file of our own, that nobody else reads or names.
fn empty(path: &Path) -> Option<File> {
    let flags = nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK;
    let file = OpenOptions::new().append(true).custom_flags(flags).open(path).ok()?;
    let is = file.metadata().ok()?;
    let is_ours = is.uid() == nix::unistd::geteuid().as_raw() && is.nlink() == 1 && is.mode() & 0o777 == 0o600;
    (is.is_file() && is.len() == 0 && is_ours).then_some(file)
}

/// Where it is written to.
struct Archive {
    /// None is standard output.
    file: Option<(File, PathBuf)>,
    /// The directory of the file: its name must be as durable as what is in it.
    folder: Option<File>,
    length: u64,
    finished: bool,
}

impl Archive {
    /// Before anything else: what is opened later may be out of reach.
    fn create(path: Option<&Path>) -> Result<Self, String> {
        let Some(path) = path else {
            if io::stdout().is_terminal() {
                return Err("an archive is nothing for a terminal: give --out FILE, or redirect it".to_owned());
            }
            return Ok(Self { file: None, folder: None, length: 0, finished: false });
        };
        let said = |error: io::Error| match error.kind() {
            io::ErrorKind::AlreadyExists => format!("{} exists already: name a file that does not", path.display()),
            _ => format!("{}: {error}", path.display()),
        };
        // Each write goes to where the file ends, also when a part of it was taken back.
        let file = match OpenOptions::new().append(true).create_new(true).mode(0o600).open(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => empty(path).ok_or(error),
            opened => opened,
        };
        let file = file.map_err(said)?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let folder = Some(File::open(folder).map_err(said)?);
        let path = std::path::absolute(path).map_err(said)?;
        Ok(Self { file: Some((file, path)), folder, length: 0, finished: false })
    }

    fn write(&mut self, octets: &[u8]) -> Result<(), String> {
        let written = match &mut self.file {
            Some((file, _)) => file.write_all(octets),
            None => io::stdout().write_all(octets),
        };
        written.map_err(|error| format!("writing the archive: {error}"))?;
        self.length += u64::try_from(octets.len()).unwrap_or_default();
        Ok(())
    }

    fn file(&mut self, name: &str, content: &[u8], seconds: u64) -> Result<(), String> {
        let size = u64::try_from(content.len()).unwrap_or(u64::MAX);
        self.write(&header(name, size, seconds)?)?;
        self.write(content)?;
        self.write(&tar::padding(size))
    }

    /// Undoes what was written from there on.
    fn take_back(&mut self, to: u64) -> Result<(), String> {
        match &self.file {
            _ if self.length == to => Ok(()),
            Some((file, path)) => {
                self.length = to;
                file.set_len(to).map_err(|error| format!("{}: {error}", path.display()))
            }
            None => Err("a message could not be read to its end: give --out FILE, where it can be left out".to_owned()),
        }
    }

    /// Ends it, and has it on the disk.
    fn finish(&mut self) -> Result<(), String> {
        self.write(&tar::end())?;
        let synced = match (&self.file, &self.folder) {
            (Some((file, _)), Some(folder)) => file.sync_all().and_then(|()| folder.sync_all()),
            _ => io::stdout().flush(),
        };
        synced.map_err(|error| format!("writing the archive: {error}"))?;
        self.finished = true;
        Ok(())
    }

    /// A part of an archive is worth nothing.
    fn remove(&self) {
        if let Some((file, path)) = &self.file {
            // Where this process may not remove it any more, it is empty, and not taken for an archive.
            let _ = file.set_len(0).and_then(|()| fs::remove_file(path));
        }
    }
}
