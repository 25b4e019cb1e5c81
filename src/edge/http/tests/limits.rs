//! Sizes and times, and what is left when a connection ends in the middle.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::house::{House, KEY, Ways, post, post_with};
use super::{GOOD, body};
use crate::config::slice::Serve;
use crate::edge::front::Phase;
use crate::policy::refusal::Refusal;

#[tokio::test]
async fn a_message_beyond_the_size_is_refused_before_the_vault_is_asked_for_room() {
    let mut house = House::new(Ways::default());
    let file = "QUJD".repeat(270_000);
    let response = house.client.send(&body(&format!(r#""attachments":[{{"filename":"a","content":"{file}"}}]"#))).await;
    assert_eq!((response.status, response.code()), (413, "payload_too_large"));
    assert_eq!(house.hang_up().await.turned, [(Some("ann@example.net".to_owned()), None, 0, Refusal::TooBig)]);
}

#[tokio::test]
async fn a_body_that_announces_too_much_is_refused_before_it_is_sent() {
    let head = format!("Authorization: Bearer {KEY}\r\nContent-Type: application/json\r\nExpect: 100-continue\r\n");
    let mut house = House::new(Ways::default());
    let response = house
        .client
        .ask(&format!("POST /v1/send HTTP/1.1\r\nHost: gate\r\n{head}Content-Length: 99999999999\r\n\r\n"))
        .await;
    assert_eq!((response.status, response.code()), (413, "payload_too_large"));
    assert_eq!(response.field("connection"), Some("close"));
}

#[tokio::test]
async fn a_chunked_body_is_read_and_its_end_is_the_limits() {
    let head = format!(
        "POST /v1/send HTTP/1.1\r\nHost: gate\r\nAuthorization: Bearer {KEY}\r\nContent-Type: application/json\r\n\
         Transfer-Encoding: chunked\r\n\r\n"
    );
    let mut house = House::new(Ways::default());
    let (first, second) = GOOD.split_at(20);
    let chunks = format!("{:x}\r\n{first}\r\n{:x}\r\n{second}\r\n0\r\n\r\n", first.len(), second.len());
    assert_eq!(house.client.ask(&format!("{head}{chunks}")).await.status, 202);
    let response = house.client.ask(&format!("{head}xyz\r\n")).await;
    assert_eq!((response.status, response.code()), (400, "bad_request"));
    assert!(house.client.is_closed().await);

    let house = House::new(Ways::default());
    let (mut read, mut write) = tokio::io::split(house.client.stream);
    let flood = async {
        let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x10000));
        let _ = write.write_all(head.as_bytes()).await;
        while write.write_all(chunk.as_bytes()).await.is_ok() {}
    };
    let mut answer = [0; 12];
    let listen = read.read_exact(&mut answer);
    let (_, heard) = tokio::join!(tokio::time::timeout(Duration::from_secs(30), flood), listen);
    heard.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 413");
}

#[tokio::test(start_paused = true)]
async fn rule_s3_rule_w9_a_body_that_comes_too_slowly_is_given_up() {
    let mut house = House::new(Ways::default());
    let request = post(GOOD);
    house.client.say(&request[..request.len() - 1]).await;
    let start = tokio::time::Instant::now();
    let response = house.client.hear().await;
    assert_eq!((response.status, response.code()), (408, "request_timeout"));
    assert_eq!(start.elapsed().as_secs(), 10);
    assert!(house.client.is_closed().await);
    assert!(house.hang_up().await.kept.is_empty());
}

#[tokio::test(start_paused = true)]
async fn rule_s3_rule_w9_a_body_that_trickles_is_given_up_too() {
    let mut house = House::new(Ways::default());
    let head =
        post_with(&format!("Authorization: Bearer {KEY}\r\nContent-Type: application/json\r\n"), &"x".repeat(100_000));
    house.client.say(&head[..head.len() - 100_000]).await;
    let start = tokio::time::Instant::now();
    let mut answer = [0; 12];
    loop {
        let wait = house.client.stream.read_exact(&mut answer);
        if timeout(Duration::from_secs(1), wait).await.is_ok() {
            break;
        }
        house.client.say(&"x".repeat(500)).await;
    }
    assert_eq!(&answer, b"HTTP/1.1 408");
    assert!((15..25).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn rule_s3_rule_w9_a_head_that_never_ends_is_cut_off_and_so_is_an_idle_connection() {
    for (start, status) in [("", None), ("POST /v1/send HTTP/1.1\r\nHost: ga", Some(408)), (&post(GOOD), Some(202))] {
        let mut house = House::new(Ways::default());
        house.client.say(start).await;
        if let Some(status) = status {
            assert_eq!(house.client.hear().await.status, status);
        }
        assert!(house.client.is_closed().await, "{start}");
        house.hang_up().await;
    }
}

#[tokio::test]
async fn rule_w12_a_client_that_hangs_up_leaves_nothing_or_one_whole_message() {
    let request = post(GOOD);
    let whole = request.len();
    for (cut, patient) in (0..whole).step_by(7).map(|cut| (cut, false)).chain([(whole, false), (whole, true)]) {
        let mut house = House::new(Ways { slow_commit: Duration::from_millis(1), ..Ways::default() });
        house.client.say(&request[..cut]).await;
        if patient {
            // Until the request has been read: then the message is under way.
            while house.seen().asks < 3 {
                tokio::task::yield_now().await;
            }
        }
        let seen = house.hang_up().await;
        match seen.kept.as_slice() {
            [] => assert!(!patient, "cut at {cut}"),
            [message] => {
                assert_eq!(cut, whole);
                assert!(message.content.ends_with("\r\n\r\nhi\r\n"));
            }
            more => panic!("{more:?}"),
        }
    }
}

#[tokio::test]
async fn rule_w10_a_drain_ends_idle_connections_and_lets_the_request_at_hand_finish() {
    let house = House::new(Ways::default());
    house.phase.send(Phase::Draining).unwrap();
    house.gate.await.unwrap();

    let mut house = House::new(Ways { slow_commit: Duration::from_millis(50), ..Ways::default() });
    house.client.say(&post(GOOD)).await;
    while house.seen().asks < 3 {
        tokio::task::yield_now().await;
    }
    house.phase.send(Phase::Draining).unwrap();
    let done = house.client.hear().await;
    assert_eq!((done.status, done.field("connection")), (202, Some("close")));
    assert!(house.client.is_closed().await);
}

#[tokio::test]
async fn rule_w10_a_drain_holds_for_each_surface() {
    let mut house = House::with_desk(Ways::default(), |desk| desk.serve = vec![Serve::Resend]);
    let body = r#"{"from":"ann@example.net","to":"b@example.org","subject":"x","text":"x"}"#;
    let send = post(body).replace("/v1/send", "/emails");
    assert_eq!(house.client.ask(&send).await.status, 200);
    house.phase.send(Phase::Draining).unwrap();
    let told = house.client.ask(&send).await;
    assert_eq!((told.status, told.field("retry-after"), told.field("connection")), (503, Some("1"), Some("close")));
    assert_eq!(house.hang_up().await.kept.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn rule_w10_a_request_that_comes_while_it_drains_is_told_to_come_again_and_not_cut_off() {
    for (request, status) in [(post(GOOD), 503), ("GET /healthz HTTP/1.1\r\nHost: gate\r\n\r\n".to_owned(), 200)] {
        let mut house = House::new(Ways::default());
        assert_eq!(house.client.ask(&post(GOOD)).await.status, 202);
        house.phase.send(Phase::Draining).unwrap();
        // It was on its way when the drain began.
        tokio::time::sleep(Duration::from_millis(900)).await;
        let asks = house.seen().asks;
        let told = house.client.ask(&request).await;
        assert_eq!((told.status, told.field("connection")), (status, Some("close")), "{told:?}");
        if status == 503 {
            assert_eq!((told.code(), told.field("retry-after")), ("store_unavailable", Some("1")));
            assert_eq!(told.body["retryable"], true);
        }
        let seen = house.seen();
        let heard = (seen.asks - usize::from(seen.closed), seen.kept.len());
        assert_eq!(heard, (asks, 1), "the vault hears of nothing but the end");
        assert!(house.client.is_closed().await);
    }
}

#[tokio::test]
async fn a_client_that_is_still_sending_gets_to_read_its_refusal() {
    let mut house = House::new(Ways::default());
    let head = "POST /v1/send HTTP/1.1\r\nHost: gate\r\nContent-Length: 900000\r\n\r\n";
    house.client.say(head).await;
    house.client.say(&"x".repeat(900_000)).await;
    assert_eq!(house.client.hear().await.status, 401);
    assert!(house.client.is_closed().await);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_only_asks_after_our_health_is_known_to_the_vault_long_before_its_capsule_is_too_old() {
    let mut house = House::new(Ways::default());
    let start = tokio::time::Instant::now();
    while start.elapsed() < Duration::from_secs(300) {
        let health = house.client.ask("GET /healthz HTTP/1.1\r\nHost: gate\r\n\r\n").await;
        assert_eq!((health.status, health.field("connection")), (200, None));
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
    assert_eq!(house.seen().asks, 1, "introduced, and nothing else");
    assert_eq!(house.client.send(GOOD).await.status, 202, "on the same connection");
    assert_eq!(house.hang_up().await.kept.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_nobody_can_introduce_ends_in_time() {
    let mut house = House::new(Ways { away: true, ..Ways::default() });
    let start = tokio::time::Instant::now();
    loop {
        house.client.say("GET /healthz HTTP/1.1\r\nHost: gate\r\n\r\n").await;
        let mut octets = [0; 4096];
        if house.client.stream.read(&mut octets).await.unwrap_or(0) == 0 {
            break;
        }
        assert!(start.elapsed() < Duration::from_secs(300), "it goes on");
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
}
