//! How long a client may take for each thing, by a clock that the tests hold.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, sleep, timeout};

use super::GOOD;
use super::house::{House, KEY, Ways, post, post_with};

const HEALTH: &str = "GET /healthz HTTP/1.1\r\nHost: gate\r\n\r\n";

#[tokio::test(start_paused = true)]
async fn rule_w9_a_head_has_ten_seconds_however_it_trickles() {
    for before in [0, 1] {
        let mut house = House::new(Ways::default());
        for _ in 0..before {
            house.client.ask(HEALTH).await;
            sleep(Duration::from_secs(14)).await;
        }
        let begun = Instant::now();
        let mut octets = "GET /healthz HTTP/1.1\r\nX: ".bytes().chain(std::iter::repeat(b'x'));
        let mut status = [0; 12];
        loop {
            let _ = house.client.stream.write_all(&[octets.next().unwrap()]).await;
            let heard = timeout(Duration::from_millis(990), house.client.stream.read_exact(&mut status)).await;
            if heard.is_ok_and(|heard| heard.is_ok()) {
                break;
            }
        }
        assert_eq!(&status, b"HTTP/1.1 408", "after {before}");
        assert_eq!(begun.elapsed().as_secs(), 10, "after {before}");
        assert_eq!(house.hang_up().await.asks, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn rule_w9_a_head_that_is_late_is_told_so() {
    let mut house = House::new(Ways::default());
    let response = house.client.ask("POST /v1/send HTTP/1.1\r\nHost: ga").await;
    assert_eq!((response.status, response.code(), &response.body["retryable"]), (408, "request_timeout", &true.into()));
    assert_eq!(response.field("connection"), Some("close"));
    assert!(house.client.is_closed().await);
}

#[tokio::test(start_paused = true)]
async fn rule_w9_whoever_asks_nothing_is_left_without_a_word() {
    let mut house = House::new(Ways::default());
    let begun = Instant::now();
    assert!(house.client.is_closed().await);
    assert_eq!(begun.elapsed().as_secs(), 10, "its first request has ten seconds");

    let mut house = House::new(Ways::default());
    for _ in 0..3 {
        assert_eq!(house.client.ask(HEALTH).await.status, 200);
        sleep(Duration::from_secs(14)).await;
    }
    assert_eq!(house.client.ask(HEALTH).await.status, 200);
    let begun = Instant::now();
    assert!(house.client.is_closed().await);
    assert_eq!(begun.elapsed().as_secs(), 15);
}

#[tokio::test(start_paused = true)]
async fn rule_w9_a_head_that_begins_late_has_its_own_time() {
    let mut house = House::new(Ways::default());
    house.client.ask(HEALTH).await;
    sleep(Duration::from_secs(14)).await;
    house.client.say(&HEALTH[..10]).await;
    sleep(Duration::from_secs(9)).await;
    assert_eq!(house.client.ask(&HEALTH[10..]).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn rule_w9_a_body_has_a_minute_however_steadily_it_comes() {
    let mut house = House::new(Ways::default());
    let fields = format!("Authorization: Bearer {KEY}\r\nContent-Type: application/json\r\n");
    let request = post_with(&fields, &"x".repeat(1_000_000));
    house.client.say(&request[..request.len() - 1_000_000]).await;
    let begun = Instant::now();
    let mut status = [0; 12];
    while timeout(Duration::from_secs(1), house.client.stream.read_exact(&mut status)).await.is_err() {
        house.client.say(&"x".repeat(4096)).await;
    }
    assert_eq!(&status, b"HTTP/1.1 408");
    assert_eq!(begun.elapsed().as_secs(), 60);
}

#[tokio::test(start_paused = true)]
async fn rule_w9_whoever_does_not_read_its_answers_is_left() {
    for reads in [0, 5] {
        let House { client, gate, phase: _phase, .. } = House::new(Ways::default());
        let (mut read, mut write) = tokio::io::split(client.stream);
        let begun = Instant::now();
        let ask = async {
            // More answers than fit the way to the client.
            while write.write_all(HEALTH.as_bytes()).await.is_ok() {}
        };
        let trickle = async {
            let mut room = vec![0; reads];
            loop {
                sleep(Duration::from_secs(1)).await;
                if reads > 0 && read.read_exact(&mut room).await.is_err() {
                    break;
                }
            }
        };
        tokio::select! {
            done = gate => done.unwrap(),
            _ = async { tokio::join!(ask, trickle) } => panic!("the gate goes on"),
        }
        assert!((30..35).contains(&begun.elapsed().as_secs()), "{reads}: {:?}", begun.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn rule_w9_a_request_is_answered_within_ninety_seconds_however_slow_the_vault_is() {
    let mut house = House::new(Ways { slow_commit: Duration::from_secs(500), ..Ways::default() });
    let request = post(GOOD);
    let begun = Instant::now();
    let (head, last) = request.split_at(request.len() - 1);
    house.client.say(head).await;
    sleep(Duration::from_secs(9)).await;
    let response = house.client.ask(last).await;
    assert_eq!((response.status, response.code()), (503, "store_unavailable"));
    assert!(begun.elapsed() <= Duration::from_secs(90), "{:?}", begun.elapsed());
    assert!(house.client.is_closed().await);
}

#[tokio::test(start_paused = true)]
async fn rule_w10_a_connection_has_a_thousand_requests() {
    let mut house = House::new(Ways::default());
    for n in 1..=1000 {
        let last = house.client.ask(HEALTH).await.field("connection") == Some("close");
        assert_eq!(last, n == 1000, "{n}");
    }
    assert!(house.client.is_closed().await);
}

#[tokio::test(start_paused = true)]
async fn rule_w10_a_connection_lives_an_hour() {
    let mut house = House::new(Ways::default());
    let begun = Instant::now();
    let mut room = [0; 4096];
    while timeout(Duration::from_secs(7), house.client.stream.read(&mut room)).await.is_err() {
        house.client.ask(HEALTH).await;
    }
    assert!((3600..3620).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
    house.hang_up().await;
}
