//! What comes through, octet for octet: heads and bodies that two programs could read differently.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::GOOD;
use super::house::{House, KEY, Ways};
use crate::config::slice::Serve;

/// A request with these fields and this body, and a key that would be served.
fn send(line: &str, fields: &str, body: &str) -> String {
    format!("{line}\r\n{fields}Authorization: Bearer {KEY}\r\nContent-Type: application/json\r\n\r\n{body}")
}

/// The status of each response to this, whether each had a request id, and whether the connection ended.
async fn heard(raw: &str) -> (Vec<String>, bool, bool) {
    heard_in(&mut House::new(Ways::default()), raw).await
}

async fn heard_in(house: &mut House, raw: &str) -> (Vec<String>, bool, bool) {
    house.client.say(raw).await;
    let mut all = Vec::new();
    let ended = timeout(Duration::from_secs(30), house.client.stream.read_to_end(&mut all)).await.is_ok();
    let all = String::from_utf8(all).unwrap();
    let statuses: Vec<_> = all.split("HTTP/1.1 ").skip(1).map(|response| response[..3].to_owned()).collect();
    let named = all.matches("x-request-id: req_").count() == statuses.len();
    (statuses, named, ended)
}

#[tokio::test(start_paused = true)]
async fn rule_w5_requests_of_two_meanings_are_refused_and_their_connection_ends() {
    const POST: &str = "POST /v1/send HTTP/1.1";
    const HOST: &str = "Host: gate\r\n";
    let n = GOOD.len();
    let length = format!("{HOST}Content-Length: {n}\r\n");
    let chunked = format!("{HOST}Transfer-Encoding: chunked\r\n");
    let chunk = format!("{n:x}\r\n{GOOD}\r\n0\r\n");
    let cases = [
        ("a length that stands twice", send(POST, &format!("{length}{}", &length[HOST.len()..]), GOOD)),
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

#[tokio::test(start_paused = true)]
async fn rule_w5_what_is_no_request_is_answered_in_the_form_of_all_errors_and_never_reaches_the_vault() {
    let n = GOOD.len();
    let post = |fields: &str| send("POST /v1/send HTTP/1.1", &format!("Host: gate\r\n{fields}"), GOOD);
    let cases = [
        ("a length with a sign", post(&format!("Content-Length: +{n}\r\n")), "400"),
        ("two lengths", post(&format!("Content-Length: {n}\r\nContent-Length: 1\r\n")), "400"),
        ("a length twice", post(&format!("Content-Length: {n}\r\nContent-Length: {n}\r\n")), "400"),
        ("a coding that is none", post("Transfer-Encoding: identity\r\n"), "400"),
        ("a coding and a length", post(&format!("Content-Length: {n}\r\nTransfer-Encoding: chunked\r\n")), "400"),
        ("a carriage return alone", post("X: a\rb\r\n"), "400"),
        ("line feeds alone", post(&format!("Content-Length: {n}\r\n")).replace("\r\n", "\n"), "400"),
        ("a folded field", post("X: a\r\n b\r\n"), "400"),
        ("a space before the colon", post("X : a\r\n"), "400"),
        ("a NUL", post("X: a\0b\r\n"), "400"),
        ("too many fields", post(&"X: y\r\n".repeat(70)), "431"),
        ("a field that is too long", post(&format!("X: {}\r\n", "y".repeat(20_000))), "431"),
        ("a long target", send(&format!("GET /{} HTTP/1.1", "a".repeat(70_000)), "", ""), "414"),
        ("another protocol", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".into(), "400"),
        ("no method of ours", send("CONNECT / HTTP/1.1", "Host: gate\r\n", ""), "405"),
    ];
    for (what, raw, status) in cases {
        let mut house = House::new(Ways::default());
        house.client.say(&raw).await;
        let response = house.client.hear().await;
        assert_eq!(response.status.to_string(), status, "{what}");
        assert_eq!(response.field("connection"), Some("close"), "{what}");
        assert_eq!(response.field("x-request-id"), response.body["request_id"].as_str(), "{what}");
        assert!(response.field("date").unwrap().ends_with(" GMT"), "{what}");
        assert!(!response.message().is_empty(), "{what}");
        assert!(house.client.is_closed().await, "{what}");
        assert_eq!(house.hang_up().await.asks, 0, "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn rule_w5_a_request_that_cannot_be_read_is_answered_behind_those_before_it_and_none_follows() {
    let one = send("POST /v1/send HTTP/1.1", &format!("Host: gate\r\nContent-Length: {}\r\n", GOOD.len()), GOOD);
    for slow_commit in [Duration::ZERO, Duration::from_secs(5)] {
        let mut house = House::new(Ways { slow_commit, ..Ways::default() });
        assert_eq!(
            heard_in(&mut house, &format!("{one}{one}GET nothing HTTP/1.1\r\nHost: gate\r\n\r\n{one}")).await,
            (["202", "202", "400"].map(str::to_owned).to_vec(), true, true)
        );
        assert_eq!(house.hang_up().await.kept.len(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn rule_w5_a_head_that_is_refused_is_answered_without_a_body_when_it_asks_for_a_head() {
    let many = format!("HEAD / HTTP/1.1\r\nHost: gate\r\n{}\r\n", "X: y\r\n".repeat(64));
    let cases = [
        ("HEAD /healthz HTTP/1.1\r\n\r\n", "400"),
        ("HEAD /healthz HTTP/1.1\r\nHost: a b\r\n\r\n", "400"),
        ("HEAD /healthz HTTP/1.1\r\nHost: gate\r\nX: \0\r\n\r\n", "400"),
        ("HEAD /a#b HTTP/1.1\r\nHost: gate\r\n\r\n", "400"),
        ("HEAD / HTTP/1.1\r\nHost: gate\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", "400"),
        (&many, "431"),
        // The rest of it never comes.
        ("HEAD /healthz HTTP/1.1\r\nHost: ga", "408"),
    ];
    for (raw, status) in cases {
        let mut house = House::new(Ways::default());
        house.client.say(raw).await;
        let mut all = String::new();
        house.client.stream.read_to_string(&mut all).await.unwrap();
        assert!(all.starts_with(&format!("HTTP/1.1 {status} ")), "{raw:?}: {all}");
        let length = all.split("content-length: ").nth(1).and_then(|rest| rest.split('\r').next());
        assert!(length.is_some_and(|length| length.parse::<usize>().unwrap() > 0), "{raw:?}: {all}");
        assert_eq!(all.split_once("\r\n\r\n").map(|(_, body)| body), Some(""), "{raw:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn rule_w5_a_body_where_none_is_read_is_refused_and_ends_the_connection() {
    let cases = [
        ("GET /healthz HTTP/1.1", "Transfer-Encoding: chunked\r\n\r\nxyz", 400),
        ("GET /healthz HTTP/1.1", "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", 400),
        ("GET /healthz HTTP/1.1", "Content-Length: 5\r\n\r\n", 400),
        ("GET /healthz HTTP/1.1", "Content-Length: 3\r\n\r\nabc", 400),
        ("GET /healthz HTTP/1.0", "Connection: keep-alive\r\nContent-Length: 5\r\n\r\nabc", 400),
        ("POST /healthz HTTP/1.1", "Transfer-Encoding: chunked\r\n\r\nxyz", 405),
        ("POST /nothing HTTP/1.1", "Transfer-Encoding: chunked\r\n\r\nxyz", 404),
    ];
    for (line, rest, status) in cases {
        for leaves in [false, true] {
            let mut house = House::new(Ways::default());
            house.client.say(&format!("{line}\r\nHost: gate\r\n{rest}")).await;
            if leaves {
                house.client.stream.shutdown().await.unwrap();
            }
            let response = house.client.hear().await;
            assert_eq!((response.status, response.field("connection")), (status, Some("close")), "{line} {rest:?}");
            assert!(house.client.is_closed().await, "{line} {rest:?}");
        }
    }
    let empty = "GET /healthz HTTP/1.1\r\nHost: gate\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(heard(&format!("{empty}{empty}")).await.0, ["200"; 2]);
}

#[tokio::test(start_paused = true)]
async fn rule_w12_a_whole_message_in_chunks_without_a_sound_end_is_not_kept() {
    let head = send("POST /v1/send HTTP/1.1", "Host: gate\r\nTransfer-Encoding: chunked\r\n", "");
    let flawed = ["\r\n0\r\nX : y\r\n\r\n", "\r\n0\r\n y\r\n\r\n", "\r\n0\r\nX: y\n\r\n", "\r\nxyz", "0\r\n\r\n"];
    let cut = ["", "\r\n", "\r\n0", "\r\n0\r\n", "\r\n0\r\n\r", "\r\n0\r\nX: y\r\n"];
    let sound = ["\r\n0\r\n\r\n", "\r\n0\r\nX: y\r\n\r\n"];
    let ends = |ends: &[&'static str], is_sound| ends.iter().map(|end| (*end, is_sound)).collect::<Vec<_>>();
    for (end, is_sound) in [ends(&flawed, false), ends(&cut, false), ends(&sound, true)].concat() {
        let mut house = House::new(Ways::default());
        house.client.say(&format!("{head}{:x}\r\n{GOOD}{end}", GOOD.len())).await;
        house.client.stream.shutdown().await.unwrap();
        assert_eq!(house.client.hear().await.status, if is_sound { 202 } else { 400 }, "{end:?}");
        assert!(house.client.is_closed().await, "{end:?}");
        let seen = house.hang_up().await;
        assert_eq!((seen.kept.len(), seen.turned.len()), (usize::from(is_sound), 0), "{end:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_has_said_all_gets_its_answer() {
    let house = House::new(Ways { slow_commit: Duration::from_secs(5), ..Ways::default() });
    let one = send("POST /v1/send HTTP/1.1", &format!("Host: gate\r\nContent-Length: {}\r\n", GOOD.len()), GOOD);
    let mut client = house.client.stream;
    client.write_all(one.as_bytes()).await.unwrap();
    client.shutdown().await.unwrap();
    let mut all = String::new();
    client.read_to_string(&mut all).await.unwrap();
    assert!(all.starts_with("HTTP/1.1 202"), "{all}");
}

#[tokio::test(start_paused = true)]
async fn rule_w8_an_offer_to_speak_another_protocol_is_passed_over() {
    let fields = "Host: gate\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n";
    assert_eq!(heard(&format!("GET /healthz HTTP/1.1\r\n{fields}\r\n")).await.0, ["200"]);
}

#[tokio::test(start_paused = true)]
async fn rule_w6_pipelined_requests_are_answered_one_by_one() {
    let one = send("POST /v1/send HTTP/1.1", &format!("Host: gate\r\nContent-Length: {}\r\n", GOOD.len()), GOOD);
    assert_eq!(heard(&format!("{one}{one}{one}")).await.0, ["202"; 3]);
}

#[tokio::test(start_paused = true)]
async fn what_is_no_request_is_answered_in_the_words_of_the_api_that_it_was_meant_for() {
    let all = [Serve::V1, Serve::Resend, Serve::Postmark, Serve::Usesend];
    for (path, member) in
        [("/emails", "\"name\""), ("/email", "\"ErrorCode\""), ("/api/v1/emails", "\"error\""), ("/v1/send", "\"doc\"")]
    {
        let mut house = House::with_desk(Ways::default(), |desk| desk.serve = all.to_vec());
        house.client.say(&format!("POST {path} HTTP/1.1\r\nHost: gate\r\nContent-Length: x\r\n\r\n")).await;
        let mut said = String::new();
        house.client.stream.read_to_string(&mut said).await.unwrap();
        let (_, body) = said.split_once("\r\n\r\n").unwrap();
        assert!(said.starts_with("HTTP/1.1 4") && body.contains(member), "{path}: {said}");
    }
}
