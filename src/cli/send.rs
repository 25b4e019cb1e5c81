//! `gatepost send`: a test message for a credential, and what becomes of it, while it happens.

mod follow;
mod letter;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde_json::json;

use super::{Config, control, fail, places};
use crate::cli::control::strange;
use crate::cli::out::say;
use crate::config;
use crate::ipc::admin::credential::{Command as About, Entry, Response as Told};
use crate::ipc::admin::submit::{Command, MOST, Response};
use crate::ipc::admin::{Command as Any, Response as Answer};
use crate::ipc::bytes::Octets;
use crate::ipc::frame::MAX_CONTENT;
use crate::mail::address::Address;
use crate::mail::facts::Facts;
use crate::mail::id::MessageId;
use crate::policy::rule::SenderRule;
use crate::vault::audit::visible::visible;

#[derive(Debug, Args)]
pub struct Send {
    /// To whom (may be given several times)
    #[arg(long = "to", value_name = "ADDRESS", required = true, value_parser = mailbox)]
    to: Vec<Address>,
    /// From whom; by default an address that the credential may be
    #[arg(long, value_name = "ADDRESS", value_parser = mailbox)]
    from: Option<Address>,
    /// For which credential; not needed where there is only one
    #[arg(long, value_name = "ID")]
    credential: Option<String>,
    #[arg(long, value_name = "TEXT", default_value = "A test of Gatepost", conflicts_with = "file")]
    subject: String,
    /// Send this message, whose From must be an address of the credential, instead of one that is made up
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// How long to follow it, such as 60s
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = wait)]
    wait: Duration,
    /// Print an object a line instead
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: Config,
}

impl Send {
    pub fn run(&self) -> ExitCode {
        match self.send() {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::FAILURE,
            Err(reason) => fail(&reason),
        }
    }

    /// Whether everybody has got it.
    fn send(&self) -> Result<bool, String> {
        if self.to.len() > MOST {
            return Err(format!("--to: at most {MOST} recipients of a test"));
        }
        let runtime = places(&self.config.path)?.runtime_directory;
        let Some(mut line) = control::Line::open(&runtime)? else {
            return Err(control::not_running(&runtime));
        };
        let entry = self.entry(&mut line)?;
        let from = match &self.from {
            Some(from) => from.clone(),
            None => sender(&entry)?,
        };
        let begin = Command::Begin { credential: entry.id.clone(), sender: from.clone(), recipients: self.to.clone() };
        let (message, hostname) = match ask(&mut line, begin)? {
            Response::Begun { message, hostname } => (message, hostname),
            other => return Err(refused(&other)),
        };
        let about = letter::About { message, hostname: &hostname, from: &from, to: &self.to, subject: &self.subject };
        let (content, facts) = letter::compose(&about, self.file.as_deref(), &entry.policy)?;
        for octets in content.chunks(MAX_CONTENT) {
            line.ask(Any::Submit(Command::Content(Octets(octets.to_vec()))), |_| Ok(()))?;
        }
        commit(&mut line, message, facts)?;
        self.accepted(message, &entry.id, &from, content.len());
        follow::follow(&mut line, message, self.wait, self.json)
    }

    fn entry(&self, line: &mut control::Line) -> Result<Entry, String> {
        // One is answered by itself, and a list has an end.
        if let Some(id) = &self.credential {
            return match line.ask_one(Any::Credential(About::Show { id: id.clone() }))? {
                Answer::Credential(Told::Entry(entry)) => Ok(*entry),
                _ => Err(strange()),
            };
        }
        let mut found = Vec::new();
        line.ask(Any::Credential(About::List), |part| {
            if let Answer::Credential(Told::Entry(entry)) = part {
                found.push(*entry);
            }
            Ok(())
        })?;
        match found.len() {
            0 => Err("there is no credential: gatepost credential add".to_owned()),
            1 => found.pop().ok_or_else(strange),
            _ => {
                Err("there is more than one credential: name one with --credential (gatepost credential list)"
                    .to_owned())
            }
        }
    }

    fn accepted(&self, message: MessageId, credential: &str, from: &Address, octets: usize) {
        match self.json {
            true => say!(
                "{}",
                json!({ "event": "accepted", "message": message, "credential": credential, "from": from, "octets": octets })
            ),
            false => say!("{}", visible(&format!("{message} accepted: {octets} octets of {credential}, from {from}"))),
        }
    }
}

