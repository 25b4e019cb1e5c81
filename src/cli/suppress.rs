//! `gatepost suppress`: addresses that nothing is sent to, in the running service.

mod table;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use clap::{Args, Subcommand};
use serde_json::json;

use super::confirm::confirm;
use super::queue::time;
use super::{Config, control, fail, places};
use crate::cli::control::strange;
use crate::cli::out::say;
use crate::config;
use crate::ipc::admin::credential::Command as About;
use crate::ipc::admin::suppress::{Command, Entry, MOST, Place, Response};
use crate::ipc::admin::{Command as Any, Response as Answer};
use crate::mail::address::Address;
use crate::policy::suppression::Reason;
use crate::vault::audit::ledger::now_us;
use crate::vault::audit::visible::{visible, visible_json};

/// The longest list that is read at once.
const MOST_OCTETS: u64 = 64 * 1024 * 1024;

#[derive(Debug, Subcommand)]
pub enum Suppress {
    /// Send nothing to these addresses
    Add(Add),
    /// Send to them again
    Remove(Remove),
    /// Show to whom nothing is sent, and why
    List(List),
    /// Add the addresses of a file: CSV, an address in each line, and the reason behind a comma
    Import(Import),
    /// Write the list as such a file, to standard output
    Export(Export),
}

/// For whom, and for how long.
#[derive(Debug, Args)]
struct Terms {
    /// Only of this credential's mail
    #[arg(long, value_name = "ID")]
    credential: Option<String>,
    /// Why nothing is sent there: manual, bounce or complaint
    #[arg(long, value_name = "WORD", default_value = "manual")]
    reason: Reason,
    /// How long, such as 30d; for good otherwise
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    lifetime: Option<Duration>,
    /// What the list and the audit log say of it
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
    /// Change also what is there for longer, or by hand where this is for bounces
    #[arg(long)]
    replace: bool,
}

#[derive(Debug, Args)]
pub struct Add {
    #[arg(required = true, value_name = "ADDRESS", value_parser = mailbox)]
    addresses: Vec<Address>,
    #[command(flatten)]
    terms: Terms,
    /// Print {"added": ..., "changed": ..., "kept": ...} instead
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: Config,
}

#[derive(Debug, Args)]
pub struct Remove {
    #[arg(required_unless_present = "file", value_name = "ADDRESS", value_parser = mailbox)]
    addresses: Vec<Address>,
    /// Also those of a file, as `import` takes and `export` writes it
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// What is there for this credential alone; what is there for all stays
    #[arg(long, value_name = "ID")]
    credential: Option<String>,
    /// What the audit log says of it
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
    /// Ask nothing before the addresses of a file are taken off
    #[arg(long)]
    yes: bool,
    /// Print {"changed": ...} instead
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: Config,
}

#[derive(Debug, Args)]
pub struct List {
    /// Only what is there for this credential alone
    #[arg(long, value_name = "ID")]
    credential: Option<String>,
    /// Only this address
    #[arg(long, value_name = "ADDRESS", value_parser = mailbox)]
    address: Option<Address>,
    /// Print an object for each instead
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: Config,
}

#[derive(Debug, Args)]
pub struct Import {
    /// The list
    file: PathBuf,
    #[command(flatten)]
    terms: Terms,
    /// Print {"added": ..., "changed": ..., "kept": ...} instead
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: Config,
}

#[derive(Debug, Args)]
pub struct Export {
    /// Only what is there for this credential alone; otherwise only what is there for all
    #[arg(long, value_name = "ID")]
    credential: Option<String>,
    #[command(flatten)]
    config: Config,
}

impl Suppress {
    pub fn run(&self) -> ExitCode {
        let done = match self {
            Self::Add(Add { addresses, terms, json, config }) => {
                let entries = addresses.iter().map(|one| (one.clone(), terms.reason)).collect();
                add(config, entries, terms).map(|sum| sum.tell(*json))
            }
            Self::Import(Import { file, terms, json, config }) => read(file, terms.reason, "added")
                .and_then(|entries| add(config, entries, terms))
                .map(|sum| sum.tell(*json)),
            Self::Remove(remove) => remove.run(),
            Self::List(List { credential, address, json, config }) => {
                list(config, credential.clone(), address.clone(), |entry| match json {
                    true => say!("{}", visible_json(&object(entry).to_string())),
                    false => say!("{}", visible(&line(entry))),
                })
            }
            Self::Export(Export { credential, config }) => export(config, credential.as_deref()),
        };
        done.map_or_else(|reason| fail(&reason), |()| ExitCode::SUCCESS)
    }
}

