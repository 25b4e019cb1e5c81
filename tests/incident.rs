//! Claims: one command stops a credential that is misused, holds its mail, gives it up where that is wanted, and says who already got
//! what; of a message or a session another tells all that is known; and neither does anything that nobody has agreed to.

mod support;

use gatepost::sink::Options;
use serde_json::Value;
use support::{CREDENTIAL, Service, Setting, await_that, programs};

/// An upstream that has nothing against `b`, and puts everybody else off.
fn slow() -> Options {
    let refuse = vec![("slow".to_owned(), "451 4.2.1 greylisted".to_owned())];
    Options { refuse, ..Options::default() }
}

fn send(service: &Service, secret: &str, recipients: &[&str]) {
    let mut session = service.log_in(secret);
    assert_eq!(session.say("MAIL FROM:<a@example.net>"), 250);
    for recipient in recipients {
        assert_eq!(session.say(&format!("RCPT TO:<{recipient}>")), 250);
    }
    assert_eq!(session.say("DATA"), 354);
    assert_eq!(session.say("From: a@example.net\r\nSubject: offer\r\n\r\nthe body\r\n."), 250);
}

fn object(service: &Service, words: &[&str]) -> (Option<i32>, Value) {
    let done = service.command(words);
    let object = serde_json::from_slice(&done.stdout).unwrap_or_else(|_| panic!("{}", programs::said(&done)));
    (done.status.code(), object)
}

