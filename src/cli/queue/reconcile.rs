//! `gatepost queue reconcile`: after a restore, tells the service which of the held messages another log, newer than the
//! backup, shows as delivered or failed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::before::{self, Before, Mark};
use super::lost::Lost;
use crate::cli::audit::place::{Latest, audit_directory};
use crate::cli::control::strange;
use crate::cli::out::say;
use crate::cli::{Config, control, fail, places};
use crate::ipc::admin::queue::{Command, Ended, Reconciled, Response};
use crate::ipc::admin::{Command as Any, Response as Answer};
use crate::mail::id::MessageId;

/// The events after which a recipient waits no more, and whether it got the message.
pub const ENDS: [(&str, bool); 4] =
    [("deliver.success", true), ("deliver.bounce", false), ("deliver.expire", false), ("queue.drop", false)];
/// Outcomes in one command: a frame has room for many more.
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
                let Reconciled { done, unclear, left } = sum;
                let ended = serde_json::json!({ "messages": done.messages, "recipients": done.recipients });
                let left = serde_json::json!({ "messages": left.messages, "recipients": left.recipients });
                let lost = lost.json();
                say!("{}", serde_json::json!({ "ended": ended, "unclear": unclear, "left": left, "lost": lost }));
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
        let mut logs = self.logs(&places.state_directory)?;
        let Some(mut line) = control::Line::open(&places.runtime_directory)? else {
            let nobody = control::nobody(&places.runtime_directory);
            return Err(format!("the service does not run ({nobody}): start it first; what was restored is held"));
        };
        let mut waiting = waiting(&mut line)?;
        let mut lost = Lost::default();
        // What the present log has of before is in its files then.
        Latest::of(&places);
        let present = audit_directory(&places.state_directory);
        let is_waiting = |message: &MessageId| waiting.contains_key(message);
        let mut entries = logs.iter_mut().map(|log| log.entries(is_waiting)).collect::<Result<Vec<_>, String>>()?;
        let here = (present.clone(), Some(places.state_directory.join("db")));
        let mut back = Before::unverified(here).entries(is_waiting)?;
        entries.iter().for_each(|one| back.learn(one));
        entries.iter_mut().for_each(|one| one.learn(&back));
        for (log, entries) in logs.iter_mut().zip(&entries) {
            for (event, delivered) in ENDS {
                log.recipients(event, None, |found, mark, shown, clear| {
                    // What a restored log says itself about it is no news.
                    let Some(ends) = entries.ended(found, &mark).and_then(|message| waiting.get_mut(&message)) else {
                        return;
                    };
                    let end = Ended { shown: shown.to_owned(), clear, delivered };
                    // A log that was restored, and moved aside in its turn, has the events of the one before.
                    ends.entry(mark).or_insert(end);
                })?;
            }
            lost.add(log, &present)?;
        }
        let mut sum = Reconciled::default();
        for (message, ended) in waiting.into_iter().filter(|(_, ended)| !ended.is_empty()) {
            let ended: Vec<Ended> = ended.into_values().collect();
            // Each batch by itself tells less than all together; only a message to very many has more than one.
            for ended in ended.chunks(BATCH) {
                let command = Command::Reconcile { message, ended: ended.to_vec() };
                sum.add(reconciled(&mut line, command)?);
            }
        }
        sum.left = reconciled(&mut line, Command::Left)?.left;
        Ok((sum, lost))
    }

    /// The logs of before, the oldest first.
    fn logs(&self, state: &Path) -> Result<Vec<Before>, String> {
        let mut places = match &self.audit {
            Some(audit) => vec![(audit.clone(), None)],
            None => before::moved_aside(state),
        };
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
fn waiting(line: &mut control::Line) -> Result<BTreeMap<MessageId, BTreeMap<Mark, Ended>>, String> {
    let mut all = BTreeMap::new();
    let mut after = Some(0);
    while let Some(from) = after {
        after = None;
        line.ask(Any::Queue(Command::List { after: from }), |part| {
            if let Answer::Queue(Response::Listed { messages, next }) = part {
                all.extend(messages.into_iter().map(|message| (message, BTreeMap::new())));
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
    let Reconciled { done, unclear, left } = sum;
    let mut told = format!(
        "{} recipients of {} messages had got theirs, or been given up: they wait no more.\nLeft: {} messages, {} recipients; \
         release them with gatepost queue release --all",
        done.recipients, done.messages, left.messages, left.recipients
    );
    if unclear > 0 {
        told += &format!(
            "\nOf these {unclear} recipients are unclear: some of those whom the log shows alike have got the message. Give \
             --personal if you have those files; else whoever is released may get it twice"
        );
    }
    told
}
