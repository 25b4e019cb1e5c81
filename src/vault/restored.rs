//! The first start on what was restored from a backup: all mail is held, because what happened after the backup is not known
//! here; some of it was delivered.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use super::queue::{Order, slice};
use super::store::writer::Writer;
use crate::ipc::admin::queue::{Deed, Which};

/// Says in `db/` that it was restored; what stands in it is told in the log. It is made before anything else is there, and
/// removed when everything is held.
pub const MARK: &str = "restored";

/// Says in the state directory that a restore is between the old state and the new one: nothing that is there is to be
/// served.
pub const UNFINISHED: &str = "restore-unfinished";

/// Errors: a restore was broken off.
pub fn check(state_directory: &Path) -> Result<(), String> {
    let mark = state_directory.join(UNFINISHED);
    match mark.try_exists() {
        Ok(false) => Ok(()),
        Ok(true) => Err(format!("{} is there: a restore was broken off; give gatepost restore again", mark.display())),
        Err(error) => Err(format!("{}: {error}", mark.display())),
    }
}

/// Whether nobody has served what is there since it was restored.
pub fn is_marked(db: &Path) -> Result<bool, String> {
    let mark = db.join(MARK);
    mark.try_exists().map_err(|error| format!("{}: {error}", mark.display()))
}

/// Holds everything, if the mark is there. Before anybody is served, and again after a crash.
pub fn hold(db: &Path, writer: &Writer) -> Result<(), String> {
    let mark = db.join(MARK);
    let note = match fs::read_to_string(&mark) {
        Ok(note) => note,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(format!("{}: {error}", mark.display())),
    };
    let order = Order { deed: Deed::Hold, which: Which::All, actor: None, reason: "restored", note: Some(note) };
    let (mut messages, mut next) = (0, Some(0));
    while let Some(after) = next {
        let order = order.clone();
        let done = writer.run_blocking(move |store| slice(store, &order, after));
        let done = done.map_err(|error| format!("holding what was restored: {error:?}"))?;
        (messages, next) = (messages + done.counts.messages, done.next);
    }
    let removed = fs::remove_file(&mark).and_then(|()| File::open(db)?.sync_all());
    removed.map_err(|error| format!("{}: {error}", mark.display()))?;
    tracing::warn!(
        messages,
        "this was restored from a backup: what waits is held. See what was delivered since with gatepost queue reconcile, \
         then gatepost queue release --all"
    );
    Ok(())
}
