//! `/v1/send-bulk`: what its clients say and are told, message by message.

use std::time::Duration;

use super::*;
use crate::edge::http::idempotency::Key;
use crate::mail::id::MessageId;
use crate::policy::Grant;
use crate::policy::refusal::Refusal;
use crate::policy::scope::Scope;

const GOOD: &str = r#"{"from":"Ann <ann@example.net>","to":"b@example.org","subject":"Hello","text":"hi"}"#;
const ALL: &str = "/v1/send-bulk?atomic=true";
const EACH: &str = "/v1/send-bulk";

fn bulk(messages: &[&str]) -> String {
    format!(r#"{{"messages":[{}]}}"#, messages.join(","))
}

fn open(ways: Ways) -> House {
    House::with_desk(ways, |desk| {
        desk.serve = vec![Serve::V1];
        desk.future_release = Some(Duration::from_secs(3600));
    })
}

/// With a key by which it is known again.
fn keyed(path: &str, messages: &[&str]) -> String {
    post_with(path, &format!("Authorization: Bearer {KEY}\r\nIdempotency-Key: order-17\r\n"), &bulk(messages))
}

/// The outcomes: the id of a message that is kept, or the code of its refusal.
fn outcomes(response: &serde_json::Value) -> Vec<&str> {
    let outcome = |result: &'_ serde_json::Value| result["status"] == "accepted";
    let results = response["results"].as_array().unwrap();
    results.iter().map(|one| one[if outcome(one) { "id" } else { "code" }].as_str().unwrap()).collect()
}

#[tokio::test]
async fn each_message_is_kept_or_refused_by_itself_and_answered_in_its_place() {
    let mut house = open(Ways::default());
    let own = GOOD.replace('}', r#","message_id":"order-17@shop.example"}"#);
    let time = jiff::Timestamp::from_second(jiff::Timestamp::now().as_second() + 600).unwrap();
    let later = GOOD.replace('}', &format!(r#","scheduled_at":"{time}"}}"#));
    let (foreign, broken) = (GOOD.replace("example.net", "evil.example"), GOOD.replace("b@example.org", "b"));
    let body = bulk(&[GOOD, &broken, &own, &foreign, "7", &later]);
    let response = house.client.ask(&post(EACH, &body)).await;
    let kept = house.hang_up().await.kept;
    let ids: Vec<_> = kept.iter().map(|message| message.id.to_string()).collect();
    let expected = [&ids[0], "validation_failed", &ids[1], "forbidden_sender", "validation_failed", &ids[2]];
    assert_eq!((response.status, outcomes(&response.body)), (202, expected.to_vec()), "{response:?}");
    let (body, results) = (&response.body, &response.body["results"]);
    assert_eq!(
        (&body["status"], &body["accepted"], &body["rejected"]),
        (&"partly_accepted".into(), &3.into(), &3.into())
    );
    assert_eq!(results[0]["message_id"], format!("<{}>", kept[0].facts.message_id));
    assert_eq!((&results[0]["request_id"], results[0].get("scheduled_at")), (&kept[0].id.request_id().into(), None));
    assert_eq!(results[2]["message_id"], "<order-17@shop.example>");
    assert_eq!(results[5]["scheduled_at"], time.to_string());
    let places = [1, 3, 4].map(|n: usize| results[n]["errors"][0]["pointer"].as_str().unwrap());
    assert_eq!(places, ["/messages/1/to", "/messages/3/from", "/messages/4"]);
    assert!(results[1]["message"].as_str().unwrap().starts_with("/messages/1/to: is not an address"), "{results}");
    assert!(body["request_id"] != results[0]["request_id"]);
}

#[tokio::test]
async fn each_message_has_the_warnings_that_it_would_have_by_itself() {
    let two =
        GOOD.replace("\"b@example.org\"", "[\"b@example.org\",\"b@example.org\"]").replace(r#""subject":"Hello","#, "");
    for path in [EACH, ALL] {
        let mut house = open(Ways { suppressed: vec![0], ..Ways::default() });
        let response = house.client.ask(&keyed(path, &[&two])).await;
        let warnings = response.body["results"][0]["warnings"].as_array().unwrap_or_else(|| panic!("{response:?}"));
        let told: Vec<_> = warnings.iter().map(|one| (one["code"].as_str(), one["pointer"].as_str())).collect();
        let expected = [
            ("suppressed", "/messages/0/to/0"),
            ("no_subject", "/messages/0/subject"),
            ("duplicate_recipient", "/messages/0/to/1"),
        ];
        assert_eq!(told, expected.map(|(code, place)| (Some(code), Some(place))), "{path}: {response:?}");
    }
}

#[tokio::test]
async fn all_go_or_none_where_the_query_says_so_and_another_query_is_refused() {
    let broken = GOOD.replace("b@example.org", "b").replace("\"text\"", "\"txt\"");
    let over = GOOD.replace('}', r#","scheduled_at":"2020-01-01T00:00:00Z"}"#);
    let long = GOOD.replace("hi", &"x".repeat(400 * 1024));
    for (bad, status, code, places) in [
        (broken.as_str(), 400, "validation_failed", &["/messages/1/txt", "/messages/1/to", "/messages/1/text"][..]),
        (&over, 400, "validation_failed", &["/messages/1/scheduled_at"]),
        (&GOOD.replace("example.net", "evil.example"), 403, "forbidden_sender", &["/messages/1/from"]),
        (&GOOD.replace("example.org", "competitor.example"), 400, "validation_failed", &["/messages/1/to"]),
        (&long, 413, "payload_too_large", &[]),
    ] {
        let change: fn(&mut Grant) = |grant| grant.max_size = Some(100_000);
        let mut house = open(Ways { grants: Some(change), ..Ways::default() });
        let response = house.client.ask(&keyed(ALL, &[GOOD, bad, GOOD])).await;
        assert_eq!((response.status, response.code()), (status, code), "{response:?}");
        let found = response.body["errors"].as_array().unwrap();
        assert_eq!(
            found.iter().map(|one| one["pointer"].as_str().unwrap()).collect::<Vec<_>>(),
            places,
            "{response:?}"
        );
        assert!(response.message().starts_with("/messages/1"), "{response:?}");
        let seen = house.hang_up().await;
        // With a key the vault may know what is late: it is asked of that, and of nothing else.
        assert_eq!((seen.mails, seen.kept.len()), (usize::from(bad == over), 0));
    }
    let mut house = open(Ways::default());
    let response = house.client.ask(&keyed(ALL, &[GOOD, GOOD])).await;
    assert_eq!((response.status, &response.body["status"]), (202, &"accepted".into()));
    for query in ["atomic", "atomic=1", "atomic=TRUE", "atomic=true&x=1", "x=1", "atomic=true&atomic=false"] {
        // Its body is not read, so each has its own connection.
        let response = open(Ways::default()).client.ask(&post(&format!("{EACH}?{query}"), &bulk(&[GOOD]))).await;
        assert_eq!((response.status, response.code()), (400, "bad_request"), "{query}");
    }
    assert_eq!(house.client.ask(&post(&format!("{EACH}?atomic=false"), &bulk(&[GOOD]))).await.status, 202);
    assert_eq!(house.hang_up().await.kept.len(), 3);
}

#[tokio::test]
async fn what_comes_between_two_of_all_says_how_far_it_came_and_the_same_again_sends_the_rest() {
    let ways = Ways { at_mail: Some(Refusal::QuotaExceeded(60)), mails: 1, ..Ways::default() };
    let mut house = open(ways.clone());
    let response = house.client.ask(&keyed(ALL, &[GOOD, GOOD])).await;
    assert_eq!((response.status, response.field("retry-after")), (429, Some("60")));
    assert!(response.message().ends_with("(message 0 is kept and will be sent)"), "{response:?}");
    let first = house.hang_up().await.kept;
    let mut house = open(Ways { known: ways.known, ..Ways::default() });
    let again = house.client.ask(&keyed(ALL, &[GOOD, GOOD])).await;
    assert_eq!((again.status, again.field("idempotency-replayed")), (202, None));
    assert_eq!(again.body["results"][0]["id"], first[0].id.to_string());
    // Known whole: with another message it is another batch, and by itself each is another request.
    let whole = house.client.ask(&keyed(EACH, &[GOOD, GOOD])).await;
    assert_eq!((whole.field("idempotency-replayed"), &whole.body["results"]), (Some("true"), &again.body["results"]));
    let other = house.client.ask(&keyed(EACH, &[GOOD, GOOD, GOOD])).await;
    assert_eq!((other.status, other.code()), (422, "idempotency_mismatch"));
    let fields = format!("Authorization: Bearer {KEY}\r\nIdempotency-Key: order-17\r\n");
    let single = house.client.ask(&post_with("/v1/send", &fields, GOOD)).await;
    assert_eq!((single.status, single.field("idempotency-replayed")), (202, None));
    assert_eq!(house.hang_up().await.kept.len(), 2);
}

#[tokio::test]
async fn all_or_none_needs_a_key_and_keeps_nothing_without_one() {
    let mut house = open(Ways { at_mail: Some(Refusal::RateLimited(60)), mails: 1, ..Ways::default() });
    let response = house.client.ask(&post(ALL, &bulk(&[GOOD, GOOD]))).await;
    assert_eq!((response.status, response.findings()), (400, vec!["required Idempotency-Key".to_owned()]));
    let seen = house.hang_up().await;
    assert_eq!((seen.mails, seen.kept.len()), (0, 0));
    // What is wrong with the request's head is said before its body is there.
    let head = post(&format!("{EACH}?atomic=1"), "").replace("Content-Length: 0", "Content-Length: 100000");
    assert_eq!(open(Ways::default()).client.ask(&head).await.code(), "bad_request");
}

#[tokio::test]
async fn what_is_kept_is_told_by_its_numbers_in_the_order_of_the_request() {
    // The third is known, and its time is over: it is asked for first.
    let over = GOOD.replace('}', r#","scheduled_at":"2020-01-01T00:00:00Z"}"#);
    let messages = [GOOD, GOOD, &over];
    let key = Key::of(
        &[("idempotency-key", "order-17")]
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .into_iter()
            .collect(),
    );
    let letters = super::super::bulk::letters(bulk(&messages).as_bytes(), None).unwrap();
    let once = key.unwrap().unwrap().onces(letters.iter().map(|letter| letter.as_ref().ok())).pop().unwrap();
    let ways = Ways { at_mail: Some(Refusal::StoreFull), mails: 1, ..Ways::default() };
    ways.known.lock().unwrap().insert(once.key, (once.fingerprint, MessageId::now()));
    let response = open(ways).client.ask(&keyed(ALL, &messages)).await;
    assert_eq!(response.status, 503);
    assert!(response.message().starts_with("/messages/1: "), "{response:?}");
    assert!(response.message().ends_with("(messages 0, 2 are kept and will be sent)"), "{response:?}");
}

#[tokio::test]
async fn a_key_that_was_used_refuses_the_request_or_what_follows_one_that_was_kept_just_now() {
    let broken = GOOD.replace("b@example.org", "b");
    let mended = GOOD.replace("b@example.org", "c@example.org");
    for path in [EACH, ALL] {
        let ways = Ways::default();
        let mut house = open(ways.clone());
        assert_eq!(house.client.ask(&keyed(EACH, &[&broken, GOOD])).await.body["accepted"], 1);
        let response = house.client.ask(&keyed(path, &[&mended, GOOD])).await;
        let kept = house.hang_up().await.kept;
        assert_eq!(
            kept.iter().map(|message| &*message.recipients[0]).collect::<Vec<_>>(),
            ["b@example.org", "c@example.org"]
        );
        if path == EACH {
            let id = kept[1].id.to_string();
            assert_eq!((response.status, outcomes(&response.body)), (202, vec![&*id, "idempotency_mismatch"]));
        } else {
            assert_eq!((response.status, response.code()), (422, "idempotency_mismatch"));
            assert!(response.message().ends_with("(message 0 is kept and will be sent)"), "{response:?}");
        }
    }
    // Nothing is kept where the first was used already.
    let mut house = open(Ways::default());
    assert_eq!(house.client.ask(&keyed(EACH, &[GOOD, &broken])).await.body["accepted"], 1);
    for path in [EACH, ALL] {
        let response = house.client.ask(&keyed(path, &[GOOD, &mended])).await;
        assert_eq!((response.status, response.code()), (422, "idempotency_mismatch"));
        assert!(!response.message().contains("kept"), "{response:?}");
    }
    assert_eq!(house.hang_up().await.kept.len(), 1);
}

#[tokio::test]
async fn a_vault_that_is_lost_ends_the_batch_and_its_connection() {
    let mut house = open(Ways { falls_at_commit: true, ..Ways::default() });
    let response = house.client.ask(&post(EACH, &bulk(&[GOOD, GOOD, GOOD]))).await;
    assert_eq!((response.status, outcomes(&response.body)), (202, vec!["store_unavailable"; 3]));
    assert_eq!(response.field("connection"), Some("close"));
    let seen = house.seen();
    assert_eq!((seen.mails, seen.kept.len()), (1, 0), "no further one was asked for");
}

#[test]
fn the_document_has_the_bound_and_an_example_that_is_read() {
    let whole: serde_json::Value = serde_json::from_str(crate::edge::http::papers::OPENAPI).unwrap();
    assert_eq!(
        whole["components"]["schemas"]["Letters"]["properties"]["messages"]["maxItems"],
        super::super::bulk::MAX_MESSAGES
    );
    let media = &whole["paths"]["/v1/send-bulk"]["post"]["requestBody"]["content"]["application/json"];
    let letters = super::super::bulk::letters(media["example"].to_string().as_bytes(), None).unwrap();
    assert_eq!(letters.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false]);
}

#[tokio::test]
async fn nobody_to_send_to_is_of_one_message_and_a_limit_of_all_that_follow() {
    for path in [EACH, ALL] {
        let ways = Ways { at_commit: Some(Refusal::Suppressed), mails: 1, ..Ways::default() };
        let response = open(ways).client.ask(&keyed(path, &[GOOD, GOOD])).await;
        assert_eq!((response.status, &response.body["status"]), (202, &"partly_accepted".into()), "{response:?}");
        let error = &response.body["results"][1]["errors"][0];
        assert_eq!((&error["code"], &error["pointer"]), (&"suppressed".into(), &"/messages/1/to".into()));
    }
    let mut house = open(Ways { at_mail: Some(Refusal::RateLimited(7)), mails: 1, ..Ways::default() });
    let response = house.client.ask(&post(EACH, &bulk(&[GOOD, GOOD, GOOD]))).await;
    assert_eq!((response.status, outcomes(&response.body)[1..].to_vec()), (202, vec!["rate_limited"; 2]));
    let last = &response.body["results"][2];
    assert_eq!((&last["retry_after_seconds"], &last["retryable"]), (&7.into(), &true.into()));
    assert_eq!(last["message"].as_str().unwrap().split(':').next(), Some("/messages/2"));
    assert_eq!(house.hang_up().await.mails, 2, "no further one was asked for");
    let none = open(Ways { at_mail: Some(Refusal::StoreFull), ..Ways::default() })
        .client
        .ask(&post(EACH, &bulk(&[GOOD])))
        .await;
    assert_eq!((none.status, &none.body["status"], &none.body["accepted"]), (202, &"rejected".into(), &0.into()));
}

#[tokio::test]
async fn a_batch_is_an_array_in_a_member_of_one_to_a_hundred_for_keys_that_may_send() {
    let mut house = open(Ways::default());
    for (body, finding) in [
        ("{}".to_owned(), "required /messages"),
        ("[]".to_owned(), "wrong_type "),
        (r#"{"messages":null}"#.to_owned(), "required /messages"),
        (r#"{"messages":[]}"#.to_owned(), "required /messages"),
        (r#"{"messages":{}}"#.to_owned(), "wrong_type /messages"),
        (bulk(&[GOOD; 101]), "too_many /messages"),
        (bulk(&[GOOD]).replace("messages", "mesages"), "unknown_member /mesages"),
    ] {
        let response = house.client.ask(&post(EACH, &body)).await;
        assert_eq!(response.findings()[0], finding, "{response:?}");
    }
    let full = house.client.ask(&post(EACH, &bulk(&[GOOD; 100]))).await;
    assert_eq!((full.status, &full.body["accepted"]), (202, &100.into()));
    assert_eq!(house.hang_up().await.kept.len(), 100);

    let change: fn(&mut Grant) = |grant| grant.scopes.0 = [Scope::SendRaw].into();
    let mut house = open(Ways { grants: Some(change), ..Ways::default() });
    assert_eq!(house.client.ask(&post(EACH, &bulk(&[GOOD, GOOD]))).await.code(), "insufficient_scope");
    assert_eq!(house.hang_up().await.turned, [(None, None, 0, Refusal::Scope)]);
    let mut house = open(Ways { senders: vec!["ann@example.net".parse().unwrap()], ..Ways::default() });
    let nobody = GOOD.replace(r#""from":"Ann <ann@example.net>","#, "");
    assert_eq!(house.client.ask(&post(EACH, &bulk(&[&nobody]))).await.body["status"], "accepted");
    assert_eq!(
        House::with_desk(Ways::default(), |desk| desk.serve = vec![Serve::Resend])
            .client
            .ask(&post(EACH, ""))
            .await
            .status,
        404
    );
}