/// An address that the credential may be.
fn sender(entry: &Entry) -> Result<Address, String> {
    let rules = &entry.policy.senders;
    let of_rule = |rule: &SenderRule| match rule {
        SenderRule::Address(own) | SenderRule::Tagged(own) => Some(own.clone()),
        SenderRule::Domain(domain) => Address::parse(&format!("gatepost-test@{domain}")).ok(),
        SenderRule::Any => None,
    };
    rules.iter().find_map(of_rule).ok_or_else(|| format!("credential {:?} names no sender: give --from", entry.id))
}

fn ask(line: &mut control::Line, command: Command) -> Result<Response, String> {
    let mut answer = None;
    line.ask(Any::Submit(command), |part| {
        if let Answer::Submit(response) = part {
            answer = Some(response);
        }
        Ok(())
    })?;
    answer.ok_or_else(strange)
}

/// The dot. When no word comes, the message may be kept: whoever then sends it again may send it twice.
fn commit(line: &mut control::Line, message: MessageId, facts: Facts) -> Result<(), String> {
    match ask(line, Command::Commit { facts }) {
        Ok(Response::Kept) => Ok(()),
        Ok(other) => Err(refused(&other)),
        Err(reason) => Err(format!(
            "no word came whether message {message} is kept, so it may be sent. Look before you send it again: gatepost queue show \
             {message}, or, when the queue has forgotten it, gatepost audit query --message {message}. ({reason})"
        )),
    }
}

fn refused(answer: &Response) -> String {
    match answer {
        Response::Refused { word, wait: Some(seconds) } => format!("refused: {word}, for {seconds} seconds"),
        Response::Refused { word, wait: None } => {
            format!("refused: {word}; the audit log has more: gatepost audit query --event msg.reject --limit 1")
        }
        Response::Begun { .. } | Response::Kept => strange(),
    }
}

fn mailbox(text: &str) -> Result<Address, String> {
    Address::parse(text).map_err(|why| format!("{why}: write \"user@domain\""))
}

fn wait(text: &str) -> Result<Duration, String> {
    config::duration(text).ok_or_else(|| "write a length of time such as 60s or 5m".to_owned())
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;
    use crate::ipc::admin::Request;
    use crate::ipc::frame::{Inbox, Outbox};

    /// A service that reads one command, and answers so or goes away without a word.
    fn asked(answers: Vec<Answer>) -> Result<(), String> {
        use std::io::{Read as _, Write as _};
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(control::socket(folder.path())).unwrap();
        let service = std::thread::spawn(move || {
            let (mut socket, _) = listener.accept().unwrap();
            let (mut inbox, mut buffer) = (Inbox::default(), [0; 4096]);
            while inbox.take::<Request>().unwrap().is_none() {
                let read = socket.read(&mut buffer).unwrap();
                assert!(read > 0, "a command comes");
                inbox.feed(&buffer[..read]);
            }
            let mut out = Outbox::default();
            answers.iter().for_each(|answer| out.push(answer).unwrap());
            socket.write_all(&out.bytes).unwrap();
        });
        let mut line = control::Line::open(folder.path()).unwrap().unwrap();
        let told = commit(&mut line, MessageId::now(), Facts::default());
        service.join().unwrap();
        told
    }

    #[test]
    fn of_a_message_that_may_be_kept_nobody_is_told_to_try_again() {
        let silence = asked(Vec::new()).unwrap_err();
        assert!(silence.contains("may be sent") && silence.contains("gatepost queue show 0"), "{silence}");
        let unsure = asked(vec![Answer::Refused { reason: "the service ends".to_owned() }]).unwrap_err();
        assert!(unsure.contains("may be sent") && unsure.contains("the service ends"), "{unsure}");
        let refused = Response::Refused { word: "size".to_owned(), wait: None };
        let refused = asked(vec![Answer::Submit(refused), Answer::Done]).unwrap_err();
        assert!(refused.contains("refused: size") && !refused.contains("may be sent"), "{refused}");
        assert_eq!(asked(vec![Answer::Submit(Response::Kept), Answer::Done]), Ok(()));
    }
}
