//! Clients that come through a proxy: its header comes first, and is the vault's to believe.

use std::net::SocketAddr;

use rustls::pki_types::ServerName;
use tokio::io::AsyncReadExt;

use super::*;
use crate::ipc::session::Via;

const LINE: &[u8] = b"PROXY TCP4 198.51.100.9 192.0.2.10 40000 587\r\n";
/// Version 2: the same client; and the proxy's own connection.
const BLOCK: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc6\x33\x64\x09\xc0\0\x02\x0a\x9c\x40\x02\x4b";
const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";

fn client() -> Option<SocketAddr> {
    Some("198.51.100.9:40000".parse().unwrap())
}

fn gate(tls: TlsMode) -> Gate {
    Gate::with(tls, 10, true, Ways::default())
}

/// Everything that is said until the end.
async fn all(mut stream: TcpStream) -> String {
    let mut said = Vec::new();
    // What was left unread on the other side makes a reset of the end.
    let _ = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut said)).await.expect("no end");
    String::from_utf8(said).unwrap()
}

async fn is_accounted_for(gate: &Gate) {
    assert_eq!(format!("{:?}", gate.word().await), "Closed(1, 192.0.2.7)", "the listener counts the proxy that it saw");
}

#[tokio::test]
async fn rule_l16_a_header_precedes_the_greeting_and_names_the_client_to_the_vault() {
    for (header, named) in [(LINE, client()), (BLOCK, client()), (LOCAL, None), (b"PROXY UNKNOWN\r\n", None)] {
        let gate = gate(TlsMode::None);
        let mut stream = BufReader::new(gate.connect_saying(header).await);
        assert!(say(&mut stream, "").await.starts_with("220 "));
        assert_eq!(gate.house.seen().ways, [Via::Proxy(named)], "before anything was asked");
        assert!(say(&mut stream, "EHLO client.example").await.starts_with("250 "));
        assert!(say(&mut stream, "AUTH PLAIN AGJpbGxpbmcAczNjcmV0").await.starts_with("235 "));
        assert!(say(&mut stream, "QUIT").await.starts_with("221 "));
        is_accounted_for(&gate).await;
        assert_eq!(gate.house.seen().opened, 1);
    }
}

#[tokio::test]
async fn rule_l16_a_header_may_come_late_and_in_pieces() {
    for header in [LINE, BLOCK] {
        let gate = gate(TlsMode::None);
        let mut stream = gate.connect().await;
        for octet in header {
            stream.write_all(&[*octet]).await.unwrap();
            tokio::task::yield_now().await;
        }
        let mut stream = BufReader::new(stream);
        assert!(say(&mut stream, "").await.starts_with("220 "));
        assert_eq!(gate.house.seen().ways, [Via::Proxy(client())]);
    }
}

#[tokio::test]
async fn rule_l16_the_header_precedes_a_handshake() {
    for (mode, header) in [(TlsMode::Implicit, LINE), (TlsMode::Implicit, BLOCK), (TlsMode::Starttls, BLOCK)] {
        let gate = gate(mode);
        gate.keyholder(Duration::ZERO);
        let mut plain = BufReader::new(gate.connect_saying(header).await);
        if mode == TlsMode::Starttls {
            say(&mut plain, "").await;
            assert!(say(&mut plain, "EHLO client.example").await.starts_with("250 "));
            assert!(say(&mut plain, "STARTTLS").await.starts_with("220 "));
        }
        let name = ServerName::try_from("gate.example.net").unwrap();
        let mut stream = BufReader::new(gate.client(&[b"smtp"]).connect(name, plain.into_inner()).await.unwrap());
        if mode == TlsMode::Implicit {
            assert!(say(&mut stream, "").await.starts_with("220 "));
        }
        assert!(say(&mut stream, "EHLO client.example").await.contains("AUTH PLAIN LOGIN"));
        assert_eq!(gate.house.seen().ways, [Via::Proxy(client())]);
    }
}

#[tokio::test]
async fn vector_v23_a_second_header_and_one_after_the_greeting_are_none() {
    let gate = gate(TlsMode::None);
    let twice = all(gate.connect_saying(&[LINE, LINE].concat()).await).await;
    assert!(twice.is_empty() || twice.starts_with("554 "), "{twice:?}");
    let block = all(gate.connect_saying(&[BLOCK, BLOCK].concat()).await).await;
    assert!(block.is_empty() || block.starts_with("554 "), "{block:?}");
    let mut stream = BufReader::new(gate.connect_saying(BLOCK).await);
    say(&mut stream, "").await;
    let again = std::str::from_utf8(LINE).unwrap().trim_end();
    assert!(say(&mut stream, again).await.starts_with("500 5.5.2 "));
    assert!(say(&mut stream, "EHLO client.example").await.starts_with("250 "));
    assert!(say(&mut stream, again).await.starts_with("500 5.5.2 "));
    assert!(gate.house.seen().ways.iter().all(|way| *way == Via::Proxy(client())), "{:?}", gate.house.seen().ways);
}

