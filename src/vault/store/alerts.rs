//! What operators were told is wrong, as long as it is; and the day of which they got the last digest.

use rusqlite::{Connection, OptionalExtension, Result, Statement, params};

use crate::vault::audit::row::{integer, unsigned};
use crate::vault::store::lasting;

/// Messages that are looked at for the oldest one: those behind them came later.
pub const LOOKED_AT: usize = 100;

/// One that was told of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// A word for what is wrong, and with what.
    pub kind: String,
    pub subject: String,
    pub since_us: u64,
    /// The last time.
    pub told_us: u64,
    pub text: String,
}

pub struct Alerts<'c> {
    all: Statement<'c>,
    set: Statement<'c>,
    remove: Statement<'c>,
    forget: Statement<'c>,
    since: Statement<'c>,
    digest: [Statement<'c>; 2],
}

impl<'c> Alerts<'c> {
    pub fn prepare(connection: &'c Connection) -> Result<Self> {
        let sql = |sql: &str| lasting(connection, sql);
        Ok(Self {
            all: sql("SELECT kind, subject, since_us, told_us, text FROM alert ORDER BY since_us, kind, subject")?,
            set: sql("INSERT OR REPLACE INTO alert(kind, subject, since_us, told_us, text) VALUES(?, ?, ?, ?, ?)")?,
            remove: sql("DELETE FROM alert WHERE kind = ? AND subject = ?")?,
            forget: sql("DELETE FROM alert")?,
            // One that was scheduled and never tried waits since it was due, one that was held since it was released.
            since: sql("SELECT max(accepted_us, ifnull((SELECT min(next_us) FROM spool_rcpt AS r \
                        WHERE r.msg = m.id AND r.state = 0 AND r.held = 0 AND r.tried = 0), 0), \
                        ifnull((SELECT min(since_us) FROM spool_rcpt AS r WHERE r.msg = m.id AND r.state = 0 AND r.held = 0), 0)) \
                        FROM spool_msg AS m WHERE id = ?")?,
            digest: [sql("SELECT day FROM digest")?, sql("INSERT OR REPLACE INTO digest(one, day) VALUES(1, ?)")?],
        })
    }

    /// All that were told of and are not over.
    pub fn all(&mut self) -> Result<Vec<Told>> {
        let told = self.all.query_map([], |row| {
            let (kind, subject, text) = (row.get(0)?, row.get(1)?, row.get(4)?);
            Ok(Told { kind, subject, since_us: unsigned(row, 2)?, told_us: unsigned(row, 3)?, text })
        })?;
        told.collect()
    }

    pub fn set(&mut self, told: &Told) -> Result<()> {
        let Told { kind, subject, since_us, told_us, text } = told;
        self.set.execute(params![kind, subject, integer(*since_us), integer(*told_us), text]).map(drop)
    }

    /// It is over.
    pub fn remove(&mut self, kind: &str, subject: &str) -> Result<()> {
        self.remove.execute([kind, subject]).map(drop)
    }

    /// Nobody is to be told any more.
    pub fn forget(&mut self) -> Result<()> {
        self.forget.execute([]).map(drop)
    }

    /// Since when the one of these messages, by their rows, has waited that has waited the longest, in Unix microseconds.
    pub fn oldest_waiting(&mut self, rows: &[i64]) -> Result<Option<u64>> {
        let mut oldest = None;
        for row in rows {
            let since = self.since.query_row([row], |columns| unsigned(columns, 0)).optional()?;
            oldest = oldest.into_iter().chain(since).min();
        }
        Ok(oldest)
    }

    /// The last day whose digest was sent, in days since 1970.
    pub fn digested(&mut self) -> Result<Option<i64>> {
        self.digest[0].query_row([], |row| row.get(0)).optional()
    }

    pub fn set_digested(&mut self, day: i64) -> Result<()> {
        self.digest[1].execute([day]).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::principal::GATE;
    use crate::vault::store::Store;
    use crate::vault::store::census::Census;
    use crate::vault::store::open::Database;

    /// A message of somebody, accepted and due then, of which one recipient is as those columns say.
    fn message(connection: &Connection, who: &str, (accepted_us, due_us): (i64, i64), columns: &str) {
        let sql = "INSERT INTO spool_msg(msg_id, accept_seq, session_id, principal, bytes, sha256, accepted_us, expires_us) \
                   VALUES(randomblob(16), 0, randomblob(16), ?, 1, randomblob(32), ?, 9) RETURNING id";
        let id: i64 = connection.query_row(sql, params![who, accepted_us], |row| row.get(0)).unwrap();
        let sql = "INSERT INTO spool_rcpt(msg, n, rcpt, lane, state, next_us, turn, urgent) VALUES(?, 0, 'x@y', 'a', 0, ?, ?, 0)";
        connection.execute(sql, params![id, due_us, who]).unwrap();
        connection.execute(&format!("UPDATE spool_rcpt SET {columns} WHERE msg = ?"), [id]).unwrap();
    }

    #[test]
    fn who_waits_the_longest_is_a_client_and_neither_held_nor_scheduled() {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join("db")).unwrap();
        let database = Database::open(home.path()).unwrap();
        let connection = &database.connection;
        database.counts.watch_all(connection);
        for (who, times, columns) in [
            (GATE, (1, 1), "attempts = 1"),
            ("shop", (2, 2), "held = 1"),
            ("shop", (3, 3), "state = 2"),
            ("shop", (4, i64::MAX), "attempts = 0"),
            // It was scheduled, and is due.
            ("shop", (5, 60), "attempts = 0"),
        ] {
            message(connection, who, times, columns);
        }
        let looked = |database: &Database| {
            let mut alerts = Alerts::prepare(&database.connection).unwrap();
            let first = Census::new(database.counts.clone()).first(GATE, LOOKED_AT, 100);
            alerts.oldest_waiting(&first).unwrap()
        };
        assert_eq!(looked(&database), Some(60));
        message(connection, "till", (50, 50), "attempts = 3, tried = 1, next_us = 900");
        assert_eq!(looked(&database), Some(50));
        // The upstream's fault, which is charged to no message.
        message(connection, "shop", (40, 40), "tried = 1, next_us = 900");
        assert_eq!(looked(&database), Some(40));
    }

    #[test]
    fn what_was_told_is_known_until_it_is_over() {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join("db")).unwrap();
        let database = Database::open(home.path()).unwrap();
        let mut store = Store::prepare(&database).unwrap();
        let one = |kind: &str, told_us| Told {
            kind: kind.into(),
            subject: "smarthost".into(),
            since_us: 1,
            told_us,
            text: "it rests".into(),
        };
        store.alerts.set(&one("upstream", 2)).unwrap();
        store.alerts.set(&one("upstream", 3)).unwrap();
        store.alerts.set(&one("upstream-login", 4)).unwrap();
        assert_eq!(store.alerts.all().unwrap(), [one("upstream", 3), one("upstream-login", 4)]);
        store.alerts.remove("upstream", "another").unwrap();
        store.alerts.remove("upstream", "smarthost").unwrap();
        assert_eq!(store.alerts.all().unwrap().len(), 1);
        assert_eq!(store.alerts.digested().unwrap(), None);
        store.alerts.set_digested(20_000).unwrap();
        store.alerts.set_digested(20_001).unwrap();
        assert_eq!(store.alerts.digested().unwrap(), Some(20_001));
    }
}
