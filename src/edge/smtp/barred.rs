//! Who is kept out before anything is judged. The vault hears nothing of it and no audit log has it; the service's log does, for
//! who looks for a device that sends nothing has nothing else.

use super::command::asked::Asked;
use super::session::Session;
use crate::policy::mechanism::Mechanism;
use crate::policy::presence::neighbourhood;

/// Why.
#[derive(Clone, Copy, Debug)]
pub(super) enum Barred {
    /// By a mechanism that is not offered, or not now.
    Mechanism(Asked),
    /// It wants to log in where its address is its login.
    Login,
    /// It did not begin TLS.
    Clear,
    /// It did not log in.
    Stranger,
    /// It did not log in again after its login was changed.
    Revoked,
    /// It calls itself by what is no name of a host.
    Name,
}

/// How many there are, for a place for each.
pub const WHYS: usize = 6;

impl Barred {
    const fn index(self) -> usize {
        match self {
            Self::Mechanism(_) => 0,
            Self::Login => 1,
            Self::Clear => 2,
            Self::Stranger => 3,
            Self::Revoked => 4,
            Self::Name => 5,
        }
    }
}

impl Session {
    /// Tells it, each of them once in a session.
    pub(super) fn barred(&mut self, barred: Barred) {
        let at = barred.index();
        let (Some(is_told), Some(flood)) = (self.told.get_mut(at), self.front.barred.get(at)) else { return };
        if std::mem::replace(is_told, true) {
            return;
        }
        let listener = self.front.desk.name.clone();
        let further =
            move |sessions| tracing::info!(listener, sessions, "further clients were refused, not told one by one");
        if !flood.has_line_for(neighbourhood(self.visit.client()), further) {
            return;
        }
        let (session, listener, client) = (self.id, &self.front.desk.name, self.visit.client());
        match barred {
            Barred::Mechanism(asked) => {
                let offered: Vec<_> = self.standing.mechanisms().map(Mechanism::name).collect();
                tracing::info!(
                    %session, listener, %client, mechanism = asked.name().unwrap_or("[no name of one]"),
                    offered = offered.join(" "),
                    "a client was refused: it asked for a way to log in that is not offered: set it to one that is"
                );
            }
            Barred::Login => tracing::info!(
                %session, listener, %client,
                "a client was refused: it wants to log in where its address is its login: take the login out of its settings"
            ),
            Barred::Clear => tracing::info!(
                %session, listener, %client, "a client was refused: it did not begin TLS: set it to STARTTLS"
            ),
            Barred::Stranger => tracing::info!(
                %session, listener, %client,
                "a client was refused: it did not log in: give it name and password of a credential"
            ),
            Barred::Revoked => tracing::info!(
                %session, listener, %client,
                "a client was refused: the credential it had logged in as was changed, and it did not log in again"
            ),
            Barred::Name => tracing::info!(
                %session, listener, %client,
                "a client was refused: what it says in EHLO or HELO is not the name of a host: give it one"
            ),
        }
    }
}
