//! `/v1/validate`: the word of `/v1/send` beforehand.

use super::house::{House, KEY, Ways};
use super::{GOOD, body};
use crate::policy::refusal::Refusal;

fn ask(body: &str) -> String {
    super::post(body).replacen("/v1/send", "/v1/validate", 1)
}

#[tokio::test]
async fn what_would_be_sent_is_said_and_nothing_is_asked_for() {
    let mut house = House::new(Ways::default());
    let letter = r#"{"from":"Ann <ann@example.net>","to":["b@example.org","c@example.org"],"cc":"b@example.org",
                     "bcc":"secret@example.org","subject":"Hello","text":"hi"}"#;
    let valid = house.client.ask(&ask(letter)).await;
    assert_eq!((valid.status, &valid.body["status"]), (200, &"valid".into()), "{valid:?}");
    assert_eq!(valid.body["envelope"]["from"], "ann@example.net");
    let recipients = ["b@example.org", "c@example.org", "secret@example.org"];
    assert_eq!(valid.body["envelope"]["to"], serde_json::json!(recipients));
    assert_eq!(valid.body["warnings"][0]["code"], "duplicate_recipient");
    assert_eq!(valid.body["warnings"][0]["pointer"], "/cc");
    assert_eq!(valid.body["warnings"].as_array().map(Vec::len), Some(1));
    assert_eq!(valid.field("x-request-id"), valid.body["request_id"].as_str());
    assert_eq!((house.seen().mails, house.seen().kept.len()), (0, 0), "the vault was asked for a message");

    let sent = house.client.send(letter).await;
    assert_eq!(sent.status, 202);
    let seen = house.hang_up().await;
    assert_eq!((seen.kept.len(), seen.mails, seen.logins), (1, 1, 1));
    assert_eq!(seen.kept[0].recipients, recipients);
    assert_eq!(valid.body["size"], seen.kept[0].size, "what is sent has another size");
}

#[tokio::test]
async fn what_cannot_be_sent_is_refused_in_the_same_words() {
    let cases = [
        r#"{"to":"b@example.org","text":"x","subjct":"x"}"#.to_owned(),
        r#"{"from":"x@evil.example","to":"b@example.org","text":"x"}"#.to_owned(),
        r#"{"from":"a@example.net","to":["b@example.org","x@competitor.example"],"text":"x"}"#.to_owned(),
        body(r#""nonsense":1"#),
        "{".to_owned(),
    ];
    for letter in cases {
        let (mut one, mut other) = (House::new(Ways::default()), House::new(Ways::default()));
        let (valid, sent) = (one.client.ask(&ask(&letter)).await, other.client.send(&letter).await);
        assert_eq!(
            (valid.status, valid.code(), valid.message()),
            (sent.status, sent.code(), sent.message()),
            "{letter}"
        );
        assert!(valid.status >= 400, "{letter}");
        assert_eq!(valid.findings(), sent.findings(), "{letter}");
        assert_eq!(one.hang_up().await.turned, other.hang_up().await.turned, "{letter}");
    }
}

#[tokio::test]
async fn it_needs_a_key_and_no_limit_is_in_its_way() {
    let mut house = House::new(Ways::default());
    let nobody = ask(GOOD).replacen(&format!("Authorization: Bearer {KEY}\r\n"), "", 1);
    assert_eq!(house.client.ask(&nobody).await.status, 401);
    let mut house = House::new(Ways { at_mail: Some(Refusal::RateLimited(7)), ..Ways::default() });
    assert_eq!(house.client.send(GOOD).await.status, 429);
    assert_eq!(house.client.ask(&ask(GOOD)).await.status, 200);
}

#[tokio::test]
async fn a_letter_without_a_subject_is_valid_with_a_warning() {
    let mut house = House::new(Ways::default());
    let valid = house.client.ask(&ask(r#"{"from":"a@example.net","to":"b@example.org","text":"x"}"#)).await;
    assert_eq!((valid.status, &valid.body["warnings"][0]["code"]), (200, &"no_subject".into()));
    assert_eq!(house.client.ask(&ask(GOOD)).await.body["warnings"], serde_json::json!([]));
}

#[tokio::test]
async fn what_is_kept_all_the_same_is_answered_with_what_may_not_be_meant_and_who_gets_nothing() {
    let mut house = House::new(Ways { suppressed: vec![1, 2], ..Ways::default() });
    let letter = r#"{"from":"ann@example.net","to":["b@example.org","c@example.org"],"cc":["b@example.org","d@example.org"],"text":"x"}"#;
    let sent = house.client.send(letter).await;
    let warnings: Vec<_> = sent.body["warnings"].as_array().unwrap().iter().collect();
    let said: Vec<_> =
        warnings.iter().map(|one| (one["code"].as_str().unwrap(), one["pointer"].as_str().unwrap())).collect();
    let own = [("no_subject", "/subject"), ("duplicate_recipient", "/cc/0")];
    assert_eq!((sent.status, &said[..2]), (202, &[("suppressed", "/to/1"), ("suppressed", "/cc/1")][..]), "{sent:?}");
    assert_eq!(said[2..], own);
}
