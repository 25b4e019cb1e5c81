//! Addresses that nothing is sent to, for everybody or for one credential. They are found by a keyed hash, which stays when
//! somebody has the address itself erased: mail to them would begin anew otherwise.

use rusqlite::{Connection, OptionalExtension, Result, Row, Statement, params};

use super::credentials::TAG_KEY;
use crate::mail::address::Address;
use crate::policy::suppression::{Reason, folded};
use crate::secret::Secret;
use crate::vault::audit::row::{damaged, integer, octets, unsigned};
use crate::vault::login::tag::Tagger;

/// Entries there may be: some hundred octets of the database each.
pub const MOST: u64 = 1_000_000;

/// The hash of an address, and whose entry it is: its place in the list.
pub type Place = ([u8; 32], String);

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suppressed {
    /// For this credential's mail alone.
    pub scope: Option<String>,
    /// None when it was erased.
    pub address: Option<String>,
    pub reason: Reason,
    pub since_us: u64,
    pub expires_us: Option<u64>,
    pub note: Option<String>,
}

/// What is said of an entry besides its address.
#[derive(Clone, Debug)]
pub struct Terms {
    pub scope: Option<String>,
    pub now_us: u64,
    pub expires_us: Option<u64>,
    pub note: Option<String>,
}

pub struct Suppressions<'c> {
    key: Statement<'c>,
    any: Statement<'c>,
    find: Statement<'c>,
    put: Statement<'c>,
    count: Statement<'c>,
    bounce: Statement<'c>,
    delivered: Statement<'c>,
    remove: Statement<'c>,
    remove_all: Statement<'c>,
    list: Statement<'c>,
    of: Statement<'c>,
    erase: Statement<'c>,
    sweep: Statement<'c>,
    /// How many there are, at most: to count them all takes a while.
    counted: Option<u64>,
}

impl<'c> Suppressions<'c> {
    pub fn prepare(connection: &'c Connection) -> Result<Self> {
        let sql = |sql: &str| connection.prepare(sql);
        Ok(Self {
            key: sql("SELECT value FROM meta WHERE key = ?")?,
            any: sql("SELECT EXISTS(SELECT 1 FROM suppression)")?,
            find: sql("SELECT reason FROM suppression WHERE tag = ? AND scope IN ('', ?) AND active = 1 \
                       AND (expires_us IS NULL OR expires_us > ?) ORDER BY scope LIMIT 1")?,
            put: sql(
                "INSERT INTO suppression(tag, scope, address, reason, since_us, expires_us, note, active, bounces) \
                      VALUES(?, ?, ?, ?, ?, ?, ?, 1, 0) ON CONFLICT DO UPDATE SET address = excluded.address, \
                      reason = excluded.reason, since_us = excluded.since_us, expires_us = excluded.expires_us, \
                      note = excluded.note, active = 1",
            )?,
            count: sql("SELECT count(*) FROM suppression")?,
            // What stands there by hand is not touched by what comes by itself.
            bounce: sql(
                "INSERT INTO suppression(tag, scope, address, reason, since_us, expires_us, active, bounces) \
                         VALUES(?1, ?2, ?3, 1, ?4, ?5, ?6 <= 1, 1) ON CONFLICT DO UPDATE SET bounces = bounces + 1, \
                         address = excluded.address, since_us = excluded.since_us, expires_us = excluded.expires_us, \
                         active = bounces + 1 >= ?6 WHERE active = 0 RETURNING active",
            )?,
            delivered: sql("DELETE FROM suppression WHERE tag = ? AND scope = ? AND active = 0")?,
            remove: sql("DELETE FROM suppression WHERE tag = ? AND scope = ? RETURNING active")?,
            remove_all: sql("DELETE FROM suppression WHERE scope = ? AND scope <> ''")?,
            list: sql("SELECT tag, scope, address, reason, since_us, expires_us, note FROM suppression \
                       WHERE (tag, scope) > (?, ?) AND active = 1 AND (expires_us IS NULL OR expires_us > ?) \
                       ORDER BY tag, scope LIMIT ?")?,
            of: sql("SELECT tag, scope, address, reason, since_us, expires_us, note FROM suppression \
                     WHERE tag = ? AND active = 1 AND (expires_us IS NULL OR expires_us > ?) ORDER BY scope")?,
            erase: sql("UPDATE suppression SET address = NULL, note = NULL WHERE tag = ? AND address IS NOT NULL")?,
            sweep: sql("DELETE FROM suppression WHERE expires_us <= ?")?,
            counted: None,
        })
    }

