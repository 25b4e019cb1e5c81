//! The marker of a run: set when the vault begins, cleared at an orderly stop. The next start reads off it how the last run
//! ended, in the same file as what that run wrote; and which configuration it had.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Result, Statement, params};

use crate::ipc::admin::load::Stage;
use crate::vault::audit::event::{Event, Name, Outcome};
use crate::vault::store::lasting;

/// The marker's key in `meta`; its value is when the run began.
const KEY: &str = "run";
/// Under this key is the digest of the configuration that was in force last.
const CONFIGURATION: &str = "configuration";

/// This key is there from the order to take the database back until that was done.
const BACK: &str = "goes-back";

/// This key is there while mail is refused for want of room.
const SHORT: &str = "short";

/// Under this key is the stage in which mail is refused for the load, while it is.
const SHED: &str = "shed";

pub struct Marker<'c> {
    read: Statement<'c>,
    set: Statement<'c>,
    clear: Statement<'c>,
    /// Nobody has served what is there since it was restored.
    pub is_restored: bool,
}

impl<'c> Marker<'c> {
    pub fn prepare(connection: &'c Connection) -> Result<Self> {
        Ok(Self {
            read: lasting(connection, "SELECT value FROM meta WHERE key = ?")?,
            set: lasting(connection, "INSERT OR REPLACE INTO meta(key, value) VALUES(?, ?)")?,
            clear: lasting(connection, "DELETE FROM meta WHERE key = ?")?,
            is_restored: false,
        })
    }

    /// Sets the marker. Gives the event of an unclean stop if the last run left its own: between the last event of that
    /// run (`last`: its place and time) and this one, events may be missing that nobody was promised.
    ///
    /// A backup is made while a run goes on and has its marker, so where all of this `is_restored` the event is that of a restore:
    /// nothing crashed, and what is missing are the events from the backup on.
    pub fn begin(&mut self, now_us: u64, last: Option<(u64, u64)>) -> Result<Option<Event>> {
        let before: Option<String> = self.read.query_row([KEY], |row| row.get(0)).optional()?;
        self.set.execute(params![KEY, time(now_us)])?;
        Ok(before.map(|began| self.ended(&began, last, false)))
    }

    /// For a command that writes while the service is stopped: the event of the unclean stop or the restore before it, if there was one.
    /// After that event the service still stands, and its next start has nothing more to tell.
    pub fn bound(&mut self, last: Option<(u64, u64)>) -> Result<Option<Event>> {
        let before: Option<String> = self.read.query_row([KEY], |row| row.get(0)).optional()?;
        let Some(began) = before else { return Ok(None) };
        self.end()?;
        Ok(Some(self.ended(&began, last, true)))
    }

    /// How that run ended. `is_down`: and the service still stands.
    fn ended(&self, began: &str, last: Option<(u64, u64)>, is_down: bool) -> Event {
        let mut data = end_of_run(began, last);
        if let Some(data) = data.as_object_mut().filter(|_| is_down) {
            data.insert("down".to_owned(), true.into());
        }
        let event = match self.is_restored {
            true => Event { reason: Some("from-backup".to_owned()), ..Event::new(Name::StoreRecovered, Outcome::Info) },
            false => Event::new(Name::DaemonCrash, Outcome::Failure),
        };
        Event { severity: 3, data: Some(data.to_string()), ..event }
    }

    /// Remembers the digest of the configuration in force. Gives the one before when there was one and it was another.
    pub fn configured(&mut self, digest: &str) -> Result<Option<String>> {
        let before: Option<String> = self.read.query_row([CONFIGURATION], |row| row.get(0)).optional()?;
        if before.as_deref() != Some(digest) {
            self.set.execute([CONFIGURATION, digest])?;
        }
        Ok(before.filter(|before| before != digest))
    }

    /// Remembers with its event that room became short, and with that of its end that it is not.
    pub fn room(&mut self, events: &[Event]) -> Result<()> {
        for event in events {
            match (event.name, &event.data) {
                (Name::StoreFull, _) => self.set.execute([SHORT, ""])?,
                (Name::StoreRecovered, None) => self.clear.execute([SHORT])?,
                _ => 0,
            };
        }
        Ok(())
    }

    /// Whether room was short when the last run ended.
    pub fn is_short(&mut self) -> Result<bool> {
        self.read.exists([SHORT])
    }

    /// Remembers the stage of the load.
    pub fn shed(&mut self, stage: Stage) -> Result<()> {
        match stage {
            Stage::Calm => self.clear.execute([SHED])?,
            stage => self.set.execute([SHED, stage.word()])?,
        };
        Ok(())
    }

