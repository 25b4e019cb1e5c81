//! `gatepost audit export`: the log, or a part of it, in a form that is of use elsewhere, with the head it was taken under.

mod csv;
mod jsonl;
#[cfg(test)]
mod tests;
mod tiles;

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, ValueEnum};
use serde_json::json;

use super::format::goes_on;
use super::place::{Place, Recorded};
use super::progress::Progress;
use super::target::Target;
use crate::cli::interrupt::Interrupt;
use crate::ipc::admin::audit::Form;
use crate::vault::audit::archive::{self, Archive, Head, unreadable, usage};
use crate::vault::audit::verify::{Fault, Verdict};

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Jsonl,
    Csv,
    Tiles,
    Sqlite,
}

#[derive(Debug, Args)]
pub struct Export {
    #[command(flatten)]
    place: Place,
    /// jsonl (everything, one event a line), csv (RFC 4180), tiles (C2SP tlog-tiles) or sqlite (copies of the files)
    #[arg(long, value_name = "FORMAT", value_enum, default_value = "jsonl", hide_possible_values = true)]
    format: Format,
    /// From this event on, instead of the first
    #[arg(long, value_name = "SEQ")]
    from: Option<u64>,
    /// Before this event, instead of all that are under a signed head
    #[arg(long, value_name = "SEQ")]
    to: Option<u64>,
    /// The file to write, or the folder for tiles and sqlite; must not exist. Otherwise standard output
    #[arg(short, long, value_name = "PATH")]
    output: Option<PathBuf>,
    /// Put an apostrophe before cells of CSV that a spreadsheet would calculate. It changes their value
    #[arg(long)]
    spreadsheet: bool,
    /// Print what was written where as JSON
    #[arg(long, requires = "output")]
    json: bool,
}

/// What is exported: the events from one place up to another, and a signed head that has them all.
pub struct Range {
    pub from: u64,
    pub to: u64,
    pub head: Head,
}

/// Where it goes, and what may stop it.
pub struct Way {
    /// Whether somebody wants an end.
    pub stop: Arc<dyn Fn() -> bool + Send + Sync>,
    pub progress: Progress,
}

impl Way {
    /// It has come to that event.
    ///
    /// Errors: somebody wants an end.
    pub fn at(&mut self, seq: u64) -> Result<(), Fault> {
        self.progress.at(seq);
        if (self.stop)() { Err(unreadable("interrupted before the end".to_owned())) } else { Ok(()) }
    }
}

impl Export {
    pub fn run(&self) -> Result<(), Fault> {
        self.check()?;
        // Before there is a draft that an interruption could leave behind.
        let interrupt = Interrupt::catch().map_err(unreadable)?;
        let target = self.output.as_deref().map(Target::new).transpose()?;
        let path = self.place.files().map_err(unreadable)?;
        let mut archive = Archive::open(&path)?;
        let range = self.range(&archive)?;
        let recorded = self.place.record_export(self.format.form(), range.from, range.to).map_err(unreadable)?;
        let progress = Progress::new("exporting", target.is_none(), || Some((range.from, range.to)));
        let way = Way { stop: Arc::new(move || interrupt.came()), progress };
        match target {
            Some(target) => self.write(target, &mut archive, &path, &range, way)?,
            None => return self.stream(io::stdout().lock(), &archive, &path, &range, way).and_then(goes_on_or_ends),
        }
        self.tell(&range, recorded)
    }

    fn check(&self) -> Result<(), Fault> {
        let refuse = |what: &str| Err(usage(what.to_owned()));
        match self.format {
            _ if self.spreadsheet && self.format != Format::Csv => refuse("--spreadsheet is for --format csv alone"),
            Format::Tiles | Format::Sqlite if self.output.is_none() => {
                refuse("tiles and sqlite make a folder: say which with --output")
            }
            Format::Tiles if self.from.is_some() => refuse("tiles are of the whole tree: leave --from out"),
            Format::Sqlite if self.from.is_some() || self.to.is_some() => {
                refuse("sqlite copies the files as they are: leave --from and --to out")
            }
            _ => Ok(()),
        }
    }

    fn range(&self, archive: &Archive) -> Result<Range, Fault> {
        let unsealed = |what: String| Fault { verdict: Verdict::Unsealed, what };
        let none = || unsealed("no event is under a signed head yet: look for `sealer.refused`".to_owned());
        let newest = archive.newest()?.ok_or_else(none)?;
        let from = self.from.unwrap_or(archive.first());
        let to = self.to.unwrap_or(newest.size);
        if from < archive.first() || from >= to {
            return Err(usage(format!(
                "there are no events from {from} up to {to}; the first here is {}",
                archive.first()
            )));
        }
        let head = match self.format {
            Format::Tiles => archive.head_of(to)?.ok_or_else(|| usage(super::prove::no_head(to)))?,
            _ => archive.head_from(to)?.ok_or_else(|| {
                unsealed(format!("the newest signed head has {} events in it, not yet {to}", newest.size))
            })?,
        };
        Ok(Range { from, to, head })
    }

    fn write(
        &self,
        target: Target,
        archive: &mut Archive,
        path: &Path,
        range: &Range,
        mut way: Way,
    ) -> Result<(), Fault> {
        match self.format {
            Format::Jsonl | Format::Csv => {
                let file = target.file()?;
                let mut out = BufWriter::new(&file);
                let written = self.stream(&mut out, archive, path, range, way)?;
                written.and_then(|()| out.flush()).map_err(|error| target.failed(&error))?;
                drop(out);
                target.settle_file(&file)
            }
            Format::Tiles => {
                tiles::write(target.folder()?, archive, range, &mut way)?;
                target.settle_folder()
            }
            Format::Sqlite => {
                let (folder, stop) = (target.folder()?, Arc::clone(&way.stop));
                archive::copy(archive, folder, move || stop())?;
                Target::write(&folder.join("checkpoint"), range.head.note.as_bytes())?;
                target.settle_folder()
            }
        }
    }

    /// The outer error is the log's, the inner one that of writing.
    fn stream(
        &self,
        out: impl Write,
        archive: &Archive,
        path: &Path,
        range: &Range,
        mut way: Way,
    ) -> Result<io::Result<()>, Fault> {
        match self.format {
            Format::Csv => csv::write(out, path, range, self.spreadsheet, &mut way),
            _ => jsonl::write(out, archive, range, &mut way),
        }
    }

    fn tell(&self, range: &Range, recorded: Recorded) -> Result<(), Fault> {
        let Some(output) = &self.output else { return Ok(()) };
        let (last, size, output) = (range.to - 1, range.head.size, output.display().to_string());
        super::print(&match self.json {
            true => {
                json!({
                    "output": output, "from": range.from, "to": range.to, "head": size,
                    "recorded": recorded == Recorded::InTheLog,
                })
                .to_string()
                    + "\n"
            }
            false => format!("events {} to {last}, under the signed head of {size} events: {output}\n", range.from),
        })
    }
}

impl Format {
    fn form(self) -> Form {
        match self {
            Self::Jsonl => Form::Jsonl,
            Self::Csv => Form::Csv,
            Self::Tiles => Form::Tiles,
            Self::Sqlite => Form::Sqlite,
        }
    }
}

/// A reader of standard output that has seen enough is no failure.
fn goes_on_or_ends(written: io::Result<()>) -> Result<(), Fault> {
    goes_on(written).map(drop).map_err(unreadable)
}
