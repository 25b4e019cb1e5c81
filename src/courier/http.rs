//! One HTTP/1.1 request over a connection of its own, bounded in what comes back. hyper's client, without pool or redirect.

use std::future::pending;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper::header::{CONTENT_TYPE, HOST, USER_AGENT};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;

use super::tls::Stream;

/// Octets of a head and of what is read ahead; hyper takes no less.
const MAX_HEAD: usize = 16 * 1024;
const MAX_HEADERS: usize = 64;
const AGENT: &str = concat!("gatepost/", env!("CARGO_PKG_VERSION"));

/// What came back.
#[derive(Debug, PartialEq, Eq)]
pub struct Reply {
    pub status: u16,
    /// The media type, without parameters.
    pub kind: String,
    pub body: Vec<u8>,
}

/// Posts a body and takes the reply, whose body may have `most` octets. The caller bounds the time; the connection ends with
/// it. Errors: what failed, in words.
pub async fn post(
    stream: Box<dyn Stream>,
    authority: &str,
    path: &str,
    kind: &'static str,
    body: Vec<u8>,
    most: usize,
) -> Result<Reply, String> {
    let mut builder = http1::Builder::new();
    builder.max_buf_size(MAX_HEAD).max_headers(MAX_HEADERS);
    let shaken = builder.handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = shaken.map_err(|error| said(&error))?;
    let request = Request::builder()
        .method(Method::POST)
        .uri(path)
        .header(HOST, authority)
        .header(USER_AGENT, AGENT)
        .header(CONTENT_TYPE, kind)
        .body(Full::new(Bytes::from(body)))
        .map_err(|error| format!("this request can't be made: {error}"))?;
    let exchange = async {
        let response = sender.send_request(request).await.map_err(|error| said(&error))?;
        let (head, body) = response.into_parts();
        let kind = head.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let body = Limited::new(body, most).collect().await;
        let body = body.map_err(|error| format!("its answer can't be read ({error}); at most {most} octets are"))?;
        Ok(Reply { status: head.status.as_u16(), kind, body: body.to_bytes().to_vec() })
    };
    // The connection is driven beside the exchange and never outlives it. What ends it is the exchange's error, too, unless
    // that is over: many servers close TLS without saying so.
    let driving = async {
        if let Err(error) = connection.await {
            tracing::debug!(reason = said(&error), "a connection ended");
        }
        pending().await
    };
    tokio::select! {
        reply = exchange => reply,
        () = driving => Err("the connection ended".to_owned()),
    }
}

/// An error with what is behind it.
fn said(error: &hyper::Error) -> String {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}"));
    format!("HTTP: {error}{}", cause.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    /// What the other side got, and what became of its answer.
    async fn exchange(answer: &[u8]) -> (String, Result<Reply, String>) {
        let (ours, mut theirs) = duplex(1 << 20);
        let answer = answer.to_vec();
        let server = async move {
            let mut seen = Vec::new();
            while !seen.ends_with(b"the body") {
                let mut octets = [0; 1024];
                match theirs.read(&mut octets).await.unwrap() {
                    0 => break,
                    n => seen.extend_from_slice(&octets[..n]),
                }
            }
            theirs.write_all(&answer).await.unwrap();
            String::from_utf8(seen).unwrap()
        };
        let posted =
            post(Box::new(ours), "w.example:7380", "/log/add-checkpoint", "text/plain", b"the body".to_vec(), 100);
        tokio::join!(server, posted)
    }

    #[tokio::test]
    async fn a_request_says_what_it_must_and_a_reply_is_taken_whole() {
        let answer = b"HTTP/1.1 409 Conflict\r\nContent-Type: text/x.tlog.size; a=b\r\nContent-Length: 3\r\n\r\n12\n";
        let (seen, reply) = exchange(answer).await;
        let lower = seen.to_ascii_lowercase();
        assert!(
            seen.starts_with("POST /log/add-checkpoint HTTP/1.1\r\n") && seen.ends_with("\r\n\r\nthe body"),
            "{seen}"
        );
        for line in ["host: w.example:7380\r\n", "content-length: 8\r\n", "content-type: text/plain\r\n"] {
            assert!(lower.contains(line), "{seen}");
        }
        let expected = Reply { status: 409, kind: "text/x.tlog.size".into(), body: b"12\n".to_vec() };
        assert_eq!(reply, Ok(expected));
    }

    #[tokio::test]
    async fn what_is_too_long_or_no_http_is_an_error() {
        let long = |head: &str, octets: usize| [head.as_bytes(), &vec![b'x'; octets]].concat();
        for answer in [
            long("HTTP/1.1 200 OK\r\nContent-Length: 101\r\n\r\n", 101),
            long("HTTP/1.1 200 OK\r\n\r\n", 101),
            long("HTTP/1.1 200 OK\r\nX: ", 100_000),
            b"220 mx.example ESMTP\r\n".to_vec(),
            b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nshort".to_vec(),
            Vec::new(),
        ] {
            let (_, reply) = exchange(&answer).await;
            assert!(reply.is_err(), "{reply:?}");
        }
    }
}
