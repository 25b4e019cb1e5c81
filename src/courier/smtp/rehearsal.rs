//! All that comes before a message, with each host of the upstream, told line by line: nothing is delivered.

use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;
use tokio::time::timeout;

use super::envelope::reverse;
use super::session::Session;
use super::transcript::Transcript;
use super::{Bearer, Login, Upstream};
use crate::courier::dial::Connection;
use crate::ipc::delivery::Line;
use crate::mail::address::ReversePath;

/// How long a place among the connections is waited for.
const PLACE: Duration = Duration::from_secs(30);
/// One host, from the connection to the last answer: who looks on waits a minute for a word. A delivery waits longer (rule U13).
const HOST: Duration = Duration::from_secs(50);

impl Upstream {
    /// Connects, shakes hands, logs in and begins a transaction from each of `senders`, which are taken back. True when every host
    /// of the configuration would have taken a message from each.
    ///
    /// It takes the place of a delivery: upstreams count the connections of a client.
    pub async fn rehearse(&self, senders: &[ReversePath], lines: &UnboundedSender<Line>) -> bool {
        let notes = self.transcript(lines);
        let Ok(Ok(_permit)) = timeout(PLACE, self.free.acquire()).await else {
            notes.note("all its connections are in use and stayed so: it is at work; ask again later");
            return false;
        };
        if let Some(Login::Token(bearer)) = &self.settings.login
            && !self.rehearse_token(bearer, lines).await
        {
            return false;
        }
        let (mut passed, mut next) = (true, 0);
        while let Some(host) = self.settings.hosts.name(next) {
            let connection = match self.dialer.dial(next).await {
                Ok(connection) => connection,
                Err(reasons) => {
                    reasons.iter().for_each(|reason| notes.note(reason));
                    return false;
                }
            };
            if !self.settings.hosts.has(connection.index, &connection.host) {
                notes.note("the dialer named a host that is not this upstream's");
                return false;
            }
            if connection.index == next {
                passed &= self.rehearse_with(connection, senders, lines).await;
            } else {
                // It went on to the hosts behind this one, or began anew with the first.
                notes.note(&format!("{host}: it can't be connected to; the log says why"));
                passed = false;
            }
            next = next.saturating_add(1);
        }
        passed
    }

    /// Asks for a token, also when one is at hand: who looks on wants to know whether it is given.
    async fn rehearse_token(&self, bearer: &Bearer, lines: &UnboundedSender<Line>) -> bool {
        let ((asked, shown), url) = (bearer.tokens.anew(&self.dialer).await, bearer.tokens.url());
        let outcome = match &asked {
            Ok(token) => format!("given, for {} s", token.life.as_secs()),
            Err(failed) => failed.reason.clone(),
        };
        // Its secrets are those of now.
        let notes = self.transcript(lines);
        if let Some(line) = shown {
            notes.show(line);
        }
        notes.note(&format!("asked {url} for a token: {outcome}"));
        asked.is_ok()
    }

    async fn rehearse_with(
        &self,
        connection: Connection,
        senders: &[ReversePath],
        lines: &UnboundedSender<Line>,
    ) -> bool {
        let (host, notes) = (connection.host.clone(), self.transcript(lines));
        notes.note(&format!("{host}: connected to {}", connection.address));
        let all = async {
            let mut session = Session::open(connection, &self.settings, &self.dialer, Some(self.transcript(lines)))
                .await
                .map_err(|refused| refused.reason)?;
            let mut taken = true;
            for sender in senders {
                if self.mail(&mut session, sender).await? {
                    continue;
                }
                taken = false;
                if sender.is_none() {
                    notes.note(&format!(
                        "{host}: takes nothing from <>, and so no reports to senders: see bounce of [[upstream]]"
                    ));
                }
            }
            if senders.is_empty() {
                notes.note(&format!(
                    "{host}: no message was begun: its reports leave by another upstream; name a --sender"
                ));
            }
            session.quit(&self.settings.patience).await;
            Ok::<bool, String>(taken)
        };
        match timeout(HOST, all).await {
            Ok(Ok(true)) => {
                notes.note(&format!("{host}: would take a message"));
                true
            }
            Ok(Ok(false)) => {
                notes.note(&format!("{host}: refuses a sender"));
                false
            }
            Ok(Err(reason)) => {
                notes.note(&format!("{host}: {reason}"));
                false
            }
            Err(_) => {
                notes.note(&format!("{host}: not done within {} s", HOST.as_secs()));
                false
            }
        }
    }

    /// Begins a transaction and takes it back. Whether the sender was taken; errors: the session is over.
    async fn mail(&self, session: &mut Session, sender: &ReversePath) -> Result<bool, String> {
        let is_international = sender.as_ref().is_some_and(|sender| sender.is_international());
        let utf8 = if is_international && session.offers.utf8 { " SMTPUTF8" } else { "" };
        let line = format!("MAIL FROM:{}{utf8}\r\n", reverse(sender));
        let taken = session.ask("MAIL", line.as_bytes(), &self.settings.patience).await?.is_positive();
        match session.reset(&self.settings.patience).await {
            true => Ok(taken),
            false => Err("RSET: refused".to_owned()),
        }
    }

    fn transcript(&self, lines: &UnboundedSender<Line>) -> Transcript {
        let secrets = self.settings.login.as_ref().map(Login::secrets);
        Transcript::new(lines.clone(), secrets.unwrap_or_default())
    }
}
