//! What is in no file yet: the events that the vault's database alone has, and the heads they lead to.

use super::stopped::Stopped;
use super::value::State;
use super::values::Values;
use super::{Fault, Known, KnownHead, Verdict, altered, sql, value};
use crate::merkle::Frontier;
use crate::vault::audit::row::{PERSONAL, Row, columns, integer};

/// How many events wait, and how many of them are under no signed head.
struct Waiting {
    all: u64,
    unsigned: u64,
}

impl Known {
    /// Goes on from the end of the files with the events that the vault's database has, over these heads.
    ///
    /// Gives why that doesn't lead to all of them. Errors: `Unsealed` when it does, each event what its hash was made from: no
    /// fault of the log; or when nobody could look. `Erased` when it does, and values of them are gone. `Altered` when the
    /// database has more events than the files, and they aren't there. Whether a process has it open counts for nothing:
    /// anybody can lock a file, and what is read is judged by the heads alone.
    pub(super) fn waits(
        &self,
        database: Option<&Result<Stopped, Fault>>,
        files: &Frontier,
        heads: &[&KnownHead],
    ) -> Result<String, Fault> {
        if let Some(what) = &self.waiting {
            return self.waits_for_a_reader(what, database, files, heads);
        }
        match database {
            None => Ok(String::new()),
            Some(Err(_)) if heads.is_empty() => Ok(String::new()),
            Some(Err(fault)) => match (fault.verdict, heads.first()) {
                (Verdict::Unsealed, Some(head)) => {
                    let what = &self.in_database(fault).what;
                    let KnownHead { what: whose, size: signed, .. } = head;
                    let what = format!(
                        "the log ends at event {}, and {whose} is of {signed} events: whether the newest ones wait in the \
                         vault's database can't be judged. {what}",
                        files.size
                    );
                    Err(Fault { verdict: Verdict::Unsealed, what })
                }
                (Verdict::Altered, _) => Ok(self.in_database(fault).what),
                _ => Err(self.in_database(fault)),
            },
            Some(Ok(stopped)) => {
                // What looks wrong because it was being written proves nothing.
                let walked = walk(stopped, files, heads).or_else(|fault| stopped.is_still().and(Err(fault)));
                match walked {
                    Ok(Waiting { all: 0, .. }) => Ok(String::new()),
                    Ok(waiting) => Err(self.were_left(&waiting)),
                    Err(fault) if fault.verdict != Verdict::Altered => Err(self.in_database(&fault)),
                    Err(fault) if heads.is_empty() => Err(altered(format!(
                        "the log ends at event {}, but the vault has written {}: they were removed, and they can't be found in \
                         its database either: {}",
                        files.size,
                        stopped.size,
                        self.in_database(&fault).what
                    ))),
                    Err(fault) => Ok(self.in_database(&fault).what),
                }
            }
        }
    }

    /// The same while the service says that events wait. Where its database can't be read as it stood, its word counts.
    fn waits_for_a_reader(
        &self,
        what: &str,
        database: Option<&Result<Stopped, Fault>>,
        files: &Frontier,
        heads: &[&KnownHead],
    ) -> Result<String, Fault> {
        let waits = || Err(Fault { verdict: Verdict::Unsealed, what: what.to_owned() });
        let last = heads.iter().map(|head| head.size).max().unwrap_or(0);
        if self.events.is_some_and(|events| events < last) {
            return Ok(String::new());
        }
        let Some(Ok(stopped)) = database else { return waits() };
        match walk(stopped, files, heads) {
            Err(fault) if fault.verdict == Verdict::Altered && stopped.is_still().is_ok() => {
                Ok(self.in_database(&fault).what)
            }
            Err(fault) if fault.verdict == Verdict::Erased => Err(self.in_database(&fault)),
            _ => waits(),
        }
    }

    /// No service published them before it ended.
    fn were_left(&self, waiting: &Waiting) -> Fault {
        let Waiting { all, unsigned } = waiting;
        let proven = match unsigned {
            0 => "are what was signed".to_owned(),
            unsigned if unsigned == all => "are under no signed head yet".to_owned(),
            unsigned => format!("are what was signed, but for the last {unsigned}, which are under no signed head yet"),
        };
        let what = format!(
            "the newest {all} events are not in the auditors' files yet, because the service was stopped or ended before it could \
             put them there, or can't be asked: they are there, and {proven}. Start the service, and it puts them there"
        );
        self.in_database(&Fault { verdict: Verdict::Unsealed, what })
    }
}

/// Follows the events from there to the end of the log, over all of these heads.
fn walk(stopped: &Stopped, files: &Frontier, heads: &[&KnownHead]) -> Result<Waiting, Fault> {
    let database = &stopped.database;
    let (from, mut log) = (integer(files.size), files.clone());
    let events = format!("SELECT {} FROM audit_event WHERE seq >= ? ORDER BY seq", columns());
    let mut events = database.prepare(&events).map_err(sql)?;
    let personal = format!("SELECT {PERSONAL} FROM audit_personal WHERE seq >= ? ORDER BY seq, field, n");
    let mut personal = database.prepare(&personal).map_err(sql)?;
    let mut personal = Values::new(personal.query([&from]).map_err(sql)?)?;
    let mut events = events.query([&from]).map_err(sql)?;
    let signed = heads.iter().map(|head| head.size).max().unwrap_or(0);
    let end = signed.max(stopped.size);
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
        None => Ok(Waiting { all: log.size - files.size, unsigned: log.size - signed.max(files.size) }),
    }
}