impl Remove {
    /// Whoever is to be taken off. The reasons of a file are no matter.
    fn whom(&self) -> Result<Vec<Address>, String> {
        let read = self.file.as_ref().map(|file| read(file, Reason::Manual, "taken off"));
        let entries = read.transpose()?.unwrap_or_default();
        Ok(self.addresses.iter().cloned().chain(entries.into_iter().map(|(address, _)| address)).collect())
    }

    fn run(&self) -> Result<(), String> {
        let whom = self.whom()?;
        if let Some(file) = &self.file {
            let (count, file) = (whom.len(), visible(&file.display().to_string()));
            confirm(
                self.yes,
                &format!("takes {count} addresses off the list, with those of {file}: mail goes to them again"),
            )?;
        }
        let mut line = open(&self.config)?;
        let (mut changed, mut absent) = (0, 0);
        for addresses in whom.chunks(MOST) {
            let (addresses, scope) = (addresses.to_vec(), self.credential.clone());
            ask(&mut line, Command::Remove { addresses, scope, note: self.note.clone() }, |part| match part {
                Response::Changed(count) => changed += count,
                Response::Absent(address) => {
                    absent += 1;
                    eprintln!("{}", visible(&format!("not there: {address}")));
                }
                Response::Holds(entry) => eprintln!("{}", visible(&format!("there still: {}", self::line(&entry)))),
                _ => {}
            })?;
        }
        match self.json {
            true => say!("{}", json!({ "changed": changed })),
            false => say!("taken off the list: {changed} addresses"),
        }
        match (absent, &self.credential) {
            (0, _) => Ok(()),
            (_, None) => Err(format!(
                "{absent} of them are not on the list for all; what is there for a credential alone needs --credential"
            )),
            (_, Some(id)) => Err(format!("{absent} of them are not on the list for the mail of {id}")),
        }
    }
}

/// What became of those who were to be added.
#[derive(Default)]
struct Sum {
    added: u64,
    changed: u64,
    kept: u64,
}

impl Sum {
    fn tell(&self, as_json: bool) {
        let Self { added, changed, kept } = self;
        if as_json {
            say!("{}", json!({ "added": added, "changed": changed, "kept": kept }));
            return;
        }
        say!("nothing is sent to {} addresses, {added} of which were not there before", added + changed + kept);
        if *kept > 0 {
            say!("{kept} are there for longer, or by hand, and stay as they were: --replace changes them, too");
        }
    }
}

fn add(config: &Config, entries: Vec<(Address, Reason)>, terms: &Terms) -> Result<Sum, String> {
    let mut line = open(config)?;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let end = terms.lifetime.and_then(|lifetime| now.checked_add(lifetime));
    let expires_us = end.map(|end| u64::try_from(end.as_micros()).unwrap_or(u64::MAX));
    let (mut sum, mut given) = (Sum::default(), 0);
    for entries in entries.chunks(MOST) {
        let (scope, note, replace) = (terms.credential.clone(), terms.note.clone(), terms.replace);
        let command = Command::Add { entries: entries.to_vec(), scope, expires_us, note, replace };
        ask(&mut line, command, |part| {
            if let Response::Added { added, changed, kept } = part {
                sum = Sum { added: sum.added + added, changed: sum.changed + changed, kept: sum.kept + kept };
            }
        })?;
        given += u64::try_from(entries.len()).unwrap_or(u64::MAX);
        let added = sum.added + sum.changed;
        if added + sum.kept < given {
            return Err(format!("the list is full: {added} were added, and no more have room; remove others first"));
        }
    }
    Ok(sum)
}

fn list(
    config: &Config,
    scope: Option<String>,
    address: Option<Address>,
    mut each: impl FnMut(&Entry),
) -> Result<(), String> {
    let mut line = open(config)?;
    let mut is_empty = true;
    let (mut after, mut goes_on): (Option<Place>, bool) = (None, true);
    while goes_on {
        let command = Command::List { after: after.clone(), scope: scope.clone(), address: address.clone() };
        goes_on = false;
        line.ask(Any::Suppress(command), |part| {
            match part {
                Answer::Suppress(Response::Entry(entry)) => {
                    is_empty = false;
                    each(&entry);
                }
                // Never the same again, whatever is said: it would be without end.
                Answer::Suppress(Response::Next(Some(next))) if after.as_ref() != Some(&next) => {
                    (after, goes_on) = (Some(next), true);
                }
                _ => {}
            }
            Ok(())
        })?;
    }
    // A slip of the hand must not look like an empty list. What was there for one that was removed is shown by its name all the same.
    match scope.filter(|_| is_empty) {
        Some(id) => line.ask_one(Any::Credential(About::Show { id })).map(drop),
        None => Ok(()),
    }
}

