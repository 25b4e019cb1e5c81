//! `/v1/submissions/{id}`: what became of a message.

use super::GOOD;
use super::house::{House, KEY, Message, Ways};
use crate::ipc::inquiry::{Cause, Counts, Recipient, Status, Submission};
use crate::policy::refusal::Refusal;

/// What became of it: its first recipient was refused, and the others have it.
pub fn submission(message: &Message) -> Submission {
    let recipient = |(n, address): (usize, &String)| Recipient {
        number: u32::try_from(n).unwrap(),
        address: address.clone(),
        status: if n == 0 { Status::Failed } else { Status::Accepted },
        code: Some(if n == 0 { 550 } else { 250 }),
        enhanced: (n == 0).then(|| "5.1.1".to_owned()),
        reply: (n == 0).then(|| "5.1.1 nobody".to_owned()),
        attempts: 1,
        next_us: None,
        doubt: false,
    };
    Submission {
        message: message.id,
        status: Status::Failed,
        size: message.size,
        accepted_us: 1_700_000_000_000_000,
        expires_us: 1_700_086_400_000_000,
        ended_us: Some(1_700_000_001_500_000),
        scheduled_us: None,
        count: u64::try_from(message.recipients.len()).ok(),
        counts: Some(Counts { failed: 1, ..Counts::default() }),
        cause: Some(Cause::Rejected),
        doubt: false,
        recipients: message.recipients.iter().enumerate().map(recipient).collect(),
    }
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: gate\r\nAuthorization: Bearer {KEY}\r\n\r\n")
}

#[tokio::test]
async fn a_message_is_found_by_both_spellings_of_its_id() {
    let mut house = House::new(Ways::default());
    let letter = r#"{"from":"a@example.net","to":["b@example.org","c@example.org"],"subject":"x","text":"hi"}"#;
    let sent = house.client.send(letter).await;
    for name in ["request_id", "id"] {
        let found = house.client.ask(&get(&format!("/v1/submissions/{}", sent.body[name].as_str().unwrap()))).await;
        assert_eq!(found.status, 200, "{found:?}");
        for name in ["request_id", "id"] {
            assert_eq!(found.body[name], sent.body[name]);
        }
        assert_eq!(found.body["status"], "smtp_failed");
        assert_eq!((&found.body["code"], &found.body["recipient_count"]), (&"smtp_rejected".into(), &2.into()));
        assert_eq!(found.body["recipient_domains"], serde_json::json!(["example.org"]));
        assert_eq!(found.body["created_at"], "2023-11-14T22:13:20Z");
        assert_eq!(found.body["updated_at"], "2023-11-14T22:13:21.5Z");
        assert_eq!(found.body["scheduled_at"], serde_json::Value::Null);
        assert_eq!((&found.body["recipients_truncated"], &found.body["counts"]["failed"]), (&false.into(), &1.into()));
        let first = serde_json::json!({
            "number": 0, "address": "b@example.org", "status": "smtp_failed", "code": "5.1.1", "reply": "550 5.1.1 nobody",
            "attempts": 1, "next_attempt_at": null, "may_be_delivered": false,
        });
        assert_eq!(found.body["recipients"][0], first);
        assert_eq!(found.body["recipients"][1]["status"], "smtp_accepted");
        assert_ne!(found.field("x-request-id"), sent.field("x-request-id"), "the inquiry has an id of its own");
    }
}

#[tokio::test]
async fn what_is_not_there_has_one_answer_and_nothing_is_said_without_a_key() {
    let mut house = House::new(Ways::default());
    let mut words = Vec::new();
    let unknown = "01a1f866-0d7b-7d39-bc3d-1f2a8b5c6d7e";
    for id in [unknown, "req_01M7W6C3BVFMWVRF8Z5A5NRVBY", "nonsense", "01a1f8660d7b7d39bc3d1f2a8b5c6d7e"] {
        let found = house.client.ask(&get(&format!("/v1/submissions/{id}"))).await;
        assert_eq!((found.status, found.code()), (404, "submission_not_found"), "{id}");
        words.push(found.message().to_owned());
    }
    words.dedup();
    assert_eq!(words.len(), 1, "{words:?}");
    for path in ["/v1/submissions/", "/v1/submissions/a/b"] {
        assert_eq!(house.client.ask(&get(path)).await.code(), "not_found", "{path}");
    }
    let path = format!("/v1/submissions/{unknown}");
    let posted = house
        .client
        .ask(&get(&path).replacen("GET", "POST", 1).replacen("\r\n\r\n", "\r\nContent-Length: 0\r\n\r\n", 1))
        .await;
    assert_eq!((posted.status, posted.field("allow")), (405, Some("GET")));
    let nobody = get(&path).replacen(&format!("Authorization: Bearer {KEY}\r\n"), "", 1);
    assert_eq!(house.client.ask(&nobody).await.status, 401);
}

#[tokio::test]
async fn what_the_vault_refuses_is_said_and_the_connection_goes_on() {
    let path = "/v1/submissions/01a1f866-0d7b-7d39-bc3d-1f2a8b5c6d7e";
    for (refusal, status, code) in [
        (Refusal::Scope, 403, "insufficient_scope"),
        (Refusal::RateLimited(3), 429, "rate_limited"),
        (Refusal::StoreUnavailable, 503, "store_unavailable"),
    ] {
        let mut house = House::new(Ways { at_inquiry: Some(refusal), ..Ways::default() });
        let found = house.client.ask(&get(path)).await;
        assert_eq!((found.status, found.code()), (status, code));
        if status < 500 {
            assert_eq!(house.client.send(GOOD).await.status, 202, "{code}");
        }
    }
}
