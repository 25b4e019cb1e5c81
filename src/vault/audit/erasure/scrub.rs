//! The octets of a database file that SQLite no longer uses: what was erased may still stand there.
//!
//! `secure_delete` overwrites a cell that is deleted. But when pages are rebuilt while rows are added, copies of cells that
//! moved are left in the gap between a page's pointers and its cells, and those are nobody's when the row is deleted. So after
//! an erasure the gaps and free blocks of every page are zeroed. Nothing that SQLite reads is touched (see "B-tree Pages"
//! in its description of the file format), so a reader sees no difference and a crash in the middle does no harm.

use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Octets of the file's header, in front of the first page's own.
const HEADER: usize = 100;
/// Beyond so many pages the first octet of an overflow page could be taken for a kind of page: 128 GiB of 4 KiB.
const MOST_PAGES: u64 = 1 << 25;

/// Zeroes what is unused, and syncs the file. No transaction of this process may be open on it: closing the file again
/// lets go of this process' locks on it.
pub fn scrub(path: &Path) -> io::Result<()> {
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    let mut header = [0; HEADER];
    file.read_exact_at(&mut header, 0)?;
    let size = match short(&header, 16).ok_or(io::ErrorKind::InvalidData)? {
        1 => 65536,
        size => size,
    };
    let reserved = header.get(20).copied().map_or(0, usize::from);
    // Pages of pointers look like others; none of our files has them.
    let has_pointer_pages = header.get(52..56).is_some_and(|root| root.iter().any(|octet| *octet != 0));
    let pages = file.metadata()?.len() / u64::try_from(size).unwrap_or(u64::MAX);
    if !(512..=65536).contains(&size) || has_pointer_pages || pages > MOST_PAGES {
        return Err(io::Error::new(io::ErrorKind::Unsupported, "its pages are not as ours are"));
    }
    let mut page = vec![0; size];
    for number in 0..pages {
        let start = number * u64::try_from(size).unwrap_or(0);
        file.read_exact_at(&mut page, start)?;
        let at = if number == 0 { HEADER } else { 0 };
        for unused in unused(&page, at, size - reserved).unwrap_or_default() {
            zero(&file, &page, start, unused)?;
        }
    }
    file.sync_all()
}

fn zero(file: &File, page: &[u8], start: u64, unused: Range<usize>) -> io::Result<()> {
    let octets = page.get(unused.clone()).unwrap_or_default();
    if octets.iter().all(|octet| *octet == 0) {
        return Ok(());
    }
    file.write_all_at(&vec![0; octets.len()], start + u64::try_from(unused.start).unwrap_or(0))
}

/// The gap and the free blocks of a page of a tree. None for other pages, and for one that isn't as it must be.
fn unused(page: &[u8], at: usize, usable: usize) -> Option<Vec<Range<usize>>> {
    let head = match page.get(at)? {
        2 | 5 => 12,
        10 | 13 => 8,
        _ => return None,
    };
    let cells = short(page, at + 3)?;
    let content = match short(page, at + 5)? {
        0 => 65536,
        content => content,
    };
    let pointers = at + head..at + head + 2 * cells;
    let is_cell = |pointer: usize| short(page, pointer).is_some_and(|cell| (content..usable).contains(&cell));
    if pointers.end > content || content > usable || !pointers.clone().step_by(2).all(is_cell) {
        return None;
    }
    let mut all = Vec::new();
    let mut block = short(page, at + 1)?;
    let mut before = content;
    while block != 0 {
        let (next, length) = (short(page, block)?, short(page, block + 2)?);
        // They stand in order, within the content, and have four octets of their own.
        if block < before || length < 4 || block + length > usable {
            return None;
        }
        all.push(block + 4..block + length);
        before = block + length;
        block = next;
    }
    all.push(pointers.end..content);
    Some(all)
}

fn short(octets: &[u8], at: usize) -> Option<usize> {
    let pair = octets.get(at..at + 2)?.try_into().ok()?;
    Some(usize::from(u16::from_be_bytes(pair)))
}

#[cfg(test)]
mod tests {
    use rusqlite::{Connection, params};

    use super::*;

    /// Rows in many transactions, as they are published: some pages are rebuilt on the way.
    fn grown(path: &Path) -> Vec<(i64, String)> {
        let connection = Connection::open(path).unwrap();
        let script = "PRAGMA journal_mode=TRUNCATE; PRAGMA secure_delete=ON; PRAGMA synchronous=OFF;
            CREATE TABLE personal(seq INTEGER NOT NULL, field TEXT NOT NULL, n INTEGER NOT NULL, value TEXT, PRIMARY KEY(seq, field, n)) WITHOUT ROWID;
            CREATE INDEX p_value ON personal(field, value, seq) WHERE value IS NOT NULL;";
        connection.execute_batch(script).unwrap();
        let mut all = Vec::new();
        let mut insert = connection.prepare("INSERT INTO personal VALUES(?, ?, 0, ?)").unwrap();
        for group in 0..80 {
            connection.execute_batch("BEGIN").unwrap();
            for row in 0..40 {
                let seq = group * 40 + row;
                for field in ["client_ip", "mail_from", "some_text", "remote_text"] {
                    let length = usize::try_from((seq * 7919) % 149).unwrap();
                    let value = format!("MARK{seq:06}{field}{}", "x".repeat(length));
                    insert.execute(params![seq, field, value]).unwrap();
                    all.push((seq, value));
                }
            }
            connection.execute_batch("COMMIT").unwrap();
        }
        all
    }

    fn left(path: &Path, erased: &[&(i64, String)]) -> usize {
        let file = std::fs::read(path).unwrap();
        let octets = file.as_slice();
        let at: Vec<usize> = memchr::memmem::find_iter(octets, "MARK").collect();
        // The mark, the place and the field: that much is left of a value that is left.
        let length = |value: &str| value.trim_end_matches('x').len();
        let found: std::collections::HashSet<&[u8]> =
            at.iter().flat_map(|at| (19..=21).filter_map(move |end| octets.get(*at..at + end))).collect();
        erased.iter().filter(|(_, value)| found.contains(&value.as_bytes()[..length(value)])).count()
    }

    #[test]
    fn nothing_of_an_erased_value_is_left_and_everything_else_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.db");
        let all = grown(&path);
        let connection = Connection::open(&path).unwrap();
        connection.execute_batch("PRAGMA journal_mode=TRUNCATE; PRAGMA secure_delete=ON;").unwrap();
        connection.execute_batch("UPDATE personal SET value = NULL WHERE seq % 3 = 1").unwrap();
        let erased: Vec<_> = all.iter().filter(|(seq, _)| seq % 3 == 1).collect();
        assert!(left(&path, &erased) > 0, "SQLite leaves nothing by itself: then none of this is needed");
        drop(connection);
        scrub(&path).unwrap();
        assert_eq!(left(&path, &erased), 0);
        let kept: Vec<_> = all.iter().filter(|(seq, _)| seq % 3 != 1).collect();
        assert_eq!(left(&path, &kept), kept.len());
        let connection = Connection::open(&path).unwrap();
        let sound: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        let count = "SELECT count(*) FROM personal WHERE value IS NOT NULL";
        let count: i64 = connection.query_row(count, [], |row| row.get(0)).unwrap();
        assert_eq!((sound.as_str(), usize::try_from(count)), ("ok", Ok(kept.len())));
    }

    #[test]
    fn what_is_no_file_of_ours_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        std::fs::write(&path, vec![13; 8192]).unwrap();
        assert!(scrub(&path).is_err());
        assert_eq!(std::fs::read(&path).unwrap(), vec![13; 8192]);
    }
}
