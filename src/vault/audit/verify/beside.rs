//! What stands beside the events of a file: `info`, the places of the tiles, and what kind of value each cell holds. No signature
//! covers it, and programs that read the files go by it.

use rusqlite::{Connection, Result as Sql};

use super::{Fault, Verdict, altered, sql};
use crate::merkle::note::Verifier;
use crate::merkle::tree::WIDTH;
use crate::vault::audit::month;
use crate::vault::audit::row::unsigned;

/// All that `info` may say.
const INFO: [&str; 7] = ["origin", "vkey", "month", "first_seq", "base", "published_size", "published_time"];

/// Cells that are not of their column's kind, table by table. SQLite lets anything stand anywhere.
const FORMS: [(&str, &str); 3] = [
    ("checkpoint", "typeof(time_us) <> 'integer' OR time_us < 0 OR typeof(root) <> 'blob' OR typeof(note) <> 'text'"),
    (
        "anchor",
        "typeof(name) <> 'text' OR typeof(size) <> 'integer' OR size < 0 OR typeof(time_us) <> 'integer' OR time_us < 0 \
         OR typeof(proof) NOT IN ('text', 'null')",
    ),
    ("erasure", "typeof(n) <> 'integer'"),
];

/// Checks a file that ends before that event.
pub fn check(connection: &Connection, end: u64, keys: &[&Verifier]) -> Result<(), Fault> {
    let first = info(connection, end, keys)?;
    tiles(connection, first, end)?;
    for (table, wrong) in FORMS {
        let there = "SELECT EXISTS(SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?)";
        if connection.query_row(there, [table], |row| row.get::<_, bool>(0)).map_err(sql)?
            && is_there(connection, &format!("SELECT EXISTS(SELECT 1 FROM {table} WHERE {wrong})")).map_err(sql)?
        {
            return Err(altered(format!("a cell of the table `{table}` isn't what is written there")));
        }
    }
    Ok(())
}

/// What `info` says, against the events that are there. Gives the first event.
fn info(connection: &Connection, end: u64, keys: &[&Verifier]) -> Result<u64, Fault> {
    let mut statement = connection.prepare("SELECT key, value FROM info").map_err(sql)?;
    let said = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).map_err(sql)?;
    let said: Vec<(String, String)> = said.collect::<Sql<_>>().map_err(sql)?;
    let of = |key: &str| said.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str());
    let wrong = |key: &str| altered(format!("what `info` says as `{key}` isn't so"));
    if let Some((key, _)) = said.iter().find(|(key, _)| !INFO.contains(&key.as_str())) {
        return Err(wrong(key));
    }
    if of("published_size") != Some(end.to_string().as_str()) {
        return Err(wrong("published_size"));
    }
    if of("origin").is_some_and(|origin| keys.iter().all(|key| key.name != origin)) {
        return Err(wrong("origin"));
    }
    if of("vkey").is_some_and(|vkey| keys.iter().all(|key| key.to_string() != vkey)) {
        // The log may have got another one that whoever asks doesn't know of.
        return Err(Fault { verdict: Verdict::Signature, ..wrong("vkey") });
    }
    for edge in ["", " DESC"] {
        let time = format!("SELECT time_us FROM event ORDER BY seq{edge} LIMIT 1");
        let mut statement = connection.prepare(&time).map_err(sql)?;
        for time_us in statement.query_map([], |row| unsigned(row, 0)).map_err(sql)? {
            if of("month") != Some(month::of(time_us.map_err(sql)?).to_string().as_str()) {
                return Err(wrong("month"));
            }
        }
    }
    let first =
        of("first_seq").and_then(|first| first.parse().ok()).filter(|n: &u64| of("first_seq") == Some(&n.to_string()));
    first.ok_or_else(|| wrong("first_seq"))
}

/// The tiles that these events filled are here, and no others.
fn tiles(connection: &Connection, first: u64, end: u64) -> Result<(), Fault> {
    let filled = |level: u64| {
        let shift = u32::try_from(level.saturating_add(1)).unwrap_or(u32::MAX).saturating_mul(WIDTH.ilog2());
        first.checked_shr(shift).unwrap_or(0)..end.checked_shr(shift).unwrap_or(0)
    };
    let (mut statement, mut count) = (connection.prepare("SELECT level, number FROM tile").map_err(sql)?, 0);
    for tile in statement.query_map([], |row| Ok((unsigned(row, 0)?, unsigned(row, 1)?))).map_err(sql)? {
        let (level, number) = tile.map_err(sql)?;
        if !filled(level).contains(&number) {
            return Err(altered(format!("tile {number} of level {level} is not one that these events fill")));
        }
        count += 1;
    }
    match (0..8).map(|level| filled(level).count() as u64).sum::<u64>() == count {
        true => Ok(()),
        false => Err(altered("a tile that these events fill isn't there")),
    }
}

fn is_there(connection: &Connection, question: &str) -> Sql<bool> {
    connection.query_row(question, [], |row| row.get(0))
}
