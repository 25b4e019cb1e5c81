//! What a start finds amiss between the database and the files of the audit log: it is told, and nothing of it is removed.

use std::path::Path;

use super::audit::adopt::{self, Adopted, Untaken};
use super::audit::event::{Event, Name, Outcome};
use super::audit::survey;
use super::store::credentials::Stored;
use super::store::segment;
use super::store::writer::Writer;

/// Sets aside what only a newer database can know of, if this one is behind the auditors' files. Before it takes up their
/// events: from then on nothing shows that it was.
pub fn spare_bodies(home: &Path, writer: &Writer) -> Result<bool, String> {
    // Files that can't be read are no reason to remove anything.
    let behind = adopt::is_behind(home, writer).unwrap_or(true);
    if behind {
        let needed = writer.run_blocking(|store| store.spool.segments());
        let needed = needed.map_err(|error| format!("the vault's database: {error:?}"))?;
        let db = home.join("db");
        segment::set_aside(&db, &needed).map_err(|error| format!("{}: {error}", db.display()))?;
    }
    Ok(behind)
}

/// What came of the auditors' files being ahead of the database.
pub fn tell_of_files(writer: &Writer, adopted: Result<Adopted, Untaken>) {
    match adopted {
        Ok(Adopted { leaves: 0, .. }) => {}
        Ok(Adopted { leaves, held }) => {
            tracing::warn!(leaves, "the database was behind the auditors' files: the log goes on from where they end");
            if held > 0 {
                tracing::warn!(
                    messages = held,
                    "mail is held of which the auditors' files say that somebody has it or gets it no more: see gatepost queue \
                     reconcile"
                );
            }
        }
        // The event of it is among those of what is missing.
        Err(Untaken::Unopened(reason)) => tracing::error!(reason, "the file that auditors read can't be used"),
        Err(Untaken::Refused(reason)) => {
            tracing::error!(reason, "the auditors' files are ahead of the database and can't be taken for its own log");
            let data = Some(serde_json::json!({ "said": reason }).to_string());
            let event = Event {
                severity: 1,
                data,
                reason: Some("files-ahead".into()),
                ..Event::new(Name::IntegrityFailure, Outcome::Failure)
            };
            let _ = writer.run_blocking(move |store| store.record(vec![event]));
        }
    }
}

/// Credentials that ask for what only a newer version knows.
pub fn tell_of_strangers(stored: &[Stored]) {
    for credential in stored.iter().filter(|stored| stored.is_strange) {
        tracing::warn!(
            credential = credential.id,
            "a credential asks for what this version does not know: it is disabled"
        );
    }
}

/// What is missing of the files that the log was moved to. Before the publisher may make a new one in the place of one.
pub fn tell_of_lacks(home: &Path, writer: &Writer) -> Result<(), String> {
    let lacks = survey::survey(home, survey::kept(writer)?);
    for lack in &lacks {
        tracing::error!(reason = lack.reason, lack.what, "a part of the audit log is missing or damaged");
    }
    let events: Vec<Event> = lacks.iter().map(survey::Lack::event).collect();
    if events.is_empty() {
        return Ok(());
    }
    let told = writer.run_blocking(move |store| store.record(events));
    told.map_err(|error| format!("the vault's database: {error:?}"))
}
