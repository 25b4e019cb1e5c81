//! A line of the log as one JSON object, without nesting: what a process writes of an event, and what the parent makes of a line of a
//! child's, which it takes for text unless that is such an object and claims nothing that is the parent's to say.

use std::fmt::{self, Write as _};

use tracing::field::{Field, Visit};
use tracing::{Event, Level};

use super::names;

/// Members that are no fields of an event. One of the same name has an underscore behind it.
const OWN: [&str; 6] = ["time", "process", "process_pid", "level", "event", "text"];
/// The member that says that something was too long.
const CUT: &str = ",\"cut\":true}";

/// An object that is being written, and never grows beyond its octets.
pub struct Object {
    text: String,
    most: usize,
    is_cut: bool,
}

impl Object {
    pub fn new(most: usize) -> Self {
        Self { text: "{".to_owned(), most, is_cut: false }
    }

    /// Adds a member with a value as JSON has it, or none where it would not fit.
    fn member(&mut self, key: &str, value: &str) {
        let comma = if self.text.len() > 1 { "," } else { "" };
        let member = format!("{comma}{}:{value}", quoted(key, usize::MAX).0);
        if self.text.len() + member.len() + CUT.len() > self.most {
            self.is_cut = true;
            return;
        }
        self.text += &member;
    }

    /// Adds a text, as much of it as there is room for.
    pub fn text(&mut self, key: &str, value: &str) {
        let room = self.most.saturating_sub(self.text.len() + key.len() + CUT.len() + 6);
        let (value, is_whole) = quoted(value, room);
        self.is_cut |= !is_whole;
        self.member(key, &value);
    }

    pub fn number(&mut self, key: &str, value: impl fmt::Display) {
        self.member(key, &value.to_string());
    }

    pub fn end(mut self) -> String {
        self.text += if self.is_cut { CUT } else { "}" };
        self.text
    }
}

/// A text as a string of JSON, and whether that is all of it.
fn quoted(text: &str, most: usize) -> (String, bool) {
    let mut out = "\"".to_owned();
    for c in text.chars() {
        let before = out.len();
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            // Writing to a string doesn't fail.
            c if c.is_control() => _ = write!(out, "\\u{:04x}", u32::from(c)),
            c => out.push(c),
        }
        if out.len() > most {
            out.truncate(before);
            out.push('"');
            return (out, false);
        }
    }
    out.push('"');
    (out, true)
}

/// One event. `process`: who says it, where nobody else will add that.
pub fn line(event: &Event<'_>, process: Option<&str>, most: usize) -> String {
    let mut fields = Fields::default();
    event.record(&mut fields);
    let mut object = Object::new(most);
    if let Some(process) = process {
        object.text("time", &super::now());
        object.text("process", process);
        object.number("process_pid", std::process::id());
    }
    object.text("level", word(*event.metadata().level()));
    let text = fields.text.unwrap_or_default();
    object.text("event", names::of(&text));
    object.text("text", &text);
    for (key, value) in fields.others {
        let key = if OWN.contains(&key) { format!("{key}_") } else { key.to_owned() };
        match value {
            Value::Text(text) => object.text(&key, &text),
            Value::Bare(text) => object.member(&key, &text),
        }
    }
    object.end()
}

fn word(level: Level) -> &'static str {
    match level {
        Level::ERROR => "ERROR",
        Level::WARN => "WARN",
        _ => "INFO",
    }
}

enum Value {
    Text(String),
    /// A number, or true or false.
    Bare(String),
}

