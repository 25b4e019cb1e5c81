//! What Postmark's clients say and must be told.

use std::sync::Arc;

use super::*;
use crate::edge::front::REHEARSING;
use crate::edge::http::tests::house::Response;
use crate::policy::refusal::Refusal;

const GOOD: &str = r#"{"From":"Ann <ann@example.net>","To":"b@example.org","Subject":"Hello","TextBody":"hi"}"#;

fn ask_for(path: &str, body: &str) -> String {
    post_with(path, &format!("x-postmark-server-token: {KEY}\r\n"), body)
}

async fn ask(request: &str) -> Response {
    house(Ways::default(), &[Serve::Postmark]).client.ask(request).await
}

/// Status and number; both members are always there.
fn refusal(response: &Response) -> (u16, u64) {
    assert!(!said(response).is_empty(), "{response:?}");
    (response.status, response.body["ErrorCode"].as_u64().unwrap())
}

fn said(response: &Response) -> &str {
    response.body["Message"].as_str().unwrap()
}

#[tokio::test]
async fn an_email_is_kept_and_answered_with_whom_it_goes_to() {
    let mut house = house(Ways::default(), &[Serve::Postmark]);
    let body = r#"{"From":"\"Doe, Ann\" <ann@example.net>","To":"\"Roe, B\" <b@example.org>, c@example.org","Cc":"d@example.org",
        "Bcc":"e@example.org","ReplyTo":"r@example.net,s@example.net","Subject":"Hi","HtmlBody":"<p>x","TextBody":null,"Tag":"t",
        "Metadata":{"a":"b"},"TrackOpens":true,"TrackLinks":"None","MessageStream":"outbound","Headers":[{"Name":"X-A","Value":"1"}],
        "Attachments":[{"Name":"l.png","Content":"aGVs\r\nbG8=","ContentType":"image/png","ContentID":"cid:logo","ContentLength":5},
        {"Name":"b.txt","Content":"aGVsbG8=","ContentType":"text/plain","ContentID":""}]}"#;
    for path in ["/email", "/postmark/email", "//email"] {
        let response = house.client.ask(&ask_for(path, body)).await;
        assert_eq!(response.status, 200, "{response:?}");
        assert_eq!(response.body["To"], "\"Roe, B\" <b@example.org>, c@example.org");
        assert_eq!((&response.body["Cc"], &response.body["ErrorCode"]), (&"d@example.org".into(), &0.into()));
        assert_eq!(response.body["Message"], "OK");
        assert!(response.body["MessageID"].as_str().unwrap().parse::<uuid::Uuid>().is_ok());
        let at = response.body["SubmittedAt"].as_str().unwrap();
        assert!(at.len() == "2026-11-20T10:00:00.0000000Z".len() && at.parse::<jiff::Timestamp>().is_ok(), "{at}");
    }
    let seen = house.hang_up().await;
    assert_eq!((seen.kept.len(), seen.logins), (3, 1));
    assert_eq!(seen.kept[0].recipients, ["b@example.org", "c@example.org", "d@example.org", "e@example.org"]);
    let label = &seen.labels[0];
    assert_eq!((label.dialect.word(), label.tags[0].name.as_str(), label.shown), ("postmark", "t", Some((2, 1))));
    assert_eq!(label.metadata, [("a".to_owned(), "b".to_owned())]);
    assert!(!seen.kept[0].content.contains("Metadata"), "it is not sent");
    let content = &seen.kept[0].content;
    assert!(content.contains("X-A: 1") && content.contains("Content-ID: <logo>"), "{content}");
    assert!(content.matches("aGVsbG8=").count() == 2 && content.contains("s@example.net"), "{content}");
}

