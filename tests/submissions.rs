//! Claim: whoever has sent a message over HTTP can ask what became of it, until seven days after its end, and nobody else can.

mod support;

use gatepost::sink::{Fault, Options, Phase};
use serde_json::Value;
use support::{PATIENCE, Service, Setting, await_that};

/// Asks with a key; the status and the body.
fn ask(service: &Service, key: &str, line: &str, fields: &str, body: &str) -> (u16, Value) {
    let length = body.len();
    let response = service.http(&format!(
        "{line} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\nConnection: close\r\n{fields}\
         Content-Length: {length}\r\n\r\n{body}"
    ));
    let (head, body) = response.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), serde_json::from_str(body).unwrap_or_default())
}

/// Sends a letter to these, and gives its id.
fn send(service: &Service, key: &str, to: &[&str]) -> String {
    let letter = serde_json::json!({ "from": "a@example.net", "to": to, "subject": "x", "text": "hi" }).to_string();
    let (status, body) = ask(service, key, "POST /v1/send", "Content-Type: application/json\r\n", &letter);
    assert_eq!(status, 202, "{body}\n{}", service.log());
    body["request_id"].as_str().unwrap().to_owned()
}

fn get(service: &Service, key: &str, id: &str) -> (u16, Value) {
    ask(service, key, &format!("GET /v1/submissions/{id}"), "", "")
}

/// Waits until it stands so.
fn await_status(service: &Service, key: &str, id: &str, status: &str) -> Value {
    let mut found = Value::Null;
    await_that(status, || {
        found = get(service, key, id).1;
        found["status"] == status
    });
    found
}

#[test]
fn what_became_of_a_message_is_told_to_its_sender_and_to_nobody_else() {
    let mut service = Service::start();
    let key = service.add_credential();
    let other = service.command(&["credential", "add", "other", "--sender", "@example.net"]);
    let other = String::from_utf8(other.stdout).unwrap().lines().last().unwrap().to_owned();

    let id = send(&service, &key, &["b@example.org"]);
    service.sink.next(PATIENCE).expect("it arrives");
    let found = await_status(&service, &key, &id, "smtp_accepted");
    assert_eq!((&found["request_id"], &found["recipient_count"]), (&Value::from(id.as_str()), &1.into()));
    assert_eq!(found["recipients"][0]["address"], "***@example.org", "it stands as auditors see it");
    assert!(found["updated_at"].is_string() && found["code"].is_null(), "{found}");
    let (status, uuid) = get(&service, &key, found["id"].as_str().unwrap());
    assert_eq!((status, &uuid), (200, &found));

    let (status, body) = get(&service, &other, &id);
    assert_eq!((status, &body["code"]), (404, &"submission_not_found".into()), "{body}");
    let (unknown, word) = get(&service, &other, "req_01M7W6C3BVFMWVRF8Z5A5NRVBY");
    assert_eq!((unknown, &word["message"]), (404, &body["message"]));

    service.end();
    service.restart();
    assert_eq!(get(&service, &key, &id).1["status"], "smtp_accepted");
    service.stop();
}

#[test]
fn what_is_put_off_or_refused_is_told_with_the_upstreams_code() {
    let deferring = || Options { faults: vec![Fault::say(Phase::Rcpt, "451 4.2.0 not today")], ..Options::default() };
    let service = Service::start_with(&Setting { sink: deferring, ..Setting::default() });
    let key = service.add_credential();
    let id = send(&service, &key, &["b@example.org"]);
    let found = await_status(&service, &key, &id, "deferred");
    let one = &found["recipients"][0];
    assert_eq!((&one["status"], &one["code"], &one["attempts"]), (&"deferred".into(), &"4.2.0".into(), &1.into()));
    assert!(one["next_attempt_at"].is_string() && found["updated_at"].is_null(), "{found}");
    service.stop();

    let refusing = || Options { faults: vec![Fault::say(Phase::Rcpt, "550 5.1.1 b has left")], ..Options::default() };
    let service = Service::start_with(&Setting { sink: refusing, ..Setting::default() });
    let key = service.add_credential();
    assert!(service.command(&["credential", "set", support::CREDENTIAL, "--mask", "none"]).status.success());
    let id = send(&service, &key, &["b@example.org"]);
    let found = await_status(&service, &key, &id, "smtp_failed");
    let one = &found["recipients"][0];
    assert_eq!((&found["code"], &one["code"]), (&"smtp_rejected".into(), &"5.1.1".into()), "{found}");
    assert_eq!((&one["address"], &one["next_attempt_at"]), (&"b@example.org".into(), &Value::Null));
    assert!(
        one["reply"].as_str().unwrap().starts_with("550 ") && one["reply"].as_str().unwrap().ends_with("b has left"),
        "{one}"
    );
    service.stop();
}

