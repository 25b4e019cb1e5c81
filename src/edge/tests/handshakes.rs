//! TLS with a real client and a keyholder that is slow, hung, or replaced.

use rustls::pki_types::ServerName;
use tokio_rustls::client::TlsStream;

use super::*;
use crate::edge::socket::Socket;

async fn shake(gate: &Gate, stream: TcpStream, alpn: &[&[u8]]) -> std::io::Result<BufReader<TlsStream<TcpStream>>> {
    let name = ServerName::try_from("gate.example.net").unwrap();
    gate.client(alpn).connect(name, stream).await.map(BufReader::new)
}

async fn starttls(gate: &Gate) -> TcpStream {
    let mut client = BufReader::new(gate.connect().await);
    say(&mut client, "").await;
    assert!(say(&mut client, "EHLO client.example").await.contains("STARTTLS"));
    assert!(say(&mut client, "STARTTLS").await.starts_with("220 "));
    client.into_inner()
}

async fn login(client: &mut BufReader<TlsStream<TcpStream>>) {
    assert!(say(client, "EHLO client.example").await.contains("AUTH PLAIN LOGIN"));
    assert!(say(client, "AUTH PLAIN AGJpbGxpbmcAczNjcmV0").await.starts_with("235 "));
}

#[tokio::test]
async fn rule_t6_mail_passes_over_starttls_and_over_implicit_tls() {
    for mode in [TlsMode::Starttls, TlsMode::Implicit] {
        let gate = Gate::open(mode, 10);
        gate.keyholder(Duration::ZERO);
        let mut client = match mode {
            TlsMode::Starttls => shake(&gate, starttls(&gate).await, &[]).await.unwrap(),
            _ => {
                let mut client = shake(&gate, gate.connect().await, &[b"smtp"]).await.unwrap();
                assert!(say(&mut client, "").await.starts_with("220 "));
                client
            }
        };
        login(&mut client).await;
        assert!(say(&mut client, "MAIL FROM:<a@example.net>").await.starts_with("250 "));
        assert!(say(&mut client, "RCPT TO:<b@example.org>").await.starts_with("250 "));
        assert!(say(&mut client, "DATA").await.starts_with("354 "));
        client.write_all(b"From: a@example.net\r\n\r\n").await.unwrap();
        client.write_all("y\r\n".repeat(50_000).as_bytes()).await.unwrap();
        assert!(say(&mut client, ".").await.starts_with("250 "));
        let kept = gate.house.seen().kept;
        assert!(kept[0].content.contains("with ESMTPSA") && kept[0].content.contains("tls TLS_"));
        assert!(kept[0].content.len() > 150_000);
    }
}

/// By hand, because no client here can: the same ClientHello is answered as one of TLS 1.2, and as one of 1.0 or 1.1 refused for
/// its version (RFC 8446 section 6.2, alert 70).
#[tokio::test]
async fn rule_t6_nothing_older_than_tls_1_2_is_spoken() {
    const SUITES: &[u8] = &[0, 4, 0xc0, 0x2b, 0xc0, 0x2f, 1, 0];
    const GROUPS: &[u8] = &[0, 10, 0, 6, 0, 4, 0, 29, 0, 23];
    const SIGNATURES: &[u8] = &[0, 13, 0, 8, 0, 6, 8, 4, 4, 1, 4, 3];
    for version in [1, 2, 3] {
        let gate = Gate::open(TlsMode::Implicit, 10);
        gate.keyholder(Duration::ZERO);
        let extensions = [GROUPS, SIGNATURES].concat();
        let hello = [&[3, version][..], &[7; 32], &[0], SUITES, &[0, extensions.len() as u8], &extensions].concat();
        let length = hello.len() as u8;
        let mut stream = gate.connect().await;
        stream.write_all(&[&[22, 3, 1, 0, length + 4, 1, 0, 0, length][..], &hello].concat()).await.unwrap();
        let mut said = [0; 7];
        let read = tokio::io::AsyncReadExt::read_exact(&mut stream, &mut said);
        tokio::time::timeout(Duration::from_secs(5), read).await.expect("nothing was said").unwrap();
        match version {
            3 => assert_eq!(said[0], 22, "{said:?}"),
            _ => assert_eq!((said[0], &said[5..]), (21, &[2, 70][..]), "{version}: {said:?}"),
        }
    }
}

