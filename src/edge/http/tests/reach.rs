//! By which hosts and through which proxies requests come, and whose they are then.

use std::time::Duration;

use tokio::time::Instant;

use super::GOOD;
use super::house::{House, KEY, Ways, post, post_with};
use crate::config::slice::{Desk, ForwardedBy};
use crate::ipc::session::Via;

/// A listener that believes proxies in this network, of which the house's client is one or not.
fn behind(network: &str) -> impl FnOnce(&mut Desk) {
    move |desk| {
        desk.reach.forwarded_by = Some(ForwardedBy::XForwardedFor);
        desk.dialect.xclient_from = vec![network.parse().unwrap()];
    }
}

fn of(list: &str) -> String {
    post_with(
        &format!("Authorization: Bearer {KEY}\r\nContent-Type: application/json\r\nX-Forwarded-For: {list}\r\n"),
        GOOD,
    )
}

fn named(address: &str) -> Via {
    Via::Xclient(Some(format!("{address}:0").parse().unwrap()))
}

#[tokio::test]
async fn rule_w13_a_connection_is_the_clients_that_its_first_request_names() {
    let mut house = House::with_desk(Ways::default(), behind("192.0.2.0/24"));
    assert_eq!(house.client.ask("GET /healthz HTTP/1.1\r\nHost: gate\r\n\r\n").await.status, 200);
    for list in ["203.0.113.5", "203.0.113.5", "198.51.100.1, 203.0.113.5, 192.0.2.9"] {
        assert_eq!(house.client.ask(&of(list)).await.status, 202, "{list}");
    }
    let other = house.client.ask(&of("203.0.113.6")).await;
    assert_eq!((other.status, other.code()), (421, "misdirected_request"));
    assert!(house.client.is_closed().await);
    let seen = house.hang_up().await;
    assert_eq!((seen.via, seen.kept.len()), (vec![named("203.0.113.5")], 3));
}

#[tokio::test]
async fn rule_w13_a_proxy_that_names_nobody_is_told_apart_from_clients() {
    let mut house = House::with_desk(Ways::default(), behind("192.0.2.0/24"));
    assert_eq!(house.client.send(GOOD).await.status, 202);
    assert_eq!(house.client.ask(&of("unknown")).await.status, 202);
    assert_eq!(house.client.ask(&of("203.0.113.5")).await.status, 421);
    assert_eq!(house.hang_up().await.via, [Via::Xclient(None)]);
}

#[tokio::test]
async fn rule_w13_nobody_else_is_believed() {
    let mut house = House::with_desk(Ways::default(), behind("198.51.100.0/24"));
    for list in ["203.0.113.5", "203.0.113.6"] {
        assert_eq!(house.client.ask(&of(list)).await.status, 202);
    }
    assert_eq!(house.hang_up().await.via, [Via::Direct]);
    let mut house = House::new(Ways::default());
    assert_eq!(house.client.ask(&of("203.0.113.5")).await.status, 202);
    assert_eq!(house.hang_up().await.via, [Via::Direct]);
}

#[tokio::test(start_paused = true)]
async fn rule_w13_a_proxys_connection_that_has_named_nobody_ends_before_its_capsule_does() {
    let mut house = House::with_desk(Ways::default(), behind("192.0.2.0/24"));
    let begun = Instant::now();
    let mut room = [0; 4096];
    while tokio::time::timeout(
        Duration::from_secs(7),
        tokio::io::AsyncReadExt::read(&mut house.client.stream, &mut room),
    )
    .await
    .is_err()
    {
        house.client.ask("GET /healthz HTTP/1.1\r\nHost: gate\r\n\r\n").await;
    }
    assert!((240..260).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
    assert_eq!(house.hang_up().await.asks, 0);
}

#[tokio::test]
async fn rule_w2_another_host_is_answered_with_421_and_its_connection_goes_on() {
    let mut house = House::with_desk(Ways::default(), |desk| desk.reach.hosts = vec!["gate".into()]);
    for path in ["/healthz", "/v1/send", "/nothing"] {
        let response = house.client.ask(&format!("GET {path} HTTP/1.1\r\nHost: evil.example:80\r\n\r\n")).await;
        assert_eq!(
            (response.status, response.code(), response.field("connection")),
            (421, "misdirected_request", None)
        );
        assert!(!response.message().contains("evil"));
    }
    assert_eq!(house.client.ask(&post(GOOD)).await.status, 202);
}

#[tokio::test]
async fn a_refusal_leads_to_the_manual_and_is_a_problem_for_who_asks_for_one() {
    let mut house = House::new(Ways::default());
    let asked = |accept: &str| format!("GET /nowhere HTTP/1.1\r\nHost: gate\r\n{accept}\r\n");
    let plain = house.client.ask(&asked("Accept: */*\r\n")).await;
    assert_eq!((plain.status, plain.body["doc"].as_str()), (404, Some("/docs#not_found")));
    assert!(plain.head.contains("content-type: application/json\r\n"), "{}", plain.head);
    let problem = house.client.ask(&asked("Accept: application/problem+json\r\n")).await;
    assert!(problem.head.contains("content-type: application/problem+json\r\n"), "{}", problem.head);
    let body = &problem.body;
    assert_eq!((problem.status, &body["status"], &body["type"]), (404, &404.into(), &"/docs#not_found".into()));
    assert_eq!((&body["title"], &body["code"]), (&"Not Found".into(), &"not_found".into()));
    assert!(body["instance"].as_str().unwrap().starts_with("urn:uuid:") && body["doc"].is_null(), "{body}");
    assert_eq!(body["detail"], plain.body["message"]);

    // Where there is no such page, nothing leads to it.
    let mut bare = House::with_desk(Ways::default(), |desk| desk.serve = vec![crate::config::slice::Serve::Ops]);
    let answer = bare.client.ask(&asked("Accept: application/problem+json\r\n")).await;
    assert_eq!((answer.status, answer.code(), answer.body["doc"].is_null()), (404, "not_found", true));
}
