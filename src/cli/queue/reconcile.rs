//! `gatepost queue reconcile`: after a restore, tells the service which of the held messages another log, newer than the
//! backup, shows as delivered or failed.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use crate::cli::audit::key;
use crate::cli::{Config, control, fail};
use crate::config;
use crate::ipc::admin::queue::{Command, Ended, Reconciled, Response};
use crate::ipc::admin::{Command as Any, Response as Answer};
use crate::mail::id::MessageId;
use crate::vault::audit::archive::Archive;
use crate::vault::audit::query::{self, Filter};
use crate::vault::audit::values::Values;
use crate::vault::audit::verify::{Known, verify};

/// The events after which a recipient waits no more, and whether it got the message.
const ENDS: [(&str, bool); 4] =
    [("deliver.success", true), ("deliver.bounce", false), ("deliver.expire", false), ("queue.drop", false)];
/// Outcomes in one command: a frame has room for many more.
const BATCH: usize = 20;

#[derive(Debug, Args)]
pub struct Reconcile {
    /// The auditors' files of the machine as it was: a directory. By default what the last restore moved aside
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
            Ok(sum) if self.json => {
                let Reconciled { done, unclear, left } = sum;
                let ended = serde_json::json!({ "messages": done.messages, "recipients": done.recipients });
                let left = serde_json::json!({ "messages": left.messages, "recipients": left.recipients });
                println!("{}", serde_json::json!({ "ended": ended, "unclear": unclear, "left": left }));
                ExitCode::SUCCESS
            }
            Ok(sum) => {
                println!("{}", told(sum));
                ExitCode::SUCCESS
            }
            Err(reason) => fail(&reason),
        }
    }

    fn reconcile(&self) -> Result<Reconciled, String> {
        let plan = config::Config::load(&self.config.path).map_err(|errors| errors.to_string())?;
        let state = &plan.state_directory;
        let audit = match &self.audit {
            Some(path) => path.clone(),
            None => latest(state, "audit.before-").ok_or(
                "there is no audit.before-* in the state directory: name the auditors' files of before with --audit, or, if \
                 there are none, release by hand what you know was not delivered",
            )?,
        };
        let believed = if self.unverified { None } else { Some(self.verify(&audit, state)?) };
        let beside = || self.audit.is_none().then(|| latest(state, "db.before-")).flatten();
        let mut values = self.personal.clone().or_else(beside).map(Values::of);
        let Some(mut line) = control::Line::open(&plan.runtime_directory)? else {
            return Err("the service does not run: start it first; what was restored is held".to_owned());
        };
        let mut waiting = waiting(&mut line)?;
        for (event, delivered) in ENDS {
            let filter = Filter { event: Some(event.to_owned()), to: believed, ..Filter::default() };
            query::query(&audit, &filter, |found| {
                let message = found.get("msg_id").and_then(|id| id.parse::<MessageId>().ok());
                let Some(ends) = message.and_then(|message| waiting.get_mut(&message)) else { return };
                // What a restored log says itself about it is no news.
                let shown = found.get("rcpt_to").unwrap_or_default();
                for (n, shown) in (0..).zip(shown.split([',', ' ']).filter(|one| !one.is_empty())) {
                    let clear = values.as_mut().and_then(|values| values.get(&found, "rcpt_to", n));
                    ends.push(Ended { shown: shown.to_owned(), clear, delivered });
                }
            })?;
        }
        let mut sum = Reconciled::default();
        for (message, ended) in waiting.into_iter().filter(|(_, ended)| !ended.is_empty()) {
            // Each batch by itself tells less than all together; only a message to very many has more than one.
            for ended in ended.chunks(BATCH) {
                let command = Command::Reconcile { message, ended: ended.to_vec() };
                sum.add(reconciled(&mut line, command)?);
            }
        }
        sum.left = reconciled(&mut line, Command::Left)?.left;
        Ok(sum)
    }

    /// Verifies that log and gives how many of its events are under a signed head: what it says takes mail out of the queue
    /// for good, so whoever can write to those files must not be able to make it say anything.
    fn verify(&self, audit: &Path, state: &Path) -> Result<u64, String> {
        let key = match &self.key {
            Some(key) => key::read(key),
            None => key::read_file(&state.join("seal").join("log.vkey")),
        };
        let key = key.map_err(|fault| fault.what)?;
        // What came before may be kept elsewhere: mail that waits is younger.
        let from = Archive::open(audit).map_err(|fault| fault.what)?.first();
        let sound = verify(audit, &key, &Known { from, ..Known::default() }, |_| {}).map_err(|fault| {
            format!(
                "the log in {} does not verify, and nothing was done: {}. If it has another key, give that with --key; if you \
                 know that it is what the machine wrote, give --unverified",
                audit.display(),
                fault.what
            )
        })?;
        if sound.sealed < sound.size {
            let tail = sound.size - sound.sealed;
            eprintln!("gatepost: the last {tail} events of that log are under no signed head, and are not believed");
        }
        Ok(sound.sealed)
    }
}

/// Every message that waits, with room for what is found about it.
fn waiting(line: &mut control::Line) -> Result<BTreeMap<MessageId, Vec<Ended>>, String> {
    let mut all = BTreeMap::new();
    let mut after = Some(0);
    while let Some(from) = after {
        after = None;
        line.ask(Any::Queue(Command::List { after: from }), |part| {
            if let Answer::Queue(Response::Listed { messages, next }) = part {
                all.extend(messages.into_iter().map(|message| (message, Vec::new())));
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
    found.ok_or_else(|| "the service answered something else: is it another version?".to_owned())
}

/// The newest directory that a restore moved aside under that name.
fn latest(state: &Path, start: &str) -> Option<PathBuf> {
    let entries = fs::read_dir(state).ok()?.flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok()).filter(|name| name.starts_with(start));
    names.max().map(|name| state.join(name))
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
