//! What can be tried of a provider without a message: the way there, whether it is who it says, and where its API has a question
//! that sends nothing, whether it takes our secret.

use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;
use tokio::time::timeout;

use super::judgement::told;
use super::{MAX_ANSWER, Provider};
use crate::courier::http::{self, Failed, Reply, Request};
use crate::courier::secrets::Secrets;
use crate::courier::tls::Stream;
use crate::ipc::delivery::Line;
use crate::secret::Secret;

/// How long a place among the connections, a connection, or an answer is waited for.
const STEP: Duration = Duration::from_secs(50);

/// A question that sends nothing.
pub struct Check {
    pub path: String,
    pub authorization: Secret<String>,
}

/// What its answer says of the secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    Taken,
    Refused,
    /// It doesn't say.
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
        let mut connected = match self.try_to_connect().await {
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
            let path = check.path.clone();
            // Each question has a connection of its own.
            let stream = match connected.take() {
                Some(stream) => Ok(stream),
                None => self.try_to_connect().await.map(|(stream, _)| stream),
            };
            let asked = match stream {
                Ok(stream) => self.ask(stream, check, &self.settings.secrets).await,
                Err(reason) => Err(reason),
            };
            match asked {
                Ok(reply) => {
                    note(&self.named(&format!("GET {path}: {}", told(&reply))));
                    match self.settings.api.finding(&reply) {
                        Finding::Taken => {
                            note("it takes our secret; whether that may send shows with the first message");
                            return true;
                        }
                        Finding::Unknown if reply.status < 500 => {
                            note("that says nothing of our secret: whether it takes it shows with the first message");
                            return true;
                        }
                        Finding::Refused | Finding::Unknown => {}
                    }
                }
                Err(reason) => note(&self.named(&format!("GET {path}: {reason}"))),
            }
        }
        note("it does not take our secret, or could not be asked");
        false
    }

    async fn try_to_connect(&self) -> Result<(Box<dyn Stream>, Option<&'static str>), String> {
        let tried = timeout(STEP, self.connect()).await;
        tried.unwrap_or_else(|_| Err(format!("not done within {} s", STEP.as_secs())))
    }

    /// Errors: nothing came back, in words.
    pub(super) async fn ask(&self, stream: Box<dyn Stream>, check: Check, secrets: &Secrets) -> Result<Reply, String> {
        let Check { path, authorization } = check;
        let authority = self.settings.authority.clone();
        let request = Request { authority, path, authorization: Some(authorization), ..Request::default() };
        let asked = timeout(STEP, http::post(stream, request, MAX_ANSWER, async { true })).await;
        let reply = asked.map_err(|_| format!("no answer within {} s", STEP.as_secs()))?;
        let reply = reply.map_err(Failed::into_reason)?;
        // Many quote what they were asked with.
        Ok(Reply { body: secrets.hide_octets(reply.body), ..reply })
    }
}