    /// Whether nothing is sent there for that credential, and why. Where the list is empty that costs one look.
    pub fn covers(&mut self, credential: &str, address: &Address, now_us: u64) -> Result<Option<Reason>> {
        if !self.any.query_row([], |row| row.get::<_, bool>(0))? {
            return Ok(None);
        }
        let tag = self.tag(address)?;
        self.find.query_row(params![tag, credential, integer(now_us)], |row| reason(row, 0)).optional()
    }

    /// Puts an address there, in place of what was said of it before. False when there is no room.
    pub fn put(&mut self, address: &Address, reason: Reason, terms: &Terms) -> Result<bool> {
        if !self.has_room()? {
            return Ok(false);
        }
        let (tag, scope) = (self.tag(address)?, terms.scope.as_deref().unwrap_or_default());
        let expires = terms.expires_us.map(integer);
        let columns =
            params![tag, scope, address.to_string(), number(reason), integer(terms.now_us), expires, terms.note];
        self.put.execute(columns).map(|_| true)
    }

    /// One more hard bounce of that credential's mail: counted, and a reason for the list from the `after`th on. What was
    /// counted before `expires_us` passes is forgotten then. True when it is on the list by that.
    pub fn bounced(
        &mut self,
        credential: &str,
        address: &Address,
        after: u32,
        now_us: u64,
        expires_us: u64,
    ) -> Result<bool> {
        self.sweep(now_us)?;
        if !self.has_room()? {
            return Ok(false);
        }
        let tag = self.tag(address)?;
        let columns = params![tag, credential, address.to_string(), integer(now_us), integer(expires_us), after];
        let active = self.bounce.query_row(columns, |row| row.get::<_, bool>(0)).optional()?;
        Ok(active == Some(true))
    }

    /// It was delivered there: what was counted was no end.
    pub fn delivered(&mut self, credential: &str, address: &Address) -> Result<()> {
        if !self.any.query_row([], |row| row.get::<_, bool>(0))? {
            return Ok(());
        }
        let tag = self.tag(address)?;
        self.delivered.execute(params![tag, credential]).map(drop)
    }

    /// True when it was there.
    pub fn remove(&mut self, address: &Address, scope: Option<&str>) -> Result<bool> {
        let tag = self.tag(address)?;
        let was = self.remove.query_row(params![tag, scope.unwrap_or_default()], |row| row.get::<_, bool>(0));
        Ok(was.optional()? == Some(true))
    }

    /// All of one credential, which is no more.
    pub fn forget(&mut self, credential: &str) -> Result<()> {
        self.remove_all.execute([credential]).map(drop)
    }

    /// The next ones behind that place.
    pub fn list(&mut self, after: Option<&Place>, now_us: u64, limit: u32) -> Result<Vec<(Place, Suppressed)>> {
        let (tag, scope) = after.map_or((&[][..], ""), |(tag, scope)| (&tag[..], scope.as_str()));
        self.list.query_map(params![tag, scope, integer(now_us), limit], read)?.collect()
    }

    /// All of one address, also when it was erased.
    pub fn of(&mut self, address: &Address, now_us: u64) -> Result<Vec<(Place, Suppressed)>> {
        let tag = self.tag(address)?;
        self.of.query_map(params![tag, integer(now_us)], read)?.collect()
    }

