//! Batches that are to go whole: room for all of them before the first, and what comes into the middle all the same.

use super::*;
use crate::edge::http::tests::house::Response;
use crate::policy::refusal::Refusal;

const GOOD: &str = r#"{"from":"Ann <ann@example.net>","to":"b@example.org","subject":"Hello","text":"hi"}"#;

fn refusal(response: &Response) -> (u16, &str) {
    (response.status, response.body["name"].as_str().unwrap())
}

#[tokio::test]
async fn a_batch_that_the_limits_have_no_room_for_is_refused_before_the_first_of_it() {
    let two = format!("[{GOOD},{}]", GOOD.replace("\"b@example.org\"", "[\"b@example.org\",\"c@example.com\"]"));
    let ways = || Ways { at_room: Some(Refusal::RateLimited(7)), ..Ways::default() };
    let mut limited = house(ways(), &[Serve::Resend]);
    let response = limited.client.ask(&post("/emails/batch", &two)).await;
    assert_eq!((refusal(&response), response.field("retry-after")), ((429, "rate_limit_exceeded"), Some("7")));
    assert!(response.message().contains("nothing more of this batch is kept"), "{response:?}");
    let seen = limited.hang_up().await;
    assert_eq!((seen.mails, seen.kept.len(), seen.rooms.len()), (0, 0, 1));
    let (room, size) = (&seen.rooms[0], 2 * GOOD.len());
    assert_eq!((room.messages, room.recipients, room.first, room.octets > size as u64), (2, 3, None, true));
    let domains: Vec<_> = room.domains.iter().map(|of| (of.domain.as_str(), of.messages, of.recipients)).collect();
    assert_eq!(domains, [("example.org", 2, 2), ("example.com", 1, 1)]);
    // More than there ever is room for: to come again is no use.
    let ways = Ways { at_room: Some(Refusal::TooManyRecipients), ..Ways::default() };
    let mut never = house(ways, &[Serve::Resend]);
    let response = never.client.ask(&post("/emails/batch", &two)).await;
    assert_eq!((refusal(&response), response.field("retry-after")), ((422, "validation_error"), None));
    assert!(response.message().contains("send it in parts"), "{response:?}");
    // Its key names the first of it; one alone, and each of a permissive one, is asked for as any message.
    let mut keyed = house(Ways::default(), &[Serve::Resend]);
    let fields = format!("Authorization: Bearer {KEY}\r\nIdempotency-Key: order-17\r\n");
    assert_eq!(keyed.client.ask(&post_with("/emails/batch", &fields, &two)).await.status, 200);
    assert_eq!(keyed.client.ask(&post("/emails/batch", &format!("[{GOOD}]"))).await.status, 200);
    let fields = format!("Authorization: Bearer {KEY}\r\nx-batch-validation: permissive\r\n");
    assert_eq!(keyed.client.ask(&post_with("/emails/batch", &fields, &two)).await.status, 200);
    let seen = keyed.hang_up().await;
    assert_eq!(
        (seen.rooms.len(), seen.rooms[0].first.is_some(), seen.aborts),
        (1, true, 1),
        "what is left is given back"
    );
}

#[tokio::test]
async fn the_same_request_goes_on_where_something_came_into_the_middle_of_a_batch() {
    for (key, limit) in [("", Refusal::StoreFull), ("Idempotency-Key: order-17\r\n", Refusal::RateLimited(7))] {
        let ways = Ways { mails: 1, at_mail: Some(limit), ..Ways::default() };
        let mut house = house(ways, &[Serve::Resend]);
        let fields = format!("Authorization: Bearer {KEY}\r\n{key}");
        let batch = post_with("/emails/batch", &fields, &format!("[{GOOD},{GOOD}]"));
        let response = house.client.ask(&batch).await;
        assert!(matches!(response.status, 429 | 503), "{response:?}");
        let said = response.message();
        assert!(
            said.starts_with("message 1: ") && said.contains("(message 0 is kept and will be sent"),
            "{response:?}"
        );
        // There is room for one again.
        let first = house.seen.lock().unwrap().kept.pop().unwrap();
        let response = house.client.ask(&batch).await;
        assert_eq!(response.status, 200, "{response:?}");
        let second = house.seen().kept;
        assert_eq!(second.len(), 1, "the first isn't sent twice");
        let ids: Vec<_> = response.body["data"].as_array().unwrap().iter().map(|one| one["id"].clone()).collect();
        assert_eq!(ids, [first.id.to_string(), second[0].id.to_string()]);
        if key.is_empty() {
            // It was kept whole: the next one is another.
            house.seen.lock().unwrap().kept.clear();
            let response = house.client.ask(&batch).await;
            assert!(response.message().starts_with("message 1: "), "{response:?}");
            assert_eq!(house.seen().kept.len(), 1);
        }
    }
}

#[tokio::test]
async fn to_whom_nothing_is_sent_is_said_in_the_words_of_each_service() {
    let mut house = house(Ways { suppressed: vec![0, 2], ..Ways::default() }, &[Serve::Send, Serve::Postmark]);
    let letter = r#"{"from":"ann@example.net","to":["b@example.org","c@example.org"],"cc":"d@example.org","subject":"s","text":"x"}"#;
    let sent = house.client.ask(&post("/send", letter)).await;
    assert_eq!((&sent.body["delivered"], sent.status), (&serde_json::json!(["c@example.org"]), 200), "{sent:?}");
    assert_eq!(sent.body["bounced"], serde_json::json!(["b@example.org", "d@example.org"]));
    let email = r#"{"From":"ann@example.net","To":"b@example.org, c@example.org","Cc":"d@example.org","TextBody":"x"}"#;
    let fields = format!("x-postmark-server-token: {KEY}\r\n");
    let one = house.client.ask(&post_with("/email", &fields, email)).await.body;
    let all = house.client.ask(&post_with("/email/batch", &fields, &format!("[{email}]"))).await.body;
    for answer in [&one, &all[0]] {
        let said = "Message OK, but will not deliver to these inactive addresses: b@example.org, d@example.org. Inactive recipients are ones that have generated a hard bounce, a \
                       spam complaint, or a manual suppression.";
        assert_eq!((&answer["ErrorCode"], &answer["Message"]), (&0.into(), &said.into()));
    }
}

#[tokio::test]
async fn a_test_key_belongs_to_a_sandbox_of_postmarks() {
    for (change, expected) in [(false, "Live"), (true, "Sandbox")] {
        let grants: Option<fn(&mut crate::policy::Grant)> = change.then_some(|grant| grant.test = true);
        let mut house = house(Ways { grants, ..Ways::default() }, &[Serve::Postmark]);
        let request = format!("GET /server HTTP/1.1\r\nHost: gate\r\nx-postmark-server-token: {KEY}\r\n\r\n");
        assert_eq!(house.client.ask(&request).await.body["DeliveryType"], expected);
    }
}
