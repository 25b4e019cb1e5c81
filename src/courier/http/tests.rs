//! What a server is told, and what is made of its answer or of its silence.

use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

use super::*;

/// What the other side got, which takes so many octets at most, and what became of its answer.
async fn exchange(answer: &[u8], takes: usize, request: Request) -> (String, Result<Reply, Failed>) {
    let (ours, mut theirs) = duplex(1 << 20);
    let answer = answer.to_vec();
    let server = async move {
        let mut seen = Vec::new();
        while !seen.ends_with(b"the body") && seen.len() < takes {
            let mut octets = [0; 1024];
            let room = octets.len().min(takes - seen.len());
            match theirs.read(&mut octets[..room]).await.unwrap() {
                0 => break,
                n => seen.extend_from_slice(&octets[..n]),
            }
        }
        theirs.write_all(&answer).await.unwrap();
        String::from_utf8(seen).unwrap()
    };
    let posted = post(Box::new(ours), request, 100);
    tokio::join!(server, posted)
}

fn request() -> Request {
    Request {
        authority: authority("w.example", 7380, true),
        path: "/log/add-checkpoint".into(),
        kind: "text/plain",
        headers: vec![("webhook-id", "msg_1".into())],
        authorization: Some(Secret::new("Bearer sesame".into())),
        body: b"the body".to_vec(),
    }
}

#[tokio::test]
async fn a_request_says_what_it_must_and_a_reply_is_taken_whole() {
    let answer = b"HTTP/1.1 409 Conflict\r\nContent-Type: text/x.tlog.size; a=b\r\nRetry-After: 7\r\nContent-Length: 3\r\n\r\n12\n";
    let (seen, reply) = exchange(answer, usize::MAX, request()).await;
    let lower = seen.to_ascii_lowercase();
    assert!(seen.starts_with("POST /log/add-checkpoint HTTP/1.1\r\n") && seen.ends_with("\r\n\r\nthe body"), "{seen}");
    for line in [
        "host: w.example:7380\r\n",
        "content-length: 8\r\n",
        "content-type: text/plain\r\n",
        "webhook-id: msg_1\r\n",
        "authorization: bearer sesame\r\n",
    ] {
        assert!(lower.contains(line), "{seen}");
    }
    let wait = Some(Duration::from_secs(7));
    let expected = Reply { status: 409, kind: "text/x.tlog.size".into(), wait, body: b"12\n".to_vec(), whole: true };
    assert_eq!(reply, Ok(expected));
}

#[tokio::test]
async fn rule_u16_a_body_that_is_too_long_or_broken_off_is_kept_as_far_as_it_goes_and_said_to_be_less() {
    let long = |head: &str, octets: usize| [head.as_bytes(), &vec![b'x'; octets]].concat();
    for (answer, kept) in [
        (long("HTTP/1.1 200 OK\r\nContent-Length: 101\r\n\r\n", 101), 100),
        (long("HTTP/1.1 200 OK\r\n\r\n", 101), 100),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nshort".to_vec(), 5),
    ] {
        let (_, reply) = exchange(&answer, usize::MAX, request()).await;
        let reply = reply.unwrap();
        assert_eq!((reply.status, reply.body.len(), reply.whole), (200, kept, false));
    }
}

#[tokio::test]
async fn rule_u16_what_is_no_http_is_no_answer() {
    let endless = [b"HTTP/1.1 200 OK\r\nX: ".to_vec(), vec![b'x'; 100_000]].concat();
    for answer in [endless, b"220 mx.example ESMTP\r\n".to_vec(), Vec::new()] {
        let (_, reply) = exchange(&answer, usize::MAX, request()).await;
        assert!(matches!(reply, Err(Failed::Unanswered(_))), "{reply:?}");
    }
}

#[tokio::test]
async fn rule_u16_who_can_not_have_had_the_whole_request_has_done_nothing() {
    // More than the line holds, so that the end of it never went out.
    let long = Request { body: vec![b'x'; 4 << 20], ..request() };
    let (_, reply) = exchange(b"", 3000, long).await;
    assert!(matches!(reply, Err(Failed::Unsent { begun: true, .. })), "{reply:?}");
    let bad = Request { path: "no path".into(), ..request() };
    let (_, reply) = exchange(b"", 0, bad).await;
    assert!(matches!(reply, Err(Failed::Unsent { begun: false, .. })), "{reply:?}");
}

#[tokio::test(start_paused = true)]
async fn silence_is_waited_out_for_two_minutes() {
    let (ours, theirs) = duplex(1 << 20);
    let begun = tokio::time::Instant::now();
    let silent = post(Box::new(ours), request(), 100).await;
    assert!(matches!(silent, Err(Failed::Unanswered(_))), "{silent:?}");
    assert!(begun.elapsed() >= QUIET && begun.elapsed() <= 2 * QUIET, "{:?}", begun.elapsed());
    drop(theirs);
}

#[tokio::test]
async fn the_octets_of_a_request_are_known_and_a_yes_to_less_is_none() {
    for authorization in [None, Some(Secret::new("Bearer sesame".to_owned()))] {
        let request = || Request { authorization: authorization.clone(), ..request() };
        let (seen, reply) = exchange(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", usize::MAX, request()).await;
        assert!(reply.is_ok_and(|reply| reply.status == 200));
        assert_eq!(whole(&request()), seen.len() as u64, "{seen}");
    }
    // More than lies in between, answered at its head.
    let long = || Request { body: vec![b'x'; 4 << 20], ..request() };
    let (_, reply) = exchange(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 100, long()).await;
    assert!(matches!(reply, Err(Failed::Unsent { begun: true, .. })), "{reply:?}");
    let (_, reply) = exchange(b"HTTP/1.1 413 Large\r\nContent-Length: 0\r\n\r\n", 100, long()).await;
    assert_eq!(reply.map(|reply| reply.status), Ok(413));
}

#[test]
fn a_wait_is_seconds_or_a_moment() {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
    for (text, expected) in [
        ("120", Some(120)),
        ("0", Some(0)),
        ("Sun, 06 Nov 1994 08:49:47 GMT", Some(10)),
        ("Sun, 06 Nov 1994 08:00:00 GMT", Some(0)),
        ("99999999999999999999999999", Some(u64::MAX)),
        ("", None),
        ("-1", None),
        ("soon", None),
    ] {
        assert_eq!(wait(text, now), expected.map(Duration::from_secs), "{text}");
    }
}
