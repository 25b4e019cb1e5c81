//! `/v1/submissions/{id}`: what became of a message.

use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;

use super::GOOD;
use super::house::{House, KEY, Message, Ways, post_with};
use crate::edge::front::Phase;
use crate::ipc::happening::{Happened, Happening, Kind};
use crate::ipc::inquiry::{
    Canceled, Cause, Counts, Cursor, Finding, Inquiry, Listed, Over, Page, Recipient, Rescheduled, Status, Submission,
};
use crate::mail::id::MessageId;
use crate::policy::Grant;
use crate::policy::form::Form;
use crate::policy::refusal::Refusal;
use crate::policy::scope::Scope;

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
        from: Some(message.sender.clone()),
        label: message.label.clone(),
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
        test: false,
    }
}

/// What the vault says to an inquiry; none: it waits. A message to one recipient alone was taken back, or
/// has another time; another can't be.
pub fn finding(ways: &Ways, kept: &[Message], inquiry: &Inquiry) -> Option<Finding> {
    let found = |id: MessageId| kept.iter().find(|one| one.id == id).map(submission).map(Box::new);
    Some(match inquiry {
        Inquiry::Submission { message } => Finding::Submission(found(*message)),
        Inquiry::Wait { message, .. } => Finding::Waited(found(*message), ways.over?),
        Inquiry::List(page) => {
            let mut all: Vec<_> = kept.iter().map(submission).collect();
            if !page.with_recipients {
                all.iter_mut().for_each(|one| one.recipients.clear());
            }
            all.reverse();
            all.retain(|one| match page.from {
                Some(Cursor::After(id)) => one.message < id,
                _ => true,
            });
            all.truncate(page.limit as usize);
            let next = all.last().filter(|_| all.len() < kept.len()).map(|one| one.message);
            Finding::Listed(Listed { all, next })
        }
        Inquiry::Events(span) => {
            let happening = |one: &Message| Happening {
                number: 1_700_000_001_500_000,
                kind: Kind::Bounced,
                message: one.id,
                recipient: 0,
                address: one.recipients[0].clone(),
                from: Some(one.sender.clone()),
                attempts: 1,
                next_us: None,
                code: Some(550),
                enhanced: Some("5.1.1".into()),
                reply: None,
                doubt: false,
                label: None,
                test: false,
            };
            let all: Vec<_> = kept.iter().filter(|_| span.after == 0).map(happening).collect();
            Finding::Happened(Happened { last: all.last().map(|one| one.number), all, more: false })
        }
        Inquiry::Cancel { message } => Finding::Canceled(found(*message).map(|mut found| match found.count {
            Some(1) => {
                found.status = Status::Canceled;
                Canceled::Done(found)
            }
            _ => Canceled::Not(found),
        })),
        Inquiry::Reschedule { message, release_us } => {
            Finding::Rescheduled(found(*message).map(|mut found| match found.count {
                Some(1) => {
                    (found.status, found.scheduled_us) = (Status::Scheduled, Some(*release_us));
                    Rescheduled::Done(found)
                }
                Some(3) => Rescheduled::TooOften(found),
                _ => Rescheduled::Not(found),
            }))
        }
        Inquiry::Room(_) => Finding::Room,
        Inquiry::Allowance | Inquiry::Card | Inquiry::Cards(_) => {
            super::keys::finding(inquiry, u64::try_from(kept.len()).unwrap())
        }
    })
}

/// The same when nobody waits any more.
pub fn left(kept: &[Message], inquiry: &Inquiry) -> Finding {
    finding(&Ways { over: Some(Over::Left), ..Ways::default() }, kept, inquiry).unwrap()
}

