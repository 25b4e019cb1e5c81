//! What holds for all statements.

use std::cell::RefCell;
use std::path::Path;

use super::*;
use crate::vault::audit::event::{Name, Outcome};

thread_local! {
    /// What this thread's tests have prepared.
    pub static PREPARED: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// What is done once or more for each message: none of these may have SQLite make a table of its own, which it opens and closes for each
/// run. It does for a list of more than two words, for RETURNING, for DISTINCT, and where rows are found by an index that they leave.
const FOR_EACH: [&str; 10] = [
    "INSERT INTO audit_event",
    "INSERT INTO audit_personal",
    "INSERT INTO audit_edge",
    "INSERT INTO spool_msg",
    "INSERT INTO spool_rcpt",
    "INSERT INTO spool_body",
    "INSERT INTO spool_lease",
    "INSERT INTO feed",
    "UPDATE OR FAIL",
    "DELETE FROM spool_lease WHERE",
];

#[test]
fn what_is_done_for_each_message_makes_no_table() {
    let [home, other] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let [database, compiler] = [&home, &other].map(|home| {
        std::fs::create_dir(home.path().join("db")).unwrap();
        Database::open(home.path()).unwrap()
    });
    PREPARED.take();
    drop(Store::prepare(&database).unwrap());
    let prepared = PREPARED.take();
    for beginning in FOR_EACH {
        let all: Vec<&String> = prepared.iter().filter(|sql| sql.starts_with(beginning)).collect();
        assert!(!all.is_empty(), "{beginning}");
        for sql in all {
            let mut explained = compiler.connection.prepare(&format!("EXPLAIN {sql}")).unwrap();
            let steps = explained.raw_query().mapped(|row| row.get(1)).collect::<Result<Vec<String>>>().unwrap();
            assert!(steps.len() > 5 && !steps.iter().any(|step| step == "OpenEphemeral"), "{sql}");
        }
    }
}

#[test]
fn it_goes_on_for_ever_when_the_compiler_is_closed() {
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir(home.path().join("db")).unwrap();
    let database = Database::open(Path::new(home.path())).unwrap();
    let mut store = Store::prepare(&database).unwrap();
    for round in 0..4 {
        let event = Event::new(Name::AuditHeartbeat, Outcome::Info);
        store.transaction(|store| store.record(vec![event])).unwrap();
        store.checkpoint(round % 2 == 0).unwrap();
    }
    assert_eq!(store.ledger.size(), 4);
    let log = std::fs::metadata(home.path().join("db/vault.db-wal")).unwrap().len();
    store.checkpoint(true).unwrap();
    assert!(log > 0 && std::fs::metadata(home.path().join("db/vault.db-wal")).unwrap().len() == 0);
}
