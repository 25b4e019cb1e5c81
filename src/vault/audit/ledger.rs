//! The audit log inside the vault's transaction: events become leaves, leaves become tiles.

use std::time::{SystemTime, UNIX_EPOCH};

use rusqlite::types::Value as Stored;
use rusqlite::{Connection, OptionalExtension, Result, Statement, params, params_from_iter};

use super::adopt::Leaf;
use super::clock::{self, Clocks, Reading, Watch};
use super::event::Event;
use super::leaf::{SALT, Salt};
use super::masks::Masks;
use super::row::{self, PERSONAL, PersonalRow, Row, integer, octets, unsigned};
use super::stored_tiles::{StoredTiles, there};
use crate::merkle::tree::{self, Tiles, Tree, WIDTH};
use crate::merkle::{Frontier, Hash};
use crate::vault::bells::Ringer;
use crate::vault::figures::entries::Entries;
use crate::vault::store::anchors::Anchored;
use crate::vault::store::lasting;
use crate::vault::store::waits::{self, Wait};

/// Random octets fetched at once: salts for some hundred events.
const POOL: usize = 4096;

/// A head to be sealed, and the proof that it extends the one before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    pub size: u64,
    pub root: Hash,
    pub proof: Vec<Hash>,
}

/// A signed note as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    pub size: u64,
    pub time_us: u64,
    pub root: Hash,
    pub note: String,
}

/// Statements and state. The state in memory is ahead of the disk until the transaction is committed; after a rollback it
/// must be loaded again.
pub struct Ledger<'c> {
    insert: Statement<'c>,
    insert_personal: Statement<'c>,
    insert_edge: Statement<'c>,
    trim_edge: Statement<'c>,
    insert_tile: Statement<'c>,
    edge: Statement<'c>,
    tiles: StoredTiles<'c>,
    insert_note: Statement<'c>,
    last_note: Statement<'c>,
    last_sealed: Statement<'c>,
    events: Statement<'c>,
    personal: Statement<'c>,
    notes: Statement<'c>,
    forget: [Statement<'c>; 3],
    first_of: Statement<'c>,
    doubt: Statement<'c>,
    tree: Tree,
    last_us: u64,
    /// The first leaf of the current month when the log is older than that.
    boundary: u64,
    /// What auditors will see of what is appended.
    pub masks: Masks,
    pool: Vec<u8>,
    clocks: Clocks,
    watch: Watch,
    /// What is counted of what is appended.
    pub entries: Entries,
    /// Who is told of it.
    pub ringer: Ringer,
}

/// What the publisher is to move next.
#[derive(Debug, Default)]
pub struct Batch {
    pub rows: Vec<Row>,
    pub notes: Vec<Note>,
    pub tiles: Vec<tree::Tile>,
    /// The tree before the first row.
    pub base: Frontier,
    /// Heads that are kept elsewhere by now.
    pub anchors: Vec<Anchored>,
}