/// The order to take a message back.
fn cancel(service: &Service, key: &str, id: &str) -> (u16, Value) {
    ask(service, key, &format!("POST /v1/submissions/{id}/cancel"), "", "")
}

#[test]
fn who_waits_hears_of_the_end_when_it_comes_and_a_failure_is_no_error() {
    let refusing = || Options { faults: vec![Fault::say(Phase::Rcpt, "550 5.1.1 b has left")], ..Options::default() };
    for (sink, status) in [(Options::default as fn() -> Options, "smtp_accepted"), (refusing, "smtp_failed")] {
        let mut service = Service::start_with(&Setting { sink, ..Setting::default() });
        let key = service.add_credential();
        let letter =
            serde_json::json!({ "from": "a@example.net", "to": "b@example.org", "subject": "x", "text": "hi" });
        let fields = "Content-Type: application/json\r\nPrefer: wait=25\r\nIdempotency-Key: order-17\r\n";
        for _ in 0..2 {
            // The second time it is known.
            let (code, body) = ask(&service, &key, "POST /v1/send", fields, &letter.to_string());
            assert_eq!((code, &body["status"]), (200, &status.into()), "{body}\n{}", service.log());
            assert_eq!(body["counts"]["waiting"], 0, "{body}");
            let id = body["id"].as_str().unwrap().to_owned();
            let (_, found) = get(&service, &key, &format!("{id}?wait=25"));
            assert_eq!((&found["status"], &found["wait"]), (&status.into(), &"ended".into()));
        }
        let (_, listed) = ask(&service, &key, &format!("GET /v1/submissions?status={status}"), "", "");
        assert_eq!((listed["data"].as_array().unwrap().len(), &listed["has_more"]), (1, &false.into()), "{listed}");
        // Nobody tries it again: it had its end before the answer.
        service.end();
        service.restart();
        let (_, listed) = ask(&service, &key, "GET /v1/submissions", "", "");
        assert_eq!(listed["data"][0]["status"], status);
        service.stop();
    }
}