    /// The stage when the last run ended.
    pub fn was_shed(&mut self) -> Result<Stage> {
        let word: Option<String> = self.read.query_row([SHED], |row| row.get(0)).optional()?;
        Ok(word.and_then(|word| Stage::of(&word)).unwrap_or_default())
    }

    /// At its stop the database is to be that of the version before, also when another vault ends than the one that is told.
    pub fn go_back(&mut self) -> Result<()> {
        self.set.execute([BACK, ""]).map(drop)
    }

    pub fn goes_back(&mut self) -> Result<bool> {
        self.read.exists([BACK])
    }

    /// An orderly stop: everything of this run is written.
    pub fn end(&mut self) -> Result<()> {
        self.clear.execute([KEY]).map(drop)
    }
}

/// What both kinds of end say: when that run began, and the last event there is of it.
fn end_of_run(began: &str, last: Option<(u64, u64)>) -> serde_json::Value {
    let mut data = serde_json::json!({ "began": began });
    if let (Some((seq, last_us)), Some(data)) = (last, data.as_object_mut()) {
        data.insert("last_event".to_owned(), seq.into());
        data.insert("last_time".to_owned(), time(last_us).into());
    }
    data
}

fn time(us: u64) -> String {
    let time = i64::try_from(us).ok().and_then(|us| Timestamp::from_microsecond(us).ok());
    time.map_or_else(|| us.to_string(), |time| time.to_string())
}

#[cfg(test)]
mod tests {
    use crate::vault::audit::event::Name;
    use crate::vault::store::Store;
    use crate::vault::store::open::Database;

    #[test]
    fn a_run_that_did_not_end_in_order_is_known_to_the_next_and_to_no_other() {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join("db")).unwrap();
        let begin = |ends: bool| {
            let database = Database::open(home.path()).unwrap();
            let mut store = Store::prepare(&database).unwrap();
            let event = store.transaction(|store| store.marker.begin(1_000_000, Some((7, 500_000)))).unwrap();
            if ends {
                store.transaction(|store| store.marker.end()).unwrap();
            }
            event.map(|event| event.data.unwrap())
        };
        assert_eq!(begin(true), None, "the first start ever");
        assert_eq!(begin(false), None);
        let data = r#"{"began":"1970-01-01T00:00:01Z","last_event":7,"last_time":"1970-01-01T00:00:00.5Z"}"#;
        assert_eq!(begin(false).as_deref(), Some(data));
        assert!(begin(true).is_some());
        assert_eq!(begin(false), None);
        // A command writes while the service is down: it tells of the stop, and the next start doesn't.
        let command = || {
            let database = Database::open(home.path()).unwrap();
            let mut store = Store::prepare(&database).unwrap();
            let bound = store.transaction(|store| store.marker.bound(None)).unwrap();
            bound.map(|event| event.data.unwrap())
        };
        assert_eq!(command().as_deref(), Some(r#"{"began":"1970-01-01T00:00:01Z","down":true}"#));
        assert_eq!(command(), None);
        assert_eq!(begin(true), None);
    }

    #[test]
    fn a_backup_of_a_run_that_went_on_is_no_crash_at_its_first_start() {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join("db")).unwrap();
        let begin = |is_restored: bool| {
            let database = Database::open(home.path()).unwrap();
            let mut store = Store::prepare(&database).unwrap();
            store.marker.is_restored = is_restored;
            let event = store.transaction(|store| store.marker.begin(1_000_000, Some((7, 500_000))));
            event.unwrap().map(|event| (event.name, event.reason, event.data.unwrap()))
        };
        assert_eq!(begin(false), None);
        let (name, reason, data) = begin(true).unwrap();
        assert_eq!((name, reason.as_deref()), (Name::StoreRecovered, Some("from-backup")));
        // By it a verifier knows which silence is explained.
        assert_eq!(data, r#"{"began":"1970-01-01T00:00:01Z","last_event":7,"last_time":"1970-01-01T00:00:00.5Z"}"#);
        assert_eq!(begin(false).unwrap().0, Name::DaemonCrash, "a run that falls later is one that fell");
        // A command comes before that start: it tells of the restore, and the service still stands.
        let database = Database::open(home.path()).unwrap();
        let mut store = Store::prepare(&database).unwrap();
        store.marker.is_restored = true;
        let told = store.transaction(|store| store.marker.bound(None)).unwrap().unwrap();
        assert_eq!(told.name, Name::StoreRecovered);
        assert_eq!(told.data.as_deref(), Some(r#"{"began":"1970-01-01T00:00:01Z","down":true}"#));
    }
}
