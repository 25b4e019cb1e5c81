//! Whatever happens in the spool, the counts are what looking through it would give.

use super::*;
use crate::vault::store::Store;
use crate::vault::store::open::Database;

/// What the counts must be, by looking through the spool.
const TRUTH: &str = "SELECT lane, urgent, turn, count(DISTINCT msg) FROM spool_rcpt WHERE state = 0 AND held = 0 \
                     AND (tried > 0 OR next_us = 0) GROUP BY lane, urgent, turn ORDER BY lane, urgent, turn";
/// A time that is yet to come, for long.
const LATER: i64 = 4_000_000_000_000_000;

fn rows(connection: &Connection, sql: &str) -> Vec<(String, u32, String, u32)> {
    let mut statement = connection.prepare(sql).unwrap();
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))).unwrap();
    rows.map(Result::unwrap).collect()
}

/// What is counted, in the same order.
fn counted(database: &Database) -> Vec<(String, u32, String, u32)> {
    let all = database.counts.all();
    let some = all.census.places.iter().filter(|place| place.messages > 0);
    let row = |place: &Place| {
        let messages = u32::try_from(place.messages).unwrap();
        (place.lane.to_string(), u32::from(place.urgent), place.turn.to_string(), messages)
    };
    let mut rows: Vec<_> = some.map(row).collect();
    rows.sort();
    rows
}

fn database(home: &std::path::Path) -> Database {
    std::fs::create_dir_all(home.join("db")).unwrap();
    let database = Database::open(home).unwrap();
    database.counts.watch_all(&database.connection);
    database
}

const MESSAGE: &str = "INSERT INTO spool_msg(msg_id, accept_seq, session_id, principal, bytes, sha256, accepted_us, \
                       expires_us) VALUES(randomblob(16), 0, randomblob(16), ?, 1, randomblob(32), 1, 2) RETURNING id";

#[test]
fn rule_q12_what_waits_is_counted_whatever_becomes_of_it() {
    let home = tempfile::tempdir().unwrap();
    let database = database(home.path());
    let connection = &database.connection;
    let mut seed = 7u64;
    let mut dice = |sides: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % sides
    };
    for round in 0..2000 {
        let pick = "(SELECT id FROM spool_msg ORDER BY id LIMIT 1 OFFSET";
        let (many, some, n) = (dice(30), i64::try_from(dice(4)).unwrap(), dice(4));
        match dice(12) {
            0 | 1 => {
                let who = ["shop", "till", "billing"][usize::try_from(dice(3)).unwrap()];
                let id: i64 = connection.query_row(MESSAGE, [who], |row| row.get(0)).unwrap();
                for n in 0..=some {
                    let lane = ["a", "a,b"][usize::try_from(dice(2)).unwrap()];
                    let due = [0, LATER][usize::from(dice(4) == 0)];
                    let columns = "msg, n, rcpt, lane, state, next_us, turn, urgent";
                    let sql = format!("INSERT INTO spool_rcpt({columns}) VALUES(?, ?, 'x@y', ?, 0, ?, ?, ?)");
                    connection.execute(&sql, (id, n, lane, due, who, i64::from(who == "till"))).unwrap();
                }
            }
            2 => drop(connection.execute(&format!("DELETE FROM spool_msg WHERE id = {pick} {many})"), [])),
            change => {
                let put_off = format!("state = 0, tried = 1, next_us = {LATER}");
                let scheduled = format!("state = 0, tried = 0, next_us = {LATER}");
                let states = ["state = 1", "state = 0", "state = 2", "held = 1", "held = 0", "lane = 'b'"];
                let to = [&states[..], &["next_us = 0", &put_off, &scheduled]].concat();
                let set = to[usize::try_from(change).unwrap() - 3];
                let whom = if some == 0 { String::new() } else { format!("AND n <= {n}") };
                let sql = format!("UPDATE spool_rcpt SET {set} WHERE msg = {pick} {many}) {whom}");
                connection.execute(&sql, []).unwrap();
            }
        }
        if round % 5 == 0 {
            connection.execute_batch("BEGIN; UPDATE spool_rcpt SET state = 3; ROLLBACK;").unwrap();
        }
        assert_eq!(counted(&database), rows(connection, TRUTH), "{round}");
    }
    assert!(rows(connection, TRUTH).len() > 3);
    let aside = "SELECT count(*) FROM spool_rcpt WHERE state = 0 AND held = 0 AND tried = 0 AND next_us > 0";
    let aside: i64 = connection.query_row(aside, [], |row| row.get(0)).unwrap();
    assert!(aside > 3);
    // Until its time has come.
    let before = counted(&database);
    let census = Census::new(database.counts.clone());
    census.waiting(u64::try_from(LATER).unwrap() - 1);
    assert_eq!(counted(&database), before);
    census.waiting(u64::try_from(LATER).unwrap());
    connection.execute("UPDATE spool_rcpt SET tried = 1 WHERE state = 0", []).unwrap();
    assert_eq!(counted(&database), rows(connection, TRUTH));
    assert_ne!(counted(&database), before);
    connection.execute("DELETE FROM spool_msg", []).unwrap();
    assert_eq!(counted(&database), []);
}