#[derive(Default)]
struct Fields {
    /// The first that has the name message; another one is the id of a message.
    text: Option<String>,
    others: Vec<(&'static str, Value)>,
}

impl Fields {
    fn bare(&mut self, field: &Field, value: impl fmt::Display) {
        self.others.push((field.name(), Value::Bare(value.to_string())));
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let text = format!("{value:?}");
        match self.text {
            None if field.name() == "message" => self.text = Some(text),
            _ => self.others.push((field.name(), Value::Text(text))),
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.others.push((field.name(), Value::Text(value.to_owned())));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.bare(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.bare(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.bare(field, value);
    }
}

/// A child's line, with who said it and when.
pub fn adopt(process: &str, pid: u32, line: &str) -> String {
    // Twice what a child may say: each octet of text may need an escape.
    let mut object = Object::new(4 * 1024);
    object.text("time", &super::now());
    object.text("process", process);
    object.number("process_pid", pid);
    match is_flat(line) {
        true => format!("{},{}", object.text, line.get(1..).unwrap_or_default()),
        false => {
            object.text("level", super::level(line).unwrap_or("INFO"));
            object.text("event", names::of_line(line));
            object.text("text", line);
            object.end()
        }
    }
}

/// A line of the parent's that is no event: with the name it has all the same.
pub fn own(level: &str, event: &str, text: &str) -> String {
    let mut object = Object::new(super::LONGEST_OWN);
    object.text("time", &super::now());
    object.text("process", "parent");
    object.number("process_pid", std::process::id());
    object.text("level", level);
    object.text("event", event);
    object.text("text", text);
    object.end()
}

/// Whether it is an object of texts, numbers, true and false, with no member that is the parent's.
fn is_flat(line: &str) -> bool {
    let Some(mut rest) = line.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) else { return false };
    loop {
        let Some((key, behind)) = string(rest) else { return false };
        // Plain letters: an escape in a name would be read by others as what it stands for.
        let is_plain =
            !key.is_empty() && key.bytes().all(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'_' | b'.'));
        if !is_plain || ["time", "process", "process_pid"].contains(&key) {
            return false;
        }
        let Some(behind) = behind.strip_prefix(':') else { return false };
        let behind = match string(behind) {
            Some((_, behind)) => behind,
            None => {
                let end = behind.find(',').unwrap_or(behind.len());
                let (value, behind) = behind.split_at(end);
                if !is_number(value) && !matches!(value, "true" | "false") {
                    return false;
                }
                behind
            }
        };
        match behind.strip_prefix(',') {
            Some(next) => rest = next,
            None => return behind.is_empty(),
        }
    }
}

/// A whole number as JSON has it (RFC 8259 section 6).
fn is_number(value: &str) -> bool {
    let digits = value.strip_prefix('-').unwrap_or(value);
    let is_led_by_zero = digits.len() > 1 && digits.starts_with('0');
    (1..40).contains(&digits.len()) && digits.bytes().all(|octet| octet.is_ascii_digit()) && !is_led_by_zero
}

/// A string at the beginning, with only the escapes that we write, and what is behind it.
fn string(text: &str) -> Option<(&str, &str)> {
    let inner = text.strip_prefix('"')?;
    let mut octets = inner.bytes().enumerate();
    while let Some((at, octet)) = octets.next() {
        match octet {
            b'"' => return Some((inner.get(..at)?, inner.get(at + 1..)?)),
            b'\\' => match octets.next()?.1 {
                b'"' | b'\\' => {}
                b'u' if octets.by_ref().take(4).filter(|(_, digit)| digit.is_ascii_hexdigit()).count() == 4 => {}
                _ => return None,
            },
            0..b' ' => return None,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> serde_json::Map<String, serde_json::Value> {
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"))
    }

    #[test]
    fn what_is_too_long_is_cut_and_stays_an_object() {
        for length in 0..300 {
            for text in ["x".repeat(length), "\"".repeat(length), "\u{1}".repeat(length), "\u{20ac}".repeat(length)] {
                let mut object = Object::new(200);
                object.text("level", "INFO");
                object.text("text", &text);
                object.number("count", u64::MAX);
                let line = object.end();
                assert!(line.len() <= 200, "{line}");
                let read = read(&line);
                let is_whole = read["text"].as_str() == Some(&text) && read.contains_key("count");
                assert_eq!(is_whole, !read.contains_key("cut"), "{line}");
                assert!(is_flat(&line), "{line}");
            }
        }
    }

    #[test]
    fn a_child_can_say_what_it_likes_and_not_who_it_is() {
        for line in [
            "{\"level\":\"INFO\",\"event\":\"x\",\"text\":\"a\\\"b\\u0001\",\"n\":-12,\"yes\":true}",
            "{\"text\":\"a,b:c}\"}",
        ] {
            let read = read(&adopt("vault", 7, line));
            assert_eq!((read["process"].as_str(), read["process_pid"].as_u64()), (Some("vault"), Some(7)));
            assert!(read["text"].as_str().unwrap().starts_with('a') && !read.contains_key("other"), "{line}");
        }
        for line in [
            "ERROR a panic \"x\"",
            "{\"process\":\"parent\"}",
            "{\"text\":\"x\",\"time\":1}",
            "{\"pro\\u0063ess\":\"parent\"}",
            "{\"t\\u0069me\":\"2026\",\"a\":1}",
            "{\"\":1}",
            "{\"a\":-}",
            "{\"a\":--1}",
            "{\"a\":007}",
            "{\"a\":{\"b\":1}}",
            "{\"a\":[1]}",
            "{\"a\":\"b}",
            "{\"a\":\"b\\\"}",
            "{\"a\":\"\\x\"}",
            "{\"a\":1-}",
            "{}",
            "{",
            "",
        ] {
            let read = read(&adopt("edge-smtp main", 7, line));
            assert_eq!((read["process"].as_str(), read["text"].as_str()), (Some("edge-smtp main"), Some(line)));
            assert_eq!(read["event"], "other");
        }
        assert_eq!(read(&adopt("x", 1, "ERROR a panic"))["level"], "ERROR");
    }
}
