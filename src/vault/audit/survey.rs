//! Whether the files that the log was moved to are where they were, as far as that shows without reading them through. Each
//! start looks, and so does each backup: before an auditor does, nobody else would notice.

use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension, Result as Sql, params};

use super::erasure::erased::Erased;
use super::erasure::places;
use super::event::{Event, Field, Name, Outcome};
use super::query;
use super::row::{integer, unsigned};
use crate::vault::store::Store;
use crate::vault::store::writer::Writer;

/// Values looked at one by one, in a month of which some were erased.
const VALUES: usize = 100_000;
/// What is told of at once.
const MOST: usize = 50;

/// Something that is not there, or not whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lack {
    /// A word for the log.
    pub reason: &'static str,
    pub what: String,
    /// The file that can't be read at all.
    pub unreadable: Option<PathBuf>,
}

impl Lack {
    fn new(reason: &'static str, what: String) -> Self {
        Self { reason, what, unreadable: None }
    }

    pub fn event(&self) -> Event {
        let data = serde_json::json!({ "said": self.what }).to_string();
        Event {
            severity: 2,
            reason: Some(self.reason.to_owned()),
            data: Some(data),
            ..Event::new(Name::IntegrityFailure, Outcome::Failure)
        }
    }
}

/// One of the auditors' files, by what it says of itself.
struct Month {
    path: PathBuf,
    connection: Connection,
    name: String,
    first: u64,
    end: u64,
}

/// Looks at all of them. The database itself has the events from `kept` on.
pub fn survey(home: &Path, kept: u64) -> Vec<Lack> {
    let audit = home.join("audit");
    let files: Vec<PathBuf> =
        query::files(&audit).unwrap_or_default().into_iter().filter(|path| has_octets(path)).collect();
    let erased = Erased::read(&files);
    let (mut months, mut lacks) = (Vec::new(), Vec::new());
    for path in files {
        match Month::open(&path) {
            Ok(Some(month)) => months.push(month),
            Ok(None) => {}
            Err(what) => {
                let unreadable = Some(path).filter(|path| query::open(path).is_err());
                lacks.push(Lack { reason: "events-damaged", what, unreadable });
            }
        }
    }
    months.sort_by_key(|month| month.first);
    lacks.extend(holes(&months, kept, &erased));
    lacks.extend(months.iter().filter_map(|month| month.personal(home, &erased)));
    lacks.truncate(MOST);
    lacks
}

/// The first event that the database still has itself; as many as there are when all were moved.
pub fn kept(writer: &Writer) -> Result<u64, String> {
    writer.run_blocking(kept_in).map_err(|error| format!("the vault's database: {error:?}"))
}

pub fn kept_in(store: &mut Store<'_>) -> Sql<u64> {
    let first = store.ledger.batch(1)?.rows.first().map(|row| row.seq);
    Ok(first.unwrap_or_else(|| store.ledger.size()))
}

fn has_octets(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| found.len() > 0)
}

/// Events that are in no file, or in two.
fn holes(months: &[Month], kept: u64, erased: &Erased) -> Vec<Lack> {
    let declared: Vec<(u64, u64)> = months.iter().flat_map(Month::declared).collect();
    let is_known = |first: u64, end: u64| declared.iter().any(|hole| *hole == (first, end - 1));
    let (mut lacks, mut end, mut before) = (Vec::new(), 0, None::<&Month>);
    for month in months {
        let name = month.path.display();
        let explained = before.is_none() && erased.removed_before(month.first);
        if month.first > end && !explained && !is_known(end, month.first) {
            lacks.push(missing(end, month.first));
        } else if month.first < end
            && let Some(before) = before
        {
            let other = before.path.display();
            let what = format!(
                "{name}: begins with event {}, which {other} has: one of them is no part of this log",
                month.first
            );
            lacks.push(Lack::new("events-twice", what));
        }
        (end, before) = (end.max(month.end), Some(month));
    }
    lacks.extend((end < kept && !is_known(end, kept)).then(|| missing(end, kept)));
    lacks
}

fn missing(first: u64, end: u64) -> Lack {
    let what = format!(
        "the auditors' files lack events {first} to {}: put a copy of the file back that has them all; without one, declare it: \
         gatepost audit resume --accept-loss",
        end - 1
    );
    Lack::new("events-missing", what)
}

