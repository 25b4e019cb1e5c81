//! What comes through, octet for octet: heads and bodies that two programs could read differently.

use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::time::timeout;

use super::GOOD;
use super::house::{House, KEY, Ways};

/// A request with these fields and this body, and a key that would be served.
fn send(line: &str, fields: &str, body: &str) -> String {
    format!("{line}\r\n{fields}Authorization: Bearer {KEY}\r\nContent-Type: application/json\r\n\r\n{body}")
}

/// The status of each response to this, whether each had a request id, and whether the connection ended.
async fn heard(raw: &str) -> (Vec<String>, bool, bool) {
    let mut house = House::new(Ways::default());
    house.client.say(raw).await;
    let mut all = Vec::new();
    let ended = timeout(Duration::from_secs(30), house.client.stream.read_to_end(&mut all)).await.is_ok();
    let all = String::from_utf8(all).unwrap();
    let statuses: Vec<_> = all.split("HTTP/1.1 ").skip(1).map(|response| response[..3].to_owned()).collect();
    let named = all.matches("x-request-id: req_").count() == statuses.len();
    (statuses, named, ended)
}

#[tokio::test(start_paused = true)]
async fn requests_of_two_meanings_are_refused_and_their_connection_ends() {
    const POST: &str = "POST /v1/send HTTP/1.1";
    const HOST: &str = "Host: gate\r\n";
    let n = GOOD.len();
    let length = format!("{HOST}Content-Length: {n}\r\n");
    let chunked = format!("{HOST}Transfer-Encoding: chunked\r\n");
    let chunk = format!("{n:x}\r\n{GOOD}\r\n0\r\n");
    let cases = [
        ("no Host", send(POST, &format!("Content-Length: {n}\r\n"), GOOD)),
        ("two Hosts", send(POST, &format!("{HOST}{length}"), GOOD)),
        ("a Host that is none", send(POST, &length.replace("gate", "a b"), GOOD)),
        ("a Host with a user", send(POST, &length.replace("gate", "c@d"), GOOD)),
        ("another host in the target", send("POST http://evil/v1/send HTTP/1.1", &length, GOOD)),
        ("an octet beyond ASCII in the path", send("POST /v1/s\u{e9}nd HTTP/1.1", &length, GOOD)),
        ("two codings", send(POST, &chunked.replace("chunked", "gzip, chunked"), &format!("{chunk}\r\n"))),
        ("chunked twice", send(POST, &format!("{chunked}{}", &chunked[HOST.len()..]), &format!("{chunk}\r\n"))),
        ("a line feed alone between chunks", send(POST, &chunked, &format!("{n:x}\n{GOOD}\n0\n\n"))),
        ("a long chunk extension", send(POST, &chunked, &format!("1;{}\r\n", "e".repeat(20_000)))),
        ("2000 trailers", send(POST, &chunked, &format!("{chunk}{}\r\n", "T: v\r\n".repeat(2000)))),
    ];
    for (what, raw) in cases {
        assert_eq!(heard(&raw).await, (vec!["400".to_owned()], true, true), "{what}");
    }
}

/// hyper answers these itself, and its answers have no body and no request id.
#[tokio::test(start_paused = true)]
async fn what_hyper_refuses_never_reaches_the_vault_and_ends_the_connection() {
    let n = GOOD.len();
    let post = |fields: &str| send("POST /v1/send HTTP/1.1", &format!("Host: gate\r\n{fields}"), GOOD);
    let cases = [
        ("a length with a sign", post(&format!("Content-Length: +{n}\r\n")), "400"),
        ("two lengths", post(&format!("Content-Length: {n}\r\nContent-Length: 1\r\n")), "400"),
        ("a coding that is none", post("Transfer-Encoding: identity\r\n"), "400"),
        ("a carriage return alone", post("X: a\rb\r\n"), "400"),
        ("a folded field", post("X: a\r\n b\r\n"), "400"),
        ("a space before the colon", post("X : a\r\n"), "400"),
        ("a NUL", post("X: a\0b\r\n"), "400"),
        ("too many fields", post(&"X: y\r\n".repeat(70)), "431"),
        ("a field that is too long", post(&format!("X: {}\r\n", "y".repeat(20_000))), "431"),
    ];
    for (what, raw, status) in cases {
        assert_eq!(heard(&raw).await, (vec![status.to_owned()], false, true), "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn pipelined_requests_are_answered_one_by_one() {
    let one = send("POST /v1/send HTTP/1.1", &format!("Host: gate\r\nContent-Length: {}\r\n", GOOD.len()), GOOD);
    assert_eq!(heard(&format!("{one}{one}{one}")).await.0, ["202"; 3]);
}
