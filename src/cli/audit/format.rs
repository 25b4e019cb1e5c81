//! Events as lines: a table for people, JSON for programs, CSV for spreadsheets.

use std::io::{self, Write};

use clap::{Args, ValueEnum};
use serde_json::{Map, Value};

use crate::vault::audit::query::{COLUMNS, Cell, Found};
use crate::vault::audit::visible::{visible, visible_json};

/// The columns of the table, and how wide they are at least; the other forms have all columns.
const TABLE: [(&str, usize); 9] = [
    ("seq", 5),
    ("time", 27),
    ("event", 15),
    ("outcome", 8),
    ("account", 10),
    ("reason", 10),
    ("mail_from", 15),
    ("rcpt_to", 15),
    ("msg_id", 0),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    Table,
    Jsonl,
    Csv,
}

/// How events are printed.
#[derive(Debug, Args)]
pub struct Choice {
    /// table, jsonl (one JSON object per line) or csv (RFC 4180); the latter two have all columns
    #[arg(long, value_name = "FORMAT", value_enum, default_value = "table", hide_possible_values = true)]
    format: Format,
    /// The same as --format jsonl
    #[arg(long, conflicts_with = "format")]
    json: bool,
}

impl Choice {
    pub fn format(&self) -> Format {
        if self.json { Format::Jsonl } else { self.format }
    }
}

/// Events on their way out.
pub struct Sheet<W> {
    out: W,
    format: Format,
    /// Whether cells that a spreadsheet would calculate are disarmed.
    spreadsheet: bool,
}

impl<W: Write> Sheet<W> {
    pub fn new(out: W, format: Format, spreadsheet: bool) -> Self {
        Self { out, format, spreadsheet }
    }

    /// The first line, if the format has one. False when nobody reads on, as for all of these.
    pub fn header(&mut self) -> Result<bool, String> {
        goes_on(match self.format {
            Format::Table => writeln!(self.out, "{}", table(str::to_owned)),
            Format::Csv => write!(self.out, "{}\r\n", COLUMNS.join(",")),
            Format::Jsonl => Ok(()),
        })
    }

    pub fn events(&mut self, found: &[Found]) -> Result<bool, String> {
        goes_on(found.iter().try_for_each(|found| self.event(found)))
    }

    pub fn flush(&mut self) -> Result<bool, String> {
        goes_on(self.out.flush())
    }

    fn event(&mut self, found: &Found) -> io::Result<()> {
        match self.format {
            Format::Table => writeln!(self.out, "{}", row(found)),
            Format::Jsonl => writeln!(self.out, "{}", visible_json(&object(found).to_string())),
            Format::Csv => write!(self.out, "{}\r\n", record(found, self.spreadsheet)),
        }
    }
}

/// A reader that has seen enough closes the pipe: `| head` is no failure.
pub fn goes_on(written: io::Result<()>) -> Result<bool, String> {
    match written {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(format!("writing: {error}")),
    }
}

/// A cell as text, for people.
pub fn shown(cell: &Cell) -> String {
    match cell {
        Cell::Empty => "-".to_owned(),
        Cell::Integer(n) => n.clone(),
        Cell::Text(text) => visible(text),
    }
}