impl<'c> Ledger<'c> {
    pub fn prepare(connection: &'c Connection) -> Result<Self> {
        let sql = |sql: &str| lasting(connection, sql);
        let personal_values = ["?"; 9].join(", ");
        let mut ledger = Self {
            insert: sql(&format!("INSERT INTO audit_event({}) VALUES({})", row::columns(), row::parameters()))?,
            insert_personal: sql(&format!("INSERT INTO audit_personal({PERSONAL}) VALUES({personal_values})"))?,
            insert_edge: sql("INSERT INTO audit_edge(seq, time_us, leaf_hash) VALUES(?, ?, ?)")?,
            trim_edge: sql("DELETE FROM audit_edge WHERE seq < ?")?,
            insert_tile: sql("INSERT INTO audit_tile(level, number, hashes) VALUES(?, ?, ?)")?,
            edge: sql("SELECT seq, time_us, leaf_hash FROM audit_edge ORDER BY seq")?,
            tiles: StoredTiles::new(sql("SELECT hashes FROM audit_tile WHERE level = ? AND number = ?")?),
            insert_note: sql("INSERT OR REPLACE INTO audit_checkpoint(size, time_us, root, note) VALUES(?, ?, ?, ?)")?,
            last_note: sql("SELECT size, root FROM audit_checkpoint ORDER BY size DESC LIMIT 1")?,
            last_sealed: sql("SELECT max(size) FROM audit_checkpoint")?,
            events: sql(&format!("SELECT {} FROM audit_event ORDER BY seq LIMIT ?", row::columns()))?,
            personal: sql(&format!(
                "SELECT {PERSONAL} FROM audit_personal WHERE seq BETWEEN ? AND ? ORDER BY seq, field, n"
            ))?,
            notes: sql("SELECT size, time_us, root, note FROM audit_checkpoint WHERE size <= ? ORDER BY size")?,
            forget: [
                sql("DELETE FROM audit_event WHERE seq < ?")?,
                sql("DELETE FROM audit_personal WHERE seq < ?")?,
                sql(
                    "DELETE FROM audit_checkpoint WHERE size <= ? AND size < (SELECT max(size) FROM audit_checkpoint)",
                )?,
            ],
            doubt: sql(waits::SET)?,
            first_of: sql("SELECT min(seq) FROM audit_event WHERE time_us >= ?")?,
            tree: Tree::default(),
            last_us: 0,
            boundary: 0,
            masks: Masks::default(),
            pool: Vec::new(),
            clocks: Box::new(Reading::now),
            watch: Watch::default(),
            entries: Entries::default(),
            ringer: Ringer::default(),
        };
        ledger.load()?;
        Ok(ledger)
    }

    /// Takes the state from the disk: at start, and after a rollback.
    pub fn load(&mut self) -> Result<()> {
        let edge = self.edge.query_map([], |row| Ok((unsigned(row, 0)?, unsigned(row, 1)?, octets(row, 2)?)))?;
        let edge = edge.collect::<Result<Vec<(u64, u64, Option<Hash>)>>>()?;
        let size = edge.last().map_or(0, |(seq, ..)| seq + 1);
        let open = size - size % WIDTH as u64;
        let hashes: Vec<Hash> = edge.iter().filter(|(seq, ..)| *seq >= open).filter_map(|(.., hash)| *hash).collect();
        if hashes.len() as u64 != size - open {
            return Err(row::damaged("leaf hashes behind the last full tile are missing"));
        }
        self.last_us = edge.last().map_or(0, |(_, time_us, _)| *time_us);
        let tree = there(Tree::load(size, hashes, &mut self.tiles))?;
        self.tree = tree.ok_or_else(|| row::damaged("leaf hashes that the tree is made from are missing"))?;
        self.boundary = match super::month::start(self.last_us) {
            Some(start) => self.first_of.query_row([integer(start)], |row| row.get::<_, Option<i64>>(0))?,
            None => None,
        }
        .and_then(|seq| u64::try_from(seq).ok())
        .unwrap_or(0);
        self.watch.rolled_back();
        self.entries.rolled_back();
        self.ringer.rolled_back();
        Ok(())
    }

    /// Looks at the clocks, which the vault does once a second. True when there is something to tell.
    pub fn look(&mut self) -> bool {
        self.read();
        self.watch.has_news()
    }

    fn read(&mut self) -> u64 {
        let reading = (self.clocks)();
        self.watch.look(reading);
        u64::try_from(reading.time).unwrap_or(0)
    }

    /// Looks at the clocks at start: the log may be ahead of them.
    pub fn begin(&mut self) -> Result<()> {
        let now = self.read();
        self.watch.behind(now, self.last_us);
        self.tell_clocks().map(drop)
    }

    /// What was appended is on the disk.
    pub fn committed(&mut self) {
        self.watch.committed();
        self.entries.committed();
        self.ringer.committed();
    }

    #[cfg(test)]
    pub fn set_clocks(&mut self, clocks: Clocks) {
        (self.clocks, self.watch) = (clocks, Watch::default());
        self.look();
    }

    /// Appends an event and returns its place. It is in the log when the transaction is committed. What the clocks did
    /// comes before it.
    pub fn append(&mut self, event: Event) -> Result<u64> {
        let now = self.tell_clocks()?;
        self.write(event, now)
    }

