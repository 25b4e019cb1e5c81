//! Claims: over HTTP a message leaves when its client wants it to, and not before; and one that its client wrote whole goes as it stands.

mod support;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use support::{PATIENCE, Service};

/// Status and body.
fn post(service: &Service, secret: &str, path: &str, fields: &str, body: &[u8]) -> (u16, Value) {
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {secret}\r\n{fields}Content-Length: {}\r\n\
         Connection: close\r\n\r\n",
        body.len()
    );
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, service.http)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(&[head.as_bytes(), body].concat()).unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    let (head, body) = response.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), serde_json::from_str(body).unwrap())
}

const JSON: &str = "Content-Type: application/json\r\n";

fn letter(subject: &str) -> Value {
    json!({"from": "a@example.net", "to": "b@example.org", "subject": subject, "text": "hello"})
}

#[test]
fn what_is_to_leave_later_leaves_later_and_holds_nothing_up() {
    let service = Service::start();
    let secret = service.add_credential();
    let due = jiff::Timestamp::now() + Duration::from_secs(4);
    let mut later = letter("later");
    later["scheduled_at"] = due.to_string().into();
    let (status, answer) = post(&service, &secret, "/v1/send", JSON, later.to_string().as_bytes());
    assert_eq!((status, answer["scheduled_at"].as_str()), (202, Some(due.to_string().as_str())), "{answer}");
    let (status, answer) = post(&service, &secret, "/v1/send", JSON, letter("at once").to_string().as_bytes());
    assert_eq!(status, 202, "{answer}");
    let sooner = service.sink.next(PATIENCE).expect("it arrives");
    assert!(String::from_utf8_lossy(&sooner.content).contains("Subject: at once"));
    let received = service.sink.next(PATIENCE).expect("it is released");
    assert!(String::from_utf8_lossy(&received.content).contains("Subject: later"));
    assert!(received.at >= SystemTime::from(due), "{:?} before {due}", received.at);

    // Beyond the 72 hours of a listener that says nothing.
    later["scheduled_at"] = (due + Duration::from_secs(73 * 3600)).to_string().into();
    let (status, answer) = post(&service, &secret, "/v1/send", JSON, later.to_string().as_bytes());
    assert_eq!((status, answer["errors"][0]["code"].as_str()), (400, Some("scheduled_too_late")), "{answer}");
    service.stop();
}

#[test]
fn a_clients_own_names_for_a_request_stand_beside_ours_in_the_log() {
    let service = Service::start();
    let secret = service.add_credential();
    let known = "X-Request-Id: job-17\r\ntraceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n";
    let fields = format!("{JSON}{known}");
    let (status, answer) = post(&service, &secret, "/v1/send", &fields, letter("known").to_string().as_bytes());
    assert_eq!(status, 202, "{answer}");
    assert!(answer["request_id"].as_str().unwrap().starts_with("req_"), "ours is ours: {answer}");
    let (status, _) = post(&service, &secret, "/v1/send", &fields, b"{}");
    assert_eq!(status, 400);
    let log = service.log();
    for said in ["INFO accepted ", "INFO refused "] {
        let line = log.lines().find(|line| line.contains(said)).unwrap_or_else(|| panic!("{said}\n{log}"));
        for field in ["client_request_id=job-17", "trace_id=0af7651916cd43dd8448eb211c80319c"] {
            assert!(line.replace('"', "").contains(field), "{line}");
        }
    }
    service.stop();
}

