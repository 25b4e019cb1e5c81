//! What the parent saw of the service, as events: starts and stops, falls, sandboxes, configurations.

use serde_json::json;

use super::audit::event::{Event, Name, Outcome};
use super::store::Store;
use super::store::writer::Writer;
use crate::ipc::control::{Happening, Occasion};
use crate::role::Role;

/// Writes down what the parent saw. On a full disk the events wait for room; whether the configuration is another one than
/// the last is not found out then.
pub async fn record(writer: &Writer, happening: Happening) {
    let (events, digest) = events(happening);
    let Some(digest) = digest else { return writer.record(events).await };
    let own = events.clone();
    let done = writer.run(move |store| {
        store.record(events)?;
        changed(store, &digest)
    });
    if done.await.is_err() {
        writer.record(own).await;
    }
}

/// The event of a configuration that is another one than was in force before, also by a restart.
fn changed(store: &mut Store<'_>, digest: &str) -> rusqlite::Result<()> {
    let Some(before) = store.marker.configured(digest)? else { return Ok(()) };
    let data = json!({ "before": before, "after": digest }).to_string();
    store.record(vec![by_parent(Event { data: Some(data), ..Event::new(Name::ConfigChange, Outcome::Success) })])
}

/// The events, and the digest of the configuration that is in force now.
fn events(happening: Happening) -> (Vec<Event>, Option<String>) {
    let with =
        |name, outcome, data: serde_json::Value| Event { data: Some(data.to_string()), ..Event::new(name, outcome) };
    let (events, digest) = match happening.cut() {
        Happening::Started { version, digest, separate, missing } => {
            let start = with(Name::DaemonStart, Outcome::Info, json!({ "version": version, "digest": digest }));
            let outcome = if missing.is_empty() && separate { Outcome::Success } else { Outcome::Info };
            let sandbox = json!({ "separate_users": separate, "missing": missing });
            (vec![start, with(Name::SandboxApplied, outcome, sandbox)], Some(digest))
        }
        Happening::Stopping => (vec![Event::new(Name::DaemonStop, Outcome::Info)], None),
        Happening::Fell { role, instance, how, violation } => {
            let data = json!({ "role": role.name(), "instance": instance.0, "how": how });
            let exit = Event { severity: 3, ..with(Name::ProcExit, Outcome::Failure, data.clone()) };
            let violated = Event { severity: 2, ..with(Name::SandboxViolation, Outcome::Denied, data) };
            (if violation { vec![exit, violated] } else { vec![exit] }, None)
        }
        Happening::Loaded { generation, digest, occasion, changed, by } => {
            let mut data = json!({ "generation": generation.0, "digest": digest, "occasion": occasion.word() });
            if occasion == Occasion::Asked {
                data["changed"] = changed.into();
            }
            (vec![Event { actor: by, ..with(Name::ConfigLoad, Outcome::Success, data) }], Some(digest))
        }
        Happening::Rejected { reason, occasion, by } => {
            let data = json!({ "said": reason, "occasion": occasion.word() });
            (vec![Event { actor: by, ..with(Name::ConfigReject, Outcome::Failure, data) }], None)
        }
    };
    (events.into_iter().map(by_parent).collect(), digest)
}

fn by_parent(event: Event) -> Event {
    Event { component: Role::Parent.name(), ..event }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::role::{Generation, Instance};
    use crate::vault::store::open::Database;

    fn names(happening: Happening) -> Vec<&'static str> {
        events(happening).0.iter().map(|event| event.name.word()).collect()
    }

    #[test]
    fn a_process_that_its_filter_ended_is_an_event_of_its_own() {
        let fell = |violation| Happening::Fell { role: Role::Vault, instance: Instance(3), how: "x".into(), violation };
        assert_eq!(names(fell(false)), ["proc.exit"]);
        assert_eq!(names(fell(true)), ["proc.exit", "sandbox.violation"]);
    }

    #[test]
    fn a_start_says_what_the_sandbox_lacks() {
        let start = |missing: &[&str]| Happening::Started {
            version: "0.1.0".into(),
            digest: "d".into(),
            separate: true,
            missing: missing.iter().map(|text| (*text).to_owned()).collect(),
        };
        assert_eq!(names(start(&[])), ["daemon.start", "sandbox.applied"]);
        let (events, _) = events(start(&["port rules"]));
        assert_eq!(events[1].data.as_deref(), Some(r#"{"missing":["port rules"],"separate_users":true}"#));
    }

    #[test]
    fn a_reload_says_which_settings_changed_and_who_asked() {
        let loaded = |occasion, by: Option<&str>| Happening::Loaded {
            generation: Generation(2),
            digest: "d".into(),
            occasion,
            changed: vec!["limits.idle".into()],
            by: by.map(str::to_owned),
        };
        let event = events(loaded(Occasion::Asked, Some("uid 0 (alice)"))).0.remove(0);
        assert_eq!(event.actor.as_deref(), Some("uid 0 (alice)"));
        let data = r#"{"changed":["limits.idle"],"digest":"d","generation":2,"occasion":"asked"}"#;
        assert_eq!(event.data.as_deref(), Some(data));
        let of_files = events(loaded(Occasion::Files, None)).0.remove(0);
        assert!(of_files.actor.is_none() && !of_files.data.unwrap().contains("changed"));
    }

    #[test]
    fn another_configuration_is_an_event_once_whether_by_reload_or_restart() {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join("db")).unwrap();
        let seen = |digest: &str| {
            let database = Database::open(home.path()).unwrap();
            let mut store = Store::prepare(&database).unwrap();
            let before = store.ledger.size();
            store.transaction(|store| changed(store, digest)).unwrap();
            store.ledger.size() - before
        };
        assert_eq!([seen("a"), seen("a"), seen("b"), seen("b"), seen("a")], [0, 0, 1, 0, 1]);
    }
}
