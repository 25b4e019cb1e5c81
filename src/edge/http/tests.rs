//! The HTTP gate as its clients see it, over a connection in memory and with a vault that remembers.

mod clocks;
mod framing;
mod hooks;
pub mod house;
pub mod keys;
mod limits;
mod ops;
mod raw;
mod reach;
mod room;
mod sending;
mod submissions;
mod validate;

use base64::Engine;
use house::{House, KEY, Ways, post, post_with};

use super::*;
use crate::ipc::session::Denial;
use crate::policy::refusal::Refusal;

pub const GOOD: &str = r#"{"from":"Ann <ann@example.net>","to":"b@example.org","subject":"Hello","text":"hi"}"#;

pub fn body(more: &str) -> String {
    format!(r#"{{"from":"ann@example.net","to":"b@example.org","text":"hi",{more}}}"#)
}

#[tokio::test]
async fn a_message_is_kept_whole_and_answered_with_its_ids() {
    let mut house = House::new(Ways::default());
    let body = r#"{"from":"Ann <ann@example.net>","to":["b@example.org","c@example.org"],"cc":"b@example.org",
                   "bcc":["secret@example.org"],"subject":"Grüße","text":"hi"}"#;
    let response = house.client.send(body).await;
    assert_eq!(response.status, 202, "{response:?}");
    let seen = house.hang_up().await;
    assert!(seen.closed);
    let [message] = seen.kept.as_slice() else { panic!("{seen:?}") };
    assert_eq!(response.body["status"], "accepted");
    let path = format!("/v1/submissions/{}", response.body["request_id"].as_str().unwrap());
    assert_eq!(response.body["submission"], path);
    assert_eq!(response.body["id"], message.id.to_string());
    assert_eq!(response.body["request_id"], message.id.request_id());
    assert_eq!(response.field("x-request-id"), Some(message.id.request_id().as_str()));
    assert_eq!(response.body["message_id"], format!("<{}>", message.facts.message_id));
    assert_eq!(message.sender, "ann@example.net");
    assert_eq!(message.recipients, ["b@example.org", "c@example.org", "secret@example.org"]);
    assert_eq!(message.size, message.content.len() as u64);
    assert_eq!((message.facts.authors.len(), message.facts.received), (1, 1));
    assert!(
        message.content.starts_with("Received: by gate.example.net (Gatepost api)\r\n\twith HTTP id "),
        "{}",
        message.content
    );
    assert!(message.content.contains(&format!("\r\nMessage-ID: <{}>\r\n", message.facts.message_id)));
    assert!(message.content.ends_with("\r\n\r\nhi\r\n"));
    for hidden in ["secret", "Bcc", "192.0.2.7"] {
        assert!(!message.content.contains(hidden), "{hidden} in {}", message.content);
    }
}

