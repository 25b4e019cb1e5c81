//! Credentials that are kept in the vault.

use rusqlite::{Connection, OptionalExtension, Result, Row, Statement, params};

use crate::policy::Policy;
use crate::policy::mask::Mask;
use crate::secret::Secret;
use crate::vault::audit::row::{damaged, integer, unsigned};
use crate::vault::login::tag::Tagger;
use crate::vault::store::lasting;

/// The key of tags in `meta`.
pub(super) const TAG_KEY: &str = "tag-key";

/// What stands among ends in the place of a key, of a credential of the configuration file that hasn't ended. No key has such
/// an id.
const FILED: &str = "(file)";

/// What is said of a credential that asks for what this program doesn't know, as one of a newer version may: nobody may be held to less
/// than that, so it is disabled here, what it says stays, and auditors see nothing more than they must.
const STRANGE: &str = "made by a newer Gatepost, with a demand that this one does not know: disabled";

/// A credential as it is stored. Hashes are secrets too: they can be guessed against.
#[derive(Clone, Debug)]
pub struct Stored {
    pub id: String,
    pub policy: Policy,
    /// Rises with every change to what it may.
    pub generation: i64,
    pub created_us: u64,
    pub disabled_us: Option<u64>,
    /// It asks for what this program doesn't know: it is disabled, and what is read here of its policy is not what it says.
    pub is_strange: bool,
    /// In the order they were made.
    pub keys: Vec<Key>,
}

/// One secret.
#[derive(Clone, Debug)]
pub struct Key {
    /// The public part of it.
    pub id: String,
    pub phc: Secret<String>,
    /// The keys that were derived from it, as text, where it may be used by SCRAM.
    pub scram: Option<Secret<String>>,
    /// Of a generated key.
    pub tag: Option<u16>,
    pub created_us: u64,
    pub expires_us: Option<u64>,
}

impl Stored {
    pub fn live(&self, now_us: u64) -> impl Iterator<Item = &Key> {
        self.keys.iter().filter(move |key| key.expires_us.is_none_or(|end| end > now_us))
    }
}

pub struct Credentials<'c> {
    all: Statement<'c>,
    keys: Statement<'c>,
    owner: Statement<'c>,
    insert: Statement<'c>,
    insert_key: Statement<'c>,
    update: Statement<'c>,
    expire_key: Statement<'c>,
    delete_key: Statement<'c>,
    delete: Statement<'c>,
    end: Statement<'c>,
    has_ended: Statement<'c>,
    forget_ends: Statement<'c>,
    all_ended: Statement<'c>,
    filed: Statement<'c>,
    unfile: Statement<'c>,
    tag_key: Statement<'c>,
    set_tag_key: Statement<'c>,
}

impl<'c> Credentials<'c> {
    pub fn prepare(connection: &'c Connection) -> Result<Self> {
        let sql = |sql: &str| lasting(connection, sql);
        Ok(Self {
            all: sql("SELECT id, policy, gen, created_us, disabled_us, expires_us FROM credential ORDER BY id")?,
            keys: sql(
                "SELECT key_id, phc, tag, created_us, expires_us, scram FROM credential_secret WHERE credential = ? \
                       ORDER BY created_us, key_id",
            )?,
            owner: sql("SELECT credential FROM credential_secret WHERE key_id = ?")?,
            insert: sql("INSERT INTO credential(id, policy, gen, created_us, expires_us) VALUES(?, ?, 1, ?, ?)")?,
            insert_key: sql(
                "INSERT INTO credential_secret(key_id, credential, phc, tag, created_us, expires_us, scram) \
                             VALUES(?, ?, ?, ?, ?, ?, ?)",
            )?,
            update: sql(
                "UPDATE credential SET policy = ?2, expires_us = ?3, disabled_us = ?4, gen = gen + 1 WHERE id = ?1",
            )?,
            expire_key: sql("UPDATE credential_secret SET expires_us = ? WHERE key_id = ?")?,
            delete_key: sql("DELETE FROM credential_secret WHERE key_id = ?")?,
            delete: sql("DELETE FROM credential WHERE id = ?")?,
            end: sql(
                "INSERT INTO credential_end(credential, key_id, expires_us) VALUES(?, ?, ?) ON CONFLICT DO UPDATE \
                      SET expires_us = excluded.expires_us WHERE expires_us <> excluded.expires_us",
            )?,
            has_ended: sql(
                "SELECT EXISTS(SELECT 1 FROM credential_end WHERE credential = ? AND key_id = '' AND expires_us = ?)",
            )?,
            all_ended: sql("SELECT credential, key_id, expires_us FROM credential_end WHERE key_id <> ?")?,
            filed: sql("SELECT credential FROM credential_end WHERE key_id = ?")?,
            unfile: sql("DELETE FROM credential_end WHERE credential = ? AND key_id = ?")?,
            forget_ends: sql("DELETE FROM credential_end WHERE credential = ? AND key_id <> ?")?,
            tag_key: sql("SELECT value FROM meta WHERE key = ?")?,
            set_tag_key: sql("INSERT INTO meta(key, value) VALUES(?, ?)")?,
        })
    }

