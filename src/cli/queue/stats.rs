//! `gatepost queue stats`: how much waits, by credential, route, state and age, and whether mail is put off for it.

use std::collections::BTreeMap;
use std::process::ExitCode;

use clap::Args;
use serde_json::{Map, Value, json};

use super::list::{time, way};
use super::source::{Source, walk};
use crate::cli::fail;
use crate::cli::out::say;
use crate::cli::status;
use crate::ipc::admin::queue::listing::{By, Sum};
use crate::ipc::admin::queue::{Command, Response};
use crate::vault::audit::visible::{visible, visible_json};

#[derive(Debug, Args)]
pub struct Stats {
    /// Print an object instead
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    source: Source,
}

impl Stats {
    pub fn run(&self) -> ExitCode {
        let mut sums: BTreeMap<By, Sum> = BTreeMap::from([(By::All, Sum::default())]);
        let mut load = None;
        let done = self.source.ask(|ask| {
            for part in ask(Command::Load)? {
                if let Response::Load(told) = part {
                    load = Some(told);
                }
            }
            walk(
                ask,
                |after| Command::Tally { after },
                |part| {
                    if let Response::Tallied(by, sum) = part {
                        sums.entry(by).or_default().add(sum);
                    }
                    true
                },
            )
        });
        if let Err(reason) = done {
            return fail(&reason);
        }
        if self.json {
            let mut object = object(&sums);
            // Of a service that is stopped nobody's mail is put off.
            if let (Some(load), Some(object)) = (&load, object.as_object_mut()) {
                object.insert("shedding".to_owned(), status::load_object(load));
            }
            say!("{}", visible_json(&object.to_string()));
        } else {
            sums.iter().for_each(|(by, sum)| say!("{}", line(by, *sum)));
            load.iter().flat_map(|load| status::shedding(load)).for_each(|line| say!("{line}"));
        }
        ExitCode::SUCCESS
    }
}

/// The heading of what is counted together, and its name under it.
fn name(by: &By) -> (&'static str, String) {
    match by {
        By::All => ("all", String::new()),
        By::Standing(standing) => ("state", standing.word().to_owned()),
        By::Credential(id) => ("credential", id.clone()),
        By::Route(lane) => ("route", way(lane).to_owned()),
        By::Age(Some(limit)) => ("age", format!("<={limit}s")),
        By::Age(None) => ("age", "older".to_owned()),
    }
}

fn line(by: &By, sum: Sum) -> String {
    let (kind, name) = name(by);
    let oldest = sum.oldest_us.map_or_else(|| "-".to_owned(), time);
    visible(&format!(
        "{kind:<10} {name:<24} messages={} recipients={} bytes={} oldest={oldest}",
        sum.messages, sum.recipients, sum.bytes
    ))
}

fn object(sums: &BTreeMap<By, Sum>) -> Value {
    let value = |sum: &Sum| {
        json!({
            "messages": sum.messages,
            "recipients": sum.recipients,
            "bytes": sum.bytes,
            "oldest": sum.oldest_us.map(time),
        })
    };
    let mut whole = Map::new();
    for kind in ["state", "credential", "route", "age"] {
        whole.insert(kind.to_owned(), Value::Object(Map::new()));
    }
    for (by, sum) in sums {
        let (kind, name) = name(by);
        match whole.get_mut(kind).and_then(Value::as_object_mut) {
            Some(group) => drop(group.insert(name, value(sum))),
            None => drop(whole.insert(kind.to_owned(), value(sum))),
        }
    }
    Value::Object(whole)
}
