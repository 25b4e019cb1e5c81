//! What is printed of credentials: for people, or as JSON.

use std::io::{self, Write};
use std::process::ExitCode;

use jiff::Timestamp;
use jiff::civil::Date;
use serde_json::{Value, json};

use crate::cli::control::strange;
use crate::ipc::admin::credential::{Entry, Queue, Response};
use crate::ipc::admin::queue::Counts;
use crate::secret::Secret;

/// Prints a new secret, which nobody can ever show again.
pub fn secret(response: &Response, as_json: bool, done: &str) -> Result<ExitCode, String> {
    let Response::Secret { id, key, secret, overlap_us } = response else { return Err(strange()) };
    let until = overlap_us.as_ref().map(time);
    let text = match as_json {
        true => {
            let mut object = json!({ "id": id, "key": key, "secret": secret.expose() });
            if let (Some(until), Some(object)) = (&until, object.as_object_mut()) {
                object.insert("before_until".to_owned(), json!(until));
            }
            format!("{object}\n")
        }
        false => {
            let until = until.map(|until| format!(" (those before it end at {until})")).unwrap_or_default();
            format!(
                "credential {id:?} {done}, key id {key}{until}; the secret is shown only now:\n{}\n",
                secret.expose()
            )
        }
    };
    say(&text).map_err(|error| {
        format!("credential {id:?} {done}, but its secret could not be written ({error}) and is lost: make another")
    })
}

/// Prints an entry for `secrets` of the configuration file.
pub fn hashed(
    key: &str,
    hash: &Secret<String>,
    scram: Option<&Secret<String>>,
    as_json: bool,
) -> Result<ExitCode, String> {
    let (hash, scram) = (hash.expose(), scram.map(Secret::expose));
    let text = match as_json {
        true => format!("{}\n", json!({ "key": key, "hash": hash, "scram": scram })),
        false => {
            let scram = scram.map(|scram| format!(", scram = \"{scram}\"")).unwrap_or_default();
            format!("{{ key = \"{key}\", hash = \"{hash}\"{scram} }}\n")
        }
    };
    say(&text).map_err(|error| error.to_string())
}

/// Prints that something was done.
pub fn done(response: &Response, as_json: bool, done: &str) -> Result<ExitCode, String> {
    let Response::Changed { id, keys, queue } = response else { return Err(strange()) };
    let what = queue.map(|(queue, counts)| (word(queue), counts));
    let text = match as_json {
        true => {
            let queue = what.map(
                |(what, counts)| json!({ "what": what, "messages": counts.messages, "under_way": counts.under_way }),
            );
            format!("{}\n", json!({ "id": id, "keys": keys, "queue": queue }))
        }
        false => {
            let keys = if keys.is_empty() { String::new() } else { format!(" (key id {})", keys.join(", ")) };
            let queue = what.map_or_else(String::new, |(what, counts)| {
                let Counts { messages, under_way, .. } = counts;
                let s = if messages == 1 { "" } else { "s" };
                let end = match what {
                    "hold" => "held",
                    "drop" => "dropped",
                    _ => "to be delivered",
                };
                let late = match under_way {
                    0 => String::new(),
                    n => format!(" ({n} on the way to an upstream at this moment)"),
                };
                format!("; {messages} message{s} in the queue {end}{late}")
            });
            format!("credential {id:?} {done}{keys}{queue}\n")
        }
    };
    say(&text).map_err(|error| format!("it was done, but this could not be written: {error}"))
}

pub fn list(responses: &[Response], as_json: bool) -> Result<ExitCode, String> {
    let entries: Vec<&Entry> = responses
        .iter()
        .filter_map(|response| if let Response::Entry(entry) = response { Some(&**entry) } else { None })
        .collect();
    let mut text = String::new();
    if as_json {
        text = format!("{}\n", Value::Array(entries.iter().map(|entry| object(entry)).collect()));
    } else {
        let width = entries.iter().map(|entry| entry.id.len()).max().unwrap_or(0).max(2);
        if !entries.is_empty() {
            text = format!(
                "{:width$}  {:9}  {:5}  {:4}  {:7}  {:10}  description\n",
                "id", "state", "from", "mail", "secrets", "last"
            );
        }
        for entry in entries {
            let live = entry.keys.iter().filter(|key| !key.expired).count();
            let last = entry.last_day.map(day).unwrap_or_default();
            text += &format!(
                "{:width$}  {:9}  {:5}  {:4}  {live:7}  {last:10}  {}\n",
                entry.id,
                state(entry),
                origin(entry),
                if entry.policy.test { "test" } else { "live" },
                entry.policy.description.escape_debug()
            );
        }
    }
    say(&text).map_err(|error| error.to_string())
}

