//! What a state directory proves: which messages it holds, which events, which heads, and whether they fit together.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::Connection;

/// A message as the store knows it.
#[derive(Clone, Debug)]
pub struct Stored {
    /// Every recipient has its final state, and the body is gone.
    pub done: bool,
    /// Recipients that were delivered.
    pub delivered: usize,
}

/// Name, message and data of an event.
type Event = (String, Option<String>, Option<String>);
/// Event, field and number of a personal value.
type Personal = (i64, String, i64);

/// Store and log of a service that does not run, by the ids of messages.
#[derive(Debug, Default)]
pub struct Evidence {
    pub stored: BTreeMap<String, Stored>,
    /// Messages with an event of their acceptance.
    pub accepted: BTreeSet<String>,
    /// Events of deliveries, how many of each message.
    pub delivered: BTreeMap<String, usize>,
    /// Events that would be an alarm.
    pub alarms: Vec<String>,
    pub events: BTreeMap<u64, Event>,
    /// Personal values that auditors see masked or not at all: event, field, number.
    hidden: BTreeSet<Personal>,
    /// Those that the vault keeps.
    kept: BTreeSet<Personal>,
}

impl Evidence {
    /// Of a copy of the state directory's files, which are left as they are: opening a database recovers it.
    pub fn of(state: &Path) -> Self {
        let copy = tempfile::tempdir().unwrap();
        for folder in ["db", "audit"] {
            fs::create_dir(copy.path().join(folder)).unwrap();
            for path in list(&state.join(folder)) {
                let name = path.file_name().unwrap();
                // The bodies stay where they are.
                if name.to_string_lossy().contains(".db") {
                    fs::copy(&path, copy.path().join(folder).join(name)).unwrap();
                }
            }
        }
        Self::read(copy.path())
    }

    fn read(state: &Path) -> Self {
        let mut evidence = Self::default();
        let vault = Connection::open(state.join("db/vault.db")).unwrap();
        if has(&vault, "spool_msg") {
            evidence.messages(&vault);
            evidence.events(&vault, "audit_event");
        }
        for path in list(&state.join("audit")).into_iter().filter(|path| path.extension().is_some_and(|e| e == "db")) {
            let file = Connection::open(&path).unwrap();
            if has(&file, "event") {
                evidence.events(&file, "event");
                evidence.hidden.extend(personal(&file, "personal WHERE value IS NULL"));
            }
        }
        for path in list(&state.join("db")).into_iter().filter(|path| path.extension().is_some_and(|e| e == "db")) {
            let file = Connection::open(&path).unwrap();
            for table in ["audit_personal", "personal"].into_iter().filter(|table| has(&file, table)) {
                evidence.kept.extend(personal(&file, &format!("{table} WHERE salt IS NOT NULL")));
            }
        }
        for (seq, (event, message, data)) in &evidence.events {
            match (event.as_str(), message) {
                ("msg.accept", Some(message)) => drop(evidence.accepted.insert(message.clone())),
                ("deliver.success", Some(message)) => *evidence.delivered.entry(message.clone()).or_default() += 1,
                ("sealer.refused" | "integrity.failure", _) => {
                    evidence.alarms.push(format!("{seq} {event} {}", data.as_deref().unwrap_or_default()));
                }
                _ => {}
            }
        }
        evidence
    }

    /// What no crash may leave behind. `context` is said with what is wrong.
    pub fn assert_whole(&self, context: &str) {
        let without_event: Vec<&String> = self.stored.keys().filter(|id| !self.accepted.contains(*id)).collect();
        assert!(without_event.is_empty(), "{context}: messages without their event: {without_event:?}");
        let without_message: Vec<&String> = self.accepted.iter().filter(|id| !self.stored.contains_key(*id)).collect();
        assert!(without_message.is_empty(), "{context}: events without their message: {without_message:?}");
        for (id, stored) in &self.stored {
            let told = self.delivered.get(id).copied().unwrap_or(0);
            assert_eq!(told, stored.delivered, "{context}: deliveries of {id} in the log and in the store");
        }
        assert!(self.alarms.is_empty(), "{context}: {:?}", self.alarms);
        let lost: Vec<&Personal> = self.hidden.difference(&self.kept).collect();
        assert!(lost.is_empty(), "{context}: personal values that left the vault's database and are nowhere: {lost:?}");
        let gap = self.events.keys().zip(0..).find(|(seq, place)| **seq != *place);
        assert_eq!(gap, None, "{context}: the log has a gap");
    }

    fn messages(&mut self, vault: &Connection) {
        let sql = "SELECT msg_id, done_us IS NOT NULL, \
                   (SELECT count(*) FROM spool_rcpt WHERE msg = id AND state = 2) FROM spool_msg";
        let mut statement = vault.prepare(sql).unwrap();
        let mut rows = statement.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            let id = uuid::Uuid::from_bytes(row.get(0).unwrap()).to_string();
            let delivered = row.get::<_, i64>(2).unwrap();
            let stored = Stored { done: row.get(1).unwrap(), delivered: usize::try_from(delivered).unwrap() };
            self.stored.insert(id, stored);
        }
    }

    /// An event may be in both places, when it was moved and not yet forgotten; then both are the same.
    fn events(&mut self, file: &Connection, table: &str) {
        let mut statement = file.prepare(&format!("SELECT seq, event, msg_id, data FROM {table}")).unwrap();
        let mut rows = statement.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            let seq = u64::try_from(row.get::<_, i64>(0).unwrap()).unwrap();
            let event = (row.get(1).unwrap(), row.get(2).unwrap(), row.get(3).unwrap());
            let before = self.events.insert(seq, event.clone());
            assert!(before.is_none_or(|before| before == event), "event {seq} is there twice, and differs: {event:?}");
        }
    }
}

fn personal(file: &Connection, table: &str) -> Vec<Personal> {
    let mut statement = file.prepare(&format!("SELECT seq, field, n FROM {table}")).unwrap();
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
    rows.map(Result::unwrap).collect()
}

fn has(file: &Connection, table: &str) -> bool {
    let sql = "SELECT count(*) FROM sqlite_master WHERE name = ?";
    file.query_row(sql, [table], |row| row.get::<_, i64>(0)).unwrap() > 0
}

pub fn list(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}
