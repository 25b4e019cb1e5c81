//! What clients of `/send` say and must be told.

use super::*;
use crate::policy::Grant;
use crate::policy::form::Form;
use crate::policy::refusal::Refusal;

const GOOD: &str = r#"{"from":{"address":"ann@example.net","name":"Ann"},"to":["b@example.org"],"cc":"b@example.org","bcc":[],"subject":"Hello",
    "text":"hi","html":"","headers":{"X-A":"1"},"attachments":[{"content":"aGVsbG8=","filename":"a.txt","type":"text/plain"}],
    "cf-turnstile-response":"x"}"#;

#[tokio::test]
async fn a_message_is_kept_and_answered_with_whom_it_waits_for() {
    // Whatever keeps it from being told what became of it.
    let ways = Ways { at_inquiry: Some(Refusal::RateLimited(1)), ..Ways::default() };
    let mut house = house(ways, &[Serve::Send]);
    let response = house.client.ask(&post("/send", GOOD)).await;
    assert_eq!(response.status, 200, "{response:?}");
    let kept = house.hang_up().await.kept;
    let expected = serde_json::json!({"ok":true,"id":kept[0].id.to_string(),"outcome":"queued","delivered":[],"queued":["b@example.org"],"bounced":[]});
    assert_eq!(response.body, expected);
    assert!(
        kept[0].content.contains("From: \"Ann\" <ann@example.net>") && kept[0].content.contains("aGVsbG8="),
        "{}",
        kept[0].content
    );
}