/// The work that a statement over the recipients of one message to many makes, by the machine that runs it.
fn work(connection: &Connection, recipients: u32, sql: &str) -> i32 {
    connection.execute("DELETE FROM spool_msg", []).unwrap();
    let id: i64 = connection.query_row(MESSAGE, ["shop"], |row| row.get(0)).unwrap();
    // Half of them have it already, the other half is held.
    let rows = "WITH RECURSIVE numbers(n) AS (VALUES(1) UNION ALL SELECT n + 1 FROM numbers WHERE n < ?2) \
                INSERT INTO spool_rcpt(msg, n, rcpt, lane, state, held, next_us, turn) \
                SELECT ?1, n, 'x@y', 'a', iif(2 * n <= ?2, 2, 0), 1, 0, 'shop' FROM numbers";
    connection.execute(rows, (id, recipients)).unwrap();
    let mut statement = connection.prepare(sql).unwrap();
    statement.execute([]).unwrap();
    statement.get_status(rusqlite::StatementStatus::VmStep)
}

#[test]
fn twice_the_recipients_are_twice_the_work() {
    let home = tempfile::tempdir().unwrap();
    let database = database(home.path());
    for change in ["held = 0", "held = 0, lane = 'b'", "held = 0, state = 0"] {
        let sql = format!("UPDATE spool_rcpt SET {change} WHERE state = 0");
        let [few, many] = [400, 800].map(|recipients| work(&database.connection, recipients, &sql));
        assert!(few > 400 && many < 2 * few + few / 2, "{change}: {few} and {many}");
    }
    let sql = "DELETE FROM spool_msg";
    let [few, many] = [400, 800].map(|recipients| work(&database.connection, recipients, sql));
    assert!(few > 400 && many < 2 * few + few / 2, "{few} and {many}");
}

#[test]
fn what_waited_before_a_restart_is_counted_and_what_is_scheduled_when_its_time_comes() {
    let home = tempfile::tempdir().unwrap();
    let first = database(home.path());
    for due in [0, LATER] {
        let id: i64 = first.connection.query_row(MESSAGE, ["shop"], |row| row.get(0)).unwrap();
        for n in 0..3 {
            let sql = "INSERT INTO spool_rcpt(msg, n, rcpt, lane, state, next_us, turn, urgent) \
                       VALUES(?, ?, 'x@y', 'a', 0, ?, 'shop', 1)";
            first.connection.execute(sql, (id, n, due)).unwrap();
        }
    }
    drop(first);
    let again = database(home.path());
    let store = Store::prepare(&again).unwrap();
    let shop = |messages| Waiting { lane: "a".into(), urgent: true, principal: "shop".into(), messages };
    for (now, messages) in [(1, 1), (u64::try_from(LATER).unwrap(), 2)] {
        assert_eq!(store.census.waiting(now), [shop(messages)]);
    }
}

#[test]
fn all_recipients_of_a_message_that_are_scheduled_are_one_row_also_after_a_restart() {
    let home = tempfile::tempdir().unwrap();
    let first = database(home.path());
    let aside = |database: &Database| {
        let later = &database.counts.all().census.later;
        (later.len(), later.values().sum::<u32>())
    };
    let id: i64 = first.connection.query_row(MESSAGE, ["shop"], |row| row.get(0)).unwrap();
    let many = "WITH RECURSIVE numbers(n) AS (VALUES(1) UNION ALL SELECT n + 1 FROM numbers WHERE n < 1000) \
                INSERT INTO spool_rcpt(msg, n, rcpt, lane, state, next_us, turn) \
                SELECT ?1, n, 'x@y', iif(n % 2, 'a', 'b'), 0, ?2, 'shop' FROM numbers";
    first.connection.execute(many, (id, LATER)).unwrap();
    assert_eq!(aside(&first), (2, 1000), "one for each lane");
    drop(first);
    let again = database(home.path());
    assert_eq!(aside(&again), (2, 1000));
    again.connection.execute("UPDATE spool_rcpt SET held = 1 WHERE n > 10", []).unwrap();
    assert_eq!(aside(&again), (2, 10));
    again.connection.execute("DELETE FROM spool_msg", []).unwrap();
    assert_eq!(aside(&again), (0, 0));
}

