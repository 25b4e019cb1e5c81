//! `gatepost queue export`: writes messages that wait, whole, into an archive that another gate can take in.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use sha2::{Digest, Sha256};

use super::archive::{Archive, header};
use super::source::{Source, messages};
use super::{record, tar};
use crate::cli::confirm::confirm;
use crate::cli::control::strange;
use crate::cli::fail;
use crate::ipc::admin::queue::transfer::{Command as Transfer, Envelope, Recipient, Response as Part};
use crate::ipc::admin::queue::{Command, Response};
use crate::mail::id::MessageId;
use crate::vault::offline::transfer::Converse;

/// What makes an archive whole that has all but its end.
const MEND: &str = "When all of them are held or dropped here, append it: dd if=/dev/zero bs=512 count=2 >> FILE";
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
    /// With --drop, but for one message: don't ask on the terminal, where it is asked otherwise; needed where there is none
    #[arg(long, requires = "drop")]
    yes: bool,
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
    /// What the log was told to have as exported, what it has by its answer, and what of it was given up then.
    asked: usize,
    logged: usize,
    dropped: u64,
    /// The archive has its end.
    finished: bool,
    /// What is not in it, and why.
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
            Err(reason) if sum.asked > 0 => fail(&format!("{reason}\n{}", sum.broken_off(self.drop))),
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
        if let Some(what) = self.takes() {
            confirm(self.yes, &what)?;
        }
        let mut archive = Archive::create(file)?;
        let done = self.source.converse(self.credential.as_deref(), |ask| self.write(ask, &mut archive, sum));
        self.end(done, &archive, sum)
    }

    /// What goes with it, unless that is one message, which is meant.
    fn takes(&self) -> Option<String> {
        if !self.drop || self.message.is_some() {
            return None;
        }
        let whose = self.credential.as_ref().map(|id| format!(" of credential {id:?}")).unwrap_or_default();
        Some(format!(
            "gives up all{whose} that waits here, for good, once it is in the archive: this gate delivers none of it any more"
        ))
    }

    /// Whether there was anything.
    fn write(&self, ask: &mut Converse<'_>, archive: &mut Archive, sum: &mut Sum) -> Result<bool, String> {
        let wanted = match self.message {
            Some(message) => vec![message],
            None => messages(ask)?,
        };
        for message in wanted {
            self.one(ask, message, archive, sum)?;
        }
        archive.sync()?;
        self.log(ask, sum)?;
        archive.finish()?;
        sum.finished = true;
        if self.drop {
            self.give_up(ask, sum)?;
        }
        Ok(!sum.messages.is_empty() || !sum.left.is_empty())
    }

    /// From the moment that the log was told of it an archive may be the only place where its messages are: it stays then.
    fn end(&self, done: Result<(), String>, archive: &Archive, sum: &Sum) -> Result<(), String> {
        if done.is_err() && sum.asked == 0 {
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
            _ => Err(strange()),
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
            // No answer is no answer: it may have been written down all the same.
            sum.asked += messages.len();
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
        let (written, doubtful) = (self.messages.len(), self.asked - self.logged);
        let mut text =
            format!("All {written} messages are in the archive, and the log here has {} of them", self.logged);
        if doubtful > 0 {
            text +=
                &format!("; whether it has {doubtful} more is not known (gatepost audit query --event queue.export)");
        }
        if drop {
            text += &format!(". {} of those that it has were dropped, and the others are held", self.dropped);
            text += "; what it does not have is offered again: see gatepost queue list";
        }
        if !self.finished {
            text += &format!(
                ". So that nobody gets them twice the archive has no end yet, and nothing takes it in. {MEND}"
            );
        } else if drop {
            text += ". Drop here what you take in elsewhere";
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
            (None, None) => return Err(strange()),
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

#[cfg(test)]
mod tests;
