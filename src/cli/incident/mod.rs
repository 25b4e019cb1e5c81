//! `gatepost incident`: stops a credential that is misused, holds its mail, and says what it did: from where it was used, what was
//! refused, and who already got what. Of a message or a session: all that the log has of it.

mod clear;
mod contain;
mod now;
mod report;
mod trail;

use std::process::ExitCode;

use clap::Args;
use jiff::{Span, Timestamp};
use uuid::Uuid;

use super::audit::moment::moment;
use super::audit::place::{Place, Seen};
use super::confirm::confirm;
use super::fail;
use crate::cli::out::say;
use crate::mail::id::MessageId;
use crate::policy::principal;
use crate::vault::audit::query::{Filter, query};
use crate::vault::audit::visible::{visible, visible_json};
use now::Now;
use report::Report;
use trail::Trail;

/// How far back is looked unless somebody says otherwise, in hours.
const BACK: i64 = 7 * 24;

#[derive(Debug, Args)]
pub struct Incident {
    /// The credential; or a message, by its UUID or req_ and 26 letters; or a session, by its UUID
    id: String,
    /// Look back to this time, for example 2026-11-20T08:00:00Z, or 2026-11-20 for midnight UTC [default: seven days]
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<Timestamp>,
    /// Change nothing: report alone
    #[arg(long)]
    look: bool,
    /// Also give up what is held of its mail: nobody gets it any more, and the bodies are destroyed
    #[arg(long, conflicts_with = "look")]
    purge: bool,
    /// Why, for the audit log
    #[arg(long, value_name = "TEXT", conflicts_with = "look")]
    reason: Option<String>,
    /// Ask nothing
    #[arg(long)]
    yes: bool,
    /// Who got what in full; the audit log tells of it, message by message
    #[arg(long)]
    clear: bool,
    /// Print an object instead
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

impl Incident {
    pub fn run(&self) -> ExitCode {
        self.begin().unwrap_or_else(|reason| fail(&reason))
    }

    fn begin(&self) -> Result<ExitCode, String> {
        if let Some(trail) = self.trail()? {
            if self.purge || self.reason.is_some() {
                return Err(
                    "--purge and --reason go with a credential: a message is given up by `gatepost queue drop ID`"
                        .to_owned(),
                );
            }
            let (trail, seen) = trail;
            match self.json {
                true => {
                    let mut object = trail.object();
                    object["unseen"] = seen.unseen.as_deref().into();
                    say!("{}", visible_json(&object.to_string()));
                }
                false => trail.lines().iter().for_each(|line| say!("{}", visible(line))),
            }
            return Ok(seen.end());
        }
        if !principal::is_id(&self.id) {
            return Err(format!(
                "{:?} is no credential, and nothing is known of a message or a session of that id",
                self.id
            ));
        }
        if self.place.directory.is_some() && !self.look {
            return Err("--directory: files alone can be looked at: add --look, or leave it out".to_owned());
        }
        let contained = match self.look {
            true => None,
            false => {
                let runtime = self.place.places()?.runtime_directory;
                // Before anybody is asked to confirm what can't be done.
                if let Some(unknown) = Now::ask(&runtime, &self.id).unknown {
                    return Err(unknown);
                }
                let purge = if self.purge { ", and gives up for good what is held of it" } else { "" };
                confirm(self.yes, &format!("disables credential {:?}, and holds its mail{purge}", self.id))?;
                Some(contain::contain(&runtime, &self.id, self.reason.as_deref(), self.purge)?)
            }
        };
        let is_whole = contained.as_ref().is_none_or(contain::Contained::is_whole);
        let since = match self.since {
            Some(since) => since,
            None => Timestamp::now().checked_sub(Span::new().hours(BACK)).map_err(|error| error.to_string())?,
        };
        let since_us = u64::try_from(since.as_microsecond()).unwrap_or(0);
        // What was done is in the report, and what was done is shown also where nothing can be reported.
        let (mut report, seen) = self.report(since_us).inspect_err(|_| {
            contained.iter().flat_map(contain::Contained::lines).for_each(|line| say!("{}", visible(&line)));
        })?;
        if self.place.directory.is_none() {
            report.now = Now::ask(&self.place.places()?.runtime_directory, &self.id);
        }
        // All clear for a name that is nobody's would be a wrong word.
        if let (true, Some(unknown)) = (self.look && report.is_empty(), &report.now.unknown) {
            return Err(unknown.clone());
        }
        report.is_declared = contained.as_ref().is_some_and(|contained| contained.is_declared);
        match self.json {
            true => {
                let mut object = report.object();
                object["contained"] = contained.as_ref().map(contain::Contained::object).into();
                object["unseen"] = seen.unseen.as_deref().into();
                say!("{}", visible_json(&object.to_string()));
            }
            false => {
                let done = contained.iter().flat_map(contain::Contained::lines);
                done.chain(report.lines()).for_each(|line| say!("{}", visible(&line)));
            }
        }
        Ok(if is_whole { seen.end() } else { ExitCode::FAILURE })
    }

    /// All that is known of the message or the session of that id; none when nothing is.
    fn trail(&self) -> Result<Option<(Trail, Seen)>, String> {
        let message = self.id.parse::<MessageId>().ok();
        let session = self.id.parse::<Uuid>().ok();
        if message.is_none() && session.is_none() {
            return Ok(None);
        }
        let seen = self.place.look()?;
        let filters = [
            message
                .map(|id| ("message", id.to_string(), Filter { message: Some(id.to_string()), ..Filter::default() })),
            session
                .map(|id| ("session", id.to_string(), Filter { session: Some(id.to_string()), ..Filter::default() })),
        ];
        for (kind, id, filter) in filters.into_iter().flatten() {
            let mut trail = Trail::new(kind, id);
            query(&seen.files, &filter, |found| trail.add(found))?;
            if !trail.is_empty() {
                if let (true, Some(message)) = (self.clear, message) {
                    let runtime = self.place.places()?.runtime_directory;
                    trail.recipients = clear::recipients(&runtime, &[message])?;
                }
                return Ok(Some((trail, seen)));
            }
        }
        Ok(None)
    }

    fn report(&self, since_us: u64) -> Result<(Report, Seen), String> {
        let seen = self.place.look()?;
        let mut report = Report::new(&self.id, since_us);
        let filter = Filter { account: Some(self.id.clone()), since_us: Some(since_us), ..Filter::default() };
        query(&seen.files, &filter, |found| report.add(&found))?;
        if self.clear {
            let runtime = self.place.places()?.runtime_directory;
            report.clear(&clear::recipients(&runtime, &report.messages())?);
        }
        Ok((report, seen))
    }
}