    /// Appends what the clocks did, and gives the time.
    pub fn tell_clocks(&mut self) -> Result<u64> {
        let now = self.read();
        while let Some(event) = self.watch.tell() {
            // With the first event that bears the new time: no restart forgets that it is doubted.
            if clock::is_doubtful(&event) {
                waits::set(&mut self.doubt, Wait::Doubt, waits::LONGEST)?;
            }
            self.write(event, now)?;
        }
        Ok(now)
    }

    fn write(&mut self, event: Event, now_us: u64) -> Result<u64> {
        let seq = self.tree.size();
        // A clock that was set back doesn't turn the log around.
        let time_us = now_us.max(self.last_us).max(1);
        let pool = &mut self.pool;
        let mask = self.masks.of(&event);
        self.entries.append(&event, time_us);
        self.ringer.append(&event);
        let Some(row) = Row::new(event, seq, time_us, mask, || salt(pool)) else {
            return Err(row::damaged("an event has no encoding"));
        };
        self.insert.execute(params_from_iter(row.values()))?;
        for personal in &row.personal {
            insert_personal(&mut self.insert_personal, seq, personal)?;
        }
        self.grow(seq, time_us, row.leaf_hash)?;
        Ok(seq)
    }

    /// Takes over a leaf whose event is in the auditors' files.
    pub fn adopt(&mut self, leaf: &Leaf) -> Result<()> {
        if leaf.seq != self.tree.size() || leaf.time_us < self.last_us {
            return Err(row::damaged("a leaf doesn't follow the last one"));
        }
        self.grow(leaf.seq, leaf.time_us, leaf.hash)
    }

    fn grow(&mut self, seq: u64, time_us: u64, hash: Hash) -> Result<()> {
        self.insert_edge.execute(params![integer(seq), integer(time_us), hash])?;
        for tile in self.tree.push(hash) {
            self.insert_tile.execute(params![tile.level, integer(tile.number), tile.bytes()])?;
            if tile.level == 0 {
                self.trim_edge.execute([integer(seq)])?;
            }
        }
        if self.last_us > 0 && super::month::of(self.last_us) != super::month::of(time_us) {
            self.boundary = seq;
        }
        self.last_us = time_us;
        Ok(())
    }

    /// The whole tree as it is now.
    pub fn frontier(&mut self) -> Result<Frontier> {
        let size = self.tree.size();
        self.tree.prover(&mut self.tiles).frontier_at(size)
    }

    pub fn size(&self) -> u64 {
        self.tree.size()
    }

    /// Place and time of the last event.
    pub fn last(&self) -> Option<(u64, u64)> {
        Some((self.tree.size().checked_sub(1)?, self.last_us))
    }

    /// The head to seal next after `sealed`. A month's last leaf gets a head of its own, so that the closed file can be
    /// verified by itself. None when the sealer knows of more leaves than there are, or of so few that what would show it is
    /// gone.
    pub fn head(&mut self, sealed: u64) -> Result<Option<Head>> {
        let size = if sealed < self.boundary { self.boundary } else { self.tree.size() };
        if sealed > size {
            return Ok(None);
        }
        let mut prover = self.tree.prover(&mut self.tiles);
        let root = prover.root_at(size)?;
        let proof = there(prover.consistency(sealed, size))?;
        Ok(proof.map(|proof| Head { size, root, proof }))
    }

    /// The root when the log had that many leaves; none when it never had, or the hashes that it is made from are gone.
    pub fn root_at(&mut self, size: u64) -> Result<Option<Hash>> {
        if size > self.tree.size() {
            return Ok(None);
        }
        there(self.tree.prover(&mut self.tiles).root_at(size))
    }

    /// The proof that the log of `new` leaves extends the one of `old`; none when it never had so many, or the hashes are gone.
    pub fn consistency(&mut self, old: u64, new: u64) -> Result<Option<Vec<Hash>>> {
        if old > new || new > self.tree.size() {
            return Ok(None);
        }
        there(self.tree.prover(&mut self.tiles).consistency(old, new))
    }

    /// The tree when the log had that many leaves; none when the hashes are gone.
    pub fn frontier_at(&mut self, size: u64) -> Result<Option<Frontier>> {
        there(self.tree.prover(&mut self.tiles).frontier_at(size.min(self.tree.size())))
    }