#[tokio::test]
async fn vector_v23_rule_l16_where_no_header_is_expected_it_is_no_command() {
    let gate = Gate::open(TlsMode::None, 10);
    let early = all(gate.connect_saying(LINE).await).await;
    assert!(early.is_empty() || early.starts_with("554 "), "{early:?}");
    let mut stream = BufReader::new(gate.connect().await);
    say(&mut stream, "").await;
    assert!(say(&mut stream, std::str::from_utf8(LINE).unwrap().trim_end()).await.starts_with("500 5.5.2 "));
    assert!(gate.house.seen().ways.is_empty());
}

#[tokio::test]
async fn rule_l16_vector_v23_what_is_no_header_is_closed_without_a_word() {
    let long = [b"PROXY UNKNOWN ", &[b'x'; 92][..], b"\r\n"].concat();
    assert_eq!(long.len(), 108);
    let wrong: [&[u8]; 6] = [
        b"EHLO client.example\r\n",
        b"PROXY TCP4 1.2.3 4.5.6.7 1 1\r\n",
        &long,
        b"\x16\x03\x01\x02\0\x01",
        &BLOCK[1..],
        b"G",
    ];
    for mode in [TlsMode::None, TlsMode::Starttls, TlsMode::Implicit] {
        let gate = gate(mode);
        for octets in wrong {
            assert_eq!(all(gate.connect_saying(octets).await).await, "", "{octets:?}");
            is_accounted_for(&gate).await;
        }
        // Nor does one that is not whole when the proxy is gone.
        let mut cut = gate.connect_saying(&BLOCK[..20]).await;
        cut.shutdown().await.unwrap();
        assert_eq!(all(cut).await, "");
        is_accounted_for(&gate).await;
        assert_eq!(gate.house.seen().opened, 0, "the vault hears nothing of it");
    }
}

#[tokio::test]
async fn rule_l16_a_header_that_does_not_come_is_waited_for_five_seconds() {
    for begin in [&b""[..], &LINE[..20], &BLOCK[..17]] {
        let gate = gate(TlsMode::None);
        let mut silent = gate.connect_saying(begin).await;
        // It waits once another, which came behind it, was served.
        say(&mut BufReader::new(gate.connect_saying(LINE).await), "").await;
        tokio::time::pause();
        let begun = Instant::now();
        assert_eq!(silent.read(&mut [0; 8]).await.unwrap(), 0);
        assert!((4..=5).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
        tokio::time::resume();
    }
}

#[tokio::test]
async fn rule_l16_rule_s4_connections_without_a_header_take_no_places_from_those_with_one() {
    let gate = gate(TlsMode::None);
    let mut waiting = Vec::new();
    for _ in 0..3 {
        waiting.push(gate.connect().await);
        tokio::task::yield_now().await;
    }
    assert_eq!(all(gate.connect().await).await, "", "a quarter of the places, and no more");
    is_accounted_for(&gate).await;
    for _ in 0..3 {
        let mut served = BufReader::new(gate.connect_saying(BLOCK).await);
        assert!(say(&mut served, "").await.starts_with("220 "));
    }
    for _ in 0..3 {
        is_accounted_for(&gate).await;
    }
    drop(waiting.pop());
    is_accounted_for(&gate).await;
    let mut late = gate.connect().await;
    late.write_all(LINE).await.unwrap();
    assert!(say(&mut BufReader::new(late), "").await.starts_with("220 "));
}

#[tokio::test]
async fn rule_l16_rule_s4_a_client_with_too_many_sessions_is_told_so() {
    for (mode, words) in [(TlsMode::None, "421 "), (TlsMode::Starttls, "421 "), (TlsMode::Implicit, "")] {
        let gate = Gate::with(mode, 10, true, Ways { crowded: true, ..Ways::default() });
        let said = all(gate.connect_saying(BLOCK).await).await;
        assert!(said.starts_with(words) && said.is_empty() == words.is_empty(), "{said:?}");
        is_accounted_for(&gate).await;
        gate.house.until(|seen| seen.closed == 1).await;
    }
}

#[tokio::test]
async fn while_the_vault_is_away_a_client_is_greeted_and_told_at_its_first_command() {
    let mut gate = gate(TlsMode::None);
    gate.house.fall().await;
    let mut stream = BufReader::new(gate.connect_saying(BLOCK).await);
    assert!(say(&mut stream, "").await.starts_with("220 "));
    assert!(say(&mut stream, "EHLO client.example").await.starts_with("250 "));
    assert!(say(&mut stream, "AUTH PLAIN AGJpbGxpbmcAczNjcmV0").await.starts_with("421 "));
}
