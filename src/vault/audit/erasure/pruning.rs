//! Removes a month of events that is over: the file whole, after its like was found in a head that is kept elsewhere.
//!
//! The tree's hashes stay in the vault, for as long as their own clock says, so older heads and proofs of later events still
//! verify. The event has the root at the
//! cut and the digest of the file: whoever kept a copy of the month can show that it is the one.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use rusqlite::{Connection, Result as Sql};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::places::{self, Place};
use super::removal::{self, unlink};
use super::{Name, record};
use crate::merkle::{Frontier, Hash};
use crate::vault::audit::month::{self, Month};
use crate::vault::audit::month_file::hex;
use crate::vault::audit::row::{PERSONAL, PersonalRow, Row, columns};
use crate::vault::store::Store;
use crate::vault::store::writer::Writer;

/// The data of `audit.prune`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pruning {
    pub month: String,
    /// The events from the first, before `size`.
    pub first: u64,
    pub size: u64,
    /// The root of the tree of that size.
    pub root: String,
    /// SHA-256 of the file.
    pub sha256: String,
    pub ground: String,
    /// The first event whose leaf hash is kept; 0 is not written.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub hashes: u64,
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// What the vault itself knows of the events of a month.
struct Witness {
    anchored: u64,
    base: Option<Frontier>,
    root: Option<Hash>,
}

/// Whether a month may go: it is closed and under an anchored head, and its file, read anew, is what the vault's tree was made
/// from. Gives what the event says of it.
///
/// Errors: why not, in words.
pub fn examine(place: &Place, writer: &Writer, ground: &str) -> Result<Pruning, String> {
    if place.is_current {
        return Err("it is being written to".into());
    }
    let (first, end, known) = (place.first, place.end, witness(place, writer)?);
    if known.anchored == 0 {
        return Err("no head of the log was ever anchored at a witness or by mail: set up such an anchor first".into());
    }
    if known.anchored < end {
        return Err(format!(
            "its last event is {}, but the newest anchored head is of {} events",
            end - 1,
            known.anchored
        ));
    }
    let root = confirm(place, &known)?;
    let sha256 = digest(&place.path).map_err(|error| places::explain(&place.path, &error))?;
    Ok(Pruning {
        month: place.month.to_string(),
        first,
        size: end,
        root: hex(&root),
        sha256: hex(&sha256),
        ground: ground.to_owned(),
        hashes: 0,
    })
}

/// Whether a closed month is what the vault's tree was made from: before anything is erased by what its file says of itself.
///
/// Errors: why not, in words.
pub fn recognise(place: &Place, writer: &Writer) -> Result<(), String> {
    confirm(place, &witness(place, writer)?).map(drop)
}

fn witness(place: &Place, writer: &Writer) -> Result<Witness, String> {
    let (first, end) = (place.first, place.end);
    let ask = move |store: &mut Store<'_>| {
        let anchored = store.anchors.largest()?.unwrap_or(0);
        Ok(Witness { anchored, base: store.ledger.frontier_at(first)?, root: store.ledger.root_at(end)? })
    };
    writer.run_blocking(ask).map_err(|error| format!("the vault's database: {error:?}"))
}

/// Reads the file anew and gives the root of the log at its end.
fn confirm(place: &Place, known: &Witness) -> Result<Hash, String> {
    let Some(base) = known.base.clone() else {
        return Err(
            "it was removed before, and the hashes that would show that it is the log's were, too (retain_hashes): \
                    move the file away"
                .into(),
        );
    };
    let (log, times) = reread(place, base)?;
    if log.size != place.end || known.root != Some(log.root()) {
        return Err("it isn't what was signed: run `gatepost audit verify` and keep the file".into());
    }
    // What `info` says is under no signature, and decides about the age and about another file.
    let is_named = place.path.ends_with(format!("audit-{}.db", place.month));
    if !is_named || times.is_none_or(|(first, last)| month::of(first) != place.month || month::of(last) != place.month)
    {
        return Err(format!("its events are not those of {}: keep the file", place.month));
    }
    Ok(log.root())
}

/// What the order to remove a month is known by as long as it is under way.
pub fn rule(month: Month) -> String {
    format!("events {month}")
}

/// Writes the event and the order.
pub fn order(store: &mut Store<'_>, pruning: &Pruning, month: Month, actor: &str) -> Sql<u64> {
    let pruning = Pruning { hashes: store.hashes.kept_from()?, ..pruning.clone() };
    store.hashes.month_went(month, pruning.size)?;
    record(store, Name::AuditPrune, serde_json::json!(pruning).to_string(), actor, Some(&rule(month)))
}

/// Removes the files of a month whose event is in the log. Anything else that bears their names stays.
pub fn remove(home: &Path, pruning: &Pruning) -> Result<(), String> {
    let month: Month = pruning.month.parse().map_err(|()| format!("{:?} is no month", pruning.month))?;
    let place = places::audit(home)?.into_iter().find(|place| !place.is_current && place.month == month);
    if let Some(place) = place {
        if (place.first, place.end) != (pruning.first, pruning.size) {
            return Err(format!("{}: has other events than the ones to be removed", place.path.display()));
        }
        unlink(&place.path)?;
    }
    let personal = home.join("db").join(format!("personal-{month}.db"));
    if personal.exists() {
        let connection = places::open(&personal)?;
        let range = removal::range_of(&connection).map_err(|error| places::explain(&personal, &error))?;
        if range.is_some_and(|(first, last)| first < pruning.first || last >= pruning.size) {
            return Err(format!("{}: has values of other events than the ones to be removed", personal.display()));
        }
    }
    unlink(&personal)
}

/// The tree over the events of a file, computed anew from every one of them; and when the first and the last were.
fn reread(place: &Place, base: Frontier) -> Result<(Frontier, Option<(u64, u64)>), String> {
    let connection = places::open(&place.path)?;
    let (mut log, mut sound, mut times) = (base, true, None);
    walk(&connection, |row| {
        sound &= row.seq == log.size && row.hash() == Some(row.leaf_hash);
        log.push(row.leaf_hash);
        times = Some((times.map_or(row.time_us, |(first, _)| first), row.time_us));
    })
    .map_err(|error| places::explain(&place.path, &error))?;
    if sound { Ok((log, times)) } else { Err("an event in it isn't what its hash was made from: keep the file".into()) }
}

fn walk(connection: &Connection, mut each: impl FnMut(&Row)) -> Sql<()> {
    let mut events = connection.prepare(&format!("SELECT {} FROM event ORDER BY seq", columns()))?;
    let mut personal = connection.prepare(&format!("SELECT {PERSONAL} FROM personal ORDER BY seq, field, n"))?;
    let mut values = personal.query_map([], PersonalRow::read)?.peekable();
    for row in events.query_map([], Row::read)? {
        let mut row = row?;
        while let Some(value) = values.next_if(|value| value.as_ref().map_or(true, |(seq, _)| *seq <= row.seq)) {
            let (seq, value) = value?;
            if seq == row.seq {
                row.personal.push(value);
            }
        }
        each(&row);
    }
    Ok(())
}

fn digest(path: &Path) -> std::io::Result<Hash> {
    let (mut file, mut digest, mut buffer) = (File::open(path)?, Sha256::new(), vec![0; 1 << 16]);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(digest.finalize().into()),
            n => digest.update(buffer.get(..n).unwrap_or_default()),
        }
    }
}