impl Month {
    /// None when it was made and never written to.
    fn open(path: &Path) -> Result<Option<Self>, String> {
        let connection = query::open(path)?;
        let failed = |error: rusqlite::Error| query::explain(path, &error);
        let Some((name, first, end)) = places::range(&connection).map_err(failed)? else { return Ok(None) };
        let number = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, Option<i64>>(0)).map_err(failed);
        let (min, max) = (number("SELECT min(seq) FROM event")?, number("SELECT max(seq) FROM event")?);
        let has = min.zip(max).map_or((first, first), |(min, max)| (natural(min), natural(max).saturating_add(1)));
        let pages =
            natural(number("PRAGMA page_count")?.unwrap_or(0)) * natural(number("PRAGMA page_size")?.unwrap_or(0));
        let octets = fs::metadata(path).map_err(|error| format!("{}: {error}", path.display()))?.len();
        if pages != octets {
            return Err(format!(
                "{}: is {octets} octets, and should be {pages}: put a copy of it back",
                path.display()
            ));
        }
        if has != (first, end) {
            return Err(format!(
                "{}: says that it has events {first} to {end}, and has {} to {}: put a copy of it back",
                path.display(),
                has.0,
                has.1
            ));
        }
        Ok(Some(Self { path: path.to_owned(), connection, name: name.to_string(), first, end }))
    }

    /// The events that an administrator declared lost (`audit.resume`), first and last.
    fn declared(&self) -> Vec<(u64, u64)> {
        #[derive(serde::Deserialize)]
        struct Resumed {
            missing: Vec<(u64, u64)>,
        }
        let read = || -> Sql<Vec<String>> {
            let mut events = self.connection.prepare("SELECT data FROM event WHERE event = ? AND data IS NOT NULL")?;
            events.query_map([Name::AuditResume.word()], |row| row.get(0))?.collect()
        };
        let data = read().unwrap_or_default();
        data.iter()
            .filter_map(|data| serde_json::from_str::<Resumed>(data).ok())
            .flat_map(|said| said.missing)
            .collect()
    }

    /// Whether the values are there that auditors don't see: the first one that was not erased stands for all.
    fn personal(&self, home: &Path, erased: &Erased) -> Option<Lack> {
        let path = home.join("db").join(format!("personal-{}.db", self.name));
        let (seq, field, n) = match self.first_hidden(erased) {
            Ok(found) => found?,
            Err(error) => return Some(Lack::new("events-damaged", query::explain(&self.path, &error))),
        };
        let look = || -> Result<bool, String> {
            let sql = "SELECT 1 FROM personal WHERE seq = ? AND field = ? AND n = ?";
            let connection = places::open(&path)?;
            let found = connection.query_row(sql, params![integer(seq), field, n], |_| Ok(())).optional();
            found.map(|found| found.is_some()).map_err(|error| error.to_string())
        };
        let is_there = path.exists();
        let (why, unreadable) = match is_there.then(look) {
            Some(Ok(true)) => return None,
            Some(Ok(false)) => (format!("lacks {field} of event {seq}, which was not erased"), None),
            Some(Err(why)) => (why, Some(path.clone())),
            None => ("is missing".to_owned(), None),
        };
        let what =
            format!("{}: {why}: values of {} can't be disclosed; put a copy of it back", path.display(), self.name);
        Some(Lack { reason: "personal-missing", what, unreadable })
    }

    /// The first value that auditors don't see and no event says was erased.
    fn first_hidden(&self, erased: &Erased) -> Sql<Option<(u64, String, u32)>> {
        let fields: Vec<String> =
            Field::ALL.iter().filter(|field| !field.is_open()).map(|field| format!("'{}'", field.word())).collect();
        let sql = format!(
            "SELECT seq, field, n FROM personal WHERE (seq, field, n) > (?, ?, ?) AND field IN ({}) ORDER BY seq, field, n LIMIT 1",
            fields.join(", ")
        );
        let mut next = self.connection.prepare(&sql)?;
        // Before the first one.
        let mut at: (i64, String, i64) = (-1, String::new(), -1);
        for _ in 0..VALUES {
            let read =
                |row: &rusqlite::Row<'_>| Ok((unsigned(row, 0)?, row.get::<_, String>(1)?, row.get::<_, u32>(2)?));
            let Some((seq, field, n)) = next.query_row(params![at.0, at.1, at.2], read).optional()? else {
                return Ok(None);
            };
            if let Some(last) = erased.emptied(seq) {
                at = (i64::try_from(last).unwrap_or(i64::MAX).saturating_add(1), String::new(), -1);
            } else if erased.names(seq, &field, &format!("{field}[{n}]")) {
                at = (i64::try_from(seq).unwrap_or(i64::MAX), field, i64::from(n));
            } else {
                return Ok(Some((seq, field, n)));
            }
        }
        Ok(None)
    }
}

fn natural(n: i64) -> u64 {
    u64::try_from(n).unwrap_or(0)
}

#[cfg(test)]
mod tests;