#[tokio::test]
async fn a_batch_is_answered_item_by_item() {
    let mut house = house(Ways::default(), &[Serve::Postmark]);
    let bad = r#"{"From":"ann@example.net","To":"Nobody <bad>","TextBody":"x"}"#;
    let evil = r#"{"From":"x@evil.example","To":"b@example.org","TextBody":"x"}"#;
    let response = house.client.ask(&ask_for("/email/batch", &format!("[{GOOD},{bad},{evil},{GOOD},7]"))).await;
    assert_eq!(response.status, 200, "{response:?}");
    let items = response.body.as_array().unwrap();
    let codes: Vec<_> = items.iter().map(|item| item["ErrorCode"].as_u64().unwrap()).collect();
    assert_eq!(codes, [0, 300, 400, 0, 300]);
    assert_eq!(items[1]["Message"], "Invalid 'To' address: 'bad'.");
    let kept = house.hang_up().await.kept;
    assert_eq!((kept.len(), items[3]["MessageID"].as_str()), (2, Some(kept[1].id.to_string().as_str())));
    for (body, code) in
        [(format!("[{}]", vec!["{}"; 501].join(",")), 410), ("{}".to_owned(), 300), ("[]".to_owned(), 300)]
    {
        assert_eq!(refusal(&ask(&ask_for("/email/batch", &body)).await), (422, code));
    }
}

#[tokio::test]
async fn a_full_batch_fits() {
    let message = r#"{"From":"ann@example.net","To":"b@example.org","Cc":null,"Bcc":null,"Subject":"s","Tag":null,"HtmlBody":null,
        "TextBody":"x","Metadata":null,"ReplyTo":null,"Headers":[{"Name":"X-A","Value":"1"}],"TrackOpens":null,"TrackLinks":"None","Attachments":null}"#;
    let mut house = house(Ways::default(), &[Serve::Postmark]);
    let response = house.client.ask(&ask_for("/email/batch", &format!("[{}]", vec![message; 500].join(",")))).await;
    assert_eq!(response.status, 200, "{:?}", response.body);
    assert_eq!(house.hang_up().await.kept.len(), 500);
}

