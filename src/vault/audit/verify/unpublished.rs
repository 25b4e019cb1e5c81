//! What no service published before it ended: the events that the vault's database alone has, and the heads they lead to.

use super::stopped::{self, Stopped};
use super::value::State;
use super::values::Values;
use super::{Fault, Known, KnownHead, Verdict, altered, sql, value};
use crate::merkle::Frontier;
use crate::vault::audit::row::{PERSONAL, Row, columns, integer};

impl Known {
    /// Goes on from the end of the files with the events that the database of a stopped service has, up to these heads.
    ///
    /// Gives why that leads to none of them. Errors: `Unsealed` when it leads to all, each event what its hash was made from: no
    /// fault of the log. `Erased` when it does, and values of them are gone. Whether a process has the database open counts for
    /// nothing: anybody can lock a file, and what is read is judged by the heads alone.
    pub(super) fn waits(
        &self,
        stopped: Option<&Result<Stopped, Fault>>,
        files: &Frontier,
        heads: &[&KnownHead],
    ) -> Result<String, Fault> {
        let (Some(state), Some(stopped), [_, ..]) = (&self.state, stopped, heads) else { return Ok(String::new()) };
        let path = stopped::path(state);
        let walked = stopped.as_ref().map_err(Clone::clone).and_then(|stopped| {
            // What looks wrong because it was being written proves nothing.
            walk(stopped, files, heads).or_else(|fault| stopped.is_still().and(Err(fault)))
        });
        match walked {
            Ok(count) => Err(Fault {
                verdict: Verdict::Unsealed,
                what: format!(
                    "the newest {count} events are not in the auditors' files yet, because the service ended before it could \
                     put them there, or can't be asked: they are in {}, and are what was signed. Start the service, and it does",
                    path.display()
                ),
            }),
            Err(fault) if matches!(fault.verdict, Verdict::Erased | Verdict::Unreadable) => {
                Err(Fault { what: format!("{}: {}", path.display(), fault.what), ..fault })
            }
            Err(fault) => Ok(format!("{}: {}", path.display(), fault.what)),
        }
    }
}

/// How many events lead from there to the last of these heads.
fn walk(stopped: &Stopped, files: &Frontier, heads: &[&KnownHead]) -> Result<u64, Fault> {
    let database = &stopped.database;
    let (from, mut log) = (integer(files.size), files.clone());
    let events = format!("SELECT {} FROM audit_event WHERE seq >= ? ORDER BY seq", columns());
    let mut events = database.prepare(&events).map_err(sql)?;
    let personal = format!("SELECT {PERSONAL} FROM audit_personal WHERE seq >= ? ORDER BY seq, field, n");
    let mut personal = database.prepare(&personal).map_err(sql)?;
    let mut personal = Values::new(personal.query([&from]).map_err(sql)?)?;
    let mut events = events.query([&from]).map_err(sql)?;
    let end = heads.iter().map(|head| head.size).max().unwrap_or(0);
    let (mut row, mut leaf, mut gone) = (Row::default(), Vec::new(), None);
    while log.size < end {
        let Some(columns) = events.next().map_err(sql)? else {
            return Err(altered(format!("it ends at event {}", log.size)));
        };
        row.refill(columns).map_err(sql)?;
        personal.of(&mut row)?;
        if row.seq != log.size || row.hash_in(&mut leaf) != Some(row.leaf_hash) {
            return Err(altered(format!("event {} isn't there, or isn't what its hash was made from", log.size)));
        }
        for value in &row.personal {
            // Nothing is erased before it is published.
            if value::check(row.seq, value)? != State::There || value.value.is_none() {
                gone.get_or_insert_with(|| {
                    format!(
                        "{} of event {} was erased before it was published, and no event says so",
                        value.key(),
                        row.seq
                    )
                });
            }
        }
        log.push(row.leaf_hash);
        if let Some(head) = heads.iter().find(|head| head.size == log.size && head.root != log.root()) {
            return Err(altered(format!("the log up to event {} isn't the one of {}", log.size, head.what)));
        }
    }
    match gone {
        Some(what) => Err(Fault { verdict: Verdict::Erased, what }),
        None => Ok(log.size - files.size),
    }
}
