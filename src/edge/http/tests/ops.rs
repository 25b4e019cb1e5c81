//! What those who watch the service are answered, and who may watch it.

use std::time::Duration;

use tokio::io::AsyncReadExt;

use super::house::{House, Response, Ways};
use crate::config::slice::{Desk, ForwardedBy, Serve};
use crate::ipc::admin::load::Obstacle;
use crate::ipc::figures::family::Family;
use crate::ipc::figures::metric::Metric;
use crate::ipc::figures::{Ailment, Figures};

const NOW: Duration = Duration::from_secs(3600);

/// What is changed of the listener, behind a field of the request.
type Change = fn(&mut Desk);
type Case = (&'static str, Change);

/// The house's client is in this network.
fn near(desk: &mut Desk) {
    desk.reach.ops_networks = vec!["192.0.2.0/24".parse().unwrap()];
}

fn is(obstacles: &[Obstacle], ailments: &[Ailment]) -> Ways {
    let figures = Figures { obstacles: obstacles.to_vec(), ailments: ailments.to_vec(), ..Figures::default() };
    Ways { figures: Some(figures), ..Ways::default() }
}

/// A house whose vault has said how the service is.
async fn told(ways: Ways, change: impl FnOnce(&mut Desk)) -> House {
    let house = House::with_desk(ways, change);
    while house.vault.figures(NOW).is_none() {
        tokio::task::yield_now().await;
    }
    house
}

async fn ask(house: &mut House, path: &str) -> Response {
    house.client.ask(&format!("GET {path} HTTP/1.1\r\nHost: gate\r\n\r\n")).await
}

#[tokio::test]
async fn rule_o1_readiness_is_what_the_vault_said_last_and_no_question_to_it() {
    let cases = [
        (is(&[], &[]), 200, r#"{"status":"ready"}"#),
        (is(&[], &[Ailment::Upstream]), 200, r#"{"reasons":["upstream"],"status":"degraded"}"#),
        (is(&[Obstacle::Room], &[]), 503, r#"{"reasons":["room"],"status":"unavailable"}"#),
        (
            is(&[Obstacle::Load, Obstacle::Store], &[Ailment::Sealer]),
            503,
            r#"{"reasons":["load","store","sealer"],"status":"unavailable"}"#,
        ),
    ];
    for (ways, status, body) in cases {
        let mut house = told(ways, near).await;
        for _ in 0..50 {
            let response = ask(&mut house, "/readyz").await;
            assert_eq!((response.status, response.body.to_string().as_str()), (status, body));
            assert_eq!(response.field("retry-after").is_some(), status == 503);
            assert_eq!(response.field("cache-control"), Some("no-store"));
        }
        assert_eq!(house.seen().asks, 0, "the vault was asked nothing");
    }
}

#[tokio::test]
async fn rule_o1_without_a_vault_or_its_word_nothing_is_ready_and_the_process_lives() {
    for ways in [Ways { away: true, ..Ways::default() }, Ways::default()] {
        let mut house = House::with_desk(ways, near);
        let response = ask(&mut house, "/readyz").await;
        assert_eq!((response.status, &response.body["reasons"][0]), (503, &"vault".into()));
        assert_eq!(ask(&mut house, "/livez").await.body.to_string(), r#"{"status":"ok"}"#);
    }
}

#[tokio::test]
async fn rule_o1_what_was_said_long_ago_is_not_how_it_is() {
    let mut house = told(is(&[], &[]), near).await;
    assert_eq!(ask(&mut house, "/readyz").await.status, 200);
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(14)).await;
    assert_eq!(ask(&mut house, "/readyz").await.status, 200);
    tokio::time::advance(Duration::from_secs(2)).await;
    assert_eq!(ask(&mut house, "/readyz").await.body["reasons"][0], "vault");
}

#[tokio::test]
async fn rule_o2_only_those_who_may_watch_are_told_and_nobody_through_a_proxy() {
    let cases: [Case; 3] = [
        ("", |_| {}),
        ("", |desk| desk.reach.ops_networks = vec!["198.51.100.0/24".parse().unwrap()]),
        ("", |desk| {
            near(desk);
            desk.reach.forwarded_by = Some(ForwardedBy::Forwarded);
            desk.dialect.xclient_from = vec!["192.0.2.0/24".parse().unwrap()];
        }),
    ];
    let fields = ["Forwarded: for=127.0.0.1", "X-Forwarded-For: 127.0.0.1", "X-Real-IP: 127.0.0.1", "Via: 1.1 proxy"];
    let forwarded = fields.into_iter().map(|field| (field, near as Change));
    for (field, change) in cases.into_iter().chain(forwarded) {
        let mut house = told(is(&[Obstacle::Room], &[]), change).await;
        let field = if field.is_empty() { String::new() } else { format!("{field}\r\n") };
        let asked = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: gate\r\n{field}\r\n");
        for path in ["/readyz", "/metrics"] {
            let response = house.client.ask(&asked(path)).await;
            assert_eq!((response.status, response.code()), (403, "forbidden"), "{path} {field}");
            let said = format!("{response:?}");
            assert!(!said.contains("room") && !said.contains("gatepost_"), "{said}");
        }
        // That the process answers, whoever gets here may know.
        for path in ["/livez", "/healthz"] {
            assert_eq!(house.client.ask(&asked(path)).await.status, 200);
        }
    }
}

#[tokio::test]
async fn rule_o2_a_listener_that_does_not_serve_it_has_nothing_there() {
    let mut house = told(is(&[], &[]), |desk| {
        near(desk);
        desk.serve = vec![Serve::V1];
    })
    .await;
    for path in ["/healthz", "/livez", "/readyz", "/metrics"] {
        assert_eq!(ask(&mut house, path).await.status, 404, "{path}");
    }
    let mut house = told(is(&[], &[]), near).await;
    let response = house.client.ask("POST /readyz HTTP/1.1\r\nHost: gate\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!((response.status, response.field("allow")), (405, Some("GET, HEAD")));
    // Of a HEAD's answer there is the head, and the next answer follows at once.
    house
        .client
        .say(
            "HEAD /readyz HTTP/1.1\r\nHost: gate\r\n\r\nGET /livez HTTP/1.1\r\nHost: gate\r\nConnection: close\r\n\r\n",
        )
        .await;
    let mut heard = String::new();
    house.client.stream.read_to_string(&mut heard).await.unwrap();
    let heads: Vec<_> = heard.split("HTTP/1.1 ").collect();
    assert_eq!(
        (heads.len(), heads[1].starts_with("200"), heads[1].contains("content-length: 18")),
        (3, true, true),
        "{heard}"
    );
    assert!(!heads[1].contains("ready") && heads[2].ends_with(r#"{"status":"ok"}"#), "{heard}");
}

fn counted() -> Ways {
    let families = vec![
        Family::plain(Metric::QueueMessages, 7),
        Family::by(Metric::RateLimited, [("credential", 3)]),
        Family::plain(Metric::StartTime, 1_700_000_000_500_000),
    ];
    let figures = Figures { ailments: vec![Ailment::Upstream], families, ..Figures::default() };
    Ways { figures: Some(figures), ..Ways::default() }
}

/// The head and the text of what is shown. Only its last octets say that it is whole.
async fn page(house: &mut House, fields: &str) -> (String, String) {
    let asked = format!("GET /metrics HTTP/1.1\r\nHost: gate\r\nConnection: close\r\n{fields}\r\n");
    house.client.say(&asked).await;
    let mut heard = String::new();
    house.client.stream.read_to_string(&mut heard).await.unwrap();
    let (head, body) = heard.split_once("\r\n\r\n").unwrap();
    (head.to_ascii_lowercase(), body.to_owned())
}

#[tokio::test]
async fn rule_o3_metrics_are_what_the_vault_said_last_and_no_question_to_it() {
    for (fields, kind, last) in [
        ("", "text/plain; version=0.0.4; charset=utf-8", "process_start_time_seconds 1700000000.5\n"),
        (
            "Accept: text/html;q=0.1\r\nAccept: application/openmetrics-text; version=1.0.0\r\n",
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
            "# EOF\n",
        ),
    ] {
        let mut house = told(counted(), near).await;
        let (head, body) = page(&mut house, fields).await;
        assert!(head.contains("200 ok") && head.contains(&format!("content-type: {kind}\r\n")), "{head}");
        assert!(head.contains("vary: accept\r\n") && head.contains("cache-control: no-store\r\n"), "{head}");
        for line in [
            "gatepost_ready 1\n",
            "gatepost_ready_reason{reason=\"upstream\"} 1\n",
            "gatepost_ready_reason{reason=\"vault\"} 0\n",
            "gatepost_queue_messages 7\n",
            "gatepost_rate_limited_total{tier=\"credential\"} 3\n",
        ] {
            assert!(body.contains(line), "{line} in {body}");
        }
        assert_eq!(body.matches("gatepost_ready_reason{").count(), 8, "each once: {body}");
        assert!(if kind.starts_with("text") { body.contains(last) } else { body.ends_with(last) }, "{body}");
        assert_eq!(house.seen().asks, 0, "the vault was asked nothing");
    }
}

#[tokio::test]
async fn rule_o3_without_the_vaults_word_nothing_is_shown_that_it_would_have_said() {
    for ways in [Ways { away: true, ..Ways::default() }, Ways::default()] {
        let mut house = House::with_desk(ways, near);
        let (_, body) = page(&mut house, "").await;
        let shown: Vec<&str> = body
            .lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| line.split(['{', ' ']).next())
            .collect();
        assert!(body.contains("gatepost_ready 0\n") && body.contains("gatepost_ready_reason{reason=\"vault\"} 1\n"));
        let known = ["gatepost_build_info", "gatepost_ready", "gatepost_ready_reason"];
        assert!(shown.iter().all(|name| known.contains(name)), "{body}");
    }
}