    /// Forgets the address itself, and what was noted of it. Gives in how many entries.
    pub fn erase(&mut self, address: &Address) -> Result<usize> {
        let tag = self.tag(address)?;
        self.erase.execute([tag])
    }

    /// Forgets those whose time is over.
    pub fn sweep(&mut self, now_us: u64) -> Result<()> {
        self.sweep.execute([integer(now_us)]).map(drop)
    }

    /// Whether one more has room, which is taken for it. They are counted when there seem to be too many.
    fn has_room(&mut self) -> Result<bool> {
        let count = match self.counted.filter(|count| *count < MOST) {
            Some(count) => count,
            None => {
                let count: i64 = self.count.query_row([], |row| row.get(0))?;
                u64::try_from(count).map_err(|_| damaged("a count is negative"))?
            }
        };
        self.counted = Some(count.saturating_add(1));
        Ok(count < MOST)
    }

    /// By the key that the tags of secrets are made with: there is one since the first start.
    fn tag(&mut self, address: &Address) -> Result<[u8; 32]> {
        let key = self.key.query_row([TAG_KEY], |row| row.get(0).map(Secret::<String>::new))?;
        let tagger = Tagger::decode(&key).ok_or_else(|| damaged("the key of tags can't be read"))?;
        Ok(tagger.address(&folded(address)))
    }
}

fn read(row: &Row<'_>) -> Result<(Place, Suppressed)> {
    let tag = octets::<32>(row, 0)?.ok_or_else(|| damaged("the hash of an address is missing"))?;
    let scope: String = row.get(1)?;
    let suppressed = Suppressed {
        scope: Some(scope.clone()).filter(|scope| !scope.is_empty()),
        address: row.get(2)?,
        reason: reason(row, 3)?,
        since_us: unsigned(row, 4)?,
        expires_us: row.get::<_, Option<i64>>(5)?.and_then(|time| u64::try_from(time).ok()),
        note: row.get(6)?,
    };
    Ok(((tag, scope), suppressed))
}

const fn number(reason: Reason) -> i64 {
    match reason {
        Reason::Manual => 0,
        Reason::Bounce => 1,
        Reason::Complaint => 2,
    }
}

