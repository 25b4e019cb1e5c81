//! `/v1/keys` and `/v1/limits`, and what every answer says of limits.

use super::house::{House, KEY, Ways, post};
use super::{GOOD, body};
use crate::ipc::allowance::{Allowance, Left, Limit, Shared};
use crate::ipc::card::{Card, CardKey, Which};
use crate::ipc::inquiry::{Finding, Inquiry};
use crate::policy::Grant;
use crate::policy::Policy;
use crate::policy::mask::Mask;
use crate::policy::refusal::Refusal;
use crate::policy::scope::Scope;

/// A vault of three credentials.
pub fn card(id: &str) -> Card {
    let policy = Policy { senders: vec!["@example.net".parse().unwrap()], ..Policy::default() };
    Card {
        id: id.into(),
        enabled: id != "closed",
        expired: false,
        keys: vec![CardKey { id: "7fQ2mKx9".into(), expires_us: Some(1_800_000_000_000_000) }],
        scopes: policy.scopes,
        senders: policy.senders,
        recipients: policy.recipients,
        networks: vec!["192.0.2.0/24".parse().unwrap()],
        certificate: false,
        limits: policy.limits,
        max_size: Some(2048),
        max_recipients: 5,
        delivery: crate::policy::Delivery::Spool,
        mask: Mask::LocalPart,
        created_us: None,
        expires_us: None,
        last_day: Some(20_000),
        test: id == "viewer",
    }
}

/// What is found, of a vault that has decided about so many messages.
pub fn finding(inquiry: &Inquiry, decided: u64) -> Finding {
    match inquiry {
        Inquiry::Card => Finding::Card(Box::new(card("billing"))),
        Inquiry::Cards(Which::One(id)) => {
            let known = ["billing", "closed", "viewer"].contains(&id.as_str());
            Finding::Cards { cards: known.then(|| card(id)).into_iter().collect(), more: false }
        }
        Inquiry::Cards(Which::Before(..)) => Finding::Cards { cards: vec![card("closed"), card("viewer")], more: true },
        Inquiry::Cards(Which::After(..)) => Finding::Cards { cards: vec![card("billing"), card("closed")], more: true },
        _ => Finding::Allowance(Box::new(allowance(decided))),
    }
}

pub fn allowance(used: u64) -> Allowance {
    let own = vec![Left { limit: Limit::PerMinute, quota: 30, left: 10_u64.saturating_sub(used), seconds: 2 }];
    Allowance { own, shared: vec![Shared::Global], suspended: None, violated: None }
}

fn is_admin(grant: &mut Grant) {
    grant.scopes.0 = [Scope::Admin].into();
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: gate\r\nAuthorization: Bearer {KEY}\r\n\r\n")
}

#[tokio::test]
async fn a_key_is_told_what_it_may_and_nothing_of_others() {
    let mut house = House::new(Ways::default());
    let found = house.client.ask(&get("/v1/keys/self")).await;
    assert_eq!(found.status, 200, "{found:?}");
    let expected = serde_json::json!({
        "id": "billing", "enabled": true, "expired": false,
        "keys": [{"id": "7fQ2mKx9", "expires_at": "2027-01-15T08:00:00Z"}],
        "scopes": ["smtp", "send", "send_raw"], "senders": ["@example.net"], "recipients": {"allow": [], "deny": []},
        "networks": ["192.0.2.0/24"], "certificate_required": false,
        "limits": {
            "per_minute": null, "per_hour": null, "per_day": null, "burst": null, "recipients_per_minute": null,
            "recipients_per_hour": null, "recipients_per_day": null, "recipients_burst": null, "bytes_per_day": null,
            "per_recipient_domain": null,
        },
        "max_size_bytes": 2048, "max_recipients": 5, "delivery": "spool", "test": false, "masked": true, "created_at": null,
        "expires_at": null, "last_sent_on": "2024-10-04", "dialects": ["v1"],
    });
    assert_eq!(found.body, expected);
    // Its own id, another's and nobody's have one answer, and so has the list.
    let mut words = Vec::new();
    for path in
        ["/v1/keys", "/v1/keys/billing", "/v1/keys/closed", "/v1/keys/nobody", "/v1/keys/%40", "/v1/keys?limit=0"]
    {
        let refused = house.client.ask(&get(path)).await;
        assert_eq!((refused.status, refused.code()), (403, "insufficient_scope"), "{path}");
        words.push(refused.message().to_owned());
    }
    words.dedup();
    assert_eq!(words.len(), 1, "{words:?}");
    assert_eq!(house.client.ask(&get("/v1/keys/a/b")).await.code(), "not_found");
    let seen = house.hang_up().await;
    assert_eq!(seen.turned.len(), 6);
    assert!(seen.turned.iter().all(|turned| *turned == (None, None, 0, Refusal::Scope)), "{:?}", seen.turned);
}

