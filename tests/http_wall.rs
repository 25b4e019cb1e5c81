//! Claims: over a real socket, whatever two programs could read differently in a request is refused in the form of all errors and
//! ends the connection; a client that hangs up, wherever it does, leaves nothing or one whole message; clients that are slow,
//! in speaking or in reading, hold nobody else up and are left; and a trusted proxy says whose a request is.

mod support;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpStream};
use std::thread;
use std::time::Duration;

use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrIn, connect as connect_to, setsockopt, socket, sockopt,
};
use support::ports::free_port;
use support::{PATIENCE, Service, Setting, await_that};

const HOST: &str = "Host: localhost\r\n";
const CLOSE: &str = "Host: localhost\r\nConnection: close\r\n";
const HEALTH: &str = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// A service with a listener that one address may have as many connections to as it likes, and its port.
fn start() -> (Service, u16) {
    let port = free_port();
    let more = format!(
        "[[listener]]\nname = \"wide\"\naddress = [\"127.0.0.1:{port}\"]\nprotocol = \"http\"\nserve = [\"v1\", \"ops\"]\n\
         per_address = 8192\nper_prefix = 8192\n"
    );
    (Service::start_with(&Setting { more, ..Setting::default() }), port)
}

fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn body(subject: &str) -> String {
    format!(r#"{{"from":"a@example.net","to":"b@example.org","subject":"{subject}","text":"the beginning\nthe end"}}"#)
}

/// A request that is good, but for what the fields say.
fn post(secret: &str, line: &str, fields: &str, body: &str) -> Vec<u8> {
    format!("{line}\r\n{fields}Authorization: Bearer {secret}\r\nContent-Type: application/json\r\n\r\n{body}").into()
}

/// All that is heard of it, and whether the connection ended by itself.
fn heard(port: u16, octets: &[u8]) -> (String, bool) {
    let mut stream = connect(port);
    // It may be refused, and the connection with it, before all of it is sent.
    let _ = stream.write_all(octets);
    let mut all = Vec::new();
    let ended = stream.read_to_end(&mut all).is_ok();
    (String::from_utf8(all).unwrap(), ended)
}

#[test]
fn rule_w5_every_request_of_two_meanings_is_refused_by_the_service_and_ends_its_connection() {
    let (service, port) = start();
    let secret = service.add_credential();
    let good = body("refused");
    let n = good.len();
    let line = "POST /v1/send HTTP/1.1";
    let with = |fields: &str, body: &str| post(&secret, line, fields, body);
    let whole = |fields: &str| with(&format!("{HOST}{fields}Content-Length: {n}\r\n"), &good);
    let lengths = |fields: &str| with(&format!("{HOST}{fields}"), &good);
    let chunks = format!("{n:x}\r\n{good}\r\n0\r\n\r\n");
    let coded = |fields: &str| with(&format!("{HOST}{fields}"), &chunks);
    let chunked = |body: &str| with(&format!("{HOST}Transfer-Encoding: chunked\r\n"), body);
    let asked = |line: &str| post(&secret, line, &format!("{HOST}Content-Length: {n}\r\n"), &good);
    let text = |octets: Vec<u8>| String::from_utf8(octets).unwrap();
    let mut cases = vec![
        ("length, then coding", lengths(&format!("Content-Length: {n}\r\nTransfer-Encoding: chunked\r\n")), 400),
        ("coding, then length", coded(&format!("Transfer-Encoding: chunked\r\nContent-Length: {n}\r\n")), 400),
        ("two equal lengths", lengths(&format!("Content-Length: {n}\r\nContent-Length: {n}\r\n")), 400),
        ("two lengths", lengths(&format!("Content-Length: {n}\r\nContent-Length: 3\r\n")), 400),
        ("chunked in two fields", coded("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"), 400),
        ("a folded coding", coded("Transfer-Encoding:\r\n chunked\r\n"), 400),
        ("a blank before the colon", coded("Transfer-Encoding : chunked\r\n"), 400),
        (
            "a coding of HTTP/1.0",
            post(&secret, "POST /v1/send HTTP/1.0", &format!("{HOST}Transfer-Encoding: chunked\r\n"), &chunks),
            400,
        ),
        ("line feeds alone", text(whole("")).replace("\r\n", "\n").into(), 400),
        ("one line feed alone", text(whole("X: y\r\n")).replace("X: y\r\n", "X: y\n").into(), 400),
        ("a carriage return alone", whole("X: a\rb\r\n"), 400),
        ("a NUL", whole("X: a\0b\r\n"), 400),
        (
            "a blank before the first field",
            post(&secret, line, &format!(" X: y\r\n{HOST}Content-Length: {n}\r\n"), &good),
            400,
        ),
        ("no Host", with(&format!("Content-Length: {n}\r\n"), &good), 400),
        ("two Hosts", whole(HOST), 400),
        ("another host in the target", asked("POST http://evil/v1/send HTTP/1.1"), 400),
        ("CONNECT", asked("CONNECT localhost:443 HTTP/1.1"), 405),
        ("TRACE", asked("TRACE /v1/send HTTP/1.1"), 405),
        ("OPTIONS *", asked("OPTIONS * HTTP/1.1"), 405),
        ("an octet beyond ASCII in the path", asked("POST /v1/s\u{e9}nd HTTP/1.1"), 400),
        ("HTTP/0.9", "GET /healthz\r\n\r\n".into(), 400),
        ("HTTP/1.2", asked("POST /v1/send HTTP/1.2"), 400),
        ("HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".into(), 400),
        ("TLS", vec![0x16, 3, 1, 2, 0, 1, 0], 400),
        ("105 fields", whole(&"X: y\r\n".repeat(100)), 431),
        ("a field of 100 KB", whole(&format!("X: {}\r\n", "y".repeat(100_000))), 431),
        ("a field of 500 KB", whole(&format!("X: {}\r\n", "y".repeat(500_000))), 431),
        ("a target of 70 KB", asked(&format!("POST /{} HTTP/1.1", "a".repeat(70_000))), 414),
        ("two keys", whole(&format!("Authorization: Bearer {secret}\r\n")), 400),
        ("two types", whole("Content-Type: application/json\r\n"), 400),
        ("an expectation", whole("Expect: tea\r\n"), 417),
        ("a compressed body", whole("Content-Encoding: gzip\r\n"), 415),
        ("an extension of 20 KB", chunked(&format!("{n:x};{}\r\n{good}\r\n0\r\n\r\n", "e".repeat(20_000))), 400),
        ("2000 trailers", chunked(&format!("{n:x}\r\n{good}\r\n0\r\n{}\r\n", "T: v\r\n".repeat(2000))), 400),
        ("line feeds alone in chunks", chunked(&chunks.replace("\r\n", "\n")), 400),
    ];
    for host in ["a b", "c@d", "a/b", "", "a:b"] {
        cases.push(("a Host that is none", with(&format!("Host: {host}\r\nContent-Length: {n}\r\n"), &good), 400));
    }
    for length in ["3, 3", "+3", "-1", "0x3", "", "18446744073709551616", "18446744073709551615"] {
        cases.push(("a length that is none", lengths(&format!("Content-Length: {length}\r\n")), 400));
    }
    for coding in ["gzip, chunked", "chunked, chunked", "identity", "xchunked", "chunked, identity", "\x0bchunked"] {
        cases.push(("another coding", coded(&format!("Transfer-Encoding: {coding}\r\n")), 400));
    }
    for size in ["0x3", " 3", "3 ", "ffffffffffffffff3", "+3", "", "g"] {
        cases.push(("a size that is none", chunked(&format!("{size}\r\n{good}\r\n0\r\n\r\n")), 400));
    }
    for (what, octets, status) in cases {
        let (all, ended) = heard(port, &octets);
        assert!(ended, "{what}: the connection goes on, after {all}");
        let (head, body) = all.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{what}: {all}"));
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{what}: {all}");
        assert_eq!(all.matches("\r\nx-request-id: ").count(), 1, "{what}: not one answer: {all}");
        assert!(head.to_lowercase().contains("\r\nconnection: close"), "{what}: {all}");
        let id = body.split("\"request_id\":\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or_default();
        assert!(id.starts_with("req_") && head.to_lowercase().contains(&id.to_lowercase()), "{what}: {all}");
        for member in ["\"status\":\"error\"", "\"code\":\"", "\"message\":\"", "\"retryable\":false", "\"errors\":["] {
            assert!(body.contains(member), "{what}: no {member} in {all}");
        }
        assert!(!all.contains(&secret), "{what}: {all}");
    }
    let log = service.log();
    assert!(!log.contains(&secret), "a key in the log");
    for octets in [whole("X: y\r\nConnection: close\r\n"), coded("Transfer-Encoding: chunked\r\nConnection: close\r\n")]
    {
        let (all, ended) = heard(port, &octets);
        assert!(ended && all.starts_with("HTTP/1.1 202 "), "{all}");
        assert!(service.sink.next(PATIENCE).is_some(), "it arrives");
    }
    assert!(service.sink.next(Duration::from_millis(500)).is_none(), "one of those that were refused");
    service.stop();
}

#[test]
fn rule_w12_whoever_hangs_up_at_any_octet_leaves_nothing_or_one_whole_message() {
    let (service, port) = start();
    let secret = service.add_credential();
    let request = |subject: &str| {
        let body = body(subject);
        post(&secret, "POST /v1/send HTTP/1.1", &format!("{HOST}Content-Length: {}\r\n", body.len()), &body)
    };
    let whole = request("cut-000").len();
    // Each of them has its key checked anew, and there is not always room for that.
    let accepted = |subject: &str| {
        let octets = String::from_utf8(request(subject)).unwrap().replace(HOST, CLOSE);
        await_that("a message is accepted", || heard(port, octets.as_bytes()).0.starts_with("HTTP/1.1 202 "));
    };
    for cut in 0..whole + 4 {
        if cut == whole {
            accepted("first");
        }
        let mut stream = connect(port);
        let octets = request(&format!("cut-{cut:03}"));
        stream.write_all(&octets[..cut.min(whole)]).unwrap();
        if cut % 2 == 0 {
            // Half of them leave without a word, the others say that they do.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
    accepted("last");
    let mut arrived = Vec::new();
    loop {
        // Whatever is kept is on its way with the last one.
        let patience = if arrived.iter().any(|one| one == "last") { Duration::from_secs(2) } else { PATIENCE };
        let Some(received) = service.sink.next(patience) else { break };
        let content = String::from_utf8(received.content).unwrap();
        let subject = content.lines().find_map(|line| line.strip_prefix("Subject: ")).unwrap().to_owned();
        assert!(content.ends_with("\r\n\r\nthe beginning\r\nthe end\r\n"), "{content}");
        arrived.push(subject);
    }
    arrived.sort();
    assert_eq!(arrived.split_off(arrived.len() - 2), ["first", "last"]);
    let complete: Vec<_> = (whole..whole + 4).map(|cut| format!("cut-{cut:03}")).collect();
    assert!(arrived.iter().all(|subject| complete.contains(subject)), "{arrived:?}");
    let mut once = arrived.clone();
    once.dedup();
    assert_eq!(once, arrived, "one of them twice");
    assert!(!arrived.is_empty(), "whoever has said all has sent it");
    service.stop();
}

/// A connection that hardly anything fits in.
fn narrow(port: u16) -> TcpStream {
    let socket = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).unwrap();
    setsockopt(&socket, sockopt::RcvBuf, &2048).unwrap();
    // The other side's buffer grows with the size of a segment.
    setsockopt(&socket, sockopt::TcpMaxSeg, &536).unwrap();
    connect_to(std::os::fd::AsRawFd::as_raw_fd(&socket), &SockaddrIn::new(127, 0, 0, 1, port)).unwrap();
    TcpStream::from(socket)
}

#[test]
fn rule_w9_clients_that_speak_or_read_slowly_are_left_and_hold_nobody_up() {
    const EACH: usize = 20;
    let (service, port) = start();
    let mut deaf: Vec<_> = (0..EACH).map(|_| narrow(port)).collect();
    for stream in &mut deaf {
        // More answers than find room; none of them is read.
        stream.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
        let _ = stream.write_all(HEALTH.repeat(900).as_bytes());
    }
    let slow: Vec<_> = (0..EACH).map(|_| connect(port)).collect();
    thread::scope(|scope| {
        for mut stream in slow {
            scope.spawn(move || {
                let mut octets = "GET /healthz HTTP/1.1\r\nX: ".bytes().chain(std::iter::repeat(b'x'));
                stream.set_read_timeout(Some(Duration::from_millis(400))).unwrap();
                let mut heard = Vec::new();
                while !heard.ends_with(b"}") {
                    let _ = stream.write_all(&[octets.next().unwrap()]);
                    let mut room = [0; 1024];
                    match stream.read(&mut room) {
                        Ok(0) => break,
                        Ok(read) => heard.extend_from_slice(&room[..read]),
                        Err(_) => {}
                    }
                }
                assert!(heard.starts_with(b"HTTP/1.1 408 "), "{}", String::from_utf8_lossy(&heard));
            });
        }
        for _ in 0..20 {
            let (health, _) = heard(port, HEALTH.replace(HOST, CLOSE).as_bytes());
            assert!(health.starts_with("HTTP/1.1 200 "), "{health}");
        }
    });
    // Longer than an answer may take to be read. What has found room until then can still be read, and no more of it.
    thread::sleep(Duration::from_secs(40));
    for mut stream in deaf {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut all = Vec::new();
        let _ = stream.read_to_end(&mut all);
        let answers = all.windows(13).filter(|octets| octets == b"HTTP/1.1 200 ").count();
        assert!((1..900).contains(&answers), "{answers} answers");
    }
    service.stop();
}

#[test]
fn rule_w13_clients_behind_a_trusted_proxy_are_who_it_says_and_nobody_else_may_say_so() {
    let (trusting, wary) = (free_port(), free_port());
    let listener = |name: &str, port: u16, proxy: &str| {
        format!(
            "[[listener]]\nname = \"{name}\"\naddress = [\"127.0.0.1:{port}\"]\nprotocol = \"http\"\nbehind_tls_proxy = true\n\
             trusted_proxies = [\"{proxy}\"]\nforwarded_by = \"X-Forwarded-For\"\nhosts = [\"localhost\"]\n"
        )
    };
    let more = listener("trusting", trusting, "127.0.0.1") + &listener("wary", wary, "192.0.2.1");
    let service = Service::start_with(&Setting { more, ..Setting::default() });
    let secret = service.add_credential();
    let sent = |port, list: &str| {
        let body = body("named");
        let fields = format!("{CLOSE}X-Forwarded-For: {list}\r\nContent-Length: {}\r\n", body.len());
        heard(port, &post(&secret, "POST /v1/send HTTP/1.1", &fields, &body)).0
    };
    for (port, list) in [(trusting, "203.0.113.1, 198.51.100.7"), (wary, "192.0.2.8"), (trusting, "nobody")] {
        let answer = sent(port, list);
        assert!(answer.starts_with("HTTP/1.1 202 "), "{answer}");
        assert!(service.sink.next(PATIENCE).is_some(), "it arrives");
    }
    let mut events = String::new();
    await_that("the events are published", || {
        let output = service.command(&["audit", "query", "--event", "msg.accept", "--format", "jsonl"]);
        events = String::from_utf8(output.stdout).unwrap();
        events.lines().count() == 3
    });
    // Of an address the query shows the network.
    let of = |network: &str| events.matches(&format!("\"{network}.0/24\"")).count();
    assert_eq!((of("198.51.100"), of("192.0.2"), of("203.0.113"), of("127.0.0")), (1, 0, 0, 2), "{events}");
    // Failed logins are that client's, and its own.
    let guessed = |list: &str| {
        let fields = format!("{CLOSE}X-Forwarded-For: {list}\r\nContent-Length: 2\r\n");
        heard(trusting, &post("gp_live_guessed_guessed", "POST /v1/send HTTP/1.1", &fields, "{}")).0
    };
    await_that("a client that guesses is told to wait", || guessed("198.51.100.9").starts_with("HTTP/1.1 429 "));
    assert!(sent(trusting, "198.51.100.9").starts_with("HTTP/1.1 429 "), "it waits");
    await_that("others are not", || sent(trusting, "192.0.2.77").starts_with("HTTP/1.1 202 "));
    let (elsewhere, _) = heard(trusting, b"GET /v1/send HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n");
    assert!(elsewhere.starts_with("HTTP/1.1 421 "), "{elsewhere}");
    service.stop();
}