#[test]
fn what_is_scheduled_is_taken_back_and_never_sent_and_another_key_sees_nothing_of_it() {
    let service = Service::start();
    let key = service.add_credential();
    let other = service.command(&["credential", "add", "other", "--sender", "@example.net"]);
    let other = String::from_utf8(other.stdout).unwrap().lines().last().unwrap().to_owned();
    let soon = jiff::Timestamp::now() + std::time::Duration::from_secs(8);
    let letter = serde_json::json!({
        "from": "a@example.net", "to": "b@example.org", "subject": "x", "text": "hi", "scheduled_at": soon.to_string()
    });
    let (code, body) = ask(&service, &key, "POST /v1/send", "Content-Type: application/json\r\n", &letter.to_string());
    assert_eq!(code, 202, "{body}");
    let id = body["request_id"].as_str().unwrap();
    let foreign = cancel(&service, &other, id);
    let unknown = cancel(&service, &other, "req_01M7W6C3BVFMWVRF8Z5A5NRVBY");
    assert_eq!((foreign.0, &foreign.1["message"]), (404, &unknown.1["message"]));
    let (_, listed) = ask(&service, &other, &format!("GET /v1/submissions?before={id}&limit=1"), "", "");
    assert_eq!(listed["data"], serde_json::json!([]), "{listed}");
    let (code, done) = cancel(&service, &key, id);
    assert_eq!((code, &done["status"]), (200, &"canceled".into()), "{done}\n{}", service.log());
    assert_eq!(cancel(&service, &key, id), (200, done), "the same again");

    let sent = send(&service, &key, &["c@example.org"]);
    let arrived = service.sink.next(PATIENCE).expect("it arrives");
    assert_eq!(arrived.recipients, ["c@example.org"]);
    await_status(&service, &key, &sent, "smtp_accepted");
    let (code, late) = cancel(&service, &key, &sent);
    assert_eq!((code, &late["code"]), (409, &"not_cancelable".into()), "{late}");
    while jiff::Timestamp::now() < soon + std::time::Duration::from_secs(2) {
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
    assert!(service.sink.next(std::time::Duration::from_secs(1)).is_none(), "its time has come, and nobody gets it");
    service.stop();
}

#[test]
fn what_a_client_says_of_a_message_and_what_happened_to_it_is_told_to_it_alone_over_a_restart() {
    let refusing = || Options { faults: vec![Fault::say(Phase::Rcpt, "550 5.1.1 nobody")], ..Options::default() };
    let mut service = Service::start_with(&Setting { sink: refusing, ..Setting::default() });
    let key = service.add_credential();
    let other = service.command(&["credential", "add", "other", "--sender", "@example.net"]);
    let other = String::from_utf8(other.stdout).unwrap().lines().last().unwrap().to_owned();
    let letter = serde_json::json!({
        "from": "a@example.net", "to": "b@example.org", "subject": "x", "text": "hi",
        "tags": { "kind": "invoice" }, "metadata": { "order": "17" },
    });
    let fields = "Content-Type: application/json\r\nIdempotency-Key: order-17\r\n";
    let (status, sent) = ask(&service, &key, "POST /v1/send", fields, &letter.to_string());
    assert_eq!(status, 202, "{sent}");
    let id = sent["request_id"].as_str().unwrap();
    let mut changed = letter.clone();
    changed["metadata"]["order"] = "18".into();
    let (mismatch, word) = ask(&service, &key, "POST /v1/send", fields, &changed.to_string());
    assert_eq!((mismatch, &word["code"]), (422, &"idempotency_mismatch".into()), "they are a part of the message");

    let found = await_status(&service, &key, id, "smtp_failed");
    let tags = serde_json::json!([{ "name": "kind", "value": "invoice" }]);
    assert_eq!((&found["tags"], &found["metadata"]["order"]), (&tags, &"17".into()), "{found}");
    assert_eq!((&found["surface"], &found["message_id"]), (&"v1".into(), &sent["message_id"]));
    for _ in 0..2 {
        let list = |key: &str, query: &str| ask(&service, key, &format!("GET /v1/submissions?{query}"), "", "").1;
        for query in ["tag=kind", "tag=kind:invoice"] {
            assert_eq!(list(&key, query)["data"][0]["request_id"], id, "{query}");
            assert_eq!(list(&other, query)["data"], serde_json::json!([]), "{query}");
        }
        assert_eq!(list(&key, "tag=kind:bill")["data"], serde_json::json!([]));
        let events = |key: &str, query: &str| ask(&service, key, &format!("GET /v1/events{query}"), "", "").1;
        let all = events(&key, "");
        let one = &all["data"][0];
        assert_eq!((&one["type"], &one["data"]["request_id"]), (&"email.bounced".into(), &id.into()), "{all}");
        assert_eq!((&one["data"]["to"][0], &one["data"]["reply"]["code"]), (&"***@example.org".into(), &550.into()));
        assert_eq!(
            (&one["data"]["tags"]["kind"], &one["data"]["metadata"]["order"]),
            (&"invoice".into(), &"17".into())
        );
        assert_eq!((all["data"].as_array().unwrap().len(), &all["has_more"]), (1, &false.into()), "{all}");
        let next = all["next_after"].as_str().unwrap();
        assert_eq!(events(&key, &format!("?after={next}"))["data"], serde_json::json!([]));
        for query in [String::new(), format!("?submission={id}")] {
            assert_eq!(events(&other, &query)["data"], serde_json::json!([]), "another key's");
        }
        service.end();
        service.restart();
    }
    service.stop();
}