#[tokio::test]
async fn refusals_have_the_numbers_and_words_that_clients_know() {
    let with = |more: &str| ask_for("/email", &format!(r#"{{"From":"ann@example.net",{more}}}"#));
    let token = "Request does not contain a valid Server token.";
    let cases = [
        (ask_for("/email", "{"), 422, 402, "the body is not the JSON"),
        (ask_for("/email", "[]"), 422, 300, "The body must be an object"),
        (with(r#""To":"a'b","TextBody":"x""#), 422, 300, "Invalid 'To' address: it is not an address"),
        (with(r#""To":"b@example.org, bad","TextBody":"x""#), 422, 300, "Invalid 'To' address: 'bad'."),
        (with(r#""To":"b@example.org","Cc":"X <b@d@e>","TextBody":"x""#), 422, 300, "Invalid 'Cc' address: 'b@d@e'."),
        (with(r#""To":"","TextBody":"x""#), 422, 300, "'To' is missing"),
        (with(r#""To":"b@example.org""#), 422, 300, "'TextBody' is missing"),
        (with(r#""To":"b@example.org","HtmlBody":7"#), 422, 300, "'HtmlBody' must be a string"),
        (
            with(r#""To":"b@example.org","TextBody":"x","Attachments":[{"Name":"a","Content":"*"}]"#),
            422,
            300,
            "'Attachments[0].Content' is not valid base64",
        ),
        (with(r#""To":"b@example.org","TemplateId":7"#), 422, 1101, "templates are not supported"),
        (
            ask_for("/email", r#"{"From":"bad","To":"b@example.org","TextBody":"x"}"#),
            422,
            300,
            "Invalid 'From' address: ",
        ),
        (
            ask_for("/email", r#"{"From":"x@evil.example","To":"b@example.org","TextBody":"x"}"#),
            422,
            400,
            "'From' this key may",
        ),
        (with(r#""To":"x@competitor.example","TextBody":"x""#), 422, 300, "'To' this key may not send"),
        (ask_for("/email/withTemplate/", "{}"), 422, 1101, "templates are not supported"),
        (post_with("/email", "", GOOD), 401, 10, token),
        (post_with("/email", "X-Postmark-Server-Token: other\r\n", GOOD), 401, 10, token),
        (
            post_with("/email", &format!("X-Postmark-Server-Token: {KEY}\r\nAuthorization: Bearer {KEY}\r\n"), GOOD),
            422,
            402,
            "send the key once",
        ),
        (ask_for("/email", GOOD).replace("application/json", "text/plain"), 415, 409, "application/json"),
        ("GET /messages/inbound HTTP/1.1\r\nHost: gate\r\n\r\n".to_owned(), 404, 404, "nothing at this path"),
        ("GET /email HTTP/1.1\r\nHost: gate\r\n\r\n".to_owned(), 405, 300, "POST"),
    ];
    for (request, status, code, words) in cases {
        let response = ask(&request).await;
        assert_eq!(refusal(&response), (status, code), "{request}\n{response:?}");
        assert!(said(&response).contains(words), "{request}\n{response:?}");
        assert!(!said(&response).contains(KEY));
    }
}

#[tokio::test]
async fn two_tokens_are_a_request_with_two_meanings() {
    let fields = format!("X-Postmark-Server-Token: {KEY}\r\nX-Postmark-Server-Token: {KEY}\r\n");
    let mut house = house(Ways::default(), &[Serve::Postmark]);
    assert_eq!(refusal(&house.client.ask(&post_with("/email", &fields, GOOD)).await), (422, 402));
    assert_eq!(house.seen().asks, 0);
}

#[tokio::test]
async fn the_vaults_words_have_numbers_too_and_the_suppressed_are_named() {
    for (refused, status, code) in [
        (Refusal::RateLimited(7), 429, 429),
        (Refusal::StoreFull, 503, 100),
        (Refusal::Header, 500, 500),
        (Refusal::Scope, 401, 10),
        (Refusal::Suppressed, 422, 406),
    ] {
        let ways = Ways { at_mail: Some(refused), ..Ways::default() };
        let body = r#"{"From":"ann@example.net","To":"Bea <B@example.org>, c@example.org","Cc":"b@example.org","TextBody":"x"}"#;
        let response = house(ways, &[Serve::Postmark]).client.ask(&ask_for("/email", body)).await;
        assert_eq!(refusal(&response), (status, code));
        if refused == Refusal::Suppressed {
            let words = "Found inactive addresses: b@example.org, c@example.org. Inactive recipients are ones that";
            assert!(said(&response).contains(words), "{response:?}");
        }
    }
}

#[tokio::test]
async fn the_token_of_tests_sends_nothing_and_asks_nobody() {
    let token = "X-Postmark-Server-Token: POSTMARK_API_TEST\r\n";
    let mut house = house(Ways::default(), &[Serve::Postmark]);
    let response = house.client.ask(&post_with("/email", token, GOOD)).await;
    assert_eq!((response.status, said(&response)), (200, "Test job accepted"), "{response:?}");
    let response = house.client.ask(&post_with("/email/batch", token, &format!("[{GOOD},{{}}]"))).await;
    assert_eq!((&response.body[0]["ErrorCode"], &response.body[1]["ErrorCode"]), (&0.into(), &300.into()));
    assert_ne!(response.body[0]["MessageID"], response.body[1]["MessageID"]);
    let response = house.client.ask(&post_with("/email", token, "{}")).await;
    assert_eq!(refusal(&response), (422, 300));
    // A question has no body, and so no type of one.
    let response = house.client.ask(&format!("GET /server HTTP/1.1\r\nHost: gate\r\n{token}\r\n")).await;
    assert_eq!(response.status, 401, "{response:?}");
    let long = format!(r#"{{"TextBody":"{}"}}"#, "x".repeat(20_000));
    let response = house.client.ask(&post_with("/email", token, &long)).await;
    assert_eq!((refusal(&response), response.field("connection")), ((413, 300), Some("close")));
    assert_eq!(house.hang_up().await.asks, 0);
}

#[tokio::test]
async fn the_token_of_tests_has_room_for_few_at_a_time_and_no_customers_is_taken() {
    let token = "X-Postmark-Server-Token: POSTMARK_API_TEST\r\n";
    let mut house = house(Ways::default(), &[Serve::Postmark]);
    let front = Arc::clone(&house.front);
    let others = front.rehearsing.try_acquire_many(REHEARSING as u32).unwrap();
    let response = house.client.ask(&post_with("/email", token, GOOD)).await;
    assert_eq!((refusal(&response), response.field("retry-after")), ((503, 100), Some("2")));
    drop(others);
    let mut next = super::house(Ways::default(), &[Serve::Postmark]);
    next.front.rehearsing.forget_permits(REHEARSING);
    assert_eq!(next.client.ask(&ask_for("/email", GOOD)).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn a_body_with_the_token_of_tests_has_little_time() {
    let mut house = house(Ways::default(), &[Serve::Postmark]);
    let fields = "X-Postmark-Server-Token: POSTMARK_API_TEST\r\nContent-Type: application/json\r\nContent-Length: 900";
    house.client.say(&format!("POST /email HTTP/1.1\r\nHost: gate\r\n{fields}\r\n\r\n{{")).await;
    let begun = tokio::time::Instant::now();
    assert_eq!(house.client.hear().await.status, 408);
    assert!(begun.elapsed().as_secs() < 7);
    assert_eq!(house.front.rehearsing.available_permits(), REHEARSING);
}

#[tokio::test]
async fn a_list_of_addresses_is_as_long_as_all_recipients_can_need_and_no_longer() {
    let with = |to: String| format!(r#"{{"From":"ann@example.net","To":"{to}","Subject":"x","TextBody":"x"}}"#);
    let long = format!("\\\"Ann {}\\\" <b@example.org>", "x".repeat(100));
    let all = vec![long; 50].join(", ");
    for (to, status) in [(all, 200), ("a,".repeat(1_000_000), 422), (",".repeat(100_000), 422)] {
        let mut house = house(Ways::default(), &[Serve::Postmark]);
        let response = house.client.ask(&ask_for("/email", &with(to))).await;
        assert_eq!(response.status, status, "{:.300?}", response.body.to_string());
        if status == 422 {
            assert!(said(&response).contains("'To' is longer than"), "{response:?}");
        }
    }
}

#[tokio::test]
async fn one_place_that_too_much_waits_for_is_no_matter_of_the_rest_of_a_batch() {
    let ways = Ways { mails: 1, at_mail: Some(Refusal::BackedUp(7)), ..Ways::default() };
    let mut house = house(ways, &[Serve::Postmark]);
    let response = house.client.ask(&ask_for("/email/batch", &format!("[{GOOD},{GOOD},{GOOD}]"))).await;
    assert_eq!(response.body[2]["ErrorCode"], 100);
    assert_eq!(house.hang_up().await.mails, 3, "each was asked for");
}

#[tokio::test]
async fn the_server_is_the_gate() {
    let mut house = house(Ways::default(), &[Serve::Postmark]);
    let get = |fields: &str| format!("GET /server HTTP/1.1\r\nHost: gate\r\n{fields}\r\n");
    let response = house.client.ask(&get(&format!("X-Postmark-Server-Token: {KEY}\r\n"))).await;
    assert_eq!((response.status, &response.body["Name"]), (200, &"gate.example.net".into()), "{response:?}");
    assert_eq!(refusal(&ask(&get("")).await), (401, 10));
}

#[tokio::test]
async fn after_a_limit_the_rest_of_a_batch_waits_too() {
    let ways = Ways { mails: 1, at_mail: Some(Refusal::RateLimited(7)), ..Ways::default() };
    let mut house = house(ways, &[Serve::Postmark]);
    let response = house.client.ask(&ask_for("/email/batch", &format!("[{GOOD},{GOOD},{GOOD}]"))).await;
    let codes: Vec<_> =
        response.body.as_array().unwrap().iter().map(|item| item["ErrorCode"].as_u64().unwrap()).collect();
    assert_eq!((response.status, codes), (200, vec![0, 429, 429]));
    // The vault is asked for the one that was kept, and for the one that has met the limit.
    let seen = house.hang_up().await;
    assert_eq!((seen.kept.len(), seen.mails), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn a_batch_whose_vault_falls_ends_the_connection() {
    let ways = Ways { falls_at_commit: true, ..Ways::default() };
    let mut house = house(ways, &[Serve::Postmark]);
    let response = house.client.ask(&ask_for("/email/batch", &format!("[{GOOD},{GOOD}]"))).await;
    let codes: Vec<_> =
        response.body.as_array().unwrap().iter().map(|item| item["ErrorCode"].as_u64().unwrap()).collect();
    assert_eq!((response.status, codes, response.field("connection")), (200, vec![100, 100], Some("close")));
    assert!(house.client.is_closed().await);
}

#[tokio::test]
async fn a_tag_is_free_text_and_metadata_are_texts() {
    let mut house = house(Ways::default(), &[Serve::Postmark]);
    let with = |member: &str| GOOD.replace('}', &format!(",{member}}}"));
    let sent = house.client.ask(&ask_for("/email", &with(r#""Tag":"Order: 17, \u00e4","Metadata":{}"#))).await;
    assert_eq!(sent.status, 200, "{sent:?}");
    for (member, number, words) in [
        (r#""Tag":7"#, 300, "'Tag' must be a string"),
        (r#""Tag":"a\r\nb""#, 300, "'Tag' holds"),
        (r#""Metadata":{"a":7}"#, 300, "'Metadata"),
        (r#""Metadata":["a"]"#, 300, "'Metadata' must be an object"),
    ] {
        let refused = house.client.ask(&ask_for("/email", &with(member))).await;
        assert_eq!(refusal(&refused), (422, number), "{member}");
        assert!(said(&refused).starts_with(words), "{refused:?}");
    }
    let seen = house.hang_up().await;
    assert_eq!(seen.labels[0].tags[0].name, "Order: 17, ä");
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: gate\r\nx-postmark-server-token: {KEY}\r\n\r\n")
}

#[tokio::test]
async fn messages_are_searched_and_one_is_told_with_what_happened_to_it() {
    let mut house = house(Ways::default(), &[Serve::Postmark]);
    let letter = r#"{"From":"ann@example.net","To":"b@example.org","Cc":"c@example.org","Bcc":"d@example.org","Subject":"Hello",
        "TextBody":"hi","Tag":"Order 17","Metadata":{"a":"b"}}"#;
    let sent = house.client.ask(&ask_for("/email", letter)).await;
    let id = sent.body["MessageID"].as_str().unwrap();
    let one = house.client.ask(&get(&format!("/messages/outbound/{id}/details"))).await;
    assert_eq!(one.status, 200, "{one:?}");
    let body = &one.body;
    assert_eq!((&body["MessageID"], &body["Tag"], &body["Subject"]), (&id.into(), &"Order 17".into(), &"Hello".into()));
    assert_eq!(body["To"], serde_json::json!([{"Email": "b@example.org", "Name": null}]));
    assert_eq!((&body["Cc"][0]["Email"], &body["Bcc"][0]["Email"]), (&"c@example.org".into(), &"d@example.org".into()));
    assert_eq!(
        (&body["Status"], &body["Metadata"]["a"], &body["Body"]),
        (&"Processed".into(), &"b".into(), &"".into())
    );
    assert_eq!(body["ReceivedAt"], "2023-11-14T22:13:20.0000000Z");
    let event = serde_json::json!({
        "Recipient": "b@example.org", "Type": "Bounced", "ReceivedAt": "2023-11-14T22:13:21.5000000Z", "Details": {"Summary": "550 5.1.1"},
    });
    assert_eq!(body["MessageEvents"], serde_json::json!([event]));

    for _ in 0..3 {
        house.client.ask(&ask_for("/email", GOOD)).await;
    }
    let page = house.client.ask(&get("/messages/outbound?count=2&offset=1&tag=Order+17")).await;
    assert_eq!((page.status, page.body["Messages"].as_array().unwrap().len()), (200, 2), "{page:?}");
    let pages = house.seen().pages;
    assert_eq!((pages[0].limit, pages[0].with_recipients, pages[1].limit), (1, false, 2), "{pages:?}");
    assert_eq!(pages[1].tag.as_deref(), Some("Order 17"));
    let wrong = house.client.ask(&get("/messages/outbound?count=2&subject=x")).await;
    assert_eq!(refusal(&wrong), (422, 300));
    for id in ["01a1f866-0d7b-7d39-bc3d-1f2a8b5c6d7e", "nonsense"] {
        let unknown = house.client.ask(&get(&format!("/messages/outbound/{id}/details"))).await;
        assert_eq!(refusal(&unknown), (422, 701), "{id}");
    }
    let dump = house.client.ask(&get(&format!("/messages/outbound/{id}/dump"))).await;
    assert_eq!(refusal(&dump), (404, 404));
}

#[tokio::test(start_paused = true)]
async fn a_search_waits_for_its_next_questions_and_not_for_ever() {
    let ways = Ways { at_inquiry: Some(Refusal::RateLimited(3)), ..Ways::default() };
    let mut house = house(ways, &[Serve::Postmark]);
    let begun = tokio::time::Instant::now();
    let response = house.client.ask(&get("/messages/outbound?count=2&offset=0")).await;
    assert_eq!((refusal(&response), response.field("retry-after")), ((429, 429), Some("3")));
    assert_eq!(begun.elapsed().as_secs(), 9);
}
