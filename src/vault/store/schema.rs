//! The schema of the database: the steps that make it, and the way back to that of the version before.

use std::path::Path;

use rusqlite::Connection;

use super::Store;
use super::open::Database;
use crate::policy::Policy;

/// "GTP1" in the header, octets 68 to 71, says whose file it is.
pub const APPLICATION: i64 = 0x4754_5031;

/// The schema, step by step: a new file takes them all, one of an older Gatepost those it lacks.
const STEPS: [&str; 22] = [
    include_str!("schema/1.sql"),
    include_str!("schema/2.sql"),
    include_str!("schema/3.sql"),
    include_str!("schema/4.sql"),
    include_str!("schema/5.sql"),
    include_str!("schema/6.sql"),
    include_str!("schema/7.sql"),
    include_str!("schema/8.sql"),
    include_str!("schema/9.sql"),
    include_str!("schema/10.sql"),
    include_str!("schema/11.sql"),
    include_str!("schema/12.sql"),
    include_str!("schema/13.sql"),
    include_str!("schema/14.sql"),
    include_str!("schema/15.sql"),
    include_str!("schema/16.sql"),
    include_str!("schema/17.sql"),
    include_str!("schema/18.sql"),
    include_str!("schema/19.sql"),
    include_str!("schema/20.sql"),
    include_str!("schema/21.sql"),
    include_str!("schema/22.sql"),
];
/// The number of the last step; a file with a higher one is of a newer Gatepost.
pub const VERSION: usize = STEPS.len();

/// What undoes the last steps, the last one first: all those that the version before does not have. What it takes away may be what that
/// version has no use for, and never mail, a credential, a limit or an event.
const BACK: [&str; 4] = [
    include_str!("schema/22.back.sql"),
    include_str!("schema/21.back.sql"),
    include_str!("schema/20.back.sql"),
    include_str!("schema/19.back.sql"),
];
/// The schema of the version before.
pub const BEFORE: usize = VERSION - BACK.len();

/// Takes the steps that the file lacks, all or none.
pub fn upgrade(connection: &Connection) -> rusqlite::Result<()> {
    let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let steps = STEPS.get(usize::try_from(version).unwrap_or(0)..).unwrap_or_default();
    if steps.is_empty() {
        return Ok(());
    }
    let steps = steps.concat();
    let script = format!("BEGIN; {steps} PRAGMA application_id={APPLICATION}; PRAGMA user_version={VERSION}; COMMIT;");
    connection.execute_batch(&script)
}

/// Whether the version before can hold a credential to that. What it can't hold it to would be open to more than it should.
fn is_known_before(policy: &Policy) -> bool {
    !policy.test && policy.turnstile.is_none() && policy.form.is_none()
}

/// Insists that the version before knows what each credential asks for.
///
/// Errors: which ones it doesn't know, and what to do.
pub fn demand_known_before(store: &mut Store<'_>) -> rusqlite::Result<Result<(), String>> {
    let all = store.credentials.all()?;
    let unknown: Vec<String> = all
        .into_iter()
        .filter(|stored| stored.is_strange || !is_known_before(&stored.policy))
        .map(|stored| stored.id)
        .collect();
    Ok(match unknown.as_slice() {
        [] => Ok(()),
        ids => Err(format!(
            "the version before knows no test keys, keys of forms and Turnstile, and would hold these credentials to less: {}. \
             Remove them first, or have them ask for less (gatepost credential set)",
            ids.join(", ")
        )),
    })
}

/// The same of a database that nobody has open.
fn demand_known(home: &Path) -> Result<(), String> {
    let database = Database::open(home)?;
    let explain = |error: &dyn std::fmt::Display| format!("{}: {error}", database.path.display());
    let mut store = Store::prepare(&database).map_err(|error| explain(&error))?;
    store.transaction(demand_known_before).map_err(|error| explain(&error))?
}

