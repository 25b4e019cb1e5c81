//! AUTH in a session: when there may be a login, what the vault says to it, and what that changes.

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::sleep;

use super::auth::{self, Unfit};
use super::budget::Charge;
use super::line::Said;
use super::reply::{self, Reply};
use super::session::Session;
use super::wire::{Stop, Wire};
use crate::policy::mechanism::Mechanism;

impl Session {
    pub(super) async fn auth<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        wire: &mut Wire<S>,
        mechanism: Option<Mechanism>,
        initial: Option<Said>,
    ) -> Result<Reply, Stop> {
        self.drop_revoked();
        let mechanism = match mechanism {
            _ if self.standing.by_network() => return Ok(reply::NOT_OFFERED),
            _ if !self.standing.takes_login() => return Ok(reply::TLS_FIRST),
            _ if self.transaction.is_some() => return Ok(reply::NOT_NOW),
            _ if self.standing.grant.is_some() => return Ok(reply::LOGIN_IS_DONE),
            _ if !self.standing.hello.as_ref().is_some_and(|hello| hello.extended) => return Ok(reply::HELLO_FIRST),
            other => match other.filter(|mechanism| self.standing.mechanisms().any(|offered| offered == *mechanism)) {
                None => return Ok(reply::UNKNOWN_MECHANISM),
                Some(mechanism) => mechanism,
            },
        };
        let offered = auth::exchange(wire, mechanism, initial, self.deadline()).await?;
        self.visit.turn();
        let mut refused = match offered.or_else(Unfit::guess) {
            Ok(offered) => {
                let tls = self.standing.tls.clone();
                match self.visit.login(mechanism, offered.user, offered.password, tls).await? {
                    Ok(grant) => {
                        tracing::debug!(session = %self.id, principal = grant.principal, "logged in");
                        self.standing.grant = Some(grant);
                        return Ok(reply::LOGGED_IN);
                    }
                    Err(denial) => Reply::from(denial),
                }
            }
            Err(malformed) => return Ok(malformed),
        };
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

    /// A login that was revoked is none; an open transaction is the vault's to refuse.
    pub(super) fn drop_revoked(&mut self) {
        if self.transaction.is_none() && self.visit.revoked() {
            self.standing.grant = None;
        }
    }
}