/// The stand-in's first recipient fails, and the others have it.
#[tokio::test]
async fn who_waits_is_told_who_has_it_and_who_never_will() {
    let plain = |to: &str| format!(r#"{{"from":"ann@example.net","subject":"s","text":"x","to":{to}}}"#);
    for (to, outcome, delivered, bounced) in [
        (r#"["b@example.org","c@example.org"]"#, "delivered", &["c@example.org"][..], &["b@example.org"][..]),
        (r#""b@example.org""#, "bounced", &[], &["b@example.org"]),
        // Who is named twice gets one.
        (r#"["b@example.org","b@example.org","c@example.org"]"#, "delivered", &["c@example.org"], &["b@example.org"]),
    ] {
        let ways = Ways { over: Some(Over::Ended), ..Ways::default() };
        let response = house(ways, &[Serve::Send]).client.ask(&post("/send", &plain(to))).await;
        let body = &response.body;
        assert_eq!((response.status, body["outcome"].as_str()), (200, Some(outcome)), "{to}: {body}");
        assert_eq!((&body["delivered"], &body["bounced"]), (&delivered.into(), &bounced.into()), "{to}");
        assert_eq!(body["queued"], serde_json::json!([]), "{to}");
    }
}

#[tokio::test]
async fn a_key_that_demands_turnstile_sends_its_token_to_the_vault_and_no_other_key_does() {
    let demands: fn(&mut Grant) = |grant| grant.turnstile = true;
    let ways = || Ways { grants: Some(demands), ..Ways::default() };
    let with = |field: &str| post("/send", &GOOD.replace("cf-turnstile-response", field));
    let in_header = post_with(
        "/send",
        &format!("Authorization: Bearer {KEY}\r\nCF-Turnstile-Response: x\r\n"),
        &GOOD.replace("cf-turnstile-", "x-"),
    );
    for request in [with("cf-turnstile-response"), in_header] {
        let mut house = house(ways(), &[Serve::Send]);
        let response = house.client.ask(&request).await;
        assert_eq!(response.status, 200, "{response:?}");
        let seen = house.hang_up().await;
        assert_eq!((seen.proofs, seen.kept.len()), (vec!["x".to_owned()], 1));
        assert!(!seen.kept[0].content.to_ascii_lowercase().contains("turnstile"));
    }
    // Where none is demanded, none is looked at: it may be anything.
    let mut free = house(Ways::default(), &[Serve::Send]);
    let odd = post("/send", &GOOD.replace("\"cf-turnstile-response\":\"x\"", "\"cf-turnstile-response\":7"));
    assert_eq!(free.client.ask(&odd).await.status, 200);
    assert!(free.hang_up().await.proofs.is_empty());
    // Without one the vault hears of the refusal and of no message.
    let mut without = house(ways(), &[Serve::Send, Serve::V1]);
    for path in ["/send", "/v1/send"] {
        let plain = r#"{"from":"ann@example.net","to":"b@example.org","subject":"s","text":"x"}"#;
        let response = without.client.ask(&post(path, plain)).await;
        assert_eq!((response.status, response.code()), (403, "turnstile_failed"), "{path}");
    }
    let seen = without.hang_up().await;
    assert_eq!((seen.mails, seen.kept.len(), seen.turned.len()), (0, 0, 2));
    assert!(seen.turned.iter().all(|(.., refusal)| *refusal == Refusal::TurnstileMissing));
    // A page that names two different ones is mistaken; and so is one that sends what is none.
    for (field, value) in [("CF-Turnstile-Response: other\r\n", "x"), ("", "two words")] {
        let mut house = house(ways(), &[Serve::Send]);
        let body = GOOD.replace("\"cf-turnstile-response\":\"x\"", &format!("\"cf-turnstile-response\":\"{value}\""));
        let response =
            house.client.ask(&post_with("/send", &format!("Authorization: Bearer {KEY}\r\n{field}"), &body)).await;
        assert_eq!((response.status, response.code()), (400, "invalid"), "{field}");
        assert_eq!(house.hang_up().await.mails, 0);
    }
    for (refused, status, code, retry) in [
        (Refusal::TurnstileRefused, 403, "turnstile_failed", None),
        (Refusal::TurnstileHostname, 403, "turnstile_failed", None),
        (Refusal::TurnstileAction, 403, "turnstile_failed", None),
        (Refusal::TurnstileUnavailable, 503, "turnstile_unavailable", Some("5")),
    ] {
        let ways = Ways { at_commit: Some(refused), ..ways() };
        let response = house(ways, &[Serve::Send]).client.ask(&post("/send", GOOD)).await;
        assert_eq!((response.status, response.code(), response.field("retry-after")), (status, code, retry));
        assert_eq!(response.body["request_id"].as_str(), response.field("x-request-id"));
    }
}

#[tokio::test]
async fn a_key_of_a_form_sends_from_its_pages_alone_and_its_addresses_stand_in_none() {
    let bound: fn(&mut Grant) = |grant| {
        grant.turnstile = true;
        grant.form = Some(Form { origins: vec!["https://www.example.net".into()] });
        grant.senders = vec!["form@example.net".parse().unwrap()];
        grant.recipients.allow = vec!["office@example.org".parse().unwrap(), "boss@example.org".parse().unwrap()];
    };
    let said = |from: &str, more: &str| {
        let body = format!(r#"{{"subject":"s","text":"x","cf-turnstile-response":"t"{more}}}"#);
        post_with("/send", &format!("Authorization: Bearer {KEY}\r\n{from}"), &body)
    };
    let own = "Origin: https://www.example.net\r\n";
    // The document asks for no more than that, and says of what else every other key must say.
    let document: serde_json::Value = serde_json::from_str(crate::edge::http::papers::OPENAPI).unwrap();
    let letter = &document["components"]["schemas"]["SendLetter"];
    assert_eq!(letter["required"], serde_json::json!(["subject"]));
    for name in ["from", "to"] {
        let words = letter["properties"][name]["description"].as_str().unwrap();
        assert!(words.starts_with("Needed of every key but"), "{name}: {words}");
        let unsaid = GOOD.replacen(&format!("\"{name}\""), "\"unsaid\"", 1);
        let response = house(Ways::default(), &[Serve::Send]).client.ask(&post("/send", &unsaid)).await;
        assert_eq!((response.status, response.code()), (400, "invalid"), "{name}");
    }
    for more in ["", r#","from":null,"to":[],"attachments":[],"headers":{}"#] {
        let mut house = house(Ways { grants: Some(bound), ..Ways::default() }, &[Serve::Send]);
        let response = house.client.ask(&said(own, more)).await;
        assert_eq!(response.status, 200, "{response:?}");
        assert!(!response.body.to_string().contains("example.org"), "{response:?}");
        let kept = house.hang_up().await.kept;
        assert!(
            kept[0].content.contains("From: <form@example.net>") || kept[0].content.contains("From: form@example.net")
        );
        assert!(kept[0].content.contains("office@example.org") && kept[0].content.contains("boss@example.org"));
    }
    for (from, more, status, code) in [
        ("", "", 403, "forbidden_origin"),
        ("Origin: null\r\n", "", 403, "forbidden_origin"),
        ("Origin: https://www.example.net.evil.example\r\n", "", 403, "forbidden_origin"),
        ("Origin: http://www.example.net\r\n", "", 403, "forbidden_origin"),
        ("Origin: https://www.example.net\r\nOrigin: https://www.example.net\r\n", "", 403, "forbidden_origin"),
        (own, r#","to":"c@example.org""#, 403, "forbidden_recipient"),
        (own, r#","bcc":"c@example.org""#, 403, "forbidden_recipient"),
        (own, r#","from":"ann@example.net""#, 403, "forbidden_sender"),
        (own, r#","headers":{"X-A":"1"}"#, 400, "invalid"),
        (own, r#","attachments":[{"content":"aGk=","filename":"a.txt"}]"#, 400, "invalid"),
    ] {
        let mut house = house(Ways { grants: Some(bound), ..Ways::default() }, &[Serve::Send]);
        let response = house.client.ask(&said(from, more)).await;
        assert_eq!((response.status, response.code()), (status, code), "{from}{more}: {response:?}");
        assert!(!response.body.to_string().contains("office"), "{response:?}");
        let seen = house.hang_up().await;
        assert!(seen.kept.is_empty());
        if code == "forbidden_origin" {
            assert!(seen.turned.iter().any(|(.., refusal)| *refusal == Refusal::FormOrigin), "{from}");
        }
    }
}

/// Whoever reads the page has the key, and asks from anywhere.
#[tokio::test]
async fn a_key_of_a_form_is_told_nothing_elsewhere_whatever_it_asks() {
    let form: fn(&mut Grant) = |grant| grant.form = Some(Form { origins: vec!["https://www.example.net".into()] });
    let served = [Serve::V1, Serve::Send, Serve::Postmark, Serve::Resend];
    let get = |path: &str, fields: &str| format!("GET {path} HTTP/1.1\r\nHost: gate\r\n{fields}\r\n");
    let (bearer, token) = (format!("Authorization: Bearer {KEY}\r\n"), format!("X-Postmark-Server-Token: {KEY}\r\n"));
    for (path, key) in [
        ("/v1/limits", &bearer),
        ("/v1/keys/self", &bearer),
        ("/v1/submissions", &bearer),
        ("/v1/events", &bearer),
        ("/domains", &bearer),
        ("/server", &token),
    ] {
        for from in ["", "Origin: https://evil.example\r\n"] {
            let mut house = house(Ways { grants: Some(form), ..Ways::default() }, &served);
            let said = house.client.ask(&get(path, &format!("{key}{from}"))).await;
            assert_eq!((said.status, said.field("ratelimit-policy")), (403, None), "{path}: {said:?}");
            let seen = house.hang_up().await;
            assert_eq!(seen.turned.iter().map(|turned| turned.3).collect::<Vec<_>>(), [Refusal::FormOrigin], "{path}");
        }
    }
    let mut house = house(Ways { grants: Some(form), ..Ways::default() }, &served);
    let said = house.client.ask(&get("/v1/limits", &format!("{bearer}Origin: https://www.example.net\r\n"))).await;
    assert!(said.status == 200 && said.field("ratelimit-policy").is_some(), "{said:?}");
}

#[tokio::test]
async fn refusals_are_a_sentence_and_a_word() {
    let plain = |more: &str| format!(r#"{{"from":"ann@example.net","subject":"s","text":"x",{more}}}"#);
    let cases = [
        (post("/send", "{"), 400, "invalid"),
        (post("/send", "{}"), 400, "invalid"),
        (post("/send", &plain(r#""to":[]"#)), 400, "invalid"),
        (post("/send", &plain(r#""to":"bad""#)), 400, "invalid"),
        (post("/send", &plain(r#""to":"x@competitor.example""#)), 403, "forbidden_recipient"),
        (
            post("/send", &plain(r#""to":"b@example.org""#).replace("ann@example.net", "x@evil.example")),
            403,
            "forbidden_sender",
        ),
        (post_with("/send", "", GOOD), 401, "unauthorized"),
        (post_with("/send", "Authorization: Bearer other\r\n", GOOD), 401, "forbidden"),
        ("GET /send HTTP/1.1\r\nHost: gate\r\n\r\n".to_owned(), 405, "method_not_allowed"),
        ("GET /other HTTP/1.1\r\nHost: gate\r\n\r\n".to_owned(), 404, "not_found"),
    ];
    for (request, status, code) in cases {
        let mut house = house(Ways::default(), &[Serve::Send]);
        let response = house.client.ask(&request).await;
        assert_eq!((response.status, response.code()), (status, code), "{request}");
        assert!(!response.body["error"].as_str().unwrap().is_empty());
        assert_eq!(response.body["request_id"].as_str(), response.field("x-request-id"));
        assert!(house.hang_up().await.kept.is_empty());
    }
    for (refused, status, code, retry) in [
        (Refusal::RateLimited(7), 429, "rate_limited", Some("7")),
        (Refusal::Suppressed, 403, "forbidden_recipient", None),
        (Refusal::StoreFull, 503, "queue_full", Some("60")),
    ] {
        let ways = Ways { at_mail: Some(refused), ..Ways::default() };
        let response = house(ways, &[Serve::Send]).client.ask(&post("/send", GOOD)).await;
        assert_eq!((response.status, response.code(), response.field("retry-after")), (status, code, retry));
    }
}
