//! `POST /hooks/{name}`: what is shown to the vault, and what is said of its word.

use super::house::{House, Ways};
use crate::config::slice::Serve;
use crate::ipc::hook::{MOST_OCTETS, Posted, Verdict};

fn house(verdict: Verdict) -> House {
    House::with_desk(Ways { at_hook: Some(verdict), ..Ways::default() }, |desk| desk.serve = vec![Serve::Hooks])
}

fn post(path: &str, body: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: gate\r\nX-ByteSend-Timestamp: 1800000000000\r\nX-ByteSend-Signature: v1=00\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

#[tokio::test]
async fn what_is_posted_reaches_the_vault_as_it_came_without_a_key() {
    let mut house = house(Verdict::Taken);
    let long = "x".repeat(MOST_OCTETS);
    for body in ["{\"id\" : 1}", "", &long] {
        let said = house.client.ask(&post("/hooks/bytesend", body)).await;
        assert_eq!((said.status, &said.body["status"]), (200, &"taken".into()), "{said:?}");
    }
    let seen = house.hang_up().await;
    assert_eq!((seen.posted.len(), seen.logins), (3, 0));
    let (timestamp, signature) = ("1800000000000".to_owned(), "v1=00".to_owned());
    assert_eq!(seen.posted[0].0, Posted { hook: "bytesend".into(), timestamp, signature, length: 10 });
    assert_eq!(seen.posted[0].1, b"{\"id\" : 1}");
    assert_eq!(seen.posted[2].1.len(), MOST_OCTETS);
}

#[tokio::test]
async fn each_verdict_has_its_answer_and_who_guesses_loses_the_connection() {
    for (verdict, status, code, closes) in [
        (Verdict::Unsigned, 401, "unauthorized", true),
        (Verdict::Unreadable, 400, "bad_request", false),
        (Verdict::Wait(7), 429, "rate_limited", true),
        (Verdict::Busy, 503, "store_unavailable", false),
    ] {
        let mut house = house(verdict);
        let said = house.client.ask(&post("/hooks/bytesend", "{}")).await;
        assert_eq!((said.status, said.code()), (status, code));
        assert_eq!(said.field("connection") == Some("close"), closes, "{code}");
        if verdict == Verdict::Wait(7) {
            assert_eq!(said.field("retry-after"), Some("7"));
        }
    }
}

#[tokio::test]
async fn who_announces_much_and_sends_nothing_takes_no_room_of_the_provider() {
    let silent = || {
        let head = post("/hooks/bytesend", "");
        head.replace("Content-Length: 0", &format!("Content-Length: {MOST_OCTETS}"))
    };
    let mut waiting = Vec::new();
    for _ in 0..80 {
        let mut stranger = house(Verdict::Unsigned);
        stranger.client.say(&silent()).await;
        waiting.push(stranger);
    }
    // All of them are at their bodies by then.
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    let mut provider = house(Verdict::Taken);
    let said = provider.client.ask(&post("/hooks/bytesend", "{}")).await;
    assert_eq!(said.status, 200, "{said:?}");
    assert!(waiting.iter().all(|stranger| stranger.seen().posted.is_empty()));
}

#[tokio::test]
async fn whoever_has_many_addresses_has_one_share_and_each_provider_one_body_in_any_case() {
    let from = |address: &str| {
        let fields = format!("X-Forwarded-For: {address}\r\nContent-Length: {MOST_OCTETS}\r\n");
        post("/hooks/bytesend", "").replace("Content-Length: 0\r\n", &fields)
    };
    let behind = || {
        House::with_desk(Ways { at_hook: Some(Verdict::Taken), ..Ways::default() }, |desk| {
            desk.serve = vec![Serve::Hooks];
            desk.reach.forwarded_by = Some(crate::config::slice::ForwardedBy::XForwardedFor);
            desk.dialect.xclient_from = vec!["192.0.2.0/24".parse().unwrap()];
        })
    };
    let (mut waiting, part) = (Vec::new(), "x".repeat(MOST_OCTETS - 1));
    for n in 0..90 {
        let mut stranger = behind();
        stranger.client.say(&(from(&format!("2001:db8:0:1::{n:x}")) + &part)).await;
        waiting.push(stranger);
    }
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    assert!(super::super::hooks::held("2001:db8:0:1::/64") > 1 << 20, "they have what they could take");
    // As many networks as together have all of it, and one more.
    for n in 0..40 {
        let mut stranger = behind();
        stranger.client.say(&(from(&format!("2001:db8:1:{n:x}::1")) + &part)).await;
        waiting.push(stranger);
    }
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    let mut provider = behind();
    let said = provider.client.ask(&(from("203.0.113.5") + &part + "x")).await;
    assert_eq!(said.status, 200, "{said:?}");
}

#[tokio::test]
async fn what_is_too_long_or_elsewhere_never_reaches_the_vault() {
    let mut long = house(Verdict::Taken);
    let said = long.client.ask(&post("/hooks/bytesend", &"x".repeat(MOST_OCTETS + 1))).await;
    assert_eq!((said.status, said.code()), (413, "payload_too_large"));
    let mut house = house(Verdict::Taken);
    for path in ["/hooks/", "/hooks", "/hooks/a/b"] {
        let said = house.client.ask(&post(path, "")).await;
        assert_eq!((said.status, said.code()), (404, "not_found"), "{path}");
    }
    let got = house.client.ask("GET /hooks/bytesend HTTP/1.1\r\nHost: gate\r\n\r\n").await;
    assert_eq!((got.status, got.field("allow")), (405, Some("POST")));
    assert!(house.seen().posted.is_empty() && long.seen().posted.is_empty());
    let mut other = House::with_desk(Ways::default(), |desk| desk.serve = vec![Serve::V1]);
    assert_eq!(other.client.ask(&post("/hooks/bytesend", "")).await.status, 404);
}
