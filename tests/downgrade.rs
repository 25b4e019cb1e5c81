//! Claim: the version before can be installed again, and nothing is lost: the database goes back to the form that it opens, when a running
//! service stops or at once where none runs, and the next start of this version takes it forward again.

mod support;

use std::fs;
use std::net::{Ipv4Addr, TcpListener};

use gatepost::sink::{Options, Sink};
use gatepost::vault::store::schema::{BEFORE, VERSION};
use serde_json::{Value, json};
use support::verdict::{SOUND, verify};
use support::{PATIENCE, Service, Setting, free_port, programs};

/// The form of a database that nobody has open, and how many recipients wait in it.
fn form(service: &Service) -> (usize, u32) {
    let path = service.folder.path().join("state/db/vault.db");
    let beside = fs::metadata(path.with_extension("db-wal")).map_or(0, |log| log.len());
    assert_eq!(beside, 0, "not all of it is in the file itself");
    let database = rusqlite::Connection::open(path).unwrap();
    let number = |sql: &str| database.query_row(sql, [], |row| row.get::<_, u32>(0)).unwrap();
    let waiting = number("SELECT count(*) FROM spool_rcpt WHERE state < 2");
    (usize::try_from(number("PRAGMA user_version")).unwrap(), waiting)
}

/// What a credential is held to, as it is kept.
fn policy(service: &Service) -> String {
    let database = rusqlite::Connection::open(service.folder.path().join("state/db/vault.db")).unwrap();
    database.query_row("SELECT policy FROM credential", [], |row| row.get(0)).unwrap()
}

fn go_back(service: &Service, words: &[&str]) -> (Option<i32>, String) {
    let done = service.command(&[&["downgrade", "--fallback-ids"], words].concat());
    (done.status.code(), programs::said(&done))
}

fn ordered(service: &Service) -> usize {
    let query = service.command(&["audit", "query", "--event", "store.downgrade", "--json"]);
    String::from_utf8(query.stdout).unwrap().lines().count()
}

#[test]
fn the_version_before_finds_its_database_and_all_that_waits_and_an_upgrade_goes_on_from_there() {
    let port = free_port();
    let mut service = Service::start_with(&Setting { host: Some(format!("127.0.0.1:{port}")), ..Setting::default() });
    let secret = service.add_credential();
    assert_eq!(service.log_in(&secret).send("first"), 250);

    // Nobody has agreed: nothing is ordered.
    let (code, said) = go_back(&service, &[]);
    assert!(code == Some(1) && said.contains("Say it with --yes"), "{said}");
    assert_eq!(ordered(&service), 0);

    // Nor where a credential is held to what the version before doesn't know.
    service.command(&["credential", "add", "tried", "--sender", "@example.net", "--test"]);
    let (code, said) = go_back(&service, &["--yes"]);
    assert!(code == Some(1) && said.contains("knows no test keys") && said.contains(": tried."), "{said}");
    assert_eq!(ordered(&service), 0);
    service.command(&["credential", "remove", "tried", "--yes"]);

    // A program of the same form needs none of it, and one of another is not served.
    let (code, said) = go_back(&service, &["--to", &VERSION.to_string()]);
    assert!(code == Some(0) && said.contains("nothing is to be done"), "{said}");
    let (code, said) = go_back(&service, &["--yes", "--to", &(BEFORE - 1).to_string()]);
    assert!(code == Some(1) && said.contains(&format!("to form {BEFORE}, and not to {}", BEFORE - 1)), "{said}");
    assert_eq!(ordered(&service), 0);

    let (code, said) = go_back(&service, &["--yes", "--json", "--to", &BEFORE.to_string()]);
    let told: Value = serde_json::from_str(&said).unwrap_or_else(|_| panic!("{said}"));
    assert_eq!((code, told), (Some(0), json!({ "from": VERSION, "to": BEFORE, "done": false })));
    // It serves to its end.
    assert_eq!(service.log_in(&secret).send("second"), 250);
    let log = service.end();
    assert!(log.contains("the database is that of the version before"), "{log}");
    assert_eq!(form(&service), (BEFORE, 2));
    assert!(
        !policy(&service).contains("\"test\"") && policy(&service).contains("@example.net"),
        "{}",
        policy(&service)
    );

    service.start_again();
    verify(&service, &[], SOUND);
    assert_eq!(ordered(&service), 1);
    // One start is one run: this one leaves it as it is.
    service.end();
    assert_eq!(form(&service), (VERSION, 2));

    // The same where no service runs.
    let (code, said) = go_back(&service, &["--yes"]);
    assert!(code == Some(0) && said.contains("which the version before opens"), "{said}");
    assert_eq!(form(&service), (BEFORE, 2));

    let sink = Sink::start(TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap(), Options::default());
    service.start_again();
    service.command(&["queue", "retry", "--route", "sink"]);
    for _ in 0..2 {
        sink.next(PATIENCE).unwrap_or_else(|| panic!("what waited is lost\n{}", service.log()));
    }
    verify(&service, &[], SOUND);
    assert_eq!(ordered(&service), 2);
    service.stop();
}
