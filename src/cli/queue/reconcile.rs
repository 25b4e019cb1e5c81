//! `gatepost queue reconcile`: after a restore, tells the service which of the held messages another log, newer than the
//! backup, shows as delivered or failed.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::before::{self, Before, Place};
use super::lost::Lost;
use super::news::{self, News};
use super::told::Waiting;
use crate::cli::audit::place::{Latest, audit_directory};
use crate::cli::control::strange;
use crate::cli::out::say;
use crate::cli::{Config, control, fail, places};
use crate::ipc::admin::queue::{Command, Reconciled, Response};
use crate::ipc::admin::{Command as Any, Response as Answer};
use crate::mail::id::MessageId;

/// What is said in one command: a frame has room for many more.
const BATCH: usize = 20;

#[derive(Debug, Args)]
pub struct Reconcile {
    /// The auditors' files of the machine as it was: a directory. By default what restores moved aside
    #[arg(long, value_name = "DIRECTORY")]
    audit: Option<PathBuf>,
    /// The personal files beside them, which tell recipients apart that auditors see as one
    #[arg(long, value_name = "DIRECTORY")]
    personal: Option<PathBuf>,
    /// The verifier key of that log, or a file that holds it; by default seal/log.vkey of the state directory
    #[arg(long, value_name = "VKEY")]
    key: Option<String>,
    /// Believe that log although it doesn't verify, and what stands in it under no signed head
    #[arg(long, conflicts_with = "key")]
    unverified: bool,
    /// Print an object instead
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: Config,
}

impl Reconcile {
    pub fn run(&self) -> ExitCode {
        match self.reconcile() {
            Ok((sum, lost)) if self.json => {
                let Reconciled { done, unclear, doubtful, left } = sum;
                let ended = serde_json::json!({ "messages": done.messages, "recipients": done.recipients });
                let left = serde_json::json!({ "messages": left.messages, "recipients": left.recipients });
                let lost = lost.json();
                say!(
                    "{}",
                    serde_json::json!({
                        "ended": ended, "unclear": unclear, "doubtful": doubtful, "left": left, "lost": lost,
                    })
                );
                ExitCode::SUCCESS
            }
            Ok((sum, lost)) => {
                say!("{}{}", told(sum), lost.told());
                ExitCode::SUCCESS
            }
            Err(reason) => fail(&reason),
        }
    }

    fn reconcile(&self) -> Result<(Reconciled, Lost), String> {
        let places = places(&self.config.path)?;
        // What the present log has of before is in its files then.
        Latest::of(&places);
        let present = audit_directory(&places.state_directory);
        let here = (present.clone(), Some(places.state_directory.join("db")));
        let adopted = news::adopted(&present)?;
        let mut logs = self.logs(&places.state_directory, (!adopted.is_empty()).then_some(&here))?;
        let Some(mut line) = control::Line::open(&places.runtime_directory)? else {
            let nobody = control::nobody(&places.runtime_directory);
            return Err(format!("the service does not run ({nobody}): start it first; what was restored is held"));
        };
        let mut waiting = waiting(&mut line)?;
        let mut lost = Lost::default();
        let mut entries = {
            let is_waiting = |message: &MessageId| waiting.has(message);
            let mut entries = logs.iter_mut().map(|log| log.entries(is_waiting)).collect::<Result<Vec<_>, String>>()?;
            let mut back = Before::unverified(here).entries(is_waiting)?;
            entries.iter().for_each(|one| back.learn(one));
            entries.iter_mut().for_each(|one| one.learn(&back));
            entries
        };
        for (log, entries) in logs.iter_mut().zip(&mut entries) {
            let news = News::of(log.parts_from(&present)?, &adopted);
            waiting.hear(log, entries, &news)?;
            lost.add(log, &present)?;
        }
        let mut sum = Reconciled::default();
        for (message, told) in waiting.told() {
            let mut of_message = Reconciled::default();
            for told in told.chunks(BATCH) {
                of_message.add(reconciled(&mut line, Command::Reconcile { message, told: told.to_vec() })?);
            }
            of_message.done.messages = of_message.done.messages.min(1);
            sum.add(of_message);
        }
        sum.left = reconciled(&mut line, Command::Left)?.left;
        Ok((sum, lost))
    }

    /// The logs of before, the oldest first. `own`: the present one, if the database was set back behind it.
    fn logs(&self, state: &Path, own: Option<&Place>) -> Result<Vec<Before>, String> {
        let mut places = match &self.audit {
            Some(audit) => vec![(audit.clone(), None)],
            None => before::moved_aside(state),
        };
        if places.is_empty() {
            places.extend(own.cloned());
        }
        let newest = places.last_mut().ok_or(
            "there is no audit.before-* in the state directory: name the auditors' files of before with --audit, or, if \
             there are none, release by hand what you know was not delivered",
        )?;
        newest.1 = self.personal.clone().or(newest.1.take());
        let open = |place| match self.unverified {
            true => Ok(Before::unverified(place)),
            false => Before::verified(place, state, self.key.as_ref()),
        };
        places.into_iter().map(open).collect()
    }
}

/// Every message that waits, with room for what is found about it.
fn waiting(line: &mut control::Line) -> Result<Waiting, String> {
    let mut all = Waiting::default();
    let mut after = Some(0);
    while let Some(from) = after {
        after = None;
        line.ask(Any::Queue(Command::List { after: from }), |part| {
            if let Answer::Queue(Response::Listed { messages, next }) = part {
                messages.into_iter().for_each(|message| all.add(message));
                after = next;
            }
            Ok(())
        })?;
    }
    Ok(all)
}

fn reconciled(line: &mut control::Line, command: Command) -> Result<Reconciled, String> {
    let mut found = None;
    line.ask(Any::Queue(command), |part| {
        if let Answer::Queue(Response::Reconciled(one)) = part {
            found = Some(one);
        }
        Ok(())
    })?;
    found.ok_or_else(strange)
}

fn told(sum: Reconciled) -> String {
    let Reconciled { done, unclear, doubtful, left } = sum;
    let mut told = format!(
        "{} recipients of {} messages had got theirs, or been given up: they wait no more.\nLeft: {} messages, {} recipients; \
         release them with gatepost queue release --all",
        done.recipients, done.messages, left.messages, left.recipients
    );
    if unclear > 0 {
        told += &format!(
            "\nOf these {unclear} recipients are unclear: some of those whom the log shows alike have got the message. Give \
             --personal if you have those files"
        );
    }
    if doubtful > 0 {
        told += &format!(
            "\nOf {doubtful} recipients nobody knows whether they got the message: an upstream gave no answer"
        );
    }
    if unclear + doubtful > 0 {
        told += "\nThese are quarantined (gatepost queue list --state quarantined): each is released by the id of its message \
                 alone, and may get it twice then";
    }
    told
}
