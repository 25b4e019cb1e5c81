//! Full tiles of the tree, in their table.

use rusqlite::{Error, Result, Statement, params};

use super::row::{self, integer};
use crate::merkle::Hash;
use crate::merkle::tree::{self, Tiles};

/// By the statement that selects one by its level and number.
pub struct StoredTiles<'c>(Statement<'c>);

impl<'c> StoredTiles<'c> {
    pub const fn new(select: Statement<'c>) -> Self {
        Self(select)
    }
}

impl Tiles for StoredTiles<'_> {
    type Error = Error;

    fn full(&mut self, level: u8, number: u64) -> Result<Vec<Hash>> {
        let bytes: Vec<u8> = self.0.query_row(params![level, integer(number)], |row| row.get(0))?;
        tree::hashes(&bytes).ok_or_else(|| row::damaged("a tile is not as long as a tile is"))
    }
}

/// None when a tile is missing that it is made from: hashes that were let go are no damage.
pub fn there<T>(made: Result<T>) -> Result<Option<T>> {
    match made {
        Err(Error::QueryReturnedNoRows) => Ok(None),
        made => made.map(Some),
    }
}