    pub fn keep_note(&mut self, note: &Note) -> Result<()> {
        self.insert_note.execute(params![integer(note.size), integer(note.time_us), note.root, note.note])?;
        Ok(())
    }

    /// The largest size that was sealed, as far as is known here.
    pub fn last_sealed(&mut self) -> Result<u64> {
        let size = self.last_sealed.query_row([], |row| row.get::<_, Option<i64>>(0))?;
        Ok(size.and_then(|size| u64::try_from(size).ok()).unwrap_or(0))
    }

    /// The last head whose note is here.
    pub fn last_note(&mut self) -> Result<Option<(u64, Hash)>> {
        let note = self.last_note.query_row([], |row| Ok((unsigned(row, 0)?, octets(row, 1)?.unwrap_or_default())));
        note.optional()
    }

    /// The oldest events that are still here, and the notes that concern them.
    pub fn batch(&mut self, limit: u32) -> Result<Batch> {
        let rows = self.events.query_map([limit], Row::read)?;
        let mut rows = rows.collect::<Result<Vec<Row>>>()?;
        let end = rows.last().map_or(self.tree.size(), |last| last.seq + 1);
        let notes = self.notes.query_map([integer(end)], |row| {
            let root = octets(row, 2)?.unwrap_or_default();
            Ok(Note { size: unsigned(row, 0)?, time_us: unsigned(row, 1)?, root, note: row.get(3)? })
        })?;
        let notes = notes.collect::<Result<_>>()?;
        let Some(first) = rows.first().map(|row| row.seq) else {
            return Ok(Batch { notes, ..Batch::default() });
        };
        let personal = self.personal.query_map([integer(first), integer(end)], PersonalRow::read)?;
        let mut personal = personal.collect::<Result<Vec<_>>>()?.into_iter().peekable();
        for row in &mut rows {
            while let Some((_, value)) = personal.next_if(|(seq, _)| *seq == row.seq) {
                row.personal.push(value);
            }
        }
        let tiles = self.tiles_filled(first, end)?;
        let base = self.tree.prover(&mut self.tiles).frontier_at(first)?;
        Ok(Batch { rows, notes, tiles, base, anchors: Vec::new() })
    }

    /// The tiles that became full while the log grew from one size to another.
    fn tiles_filled(&mut self, from: u64, to: u64) -> Result<Vec<tree::Tile>> {
        let mut tiles = Vec::new();
        // A tile of level 6 covers 2^56 leaves: there will be no higher one.
        for level in 0..7u8 {
            let shift = 8 * (u32::from(level) + 1);
            for number in (from >> shift)..(to >> shift) {
                tiles.push(tree::Tile { level, number, hashes: self.tiles.full(level, number)? });
            }
        }
        Ok(tiles)
    }

    /// Lets go of what is in the auditors' file: events below `seq`, and notes up to it but the last one.
    pub fn forget(&mut self, seq: u64) -> Result<()> {
        for statement in &mut self.forget {
            statement.execute([integer(seq)])?;
        }
        Ok(())
    }
}

/// Writes one personal value with the columns of `PERSONAL`.
pub fn insert_personal(statement: &mut Statement<'_>, seq: u64, personal: &PersonalRow) -> Result<usize> {
    let blob = |octets: Option<&[u8]>| octets.map_or(Stored::Null, |octets| Stored::Blob(octets.to_vec()));
    statement.execute(params![
        integer(seq),
        personal.field,
        personal.n,
        blob(personal.salt.as_ref().map(Salt::as_slice)),
        personal.value,
        personal.commitment,
        personal.shown,
        blob(personal.shown_salt.as_ref().map(Salt::as_slice)),
        blob(personal.shown_commitment.as_ref().map(Hash::as_slice)),
    ])
}

/// Unix time in microseconds.
pub fn now_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// The next salt. Without random octets there is no log, and without a log no service.
#[allow(clippy::expect_used)]
fn salt(pool: &mut Vec<u8>) -> Salt {
    if pool.len() < SALT {
        pool.resize(POOL, 0);
        getrandom::fill(pool).expect("the kernel gives random octets once it has booted");
    }
    let rest = pool.split_off(pool.len() - SALT);
    rest.try_into().expect("sixteen octets were split off")
}