#[tokio::test]
async fn a_large_message_arrives_in_order() {
    let mut house = House::new(Ways::default());
    let file = "QUJD".repeat(100_000);
    let response = house.client.send(&body(&format!(r#""attachments":[{{"filename":"a","content":"{file}"}}]"#))).await;
    assert_eq!(response.status, 202, "{response:?}");
    let seen = house.hang_up().await;
    let content = seen.kept[0].content.split("base64\r\n\r\n").nth(1).unwrap();
    assert_eq!(content.split("\r\n--").next().unwrap().replace("\r\n", ""), file);
}

#[tokio::test]
async fn every_reply_has_the_headers_that_all_replies_have() {
    let requests = [
        post(GOOD),
        post("{"),
        "GET / HTTP/1.1\r\nHost: gate\r\n\r\n".into(),
        "GET /healthz HTTP/1.1\r\nHost: gate\r\n\r\n".into(),
        "GET /v1/send HTTP/1.1\r\nHost: gate\r\n\r\n".into(),
    ];
    for request in requests {
        let response = House::new(Ways::default()).client.ask(&request).await;
        let id = response.field("x-request-id").unwrap();
        assert!(id.starts_with("req_") && id.len() == 30, "{id}");
        assert_eq!(response.field("cache-control"), Some("no-store"));
        assert_eq!(response.field("x-content-type-options"), Some("nosniff"));
        assert_eq!(response.field("server"), None);
        assert_eq!(response.field("content-type"), Some("application/json"));
        if response.status >= 400 {
            assert_eq!(response.body["status"], "error");
            assert_eq!(response.body["request_id"], id);
            assert!(response.body["message"].is_string() && response.body["retryable"].is_boolean());
            assert!(response.body["errors"].is_array());
        }
    }
}

#[tokio::test]
async fn a_connection_serves_several_requests_with_one_login() {
    let mut house = House::new(Ways::default());
    for _ in 0..3 {
        assert_eq!(house.client.send(GOOD).await.status, 202);
    }
    assert_eq!(house.client.send(&body(r#""nonsense":1"#)).await.status, 400);
    assert_eq!(house.client.send(GOOD).await.status, 202);
    let seen = house.hang_up().await;
    assert_eq!((seen.logins, seen.kept.len()), (1, 4));
}

#[tokio::test]
async fn health_asks_nobody() {
    let mut house = House::new(Ways::default());
    let response = house.client.ask("GET /healthz HTTP/1.1\r\nHost: gate\r\n\r\n").await;
    assert_eq!((response.status, response.body.to_string()), (200, r#"{"status":"ok"}"#.into()));
    house.client.say("HEAD /healthz HTTP/1.1\r\nHost: gate\r\nConnection: close\r\n\r\n").await;
    let mut all = String::new();
    tokio::io::AsyncReadExt::read_to_string(&mut house.client.stream, &mut all).await.unwrap();
    assert!(all.starts_with("HTTP/1.1 200") && all.ends_with("\r\n\r\n"), "{all}");
    let seen = house.hang_up().await;
    assert_eq!(seen.asks, 0, "{seen:?}");
}

#[tokio::test]
async fn requests_that_cannot_be_served_get_their_code_and_ask_the_vault_nothing() {
    let json = "Content-Type: application/json\r\n";
    let key = format!("Authorization: Bearer {KEY}\r\n");
    let cases = [
        ("GET /nothing HTTP/1.1\r\nHost: gate\r\n\r\n".to_owned(), 404, "not_found"),
        ("GET /v1/send HTTP/1.1\r\nHost: gate\r\n\r\n".to_owned(), 405, "method_not_allowed"),
        ("OPTIONS * HTTP/1.1\r\nHost: gate\r\n\r\n".to_owned(), 405, "method_not_allowed"),
        ("GET /healthz HTTP/1.1\r\n\r\n".to_owned(), 400, "bad_request"),
        (format!("GET /{} HTTP/1.1\r\nHost: gate\r\n\r\n", "a".repeat(3000)), 414, "uri_too_long"),
        (post_with(json, GOOD), 401, "unauthorized"),
        (post_with(&format!("{json}Authorization: Basic YTo=\r\n"), GOOD), 401, "unauthorized"),
        (post_with(&format!("{json}Authorization: Bearer\r\n"), GOOD), 401, "unauthorized"),
        (post_with(&format!("{json}Authorization: Bearer {}\r\n", "k".repeat(600)), GOOD), 401, "unauthorized"),
        (post_with(&format!("{json}{key}{key}"), GOOD), 400, "bad_request"),
        (post_with(&format!("{json}{key}X-API-Key: {KEY}\r\n"), GOOD), 400, "bad_request"),
        (post_with(&format!("{json}X-API-Key: {KEY}\r\nX-API-Key: {KEY}\r\n"), GOOD), 400, "bad_request"),
        (post_with(&format!("{json}{key}Expect: tea\r\n"), GOOD), 417, "expectation_failed"),
    ];
    for (request, status, code) in cases {
        let mut house = House::new(Ways::default());
        let response = house.client.ask(&request).await;
        assert_eq!((response.status, response.code()), (status, code), "{request}");
        assert_eq!(house.seen().asks, 0, "{request}");
    }
}

#[tokio::test]
async fn the_405_and_the_401_say_what_would_be_right() {
    let response = House::new(Ways::default()).client.ask("PUT /healthz HTTP/1.1\r\nHost: gate\r\n\r\n").await;
    assert_eq!(response.field("allow"), Some("GET, HEAD"));
    for method in ["TRACE", "GET"] {
        let request = format!("{method} /v1/send HTTP/1.1\r\nHost: gate\r\n\r\n");
        let response = House::new(Ways::default()).client.ask(&request).await;
        assert_eq!((response.status, response.field("allow")), (405, Some("POST")), "{method}");
    }
    let response = House::new(Ways::default()).client.ask(&post_with("", GOOD)).await;
    assert_eq!(response.field("www-authenticate"), Some("Bearer realm=\"gatepost\""));
    assert_eq!(response.field("connection"), Some("close"), "its body was not read");
}

#[tokio::test]
async fn rule_w8_bodies_that_are_not_plain_json_are_refused_with_415() {
    let key = format!("Authorization: Bearer {KEY}\r\n");
    for fields in ["", "Content-Type: text/plain\r\n", "Content-Type: application/json\r\nContent-Encoding: gzip\r\n"] {
        let response = House::new(Ways::default()).client.ask(&post_with(&format!("{key}{fields}"), GOOD)).await;
        assert_eq!((response.status, response.code()), (415, "unsupported_media_type"), "{fields}");
    }
}

/// The key in each form that it may have.
fn forms() -> [String; 3] {
    let basic = base64::engine::general_purpose::STANDARD.encode(format!("ann:{KEY}"));
    [
        format!("Authorization: Bearer {KEY}\r\n"),
        format!("X-API-Key: {KEY}\r\n"),
        format!("Authorization: Basic {basic}\r\n"),
    ]
}

#[tokio::test]
async fn a_key_is_the_same_key_in_each_form() {
    let mut house = House::new(Ways::default());
    for key in forms() {
        let request = post_with(&format!("{key}Content-Type: application/json\r\n"), GOOD);
        assert_eq!(house.client.ask(&request).await.status, 202, "{key}");
    }
    let seen = house.hang_up().await;
    assert_eq!((seen.logins, seen.kept.len()), (1, 3));
}

#[tokio::test]
async fn keys_are_not_taken_in_the_clear() {
    for key in forms() {
        let mut house = House::with_desk(Ways::default(), |desk| desk.plain_login = false);
        let response = house.client.ask(&post_with(&format!("{key}Content-Type: application/json\r\n"), GOOD)).await;
        assert_eq!((response.status, response.code()), (403, "forbidden"), "{key}");
        assert_eq!(house.seen().asks, 0, "{key}");
    }
}

#[tokio::test]
async fn refused_logins_have_their_codes() {
    let cases = [
        (Denial::Invalid, 403, "forbidden", None, "this key is not valid here"),
        (Denial::Busy, 503, "store_unavailable", Some("2"), "there is no room to check keys now; try again"),
        (
            Denial::Away,
            503,
            "store_unavailable",
            Some("2"),
            "the provider that knows this key can't be asked now; try again",
        ),
        (Denial::Wait(30), 429, "rate_limited", Some("30"), "too many failed logins from this address; wait"),
    ];
    for (denial, status, code, retry, message) in cases {
        let mut house = House::new(Ways { denial: Some(denial), ..Ways::default() });
        let response = house.client.send(GOOD).await;
        assert_eq!((response.status, response.code(), response.field("retry-after")), (status, code, retry));
        assert_eq!(response.message(), message);
        assert!(house.hang_up().await.kept.is_empty());
    }
}

#[tokio::test]
async fn a_second_key_on_a_connection_is_refused_and_never_served_as_the_first() {
    let mut house = House::new(Ways::default());
    assert_eq!(house.client.send(GOOD).await.status, 202);
    let other = post_with("Authorization: Bearer another\r\nContent-Type: application/json\r\n", GOOD);
    let response = house.client.ask(&other).await;
    assert_eq!((response.status, response.code()), (421, "misdirected_request"));
    assert!(house.client.is_closed().await);
    assert_eq!(house.hang_up().await.kept.len(), 1);
}

#[tokio::test]
async fn a_changed_credential_is_asked_for_again() {
    let mut house = House::new(Ways { revokes: true, ..Ways::default() });
    assert_eq!(house.client.send(GOOD).await.status, 202);
    assert_eq!(house.client.send(GOOD).await.status, 202);
    assert_eq!(house.hang_up().await.logins, 2);
}

#[tokio::test]
async fn what_policy_forbids_is_answered_at_once_and_told_to_the_vault() {
    let mut house = House::new(Ways::default());
    let response = house.client.send(r#"{"from":"x@evil.example","to":"b@example.org","text":"x"}"#).await;
    assert_eq!((response.status, response.code()), (403, "forbidden_sender"));
    assert_eq!(response.findings(), ["sender_not_allowed /from"]);
    let response = house
        .client
        .send(r#"{"from":"a@example.net","to":["b@example.org","x@competitor.example"],"cc":"y@competitor.example","text":"x"}"#)
        .await;
    assert_eq!((response.status, response.code()), (400, "validation_failed"));
    assert_eq!(response.findings(), ["recipient_not_allowed /to/1", "recipient_not_allowed /cc"]);
    let response = house
        .client
        .send(r#"{"from":"a@example.net","to":["1@a.test","2@a.test","3@a.test","4@a.test","5@a.test","6@a.test"],"text":"x"}"#)
        .await;
    assert_eq!(response.findings(), ["too_many /to"]);
    let seen = house.hang_up().await;
    let expected = [
        ("x@evil.example", None, 0, Refusal::SenderNotAllowed),
        // Two of one request are told at once.
        ("a@example.net", Some("x@competitor.example"), 1, Refusal::RecipientNotAllowed),
        ("a@example.net", None, 0, Refusal::TooManyRecipients),
    ];
    let expected =
        expected.map(|(from, to, further, refusal)| (Some(from.to_owned()), to.map(str::to_owned), further, refusal));
    assert_eq!(seen.turned, expected);
    assert!(seen.kept.is_empty());
}

#[tokio::test]
async fn the_vaults_refusals_have_their_codes_before_and_after_the_content() {
    let cases = [
        (Refusal::SenderNotAllowed, 403, "forbidden_sender", None),
        (Refusal::AuthorNotAllowed, 403, "forbidden_sender", None),
        (Refusal::RecipientNotAllowed, 400, "validation_failed", None),
        (Refusal::NoRoute, 400, "validation_failed", None),
        (Refusal::TooManyRecipients, 400, "validation_failed", None),
        (Refusal::TooBig, 413, "payload_too_large", None),
        (Refusal::RateLimited(7), 429, "rate_limited", Some("7")),
        (Refusal::QuotaExceeded(3600), 429, "quota_exceeded", Some("3600")),
        (Refusal::StoreFull, 503, "queue_full", Some("60")),
        (Refusal::Overloaded(60), 503, "queue_full", Some("60")),
        (Refusal::StoreUnavailable, 503, "store_unavailable", Some("5")),
        (Refusal::CopyNoRoute, 503, "store_unavailable", Some("300")),
        (Refusal::Revoked, 503, "store_unavailable", Some("1")),
        (Refusal::Header, 500, "internal_error", None),
    ];
    for (refusal, status, code, retry) in cases {
        let early = Ways { at_mail: Some(refusal), ..Ways::default() };
        let late = Ways { at_commit: Some(refusal), ..Ways::default() };
        for ways in [early, late] {
            let response = House::new(ways).client.send(GOOD).await;
            assert_eq!((response.status, response.code(), response.field("retry-after")), (status, code, retry));
        }
    }
}

#[tokio::test]
async fn a_vault_without_room_or_time_says_which_and_for_how_long() {
    let cases = [
        (Refusal::StoreFull, "queue_full", "60", "there is no room for more mail"),
        (Refusal::StoreUnavailable, "store_unavailable", "5", "the message store is away for a moment; try again"),
    ];
    for (refusal, code, retry, message) in cases {
        let early = Ways { at_mail: Some(refusal), ..Ways::default() };
        let late = Ways { at_commit: Some(refusal), ..Ways::default() };
        for ways in [early, late] {
            let response = House::new(ways).client.send(GOOD).await;
            assert_eq!((response.status, response.code(), response.message()), (503, code, message));
            assert_eq!((response.field("retry-after"), &response.body["retryable"]), (Some(retry), &true.into()));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_vault_that_is_away_is_a_503_and_the_connection_ends() {
    let mut house = House::new(Ways { falls_at_commit: true, ..Ways::default() });
    let response = house.client.send(GOOD).await;
    assert_eq!(
        (response.status, response.code(), response.field("retry-after")),
        (503, "store_unavailable", Some("5"))
    );
    assert!(house.client.is_closed().await);
}

#[tokio::test]
async fn nothing_of_a_request_is_repeated_in_its_refusal() {
    let secret = "s3cr3t-value";
    let requests = [
        post(&body(&format!(r#""{secret} {secret}":1"#))),
        post(&body(&format!(r#""subject":"{secret}\n""#))),
        post(&format!(r#"{{"from":"{secret}@x@y","to":"{secret}","text":7,"headers":{{"From":"{secret}"}}}}"#)),
        post(&format!("{{\"{secret}\": {secret}")),
        post_with(&format!("Authorization: Token {secret}\r\n"), GOOD),
        format!("GET /{secret} HTTP/1.1\r\nHost: {secret} x\r\n\r\n"),
    ];
    for request in requests {
        let response = House::new(Ways::default()).client.ask(&request).await;
        assert!(response.status >= 400 && !response.body.to_string().contains(secret), "{response:?}");
    }
}

#[tokio::test]
async fn a_panic_is_a_500_for_its_request() {
    let (id, peer) = (MessageId::now(), "192.0.2.7:1".parse().unwrap());
    let meter = Meter::default();
    let tongue = Tongue::of("/v1/send", &header::HeaderMap::new(), &[crate::config::slice::Serve::V1]);
    let reply = apart(tongue, id, (peer, &meter), async { panic!("a mistake of ours") }).await;
    assert_eq!(reply.status(), 500);
    assert_eq!(meter.take("http").unwrap().counts, [(Count::Fell, 1)]);
    assert_eq!(reply.headers()[header::CONNECTION], "close");
}
