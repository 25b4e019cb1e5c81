//! Telling a webhook what became of mail: one signed request for each event, and nothing of the answer but its status.
//!
//! No redirect is followed: where the receiver is, the configuration says. What it answers beside the status is not kept.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::dial::Dialer;
use super::http::{self, Failed, Request};
use super::signature::{self, Key};
use super::tls::{self, Stream};
use crate::config::slice::WebhookSlice;
use crate::ipc::channel::{Receiver, Sender};
use crate::ipc::feedback::{Answer, Ask, MAX_POSTS, MAX_REASON, Reply};
use crate::secret::Secret;

/// The dial and the handshake.
const CONNECT: Duration = Duration::from_secs(30);
/// From there to the status: a receiver that has more to do should answer first and work afterwards.
const ANSWER: Duration = Duration::from_secs(20);
/// Octets of an answer's body that are read, and forgotten.
const MAX_ANSWER: usize = 1024;

/// Where the receiver is, and what it knows us by.
pub struct Settings {
    slice: WebhookSlice,
    connector: Option<TlsConnector>,
    /// The one in use, and the one before it.
    keys: Vec<Key>,
}

impl Settings {
    /// Errors: a secret is none.
    pub fn new(
        slice: WebhookSlice,
        connector: Option<TlsConnector>,
        secret: &Secret<String>,
        previous: Option<&Secret<String>>,
    ) -> Result<Self, String> {
        let mut keys = vec![Key::new(secret, "secret_file")?];
        if let Some(previous) = previous {
            keys.push(Key::new(previous, "previous_secret_file")?);
        }
        Ok(Self { slice, connector, keys })
    }

    /// The request, signed now, under the names of the standard and those that it had before.
    fn request(&self, id: String, body: String, now: SystemTime) -> Request {
        let now = signature::timestamp(now);
        let signed: Vec<String> = self.keys.iter().map(|key| key.sign(&id, &now, body.as_bytes())).collect();
        let signed = signed.join(" ");
        let headers = vec![
            ("webhook-id", id.clone()),
            ("webhook-timestamp", now.clone()),
            ("webhook-signature", signed.clone()),
            ("svix-id", id),
            ("svix-timestamp", now),
            ("svix-signature", signed),
        ];
        Request {
            authority: http::authority(&self.slice.host, self.slice.port, self.slice.tls),
            path: self.slice.path.clone(),
            kind: "application/json",
            headers,
            body: Secret::new(body.into_bytes()),
            ..Request::default()
        }
    }
}

/// One webhook, and the dialer for its connections.
pub struct Webhook {
    settings: Settings,
    dialer: Arc<Dialer>,
}

impl Webhook {
    pub fn new(settings: Settings, dialer: Arc<Dialer>) -> Self {
        Self { settings, dialer }
    }

    /// Serves one vault until it is gone; draining, until what is under way has ended.
    pub async fn serve(
        self: Arc<Self>,
        answers: Sender<Reply>,
        mut asks: Receiver<Ask>,
        mut drain: watch::Receiver<bool>,
    ) {
        let (mut posts, mut is_told) = (JoinSet::new(), false);
        loop {
            let drains = *drain.borrow_and_update();
            if drains && !is_told {
                // What it has sent and we don't read is for the next one.
                if answers.send(Reply::leaving()).await.is_err() {
                    return;
                }
                is_told = true;
            }
            if drains && posts.is_empty() {
                return;
            }
            tokio::select! {
                ask = asks.receive(), if !drains && posts.len() < MAX_POSTS => match ask {
                    Ok(Some(Ask::Post { ticket, id, body })) => {
                        let own = Arc::clone(&self);
                        posts.spawn(async move { Reply { ticket, answer: own.post(id, body).await } });
                    }
                    Ok(None) => return,
                    Err(error) => return tracing::error!(%error, "the vault's channel can't be read"),
                },
                Some(done) = posts.join_next(), if !posts.is_empty() => match done {
                    Ok(reply) => if answers.send(reply).await.is_err() { return },
                    // The vault gives up waiting for it.
                    Err(error) => tracing::error!(%error, "an event fell in the courier"),
                },
                _ = drain.changed() => {}
            }
        }
    }

    async fn post(&self, id: String, body: String) -> Answer {
        let failed = |sent: bool, reason: &str| Answer::Failed { sent, reason: cut(reason) };
        let late = |what: &str, time: Duration| format!("{what} within {} s", time.as_secs());
        let stream = match timeout(CONNECT, self.connect()).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(reason)) => return failed(false, &reason),
            Err(_) => return failed(false, &late("no connection", CONNECT)),
        };
        let request = self.settings.request(id, body, SystemTime::now());
        match timeout(ANSWER, http::post(stream, request, MAX_ANSWER, async { true })).await {
            Ok(Ok(reply)) => Answer::Status { code: reply.status, wait: reply.wait },
            Ok(Err(Failed::Unsent { begun: false, reason })) => failed(false, &reason),
            Ok(Err(other)) => failed(true, &other.into_reason()),
            Err(_) => failed(true, &late("no answer", ANSWER)),
        }
    }

    /// A connection, ready for the request. Errors: what failed.
    async fn connect(&self) -> Result<Box<dyn Stream>, String> {
        let connection = self.dialer.dial(0).await.map_err(|reasons| reasons.join("; "))?;
        // The name that the certificate must bear is our own, whatever the dialer says of where it went.
        let Settings { slice, connector, .. } = &self.settings;
        tls::ready(connection, connector.as_ref(), &slice.host).await.map(|(stream, _)| stream)
    }
}

/// Words that may be a stranger's, as they may stand in a log.
fn cut(text: &str) -> String {
    text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_REASON).collect()
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    const SLICE: fn() -> WebhookSlice =
        || WebhookSlice { host: "app.test".into(), port: 443, path: "/hook".into(), tls: true, previous: true };

    #[test]
    fn while_secrets_change_both_sign_and_each_header_has_its_older_name() {
        let secrets = ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"];
        let [new, old] = secrets.map(|text| Secret::new(text.to_owned()));
        let body = "{\"test\": 2432232314}".to_owned();
        let request = |settings: Settings| {
            let moment = UNIX_EPOCH + Duration::from_secs(1_614_265_330);
            settings.request("msg_p5jXN8AQM9LWM0D4loKWxJek".into(), body.clone(), moment)
        };
        let both = request(Settings::new(SLICE(), None, &new, Some(&old)).unwrap());
        let header = |request: &Request, name: &str| {
            request.headers.iter().find(|(own, _)| *own == name).map(|(_, value)| value.clone()).unwrap()
        };
        let signed = header(&both, "webhook-signature");
        let (first, second) = signed.split_once(' ').unwrap();
        assert_eq!(first, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        let alone = request(Settings::new(SLICE(), None, &old, None).unwrap());
        assert_eq!(second, header(&alone, "webhook-signature"));
        for name in ["id", "timestamp", "signature"] {
            assert_eq!(header(&both, &format!("webhook-{name}")), header(&both, &format!("svix-{name}")));
        }
        let wrong = Settings::new(SLICE(), None, &new, Some(&Secret::new("sesame".into()))).err().unwrap();
        assert!(wrong.starts_with("previous_secret_file: must hold whsec_"), "{wrong}");
    }
}