    /// All of them, also those that are disabled or expired.
    pub fn all(&mut self) -> Result<Vec<Stored>> {
        let rows = self.all.query_map([], |row| {
            let policy: String = row.get(1)?;
            let read = serde_json::from_str::<Policy>(&policy);
            let is_strange = read.as_ref().is_err_and(serde_json::Error::is_data);
            let policy = match read {
                Err(_) if is_strange => {
                    Policy { description: STRANGE.to_owned(), mask: Some(Mask::Full), ..Policy::default() }
                }
                read => read.map_err(|_| damaged("a credential's policy can't be read"))?,
            };
            Ok(Stored {
                id: row.get(0)?,
                // The column is written with the policy and says the same.
                policy: Policy { expires_us: time(row, 5)?, ..policy },
                generation: row.get(2)?,
                created_us: unsigned(row, 3)?,
                disabled_us: if is_strange { Some(0) } else { time(row, 4)? },
                is_strange,
                keys: Vec::new(),
            })
        })?;
        let mut all = rows.collect::<Result<Vec<Stored>>>()?;
        for stored in &mut all {
            let rows = self.keys.query_map([&stored.id], |row| {
                Ok(Key {
                    id: row.get(0)?,
                    phc: Secret::new(row.get(1)?),
                    tag: row.get(2)?,
                    created_us: unsigned(row, 3)?,
                    expires_us: time(row, 4)?,
                    scram: row.get::<_, Option<String>>(5)?.map(Secret::new),
                })
            })?;
            stored.keys = rows.collect::<Result<_>>()?;
        }
        Ok(all)
    }

    pub fn get(&mut self, id: &str) -> Result<Option<Stored>> {
        Ok(self.all()?.into_iter().find(|stored| stored.id == id))
    }

    /// Whose key that is.
    pub fn owner(&mut self, key: &str) -> Result<Option<String>> {
        self.owner.query_row([key], |row| row.get(0)).optional()
    }

    pub fn add(&mut self, id: &str, policy: &Policy, now_us: u64) -> Result<()> {
        let (policy, end) = (encode(policy)?, policy.expires_us.map(integer));
        self.insert.execute(params![id, policy, integer(now_us), end]).map(drop)
    }

    pub fn add_key(&mut self, id: &str, key: &Key) -> Result<()> {
        let (made, end) = (integer(key.created_us), key.expires_us.map(integer));
        let scram = key.scram.as_ref().map(Secret::expose);
        self.insert_key.execute(params![key.id, id, key.phc.expose(), key.tag, made, end, scram]).map(drop)
    }

    /// Writes down what it may now, and whether it is enabled: a new generation.
    pub fn update(&mut self, id: &str, policy: &Policy, disabled_us: Option<u64>) -> Result<()> {
        let (text, end) = (encode(policy)?, policy.expires_us.map(integer));
        self.update.execute(params![id, text, end, disabled_us.map(integer)]).map(drop)
    }

    pub fn expire_key(&mut self, key: &str, end_us: u64) -> Result<()> {
        self.expire_key.execute(params![integer(end_us), key]).map(drop)
    }

    pub fn remove_key(&mut self, key: &str) -> Result<()> {
        self.delete_key.execute([key]).map(drop)
    }

    /// Removes it with its secrets, and what is remembered of their ends. That the file has one of that name is remembered.
    pub fn remove(&mut self, id: &str) -> Result<()> {
        self.forget_ends.execute([id, FILED])?;
        self.delete.execute([id]).map(drop)
    }

    /// Whether this end of a credential, or of one of its secrets, is written down for the first time.
    pub fn ended(&mut self, id: &str, key: Option<&str>, end_us: u64) -> Result<bool> {
        Ok(self.end.execute(params![id, key.unwrap_or_default(), integer(end_us)])? > 0)
    }

    /// Whether it is.
    pub fn has_ended(&mut self, id: &str, end_us: u64) -> Result<bool> {
        self.has_ended.query_row(params![id, integer(end_us)], |row| row.get(0))
    }