#[test]
fn a_whole_message_arrives_octet_by_octet_below_our_received_field() {
    let service = Service::start();
    let secret = service.add_credential();
    let header = "From: a@example.net\r\nTo: b@example.org\r\nDate: Thu, 26 Nov 2026 09:00:00 +0000\r\n\
                  Message-ID: <1@shop.example>\r\nSubject:   folded\r\n\todd \r\n";
    let message =
        [header.as_bytes(), b"\r\n.dot\r\n..\r\n.\r\nMAIL FROM:<x@example.com>\r\n\xff\xfe 8-bit \t\r\n\r\n"].concat();
    let (status, answer) = post(&service, &secret, "/v1/send-raw", "Content-Type: message/rfc822\r\n", &message);
    assert_eq!((status, answer["message_id"].as_str()), (202, Some("<1@shop.example>")), "{answer}");
    let received = service.sink.next(PATIENCE).expect("it arrives");
    assert_eq!(
        (received.sender.as_str(), &received.recipients[..]),
        ("a@example.net", &["b@example.org".to_owned()][..])
    );
    let (ours, below) = received.content.split_at(received.content.len() - message.len());
    assert_eq!(String::from_utf8_lossy(below), String::from_utf8_lossy(&message));
    assert!(below == message && ours.starts_with(b"Received: from localhost (address not shown)\r\n"));
    assert_eq!(
        ours.split(|octet| *octet == b'\n').filter(|line| line.contains(&b':') && !line.starts_with(b"\t")).count(),
        1
    );
    service.stop();
}

#[test]
fn a_key_may_send_by_the_paths_of_its_scopes_alone() {
    let service = Service::start();
    let add = |id: &str, scope: &str| {
        let made = service.command(&["credential", "add", id, "--sender", "@example.net", "--scope", scope, "--json"]);
        let made: Value = serde_json::from_slice(&made.stdout).unwrap();
        made["secret"].as_str().unwrap().to_owned()
    };
    let message = b"From: a@example.net\r\nTo: b@example.org\r\nSubject: whole\r\n\r\nx\r\n";
    for (scope, statuses) in [("send", [202, 403]), ("send_raw", [403, 202]), ("smtp", [403, 403])] {
        let secret = add(&scope.replace('_', "-"), scope);
        let (written, _) = post(&service, &secret, "/v1/send", JSON, letter("x").to_string().as_bytes());
        let (whole, _) = post(&service, &secret, "/v1/send-raw", "Content-Type: message/rfc822\r\n", message);
        assert_eq!([written, whole], statuses, "{scope}");
    }
    let refused = service.command(&["audit", "query", "--event", "msg.reject", "--json"]);
    let refused = String::from_utf8(refused.stdout).unwrap();
    assert_eq!(refused.matches("\"scope\"").count(), 4, "{refused}");
    service.stop();
}

#[test]
fn many_messages_come_in_one_request_and_leave_one_by_one_and_once() {
    const FULL: usize = 100;
    let mut service = Service::start();
    let secret = service.add_credential();
    let mut messages: Vec<Value> = (0..FULL).map(|n| letter(&format!("bulk {n}"))).collect();
    messages[7]["from"] = "a@elsewhere.example".into();
    let body = json!({ "messages": messages }).to_string();
    let fields = format!("{JSON}Idempotency-Key: invoices\r\n");
    let (status, answer) = post(&service, &secret, "/v1/send-bulk?atomic=true", &fields, body.as_bytes());
    assert_eq!((status, answer["errors"][0]["pointer"].as_str()), (403, Some("/messages/7/from")), "{answer}");
    let (status, answer) = post(&service, &secret, "/v1/send-bulk", &fields, body.as_bytes());
    assert_eq!(
        (status, answer["accepted"].as_u64(), answer["rejected"].as_u64()),
        (202, Some(99), Some(1)),
        "{answer}"
    );
    assert_eq!(answer["results"][7]["code"], "forbidden_sender");
    let again = post(&service, &secret, "/v1/send-bulk", &fields, body.as_bytes());
    assert_eq!((again.0, &again.1["results"]), (202, &answer["results"]));
    let sent = (0..FULL).filter(|n| *n != 7).map(|n| format!("bulk {n}"));
    service.await_arrival(sent.collect());
    service.kill_all();
    service.start_again();
    let again = post(&service, &secret, "/v1/send-bulk", &fields, body.as_bytes());
    assert_eq!((again.0, &again.1["results"]), (202, &answer["results"]));
    let accepted = service.command(&["audit", "query", "--event", "msg.accept", "--json", "--limit", "1000"]);
    assert_eq!(String::from_utf8(accepted.stdout).unwrap().lines().count(), FULL - 1);
    service.stop();
}
