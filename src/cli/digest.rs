//! `gatepost digest`: what a day was like, counted from the auditors' files, and how the running service stands.

use std::process::ExitCode;

use clap::Args;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::audit::place::Place;
use super::{control, fail};
use crate::cli::control::strange;
use crate::cli::out::say;
use crate::ipc::admin::digest::Standing;
use crate::ipc::admin::{Command, Response};
use crate::vault::audit::ledger::now_us;
use crate::vault::audit::month;
use crate::vault::audit::visible::{visible, visible_json};
use crate::vault::digest::{counts, sheet};

#[derive(Debug, Args)]
pub struct Digest {
    /// The day, in UTC, for example 2026-11-20 [default: yesterday]
    #[arg(long, value_name = "DAY", value_parser = day)]
    day: Option<i64>,
    /// Print an object instead
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

impl Digest {
    pub fn run(&self) -> ExitCode {
        self.print().unwrap_or_else(|reason| fail(&reason))
    }

    fn print(&self) -> Result<ExitCode, String> {
        let now_us = now_us();
        let day = self.day.unwrap_or_else(|| month::today(now_us).0.saturating_sub(1));
        let seen = self.place.look()?;
        let counts = counts::count(&seen.files, day)?;
        let standing = self.standing();
        match self.json {
            true => say!("{}", visible_json(&sheet::object(&counts, standing.as_ref(), now_us).to_string())),
            false => {
                let lines = sheet::lines(&counts, standing.as_ref(), now_us);
                lines.iter().for_each(|line| say!("{}", visible(line)));
            }
        }
        Ok(seen.end())
    }

    /// None where there is no service that could be asked, or only the files were to be read: what it says is of now, and the day was
    /// counted all the same.
    fn standing(&self) -> Option<Standing> {
        if self.place.directory.is_some() {
            return None;
        }
        let runtime = self.place.places().ok()?.runtime_directory;
        let why = match control::ask(&runtime, Command::Standing) {
            Ok(Some(Response::Standing(standing))) => return Some(*standing),
            Ok(Some(_)) => strange(),
            Ok(None) => format!("the service does not run ({})", control::nobody(&runtime)),
            Err(undone) => String::from(undone),
        };
        eprintln!("gatepost: how the gate stands now is not told: {}", visible(&why));
        None
    }
}

/// Days since 1970.
fn day(text: &str) -> Result<i64, String> {
    let parsed = text.parse::<Date>().ok().filter(|_| text.len() == "2026-11-20".len());
    let moment = parsed.and_then(|date| date.to_zoned(TimeZone::UTC).ok());
    let seconds = moment.map(|moment| moment.timestamp().as_second()).filter(|seconds| *seconds >= 0);
    seconds.map(|seconds| seconds / 86_400).ok_or_else(|| "write a day, such as 2026-11-20".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_a_day_and_nothing_else() {
        assert_eq!(day("1970-01-02"), Ok(1));
        assert_eq!(day("2026-11-20").map(sheet::day), Ok("2026-11-20".to_owned()));
        for text in ["", "yesterday", "2026-11-31", "2026-11-20T00:00:00Z", "1969-12-31", "20261120"] {
            assert!(day(text).is_err(), "{text}");
        }
    }
}
