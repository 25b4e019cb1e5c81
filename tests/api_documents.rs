//! Claims: what the HTTP gate says of itself is so, both ways. Its document is OpenAPI, every answer of the program has the form that
//! stands there, and there stands nothing that no answer gives. The examples of its page are run by tests/examples.rs.

mod support;

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::PathBuf;
use std::process::Command;

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use support::programs::{run, said};
use support::{PATIENCE, Service, Setting, free_port, processes};

/// What stands in the document and is given in other tests, by its place there, and the test.
const ELSEWHERE: [(&str, &str); 1] = [
    // Nobody has a history here that he could send more than.
    ("#/components/schemas/Limits/properties/suspended_seconds", "src/edge/http/limits.rs"),
];

fn root() -> PathBuf {
    std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it").into()
}

/// A service with a listener for everything.
fn service() -> (Service, u16) {
    let port = free_port();
    let more = format!(
        "[[listener]]\nname = \"all\"\naddress = [\"127.0.0.1:{port}\"]\nprotocol = \"http\"\n\
         serve = [\"v1\", \"ops\", \"send\", \"resend\", \"postmark\", \"usesend\"]\n"
    );
    (Service::start_with(&Setting { more, ..Setting::default() }), port)
}

fn key(service: &Service, name: &str, more: &[&str]) -> String {
    let added = service.command(&[&["credential", "add", name, "--sender", "@example.net"], more].concat());
    assert!(added.status.success(), "{}", said(&added));
    String::from_utf8(added.stdout).unwrap().lines().last().unwrap().to_owned()
}

/// Status, head and body of a request.
fn ask(port: u16, method: &str, path: &str, fields: &str, body: &str) -> (u16, String, String) {
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{fields}Content-Length: {length}\r\n\r\n{body}"
    );
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    let (head, body) = response.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{path}: {response}"));
    (head.split(' ').nth(1).unwrap().parse().unwrap(), head.to_ascii_lowercase(), body.to_owned())
}

fn document(port: u16) -> Value {
    let (status, head, body) = ask(port, "GET", "/openapi.json", "", "");
    assert_eq!(status, 200, "{head}");
    assert!(head.contains("content-type: application/json"), "{head}");
    serde_json::from_str(&body).unwrap()
}

/// What was asked and answered.
struct Talk {
    port: u16,
    exchanges: Vec<Value>,
}