#[tokio::test]
async fn a_list_has_its_pages_and_one_that_is_not_there_is_not_found() {
    let mut house = House::new(Ways { grants: Some(is_admin), ..Ways::default() });
    let page = house.client.ask(&get("/v1/keys?limit=2")).await;
    assert_eq!((page.status, &page.body["object"], &page.body["has_more"]), (200, &"list".into(), &true.into()));
    assert_eq!((&page.body["next_after"], &page.body["next_before"]), (&"closed".into(), &serde_json::Value::Null));
    assert_eq!((&page.body["data"][1]["id"], &page.body["data"][1]["enabled"]), (&"closed".into(), &false.into()));
    let page = house.client.ask(&get("/v1/keys?limit=2&before=zzz")).await;
    assert_eq!((&page.body["next_before"], &page.body["next_after"]), (&"closed".into(), &serde_json::Value::Null));
    for query in ["limit=0", "after=a&before=b", "page=2"] {
        let refused = house.client.ask(&get(&format!("/v1/keys?{query}"))).await;
        assert_eq!((refused.status, refused.code()), (400, "validation_failed"), "{query}");
    }
    assert_eq!(house.client.ask(&get("/v1/keys/viewer")).await.body["id"], "viewer");
    for path in ["/v1/keys/nobody", "/v1/keys/%41", "/v1/keys/-"] {
        let refused = house.client.ask(&get(path)).await;
        assert_eq!((refused.status, refused.code()), (404, "not_found"), "{path}");
    }
    // It is for looking, and not for sending.
    let refused = house.client.send(GOOD).await;
    assert_eq!((refused.status, refused.code()), (403, "insufficient_scope"));
}

#[tokio::test]
async fn every_answer_to_a_known_key_says_what_is_left_and_no_other_does() {
    let mut house = House::new(Ways::default());
    let said = |response: &super::house::Response| {
        ["ratelimit-policy", "ratelimit", "ratelimit-limit", "ratelimit-remaining", "ratelimit-reset"]
            .map(|name| response.field(name).unwrap_or_default().to_owned())
    };
    let left = |left: u64| {
        let (policy, now) = ("\"per_minute\";q=30;w=60".to_owned(), format!("\"per_minute\";r={left};t=2"));
        [policy, now, "30".to_owned(), left.to_string(), "2".to_owned()]
    };
    let limits = house.client.ask(&get("/v1/limits")).await;
    let expected = serde_json::json!({
        "limits": [{
            "policy": "per_minute", "unit": "messages", "limit": 30, "window_seconds": 60, "remaining": 10, "reset_seconds": 2,
        }],
        "shared": ["global"], "suspended_seconds": null,
    });
    assert_eq!((limits.status, &limits.body, said(&limits)), (200, &expected, left(10)));
    assert_eq!(said(&house.client.send(GOOD).await), left(9));
    // What the edge refuses, and what it only tries, takes nothing.
    assert_eq!(said(&house.client.send("{").await), left(9));
    assert_eq!(said(&house.client.send(&body(r#""to":"nobody""#)).await), left(9));
    let tried = house.client.ask(&post(GOOD).replacen("/v1/send", "/v1/validate", 1)).await;
    assert_eq!((tried.status, said(&tried)), (200, left(9)));
    let batch = format!(r#"{{"messages":[{GOOD},{GOOD}]}}"#);
    let batch = house.client.ask(&post(&batch).replacen("/v1/send", "/v1/send-bulk", 1)).await;
    assert_eq!((batch.status, said(&batch)), (202, left(7)));
    let again = post(GOOD).replacen("Content-Type", "Idempotency-Key: order-17\r\nContent-Type", 1);
    assert_eq!(said(&house.client.ask(&again).await), left(6));
    let repeated = house.client.ask(&again).await;
    assert_eq!((repeated.field("idempotency-replayed"), said(&repeated)), (Some("true"), left(6)));
    // Nobody is nobody, whatever the connection was used for.
    let nobody = [get("/v1/limits").replacen("Bearer", "Digest", 1), get("/healthz"), get("/v1/nothing")];
    for request in nobody {
        let answer = house.client.ask(&request).await;
        assert_eq!(said(&answer), [""; 5].map(str::to_owned), "{answer:?}");
    }
}

#[tokio::test]
async fn a_refusal_by_a_limit_is_never_earlier_than_what_its_fields_say() {
    for (seconds, told) in [(1, None), (2, Some("\"per_minute\";r=10;t=2")), (9, Some("\"per_minute\";r=10;t=2"))] {
        let refusal = Some(Refusal::RateLimited(seconds));
        let mut house = House::new(Ways { at_mail: refusal, ..Ways::default() });
        let refused = house.client.send(GOOD).await;
        assert_eq!((refused.status, refused.field("retry-after")), (429, Some(seconds.to_string().as_str())));
        assert_eq!(refused.field("ratelimit"), told);
    }
}

#[tokio::test]
async fn a_vault_that_does_not_say_what_is_left_keeps_no_answer_back() {
    for at_inquiry in [Refusal::StoreUnavailable, Refusal::Changed] {
        let mut house = House::new(Ways { at_inquiry: Some(at_inquiry), ..Ways::default() });
        let refused = house.client.send("{").await;
        assert_eq!((refused.status, refused.field("ratelimit")), (400, None));
        assert_eq!(house.client.ask(&get("/v1/limits")).await.status, 503);
    }
}

#[tokio::test]
async fn a_parameter_that_none_of_them_has_is_a_mistake() {
    let ways = Ways { grants: Some(is_admin), ..Ways::default() };
    for path in ["/v1/keys/self", "/v1/keys/billing", "/v1/limits"] {
        let mut house = House::new(ways.clone());
        let said = house.client.ask(&get(&format!("{path}?limit=3"))).await;
        assert_eq!((said.status, said.code()), (400, "validation_failed"), "{path}: {said:?}");
        assert_eq!(house.client.ask(&get(path)).await.status, 200, "{path}");
    }
}
