//! Events that left the vault's database and are in none of the auditors' files any more: a month's file was lost, or older
//! files were put in its place. They can't come back; an administrator can say that this is known.

use std::path::Path;

use rusqlite::{Connection, Result as Sql};

use super::erasure;
use super::erasure::places::{self, Place};
use super::event::Name;
use super::month_file;
use super::row::unsigned;
use super::verify::declared;
use crate::vault::store::writer::Writer;

/// The first event that is missing, and the one before which that ends.
pub type Hole = (u64, u64);

/// As many as one event can name.
const MOST: usize = 8;

/// The holes in the files that no event tells of, the oldest first: neither was it declared, nor removed by rule.
///
/// Errors: a file can't be read; or the one that is written to ends too early, and what is to be done with it.
pub fn find(home: &Path, writer: &Writer) -> Result<Vec<Hole>, String> {
    let next = writer.run_blocking(|store| {
        let waiting = store.ledger.batch(1)?.rows.first().map(|row| row.seq);
        Ok(waiting.unwrap_or(store.ledger.size()))
    });
    let next = next.map_err(|error| format!("the vault's database: {error:?}"))?;
    let files = places::audit(home)?;
    let said = Said::read(&files)?;
    let (mut at, mut holes) = (0, Vec::new());
    for file in &files {
        holes.extend(Some((at, file.first)).filter(|hole| file.first > at && !said.tells_of(*hole)));
        at = file.end;
    }
    if next > at {
        if let Some(current) = files.last().filter(|file| file.is_current) {
            return Err(format!(
                "{} ends before event {at}, and what comes next is event {next}: stop the service, move that file out \
                 of the directory and keep it, start the service, and give the command again",
                current.path.display()
            ));
        }
        holes.push((at, next));
    }
    match holes.len() > MOST {
        true => Err(format!("there are {} holes in the files: put those back that you have", holes.len())),
        false => Ok(holes),
    }
}

/// Whether a file is sound also where nobody has looked: while it isn't, events wait, and there is more to do than to declare.
fn is_sound(connection: &Connection) -> Sql<bool> {
    connection.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0)).map(|found| found == "ok")
}

/// What events say of holes: before which ones everything was removed, and which holes were declared.
#[derive(Default)]
struct Said {
    pruned: Vec<u64>,
    declared: Vec<Hole>,
}

impl Said {
    fn read(files: &[Place]) -> Result<Self, String> {
        let mut said = Self::default();
        for file in files {
            let connection = places::open(&file.path)?;
            said.file(&connection).map_err(|error| month_file::said(&file.path, &error))?;
            let sound =
                !file.is_current || is_sound(&connection).map_err(|error| month_file::said(&file.path, &error))?;
            if !sound {
                return Err(month_file::damaged(&file.path));
            }
        }
        Ok(said)
    }

    fn file(&mut self, connection: &Connection) -> Sql<()> {
        let mut statement = connection.prepare("SELECT seq, event, data FROM event WHERE event IN (?, ?)")?;
        let names = [Name::AuditPrune.word(), Name::AuditResume.word()];
        let mut rows = statement.query(names)?;
        while let Some(row) = rows.next()? {
            let (seq, event): (u64, String) = (unsigned(row, 0)?, row.get(1)?);
            let Some(data) = row.get::<_, Option<String>>(2)? else { continue };
            self.pruned.extend(erasure::pruning(&event, &data).map(|pruning| pruning.size));
            self.declared.extend(declared(seq, &event, &data).into_iter().flat_map(|gap| gap.missing));
        }
        Ok(())
    }

    fn tells_of(&self, hole: Hole) -> bool {
        let (first, end) = hole;
        self.declared.contains(&hole) || (first == 0 && self.pruned.contains(&end))
    }
}