impl Talk {
    /// Asks, at a path of the document with this in the place of its parameter, and keeps what it hears.
    fn ask(&mut self, (method, path, id): (&str, &str, &str), key: &str, fields: &str, asked: &Value) -> (u16, Value) {
        let body = match asked {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let kind = if asked.is_string() { "message/rfc822" } else { "application/json" };
        let (plain, query) = path.split_once('?').unwrap_or((path, ""));
        let target = format!("{}?{query}", plain.replace("{id}", id).replace("{name}", id));
        let fields = format!("Authorization: Bearer {key}\r\nContent-Type: {kind}\r\n{fields}");
        let (status, head, answer) =
            ask(self.port, &method.to_uppercase(), target.trim_end_matches('?'), &fields, &body);
        let names: Vec<&str> = head.lines().filter_map(|line| Some(line.split_once(':')?.0)).collect();
        let media = head.lines().find_map(|line| line.strip_prefix("content-type: ")).unwrap_or_default();
        let media = media.split(';').next().unwrap();
        let answer = match media.ends_with("json") && status != 304 {
            true => serde_json::from_str(&answer).unwrap_or_else(|_| panic!("{path}: {answer}")),
            false => Value::from(answer),
        };
        let asked = if asked.is_string() { &Value::Null } else { asked };
        self.exchanges.push(json!({
            "path": plain, "method": method, "asked": asked, "status": status, "media": media, "headers": names, "answer": answer,
        }));
        (status, answer)
    }

    /// The same, where it is taken.
    fn get(&mut self, to: (&str, &str, &str), key: &str, fields: &str, asked: &Value) -> Value {
        let (status, answer) = self.ask(to, key, fields, asked);
        assert!((200..300).contains(&status), "{to:?}: {status} {answer}");
        answer
    }
}

/// All operations of the document.
fn operations(document: &Value) -> Vec<(&str, &str, &Value)> {
    let paths = document["paths"].as_object().unwrap().iter();
    paths
        .flat_map(|(path, item)| {
            ["get", "post"].into_iter().filter_map(move |method| Some((method, &**path, item.get(method)?)))
        })
        .collect()
}

/// The bodies that the document has as examples of requests, and some that are refused.
fn bodies(operation: &Value) -> Vec<Value> {
    let Some(example) = operation["requestBody"]["content"]["application/json"].get("example") else {
        return vec![Value::Null];
    };
    let text = example.to_string();
    let stranger = text.replace("billing@example.net", "a@elsewhere.example");
    vec![example.clone(), serde_json::from_str(&stranger).unwrap(), json!({"unheard_of": 1}), json!([])]
}

/// Asks each operation what the document has as an example, and other things.
fn each(document: &Value, talk: &mut Talk, keys: &[&str]) {
    let (mut taken, mut kept) = (0, String::new());
    for (method, path, operation) in operations(document) {
        for asked in bodies(operation) {
            for key in keys {
                let (status, answer) = talk.ask((method, path, &kept.clone()), key, "", &asked);
                taken += u32::from(method == "post" && (200..300).contains(&status));
                if let (202, Some(id)) = (status, answer["id"].as_str()) {
                    kept = id.to_owned();
                }
            }
        }
    }
    // One of each that sends, and of what only tries.
    assert!(taken >= 8 && talk.exchanges.len() > 60, "{taken} of {}", talk.exchanges.len());
    let is_found = |one: &Value| one["path"] == "/v1/submissions/{id}" && one["status"] == 200;
    assert!(talk.exchanges.iter().any(is_found), "what became of {kept} was told");
}

#[test]
fn every_answer_has_the_form_that_the_document_says() {
    let (service, port) = service();
    let secret = service.add_credential();
    let document = document(port);
    let mut talk = Talk { port, exchanges: Vec::new() };
    each(&document, &mut talk, &[&secret, "gp_wrong"]);
    let faults = judged(&json!({"document": document, "exchanges": talk.exchanges}));
    assert_eq!(faults, "", "{faults}");
    // It would say so.
    let mut broken = talk.exchanges[0].clone();
    broken["answer"] = json!({"status": 5});
    let faults = judged(&json!({"document": {"openapi": "3.1.0"}, "exchanges": [broken]}));
    assert!(faults.contains("no OpenAPI document") && faults.lines().count() == 2, "{faults}");
    service.stop();
}

/// Asks for whatever else stands in the document.
fn all(service: &Service, document: &Value, talk: &mut Talk) {
    let scopes = ["--scope", "send", "--scope", "send_raw", "--scope", "admin", "--mask", "none"];
    let limits = ["--per-minute", "60000", "--bytes-per-day", "900000000", "--domain-per-minute", "60000"];
    let expires = ["--expires", "2099-01-01", "--recipient-deny", "@elsewhere.example", "--network", "127.0.0.0/8"];
    let key_of = |name: &str, more: &[&[&str]]| key(service, name, &more.concat());
    let all = key_of("all", &[&scopes, &limits, &expires]);
    let tests = key_of("tests", &[&["--test", "--mask", "none"]]);
    let slow = key_of("slow", &[&["--per-minute", "1", "--burst", "1"]]);
    // Whoever guesses keys is put off after some.
    each(document, talk, &[&all]);
    let letter = |more: Value| {
        let mut letter = json!({"from": "a@example.net", "to": "b@example.org", "subject": "One", "text": "One."});
        letter.as_object_mut().unwrap().append(&mut more.as_object().unwrap().clone());
        letter
    };
    let labels = json!({"tags": {"kind": "invoice"}, "metadata": {"order": "17"}});
    let later = json!({"scheduled_at": "2030-01-01T00:00:00Z"});
    let soon = support::programs::said(&run(Command::new("date").args(["-u", "-d", "+1 hour", "+%FT%TZ"]), ""));
    let soon = json!({"scheduled_at": soon.trim()});
    let (send, bulk, wait) = (("post", "/v1/send", ""), ("post", "/v1/send-bulk", ""), "Prefer: wait=10\r\n");
    let once = format!("Idempotency-Key: once\r\n{wait}");
    for _ in 0..2 {
        talk.get(send, &all, &once, &letter(labels.clone()));
    }
    talk.get(send, &all, "", &letter(json!({"cc": "b@example.org", "test": true})));
    talk.get(send, &all, wait, &letter(json!({"cc": "b@example.org", "test": true})));
    let scheduled = talk.get(send, &all, "", &letter(soon.clone()));
    talk.ask(send, &all, "Accept: application/problem+json\r\n", &letter(later));
    talk.get(bulk, &all, "", &json!({"messages": [letter(soon.clone()), letter(json!({"cc": "b@example.org"})), letter(json!({"to": "x@elsewhere.example"}))]}));
    talk.get(("post", "/v1/validate", ""), &all, "", &letter(json!({"cc": "b@example.org"})));
    // Of the two that a key may send at once, one is left over; then it is too much.
    talk.get(bulk, &slow, "", &json!({"messages": [letter(json!({})), letter(json!({}))]}));
    let (status, refused) = talk.ask(send, &slow, "Accept: application/problem+json\r\n", &letter(json!({})));
    assert_eq!((status, &refused["violated-policies"]), (429, &json!(["per_minute"])), "{refused}");
    let narrow = key_of("narrow", &[&["--domain-per-day", "1"]]);
    talk.get(send, &narrow, "", &letter(json!({})));
    let (status, refused) = talk.ask(send, &narrow, "Accept: application/problem+json\r\n", &letter(json!({})));
    assert_eq!((status, &refused["violated-policies"]), (429, &json!(["recipient-domain"])), "{refused}");
    assert_eq!(refused["type"], "https://iana.org/assignments/http-problem-types#quota-exceeded");
    let whole = "From: a@example.net\r\nTo: b@example.org\r\nSubject: Whole\r\n\r\nWhole.\r\n";
    let raw = ("post", "/v1/send-raw", "");
    talk.get(raw, &all, "Idempotency-Key: whole\r\n", &json!(whole));
    talk.get(raw, &all, wait, &json!(whole));
    let bounced = talk.get(send, &tests, wait, &letter(json!({"to": "bounced@sandbox.test"})));
    let deferred = talk.get(send, &tests, "", &letter(json!({"to": "deferred@sandbox.test"})));
    for (id, key) in [(&bounced, &tests), (&deferred, &tests), (&scheduled, &all)] {
        talk.get(("get", "/v1/submissions/{id}?wait=1", id["id"].as_str().unwrap()), key, "", &Value::Null);
    }
    talk.get(send, &tests, "Prefer: wait=1\r\n", &letter(json!({"to": "slow@sandbox.test"})));
    let slowly = whole.replace("b@example.org", "slow@sandbox.test");
    talk.get(raw, &tests, "Prefer: wait=1\r\n", &json!(slowly));
    let rotated = service.command(&["credential", "rotate", "tests", "--overlap", "1d"]);
    assert!(rotated.status.success(), "{}", said(&rotated));
    // Whatever knows a request again.
    for (method, path, operation) in operations(document) {
        let field = format!("Idempotency-Key: again:{path}\r\n");
        let asked = if path == raw.1 { json!(whole) } else { bodies(operation)[0].clone() };
        for field in [&field, &format!("{field}{wait}")] {
            if operation["parameters"].to_string().contains("/IdempotencyKey") {
                talk.get((method, path, ""), &all, field, &asked);
                talk.get((method, path, ""), &all, field, &asked);
            }
        }
    }
    let newest = talk.get(("get", "/v1/submissions", ""), &all, "", &Value::Null);
    let oldest = newest["data"].as_array().unwrap().last().unwrap()["id"].as_str().unwrap();
    talk.get(("get", &format!("/v1/submissions?limit=1&before={oldest}"), ""), &all, "", &Value::Null);
    talk.get(("get", "/v1/keys?limit=1&before=tests", ""), &all, "", &Value::Null);
    for key in [&all, &tests] {
        for path in ["/v1/submissions?limit=1", "/v1/submissions", "/v1/events?limit=1", "/v1/events", "/v1/limits"] {
            talk.get(("get", path, ""), key, "", &Value::Null);
        }
    }
    talk.get(("post", "/v1/submissions/{id}/cancel", scheduled["id"].as_str().unwrap()), &all, "", &Value::Null);
    talk.get(("get", "/v1/keys?limit=1", ""), &all, "", &Value::Null);
    talk.get(("get", "/v1/keys", ""), &all, "", &Value::Null);
    talk.get(("get", "/v1/keys/{id}", "all"), &all, "", &Value::Null);
    talk.get(("get", "/metrics", ""), &all, "Accept: application/openmetrics-text\r\n", &Value::Null);
    for path in ["/openapi.json", "/docs"] {
        talk.ask(("get", path, ""), &all, "If-None-Match: *\r\n", &Value::Null);
    }
    providers(talk, &all);
    // To whatever path: an expectation that nobody has.
    for (method, path, _) in operations(document) {
        talk.ask((method, path, "x"), &all, "Expect: more\r\n", &Value::Null);
    }
    // Nobody starts the vault again: whoever asks it is put off.
    processes::signal(service.pid(), Signal::SIGSTOP);
    processes::signal(processes::child(service.pid(), "vault"), Signal::SIGKILL);
    for (method, path, operation) in operations(document) {
        talk.ask((method, path, "x"), &all, "", &bodies(operation)[0]);
    }
    processes::signal(service.pid(), Signal::SIGCONT);
}

/// What the libraries of providers ask.
fn providers(talk: &mut Talk, key: &str) {
    let soon = support::programs::said(&run(Command::new("date").args(["-u", "-d", "+1 hour", "+%FT%TZ"]), ""));
    let resend = json!({"from": "a@example.net", "to": ["b@example.org"], "subject": "One", "text": "One.", "scheduled_at": soon.trim(),
        "cc": "c@example.org", "bcc": "d@example.org", "tags": [{"name": "kind", "value": "invoice"}]});
    let sent = talk.get(("post", "/emails", ""), key, "", &resend);
    let id = sent["id"].as_str().unwrap();
    talk.get(("get", "/emails/{id}", id), key, "", &Value::Null);
    talk.get(("get", "/emails?limit=1", ""), key, "", &Value::Null);
    talk.get(("post", "/emails/{id}/cancel", id), key, "", &Value::Null);
    let batch = json!([resend, {"from": "a@example.net", "to": "x", "subject": "One", "text": "One."}]);
    talk.get(("post", "/emails/batch", ""), key, "X-Batch-Validation: permissive\r\n", &batch);
    let letter = json!({"From": "a@example.net", "To": "b@example.org", "Cc": "c@example.org", "Tag": "invoice", "Subject": "One", "TextBody": "One."});
    let sent = talk.get(("post", "/email", ""), key, "", &letter);
    let id = sent["MessageID"].as_str().unwrap();
    talk.get(("get", "/messages/outbound/{id}/details", id), key, "", &Value::Null);
    talk.get(("get", "/messages/outbound?count=1&offset=0", ""), key, "", &Value::Null);
}

#[test]
fn nothing_stands_in_the_document_that_no_answer_gives() {
    let (mut service, port) = service();
    let document = document(port);
    let mut talk = Talk { port, exchanges: Vec::new() };
    all(&service, &document, &mut talk);
    for (place, test) in ELSEWHERE {
        assert!(root().join(test).exists(), "{place}: no {test}");
    }
    let elsewhere: Vec<&str> = ELSEWHERE.iter().map(|(place, _)| *place).collect();
    let faults = judged(&json!({"document": document, "exchanges": talk.exchanges, "elsewhere": elsewhere}));
    assert_eq!(faults, "", "{faults}");
    // One more member, and one more status, are found to be given by nothing; and so is what is given here after all.
    let mut more = document;
    more["components"]["schemas"]["Accepted"]["properties"]["unheard"] = json!({"type": "string"});
    more["paths"]["/v1/limits"]["get"]["responses"]["206"] = json!({"description": "Never."});
    let known = [&elsewhere[..], &["#/components/schemas/Accepted/properties/status"]].concat();
    let faults = judged(&json!({"document": more, "exchanges": talk.exchanges, "elsewhere": known}));
    let expected = [
        "nothing gives #/paths/~1v1~1limits/get/responses/206",
        "nothing gives #/components/schemas/Accepted/properties/unheard",
        "not elsewhere: #/components/schemas/Accepted/properties/status",
    ];
    assert_eq!(faults.lines().collect::<Vec<_>>(), expected);
    service.end();
}

/// What the readers of others find wrong.
fn judged(input: &Value) -> String {
    let modules = root().join("target/clients");
    let code = fs::read_to_string(root().join("tests/clients/openapi.mjs")).unwrap();
    let mut command = Command::new("node");
    command.current_dir(&modules).args(["--input-type=module", "-e", &code]);
    let output = run(&mut command, &input.to_string());
    assert!(output.status.success(), "{}\nall they need is installed by tools/test.sh", said(&output));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn whoever_has_the_page_is_not_sent_it_again() {
    let (service, port) = service();
    let (status, head, _) = ask(port, "GET", "/docs", "", "");
    assert_eq!(status, 200, "{head}");
    // A tag is as it is written.
    let request = "GET /docs HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let answer = service.http(request);
    let tag = answer.lines().find_map(|line| line.strip_prefix("etag: ")).unwrap();
    let (status, _, body) = ask(port, "GET", "/docs", &format!("If-None-Match: {tag}\r\n"), "");
    assert_eq!((status, body.as_str()), (304, ""));
    service.stop();
}
