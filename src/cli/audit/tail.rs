//! `gatepost audit tail`: the newest events, and with `-f` those that come.

use std::io::{self, BufWriter, StdoutLock};
use std::path::Path;
use std::time::Duration;

use clap::Args;

use super::format::{Choice, Sheet};
use super::place::Place;
use crate::cli::interrupt::Interrupt;
use crate::cli::out::is_read;
use crate::vault::audit::query::{Cursor, Filter};

/// The service publishes once a second.
const EVERY: Duration = Duration::from_millis(500);
/// While a month ends its file has no name for a moment; what lasts longer is an error.
const PATIENCE: u32 = 10;

#[derive(Debug, Args)]
pub struct Tail {
    #[command(flatten)]
    place: Place,
    /// Go on with the events that come, also beyond the end of the month, until Ctrl-C
    #[arg(short, long)]
    follow: bool,
    /// How many of the newest to begin with
    #[arg(short = 'n', long = "lines", value_name = "N", default_value_t = 10)]
    lines: u64,
    #[command(flatten)]
    choice: Choice,
}

impl Tail {
    pub fn run(&self) -> Result<(), String> {
        let interrupt = Interrupt::catch()?;
        let path = self.place.files()?;
        let mut sheet = Sheet::new(BufWriter::new(io::stdout().lock()), self.choice.format(), false);
        let filter = Filter { limit: Some(self.lines), ..Filter::default() };
        let mut cursor = Cursor::start(&path, &filter)?;
        if !sheet.header()? || !print(&mut cursor, &mut sheet)? || !self.follow {
            return Ok(());
        }
        follow(cursor, &mut sheet, &path, &interrupt)
    }
}

type Out = Sheet<BufWriter<StdoutLock<'static>>>;

/// Prints what there is by now. False when nobody reads on.
fn print(cursor: &mut Cursor, sheet: &mut Out) -> Result<bool, String> {
    loop {
        let page = cursor.page()?;
        if page.is_empty() {
            return sheet.flush();
        }
        if !sheet.events(&page)? {
            return Ok(false);
        }
    }
}

fn follow(mut cursor: Cursor, sheet: &mut Out, path: &Path, interrupt: &Interrupt) -> Result<(), String> {
    let mut failed = 0;
    while !interrupt.came() && is_read() {
        std::thread::sleep(EVERY);
        match print(&mut cursor, sheet) {
            Ok(true) => failed = 0,
            Ok(false) => break,
            Err(_) if failed < PATIENCE => failed += 1,
            Err(error) => return Err(format!("following {}: {error}", path.display())),
        }
    }
    Ok(())
}
