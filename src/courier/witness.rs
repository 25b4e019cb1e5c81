//! Asking a witness: C2SP tlog-witness, add-checkpoint. What it says is handed to the vault, which believes signatures only.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::dial::{Connection, Dialer};
use super::http::{self, Reply, Request};
use super::tls::{self, Stream};
use crate::config::slice::WitnessSlice;
use crate::ipc::channel::{Receiver, Sender};
use crate::ipc::witnessing::{self, Answer, Ask, MAX_TEXT};
use crate::secret::Secret;

/// The handshake and the whole exchange; the dialer has its own bound. A witness persists before it answers: some disks are
/// slow, none takes this long.
const EXCHANGE: Duration = Duration::from_secs(20);
/// The media type of a 409 with the size that the witness holds.
const SIZE: &str = "text/x.tlog.size";
const CONFLICT: u16 = 409;

pub struct Witness {
    slice: WitnessSlice,
    connector: Option<TlsConnector>,
    dialer: Arc<Dialer>,
}

impl Witness {
    pub fn new(slice: WitnessSlice, connector: Option<TlsConnector>, dialer: Arc<Dialer>) -> Self {
        Self { slice, connector, dialer }
    }

    /// Answers one vault, question by question, until it is gone; draining, the question at hand is the last.
    pub async fn serve(
        self: Arc<Self>,
        answers: Sender<witnessing::Reply>,
        mut asks: Receiver<Ask>,
        mut drain: watch::Receiver<bool>,
    ) {
        while !*drain.borrow_and_update() {
            let ask = tokio::select! {
                ask = asks.receive() => ask,
                _ = drain.changed() => continue,
            };
            let Ask::Cosign { question, old, proof, note } = match ask {
                Ok(Some(ask)) => ask,
                Ok(None) => return,
                Err(error) => return tracing::error!(%error, "the vault's channel can't be read"),
            };
            let answer = self.cosign(body(old, proof.iter().map(|hash| hash.as_slice()), &note)).await;
            let answer = answer.unwrap_or_else(|reason| Answer::Failed { reason: cut(&reason) });
            if answers.send(witnessing::Reply { question, answer }).await.is_err() {
                return;
            }
        }
    }

    async fn cosign(&self, body: String) -> Result<Answer, String> {
        let connection = self.dialer.dial(0).await.map_err(|reasons| reasons.join("; "))?;
        let asked = timeout(EXCHANGE, self.exchange(connection, body)).await;
        asked.unwrap_or_else(|_| Err(format!("it did not answer within {} s", EXCHANGE.as_secs()))).map(understand)
    }

    async fn exchange(&self, connection: Connection, body: String) -> Result<Reply, String> {
        let WitnessSlice { host, port, prefix, .. } = &self.slice;
        // The name that the certificate must bear is our own, whatever the dialer says of where it went.
        let mut stream: Box<dyn Stream> = Box::new(connection.socket);
        if let Some(connector) = &self.connector {
            let shaken = tls::protect(connector, host, stream).await;
            stream = shaken.map_err(|error| format!("TLS: {error}"))?.stream;
        }
        let request = Request {
            authority: http::authority(host, *port, self.connector.is_some()),
            path: format!("{prefix}/add-checkpoint"),
            kind: "text/plain; charset=utf-8",
            body: Secret::new(body.into_bytes()),
            ..Request::default()
        };
        match http::post(stream, request, MAX_TEXT, async { true }).await.map_err(http::Failed::into_reason)? {
            reply if reply.whole => Ok(reply),
            _ => Err(format!("its answer can't be read; at most {MAX_TEXT} octets are")),
        }
    }
}

/// The request: old size, proof, empty line, note.
fn body<'a>(old: u64, proof: impl Iterator<Item = &'a [u8]>, note: &str) -> String {
    let proof: String = proof.map(|hash| STANDARD.encode(hash) + "\n").collect();
    format!("old {old}\n{proof}\n{note}")
}

fn understand(Reply { status, kind, body, .. }: Reply) -> Answer {
    let text = String::from_utf8_lossy(&body);
    match status {
        // Signatures are ASCII. What isn't text grows when it is made into some, and then fits into no frame.
        200 => match String::from_utf8(body) {
            Ok(lines) => Answer::Cosigned { lines },
            Err(_) => Answer::Failed { reason: "what it answered is not text".to_owned() },
        },
        CONFLICT if kind == SIZE => match text.trim_end().parse() {
            Ok(size) => Answer::Holds { size },
            Err(_) => Answer::Failed { reason: "its 409 has no size".to_owned() },
        },
        status => Answer::Refused { status, said: cut(&text) },
    }
}

/// A stranger's words as they may stand in a log.
fn cut(text: &str) -> String {
    text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_what_the_protocol_shows() {
        let hash = [7u8; 32];
        let text = body(20, [hash.as_slice()].into_iter(), "origin\n23\nroot\n\n\u{2014} origin sig\n");
        let line = STANDARD.encode(hash);
        assert_eq!(text, format!("old 20\n{line}\n\norigin\n23\nroot\n\n\u{2014} origin sig\n"));
        assert_eq!(body(0, std::iter::empty(), "n\n"), "old 0\n\nn\n");
    }

    #[test]
    fn each_status_means_what_the_protocol_says() {
        let reply =
            |status, kind: &str, body: &str| Reply { status, kind: kind.into(), body: body.into(), ..Reply::default() };
        assert_eq!(
            understand(reply(200, "", "\u{2014} w sig\n")),
            Answer::Cosigned { lines: "\u{2014} w sig\n".into() }
        );
        assert_eq!(understand(reply(409, SIZE, "1234\n")), Answer::Holds { size: 1234 });
        assert!(matches!(understand(reply(409, SIZE, "-1\n")), Answer::Failed { .. }));
        assert_eq!(understand(reply(409, "text/plain", "7\n")), Answer::Refused { status: 409, said: "7".into() });
        let strange = Reply { status: 200, body: vec![0xff; MAX_TEXT], ..Reply::default() };
        assert!(matches!(understand(strange), Answer::Failed { .. }));
        let said = understand(reply(404, "text/plain", "unknown\r\n\x1b[31mlog"));
        assert_eq!(said, Answer::Refused { status: 404, said: "unknown   [31mlog".into() });
    }
}
