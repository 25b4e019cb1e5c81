//! Connections come in, are accounted for, and leave.

use super::*;

const LOOPBACK: &str = "192.0.2.7";

fn closed() -> String {
    format!("{:?}", Return::Closed(1, LOOPBACK.parse().unwrap()))
}

fn is_holding(word: &Return) -> bool {
    matches!(word, Return::Holding(held) if held.introduction.peer.ip().to_string() == LOOPBACK)
}

#[tokio::test]
async fn a_connection_is_served_and_its_end_is_told() {
    let gate = Gate::open(TlsMode::None, 10);
    let mut client = BufReader::new(gate.connect().await);
    assert!(say(&mut client, "").await.starts_with("220 "));
    assert!(say(&mut client, "QUIT").await.starts_with("221 "));
    assert_eq!(format!("{:?}", gate.word().await), closed());
}

#[tokio::test]
async fn a_new_listener_is_told_what_is_held_and_what_ends() {
    let mut gate = Gate::open(TlsMode::None, 10);
    let mut first = BufReader::new(gate.connect().await);
    say(&mut first, "").await;
    let old = gate.replace_listener();
    assert!(is_holding(&gate.word().await));
    // One that was still on its way by the old listener is made known to the new one.
    let client = std::net::TcpStream::connect(gate.port.local_addr().unwrap()).unwrap();
    let (socket, _) = gate.port.accept().unwrap();
    old.send(&Handover::Session(capsule()), Some(socket.as_fd())).await.unwrap();
    assert!(is_holding(&gate.word().await));
    drop((old, client, first));
    assert_eq!(format!("{:?}", gate.word().await), closed());
    assert_eq!(format!("{:?}", gate.word().await), closed());
}

#[tokio::test]
async fn rule_s4_a_session_above_the_cap_is_told_so_and_accounted_for() {
    let gate = Gate::open(TlsMode::None, 1);
    let mut first = BufReader::new(gate.connect().await);
    say(&mut first, "").await;
    let mut second = BufReader::new(gate.connect().await);
    assert_eq!(say(&mut second, "").await.as_bytes(), NO_ROOM);
    assert_eq!(format!("{:?}", gate.word().await), closed());
    assert!(say(&mut first, "NOOP").await.starts_with("250 "));
}

#[tokio::test]
async fn a_hand_over_without_a_socket_or_for_an_unknown_listener_harms_nobody() {
    let gate = Gate::open(TlsMode::None, 10);
    gate.listener.send(&Handover::Session(capsule()), None).await.unwrap();
    let mut strange = capsule();
    strange.introduction.listener = 99;
    let client = std::net::TcpStream::connect(gate.port.local_addr().unwrap()).unwrap();
    let (socket, _) = gate.port.accept().unwrap();
    gate.listener.send(&Handover::Session(strange), Some(socket.as_fd())).await.unwrap();
    assert_eq!(format!("{:?}", gate.word().await), closed());
    drop(client);
    let mut served = BufReader::new(gate.connect().await);
    assert!(say(&mut served, "").await.starts_with("220 "));
}

#[tokio::test]
async fn it_exits_at_once_when_the_parent_is_gone() {
    let gate = Gate::open(TlsMode::None, 10);
    let mut client = BufReader::new(gate.connect().await);
    say(&mut client, "").await;
    drop(gate.parent);
    tokio::time::timeout(Duration::from_secs(1), gate.edge).await.unwrap().unwrap();
}

#[tokio::test]
async fn it_retires_when_its_last_session_has_ended_by_itself() {
    let gate = Gate::open(TlsMode::None, 10);
    let mut client = BufReader::new(gate.connect().await);
    say(&mut client, "").await;
    gate.parent.send(&Order::Retire, None).unwrap();
    // One that was on its way is still served.
    let mut late = BufReader::new(gate.connect().await);
    assert!(say(&mut late, "").await.starts_with("220 "));
    assert!(say(&mut late, "QUIT").await.starts_with("221 "));
    tokio::time::sleep(ON_THE_WAY + Duration::from_millis(100)).await;
    assert!(!gate.edge.is_finished());
    assert!(say(&mut client, "QUIT").await.starts_with("221 "));
    tokio::time::timeout(Duration::from_secs(2), gate.edge).await.unwrap().unwrap();
}

#[tokio::test]
async fn it_drains_by_telling_everybody_and_then_exits() {
    let gate = Gate::open(TlsMode::None, 10);
    let mut client = BufReader::new(gate.connect().await);
    say(&mut client, "").await;
    gate.parent.send(&Order::Drain, None).unwrap();
    assert!(say(&mut client, "").await.starts_with("421 "));
    let mut late = BufReader::new(gate.connect().await);
    assert!(say(&mut late, "").await.starts_with("421 "));
    tokio::time::timeout(Duration::from_secs(2), gate.edge).await.unwrap().unwrap();
}

#[tokio::test]
async fn an_edge_with_nothing_to_serve_drains_at_once() {
    let gate = Gate::open(TlsMode::None, 10);
    gate.parent.send(&Order::Drain, None).unwrap();
    tokio::time::timeout(Duration::from_secs(2), gate.edge).await.unwrap().unwrap();
}
