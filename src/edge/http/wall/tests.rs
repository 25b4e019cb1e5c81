//! What the wall lets through, in which form, and what it refuses, without a socket and without hyper.

mod segments;
mod words;

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::time::timeout;

use super::*;
use crate::edge::http::reply::Code;

const POST: &str = "POST /v1/send HTTP/1.1\r\nHost: gate\r\n";

/// What goes on to hyper of these octets, in portions of so many, and the flaw that ends it.
fn through(octets: &[u8], portion: usize) -> (String, Option<Flaw>) {
    in_portions(octets.chunks(portion))
}

fn in_portions<'a>(portions: impl Iterator<Item = &'a [u8]>) -> (String, Option<Flaw>) {
    let (mut framer, mut out) = (Framer::default(), Vec::new());
    for mut input in portions {
        while !input.is_empty() {
            match framer.next(input) {
                Ok((taken, part)) => {
                    assert!(taken > 0 || part.is_some(), "it stands still");
                    part.iter().for_each(|part| part.write(&mut out));
                    input = &input[taken..];
                }
                Err(flaw) => {
                    assert_eq!(framer.next(b"GET / HTTP/1.1\r\nHost: g\r\n\r\n"), Err(flaw.clone()), "it goes on");
                    return (String::from_utf8(out).unwrap(), Some(flaw));
                }
            }
        }
    }
    (String::from_utf8(out).unwrap(), None)
}

fn flaw(octets: &[u8]) -> Flaw {
    let (_, flaw) = through(octets, usize::MAX);
    for portion in [1, 3, 64] {
        assert_eq!(through(octets, portion).1, flaw, "{:?}", String::from_utf8_lossy(octets));
    }
    let flaw = flaw.unwrap_or_else(|| panic!("{:?} is let through", String::from_utf8_lossy(octets)));
    // Whose words it is answered in is nothing of the flaw.
    Flaw { path: String::new(), ..flaw }
}

fn passes(octets: &str) -> String {
    let (out, flaw) = through(octets.as_bytes(), usize::MAX);
    assert_eq!(flaw, None, "{octets:?}");
    for portion in [1, 2, 3, 7] {
        let (cut, flaw) = through(octets.as_bytes(), portion);
        assert_eq!(flaw, None, "{octets:?}");
        // A chunk that came in two is two.
        assert_eq!(segments::joined(&cut), segments::joined(&out), "{octets:?} in portions of {portion}");
    }
    out
}