    /// Of all credentials and, with a key, secrets.
    pub fn all_ended(&mut self) -> Result<Vec<(String, String, u64)>> {
        let rows = self.all_ended.query_map([FILED], |row| Ok((row.get(0)?, row.get(1)?, unsigned(row, 2)?)))?;
        rows.collect()
    }

    /// Forgets what is written down of the end of that.
    pub fn not_ended(&mut self, id: &str, key: Option<&str>) -> Result<()> {
        self.unfile.execute(params![id, key.unwrap_or_default()]).map(drop)
    }

    /// Marks a credential of the configuration file that is in force: its end, whenever that comes, is still to be dealt with.
    pub fn file(&mut self, id: &str) -> Result<()> {
        self.ended(id, Some(FILED), 0).map(drop)
    }

    /// Those that bear the mark.
    pub fn filed(&mut self) -> Result<Vec<String>> {
        self.filed.query_map([FILED], |row| row.get(0))?.collect()
    }

    /// Its end was dealt with.
    pub fn unfile(&mut self, id: &str) -> Result<()> {
        self.unfile.execute(params![id, FILED]).map(drop)
    }

    /// What makes tags in this vault; made when it is asked for the first time.
    pub fn tagger(&mut self) -> Result<Tagger> {
        let kept: Option<String> = self.tag_key.query_row([TAG_KEY], |row| row.get(0)).optional()?;
        if let Some(kept) = kept {
            return Tagger::decode(&Secret::new(kept)).ok_or_else(|| damaged("the key of the tags can't be read"));
        }
        let tagger = Tagger::new().map_err(|_| damaged("there are no random octets for the key of the tags"))?;
        self.set_tag_key.execute(params![TAG_KEY, tagger.encode().expose()])?;
        Ok(tagger)
    }
}

fn encode(policy: &Policy) -> Result<String> {
    let mut policy = serde_json::to_value(policy).map_err(|_| damaged("a policy can't be written"))?;
    // What it doesn't ask for isn't said: the version before reads it, which may not know that one can.
    if let Some(members) = policy.as_object_mut() {
        members.retain(|_, value| !value.is_null() && *value != serde_json::Value::Bool(false));
    }
    Ok(policy.to_string())
}

fn time(row: &Row<'_>, at: usize) -> Result<Option<u64>> {
    Ok(row.get::<_, Option<i64>>(at)?.and_then(|time| u64::try_from(time).ok()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vault::store::Store;
    use crate::vault::store::open::Database;

    #[test]
    fn what_is_removed_here_is_in_the_file_all_the_same() {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join("db")).unwrap();
        let database = Database::open(home.path()).unwrap();
        let mut store = Store::prepare(&database).unwrap();
        let known = &mut store.credentials;
        known.add("app", &Policy::default(), 1).unwrap();
        known.file("app").unwrap();
        assert!(known.ended("app", None, 7).unwrap());
        known.remove("app").unwrap();
        assert_eq!((known.filed().unwrap(), known.has_ended("app", 7).unwrap()), (vec!["app".to_owned()], false));
    }

    #[test]
    fn a_demand_that_this_program_does_not_know_disables_its_credential_and_no_other() {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join("db")).unwrap();
        let all = |ids: &[&str]| {
            let database = Database::open(home.path()).unwrap();
            let mut store = Store::prepare(&database).unwrap();
            store.transaction(|store| {
                ids.iter().try_for_each(|id| store.credentials.add(id, &Policy::default(), 1))?;
                store.credentials.all()
            })
        };
        let write = |id: &str, policy: &str| {
            let connection = Connection::open(home.path().join("db/vault.db")).unwrap();
            connection.execute("UPDATE credential SET policy = ?2 WHERE id = ?1", [id, policy]).unwrap();
        };
        assert!(!encode(&Policy::default()).unwrap().contains("turnstile"), "nobody asks for it");
        assert_eq!(all(&["new", "old"]).unwrap().len(), 2);
        write("new", r#"{"senders":["@example.net"],"proof_of_work":12}"#);
        write("old", r#"{"senders":["@example.net"]}"#);
        let read = all(&[]).unwrap();
        let of = |id: &str| read.iter().find(|stored| stored.id == id).unwrap();
        assert!(of("new").disabled_us.is_some() && of("new").policy.senders.is_empty());
        assert!(of("old").disabled_us.is_none() && !of("old").policy.senders.is_empty());
        write("new", "{\"send");
        assert!(all(&[]).is_err(), "it is damaged");
    }
}