fn preferring(wait: &str) -> String {
    let fields = format!("Authorization: Bearer {KEY}\r\nContent-Type: application/json\r\nPrefer: {wait}\r\n");
    post_with(&fields, GOOD)
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

#[tokio::test]
async fn a_key_that_sees_no_mail_is_told_why() {
    let page: fn(&mut Grant) = |grant| grant.turnstile = true;
    let form: fn(&mut Grant) = |grant| grant.form = Some(Form { origins: vec!["https://www.example.net".into()] });
    let admin: fn(&mut Grant) = |grant| grant.scopes.0 = [Scope::Admin].into();
    let words = "its scopes have neither \"send\" nor \"send_raw\"";
    for (grants, path, why) in [
        (page, "/v1/submissions", "this key stands in a page and sees no mail"),
        (form, "/v1/events", "this key stands in a page and sees no mail"),
        (form, "/v1/keys/self", "this key stands in a page and isn't told what it may"),
        (admin, "/v1/submissions/01a1f866-0d7b-7d39-bc3d-1f2a8b5c6d7e", words),
    ] {
        let ways = Ways { at_inquiry: Some(Refusal::Scope), grants: Some(grants), ..Ways::default() };
        let asked = get(path).replacen("Host: gate", "Host: gate\r\nOrigin: https://www.example.net", 1);
        let found = House::new(ways).client.ask(&asked).await;
        assert_eq!((found.status, found.code(), found.message()), (403, "insufficient_scope", why), "{path}");
    }
}

#[tokio::test]
async fn who_waits_is_told_why_no_more_and_a_page_has_no_recipients() {
    for (over, word) in [(Over::Ended, "ended"), (Over::Elapsed, "elapsed"), (Over::Crowded, "crowded")] {
        let mut house = House::new(Ways { over: Some(over), ..Ways::default() });
        let sent = house.client.send(GOOD).await;
        let id = sent.body["id"].as_str().unwrap().to_owned();
        let found = house.client.ask(&get(&format!("/v1/submissions/{id}?wait=30"))).await;
        assert_eq!((found.status, &found.body["wait"], &found.body["id"]), (200, &word.into(), &id.as_str().into()));
        let unknown = house.client.ask(&get("/v1/submissions/01a1f866-0d7b-7d39-bc3d-1f2a8b5c6d7e?wait=1")).await;
        assert_eq!(unknown.code(), "submission_not_found");
        for bad in ["wait=0", "wait=31", "wait=x", "waits=1", "wait=1&wait=1"] {
            let refused = house.client.ask(&get(&format!("/v1/submissions/{id}?{bad}"))).await;
            assert_eq!((refused.status, refused.code()), (400, "validation_failed"), "{bad}");
        }
    }
    let mut house = House::new(Ways::default());
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(house.client.send(GOOD).await.body["request_id"].as_str().unwrap().to_owned());
    }
    let page = house.client.ask(&get("/v1/submissions?limit=2")).await;
    let listed: Vec<_> = page.body["data"].as_array().unwrap().iter().map(|one| &one["request_id"]).collect();
    assert_eq!((page.status, listed), (200, vec![&ids[2].as_str().into(), &ids[1].as_str().into()]), "{page:?}");
    assert_eq!((&page.body["has_more"], &page.body["next_after"]), (&true.into(), &ids[1].as_str().into()));
    assert_eq!((&page.body["object"], &page.body["next_before"]), (&"list".into(), &serde_json::Value::Null));
    assert_eq!((page.body["data"][0].get("recipients"), page.body["data"][0].get("wait")), (None, None));
    let refused = house.client.ask(&get("/v1/submissions?limit=0&status=sent&after=x&before=y")).await;
    assert_eq!((refused.status, refused.body["errors"].as_array().unwrap().len()), (400, 5), "{refused:?}");
    house.client.ask(&get(&format!("/v1/submissions?before={}", ids[0]))).await;
    let pages = house.seen().pages;
    let from = Some(Cursor::Before(ids[0].parse().unwrap()));
    assert_eq!(pages, [Page { limit: 2, ..Page::default() }, Page { limit: 20, from, ..Page::default() }]);
}

