//! Values that are erased are gone from every file, the log stays sound, and a crash at any point is made good.

use std::fs;
use std::path::PathBuf;

use rusqlite::Connection;

use super::search::Target;
use super::*;
use crate::mail::address::Address;
use crate::vault::audit::publish::Publisher;
use crate::vault::audit::specimen::Specimen;
use crate::vault::audit::verify::{Fault, Known, Summary, verify};

const ROSA: &str = "rosa@example.net";
const OTHER: &str = "primrosa@example.net";

/// Events about two people, published.
fn grown() -> Specimen {
    let log = Specimen::empty();
    for group in 0..30 {
        let events = (0..40).map(|n| if (group + n) % 3 == 0 { accepted(ROSA) } else { accepted(OTHER) }).collect();
        log.append(events);
        log.seal();
        log.publish();
    }
    log
}

fn accepted(recipient: &str) -> Event {
    let address = Address::parse(recipient).unwrap();
    let event = Event::new(Name::DeliverBounce, Outcome::Failure).with(Field::Account, "shop").recipients([&address]);
    let event = Event { message: Some(MessageId::now()), ..event };
    event.with(Field::RcptDomain, "example.net").with(Field::RemoteText, format!("<{recipient}>: no such user"))
}

fn select(log: &Specimen, target: Target, fields: &[&str]) -> Selection {
    let fields: Vec<String> = fields.iter().map(|field| (*field).to_owned()).collect();
    search::select(log.home.path(), &target, &fields).unwrap()
}

/// Writes the event and the order.
fn ordered(log: &Specimen, parts: Vec<Part>) -> u64 {
    let work = move |store: &mut Store<'_>| order(store, &parts, "uid 0", "case 7", None);
    log.writer.run_blocking(work).unwrap().unwrap()
}

fn is_open(log: &Specimen, seq: u64) -> bool {
    log.writer.run_blocking(move |store| store.erasures.is_open(seq)).unwrap()
}

fn sound(log: &Specimen) -> Result<Summary, Fault> {
    verify(&log.audit(), log.key(), &Known::default(), |_| {})
}

/// The files that have these octets anywhere.
fn files_with(log: &Specimen, octets: &str) -> Vec<PathBuf> {
    // What is left in the write-ahead log is behind this.
    log.writer.run_blocking(|_| Ok(())).unwrap();
    let in_folder =
        |folder: &str| fs::read_dir(log.home.path().join(folder)).unwrap().map(|entry| entry.unwrap().path());
    let has = |path: &PathBuf| memchr::memmem::find(&fs::read(path).unwrap(), octets.as_bytes()).is_some();
    in_folder("db").chain(in_folder("audit")).filter(has).collect()
}

fn seen(log: &Specimen, sql: &str) -> Vec<String> {
    let connection = Connection::open(log.audit().join("audit.db")).unwrap();
    let mut statement = connection.prepare(sql).unwrap();
    statement.query_map([], |row| row.get(0)).unwrap().collect::<rusqlite::Result<_>>().unwrap()
}

#[test]
fn an_address_is_erased_everywhere_and_nobody_elses() {
    let log = grown();
    assert!(files_with(&log, "<rosa@example.net>").iter().any(|path| path.to_string_lossy().contains("personal-")));
    let before = sound(&log).unwrap();
    let selection = select(&log, Target::Address("Rosa@Example.NET".into()), &[]);
    assert_eq!((selection.parts.len(), selection.messages.len()), (2, 400));
    assert_eq!(selection.parts.iter().map(Part::count).sum::<u64>(), 800);
    let event = ordered(&log, selection.parts);
    log.seal();
    log.publish();
    assert!(!is_open(&log, event));
    assert_eq!(files_with(&log, "<rosa@example.net>"), Vec::<PathBuf>::new());
    // Nor as a value of its own, beside those that end like it.
    let alone = |path: &PathBuf| {
        let content = String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned();
        content.match_indices(ROSA).any(|(at, _)| !content[..at].ends_with("prim"))
    };
    assert!(!files_with(&log, ROSA).iter().any(alone));
    let after = sound(&log).unwrap();
    assert_eq!((after.size, after.first), (before.size + 1, 0));
    let recipients = seen(&log, "SELECT DISTINCT rcpt_to FROM audit_v1 WHERE rcpt_to IS NOT NULL ORDER BY 1");
    assert_eq!(recipients, ["***@example.net", "[erased]"]);
    assert_eq!(seen(&log, "SELECT DISTINCT account FROM audit_v1 WHERE rcpt_to = '[erased]'"), ["shop"]);
    assert_eq!(seen(&log, "SELECT DISTINCT actor || ground FROM erasure_v1"), ["uid 0case 7"]);
    assert_eq!(seen(&log, "SELECT DISTINCT what FROM erasure_v1 ORDER BY 1"), ["rcpt_to[0]", "remote_text"]);
    // The other's can still be shown and proved.
    let other = (0..40).find(|n| n % 3 != 0).unwrap();
    let shown = disclosure::find(log.home.path(), other, "rcpt_to").unwrap();
    assert_eq!((shown.value.expose().as_str(), shown.key.as_str()), (OTHER, "rcpt_to[0]"));
    let commitment = super::super::leaf::commit(&shown.salt, other, &shown.key, shown.value.expose());
    assert_eq!(commitment, shown.commitment);
    let Err(reason) = disclosure::find(log.home.path(), 0, "rcpt_to[0]") else { panic!("it was erased") };
    assert!(reason.contains("was erased"), "{reason}");
}