fn table(cell: impl Fn(&'static str) -> String) -> String {
    let cells = TABLE.map(|(name, width)| format!("{:width$}", cell(name)));
    cells.join("  ").trim_end().to_owned()
}

/// One event for people: the columns of the table, a dash for what it doesn't have.
fn row(found: &Found) -> String {
    table(|name| shown(found.cell(name)))
}

/// One event as JSON. Numbers are numbers, `data` is what it is, what is empty is left out.
pub fn object(found: &Found) -> Value {
    let members = found.filled().map(|(name, cell)| {
        let value = match cell {
            Cell::Text(text) if name == "data" => {
                serde_json::from_str(text).unwrap_or_else(|_| Value::from(text.as_str()))
            }
            Cell::Text(text) => Value::from(text.as_str()),
            Cell::Integer(n) => n.parse::<i64>().map_or_else(|_| Value::from(n.as_str()), Value::from),
            Cell::Empty => Value::Null,
        };
        (name.to_owned(), value)
    });
    Value::Object(members.collect::<Map<_, _>>())
}

/// One event as a record of RFC 4180.
fn record(found: &Found, spreadsheet: bool) -> String {
    let field = |cell: &Cell| match cell {
        Cell::Empty => String::new(),
        Cell::Integer(n) => n.clone(),
        Cell::Text(text) => quoted(text, spreadsheet),
    };
    found.0.iter().map(field).collect::<Vec<_>>().join(",")
}

fn quoted(text: &str, spreadsheet: bool) -> String {
    // What a spreadsheet takes for a formula gets a quote in front, which changes the value: only where that was asked for.
    let armed = spreadsheet && text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let text = if armed { format!("'{text}") } else { text.to_owned() };
    if text.contains([',', '"', '\r', '\n']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(reason: &str) -> Found {
        Found(
            COLUMNS
                .map(|name| match name {
                    "seq" => Cell::Integer("7".into()),
                    "event" => Cell::Text("msg.reject".into()),
                    "reason" => Cell::Text(reason.into()),
                    "data" => Cell::Text("{\"n\":1}".into()),
                    _ => Cell::Empty,
                })
                .to_vec(),
        )
    }

    fn printed(format: Format, spreadsheet: bool, reason: &str) -> String {
        let mut sheet = Sheet::new(Vec::new(), format, spreadsheet);
        sheet.header().unwrap();
        assert_eq!(sheet.events(&[found(reason)]), Ok(true));
        String::from_utf8(sheet.out).unwrap()
    }

    #[test]
    fn no_value_makes_a_line_of_its_own_or_steers_the_terminal() {
        let reason = "x\n8  2026-01-01T00:00:00Z\r\u{1b}[2J\u{9b}\u{202e}\u{2028}\0";
        for format in [Format::Table, Format::Jsonl] {
            let text = printed(format, false, reason);
            assert_eq!(text.lines().count(), if format == Format::Table { 2 } else { 1 }, "{text}");
            assert!(text.ends_with('\n'));
            let seen = text.trim_end_matches('\n').replace('\n', "");
            assert!(!seen.chars().any(crate::mail::unseen::is_unseen), "{text:?}");
        }
        let json: Value = serde_json::from_str(&printed(Format::Jsonl, false, reason)).unwrap();
        assert_eq!((&json["reason"], &json["seq"], &json["data"]["n"]), (&reason.into(), &7.into(), &1.into()));
        assert!(json.get("mx").is_none());
    }

    #[test]
    fn csv_is_quoted_as_rfc_4180_says_and_formulas_are_disarmed_on_demand() {
        for (reason, plain, disarmed) in [
            ("plain", "plain", "plain"),
            ("a,b", "\"a,b\"", "\"a,b\""),
            ("say \"x\"", "\"say \"\"x\"\"\"", "\"say \"\"x\"\"\""),
            ("a\r\nb", "\"a\r\nb\"", "\"a\r\nb\""),
            ("=1+1", "=1+1", "'=1+1"),
            ("+1", "+1", "'+1"),
            ("-1", "-1", "'-1"),
            ("@SUM(A1)", "@SUM(A1)", "'@SUM(A1)"),
            ("\t=1", "\t=1", "'\t=1"),
            ("\r=1", "\"\r=1\"", "\"'\r=1\""),
            ("=HYPERLINK(\"x\",1)", "\"=HYPERLINK(\"\"x\"\",1)\"", "\"'=HYPERLINK(\"\"x\"\",1)\""),
        ] {
            for (spreadsheet, expected) in [(false, plain), (true, disarmed)] {
                let text = printed(Format::Csv, spreadsheet, reason);
                let (header, body) = text.split_once("\r\n").unwrap();
                assert_eq!(header.split(',').count(), COLUMNS.len());
                assert!(body.contains(&format!(",{expected},")), "{body:?}");
                assert!(body.ends_with("\r\n"));
            }
        }
    }
}
