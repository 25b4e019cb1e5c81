//! Claims: what the HTTP gate says of itself is so. Its document is OpenAPI, and every answer of the program has the form that stands
//! there. The examples of its page are run by tests/examples.rs.

mod support;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};
use support::programs::{run, said};
use support::{PATIENCE, Service, Setting, free_port};

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
    (head.split(' ').nth(1).unwrap().parse().unwrap(), head.to_owned(), body.to_owned())
}

fn document(port: u16) -> Value {
    let (status, head, body) = ask(port, "GET", "/openapi.json", "", "");
    assert_eq!(status, 200, "{head}");
    assert!(head.to_ascii_lowercase().contains("content-type: application/json"), "{head}");
    serde_json::from_str(&body).unwrap()
}

/// The bodies that the document has as examples of requests, and some that are refused.
fn bodies(operation: &Value) -> Vec<Value> {
    let Some(example) = operation["requestBody"]["content"]["application/json"].get("example") else {
        return vec![Value::Null];
    };
    let text = example.to_string();
    let ours = text.replace("billing@example.net", "a@example.net").replace("ann@example.org", "b@example.org");
    let stranger = text.replace("billing@example.net", "a@elsewhere.example");
    vec![
        serde_json::from_str(&ours).unwrap(),
        serde_json::from_str(&stranger).unwrap(),
        json!({"unheard_of": 1}),
        json!([]),
    ]
}

#[test]
fn every_answer_has_the_form_that_the_document_says() {
    let (service, port) = service();
    let secret = service.add_credential();
    let document = document(port);
    let (mut exchanges, mut taken, mut kept) = (Vec::new(), 0, String::new());
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in ["get", "post"] {
            let Some(operation) = item.get(method) else { continue };
            // The others have no JSON.
            if ["/v1/send-raw", "/metrics", "/docs", "/openapi.json"].contains(&path.as_str()) {
                continue;
            }
            for asked in bodies(operation) {
                let body = if asked.is_null() { String::new() } else { asked.to_string() };
                for key in [&*secret, "gp_wrong"] {
                    let fields = format!("Authorization: Bearer {key}\r\nContent-Type: application/json\r\n");
                    let (status, _, answer) =
                        ask(port, &method.to_uppercase(), &path.replace("{id}", &kept), &fields, &body);
                    taken += u32::from(method == "post" && (200..300).contains(&status));
                    let answer: Value = serde_json::from_str(&answer).unwrap_or_else(|_| panic!("{path}: {answer}"));
                    if let (202, Some(id)) = (status, answer["id"].as_str()) {
                        kept = id.to_owned();
                    }
                    exchanges.push(
                        json!({"path": path, "method": method, "asked": asked, "status": status, "answer": answer}),
                    );
                }
            }
        }
    }
    // One of each that sends, and of what only tries.
    assert!(taken >= 8 && exchanges.len() > 60, "{taken} of {}", exchanges.len());
    let is_found = |one: &Value| one["path"] == "/v1/submissions/{id}" && one["status"] == 200;
    assert!(exchanges.iter().any(is_found), "what became of {kept} was told");
    let faults = judged(&json!({"document": document, "exchanges": exchanges}));
    assert_eq!(faults, "", "{faults}");
    // It would say so.
    let mut broken = exchanges[0].clone();
    broken["answer"] = json!({"status": 5});
    let faults = judged(&json!({"document": {"openapi": "3.1.0"}, "exchanges": [broken]}));
    assert!(faults.contains("no OpenAPI document") && faults.lines().count() == 2, "{faults}");
    service.stop();
}

/// What the readers of others find wrong.
fn judged(input: &Value) -> String {
    let modules = root().join("target/clients");
    let code = std::fs::read_to_string(root().join("tests/clients/openapi.mjs")).unwrap();
    let mut command = Command::new("node");
    command.current_dir(&modules).args(["--input-type=module", "-e", &code]);
    output_of(command, &input.to_string())
}

fn output_of(mut command: Command, input: &str) -> String {
    let output = run(&mut command, input);
    assert!(output.status.success(), "{}\nall they need is installed by tools/test.sh", said(&output));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn whoever_has_the_page_is_not_sent_it_again() {
    let (service, port) = service();
    let (status, head, _) = ask(port, "GET", "/docs", "", "");
    assert_eq!(status, 200, "{head}");
    let tag = head.lines().find_map(|line| line.strip_prefix("etag: ")).unwrap();
    let (status, _, body) = ask(port, "GET", "/docs", &format!("If-None-Match: {tag}\r\n"), "");
    assert_eq!((status, body.as_str()), (304, ""));
    service.stop();
}