#[test]
fn rule_w1_a_head_without_one_meaning_is_refused() {
    let long = "a".repeat(25);
    let cases = [
        ("GET /a HTTP/1.1\nHost: gate\n\n", "line feed"),
        ("GET /a HTTP/1.1\r\nHost: gate\n\r\n", "line feed"),
        ("GET /a HTTP/1.1\r\nHost: gate\r\nX: a\rb\r\n\r\n", "carriage return"),
        ("GET /a HTTP/1.1\r\r\n", "carriage return"),
        ("GET /a HTTP/1.1\r\nHost: gate\r\nX: a\0b\r\n\r\n", "NUL"),
        ("GET /a HTTP/1.1\r\nHost: gate\r\nX: a\x0bb\r\n\r\n", "control"),
        ("GET /a HTTP/1.1\r\nHost: gate\r\nX: a\x7fb\r\n\r\n", "control"),
        ("\x16\x03\x01", "control"),
        ("GET /a HTTP/1.1\r\nHost: gate\r\nX: a\r\n b\r\n\r\n", "second line"),
        ("GET /a HTTP/1.1\r\nHost: gate\r\nX: a\r\n\tb\r\n\r\n", "second line"),
        ("GET /a HTTP/1.1\r\n Host: gate\r\n\r\n", "second line"),
        ("GET /a HTTP/1.1\r\nHost : gate\r\n\r\n", "blank"),
        ("GET /a HTTP/1.1\r\nHost\t: gate\r\n\r\n", "blank"),
        ("GET /a HTTP/1.1\r\nHost: gate\r\nnothing\r\n\r\n", "colon"),
        ("GET /a HTTP/1.1\r\nHost: gate\r\n: nothing\r\n\r\n", "name"),
        ("GET /a HTTP/1.1\r\nHost: gate\r\nX(: a\r\n\r\n", "name"),
        ("GET /a HTTP/1.1\r\nHost: gate\r\nX\u{e9}: a\r\n\r\n", "name"),
        ("\r\n\r\n", "empty lines"),
        ("GET /a\r\nHost: gate\r\n\r\n", "first line"),
        ("GET /a\r\n\r\n", "first line"),
        ("GET  /a HTTP/1.1\r\nHost: gate\r\n\r\n", "first line"),
        ("GET /a b HTTP/1.1\r\nHost: gate\r\n\r\n", "first line"),
        ("GET\t/a\tHTTP/1.1\r\nHost: gate\r\n\r\n", "first line"),
        (" GET /a HTTP/1.1\r\nHost: gate\r\n\r\n", "first line"),
        ("GET /a HTTP/1.1 \r\nHost: gate\r\n\r\n", "first line"),
        ("GET /a HTTP/1.2\r\nHost: gate\r\n\r\n", "HTTP/1.1"),
        ("GET /a HTTP/0.9\r\n\r\n", "HTTP/1.1"),
        ("GET /a http/1.1\r\nHost: gate\r\n\r\n", "HTTP/1.1"),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "HTTP/1.1"),
        ("G(T /a HTTP/1.1\r\nHost: gate\r\n\r\n", "method"),
        (&format!("{long} /a HTTP/1.1\r\nHost: gate\r\n\r\n"), "method"),
        ("GET /a HTTP/1.1\r\n\r\n", "Host field is missing"),
        ("GET /a HTTP/1.1\r\nHost: gate\r\nHost: gate\r\n\r\n", "host stands twice"),
        ("GET /a HTTP/1.0\r\nHost: gate\r\nHost: gate\r\n\r\n", "host stands twice"),
        ("GET http://gate/a HTTP/1.0\r\n\r\n", "Host field is missing"),
        ("GET http://evil/a HTTP/1.1\r\nHost: gate\r\n\r\n", "two different hosts"),
        ("GET http://gate:1/a HTTP/1.1\r\nHost: gate:2\r\n\r\n", "two different hosts"),
        ("GET http://gate/a HTTP/1.1\r\nHost: gate:443\r\n\r\n", "two different hosts"),
        ("GET /a HTTP/1.1\r\nHost: gate\r\nContent_Length: 5\r\n\r\n", "write it with -"),
        ("GET /a HTTP/1.1\r\nHost: gate\r\nX_Rcpt_To: b@example.org\r\n\r\n", "write it with -"),
        ("GET /a HTTP/1.1\r\nHost: gate\r\nTransfer_Encoding: chunked\r\n\r\n", "write it with -"),
        ("GET /a HTTP/1.1\r\nHost: gate\r\nIdempotency_key: a\r\n\r\n", "write it with -"),
        ("GET http://u@gate/a HTTP/1.1\r\nHost: gate\r\n\r\n", "target's host"),
        ("GET ftp://gate/a HTTP/1.1\r\nHost: gate\r\n\r\n", "slash"),
        ("GET a HTTP/1.1\r\nHost: gate\r\n\r\n", "slash"),
        ("GET * HTTP/1.1\r\nHost: gate\r\n\r\n", "slash"),
        ("GET /s\u{e9}nd HTTP/1.1\r\nHost: gate\r\n\r\n", "percent"),
        ("GET /a#b HTTP/1.1\r\nHost: gate\r\n\r\n", "percent"),
        ("GET /a?<b> HTTP/1.1\r\nHost: gate\r\n\r\n", "percent"),
        ("GET /a%4 HTTP/1.1\r\nHost: gate\r\n\r\n", "percent"),
        ("GET /a%4g HTTP/1.1\r\nHost: gate\r\n\r\n", "percent"),
        ("GET /a HTTP/1.1\r\nHost: gate\r\nAuthorization: a\r\nauthorization: b\r\n\r\n", "authorization stands twice"),
        (
            "GET /a HTTP/1.1\r\nHost: gate\r\nContent-Type: a/b\r\nContent-Type: a/b\r\n\r\n",
            "content-type stands twice",
        ),
        ("GET /a HTTP/1.1\r\nHost: gate\r\nIdempotency-Key: a\r\nIdempotency-Key: a\r\n\r\n", "idempotency-key stands"),
    ];
    for (octets, why) in cases {
        let flaw = flaw(octets.as_bytes());
        assert_eq!(flaw.code, Code::BadRequest, "{octets:?}: {flaw}");
        assert!(flaw.message.contains(why), "{octets:?}: {flaw}");
    }
    // In octets that aren't UTF-8.
    assert!(flaw(b"GET /\xe9 HTTP/1.1\r\nHost: gate\r\n\r\n").message.contains("percent"));
    assert!(flaw(b"GET / HTTP/1.1\r\nHost: g\xe9\r\n\r\n").message.contains("not a host"));
}