fn events(service: &Service, name: &str) -> Vec<Value> {
    let output = service.command(&["audit", "query", "--event", name, "--json"]);
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_credential_is_stopped_its_mail_held_and_given_up_and_who_got_what_is_told() {
    let more = "\n[spool]\nretry = [\"1h\"]\n".to_owned();
    let service = Service::start_with(&Setting { sink: slow, more, ..Setting::default() });
    let secret = service.add_credential();
    send(&service, &secret, &["b@example.org", "slow@example.org"]);
    send(&service, &secret, &["c@example.org"]);
    await_that("what became of all", || {
        events(&service, "deliver.success").len() == 2 && events(&service, "deliver.defer").len() == 1
    });
    let mut session = service.log_in(&secret);

    // Nobody has agreed: nothing is changed.
    let asked = service.command(&["incident", CREDENTIAL]);
    let said = programs::said(&asked);
    assert!(asked.status.code() == Some(1) && said.contains("Say it with --yes"), "{said}");
    let (code, looked) = object(&service, &["incident", CREDENTIAL, "--look", "--json"]);
    assert_eq!((code, &looked["contained"]), (Some(0), &Value::Null), "{looked}");
    assert_eq!((looked["delivered"].as_array().unwrap().len(), &looked["accepted"]["recipients"]), (2, &3.into()));
    assert_eq!(session.say("MAIL FROM:<a@example.net>"), 250);
    assert_eq!(session.say("RSET"), 250);

    let words = ["incident", CREDENTIAL, "--yes", "--reason", "leaked key, ticket 4711", "--json"];
    let (code, done) = object(&service, &words);
    assert_eq!((code, &done["contained"]["disabled"]), (Some(0), &true.into()), "{done}");
    assert!(done.as_object().unwrap().contains_key("unseen") && done["unseen"].is_null(), "{done}");
    assert_eq!((&done["contained"]["held"]["messages"], &done["contained"]["purged"]), (&1.into(), &Value::Null));
    assert!(done["next"].to_string().contains("what is held: "), "{done}");
    assert_ne!(session.say("MAIL FROM:<a@example.net>"), 250, "open sessions can do no more");
    assert_eq!(service.connect().secure(&support::smtp::trusting(&service.pair)).log_in(&secret), 535);
    let opened = events(&service, "incident.opened");
    assert_eq!((opened.len(), &opened[0]["account"]), (1, &CREDENTIAL.into()));
    assert_eq!(opened[0]["data"]["note"], "leaked key, ticket 4711");
    let got = done["delivered"].as_array().unwrap();
    assert!(got.iter().all(|one| one["recipient"].as_str().unwrap().ends_with("@example.org")), "{got:?}");
    assert!(!done.to_string().contains("b@example.org"), "recipients are masked: {done}");

    let shown = service.command(&["incident", CREDENTIAL, "--yes", "--purge", "--clear"]);
    let text = String::from_utf8(shown.stdout.clone()).unwrap();
    assert!(shown.status.success(), "{}", programs::said(&shown));
    assert!(text.contains("given up    1 messages to 1 recipients") && text.contains(" b@example.org\n"), "{text}");
    assert!(!text.contains(" slow@example.org\n"), "who is held has nothing: {text}");
    assert!(!text.contains("what is held: "), "nothing is, and so nothing is to be looked at: {text}");
    await_that("the drop", || events(&service, "queue.drop").len() == 1);

    // What it says comes next lets nobody in who has the old secret.
    let next = done["next"].to_string();
    for words in [vec!["rotate", CREDENTIAL], vec!["rotate", CREDENTIAL, "--finish"], vec!["enable", CREDENTIAL]] {
        assert!(next.contains(&format!("gatepost credential {}", words.join(" "))), "{next}");
        // Whoever types it is asked.
        let yes: &[&str] = if words.contains(&"--finish") { &["--yes"] } else { &[] };
        let output = service.command(&[&["credential"][..], &words, yes].concat());
        assert!(output.status.success(), "{}", programs::said(&output));
    }
    assert_eq!(service.connect().secure(&support::smtp::trusting(&service.pair)).log_in(&secret), 535);

    // Of one of the messages: what happened, in order.
    let message = got[0]["message"].as_str().unwrap();
    all_but_what_a_reader_holds_up(&service, message);
    let (code, trail) = object(&service, &["incident", message, "--json"]);
    let names: Vec<&str> =
        trail["events"].as_array().unwrap().iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert_eq!((code, &trail["kind"], names[0]), (Some(0), &"message".into(), "msg.accept"), "{trail}");
    assert!(names.contains(&"deliver.success"), "{names:?}");
    let session = trail["sessions"][0].as_str().unwrap();
    let meant = service.command(&["incident", session, "--purge", "--yes"]);
    assert!(
        meant.status.code() == Some(1) && programs::said(&meant).contains("queue drop"),
        "nothing is given up by it"
    );
    let shown = service.command(&["incident", session]);
    let text = String::from_utf8(shown.stdout).unwrap();
    assert!(text.starts_with(&format!("session     {session}\n")) && text.contains(" auth.success "), "{text}");
    assert!(text.contains(message), "{text}");
}

/// Where the newest events can't be read, what was found is told, and that it is not all.
fn all_but_what_a_reader_holds_up(service: &Service, message: &str) {
    let file = service.folder.path().join("state/audit/audit.db");
    let reader = rusqlite::Connection::open(file).unwrap();
    reader.execute_batch("BEGIN").unwrap();
    reader.query_row("SELECT count(*) FROM event", [], |_| Ok(())).unwrap();
    for words in [&["incident", CREDENTIAL, "--yes", "--json"][..], &["incident", message, "--json"]] {
        let (code, told) = object(service, words);
        let unseen = told["unseen"].as_str().unwrap_or_default();
        assert!(code == Some(1) && unseen.contains("are not in the auditors' files yet"), "{code:?}: {told}");
        assert!(told["contained"].is_null() || told["contained"]["disabled"] == true, "{told}");
    }
    drop(reader);
    let (code, told) = object(service, &["incident", CREDENTIAL, "--look", "--json"]);
    assert_eq!((code, &told["unseen"]), (Some(0), &Value::Null), "{told}");
}

#[test]
fn who_is_not_there_is_told_so_and_one_of_the_file_is_held_and_not_disabled() {
    let hash = Service::start();
    let made = hash.command(&["incident", "nobody", "--yes"]);
    let said = programs::said(&made);
    assert!(made.status.code() == Some(1) && said.contains("there is no credential \"nobody\""), "{said}");
    let odd = hash.command(&["incident", "no body", "--yes"]);
    assert!(programs::said(&odd).contains("is no credential, and nothing is known of"), "{}", programs::said(&odd));
    hash.add_credential();
    let look = hash.command(&["incident", "testr", "--look"]);
    let said = programs::said(&look);
    assert_eq!(look.status.code(), Some(1), "a name that is nobody's has no all clear: {said}");
    assert!(said.contains("did you mean \"tester\"?") && !said.contains("a new secret"), "{said}");
    // Nobody is asked to confirm what can't be.
    let gone = hash.command(&["incident", "0199e2a4-0000-7000-8000-000000000000"]);
    let said = programs::said(&gone);
    assert!(
        gone.status.code() == Some(1) && said.contains("there is no credential") && !said.contains("disables"),
        "{said}"
    );
    assert!(events(&hash, "incident.opened").is_empty());
    drop(hash);

    let more =
        "[[credential]]\nid = \"filed\"\nsenders = [\"@example.net\"]\nidentified_by = [\"192.0.2.7\"]\nlimits = { per_day = 9 }\n".to_owned();
    let service = Service::start_with(&Setting { more, ..Setting::default() });
    let (code, done) = object(&service, &["incident", "filed", "--yes", "--json"]);
    assert_eq!((code, &done["contained"]["disabled"]), (Some(1), &false.into()), "{done}");
    assert!(done["contained"]["reason"].as_str().unwrap().contains("stands in the configuration file"), "{done}");
    assert_eq!(events(&service, "incident.opened").len(), 1);
}
