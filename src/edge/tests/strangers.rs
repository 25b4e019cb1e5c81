//! Strangers make room for each other, and take nothing from those who have logged in.

use super::*;

/// Sixteen sessions, all of which may be strangers': fourteen at rest, and two that are leaving.
fn gate(proxied: bool) -> Gate {
    Gate::with(TlsMode::None, 16, proxied, Ways::default())
}

type Client = BufReader<TcpStream>;

async fn greeted(stream: TcpStream) -> Client {
    let mut client = BufReader::new(stream);
    let greeting = say(&mut client, "").await;
    assert!(greeting.starts_with("220 "), "{greeting}");
    client
}

async fn is_told_to_go(client: &mut Client) {
    let last = say(client, "").await;
    assert!(last.starts_with("421 4.3.2 "), "{last}");
    assert_eq!(say(client, "").await, "", "and closed");
}

#[tokio::test]
async fn rule_s4_the_oldest_stranger_goes_and_who_has_logged_in_stays() {
    let gate = gate(false);
    let mut known = greeted(gate.connect().await).await;
    say(&mut known, "EHLO client.example").await;
    assert!(say(&mut known, "AUTH PLAIN AGJpbGxpbmcAczNjcmV0").await.starts_with("235 "));
    let mut strangers = Vec::new();
    for _ in 0..14 {
        strangers.push(greeted(gate.connect().await).await);
    }
    let mut newcomer = greeted(gate.connect().await).await;
    is_told_to_go(&mut strangers[0]).await;
    // What it left is free for another, and so is what it would have been told.
    assert!(matches!(gate.word().await, Return::Closed(..)));
    let mut another = greeted(gate.connect().await).await;
    is_told_to_go(&mut strangers[1]).await;
    for client in [&mut known, &mut newcomer, &mut another].into_iter().chain(&mut strangers[2..]) {
        assert!(say(client, "NOOP").await.starts_with("250 "));
    }
    assert!(say(&mut known, "MAIL FROM:<a@example.net>").await.starts_with("250 "));
}

/// Whoever reads the page has that key, and could have every session by it.
#[tokio::test]
async fn rule_s4_who_has_logged_in_by_a_key_that_everybody_has_makes_room_like_a_stranger() {
    let mut ways = Ways::default();
    ways.login.2.turnstile = true;
    let gate = Gate::with(TlsMode::None, 16, false, ways);
    let mut visitors = Vec::new();
    for _ in 0..40 {
        let mut visitor = greeted(gate.connect().await).await;
        say(&mut visitor, "EHLO client.example").await;
        assert!(say(&mut visitor, "AUTH PLAIN AGJpbGxpbmcAczNjcmV0").await.starts_with("235 "));
        visitors.push(visitor);
    }
    for visitor in &mut visitors[..26] {
        is_told_to_go(visitor).await;
    }
    for visitor in &mut visitors[26..] {
        assert!(say(visitor, "NOOP").await.starts_with("250 "));
    }
}

/// None of these closes anything, and none is waited for.
#[tokio::test]
async fn rule_s4_newcomers_come_in_however_many_make_room_for_them() {
    let gate = gate(false);
    let mut strangers = Vec::new();
    for _ in 0..40 {
        strangers.push(greeted(gate.connect().await).await);
    }
    for client in &mut strangers[26..] {
        assert!(say(client, "NOOP").await.starts_with("250 "));
    }
    for client in &mut strangers[..26] {
        is_told_to_go(client).await;
    }
}

#[tokio::test]
async fn rule_s4_a_stranger_in_a_handshake_makes_room_at_once() {
    let gate = Gate::with(TlsMode::Implicit, 16, false, Ways::default());
    gate.keyholder(Duration::ZERO);
    let mut silent = Vec::new();
    for _ in 0..14 {
        silent.push(gate.connect().await);
    }
    let mut newcomers = Vec::new();
    for n in 0..6 {
        let name = rustls::pki_types::ServerName::try_from("gate.example.net").unwrap();
        let shaken = gate
            .client(&[])
            .connect(name, gate.connect().await)
            .await
            .unwrap_or_else(|error| panic!("newcomer {n} is turned away: {error}"));
        let mut newcomer = BufReader::new(shaken);
        assert!(say(&mut newcomer, "").await.starts_with("220 "));
        newcomers.push(newcomer);
    }
}

#[tokio::test]
async fn rule_s4_rule_l16_strangers_are_neighbours_by_the_address_in_the_header() {
    let gate = gate(true);
    let mut strangers = Vec::new();
    for n in 0..14 {
        let network = if n < 6 { 1 } else { 2 };
        let header = format!("PROXY TCP4 198.51.{network}.{n} 192.0.2.10 40000 587\r\n");
        strangers.push(greeted(gate.connect_saying(header.as_bytes()).await).await);
    }
    let header = b"PROXY TCP4 203.0.113.1 192.0.2.10 40000 587\r\n";
    let _newcomer = greeted(gate.connect_saying(header).await).await;
    // On the way in it was a neighbour of its proxy, the only one; the largest neighbourhood is that of eight.
    is_told_to_go(&mut strangers.remove(6)).await;
    for client in &mut strangers {
        assert!(say(client, "NOOP").await.starts_with("250 "));
    }
}