/// What can't be said again, because it was erased, is told of: it stays on the list here, and is in no other.
fn export(config: &Config, credential: Option<&str>) -> Result<(), String> {
    let mut erased = 0;
    list(config, credential.map(str::to_owned), None, |entry| match &entry.address {
        _ if entry.scope.as_deref() != credential || entry.expires_us.is_some_and(|end| end <= now_us()) => {}
        Some(address) => say!("{}", table::line(address, entry.reason)),
        None => erased += 1,
    })?;
    if erased > 0 {
        eprintln!("gatepost: {erased} more have no address any more, because it was erased");
    }
    Ok(())
}

fn read(file: &PathBuf, otherwise: Reason, done: &str) -> Result<Vec<(Address, Reason)>, String> {
    let about = |why: String| format!("{}: {why}", file.display());
    let length = fs::metadata(file).map_err(|error| about(error.to_string()))?.len();
    if length > MOST_OCTETS {
        return Err(about("it is longer than 64 MiB: give it in parts".to_owned()));
    }
    let text = fs::read_to_string(file).map_err(|error| about(error.to_string()))?;
    table::read(&text, otherwise).map_err(|wrong| about(format!("nothing of it was {done}:\n{wrong}")))
}

fn open(config: &Config) -> Result<control::Line, String> {
    let runtime = places(&config.path)?.runtime_directory;
    let nobody = || control::not_running(&runtime);
    control::Line::open(&runtime)?.ok_or_else(nobody)
}

fn ask(line: &mut control::Line, command: Command, mut hear: impl FnMut(Response)) -> Result<(), String> {
    line.ask(Any::Suppress(command), |part| match part {
        Answer::Suppress(part) => {
            hear(part);
            Ok(())
        }
        _ => Err(strange()),
    })
}

fn object(entry: &Entry) -> serde_json::Value {
    json!({
        "address": entry.address,
        "credential": entry.scope,
        "reason": entry.reason.word(),
        "since": time(entry.since_us),
        "expires": entry.expires_us.map(time),
        "note": entry.note,
    })
}

fn line(entry: &Entry) -> String {
    let address = entry.address.as_deref().unwrap_or("(erased)");
    let mut text = format!("{address} {} since {}", entry.reason.word(), time(entry.since_us));
    if let Some(expires) = entry.expires_us {
        text += &format!(", until {}", time(expires));
    }
    if let Some(scope) = &entry.scope {
        text += &format!(", of {scope}'s mail");
    }
    if let Some(note) = &entry.note {
        text += &format!(": {note}");
    }
    text
}

fn mailbox(text: &str) -> Result<Address, String> {
    Address::parse_international(text).map_err(|why| format!("{why}: write \"user@domain\""))
}

fn duration(text: &str) -> Result<Duration, String> {
    config::duration(text).ok_or_else(|| "write a length of time such as 30d".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(subcommand)]
        suppress: Suppress,
    }

    fn remove(arguments: &[&str]) -> Remove {
        let all = [&["suppress", "remove"], arguments].concat();
        match Line::try_parse_from(all).unwrap().suppress {
            Suppress::Remove(remove) => remove,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_an_import_added_is_taken_off_by_the_same_file() {
        assert!(Line::try_parse_from(["suppress", "remove"]).is_err(), "somebody must be named");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("list.csv");
        let many: String = (0..100).map(|n| format!("r{n}@example.org,bounce\n")).collect();
        fs::write(&path, format!("address,reason\n{many}")).unwrap();
        let file = path.to_str().unwrap();
        let whom = remove(&["ann@example.org", "--file", file]).whom().unwrap();
        assert_eq!(
            (whom.len(), whom[0].to_string(), whom[100].to_string().as_str()),
            (101, "ann@example.org".into(), "r99@example.org")
        );
        assert_eq!(remove(&["--file", file]).whom().unwrap().len(), 100);
        fs::write(&path, "ann@example.org\nnobody\n").unwrap();
        let wrong = remove(&["--file", file]).whom().unwrap_err();
        assert!(wrong.contains("nothing of it was taken off"), "{wrong}");
        assert!(remove(&["--file", "/nonexistent/list"]).whom().is_err());
    }
}