fn reason(row: &Row<'_>, at: usize) -> Result<Reason> {
    let number_of = |one: &Reason| number(*one);
    let stored: i64 = row.get(at)?;
    let found = Reason::ALL.into_iter().find(|one| number_of(one) == stored);
    found.ok_or_else(|| damaged("a reason is out of range"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vault::store::Store;
    use crate::vault::store::open::Database;

    fn address(text: &str) -> Address {
        Address::parse(text).unwrap()
    }

    fn terms(scope: Option<&str>, expires_us: Option<u64>) -> Terms {
        Terms { scope: scope.map(str::to_owned), now_us: 10, expires_us, note: Some("why".into()) }
    }

    fn with(work: impl FnOnce(&mut Suppressions<'_>)) {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join("db")).unwrap();
        let database = Database::open(home.path()).unwrap();
        let mut store = Store::prepare(&database).unwrap();
        store.transaction(|store| store.credentials.tagger()).unwrap();
        work(&mut store.suppressions);
    }

    #[test]
    fn an_entry_holds_for_whom_and_as_long_as_it_says_and_is_found_whatever_its_case() {
        with(|list| {
            let ann = address("ann@example.org");
            assert_eq!(list.covers("shop", &ann, 0).unwrap(), None);
            assert!(list.put(&address("Ann@Example.org"), Reason::Complaint, &terms(Some("shop"), Some(100))).unwrap());
            assert_eq!(list.covers("shop", &ann, 99).unwrap(), Some(Reason::Complaint));
            assert_eq!(list.covers("shop", &ann, 100).unwrap(), None, "its time is over");
            assert_eq!(list.covers("other", &ann, 99).unwrap(), None, "it is another's");
            assert!(list.put(&ann, Reason::Manual, &terms(None, None)).unwrap());
            assert_eq!(list.covers("other", &ann, 1000).unwrap(), Some(Reason::Manual));
            assert_eq!(list.covers("", &address("anna@example.org"), 0).unwrap(), None);
            assert_eq!(list.of(&ann, 50).unwrap().len(), 2);
            let (first, rest) = (list.list(None, 50, 1).unwrap(), |place: &Place, list: &mut Suppressions<'_>| {
                list.list(Some(place), 50, 9).unwrap().len()
            });
            assert_eq!((first.len(), rest(&first[0].0, list)), (1, 1));
            list.sweep(100).unwrap();
            assert_eq!(list.of(&ann, 50).unwrap().len(), 1);
            assert!(list.remove(&ann, None).unwrap() && !list.remove(&ann, None).unwrap());
            list.put(&ann, Reason::Manual, &terms(Some("shop"), None)).unwrap();
            list.forget("shop").unwrap();
            assert_eq!(list.covers("shop", &ann, 50).unwrap(), None);
        });
    }

    #[test]
    fn bounces_in_a_row_count_until_one_is_delivered_and_do_not_touch_what_stands_there() {
        with(|list| {
            let ann = address("ann@example.org");
            let bounced =
                |list: &mut Suppressions<'_>, now: u64| list.bounced("shop", &ann, 2, now, now + 100).unwrap();
            assert!(!bounced(list, 10));
            assert_eq!((list.covers("shop", &ann, 10).unwrap(), list.of(&ann, 10).unwrap().len()), (None, 0));
            list.delivered("shop", &ann).unwrap();
            assert!(!bounced(list, 20) && bounced(list, 30), "the second in a row");
            assert_eq!(list.covers("shop", &ann, 30).unwrap(), Some(Reason::Bounce));
            assert_eq!(list.covers("other", &ann, 30).unwrap(), None);
            assert!(!bounced(list, 40), "what stands there is told once");
            list.delivered("shop", &ann).unwrap();
            assert_eq!(list.covers("shop", &ann, 129).unwrap(), Some(Reason::Bounce), "only an order takes it away");
            assert!(!bounced(list, 131), "its time was over, and it is counted anew");
            list.put(&ann, Reason::Manual, &terms(Some("shop"), None)).unwrap();
            assert!(!bounced(list, 140));
            assert_eq!(list.of(&ann, 5000).unwrap()[0].1.reason, Reason::Manual);
        });
    }

    #[test]
    fn what_is_erased_is_found_by_its_hash_alone() {
        with(|list| {
            let ann = address("ann@example.org");
            list.put(&ann, Reason::Manual, &terms(None, None)).unwrap();
            list.put(&ann, Reason::Bounce, &terms(Some("shop"), None)).unwrap();
            assert_eq!(list.erase(&address("ANN@example.org")).unwrap(), 2);
            let left = list.list(None, 50, 9).unwrap();
            assert!(left.iter().all(|(_, one)| one.address.is_none() && one.note.is_none()), "{left:?}");
            assert_eq!(list.covers("any", &ann, 50).unwrap(), Some(Reason::Manual));
            assert!(list.remove(&ann, None).unwrap(), "who knows it can take it away");
        });
    }

    #[test]
    fn a_look_costs_one_step_of_an_index() {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join("db")).unwrap();
        let database = Database::open(home.path()).unwrap();
        let sql = "EXPLAIN QUERY PLAN SELECT reason FROM suppression WHERE tag = x'00' AND scope IN ('', 'shop')";
        let plan: String = database.connection.query_row(sql, [], |row| row.get(3)).unwrap();
        assert!(plan.contains("USING PRIMARY KEY (tag=? AND scope=?)"), "{plan}");
    }
}