pub fn entry(response: &Response, as_json: bool) -> Result<ExitCode, String> {
    let Response::Entry(entry) = response else { return Err(strange()) };
    let object = object(entry);
    let text = if as_json { format!("{object}\n") } else { lines("", &object) };
    say(&text).map_err(|error| error.to_string())
}

pub fn verdict(response: &Response, as_json: bool) -> Result<ExitCode, String> {
    let Response::Tested(verdict) = response else { return Err(strange()) };
    let good = verdict.obstacles.is_empty();
    let text = match (as_json, &verdict.id) {
        (true, _) => {
            let object = json!({
                "would_log_in": good, "id": verdict.id, "key": verdict.key, "obstacles": verdict.obstacles,
            });
            format!("{object}\n")
        }
        (false, Some(id)) => {
            let key = verdict.key.as_deref().unwrap_or("?");
            let end = if good { "would log in".into() } else { format!("would not: {}", verdict.obstacles.join(", ")) };
            format!("credential {id:?}, key id {key}: {end}\n")
        }
        (false, None) => format!("would not log in: {}\n", verdict.obstacles.join(", ")),
    };
    let shown = say(&text).map_err(|error| error.to_string())?;
    Ok(if good { shown } else { ExitCode::FAILURE })
}

/// All that may be known of a credential.
fn object(entry: &Entry) -> Value {
    let mut policy = serde_json::to_value(&entry.policy).unwrap_or_default();
    if let Some(members) = policy.as_object_mut() {
        members.remove("expires_us");
        members.insert("expires".to_owned(), json!(entry.policy.expires_us.as_ref().map(time)));
    }
    let keys = entry.keys.iter().map(|key| {
        json!({
            "key": key.id, "generated": key.generated, "scram": key.scram, "created": key.created_us.as_ref().map(time),
            "expires": key.expires_us.as_ref().map(time), "expired": key.expired,
        })
    });
    json!({
        "id": entry.id, "state": state(entry), "test": entry.policy.test, "from": origin(entry), "created": entry.created_us.as_ref().map(time),
        "last_message_day": entry.last_day.map(day), "suspended_until": entry.suspended_us.as_ref().map(time), "keys": keys.collect::<Vec<_>>(),
        "certificates": entry.certificates, "policy": policy,
    })
}

/// One line for each value, named by its path; what is not there is not shown.
fn lines(path: &str, value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let inner = |(name, value)| {
                let path = if path.is_empty() { String::clone(name) } else { format!("{path}.{name}") };
                lines(&path, value)
            };
            members.iter().map(inner).collect()
        }
        Value::Array(list) if list.iter().any(Value::is_object) => {
            list.iter().enumerate().map(|(n, value)| lines(&format!("{path}.{}", n + 1), value)).collect()
        }
        Value::Array(list) if list.is_empty() => String::new(),
        Value::Array(list) => {
            let words: Vec<&str> = list.iter().filter_map(Value::as_str).collect();
            format!("{path}: {}\n", words.join(" ").escape_debug())
        }
        Value::String(text) if text.is_empty() => String::new(),
        Value::String(text) => format!("{path}: {}\n", text.escape_debug()),
        Value::Null => String::new(),
        other => format!("{path}: {other}\n"),
    }
}

fn state(entry: &Entry) -> &'static str {
    match entry {
        Entry { enabled: false, .. } => "disabled",
        Entry { expired: true, .. } => "expired",
        Entry { suspended_us: Some(_), .. } => "suspended",
        Entry { .. } => "enabled",
    }
}

fn origin(entry: &Entry) -> &'static str {
    if entry.declared { "file" } else { "vault" }
}

fn word(queue: Queue) -> &'static str {
    match queue {
        Queue::Hold => "hold",
        Queue::Drop => "drop",
        Queue::Deliver => "deliver",
    }
}

fn time(us: &u64) -> String {
    let time = i64::try_from(*us).ok().and_then(|us| Timestamp::from_microsecond(us).ok());
    time.map_or_else(|| us.to_string(), |time| time.to_string())
}

fn day(day: i64) -> String {
    let seconds = day.saturating_mul(86_400);
    let date: Option<Date> =
        Timestamp::from_second(seconds).ok().map(|time| time.to_zoned(jiff::tz::TimeZone::UTC).date());
    date.map_or_else(|| day.to_string(), |date| date.to_string())
}

fn say(text: &str) -> io::Result<ExitCode> {
    io::stdout().write_all(text.as_bytes()).and_then(|()| io::stdout().flush()).map(|()| ExitCode::SUCCESS)
}
