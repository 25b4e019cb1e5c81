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
    let posted = post(Box::new(ours), request, 100, async { true });
    tokio::join!(server, posted)
}

fn request() -> Request {
    Request {
        authority: authority("w.example", 7380, true),
        path: "/log/add-checkpoint".into(),
        kind: "text/plain",
        headers: vec![("webhook-id", "msg_1".into())],
        authorization: Some(Secret::new("Bearer sesame".into())),
        body: Secret::new(b"the body".to_vec()),
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
    let long = Request { body: Secret::new(vec![b'x'; 4 << 20]), ..request() };
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
    let silent = post(Box::new(ours), request(), 100, async { true }).await;
    assert!(matches!(silent, Err(Failed::Unanswered(_))), "{silent:?}");
    assert!(begun.elapsed() >= QUIET && begun.elapsed() <= 2 * QUIET, "{:?}", begun.elapsed());
    drop(theirs);
}

#[tokio::test]
async fn the_last_octets_wait_for_a_word_and_without_it_there_is_no_request() {
    for may_end in [true, false] {
        let (ours, mut theirs) = duplex(1 << 20);
        let (asked, was_asked) = tokio::sync::oneshot::channel();
        let (say, said) = tokio::sync::oneshot::channel();
        let long = Request { body: Secret::new(vec![b'x'; 100_000]), ..request() };
        let posted = post(Box::new(ours), long, 100, async {
            asked.send(()).unwrap();
            said.await.unwrap()
        });
        let server = async move {
            was_asked.await.unwrap();
            let mut seen = vec![0; 1 << 20];
            let mut length = 0;
            // All that may go out goes out, and nothing more.
            while !seen[..length].ends_with(&[b'x'; 90_000]) {
                length += theirs.read(&mut seen[length..]).await.unwrap();
            }
            tokio::task::yield_now().await;
            let before = seen[..length].iter().rev().take_while(|octet| **octet == b'x').count();
            assert!((90_000..100_000).contains(&before), "{before}");
            say.send(may_end).unwrap();
            let mut rest = vec![0; 1 << 20];
            let mut after = 0;
            while before + after < 100_000 {
                match theirs.read(&mut rest[after..]).await.unwrap() {
                    0 => break,
                    n => after += n,
                }
            }
            theirs.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.ok();
            before + after
        };
        let (reply, seen) = tokio::join!(posted, server);
        match may_end {
            true => assert!(seen == 100_000 && reply.is_ok(), "{seen} {reply:?}"),
            false => assert!(seen < 100_000 && reply == Err(Failed::Withheld), "{seen} {reply:?}"),
        }
    }
}

/// A server that says this as soon as it has the head; then it reads on, or is gone. Gives how many octets of the body it got.
async fn early(answer: &str, reads_on: bool, body: usize) -> (usize, Result<Reply, Failed>) {
    let (ours, mut theirs) = duplex(1 << 16);
    let answer = answer.to_owned();
    let (say, said) = tokio::sync::oneshot::channel();
    let server = async move {
        let (mut seen, mut octets) = (Vec::new(), vec![0; 1 << 16]);
        while !seen.windows(4).any(|four| four == b"\r\n\r\n") {
            let n = theirs.read(&mut octets).await.unwrap();
            seen.extend_from_slice(&octets[..n]);
        }
        theirs.write_all(answer.as_bytes()).await.unwrap();
        let mut got = seen.iter().rev().take_while(|octet| **octet == b'x').count();
        // The vault answers when the reply has long been there.
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        say.send(()).ok();
        while reads_on && got < body {
            match theirs.read(&mut octets).await.unwrap() {
                0 => break,
                n => got += n,
            }
        }
        got
    };
    let long = Request { body: Secret::new(vec![b'x'; body]), ..request() };
    let posted = post(Box::new(ours), long, 100, async { said.await.is_ok() });
    tokio::join!(server, posted)
}

#[tokio::test]
async fn a_yes_before_the_end_counts_when_the_whole_request_has_gone() {
    for body in [1000, 1 << 20] {
        for version in ["1.0", "1.1"] {
            let head = format!("HTTP/{version} 200 OK\r\nContent-Length: 0\r\n\r\n");
            let (got, reply) = early(&head, true, body).await;
            assert_eq!((got, reply.map(|reply| reply.status)), (body, Ok(200)), "{head}");
        }
    }
}

#[tokio::test]
async fn a_yes_of_who_did_not_take_the_whole_request_is_none_and_a_refusal_is_one() {
    let head = |status: u16| format!("HTTP/1.1 {status} So\r\nContent-Length: 0\r\n\r\n");
    for status in [200, 302] {
        let (_, reply) = early(&head(status), false, 1 << 20).await;
        assert!(matches!(reply, Err(Failed::Unsent { begun: true, .. })), "{reply:?}");
    }
    for status in [413, 500] {
        let (_, reply) = early(&head(status), false, 1 << 20).await;
        assert_eq!(reply.map(|reply| reply.status), Ok(status));
    }
}

#[tokio::test]
async fn a_connection_that_is_lost_while_the_last_octets_are_held_back_has_carried_no_request() {
    let (ours, mut theirs) = duplex(1 << 20);
    let long = Request { body: Secret::new(vec![b'x'; 1000]), ..request() };
    let server = async move {
        let (mut seen, mut octets) = (0, [0; 4096]);
        while seen < 1000 {
            seen += theirs.read(&mut octets).await.unwrap();
        }
    };
    // Nobody says that the rest may go.
    let posted = post(Box::new(ours), long, 100, pending());
    let (reply, ()) = tokio::join!(posted, server);
    assert!(matches!(reply, Err(Failed::Unsent { begun: true, .. })), "{reply:?}");
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
