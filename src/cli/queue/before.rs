//! The logs of before a restore: those that restores moved aside, or the one that is named.

use std::fs;
use std::path::{Path, PathBuf};

use super::entries::{DROP, Entries, IMPORT, message};
use super::pairs::Mention;
use crate::cli::audit::key;
use crate::mail::id::MessageId;
use crate::vault::audit::archive::Archive;
use crate::vault::audit::query::{self, Filter, Found};
use crate::vault::audit::values::Values;
use crate::vault::audit::verify::{Fault, Known, Verdict, verify};

/// What restores name the auditors' files and the database of before.
const AUDIT: &str = "audit.before-";
const DB: &str = "db.before-";

/// One such log.
pub struct Before {
    audit: PathBuf,
    values: Option<Values>,
    /// Its events before this one are under a signed head; none when all are believed.
    believed: Option<u64>,
}

/// One recipient of an event: its place in the log, its time, and which one. Two logs that have a beginning in common have the
/// same ones there, and no others alike.
pub type Mark = (u64, String, u32);

/// Where they are: the auditors' files, and the personal files beside them.
pub type Place = (PathBuf, Option<PathBuf>);

/// Each recipient that an event names: with its number, and as it is shown.
pub fn each_recipient(found: &Found, mut each: impl FnMut(Mark, u32, &str)) {
    let shown = found.get("rcpt_to").unwrap_or_default();
    for (n, shown) in (0..).zip(shown.split([',', ' ']).filter(|one| !one.is_empty())) {
        let time = found.get("time_us").or(found.get("time")).unwrap_or_default().to_owned();
        each((found.seq(), time, n), n, shown);
    }
}

/// All that restores moved aside in a state directory, the oldest first.
pub fn moved_aside(state: &Path) -> Vec<Place> {
    let entries = fs::read_dir(state).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut stamps: Vec<String> = names.filter_map(|name| name.strip_prefix(AUDIT).map(str::to_owned)).collect();
    stamps.sort();
    let place = |stamp: String| {
        let db = state.join(format!("{DB}{stamp}"));
        (state.join(format!("{AUDIT}{stamp}")), Some(db).filter(|db| db.is_dir()))
    };
    stamps.into_iter().map(place).collect()
}

impl Before {
    /// Opens one that is believed as it is.
    pub fn unverified((audit, personal): Place) -> Self {
        Self { audit, values: personal.map(Values::of), believed: None }
    }

    /// Opens one of which only what is under a signed head is believed: what it says takes mail out of the queue for good, so
    /// whoever can write to those files must not be able to make it say anything.
    ///
    /// Errors: the key can't be read, or it doesn't verify; with what to do.
    pub fn verified(place: Place, state: &Path, key: Option<&String>) -> Result<Self, String> {
        let key = match key {
            Some(key) => key::read(key),
            None => key::read_own(&state.join("seal").join("log.vkey")),
        };
        let key = key.map_err(|fault| fault.what)?;
        let audit = &place.0;
        // What came before may be kept elsewhere: mail that waits is younger.
        let archive = Archive::open(audit).map_err(|fault| fault.what)?;
        let known = Known { from: archive.first(), ..Known::default() };
        let sealed = match verify(audit, &key, &known, |_| {}) {
            Ok(sound) => sound.sealed,
            // All before that end is sound. A log that was restored in its turn has one, until `audit resume`.
            Err(fault) if fault.verdict == Verdict::Unsealed => {
                archive.newest().map_err(|fault| fault.what)?.map_or(0, |head| head.size)
            }
            Err(fault) => {
                return Err(format!(
                    "the log in {} does not verify, and nothing was done: {}. If it has another key, give that with --key; \
                     if you know that it is what the machine wrote, give --unverified",
                    audit.display(),
                    fault.what
                ));
            }
        };
        if sealed < archive.size() {
            eprintln!(
                "gatepost: the last {} events of the log in {} are under no signed head, and are not believed",
                archive.size() - sealed,
                audit.display()
            );
        }
        Ok(Self { believed: Some(sealed), ..Self::unverified(place) })
    }

    /// Where the messages that are wanted came in, and who of them was given up and came back. What was taken is believed as far as all
    /// else; who came back is in any case, as that ends nobody.
    ///
    /// Errors: the log can't be read.
    pub fn entries(&mut self, is_wanted: impl Fn(&MessageId) -> bool) -> Result<Entries, String> {
        let mut entries = Entries::of(&self.audit, self.believed, &is_wanted)?;
        for name in [DROP, IMPORT] {
            self.mentions(name, None, None, |found, mark, shown, clear| {
                let Some(message) = message(found).filter(&is_wanted) else { return };
                let reason = found.get("reason").unwrap_or_default();
                entries.note(message, (name, reason), mark, Mention::of(shown, clear));
            })?;
        }
        entries.pair();
        Ok(entries)
    }

    /// Each recipient of the events of a name, from a place in the log on: as it is shown, and in clear where that is known.
    pub fn recipients(
        &mut self,
        event: &str,
        from: Option<u64>,
        each: impl FnMut(&Found, Mark, &str, Option<String>),
    ) -> Result<(), String> {
        self.mentions(event, from, self.believed, each)
    }

    fn mentions(
        &mut self,
        event: &str,
        from: Option<u64>,
        to: Option<u64>,
        mut each: impl FnMut(&Found, Mark, &str, Option<String>),
    ) -> Result<(), String> {
        let filter = Filter { event: Some(event.to_owned()), from, to, ..Filter::default() };
        let values = &mut self.values;
        query::query(&self.audit, &filter, |found| {
            each_recipient(&found, |mark, n, shown| {
                let clear = values.as_mut().and_then(|values| values.get(&found, "rcpt_to", n));
                each(&found, mark, shown, clear);
            });
        })
    }

    /// The first event that another log doesn't have in common with it.
    pub fn parts_from(&self, other: &Path) -> Result<u64, String> {
        let said = |fault: Fault| fault.what;
        let (own, other) = (Archive::open(&self.audit).map_err(said)?, Archive::open(other).map_err(said)?);
        // Who has an event of a log has all before it: so the common part has one end.
        let (mut same, mut end) = (own.first().max(other.first()), own.size().min(other.size()));
        while same < end {
            let middle = same + (end - same) / 2;
            if own.event(middle).map_err(said)?.leaf_hash == other.event(middle).map_err(said)?.leaf_hash {
                same = middle + 1;
            } else {
                end = middle;
            }
        }
        Ok(same)
    }
}
