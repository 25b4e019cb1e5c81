//! What Resend's clients say and must be told.

mod update;

use super::*;
use crate::edge::http::tests::house::Response;
use crate::ipc::session::Denial;
use crate::policy::refusal::Refusal;

const GOOD: &str = r#"{"from":"Ann <ann@example.net>","to":"b@example.org","subject":"Hello","text":"hi"}"#;
/// All names that its clients know: another one breaks some of them.
const NAMES: [&str; 21] = [
    "application_error",
    "concurrent_idempotent_requests",
    "daily_quota_exceeded",
    "internal_server_error",
    "invalid_access",
    "invalid_api_key",
    "invalid_attachment",
    "invalid_from_address",
    "invalid_idempotency_key",
    "invalid_idempotent_request",
    "invalid_parameter",
    "invalid_region",
    "method_not_allowed",
    "missing_api_key",
    "missing_required_field",
    "monthly_quota_exceeded",
    "not_found",
    "rate_limit_exceeded",
    "restricted_api_key",
    "security_error",
    "validation_error",
];

async fn ask(request: &str) -> Response {
    house(Ways::default(), &[Serve::Resend]).client.ask(request).await
}

/// Status, the same in the body, and the name, which must be a known one.
fn refusal(response: &Response) -> (u16, &str) {
    assert_eq!(response.body["statusCode"], response.status, "{response:?}");
    assert!(!response.message().is_empty(), "{response:?}");
    assert_eq!(response.field("content-type"), Some("application/json"));
    let name = response.body["name"].as_str().unwrap();
    assert!(NAMES.contains(&name), "{name}");
    (response.status, name)
}

#[tokio::test]
async fn an_email_is_kept_and_answered_with_200_and_its_id() {
    let mut house = house(Ways::default(), &[Serve::Resend]);
    for path in ["/emails", "//emails", "/resend/emails"] {
        let response = house.client.ask(&post(path, GOOD)).await;
        assert_eq!(response.status, 200, "{response:?}");
        assert!(response.body["id"].as_str().unwrap().parse::<uuid::Uuid>().is_ok(), "{response:?}");
    }
    let seen = house.hang_up().await;
    assert_eq!((seen.kept.len(), seen.logins), (3, 1));
    assert_eq!(
        (seen.kept[0].sender.as_str(), &seen.kept[0].recipients[..]),
        ("ann@example.net", &["b@example.org".to_owned()][..])
    );
    assert!(seen.kept[0].content.contains("\r\nSubject: Hello\r\n"), "{}", seen.kept[0].content);
}

#[tokio::test]
async fn what_clients_say_beside_it_is_passed_over_and_octets_are_files() {
    let mut house = house(Ways::default(), &[Serve::Resend]);
    let body = r#"{"from":"ann@example.net","to":["b@example.org"],"subject":"Hi","html":"<img src=cid:logo>","text":null,"template":null,
        "headers":[],"tags":[{"name":"a","value":"b"}],"topic_id":"t","whatever":{"x":[1,2]},"attachments":[
        {"filename":"a.bin","content":[104,101,108,108,111],"content_type":"application/octet-stream"},
        {"filename":"empty","content":[]},
        {"filename":"l.png","content":"aGVsbG8=","content_type":"image/png; charset=\"utf-8\"","inline_content_id":"logo","x":1}]}"#;
    let response = house.client.ask(&post("/emails", body)).await;
    assert_eq!(response.status, 200, "{response:?}");
    let seen = house.hang_up().await;
    let content = &seen.kept[0].content;
    assert_eq!(content.matches("\r\n\r\naGVsbG8=\r\n").count(), 2, "{content}");
    assert!(content.contains("Content-ID: <logo>") && content.contains("filename=\"empty\""), "{content}");
}