#[tokio::test]
async fn a_message_is_taken_back_or_it_is_said_that_it_is_too_late() {
    let mut house = House::new(Ways::default());
    let cancel = |id: &str| {
        format!(
            "POST /v1/submissions/{id}/cancel HTTP/1.1\r\nHost: gate\r\nAuthorization: Bearer {KEY}\r\nContent-Length: 0\r\n\r\n"
        )
    };
    let one = house.client.send(r#"{"from":"a@example.net","to":"b@example.org","subject":"x","text":"hi"}"#).await;
    let two = r#"{"from":"a@example.net","to":["b@example.org","c@example.org"],"subject":"x","text":"hi"}"#;
    let two = house.client.send(two).await;
    let done = house.client.ask(&cancel(one.body["id"].as_str().unwrap())).await;
    assert_eq!((done.status, &done.body["status"], &done.body["id"]), (200, &"canceled".into(), &one.body["id"]));
    let late = house.client.ask(&cancel(two.body["request_id"].as_str().unwrap())).await;
    assert_eq!((late.status, late.code(), &late.body["retryable"]), (409, "not_cancelable", &false.into()));
    assert!(late.message().contains("smtp_failed"), "{late:?}");
    for id in ["01a1f866-0d7b-7d39-bc3d-1f2a8b5c6d7e", "nonsense"] {
        assert_eq!(house.client.ask(&cancel(id)).await.code(), "submission_not_found", "{id}");
    }
    let got = house.client.ask(&get("/v1/submissions/x/cancel")).await;
    assert_eq!((got.status, got.field("allow")), (405, Some("POST")));
    assert_eq!(house.client.ask(&get("/v1/submissions//cancel")).await.code(), "not_found");
}

#[tokio::test]
async fn who_prefers_to_wait_is_told_the_end_and_what_is_kept_is_never_an_error() {
    for (over, status, word, applied) in [
        (Over::Ended, 200, "smtp_failed", Some("wait=7")),
        (Over::Elapsed, 202, "accepted", Some("wait=7")),
        (Over::Crowded, 202, "accepted", None),
    ] {
        let mut house = House::new(Ways { over: Some(over), ..Ways::default() });
        let sent = house.client.ask(&preferring("wait=7")).await;
        assert_eq!((sent.status, &sent.body["status"]), (status, &word.into()), "{sent:?}");
        assert_eq!(sent.field("preference-applied"), applied);
        assert_eq!(sent.body["code"] == "smtp_rejected", over == Over::Ended, "{sent:?}");
        let plain = house.client.ask(&preferring("wait=0")).await;
        assert_eq!((plain.status, plain.field("preference-applied")), (202, None));
    }
    let refusing = [Refusal::RateLimited(1), Refusal::StoreUnavailable, Refusal::Revoked];
    for refusal in refusing {
        let mut house = House::new(Ways { at_inquiry: Some(refusal), over: Some(Over::Ended), ..Ways::default() });
        let sent = house.client.ask(&preferring("wait=7")).await;
        assert_eq!((sent.status, &sent.body["status"]), (202, &"accepted".into()), "{sent:?}");
    }
}

#[tokio::test]
async fn a_client_that_leaves_and_a_gate_that_ends_are_not_waited_for() {
    // Nobody but these two ends the wait.
    let house = || House::new(Ways::default());
    let begun = Instant::now();
    let mut leaving = house();
    leaving.client.say(&preferring("wait=30")).await;
    leaving.until(|seen| seen.waiting.is_some()).await;
    let seen = leaving.hang_up().await;
    assert_eq!((seen.kept.len(), seen.aborts, seen.waiting), (1, 1, None));

    let mut half = house();
    let id = half.client.send(GOOD).await.body["id"].as_str().unwrap().to_owned();
    half.client.say(&get(&format!("/v1/submissions/{id}?wait=30"))).await;
    half.until(|seen| seen.waiting.is_some()).await;
    half.client.stream.shutdown().await.unwrap();
    let found = half.client.hear().await;
    assert_eq!((found.status, &found.body["wait"]), (200, &"cut_short".into()), "who ends its half is answered");

    let mut draining = house();
    draining.client.say(&preferring("wait=30")).await;
    draining.until(|seen| seen.waiting.is_some()).await;
    draining.phase.send_replace(Phase::Draining);
    let found = draining.client.hear().await;
    assert_eq!((found.status, &found.body["status"]), (202, &"accepted".into()));
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn events_are_told_in_the_words_of_webhooks_and_say_where_to_go_on() {
    let mut house = House::new(Ways::default());
    let sent = house.client.send(GOOD).await;
    let found = house.client.ask(&get("/v1/events")).await;
    assert_eq!((found.status, &found.body["object"], &found.body["has_more"]), (200, &"list".into(), &false.into()));
    let expected = serde_json::json!({
        "id": "evt_1700000001500000", "type": "email.bounced", "created_at": "2023-11-14T22:13:21.5Z",
        "data": {
            "email_id": sent.body["id"], "request_id": sent.body["request_id"], "from": "ann@example.net", "to": ["b@example.org"],
            "number": 0, "attempts": 1, "next_attempt_at": null, "reply": {"code": 550, "enhanced": "5.1.1", "text": null},
            "test": false, "may_be_delivered": false, "message_id": null, "tags": {}, "metadata": {},
        },
    });
    assert_eq!(found.body["data"], serde_json::json!([expected]), "{found:?}");
    assert!(found.field("ratelimit").is_some(), "{found:?}");
    let next = found.body["next_after"].as_str().unwrap();
    let end = house.client.ask(&get(&format!("/v1/events?after={next}"))).await;
    assert_eq!((&end.body["data"], &end.body["next_after"]), (&serde_json::json!([]), &next.into()));
    let wrong = house.client.ask(&get("/v1/events?after=7&kind=x")).await;
    assert_eq!((wrong.status, wrong.code()), (400, "validation_failed"));
    let nobody = get("/v1/events").replacen(&format!("Authorization: Bearer {KEY}\r\n"), "", 1);
    assert_eq!(house.client.ask(&nobody).await.status, 401);
}
