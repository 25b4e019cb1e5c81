//! Claim: the libraries that services give to their customers send through the gate once they have another base address and
//! another key. What they send arrives whole; what is refused, they raise as their own error.

mod support;

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use gatepost::sink::Received;
use serde_json::{Value, json};
use support::programs::{run, said};
use support::{CREDENTIAL, PATIENCE, Service, Setting, free_port};

/// SHA-256 of the two files that the scripts attach: 3000 octets, and what begins as a picture does.
const FILE: &str = "7291514d2492fd7ff49e10ba7df95d19d31d199b89d74bcb62cebdee1bc1a498";
const PICTURE: &str = "320bd18ca9559e3b54e1cbe84ad0bac7b660478bb4922cd1b7a5f93cdd12b882";

/// A key that nobody has.
const WRONG: &str = "gp_live_wrong";

fn root() -> PathBuf {
    std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it").into()
}

/// A gate with all surfaces, and the port where they are.
fn service() -> (Service, u16) {
    let port = free_port();
    let more = format!(
        "[[listener]]\nname = \"sdks\"\naddress = [\"127.0.0.1:{port}\"]\nprotocol = \"http\"\n\
         serve = [\"v1\", \"resend\", \"postmark\", \"usesend\"]\n"
    );
    (Service::start_with(&Setting { more, ..Setting::default() }), port)
}

