//! `gatepost queue import`: takes the messages of an archive into the queue, held, unless this gate has them or had them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read, Seek};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::ended::{Ended, Told};
use super::lines::Lines;
use super::source::Source;
use super::{record, tar};
use crate::cli::control::strange;
use crate::cli::fail;
use crate::cli::out::say;
use crate::ipc::admin::queue::transfer::{Command as Transfer, Envelope, Recipient, Response as Part};
use crate::ipc::admin::queue::{Command, Response};
use crate::ipc::bytes::Octets;
use crate::ipc::frame::MAX_CONTENT;
use crate::mail::id::MessageId;
use crate::vault::offline::transfer::Converse;

/// The longest envelope that is read: of a message to a hundred thousand.
const MAX_ENVELOPE: u64 = 64 * 1024 * 1024;

#[derive(Debug, Args)]
pub struct Import {
    /// An archive of gatepost queue export
    file: PathBuf,
    /// Take the messages in for this credential instead of their own
    #[arg(long = "as", value_name = "ID")]
    credential: Option<String>,
    /// Offer at once what was not held where it came from
    #[arg(long)]
    release: bool,
    /// Take in also what the rules of the credential forbid here
    #[arg(long)]
    regardless: bool,
    /// Why, for the audit log
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Print {"messages": ..., "recipients": ..., "released": ..., "left": [...]} instead
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    source: Source,
}

/// What has come of it.
#[derive(Default)]
struct Sum {
    messages: usize,
    recipients: usize,
    released: usize,
    /// What was not taken in, and why.
    left: Vec<(MessageId, String)>,
}

impl Import {
    pub fn run(&self) -> ExitCode {
        let mut sum = Sum::default();
        match self.import(&mut sum) {
            Ok(()) => {
                say!("{}", if self.json { sum.json() } else { sum.told() });
                if sum.left.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
            }
            Err(reason) if sum.messages > 0 => fail(&format!("{reason}\nBefore that, {}", sum.told())),
            Err(reason) => fail(&reason),
        }
    }

    fn import(&self, sum: &mut Sum) -> Result<(), String> {
        let about = |reason: String| format!("{}: {reason}", self.file.display());
        let mut file = File::open(&self.file).map_err(|error| about(error.to_string()))?;
        // Nothing of it is taken in before all of it was found to be one.
        let told = survey(&file).map_err(about)?;
        file.rewind().map_err(|error| about(format!("{error}: it must be a file, and no pipe")))?;
        let ended = Ended::look(&self.source.places()?, &told)?;
        self.source.converse(None, |ask| {
            let mut archive = tar::Reader::new(BufReader::new(&file));
            while let Some((envelope, recipients)) = envelope(&mut archive).map_err(about)? {
                let message = envelope.message;
                let waiting = recipients.iter().filter(|one| one.standing.is_open()).count();
                let taken = match told.get(&message).and_then(|told| ended.obstacle(message, told)) {
                    Some(reason) => Err(reason),
                    None => self.one(ask, envelope, recipients, &mut archive).map_err(about)?,
                };
                match taken {
                    Ok(released) => {
                        sum.messages += 1;
                        sum.recipients += waiting;
                        sum.released += usize::from(released);
                    }
                    Err(reason) => sum.left.push((message, reason)),
                }
            }
            Ok(true)
        })
    }