#[tokio::test]
async fn rule_t3_vector_v6_garbage_instead_of_a_handshake_closes_the_connection() {
    let gate = Gate::open(TlsMode::Starttls, 10);
    gate.keyholder(Duration::ZERO);
    let mut stream = starttls(&gate).await;
    stream.write_all(b"EHLO client.example\r\n").await.unwrap();
    let mut rest = Vec::new();
    let read = tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut rest);
    let _ = tokio::time::timeout(Duration::from_secs(5), read).await.expect("still open");
    assert!(!rest.starts_with(b"2") && !String::from_utf8_lossy(&rest).contains("gate.example.net"));
    assert!(matches!(gate.word().await, Return::Closed(..)));
}

/// What is sent before the handshake is over can be sent again by anybody who has seen it: none is taken, and nothing is handed
/// out that a client could send it with (RFC 8446 sections 2.3 and 8).
#[tokio::test]
async fn rule_t6_nothing_is_taken_before_the_handshake_is_over() {
    let gate = Gate::open(TlsMode::Implicit, 10);
    gate.keyholder(Duration::ZERO);
    let mut config = gate.config(&[&rustls::version::TLS13]);
    config.enable_early_data = true;
    let config = std::sync::Arc::new(config);
    let name = || ServerName::try_from("gate.example.net").unwrap();
    for round in 0..3 {
        // A ticket of the session before would make this one offer it.
        let mut offer = rustls::ClientConnection::new(config.clone(), name()).unwrap();
        assert!(offer.early_data().is_none(), "{round}: the client was given what it can send early data with");
        let stream = gate.connect().await;
        let mut client = tokio_rustls::TlsConnector::from(config.clone()).connect(name(), stream).await.unwrap();
        assert!(!client.get_ref().1.is_early_data_accepted());
        let mut reader = BufReader::new(&mut client);
        assert!(say(&mut reader, "").await.starts_with("220 "));
        assert!(say(&mut reader, "NOOP").await.starts_with("250 "));
        assert_eq!(client.get_ref().1.tls13_tickets_received(), 0);
    }
    let offered = tls::offer(Shelf::default(), b"smtp", None).unwrap();
    assert_eq!((offered.max_early_data_size, offered.send_tls13_tickets), (0, 0));
}

/// A client that keeps what a server gives it to resume by, in both versions of TLS: there is nothing to keep, and the second
/// session is nobody's.
#[tokio::test]
async fn rule_a13_no_tls_session_is_resumed_and_a_login_with_it() {
    let gate = Gate::open(TlsMode::Implicit, 10);
    gate.keyholder(Duration::ZERO);
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let connector = gate.client_of(&[version]);
        for _ in 0..2 {
            let name = ServerName::try_from("gate.example.net").unwrap();
            let mut client = BufReader::new(connector.connect(name, gate.connect().await).await.unwrap());
            assert!(say(&mut client, "").await.starts_with("220 "));
            assert!(say(&mut client, "EHLO client.example").await.contains("AUTH PLAIN LOGIN"));
            assert_eq!(client.get_ref().get_ref().1.handshake_kind(), Some(rustls::HandshakeKind::Full));
            assert!(say(&mut client, "MAIL FROM:<a@example.net>").await.starts_with("530 5.7.0 "));
            login(&mut client).await;
        }
    }
}

#[tokio::test]
async fn rule_s3_a_handshake_that_never_comes_is_given_up() {
    let gate = Gate::open(TlsMode::Implicit, 10);
    let begun = std::time::Instant::now();
    let client = gate.connect().await;
    assert!(matches!(gate.word().await, Return::Closed(..)));
    assert!(begun.elapsed() >= HANDSHAKE && begun.elapsed() < HANDSHAKE * 2);
    drop(client);
}

