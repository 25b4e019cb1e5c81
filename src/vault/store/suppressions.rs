//! Addresses that nothing is sent to, for everybody or for one credential. They are found by a keyed hash, which stays when
//! somebody has the address itself erased: mail to them would begin anew otherwise.

use rusqlite::{Connection, OptionalExtension, Result, Row, Statement, params};

use super::bounces::{Bounces, Counted};
use super::credentials::TAG_KEY;
use crate::mail::address::Address;
use crate::policy::suppression::{Reason, folded};
use crate::secret::Secret;
use crate::vault::audit::row::{damaged, integer, octets, unsigned};
use crate::vault::login::tag::Tagger;
use crate::vault::store::lasting;

/// Entries there may be by order: some hundred octets of the database each.
pub const MOST: u64 = 1_000_000;
/// Those that come by themselves use no room of the others, and those of one credential not all of that: whoever it is, and
/// whatever a host of theirs answers.
pub const MOST_ALONE: Share = Share { all: 500_000, own: 100_000 };
/// How many there are of each kind and credential, counted as what the spool holds is (`holdings.rs`): 0 by an order, 1 by bounces,
/// 2 of bounces that are too few yet.
const COUNTING: &str = "
CREATE TEMP TABLE suppression_size(
  kind INTEGER NOT NULL, scope TEXT NOT NULL, entries INTEGER NOT NULL, PRIMARY KEY(kind, scope)
) STRICT, WITHOUT ROWID;
INSERT INTO suppression_size SELECT alone, scope, count(*) FROM suppression GROUP BY alone, scope;
INSERT INTO suppression_size SELECT 2, scope, count(*) FROM suppression_bounce GROUP BY scope;
CREATE TEMP TRIGGER suppression_comes AFTER INSERT ON main.suppression
BEGIN
  INSERT INTO suppression_size VALUES(new.alone, new.scope, 1) ON CONFLICT DO UPDATE SET entries = entries + 1;
END;
CREATE TEMP TRIGGER suppression_changes AFTER UPDATE OF alone ON main.suppression WHEN old.alone <> new.alone
BEGIN
  UPDATE suppression_size SET entries = entries - 1 WHERE kind = old.alone AND scope = old.scope;
  INSERT INTO suppression_size VALUES(new.alone, new.scope, 1) ON CONFLICT DO UPDATE SET entries = entries + 1;
END;
CREATE TEMP TRIGGER suppression_goes AFTER DELETE ON main.suppression
BEGIN
  UPDATE suppression_size SET entries = entries - 1 WHERE kind = old.alone AND scope = old.scope;
END;
CREATE TEMP TRIGGER suppression_bounce_comes AFTER INSERT ON main.suppression_bounce
BEGIN
  INSERT INTO suppression_size VALUES(2, new.scope, 1) ON CONFLICT DO UPDATE SET entries = entries + 1;
END;
CREATE TEMP TRIGGER suppression_bounce_goes AFTER DELETE ON main.suppression_bounce
BEGIN
  UPDATE suppression_size SET entries = entries - 1 WHERE kind = 2 AND scope = old.scope;
END;
";

/// Counts once, and has it kept from here on. To be done before any statement is prepared.
pub fn begin(connection: &Connection) -> Result<()> {
    connection.execute_batch(COUNTING)
}

/// By an order, and by bounces.
const KINDS: [i64; 2] = [0, 1];

/// How many there may be, of all credentials and of one.
#[derive(Clone, Copy, Debug)]
pub struct Share {
    pub all: u64,
    pub own: u64,
}

/// What became of an order to put an address there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    Added,
    Changed,
    /// It is there for longer, or for a stronger reason.
    Kept,
    Full,
}

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
    /// Also where what is there is longer, or for a stronger reason.
    pub replace: bool,
}

pub struct Suppressions<'c> {
    key: Statement<'c>,
    any: Statement<'c>,
    find: Statement<'c>,
    stands: Statement<'c>,
    put: Statement<'c>,
    sizes: Statement<'c>,
    remove: Statement<'c>,
    remove_all: Statement<'c>,
    list: Statement<'c>,
    of: Statement<'c>,
    erase: Statement<'c>,
    sweep: Statement<'c>,
    bounces: Bounces<'c>,
    alone: Share,
}