#[test]
fn a_message_and_a_range_are_erased_but_for_who_sent_to_which_domain() {
    let log = grown();
    let message: MessageId = seen(&log, "SELECT msg_id FROM event WHERE seq = 5")[0].parse().unwrap();
    let by_message = select(&log, Target::Message(message), &[]);
    assert_eq!(by_message.parts, [Part { events: vec![(5, 5)], fields: usual_fields() }]);
    assert_eq!(by_message.messages, [message]);
    let by_range = select(&log, Target::Events(7, 9), &["rcpt_domain", "account"]);
    assert_eq!(by_range.messages.len(), 3);
    ordered(&log, [by_message.parts, by_range.parts].concat());
    log.seal();
    log.publish();
    let columns = "coalesce(account, '-') || ' ' || rcpt_to || ' ' || rcpt_domain";
    let of = |seq: u64| seen(&log, &format!("SELECT {columns} FROM audit_v1 WHERE seq = {seq}")).remove(0);
    assert_eq!(of(5), "shop [erased] example.net");
    assert_eq!(of(8), "[erased] ***@example.net [erased]");
    assert_eq!(of(10), "shop ***@example.net example.net");
    sound(&log).unwrap();
}

#[test]
fn more_messages_than_one_transaction_forgets_are_all_found() {
    let log = grown();
    let all = select(&log, Target::Events(0, 1199), &[]);
    assert_eq!(all.messages.len(), 1200);
    assert!(all.messages.len() > MOST_MESSAGES);
    let twice = select(&log, Target::Events(0, 5), &["remote_text", "rcpt_to", "remote_text"]);
    assert_eq!(twice.parts[0].fields, ["rcpt_to", "remote_text"]);
}

#[test]
fn what_isnt_there_is_not_said_to_be_erased() {
    let log = grown();
    for fields in [&["rcpt_to[17]"][..], &["mail_from"], &["helo", "client_ip"]] {
        assert_eq!(select(&log, Target::Events(5, 8), fields), Selection::default(), "{fields:?}");
    }
    let named = select(&log, Target::Events(5, 8), &["rcpt_to[0]", "rcpt_to[17]", "account"]);
    assert_eq!(named.parts[0].fields, ["account", "rcpt_to[0]"]);
    // Once, and no second time.
    ordered(&log, select(&log, Target::Events(5, 8), &[]).parts);
    log.publish();
    assert_eq!(select(&log, Target::Events(5, 8), &[]), Selection::default());
    assert_eq!(select(&log, Target::Events(5, 8), &["rcpt_to"]), Selection::default());
    let kept = select(&log, Target::Events(5, 8), &["rcpt_to", "account"]);
    assert_eq!(kept.parts[0].fields, ["account"]);
    assert!(!select(&log, Target::Events(8, 9), &[]).parts.is_empty(), "one of them is whole");
}

/// The specimen with another publisher, as after a restart.
fn restarted(mut log: Specimen) -> Specimen {
    log.publisher = Publisher::start(log.home.path().to_owned(), log.writer.clone()).unwrap().0;
    log
}

/// The specimen without a publisher that works.
fn halted(mut log: Specimen) -> Specimen {
    let empty = Specimen::empty();
    // Its thread ends with the last way to it.
    log.publisher = empty.publisher.clone();
    log
}

#[test]
fn a_crash_after_the_event_is_made_good_at_the_next_start() {
    let log = halted(grown());
    let parts = select(&log, Target::Address(ROSA.into()), &[]).parts;
    let event = ordered(&log, parts.clone());
    assert!(is_open(&log, event) && !files_with(&log, "<rosa@example.net>").is_empty());
    let log = restarted(log);
    log.publish();
    assert!(!is_open(&log, event) && files_with(&log, "<rosa@example.net>").is_empty());
    // In the middle of it: the files are done, the order isn't finished.
    let log = halted(log);
    let again = ordered(&log, parts.clone());
    assert!(removal::remove(log.home.path(), &parts).unwrap());
    let log = restarted(log);
    log.publish();
    assert!(!is_open(&log, again));
    log.seal();
    log.publish();
    sound(&log).unwrap();
}

#[test]
fn a_reader_in_the_way_delays_an_erasure_and_nothing_else() {
    let log = grown();
    let parts = select(&log, Target::Events(0, 5), &[]).parts;
    let reader = Connection::open(log.audit().join("audit.db")).unwrap();
    let event = ordered(&log, parts);
    log.publish();
    assert!(!is_open(&log, event), "nobody reads yet");
    let parts = select(&log, Target::Events(6, 9), &[]).parts;
    let log = halted(log);
    let event = ordered(&log, parts.clone());
    let log = restarted(log);
    let mut statement = reader.prepare("SELECT seq FROM event").unwrap();
    let mut rows = statement.query([]).unwrap();
    rows.next().unwrap();
    assert_eq!(removal::remove(log.home.path(), &parts), Ok(false));
    log.publish();
    assert!(is_open(&log, event));
    drop(rows);
    log.publish();
    assert!(!is_open(&log, event));
}
