//! However octets come, in one piece or in many, what goes on is the same; and what has come is never left lying.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex, split};
use tokio::time::{sleep, timeout};

use super::{POST, Wall, in_portions, passes};

/// The head and the body of each request in what goes on to hyper, read by what it says itself. Every chunk must be as long as
/// its size says, every size in its one form, and every body have its end.
pub fn joined(out: &str) -> Vec<(&str, String)> {
    let (mut rest, mut requests) = (out, Vec::new());
    while !rest.is_empty() {
        let (head, behind) = rest.split_once("\r\n\r\n").unwrap_or_else(|| panic!("half a head: {rest:?}"));
        rest = behind;
        let mut body = String::new();
        if head.contains("\r\ntransfer-encoding: chunked") {
            loop {
                let (size, behind) = rest.split_once("\r\n").unwrap_or_else(|| panic!("no end: {out:?}"));
                let octets = usize::from_str_radix(size, 16).unwrap();
                assert_eq!(format!("{octets:x}"), size, "{out:?}");
                body += &behind[..octets];
                rest = behind[octets..].strip_prefix("\r\n").unwrap_or_else(|| panic!("{size} is not so: {out:?}"));
                if octets == 0 {
                    break;
                }
            }
        } else if let Some((_, length)) = head.split_once("\r\ncontent-length: ") {
            let octets = length.split("\r\n").next().unwrap().parse().unwrap();
            body += &rest[..octets];
            rest = &rest[octets..];
        }
        requests.push((head, body));
    }
    requests
}

#[test]
fn rule_w6_requests_are_the_same_wherever_they_are_cut() {
    let chunks = "a;x\r\n0123456789\r\n1\r\n!\r\n0\r\nX: y\r\n\r\n";
    let get = "GET / HTTP/1.1\r\nHost: gate\r\n\r\n";
    let octets = format!("{POST}Transfer-Encoding: chunked\r\n\r\n{chunks}{POST}Content-Length: 3\r\n\r\nabc\r\n{get}");
    let expected = [
        ("POST /v1/send HTTP/1.1\r\nhost: gate\r\ntransfer-encoding: chunked", "0123456789!"),
        ("POST /v1/send HTTP/1.1\r\nhost: gate\r\ncontent-length: 3", "abc"),
        ("GET / HTTP/1.1\r\nhost: gate", ""),
    ]
    .map(|(head, body)| (head, body.to_owned()));
    assert_eq!(joined(&passes(&octets)), expected);
    for at in 0..octets.len() {
        let (one, other) = octets.as_bytes().split_at(at);
        let (out, flaw) = in_portions([one, other].into_iter());
        assert_eq!(flaw, None, "cut at {at}");
        assert_eq!(joined(&out), expected, "cut at {at}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_comes_while_an_answer_waits_for_room_is_read() {
    const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: g\r\n\r\n";
    let (client, server) = duplex(64);
    let (mut hear, mut say) = split(client);
    let (mut requests, mut answers) = split(Wall::new(server));
    let mut room = [0; 64];
    say.write_all(GET).await.unwrap();
    assert_eq!(requests.read(&mut room).await.unwrap(), GET.len());
    let answer = tokio::spawn(async move {
        answers.write_all(&[b'x'; 1000]).await.unwrap();
        answers.flush().await.unwrap();
    });
    sleep(Duration::from_secs(1)).await;
    let next = tokio::spawn(async move { requests.read(&mut room).await });
    sleep(Duration::from_secs(1)).await;
    say.write_all(GET).await.unwrap();
    hear.read_exact(&mut [0; 1000]).await.unwrap();
    answer.await.unwrap();
    let next = timeout(Duration::from_secs(5), next).await.expect("it is woken");
    assert_eq!(next.unwrap().unwrap(), GET.len());
}
