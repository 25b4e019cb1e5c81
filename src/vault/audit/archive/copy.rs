//! A consistent copy of the auditors' files, while the service writes to them.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::{Archive, Month, unreadable};
use crate::vault::audit::verify::Fault;

/// As the files themselves; the umask may take more.
const MODE: u32 = 0o640;

/// Steps of SQLite's machine between two looks whether somebody wants an end: some milliseconds.
const STEPS: i32 = 10_000;

/// Copies each file into a folder that is there and empty. Each copy is what its file was at one instant; the vault waits
/// with what is new until it is done. `stop` says whether to give up.
pub fn copy(
    archive: &mut Archive,
    into: &Path,
    stop: impl FnMut() -> bool + Clone + Send + 'static,
) -> Result<(), Fault> {
    archive.months.iter_mut().try_for_each(|month| copy_month(month, into, stop.clone()))
}

fn copy_month(month: &mut Month, into: &Path, stop: impl FnMut() -> bool + Send + 'static) -> Result<(), Fault> {
    let place = month.path.file_name().map(|name| into.join(name));
    // A path that is no UTF-8 can't be said in SQL.
    let Some(place) = place.as_deref().and_then(Path::to_str) else {
        return Err(unreadable(format!("{}: the path must be UTF-8", into.display())));
    };
    let watched = month.connection.progress_handler(STEPS, Some(stop));
    watched.map_err(|error| unreadable(error.to_string()))?;
    // SQLite fills an empty file that is there, and would make one by the umask alone.
    let made = OpenOptions::new().write(true).create_new(true).mode(MODE).open(place);
    made.map_err(|error| unreadable(format!("{place}: {error}")))?;
    month.ask(|connection| connection.execute("VACUUM INTO ?", [place]).map(drop))
}
