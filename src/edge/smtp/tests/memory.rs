//! Section S: what a session takes of the heap, counted octet by octet. The state of TLS is not among it: that is rustls'.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::*;
use crate::sasl::scram;
use crate::sys::heap;

const STRANGER: isize = 16 * 1024;
const SENDER: isize = 256 * 1024;
/// What the vault lets a session send ahead.
const CREDIT: u32 = 128 * 1024;

/// Octets, and how often they are said.
type Part = (&'static [u8], usize);

const fn once(part: &'static [u8]) -> Part {
    (part, 1)
}

/// A client that takes no memory of its own. A read gives no more than one of its parts.
struct Client {
    parts: Vec<Part>,
    at: usize,
    said: usize,
    silent: u8,
    /// What was taken at each read, the most so far.
    seen: isize,
    begin: isize,
}

impl Client {
    fn new(parts: Vec<Part>) -> Self {
        Self { parts, at: 0, said: 0, silent: 2, seen: 0, begin: 0 }
    }
}

impl AsyncRead for Client {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if let Some(silent) = self.silent.checked_sub(1) {
            self.silent = silent;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.seen = self.seen.max(heap::now(self.begin));
        let (at, said) = (self.at, self.said);
        let Some((part, times)) = self.parts.get_mut(at).filter(|(_, times)| *times > 0) else {
            return Poll::Ready(Ok(()));
        };
        let rest = &part[said..];
        let here = rest.len().min(buffer.remaining());
        buffer.put_slice(&rest[..here]);
        let ended = here == rest.len();
        *times -= usize::from(ended);
        let next = *times == 0;
        self.said = if ended { 0 } else { said + here };
        self.at += usize::from(next);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Client {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(octets.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// The most that a session takes, its task included, while a client says this; and the most that it has while it waits for
/// more. Sessions of one process work one at a time, and wait all at once.
async fn taken(room: &Room, parts: Vec<Part>) -> (isize, isize) {
    let mut client = Client::new(parts);
    let begin = heap::begin();
    client.begin = begin;
    let mut session = Box::new(Session::new(room.front.clone(), room.house.visit(), Uuid::nil()));
    Box::pin(session.converse(&mut client)).await;
    (heap::most(begin), client.seen)
}

#[tokio::test(start_paused = true)]
async fn rule_s5_a_stranger_that_waits_takes_16_kib() {
    let mut room = Room::plain();
    Arc::get_mut(&mut room.front).unwrap().desk.mechanisms.push(Mechanism::ScramSha256);
    // Whatever is made once is made.
    taken(&room, vec![once(b"EHLO a\r\n"), once(b"AUTH PLAIN AGEAYg==\r\n")]).await;
    let greeting = once(b"EHLO client.example\r\n");
    let long_name = once([b"AUTH LOGIN ", &[b'A'; 12_272][..], b"\r\n"].concat().leak());
    let first = format!("n,,n=billing,r={}", "r".repeat(scram::MOST_NONCE));
    let first = once(format!("AUTH SCRAM-SHA-256 {}\r\n", STANDARD.encode(first)).into_bytes().leak());
    let cases = [
        ("silence", vec![]),
        ("a greeting", vec![greeting]),
        ("a line without its end", vec![greeting, (&[b'x'; 1024], 80)]),
        ("a login without its end", vec![greeting, once(b"AUTH PLAIN "), (&[b'A'; 1], 12_276)]),
        ("an answer without its end", vec![greeting, once(b"AUTH PLAIN\r\n"), (&[b'A'; 512], 23)]),
        ("a long name, and a password without its end", vec![greeting, long_name, (&[b'A'; 512], 23)]),
        ("a proof without its end", vec![greeting, first, (&[b'A'; 512], 23)]),
        ("a path without its end", vec![greeting, once(b"MAIL FROM:<"), (&[b'x'; 512], 4)]),
        ("commands in one segment", vec![greeting, (b"RSET\r\nNOOP\r\nHELP\r\n", 30)]),
        ("a chunk that nobody asked for", vec![greeting, once(b"BDAT 60000\r\n"), (&[b'x'; 1000], 50)]),
    ];
    for (what, parts) in cases {
        let (most, waiting) = taken(&room, parts).await;
        eprintln!("{what}: {most} octets at most, {waiting} while it waits");
        assert!(waiting <= STRANGER, "{what}: {waiting} octets");
        assert!(waiting > 500, "{what}: nothing was counted");
    }
}

#[tokio::test(start_paused = true)]
async fn rule_s5_a_message_of_50_mib_streams_in_256_kib() {
    let ways = Ways { forgets: true, credit: CREDIT, ..Ways::default() };
    let mut room = Room::with(ways, |desk| desk.plain_login = true);
    Arc::get_mut(&mut room.front).unwrap().max_size = 64 * 1024 * 1024;
    let line: &'static [u8] = [&[b'x'; 998][..], b"\r\n"].concat().repeat(64).leak();
    let chunk: &'static [u8] = [&b"BDAT 64000\r\n"[..], line].concat().leak();
    let head = once(b"From: a@example.net\r\n\r\n");
    let before = [
        once(b"EHLO a\r\n"),
        once(b"AUTH PLAIN AGJpbGxpbmcAczNjcmV0\r\n"),
        once(b"MAIL FROM:<a@example.net>\r\nRCPT TO:<b@example.org>\r\n"),
    ];
    let with = |content: &[Part]| [&before[..], content].concat();
    let by_dot = |times| with(&[once(b"DATA\r\n"), head, (line, times), once(b".\r\n")]);
    let by_chunks = |times| with(&[once(b"BDAT 23\r\n"), head, (chunk, times), once(b"BDAT 0 LAST\r\n")]);
    // The channel's own buffers, which all sessions share, are as large as they get.
    taken(&room, by_dot(100)).await;
    for parts in [by_dot(820), by_chunks(820)] {
        let (most, _) = taken(&room, parts).await;
        eprintln!("{most} octets at most");
        assert!(most <= SENDER, "{most} octets");
        assert!(most > 32 * 1024, "nothing was counted");
    }
    assert_eq!(room.house.until(|seen| seen.closed == 3).await.kept.len(), 3);
}