/// Runs a library's script against the gate. Gives its calls, each with what came of it.
fn calls(mut command: Command, library: &str, port: u16, secret: &str) -> Vec<Value> {
    command.arg(library).arg(port.to_string()).arg(root().join("tests/clients/letter.json"));
    let output = run(&mut command, secret);
    assert!(output.status.success(), "{library}: {}", said(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"))).collect()
}

fn node() -> Command {
    let modules = root().join("target/clients/node_modules");
    assert!(modules.join("resend").is_dir(), "resend is not in {}: run tools/test.sh", modules.display());
    let mut command = Command::new("node");
    command.arg(root().join("tests/clients/sdk.cjs")).env("NODE_PATH", modules);
    command
}

fn python() -> Command {
    let modules = root().join("target/clients/python");
    assert!(modules.join("resend").is_dir(), "resend is not in {}: run tools/test.sh", modules.display());
    let mut command = Command::new("python3");
    command.arg(root().join("tests/clients/sdk.py")).env("PYTHONPATH", modules).env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

fn arrives(service: &Service, library: &str) -> Received {
    let received = service.sink.next(PATIENCE);
    let received = received.unwrap_or_else(|| panic!("{library}: nothing arrived\n{}", service.log()));
    assert_eq!(received.sender, "a@example.net", "{library}");
    received
}

/// What Python's reader of mail has for a message.
fn parts(received: &Received) -> Value {
    let mut command = Command::new("python3");
    command.arg(root().join("tests/clients/parts.py"));
    let text = String::from_utf8(received.content.clone()).unwrap();
    let output = run(&mut command, &text);
    assert!(output.status.success(), "{}", said(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// What the library's call with this name came to: ids, and an error.
fn of<'c>(calls: &'c [Value], call: &str) -> (&'c Value, &'c Value) {
    let found = calls.iter().find(|one| one["call"] == call).unwrap_or_else(|| panic!("{call} is not in {calls:#?}"));
    (&found["ids"], &found["error"])
}

/// What the library's call with this name gave.
fn found<'c>(calls: &'c [Value], call: &str) -> &'c Value {
    let found = calls.iter().find(|one| one["call"] == call).unwrap_or_else(|| panic!("{call} is not in {calls:#?}"));
    &found["found"]
}

/// A key of a credential that is told of whole addresses.
fn open_key(service: &Service) -> String {
    let key = service.add_credential();
    let set = service.command(&["credential", "set", CREDENTIAL, "--mask", "none"]);
    assert!(set.status.success(), "{}", said(&set));
    key
}

/// The message with all members, part by part. useSend's library gives files neither a type nor an id.
fn is_whole(received: &Received, library: &str) {
    assert_eq!(
        received.recipients,
        ["b@example.org", "c@example.org", "d@example.org", "hidden@example.org"],
        "{library}"
    );
    let letter: Value =
        serde_json::from_slice(&std::fs::read(root().join("tests/clients/letter.json")).unwrap()).unwrap();
    let seen = parts(received);
    assert_eq!(seen["defects"], json!([]), "{library}");
    assert_eq!(seen["from"], json!([letter["sender"]]), "{library}");
    assert_eq!(seen["to"], letter["to"], "{library}");
    assert_eq!((&seen["cc"], &seen["bcc"]), (&json!([letter["cc"]]), &json!([])), "{library}");
    assert_eq!(seen["reply_to"], json!([letter["reply_to"]]), "{library}");
    assert_eq!((&seen["subject"], &seen["campaign"]), (&letter["subject"], &letter["header"][1]), "{library}");
    let text = |kind: &str, text: &Value| json!({"type": kind, "shown": null, "name": null, "id": null, "text": text, "sha256": null});
    let file = |kind: &str, shown: &str, name: &Value, id: Value, sha256: &str| json!({"type": kind, "shown": shown, "name": name, "id": id, "text": null, "sha256": sha256});
    let octets = "application/octet-stream";
    let texts = [text("text/plain", &letter["text"]), text("text/html", &letter["html"])];
    let zaehler = file(octets, "attachment", &letter["file"], Value::Null, FILE);
    let files = if library == "usesend" {
        [zaehler, file(octets, "attachment", &letter["picture"], Value::Null, PICTURE)]
    } else {
        [file("image/png", "inline", &letter["picture"], json!("<logo>"), PICTURE), zaehler]
    };
    assert_eq!(seen["parts"], json!([&texts[..], &files[..]].concat()), "{library}");
}

/// The messages that a library's script gets sent: one, one with all members, and those of batches. They leave in any order.
fn they_arrive(service: &Service, library: &str, batches: &[&str]) {
    let all: Vec<Received> = (0..batches.len() + 2).map(|_| arrives(service, library)).collect();
    let (full, plain): (Vec<_>, Vec<_>) = all.iter().partition(|received| received.recipients.len() > 1);
    assert_eq!(full.len(), 1, "{library}");
    is_whole(full[0], library);
    for received in &plain {
        let seen = parts(received);
        assert_eq!((&seen["subject"], &seen["parts"][0]["text"]), (&json!("simple"), &json!("simple\n")), "{library}");
    }
    let mut got: Vec<&str> = plain.iter().flat_map(|received| &received.recipients).map(String::as_str).collect();
    got.sort_unstable();
    assert_eq!(got, [&["b@example.org"], batches].concat(), "{library}");
    assert!(service.sink.next(Duration::from_millis(300)).is_none(), "{library}: more arrived than was accepted");
}

/// So many ids that look like ids.
fn has_ids(ids: &Value, number: usize) -> bool {
    let ids = ids.as_array().unwrap();
    ids.len() == number && ids.iter().all(|id| id.as_str().is_some_and(|id| id.parse::<uuid::Uuid>().is_ok()))
}

/// Whether what was to leave in an hour is to leave in two.
fn has_another_hour(calls: &[Value]) -> bool {
    let time = |call: &str| found(calls, call)["scheduled_at"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    let moved = time("updated").as_second() - time("later").as_second();
    found(calls, "updated")["last_event"] == "scheduled" && (3540..3660).contains(&moved)
}

/// What a library makes of calls that are refused: nothing was kept, and this is its error.
fn are_refused(calls: &[Value], library: &str, expected: &[(&str, Value)]) {
    for (call, error) in expected {
        let (ids, raised) = of(calls, call);
        assert!(has_ids(ids, 0) && raised == error, "{library}: {call}: {raised}");
    }
}

#[test]
fn resend_for_node_sends_and_raises_its_own_errors() {
    let (service, port) = service();
    are_refused(&calls(node(), "resend", port, WRONG), "resend", &[("simple", json!([403, "invalid_api_key"]))]);
    let calls = calls(node(), "resend", port, &open_key(&service));
    assert!(has_ids(of(&calls, "simple").0, 1) && has_ids(of(&calls, "all").0, 1), "{calls:#?}");
    assert!(has_ids(of(&calls, "batch").0, 2) && has_ids(of(&calls, "batch that forgives").0, 1), "{calls:#?}");
    let expected = [
        ("batch with a bad one", json!([422, "validation_error"])),
        ("bad address", json!([422, "validation_error"])),
        ("bad sender", json!([403, "validation_error"])),
        ("unknown", json!([404, "not_found"])),
        ("unknown cancel", json!([404, "not_found"])),
        ("unknown update", json!([404, "not_found"])),
        ("update too far", json!([422, "validation_error"])),
        ("late update", json!([409, "validation_error"])),
    ];
    are_refused(&calls, "resend", &expected);
    let letter: Value =
        serde_json::from_slice(&std::fs::read(root().join("tests/clients/letter.json")).unwrap()).unwrap();
    let one = found(&calls, "get");
    assert_eq!((&one["id"], &one["subject"]), (&of(&calls, "all").0[0], &letter["subject"]), "{one}");
    assert_eq!((&one["to"], &one["cc"]), (&json!(["b@example.org", "c@example.org"]), &json!(["d@example.org"])));
    assert_eq!((&one["bcc"], &one["from"]), (&json!(["hidden@example.org"]), &json!("a@example.net")));
    assert_eq!(one["tags"], json!([{"name": "campaign", "value": "spring"}]));
    assert!(["queued", "sent"].iter().any(|event| one["last_event"] == *event), "{one}");
    let list = found(&calls, "list");
    assert_eq!((&list["has_more"], list["data"].as_array().unwrap().len()), (&json!(true), 2), "{list}");
    assert_eq!(found(&calls, "later")["last_event"], "scheduled");
    assert!(found(&calls, "later")["scheduled_at"].is_string() && has_ids(of(&calls, "cancel").0, 1));
    assert!(has_ids(of(&calls, "update").0, 1) && has_another_hour(&calls), "{calls:#?}");
    assert_eq!(found(&calls, "canceled")["last_event"], "canceled");
    they_arrive(&service, "resend", &["b@example.org", "b@example.org", "c@example.org"]);
    service.stop();
}

#[test]
fn resend_for_python_sends_and_raises_its_own_errors() {
    let (service, port) = service();
    are_refused(
        &calls(python(), "resend", port, WRONG),
        "resend",
        &[("simple", json!(["InvalidApiKeyError", 403, "invalid_api_key"]))],
    );
    let calls = calls(python(), "resend", port, &open_key(&service));
    assert!(has_ids(of(&calls, "simple").0, 1) && has_ids(of(&calls, "all").0, 1), "{calls:#?}");
    assert!(has_ids(of(&calls, "batch").0, 2), "{calls:#?}");
    let expected = [
        ("batch with a bad one", json!(["ValidationError", 422, "validation_error"])),
        ("bad address", json!(["ValidationError", 422, "validation_error"])),
        ("bad sender", json!(["ResendError", 403, "validation_error"])),
        ("unknown", json!(["ResendError", 404, "not_found"])),
        ("late update", json!(["ResendError", 409, "validation_error"])),
    ];
    are_refused(&calls, "resend", &expected);
    let later = found(&calls, "later");
    assert_eq!((&later["last_event"], &later["to"]), (&json!("scheduled"), &json!(["b@example.org"])), "{later}");
    assert_eq!(later["tags"], json!([{"name": "kind", "value": "later"}]));
    assert_eq!((&of(&calls, "cancel").0[0], &of(&calls, "update").0[0]), (&later["id"], &later["id"]));
    assert!(has_another_hour(&calls), "{calls:#?}");
    let list = &found(&calls, "list")["data"];
    assert_eq!((&list[0]["id"], &list[0]["last_event"]), (&later["id"], &json!("canceled")), "{list}");
    they_arrive(&service, "resend", &["b@example.org", "c@example.org"]);
    service.stop();
}

#[test]
fn postmark_for_node_sends_and_raises_its_own_errors() {
    let (service, port) = service();
    are_refused(
        &calls(node(), "postmark", port, WRONG),
        "postmark",
        &[("simple", json!([401, "InvalidAPIKeyError", 10]))],
    );
    let calls = calls(node(), "postmark", port, &open_key(&service));
    assert!(has_ids(of(&calls, "simple").0, 1) && has_ids(of(&calls, "all").0, 1), "{calls:#?}");
    assert!(has_ids(of(&calls, "batch").0, 2) && has_ids(of(&calls, "test").0, 1), "{calls:#?}");
    let (ids, error) = of(&calls, "batch that forgives");
    assert!(has_ids(ids, 1) && *error == json!([300, "Invalid 'To' address: 'nobody'."]), "{ids} {error}");
    assert_eq!(*of(&calls, "server").1, Value::Null);
    let expected = [
        ("bad address", json!([422, "InvalidEmailRequestError", 300])),
        ("bad sender", json!([422, "ApiInputError", 400])),
        ("template", json!([422, "ApiInputError", 1101])),
        ("unknown", json!([422, "ApiInputError", 701])),
        ("search for more", json!([422, "InvalidEmailRequestError", 300])),
    ];
    are_refused(&calls, "postmark", &expected);
    let one = found(&calls, "details");
    assert_eq!((&one["MessageID"], &one["Tag"]), (&of(&calls, "all").0[0], &json!("spring")), "{one}");
    assert_eq!(one["Recipients"], json!(["b@example.org", "c@example.org", "d@example.org", "hidden@example.org"]));
    assert_eq!((&one["To"][0]["Email"], &one["Cc"][0]["Email"]), (&json!("b@example.org"), &json!("d@example.org")));
    assert_eq!((&one["Metadata"], &one["From"]), (&json!({"number": "17"}), &json!("a@example.net")));
    assert!(["Queued", "Sent"].iter().any(|status| one["Status"] == *status), "{one}");
    let search = found(&calls, "search");
    assert_eq!(
        (&search["TotalCount"], &search["Messages"][0]["MessageID"]),
        (&json!(1), &one["MessageID"]),
        "{search}"
    );
    let page = found(&calls, "page");
    assert_eq!((&page["TotalCount"], page["Messages"].as_array().unwrap().len()), (&json!(4), 2), "{page}");
    they_arrive(&service, "postmark", &["b@example.org", "b@example.org", "c@example.org"]);
    service.stop();
}

#[test]
fn postmarker_for_python_sends_and_raises_its_own_errors() {
    let (service, port) = service();
    are_refused(&calls(python(), "postmarker", port, WRONG), "postmarker", &[("simple", json!(["ClientError", 10]))]);
    let calls = calls(python(), "postmarker", port, &service.add_credential());
    assert!(has_ids(of(&calls, "simple").0, 1) && has_ids(of(&calls, "all").0, 1), "{calls:#?}");
    assert!(has_ids(of(&calls, "batch").0, 2), "{calls:#?}");
    let expected = [("bad address", json!(["ClientError", 300])), ("bad sender", json!(["ClientError", 400]))];
    are_refused(&calls, "postmarker", &expected);
    they_arrive(&service, "postmarker", &["b@example.org", "c@example.org"]);
    service.stop();
}

#[test]
fn usesend_for_node_sends_and_gives_its_own_errors() {
    let (service, port) = service();
    are_refused(&calls(node(), "usesend", port, WRONG), "usesend", &[("simple", json!(["FORBIDDEN"]))]);
    let calls = calls(node(), "usesend", port, &service.add_credential());
    assert!(has_ids(of(&calls, "simple").0, 1) && has_ids(of(&calls, "all").0, 1), "{calls:#?}");
    assert!(has_ids(of(&calls, "batch").0, 2), "{calls:#?}");
    let expected = [
        ("bad address", json!(["BAD_REQUEST"])),
        ("bad sender", json!(["FORBIDDEN"])),
        ("unknown", json!(["NOT_FOUND"])),
    ];
    are_refused(&calls, "usesend", &expected);
    they_arrive(&service, "usesend", &["b@example.org", "c@example.org"]);
    service.stop();
}

/// Each of whom it went to has this status, and an id.
fn each_is(recipients: &Value, status: &str, number: usize) -> bool {
    let recipients = recipients.as_object().unwrap();
    let sound = |one: &Value| one[0] == status && has_ids(&json!([one[1]]), 1);
    recipients.len() == number && recipients.values().all(sound)
}

#[test]
fn anymail_sends_by_resend_and_by_postmark() {
    for (library, status) in [("anymail-resend", "queued"), ("anymail-postmark", "sent")] {
        let (service, port) = service();
        let strange = calls(python(), library, port, WRONG);
        assert_eq!(of(&strange, "simple").1[0], "AnymailRequestsAPIError", "{library}: {strange:#?}");
        let calls = calls(python(), library, port, &service.add_credential());
        assert!(each_is(of(&calls, "simple").0, status, 1), "{library}: {calls:#?}");
        assert!(each_is(of(&calls, "all").0, status, 4), "{library}: {calls:#?}");
        assert!(each_is(of(&calls, "batch").0, status, 2), "{library}: {calls:#?}");
        let (refused, error) = of(&calls, "bad address");
        assert!(!error.is_null() && has_ids(refused, 0), "{library}: {calls:#?}");
        assert_eq!(of(&calls, "bad sender").1[0], "AnymailRequestsAPIError", "{library}: {calls:#?}");
        they_arrive(&service, library, &["b@example.org", "c@example.org"]);
        service.stop();
    }
}

#[test]
fn limits_and_the_suppression_list_are_raised_as_their_own_too() {
    let (service, port) = service();
    let secret = service.add_credential();
    let command = |words: &[&str]| {
        let output = service.command(words);
        assert!(output.status.success(), "{}", said(&output));
    };
    command(&["suppress", "add", "b@example.org"]);
    let postmark = calls(node(), "postmark", port, &secret);
    are_refused(&postmark, "postmark", &[("simple", json!([422, "InactiveRecipientsError", 406]))]);
    let anymail = calls(python(), "anymail-postmark", port, &secret);
    let error = &of(&anymail, "simple").1[0];
    assert_eq!(error, "AnymailRecipientsRefused", "{anymail:#?}");
    let anymail = calls(python(), "anymail-postmark-two", port, &secret);
    let two = of(&anymail, "to two").0;
    assert_eq!(
        (&two["b@example.org"][0], &two["c@example.org"][0]),
        (&json!("rejected"), &json!("sent")),
        "{anymail:#?}"
    );
    command(&["suppress", "remove", "b@example.org"]);

    command(&["credential", "set", CREDENTIAL, "--per-minute", "1", "--burst", "1"]);
    let limited = |calls: &[Value], library: &str, error: Value| are_refused(calls, library, &[("all", error)]);
    limited(&calls(python(), "resend", port, &secret), "resend", json!(["RateLimitError", 429, "rate_limit_exceeded"]));
    let resend = calls(node(), "resend", port, &secret);
    limited(&resend, "resend", json!([429, "rate_limit_exceeded"]));
    let left = |call: &str| resend.iter().find(|one| one["call"] == call).unwrap()["left"].clone();
    assert_eq!((&left("all")[0], &left("all")[1]), (&json!("1"), &json!("0")), "{resend:#?}");
    let reset: u32 = left("all")[2].as_str().unwrap().parse().unwrap();
    assert!((1..=60).contains(&reset), "{reset}");
    assert_eq!(left("bad sender")[1], "0", "a refusal that no limit is the reason of says it, too");
    limited(&calls(node(), "postmark", port, &secret), "postmark", json!([429, "RateLimitExceededError", 429]));
    limited(&calls(node(), "usesend", port, &secret), "usesend", json!(["RATE_LIMITED"]));
    service.stop();
}
