//! `gatepost audit show`: what became of one message, or one event with all that is in its leaf.

use std::io::{self, BufWriter, Write};
use std::str::FromStr;

use clap::Args;
use serde_json::Value;

use super::format::{Format, Sheet, goes_on, shown};
use super::place::Place;
use crate::mail::id::MessageId;
use crate::vault::audit::archive::{Archive, unreadable, usage};
use crate::vault::audit::erasure::parse_key;
use crate::vault::audit::json;
use crate::vault::audit::query::{Cell, Cursor, Filter, Found};
use crate::vault::audit::verify::Fault;
use crate::vault::audit::visible::{visible, visible_json};

/// How the key of what is shown in a value's stead ends.
const SHOWN: &str = ".shown";

/// What a line of a timeline tells of an event, besides its place, time, name and outcome.
const DETAILS: [&str; 17] = [
    "account",
    "actor",
    "client_ip",
    "listener",
    "mail_from",
    "rcpt_to",
    "rcpt_domain",
    "upstream",
    "mx",
    "tls",
    "attempt",
    "smtp_code",
    "enhanced",
    "reason",
    "bytes",
    "duration_us",
    "data",
];

#[derive(Debug, Args)]
pub struct Show {
    #[command(flatten)]
    place: Place,
    /// A message's id, or an event's number
    #[arg(value_name = "MESSAGE|SEQ")]
    what: What,
    /// Print JSON: a message's events one a line, or the one event as `audit export` has it
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug)]
enum What {
    Event(u64),
    Message(MessageId),
}

impl FromStr for What {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(seq) = text.parse() {
            return Ok(Self::Event(seq));
        }
        let id = text.parse().map(Self::Message);
        id.map_err(|_| "give an event's number, or a message's id: a UUID, or req_ and 26 letters".to_owned())
    }
}

impl Show {
    pub fn run(&self) -> Result<(), Fault> {
        let path = self.place.files().map_err(unreadable)?;
        match self.what {
            What::Event(seq) => self.event(&Archive::open(&path)?, seq),
            What::Message(id) => {
                let filter = Filter { message: Some(id.to_string()), ..Filter::default() };
                self.timeline(Cursor::start(&path, &filter).map_err(unreadable)?, id)
            }
        }
    }

    fn timeline(&self, mut cursor: Cursor, id: MessageId) -> Result<(), Fault> {
        let mut out = BufWriter::new(io::stdout().lock());
        let mut page = cursor.page().map_err(unreadable)?;
        if page.is_empty() {
            return Err(usage(format!("no event tells of message {id}")));
        }
        let mut reads_on = true;
        while reads_on && !page.is_empty() {
            reads_on = match self.json {
                true => Sheet::new(&mut out, Format::Jsonl, false).events(&page),
                false => goes_on(page.iter().try_for_each(|found| writeln!(out, "{}", line(found)))),
            }
            .map_err(unreadable)?;
            page = cursor.page().map_err(unreadable)?;
        }
        goes_on(out.flush()).map(drop).map_err(unreadable)
    }

    fn event(&self, archive: &Archive, seq: u64) -> Result<(), Fault> {
        let event = json::object(&archive.event(seq)?);
        let text = match self.json {
            true => visible_json(&event.to_string()) + "\n",
            false => {
                let head = archive.head_from(seq + 1)?;
                let proven =
                    head.map_or("no signed head yet".to_owned(), |head| format!("the head of {} events", head.size));
                full(&event) + &format!("{:20}{proven}\n", "signed under")
            }
        };
        goes_on(io::stdout().write_all(text.as_bytes())).map(drop).map_err(unreadable)
    }
}

/// An event of a timeline.
fn line(found: &Found) -> String {
    let cells = ["seq", "time", "event", "outcome"].map(|name| shown(found.cell(name)));
    let [seq, time, event, outcome] = cells;
    let details = DETAILS.iter().filter(|name| *found.cell(name) != Cell::Empty);
    let details: Vec<String> = details.map(|name| format!("{name}={}", shown(found.cell(name)))).collect();
    format!("{seq:>6}  {time}  {event:15}  {outcome:8}  {}", details.join(" ")).trim_end().to_owned()
}

/// Everything in a leaf, one thing a line.
fn full(event: &Value) -> String {
    let plain = |value: &Value| value.as_str().map_or_else(|| value.to_string(), visible);
    let members = |name: &str| event.get(name).and_then(Value::as_object).into_iter().flatten();
    let mut lines: Vec<(&str, String)> = ["event", "seq", "time"]
        .into_iter()
        .map(|name| (name, plain(event.get(name).unwrap_or(&Value::Null))))
        .collect();
    lines.extend(members("clear").map(|(name, value)| (name.as_str(), plain(value))));
    let committed = |name: &str| event.get("committed").and_then(|committed| committed.get(name));
    lines.extend(members("committed").map(|(name, value)| {
        let seen = value.get("value").map(plain);
        let is_open = parse_key(name).is_some_and(|(field, _)| field.is_open());
        // What auditors may see is there unless it was erased, and then it is gone together with what is shown.
        let seen_once =
            if is_open || name.ends_with(SHOWN) { Some(value) } else { committed(&format!("{name}{SHOWN}")) };
        let is_erased = seen_once.is_some_and(|value| value.get("value").is_none());
        let unseen = if is_erased { "[erased]" } else { "(committed to, not shown here)" };
        (name.as_str(), seen.unwrap_or_else(|| unseen.to_owned()))
    }));
    lines.push(("leaf_hash", plain(event.get("leaf_hash").unwrap_or(&Value::Null))));
    lines.iter().map(|(name, value)| format!("{:20}{value}\n", visible(name))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_was_erased_is_told_from_one_that_was_never_shown() {
        let event = serde_json::json!({ "event": "msg.accept", "seq": 5, "time": "x", "leaf_hash": "00", "clear": {}, "committed": {
            "account": { "hash": "00" }, "auth_user": { "hash": "00", "salt": "00", "value": "g***(5)" },
            "helo": { "hash": "00" }, "mail_from": { "hash": "00" },
            "mail_from.shown": { "hash": "00", "salt": "00", "value": "***@example.net" },
            "rcpt_to[0]": { "hash": "00" }, "rcpt_to[0].shown": { "hash": "00" },
        } });
        let text = full(&event);
        let shown = |name: &str| {
            let line = text.lines().find(|line| line.split(' ').next() == Some(name)).unwrap();
            line.split_once(' ').unwrap().1.trim().to_owned()
        };
        for (name, value) in [
            ("account", "[erased]"),
            ("auth_user", "g***(5)"),
            ("helo", "(committed to, not shown here)"),
            ("mail_from", "(committed to, not shown here)"),
            ("mail_from.shown", "***@example.net"),
            ("rcpt_to[0]", "[erased]"),
            ("rcpt_to[0].shown", "[erased]"),
        ] {
            assert_eq!(shown(name), value, "{name}");
        }
    }
}