#[test]
fn rule_w2_the_host_is_a_name_or_an_address() {
    for host in ["gate", "Gate.Example.net.", "gate:8080", "192.0.2.1:", "[2001:db8::1]", "[::1]:8080", "a_b-c"] {
        assert!(passes(&format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")).contains(host));
    }
    let long = "a".repeat(300);
    for host in [
        "", "a b", "c@d", "a/b", "a:x", "a:70000", "a:000080", "a,b", ":80", "[::1", "[::1]x", "[a]", "::1", "a%41",
        "a\"", "[::1]:x", "[]", &long,
    ] {
        let flaw = flaw(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes());
        assert_eq!(flaw, Flaw::framing("the Host field is not a host"), "{host:?}");
    }
}

#[test]
fn rule_w3_a_length_is_said_once_and_in_digits() {
    for length in ["+3", "-1", "0x3", "", "3, 3", "3 3", "3.0", "18446744073709551616", "18446744073709551615", "three"]
    {
        let flaw = flaw(format!("{POST}Content-Length: {length}\r\n\r\nabc").as_bytes());
        assert_eq!(flaw, Flaw::framing("content-length is not a length"), "{length:?}");
    }
    for second in ["3", "4"] {
        let flaw = flaw(format!("{POST}Content-Length: 3\r\ncontent-length: {second}\r\n\r\nabc").as_bytes());
        assert_eq!(flaw.message, "content-length stands twice in the request; send it once");
    }
    assert_eq!(
        passes(&format!("{POST}Content-Length:\t003 \r\n\r\nabc")),
        "POST /v1/send HTTP/1.1\r\nhost: gate\r\ncontent-length: 3\r\n\r\nabc"
    );
    assert!(passes(&format!("{POST}Content-Length: 00\r\n\r\n")).contains("content-length: 0\r\n"));
}

#[test]
fn rule_w3_the_only_coding_is_chunked_and_alone() {
    let chunks = "3\r\nabc\r\n0\r\n\r\n";
    for coding in [
        "gzip, chunked",
        "chunked, chunked",
        "identity",
        "xchunked",
        "chunked, identity",
        "",
        "\"chunked\"",
        "chunked;a",
    ] {
        let flaw = flaw(format!("{POST}Transfer-Encoding: {coding}\r\n\r\n{chunks}").as_bytes());
        assert_eq!(flaw, Flaw::framing("the only transfer coding served is \"chunked\""), "{coding:?}");
    }
    let cases = [
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "twice"),
        ("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", "exclude"),
        ("Transfer-Encoding: chunked\r\nContent-Length: 3\r\n", "exclude"),
        ("Transfer-Encoding:\r\n chunked\r\n", "second line"),
        ("Transfer-Encoding : chunked\r\n", "blank"),
        ("Transfer-Encoding: \x0bchunked\r\n", "control"),
    ];
    for (fields, why) in cases {
        let flaw = flaw(format!("{POST}{fields}\r\n{chunks}").as_bytes());
        assert!(flaw.code == Code::BadRequest && flaw.message.contains(why), "{fields:?}: {flaw}");
    }
    let old = "POST / HTTP/1.0\r\nHost: gate\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert!(flaw(old.as_bytes()).message.contains("HTTP/1.0 has no transfer-encoding"));
    assert_eq!(
        passes(&format!("{POST}Transfer-Encoding: CHUNKED\r\n\r\n{chunks}")),
        "POST /v1/send HTTP/1.1\r\nhost: gate\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    );
}

#[test]
fn rule_w2_a_host_with_the_port_that_the_scheme_means_is_the_same() {
    for (target, host) in [
        ("http://gate/a", "gate:80"),
        ("http://gate:80/a", "gate"),
        ("https://Gate/a", "gate:443"),
        ("https://gate:443/a", "GATE"),
    ] {
        passes(&format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
    }
    // A name with a stroke is no field of ours.
    passes("GET /a HTTP/1.1\r\nHost: gate\r\nX_Own: a\r\n\r\n");
}

#[test]
fn rule_w8_methods_that_are_no_requests_for_us_are_refused_with_their_code() {
    let requests = [
        "CONNECT gate:443 HTTP/1.1\r\nHost: gate:443\r\n\r\n",
        "CONNECT / HTTP/1.1\r\nHost: gate\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: gate\r\n\r\n",
    ];
    for request in requests {
        assert_eq!(flaw(request.as_bytes()).code, Code::MethodNotAllowed, "{request}");
    }
}

#[test]
fn rule_w7_what_is_too_long_has_its_codes_and_its_last_octet_passes() {
    let path = |octets: usize| format!("GET /{} HTTP/1.1\r\nHost: gate\r\n\r\n", "a".repeat(octets - 1));
    let query = |octets: usize| format!("GET /?{} HTTP/1.1\r\nHost: gate\r\n\r\n", "a".repeat(octets));
    let fields = |fields: usize| format!("GET / HTTP/1.1\r\nHost: gate\r\n{}\r\n", "X: y\r\n".repeat(fields - 1));
    let head = |octets: usize| format!("GET / HTTP/1.1\r\nHost: gate\r\nX: {}\r\n\r\n", "y".repeat(octets - 35));
    assert_eq!(head(100).len(), 100);
    for fits in [path(2048), query(1024), fields(64), head(HEAD)] {
        passes(&fits);
    }
    for (long, code) in [
        (path(2049), Code::UriTooLong),
        (path(70_000), Code::UriTooLong),
        (query(1025), Code::UriTooLong),
        (fields(65), Code::HeadersTooLarge),
        (head(HEAD + 1), Code::HeadersTooLarge),
        (head(500_000), Code::HeadersTooLarge),
    ] {
        assert_eq!(flaw(long.as_bytes()).code, code, "{} octets", long.len());
    }
}

#[test]
fn rule_w7_the_longest_head_stays_within_what_hyper_takes() {
    let fields = |name: usize| format!("{}\r\n", "x:y\r\n".repeat(62)) + &"z".repeat(name);
    let long = HEAD - "GET / HTTP/1.1\r\nHost:g\r\nl:\r\n".len() - fields(0).len();
    let head = format!("GET / HTTP/1.1\r\nHost:g\r\nl:{}\r\n{}", "y".repeat(long), fields(0));
    assert_eq!(head.len(), HEAD);
    let out = passes(&head);
    assert_eq!(out.len(), HEAD + FIELDS);
    assert!(out.len() <= CANONICAL);
}

#[test]
fn rule_w6_a_head_goes_on_in_one_form() {
    let cases = [
        ("\r\nGET / HTTP/1.1\r\nHost:gate\r\n\r\n", "GET / HTTP/1.1\r\nhost: gate\r\n\r\n"),
        ("GET http://Gate:80?x HTTP/1.1\r\nHost: gate:80\r\n\r\n", "GET /?x HTTP/1.1\r\nhost: gate:80\r\n\r\n"),
        ("GET HTTPS://gate/a HTTP/1.1\r\nHost: gate\r\n\r\n", "GET /a HTTP/1.1\r\nhost: gate\r\n\r\n"),
        ("GET /a HTTP/1.0\r\n\r\n", "GET /a HTTP/1.0\r\n\r\n"),
        (
            "GET /a HTTP/1.0\r\nConnection: Keep-Alive\r\nX-Y: \t a  b\t \r\n\r\n",
            "GET /a HTTP/1.0\r\nx-y: a  b\r\n\r\n",
        ),
        (
            "GET /a HTTP/1.1\r\nHost: gate\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: websocket\r\nHTTP2-Settings: A\r\n\
             TE: trailers\r\nTrailer: X\r\nKeep-Alive: 5\r\nProxy-Connection: keep-alive\r\nX-Empty:\r\n\r\n",
            "GET /a HTTP/1.1\r\nhost: gate\r\nx-empty: \r\n\r\n",
        ),
        (
            "GET /a HTTP/1.1\r\nHost: gate\r\nConnection: x\r\nConnection: y , Close\r\n\r\n",
            "GET /a HTTP/1.1\r\nhost: gate\r\nconnection: close\r\n\r\n",
        ),
    ];
    for (octets, form) in cases {
        assert_eq!(passes(octets), form);
    }
}

#[test]
fn rule_w4_chunks_go_on_without_what_nobody_asked_for() {
    let body = "a;x=\"1\"\r\n0123456789\r\n0001\r\n!\r\n000\r\nX: y\r\nContent-Length: 7\r\n\r\n";
    let out = passes(&format!("{POST}Transfer-Encoding: chunked\r\n\r\n{body}GET / HTTP/1.1\r\nHost: gate\r\n\r\n"));
    let (_, rest) = out.split_once("\r\n\r\n").unwrap();
    assert_eq!(rest, "a\r\n0123456789\r\n1\r\n!\r\n0\r\n\r\nGET / HTTP/1.1\r\nhost: gate\r\n\r\n");
}

#[test]
fn rule_w4_chunks_that_two_could_read_differently_are_refused() {
    let chunks = |body: &str| flaw(format!("{POST}Transfer-Encoding: chunked\r\n\r\n{body}").as_bytes());
    let long = "e".repeat(5000);
    let many = format!("1;{}\r\nx\r\n", "e".repeat(100)).repeat(50);
    let trailers = format!("0\r\n{}\r\n", "T: v\r\n".repeat(2000));
    for body in [
        "0x3\r\nabc\r\n0\r\n\r\n",
        " 3\r\nabc\r\n",
        "3 \r\nabc\r\n",
        "+3\r\nabc\r\n",
        "-3\r\n",
        "\r\n",
        ";x\r\n",
        "g\r\n",
        "3\nabc\n0\n\n",
        "3\r\nabc\n0\r\n\r\n",
        "3\r\nabcd\r\n",
        "3\r\nab\r\n0\r\n",
        "3\rabc",
        "3;a\nabc",
        "3;a\0\r\nabc",
        "123456789\r\n",
        "000000000\r\n",
        "ffffffffffffffff1\r\n",
        "0\r\nX : y\r\n\r\n",
        "0\r\n y\r\n\r\n",
        "0\r\nnothing\r\n\r\n",
        "0\r\nX: y\n\r\n",
        "0\n\r\n",
        "0\r\n\n",
        &format!("1;{long}\r\n"),
        &many,
        &trailers,
    ] {
        assert_eq!(chunks(body).code, Code::BadRequest, "{body:?}");
    }
}

#[tokio::test]
async fn rule_w6_hyper_gets_one_request_at_a_time_and_a_flaw_behind_it_waits() {
    let (mut client, server) = duplex(1024 * 1024);
    let mut wall = Wall::new(server);
    let one = "POST / HTTP/1.1\r\nhost: g\r\ncontent-length: 3\r\n\r\nabc";
    client.write_all(format!("{one}{one}GET").as_bytes()).await.unwrap();
    let mut room = [0; 4096];
    for _ in 0..2 {
        let read = wall.read(&mut room).await.unwrap();
        assert_eq!(std::str::from_utf8(&room[..read]), Ok(one));
    }
    assert!(timeout(Duration::from_millis(5), wall.read(&mut room)).await.is_err(), "half a head is nothing");
    client.write_all(b" / HTTP/3\r\n\r\n").await.unwrap();
    assert_eq!(wall.read(&mut room).await.unwrap(), 0);
    assert_eq!(wall.into_parts().1.unwrap().code, Code::BadRequest);
}

#[tokio::test]
async fn rule_w5_a_flaw_in_a_body_comes_behind_what_was_sound_and_is_no_end() {
    let (mut client, server) = duplex(1024);
    let mut wall = Wall::new(server);
    client.write_all(b"POST / HTTP/1.1\r\nHost: g\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\nx").await.unwrap();
    let mut room = [0; 4096];
    let read = wall.read(&mut room).await.unwrap();
    assert!(room[..read].ends_with(b"\r\n\r\n1\r\na\r\n"));
    let error = wall.read(&mut room).await.unwrap_err();
    assert!(error.get_ref().unwrap().downcast_ref::<Flaw>().is_some(), "{error}");
    assert_eq!(wall.into_parts().1, None);
}

#[tokio::test]
async fn rule_w7_a_wall_holds_little_whatever_is_sent_and_nothing_of_an_idle_connection() {
    let (mut client, server) = duplex(4 * 1024 * 1024);
    let mut wall = Wall::new(server);
    let head = format!("{POST}X: {}\r\nContent-Length: 1000000\r\n\r\n", "y".repeat(16_000));
    let chunked = format!("{POST}Transfer-Encoding: chunked\r\n\r\n{}0\r\n\r\n", "1\r\nx\r\n".repeat(100_000));
    let last = format!("GET / HTTP/1.1\r\nHost: gate\r\nX: {}\r\n\r\n", "y".repeat(16_000));
    client.write_all(format!("{head}{}{chunked}{last}", "x".repeat(1_000_000)).as_bytes()).await.unwrap();
    let (mut most, mut room) = (0, [0; 4096]);
    while let Ok(Ok(1..)) = timeout(Duration::from_millis(5), wall.read(&mut room)).await {
        most = most.max(wall.held());
    }
    assert!((CANONICAL - 1000..2 * (CANONICAL + 2 * 8192)).contains(&most), "{most}");
    assert_eq!(wall.held(), 0);
}

#[tokio::test]
async fn rule_w5_an_end_in_the_middle_of_a_head_is_a_flaw_and_between_requests_none() {
    for (octets, flawed) in [("", false), ("\r\n", false), ("GET", true), ("GET / HTTP/1.1\r\nHost: g\r\n\r\n", false)]
    {
        let (mut client, server) = duplex(1024);
        let mut wall = Wall::new(server);
        client.write_all(octets.as_bytes()).await.unwrap();
        drop(client);
        let mut all = Vec::new();
        wall.read_to_end(&mut all).await.unwrap();
        // It is answered, and no line in the log: many clients leave.
        let flaw = wall.into_parts().1;
        assert_eq!((flaw.is_some(), flaw.is_some_and(|flaw| flaw.left)), (flawed, flawed), "{octets:?}");
    }
}