#[test]
fn what_was_undone_for_want_of_room_is_not_counted() {
    let home = tempfile::tempdir().unwrap();
    let database = database(home.path());
    let connection = &database.connection;
    let id: i64 = connection.query_row(MESSAGE, ["shop"], |row| row.get(0)).unwrap();
    let one = "INSERT INTO spool_rcpt(msg, n, rcpt, lane, state, next_us, turn) VALUES(?, 0, 'x@y', 'a', 0, 0, 'shop')";
    connection.execute(one, [id]).unwrap();
    let pages: i64 = connection.query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap();
    connection.query_row(&format!("PRAGMA max_page_count = {}", pages + 4), [], |_| Ok(())).unwrap();
    let many = "WITH RECURSIVE numbers(n) AS (VALUES(1) UNION ALL SELECT n + 1 FROM numbers WHERE n < 9000) \
                INSERT INTO spool_rcpt(msg, n, rcpt, lane, state, next_us, turn) \
                SELECT ?1, n, 'x@y', iif(n % 2, 'a', 'b'), 0, 0, 'shop' FROM numbers";
    // A statement alone, and one behind others in a transaction.
    connection.execute(many, [id]).unwrap_err();
    assert_eq!(counted(&database), [("a".into(), 0, "shop".into(), 1)]);
    connection.execute_batch("BEGIN; UPDATE spool_rcpt SET lane = 'b'").unwrap();
    assert_eq!(counted(&database), [("b".into(), 0, "shop".into(), 1)]);
    connection.execute(many, [id]).unwrap_err();
    drop(connection.execute_batch("ROLLBACK"));
    assert_eq!(counted(&database), rows(connection, TRUTH.replace("tried > 0 OR ", "").as_str()));
    assert_eq!(counted(&database), [("a".into(), 0, "shop".into(), 1)]);
    // What comes after it counts as ever.
    connection.execute("UPDATE spool_rcpt SET state = 1", []).unwrap();
    assert_eq!(counted(&database), []);
    connection
        .execute_batch(
            "BEGIN; UPDATE spool_rcpt SET state = 0; COMMIT; BEGIN; UPDATE spool_msg SET ended = 1; ROLLBACK",
        )
        .unwrap();
    assert_eq!(
        counted(&database),
        [("a".into(), 0, "shop".into(), 1)],
        "what is kept is not undone with what came behind it"
    );
}

#[test]
fn what_an_order_over_many_changes_is_not_remembered_behind_it() {
    let home = tempfile::tempdir().unwrap();
    let database = database(home.path());
    let connection = &database.connection;
    let many = "WITH RECURSIVE numbers(n) AS (VALUES(1) UNION ALL SELECT n + 1 FROM numbers WHERE n < 9000) \
                INSERT INTO spool_rcpt(msg, n, rcpt, lane, state, next_us, turn, tried) \
                SELECT ?1, n, 'x@y', 'a', 0, ?2, 'shop', 1 FROM numbers";
    let id: i64 = connection.query_row(MESSAGE, ["shop"], |row| row.get(0)).unwrap();
    connection.execute(many, (id, LATER)).unwrap();
    assert!(database.counts.room() < 9000, "{}", database.counts.room());
    // Who was tried waits, whenever he is due.
    connection.execute_batch("BEGIN; UPDATE spool_rcpt SET next_us = 0").unwrap();
    assert_eq!(database.counts.counted(), 0);
    connection.execute_batch("UPDATE spool_rcpt SET held = 1").unwrap();
    assert_eq!(database.counts.counted(), 9000);
    connection.execute_batch("COMMIT").unwrap();
    assert!(database.counts.room() < 9000, "{}", database.counts.room());
    assert_eq!(counted(&database), []);
}