#[tokio::test]
async fn a_batch_is_strict_and_keeps_all_or_none() {
    let evil = r#"{"from":"x@evil.example","to":"b@example.org","subject":"x","text":"x"}"#;
    let cases = [
        (format!("[{GOOD},{GOOD}]"), 200, ""),
        (
            format!(r#"[{GOOD},{{"from":"ann@example.net","to":"nobody","subject":"x","text":"x"}}]"#),
            422,
            "validation_error",
        ),
        (
            format!(r#"[{GOOD},{{"from":"bad","to":"b@example.org","subject":"x","text":"x"}}]"#),
            422,
            "invalid_from_address",
        ),
        (format!("[{GOOD},{evil}]"), 403, "validation_error"),
        (format!("[{}]", vec![GOOD; 101].join(",")), 422, "validation_error"),
        ("[]".to_owned(), 422, "missing_required_field"),
        ("{}".to_owned(), 422, "validation_error"),
    ];
    for (body, status, name) in cases {
        let mut house = house(Ways::default(), &[Serve::Resend]);
        let fields = format!("Authorization: Bearer {KEY}\r\nx-batch-validation: strict\r\n");
        let response = house.client.ask(&post_with("/emails/batch", &fields, &body)).await;
        let kept = house.hang_up().await.kept;
        if status == 200 {
            let ids: Vec<_> =
                response.body["data"].as_array().unwrap().iter().map(|email| email["id"].clone()).collect();
            assert_eq!(ids, kept.iter().map(|message| message.id.to_string()).collect::<Vec<_>>());
            assert!(response.body.get("errors").is_none() && kept.len() == 2, "{response:?}");
        } else {
            assert_eq!(refusal(&response), (status, name), "{body}");
            assert!(kept.is_empty(), "{body}");
        }
    }
}

#[tokio::test]
async fn what_is_refused_for_good_behind_the_first_of_a_strict_batch_does_not_have_those_sent_twice() {
    // One that is too long: nothing is kept.
    let long = format!(
        r#"{{"from":"ann@example.net","to":"b@example.org","subject":"x","text":"x","attachments":[{{"filename":"a","content":"{}"}}]}}"#,
        "AAAA".repeat(400_000)
    );
    let mut small = house(Ways::default(), &[Serve::Resend]);
    let response = small.client.ask(&post("/emails/batch", &format!("[{GOOD},{long}]"))).await;
    assert_eq!((response.status, small.hang_up().await.mails), (413, 0), "{response:?}");
    // One that is for addresses alone which nothing is sent to: it is answered as the others are.
    let ways = Ways { mails: 1, at_commit: Some(Refusal::Suppressed), ..Ways::default() };
    let mut house = house(ways, &[Serve::Resend]);
    let response = house.client.ask(&post("/emails/batch", &format!("[{GOOD},{GOOD}]"))).await;
    assert_eq!(response.status, 200, "{response:?}");
    assert_eq!(response.body["data"].as_array().unwrap().len(), 2);
    assert_eq!(house.hang_up().await.kept.len(), 1);
}

#[tokio::test]
async fn what_is_to_be_sent_later_is_kept_for_its_time_also_where_that_is_said_by_how_far_ahead_it_lies() {
    let later = jiff::Timestamp::now() + std::time::Duration::from_secs(600);
    let with = |time: &str| GOOD.replace('}', &format!(r#","scheduled_at":"{time}"}}"#));
    let open = |desk: &mut crate::config::slice::Desk| {
        (desk.serve, desk.future_release) = (vec![Serve::Resend], Some(std::time::Duration::from_secs(3600)));
    };
    let mut house = House::with_desk(Ways::default(), open);
    let response = house.client.ask(&post("/emails", &with(&later.to_string()))).await;
    assert_eq!(response.status, 200, "{response:?}");
    for (words, why) in [
        ("tomorrow at 9am", "must be a time"),
        ("in 2 hours", "this listener holds nothing for more than 3600 seconds"),
        ("in 0 min", "is over"),
    ] {
        let response = house.client.ask(&post("/emails", &with(words))).await;
        assert_eq!(refusal(&response), (422, "validation_error"));
        assert!(response.message().contains(&format!("/scheduled_at: {why}")), "{response:?}");
    }
    let now_us = || u64::try_from(jiff::Timestamp::now().as_microsecond()).unwrap();
    let (ahead, before) = (10 * 60 * 1_000_000, now_us());
    // Sent again later it is the same request, whatever the clock says then.
    let fields = format!("Authorization: Bearer {KEY}\r\nIdempotency-Key: order-17\r\n");
    for words in ["in 10 min", "In 10 minutes", "in 600 sec"] {
        let response = house.client.ask(&post_with("/emails", &fields, &with(words))).await;
        assert_eq!(response.status, 200, "{words}: {response:?}");
    }
    let after = now_us();
    let response = house.client.ask(&post_with("/emails", &fields, &with("in 11 min"))).await;
    assert_eq!(refusal(&response), (409, "invalid_idempotent_request"), "{response:?}");
    let seen = house.hang_up().await;
    let expected = u64::try_from(later.as_microsecond()).unwrap();
    assert_eq!((seen.kept.len(), seen.kept[0].release_us), (2, Some(expected)));
    let release = seen.kept[1].release_us.unwrap();
    assert!((before + ahead..=after + ahead).contains(&release), "{release}");
}

#[tokio::test]
async fn a_strict_batch_with_one_whose_time_is_over_is_refused_whole_also_with_a_key() {
    let over = GOOD.replace('}', r#","scheduled_at":"2020-01-01T00:00:00Z"}"#);
    for key in ["", "Idempotency-Key: order-17\r\n"] {
        let mut house = House::with_desk(Ways::default(), |desk| {
            desk.serve = vec![Serve::Resend];
            desk.future_release = Some(std::time::Duration::from_secs(3600));
        });
        let fields = format!("Authorization: Bearer {KEY}\r\n{key}");
        let response = house.client.ask(&post_with("/emails/batch", &fields, &format!("[{GOOD},{GOOD},{over}]"))).await;
        assert_eq!(response.status, 422, "{response:?}");
        assert!(response.message().contains("message 2: /scheduled_at: is over"), "{response:?}");
        assert!(!response.message().contains("are kept"), "{response:?}");
        assert_eq!(house.hang_up().await.kept.len(), 0);
    }
}

#[tokio::test]
async fn a_permissive_batch_sends_what_is_sound_and_says_what_is_not() {
    let mut house = house(Ways::default(), &[Serve::Resend]);
    let evil = r#"{"from":"x@evil.example","to":"b@example.org","subject":"x","text":"x"}"#;
    let fields = format!("Authorization: Bearer {KEY}\r\nx-batch-validation: permissive\r\n");
    let response = house
        .client
        .ask(&post_with("/emails/batch", &fields, &format!(r#"[{{"to":"b@example.org"}},{GOOD},{evil},{GOOD}]"#)))
        .await;
    assert_eq!(response.status, 200, "{response:?}");
    assert_eq!(response.body["data"].as_array().unwrap().len(), 2);
    let errors: Vec<_> =
        response.body["errors"].as_array().unwrap().iter().map(|error| error["index"].as_u64().unwrap()).collect();
    assert_eq!(errors, [0, 2]);
    let response = house.client.ask(&post_with("/emails/batch", &fields, &format!("[{GOOD}]"))).await;
    assert_eq!(response.body["errors"].as_array().unwrap().len(), 0);
    assert_eq!(house.hang_up().await.kept.len(), 3);
}

#[tokio::test]
async fn refusals_have_the_names_that_clients_know() {
    let bad = |more: &str| {
        post(
            "/emails",
            &format!(r#"{{"from":"ann@example.net","to":"b@example.org","subject":"s","text":"hi",{more}}}"#),
        )
    };
    let cases = [
        (post("/emails", "{"), 400, "validation_error"),
        (post("/emails", "{}"), 422, "missing_required_field"),
        (
            post("/emails", r#"{"from":"ann@example.net","to":"b@example.org","text":"x"}"#),
            422,
            "missing_required_field",
        ),
        (
            post("/emails", r#"{"from":"ann@example.net","to":"b@example.org","subject":"x"}"#),
            422,
            "missing_required_field",
        ),
        (
            post("/emails", r#"{"from":"bad","to":"b@example.org","subject":"s","text":"x"}"#),
            422,
            "invalid_from_address",
        ),
        (post("/emails", r#"{"from":"ann@example.net","to":"bad","subject":"s","text":"x"}"#), 422, "validation_error"),
        (
            post("/emails", r#"{"from":"x@evil.example","to":"b@example.org","subject":"s","text":"x"}"#),
            403,
            "validation_error",
        ),
        (bad(r#""attachments":[{"filename":"a","path":"http://169.254.169.254/"}]"#), 422, "invalid_attachment"),
        (bad(r#""template":{"id":"x"}"#), 422, "validation_error"),
        (post_with("/emails", "", GOOD), 401, "missing_api_key"),
        (post_with("/emails", "Authorization: Bearer other\r\n", GOOD), 403, "invalid_api_key"),
        (
            "GET /emails/01a1f866-0d7b-7d39-bc3d-1f2a8b5c6d7e/attachments HTTP/1.1\r\nHost: gate\r\n\r\n".to_owned(),
            404,
            "not_found",
        ),
        ("GET /contacts HTTP/1.1\r\nHost: gate\r\n\r\n".to_owned(), 404, "not_found"),
        ("GET /domains HTTP/1.1\r\nHost: gate\r\n\r\n".to_owned(), 401, "missing_api_key"),
        ("POST /domains HTTP/1.1\r\nHost: gate\r\n\r\n".to_owned(), 405, "method_not_allowed"),
        ("PUT /emails HTTP/1.1\r\nHost: gate\r\n\r\n".to_owned(), 405, "method_not_allowed"),
        (post("/emails", GOOD).replace("application/json", "text/plain"), 415, "validation_error"),
    ];
    for (request, status, name) in cases {
        let response = ask(&request).await;
        assert_eq!(refusal(&response), (status, name), "{request}");
    }
    for (path, allow) in
        [("/emails", "GET, POST"), ("/emails/batch", "POST"), ("/emails/x", "GET, PATCH"), ("/emails/x/cancel", "POST")]
    {
        let response = ask(&format!("PUT {path} HTTP/1.1\r\nHost: gate\r\n\r\n")).await;
        assert_eq!(response.field("allow"), Some(allow), "{path}");
    }
}

#[tokio::test]
async fn the_vaults_words_have_names_too() {
    for (refusal_, status, name, retry) in [
        (Refusal::RateLimited(7), 429, "rate_limit_exceeded", Some("7")),
        (Refusal::QuotaExceeded(60), 429, "daily_quota_exceeded", Some("60")),
        (Refusal::StoreFull, 503, "application_error", Some("60")),
        (Refusal::Suppressed, 422, "validation_error", None),
        (Refusal::Header, 500, "internal_server_error", None),
        (Refusal::Scope, 401, "restricted_api_key", None),
    ] {
        let ways = Ways { at_mail: Some(refusal_), ..Ways::default() };
        let response = house(ways, &[Serve::Resend]).client.ask(&post("/emails", GOOD)).await;
        assert_eq!((refusal(&response), response.field("retry-after")), ((status, name), retry));
    }
    let ways = Ways { denial: Some(Denial::Wait(30)), ..Ways::default() };
    let response = house(ways, &[Serve::Resend]).client.ask(&post("/emails", GOOD)).await;
    assert_eq!(refusal(&response), (429, "rate_limit_exceeded"));
}

#[tokio::test]
async fn domains_and_keys_are_none_to_a_client_that_is_known() {
    let mut house = house(Ways::default(), &[Serve::Resend]);
    // Its library for Python sends a body with every GET.
    for (path, body) in
        [("/domains", ""), ("/api-keys", "Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")]
    {
        let end = if body.is_empty() { "\r\n" } else { body };
        let request = format!("GET {path} HTTP/1.1\r\nHost: gate\r\nAuthorization: Bearer {KEY}\r\n{end}");
        let response = house.client.ask(&request).await;
        assert_eq!(
            (response.status, response.body.to_string()),
            (200, r#"{"data":[],"has_more":false,"object":"list"}"#.into())
        );
    }
}

#[tokio::test]
async fn tags_come_as_its_clients_write_them() {
    let mut house = house(Ways::default(), &[Serve::Resend]);
    let with = |tags: &str| GOOD.replace('}', &format!(",\"tags\":{tags}}}"));
    for tags in [r#"[{"name":"kind","value":"bill"}]"#, r#"[{"kind":"bill"}]"#, "null", "[]"] {
        let sent = house.client.ask(&post("/emails", &with(tags))).await;
        assert_eq!(sent.status, 200, "{tags}: {sent:?}");
    }
    let refused = house.client.ask(&post("/emails", &with(r#"[{"name":"a b","value":"c"}]"#))).await;
    assert_eq!(refusal(&refused), (422, "validation_error"));
    let seen = house.hang_up().await;
    let tags: Vec<_> = seen.labels.iter().map(|label| label.tags.len()).collect();
    assert_eq!(tags, [1, 1, 0, 0]);
    for label in &seen.labels[..2] {
        assert_eq!((label.dialect.word(), label.tags[0].value.as_deref()), ("resend", Some("bill")));
    }
}

fn get(path: &str) -> String {
    // As its client for Python does.
    format!(
        "GET {path} HTTP/1.1\r\nHost: gate\r\nAuthorization: Bearer {KEY}\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{{}}"
    )
}

#[tokio::test]
async fn an_email_is_looked_up_with_all_the_members_that_its_clients_read() {
    let mut house = house(Ways::default(), &[Serve::Resend]);
    let letter = r#"{"from":"ann@example.net","to":["b@example.org","c@example.org"],"cc":"d@example.org","bcc":["e@example.org"],
        "subject":"Hello","text":"hi","tags":[{"name":"kind","value":"bill"}]}"#;
    let sent = house.client.ask(&post("/emails", letter)).await;
    let id = sent.body["id"].as_str().unwrap();
    for path in [format!("/emails/{id}"), format!("//emails/{id}"), format!("/resend/emails/{id}")] {
        let found = house.client.ask(&get(&path)).await;
        assert_eq!(found.status, 200, "{found:?}");
        let message_id =
            format!("<{}@gate.example.net>", id.parse::<MessageId>().unwrap().request_id().trim_start_matches("req_"));
        let expected = serde_json::json!({
            "object": "email", "id": id, "message_id": message_id, "to": ["b@example.org", "c@example.org"],
            "from": "ann@example.net", "created_at": "2023-11-14T22:13:20.000000+00:00", "subject": "Hello", "html": null,
            "text": null, "cc": ["d@example.org"], "bcc": ["e@example.org"], "reply_to": null, "last_event": "bounced",
            "scheduled_at": null, "tags": [{"name": "kind", "value": "bill"}],
        });
        assert_eq!(found.body, expected);
    }
    let list = house.client.ask(&get("/emails?limit=1&include=x")).await;
    assert_eq!((&list.body["object"], &list.body["has_more"]), (&"list".into(), &false.into()), "{list:?}");
    assert_eq!((&list.body["data"][0]["id"], &list.body["data"][0]["to"][1]), (&id.into(), &"c@example.org".into()));
    assert!(list.body["data"][0].get("tags").is_none() && list.body["data"][0].get("object").is_none());
    let page = house.seen().pages[0].clone();
    assert!(page.with_recipients && page.limit == 1, "{page:?}");
}

#[tokio::test]
async fn an_email_is_taken_back_if_it_can_be_and_what_is_not_there_is_not_found() {
    let mut house = house(Ways::default(), &[Serve::Resend]);
    let sent = house.client.ask(&post("/emails", GOOD)).await;
    let id = sent.body["id"].as_str().unwrap();
    let bare = format!(
        "POST /emails/{id}/cancel HTTP/1.1\r\nHost: gate\r\nAuthorization: Bearer {KEY}\r\nContent-Length: 0\r\n\r\n"
    );
    for request in [post(&format!("/emails/{id}/cancel"), "{}"), bare] {
        let canceled = house.client.ask(&request).await;
        assert_eq!((canceled.status, &canceled.body), (200, &serde_json::json!({"object": "email", "id": id})));
    }
    // To several, which this vault doesn't take back.
    let several = GOOD.replace("\"b@example.org\"", "[\"b@example.org\",\"c@example.org\"]");
    let sent = house.client.ask(&post("/emails", &several)).await;
    let late = house.client.ask(&post(&format!("/emails/{}/cancel", sent.body["id"].as_str().unwrap()), "{}")).await;
    assert_eq!(refusal(&late), (409, "validation_error"));
    for path in ["/emails/01a1f866-0d7b-7d39-bc3d-1f2a8b5c6d7e", "/emails/nonsense"] {
        assert_eq!(refusal(&house.client.ask(&get(path)).await), (404, "not_found"), "{path}");
        assert_eq!(
            refusal(&house.client.ask(&post(&format!("{path}/cancel"), "{}")).await),
            (404, "not_found"),
            "{path}"
        );
    }
    for (query, name) in [("limit=0", "invalid_parameter"), ("after=x", "invalid_parameter")] {
        assert_eq!(refusal(&house.client.ask(&get(&format!("/emails?{query}"))).await), (422, name), "{query}");
    }
}