    /// Whether it was released; or why it was not taken in.
    ///
    /// Errors: nothing more can be done.
    fn one(
        &self,
        ask: &mut Converse<'_>,
        envelope: Envelope,
        recipients: Vec<Recipient>,
        archive: &mut tar::Reader<impl Read>,
    ) -> Result<Result<bool, String>, String> {
        let credential = self.credential.clone();
        if let Some(reason) = tell(ask, Transfer::Begin { envelope: Box::new(envelope), credential })?.left {
            return Ok(Err(reason));
        }
        for recipient in recipients {
            if let Some(reason) = tell(ask, Transfer::Recipient(Box::new(recipient)))?.left {
                return Ok(Err(reason));
            }
        }
        let mut lines = Lines::default();
        loop {
            let octets = archive.read(MAX_CONTENT)?;
            if octets.is_empty() {
                break;
            }
            lines.take(&octets);
            if let Some(reason) = tell(ask, Transfer::Content(Octets(octets)))?.left {
                return Ok(Err(reason));
            }
        }
        if let Err(fault) = lines.verdict() {
            // What was begun and has no end is forgotten.
            return Ok(Err(fault.told()));
        }
        let answer = tell(ask, self.end())?;
        match (answer.left, answer.kept) {
            (Some(reason), _) => Ok(Err(reason)),
            (None, Some(released)) => Ok(Ok(released)),
            (None, None) => Err(strange()),
        }
    }
}

impl Import {
    fn end(&self) -> Transfer {
        Transfer::End { release: self.release, regardless: self.regardless, note: self.reason.clone() }
    }
}

#[derive(Default)]
struct Answer {
    left: Option<String>,
    kept: Option<bool>,
}

fn tell(ask: &mut Converse<'_>, command: Transfer) -> Result<Answer, String> {
    let mut answer = Answer::default();
    ask(Command::Transfer(command), &mut |part| {
        match part {
            Response::Transfer(Part::Left(reason)) => answer.left = Some(reason),
            Response::Transfer(Part::Kept { released }) => answer.kept = Some(released),
            _ => return Err(strange()),
        }
        Ok(())
    })?;
    Ok(answer)
}

/// Reads what is said of the next message; its content is next then. None at the end.
fn envelope(archive: &mut tar::Reader<impl Read>) -> Result<Option<(Envelope, Vec<Recipient>)>, String> {
    let Some(entry) = archive.next()? else { return Ok(None) };
    if entry.size > MAX_ENVELOPE {
        return Err(format!("{:?} is too long to be an envelope", entry.name));
    }
    let text = archive.read(usize::try_from(entry.size).unwrap_or_default())?;
    let (envelope, recipients) = record::read(&text).map_err(|reason| format!("{:?}: {reason}", entry.name))?;
    let expected = record::content_of(envelope.message);
    match archive.next()? {
        Some(content) if entry.name != record::envelope_of(envelope.message) || content.name != expected => {
            Err(format!("{:?} and then {:?} is not what an export has of a message", entry.name, content.name))
        }
        Some(content) if content.size == envelope.bytes => Ok(Some((envelope, recipients))),
        Some(content) => Err(format!("{expected} has {} octets instead of {}", content.size, envelope.bytes)),
        None => Err(format!("{expected} is missing")),
    }
}

/// All messages of an archive, with those whom it has waiting and the others.
fn survey(file: &File) -> Result<BTreeMap<MessageId, Told>, String> {
    let mut archive = tar::Reader::new(BufReader::new(file));
    let mut all = BTreeMap::new();
    while let Some((envelope, recipients)) = envelope(&mut archive)? {
        if all.insert(envelope.message, Told::of(&envelope, &recipients)).is_some() {
            return Err(format!("message {} is in it twice", envelope.message));
        }
    }
    Ok(all)
}

impl Sum {
    fn json(&self) -> String {
        let left =
            self.left.iter().map(|(message, reason)| serde_json::json!({ "message": message, "reason": reason }));
        serde_json::json!({
            "messages": self.messages,
            "recipients": self.recipients,
            "released": self.released,
            "left": left.collect::<Vec<_>>(),
        })
        .to_string()
    }

    fn told(&self) -> String {
        let held = self.messages - self.released;
        let mut text = format!("taken in: {} messages, {} recipients", self.messages, self.recipients);
        if held > 0 {
            text += &format!("; {held} of them are held: `gatepost queue release` has them delivered");
        }
        for (message, reason) in &self.left {
            text += &format!("\nnot taken in: {message}: {reason}");
        }
        text
    }
}
