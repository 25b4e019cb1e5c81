//! What a client may say of a message beside its text: when it leaves, its id, and whom it is from when it doesn't say.

use std::time::Duration;

use hyper::header::HeaderMap;
use jiff::Timestamp;

use super::super::idempotency::Key;
use super::super::v1;
use super::body;
use super::house::{House, KEY, Ways, post, post_with};
use crate::mail::id::MessageId;
use crate::policy::refusal::Refusal;

fn house(ways: Ways) -> House {
    House::with_desk(ways, |desk| desk.future_release = Some(Duration::from_secs(3600)))
}

fn at(seconds: i64) -> (Timestamp, String) {
    let time = Timestamp::from_second(Timestamp::now().as_second() + seconds).unwrap();
    (time, body(&format!(r#""scheduled_at":"{time}""#)))
}

#[tokio::test]
async fn rule_x10_a_message_for_later_is_kept_with_its_time_and_one_for_earlier_is_not() {
    let mut later = house(Ways::default());
    let (time, letter) = at(600);
    let response = later.client.send(&letter).await;
    assert_eq!((response.status, &response.body["scheduled_at"]), (202, &time.to_string().into()), "{response:?}");
    let valid = later.client.ask(&post(&letter).replacen("/v1/send", "/v1/validate", 1)).await;
    assert_eq!((valid.status, &valid.body["scheduled_at"]), (200, &time.to_string().into()));
    let plain = later.client.send(super::GOOD).await;
    assert!(plain.body.get("scheduled_at").is_none());
    for (seconds, finding) in
        [(0, "scheduled_in_the_past"), (-60, "scheduled_in_the_past"), (4000, "scheduled_too_late")]
    {
        for path in ["/v1/send", "/v1/validate"] {
            let response = later.client.ask(&post(&at(seconds).1).replacen("/v1/send", path, 1)).await;
            assert_eq!(response.findings(), [format!("{finding} /scheduled_at")], "{path}");
        }
    }
    let seen = later.hang_up().await;
    let due = u64::try_from(time.as_microsecond()).unwrap();
    assert_eq!(seen.kept.iter().map(|message| message.release_us).collect::<Vec<_>>(), [Some(due), None]);
    assert_eq!(seen.mails, 2, "the vault was asked for one that can't be");

    let mut closed = House::new(Ways::default());
    assert_eq!(closed.client.send(&letter).await.findings(), ["scheduling_not_supported /scheduled_at"]);
    let mut strict = house(Ways { at_mail: Some(Refusal::HeldTooLong), ..Ways::default() });
    assert_eq!(strict.client.send(&letter).await.findings(), ["scheduled_too_late /scheduled_at"]);
}

fn with_key(key: &str, letter: &str) -> String {
    let fields = format!("Authorization: Bearer {KEY}\r\nContent-Type: application/json\r\nIdempotency-Key: {key}\r\n");
    post_with(&fields, letter)
}

#[tokio::test]
async fn a_request_that_is_done_once_is_known_again_when_its_time_is_over_and_a_new_one_is_refused() {
    let (time, letter) = at(-60);
    let ways = Ways::default();
    // It was sent before it was over.
    let mut headers = HeaderMap::new();
    headers.insert("idempotency-key", "order-17".parse().unwrap());
    let once = Key::of(&headers).unwrap().unwrap().once(&v1::letter(letter.as_bytes(), None).unwrap());
    let id = MessageId::now();
    ways.known.lock().unwrap().insert(once.key, (once.fingerprint, id));
    let mut house = house(ways);
    let again = house.client.ask(&with_key("order-17", &letter)).await;
    assert_eq!((again.status, again.field("idempotency-replayed")), (202, Some("true")), "{again:?}");
    assert_eq!((&again.body["id"], &again.body["scheduled_at"]), (&id.to_string().into(), &time.to_string().into()));
    let other = house.client.ask(&with_key("order-17", &letter.replace("hi", "ho"))).await;
    assert_eq!(other.code(), "idempotency_mismatch");
    let new = house.client.ask(&with_key("order-18", &letter)).await;
    assert_eq!(new.findings(), ["scheduled_in_the_past /scheduled_at"]);
    assert_eq!(house.client.send(super::GOOD).await.status, 202, "the connection goes on");
    let seen = house.hang_up().await;
    assert_eq!((seen.mails, seen.aborts, seen.kept.len()), (4, 1, 1), "the vault was to be asked, and keep nothing");
}

#[tokio::test]
async fn a_request_that_is_done_once_is_known_again_where_the_listener_holds_nothing_any_more() {
    let ways = Ways::default();
    let mut before = house(ways.clone());
    let (_, letter) = at(600);
    let first = before.client.ask(&with_key("order-17", &letter)).await;
    assert_eq!(first.status, 202, "{first:?}");
    for (longest, finding) in
        [(None, "scheduling_not_supported"), (Some(Duration::from_secs(60)), "scheduled_too_late")]
    {
        for at_mail in [None, Some(Refusal::HeldTooLong)] {
            let ways = Ways { at_mail, ..ways.clone() };
            let mut after = House::with_desk(ways, |desk| desk.future_release = longest);
            let again = after.client.ask(&with_key("order-17", &letter)).await;
            assert_eq!((again.status, &again.body["id"]), (202, &first.body["id"]), "{again:?}");
            let new = after.client.ask(&with_key("order-18", &letter)).await;
            assert_eq!(new.findings(), [format!("{finding} /scheduled_at")]);
            assert_eq!(after.hang_up().await.kept.len(), 0);
        }
    }
}

#[tokio::test]
async fn what_leaves_later_has_the_date_of_that_and_not_of_its_acceptance() {
    let mut house = house(Ways::default());
    let (time, letter) = at(3000);
    assert_eq!(house.client.send(&letter).await.status, 202);
    let seen = house.hang_up().await;
    let text = |time: Timestamp| jiff::fmt::rfc2822::to_string(&time.to_zoned(jiff::tz::TimeZone::UTC)).unwrap();
    let content = &seen.kept[0].content;
    assert!(content.contains(&format!("\r\nDate: {}\r\n", text(time))), "{content}");
    let (received, _) = content.split_once("Message-ID:").unwrap();
    assert!(received.starts_with("Received: ") && !received.contains(&text(time)), "{received}");
    assert_eq!(seen.kept[0].size, content.len() as u64);
}

#[tokio::test]
async fn a_client_may_give_the_message_id_which_stands_once_and_is_told_back() {
    let mut house = House::new(Ways::default());
    let response = house.client.send(&body(r#""message_id":"order-17@shop.example""#)).await;
    assert_eq!((response.status, &response.body["message_id"]), (202, &"<order-17@shop.example>".into()));
    let bad = house.client.send(&body(r#""message_id":"<a@b>\r\nBcc: x@evil.example""#)).await;
    assert_eq!(bad.findings(), ["invalid_message_id /message_id"]);
    let seen = house.hang_up().await;
    let [message] = seen.kept.as_slice() else { panic!("{seen:?}") };
    assert_eq!(message.facts.message_id, "order-17@shop.example");
    assert!(message.content.contains("\r\nMessage-ID: <order-17@shop.example>\r\n"), "{}", message.content);
    assert_eq!((message.content.matches("Message-ID:").count(), message.size), (1, message.content.len() as u64));
}

#[tokio::test]
async fn who_may_send_from_one_address_alone_need_not_say_it() {
    let letter = r#"{"from_name":"Ann B.","to":"b@example.org","text":"hi"}"#;
    for (rules, expected) in [
        (&["ann@example.net"][..], "ann@example.net"),
        (&["ann+*@example.net"], "ann@example.net"),
        (&["ann@example.net", "ann+*@example.net"], "ann@example.net"),
    ] {
        let senders = rules.iter().map(|rule| rule.parse().unwrap()).collect();
        let mut house = House::new(Ways { senders, ..Ways::default() });
        let response = house.client.send(letter).await;
        assert_eq!(response.status, 202, "{response:?}");
        let named = house.client.send(&letter.replace("from_name", "from")).await;
        assert_eq!(named.findings(), ["invalid_address /from"]);
        let both = house.client.send(&body(r#""from_name":"Ann""#)).await;
        assert_eq!(both.findings(), ["unknown_member /from_name"]);
        let broken = house.client.send(&letter.replace("Ann B.", "Ann\\r\\nBcc: x@evil.example")).await;
        assert_eq!(broken.findings(), ["control_character /from_name"]);
        let seen = house.hang_up().await;
        assert_eq!((seen.kept.len(), seen.kept[0].sender.as_str()), (1, expected));
        assert!(seen.kept[0].content.contains("\r\nFrom: \"Ann B.\" <ann@example.net>\r\n"), "{seen:?}");
    }
    let mut house = House::new(Ways { senders: vec!["\"ann b\"@example.net".parse().unwrap()], ..Ways::default() });
    assert_eq!(house.client.send(letter).await.findings(), ["required /from"]);
    for rules in [&["@example.net"][..], &["a@example.net", "b@example.net"], &["a@example.net", "*"]] {
        let senders = rules.iter().map(|rule| rule.parse().unwrap()).collect();
        let mut house = House::new(Ways { senders, ..Ways::default() });
        let response = house.client.send(letter).await;
        assert_eq!(response.findings(), ["required /from"], "{rules:?}");
        assert!(response.message().contains("more") || response.message().contains("from which"), "{response:?}");
    }
}
