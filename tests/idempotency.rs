//! Claims: a request over HTTP with an Idempotency-Key is done once, however often and from how many connections it is sent, over a
//! kill and a restart; another request with its key is refused; and one that came to nothing leaves its key free.

mod support;

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::sys::signal::Signal;
use support::{CREDENTIAL, PATIENCE, Service, Setting, processes};

/// Status, whether it was done before, and the body.
fn post(port: u16, secret: &str, key: &str, body: &str) -> Option<(u16, bool, serde_json::Value)> {
    post_to(port, "/v1/send", secret, key, body)
}

fn post_to(port: u16, path: &str, secret: &str, key: &str, body: &str) -> Option<(u16, bool, serde_json::Value)> {
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {secret}\r\nContent-Type: application/json\r\n\
         Idempotency-Key: {key}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(request.as_bytes()).ok()?;
    let mut response = String::new();
    stream.read_to_string(&mut response).ok()?;
    let (head, body) = response.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let head = head.to_ascii_lowercase();
    Some((status, head.contains("idempotency-replayed: true"), serde_json::from_str(body).ok()?))
}

fn letter(subject: &str) -> String {
    format!(r#"{{"from":"a@example.net","to":"b@example.org","subject":"{subject}","text":"hello"}}"#)
}

fn send(service: &Service, secret: &str, key: &str, body: &str) -> (u16, bool, serde_json::Value) {
    post(service.http, secret, key, body).expect("an answer")
}

/// How many messages the log says were accepted.
fn accepted(service: &Service) -> usize {
    let events = service.command(&["audit", "query", "--event", "msg.accept", "--json"]);
    String::from_utf8_lossy(&events.stdout).lines().count()
}

#[test]
fn a_request_is_done_once_from_however_many_connections_and_over_kills() {
    let mut service = Service::start();
    let secret = service.add_credential();
    let answers: Vec<_> = std::thread::scope(|scope| {
        let (port, secret) = (service.http, secret.as_str());
        let one = move || {
            // The same until it is known what comes of it.
            loop {
                let answer = post(port, secret, "order-17", &letter("once")).expect("an answer");
                if ![409, 503].contains(&answer.0) {
                    return answer;
                }
                let code = answer.2["code"].as_str().unwrap();
                // So many at once can be too many keys to check.
                assert!(["idempotency_in_progress", "store_unavailable"].contains(&code), "{code}");
            }
        };
        let all: Vec<_> = (0..16).map(|_| scope.spawn(one)).collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert!(answers.iter().all(|answer| answer.0 == 202), "{answers:?}");
    let ids: BTreeSet<_> = answers.iter().map(|answer| answer.2["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!((ids.len(), answers.iter().filter(|answer| !answer.1).count()), (1, 1));
    assert_eq!(answers[0].2, answers[1].2, "the same body");
    service.sink.next(PATIENCE).expect("it arrives");

    processes::signal(processes::child(service.pid(), "vault"), Signal::SIGKILL);
    let answers = || post(service.http, &secret, "order-17", &letter("once")).is_some_and(|answer| answer.0 == 202);
    support::await_that("another vault", answers);
    service.kill_all();
    service.start_again();
    let (status, is_repeated, body) = send(&service, &secret, "\"order-17\"", &letter("once"));
    assert_eq!((status, is_repeated, body["id"].as_str()), (202, true, ids.first().map(String::as_str)));
    assert_eq!(accepted(&service), 1);
    service.stop();
}

/// What a client does that doesn't give up.
fn insist(port: u16, secret: &str, key: &str) -> String {
    let mut last = None;
    for _ in 0..3000 {
        match post(port, secret, key, &letter(key)) {
            Some((202, _, body)) => return body["id"].as_str().unwrap().to_owned(),
            other @ (Some((409 | 429 | 503, _, _)) | None) => last = other,
            Some(other) => panic!("{other:?}"),
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("never taken: {key}: {last:?}");
}

#[test]
fn whoever_insists_while_vaults_and_edges_are_killed_is_done_once_and_once_only() {
    const CLIENTS: usize = 4;
    const KILLED: [&str; 7] = ["vault", "edge", "vault", "edge", "vault", "edge", "vault"];
    // By default a vault that falls so often stays down.
    let service = Service::start_with(&Setting { limits: "vault_deaths = 100".into(), ..Setting::default() });
    let secret = service.add_credential();
    let is_over = AtomicBool::new(false);
    let ids: Vec<String> = std::thread::scope(|scope| {
        let (port, secret, pid, is_over) = (service.http, secret.as_str(), service.pid(), &is_over);
        let one = move |client: usize| {
            let keys = (0..).map(move |n| format!("key-{client}-{n}"));
            keys.take_while(|_| !is_over.load(Ordering::Relaxed))
                .map(|key| insist(port, secret, &key))
                .collect::<Vec<_>>()
        };
        let clients: Vec<_> = (0..CLIENTS).map(|client| scope.spawn(move || one(client))).collect();
        let mut dice = support::dice::Dice::for_test("idempotency");
        for title in KILLED {
            std::thread::sleep(Duration::from_millis(50 + dice.below(150)));
            if let Some(pid) = processes::children(pid).get(title) {
                processes::signal(*pid, Signal::SIGKILL);
            }
        }
        is_over.store(true, Ordering::Relaxed);
        clients.into_iter().flat_map(|one| one.join().unwrap()).collect()
    });
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len());
    support::await_that("a log with each of them once", || accepted(&service) == ids.len());
    service.stop();
}

#[test]
fn a_key_is_free_after_a_refusal_at_the_end_and_goes_with_its_credential() {
    let service = Service::start();
    let secret = service.add_credential();
    let done = |words: &[&str]| {
        let output = service.command(words);
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    done(&["suppress", "add", "b@example.org"]);
    for _ in 0..2 {
        let (status, _, refused) = send(&service, &secret, "k", &letter("x"));
        assert_eq!((status, refused["errors"][0]["code"].as_str()), (400, Some("suppressed")), "{refused}");
    }
    done(&["suppress", "remove", "b@example.org"]);
    let (status, is_repeated, first) = send(&service, &secret, "k", &letter("x"));
    assert_eq!((status, is_repeated), (202, false), "{first}");
    // The key of another is another key.
    let other = done(&["credential", "add", "other", "--sender", "@example.net"]);
    let other = other.lines().last().unwrap().to_owned();
    let (status, is_repeated, second) = send(&service, &other, "k", &letter("x"));
    assert!(status == 202 && !is_repeated && first["id"] != second["id"], "{second}");
    // Whoever gets its name has nothing of what it did.
    done(&["credential", "remove", CREDENTIAL, "--queue", "drop", "--yes"]);
    let secret = service.add_credential();
    let (status, is_repeated, third) = send(&service, &secret, "k", &letter("x"));
    assert!(status == 202 && !is_repeated && first["id"] != third["id"], "{third}");
    service.stop();
}

#[test]
fn a_batch_is_known_whole() {
    let more = format!(
        "[[listener]]\nname = \"resend\"\nprotocol = \"http\"\naddress = [\"127.0.0.1:{}\"]\nserve = [\"resend\", \"usesend\"]\n",
        support::free_port()
    );
    let service = Service::start_with(&Setting { more: more.clone(), ..Setting::default() });
    let port = more.split_once("127.0.0.1:").unwrap().1.split('"').next().unwrap().parse().unwrap();
    let secret = service.add_credential();
    let batch = |path: &str, subjects: &[&str]| {
        let letters: Vec<String> = subjects.iter().map(|subject| letter(subject)).collect();
        post_to(port, path, &secret, "k", &format!("[{}]", letters.join(","))).expect("an answer")
    };
    let first = batch("/emails/batch", &["a", "b"]);
    assert_eq!((first.0, first.1, first.2["data"].as_array().unwrap().len()), (200, false, 2));
    let again = batch("/emails/batch", &["a", "b"]);
    assert_eq!((again.0, again.1, &again.2), (200, true, &first.2));
    for other in [&["a"][..], &["a", "b", "c"], &["b", "a"], &["x", "y", "z"]] {
        let (status, _, refused) = batch("/emails/batch", other);
        assert_eq!((status, refused["name"].as_str()), (409, Some("invalid_idempotent_request")), "{other:?}");
        let (status, _, refused) = batch("/api/v1/emails/batch", other);
        assert_eq!((status, refused["error"]["code"].as_str()), (409, Some("NOT_UNIQUE")), "{other:?}");
    }
    assert_eq!(accepted(&service), 2);
    service.stop();
}

#[test]
fn another_request_with_its_key_is_refused_and_what_came_to_nothing_leaves_its_key_free() {
    let service = Service::start_with(&Setting { more: "[limits.global]\nper_day = 2".into(), ..Setting::default() });
    let secret = service.add_credential();
    let bad = r#"{"from":"ceo@example.com","to":"b@example.org","subject":"x","text":"hello"}"#;
    assert_eq!(send(&service, &secret, "k", bad).0, 403);
    let (status, is_repeated, first) = send(&service, &secret, "k", &letter("x"));
    assert_eq!((status, is_repeated), (202, false), "{first}");
    // The order of members is nobody's matter.
    let same = r#"{"text":"hello","subject":"x","to":["b@example.org"],"from":{"email":"a@example.net"}}"#;
    let (status, is_repeated, again) = send(&service, &secret, "k", same);
    assert_eq!((status, is_repeated, &again), (202, true, &first));
    let (status, _, refused) = send(&service, &secret, "k", &letter("y"));
    assert_eq!((status, refused["code"].as_str()), (422, Some("idempotency_mismatch")));
    assert_eq!(send(&service, &secret, "two words", &letter("x")).0, 400);
    // What is repeated takes nothing of a limit: one is left of two, and then none.
    assert_eq!(send(&service, &secret, "l", &letter("y")).0, 202);
    assert_eq!(send(&service, &secret, "m", &letter("z")).0, 429);
    assert_eq!(
        (send(&service, &secret, "k", &letter("x")).0, send(&service, &secret, "m", &letter("z")).0),
        (202, 429)
    );
    service.stop();
}