/// Makes the database below this directory, which nobody has open, one that the version before opens: all of it or nothing.
///
/// Errors: in words; it is as it was.
pub fn take_back(home: &Path) -> Result<(), String> {
    demand_known(home)?;
    let database = Database::open(home)?;
    let explain =
        |error: rusqlite::Error| format!("{}: taking it back to schema {BEFORE}: {error}", database.path.display());
    // What counts as mail comes and goes names columns that the version before doesn't have, and ends with this connection anyway.
    let counting = "SELECT ifnull(group_concat('DROP TRIGGER temp.' || name || ';', ' '), '') FROM sqlite_temp_schema WHERE type = 'trigger'";
    let counting: String = database.connection.query_row(counting, [], |row| row.get(0)).map_err(explain)?;
    let script = format!("{counting} BEGIN; {} PRAGMA user_version={BEFORE}; COMMIT;", BACK.concat());
    let done = database
        .connection
        .execute_batch(&script)
        .and_then(|()| database.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())));
    done.map_err(explain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vault::store::open::tests::home;

    fn tables(connection: &Connection) -> Vec<(String, Option<String>)> {
        let mut all = connection.prepare("SELECT name, sql FROM sqlite_schema ORDER BY name").unwrap();
        all.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().collect::<rusqlite::Result<_>>().unwrap()
    }

    #[test]
    fn what_is_taken_back_is_what_the_version_before_makes_and_can_come_again() {
        let home = home();
        let path = home.path().join("db/vault.db");
        drop(Database::open(home.path()).unwrap());
        let before = Connection::open_in_memory().unwrap();
        before.execute_batch(&STEPS[..BEFORE].concat()).unwrap();
        for _ in 0..2 {
            take_back(home.path()).unwrap();
            let connection = Connection::open(&path).unwrap();
            let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
            assert_eq!((usize::try_from(version), tables(&connection)), (Ok(BEFORE), tables(&before)));
            drop(connection);
            let again = Database::open(home.path()).unwrap();
            let version: i64 = again.connection.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
            assert_eq!(usize::try_from(version), Ok(VERSION));
        }
    }

    #[test]
    fn the_version_before_knows_a_credential_that_asks_for_nothing_new_and_no_other() {
        assert!(is_known_before(&Policy::default()));
        for asked in
            [r#"{"test":true}"#, r#"{"turnstile":{"hostnames":["www.example.net"]}}"#, r#"{"form":{"origins":[]}}"#]
        {
            let policy = serde_json::from_str(asked).unwrap_or_else(|error| panic!("{asked}: {error}"));
            assert!(!is_known_before(&policy), "{asked}");
        }
    }

    #[test]
    fn a_database_that_is_open_is_not_taken_back() {
        let home = home();
        let _open = Database::open(home.path()).unwrap();
        assert!(take_back(home.path()).unwrap_err().contains("another process"));
    }

    #[test]
    fn a_file_of_an_older_gatepost_becomes_what_a_new_one_is() {
        let (old, new) = (home(), home());
        let path = old.path().join("db/vault.db");
        let first = format!("{} PRAGMA application_id={APPLICATION}; PRAGMA user_version=1;", STEPS[0]);
        Connection::open(path).unwrap().execute_batch(&first).unwrap();
        let made = |home: &Path| tables(&Database::open(home).unwrap().connection);
        assert_eq!(made(old.path()), made(new.path()));
    }

    #[test]
    fn of_a_lease_that_an_older_gatepost_has_marked_all_may_have_the_message() {
        let home = home();
        let path = home.path().join("db/vault.db");
        let connection = Connection::open(path).unwrap();
        let older = format!("{} PRAGMA application_id={APPLICATION}; PRAGMA user_version=6;", STEPS[..6].concat());
        connection.execute_batch(&older).unwrap();
        for (row, on_unknown) in [(1, 0), (2, 1)] {
            let rows = format!(
                "INSERT INTO spool_msg(id, msg_id, accept_seq, session_id, principal, bytes, sha256, accepted_us, expires_us) \
                 VALUES({row}, randomblob(16), {row}, randomblob(16), 'a', 1, randomblob(32), 1, 2); \
                 INSERT INTO spool_lease(job, msg, upstream, delivery_id, leased_us, on_unknown) \
                 VALUES({row}, {row}, 'a', randomblob(16), 1, {on_unknown}); \
                 INSERT INTO spool_rcpt(msg, n, rcpt, lane, state, next_us, job, unknown) \
                 VALUES({row}, 0, 'a@b.test', 'a', 1, 1, {row}, 1), ({row}, 1, 'b@b.test', 'a', 1, 1, {row}, 0), \
                       ({row}, 2, 'c@b.test', 'a', 3, 1, NULL, 1);"
            );
            connection.execute_batch(&rows).unwrap();
        }
        drop(connection);
        let database = Database::open(home.path()).unwrap();
        let unknown = "SELECT group_concat(unknown, '') FROM (SELECT unknown FROM spool_rcpt ORDER BY msg, n)";
        let unknown: String = database.connection.query_row(unknown, [], |row| row.get(0)).unwrap();
        assert_eq!(unknown, "001111");
    }
}
