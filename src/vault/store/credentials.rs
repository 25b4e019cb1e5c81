//! Credentials that are kept in the vault.

use rusqlite::{Connection, Result, Statement, params};

use crate::policy::Policy;
use crate::secret::Secret;
use crate::vault::audit::row::{damaged, integer};

/// A credential as it is stored. Hashes are secrets too: they can be guessed against.
#[derive(Clone, Debug)]
pub struct Stored {
    pub id: String,
    pub policy: Policy,
    pub generation: i64,
    /// Key id and PHC string.
    pub secrets: Vec<(String, Secret<String>)>,
}

pub struct Credentials<'c> {
    all: Statement<'c>,
    secrets: Statement<'c>,
    exists: Statement<'c>,
    insert: Statement<'c>,
    insert_secret: Statement<'c>,
}

impl<'c> Credentials<'c> {
    pub fn prepare(connection: &'c Connection) -> Result<Self> {
        let sql = |sql: &str| connection.prepare(sql);
        Ok(Self {
            all: sql(
                "SELECT id, policy, gen FROM credential WHERE disabled_us IS NULL AND (expires_us IS NULL OR expires_us > ?)",
            )?,
            secrets: sql(
                "SELECT key_id, phc FROM credential_secret WHERE credential = ?1 AND (expires_us IS NULL OR expires_us > ?2)",
            )?,
            exists: sql("SELECT 1 FROM credential WHERE id = ?")?,
            insert: sql("INSERT INTO credential(id, policy, gen, created_us) VALUES(?, ?, 1, ?)")?,
            insert_secret: sql(
                "INSERT INTO credential_secret(key_id, credential, phc, created_us) VALUES(?, ?, ?, ?)",
            )?,
        })
    }

    /// Those that are neither disabled nor expired.
    pub fn all(&mut self, now_us: u64) -> Result<Vec<Stored>> {
        let rows = self.all.query_map([integer(now_us)], |row| {
            let policy: String = row.get(1)?;
            let policy = serde_json::from_str(&policy).map_err(|_| damaged("a credential's policy can't be read"))?;
            Ok(Stored { id: row.get(0)?, policy, generation: row.get(2)?, secrets: Vec::new() })
        })?;
        let mut all = rows.collect::<Result<Vec<Stored>>>()?;
        for stored in &mut all {
            let rows = self.secrets.query_map(params![stored.id, integer(now_us)], |row| {
                Ok((row.get(0)?, Secret::new(row.get::<_, String>(1)?)))
            })?;
            stored.secrets = rows.collect::<Result<_>>()?;
        }
        Ok(all)
    }

    pub fn exists(&mut self, id: &str) -> Result<bool> {
        self.exists.exists([id])
    }

    pub fn add(&mut self, stored: &Stored, now_us: u64) -> Result<()> {
        let policy = serde_json::to_string(&stored.policy).map_err(|_| damaged("a policy can't be written"))?;
        self.insert.execute(params![stored.id, policy, integer(now_us)])?;
        for (key, phc) in &stored.secrets {
            self.insert_secret.execute(params![key, stored.id, phc.expose(), integer(now_us)])?;
        }
        Ok(())
    }
}
