//! What useSend's clients say and must be told.

use std::time::Duration;

use super::*;
use crate::policy::refusal::Refusal;

const GOOD: &str = r#"{"from":"Ann <ann@example.net>","to":["b@example.org"],"subject":"Hello","text":"hi","replyTo":"r@example.net","x":1}"#;

#[tokio::test]
async fn an_email_and_a_batch_are_kept_and_answered_with_their_ids() {
    let mut house = house(Ways::default(), &[Serve::Usesend]);
    let response = house.client.ask(&post("/api/v1/emails", GOOD)).await;
    assert_eq!(response.status, 200, "{response:?}");
    assert!(response.body["emailId"].as_str().unwrap().parse::<uuid::Uuid>().is_ok());
    let response = house.client.ask(&post("/api/v1/emails/batch", &format!("[{GOOD},{GOOD}]"))).await;
    assert_eq!((response.status, response.body["data"].as_array().unwrap().len()), (200, 2));
    let kept = house.hang_up().await.kept;
    assert_eq!(response.body["data"][1]["emailId"], kept[2].id.to_string());
    assert!(kept[0].content.contains("\r\nReply-To: <r@example.net>\r\n"), "{}", kept[0].content);
}

#[tokio::test]
async fn refusals_have_the_codes_that_clients_know() {
    let cases = [
        (post("/api/v1/emails", "{"), 400, "BAD_REQUEST"),
        (post("/api/v1/emails", "{}"), 400, "BAD_REQUEST"),
        (
            post("/api/v1/emails", r#"{"from":"a@example.net","to":"b@example.org","subject":"s","templateId":"x"}"#),
            400,
            "BAD_REQUEST",
        ),
        (post("/api/v1/emails/batch", &format!("[{GOOD},7]")), 400, "BAD_REQUEST"),
        (post("/api/v1/emails", &GOOD.replace("ann@example.net", "x@evil.example")), 403, "FORBIDDEN"),
        (post_with("/api/v1/emails", "", GOOD), 401, "UNAUTHORIZED"),
        (post_with("/api/v1/emails", "Authorization: Bearer other\r\n", GOOD), 403, "FORBIDDEN"),
        ("GET /api/v1/contactBooks HTTP/1.1\r\nHost: gate\r\n\r\n".to_owned(), 404, "NOT_FOUND"),
        ("GET /api/v1/emails HTTP/1.1\r\nHost: gate\r\n\r\n".to_owned(), 405, "METHOD_NOT_ALLOWED"),
    ];
    for (request, status, code) in cases {
        let mut house = house(Ways::default(), &[Serve::Usesend]);
        let response = house.client.ask(&request).await;
        assert_eq!((response.status, &response.body["error"]["code"]), (status, &code.into()), "{request}");
        assert!(!response.body["error"]["message"].as_str().unwrap().is_empty());
        assert!(house.hang_up().await.kept.is_empty());
    }
    for (refused, status, code) in
        [(Refusal::RateLimited(7), 429, "RATE_LIMITED"), (Refusal::StoreFull, 503, "INTERNAL_SERVER_ERROR")]
    {
        let ways = Ways { at_mail: Some(refused), ..Ways::default() };
        let response = house(ways, &[Serve::Usesend]).client.ask(&post("/api/v1/emails", GOOD)).await;
        assert_eq!((response.status, &response.body["error"]["code"]), (status, &code.into()));
    }
}

#[tokio::test]
async fn what_is_to_be_sent_later_is_kept_for_its_time_and_faults_name_the_members_of_its_clients() {
    let mut house = House::with_desk(Ways::default(), |desk| {
        desk.serve = vec![Serve::Usesend];
        desk.future_release = Some(Duration::from_secs(3600));
    });
    let time = jiff::Timestamp::from_second(jiff::Timestamp::now().as_second() + 600).unwrap();
    let later = |time: &str| GOOD.replace("\"x\":1", &format!("\"scheduledAt\":\"{time}\""));
    assert_eq!(house.client.ask(&post("/api/v1/emails", &later(&time.to_string()))).await.status, 200);
    let over = later("2020-01-01T00:00:00Z");
    for (path, body, message) in [
        ("/api/v1/emails", over.clone(), "/scheduledAt: is over"),
        ("/api/v1/emails/batch", format!("[{GOOD},{over}]"), "message 1: /scheduledAt: is over"),
        ("/api/v1/emails", later("tomorrow"), "/scheduledAt: must be a time"),
        ("/api/v1/emails", GOOD.replace("r@example.net", "r"), "/replyTo: is not an address"),
    ] {
        let response = house.client.ask(&post(path, &body)).await;
        let told = response.body["error"]["message"].as_str().unwrap();
        assert!(response.status == 400 && told.starts_with(message), "{response:?}");
    }
    let seen = house.hang_up().await;
    let expected = u64::try_from(time.as_microsecond()).unwrap();
    assert_eq!((seen.kept.len(), seen.kept[0].release_us), (1, Some(expected)));
}