#[tokio::test]
async fn rule_t13_a_client_that_names_other_protocols_only_is_refused() {
    let gate = Gate::open(TlsMode::Implicit, 10);
    gate.keyholder(Duration::ZERO);
    let error = shake(&gate, gate.connect().await, &[b"http/1.1", b"h2"]).await.unwrap_err();
    assert!(error.to_string().contains("ApplicationProtocol"), "{error}");
    assert!(shake(&gate, gate.connect().await, &[b"h2", b"smtp"]).await.is_ok());
    assert!(shake(&gate, gate.connect().await, &[]).await.is_ok());
}

#[tokio::test]
async fn rule_t12_a_hung_keyholder_fails_handshakes_and_no_live_session_notices() {
    let gate = Gate::open(TlsMode::Implicit, 10);
    let first = gate.keyholder(Duration::ZERO);
    let mut live = shake(&gate, gate.connect().await, &[]).await.unwrap();
    say(&mut live, "").await;
    login(&mut live).await;
    first.abort();
    // This one answers, but later than any handshake waits.
    let slow = gate.keyholder(SIGNING * 3);
    let mut handshakes = Vec::new();
    for _ in 0..5 {
        let stream = gate.connect().await;
        let connector = gate.client(&[]);
        let name = ServerName::try_from("gate.example.net").unwrap();
        handshakes.push(tokio::spawn(async move { connector.connect(name, stream).await.is_ok() }));
    }
    let begun = std::time::Instant::now();
    let mut answers = 0;
    while !handshakes.iter().any(JoinHandle::is_finished) {
        assert!(say(&mut live, "NOOP").await.starts_with("250 "));
        answers += 1;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(answers > 2, "{answers} while others waited for the keyholder");
    while !handshakes.iter().all(JoinHandle::is_finished) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // One waited for the deadline; the others did not wait for theirs in turn.
    assert!(begun.elapsed() < SIGNING * 5, "{:?}", begun.elapsed());
    for handshake in handshakes {
        assert!(!handshake.await.unwrap());
    }
    slow.abort();
    gate.keyholder(Duration::ZERO);
    let mut next = shake(&gate, gate.connect().await, &[]).await.unwrap();
    assert!(say(&mut next, "").await.starts_with("220 "));
}

#[tokio::test]
async fn a_keyholder_that_was_only_slow_is_asked_again_once_it_answers() {
    let gate = Gate::open(TlsMode::Implicit, 10);
    let slow = gate.keyholder(SIGNING + Duration::from_millis(200));
    assert!(shake(&gate, gate.connect().await, &[]).await.is_err());
    // Its late answer is thrown away, and shows that it lives: the next handshake fails by the deadline, not at once.
    tokio::time::sleep(Duration::from_millis(400)).await;
    let begun = std::time::Instant::now();
    assert!(shake(&gate, gate.connect().await, &[]).await.is_err());
    assert!(begun.elapsed() >= SIGNING, "{:?}", begun.elapsed());
    slow.abort();
}

#[tokio::test]
async fn rule_t12_without_a_keyholder_handshakes_fail_at_once() {
    let gate = Gate::open(TlsMode::Implicit, 10);
    let begun = std::time::Instant::now();
    assert!(shake(&gate, gate.connect().await, &[]).await.is_err());
    assert!(begun.elapsed() < SIGNING);
}

#[tokio::test]
async fn rule_s4_a_handshake_that_nobody_waits_for_is_over() {
    let offered = Arc::new(tls::offer(Shelf::default(), b"smtp", None).unwrap());
    let handshaker = Handshaker::start(10, Duration::from_secs(3600)).unwrap();
    let port = StdListener::bind("127.0.0.1:0").unwrap();
    let client = std::net::TcpStream::connect(port.local_addr().unwrap()).unwrap();
    client.set_nonblocking(true).unwrap();
    let socket = Socket::new(port.accept().unwrap().0).unwrap();
    tokio::select! {
        biased;
        _ = handshaker.shake(socket, offered) => panic!("with nobody"),
        () = std::future::ready(()) => {}
    }
    // Begun, and given up.
    let mut client = BufReader::new(TcpStream::from_std(client).unwrap());
    assert_eq!(say(&mut client, "").await, "");
}
