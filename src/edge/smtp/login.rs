//! AUTH in a session: when there may be a login, what the vault says to it, and what that changes.

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::sleep;

use super::auth::{self, Offered, Unfit};
use super::barred::Barred;
use super::budget::Charge;
use super::command::asked::Asked;
use super::line::Said;
use super::reply::{self, Reply};
use super::session::Session;
use super::wire::{Stop, Wire};
use crate::ipc::session::Denial;
use crate::policy::Grant;
use crate::policy::mechanism::Mechanism;

/// What came of a login: the vault's word, or what is said to the client about what was no login.
pub(super) type Judged = Result<Result<Box<Grant>, Denial>, Reply>;

impl Session {
    pub(super) async fn auth<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        wire: &mut Wire<S>,
        asked: Asked,
        initial: Option<Said>,
    ) -> Result<Reply, Stop> {
        self.drop_revoked()?;
        let mechanism = match () {
            () if self.standing.by_network() => {
                self.barred(Barred::Login);
                return Ok(reply::NOT_OFFERED);
            }
            () if !self.standing.takes_login() => {
                self.barred(Barred::Clear);
                return Ok(reply::TLS_FIRST);
            }
            () if self.transaction.is_some() => return Ok(reply::NOT_NOW),
            () if self.standing.grant.is_some() => return Ok(reply::LOGIN_IS_DONE),
            () => match &self.standing.hello {
                None => return Ok(reply::HELLO_FIRST),
                Some(hello) if !hello.extended => return Ok(reply::EHLO_FIRST),
                Some(_) => {
                    asked.ours().filter(|mechanism| self.standing.mechanisms().any(|offered| offered == *mechanism))
                }
            },
        };
        let Some(mechanism) = mechanism else {
            self.barred(Barred::Mechanism(asked));
            return Ok(reply::UNKNOWN_MECHANISM);
        };
        if self.guessed == Some(wire.round()) {
            // It was said before the last guess could have been answered.
            return Err(reply::SPEAKS_TOO_EARLY.into());
        }
        let judged = match mechanism.is_scram() {
            true => Box::pin(self.scram(wire, mechanism, initial)).await?,
            false => {
                let offered = auth::exchange(wire, mechanism, initial, self.deadline()).await?;
                self.visit.turn();
                self.judge(mechanism, offered).await?
            }
        };
        let mut refused = match judged {
            Ok(Ok(grant)) => {
                tracing::debug!(session = %self.id, principal = grant.principal, "logged in");
                self.standing.grant = Some(grant);
                return Ok(reply::LOGGED_IN);
            }
            Ok(Err(denial)) => Reply::from(denial),
            Err(malformed) => return Ok(malformed),
        };
        self.guessed = Some(wire.round());
        if refused != reply::BAD_CREDENTIALS {
            match self.budget.unjudged_login() {
                Charge::Free => (),
                Charge::Wait(wait) => sleep(wait).await,
                Charge::Spent => {
                    wire.say(&refused);
                    return Err(reply::TOO_MANY_GUESSES.into());
                }
            }
            return Ok(refused);
        }
        if mechanism.is_bearer() {
            refused = auth::explain(wire, mechanism, self.deadline()).await?;
        }
        if !self.budget.failed_login() {
            wire.say(&refused);
            return Err(reply::TOO_MANY_GUESSES.into());
        }
        Ok(refused)
    }

    /// Has the vault judge what was offered. What can't be right is judged too, when it is a guess.
    pub(super) async fn judge(
        &mut self,
        mechanism: Mechanism,
        offered: Result<Offered, Unfit>,
    ) -> Result<Judged, Stop> {
        match offered.or_else(Unfit::guess) {
            Ok(Offered { user, password }) => {
                let tls = self.standing.tls.clone();
                Ok(Ok(self.visit.login(mechanism, user, password, tls).await?))
            }
            Err(malformed) => Ok(Err(malformed)),
        }
    }

    /// A login that was revoked is none; an open transaction is the vault's to refuse. Who is known by network can't log in again:
    /// the next connection shows what it may by now.
    pub(super) fn drop_revoked(&mut self) -> Result<(), Stop> {
        if self.transaction.is_some() || !self.visit.revoked() {
            return Ok(());
        }
        self.standing.is_revoked |= self.standing.grant.take().is_some();
        if self.standing.by_network() { Err(reply::CONNECT_AGAIN.into()) } else { Ok(()) }
    }
}
