//! Another time for an email.

use super::*;

fn patch(path: &str, body: &str) -> String {
    post(path, body).replacen("POST", "PATCH", 1)
}

#[tokio::test]
async fn an_email_that_waits_for_its_time_gets_another_and_no_other_one_does() {
    let open = |desk: &mut crate::config::slice::Desk| {
        (desk.serve, desk.future_release) = (vec![Serve::Resend], Some(std::time::Duration::from_secs(3600)));
    };
    let mut house = House::with_desk(Ways::default(), open);
    let sent = house.client.ask(&post("/emails", GOOD)).await;
    let id = sent.body["id"].as_str().unwrap();
    let soon = jiff::Timestamp::now() + std::time::Duration::from_secs(600);
    for (path, time) in
        [("/emails", soon.to_string()), ("//emails", "in 5 min".into()), ("/resend/emails", "in 1 hour".into())]
    {
        let updated =
            house.client.ask(&patch(&format!("{path}/{id}"), &format!(r#"{{"scheduled_at":"{time}"}}"#))).await;
        assert_eq!((updated.status, &updated.body), (200, &serde_json::json!({"object": "email", "id": id})), "{time}");
    }
    assert_eq!(house.seen().times[0], u64::try_from(soon.as_microsecond()).unwrap());
    for (body, status, name, why) in [
        ("{}", 422, "missing_required_field", "/scheduled_at: is missing"),
        (r#"{"scheduled_at":7}"#, 422, "validation_error", "/scheduled_at: must be a string"),
        (r#"{"scheduled_at":"tomorrow at 9am"}"#, 422, "validation_error", "/scheduled_at: must be a time"),
        (r#"{"scheduled_at":"2020-01-01T00:00:00Z"}"#, 422, "validation_error", "/scheduled_at: is over"),
        (r#"{"scheduled_at":"in 2 hours"}"#, 422, "validation_error", "for more than 3600 seconds"),
        ("[]", 422, "validation_error", "must be an object"),
    ] {
        let refused = house.client.ask(&patch(&format!("/emails/{id}"), body)).await;
        assert_eq!(refusal(&refused), (status, name), "{body}");
        assert!(refused.message().contains(why), "{refused:?}");
    }
    assert_eq!(house.seen().times.len(), 3, "of what can't be the vault isn't asked");
    // To several, which this vault doesn't move.
    let several = GOOD.replace("\"b@example.org\"", "[\"b@example.org\",\"c@example.org\"]");
    let sent = house.client.ask(&post("/emails", &several)).await;
    let later = r#"{"scheduled_at":"in 10 min"}"#;
    let late = house.client.ask(&patch(&format!("/emails/{}", sent.body["id"].as_str().unwrap()), later)).await;
    assert_eq!((refusal(&late), &late.body["code"]), ((409, "validation_error"), &"not_reschedulable".into()));
    assert!(late.message().contains("its status is \"smtp_failed\""), "{late:?}");
    // To three, which it has moved as often as may be.
    let several = GOOD.replace("\"b@example.org\"", "[\"b@example.org\",\"c@example.org\",\"d@example.org\"]");
    let sent = house.client.ask(&post("/emails", &several)).await;
    let often = house.client.ask(&patch(&format!("/emails/{}", sent.body["id"].as_str().unwrap()), later)).await;
    assert_eq!((refusal(&often), &often.body["code"]), ((409, "validation_error"), &"not_reschedulable".into()));
    assert!(often.message().contains("as often as it may be"), "{often:?}");
    for path in ["/emails/01a1f866-0d7b-7d39-bc3d-1f2a8b5c6d7e", "/emails/nonsense"] {
        assert_eq!(refusal(&house.client.ask(&patch(path, later)).await), (404, "not_found"), "{path}");
    }
    let posted = house.client.ask(&post(&format!("/emails/{id}"), later)).await;
    assert_eq!((refusal(&posted), posted.field("allow")), ((405, "method_not_allowed"), Some("GET, PATCH")));
    let mut house = House::with_desk(Ways::default(), open);
    let text = patch(&format!("/emails/{id}"), later).replacen("application/json", "text/plain", 1);
    assert_eq!(refusal(&house.client.ask(&text).await).0, 415);
    // A vault that was told another thing than this listener.
    let ways = Ways { at_inquiry: Some(Refusal::HeldTooLong), ..Ways::default() };
    let mut house = House::with_desk(ways, open);
    let refused = house.client.ask(&patch("/emails/01a1f866-0d7b-7d39-bc3d-1f2a8b5c6d7e", later)).await;
    assert_eq!(refusal(&refused), (422, "validation_error"));
    assert!(refused.message().contains("this listener holds nothing for so long"), "{refused:?}");
}