impl<'c> Suppressions<'c> {
    pub fn prepare(connection: &'c Connection) -> Result<Self> {
        let sql = |sql: &str| lasting(connection, sql);
        Ok(Self {
            key: sql("SELECT value FROM meta WHERE key = ?")?,
            any: sql("SELECT EXISTS(SELECT 1 FROM suppression)")?,
            find: sql("SELECT reason FROM suppression WHERE tag = ? AND scope IN ('', ?) \
                       AND (expires_us IS NULL OR expires_us > ?) ORDER BY scope LIMIT 1")?,
            stands: sql("SELECT alone, reason, expires_us FROM suppression WHERE tag = ? AND scope = ?")?,
            put: sql("INSERT INTO suppression(tag, scope, address, reason, since_us, expires_us, note, alone) \
                      VALUES(?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET address = excluded.address, \
                      reason = excluded.reason, since_us = excluded.since_us, expires_us = excluded.expires_us, \
                      note = excluded.note, alone = excluded.alone")?,
            sizes: sql("SELECT coalesce(sum(entries), 0), coalesce(sum(entries) FILTER (WHERE scope = ?2), 0) \
                 FROM suppression_size WHERE kind = ?1")?,
            remove: sql("DELETE FROM suppression WHERE tag = ? AND scope = ?")?,
            remove_all: sql("DELETE FROM suppression WHERE scope = ? AND scope <> ''")?,
            list: sql("SELECT tag, scope, address, reason, since_us, expires_us, note FROM suppression \
                       WHERE (tag, scope) > (?, ?) ORDER BY tag, scope LIMIT ?")?,
            of: sql("SELECT tag, scope, address, reason, since_us, expires_us, note FROM suppression \
                     WHERE tag = ? ORDER BY scope")?,
            erase: sql("UPDATE suppression SET address = NULL, note = NULL WHERE tag = ? AND address IS NOT NULL")?,
            sweep: sql("DELETE FROM suppression WHERE (tag, scope) IN ( \
                 SELECT tag, scope FROM suppression WHERE expires_us <= ? ORDER BY expires_us LIMIT ?)")?,
            bounces: Bounces::prepare(connection)?,
            alone: MOST_ALONE,
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

    /// Puts an address there, in place of what was said of it before.
    pub fn put(&mut self, address: &Address, reason: Reason, terms: &Terms) -> Result<Put> {
        let (tag, scope) = (self.tag(address)?, terms.scope.as_deref().unwrap_or_default());
        let there = self.stands(&tag, scope)?.filter(|one| one.expires_us.is_none_or(|end| terms.now_us < end));
        if let Some(there) = there.filter(|_| !terms.replace)
            && there.outweighs(reason, terms.expires_us)
        {
            return Ok(Put::Kept);
        }
        if there.is_none_or(|one| one.alone) && self.sizes(0, scope)?.all >= MOST {
            return Ok(Put::Full);
        }
        let expires = terms.expires_us.map(integer);
        let columns = params![
            tag,
            scope,
            address.to_string(),
            number(reason),
            integer(terms.now_us),
            expires,
            terms.note,
            KINDS[0]
        ];
        self.put.execute(columns)?;
        self.bounces.forget(&tag, scope)?;
        Ok(if there.is_some() { Put::Changed } else { Put::Added })
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
        let tag = self.tag(address)?;
        // What stands there is not touched by what comes by itself.
        if self.stands(&tag, credential)?.is_some_and(|one| one.expires_us.is_none_or(|end| now_us < end)) {
            return Ok(false);
        }
        let counted = Counted { tag: &tag, scope: credential, now_us, expires_us };
        let size = self.sizes(2, credential)?;
        if self.bounces.count(&counted, &size)? < after {
            return Ok(false);
        }
        self.add(&tag, credential, address, Reason::Bounce, (now_us, expires_us))
    }

    /// Whoever reads it calls mail of that credential unwanted, which is a reason at once. True when it is on the list by that; what
    /// an order says stays, and so does what is there for longer and for no lesser reason.
    pub fn complained(&mut self, credential: &str, address: &Address, now_us: u64, expires_us: u64) -> Result<bool> {
        let tag = self.tag(address)?;
        let there = self.stands(&tag, credential)?.filter(|one| one.expires_us.is_none_or(|end| now_us < end));
        match there {
            Some(one) if !one.alone || one.reason == Reason::Complaint => Ok(false),
            _ => self.add(&tag, credential, address, Reason::Complaint, (now_us, expires_us)),
        }
    }

    /// Puts one there that comes by itself, as far as there is room for such.
    fn add(
        &mut self,
        tag: &[u8; 32],
        credential: &str,
        address: &Address,
        reason: Reason,
        (now_us, expires_us): (u64, u64),
    ) -> Result<bool> {
        let size = self.sizes(1, credential)?;
        if size.all >= self.alone.all || size.own >= self.alone.own {
            tracing::warn!(credential, "so many addresses are suppressed by what became of its mail that no more are");
            return Ok(false);
        }
        let (address, reason, note) = (address.to_string(), number(reason), None::<&str>);
        let columns = params![tag, credential, address, reason, integer(now_us), integer(expires_us), note, KINDS[1]];
        self.put.execute(columns)?;
        self.bounces.forget(tag, credential).map(|()| true)
    }

    /// It was delivered there: what was counted was no end.
    pub fn delivered(&mut self, credential: &str, address: &Address) -> Result<()> {
        if self.sizes(2, credential)?.own == 0 {
            return Ok(());
        }
        let tag = self.tag(address)?;
        self.bounces.forget(&tag, credential)
    }

    /// True when it was there.
    pub fn remove(&mut self, address: &Address, scope: Option<&str>) -> Result<bool> {
        let (tag, scope) = (self.tag(address)?, scope.unwrap_or_default());
        self.bounces.forget(&tag, scope)?;
        self.remove.execute(params![tag, scope]).map(|removed| removed > 0)
    }

    /// All of one credential, which is no more.
    pub fn forget(&mut self, credential: &str) -> Result<()> {
        self.bounces.forget_all(credential)?;
        self.remove_all.execute([credential]).map(drop)
    }

    /// The next ones behind that place.
    pub fn list(&mut self, after: Option<&Place>, limit: u32) -> Result<Vec<(Place, Suppressed)>> {
        let (tag, scope) = after.map_or((&[][..], ""), |(tag, scope)| (&tag[..], scope.as_str()));
        self.list.query_map(params![tag, scope, limit], read)?.collect()
    }

    /// All of one address, also when it was erased.
    pub fn of(&mut self, address: &Address) -> Result<Vec<(Place, Suppressed)>> {
        let tag = self.tag(address)?;
        self.of.query_map([tag], read)?.collect()
    }

    /// Forgets the address itself, and what was noted of it. Gives in how many entries.
    pub fn erase(&mut self, address: &Address) -> Result<usize> {
        let tag = self.tag(address)?;
        self.erase.execute([tag])
    }

    /// Forgets those whose time was over then: so many, and so many counts.
    pub fn sweep(&mut self, now_us: u64, most: u32) -> Result<()> {
        self.bounces.sweep(now_us, most)?;
        self.sweep.execute(params![integer(now_us), most]).map(drop)
    }

    fn stands(&mut self, tag: &[u8; 32], scope: &str) -> Result<Option<Standing>> {
        let row =
            |row: &Row<'_>| Ok(Standing { alone: row.get(0)?, reason: reason(row, 1)?, expires_us: end(row, 2)? });
        self.stands.query_row(params![tag, scope], row).optional()
    }

    /// How many there are, of all and of one.
    fn sizes(&mut self, kind: i64, scope: &str) -> Result<Share> {
        self.sizes.query_row(params![kind, scope], |row| Ok(Share { all: unsigned(row, 0)?, own: unsigned(row, 1)? }))
    }

    /// By the key that the tags of secrets are made with: there is one since the first start.
    fn tag(&mut self, address: &Address) -> Result<[u8; 32]> {
        let key = self.key.query_row([TAG_KEY], |row| row.get(0).map(Secret::<String>::new))?;
        let tagger = Tagger::decode(&key).ok_or_else(|| damaged("the key of tags can't be read"))?;
        Ok(tagger.address(&folded(address)))
    }
}

/// What is there already.
#[derive(Clone, Copy)]
struct Standing {
    alone: bool,
    reason: Reason,
    expires_us: Option<u64>,
}

impl Standing {
    /// Whether what is said now would say less: for a shorter time, or that a mailbox is not there of somebody who wants nothing.
    fn outweighs(&self, reason: Reason, expires_us: Option<u64>) -> bool {
        let is_longer = self.expires_us.unwrap_or(u64::MAX) > expires_us.unwrap_or(u64::MAX);
        is_longer || (reason == Reason::Bounce && self.reason != Reason::Bounce)
    }
}

fn end(row: &Row<'_>, at: usize) -> Result<Option<u64>> {
    Ok(row.get::<_, Option<i64>>(at)?.and_then(|time| u64::try_from(time).ok()))
}

fn read(row: &Row<'_>) -> Result<(Place, Suppressed)> {
    let tag = octets::<32>(row, 0)?.ok_or_else(|| damaged("the hash of an address is missing"))?;
    let scope: String = row.get(1)?;
    let suppressed = Suppressed {
        scope: Some(scope.clone()).filter(|scope| !scope.is_empty()),
        address: row.get(2)?,
        reason: reason(row, 3)?,
        since_us: unsigned(row, 4)?,
        expires_us: end(row, 5)?,
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
mod tests;
