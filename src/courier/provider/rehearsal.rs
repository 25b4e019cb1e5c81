//! What can be tried of a provider without a message: the way there, whether it is who it says, and where its API has a question
//! that sends nothing, whether it takes our secret.

use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::judgement::told;
use super::{MAX_ANSWER, Provider};
use crate::courier::http::{self, Failed, Reply, Request};
use crate::courier::lookout;
use crate::courier::secrets::Secrets;
use crate::courier::tls::{self, Stream};
use crate::ipc::delivery::Line;
use crate::secret::Secret;

/// How long a place among the connections, a connection, or an answer is waited for.
const STEP: Duration = Duration::from_secs(50);

/// A question that sends nothing.
pub struct Check {
    pub path: String,
    /// The secret, in the header or in what is posted.
    authorization: Option<Secret<String>>,
    body: Secret<Vec<u8>>,
}

impl Check {
    /// Something is asked for.
    pub fn by(path: String, authorization: Secret<String>) -> Self {
        Self { path, authorization: Some(authorization), body: Secret::default() }
    }

    /// JSON is posted, to a question that isn't there everywhere: unless it tells, the next one counts.
    pub fn posted(path: String, body: Secret<Vec<u8>>) -> Self {
        Self { path, authorization: None, body }
    }

    pub const fn is_optional(&self) -> bool {
        self.authorization.is_none()
    }

    /// As it stands in the log: method and path.
    pub fn named(&self) -> String {
        format!("{} {}", if self.is_optional() { "POST" } else { "GET" }, self.path)
    }
}

/// What its answer says of the secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    Taken,
    Refused,
    /// It is there, and has no such question or doesn't say.
    Mute,
    /// It could not be asked, or something else answered.
    Unknown,
}

impl Provider {
    /// Connects, shakes hands, and asks what can be asked. True when nothing of it speaks against a message; where an API has no
    /// such question, whether the secret is right shows with a message alone.
    pub async fn rehearse(&self, lines: &UnboundedSender<Line>) -> bool {
        // Who looked on may be gone; this ends by itself.
        let note = |text: &str| drop(lines.send(Line::note(text)));
        let Ok(Ok(_permit)) = timeout(STEP, self.free.acquire()).await else {
            note("all its connections are in use and stayed so: it is at work; ask again later");
            return false;
        };
        let checks = self.settings.api.checks(&self.settings.path);
        let connector = self.settings.connector.as_ref().map(lookout::anew);
        let (connected, seen) = lookout::watch(self.try_to_connect(connector.as_ref())).await;
        if let Some(line) = tls::name(self.tls_name()).ok().and_then(|name| seen.line(&name)) {
            let _ = lines.send(line);
        }
        let mut connected = match connected {
            Ok((stream, version)) => {
                note(&self.named(&match version {
                    Some(version) => format!("connected by {version}"),
                    None => "connected in clear, on this machine".to_owned(),
                }));
                Some(stream)
            }
            Err(reason) => {
                note(&self.named(&reason));
                return false;
            }
        };
        if checks.is_empty() {
            note("nothing was asked: whether it takes its secret shows with the first message");
            return true;
        }
        for check in checks {
            let (named, is_optional) = (check.named(), check.is_optional());
            // Each question has a connection of its own.
            let stream = match connected.take() {
                Some(stream) => Ok(stream),
                None => self.try_to_connect(self.settings.connector.as_ref()).await.map(|(stream, _)| stream),
            };
            let asked = match stream {
                Ok(stream) => self.ask(stream, check, &self.settings.secrets).await,
                Err(reason) => Err(reason),
            };
            match asked {
                Ok(reply) => {
                    note(&self.named(&format!("{named}: {}", told(&reply))));
                    match self.settings.api.finding(&reply, is_optional) {
                        Finding::Taken => {
                            note("it takes our secret; whether that may send shows with the first message");
                            return true;
                        }
                        // It is decided: the next one would only be asked less.
                        Finding::Refused if is_optional => break,
                        Finding::Mute if !is_optional => {
                            note("that says nothing of our secret: whether it takes it shows with the first message");
                            return true;
                        }
                        Finding::Refused | Finding::Mute | Finding::Unknown => {}
                    }
                }
                Err(reason) => note(&self.named(&format!("{named}: {reason}"))),
            }
        }
        note("it does not take our secret, or could not be asked");
        false
    }

    async fn try_to_connect(
        &self,
        by: Option<&TlsConnector>,
    ) -> Result<(Box<dyn Stream>, Option<&'static str>), String> {
        let tried = timeout(STEP, self.connect_by(by)).await;
        tried.unwrap_or_else(|_| Err(format!("not done within {} s", STEP.as_secs())))
    }

    /// Errors: nothing came back, in words.
    pub(super) async fn ask(&self, stream: Box<dyn Stream>, check: Check, secrets: &Secrets) -> Result<Reply, String> {
        let kind = if check.is_optional() { "application/json" } else { "" };
        let Check { path, authorization, body } = check;
        let authority = self.settings.authority.clone();
        let request = Request { authority, path, kind, authorization, body, ..Request::default() };
        let asked = timeout(STEP, http::post(stream, request, MAX_ANSWER, async { true })).await;
        let reply = asked.map_err(|_| format!("no answer within {} s", STEP.as_secs()))?;
        let reply = reply.map_err(Failed::into_reason)?;
        // Many quote what they were asked with.
        Ok(Reply { body: secrets.hide_octets(reply.body), ..reply })
    }
}
